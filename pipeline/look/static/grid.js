// A grid of records that arrow keys move in, and the dialog that shows one of them closely.
"use strict";

class Grid {
  // cell(row, about) -> children of a button; closely(row, about) -> promise of an element
  constructor(place, cell, closely) {
    Object.assign(this, { place, cell, closely, rows: [], about: {}, at: 0 });
    place.addEventListener("keydown", (event) => this.key(event));
    this.dialog = $("closely");
    $("closely-close").addEventListener("click", () => this.dialog.close());
    $("closely-before").addEventListener("click", () => this.open(this.shown - 1));
    $("closely-next").addEventListener("click", () => this.open(this.shown + 1));
    this.dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && event.target.tagName !== "INPUT") this.open(this.shown + step);
    });
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("close", () => this.focus(this.shown)); // the browser goes back to where it began
    for (const box of document.querySelectorAll("#layers input"))
      box.addEventListener("change", () => document.body.classList.toggle("off-" + box.value, !box.checked));
  }

  show(rows, about) {
    Object.assign(this, { rows, about, at: 0 });
    for (const box of document.querySelectorAll("#layers input")) box.parentElement.hidden = about.layers && !about.layers.includes(box.value);
    this.place.replaceChildren(...rows.map((row, n) =>
      el("div", { role: "listitem" }, el("button", {
        type: "button", class: "cell", tabindex: n ? -1 : 0, "data-row": row.row, onclick: () => this.open(n), onfocus: () => this.mark(n),
      }, ...(row.error ? [el("span", { class: "error" }, row.error), caption(row)] : this.cell(row, about))))));
    this.fill();
  }

  // Masks and label maps come when their picture is seen, so that a filter never waits for them.
  fill() {
    if (this.seen) this.seen.disconnect();
    this.seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.seen.unobserve(target);
        this.complete(target, this.rows[this.buttons().indexOf(target)]);
      }
    }, { rootMargin: "200px" });
    this.buttons().forEach((button, n) => this.rows[n].truth && this.rows[n].truth.more && this.seen.observe(button));
  }

  async complete(button, row) {
    try {
      row.truth = await api(`/api/drawn/${row.picture.split("/")[2]}/${row.row}`);
      button.replaceChildren(...this.cell(row, this.about));
      hideClasses();
    } catch (error) { /* the picture itself says what is missing */ }
  }

  buttons() { return [...this.place.querySelectorAll(".cell")]; }

  mark(n) {
    const all = this.buttons();
    if (all[this.at]) all[this.at].tabIndex = -1;
    this.at = n;
    if (all[n]) all[n].tabIndex = 0;
  }

  focus(n) {
    const all = this.buttons();
    if (!all.length) return;
    this.mark(Math.min(Math.max(n, 0), all.length - 1));
    all[this.at].focus();
  }

  key(event) {
    const all = this.buttons(), across = all.filter((b) => b.offsetTop === all[0].offsetTop && b.parentElement.offsetTop === all[0].parentElement.offsetTop).length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, Home: -all.length, End: all.length };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = this.at + steps[event.key];
    if (["Home", "End"].includes(event.key) || (next >= 0 && next < all.length)) this.focus(next);
  }

  async open(n) {
    if (n < 0 || n >= this.rows.length) return;
    this.at = this.shown = n;
    const row = this.rows[n];
    $("closely-name").textContent = row.id;
    $("closely-before").disabled = n === 0;
    $("closely-next").disabled = n === this.rows.length - 1;
    if (!this.dialog.open) this.dialog.showModal();
    const body = $("closely-body");
    try {
      const made = await this.closely(row, this.about);
      if (this.shown === n) body.replaceChildren(made);
    } catch (error) {
      body.replaceChildren(el("p", { class: "message" }, error.message));
    }
  }
}

// Classes that a person switched off, by their number.
const hidden = new Set();

function hideClasses() {
  for (const group of document.querySelectorAll("[data-class]")) group.style.display = hidden.has(Number(group.dataset.class)) ? "none" : "";
  for (const svg of document.querySelectorAll("svg.mapped")) svg.tint();
}

const caption = (row, ...more) =>
  el("span", { class: "caption" }, el("b", {}, row.id), row.split ? ` ${row.split}` : "", row.copy ? ", augmented copy" : "", ...more);

// Classes and sentences under a picture, the first few letters.
function textsOf(texts) {
  const whole = texts.join(", ");
  return whole ? el("span", { class: "layer-lines" }, el("br"), whole.length > 90 ? whole.slice(0, 90) + "…" : whole) : null;
}

function facts(rows) {
  return el("dl", { class: "facts" }, Object.entries(rows).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
}

function foundList(title, shapes, labels, about) {
  const rows = (shapes.objects || []).map((object) => {
    const score = typeof object.score === "number" ? ` ${object.score.toFixed(2)}` : "";
    const marks = (object.marks || []).length ? ` (${object.marks.join(", ")})` : "";
    return el("li", { vars: { "--class": color(object.class ?? 0) } }, `${labels[object.class] ?? "object"}${score}${marks}`);
  });
  const texts = words(shapes, { ...about, labels }).map((text) => el("li", {}, text));
  return [el("h2", {}, title), el("ul", { class: "found" }, ...texts, ...rows, rows.length + texts.length ? null : el("li", {}, "nothing"))];
}
