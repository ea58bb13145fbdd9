// Keeps an open page current: asks for it again and replaces the parts that have changed.
"use strict";
// MLflow's clients print addresses of their own server's pages.
const meant = location.hash.match(/^#(\/experiments\/\d+(\/runs\/[\w-]+)?)$/);
if (meant) location.replace(meant[1]);
const EVERY_MS = 3000;
let tag = null;

async function refresh() {
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
      document.body.classList.toggle("stale", !(answer.ok || answer.status === 304));
      if (answer.ok) {
        tag = answer.headers.get("ETag");
        replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
    } catch {
      document.body.classList.add("stale");
    }
  }
  setTimeout(refresh, EVERY_MS);
}

function replace(page) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const now = page.querySelector(`[data-live="${part.dataset.live}"]`);
    // What a reader has opened stays open.
    const open = [...part.querySelectorAll("details[open]")].map((each) => each.dataset.key);
    if (!now) continue;
    for (const each of now.querySelectorAll("details")) each.open = open.includes(each.dataset.key);
    if (now.innerHTML !== part.innerHTML) part.replaceWith(document.adoptNode(now));
  }
}

setTimeout(refresh, EVERY_MS);
