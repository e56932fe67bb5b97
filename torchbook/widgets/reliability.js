import * as kit from "./kit.js";

const { h, s: svg } = kit;
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

// ---- Logits, probabilities, confidences.

/** { name, classes, rows: [Float64Array], labels: Uint8Array } of what Python packed. */
export function unpack({ name, rows, classes, logits, labels }) {
  const flat = kit.halves(logits);
  return { name, classes, labels: Array.from(kit.bytes(labels)), rows: Array.from({ length: rows }, (_, i) => Array.from(flat.subarray(i * classes, (i + 1) * classes))) };
}

/** Probabilities of one row of logits, divided by the temperature. */
export function softmax(z, T = 1) {
  const top = Math.max(...z);
  const e = z.map((v) => Math.exp((v - top) / T));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

/** Confidences p, whether each answer is right, and the mean negative log-likelihood of the labels. */
export function answersAt(rows, labels, T) {
  const [p, right] = [[], []];
  let nll = 0;
  rows.forEach((z, i) => {
    let best = 0;
    for (let c = 1; c < z.length; c += 1) if (z[c] > z[best]) best = c;
    let sum = 0;
    for (let c = 0; c < z.length; c += 1) sum += Math.exp((z[c] - z[best]) / T);
    p.push(1 / sum);
    right.push(best === labels[i]);
    nll += Math.log(sum) - (z[labels[i]] - z[best]) / T;
  });
  return { p, right, nll: nll / rows.length };
}

/** The temperature in [0.1, 10] with the least negative log-likelihood: the slope by 1/T only rises, so bisect. */
export function fitTemperature(rows, labels) {
  let [low, high] = [Math.log(0.1), Math.log(10)];
  for (let i = 0; i < 40; i += 1) {
    const beta = Math.exp((low + high) / 2);
    const slope = mean(rows.map((z, k) => {
      const q = softmax(z, 1 / beta);
      return z.reduce((sum, v, c) => sum + q[c] * v, 0) - z[labels[k]];
    }));
    if (slope < 0) low = Math.log(beta); else high = Math.log(beta);
  }
  return Math.exp(-(low + high) / 2);
}

/** One label per row from its softmax at temperature 1; same seed, same labels. */
export function drawLabels(rows, seed) {
  const { uniform } = kit.random(seed + 1);
  return rows.map((z) => {
    const q = softmax(z);
    let u = uniform();
    let c = 0;
    while (c < q.length - 1 && u >= q[c]) { u -= q[c]; c += 1; }
    return c;
  });
}

// ---- Bins.

export const equalWidth = (M) => Array.from({ length: M + 1 }, (_, m) => m / M);

/** Edges such that each bin holds p.length / M answers, up to rounding and ties. */
export function equalMass(p, M) {
  const sorted = Float64Array.from(p).sort();
  return [0, ...Array.from({ length: M - 1 }, (_, m) => sorted[Math.max(0, Math.floor(((m + 1) * p.length) / M) - 1)]), 1];
}

/** The bin (edges[m], edges[m + 1]] of each value: the number of inner edges below it. */
export function binOf(value, edges) {
  let [low, high] = [1, edges.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (edges[middle] < value) low = middle + 1; else high = middle;
  }
  return low - 1;
}

/** For each bin { low, high, count, acc, conf, mass }; an empty one has NaN. `mass` is the sum of p (1 - p). */
export function bins(p, right, edges) {
  const sums = Array.from({ length: edges.length - 1 }, () => [0, 0, 0, 0]);
  p.forEach((value, i) => {
    const sum = sums[binOf(value, edges)];
    sum[0] += 1;
    sum[1] += Number(right[i]);
    sum[2] += value;
    sum[3] += value * (1 - value);
  });
  return sums.map(([count, hits, total, mass], m) => ({ low: edges[m], high: edges[m + 1], count, acc: hits / count, conf: total / count, mass }));
}

/** Expected and maximum calibration error, and the ECE that a perfect model would have here on average. */
export function errors(table) {
  const full = table.filter(({ count }) => count > 0);
  const n = full.reduce((sum, { count }) => sum + count, 0);
  return {
    ece: full.reduce((sum, { count, acc, conf }) => sum + (count / n) * Math.abs(acc - conf), 0),
    mce: Math.max(...full.map(({ acc, conf }) => Math.abs(acc - conf))),
    floor: (Math.sqrt(2 / Math.PI) / n) * full.reduce((sum, { mass }) => sum + Math.sqrt(Math.max(mass, 0)), 0),
  };
}

/** All that is shown for one temperature. */
export function measure(rows, labels, T, M, mass = "width") {
  const { p, right, nll } = answersAt(rows, labels, T);
  const table = bins(p, right, mass === "mass" ? equalMass(p, M) : equalWidth(M));
  return { ...errors(table), nll, table, confidence: mean(p), accuracy: mean(right.map(Number)) };
}

// ---- Text.

const percent = (v, digits = 1) => `${(100 * v).toFixed(digits)} %`;

export function sentence({ temperature, bins: M, mass }, { ece, mce, floor, nll, confidence, accuracy }, n) {
  const gap = confidence - accuracy;
  const verdict = ece < 1.3 * floor ? "within what chance does to a perfect model" : gap > 0.01 ? "too sure" : gap < -0.01 ? "not sure enough" : "wrong in both directions";
  return `T = ${kit.fmt(temperature, 3)}: mean confidence ${percent(confidence)}, right ${percent(accuracy)} of ${n} answers: ${verdict}. `
    + `With ${M} bins of equal ${mass}, ECE ${percent(ece)} (a perfect model: ${percent(floor)}), MCE ${percent(mce)}. NLL ${nll.toFixed(3)}.`;
}

export function binSentence(table, m) {
  const { low, high, count, acc, conf } = table[m];
  const n = table.reduce((sum, bin) => sum + bin.count, 0);
  const place = `Bin ${m + 1} of ${table.length}, (${low.toFixed(3)}, ${high.toFixed(3)}]: `;
  if (!count) return `${place}no answer.`;
  return `${place}${count} ${count === 1 ? "answer" : "answers"}, confidence ${percent(conf)}, right ${percent(acc)}; adds ${percent((count / n) * Math.abs(acc - conf), 2)} to the ECE.`;
}

// ---- The diagram.

function makeDiagram(width) {
  const pattern = kit.uid("hatch");
  const view = kit.axes({ width, height: Math.round(width * 0.74), yLabel: "accuracy", label: "Reliability diagram", pad: [10, 10, 22, 56] });
  const strip = kit.axes({ width, height: 96, xLabel: "confidence", yLabel: "share", label: "Share of the answers in each bin", pad: [6, 10, 40, 56] });
  const [bars, marks, counts, ring] = [svg("g", {}), svg("g", {}), svg("g", {}), svg("rect", { class: "tb-re-ring" })];
  view.svg.prepend(svg("defs", {}, svg("pattern", { id: pattern, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("line", { class: "tb-re-hatch", x1: 0, x2: 0, y1: 0, y2: 6 }))));
  view.plot.append(bars, ring, marks);
  strip.plot.append(counts);
  for (const [name, v] of Object.entries({ tabindex: "0", role: "slider", "aria-label": "bin", "aria-valuemin": 1 })) view.svg.setAttribute(name, v);
  const note = h("p", { class: "tb-re-note" });
  let [table, picked] = [[], -1];
  const pick = (m) => {
    picked = clamp(m, 0, table.length - 1);
    mark();
  };
  view.svg.addEventListener("keydown", (event) => {
    const next = { ArrowRight: picked + 1, ArrowUp: picked + 1, ArrowLeft: picked - 1, ArrowDown: picked - 1, Home: 0, End: table.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    pick(next);
  });
  kit.drag(view.svg, { start: () => { view.svg.focus({ preventScroll: true }); }, move: (event) => pick(binOf(clamp(view.at(event)[0], 0, 1), [0, ...table.slice(1).map(({ low }) => low), 1])) });

  function mark() {
    const bin = table[picked];
    ring.style.display = bin ? "" : "none";
    view.svg.setAttribute("aria-valuemax", table.length);
    view.svg.setAttribute("aria-valuenow", picked + 1);
    const text = bin ? binSentence(table, picked) : "Click a bin, or go through them with the arrow keys.";
    view.svg.setAttribute("aria-valuetext", text);
    note.textContent = text;
    if (!bin) return;
    const [left, right] = [view.px(bin.low), view.px(bin.high)];
    for (const [name, v] of Object.entries({ x: left, width: Math.max(right - left, 2), y: view.top, height: view.bottom - view.top })) ring.setAttribute(name, v);
  }

  return { node: h("div", {}, view.svg, strip.svg, note), draw(next) {
    if (next.length !== table.length) picked = -1;
    table = next;
    const n = table.reduce((sum, { count }) => sum + count, 0);
    view.update({ x: [0, 1], y: [0, 1], xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1], yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1] });
    const most = Math.max(...table.map(({ count }) => count / n));
    strip.update({ x: [0, 1], y: [0, most * 1.1], xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1], yTicks: [0, most], yFormat: (v) => percent(v, 0) });
    const box = (where, { low, high }, from, to, attributes) => svg("rect", { ...attributes, x: where.px(low) + 0.5, width: Math.max(where.px(high) - where.px(low) - 1, 1),
      y: where.py(Math.max(from, to)), height: Math.abs(where.py(from) - where.py(to)) });
    const full = table.filter(({ count }) => count > 0);
    bars.replaceChildren(...full.flatMap((bin) => [box(view, bin, 0, bin.acc, { class: "tb-re-bar" }), box(view, bin, bin.acc, bin.conf, { class: "tb-re-gap", fill: `url(#${pattern})` })]),
      svg("line", { class: "tb-re-diagonal", x1: view.px(0), y1: view.py(0), x2: view.px(1), y2: view.py(1) }));
    marks.replaceChildren(...full.map(({ conf }) => svg("path", { class: "tb-re-diamond", d: `M${view.px(conf)} ${view.py(conf) - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z` })));
    counts.replaceChildren(...full.map((bin) => box(strip, bin, 0, bin.count / n, { class: "tb-re-count" })));
    mark();
  } };
}

