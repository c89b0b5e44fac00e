// Chat, over a WebSocket. The server says when to come back: in its last message, and in the reason
// of its close frame. What is sent is kept until the server has repeated it to all.
import { $, seconds, stream } from "/web/common.js";
import { askNow } from "/web/server.js";

const lineLimit = 200; // in the log
const outboxLimit = 50;

let socket;
let opened = false; // this socket has been open
let comeBackIn = null; // ms, as the server said in its last message
let told = ""; // how the server said so; empty: it has not
let attempts = 0; // to connect, in a row, that failed
let myName = "";
let outbox = JSON.parse(sessionStorage.getItem("outbox") ?? "[]"); // survives a reload, too

function connect() {
  comeBackIn = null;
  opened = false;
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws");
  socket.onopen = () => {
    opened = true;
    attempts = 0;
    stream("ws", "open", told ? `open again, after it was ${told}` : "open");
    told = "";
  };
  socket.onmessage = (e) => hear(JSON.parse(e.data));
  socket.onclose = (e) => {
    window.lastcall.ws.push({ code: e.code, reason: e.reason, wasClean: e.wasClean });
    askNow();
    drawOutbox();
    comeBackIn ??= Number(/retry=(\d+)/.exec(e.reason)?.[1] ?? NaN);
    if (comeBackIn >= 0) {
      told = `told to come back: code ${e.code}, “${e.reason}”`;
      addLine(null, `The server is stopping; back in ${seconds(comeBackIn)}.`);
      reconnect(comeBackIn, "told", (left) => `${told}; back in ${left}`);
      return;
    }
    // Nobody said when, so every client has to guess, each for itself.
    const guess = Math.min(5000, 500 * 2 ** attempts++) * (0.5 + Math.random());
    if (opened) {
      addLine(null, "The connection is lost.");
      reconnect(guess, "lost", (left) => `lost without a close frame (${e.code}), trying again in ${left}`);
    } else {
      reconnect(guess, "waiting", (left) => `server not back yet, trying again in ${left}`);
    }
  };
}

function reconnect(delay, state, text) {
  const due = performance.now() + delay;
  const show = () => stream("ws", state, text(seconds(Math.max(0, due - performance.now()))));
  show();
  const ticking = setInterval(show, 100);
  setTimeout(() => { clearInterval(ticking); connect(); }, delay);
}

function hear(m) {
  switch (m.type) {
  case "welcome":
    $("log").replaceChildren();
    for (const l of m.history) {
      addLine(l.from, l.text);
      if (l.from === myName) acknowledge(l.text);
    }
    myName = m.name;
    addLine(null, `You are ${m.name}.`);
    outbox.forEach((text) => socket.send(text));
    drawOutbox();
    break;
  case "say":
    if (m.from === myName) acknowledge(m.text);
    addLine(m.from, m.text);
    break;
  case "bye":
    comeBackIn = m.retry;
    askNow();
    break;
  }
}

// acknowledge removes from the outbox what the server has repeated.
function acknowledge(text) {
  const i = outbox.indexOf(text);
  if (i < 0) return;
  outbox.splice(i, 1);
  drawOutbox();
}

// drawOutbox shows, while there is no connection, what is kept.
function drawOutbox() {
  sessionStorage.setItem("outbox", JSON.stringify(outbox));
  document.querySelectorAll("#log .pending").forEach((li) => li.remove());
  const offline = socket.readyState !== WebSocket.OPEN;
  if (offline) outbox.forEach((text) => addLine("you", text, "pending"));
}

function addLine(from, text, look = "") {
  const log = $("log"), li = document.createElement("li");
  li.className = from ? look : "sys";
  if (from) {
    const b = document.createElement("b");
    b.textContent = from;
    li.append(b);
  }
  li.append(text);
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const pending = look ? null : log.querySelector(".pending");
  log.insertBefore(li, pending);
  while (log.childElementCount > lineLimit) log.firstElementChild.remove();
  if (following) log.scrollTop = log.scrollHeight;
}

$("say").onsubmit = (e) => {
  e.preventDefault();
  const text = $("text").value;
  if (!text || outbox.length >= outboxLimit) return;
  $("text").value = "";
  outbox.push(text);
  if (socket.readyState === WebSocket.OPEN && myName) socket.send(text);
  drawOutbox();
};

connect();
drawOutbox();
