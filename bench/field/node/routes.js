// The routes, as a program with Node's http and ws has them.
const http = require('node:http')
const { setTimeout: pause } = require('node:timers/promises')
const { WebSocketServer } = require('ws')

const routes = {
  async '/events' (req, res) {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
    for (let n = 1; !res.closed; n++) {
      res.write(`event: tick\ndata: ${n}\n\n`)
      await pause(100)
    }
  },

  async '/answer' (req, res) {
    res.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' })
    for (let n = 1; n <= 30 && !res.closed; n++) {
      res.write(`line ${n}\n`)
      await pause(100)
    }
    res.end()
  },

  async '/download' (req, res) {
    res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': 1_200_000 })
    const part = Buffer.alloc(20_000)
    for (let n = 0; n < 60 && !res.closed; n++) {
      res.write(part)
      await pause(50)
    }
    res.end()
  }
}

function create () {
  const server = http.createServer((req, res) => {
    const route = routes[req.url]
    if (route) return route(req, res)
    res.writeHead(404).end()
  })
  new WebSocketServer({ server, path: '/ws' }).on('connection', (socket) => {
    let n = 0
    const timer = setInterval(() => socket.send(JSON.stringify({ tick: ++n })), 100)
    socket.on('close', () => clearInterval(timer))
    socket.on('error', () => {})
  })
  return server
}

module.exports = { create }
