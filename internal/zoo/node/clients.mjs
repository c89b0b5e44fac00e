// The npm packages that run in Node.js.
//
//   node clients.mjs SERVER COLLECTOR [h2]
//
// Each client follows the event stream of SERVER, or asks it for an answer at the cue of COLLECTOR,
// to which all of them report what they get. With h2 these are only those that take another fetch,
// which is undici's with HTTP/2.
import Anthropic from '@anthropic-ai/sdk'
import EventSource2 from 'eventsource-2'
import { EventSource as EventSource5 } from 'eventsource-5'
import { createEventSource } from 'eventsource-client'
import OpenAI from 'openai'
import { Agent, EventSource as UndiciEventSource, fetch as undiciFetch } from 'undici'

const [server, collector, protocol] = process.argv.slice(2)
const h2 = protocol === 'h2'
const dispatcher = new Agent({ allowH2: h2 })
const fetch2 = h2 ? (url, init) => undiciFetch(url, { ...init, dispatcher }) : undefined

// What the collector gets, in the order in which it came.
let reports = []
let sending

function report(client, what) {
  reports.push({ client, ...what })
  sending ??= send()
}

async function send() {
  await new Promise(setImmediate) // for what comes together
  while (reports.length > 0) {
    const body = JSON.stringify(reports)
    reports = []
    await fetch(collector + '/reports', { method: 'POST', body })
  }
  sending = undefined
}

function follow(client, make) {
  const source = make(server + '/events')
  source.onmessage = (e) => report(client, { event: JSON.parse(e.data) })
}

if (!h2) follow('eventsource 2', (url) => new EventSource2(url))
follow('eventsource 5', (url) => new EventSource5(url, { fetch: fetch2 }))
follow('undici EventSource', (url) => new UndiciEventSource(url, { dispatcher }))
createEventSource({
  url: server + '/events',
  fetch: fetch2,
  onMessage: ({ event, data }) => {
    if (!event) report('eventsource-client', { event: JSON.parse(data) })
  },
})

async function answer(client, parts) {
  await fetch(collector + '/cue')
  const got = { parts: 0, error: '' }
  try {
    for await (const part of await parts()) {
      got.parts += part
      if (got.parts === 5) report(client, { begun: true })
    }
  } catch (e) {
    got.error = String(e)
  }
  report(client, { answer: got })
}

const messages = [{ role: 'user', content: 'go' }]

answer('openai', async function* () {
  const api = new OpenAI({ baseURL: server + '/openai', apiKey: 'none', maxRetries: 0, fetch: fetch2 })
  for await (const chunk of await api.chat.completions.create({ model: 'm', messages, stream: true })) {
    yield chunk.choices[0]?.delta.content ? 1 : 0
  }
})
answer('@anthropic-ai/sdk', async function* () {
  const api = new Anthropic({ baseURL: server + '/anthropic', apiKey: 'none', maxRetries: 0, fetch: fetch2 })
  for await (const event of await api.messages.create({ model: 'm', max_tokens: 100, messages, stream: true })) {
    yield event.type === 'content_block_delta' ? 1 : 0
  }
})


