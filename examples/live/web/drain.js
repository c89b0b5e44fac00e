// The drain as operators see it: the page of the package middleware/status, which the server has at
// /drain, as a part of this page. Alone it keeps itself up to date by an event stream. Here it is
// asked for together with the server's state, over the same connection: a browser has no more than
// six for all tabs, and the streams of this page take most of them.
import { $ } from "/web/common.js";

const root = $("drain").attachShadow({ mode: "open" }); // in which its styles stay

export async function showDrain() {
  const res = await fetch("/drain?limit=5", { cache: "no-store", headers: { Accept: "text/html" }, signal: AbortSignal.timeout(2000) });
  if (!res.ok) throw new Error(res.statusText);
  const page = new DOMParser().parseFromString(await res.text(), "text/html");
  let main = root.querySelector("main");
  if (!main) {
    const style = document.createElement("style");
    style.textContent = page.querySelector("style").textContent.replaceAll(":root", ":host") + "h1 { font-size: 1.2rem; }";
    main = document.createElement("main");
    root.append(style, main);
    $("alone").href = "/drain";
  }
  const open = [...root.querySelectorAll("details")].map((d) => d.open);
  main.innerHTML = page.querySelector("main").innerHTML;
  root.querySelectorAll("details").forEach((d, i) => { d.open = open[i]; });
}
