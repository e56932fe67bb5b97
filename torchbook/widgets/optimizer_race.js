import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The surfaces: value and gradient of the mean loss; what the picture shows; where and how the race starts.
// `o` holds the knobs: kappa and tilt of the axes, `every` of the sparse one.

const CENTER = [1.5, 1]; // the lowest point of the three bowls: off the origin, so that a decay toward 0 shows
const [BEND, WALL, PULL] = [3, 27, 0.3]; // radius of the valley around the corner, curvature across it, pull along it

/** A bowl with curvature 1 along u and kappa along v, axes that are turned by `tilt` degrees. */
function turned(x, y, { kappa, tilt }) {
  const [c, s] = [Math.cos((tilt * Math.PI) / 180), Math.sin((tilt * Math.PI) / 180)];
  const [dx, dy] = [x - CENTER[0], y - CENTER[1]];
  const [u, v] = [c * dx + s * dy, c * dy - s * dx];
  return { value: (u * u + kappa * v * v) / 2, gradient: [c * u - s * kappa * v, s * u + c * kappa * v] };
}

export const SURFACES = {
  axes: {
    name: "badly scaled axes", formula: "½u² + ½κv², with u, v the axes x, y turned by the tilt", start: [-4, -2.5], steps: 150,
    rates: [0.015, 0.005, 1.5, 0.2, 0.5, 0.5],
    lowest: CENTER,
    value: (x, y, o) => turned(x, y, o).value,
    gradient: (x, y, o) => turned(x, y, o).gradient,
  },
  ravine: {
    name: "ravine around a corner", formula: "⅜ (r² − 9)² + 3/20 (x² + (y − 3)²)", start: [3.6, -1.5], steps: 150,
    rates: [0.05, 0.02, 1.5, 0.15, 0.5, 0.5],
    lowest: [0, BEND],
    value: (x, y) => (WALL / (8 * BEND ** 2)) * (x * x + y * y - BEND ** 2) ** 2 + (PULL / 2) * (x * x + (y - BEND) ** 2),
    gradient: (x, y) => {
      const w = (WALL / (2 * BEND ** 2)) * (x * x + y * y - BEND ** 2);
      return [w * x + PULL * x, w * y + PULL * (y - BEND)];
    },
  },
  sparse: {
    name: "rarely seen coordinate", formula: "½x² + ½y²/n: y is met in every n-th step alone", start: [-4, -2.5], steps: 200,
    rates: [0.15, 0.05, 1.5, 0.1, 0.15, 0.15],
    lowest: CENTER,
    value: (x, y, { every }) => ((x - CENTER[0]) ** 2 + (y - CENTER[1]) ** 2 / every) / 2,
    gradient: (x, y, { every }) => [x - CENTER[0], (y - CENTER[1]) / every],
  },
  noisy: {
    name: "noise on one coordinate", formula: "½x² + ½y², with noise on y", start: [-4, -2.5], steps: 200,
    rates: [0.05, 0.005, 1, 0.05, 0.1, 0.1],
    lowest: CENTER,
    value: (x, y) => ((x - CENTER[0]) ** 2 + (y - CENTER[1]) ** 2) / 2,
    gradient: (x, y) => [x - CENTER[0], y - CENTER[1]],
  },
};

export const value = (surface, o, x, y) => SURFACES[surface].value(x, y, o);
export const gradient = (surface, o, x, y) => SURFACES[surface].gradient(x, y, o);

/** The weather of each step: noise to add to x and y, and how often y counts (0 or n on the sparse surface, else 1). */
export function weather({ surface, seed, steps, noise, every }) {
  const { normal } = kit.random(seed + 1);
  return Array.from({ length: steps }, (_, t) => {
    const gust = noise > 0 ? noise * normal() : 0;
    return { add: { sparse: [gust, 0], noisy: [0, gust] }[surface] ?? [0, 0],
      times: surface !== "sparse" ? 1 : (t + 1) % every === 0 ? every : 0 };
  });
}

// ---- The methods, as torch.optim has them.

export const NAMES = ["sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw"];
const FAR = 1e6;

