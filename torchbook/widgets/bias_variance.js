import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The world: a truth on [-1, 1], inputs in the middle of n equal cells, labels with noise.

export const TRUTHS = {
  wave: { name: "wave, sin 2πx", f: (x) => Math.sin(2 * Math.PI * x) },
  hump: { name: "hump, 1/(1 + 25x²)", f: (x) => 1 / (1 + 25 * x * x) },
  step: { name: "step", f: (x) => (x < 0 ? -0.7 : 0.7) },
  line: { name: "line", f: (x) => x },
};
const MAX_DEGREE = 24;
const GRID = Array.from({ length: 101 }, (_, i) => (i - 50) / 50);

export const inputs = (n) => Array.from({ length: n }, (_, i) => (2 * i + 1) / n - 1);

/** Legendre polynomials 0 to `degree` at x, scaled to mean square 1 on [-1, 1]. */
export function basis(x, degree) {
  const p = [1, x];
  for (let k = 1; k < degree; k += 1) p.push(((2 * k + 1) * x * p[k] - k * p[k - 1]) / (k + 1));
  return p.slice(0, degree + 1).map((v, k) => v * Math.sqrt(2 * k + 1));
}

/** The labels of `fits` training sets: each a row of n numbers. */
export function datasets({ truth, n, noise, fits, seed }) {
  const { normal } = kit.random(seed + 1);
  const clean = inputs(n).map(TRUTHS[truth].f);
  return Array.from({ length: fits }, () => clean.map((v) => v + noise * normal()));
}

// ---- Ridge regression. A fit is linear in the labels: fitted values = S y, one row of S per place.

/** Least squares of many right sides at once, by Householder reflections: stable where X'X + λI is not. */
export function leastSquares(A, B) {
  const columns = (M) => M[0].length === 0 ? [] : Array.from(M[0], (_, j) => Float64Array.from(M, (row) => row[j]));
  const [a, b, m, p] = [columns(A), columns(B), A.length, A[0].length];
  const diagonal = new Float64Array(p);
  for (let k = 0; k < p; k += 1) {
    const v = a[k].slice(); // the reflection that turns column k into a multiple of the unit vector k
    let norm = 0;
    for (let i = k; i < m; i += 1) norm += v[i] ** 2;
    norm = Math.sqrt(norm) * (v[k] < 0 ? -1 : 1);
    diagonal[k] = -norm;
    v[k] += norm;
    const beta = norm * v[k]; // half the square of v's length
    if (beta === 0) continue;
    for (const column of [...a.slice(k + 1), ...b]) {
      let dot = 0;
      for (let i = k; i < m; i += 1) dot += v[i] * column[i];
      dot /= beta;
      for (let i = k; i < m; i += 1) column[i] -= dot * v[i];
    }
  }
  const solutions = b.map((column) => {
    const w = new Float64Array(p);
    for (let k = p - 1; k >= 0; k -= 1) {
      let sum = column[k];
      for (let l = k + 1; l < p; l += 1) sum -= a[l][k] * w[l];
      w[k] = sum / diagonal[k];
    }
    return w;
  });
  return Array.from({ length: p }, (_, k) => Float64Array.from(solutions, (w) => w[k]));
}

/** S for the places `at`: the matrix that turns the labels of a training set into fitted values there. */
export function smoother(at, { n, degree, lam }) {
  const size = degree + 1;
  const unit = (length, i, value) => { const row = new Float64Array(length); row[i] = value; return row; };
  const A = [...inputs(n).map((x) => basis(x, degree)), ...Array.from({ length: size }, (_, k) => unit(size, k, Math.sqrt(lam)))];
  const w = leastSquares(A, A.map((_, i) => (i < n ? unit(n, i, 1) : new Float64Array(n))));
  return at.map((x) => {
    const row = new Float64Array(n);
    basis(x, degree).forEach((v, k) => { for (let i = 0; i < n; i += 1) row[i] += v * w[k][i]; });
    return row;
  });
}

