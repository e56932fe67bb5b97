import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The surfaces: value, gradient, Hessian; a point with the lowest value; what the picture shows.

const RAVINE = 5;
const BEND = 10;
const LEAN = 0.3; // how much deeper one of the two valleys is

/** The curvatures of the quadratic are 1 and kappa; the other surfaces take no notice of kappa. */
export const SURFACES = {
  quadratic: {
    name: "quadratic", formula: "½x² + ½κy²", half: 5, middle: 0, start: [-4, 2.5], lr: 0.06, steps: 100,
    lowest: () => [0, 0],
    value: (x, y, k) => (x * x + k * y * y) / 2,
    gradient: (x, y, k) => [x, k * y],
    hessian: (x, y, k) => [1, 0, k],
  },
  ravine: {
    name: "winding ravine", formula: "5/2 (y − sin x)² + x²/20", half: 5, middle: 0, start: [-4, 2], lr: 0.05, steps: 200,
    lowest: () => [0, 0],
    value: (x, y) => (RAVINE / 2) * (y - Math.sin(x)) ** 2 + x * x / 20,
    gradient: (x, y) => { const u = RAVINE * (y - Math.sin(x)); return [x / 10 - u * Math.cos(x), u]; },
    hessian: (x, y) => {
      const u = y - Math.sin(x);
      return [0.1 + RAVINE * (Math.cos(x) ** 2 + u * Math.sin(x)), -RAVINE * Math.cos(x), RAVINE];
    },
  },
  rosenbrock: {
    name: "Rosenbrock's banana", formula: "(1 − x)² + 10 (y − x²)²", half: 2.2, middle: 0.9, start: [-1.4, 1.2], lr: 0.004, steps: 400,
    lowest: () => [1, 1],
    value: (x, y) => (1 - x) ** 2 + BEND * (y - x * x) ** 2,
    gradient: (x, y) => { const u = y - x * x; return [2 * (x - 1) - 4 * BEND * x * u, 2 * BEND * u]; },
    hessian: (x, y) => [2 - 4 * BEND * (y - 3 * x * x), -4 * BEND * x, 2 * BEND],
  },
  saddle: {
    name: "saddle", formula: "½x² − ½y² + ¼y⁴", half: 2.5, middle: 0, start: [2, 0], lr: 0.1, steps: 100,
    lowest: () => [0, 1],
    value: (x, y) => (x * x - y * y) / 2 + y ** 4 / 4,
    gradient: (x, y) => [x, y ** 3 - y],
    hessian: (x, y) => [1, 0, 3 * y * y - 1],
  },
  valleys: {
    name: "two valleys", formula: "x⁴ − 2x² + 0.3x + y²", half: 2, middle: 0, start: [1.8, 1], lr: 0.02, steps: 100,
    lowest: () => [root((x) => 4 * x ** 3 - 4 * x + LEAN, -1.2, -0.9), 0],
    value: (x, y) => x ** 4 - 2 * x * x + LEAN * x + y * y,
    gradient: (x, y) => [4 * x ** 3 - 4 * x + LEAN, 2 * y],
    hessian: (x) => [12 * x * x - 4, 0, 2],
  },
};
const ASPECT = 0.8; // height of the picture over its width: one scale for both axes, so that the gradient is upright on the levels

/** The zero of a rising function between `low` and `high`, by bisection. */
export function root(f, low, high) {
  for (let i = 0; i < 60; i += 1) {
    const middle = (low + high) / 2;
    if (f(middle) < 0) low = middle; else high = middle;
  }
  return (low + high) / 2;
}

export const value = (surface, kappa, x, y) => SURFACES[surface].value(x, y, kappa);
export const gradient = (surface, kappa, x, y) => SURFACES[surface].gradient(x, y, kappa);
export const hessian = (surface, kappa, x, y) => SURFACES[surface].hessian(x, y, kappa);

