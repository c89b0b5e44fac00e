// Applications that use the official TypeScript SDK, one for each round that standard input names:
//
//   node client.mjs AT-ONCE < ROUNDS
//
// ROUNDS is JSON: a list of rounds, see nodeRound in node_test.go; so many of them run at once. Each
// application calls tools of the round's old server, has that server stop, and goes on at the next one.
// What it saw goes to standard output, one line of JSON a round.
import { AsyncLocalStorage } from 'node:async_hooks'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'

// The SDK's timers are looked at: how long it chooses to wait says when a client comes back, whatever
// its process loses on a busy machine.
const { setTimeout } = globalThis
const caller = new AsyncLocalStorage() // { application, client }
globalThis.setTimeout = (f, ms, ...rest) => {
  const { application, client } = caller.getStore() ?? {}
  application?.waits(client, ms)
  return setTimeout(f, ms, ...rest)
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const path = (transport) => (transport === 'sse' ? '/sse' : '/mcp')

class Application {
  constructor(round) {
    this.round = round
    this.seen = { seed: round.seed, calls: [], streams: [], lost: 0 }
    this.clients = []
    this.owners = new Map() // which server has a session
  }

  // choose returns the server that a request goes to, as a balancer with sticky sessions does.
  choose(key, method) {
    const { old, next, sticky } = this.round
    if (this.stopped === undefined) return old
    const owner = this.owners.get(key)
    if (owner === next) return next
    return sticky && owner === old && method !== 'GET' && !this.oldIsGone ? old : next
  }

  async fetch(client, url, init) {
    url = new URL(url)
    const headers = new Headers(init?.headers)
    const key = headers.get('mcp-session-id') ?? url.search
    const method = init?.method ?? 'GET'
    let server = this.choose(key, method)
    const seen = { client, method, at: performance.now(), server: server === this.round.old ? 'old' : 'next', refusals: 0 }
    let response
    try {
      response = await fetch(server + url.pathname + url.search, { ...init, headers })
    } catch (error) {
      if (server !== this.round.old || init?.signal?.aborted) throw error
      this.oldIsGone = true
      if (error.cause?.code !== 'ECONNREFUSED') this.seen.lost++ // perhaps a refusal, with its connection
      server = this.round.next
      seen.server = 'next'
      response = await fetch(server + url.pathname + url.search, { ...init, headers })
    }
    seen.status = response.status
    this.seen.streams.push(seen)
    this.own(response.headers.get('mcp-session-id'), server)
    if (!response.body || response.status === 202) {
      return response
    }
    return new Response(this.watch(response.body, seen, server, init?.signal), { status: response.status, headers: response.headers })
  }

  own(key, server) {
    if (key && !this.owners.has(key)) this.owners.set(key, server)
  }

  // watch passes a body on and notes its reconnect slot and how it ends.
  watch(body, seen, server, signal) {
    const reader = body.getReader()
    const decoder = new TextDecoder()
    let text = ''
    return new ReadableStream({
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read()
          if (done) {
            seen.end = 'clean'
            seen.endAt = performance.now()
            return controller.close()
          }
          text += decoder.decode(value, { stream: true })
          const lines = text.split('\n')
          text = lines.pop()
          for (const line of lines) {
            if (line.startsWith('retry:')) seen.retry = Number(line.slice(6))
            if (line.startsWith('event: shutdown')) seen.shutdown = true
            if (line.includes('"code":-32050')) seen.refusals++
            if (line.startsWith('data: /')) this.own(new URL(line.slice(6).trim(), server).search, server)
          }
          controller.enqueue(value)
        } catch (error) {
          seen.end = signal?.aborted ? 'left' : 'broken: ' + error
          seen.endAt = performance.now()
          controller.error(error)
        }
      },
      cancel: (reason) => {
        seen.end = 'left'
        seen.endAt = performance.now()
        return reader.cancel(reason)
      },
    })
  }

  // isBack reports whether the first client has come back, which was told to.
  isBack() {
    const standing = this.seen.streams.filter((s) => s.method === 'GET' && s.client === 0)
    return standing.every((s) => s.server === 'next' || (s.endAt && standing.some((t) => t.at > s.endAt)))
  }

  // waits notes how long the client waits since its standing stream has ended.
  waits(client, ms) {
    const standing = this.seen.streams.findLast((s) => s.client === client && s.method === 'GET')
    if (standing?.endAt) standing.waits ??= ms
  }

  async connect() {
    const client = new Client({ name: 'client', version: '1' }, { capabilities: { elicitation: {} } })
    client.setRequestHandler(ElicitRequestSchema, async () => {
      await sleep(Math.random() * 200)
      return { action: 'accept', content: { answer: '!' } }
    })
    const number = this.clients.length
    const fetch = (url, init) => this.fetch(number, url, init)
    const url = new URL(this.round.old + path(this.round.transport))
    const transport =
      this.round.transport === 'sse'
        ? new SSEClientTransport(url, { fetch })
        : new StreamableHTTPClientTransport(url, { fetch })
    client.onerror = () => {}
    this.clients.push(client)
    await caller.run({ application: this, client: number }, () => client.connect(transport))
    return client
  }

  async call(client, { token, ms, ask }) {
    const result = await client.callTool({ name: 'work', arguments: { token, ms, ask } }, undefined, { timeout: 60000 })
    if (result.isError) throw new Error(JSON.stringify(result.content))
    return result.content[0].text
  }

  // callUntilDone calls in a session where there is one, and else in new ones, until that succeeds.
  async callUntilDone(client, call) {
    for (let tries = 1; ; tries++) {
      try {
        client ??= await this.connect()
        return { ...call, got: await this.call(client, call), tries }
      } catch (error) {
        if (tries >= 40) return { ...call, error: String(error), tries }
        client = undefined
        await sleep(200)
      }
    }
  }

  async run() {
    const first = await this.connect()
    const { early, late, stop, control, sticky } = this.round
    const all = []
    const begin = performance.now()
    for (const call of early) {
      all.push(
        (async () => {
          await sleep(call.at)
          if (this.stopped !== undefined) return this.callUntilDone(undefined, call) // on a busy machine
          try {
            return { ...call, got: await this.call(first, call) }
          } catch (error) {
            // On a busy machine it may reach the server only when that stops, or the next one, which doesn't
            // know the session. A result that was lost shows: it is produced again.
            const refused = /please (retry|(come|call) again)/.test(String(error))
            const unknown = this.stopped !== undefined && /session (not found|ID)/.test(String(error))
            return refused || unknown ? this.callUntilDone(undefined, call) : { ...call, error: String(error) }
          }
        })(),
      )
    }
    for (const call of late) {
      all.push(sleep(stop + call.at).then(() => this.callUntilDone(sticky ? first : undefined, call)))
    }
    await sleep(begin + stop - performance.now())
    await fetch(control + '/stop/' + this.round.seed, { method: 'POST' })
    this.stopped = performance.now()
    this.seen.calls = await Promise.all(all)
    await fetch(control + '/wait/' + this.round.seed, { method: 'POST' })
    for (let i = 0; i < 200 && !this.isBack(); i++) await sleep(50)
    this.seen.stopped = this.stopped
    const seen = JSON.stringify(this.seen)
    for (const client of this.clients) await client.close().catch(() => {})
    return seen
  }
}

let input = ''
for await (const chunk of process.stdin) input += chunk
const rounds = JSON.parse(input)
const some = async () => {
  for (let round; (round = rounds.shift()); ) console.log(await new Application(round).run())
}
await Promise.all(Array.from({ length: Number(process.argv[2]) }, some))
process.exit(0)
