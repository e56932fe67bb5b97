import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The schedules. The rate at step i is the one with which update i = 0, 1, ..., steps - 1 is made.

const COMMON = ["base_lr", "min_lr", "warmup", "warmup_start", "color"];

/** Every kind: its name, the common parameters that it lacks, and its own ones for `n` steps after the warm-up. */
export const KINDS = {
  constant: { name: "constant", lacks: ["min_lr"], own: () => ({}) },
  step: { name: "step", lacks: [], own: (n) => ({ step_size: Math.max(1, Math.round(n / 4)), gamma: 0.1 }) },
  exponential: { name: "exponential", lacks: [], own: (n) => ({ gamma: significant(0.01 ** (1 / n), 6) }) },
  linear: { name: "linear", lacks: [], own: () => ({}) },
  cosine: { name: "cosine", lacks: [], own: () => ({}) },
  restarts: { name: "warm restarts", lacks: [], own: (n) => ({ T_0: Math.ceil(n / 7), T_mult: 2 }) },
  "one-cycle": { name: "one-cycle", lacks: ["min_lr", "warmup", "warmup_start"],
    own: () => ({ pct_start: 0.3, div_factor: 25, final_div_factor: 1e4 }) },
  "inverse-sqrt": { name: "inverse square root", lacks: [], own: (n) => ({ timescale: Math.max(1, Math.round(n / 10)) }) },
};