/** The larger eigenvalue of the Hessian at the lowest point: L. */
export function sharpness(surface, kappa) {
  const [a, b, d] = hessian(surface, kappa, ...SURFACES[surface].lowest());
  return (a + d) / 2 + Math.hypot((a - d) / 2, b);
}

/** The smallest learning rate at which each method no longer converges on a curvature of L. */
export function limits(L, mu) {
  return { plain: 2 / L, momentum: (2 * (1 + mu)) / L, nesterov: (2 + 2 * mu) / (1 + 2 * mu) / L };
}

/** Noise for every step: the same for all methods, so that they race under the same weather. */
export function weather(seed, steps, noise) {
  const { normal } = kit.random(seed + 1);
  return Array.from({ length: steps }, () => (noise > 0 ? [noise * normal(), noise * normal()] : [0, 0]));
}

const FAR = 1e6;

/** The points of one descent, as torch.optim.SGD makes them; it ends early where it leaves every bound. */
export function descend(method, { surface, kappa, lr, momentum, start, steps, noise = 0, seed = 0 }) {
  const mu = method === "plain" ? 0 : momentum;
  const gusts = weather(seed, steps, noise);
  let [x, y, vx, vy] = [...start, 0, 0];
  const path = [[x, y]];
  for (let t = 0; t < steps; t += 1) {
    const [gx, gy] = gradient(surface, kappa, x, y).map((g, i) => g + gusts[t][i]);
    [vx, vy] = [gx + mu * vx, gy + mu * vy];
    const [dx, dy] = method === "nesterov" ? [gx + mu * vx, gy + mu * vy] : [vx, vy];
    [x, y] = [x - lr * dx, y - lr * dy];
    if (!(Math.abs(x) < FAR && Math.abs(y) < FAR)) break;
    path.push([x, y]);
  }
  return path;
}

/** How far above the lowest point each point of a path is. */
export function losses(surface, kappa, path) {
  const floor = value(surface, kappa, ...SURFACES[surface].lowest());
  return path.map(([x, y]) => Math.max(value(surface, kappa, x, y) - floor, 0));
}

/** Segments of the level line of `values` (rows of a grid) at `level`, in grid units: [x0, y0, x1, y1]. */
export function contour(values, level) {
  const out = [];
  const cut = (a, b) => (level - a) / (b - a);
  for (let j = 0; j + 1 < values.length; j += 1) {
    for (let i = 0; i + 1 < values[0].length; i += 1) {
      const [a, b, c, d] = [values[j][i], values[j][i + 1], values[j + 1][i + 1], values[j + 1][i]];
      const points = [];
      if (a < level !== b < level) points.push([i + cut(a, b), j]);
      if (b < level !== c < level) points.push([i + 1, j + cut(b, c)]);
      if (d < level !== c < level) points.push([i + cut(d, c), j + 1]);
      if (a < level !== d < level) points.push([i, j + cut(a, d)]);
      for (let p = 0; p + 1 < points.length; p += 2) out.push([...points[p], ...points[p + 1]]);
    }
  }
  return out;
}

// ---- Text.

const METHODS = {
  plain: { name: "plain", color: 1, dash: "7 3" },
  momentum: { name: "momentum", color: 0, dash: null },
  nesterov: { name: "Nesterov", color: 2, dash: "2 3.5" },
};
const NAMES = Object.keys(METHODS);
const RATES = [1e-3, 10];
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const significant = (v, digits = 3) => Number(v.toPrecision(digits));
const ink = (name) => `var(--tb-c${METHODS[name].color})`;

function fate(name, path, loss, step) {
  if (path.length <= step) return `${METHODS[name].name} diverged (step ${path.length})`;
  return `${METHODS[name].name} ${kit.fmt(loss[step], 3)}`;
}

/** The line that says the result. */
export function sentence({ surface, kappa, lr, step }, runs) {
  const L = sharpness(surface, kappa);
  const place = surface === "quadratic" ? "" : " at the minimum";
  const results = runs.map(({ name, path, loss }) => fate(name, path, loss, step)).join(", ");
  return `Rate ${kit.fmt(lr, 3)} is ${kit.fmt((lr * L) / 2, 3)} of 2/L; L = ${kit.fmt(L, 3)} is the largest curvature${place}. `
    + `Loss above the lowest after ${step} ${step === 1 ? "step" : "steps"}: ${results}.`;
}

