import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- Matrices.

export const UNITS = 16;
const SHEAR = 3;

const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const length = (v) => Math.sqrt(dot(v, v));
const times = (A, v) => A.map((row) => dot(row, v));
const transpose = (A) => A[0].map((_, j) => A.map((row) => row[j]));
const product = (A, B) => { const columns = transpose(B); return A.map((row) => columns.map((column) => dot(row, column))); };
const normals = (rows, columns, normal) => Array.from({ length: rows }, () => Array.from({ length: columns }, () => normal()));

/** Rows made orthonormal one after the other (Gram-Schmidt, twice against rounding). */
export function orthonormal(rows) {
  const out = [];
  for (const row of rows) {
    let v = row;
    for (let pass = 0; pass < 2; pass += 1) for (const q of out) { const c = dot(q, v); v = v.map((x, i) => x - c * q[i]); }
    const size = length(v);
    out.push(v.map((x) => x / size));
  }
  return out;
}

/** The largest |eigenvalue|: the k-th root of the norm of W^k, with k = 2^30 by squaring (Gelfand's formula). */
export function spectralRadius(W) {
  let [A, log, k] = [W, 0, 1];
  for (let i = 0; i < 30; i += 1) {
    const size = Math.max(...A.flat().map(Math.abs));
    if (!(size > 0)) return 0;
    log += Math.log(size) / k;
    A = A.map((row) => row.map((v) => v / size));
    A = product(A, A);
    k *= 2;
  }
  return Math.exp(log);
}

/** The largest singular value: the root of the spectral radius of W'W. */
export const largestSingular = (W) => Math.sqrt(spectralRadius(product(transpose(W), W)));

/** The recurrent matrix, UNITS x UNITS, with the given spectral radius. */
export function recurrent(kind, radius, seed) {
  const { normal } = kit.random(seed + 1);
  if (kind === "shear") {
    return Array.from({ length: UNITS }, (_, i) => Array.from({ length: UNITS }, (_, j) => (i === j ? radius : i % 2 === 0 && j === i + 1 ? SHEAR : 0)));
  }
  const drawn = normals(UNITS, UNITS, normal);
  const W = kind === "orthogonal" ? orthonormal(drawn) : drawn;
  const scale = radius / (kind === "orthogonal" ? 1 : spectralRadius(W));
  return W.map((row) => row.map((v) => v * scale));
}

// ---- There and back.

const PHI = { linear: [(a) => a, () => 1], tanh: [Math.tanh, (a) => 1 - Math.tanh(a) ** 2], relu: [(a) => Math.max(a, 0), (a) => (a > 0 ? 1 : 0)] };

/** What is drawn once per seed: h_0, the noise for up to 100 steps, and the direction u of the loss. */
export function weather(seed) {
  const { normal } = kit.random(seed + 1009);
  const u = normals(1, UNITS, normal)[0];
  return { u: u.map((v) => v / length(u)), start: normals(1, UNITS, normal)[0].map((v) => v / 10), noise: normals(100, UNITS, normal) };
}

/** States h_0 .. h_T and slopes phi'(a_1) .. phi'(a_T) of h = phi(W h + x). */
export function forward(W, start, xs, nonlinearity) {
  const [phi, slope] = PHI[nonlinearity];
  const [states, slopes] = [[start], []];
  for (const x of xs) {
    const a = times(W, states.at(-1)).map((v, i) => v + x[i]);
    states.push(a.map(phi));
    slopes.push(a.map(slope));
  }
  return { states, slopes };
}

/** For L = u . h_T: the norms of dL/dh_t (t = 0 .. T), the norm of each step's term in dL/dW (t = 1 .. T), and dL/dW. */
export function backward(W, { states, slopes }, u) {
  const T = slopes.length;
  const columns = transpose(W);
  const [norms, terms] = [Array(T + 1), Array(T)];
  const gradient = W.map((row) => row.map(() => 0));
  let g = u;
  for (let t = T; t >= 1; t -= 1) {
    norms[t] = length(g);
    const delta = g.map((v, i) => v * slopes[t - 1][i]);
    const before = states[t - 1];
    delta.forEach((d, i) => before.forEach((v, j) => { gradient[i][j] += d * v; }));
    terms[t - 1] = length(delta) * length(before);
    g = times(columns, delta);
  }
  norms[0] = length(g);
  return { norms, terms, gradient };
}

/** The factor of clipping by norm: 1 for a short gradient, limit / norm for a long one. */
export const clipFactor = (norm, limit) => (norm > limit ? limit / norm : 1);

/** All that is shown, from the settings. */
export function flow({ matrix, radius, nonlinearity, length: T, inputs, clip, limit, seed }) {
  const W = recurrent(matrix, radius, seed);
  const { u, start, noise } = weather(seed);
  const run = forward(W, start, noise.slice(0, T).map((x) => x.map((v) => inputs * v)), nonlinearity);
  const back = backward(W, run, u);
  const whole = length(back.gradient.flat());
  return { ...back, sigma: largestSingular(W), whole, clipped: whole * (clip ? clipFactor(whole, limit) : 1),
    slope: run.slopes.map((row) => row.reduce((a, b) => a + b, 0) / UNITS) };
}

