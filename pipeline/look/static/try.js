// The page to try a model: a file, what is dropped or pasted, or a name of this machine.
"use strict";

const ask = $("ask");
let last = null, chosen = "";

async function send(content) {
  const query = new URLSearchParams({ model: ask.elements.model.value, threshold: chosen });
  if (content.named) query.set("named", content.named);
  last = content;
  const button = ask.querySelector("button[type=submit]");
  button.disabled = true;
  $("waiting").textContent = "The model is asked; the first time it is loaded, which takes some seconds …";
  $("waiting").hidden = false;
  const answer = await attempt(() => api("/api/try?" + query, { method: "POST", body: content.body || "" }));
  $("waiting").hidden = true;
  button.disabled = false;
  if (answer) show(answer);
}

function show(answer) {
  $("answer").hidden = false;
  ask.elements.threshold.value = answer.threshold;
  $("from").textContent = Number(answer.threshold).toFixed(2);
  const objects = answer.found.objects, best = answer.best;
  const count = !objects ? "" : `${objects.length} found from score ${answer.threshold.toFixed(2)} on` + (best === null ? "" : `, the best has ${best.toFixed(2)}`) + ". ";
  const listed = words(answer.found, answer.about).join(", ");
  const texts = Object.keys(answer.files).length ? answer.said : listed || answer.said;
  $("said").textContent = `${count}${texts} — ${answer.took_ms} ms, by ${answer.by}`;
  $("drawn").replaceChildren(answer.width ? picture(answer.picture, "the picture that was asked about", answer, [[answer.found, { answer: true, large: true }]], answer.about) : el("p", {}, texts));
  $("files").replaceChildren(...Object.entries(answer.files).map(([name, source]) => el("img", { src: source, alt: name, class: "made" })));
  $("line").textContent = JSON.stringify(answer.line, null, 1).slice(0, 20000);
  $("copies").replaceChildren(...Object.entries(answer.lines).map(([name, text]) => {
    const button = el("button", { type: "button", "aria-label": `Copy the ${name} lines`, onclick: async () => {
      await navigator.clipboard.writeText(text).catch(() => getSelection().selectAllChildren(button.previousSibling));
      button.textContent = "copied";
    } }, "copy");
    return el("div", { class: "copy" }, el("pre", {}, text), button);
  }));
  document.body.dataset.ready = "yes";
}

if (ask) {
  document.body.dataset.ready = "0";
  const drop = $("drop"), file = $("file");
  const fit = () => { // what the model that is chosen takes
    const kind = ask.elements.model.selectedOptions[0].dataset.kind;
    for (const part of ask.querySelectorAll("[data-for]")) {
      part.hidden = !part.dataset.for.split(" ").includes(kind);
      if (part.hidden) for (const field of part.querySelectorAll("input, textarea")) field.value = "";
    }
  };
  ask.elements.model.addEventListener("change", fit);
  fit();
  ask.addEventListener("submit", (event) => {
    event.preventDefault();
    const named = ask.elements.named.value.trim(), sentence = ask.elements.sentence.value.trim();
    if (named) send({ named });
    else if (sentence) send({ body: sentence });
    else if (file.files[0]) send({ body: file.files[0] });
    else tell("Drop a picture, choose a file, or name one of this machine.");
  });
  file.addEventListener("change", () => {
    ask.elements.named.value = "";
    if (file.files[0]) send({ body: file.files[0] });
  });
  for (const kind of ["dragover", "dragenter"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [dropped] = event.dataTransfer.files;
    if (dropped) send({ body: dropped });
    else if (event.dataTransfer.getData("text")) send({ named: event.dataTransfer.getData("text").trim() });
  });
  addEventListener("paste", (event) => {
    const [pasted] = event.clipboardData.files;
    if (pasted) send({ body: pasted });
  });
  ask.elements.threshold.addEventListener("change", ({ target }) => {
    chosen = target.value;
    if (last) send(last);
  });
  ask.elements.threshold.addEventListener("input", ({ target }) => { $("from").textContent = Number(target.value).toFixed(2); });
  ask.elements.model.addEventListener("change", () => { chosen = ""; });
  for (const box of document.querySelectorAll("#layers input"))
    box.addEventListener("change", () => document.body.classList.toggle("off-" + box.value, !box.checked));
}