// ---- The map.

const GRID = [90, 72];
const LEVELS = [0.006, 0.02, 0.05, 0.1, 0.17, 0.26, 0.37, 0.5, 0.65, 0.82];
const PIXELS = [240, 192];

function bounds(surface) {
  const { half, middle } = SURFACES[surface];
  return { x: [-half, half], y: [middle - half * ASPECT, middle + half * ASPECT] };
}

function sample(surface, kappa, [columns, rows]) {
  const { x, y } = bounds(surface);
  return Array.from({ length: rows }, (_, j) => Array.from({ length: columns }, (_, i) =>
    value(surface, kappa, x[0] + ((x[1] - x[0]) * i) / (columns - 1), y[1] - ((y[1] - y[0]) * j) / (rows - 1))));
}

/** Levels that divide the picture evenly, however steep the surface is: quantiles of what is in it. */
function levelsOf(values) {
  const sorted = values.flat().sort((a, b) => a - b);
  return LEVELS.map((q) => sorted[Math.floor(q * sorted.length)]);
}

function makeMap(store, width) {
  const height = Math.round(width * ASPECT);
  const clip = kit.uid("clip");
  const canvas = h("canvas", { width: PIXELS[0], height: PIXELS[1], class: "tb-ls-shade", "aria-hidden": "true" });
  const [lines, crosses, paths] = [svg("path", { class: "tb-ls-levels" }), svg("g", {}), svg("g", {})];
  const handle = svg("g", { class: "tb-ls-start", tabindex: "0", role: "slider", "aria-label": "Start of the descent",
    "aria-valuemin": -5, "aria-valuemax": 5 }, svg("circle", { r: 17, class: "hit" }), svg("circle", { r: 8, class: "ring" }));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Map of the loss, with the paths" },
    svg("clipPath", { id: clip }, svg("rect", { width, height, rx: 6 })),
    svg("g", { "clip-path": `url(#${clip})`, "aria-hidden": "true" }, lines, crosses, paths), handle);
  const node = h("div", { class: "tb-ls-map" }, canvas, picture);
  const edges = () => bounds(store.get("surface"));
  const to = ([x, y]) => {
    const { x: [a, b], y: [c, d] } = edges();
    return [((x - a) / (b - a)) * width, ((d - y) / (d - c)) * height].map((v) => significant(clamp(v, -1e5, 1e5), 6));
  };
  const moveTo = (x, y) => {
    const box = edges();
    store.set("start", [clamp(significant(x), ...box.x), clamp(significant(y), ...box.y)].map((v) => Number(v.toFixed(3))));
  };
  listen();
  return { node, drawSurface, drawPaths };

  function listen() {
    kit.drag(picture, { start: () => { handle.focus({ preventScroll: true }); }, move: (event) => {
      const box = picture.getBoundingClientRect();
      const { x, y } = edges();
      moveTo(x[0] + ((event.clientX - box.left) / box.width) * (x[1] - x[0]), y[1] - ((event.clientY - box.top) / box.height) * (y[1] - y[0]));
    } });
    handle.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!way) return;
      event.preventDefault();
      const stride = (SURFACES[store.get("surface")].half / 50) * (event.shiftKey ? 5 : 1);
      const [x, y] = store.get("start");
      moveTo(x + way[0] * stride, y + way[1] * stride);
    });
  }

  function drawSurface() {
    const [surface, kappa] = [store.get("surface"), store.get("kappa")];
    const values = sample(surface, kappa, GRID);
    const levels = levelsOf(values);
    const [sx, sy] = [width / (GRID[0] - 1), height / (GRID[1] - 1)];
    lines.setAttribute("d", levels.flatMap((level) => contour(values, level)).map(([a, b, c, d]) =>
      `M${(a * sx).toFixed(1)} ${(b * sy).toFixed(1)}L${(c * sx).toFixed(1)} ${(d * sy).toFixed(1)}`).join(""));
    shade(canvas, sample(surface, kappa, PIXELS), levels);
    const lowest = SURFACES[surface].lowest();
    const twins = surface === "saddle" ? [lowest, [0, -1]] : [lowest];
    crosses.replaceChildren(...twins.map((point) => {
      const [x, y] = to(point);
      return svg("path", { class: "tb-ls-lowest", d: `M${x - 5} ${y}h10M${x} ${y - 5}v10` });
    }));
  }

  function drawPaths(runs) {
    const step = store.get("step");
    const radius = step > 150 ? 1.5 : 2.4;
    paths.replaceChildren(...runs.map(({ name, path }) => {
      const shown = path.slice(0, step + 1).map(to);
      const [x, y] = shown.at(-1);
      const dots = shown.slice(1, -1).map(([a, b]) => `M${a - radius} ${b}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`);
      return svg("g", { class: "tb-ls-path", "data-method": name, stroke: ink(name), fill: ink(name) },
        svg("path", { class: "line", d: `M${shown.map((p) => p.join(" ")).join("L")}`, "stroke-dasharray": METHODS[name].dash }),
        svg("path", { class: "dots", d: dots.join("") }), marker(name, x, y));
    }));
    const [x, y] = to(store.get("start"));
    handle.setAttribute("transform", `translate(${x} ${y})`);
    const [a, b] = store.get("start");
    handle.setAttribute("aria-valuenow", a);
    handle.setAttribute("aria-valuetext", `x ${kit.fmt(a, 3)}, y ${kit.fmt(b, 3)}`);
  }
}