/** `value` with so many significant digits: what a slider gives should be what the code says. */
export function significant(value, digits = 3) {
  return Number(value.toPrecision(digits));
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The schedule with every parameter that its kind has, made to fit into `steps`. */
export function complete(schedule, steps) {
  const kind = KINDS[schedule.kind];
  const warmup = kind.lacks.includes("warmup") ? 0 : clamp(Math.round(schedule.warmup ?? 0), 0, steps - 1);
  const full = { base_lr: 0.1, min_lr: 0, warmup, warmup_start: 0.01, ...kind.own(steps - warmup), ...schedule };
  full.warmup = warmup;
  full.min_lr = clamp(full.min_lr, 0, full.base_lr);
  // OneCycleLR divides by the length of its rise: at least two steps.
  if ("pct_start" in full) full.pct_start = Math.max(full.pct_start, significant(2 / steps, 6));
  for (const name of kind.lacks) delete full[name];
  return full;
}

/** The same curve as another kind: what both kinds know is kept, the rest starts anew. */
export function adopt(schedule, kind) {
  const kept = COMMON.filter((name) => name in schedule && !KINDS[kind].lacks.includes(name));
  return { kind, ...Object.fromEntries(kept.map((name) => [name, schedule[name]])) };
}

const cosine = (from, to, t) => to + ((from - to) * (1 + Math.cos(Math.PI * t))) / 2;

// After the warm-up: `i` counts from 0, `n` steps are left in all.
const DECAY = {
  constant: (c) => c.base_lr,
  step: (c, i) => Math.max(c.min_lr, c.base_lr * c.gamma ** Math.floor(i / c.step_size)),
  exponential: (c, i) => Math.max(c.min_lr, c.base_lr * c.gamma ** i),
  linear: (c, i, n) => c.base_lr + (c.min_lr - c.base_lr) * (i / n),
  cosine: (c, i, n) => cosine(c.base_lr, c.min_lr, i / n),
  restarts: (c, i) => {
    let [length, rest] = [c.T_0, i];
    if (c.T_mult === 1) rest %= length;
    while (rest >= length) { rest -= length; length *= c.T_mult; }
    return cosine(c.base_lr, c.min_lr, rest / length);
  },
  "one-cycle": (c, i, n) => {
    const [low, top] = [c.base_lr / c.div_factor, c.pct_start * n - 1];
    if (i <= top) return cosine(low, c.base_lr, i / top);
    return cosine(c.base_lr, low / c.final_div_factor, (i - top) / (n - 1 - top));
  },
  "inverse-sqrt": (c, i) => Math.max(c.min_lr, c.base_lr * Math.sqrt(c.timescale / (c.timescale + i))),
};

function rateOf(full, step, steps) {
  const warmup = full.warmup ?? 0;
  if (step < warmup) return full.base_lr * (full.warmup_start + ((1 - full.warmup_start) * step) / warmup);
  return DECAY[full.kind](full, step - warmup, steps - warmup);
}

/** The learning rate with which update number `step` of `steps` is made. */
export function rate(schedule, step, steps) {
  return rateOf(complete(schedule, steps), step, steps);
}

/** The rates of all updates, in order. */
export function curve(schedule, steps) {
  const full = complete(schedule, steps);
  return Array.from({ length: steps }, (_, step) => rateOf(full, step, steps));
}

/** Where the schedule reaches its base rate: the step, not always a whole one, and the rate there. */
export function peak(schedule, steps) {
  const full = complete(schedule, steps);
  return [full.kind === "one-cycle" ? full.pct_start * steps - 1 : full.warmup, full.base_lr];
}

// ---- The same schedules as PyTorch code.

// JavaScript writes the shortest digits that give the same double, and so does Python.
function real(value) {
  const text = String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

function decayCode(c, n) {
  const lambda = (factor) => (c.min_lr > 0
    ? `LambdaLR(optimizer, lambda i: max(${factor}, ${real(c.min_lr)} / ${real(c.base_lr)}))`
    : `LambdaLR(optimizer, lambda i: ${factor})`);
  const gamma = real(c.gamma ?? 1);
  switch (c.kind) {
    case "constant": return "ConstantLR(optimizer, factor=1.0)";
    case "step": return c.min_lr > 0 ? lambda(`${gamma} ** (i // ${c.step_size})`)
      : `StepLR(optimizer, step_size=${c.step_size}, gamma=${gamma})`;
    case "exponential": return c.min_lr > 0 ? lambda(`${gamma} ** i`) : `ExponentialLR(optimizer, gamma=${gamma})`;
    case "linear": return `LinearLR(optimizer, start_factor=1.0, end_factor=${real(c.min_lr)} / ${real(c.base_lr)}, total_iters=${n})`;
    case "cosine": return `CosineAnnealingLR(optimizer, T_max=${n}, eta_min=${real(c.min_lr)})`;
    case "restarts": return `CosineAnnealingWarmRestarts(optimizer, T_0=${c.T_0}, T_mult=${c.T_mult}, eta_min=${real(c.min_lr)})`;
    case "one-cycle": return `OneCycleLR(optimizer, max_lr=${real(c.base_lr)}, total_steps=${n}, pct_start=${real(c.pct_start)},\n`
      + `    div_factor=${real(c.div_factor)}, final_div_factor=${real(c.final_div_factor)}, cycle_momentum=False)`;
    default: return lambda(`(${real(c.timescale)} / (${real(c.timescale)} + i)) ** 0.5`);
  }
}

/** Python code that makes the schedule with torch.optim.lr_scheduler, with the loop that steps it. */
export function torchCode(schedule, steps) {
  const c = complete(schedule, steps);
  const main = decayCode(c, steps - (c.warmup ?? 0));
  const lines = ["import torch", "from torch.optim import lr_scheduler", "",
    `optimizer = torch.optim.SGD(model.parameters(), lr=${real(c.base_lr)})`];
  if (c.warmup) {
    const warmup = `lr_scheduler.LinearLR(optimizer, start_factor=${real(c.warmup_start)}, total_iters=${c.warmup})`;
    lines.push(`warmup = ${warmup}`, `main = lr_scheduler.${main}`,
      `scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, main], milestones=[${c.warmup}])`);
  } else lines.push(`scheduler = lr_scheduler.${main}`);
  return [...lines, "", `for step in range(${steps}):`, "    ...  # forward pass and loss.backward()",
    "    optimizer.step()", "    scheduler.step()", "    optimizer.zero_grad()"].join("\n");
}

// ---- Numbers about a curve.

/** The mean rate, the last one, the highest, and the lowest that a logarithmic axis can show. */
export function summary(rates) {
  let [sum, high, low] = [0, 0, Infinity];
  for (const value of rates) {
    sum += value;
    if (value > high) high = value;
    if (value > 0 && value < low) low = value;
  }
  return { mean: sum / rates.length, last: rates.at(-1), high, low };
}

/** The axis that holds curves with these summaries. A logarithmic one ends at a millionth of the highest rate. */
export function domain(summaries, log) {
  const high = Math.max(...summaries.map((numbers) => numbers.high));
  if (!log) return [0, high * 1.08];
  const lowest = Math.min(...summaries.map((numbers) => numbers.low));
  return [10 ** Math.floor(Math.log10(Math.max(lowest, high * 1e-6)) + 1e-9), high * 1.5];
}

/** At most about 1,500 points of a curve, both ends of every stretch: so that a jump stays a jump. */
export function thinned(rates) {
  const stride = Math.ceil(rates.length / 750);
  if (stride < 3) return rates.map((value, step) => [step, value]);
  const points = [];
  for (let first = 0; first < rates.length; first += stride) {
    const last = Math.min(first + stride, rates.length) - 1;
    points.push([first, rates[first]], [last, rates[last]]);
  }
  return points;
}

/** A name for the list of curves. */
export function describe(schedule, steps) {
  const { warmup } = complete(schedule, steps);
  return KINDS[schedule.kind].name + (warmup ? `, warm-up ${warmup}` : "");
}

// ---- The picture.

const DASHES = ["", "8 5", "2 5", "12 4 2 4", "5 3", "16 6"];
const MAX_CURVES = DASHES.length;
const ZERO = 1e-8; // where the slider of the lowest rate says 0
const powerOfTen = (value) => `10${String(Math.round(Math.log10(value))).replace(/[-\d]/g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)])}`;
const look = (color, wide) => ({ class: "tb-curve", stroke: `var(--tb-c${color})`, "stroke-dasharray": DASHES[color],
  style: `stroke-width: ${wide ? 3.2 : 2}` });

/** The state that all parts share: traits, and the curves of the schedules, each computed once. */
function makeStore(model, refresh) {
  const traits = Object.fromEntries(["schedules", "steps", "step", "selected", "log"].map((name) =>
    [name, kit.trait(model, name, () => refresh(name))]));
  const known = new Map();
  const facts = (schedule, steps) => {
    const key = JSON.stringify([{ ...schedule, color: 0 }, steps]);
    if (!known.has(key)) {
      if (known.size > 60) known.clear(); // a drag makes many
      const rates = curve(schedule, steps);
      known.set(key, { rates, points: thinned(rates), ...summary(rates) });
    }
    return known.get(key);
  };
  const store = {
    get list() { return traits.schedules.get(); },
    get steps() { return traits.steps.get(); },
    get step() { return clamp(traits.step.get(), 0, store.steps - 1); },
    get index() { return clamp(traits.selected.get(), 0, store.list.length - 1); },
    get log() { return traits.log.get(); },
    get current() { return store.list[store.index]; },
    get full() { return complete(store.current, store.steps); },
    facts: (schedule) => facts(schedule, store.steps),
    set: (name, value) => traits[name].set(value),
    replace: (schedule) => traits.schedules.set(store.list.map((old, i) => (i === store.index ? schedule : old))),
    change: (values) => {
      const next = { ...store.current, ...values };
      if (next.min_lr > next.base_lr) next.min_lr = next.base_lr; // Python's half refuses a floor above the base
      store.replace(next);
    },
  };
  return store;
}

function makeChart(store, width) {
  const height = width < 500 ? 260 : 320;
  const view = kit.axes({ width, height, xLabel: "step", yLabel: "learning rate", label: "Learning rate at each step",
    pad: [14, 14, 42, 62] });
  view.svg.setAttribute("role", "group"); // it holds the handle, which an image could not
  view.svg.style.touchAction = "pan-y";
  const [curves, marks] = [svg("g", {}), svg("g", {})];
  const handle = makeHandle(store, view);
  view.plot.append(curves, marks, handle.node);
  const read = (event) => {
    if (!handle.held) store.set("step", clamp(Math.round(view.at(event)[0]), 0, store.steps - 1));
  };
  view.svg.addEventListener("pointermove", read);
  view.svg.addEventListener("pointerdown", read);
  return { node: view.svg, drawCurves() {
    const all = store.list.map(store.facts);
    // The axis stands still while one drags on it.
    if (!handle.held) {
      view.update({ x: [0, store.steps], y: domain(all, store.log), logY: store.log,
        yFormat: store.log ? powerOfTen : kit.fmt });
    }
    const low = view.domain.y[0];
    const order = [...all.keys()].sort((a, b) => (a === store.index) - (b === store.index));
    curves.replaceChildren(...order.map((i) => svg("path", { ...look(store.list[i].color ?? i, i === store.index),
      d: view.path(all[i].points.map(([x, y]) => [x, y < low ? NaN : y])) })));
    handle.draw();
  }, drawStep() {
    const x = view.px(store.step);
    const dots = store.list.map((schedule, i) => [schedule.color ?? i, store.facts(schedule).rates[store.step]])
      .filter(([, y]) => y >= view.domain.y[0])
      .map(([color, y]) => svg("circle", { cx: x, cy: view.py(y), r: 4.5, fill: `var(--tb-c${color})`, class: "tb-schedule-dot" }));
    marks.replaceChildren(svg("line", { x1: x, x2: x, y1: view.top, y2: view.bottom, class: "tb-schedule-now" }), ...dots);
  } };
}

// The ring on the selected curve: sideways it moves the warm-up, up and down the base rate.
function makeHandle(store, view) {
  const ring = svg("g", { class: "tb-schedule-handle", tabindex: "0", role: "slider", "aria-label": "Peak of the selected curve",
    "aria-valuemin": 0.00001, "aria-valuemax": 10 }, svg("circle", { r: 16, class: "hit" }), svg("circle", { r: 8, class: "ring" }));
  const handle = { node: ring, held: false, draw() {
    const [step, top] = peak(store.current, store.steps);
    ring.setAttribute("transform", `translate(${view.px(step)} ${clamp(view.py(top), view.top, view.bottom)})`);
    ring.setAttribute("aria-valuenow", top);
    ring.setAttribute("aria-valuetext", `base rate ${kit.fmt(top)}, reached at step ${Math.round(step)}`);
  } };
  const moveTo = (step, top) => {
    const { kind, min_lr: low = 0 } = store.full;
    const when = clamp(Math.round(step), 0, store.steps - 1);
    const rise = kind === "one-cycle" ? { pct_start: clamp(significant((when + 1) / store.steps, 6), 2 / store.steps, 0.95) }
      : { warmup: when };
    store.change({ ...rise, base_lr: significant(clamp(top, Math.max(low, 1e-5), 10)) });
  };
  kit.drag(ring, {
    start: (event) => { event.stopPropagation(); handle.held = true; },
    move: (event) => {
      const [step, top] = view.at(event);
      moveTo(step, clamp(top, ...view.domain.y));
    },
    end: () => { handle.held = false; store.change({}); },
  });
  ring.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const [step, top] = peak(store.current, store.steps);
    moveTo(step + dx * Math.max(1, Math.round(store.steps / 100)), top * 1.1 ** dy);
  });
  return handle;
}

