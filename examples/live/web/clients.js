// More clients at the push of a button, each a dot: WebSockets of this page that hear the chat. They
// are as real as the chat above, and do what a client should: come back when they were told to. A
// browser has six connections to an HTTP/1 server for everything else, but Chromium has 255 for
// WebSockets. (Firefox has 200, the chat's own among them.)
import { $, seconds } from "/web/common.js";

const many = 200;
const url = location.origin.replace(/^http/, "ws") + "/ws";
const states = ["open", "told", "ended", "back", "waiting", "lost"];
const told = []; // for how many ms each was told to stay away, in the drain that goes on

class Client {
  constructor(dot) {
    this.dot = dot;
    this.attempts = 0; // to connect, in a row, that failed
  }

  is(state, title = state) {
    this.dot.dataset.state = state;
    this.dot.title = title;
    draw();
  }

  connect(again) {
    this.is(again ? this.dot.dataset.state : "connecting");
    const socket = this.socket = new WebSocket(url);
    let opened = false, retry = null;
    socket.onopen = () => {
      opened = true;
      this.attempts = 0;
      this.is(again ? "back" : "open");
    };
    socket.onmessage = (e) => {
      const m = JSON.parse(e.data);
      if (m.type !== "bye") return;
      retry = m.retry;
      if (!document.querySelector("#dots [data-state=told], #dots [data-state=ended]")) told.length = 0;
      told.push(retry);
      this.is("told", `told to come back in ${seconds(retry)}`);
    };
    socket.onclose = () => {
      if (socket !== this.socket) return; // it was closed by the button
      const guess = Math.min(5000, 500 * 2 ** this.attempts++) * (0.5 + Math.random());
      if (retry !== null) this.is("ended", this.dot.title);
      else if (opened) this.is("lost", "lost without a word");
      else this.is("waiting", "the server isn't back yet");
      this.timer = setTimeout(() => this.connect(true), retry ?? guess);
    };
  }

  close() {
    clearTimeout(this.timer);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.is("", "");
  }
}

const clients = Array.from({ length: many }, () => new Client($("dots").appendChild(document.createElement("i"))));
let running = false;

$("many").onclick = () => {
  running = !running;
  told.length = 0;
  $("many").textContent = running ? "Close them" : `Open ${many} clients`;
  for (const c of clients) running ? c.connect(false) : c.close();
};

// draw counts the dots, once for all that change at a time.
let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    for (const state of states) {
      const n = $("dots").querySelectorAll(`[data-state=${state}]`).length;
      $("legend").querySelector(`[data-state=${state}] b`).textContent = n;
    }
    $("windows").textContent = told.length
      ? `${told.length} were told to come back, each at its own time: in ${seconds(Math.min(...told))} to ${seconds(Math.max(...told))}.`
      : "Each is a WebSocket of this page in the chat. Drain, or shed half, and watch.";
  }, 50);
}
