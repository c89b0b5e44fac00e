// The npm packages of the tests, one process for all rounds.
//
// It reads commands from its standard input, one JSON object a line: {id, client, url, question, h2}
// begins a call or a subscription, {id, stop: true} ends it. It prints what comes of each: {id, value}
// for a value of a subscription, {id, answer} for an answer, {id, refused: true} for a refusal, {id,
// error} or {id, complete: true} where it has ended. Of a subscription it prints also {id, calls}
// whenever it calls its server, with the time in milliseconds since 1970, and {id, waits, at} when it
// begins to wait before that, and how long. Once it can read commands it prints {ready: true}.
import { connect, constants } from 'node:http2'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import Anthropic from '@anthropic-ai/sdk'
import { ApolloClient, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { createClient as createSSEClient } from 'graphql-sse'
import { createClient as createWSClient } from 'graphql-ws'
import { meros } from 'meros/browser'
import OpenAI from 'openai'
import { WebSocket } from 'ws'

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const print = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const ticks = 'subscription { ticks }'

// Each returns what stops it.
const clients = {
  openai: answers(async function* ({ url, question }) {
    const api = new OpenAI({ baseURL: url + '/v1', apiKey: 'none', maxRetries: 10 })
    const messages = [{ role: 'user', content: question }]
    for await (const chunk of await api.chat.completions.create({ model: 'm', messages, stream: true })) {
      yield chunk.choices[0]?.delta.content ?? ''
    }
  }),

  anthropic: answers(async function* ({ url, question }) {
    const api = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 10 })
    const messages = [{ role: 'user', content: question }]
    for await (const event of await api.messages.create({ model: 'm', max_tokens: 100, messages, stream: true })) {
      yield event.delta?.text ?? ''
    }
  }),

  // A deferred query. The package doesn't repeat it.
  meros: answers(async function* ({ id, url, question, h2 }) {
    const fetch = refusing(h2 ? http2Fetch : globalThis.fetch, id)
    let res
    do {
      res = await fetch(url + '/graphql', {
        method: 'POST',
        headers: { accept: 'multipart/mixed', 'content-type': 'application/json' },
        body: JSON.stringify({ query: `{ ... @defer { answer(call: "${question}") } }` }),
      }).catch(() => undefined)
      if (!res?.ok) await sleep(50)
    } while (!res?.ok)
    let last
    for await (const part of await meros(res)) {
      if (!part.json) throw new Error('no JSON: ' + part.body)
      last = part.body
      for (const result of [last, ...(last.incremental ?? [])]) yield result.data?.answer ?? ''
    }
    if (last?.hasNext !== false) throw new Error('it has ended before its last part')
  }),

  'graphql-ws'({ id, url }) {
    const sleep = sleeper(id)
    let slot // when the server asks this client to come back, in milliseconds
    const client = createWSClient({
      url: url.replace('http', 'ws') + '/graphql',
      webSocketImpl: WebSocket,
      retryAttempts: 20,
      shouldRetry: () => true, // also when the server answers 503, or nobody listens
      on: { closed: (event) => { slot = /retry=(\d+)/.exec(event.reason)?.[1] } },
      retryWait: () => sleep(Number(slot ?? 500 + 500 * Math.random())),
    })
    client.on('connecting', connecting(id))
    client.subscribe({ query: ticks }, sink(id))
    return () => client.dispose()
  },

  'graphql-sse'({ id, url, h2 }) {
    const sleep = sleeper(id)
    const fetch = refusing(h2 ? http2Fetch : globalThis.fetch, id)
    let slot // when the server asks this client to come back, in milliseconds
    const client = createSSEClient({
      url: url + '/graphql',
      retryAttempts: 20,
      fetchFn: async (...request) => {
        slot = undefined
        const res = await fetch(...request)
        if (!res.ok) slot = 1000 * (res.headers.get('retry-after') ?? 1)
        return new Response(res.body?.pipeThrough(new TransformStream({
          transform(chunk, controller) {
            slot = /^retry: (\d+)$/m.exec(new TextDecoder().decode(chunk))?.[1]
            controller.enqueue(chunk)
          },
        })), res)
      },
      retry: () => sleep(Number(slot ?? 500 + 500 * Math.random())),
    })
    client.subscribe({ query: ticks }, sink(id), { connecting: connecting(id) })
    return () => client.dispose()
  },

  // A subscription by multipart/mixed. The package reports an error, and the application subscribes again.
  apollo({ id, url, h2 }) {
    const sleep = sleeper(id)
    let stopped = false
    let subscription
    const link = new HttpLink({ uri: url + '/multipart', fetch: refusing(h2 ? http2Fetch : fetch, id) })
    const client = new ApolloClient({ link, cache: new InMemoryCache() })
    const subscribe = () => {
      const { next, complete } = sink(id)
      connecting(id)()
      subscription = client.subscribe({ query: gql(ticks), fetchPolicy: 'no-cache' }).subscribe({
        next: (result) => {
          if (!result.error) return next(result)
          print({ id, told: String(result.error.message) })
          again(result.error.errors?.[0].extensions?.retry)
        },
        error: () => again(),
        complete,
      })
    }
    const again = async (slot) => {
      subscription?.unsubscribe()
      await sleep(slot ?? 500 + 500 * Math.random())
      if (!stopped) subscribe()
    }
    subscribe()
    return () => { stopped = true; subscription.unsubscribe(); client.stop() }
  },
}

