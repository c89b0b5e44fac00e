// The client of the tests beside this file.
//
//   node client.mjs FOLDER PACKAGE URL PROBE
//
// It follows the event stream at URL until its standard input ends, with the EventSource of PACKAGE,
// which is installed in FOLDER. When a shutdown event has come it also tries PROBE, with another
// EventSource. It prints the events of both as they come, one a line.
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