/**
 * One descent: every point, and for each step the rate that multiplies each coordinate of what is stepped along.
 * `beta1` is the memory of the gradient (momentum's mu too), `beta2` that of its square. `weight_decay` is an L2
 * penalty in all methods but AdamW. The descent ends early where it leaves every bound.
 */
export function descend(method, o) {
  const lr = o.rates[NAMES.indexOf(method)];
  const [averaged, scaled] = [method.startsWith("adam"), NAMES.indexOf(method) > 1];
  const gusts = weather(o);
  const [point, m, v] = [[...o.start], [0, 0], [0, 0]];
  const [path, rates] = [[[...point]], []];
  for (let t = 1; t <= o.steps; t += 1) {
    const [{ add, times }, [gx, gy]] = [gusts[t - 1], gradient(o.surface, o, ...point)];
    const seen = [o.scale * (gx + add[0]), o.scale * (gy * times + add[1])];
    const fixed = [averaged && o.bias_correction ? 1 - o.beta1 ** t : 1, averaged && o.bias_correction ? 1 - o.beta2 ** t : 1];
    rates.push(point.map((w, k) => {
      const g = seen[k] + (method === "adamw" ? 0 : o.weight_decay * w);
      if (method === "momentum") m[k] = g + o.beta1 * m[k];
      else m[k] = averaged ? o.beta1 * m[k] + (1 - o.beta1) * g : g;
      v[k] = method === "adagrad" ? v[k] + g * g : o.beta2 * v[k] + (1 - o.beta2) * g * g;
      const size = v[k] / fixed[1];
      const rate = !scaled ? lr : lr / (o.eps_place === "inside" ? Math.sqrt(size + o.eps) : Math.sqrt(size) + o.eps);
      point[k] = w * (method === "adamw" ? 1 - lr * o.weight_decay : 1) - (rate * m[k]) / fixed[0];
      return rate;
    }));
    if (!point.every((w) => Math.abs(w) < FAR)) { rates.pop(); break; }
    path.push([...point]);
  }
  return { path, rates };
}

/** How far above the lowest point each point of a path is. */
export function losses(surface, o, path) {
  const floor = value(surface, o, ...SURFACES[surface].lowest);
  return path.map(([x, y]) => Math.max(value(surface, o, x, y) - floor, 0));
}

// ---- Text.