// ---- The list of curves, and its buttons.

function swatch(color) {
  const line = svg("svg", { viewBox: "0 0 34 10", class: "tb-schedule-swatch", "aria-hidden": "true" });
  line.append(svg("line", { x1: 1, x2: 33, y1: 5, y2: 5, ...look(color, true) }));
  return line;
}

function makeList(store) {
  const head = h("tr", {});
  const rows = h("tbody", {});
  const node = h("div", { class: "tb-scroll" }, h("table", { class: "tb-schedule-list" }, h("thead", {}, head), rows));
  let made = [];
  const build = () => {
    const focus = made.findIndex((row) => row.pick === document.activeElement);
    made = store.list.map((schedule, i) => {
      const pick = h("button", { type: "button", class: "tb-schedule-pick", "aria-pressed": String(i === store.index),
        onclick: () => store.set("selected", i) },
      swatch(schedule.color ?? i), h("span", { text: describe(schedule, store.steps) }));
      const { mean, last } = store.facts(schedule);
      const now = h("td", {});
      return { pick, now, node: h("tr", { class: i === store.index ? "selected" : "" }, h("th", { scope: "row" }, pick), now,
        h("td", { text: kit.fmt(mean, 3) }), h("td", { text: kit.fmt(last, 3) })) };
    });
    rows.replaceChildren(...made.map((row) => row.node));
    made[focus]?.pick.focus();
  };
  const drawStep = () => {
    head.replaceChildren(...["curve", `at ${store.step}`, "mean", "last"].map((text) => h("th", { scope: "col", text })));
    made.forEach((row, i) => { row.now.textContent = kit.fmt(store.facts(store.list[i]).rates[store.step], 3); });
  };
  return { node, build, drawStep };
}

