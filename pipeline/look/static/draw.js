// Boxes, masks, keypoints, label maps and names over a picture, as SVG in the picture's own pixels.
"use strict";

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function rgb(k) {
  const probe = rgb.probe || (rgb.probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
  probe.fillStyle = color(k);
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}

// A mask of bytes [h, w] in its class's colour, stretched over its box; inside from 128 on.
function maskImage(object, shade) {
  const [height, width] = object.mask_size, [top, left, bottom, right] = object.mask_box || object.box;
  const canvas = el("canvas", { width, height });
  const values = bytesOf(object.mask), context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height), [r, g, b] = rgb(shade);
  for (let i = 0; i < values.length; i++)
    pixels.data.set([r, g, b, values[i] > 127 ? 130 : 0], 4 * i);
  context.putImageData(pixels, 0, 0);
  return el("svg:image", {
    href: canvas.toDataURL(), x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0),
    preserveAspectRatio: "none",
  });
}

// A label map: the PNG's gray values are classes; the first of several and 255 stay clear. A value
// has the colour of the class of its name, where there is one. `svg.tint()` draws it anew.
function mapImage(svg, text, width, height, about) {
  const picture = new Image(), image = el("svg:image", { class: "layer-map", width, height, preserveAspectRatio: "none" });
  const shadeOf = (value) => {
    const k = (about.labels || []).indexOf((about.map_labels || [])[value]);
    return k < 0 ? value : k;
  };
  svg.classList.add("mapped");
  svg.prepend(image);
  svg.tint = () => {
    if (!picture.width) return;
    const canvas = el("canvas", { width: picture.width, height: picture.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height), shades = new Map();
    for (let i = 0; i < pixels.data.length; i += 4) {
      const value = pixels.data[i];
      if (!shades.has(value)) {
        const clear = value === 0 || value === 255 || hidden.has(shadeOf(value));
        shades.set(value, clear ? [0, 0, 0, 0] : [...rgb(shadeOf(value)).slice(0, 3), 140]);
      }
      pixels.data.set(shades.get(value), i);
    }
    context.putImageData(pixels, 0, 0);
    image.setAttribute("href", canvas.toDataURL());
  };
  picture.onload = svg.tint;
  picture.src = "data:image/png;base64," + text;
}

// shapes: as pipeline/tasks says; about: labels, bones; how: {answer: solid lines, else dashed}.
function overlay(shapes, about, how = {}) {
  const { width, height } = how.size || shapes;
  const svg = el("svg:svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" });
  if (shapes.map) mapImage(svg, shapes.map, width, height, about);
  const labels = (how.answer && about.answer_labels) || about.labels || [];
  const letter = Math.max(width, height) / (how.large ? 42 : 17), dot = Math.max(width, height) / 130;
  (shapes.objects || []).forEach((object, n) => {
    const shade = object.class === undefined ? n : object.class;
    const group = el("svg:g", { "data-class": shade });
    if (object.mask) {
      const mask = maskImage(object, shade);
      mask.classList.add("layer-masks");
      group.append(mask);
    }
    if (object.box) {
      const [top, left, bottom, right] = object.box;
      const faint = (object.marks || []).length ? 0.55 : 1;
      group.append(el("svg:rect", {
        class: "layer-boxes", x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0),
        fill: "none", stroke: color(shade), "stroke-width": how.large ? 2.5 : 2, "vector-effect": "non-scaling-stroke",
        "stroke-dasharray": how.answer === false ? "5 3" : null, opacity: faint,
      }));
      const score = typeof object.score === "number" ? " " + object.score.toFixed(2) : "";
      const text = (labels[object.class] ?? "") + score;
      if (text) group.append(el("svg:text", {
        class: "layer-names", x: left, y: Math.max(top - letter * 0.25, letter), "font-size": letter,
        fill: "#fff", stroke: "#000", "stroke-width": letter / 6, "paint-order": "stroke", "font-family": "system-ui, sans-serif",
      }, text));
    }
    if (object.points) {
      const points = el("svg:g", { class: "layer-points" });
      for (const [a, b] of about.bones || []) {
        const [p, q] = [object.points[a], object.points[b]];
        if (p && q && p[2] > 0 && q[2] > 0) points.append(el("svg:line", {
          x1: p[1], y1: p[0], x2: q[1], y2: q[0], stroke: color(shade), "stroke-width": 2, "vector-effect": "non-scaling-stroke",
        }));
      }
      for (const [y, x, seen] of object.points) if (seen > 0) points.append(el("svg:circle", {
        cx: x, cy: y, r: dot, fill: how.answer === false && seen === 1 ? "none" : color(shade), stroke: color(shade),
      }));
      group.append(points);
    }
    svg.append(group);
  });
  return svg;
}

// Words beside a picture: classes of the whole, captions, a sentence.
function words(shapes, about) {
  const named = (shapes.labels || []).map(([k, score]) =>
    (typeof k === "number" ? (about.labels || [])[k] ?? k : k) + (typeof score === "number" ? ` ${score.toFixed(2)}` : ""));
  return [...named, ...(shapes.lines || [])];
}

function seriesImage(series) {
  const all = series.flat(), low = Math.min(...all), high = Math.max(...all), span = high - low || 1;
  const svg = el("svg:svg", { viewBox: "0 0 200 100", preserveAspectRatio: "none", role: "img", "aria-label": "the signal over its time" });
  series.forEach((values, k) => svg.append(el("svg:polyline", {
    points: values.map((v, i) => `${(200 * i) / Math.max(values.length - 1, 1)},${96 - (92 * (v - low)) / span}`).join(" "),
    fill: "none", stroke: color(k), "stroke-width": 1.2, "vector-effect": "non-scaling-stroke",
  })));
  return svg;
}

// The picture with what is drawn over it. parts: [[shapes, how], ...].
function picture(source, name, size, parts, about) {
  if (!size.width) {
    const truth = parts[0] ? parts[0][0] : {};
    return el("span", { class: "picture none" }, truth.series ? seriesImage(truth.series) : (truth.lines || []).join(" "));
  }
  const image = el("img", { src: source, alt: name, loading: "lazy", decoding: "async", width: size.width, height: size.height });
  const place = el("span", { class: "picture" }, image, parts.map(([shapes, how]) => overlay(shapes, about, { size, ...how })));
  image.addEventListener("error", () => place.replaceChildren(el("span", { class: "error" }, "This picture is not there any more.")));
  return place;
}
