// The page of data: what the filters let through, histograms whose bars are filters, one record.
"use strict";

const form = $("filters");
const HISTOGRAMS = { class: "Classes", size: "Object size, px", side: "Picture's longer side, px", count: "Objects in a picture", split: "Splits" };
const SHOWN = { duplicates: { duplicates: "yes" }, alike: { alike: "yes" }, copies: { copies: "yes" }, originals: { copies: "no" } };
let state = asked(), turn = 0;

const grid = new Grid($("grid"), (row, about) => [
  picture(row.thumb, row.id, row.truth, [[row.truth, {}]], about),
  caption(row, textsOf(words(row.truth, about))),
], async (row) => {
  const one = await api(`/api/record/${row.picture.split("/")[2]}/${row.row}`);
  const pictured = picture(one.picture, one.id, one.truth, [[one.truth, { large: true }]], one.about);
  const augmented = el("div", { class: "augmented" });
  const button = el("button", { type: "button", onclick: async () => {
    button.disabled = true;
    augmented.replaceChildren(el("p", { class: "waiting", role: "status" }, "TensorFlow is loaded and the picture augmented: some seconds"));
    try {
      const made = await api(`/api/augmented/${row.picture.split("/")[2]}/${row.row}`);
      augmented.replaceChildren(...made.pictures.map((png) => el("img", { src: "data:image/png;base64," + png, alt: "the picture as training sees it, several times" })));
    } catch (error) {
      augmented.replaceChildren(el("p", { class: "message" }, error.message));
    }
    button.disabled = false;
  } }, "What augmentation makes of it");
  return el("div", {}, el("div", { class: "closely" }, pictured, el("div", {}, facts(one.facts), ...foundList("In it", one.truth, one.about.labels, one.about), button)), augmented);
});

function shownName() {
  if (state.rejected) return "rejected";
  return Object.entries(SHOWN).find(([, values]) => Object.entries(values).every(([k, v]) => state[k] === v))?.[0] || "";
}

function fill() {
  for (const name of ["find", "records"]) if (form.elements[name]) form.elements[name].value = state[name] || (name === "records" ? form.elements[name].options[0].value : "");
  form.elements.size.value = ["small", "medium", "large"].includes(state.size) ? state.size : "";
  form.elements.show.value = shownName();
}

async function load() {
  const mine = ++turn;
  fill();
  if (state.rejected) return rejected(mine);
  const found = await api("/api/data?" + new URLSearchParams(state), {}, () => mine === turn);
  if (mine !== turn) return;
  $("count").textContent = `${found.total.toLocaleString("en")} of ${found.of.toLocaleString("en")} records, ${found.took_ms} ms`;
  pager($("pager"), found.page, found.pages, (page) => change({ page }));
  grid.show(found.rows, found.about);
  histograms(found);
  chips(found);
  document.body.dataset.ready = String(mine);
}

function histograms(found) {
  $("histograms").replaceChildren(...Object.entries(HISTOGRAMS).filter(([name]) => (found.histograms[name] || []).length).map(([name, title]) => {
    const most = Math.max(...found.histograms[name].map(([, n]) => n));
    return el("section", { class: "histogram" }, el("h3", {}, title), el("ol", {}, ...found.histograms[name].map(([value, n]) => {
      const word = name === "class" ? found.about.labels[value] ?? value : value;
      const on = state[name] === value;
      return el("li", {}, el("button", {
        type: "button", "aria-pressed": String(on), vars: { "--part": `${(100 * n) / most}%` }, "data-filter": `${name}=${value}`,
        title: String(word), onclick: () => change({ [name]: on ? "" : value }),
      }, el("span", {}, String(word)), el("span", {}, n.toLocaleString("en"))));
    })));
  }));
}

function chips(found) {
  const labels = found.about.labels.length ? found.about.labels : found.about.map_labels;
  const present = found.histograms.class.slice(0, 60).map(([k]) => Number(k));
  $("classes").replaceChildren(...present.map((k) => {
    const chip = el("button", { type: "button", class: "chip", "aria-pressed": String(!hidden.has(k)), vars: { "--class": color(k) }, onclick: () => {
      hidden[hidden.has(k) ? "delete" : "add"](k);
      chip.setAttribute("aria-pressed", String(!hidden.has(k)));
      hideClasses();
    } }, labels[k] ?? String(k));
    return chip;
  }));
  hideClasses();
}

async function rejected(mine) {
  const query = new URLSearchParams({ records: state.records || "", reason: state.reason || "" });
  const found = await api("/api/rejected?" + query, {}, () => mine === turn);
  if (mine !== turn) return;
  const total = Object.values(found.reasons).reduce((a, b) => a + b, 0);
  $("count").textContent = `${total.toLocaleString("en")} rejected by the ingest` + (found.rows.length === found.most ? `, the first ${found.most} are listed` : "");
  $("pager").replaceChildren();
  $("classes").replaceChildren();
  const most = Math.max(...Object.values(found.reasons), 1);
  $("histograms").replaceChildren(el("section", { class: "histogram" }, el("h3", {}, "Reasons"), el("ol", {}, ...Object.entries(found.reasons).map(([reason, n]) => {
    const on = state.reason === reason;
    return el("li", {}, el("button", { type: "button", "aria-pressed": String(on), vars: { "--part": `${(100 * n) / most}%` }, onclick: () => change({ reason: on ? "" : reason }) }, el("span", {}, reason), el("span", {}, String(n))));
  }))));
  $("grid").replaceChildren(...found.rows.map((row) => el("div", { role: "listitem", class: "cell" }, el("span", { class: "caption" }, el("b", {}, row.source_id), ` ${row.split || ""}: ${row.reason}`, el("br"), row.detail))));
  document.body.dataset.ready = String(mine);
}

function change(values) {
  state = { ...state, page: "", ...values };
  state = Object.fromEntries(Object.entries(state).filter(([, v]) => v !== "" && v !== undefined));
  remember(state);
  attempt(load);
}

let pause;
form.addEventListener("input", (event) => {
  if (event.target.name !== "find") return;
  clearTimeout(pause);
  pause = setTimeout(() => change({ find: event.target.value }), 200);
});
form.addEventListener("change", ({ target }) => {
  if (target.name === "find") return;
  if (target.name === "show") return change({ duplicates: "", alike: "", copies: "", rejected: target.value === "rejected" ? "yes" : "", reason: "", ...(SHOWN[target.value] || {}) });
  change({ [target.name]: target.value });
});
form.addEventListener("submit", (event) => event.preventDefault());
$("clear").addEventListener("click", () => {
  const records = state.records;
  state = {};
  change({ records });
});
addEventListener("popstate", () => {
  state = asked();
  attempt(load);
});
if (matchMedia("(max-width: 760px)").matches) $("side").open = false;
attempt(load);