/** Each method ends in its own sign, so that color is not the only one. */
function marker(name, x, y) {
  const d = { plain: `M${x - 5} ${y - 5}h10v10h-10z`, momentum: `M${x - 6} ${y}a6 6 0 1 0 12 0a6 6 0 1 0 -12 0`,
    nesterov: `M${x} ${y - 7}l7 12h-14z` }[name];
  return svg("path", { class: "mark", d });
}

/** Bands of one tint, the more opaque the higher: they suit a light and a dark page. */
function shade(canvas, values, levels) {
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(...PIXELS);
  values.flat().forEach((v, i) => {
    let band = 0;
    while (band < levels.length && v >= levels[band]) band += 1;
    image.data.set([92, 122, 150, band * 15], 4 * i);
  });
  pen.putImageData(image, 0, 0);
}

// ---- The ruler of learning rates: one lane per method, full as far as it converges.

function makeRuler(store, width) {
  const [left, right, lane, top] = [78, width - 12, 17, 8];
  const bottom = top + 3 * lane + 2;
  const at = (rate) => left + (Math.log(rate / RATES[0]) / Math.log(RATES[1] / RATES[0])) * (right - left);
  const lanes = svg("g", { "aria-hidden": "true" });
  const now = svg("g", { class: "tb-ls-rate", tabindex: "0", role: "slider", "aria-label": "learning rate",
    "aria-valuemin": RATES[0], "aria-valuemax": RATES[1] },
  svg("rect", { class: "hit", x: -14, y: 0, width: 28, height: bottom + 14 }), svg("line", { y1: 2, y2: bottom + 4 }), svg("circle", { cy: bottom + 4, r: 7 }));
  const scale = [1e-3, 1e-2, 0.1, 1, 10].map((rate) => svg("text", { x: at(rate), y: bottom + 27, "text-anchor": "middle", text: String(rate) }));
  const node = svg("svg", { viewBox: `0 0 ${width} ${bottom + 32}`, class: "tb-ls-ruler", role: "group", "aria-label": "Learning rates at which each method converges" },
    lanes, ...scale, now);
  const set = (rate) => store.set("lr", significant(clamp(rate, ...RATES)));
  kit.drag(node, { start: () => { now.focus({ preventScroll: true }); }, move: (event) => {
    const box = node.getBoundingClientRect();
    const x = ((event.clientX - box.left) * width) / box.width;
    set(RATES[0] * (RATES[1] / RATES[0]) ** ((x - left) / (right - left)));
  } });
  now.addEventListener("keydown", (event) => {
    const factor = { ArrowRight: 1.02, ArrowUp: 1.02, ArrowLeft: 1 / 1.02, ArrowDown: 1 / 1.02, PageUp: 1.25, PageDown: 0.8 }[event.key];
    if (!factor) return;
    event.preventDefault();
    set(store.get("lr") * factor);
  });
  return { node, draw() {
    const rate = store.get("lr");
    const bound = limits(sharpness(store.get("surface"), store.get("kappa")), store.get("momentum"));
    lanes.replaceChildren(...NAMES.map((name, i) => {
      const [y, end] = [top + i * lane, clamp(at(bound[name]), left, right)];
      return svg("g", { class: store.get("methods").includes(name) ? "" : "off" },
        svg("text", { x: left - 6, y: y + 12, "text-anchor": "end", text: METHODS[name].name }),
        svg("rect", { class: "lane", x: left, y: y + 2, width: right - left, height: lane - 5, rx: 3 }),
        svg("rect", { x: left, y: y + 2, width: end - left, height: lane - 5, rx: 3, fill: ink(name), "fill-opacity": rate < bound[name] ? 0.85 : 0.3 }),
        svg("text", { class: "end", x: end + 4, y: y + 12, text: end + 40 < width ? kit.fmt(bound[name], 2) : "" }));
    }));
    now.setAttribute("transform", `translate(${at(rate)} 0)`);
    now.setAttribute("aria-valuenow", rate);
    now.setAttribute("aria-valuetext", `${kit.fmt(rate, 3)}, ${kit.fmt(rate / bound.plain, 3)} of 2/L`);
  } };
}

