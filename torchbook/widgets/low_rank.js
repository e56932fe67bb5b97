import * as kit from "./kit.js";

const { h, s: svg } = kit;
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

// ---- Matrices, row by row in one flat array.

/**
 * Singular value decomposition by one-sided Jacobi rotations: { u, s, v } with a = sum of s[k] u[k] v[k]', s falling.
 * u and v are lists of vectors; there are min(m, n) of each.
 */
export function svd(a, m, n) {
  if (m < n) {
    const { u, s, v } = svd(transpose(a, m, n), n, m);
    return { u: v, s, v: u };
  }
  const columns = Array.from({ length: n }, (_, j) => Float64Array.from({ length: m }, (_, i) => a[i * n + j]));
  const turns = Array.from({ length: n }, (_, j) => Float64Array.from({ length: n }, (_, i) => Number(i === j)));
  for (let sweep = 0, worst = 1; sweep < 40 && worst > 1e-14; sweep += 1) {
    worst = 0;
    for (let p = 0; p < n - 1; p += 1) {
      for (let q = p + 1; q < n; q += 1) worst = Math.max(worst, rotate(columns, turns, p, q));
    }
  }
  const lengths = columns.map((column) => Math.hypot(...column));
  const order = lengths.map((_, k) => k).sort((i, j) => lengths[j] - lengths[i]);
  return { s: order.map((k) => lengths[k]), v: order.map((k) => Array.from(turns[k])),
    u: order.map((k) => Array.from(columns[k], (x) => (lengths[k] > 0 ? x / lengths[k] : 0))) };
}

/** Make two columns orthogonal; returns the cosine of their angle before. */
function rotate(columns, turns, p, q) {
  const [x, y] = [columns[p], columns[q]];
  let [alpha, beta, gamma] = [0, 0, 0];
  for (let i = 0; i < x.length; i += 1) { alpha += x[i] * x[i]; beta += y[i] * y[i]; gamma += x[i] * y[i]; }
  const cosine = Math.abs(gamma) / Math.sqrt(alpha * beta);
  if (!(cosine > 1e-15)) return 0;
  const zeta = (beta - alpha) / (2 * gamma);
  const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const c = 1 / Math.sqrt(1 + t * t);
  for (const [first, second] of [[x, y], [turns[p], turns[q]]]) {
    for (let i = 0; i < first.length; i += 1) {
      [first[i], second[i]] = [c * first[i] - c * t * second[i], c * t * first[i] + c * second[i]];
    }
  }
  return cosine;
}

function transpose(a, m, n) {
  return Array.from({ length: m * n }, (_, k) => a[(k % m) * n + Math.floor(k / m)]);
}

/** The best approximation of rank r, flat. */
export function cut({ u, s, v }, r) {
  const [m, n] = [u[0].length, v[0].length];
  const out = new Float64Array(m * n);
  for (let k = 0; k < Math.min(r, s.length); k += 1) {
    for (let i = 0; i < m; i += 1) for (let j = 0; j < n; j += 1) out[i * n + j] += s[k] * u[k][i] * v[k][j];
  }
  return Array.from(out);
}

/** The share of the Frobenius norm that a cut at rank r leaves out. */
export function missing(s, r) {
  const energy = (values) => values.reduce((sum, value) => sum + value * value, 0);
  return Math.sqrt(energy(s.slice(r)) / energy(s));
}

/** How many numbers two thin matrices of rank r hold. */
export const thin = (m, n, r) => r * (m + n);

/** Gaussian numbers, m times n, with the given Frobenius norm. */
export function noise(m, n, norm, seed = 1) {
  const { normal } = kit.random(seed);
  const raw = Array.from({ length: m * n }, normal);
  const size = Math.hypot(...raw);
  return raw.map((value) => (value * norm) / size);
}

// ---- Four bits.

