// The server's own state. It is asked at an address that no drain refuses, several times a second
// while it drains, so that the page can show the drain while it goes on.
import { $, note, seconds, sleep } from "/web/common.js";
import { showDrain } from "/web/drain.js";

const pace = { calm: 500, draining: 150, gone: 500 }; // ms between two questions
const meanings = {
  serving: "All is well. Press Drain here, or Ctrl-C where the server runs.",
  announcing: "Not ready any more, but still serving, so that load balancers look elsewhere.",
  draining: "Streams are told when to come back. What ends by itself may finish. New requests are refused.",
  canceling: "Streams that were told are ended now. What ends by itself may still finish. New requests are refused.",
  cutting: "What didn't end when it was canceled has its connection closed.",
  done: "Nothing is open any more.",
};
const titles = { announcing: "Announcing", draining: "Draining", canceling: "Canceling", cutting: "Cutting", done: "Drained" };

let last = null; // the last status that the server sent
let seen = 0; // when
let replaced = ""; // said for as long as a new process has come in the place of another
let answered = ["\u00a0", ""]; // what the last button came to, and its look; shown while serving
let hurry = () => {}; // asks now

// phase returns "serving", "announcing", …, "done", or "gone" while the server doesn't answer.
export const phase = () => $("server").dataset.phase;

// askNow has the status asked for at once: something happened.
export const askNow = () => hurry();

function enter(name) {
  $("server").dataset.phase = name;
  if (window.lastcall.phases.at(-1) !== name) window.lastcall.phases.push(name);
}

function show(s) {
  if (last && last.started !== s.started) {
    replaced = `A new process has taken over, started at ${new Date(s.started).toLocaleTimeString()}. `;
  }
  const draining = s.phase !== "serving";
  if (draining) replaced = "";
  [last, seen] = [s, performance.now()];
  enter(s.phase);
  delete $("server").dataset.stale;

  const bare = s.by !== "lastcall";
  $("phase").textContent = draining ? titles[s.phase] ?? s.phase : "Serving";
  if (!draining) $("left").textContent = bare ? "with net/http alone" : `${s.budget / 1000} s to drain`;
  else if (s.phase === "done") $("left").textContent = "";
  else $("left").textContent = `${seconds(s.left)} left of ${s.budget / 1000} s`;
  $("time").style.width = s.phase === "done" ? "0" : `${100 * s.left / s.budget}%`;

  for (const dd of document.querySelectorAll("[data-kind]")) {
    dd.textContent = s.open[dd.dataset.kind];
    if (draining) {
      const of = document.createElement("small");
      of.textContent = ` of ${s.found[dd.dataset.kind]}`;
      dd.append(of);
    }
  }
  note("meaning", meaning(s, bare));
  const outcomes = (s.ended ?? []).filter((o) => o.count > 0).map((o) => `${o.count} ${o.outcome}`);
  if (draining) note("outcomes", `So far: ${outcomes.join(", ") || "nothing has ended"}.`);
  else note("outcomes", ...answered);

  $("operator").hidden = $("drain").parentElement.hidden = bare;
  const usable = { drain: !draining, shed: !draining, resume: draining && !s.final };
  for (const button of $("operator").children) button.disabled = !usable[button.value];
}

function meaning(s, bare) {
  if (bare) return replaced + "Started with -bare: when it stops, nobody is told, and nothing here can show it.";
  if (s.phase === "done" && !s.final) return "Nothing is open any more. Requests are refused until the drain is taken back.";
  return replaced + (meanings[s.phase] ?? "");
}

function showGone() {
  enter("gone");
  $("server").dataset.stale = "";
  $("phase").textContent = last ? "Gone" : "Not there";
  $("left").textContent = last ? `for ${seconds(performance.now() - seen)}` : "";
  $("time").style.width = "0";
  const ended = last && last.phase !== "serving";
  note("meaning", (ended ? "The server has ended. " : "The server doesn't answer. ") +
    `Start it again: this page asks twice a second. ${last ? "The figures are the last that it sent." : ""}`);
  for (const button of $("operator").children) button.disabled = true;
}

async function watch() {
  for (;;) {
    let pause = pace.calm;
    try {
      const res = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(2000) });
      if (!res.ok) throw new Error(res.statusText);
      const s = await res.json();
      show(s);
      if (s.by === "lastcall") await showDrain().catch(() => {}); // it is asked again soon
      if (s.phase !== "serving") pause = pace.draining;
    } catch {
      showGone();
      pause = pace.gone;
    }
    await Promise.race([sleep(pause), new Promise((resolve) => { hurry = resolve; })]);
  }
}

// What an operator can do while the server runs.
$("operator").onclick = async ({ target }) => {
  if (!target.value) return;
  answered = [target.value === "shed" ? "shedding half of the streams" : "asking", ""];
  askNow();
  try {
    const res = await fetch("/operator/" + target.value, { method: "POST" });
    answered = [(await res.text()).trim(), res.ok ? "" : "bad"];
  } catch (err) {
    answered = [err.message, "bad"];
  }
  askNow();
};

watch();