// ---- Text.

const digits = (v) => kit.fmt(v, 3);

/** The line that says the result. */
export function sentence({ length: T, radius, step, clip, limit }, { norms, sigma, whole, clipped, slope }) {
  const back = T - step;
  const walk = back === 0 ? "At the last step the gradient has length 1." : `From step ${T} back to step ${step} the gradient goes from 1 to ${digits(norms[step])}: `
    + `a factor of ${digits((norms[step]) ** (1 / back))} per step.`;
  const mean = slope.slice(step).reduce((a, b) => a + b, 0) / Math.max(back, 1);
  const why = back === 0 ? "" : ` Mean slope of the units on the way: ${digits(mean)}.`;
  const cut = !clip ? "" : whole > limit ? `, clipped to ${digits(clipped)}` : ", below the limit: not clipped";
  return `${walk}${why} Spectral radius ${digits(radius)}, largest singular value ${digits(sigma)}. Gradient of W: norm ${digits(whole)}${cut}.`;
}

// ---- Drawing.

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const FAR = [1e-16, 1e16];

/** Whole powers of ten around the values, at least 1e-2 to 1e2. */
export function decades(values) {
  const good = values.filter((v) => v > 0 && Number.isFinite(v)).map((v) => clamp(v, ...FAR));
  const low = Math.min(1e-2, ...good);
  const high = Math.max(1e2, ...good);
  return [10 ** Math.floor(Math.log10(low) + 1e-9), 10 ** Math.ceil(Math.log10(high) - 1e-9)];
}

function powers([low, high]) {
  const [a, b] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))];
  const stride = Math.max(1, Math.ceil((b - a) / 7));
  const out = [];
  for (let p = Math.ceil(a / stride) * stride; p <= b; p += stride) out.push(10 ** p);
  return out;
}

const power = (v) => `1e${String(Math.round(Math.log10(v))).replace("-", "−")}`;

function makeChart(store, width) {
  const view = kit.axes({ width, height: Math.round(clamp(width * 0.5, 230, 320)), xLabel: "step t", yLabel: "norm of dL/dhₜ", pad: [14, 16, 40, 58],
    label: "Norm of the gradient by the state at each step, with the bound by the largest singular value" });
  view.svg.setAttribute("role", "group");
  view.svg.classList.add("tb-gf-plot");
  const id = kit.uid("clip");
  const [bound, rate, norm] = ["tb-gf-bound", "tb-gf-rate", "tb-gf-norm"].map((name) => svg("path", { class: name }));
  const [line, hit, ring] = [svg("line", {}), svg("circle", { r: 17, class: "hit" }), svg("circle", { r: 7, class: "ring" })];
  const marker = svg("g", { class: "tb-gf-marker", tabindex: "0", role: "slider", "aria-label": "Step to read", "aria-valuemin": 0 }, line, hit, ring);
  view.plot.append(svg("clipPath", { id }, svg("rect", { x: view.left, y: view.top, width: view.right - view.left, height: view.bottom - view.top })),
    svg("g", { "clip-path": `url(#${id})`, "aria-hidden": "true" }, bound, rate, norm), marker);
  const move = (t) => store.set("step", clamp(Math.round(t), 0, store.get("length")));
  kit.drag(view.svg, { start: () => { marker.focus({ preventScroll: true }); }, move: (event) => move(view.at(event)[0]) });
  marker.addEventListener("keydown", (event) => {
    const T = store.get("length");
    const to = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -T, End: T }[event.key];
    if (!to) return;
    event.preventDefault();
    move(store.get("step") + to);
  });
  return { node: view.svg, draw({ length: T, radius, step }, { norms, sigma }) {
    const y = decades(norms);
    view.update({ x: [0, T], y, logY: true, yTicks: powers(y), yFormat: power });
    const points = (f) => view.path(norms.map((_, t) => [t, clamp(f(t), 1e-30, 1e30)]));
    norm.setAttribute("d", points((t) => norms[t]));
    bound.setAttribute("d", points((t) => sigma ** (T - t)));
    rate.setAttribute("d", points((t) => radius ** (T - t)));
    const [px, py] = [view.px(step), clamp(view.py(Math.max(norms[step], 1e-30)), view.top, view.bottom)];
    for (const [name, v] of Object.entries({ x1: px, x2: px, y1: view.top, y2: view.bottom })) line.setAttribute(name, v);
    for (const circle of [hit, ring]) { circle.setAttribute("cx", px); circle.setAttribute("cy", py); }
    for (const [name, v] of Object.entries({ valuemax: T, valuenow: step, valuetext: `step ${step}: norm ${digits(norms[step])}` })) marker.setAttribute(`aria-${name}`, v);
  } };
}