/** Distribution function of the normal distribution, by its power series: exact for the |x| < 6 used here. */
export function normalCdf(x) {
  let [term, sum] = [x, x];
  for (let k = 1; k < 200; k += 1) { term *= (x * x) / (2 * k + 1); sum += term; }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/** Quantile of the normal distribution. Newton from 0 comes from one side, since the distribution is concave there. */
export function normalQuantile(p) {
  let x = 0;
  for (let i = 0; i < 50; i += 1) x -= (normalCdf(x) - p) * Math.sqrt(2 * Math.PI) * Math.exp((x * x) / 2);
  return x;
}

function nf4() {
  const p = 1 - (1 / 32 + 1 / 30) / 2;
  const side = (parts) => Array.from({ length: parts }, (_, j) => normalQuantile(0.5 + ((p - 0.5) * (j + 1)) / parts) / normalQuantile(p));
  return [...side(7).reverse().map((q) => -q), 0, ...side(8)];
}

const HALF = [0.5, 1, 1.5, 2, 3, 4, 6].map((value) => value / 6); // one fraction bit, two exponent bits
/** Levels in [-1, 1], rising. fp4 has 15: its zero occurs twice. */
export const LEVELS = {
  nf4: { name: "NF4: normal quantiles", values: nf4() },
  even: { name: "evenly spaced", values: Array.from({ length: 16 }, (_, k) => -1 + (2 * k) / 15) },
  fp4: { name: "FP4: a tiny float", values: [...HALF.map((value) => -value).reverse(), 0, ...HALF] },
};

/** Codes, one scale per block, the weights in units of their scale, and the restored weights. */
export function quantize(weights, levels, block) {
  const [codes, scales, units] = [[], [], []];
  for (let begin = 0; begin < weights.length; begin += block) {
    const part = weights.slice(begin, begin + block);
    const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    scales.push(scale);
    for (const value of part) {
      const unit = scale > 0 ? value / scale : 0;
      units.push(unit);
      codes.push(nearest(levels, unit));
    }
  }
  return { codes, scales, units, restored: codes.map((code, i) => levels[code] * scales[Math.floor(i / block)]) };
}

function nearest(levels, unit) {
  let best = 0;
  for (let k = 1; k < levels.length; k += 1) if (Math.abs(levels[k] - unit) < Math.abs(levels[best] - unit)) best = k;
  return best;
}

/** Root mean square of the differences over that of the weights, each without the weight at `spared`. */
export function relativeError(weights, restored, spared = -1) {
  let [error, size] = [0, 0];
  weights.forEach((value, i) => { if (i !== spared) { error += (value - restored[i]) ** 2; size += value * value; } });
  return Math.sqrt(error / size);
}

/** Storage per weight: four bits, and a scale of 32 bits per block; `double` stores the scales in 8 bits. */
export const bits = (block, double = false) => 4 + (double ? 8 / block + 32 / (block * 256) : 32 / block);

/** The weights with the largest one multiplied. */
export function withOutlier(weights, factor) {
  const at = weights.reduce((best, value, i) => (Math.abs(value) > Math.abs(weights[best]) ? i : best), 0);
  return { at, values: weights.map((value, i) => (i === at ? value * factor : value)) };
}

// ---- Text.

const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
const count = (value) => value.toLocaleString("en-US");

export function rankSentence({ m, n, r, s, scores }) {
  const numbers = `Rank ${r} of ${s.length}: ${count(thin(m, n, r))} numbers instead of ${count(m * n)} (${percent(thin(m, n, r) / (m * n))}). `;
  const left = `${percent(missing(s, r))} of ΔW is missing.`;
  return numbers + left + (scores ? ` Accuracy ${percent(scores[r], 1)}; with all of ΔW ${percent(scores.at(-1), 1)}.` : "");
}

export function levelSentence({ levels, block, error, used }) {
  const name = LEVELS[levels].name.split(":")[0];
  return `${name}, blocks of ${count(block)}: the error is ${percent(error, 1)} of the weights. `
    + `${kit.fmt(bits(block), 4)} bits per weight, ${kit.fmt(bits(block, true), 4)} with double quantization. `
    + `The levels hold ${percent(Math.min(...used), 1)} to ${percent(Math.max(...used), 1)} of the weights each.`;
}

// ---- Pictures of matrices. Orange is positive, blue negative; the number beside each picture says its size.

const PLUS = [214, 88, 36];
const MINUS = [52, 126, 190];

/** Where entry (i, j) goes: rows as square images in a square mosaic if they fit, else a plain matrix. */
export function layout(m, n) {
  const [side, across] = [Math.sqrt(n), Math.ceil(Math.sqrt(m))];
  if (!Number.isInteger(side)) return { width: n, height: m, place: (i, j) => [j, i] };
  return { width: across * (side + 1) - 1, height: Math.ceil(m / across) * (side + 1) - 1,
    place: (i, j) => [(i % across) * (side + 1) + (j % side), Math.floor(i / across) * (side + 1) + Math.floor(j / side)] };
}

function makePicture(m, n, label, scale = 1) {
  const { width, height, place } = layout(m, n);
  const canvas = h("canvas", { width, height, role: "img", "aria-label": label });
  const caption = h("figcaption", {});
  return { node: h("figure", { class: "tb-lr-picture" }, canvas, caption), draw(values, most, text) {
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(width, height);
    for (let i = 0; i < m; i += 1) {
      for (let j = 0; j < n; j += 1) {
        const [x, y] = place(i, j);
        const value = values[i * n + j] / most;
        image.data.set([...(value > 0 ? PLUS : MINUS), 255 * clamp(Math.abs(value) * scale, 0, 1)], 4 * (y * width + x));
      }
    }
    pen.putImageData(image, 0, 0);
    caption.textContent = text;
  } };
}

// ---- The half about rank.

const RANDOM = "random numbers";
const SHARED = 8; // singular vectors that are drawn

function makeRank(store, width) {
  const [m, n] = store.get("shape");
  const [names, scores] = [store.get("names"), store.get("scores")];
  const cache = new Map();
  const look = () => {
    const name = store.get("update");
    if (!cache.has(name)) {
      const index = names.indexOf(name);
      const first = store.get("matrices")[0];
      const values = index < 0 ? noise(m, n, Math.hypot(...first)) : store.get("matrices")[index];
      cache.set(name, { values, parts: svd(values, m, n), scores: index < 0 ? null : scores[index] });
    }
    return cache.get(name);
  };
  const pictures = ["The whole update", "The update at this rank", "What is missing"].map((label) => makePicture(m, n, label, 2.2));
  const shared = Array.from({ length: Math.min(SHARED, m, n) }, (_, k) => makePicture(1, n, `Singular vector ${k + 1}`, 2.2));
  const chart = makeSpectrum(store, width);
  const choice = kit.select({ label: "update", options: [...names, RANDOM], value: store.get("update"), onChange: (v) => store.set("update", v) });
  const slider = kit.slider({ label: "rank", min: 0, max: Math.min(m, n), value: store.get("rank"), format: String, onInput: (v) => store.set("rank", v) });
  const node = h("div", { class: "tb-lr-rank" }, h("div", { class: "tb-controls" }, choice.node, slider.node),
    h("div", { class: "tb-lr-row" }, pictures.map(({ node }) => node)),
    h("div", { class: "tb-split tb-lr-split" },
      h("div", {}, chart.node, chart.legend),
      h("div", {}, h("p", { class: "tb-lr-note", text: "The shared pictures: the first singular vectors, with their singular values. Faded: not used at this rank." }),
        h("div", { class: "tb-lr-row tb-lr-shared" }, shared.map(({ node }) => node)))));
  return { node, draw() {
    const [{ values, parts, scores: own }, r] = [look(), store.get("rank")];
    const most = values.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
    const kept = cut(parts, r);
    pictures[0].draw(values, most, "ΔW");
    pictures[1].draw(kept, most, `rank ${r}`);
    pictures[2].draw(values.map((value, i) => value - kept[i]), most, `missing: ${percent(missing(parts.s, r))}`);
    shared.forEach((picture, k) => {
      picture.draw(parts.v[k], Math.max(...parts.v[k].map(Math.abs)), kit.fmt(parts.s[k], 2));
      picture.node.classList.toggle("off", k >= r);
    });
    chart.draw(parts.s, own);
    slider.set(r);
    choice.set(store.get("update"));
    return rankSentence({ m, n, r, s: parts.s, scores: own });
  } };
}

/** Singular values as bars, what a cut leaves out and what it scores as curves; a drag sets the rank. */
function makeSpectrum(store, width) {
  const view = kit.axes({ width, height: 210, xLabel: "rank", label: "Singular values, missing share and accuracy against the rank", pad: [8, 10, 38, 40] });
  const [bars, curves, mark] = [svg("g", {}), svg("g", {}), svg("line", { class: "tb-lr-now" })];
  view.plot.append(bars, curves, mark);
  const full = Math.min(...store.get("shape"));
  kit.drag(view.svg, { move: (event) => store.set("rank", clamp(Math.round(view.at(event)[0]), 0, full)) });
  const key = (kind, text) => h("span", {}, svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" },
    kind === "bar" ? svg("rect", { class: "tb-lr-bar", x: 2, y: 1, width: 22, height: 8 }) : svg("path", { class: `tb-curve ${kind}`, d: "M1 5h24" })), text);
  return { node: view.svg, legend: h("p", { class: "tb-lr-legend" }, key("bar", "singular values"), key("tb-lr-missing", "missing"), key("tb-lr-score", "accuracy")),
    draw(s, scores) {
      const r = store.get("rank");
      view.update({ x: [0, full + 0.5], y: [0, 1], yTicks: [0, 0.5, 1], yFormat: (v) => percent(v) });
      const wide = (view.px(1) - view.px(0)) * 0.8;
      bars.replaceChildren(...s.map((value, k) => svg("rect", { class: k < r ? "tb-lr-bar" : "tb-lr-bar off", x: view.px(k + 1) - wide / 2, width: wide,
        y: view.py(value / s[0]), height: view.py(0) - view.py(value / s[0]) })));
      const line = (name, values) => svg("path", { class: `tb-curve ${name}`, d: view.path(values.map((value, k) => [k, value])) });
      curves.replaceChildren(line("tb-lr-missing", Array.from({ length: full + 1 }, (_, k) => missing(s, k))), ...(scores ? [line("tb-lr-score", scores)] : []));
      for (const [name, v] of Object.entries({ x1: view.px(r), x2: view.px(r), y1: view.top, y2: view.bottom })) mark.setAttribute(name, v);
    } };
}

