// What every page needs: elements without innerHTML, questions to the server, one place for errors.
"use strict";

function el(tag, attributes = {}, ...children) {
  const made = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [k, v] of Object.entries(value)) made.style.setProperty(k, v);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return made;
}

const $ = (id) => document.getElementById(id);

function tell(text) {
  const place = $("message");
  place.textContent = text || "";
  place.hidden = !text;
  if (text) place.scrollIntoView({ block: "nearest" });
}

// One answer in JSON; while the server is still making it, the page says what is made.
async function api(path, options = {}, alive = () => true) {
  const waiting = $("waiting");
  for (;;) {
    let answer, content;
    try {
      answer = await fetch(path, { ...options, headers: { "X-Convoy": "1", ...options.headers } });
      content = await answer.json();
    } catch (error) {
      waiting.hidden = true;
      if (error.name === "AbortError") throw error;
      throw new Error("The server of this page does not answer: is `convoy look` still running?");
    }
    if (answer.status === 202 && alive()) {
      waiting.textContent = content.wait + " …";
      waiting.hidden = false;
      await new Promise((done) => setTimeout(done, 400));
      continue;
    }
    waiting.hidden = true;
    if (!answer.ok) throw new Error(content.error || `the server answered ${answer.status}`);
    return content;
  }
}

// Runs what a person asked for; what goes wrong is told in the page, which stays as it is.
async function attempt(work) {
  try {
    tell("");
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message);
    return undefined;
  }
}

const color = (k) => (k < 0 ? "#888" : `hsl(${(k * 137.508 + 210) % 360} 78% ${k % 2 ? 44 : 56}%)`);

const number = (value) => (typeof value !== "number" ? "–"
  : Number.isInteger(value) ? value.toLocaleString("en")
  : Math.abs(value) < 10 ? value.toFixed(4).replace(/0{1,2}$/, "") : value.toFixed(1));

function pager(place, page, pages, go) {
  place.replaceChildren(
    el("button", { type: "button", disabled: page <= 1, onclick: () => go(page - 1), "aria-label": "Page before" }, "‹"),
    el("span", {}, `page ${page.toLocaleString("en")} of ${pages.toLocaleString("en")}`),
    el("button", { type: "button", disabled: page >= pages, onclick: () => go(page + 1), "aria-label": "Next page" }, "›"),
  );
}

// The address says what is shown: going back, and sending it to somebody, works.
const asked = () => Object.fromEntries(new URLSearchParams(location.search));
function remember(values, replace = false) {
  const kept = Object.entries(values).filter(([, v]) => v !== "" && v !== null && v !== undefined);
  const address = location.pathname + (kept.length ? "?" + new URLSearchParams(kept) : "");
  history[replace ? "replaceState" : "pushState"](null, "", address);
}