function makeTerms(width) {
  const view = kit.axes({ width, height: 130, xLabel: "step t", label: "Norm of each step's term in the gradient of W, as a share of the largest", pad: [8, 16, 38, 58] });
  return { node: view.svg, draw({ length: T, step }, { terms }) {
    view.update({ x: [0, T], y: [0, 1], yTicks: [0, 0.5, 1] });
    const top = Math.max(...terms);
    const wide = Math.max((view.right - view.left) / T - 1, 1);
    view.plot.replaceChildren(...terms.map((v, i) => {
      const share = top > 0 ? v / top : 0;
      return svg("rect", { class: `tb-gf-bar${i + 1 === step ? " here" : ""}`, x: view.px(i + 0.5) - wide / 2, y: view.py(share), width: wide, height: view.bottom - view.py(share) });
    }));
  } };
}

function makeMeter(width) {
  const view = kit.axes({ width, height: 78, xLabel: "", label: "Norm of the gradient of W, before and after clipping", pad: [8, 16, 26, 58] });
  return { node: view.svg, draw({ clip, limit }, { whole, clipped }) {
    const x = decades([whole, limit, clipped]);
    view.update({ x, y: [0, 1], logX: true, xTicks: powers(x), xFormat: power, yTicks: [] });
    const [a, b, y] = [view.px(clamp(whole, ...x)), view.px(clamp(clipped, ...x)), view.py(0.5)];
    view.plot.replaceChildren(...(clip ? [svg("line", { class: "tb-gf-limit", x1: view.px(limit), x2: view.px(limit), y1: view.top, y2: view.bottom })] : []),
      svg("line", { class: "tb-gf-bound", x1: a, x2: b, y1: y, y2: y }),
      svg("circle", { class: "tb-gf-before", cx: a, cy: y, r: 9 }), svg("circle", { class: "tb-gf-after", cx: b, cy: y, r: 5.5 }));
  } };
}

function makeControls(store) {
  const slide = (key, options) => kit.slider({ value: store.get(key), ...options, onInput: (v) => store.set(key, Number(v.toPrecision(4))) });
  const lists = {
    matrix: kit.select({ label: "matrix", value: store.get("matrix"), options: ["orthogonal", "random", "shear"], onChange: (v) => store.set("matrix", v) }),
    nonlinearity: kit.select({ label: "nonlinearity", value: store.get("nonlinearity"), options: ["linear", "tanh", ["relu", "ReLU"]], onChange: (v) => store.set("nonlinearity", v) }),
  };
  const sliders = {
    radius: slide("radius", { label: "spectral radius", min: 0.5, max: 1.5, step: 0.01 }),
    length: kit.slider({ label: "length T", min: 5, max: 100, value: store.get("length"), format: String,
      onInput: (T) => { if (store.get("step") > T) store.set("step", T); store.set("length", T); } }),
    inputs: slide("inputs", { label: "input noise", min: 0, max: 3, step: 0.05 }),
    limit: slide("limit", { label: "clip at norm", min: 0.01, max: 100, log: true, format: digits }),
  };
  const clip = kit.checkbox({ label: "clip", value: store.get("clip"), onChange: (v) => store.set("clip", v) });
  const again = kit.button({ text: "New draw", name: "Draw a new matrix and new noise", onClick: () => store.set("seed", (store.get("seed") + 1) % 2 ** 31) });
  return {
    top: h("div", { class: "tb-row" }, lists.matrix.node, lists.nonlinearity.node, again),
    node: h("div", { class: "tb-controls" }, sliders.radius.node, sliders.length.node, sliders.inputs.node),
    clip: h("div", { class: "tb-controls" }, clip.node, sliders.limit.node),
    draw() {
      for (const [key, control] of Object.entries({ ...lists, ...sliders })) if (control.input !== document.activeElement) control.set(store.get(key));
      clip.set(store.get("clip"));
      sliders.limit.input.disabled = !store.get("clip");
    },
  };
}

function legend() {
  const line = (name, text) => h("span", {}, svg("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" }, svg("path", { class: name, d: "M0 5H30" })), text);
  return h("p", { class: "tb-gf-key" }, line("tb-gf-norm", "gradient"), line("tb-gf-bound", "bound: singular value to the power T − t"), line("tb-gf-rate", "spectral radius to the power T − t"));
}

const NAMES = ["matrix", "radius", "nonlinearity", "length", "inputs", "clip", "limit", "step", "seed"];

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-gf");
  let refresh = () => {};
  const traits = Object.fromEntries(NAMES.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = { get: (name) => traits[name].get(), set: (name, v) => traits[name].set(v) };
  const width = clamp(body.clientWidth || 720, 280, 900);
  const [chart, terms, meter, controls] = [makeChart(store, width), makeTerms(width), makeMeter(width), makeControls(store)];
  const caption = (text) => h("p", { class: "tb-gf-caption", text });
  body.append(controls.top, controls.node, legend(), chart.node, caption("Each step's term in the gradient of W, as a share of the largest:"), terms.node,
    controls.clip, caption("Norm of the gradient of W: the ring before clipping, the dot after."), meter.node);
  let result = null;
  refresh = (name) => {
    const state = Object.fromEntries(NAMES.map((key) => [key, store.get(key)]));
    state.step = Math.min(state.step, state.length);
    if (name !== "step" || !result) result = flow(state);
    controls.draw();
    for (const part of [chart, terms, meter]) part.draw(state, result);
    say(sentence(state, result));
  };
  refresh();
}

export default { render };
