import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The functions: value, slope, and whether the slope never falls (convex) or never rises (concave).

/** The error function: a series of positive terms, so that nothing cancels. */
export function erf(x) {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  let [term, sum] = [size, size];
  for (let n = 1; term > 1e-17 * sum; n += 1) {
    term *= (2 * size * size) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum;
}

const sigmoid = (z) => (z < 0 ? Math.exp(z) / (1 + Math.exp(z)) : 1 / (1 + Math.exp(-z)));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const cdf = (z) => (1 + erf(z / Math.SQRT2)) / 2;
const density = (z) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);

export const ACTIVATIONS = {
  identity: { name: "identity", shape: () => "a line", value: (z) => z, slope: () => 1 },
  sigmoid: { name: "sigmoid", shape: () => "neither", value: sigmoid, slope: (z) => sigmoid(z) * sigmoid(-z) },
  tanh: { name: "tanh", shape: () => "neither", value: Math.tanh, slope: (z) => 4 * sigmoid(2 * z) * sigmoid(-2 * z) },
  arctan: { name: "arctan", shape: () => "neither", value: Math.atan, slope: (z) => 1 / (1 + z * z) },
  relu: { name: "ReLU", shape: () => "convex", value: (z) => (z > 0 ? z : 0), slope: (z) => (z > 0 ? 1 : 0) },
  leaky_relu: { name: "leaky ReLU", shape: (alpha) => (alpha === 1 ? "a line" : alpha < 1 ? "convex" : "concave"), value: (z, alpha) => (z > 0 ? z : alpha * z), slope: (z, alpha) => (z > 0 ? 1 : alpha) },
  relu6: { name: "ReLU6", shape: () => "neither", value: (z) => Math.min(Math.max(z, 0), 6), slope: (z) => (z > 0 && z < 6 ? 1 : 0) },
  elu: { name: "ELU", shape: (alpha) => (alpha <= 1 ? "convex" : "not convex"), value: (z, alpha) => (z > 0 ? z : alpha * Math.expm1(z)), slope: (z, alpha) => (z > 0 ? 1 : alpha * Math.exp(z)) },
  gelu: { name: "GELU", shape: () => "neither", value: (z) => z * cdf(z), slope: (z) => cdf(z) + z * density(z) },
  softplus: { name: "softplus", shape: () => "convex", value: softplus, slope: sigmoid },
  logsigmoid: { name: "LogSigmoid", shape: () => "concave", value: (z) => -softplus(-z), slope: (z) => sigmoid(-z) },
};
const KEYS = Object.keys(ACTIVATIONS);
const WITH_ALPHA = ["leaky_relu", "elu"];
const MOST = 5;
const EDGE = 5;

export const value = (key, z, alpha) => ACTIVATIONS[key].value(z, alpha);
export const slope = (key, z, alpha) => ACTIVATIONS[key].slope(z, alpha);

// ---- The stack of random layers.

const INPUTS = 8;
const drawn = new Map();

/** Standard normal numbers for one matrix: the same for the same seed and index, whatever else is drawn. */
function matrix(seed, index, rows, columns) {
  const key = `${seed}/${index}/${rows}/${columns}`;
  if (!drawn.has(key)) {
    if (drawn.size > 400) drawn.clear();
    const { normal } = kit.random((seed * 7919 + index * 104729 + rows) % 4294967296);
    drawn.set(key, Float64Array.from({ length: rows * columns }, normal));
  }
  return drawn.get(key);
}

/** The inputs (width, 8), the gradient at the top (width, 8), and one (width, width) matrix per layer, row by row. */
export function stack({ seed, width, depth }) {
  const layers = Array.from({ length: depth }, (_, l) => matrix(seed, l + 2, width, width));
  return { inputs: matrix(seed, 0, width, INPUTS), top: matrix(seed, 1, width, INPUTS), layers };
}

