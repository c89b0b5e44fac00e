// The WebSocket client of the tests beside this file, which copy it to where the package ws is
// installed.
//
//   node client.mjs echo URL       sends an echo server everything that it knows, and prints what
//                                  came back, a line for each
//   node client.mjs drain URL...   stays connected to each URL, and prints how each connection ends
//
// The part of a URL after # is the start of a message. When such a message comes, the client closes
// that connection itself, with code 1000 and reason "mine".
import WebSocket from 'ws'

const [mode, ...urls] = process.argv.slice(2)

const print = (line) => process.stdout.write(JSON.stringify(line) + '\n')

// open opens a connection, and keeps all that happens on it: messages, pongs, errors, the close event.
function open(url, options) {
  const ws = new WebSocket(url, options)
  const seen = []
  let changed = () => {}
  const note = (...what) => { seen.push(what); changed() }
  ws.on('message', (data, binary) => note(binary ? 'binary' : 'text', digest(data)))
  ws.on('pong', (data) => note('pong', data.toString()))
  ws.on('error', (err) => note('error', err.code ?? err.message))
  const closed = new Promise((resolve) => ws.addEventListener('close', ({ code, reason, wasClean }) => resolve({ code, reason, wasClean })))
  const opened = new Promise((resolve) => ws.on('open', resolve))
  const received = (n) => Promise.race([closed, new Promise((resolve) => {
    changed = () => { if (seen.length >= n) resolve() }
    changed()
  })])
  return { ws, seen, closed, opened, received }
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

// masked returns a frame with any header bytes, and a mask of zeros.
const masked = (first, length, payload = '') => Buffer.concat([Buffer.from([first, ...length]), Buffer.alloc(4), Buffer.from(payload, 'latin1')])

const sizes = [0, 1, 125, 126, 127, 4095, 4096, 65535, 65536, 1 << 20]

// By name, how many answers a message has, and how it is sent.
const messages = {}
for (const n of sizes) {
  messages[`text of ${n}`] = [1, (ws) => ws.send('x'.repeat(n))]
  messages[`binary of ${n}`] = [1, (ws) => ws.send(bytes(n))]
  messages[`text of ${n} in parts`] = [1, (ws) => {
    ws.send('é'.repeat(n >> 2), { fin: false })
    ws.send('y'.repeat(n >> 1), { fin: false })
    ws.send('z'.repeat(n & 3), { fin: true })
  }]
}
messages['characters'] = [1, (ws) => ws.send('κόσμε 𐍈 \u0000 \u{10ffff}')]
messages['a ping'] = [1, (ws) => ws.ping('are you there')]
messages['a ping without a payload'] = [1, (ws) => ws.ping()]
messages['the longest ping'] = [1, (ws) => ws.ping('p'.repeat(125))]
messages['a ping inside a message'] = [2, (ws) => {
  ws.send('a', { fin: false })
  ws.ping('within')
  ws.send('b', { fin: true })
}]
messages['a pong that nobody asked for'] = [1, (ws) => { ws.pong('oh'); ws.send('after it') }]
messages['many at once'] = [100, (ws) => { for (let i = 0; i < 100; i++) ws.send(bytes(i * 50)) }]

// By name, what ends the connection.
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
    for (const [name, [answers, send]] of Object.entries(messages)) {
      c.seen.length = 0
      send(c.ws)
      await c.received(answers)
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
    const [address, start] = url.split('#')
    const c = open(address, { rejectUnauthorized: false }) // the certificates are self-signed
    c.last = ''
    c.ws.on('message', (data) => {
      c.last = data.toString()
      if (start && c.last.startsWith(start)) c.ws.close(1000, 'mine')
    })
    return c
  })
  const opened = Promise.all(all.map((c) => Promise.race([c.opened, c.closed]))).then(() => print({ name: 'open' }))
  await Promise.all([opened, ...all.map(async (c, row) => print({ row, close: await c.closed, last: c.last.slice(0, 100) }))])
}

await (mode === 'echo' ? echo(urls[0]) : drain())
