// The page of results: tables that move with the threshold, and the pictures behind each of them.
"use strict";

const choice = $("choice");
let state = asked(), meta = null, turn = 0;
const CHOICES = ["kind", "cell", "bin", "side"];
const nothing = (k, labels) => (k < 0 ? "nothing" : labels[k] ?? String(k));

// Truth and answer in one picture, two answers in two; label maps, which cover it, each in its own.
function beside(row, about, drawn, truth, how) {
  const answers = [row.found, row.other].filter(Boolean);
  const pictures = row.found.map
    ? [drawn([truth]), ...answers.map((found) => drawn([[found, how]]))]
    : answers.map((found) => drawn([truth, [found, how]]));
  return pictures.length > 1 ? el("span", { class: "pair" }, ...pictures) : pictures[0];
}

const cellOf = (row, about) => {
  const size = row.truth, truth = [row.truth, { answer: false }];
  const pictures = beside(row, about, (parts) => picture(row.thumb, row.id, size, parts, about), truth, { answer: true });
  const labels = about.answer_labels || about.labels;
  const said = [...new Set((row.errors || []).map(([kind, t, s]) => `${kind}${t < 0 && s < 0 ? "" : `: ${nothing(t, labels)}${s >= 0 ? ` taken for ${nothing(s, labels)}` : ""}`}`))].slice(0, 3);
  const amount = row.then === undefined ? row.amount : `${row.amount} → ${row.then}`;
  return [pictures, caption(row, amount === undefined ? "" : `, badness ${amount}`, textsOf(words(row.found, { ...about, labels })), ...said.map((text) => el("span", { class: "wrong" }, el("br"), text)))];
};

const grid = $("grid") && new Grid($("grid"), cellOf, async (row, about) => {
  const labels = about.answer_labels || about.labels;
  const truth = [row.truth, { answer: false, large: true }];
  const large = beside(row, about, (parts) => picture(row.picture, row.id, row.truth, parts, about), truth, { answer: true, large: true });
  const errors = (row.errors || []).map(([kind, t, s]) => el("li", {}, kind + (t < 0 && s < 0 ? "" : `: truth ${nothing(t, labels)}, said ${nothing(s, labels)}`)));
  const lists = [...foundList("Truth", row.truth, about.labels, about), ...foundList("Answer", row.found, labels, about), ...(row.other ? foundList("Answer beside", row.other, labels, about) : [])];
  if (errors.length) lists.push(el("h2", {}, "Errors"), el("ul", { class: "found" }, ...errors));
  return el("div", { class: "closely" }, large, el("div", {}, ...lists));
});

async function start() {
  if (!choice) return;
  const mine = ++turn;
  if (state.evaluation) choice.elements.evaluation.value = state.evaluation;
  choice.elements.other.value = state.other || "";
  meta = await api("/api/results?evaluation=" + encodeURIComponent(state.evaluation || ""), {}, () => mine === turn);
  if (mine !== turn) return;
  $("verdict").textContent = `${meta.network}, ${meta.task}: ${meta.verdict}`;
  $("metrics").replaceChildren(facts(Object.fromEntries(Object.entries(meta.metrics).map(([k, v]) => [k, number(v)]))));
  $("tables").classList.toggle("bare", !meta.judged);
  for (const id of ["threshold-label", "bins-part", "curve-part", "cells-part", "worst"]) $(id).hidden = !meta.judged;
  $("kinds").parentElement.hidden = !meta.judged;
  choice.elements.threshold.value = state.threshold ?? meta.threshold;
  await move();
}

const threshold = () => choice.elements.threshold.value;

async function move() {
  $("from").textContent = Number(threshold()).toFixed(2);
  if (meta.judged) tables(await api(`/api/results/at?evaluation=${meta.evaluation}&threshold=${threshold()}`));
  await pictures();
}

function tables(told) {
  const most = Math.max(1, told.right, ...Object.values(told.kinds));
  const row = (name, n, kind) => el("button", { type: "button", class: kind, "aria-pressed": String(state.kind === name), disabled: kind === "right", onclick: () => pick({ kind: name }), "data-kind": name },
    el("span", {}, name), el("span", { class: "amount", vars: { "--part": `${(100 * n) / most}%` } }), el("span", { class: "number" }, n.toLocaleString("en")));
  $("kinds").replaceChildren(el("div", { class: "rows" }, ...Object.entries(told.kinds).map(([name, n]) => row(name, n, "")), row("right", told.right, "right")),
    el("p", { class: "hint" }, `${told.faulty.toLocaleString("en")} of ${told.pictures.toLocaleString("en")} pictures have an error`));
  $("bins-part").hidden = $("threshold-label").hidden = !told.bins;
  if (told.bins) $("bins").replaceChildren(scoreBins(told.bins, pick));
  $("curve-part").hidden = !meta.curve.length;
  $("curve").replaceChildren(precisionRecall(meta.curve, Number(threshold()), (value) => { choice.elements.threshold.value = value; moved(); }));
  $("cells-part").hidden = !told.cells.cells.length;
  $("cells").replaceChildren(told.cells.all ? matrix(told.cells.cells) : pairs(told.cells.cells));
}