// ---- The losses, step by step.

function makeChart(store, width) {
  const view = kit.axes({ width, height: Math.round(clamp(width * 0.44, 150, 190)), xLabel: "step", label: "Loss above the lowest, per step", pad: [8, 12, 38, 46] });
  const [curves, mark] = [svg("g", {}), svg("line", { class: "tb-ls-now" })];
  view.plot.append(curves, mark);
  const powers = { "1e-6": "10⁻⁶", "0.001": "10⁻³", 1: "1", 1000: "10³" };
  return { node: view.svg, draw(runs) {
    const steps = store.get("steps");
    view.update({ x: [0, steps], y: [1e-7, 3e3], logY: true, yTicks: [1e-6, 1e-3, 1, 1e3], yFormat: (v) => powers[String(v)] ?? "10⁻⁶" });
    curves.replaceChildren(...runs.map(({ name, loss }) => svg("path", { class: "tb-curve", stroke: ink(name),
      "stroke-dasharray": METHODS[name].dash, d: view.path(loss.map((v, t) => [t, clamp(v, 1e-7, 3e3)])) })));
    const x = view.px(store.get("step"));
    for (const [key, v] of Object.entries({ x1: x, x2: x, y1: view.top, y2: view.bottom })) mark.setAttribute(key, v);
  } };
}

// ---- The controls.

function makeToggles(store) {
  const boxes = Object.fromEntries(NAMES.map((name) => [name, kit.checkbox({ label: METHODS[name].name, value: true, onChange: (on) => {
    const wanted = NAMES.filter((other) => (other === name ? on : store.get("methods").includes(other)));
    if (wanted.length) store.set("methods", wanted);
    else boxes[name].set(true); // one runs always
  } })]));
  for (const name of NAMES) {
    const sign = svg("svg", { viewBox: "-7 -9 38 18", class: "tb-ls-sign", "aria-hidden": "true", stroke: ink(name), fill: ink(name) },
      svg("path", { d: "M2 0h28", "stroke-width": 2.4, "stroke-dasharray": METHODS[name].dash }), marker(name, 0, 0));
    boxes[name].node.insertBefore(sign, boxes[name].node.lastChild);
  }
  return { node: h("div", { class: "tb-row tb-ls-toggles" }, NAMES.map((name) => boxes[name].node)),
    draw: () => NAMES.forEach((name) => boxes[name].set(store.get("methods").includes(name))) };
}