function apply(S, y) {
  return Float64Array.from(S, (row) => {
    let sum = 0;
    for (let i = 0; i < row.length; i += 1) sum += row[i] * y[i];
    return sum;
  });
}

const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

/** Bias² and variance, averaged over the grid, in closed form. */
export function exact({ truth, noise, n }, S, at = GRID) {
  const { f } = TRUTHS[truth];
  const middle = apply(S, inputs(n).map(f));
  return { bias2: mean(at.map((x, i) => (middle[i] - f(x)) ** 2)), variance: noise ** 2 * mean(S.map((row) => row.reduce((sum, v) => sum + v * v, 0))) };
}

/** The fits of all training sets on the grid, their mean, and the parts measured from them alone. */
export function measure({ truth }, S, labels, at = GRID) {
  const fits = labels.map((y) => apply(S, y));
  const [middle, spread] = [new Float64Array(at.length), new Float64Array(at.length)];
  for (const fit of fits) for (let i = 0; i < at.length; i += 1) middle[i] += fit[i] / fits.length;
  for (const fit of fits) for (let i = 0; i < at.length; i += 1) spread[i] += (fit[i] - middle[i]) ** 2 / (fits.length - 1);
  const variance = mean(spread);
  // The mean of M fits still holds a part 1/M of the variance: take it off.
  const bias2 = mean(at.map((x, i) => (middle[i] - TRUTHS[truth].f(x)) ** 2)) - variance / fits.length;
  return { fits, middle, spread, bias2, variance };
}

/** What may stand on the axis of the errors: name, values, logarithmic or not. */
export const AXES = {
  degree: { name: "degree", label: "degree of the polynomial", log: false, values: Array.from({ length: MAX_DEGREE + 1 }, (_, d) => d) },
  lam: { name: "λ", label: "penalty λ", log: true, values: Array.from({ length: 31 }, (_, i) => 10 ** (-8 + i / 3)) },
  n: { name: "N", label: "points in a training set, N", log: false, values: Array.from({ length: 28 }, (_, i) => 6 + 2 * i) },
};

/** Exact parts, and parts measured from as many training sets, at each value of the axis. */
export function curves(state) {
  const labels = datasets(state);
  return AXES[state.axis].values.map((value) => {
    const here = { ...state, [state.axis]: value };
    const S = smoother(GRID, here);
    const { bias2, variance } = measure(here, S, state.axis === "n" ? datasets(here) : labels);
    return { value, ...exact(here, S), seen: { bias2, variance } };
  });
}

// ---- Text.

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const significant = (v, digits = 3) => Number(v.toPrecision(digits));
const LAMS = [1e-8, 100];
const penalty = (v) => (v <= LAMS[0] ? "10⁻⁸" : kit.fmt(significant(v, 2), 2));

/** The line that says the result. */
export function sentence(state, now, seen, rows, atProbe) {
  const [noise2, f] = [state.noise ** 2, (v) => kit.fmt(Math.abs(v) < 1e-9 ? 0 : significant(v, 2), 2)];
  const best = rows.reduce((low, row) => (row.bias2 + row.variance < low.bias2 + low.variance ? row : low));
  const value = state.axis === "lam" ? penalty(best.value) : best.value;
  return `Expected test error: bias² ${f(now.bias2)} + variance ${f(now.variance)} + noise ${f(noise2)} = ${f(now.bias2 + now.variance + noise2)}. `
    + `Lowest at ${AXES[state.axis].name} = ${value}, ${f(best.bias2 + best.variance + noise2)}. `
    + `The ${state.fits} fits alone say: variance ${f(seen.variance)}. `
    + `At x = ${kit.fmt(state.probe, 2)}: truth ${f(atProbe.truth)}, mean fit ${f(atProbe.middle)}, spread ±${f(Math.sqrt(atProbe.spread))}.`;
}

// ---- The fits.