/** scale * M @ x, or scale * M.T @ x; M is (n, n), x is (n, 8). */
function times(m, x, n, scale, transposed) {
  const out = new Float64Array(n * INPUTS);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      const weight = scale * (transposed ? m[j * n + i] : m[i * n + j]);
      for (let b = 0; b < INPUTS; b += 1) out[i * INPUTS + b] += weight * x[j * INPUTS + b];
    }
  }
  return out;
}

/** Root mean square of all numbers. */
export function size(x) {
  let sum = 0;
  for (const v of x) sum += v * v;
  return Math.sqrt(sum / x.length);
}

/** Root of the variance over the inputs, averaged over the units: what still tells the inputs apart. */
export function spread(x) {
  let sum = 0;
  for (let i = 0; i < x.length; i += INPUTS) {
    let mean = 0;
    for (let b = 0; b < INPUTS; b += 1) mean += x[i + b] / INPUTS;
    for (let b = 0; b < INPUTS; b += 1) sum += (x[i + b] - mean) ** 2;
  }
  return Math.sqrt(sum / x.length);
}

/** Up with the signal, down with the gradient: their measures at layers 0 to depth, and what leaves the last layer. */
export function journey(key, { alpha, depth, width, gain, seed, measure = "size" }) {
  const { inputs, top, layers } = stack({ seed, width, depth });
  const scale = gain / Math.sqrt(width);
  const gauge = measure === "spread" ? spread : size;
  const slopes = [];
  let [x, flat] = [inputs, 0];
  const signal = [gauge(x)];
  for (const layer of layers) {
    const z = times(layer, x, width, scale, false);
    const steep = z.map((v) => slope(key, v, alpha));
    flat += steep.reduce((count, v) => count + (Math.abs(v) < 0.01), 0);
    slopes.push(steep);
    x = z.map((v) => value(key, v, alpha));
    signal.push(gauge(x));
  }
  let g = top;
  const gradient = [size(g)];
  for (let l = depth - 1; l >= 0; l -= 1) {
    g = times(layers[l], g.map((v, i) => v * slopes[l][i]), width, scale, true);
    gradient.unshift(size(g));
  }
  return { key, signal, gradient, last: x, flat: flat / (depth * width * INPUTS), factor: (gradient[0] / gradient[depth]) ** (1 / depth) };
}

/** What has become of a gradient that was multiplied by `factor` in each of `depth` layers. */
export function fate(factor, depth) {
  const whole = factor ** depth;
  if (whole < 1e-3) return "vanishes";
  return whole > 1e3 ? "explodes" : "survives";
}

/** Counts of `values` in `bins` equal bins from their smallest to their largest. */
export function histogram(values, bins) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const counts = new Array(bins).fill(0);
  for (const v of values) counts[high > low ? Math.min(Math.floor(((v - low) / (high - low)) * bins), bins - 1) : 0] += 1;
  return { low, high, counts };
}

/** The line that says the result. */
export function sentence({ depth, width, gain }, runs) {
  const parts = runs.map(({ key, factor }) => `${ACTIVATIONS[key].name} ${kit.fmt(factor, 2)} (${fate(factor, depth)})`);
  return `${depth} ${depth === 1 ? "layer" : "layers"} of width ${width}, gain ${kit.fmt(gain, 3)}. Each layer multiplies the gradient's size by: ${parts.join(", ")}.`;
}

// ---- Drawing.

const STYLES = [ // color, dash and mark: any one of them tells the curves apart
  { color: 0, dash: null, mark: "M-5 -5h10v10h-10z" },
  { color: 1, dash: "7 3", mark: "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0 -11 0" },
  { color: 2, dash: "2 3.5", mark: "M0 -6.5l6.5 11h-13z" },
  { color: 4, dash: "9 3 2 3", mark: "M0 -7l6 7l-6 7l-6 -7z" },
  { color: 3, dash: "4 2", mark: "M0 6.5l-6.5 -11h13z" },
];
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const significant = (v, digits = 3) => Number(v.toPrecision(digits));
const ink = (style) => `var(--tb-c${style.color})`;
const LIMITS = [1e-14, 1e8];
const power = (v) => (v === 1 ? "1" : `10${[...String(Math.round(Math.log10(v)))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`);