function makeButtons(store) {
  const free = () => DASHES.findIndex((_, color) => !store.list.some((schedule, i) => (schedule.color ?? i) === color));
  const append = (schedule) => {
    store.set("schedules", [...store.list, { ...schedule, color: free() }]);
    store.set("selected", store.list.length - 1);
  };
  // A new curve is of a kind that is not there yet: the next one in the list.
  const unused = () => Object.keys(KINDS).find((kind) => !store.list.some((schedule) => schedule.kind === kind)) ?? "cosine";
  const add = kit.button({ text: "+ Add", name: "Add a curve", onClick: () => append({ kind: unused(), base_lr: store.current.base_lr }) });
  const twin = kit.button({ text: "Duplicate", name: "Duplicate the selected curve", onClick: () => append(store.current) });
  const drop = kit.button({ text: "Remove", name: "Remove the selected curve", onClick: () => {
    const rest = store.list.filter((_, i) => i !== store.index);
    store.set("selected", Math.min(store.index, rest.length - 1));
    store.set("schedules", rest);
  } });
  return { node: h("div", { class: "tb-row" }, add, twin, drop), draw() {
    for (const button of [add, twin]) button.disabled = store.list.length >= MAX_CURVES;
    drop.disabled = store.list.length === 1;
  } };
}

