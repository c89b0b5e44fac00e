// Dashboard, over an EventSource. It comes back by itself, after the last retry that it was sent. A
// server that is still draining accepts it only to send it away again, so that only a figure shows
// that the server is back.
import { $, note, seconds, size, stream } from "/web/common.js";
import { askNow } from "/web/server.js";

const staleAfter = 1000; // ms without a figure, of which there are ten a second
const usual = $("age").textContent;

const events = new EventSource("/events?stream=metrics");
const heaps = [];
let told = ""; // how the server said to come back; empty: it has not
let flowing = false; // figures come
let lastFigure = 0;

events.onopen = () => {
  window.lastcall.events.push({ type: "open", readyState: events.readyState });
};
events.onerror = () => {
  window.lastcall.events.push({ type: "error", readyState: events.readyState });
  askNow();
  if (events.readyState === EventSource.CLOSED) stream("es", "lost", "the server answered with an error: reload the page");
  else if (flowing && told) stream("es", "told", `${told}; the browser comes back by itself`);
  else if (flowing) stream("es", "lost", "lost without a final event; the browser tries again by itself");
  else stream("es", "waiting", "server not back yet; the browser tries again by itself");
  flowing = false;
};
events.addEventListener("shutdown", (e) => {
  window.lastcall.events.push({ type: "shutdown", data: e.data });
  askNow();
  told = `told to come back: event “shutdown”, ${e.data}`;
  stream("es", "told", told);
});
events.onmessage = (e) => {
  if (!flowing) {
    stream("es", "open", told ? `open again, after it was ${told}` : "open");
    told = "";
  }
  flowing = true;
  lastFigure = performance.now();
  const m = JSON.parse(e.data);
  $("open").textContent = m.open;
  $("goroutines").textContent = m.goroutines;
  $("heap").textContent = size(m.heap);
  heaps.push(m.heap);
  if (heaps.length > 300) heaps.shift();
  drawHeap();
};

function drawHeap() {
  const top = Math.max(...heaps) * 1.1;
  const points = heaps.map((h, i) => `${300 - heaps.length + i + 1} ${(100 - 100 * h / top).toFixed(1)}`);
  const curve = "M" + points.join("L");
  document.querySelector(".curve").setAttribute("d", curve);
  document.querySelector(".under").setAttribute("d", `${curve}L300 100L${301 - heaps.length} 100Z`);
}

setInterval(() => {
  const panel = $("figures").parentElement, age = performance.now() - lastFigure;
  if (!lastFigure || age < staleAfter) {
    delete panel.dataset.stale;
    note("age", usual);
  } else {
    panel.dataset.stale = "";
    note("age", `stale: the last figures are ${seconds(age)} old`, "warn");
  }
}, 200);