function sign(style) {
  return svg("svg", { viewBox: "-8 -9 44 18", class: "tb-ac-sign", "aria-hidden": "true", stroke: ink(style), fill: ink(style) },
    svg("path", { d: "M0 0h34", "stroke-width": 2.4, "stroke-dasharray": style.dash }), svg("path", { class: "mark", d: style.mark }));
}

const marked = (style, x, y) => svg("path", { class: "mark", d: style.mark, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, fill: ink(style) });
const curve = (style, d) => svg("path", { class: "tb-curve", stroke: ink(style), "stroke-dasharray": style.dash, d });

/** Value or slope of all chosen functions over z, with a line at the place where they are read. */
function makeGraph(store, styleOf, of, width, label, y) {
  const view = kit.axes({ width, height: 210, xLabel: "z", label, pad: [8, 10, 38, 34] });
  const [curves, now, marks] = [svg("g", {}), svg("line", { class: "tb-ac-now" }), svg("g", {})];
  view.plot.append(curves, now, marks);
  view.update({ x: [-EDGE, EDGE], y });
  view.svg.classList.add("tb-ac-graph");
  kit.drag(view.svg, { move: (event) => store.set("z", clamp(Math.round(view.at(event)[0] * 20) / 20, -EDGE, EDGE)) });
  const bound = (v) => (v >= y[0] - 0.001 && v <= y[1] + 0.001 ? v : NaN);
  return { node: view.svg,
    draw() {
      const alpha = store.get("alpha");
      curves.replaceChildren(...store.get("activations").map((key) => {
        const points = Array.from({ length: 401 }, (_, i) => (i - 200) / 40);
        return curve(styleOf(key), view.path(points.map((z) => [z, bound(of(key, z, alpha))])));
      }));
    },
    read() {
      const [z, alpha] = [store.get("z"), store.get("alpha")];
      for (const [name, v] of Object.entries({ x1: view.px(z), x2: view.px(z), y1: view.top, y2: view.bottom })) now.setAttribute(name, v);
      marks.replaceChildren(...store.get("activations").map((key) => [styleOf(key), of(key, z, alpha)])
        .filter(([, v]) => Number.isFinite(bound(v))).map(([style, v]) => marked(style, view.px(z), view.py(v))));
    } };
}

/** One measure of all runs over the layers, on a scale of powers of ten. */
function makeProfile(styleOf, width, label) {
  const view = kit.axes({ width, height: 200, xLabel: "layer", label, pad: [8, 12, 38, 46] });
  const lines = svg("g", {});
  view.plot.append(lines);
  return { node: view.svg, draw(runs, depth, name) {
    const all = runs.flatMap((run) => run[name]).filter((v) => v > 0).map((v) => Math.log10(clamp(v, ...LIMITS)));
    const low = Math.min(Math.floor(Math.min(...all, 0) - 0.2), -1);
    const high = Math.max(Math.ceil(Math.max(...all, 0) + 0.2), 1);
    const every = Math.max(1, Math.ceil((high - low) / 6));
    const yTicks = Array.from({ length: high - low + 1 }, (_, i) => low + i).filter((p) => p % every === 0).map((p) => 10 ** p);
    view.update({ x: [0, depth], y: [10 ** low, 10 ** high], logY: true, yTicks, yFormat: power, xTicks: kit.ticks(0, depth).filter(Number.isInteger) });
    lines.replaceChildren(...runs.map((run) => {
      const points = run[name].map((v, l) => [l, clamp(v, 10 ** low, 10 ** high)]);
      const step = Math.max(1, Math.round(depth / 5));
      const marks = points.filter((_, l) => l % step === 0).map(([l, v]) => marked(styleOf(run.key), view.px(l), view.py(v)));
      return svg("g", { "data-activation": run.key }, curve(styleOf(run.key), view.path(points)), ...marks);
    }));
  } };
}