// ---- The controls of the selected curve.

const whole = (value) => String(value);
const plain = (low, high, step) => ({ min: low, max: high, step });
const logarithmic = (low, high, format = (v) => kit.fmt(significant(v))) => ({ min: low, max: high, log: true, format,
  read: (v) => significant(v) });

/** How each parameter is set: label, range, and the way between the slider's value and the parameter's. */
function controlOf(name, kind, steps) {
  switch (name) {
    case "base_lr": return { label: kind === "one-cycle" ? "highest rate" : "base rate", ...logarithmic(1e-5, 10) };
    case "min_lr": return { label: "lowest rate", ...logarithmic(ZERO, 1, (v) => (v <= ZERO * 1.001 ? "0" : kit.fmt(significant(v)))),
      read: (v) => (v <= ZERO * 1.001 ? 0 : significant(v)), show: (v) => Math.max(v, ZERO) };
    case "warmup": return { label: "warm-up steps", ...plain(0, steps - 1, 1), format: whole };
    case "warmup_start": return { label: "warm-up from", ...logarithmic(0.001, 1, (v) => `${kit.fmt(significant(v))} ×`) };
    case "step_size": return { label: "step_size", ...plain(1, steps, 1), format: whole };
    case "T_0": return { label: "T_0", ...plain(1, steps, 1), format: whole };
    case "T_mult": return { label: "T_mult", ...plain(1, 4, 1), format: whole };
    case "gamma": return kind === "step" ? { label: "gamma", ...plain(0.01, 1, 0.01) }
      : { label: "1 − gamma", ...logarithmic(1e-6, 0.5), read: (v) => significant(1 - significant(v), 9), show: (v) => clamp(1 - v, 1e-6, 0.5) };
    case "pct_start": return { label: "pct_start", ...plain(0.01, 0.95, 0.01) };
    case "timescale": return { label: "timescale", ...logarithmic(1, 10 * steps) };
    default: return { label: name, ...logarithmic(1, name === "div_factor" ? 1e3 : 1e6) };
  }
}