const METHODS = [
  { name: "SGD", color: 5, dash: "7 3", sign: "M-5-5h10v10h-10z" },
  { name: "momentum", color: 1, dash: "1.5 3.5", sign: "M0-7l6.5 12h-13z" },
  { name: "AdaGrad", color: 3, dash: "10 3 2 3", sign: "M0-7l7 7l-7 7l-7-7z" },
  { name: "RMSProp", color: 2, dash: "4 3", sign: "M0 7l6.5-12h-13z" },
  { name: "Adam", color: 0, dash: null, sign: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0" },
  { name: "AdamW", color: 4, dash: "12 4", sign: "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z" },
];
const RATES = [1e-4, 10];
const EFFECTIVE = [1e-5, 1e5];
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const significant = (v, digits = 3) => Number(v.toPrecision(digits));
const ink = (i) => `var(--tb-c${METHODS[i].color})`;
const short = (v) => kit.fmt(v, 2);

const tiny = (v) => (v < 1e-12 ? "below 1e−12" : kit.fmt(v, 3));

/** What the chart can show of a run, one value per step. */
export const CHARTS = {
  loss: { name: "loss above the lowest", of: (run) => run.loss },
  rate_x: { name: "effective rate of x", of: (run) => run.rates.map((r) => r[0]) },
  rate_y: { name: "effective rate of y", of: (run) => run.rates.map((r) => r[1]) },
  step_x: { name: "length of the step along x", of: (run) => lengths(run.path, 0) },
  step_y: { name: "length of the step along y", of: (run) => lengths(run.path, 1) },
};
const lengths = (path, k) => path.slice(1).map((p, t) => Math.abs(p[k] - path[t][k]));

/** The rates with which step `step` was made (for step 0, those of the first one); null where there is none. */
const ratesAt = (run, step) => run.rates[Math.max(step - 1, 0)] ?? null;

/** The line that says the result: who is ahead, and by which rates. */
export function sentence({ step }, runs) {
  const alive = runs.filter((run) => run.path.length > step).sort((a, b) => a.loss[step] - b.loss[step]);
  const lost = runs.filter((run) => run.path.length <= step).map((run) => `${METHODS[run.index].name} diverged (step ${run.path.length})`);
  const places = [...alive.map((run) => `${METHODS[run.index].name} ${tiny(run.loss[step])}`), ...lost].join(", ");
  const [x, y] = (alive.length && ratesAt(alive[0], step)) || [NaN, NaN];
  const detail = alive.length ? ` Effective rates of ${METHODS[alive[0].index].name}: ${kit.fmt(x, 3)} along x, ${kit.fmt(y, 3)} along y.` : "";
  return `Loss above the lowest after ${step} ${step === 1 ? "step" : "steps"}: ${places}.${detail}`;
}

// ---- The map.

const [HALF, ASPECT, PIXELS] = [5, 0.8, [300, 240]]; // one scale for both axes: the gradient is upright on the levels
const LEVELS = [0.004, 0.015, 0.04, 0.08, 0.14, 0.22, 0.32, 0.44, 0.58, 0.74, 0.9];

/** Bands of one tint between quantiles of the loss, the darker the higher, and a line where two bands meet. */
function shade(canvas, f) {
  const [columns, rows] = PIXELS;
  const at = (i, j) => f(-HALF + (2 * HALF * (i + 0.5)) / columns, HALF * ASPECT * (1 - (2 * (j + 0.5)) / rows));
  const values = Array.from({ length: columns * rows }, (_, n) => at(n % columns, Math.floor(n / columns)));
  const sorted = [...values].sort((a, b) => a - b);
  const levels = LEVELS.map((q) => sorted[Math.floor(q * sorted.length)]);
  const bands = values.map((v) => levels.filter((level) => v >= level).length);
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(columns, rows);
  bands.forEach((band, n) => {
    const edge = (n % columns && bands[n - 1] !== band) || (n >= columns && bands[n - columns] !== band);
    image.data.set([92, 122, 150, band * 12 + (edge ? 70 : 0)], 4 * n);
  });
  pen.putImageData(image, 0, 0);
}

function makeMap(store, width) {
  const height = Math.round(width * ASPECT);
  const clip = kit.uid("clip");
  const canvas = h("canvas", { width: PIXELS[0], height: PIXELS[1], class: "tb-or-shade", "aria-hidden": "true" });
  const [lowest, paths] = [svg("path", { class: "tb-or-lowest" }), svg("g", {})];
  const handle = svg("g", { class: "tb-or-start", tabindex: "0", role: "slider", "aria-label": "Start of the race",
    "aria-valuemin": -HALF, "aria-valuemax": HALF }, svg("circle", { r: 17, class: "hit" }), svg("circle", { r: 8, class: "ring" }));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Map of the loss, with the paths" },
    svg("clipPath", { id: clip }, svg("rect", { width, height, rx: 6 })),
    svg("g", { "clip-path": `url(#${clip})`, "aria-hidden": "true" }, lowest, paths), handle);
  const to = ([x, y]) => [((x + HALF) / (2 * HALF)) * width, ((HALF * ASPECT - y) / (2 * HALF * ASPECT)) * height]
    .map((v) => significant(clamp(v, -1e5, 1e5), 6));
  const moveTo = (x, y) => store.set("start", [clamp(x, -HALF, HALF), clamp(y, -HALF * ASPECT, HALF * ASPECT)].map((v) => Number(v.toFixed(2))));
  kit.drag(picture, { start: () => { handle.focus({ preventScroll: true }); }, move: (event) => {
    const box = picture.getBoundingClientRect();
    moveTo((2 * (event.clientX - box.left) / box.width - 1) * HALF, (1 - 2 * (event.clientY - box.top) / box.height) * HALF * ASPECT);
  } });
  handle.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const [[x, y], stride] = [store.get("start"), event.shiftKey ? 0.5 : 0.1];
    moveTo(x + way[0] * stride, y + way[1] * stride);
  });
  return { node: h("div", { class: "tb-or-map" }, canvas, picture),
    drawSurface(o) {
      shade(canvas, (x, y) => value(o.surface, o, x, y));
      const [x, y] = to(SURFACES[o.surface].lowest);
      lowest.setAttribute("d", `M${x - 5} ${y}h10M${x} ${y - 5}v10`);
    },
    draw(runs, { step, start }) {
      paths.replaceChildren(...[...runs].reverse().map(({ index, path }) => {
        const shown = path.slice(0, step + 1).map(to);
        const [x, y] = shown.at(-1);
        return svg("g", { class: "tb-or-path", "data-method": NAMES[index], stroke: ink(index), fill: ink(index) },
          svg("path", { class: "line", d: `M${shown.map((p) => p.join(" ")).join("L")}`, "stroke-dasharray": METHODS[index].dash }),
          svg("path", { class: "mark", d: METHODS[index].sign, transform: `translate(${x} ${y})` }));
      }));
      const [x, y] = to(start);
      handle.setAttribute("transform", `translate(${x} ${y})`);
      handle.setAttribute("aria-valuenow", start[0]);
      handle.setAttribute("aria-valuetext", `x ${kit.fmt(start[0], 3)}, y ${kit.fmt(start[1], 3)}`);
    } };
}

