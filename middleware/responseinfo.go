package middleware

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A ResponseInfo is what was known of a response, or of a task, at one moment: now, for one that is
// open, and of one in [Report].Aborted when it was cut. What its client chose is as
// [stream.Response.Route] has it: printable, and shortened.
type ResponseInfo struct {
	Route    string // method, path and pattern, see [stream.Response.Route]
	Pattern  string `json:",omitzero"` // that an http.ServeMux matched, where that is known
	Remote   string `json:",omitzero"` // its client's address, or what [Drainer].RedactRemote gives for it; a task has none
	Kind     policy.Kind
	Format   stream.Format
	Age      time.Duration // since it began
	Idle     time.Duration // since its last byte
	Told     bool          // its farewell has gone out
	Hijacker string        `json:",omitzero"` // the function that hijacked its connection, if its handler has returned and left that open
	Running  bool          // the handler hadn't returned, or its hijacked connection wasn't closed, when the drain gave up

	// Where is what the handler was doing and in which lines of the program, the innermost first,
	// as in "chan receive at main.join (rooms.go:48) < main.room (rooms.go:17)", and Stack is the
	// stack of its goroutine, up to 8 KiB. They are known of handlers that ignore their canceled
	// context: of some a second after the cancel, and of up to 16 when the drain gives up.
	Where string `json:",omitzero"`
	Stack string `json:",omitzero"`
}

// String returns a description in one line.
func (i ResponseInfo) String() string {
	more := ""
	if i.Hijacker != "" {
		more = ", hijacked by " + i.Hijacker
	}
	if i.Where != "" {
		more += ", " + i.Where
	}
	return fmt.Sprintf("%s (%s %s, %s old, idle for %s%s)", i.Route, i.Kind, i.Format,
		i.Age.Round(time.Millisecond), i.Idle.Round(time.Millisecond), more)
}

// LogValue implements [slog.LogValuer].
func (i ResponseInfo) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("route", i.Route), slog.String("kind", i.Kind.String()), slog.String("format", string(i.Format)),
		slog.Duration("age", i.Age), slog.Duration("idle", i.Idle)}
	for _, a := range []slog.Attr{slog.String("remote", i.Remote), slog.String("hijacker", i.Hijacker),
		slog.String("where", i.Where), slog.String("stack", i.Stack)} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return slog.GroupValue(attrs...)
}

// info returns what is known now of a response. d.mu must not be held.
func (d *Drainer) info(r *tracked.Response) ResponseInfo {
	g := r.Group()
	if g.Pattern == "" && d.findPattern(r) {
		g = r.Group()
	}
	p, _ := d.placeOf(r)
	i := ResponseInfo{
		Route: r.Route(), Kind: g.Kind, Format: stream.Format(g.Format), Age: r.Age(), Idle: r.Idle(), Told: r.FarewellSent(),
		Hijacker: hijackerOf(r), Where: p.String(), Stack: p.stack,
	}
	if i.Format != stream.Task { // which has a name in place of a pattern, and no client
		i.Pattern = tracked.Printable(g.Pattern)
		i.Remote = r.Request().RemoteAddr
		if d.RedactRemote != nil {
			d.guard("RedactRemote", func() { i.Remote = d.RedactRemote(i.Remote) })
		}
		i.Remote = tracked.Printable(i.Remote)
	}
	return i
}

func (d *Drainer) infos(all []*tracked.Response) []ResponseInfo {
	infos := make([]ResponseInfo, len(all))
	for i, r := range all {
		infos[i] = d.info(r)
	}
	return infos
}