function makeFits(store, width) {
  const view = kit.axes({ width, height: Math.round(clamp(width * 0.72, 230, 320)), xLabel: "x", label: "The fits of all training sets, their mean and the truth", pad: [22, 10, 44, 34] });
  const clip = kit.uid("clip");
  const [cloud, middle, truth, points] = [svg("path", { class: "tb-bv-fit" }), svg("path", { class: "tb-bv-mean" }), svg("path", { class: "tb-bv-truth" }), svg("g", {})];
  const one = svg("path", { class: "tb-bv-one" });
  const [stick, ticks, sign] = [svg("line", { class: "tb-bv-stick" }), svg("path", { class: "tb-bv-ticks" }), svg("circle", { r: 5, class: "tb-bv-sign" })];
  const knob = svg("g", { class: "tb-bv-probe", tabindex: "0", role: "slider", "aria-label": "Probe, x", "aria-valuemin": -1, "aria-valuemax": 1 },
    svg("rect", { class: "hit", x: -14, y: -13, width: 28, height: 26 }), svg("path", { d: "M0 9l8 -11h-16z" }));
  view.plot.append(svg("clipPath", { id: clip }, svg("rect", { x: view.left, y: view.top, width: view.right - view.left, height: view.bottom - view.top })),
    svg("g", { "clip-path": `url(#${clip})`, "aria-hidden": "true" }, cloud, one, truth, middle, points, stick, ticks, sign));
  view.svg.setAttribute("role", "group");
  view.svg.classList.add("tb-bv-fits");
  view.svg.append(knob);
  view.update({ x: [-1, 1], y: [-2, 2], yTicks: [-2, -1, 0, 1, 2] });
  const place = (v) => store.set("probe", clamp(Math.round(v * 50) / 50, -1, 1));
  kit.drag(view.svg, { start: () => { knob.focus({ preventScroll: true }); }, move: (event) => place(view.at(event)[0]) });
  knob.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -100, End: 100 }[event.key];
    if (!way) return;
    event.preventDefault();
    place(store.get("probe") + way / 50);
  });
  const safe = (v) => clamp(v, -50, 50); // far outside of the picture all the same
  const curve = (values) => view.path(GRID.map((x, i) => [x, safe(values[i])]));
  return { node: view.svg, drawFits(state, seen, labels) {
    cloud.setAttribute("d", seen.fits.map(curve).join(""));
    middle.setAttribute("d", curve(seen.middle));
    truth.setAttribute("d", view.path(GRID.map((x) => [x, TRUTHS[state.truth].f(x)])));
    const shown = state.shown % state.fits;
    one.setAttribute("d", curve(seen.fits[shown]));
    points.replaceChildren(...inputs(state.n).map((x, i) => svg("circle", { class: "tb-bv-point", cx: view.px(x), cy: view.py(safe(labels[shown][i])), r: 3.2 })));
  }, drawProbe(state, seen, i) {
    const x = view.px(state.probe);
    for (const [key, v] of Object.entries({ x1: x, x2: x, y1: view.top, y2: view.bottom })) stick.setAttribute(key, v);
    ticks.setAttribute("d", seen.fits.map((fit) => `M${x - 6} ${view.py(safe(fit[i])).toFixed(1)}h12`).join(""));
    sign.setAttribute("cx", x);
    sign.setAttribute("cy", view.py(TRUTHS[state.truth].f(state.probe)));
    knob.setAttribute("transform", `translate(${x} ${view.top - 9})`);
    knob.setAttribute("aria-valuenow", state.probe);
    knob.setAttribute("aria-valuetext", `x ${kit.fmt(state.probe, 2)}, spread ${kit.fmt(Math.sqrt(seen.spread[i]), 2)}`);
  } };
}

// ---- The parts of the error.

const [FLOOR, CEILING] = [1e-4, 100];
const PARTS = {
  bias2: { name: "bias²", color: 1, dash: null, mark: (x, y) => `M${x - 3.2} ${y}a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0` },
  variance: { name: "variance", color: 0, dash: "7 3", mark: (x, y) => `M${x} ${y - 4}l4 7h-8z` },
};