// connecting returns what says that a client calls its server.
function connecting(id) {
  return () => print({ id, calls: Date.now() })
}

// sleeper returns a sleep that says how long it is to be, of a client that sleeps before it calls again.
function sleeper(id) {
  return (ms) => { print({ id, waits: ms, at: Date.now() }); return sleep(ms) }
}

// refusing returns fetch, which says when a call is refused, and takes any other status for a failure.
function refusing(fetch, id) {
  return async (...request) => {
    const res = await fetch(...request)
    if (res.status === 503 && res.headers.get('retry-after') > 0) print({ id, refused: true })
    else if (!res.ok) print({ id, error: 'it is answered ' + res.status })
    return res
  }
}

// http2Fetch is as much of fetch as these packages use, over HTTP/2 without TLS, which Node.js's own
// has none of.
async function http2Fetch(url, { method = 'GET', headers, body, signal } = {}) {
  const { origin, pathname, search } = new URL(url)
  const stream = session(origin).request({ ...Object.fromEntries(new Headers(headers)), ':method': method, ':path': pathname + search })
  signal?.addEventListener('abort', () => stream.close(constants.NGHTTP2_CANCEL))
  return new Promise((resolve, reject) => {
    stream.once('error', reject).once('close', () => reject(new Error('closed'))).once('response', (fields) => {
      const head = Object.entries(fields).filter(([name]) => !name.startsWith(':'))
      resolve(new Response(Readable.toWeb(stream), { status: fields[':status'], headers: head }))
    })
    stream.end(body)
  })
}

const sessions = new Map() // those that take requests, by their origin

function session(origin) {
  if (!sessions.has(origin)) {
    const made = connect(origin)
    const forget = () => { if (sessions.get(origin) === made) sessions.delete(origin) }
    made.on('error', forget).on('goaway', forget).on('close', forget)
    sessions.set(origin, made)
  }
  return sessions.get(origin)
}

function sink(id) {
  return {
    next: (result) => print(result.errors ? { id, error: JSON.stringify(result.errors) } : { id, value: result.data.ticks }),
    error: (e) => print({ id, error: String(e.reason ?? e.message ?? e) + ' ' + (e.code ?? '') }),
    complete: () => print({ id, complete: true }),
  }
}

function answers(parts) {
  return (command) => {
    (async () => {
      let answer = ''
      try {
        for await (const part of parts(command)) answer += part
        print({ id: command.id, answer })
      } catch (e) {
        print({ id: command.id, error: String(e) })
      }
    })()
    return () => {}
  }
}

const running = new Map()
createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line)
  if (command.stop) running.get(command.id)()
  else running.set(command.id, clients[command.client](command))
}).on('close', () => process.exit())
print({ ready: true })

// graphql-ws leaves the error of a connection that is refused unhandled, beside retrying.
process.on('unhandledRejection', (e) => { if (e?.type !== 'error') throw e })