// ---- One row per method: whether it runs, its rate, and the rate of each coordinate at this step.

function makeRows(store, width) {
  const [left, right] = [6, width - 6];
  const at = (rate) => left + (Math.log(clamp(rate, ...EFFECTIVE) / EFFECTIVE[0]) / Math.log(EFFECTIVE[1] / EFFECTIVE[0])) * (right - left);
  const powers = ["10⁻⁴", "10⁻²", "1", "10²", "10⁴"];
  const scale = svg("svg", { viewBox: `0 0 ${width} 16`, "aria-hidden": "true" },
    powers.map((text, i) => svg("text", { x: at(10 ** (2 * i - 4)), y: 12, "text-anchor": "middle", text })));
  const rows = METHODS.map(({ name, dash, sign }, index) => {
    const toggle = kit.checkbox({ label: name, value: true, onChange: (on) => {
      const wanted = NAMES.filter((other, i) => (i === index ? on : store.get("methods").includes(other)));
      if (wanted.length) store.set("methods", wanted); else toggle.set(true); // one runs always
    } });
    toggle.node.insertBefore(svg("svg", { viewBox: "-7 -9 38 18", class: "tb-or-sign", "aria-hidden": "true", stroke: ink(index), fill: ink(index) },
      svg("path", { d: "M2 0h28", "stroke-width": 2.4, "stroke-dasharray": dash }), svg("path", { class: "mark", d: sign })), toggle.node.lastChild);
    const rate = kit.slider({ label: "rate", min: RATES[0], max: RATES[1], log: true, value: store.get("rates")[index], format: short,
      onInput: (v) => store.set("rates", store.get("rates").map((old, i) => (i === index ? significant(v) : old))) });
    rate.input.setAttribute("aria-label", `learning rate of ${name}`);
    const marks = ["x", "y"].map((text, k) => svg("g", { class: "tb-or-mark" },
      svg("circle", { r: 8, fill: ink(index) }), svg("text", { y: 4, "text-anchor": "middle", text })));
    const link = svg("line", { stroke: ink(index), "stroke-width": 2 });
    const lines = powers.map((_, i) => svg("line", { x1: at(10 ** (2 * i - 4)), x2: at(10 ** (2 * i - 4)), y1: 0, y2: 36, class: "tick" }));
    const lane = svg("svg", { viewBox: `0 0 ${width} 36`, class: "tb-or-lane", "aria-hidden": "true" }, lines, link, ...marks);
    const text = h("span", { class: "tb-or-values" });
    const node = h("div", { class: "tb-or-row" }, toggle.node, rate.node, lane, text);
    return { node, draw(run, step) {
      toggle.set(Boolean(run));
      if (rate.input !== document.activeElement) rate.set(store.get("rates")[index]);
      const now = run && ratesAt(run, step);
      lane.style.visibility = now && run.path.length > step ? "" : "hidden";
      const words = !run ? [] : run.path.length <= step ? ["diverged"] : (now ?? []).map((v, k) => `${"xy"[k]} ${short(v)}`);
      text.replaceChildren(...words.flatMap((word) => [h("span", { text: word }), " "]));
      if (!now) return;
      now.forEach((v, k) => marks[k].setAttribute("transform", `translate(${at(v)} ${k ? 27 : 9})`));
      for (const [key, v] of Object.entries({ x1: at(now[0]), y1: 9, x2: at(now[1]), y2: 27 })) link.setAttribute(key, v);
    } };
  });
  const head = h("div", { class: "tb-or-row head" }, h("span", { text: "method" }), h("span", { text: "its learning rate α" }),
    h("span", { text: "effective rates of x and y, now" }), h("span", {}));
  const foot = h("div", { class: "tb-or-row foot" }, h("span", {}), h("span", {}), scale, h("span", {}));
  return { node: h("div", { class: "tb-or-rows" }, head, rows.map((row) => row.node), foot),
    draw: (runs, step) => rows.forEach((row, index) => row.draw(runs.find((run) => run.index === index), step)) };
}