/** What leaves the last layer, one small picture for each activation. */
function makeCrowds(styleOf) {
  const node = h("div", { class: "tb-ac-crowds" });
  return { node, draw(runs) {
    node.replaceChildren(...runs.map(({ key, last }) => {
      const { low, high, counts } = histogram(last, 24);
      const most = Math.max(...counts);
      const bars = counts.map((n, i) => svg("rect", { x: 4 + i * 5, width: 4.4, y: 48 - (n / most) * 42, height: (n / most) * 42, fill: ink(styleOf(key)) }));
      return h("figure", {}, svg("svg", { viewBox: "0 0 128 64", role: "img",
        "aria-label": `Outputs of the last layer, ${ACTIVATIONS[key].name}: from ${kit.fmt(low, 2)} to ${kit.fmt(high, 2)}` },
      ...bars, svg("path", { class: "base", d: "M4 48.5h120" }), svg("text", { x: 4, y: 61, text: kit.fmt(low, 2) }),
      svg("text", { x: 124, y: 61, "text-anchor": "end", text: kit.fmt(high, 2) })), h("figcaption", { text: ACTIVATIONS[key].name }));
    }));
  } };
}

/** A table with one row per chosen activation; `cells(item)` gives the numbers of a row. */
function makeTable(caption, heads) {
  const rows = h("tbody", {});
  const node = h("div", { class: "tb-scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "tb-visually-hidden", text: caption }),
      h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col", text })))), rows));
  return { node, draw: (items) => rows.replaceChildren(...items.map(([style, name, ...cells]) =>
    h("tr", {}, h("th", { scope: "row" }, sign(style), h("span", { text: name })), cells.map((text) => h("td", { text }))))) };
}

function makeChoice(store) {
  const boxes = Object.fromEntries(KEYS.map((key) => [key, kit.checkbox({ label: ACTIVATIONS[key].name, value: false, onChange: (on) => {
    const now = store.get("activations");
    const wanted = on ? [...now, key] : now.filter((other) => other !== key);
    if (wanted.length >= 1 && wanted.length <= MOST) store.set("activations", wanted);
    else boxes[key].set(!on); // one curve always, and no more than can be told apart
  } })]));
  return { node: h("div", { class: "tb-row tb-ac-choice", role: "group", "aria-label": "Activations to compare, five at most" }, KEYS.map((key) => boxes[key].node)),
    draw() {
      const now = store.get("activations");
      for (const key of KEYS) {
        boxes[key].set(now.includes(key));
        boxes[key].input.disabled = now.length >= MOST && !now.includes(key);
      }
    } };
}

/** Each activation keeps its look as long as it is chosen. */
function makeStyles() {
  const slots = new Array(MOST).fill(null);
  return { update(keys) {
    slots.forEach((key, i) => { if (!keys.includes(key)) slots[i] = null; });
    for (const key of keys) if (!slots.includes(key)) slots[slots.indexOf(null)] = key;
  }, of: (key) => STYLES[Math.max(slots.indexOf(key), 0)] };
}

const NAMES_OF_STATE = ["activations", "z", "alpha", "depth", "width", "gain", "measure", "seed"];

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-ac");
  const traits = Object.fromEntries(NAMES_OF_STATE.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = { get: (name) => traits[name].get(), set: (name, v) => traits[name].set(v) };
  const state = () => Object.fromEntries(NAMES_OF_STATE.map((name) => [name, store.get(name)]));
  const styles = makeStyles();
  const whole = clamp(body.clientWidth || 720, 280, 900);
  const column = whole >= 620 ? Math.round((whole - 16) / 2) : whole;
  const choice = makeChoice(store);
  const graphs = [makeGraph(store, styles.of, value, column, "Value over z", [-2, 3]), makeGraph(store, styles.of, slope, column, "Slope over z", [-0.25, 2.05])];
  const profiles = [makeProfile(styles.of, column, "Size of the signal at each layer"), makeProfile(styles.of, column, "Size of the gradient at each layer")];
  const crowds = makeCrowds(styles.of);
  const here = makeTable("Value and slope at z", ["", "a(z)", "a′(z)", "shape"]);
  const there = makeTable("Signal and gradient through the layers", ["", "signal", "gradient", "flat"]);
  const slide = (key, options) => kit.slider({ value: store.get(key), ...options, onInput: (v) => store.set(key, significant(v)) });
  const sliders = {
    z: slide("z", { label: "z", min: -EDGE, max: EDGE, step: 0.05 }),
    alpha: slide("alpha", { label: "α, leaky and ELU", min: 0, max: 2, step: 0.01 }),
    depth: slide("depth", { label: "depth", min: 1, max: 50, format: (v) => String(Math.round(v)) }),
    gain: slide("gain", { label: "gain g", min: 0.1, max: 10, log: true, format: (v) => kit.fmt(significant(v)) }),
  };
  const width = kit.select({ label: "width", options: [16, 32, 64], value: store.get("width"), onChange: (v) => store.set("width", Number(v)) });
  const measure = kit.select({ label: "signal", options: [["size", "size"], ["spread", "spread between inputs"]], value: store.get("measure"), onChange: (v) => store.set("measure", v) });
  const gains = [["1", 1], ["√2", Math.SQRT2]].map(([text, v]) => kit.button({ text: `g = ${text}`, onClick: () => store.set("gain", v) }));
  const again = kit.button({ text: "New weights", onClick: () => store.set("seed", (store.get("seed") + 1) % 1000) });
  let runs = [];

  function drawPlace() {
    const { z, alpha, activations } = state();
    graphs.forEach((graph) => graph.read());
    here.draw(activations.map((key) => [styles.of(key), ACTIVATIONS[key].name, kit.fmt(value(key, z, alpha), 3), kit.fmt(slope(key, z, alpha), 3), ACTIVATIONS[key].shape(alpha)]));
    if (sliders.z.input !== document.activeElement) sliders.z.set(z);
  }
  function drawCurves() {
    styles.update(store.get("activations"));
    choice.draw();
    sliders.alpha.node.style.display = store.get("activations").some((key) => WITH_ALPHA.includes(key)) ? "" : "none";
    graphs.forEach((graph) => graph.draw());
    drawPlace();
  }
  function travel() {
    const now = state();
    runs = now.activations.map((key) => journey(key, now));
    profiles[0].draw(runs, now.depth, "signal");
    profiles[1].draw(runs, now.depth, "gradient");
    crowds.draw(runs);
    there.draw(runs.map((run) => [styles.of(run.key), ACTIVATIONS[run.key].name, kit.fmt(run.signal[now.depth], 2), kit.fmt(run.gradient[0], 2), `${Math.round(100 * run.flat)} %`]));
    for (const key of ["alpha", "depth", "gain"]) if (sliders[key].input !== document.activeElement) sliders[key].set(now[key]);
    width.set(now.width);
    measure.set(now.measure);
    signalCaption.textContent = now.measure === "size" ? "Size of the signal, going up" : "Spread of the signal between inputs, going up";
    say(sentence(now, runs));
  }
  function refresh(name) {
    if (name === "z") { drawPlace(); return; }
    if (name === "activations" || name === "alpha") drawCurves();
    travel();
  }
  const caption = (text) => h("p", { class: "tb-ac-caption", text });
  const signalCaption = caption("");
  body.append(choice.node,
    h("div", { class: "tb-split" }, h("div", {}, caption("Value a(z). Drag to move the line."), graphs[0].node), h("div", {}, caption("Slope a′(z)"), graphs[1].node)),
    h("div", { class: "tb-controls" }, sliders.z.node, sliders.alpha.node), here.node,
    h("hr", { class: "tb-ac-rule" }), h("div", { class: "tb-controls" }, sliders.depth.node, sliders.gain.node),
    h("div", { class: "tb-row" }, ...gains, width.node, measure.node, again),
    h("div", { class: "tb-split" }, h("div", {}, signalCaption, profiles[0].node), h("div", {}, caption("Size of the gradient, coming down to layer 0"), profiles[1].node)),
    caption("Outputs of the last layer"), crowds.node,
    caption("Signal at the last layer, gradient at layer 0; flat: share of all units with a slope below 0.01"), there.node);
  drawCurves();
  travel();
}

export default { render };