function makeErrors(store, width) {
  const view = kit.axes({ width, height: Math.round(clamp(width * 0.72, 230, 320)), xLabel: "x", label: "Bias squared, variance and their sum with the noise", pad: [22, 10, 44, 44] });
  const [lines, marks, now, name] = [svg("g", {}), svg("g", {}), svg("line", { class: "tb-bv-now" }), view.svg.querySelector("text.tb-axis")];
  const clip = kit.uid("clip");
  view.plot.append(svg("clipPath", { id: clip }, svg("rect", { x: view.left, y: view.top, width: view.right - view.left, height: view.bottom - view.top })),
    svg("g", { "clip-path": `url(#${clip})` }, lines), marks, now);
  view.svg.classList.add("tb-bv-errors");
  const powers = { "0.0001": "10⁻⁴", "0.01": "0.01", 1: "1", 100: "100" };
  kit.drag(view.svg, { move: (event) => {
    const axis = store.get("axis");
    const x = view.at(event)[0];
    const { values, log } = AXES[axis];
    if (log) store.set(axis, significant(clamp(x, ...LAMS)));
    else store.set(axis, clamp(Math.round(x), values[0], values.at(-1)));
  } });
  const inside = (v) => clamp(v, 1e-9, 1e9); // the lines may leave the picture
  const draw = (state, rows) => {
    const { values, log, label } = AXES[state.axis];
    name.textContent = label;
    const xTicks = log ? [1e-8, 1e-6, 1e-4, 0.01, 1, 100] : undefined;
    const exponent = (v) => ({ "1e-8": "10⁻⁸", "0.000001": "10⁻⁶", "0.0001": "10⁻⁴" })[String(v)] ?? kit.fmt(v);
    view.update({ x: [values[0], values.at(-1)], y: [FLOOR, CEILING], logX: log, logY: true, xTicks, xFormat: exponent, yTicks: [1e-4, 0.01, 1, 100], yFormat: (v) => powers[String(v)] });
    const line = (value, attributes) => svg("path", { class: "tb-curve", d: view.path(rows.map((row) => [row.value, inside(value(row))])), ...attributes });
    lines.replaceChildren(
      line(() => state.noise ** 2, { class: "tb-bv-noise" }),
      line((row) => row.bias2 + row.variance + state.noise ** 2, { class: "tb-bv-total" }),
      ...Object.entries(PARTS).map(([key, { color, dash }]) => line((row) => row[key], { stroke: `var(--tb-c${color})`, "stroke-dasharray": dash, "data-part": key })));
    marks.replaceChildren(...Object.entries(PARTS).map(([key, { color, mark }]) => svg("path", { class: "tb-bv-mark", fill: `var(--tb-c${color})`,
      d: rows.filter(({ seen }) => seen[key] > FLOOR && seen[key] < CEILING).map(({ value, seen }) => mark(view.px(value), view.py(seen[key]))).join("") })));
  };
  return { node: view.svg, draw, drawNow(state) {
    const x = view.px(clamp(state[state.axis], ...view.domain.x));
    for (const [key, v] of Object.entries({ x1: x, x2: x, y1: view.top, y2: view.bottom })) now.setAttribute(key, v);
  } };
}

function legend() {
  const item = (text, ...shapes) => h("span", { class: "tb-bv-item" }, svg("svg", { viewBox: "0 -8 34 16", "aria-hidden": "true" }, ...shapes), text);
  const stroke = (name, extra) => svg("path", { class: name, d: "M1 0h32", ...extra });
  const part = (key) => [stroke("tb-curve", { stroke: `var(--tb-c${PARTS[key].color})`, "stroke-dasharray": PARTS[key].dash }),
    svg("path", { class: "tb-bv-mark", fill: `var(--tb-c${PARTS[key].color})`, d: PARTS[key].mark(17, 0) })];
  return [h("div", { class: "tb-bv-legend" }, item("truth", stroke("tb-bv-truth")), item("mean fit", stroke("tb-bv-mean")), item("one fit, its data", stroke("tb-bv-one"), svg("circle", { class: "tb-bv-point", cx: 17, r: 3.2 }))),
    h("div", { class: "tb-bv-legend" }, item("bias²", ...part("bias2")), item("variance", ...part("variance")), item("noise", stroke("tb-bv-noise")), item("sum", stroke("tb-bv-total")))];
}

