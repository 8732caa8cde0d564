// The page of runs: its plot; the tables stand in the page.
"use strict";

attempt(async () => {
  const place = $("series");
  if (!place) return;
  const { points, metrics } = await api("/api/runs");
  const series = metrics.map((name) => ({ name, values: points.map((point) => point.values[name] ?? null) })).filter((one) => one.values.some((v) => v !== null));
  if (series.length) place.replaceChildren(lines(points.map((point) => point.label + (point.pushed.length ? ", pushed" : "")), series, (i) => { location.href = "/results?evaluation=" + encodeURIComponent(points[i].key); }));
  document.body.dataset.ready = "1";
});