function makeControls(store, halt) {
  const surface = kit.select({ label: "surface", value: store.get("surface"), options: Object.entries(SURFACES).map(([key, { name }]) => [key, name]),
    onChange: (name) => {
      halt();
      const { start, lr, steps } = SURFACES[name];
      for (const [key, v] of Object.entries({ surface: name, start: [...start], lr, steps, step: steps })) store.set(key, v);
    } });
  const slide = (key, options) => kit.slider({ value: store.get(key), ...options, onInput: (v) => store.set(key, significant(v)) });
  const sliders = {
    kappa: slide("kappa", { label: "condition κ", min: 1, max: 100, log: true, format: (v) => kit.fmt(significant(v)) }),
    momentum: slide("momentum", { label: "momentum μ", min: 0, max: 0.99, step: 0.01 }),
    noise: slide("noise", { label: "gradient noise", min: 0, max: 5, step: 0.05 }),
  };
  const formula = h("span", { class: "tb-ls-formula" });
  return { top: h("div", { class: "tb-row" }, surface.node, formula), node: h("div", { class: "tb-controls" }, Object.values(sliders).map((slider) => slider.node)),
    draw() {
      surface.set(store.get("surface"));
      formula.textContent = SURFACES[store.get("surface")].formula;
      sliders.kappa.node.style.display = store.get("surface") === "quadratic" ? "" : "none"; // the others have no condition number
      for (const [key, slider] of Object.entries(sliders)) if (slider.input !== document.activeElement) slider.set(store.get(key));
    } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-ls");
  const NAMES_OF_STATE = ["surface", "kappa", "lr", "momentum", "noise", "start", "methods", "steps", "step", "seed"];
  const traits = Object.fromEntries(NAMES_OF_STATE.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = { get: (name) => (name === "step" ? Math.min(traits.step.get(), traits.steps.get()) : traits[name].get()),
    set: (name, v) => traits[name].set(v) };
  const state = () => Object.fromEntries(NAMES_OF_STATE.map((name) => [name, store.get(name)]));
  // Drawn for the width that there is, so that text keeps its size on a phone; 0 where nothing is laid out yet.
  const whole = clamp(body.clientWidth || 720, 280, 900);
  const column = whole >= 620 ? Math.round((whole - 16) / 2) : whole;
  const [map, ruler, chart, toggles, player] = [makeMap(store, column), makeRuler(store, column), makeChart(store, column), makeToggles(store), kit.player(store)];
  const controls = makeControls(store, player.halt);
  let runs = [];
  const drawStep = () => {
    map.drawPaths(runs);
    chart.draw(runs);
    player.draw();
    say(sentence(state(), runs));
  };
  const race = () => {
    const now = state();
    runs = now.methods.map((name) => {
      const path = descend(name, now);
      return { name, path, loss: losses(now.surface, now.kappa, path) };
    });
    ruler.draw();
    toggles.draw();
    controls.draw();
    drawStep();
  };
  function refresh(name) {
    if (name === "step") { drawStep(); return; }
    if (name === "surface" || name === "kappa") map.drawSurface();
    race();
  }
  const caption = (text) => h("p", { class: "tb-ls-caption", text });
  body.append(h("p", { class: "tb-ls-hint", text: "Drag the ring, where all three start, and the learning rate on its ruler. A bar ends where its method stops converging." }),
    controls.top, h("div", { class: "tb-split tb-ls-split" }, h("div", {}, map.node, toggles.node),
      h("div", {}, caption("learning rate"), ruler.node, caption("loss above the lowest"), chart.node)), player.node, controls.node);
  map.drawSurface();
  race();
}

export default { render };