// ---- The two curves against the temperature.

const RANGE = [0.1, 10];
export const GRID = Array.from({ length: 61 }, (_, i) => 0.1 * 100 ** (i / 60));
const PARTS = { nll: ["nll"], ece: ["ece", "floor"] };

function makeCurves(width, setT) {
  const height = Math.round(clamp(width * 0.44, 150, 190));
  const make = (yLabel, label, pad) => kit.axes({ width, height, yLabel, label, xLabel: pad > 30 ? "temperature" : "", pad: [8, 12, pad, 56] });
  const charts = { nll: make("NLL", "Negative log-likelihood against the temperature", 22), ece: make("ECE", "Calibration error against the temperature, with its floor", 40) };
  const layers = Object.fromEntries(Object.entries(charts).map(([name, view]) => {
    const [lines, now] = [svg("g", {}), svg("line", { class: "tb-re-now" })];
    view.plot.append(lines, now);
    kit.drag(view.svg, { move: (event) => setT(clamp(view.at(event)[0], ...RANGE)) });
    return [name, { lines, now }];
  }));
  const key = (name, text) => h("span", {}, svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, svg("path", { class: `tb-curve tb-re-${name}`, d: "M1 5h24" })), text);
  const legend = h("p", { class: "tb-re-legend" }, key("nll", "NLL"), key("ece", "ECE"), key("floor", "ECE of a perfect model"), h("span", { text: "○ lowest" }));
  return { node: h("div", { class: "tb-re-curves" }, charts.nll.svg, charts.ece.svg, legend), drawCurves(curves, roof) {
    const tops = { nll: roof, ece: Math.max(0.05, ...curves.map(({ ece }) => ece)) * 1.08 };
    for (const [name, view] of Object.entries(charts)) {
      view.update({ x: RANGE, y: [0, tops[name]], logX: true, xTicks: [0.1, 0.3, 1, 3, 10], yFormat: name === "ece" ? (v) => percent(v, 0) : kit.fmt });
      const line = (key) => svg("path", { class: `tb-curve tb-re-${key}`, d: view.path(curves.map((point, i) => [GRID[i], point[key] > tops[name] ? NaN : point[key]])) });
      const least = curves.reduce((best, point, i) => (point[name] < curves[best][name] ? i : best), 0);
      const dot = svg("circle", { class: `tb-re-least tb-re-${name}`, cx: view.px(GRID[least]), cy: view.py(curves[least][name]), r: 4.5 });
      layers[name].lines.replaceChildren(...PARTS[name].map(line), dot);
    }
  }, drawNow(T) {
    for (const [name, { now }] of Object.entries(layers)) {
      const view = charts[name];
      for (const [key, v] of Object.entries({ x1: view.px(T), x2: view.px(T), y1: view.top, y2: view.bottom })) now.setAttribute(key, v);
    }
  } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-re");
  const sets = model.get("sets").map(unpack);
  const NAMES = ["chosen", "temperature", "bins", "mass", "truth", "answers", "seed"];
  const traits = Object.fromEntries(NAMES.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const get = (name) => traits[name].get();
  const set = (name, v) => traits[name].set(v);
  const setT = (v) => set("temperature", Number(clamp(v, ...RANGE).toPrecision(3)));
  const current = () => sets.find(({ name }) => name === get("chosen")) ?? sets[0];
  let data = { rows: [], labels: [] };
  const load = () => {
    const one = current();
    const n = Math.min(get("answers"), one.rows.length);
    const rows = one.rows.slice(0, n);
    data = { rows, n, classes: one.classes, labels: get("truth") === "drawn" ? drawLabels(rows, get("seed")) : one.labels.slice(0, n) };
    data.grid = GRID.map((T) => answersAt(rows, data.labels, T));
  };
  // Drawn for the width that there is, so that text keeps its size on a phone; 0 where nothing is laid out yet.
  const whole = clamp(body.clientWidth || 720, 280, 900);
  const column = whole >= 620 ? Math.round((whole - 16) / 2) : whole;
  const [diagram, curves] = [makeDiagram(column), makeCurves(column, setT)];
  const slide = (name, options) => kit.slider({ value: get(name), ...options });
  const sliders = {
    temperature: slide("temperature", { label: "temperature T", min: 0.1, max: 10, log: true, format: (v) => kit.fmt(Number(v.toPrecision(3)), 3), onInput: setT }),
    bins: slide("bins", { label: "bins", min: 2, max: 50, format: String, onInput: (v) => set("bins", v) }),
    answers: kit.slider({ label: "answers", min: 20, max: current().rows.length, value: Math.min(get("answers"), current().rows.length), format: String, onInput: (v) => set("answers", v) }),
  };
  const choices = {
    chosen: kit.select({ label: "model", options: sets.map(({ name }) => name), value: get("chosen"), onChange: (v) => set("chosen", v) }),
    truth: kit.select({ label: "labels", options: [["true", "true ones"], ["drawn", "drawn from the model at T = 1"]], value: get("truth"), onChange: (v) => set("truth", v) }),
    mass: kit.select({ label: "bins of equal", options: ["width", "mass"], value: get("mass"), onChange: (v) => set("mass", v) }),
  };
  const fit = kit.button({ text: "Fit T", name: "Fit the temperature to the labels by the NLL", kind: "primary", onClick: () => setT(fitTemperature(data.rows, data.labels)) });
  const again = kit.button({ text: "Draw again", name: "Draw other labels from the model", onClick: () => set("seed", (get("seed") + 1) % 2147483648) });
  const drawCurves = () => {
    const edges = equalWidth(get("bins"));
    const points = data.grid.map(({ p, right, nll }) => ({ nll, ...errors(bins(p, right, get("mass") === "mass" ? equalMass(p, get("bins")) : edges)) }));
    curves.drawCurves(points, 1.35 * Math.max(Math.log(data.classes), Math.min(...points.map(({ nll }) => nll))));
  };
  const drawNow = () => {
    const now = { temperature: get("temperature"), bins: get("bins"), mass: get("mass") };
    const result = measure(data.rows, data.labels, now.temperature, now.bins, now.mass);
    diagram.draw(result.table);
    curves.drawNow(now.temperature);
    for (const name of ["temperature", "bins"]) if (sliders[name].input !== document.activeElement) sliders[name].set(get(name));
    sliders.answers.input.max = current().rows.length;
    if (sliders.answers.input !== document.activeElement) sliders.answers.set(data.n);
    for (const name of Object.keys(choices)) choices[name].set(get(name));
    again.disabled = get("truth") !== "drawn";
    say(sentence(now, result, data.n));
  };
  function refresh(name) {
    if (!["temperature", "bins", "mass"].includes(name)) load();
    if (name !== "temperature") drawCurves();
    drawNow();
  }
  body.append(h("div", { class: "tb-row" }, choices.chosen.node, choices.truth.node, again), h("div", { class: "tb-split tb-re-split" }, diagram.node, curves.node),
    h("div", { class: "tb-controls" }, sliders.temperature.node, sliders.bins.node, sliders.answers.node), h("div", { class: "tb-row" }, fit, choices.mass.node));
  refresh("chosen");
}

export default { render };
