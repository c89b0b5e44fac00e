// Two finite responses: an answer that types itself, and a download.
import { $, note, size } from "/web/common.js";
import { askNow, phase } from "/web/server.js";

// refusal says why a request got nothing.
const refusal = () => phase() === "gone" ? "refused: there is no server" : "refused: the server is draining";

// An EventSource that closes itself when the answer is done: one that came back would ask again.
$("ask").onclick = () => {
  const source = new EventSource("/answer?tokens=100&delay=100ms");
  let tokens = 0;
  const end = (look, text) => {
    source.close();
    $("ask").disabled = false;
    $("answer").className = "";
    note("answered", text, look);
  };
  $("ask").disabled = true;
  $("answer").textContent = "";
  $("answer").className = "typing";
  note("answered", "typing");
  source.onmessage = (e) => {
    tokens++;
    $("answer").append(JSON.parse(e.data).token);
    $("answer").scrollTop = $("answer").scrollHeight;
  };
  source.addEventListener("done", (e) => end("good", `done: all ${JSON.parse(e.data).tokens} tokens`));
  source.onerror = () => tokens ? end("bad", `broken off after ${tokens} tokens`) : end("warn", refusal());
  askNow();
};

$("fetch").onclick = async () => {
  let n = 0;
  $("fetch").disabled = true;
  $("bar").value = 0;
  note("got", "asking");
  try {
    const res = await fetch("/download?bytes=10485760&rate=1048576");
    askNow();
    if (res.status === 503) {
      const after = res.headers.get("Retry-After");
      note("got", refusal() + (after ? `; it says to come back in ${after} s` : ""), "warn");
    } else if (!res.ok) {
      throw new Error(`${res.status} ${res.statusText}`);
    } else {
      const whole = Number(res.headers.get("Content-Length"));
      for (const reader = res.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        n += value.length;
        $("bar").value = n / whole;
        note("got", `${size(n)} of ${size(whole)}`);
      }
      note("got", `whole: ${size(n)}`, "good");
    }
  } catch (err) {
    if (n) note("got", `broken off after ${size(n)}: ${err.message}`, "bad");
    else note("got", phase() === "gone" ? refusal() : `nothing came: ${err.message}`, "bad");
  }
  $("fetch").disabled = false;
};