// ---- The chart, step by step.

function makeChart(store, width) {
  const choice = kit.select({ label: "chart", value: store.get("chart"), options: Object.entries(CHARTS).map(([key, { name }]) => [key, name]),
    onChange: (name) => store.set("chart", name) });
  const view = kit.axes({ width, height: Math.round(clamp(width * 0.7, 190, 280)), xLabel: "step", label: "The chosen quantity, per step", pad: [8, 12, 38, 46] });
  const [curves, mark] = [svg("g", {}), svg("line", { class: "tb-or-now" })];
  view.plot.append(curves, mark);
  const power = (v) => `10${[...String(Math.round(Math.log10(v)))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`;
  return { node: h("div", {}, choice.node, view.svg), draw(runs, { steps, step, chart }) {
    choice.set(chart);
    const first = chart === "loss" ? 0 : 1;
    const series = runs.map((run) => CHARTS[chart].of(run));
    const all = series.flat().filter((v) => v > 0 && v < 1e9);
    const top = 10 ** Math.ceil(Math.log10(Math.max(1e-9, ...all)));
    const low = Math.max(10 ** Math.floor(Math.log10(Math.min(top / 10, ...all))), top * 1e-9);
    const decades = Math.round(Math.log10(top / low));
    const yTicks = Array.from({ length: decades + 1 }, (_, i) => low * 10 ** i).filter((_, i) => i % Math.ceil(decades / 5) === 0);
    view.update({ x: [0, steps], y: [low, top], logY: true, yTicks, yFormat: power });
    curves.replaceChildren(...runs.map(({ index }, i) => svg("path", { class: "tb-curve", stroke: ink(index), "stroke-dasharray": METHODS[index].dash,
      d: view.path(series[i].map((v, t) => [t + first, clamp(v, low, top)])) })).reverse());
    const x = view.px(step);
    for (const [key, v] of Object.entries({ x1: x, x2: x, y1: view.top, y2: view.bottom })) mark.setAttribute(key, v);
  } };
}

// ---- The controls.

const KNOBS = { kappa: ["axes"], tilt: ["axes"], every: ["sparse"], noise: ["sparse", "noisy"] };

