// The client of the tests beside this file.
//
//   node client.mjs FOLDER echo URL      says everything it knows to an echo server; prints what came of it, a line each
//   node client.mjs FOLDER drain URL...  stays connected to each; prints what it is told, as it comes
//
// What comes after a # in a URL is how the message begins on which it closes the connection by itself, with 1000 and "mine".
//
// FOLDER is where the package ws is installed.
import { createRequire } from 'node:module'

const [folder, mode, ...urls] = process.argv.slice(2)
const WebSocket = createRequire(folder + '/')('ws')

const print = (line) => process.stdout.write(JSON.stringify(line) + '\n')

// open gives a connection and all that happens on it: messages, pongs, errors, the close event.
function open(url, options) {
  const ws = new WebSocket(url, options)
  const seen = []
  let look = () => {}
  const note = (...what) => { seen.push(what); look() }
  ws.on('message', (data, binary) => note(binary ? 'binary' : 'text', digest(data)))
  ws.on('pong', (data) => note('pong', data.toString()))
  ws.on('error', (err) => note('error', err.code ?? err.message))
  const closed = new Promise((resolve) => ws.addEventListener('close', ({ code, reason, wasClean }) => resolve({ code, reason, wasClean })))
  const opened = new Promise((resolve) => ws.on('open', resolve))
  const heard = (n) => Promise.race([closed, new Promise((resolve) => {
    look = () => { if (seen.length >= n) resolve() }
    look()
  })])
  return { ws, seen, closed, opened, heard }
}

function digest(data) {
  let sum = 0
  for (const b of data) sum = (sum * 31 + b) >>> 0
  return [data.length, sum]
}

function bytes(n) {
  const b = Buffer.alloc(n)
  for (let i = 0; i < n; i++) b[i] = (i * 7 + (i >> 8)) & 0xff
  return b
}

// masked makes a frame with a zero mask of any header bytes.
const masked = (first, length, payload = '') => Buffer.concat([Buffer.from([first, ...length]), Buffer.alloc(4), Buffer.from(payload, 'latin1')])

const sizes = [0, 1, 125, 126, 127, 4095, 4096, 65535, 65536, 1 << 20]

// What is said, and how many answers it has.
const says = {}
for (const n of sizes) {
  says[`text of ${n}`] = [1, (ws) => ws.send('x'.repeat(n))]
  says[`binary of ${n}`] = [1, (ws) => ws.send(bytes(n))]
  says[`text of ${n} in parts`] = [1, (ws) => {
    ws.send('é'.repeat(n >> 2), { fin: false })
    ws.send('y'.repeat(n >> 1), { fin: false })
    ws.send('z'.repeat(n & 3), { fin: true })
  }]
}
says['characters'] = [1, (ws) => ws.send('κόσμε 𐍈 \u0000 \u{10ffff}')]
says['a ping'] = [1, (ws) => ws.ping('are you there')]
says['a ping without a payload'] = [1, (ws) => ws.ping()]
says['the longest ping'] = [1, (ws) => ws.ping('p'.repeat(125))]
says['a ping inside a message'] = [2, (ws) => {
  ws.send('a', { fin: false })
  ws.ping('within')
  ws.send('b', { fin: true })
}]
says['a pong that nobody asked for'] = [1, (ws) => { ws.pong('oh'); ws.send('after it') }]
says['many at once'] = [100, (ws) => { for (let i = 0; i < 100; i++) ws.send(bytes(i * 50)) }]

// What ends the connection.
const ends = { 'no code': (ws) => ws.close() }
for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]) {
  ends[`code ${code}`] = (ws) => ws.close(code, `reason of ${code}`)
}
ends['the longest reason'] = (ws) => ws.close(4000, 'r'.repeat(123))
const raw = (frame) => (ws) => ws._socket.write(frame)
Object.assign(ends, {
  'a reserved bit': raw(masked(0x91, [0x82], 'hi')),
  'a reserved opcode': raw(masked(0x83, [0x80])),
  'a reserved control opcode': raw(masked(0x8b, [0x80])),
  'an unmasked frame': raw(Buffer.from('\x81\x02hi', 'latin1')),
  'a length with the top bit': raw(masked(0x82, [0xff, 0x80, 0, 0, 0, 0, 0, 0, 1], 'x')),
  'a fragmented ping': raw(masked(0x09, [0x80])),
  'a long ping': raw(masked(0x89, [0xfe, 0, 126], 'p'.repeat(126))),
  'a continuation of nothing': raw(masked(0x80, [0x81], 'x')),
  'a message inside a message': raw(Buffer.concat([masked(0x01, [0x81], 'x'), masked(0x81, [0x81], 'y')])),
  'half a close code': raw(masked(0x88, [0x81], '\x03')),
  'a close code that may not be sent': raw(masked(0x88, [0x82], '\x03\xed')),
  'a close reason that is not UTF-8': raw(masked(0x88, [0x83], '\x03\xe8\xff')),
  'text that is not UTF-8': raw(masked(0x81, [0x81], '\xff')),
  'the end of the socket': (ws) => ws._socket.end(),
})

async function echo(url) {
  for (const perMessageDeflate of [false, { threshold: 0 }]) {
    const how = perMessageDeflate ? 'deflated' : 'plain'
    const c = open(url, { perMessageDeflate })
    await c.opened
    print({ name: `${how}: extensions`, seen: c.ws.extensions })
    for (const [name, [answers, say]] of Object.entries(says)) {
      c.seen.length = 0
      say(c.ws)
      await c.heard(answers)
      print({ name: `${how}: ${name}`, seen: c.seen })
    }
    c.ws.close(1000)
    print({ name: `${how}: close`, close: await c.closed })
    for (const [name, end] of Object.entries(ends)) {
      const c = open(url, { perMessageDeflate })
      await c.opened
      end(c.ws)
      const close = await c.closed
      print({ name: `${how}: ${name}`, seen: c.seen, close })
    }
  }
}

async function drain() {
  const all = urls.map((url) => {
    const [address, cue] = url.split('#')
    const c = open(address, { rejectUnauthorized: false }) // their certificates are their own
    c.last = ''
    c.ws.on('message', (data) => {
      c.last = data.toString()
      if (cue && c.last.startsWith(cue)) c.ws.close(1000, 'mine')
    })
    return c
  })
  const opened = Promise.all(all.map((c) => Promise.race([c.opened, c.closed]))).then(() => print({ name: 'open' }))
  await Promise.all([opened, ...all.map(async (c, row) => print({ row, close: await c.closed, last: c.last.slice(0, 100) }))])
}

await (mode === 'echo' ? echo(urls[0]) : drain())