function makeControls(store) {
  const node = h("div", {});
  let [built, sliders] = ["", {}];
  const build = () => {
    const { kind, color, ...parameters } = store.full;
    sliders = Object.fromEntries(["base_lr", ...Object.keys(parameters).filter((name) => name !== "base_lr")].map((name) => {
      const spec = { show: (v) => v, read: (v) => v, format: kit.fmt, ...controlOf(name, kind, store.steps) };
      const onInput = (value) => store.change({ [name]: spec.read(value) });
      return [name, { spec, ...kit.slider({ ...spec, value: spec.show(parameters[name]), onInput }) }];
    }));
    const choice = kit.select({ label: "Schedule", value: kind, options: Object.entries(KINDS).map(([key, { name }]) => [key, name]),
      onChange: (next) => { store.replace(adopt(store.current, next)); node.querySelector("select").focus(); } });
    node.replaceChildren(choice.node, h("div", { class: "tb-controls" }, Object.values(sliders).map((slider) => slider.node)));
  };
  return { node, draw() {
    const shape = JSON.stringify([store.index, store.current.kind, store.current.color, store.steps]);
    if (shape !== built) { build(); built = shape; }
    for (const [name, slider] of Object.entries(sliders)) {
      // Its own slider stays where the hand holds it: rounding must not pull it away.
      if (slider.input !== document.activeElement) slider.set(slider.spec.show(store.full[name]));
    }
  } };
}

function makeAxisControls(store) {
  const step = kit.slider({ label: "read at step", min: 0, max: store.steps - 1, value: store.step, format: whole,
    onInput: (value) => store.set("step", value) });
  const round = (value) => Math.round(significant(value));
  const steps = kit.slider({ label: "total steps", min: 10, max: Math.max(20000, store.steps), log: true, value: store.steps,
    format: (value) => String(round(value)), onInput: (value) => {
      const part = store.step / store.steps;
      store.set("steps", round(value));
      store.set("step", Math.floor(part * store.steps));
    } });
  const log = kit.checkbox({ label: "logarithmic axis", value: store.log, onChange: (on) => store.set("log", on) });
  return { node: h("div", { class: "tb-controls" }, step.node, steps.node, log.node), draw() {
    step.input.max = store.steps - 1;
    step.set(store.step);
    if (steps.input !== document.activeElement) steps.set(store.steps);
    log.set(store.log);
  } };
}

/** The line that says the result for the selected curve. */
export function sentence(schedule, step, steps, { rates, mean, last }) {
  const name = describe(schedule, steps);
  return `${name[0].toUpperCase()}${name.slice(1)}: at step ${step} of ${steps} the rate is ${kit.fmt(rates[step])}. `
    + `Mean rate ${kit.fmt(mean)}, last rate ${kit.fmt(last)}.`;
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  const store = makeStore(model, (name) => (name === "step" ? drawStep() : drawAll()));
  // Drawn for the width that there is, so that text keeps its size on a phone; 0 where nothing is laid out yet.
  const chart = makeChart(store, clamp(body.clientWidth || 720, 280, 900));
  const [list, buttons, controls, axis] = [makeList(store), makeButtons(store), makeControls(store), makeAxisControls(store)];
  const code = kit.code("PyTorch code of the selected curve");
  const drawStep = () => {
    chart.drawStep();
    list.drawStep();
    axis.draw();
    say(sentence(store.current, store.step, store.steps, store.facts(store.current)));
  };
  const drawAll = () => {
    list.build();
    buttons.draw();
    controls.draw();
    chart.drawCurves();
    code.set(torchCode(store.current, store.steps));
    drawStep();
  };
  const hint = h("p", { class: "tb-schedule-hint",
    text: "Point at the curves to read them. Drag the ring to move the selected curve's peak, or give it another schedule below." });
  body.append(hint, chart.node, axis.node, h("div", { class: "tb-split" }, h("div", {}, list.node, buttons.node), controls.node));
  root.append(code.node); // below the line with the result, which belongs to the curves
  drawAll();
}

export default { render };