function matrix(cells) {
  const used = [...new Set(cells.flatMap(([t, s]) => [t, s]))].sort((a, b) => (a < 0) - (b < 0) || a - b);
  const at = new Map(cells.map(([t, s, n]) => [`${t},${s}`, n]));
  const most = Math.max(...cells.filter(([t, s]) => t !== s).map(([, , n]) => n), 1e-9), best = Math.max(...cells.filter(([t, s]) => t === s).map(([, , n]) => n), 1e-9);
  const cell = (t, s) => {
    const n = at.get(`${t},${s}`);
    if (n === undefined) return el("td", {});
    const part = Math.sqrt(n / (t === s ? best : most)) * 60;
    return el("td", { class: t === s ? "own" : "", vars: { "--part": `${part}%` } }, el("button", {
      type: "button", "data-cell": `${t},${s}`, "aria-pressed": String(state.cell === `${t},${s}`), onclick: () => pick({ cell: `${t},${s}` }),
      "aria-label": `${nothing(t, meta.labels)} taken for ${nothing(s, meta.labels)}: ${n}`,
    }, Number.isInteger(n) ? String(n) : n.toPrecision(2)));
  };
  return el("table", { class: "matrix" }, el("caption", { class: "hint" }, "rows: truth, columns: answer"),
    el("thead", {}, el("tr", {}, el("td", {}), ...used.map((s) => el("th", { scope: "col", title: nothing(s, meta.labels) }, nothing(s, meta.labels))))),
    el("tbody", {}, ...used.map((t) => el("tr", {}, el("th", { scope: "row", title: nothing(t, meta.labels) }, nothing(t, meta.labels)), ...used.map((s) => cell(t, s))))));
}

function pairs(cells) {
  return el("table", {}, el("tbody", {}, ...cells.map(([t, s, n]) => el("tr", {}, el("td", {}, el("button", { type: "button", "data-cell": `${t},${s}`, onclick: () => pick({ cell: `${t},${s}` }) }, `${nothing(t, meta.labels)} taken for ${nothing(s, meta.labels)}`)), el("td", { class: "num" }, number(n))))));
}

async function pictures() {
  const mine = ++turn;
  const chosen = Object.fromEntries(CHOICES.filter((name) => state[name]).map((name) => [name, state[name]]));
  const two = state.other && meta.judged;
  const query = new URLSearchParams({ evaluation: meta.evaluation, threshold: threshold(), page: state.page || 1, ...(two ? { other: state.other } : chosen) });
  const found = await api(`/api/results/${two ? "compared" : "pictures"}?${query}`, {}, () => mine === turn);
  if (mine !== turn) return;
  $("grid").classList.toggle("large", found.rows.some((row) => row.other || (row.found && row.found.map)));
  $("count").textContent = two
    ? `${found.total} pictures changed: ${found.better} better, ${found.worse} worse, ${found.same} as before; most changed first. Left: ${found.names[0]}. Right: ${found.names[1]}`
    : `${found.total.toLocaleString("en")} pictures` + (meta.judged ? `: ${what()}, worst first` : ", in the order of the records");
  pager($("pager"), found.page, found.pages, (page) => { state = { ...state, page }; remember(state); attempt(pictures); });
  grid.show(found.rows, found.about);
  document.body.dataset.ready = String(mine);
}

function what() {
  if (state.cell) { const [t, s] = state.cell.split(",").map(Number); return `${nothing(t, meta.labels)} taken for ${nothing(s, meta.labels)}`; }
  if (state.bin) return `${state.side || "answers"} with a score of ${state.bin}`;
  return state.kind ? `errors of kind “${state.kind}”` : "any error";
}

function pick(values) {
  const kept = Object.fromEntries(Object.entries(state).filter(([name]) => !CHOICES.includes(name) && name !== "page"));
  state = { ...kept, ...values, other: "" };
  remember(state);
  choice.elements.other.value = "";
  attempt(move).then(() => $("chosen").scrollIntoView({ block: "start" }));
}

function moved() {
  state = { ...state, threshold: threshold(), page: "" };
  remember(state, true);
  attempt(move);
}

let pause;
if (choice) {
  choice.addEventListener("input", ({ target }) => {
    if (target.name !== "threshold") return;
    $("from").textContent = Number(target.value).toFixed(2);
    clearTimeout(pause);
    pause = setTimeout(moved, 150);
  });
  choice.addEventListener("change", ({ target }) => {
    if (target.name === "threshold") return;
    state = target.name === "evaluation" ? { evaluation: target.value } : { ...state, other: target.value, page: "" };
    remember(state);
    attempt(target.name === "evaluation" ? start : pictures);
  });
  choice.addEventListener("submit", (event) => event.preventDefault());
  $("worst").addEventListener("click", () => pick({}));
  addEventListener("popstate", () => { state = asked(); attempt(start); });
}
attempt(start);