// ---- The half about levels.

const BLOCKS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
const BINS = 80;

function makeLevels(store, width) {
  const view = kit.axes({ width, height: 230, xLabel: "weight / largest of its block", yLabel: "share", label: "Histogram of the scaled weights, and how often each level is used", pad: [10, 12, 40, 52] });
  const [bins, stems] = [svg("g", {}), svg("g", {})];
  view.plot.append(bins, stems);
  const choice = kit.select({ label: "levels", options: Object.entries(LEVELS).map(([key, { name }]) => [key, name]), value: store.get("levels"), onChange: (v) => store.set("levels", v) });
  const fits = BLOCKS.filter((block) => block <= Math.max(64, store.get("weights").length));
  const block = kit.slider({ label: "block", min: 0, max: fits.length - 1, value: fits.indexOf(store.get("block")), format: (k) => count(fits[k] ?? store.get("block")), onInput: (k) => store.set("block", fits[k]) });
  const outlier = kit.slider({ label: "outlier", min: 1, max: 100, log: true, value: store.get("outlier"), format: (v) => `× ${kit.fmt(v, 3)}`, onInput: (v) => store.set("outlier", Number(v.toPrecision(3))) });
  const node = h("div", { class: "tb-lr-levels" }, h("div", { class: "tb-controls" }, choice.node, block.node, outlier.node), view.svg,
    h("p", { class: "tb-lr-legend" }, h("span", { text: "Bars: weights. Pins: the levels, as high as their share of the weights." })));
  return { node, draw() {
    const [name, size] = [store.get("levels"), store.get("block")];
    const levels = LEVELS[name].values;
    const { at, values } = withOutlier(store.get("weights"), store.get("outlier"));
    const { codes, units, restored } = quantize(values, levels, size);
    const used = levels.map((_, k) => codes.filter((code) => code === k).length / codes.length);
    const heights = new Array(BINS).fill(0);
    for (const unit of units) heights[Math.min(BINS - 1, Math.floor(((unit + 1) / 2) * BINS))] += 1 / units.length;
    const top = Math.max(...heights, ...used) * 1.08;
    view.update({ x: [-1.03, 1.03], y: [0, top], xTicks: [-1, -0.5, 0, 0.5, 1], yFormat: (v) => percent(v) });
    bins.replaceChildren(...heights.map((share, k) => svg("rect", { class: "tb-lr-bin", x: view.px(-1 + (2 * k) / BINS), width: view.px(2 / BINS) - view.px(0), y: view.py(share), height: view.py(0) - view.py(share) })));
    stems.replaceChildren(...levels.map((level, k) => svg("g", { class: "tb-lr-pin" },
      svg("line", { x1: view.px(level), x2: view.px(level), y1: view.py(0), y2: view.py(used[k]) }), svg("circle", { cx: view.px(level), cy: view.py(used[k]), r: 3.6 }))));
    choice.set(name);
    block.set(fits.indexOf(size));
    if (outlier.input !== document.activeElement) outlier.set(store.get("outlier"));
    return levelSentence({ levels: name, block: size, error: relativeError(values, restored, at), used });
  } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-lr");
  const constants = ["names", "shape", "matrices", "scores", "weights"];
  let refresh = () => {};
  const traits = Object.fromEntries(["update", "rank", "levels", "block", "outlier"].map((name) => [name, kit.trait(model, name, () => refresh())]));
  const store = { get: (name) => (constants.includes(name) ? model.get(name) : traits[name].get()), set: (name, v) => traits[name].set(v) };
  // Drawn for the width that there is, so that text keeps its size on a phone; 0 where nothing is laid out yet.
  const whole = clamp(body.clientWidth || 720, 280, 860);
  const halves = [];
  if (store.get("names").length) halves.push(makeRank(store, whole >= 620 ? Math.round((whole - 16) / 2) : whole));
  if (store.get("weights").length) halves.push(makeLevels(store, whole));
  body.replaceChildren(...halves.map(({ node }) => node));
  refresh = () => say(halves.map((half) => half.draw()).join(" "));
  refresh();
}

export default { render };