function makeControls(store, halt) {
  const surface = kit.select({ label: "surface", value: store.get("surface"), options: Object.entries(SURFACES).map(([key, { name }]) => [key, name]),
    onChange: (name) => {
      halt();
      const { start, rates, steps } = SURFACES[name];
      for (const [key, v] of Object.entries({ surface: name, start: [...start], rates: [...rates], steps, step: steps })) store.set(key, v);
    } });
  const slide = (key, options) => kit.slider({ value: store.get(key), ...options, onInput: (v) => store.set(key, significant(v)) });
  const sliders = {
    kappa: slide("kappa", { label: "condition κ", min: 1, max: 1000, log: true, format: (v) => kit.fmt(v, 3) }),
    tilt: slide("tilt", { label: "tilt of the axes", min: 0, max: 45, format: (v) => `${v}°` }),
    every: slide("every", { label: "y once in n steps", min: 1, max: 50 }),
    noise: slide("noise", { label: "noise", min: 0, max: 5, step: 0.1 }),
    scale: slide("scale", { label: "loss times", min: 1e-6, max: 1e3, log: true, format: short }),
    eps: slide("eps", { label: "ε", min: 1e-10, max: 1, log: true, format: short }),
    beta1: slide("beta1", { label: "β₁, μ: memory of g", min: 0, max: 0.99, step: 0.01 }),
    beta2: slide("beta2", { label: "β₂: memory of g²", min: 0, max: 0.999, step: 0.001 }),
    weight_decay: slide("weight_decay", { label: "weight decay λ", min: 0, max: 1, step: 0.01 }),
  };
  const place = kit.select({ label: "ε stands", value: store.get("eps_place"), options: [["outside", "outside: √v + ε"], ["inside", "inside: √(v + ε)"]],
    onChange: (v) => store.set("eps_place", v) });
  const fix = kit.checkbox({ label: "bias correction (Adam, AdamW)", value: store.get("bias_correction"), onChange: (on) => store.set("bias_correction", on) });
  const formula = h("span", { class: "tb-or-formula" });
  return { top: h("div", { class: "tb-row" }, surface.node, formula),
    node: h("div", { class: "tb-controls" }, Object.values(sliders).map((slider) => slider.node), place.node, fix.node),
    draw(o) {
      surface.set(o.surface);
      place.set(o.eps_place);
      fix.set(o.bias_correction);
      formula.textContent = SURFACES[o.surface].formula;
      for (const [key, slider] of Object.entries(sliders)) {
        if (KNOBS[key]) slider.node.style.display = KNOBS[key].includes(o.surface) ? "" : "none";
        if (slider.input !== document.activeElement) slider.set(o[key]);
      }
    } };
}

const STATE = ["surface", "kappa", "tilt", "every", "noise", "rates", "methods", "beta1", "beta2", "eps", "eps_place", "bias_correction",
  "weight_decay", "scale", "start", "steps", "step", "seed", "chart"];

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-or");
  const traits = Object.fromEntries(STATE.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = { get: (name) => (name === "step" ? Math.min(traits.step.get(), traits.steps.get()) : traits[name].get()),
    set: (name, v) => traits[name].set(v) };
  const state = () => Object.fromEntries(STATE.map((name) => [name, store.get(name)]));
  // Drawn for the width that there is, so that text keeps its size on a phone; 0 where nothing is laid out yet.
  const whole = clamp(body.clientWidth || 720, 280, 900);
  const column = whole >= 620 ? Math.round((whole - 16) / 2) : whole;
  const [map, chart, player] = [makeMap(store, column), makeChart(store, column), kit.player(store, { frames: 300 })];
  const rows = makeRows(store, whole >= 620 ? Math.round(whole - 520) : whole - 81);
  const controls = makeControls(store, player.halt);
  let runs = [];
  const drawStep = () => {
    const now = state();
    for (const part of [map, chart]) part.draw(runs, now);
    rows.draw(runs, now.step);
    player.draw();
    say(sentence(now, runs));
  };
  const race = () => {
    const now = state();
    runs = now.methods.map((name) => {
      const run = descend(name, now);
      return { ...run, index: NAMES.indexOf(name), loss: losses(now.surface, now, run.path) };
    });
    controls.draw(now);
    drawStep();
  };
  function refresh(name) {
    if (name === "step" || name === "chart") { drawStep(); return; }
    if (["surface", "kappa", "tilt", "every"].includes(name)) map.drawSurface(state());
    race();
  }
  body.append(h("p", { class: "tb-or-hint", text: "Drag the ring, where all start. Below, each method has its own rate, and two marks: the rate that it gives to x and to y at this step." }),
    controls.top, h("div", { class: "tb-split tb-or-split" }, map.node, chart.node), player.node, rows.node, controls.node);
  map.drawSurface(state());
  race();
}

export default { render };