// ---- The controls.

function makeControls(store) {
  const choice = (key, label, options) => kit.select({ label, value: store.get(key), options, onChange: (v) => store.set(key, v) });
  const selects = { truth: choice("truth", "truth", Object.entries(TRUTHS).map(([key, { name }]) => [key, name])),
    axis: choice("axis", "error against", Object.entries(AXES).map(([key, { name }]) => [key, name])) };
  const next = kit.button({ text: "Next training set", onClick: () => store.set("shown", (store.get("shown") + 1) % store.get("fits")) });
  const fresh = kit.button({ text: "New noise", onClick: () => store.set("seed", (store.get("seed") + 1) % 2 ** 31) });
  const slide = (key, options) => kit.slider({ value: store.get(key), ...options, onInput: (v) => store.set(key, significant(v)) });
  const sliders = {
    degree: slide("degree", { label: "degree", min: 0, max: MAX_DEGREE, format: String }),
    lam: slide("lam", { label: "penalty λ", min: LAMS[0], max: LAMS[1], log: true, format: penalty }),
    noise: slide("noise", { label: "noise σ", min: 0, max: 1.5, step: 0.05 }),
    n: slide("n", { label: "points N", min: 6, max: 60, format: String }),
    fits: slide("fits", { label: "training sets", min: 5, max: 100, step: 5, format: String }),
  };
  return { top: h("div", { class: "tb-row" }, selects.truth.node, selects.axis.node, next, fresh),
    node: h("div", { class: "tb-controls" }, Object.values(sliders).map((slider) => slider.node)),
    draw() {
      for (const [key, input] of Object.entries({ ...selects, ...sliders })) if (input.input !== document.activeElement) input.set(store.get(key));
    } };
}

const STATE = ["truth", "degree", "lam", "noise", "n", "fits", "axis", "probe", "shown", "seed"];

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-bv");
  const traits = Object.fromEntries(STATE.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = { get: (name) => traits[name].get(), set: (name, v) => { if (v !== traits[name].get()) traits[name].set(v); } };
  const state = () => Object.fromEntries(STATE.map((name) => [name, store.get(name)]));
  const whole = clamp(body.clientWidth || 720, 280, 900);
  const column = whole >= 620 ? Math.round((whole - 16) / 2) : whole;
  const [fits, errors, controls] = [makeFits(store, column), makeErrors(store, column), makeControls(store)];
  let [rows, now, seen, labels] = [[], null, null, []];
  const sweep = () => {
    rows = curves(state());
    errors.draw(state(), rows);
  };
  const probe = () => {
    const here = state();
    const i = Math.round(here.probe * 50) + 50;
    fits.drawProbe(here, seen, i);
    say(sentence(here, now, seen, rows, { truth: TRUTHS[here.truth].f(here.probe), middle: seen.middle[i], spread: seen.spread[i] }));
  };
  const fit = () => {
    const here = state();
    const S = smoother(GRID, here);
    labels = datasets(here);
    [now, seen] = [exact(here, S), measure(here, S, labels)];
    fits.drawFits(here, seen, labels);
    errors.drawNow(here);
    controls.draw();
    probe();
  };
  function refresh(name) {
    if (name === "probe") { probe(); return; }
    if (name !== "shown" && name !== store.get("axis")) sweep(); // along its own axis the curves stay
    fit();
  }
  const [left, right] = legend();
  body.append(h("p", { class: "tb-bv-hint", text: "Left: every training set has its own fit; drag to move the probe. Right: lines are exact, marks are measured from these fits; drag to walk along the axis." }),
    controls.top, h("div", { class: "tb-split" }, h("div", {}, fits.node, left), h("div", {}, errors.node, right)), controls.node);
  sweep();
  fit();
}

export default { render };
