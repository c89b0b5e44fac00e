// What this page was told, for tests to read. ws has {code, reason, wasClean} of every close of the
// WebSocket. events has {type, readyState} of every open and error of the EventSource, and
// {type: "shutdown", data} of its final event. phases has the phases of the server, each once in a
// row, and "gone" while it doesn't answer.
window.lastcall = { ws: [], events: [], phases: [] };

export const $ = (id) => document.getElementById(id);
export const seconds = (ms) => (ms / 1000).toFixed(1) + " s";
export const size = (n) => n < 1048576 ? Math.round(n / 1024) + " KiB" : (n / 1048576).toFixed(1) + " MiB";
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// stream shows the state of the WebSocket or of the EventSource in its box.
export function stream(id, state, text) {
  $(id).dataset.state = state;
  $(id).lastElementChild.textContent = text;
}

// note sets a line of text; look is "good", "warn", "bad" or nothing.
export function note(id, text, look = "") {
  $(id).className = `note ${look}`;
  $(id).textContent = text;
}
