// The client of the tests beside this file.
//
//   node client.mjs FOLDER PACKAGE URL PROBE
//
// follows the event stream at URL with the EventSource of PACKAGE, which is installed in FOLDER, until its input ends. Once
// a shutdown event has come it tries PROBE too, as another. It prints what happens to both, a line each, as it comes.
import { createRequire } from 'node:module'

const [folder, name, url, probe] = process.argv.slice(2)
const installed = createRequire(folder + '/')(name)
const EventSource = installed.EventSource ?? installed

const sources = []

function follow(source, url) {
  const events = new EventSource(url)
  const print = (e) => process.stdout.write(JSON.stringify({
    source, type: e.type, data: e.data ?? '', readyState: events.readyState, at: performance.now(),
  }) + '\n')
  events.onopen = events.onmessage = events.onerror = print
  events.addEventListener('shutdown', print)
  sources.push(events)
  return events
}

follow('stream', url).addEventListener('shutdown', () => follow('probe', probe), { once: true })

process.stdin.resume().on('end', () => {
  for (const events of sources) events.close()
})
