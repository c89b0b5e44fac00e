package main

// A contestant is a server, and how it is asked to stop. In its command, and in a file that is
// filled in, ${BIN} is the folder with what has been built, ${DIR} an empty one, ${FIELD} this one,
// ${PORT} where it listens, and ${BACKEND} where the back end does. They are in its environment,
// too.
type contestant struct {
	name    string
	title   string
	source  string // its file, in this folder or, with a slash in front, in the repository
	stops   string // how, for people
	signal  string // TERM where it is left out
	fills   string // a file in this folder to fill in; the command finds it as ${DIR}/config
	routes  []string
	proxy   bool // it stands in front of the back end
	command []string
	parts   []part
}

// A part is something whose version the scoreboard tells: where it comes from, and its name there.
type part struct{ from, name string }

const (
	fromGo     = "Go"     // itself
	fromModule = "module" // of Go; the name has the binary that it is in, a colon, and the path
	fromDebian = "Debian"
	fromNpm    = "npm"
	fromNode   = "Node"
	fromHere   = "lastcall"
)

var (
	theRoutes = []string{"/ws", "/events", "/answer", "/download"}
	goItself  = part{fromGo, "Go"}
	here      = part{fromHere, "lastcall"}
	python    = part{fromDebian, "python3"}
)

func module(binary, path string) part { return part{fromModule, binary + ":" + path} }

// goServer is a contestant that is written in Go.
func goServer(name, title, source, stops string, parts ...part) contestant {
	return contestant{
		name: name, title: title, source: source, stops: stops,
		command: []string{"${BIN}/" + name, "127.0.0.1:${PORT}"},
		parts:   append(parts, goItself),
	}
}

const gorilla = "github.com/gorilla/websocket"

var contestants = []contestant{
	goServer("nethttp", "net/http", "nethttp/main.go", "`http.Server.Shutdown` with 10 s, as its documentation has it", module("nethttp", gorilla)),
	goServer("basecontext", "net/http, `BaseContext` canceled", "basecontext/main.go", "`Shutdown`, and the context of all requests is canceled", module("basecontext", gorilla)),
	goServer("gin", "gin", "frameworks/gin/main.go", "`Shutdown` with 10 s; `log.Fatal` where that fails, as in gin's example", module("gin", "github.com/gin-gonic/gin"), module("gin", gorilla)),
	goServer("echo", "echo", "frameworks/echo/main.go", "`StartConfig` with its default of 10 s", module("echo", "github.com/labstack/echo/v5"), module("echo", gorilla)),
	goServer("chi", "chi", "frameworks/chi/main.go", "`Shutdown` with 10 s; `log.Fatal` where that fails, as in chi's example", module("chi", "github.com/go-chi/chi/v5"), module("chi", gorilla)),
	goServer("fiber", "fiber", "frameworks/fiber/main.go", "`ShutdownWithTimeout` of 10 s", module("fiber", "github.com/gofiber/fiber/v3"), module("fiber", "github.com/gofiber/contrib/v3/websocket")),
	goServer("lastcall", "net/http with lastcall", "lastcall/main.go", "`Drainer.Run` with a budget of 10 s", here, module("lastcall", gorilla)),
	{
		name: "live", title: "examples/live", source: "/examples/live/main.go", stops: "lastcall, with a budget of 10 s",
		routes:  []string{"/ws", "/events?stream=metrics", "/answer?tokens=30", "/download?bytes=1200000&rate=400000"},
		command: []string{"${BIN}/live", "-addr", "127.0.0.1:${PORT}", "-budget", "10s"},
		parts:   []part{here, module("live", gorilla), goItself},
	},
	{
		name: "node", title: "Node's http, `server.close`", source: "node/close.js", stops: "`server.close()` alone",
		command: []string{"node", "${FIELD}/node/close.js", "${PORT}"},
		parts:   []part{{fromNode, "Node"}, {fromNpm, "ws"}},
	},
	{
		name: "terminator", title: "Node's http, http-terminator", source: "node/terminator.js", stops: "`terminate()` with 10 s",
		command: []string{"node", "${FIELD}/node/terminator.js", "${PORT}"},
		parts:   []part{{fromNpm, "http-terminator"}, {fromNode, "Node"}, {fromNpm, "ws"}},
	},
	{
		name: "aiohttp", title: "aiohttp", source: "python/aiohttp_server.py", stops: "`run_app` with 10 s, which closes its WebSockets in `on_shutdown`, as its documentation has it",
		command: []string{"/usr/bin/python3", "${FIELD}/python/aiohttp_server.py", "${PORT}"},
		parts:   []part{{fromDebian, "python3-aiohttp"}, python},
	},
	{
		name: "uvicorn", title: "uvicorn with Starlette", source: "python/starlette_app.py", stops: "by itself: this version has no limit to set",
		command: []string{"/usr/bin/python3", "-m", "uvicorn", "--app-dir", "${FIELD}/python", "--port", "${PORT}", "starlette_app:app"},
		parts:   []part{{fromDebian, "uvicorn"}, {fromDebian, "python3-starlette"}, {fromDebian, "python3-websockets"}, python},
	},
	{
		name: "caddy", title: "Caddy in front", source: "proxies/Caddyfile", stops: "gracefully, with a `grace_period` of 10 s", proxy: true,
		command: []string{"${BIN}/caddy", "run", "--adapter", "caddyfile", "--config", "${FIELD}/proxies/Caddyfile"},
		parts:   []part{module("caddy", "github.com/caddyserver/caddy/v2")},
	},
	nginx("nginx", "nginx in front, SIGTERM", "TERM", "at once: its fast shutdown"),
	nginx("nginx-quit", "nginx in front, SIGQUIT", "QUIT", "gracefully, with a `worker_shutdown_timeout` of 10 s"),
	haproxy("haproxy", "HAProxy in front, SIGTERM", "TERM", "at once: its hard stop"),
	haproxy("haproxy-usr1", "HAProxy in front, SIGUSR1", "USR1", "its soft stop, with `hard-stop-after` of 10 s"),
	{
		name: "proxy", title: "`ReverseProxy` with lastcall in front", source: "proxy/main.go", stops: "`Drainer.Run` with a budget of 10 s", proxy: true,
		command: []string{"${BIN}/proxy", "127.0.0.1:${PORT}", "127.0.0.1:${BACKEND}"},
		parts:   []part{here, goItself},
	},
}

func nginx(name, title, signal, stops string) contestant {
	return contestant{
		name: name, title: title, source: "proxies/nginx.conf", stops: stops, signal: signal, proxy: true, fills: "proxies/nginx.conf",
		command: []string{"nginx", "-e", "stderr", "-p", "${DIR}", "-c", "${DIR}/config"},
		parts:   []part{{fromDebian, "nginx"}},
	}
}

func haproxy(name, title, signal, stops string) contestant {
	return contestant{
		name: name, title: title, source: "proxies/haproxy.cfg", stops: stops, signal: signal, proxy: true,
		command: []string{"haproxy", "-W", "-db", "-f", "${FIELD}/proxies/haproxy.cfg"},
		parts:   []part{{fromDebian, "haproxy"}},
	}
}
