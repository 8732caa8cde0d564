// Small charts of our own in SVG: bars and lines whose parts can be clicked and reached by Tab.
"use strict";

const WIDE = 420, HIGH = 200, LEFT = 44, BELOW = 30, TOP = 10;

function frame(label, low, high, said = (v) => String(Math.round(v * 100) / 100)) {
  const svg = el("svg:svg", { class: "chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "group", "aria-label": label });
  const y = (v) => HIGH - BELOW - ((v - low) / (high - low || 1)) * (HIGH - BELOW - TOP);
  for (let n = 0; n <= 4; n++) {
    const v = low + ((high - low) * n) / 4;
    svg.append(el("svg:line", { class: "axis", x1: LEFT, x2: WIDE, y1: y(v), y2: y(v) }), el("svg:text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, said(v)));
  }
  return [svg, y];
}

function pressed(name, work) {
  return {
    class: "hit", tabindex: 0, role: "button", "aria-label": name, onclick: work,
    onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); work(); } },
  };
}

// Right and wrong answers by score, side by side; heights are roots, so that few are seen, too.
function scoreBins(bins, choose) {
  const most = Math.max(1, ...bins.right, ...bins.wrong);
  const [svg, y] = frame("Answers by score, right and wrong", 0, Math.sqrt(most), (v) => Math.round(v * v).toLocaleString("en"));
  const count = bins.right.length, step = (WIDE - LEFT) / count, half = (step - 3) / 2;
  for (let i = 0; i < count; i++) {
    ["right", "wrong"].forEach((side, k) => {
      const n = bins[side][i];
      if (!n) return;
      const range = `${bins.edges[i]}-${bins.edges[i + 1]}`, top = y(Math.sqrt(n));
      const bar = el("svg:rect", {
        ...pressed(`${n} ${side}, score ${bins.edges[i]} to ${bins.edges[i + 1]}`, () => choose({ bin: range, side })),
        x: LEFT + i * step + 1 + k * (half + 1), y: top, width: half, height: HIGH - BELOW - top, "data-bin": `${range} ${side}`,
      });
      bar.classList.add(side);
      bar.append(el("svg:title", {}, `${n} ${side}, score ${range}`));
      svg.append(bar);
    });
    if (i % 4 === 0) svg.append(el("svg:text", { x: LEFT + i * step, y: HIGH - 12, "text-anchor": "middle" }, String(bins.edges[i])));
  }
  svg.append(el("svg:text", { x: WIDE, y: HIGH - 12, "text-anchor": "end" }, "1"));
  return el("div", {}, svg, el("ul", { class: "legend" }, el("li", { vars: { "--class": "var(--right)" } }, "right"), el("li", { vars: { "--class": "var(--wrong)" } }, "wrong")));
}

// Points [threshold, precision, recall]; one that is clicked becomes the threshold.
function precisionRecall(points, now, choose) {
  const [svg, y] = frame("Precision over recall", 0, 1);
  const x = (v) => LEFT + v * (WIDE - LEFT - 8);
  svg.append(el("svg:polyline", { class: "line", stroke: "var(--accent)", points: points.map(([, p, r]) => `${x(r)},${y(p)}`).join(" ") }));
  for (const [threshold, p, r] of points) {
    const near = Math.abs(threshold - now) < 0.026;
    const dot = el("svg:circle", { ...pressed(`score ${threshold.toFixed(2)}: precision ${p.toFixed(2)}, recall ${r.toFixed(2)}`, () => choose(threshold)), cx: x(r), cy: y(p), r: near ? 6 : 4, fill: near ? "var(--wrong)" : "var(--accent)" });
    dot.append(el("svg:title", {}, `from ${threshold.toFixed(2)}: precision ${p.toFixed(3)}, recall ${r.toFixed(3)}`));
    svg.append(dot);
  }
  for (const v of [0, 0.25, 0.5, 0.75, 1]) svg.append(el("svg:text", { x: x(v), y: HIGH - 12, "text-anchor": v === 1 ? "end" : "middle" }, String(v)));
  svg.append(el("svg:text", { x: (WIDE + LEFT) / 2, y: HIGH, "text-anchor": "middle" }, "recall"));
  return svg;
}

// series: [{name, values: [number or null]}] over labels.
function lines(labels, series, choose) {
  const all = series.flatMap((s) => s.values).filter((v) => typeof v === "number");
  const [svg, y] = frame("Metrics, the oldest training on the left", 0, Math.max(...all, 0.001));
  const x = (i) => LEFT + 8 + (labels.length < 2 ? (WIDE - LEFT) / 2 : (i * (WIDE - LEFT - 16)) / (labels.length - 1));
  labels.forEach((label, i) => {
    if (labels.length < 9 || i % Math.ceil(labels.length / 8) === 0) svg.append(el("svg:text", { x: x(i), y: HIGH - 12, "text-anchor": "middle" }, String(i + 1)));
  });
  svg.append(el("svg:text", { x: (WIDE + LEFT) / 2, y: HIGH, "text-anchor": "middle" }, "training, the oldest first"));
  series.forEach((one, k) => {
    const points = one.values.map((v, i) => [v, i]).filter(([v]) => typeof v === "number");
    svg.append(el("svg:polyline", { class: "line", stroke: color(k * 3), points: points.map(([v, i]) => `${x(i)},${y(v)}`).join(" ") }));
    for (const [v, i] of points) {
      const dot = el("svg:circle", { ...pressed(`${one.name} ${number(v)}, ${labels[i]}`, () => choose(i)), cx: x(i), cy: y(v), r: 4, fill: color(k * 3) });
      dot.append(el("svg:title", {}, `${one.name} ${number(v)}\n${labels[i]}`));
      svg.append(dot);
    }
  });
  return el("div", {}, svg, el("ul", { class: "legend" }, ...series.map((one, k) => el("li", { vars: { "--class": color(k * 3) } }, one.name))));
}
