import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The cells, with PyTorch's weights: rows in the blocks i, f, g, o (LSTM) or r, z, n (GRU).

export const sigmoid = (a) => 1 / (1 + Math.exp(-a));

/** The inverse of the sigmoid; 0 and 1 become -40 and 40, which the sigmoid turns into 0 and 1 again. */
export const logit = (p) => Math.min(40, Math.max(-40, Math.log(p / (1 - p))));

const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const affine = (W, x, b) => W.map((row, i) => dot(row, x) + b[i]);
const block = (values, k, size) => values.slice(k * size, (k + 1) * size);

/** One step of nn.LSTMCell: the gates i, f, o, the candidate g, and the new c and h. */
export function lstmStep(w, x, h0, c0) {
  const n = h0.length;
  const [fromX, fromH] = [affine(w.w_ih, x, w.b_ih), affine(w.w_hh, h0, w.b_hh)];
  const a = fromX.map((v, k) => v + fromH[k]);
  const [i, f, o] = [0, 1, 3].map((k) => block(a, k, n).map(sigmoid));
  const g = block(a, 2, n).map(Math.tanh);
  const c = f.map((v, k) => v * c0[k] + i[k] * g[k]);
  return { i, f, g, o, c, h: o.map((v, k) => v * Math.tanh(c[k])) };
}

/** One step of nn.GRUCell: the gates r and z, the candidate n, what r scales (past), and the new h. */
export function gruStep(w, x, h0) {
  const size = h0.length;
  const [fromX, fromH] = [affine(w.w_ih, x, w.b_ih), affine(w.w_hh, h0, w.b_hh)];
  const [r, z] = [0, 1].map((k) => block(fromX, k, size).map((v, j) => sigmoid(v + fromH[k * size + j])));
  const past = block(fromH, 2, size);
  const n = block(fromX, 2, size).map((v, j) => Math.tanh(v + r[j] * past[j]));
  return { r, z, n, past, h: z.map((v, j) => v * h0[j] + (1 - v) * n[j]) };
}

/** The whole run from a state of zeros: one record per step, 1 .. T. */
export function play(kind, w, xs) {
  const zeros = w.w_hh[0].map(() => 0);
  const steps = [];
  for (const x of xs) {
    const last = steps.at(-1);
    steps.push(kind === "lstm" ? lstmStep(w, x, last?.h ?? zeros, last?.c ?? zeros) : gruStep(w, x, last?.h ?? zeros));
  }
  return steps;
}

/** W' d: what arrives at the state before, from the derivatives of the pre-activations. */
const back = (W, d) => W[0].map((_, j) => d.reduce((sum, v, i) => sum + v * W[i][j], 0));

/**
 * Derivative of entry `unit` of the last memory (c of an LSTM, h of a GRU) by the same entry of the memory at t = 0 .. T:
 * path: with all gates held fixed, a product of f or z; all: through every path, as autograd has it.
 */
export function kept(kind, w, steps, unit) {
  const T = steps.length;
  const zeros = w.w_hh[0].map(() => 0);
  const [path, all] = [Array(T + 1).fill(1), Array(T + 1).fill(1)];
  let dc = zeros.map((_, k) => (k === unit ? 1 : 0)); // an LSTM's c, a GRU's h
  let dh = zeros;
  for (let t = T; t >= 1; t -= 1) {
    const now = steps[t - 1];
    const before = steps[t - 2];
    if (kind === "lstm") {
      const { i, f, g, o, c } = now;
      dc = dc.map((v, k) => v + dh[k] * o[k] * (1 - Math.tanh(c[k]) ** 2));
      all[t] = dc[unit];
      const old = before?.c ?? zeros;
      const d = [...i.map((v, k) => dc[k] * g[k] * v * (1 - v)), ...f.map((v, k) => dc[k] * old[k] * v * (1 - v)),
        ...g.map((v, k) => dc[k] * i[k] * (1 - v * v)), ...o.map((v, k) => dh[k] * Math.tanh(c[k]) * v * (1 - v))];
      dh = back(w.w_hh, d);
      dc = dc.map((v, k) => v * f[k]);
      path[t - 1] = path[t] * f[unit];
    } else {
      const { r, z, n, past } = now;
      all[t] = dc[unit];
      const old = before?.h ?? zeros;
      const dn = n.map((v, k) => dc[k] * (1 - z[k]) * (1 - v * v));
      const d = [...r.map((v, k) => dn[k] * past[k] * v * (1 - v)), ...z.map((v, k) => dc[k] * (old[k] - n[k]) * v * (1 - v)), ...dn.map((v, k) => v * r[k])];
      const through = back(w.w_hh, d);
      dc = dc.map((v, k) => v * z[k] + through[k]);
      path[t - 1] = path[t] * z[unit];
    }
  }
  all[0] = dc[unit];
  return { path, all };
}

/** The probability of a 1, from the last h. */
export function probability(w, last) {
  const [zero, one] = affine(w.w_out, last, w.b_out);
  return sigmoid(one - zero);
}

// ---- What is played.

/** The bits of a seed, -1 or 1, with those steps (from 1) turned over that are in `flips`. */
export function bitsOf(seed, length, flips) {
  const { uniform } = kit.random(seed + 77);
  const bits = Array.from({ length }, () => (uniform() < 0.5 ? -1 : 1));
  return bits.map((bit, t) => (flips.includes(t + 1) ? -bit : bit));
}

/** Inputs (bit, mark) for every step. */
export const inputs = ({ seed, length, flips, mark }) => bitsOf(seed, length, flips).map((bit, t) => [bit, t + 1 === mark ? 1 : 0]);

const SIZE = { lstm: 4, gru: 3 };

/** One unit whose gates are what the sliders say; the candidate reads the bit, and a GRU's its state too. */
export function byHand(kind, hand) {
  const gate = (base, marked) => ({ row: [0, logit(marked) - logit(base)], bias: logit(base) });
  const fixed = (value) => gate(value, value);
  const candidate = { row: [1.5, 0], bias: 0 };
  const rows = kind === "lstm"
    ? [gate(hand.input, hand.input_at_mark), fixed(hand.forget), candidate, fixed(hand.output)]
    : [fixed(hand.reset), gate(hand.update, hand.update_at_mark), candidate];
  return {
    w_ih: rows.map((r) => r.row), b_ih: rows.map((r) => r.bias), b_hh: rows.map(() => 0),
    w_hh: rows.map((_, k) => [kind === "gru" && k === 2 ? 1 : 0]), w_out: [[-2], [2]], b_out: [0, 0],
  };
}

const GATES = { lstm: ["input", "forget", null, "output"], gru: ["reset", "update", null] };

/** The network with `push` added to the biases of its gates. */
export function pushed(kind, w, push) {
  const n = w.b_ih.length / SIZE[kind];
  return { ...w, b_ih: w.b_ih.map((v, k) => v + (push[GATES[kind][Math.floor(k / n)]] ?? 0)) };
}

/** All that is shown, from the settings. */
export function run(state) {
  const { kind, mode, weights, hand, push, mark } = state;
  const trained = mode === "trained" && weights[kind];
  const w = trained ? pushed(kind, weights[kind], push) : byHand(kind, hand);
  const xs = inputs(state);
  const steps = play(kind, w, xs);
  const units = w.w_hh[0].length;
  const unit = Math.min(state.unit, units - 1);
  return { steps, xs, units, unit, ...kept(kind, w, steps, unit), p: probability(w, steps.at(-1).h), truth: xs[mark - 1][0] > 0 ? 1 : 0 };
}

// ---- Text.

const digits = (v) => kit.fmt(v, 3);
const unitWords = (state, { unit, units }) => (units > 1 ? `, unit ${unit + 1}` : "");

/** The line that says the result. */
export function sentence(state, result) {
  const { kind, step, length, mark } = state;
  const { steps, unit, path, all, p, truth } = result;
  const now = steps[step - 1];
  const at = (name, values) => `${name} ${Math.abs(values[unit]) < 5e-4 ? 0 : digits(values[unit])}`;
  const values = kind === "lstm" ? [at("f", now.f), at("i", now.i), at("o", now.o), at("c", now.c), at("h", now.h)] : [at("z", now.z), at("r", now.r), at("h", now.h)];
  const memory = kind === "lstm" ? "cell path" : "direct path";
  const back = step === length ? "" : ` From here to the end the ${memory} keeps ${digits(path[step])} of the gradient, all paths ${digits(all[step])}.`;
  const said = Math.abs(p - 0.5) < 1e-6 ? null : p > 0.5 ? 1 : 0;
  const sure = Math.max(p, 1 - p);
  const verdict = said === null ? "no answer, both bits are equally likely" : `${said} (${sure > 0.9995 ? "more than 99.9" : (100 * sure).toFixed(1)} %): ${said === truth ? "right" : "wrong"}`;
  return `Step ${step} of ${length}${unitWords(state, result)}: ${values.join(", ")}.${back} Answer at the end: ${verdict}; the bit marked at step ${mark} is ${truth}.`;
}

// ---- Drawing.

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const LOWEST = 1e-8;
const LEFT = 58;
const PAD = [10, 14, 22, LEFT];

/** Axes over the steps with a line at the step that is read; a pointer moves that step. */
function panel(store, width, height, label, yLabel, last = false) {
  const view = kit.axes({ width, height: height + (last ? 16 : 0), xLabel: last ? "step" : "", yLabel, label, pad: last ? [10, 14, 38, LEFT] : PAD });
  const id = kit.uid("clip");
  const content = svg("g", { "clip-path": `url(#${id})` });
  const cursor = svg("line", { class: "tb-ga-cursor", "aria-hidden": "true" });
  view.plot.append(svg("clipPath", { id }, svg("rect", { x: view.left, y: view.top - 2, width: view.right - view.left + 2, height: view.bottom - view.top + 4 })), content, cursor);
  view.svg.classList.add("tb-ga-panel");
  kit.drag(view.svg, { move: (event) => store.set("step", clamp(Math.round(view.at(event)[0]), 1, store.get("length"))) });
  view.svg.style.touchAction = "pan-y"; // a finger that moves up or down scrolls the page
  const draw = ({ length, step }, y, options, children) => {
    view.update({ x: [0, length], y, ...options });
    content.replaceChildren(...children());
    const x = view.px(step);
    for (const [name, v] of Object.entries({ x1: x, x2: x, y1: view.top, y2: view.bottom })) cursor.setAttribute(name, v);
  };
  return { view, draw, node: view.svg };
}

const curve = (view, name, points) => svg("path", { class: `tb-curve ${name}`, d: view.path(points) });

function makeStrip(store, width) {
  const view = kit.axes({ width, height: 76, label: "The bits, and the mark; press a bit to turn it over", pad: [22, 14, 8, LEFT] });
  view.svg.classList.add("tb-ga-strip");
  const turn = (event) => {
    const t = clamp(Math.round(view.at(event)[0]), 1, store.get("length"));
    store.turn(t);
    store.set("step", t);
  };
  view.svg.addEventListener("click", turn);
  return { node: view.svg, draw({ length, mark, step, shown }, { xs }) {
    view.update({ x: [0, length], y: [-1.1, 1.1], xTicks: [], yTicks: [-1, 1], yFormat: (v) => (v > 0 ? "1" : "0") });
    const wide = Math.max((view.right - view.left) / length - 1.5, 1.2);
    const bars = xs.map(([bit], i) => svg("rect", {
      class: `tb-ga-bit${i + 1 === mark ? " marked" : ""}${i + 1 > shown ? " later" : ""}`,
      x: view.px(i + 1) - wide / 2, width: wide, y: view.py(Math.max(bit, 0)), height: Math.abs(view.py(0) - view.py(1)) }));
    const x = view.px(mark);
    view.plot.replaceChildren(...bars, svg("path", { class: "tb-ga-mark", d: `M${x} ${view.top - 2}l-6 -10h12z` }),
      svg("text", { x: clamp(x, view.left + 20, view.right - 20) + 10, y: view.top - 6, "text-anchor": "start", text: "mark" }),
      svg("line", { class: "tb-ga-cursor", x1: view.px(step), x2: view.px(step), y1: view.top, y2: view.bottom }));
  } };
}

const LINES = { lstm: [["f", "tb-ga-keep"], ["i", "tb-ga-write"], ["o", "tb-ga-show"]], gru: [["z", "tb-ga-keep"], ["r", "tb-ga-show"]] };

function makeGates(store, width) {
  const { view, draw, node } = panel(store, width, 138, "The gates at every step", "gates");
  return { node, draw: (state, { steps, unit }) => draw(state, [0, 1], { yTicks: [0, 0.5, 1] }, () => LINES[state.kind].map(([name, look]) =>
    curve(view, look, steps.slice(0, state.shown).map((now, t) => [t + 1, now[name][unit]])))) };
}

function makeState(store, width) {
  const { view, draw, node } = panel(store, width, 150, "The state at every step", "state");
  return { node, draw(state, { steps, unit, units }) {
    const memory = state.kind === "lstm" ? "c" : "h";
    const top = 1.05 * Math.max(1, ...steps.map((now) => Math.abs(now[memory][unit])));
    const line = (name, look, k) => curve(view, look, [[0, 0], ...steps.slice(0, state.shown).map((now, t) => [t + 1, now[name][k]])]);
    draw(state, [-top, top], {}, () => [
      ...Array.from({ length: units }, (_, k) => k).filter((k) => k !== unit).map((k) => line(memory, "tb-ga-other", k)),
      ...(state.kind === "lstm" ? [line("h", "tb-ga-hidden", unit)] : []), line(memory, "tb-ga-cell", unit)]);
  } };
}

function makeKept(store, width) {
  const { view, draw, node } = panel(store, width, 138, "How much of the gradient is kept from each step to the end", "kept", true);
  const power = (v) => (v >= 0.1 && v <= 10 ? kit.fmt(v) : `1e${String(Math.round(Math.log10(v))).replace("-", "−")}`);
  return { node, draw(state, { path, all }) {
    const sizes = [...path, ...all].map((v) => clamp(Math.abs(v), LOWEST, 1 / LOWEST));
    const [low, high] = [Math.floor(Math.log10(Math.min(0.1, ...sizes)) + 1e-9), Math.ceil(Math.log10(Math.max(10, ...sizes)) - 1e-9)];
    const y = [10 ** low, 10 ** high];
    const stride = Math.ceil((high - low) / 5);
    const yTicks = Array.from({ length: high - low + 1 }, (_, k) => low + k).filter((p) => p % stride === 0).map((p) => 10 ** p);
    const points = (values) => values.map((v, t) => [t, clamp(Math.abs(v), ...y)]);
    draw(state, y, { logY: true, yTicks, yFormat: power }, () => [curve(view, "tb-ga-all", points(all)), curve(view, "tb-ga-cell", points(path))]);
  } };
}

function keyOf(kind, units) {
  const entry = (look, text) => h("span", {}, svg("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" }, svg("path", { class: `tb-curve ${look}`, d: "M1 5H29" })), text);
  const memory = kind === "lstm" ? "c" : "h";
  return {
    gates: kind === "lstm" ? [entry("tb-ga-keep", "forget f"), entry("tb-ga-write", "input i"), entry("tb-ga-show", "output o")] : [entry("tb-ga-keep", "update z (1 keeps)"), entry("tb-ga-show", "reset r")],
    state: [entry("tb-ga-cell", `memory ${memory}`), ...(kind === "lstm" ? [entry("tb-ga-hidden", "shown h")] : []), units > 1 ? entry("tb-ga-other", "other units") : ""],
    kept: [entry("tb-ga-cell", kind === "lstm" ? "cell path: product of f" : "direct path: product of z"), entry("tb-ga-all", "all paths")],
  };
}

// ---- Controls.

const HAND = { lstm: [["forget", "forget gate f"], ["input", "input gate i"], ["input_at_mark", "i at the mark"], ["output", "output gate o"]],
  gru: [["update", "update gate z"], ["update_at_mark", "z at the mark"], ["reset", "reset gate r"]] };
const PUSH = { lstm: [["forget", "push forget"], ["input", "push input"], ["output", "push output"]], gru: [["update", "push update"], ["reset", "push reset"]] };
const signed = (v) => (v > 0 ? `+${kit.fmt(v)}` : kit.fmt(v));

function makeControls(store) {
  const kind = kit.select({ label: "cell", value: store.get("kind"), options: [["lstm", "LSTM"], ["gru", "GRU"]], onChange: (v) => store.choose({ kind: v }) });
  const mode = kit.select({ label: "gates", value: store.get("mode"), options: [["trained", "of the trained network"], ["by hand", "by hand"]], onChange: (v) => store.choose({ mode: v }) });
  const unit = kit.select({ label: "unit", value: store.get("unit"), options: [[0, "1"]], onChange: (v) => store.set("unit", Number(v)) });
  const start = kit.button({ text: "Play", kind: "primary", onClick: () => store.toggle() });
  const turn = kit.button({ text: "Turn bit over", name: "Turn over the bit at the step that is read", onClick: () => store.turn(store.get("step")) });
  const fresh = kit.button({ text: "New bits", name: "Draw new bits", onClick: () => { store.set("flips", []); store.set("seed", (store.get("seed") + 1) % 2 ** 31); } });
  const slide = (name, label, max) => kit.slider({ label, min: 1, max, value: store.get(name), format: String, onInput: (v) => store.set(name, v) });
  const step = slide("step", "step to read", store.get("length"));
  const mark = slide("mark", "marked step", store.get("length"));
  const length = kit.slider({ label: "length", min: 10, max: 240, value: store.get("length"), format: String, onInput: (v) => store.resize(v) });
  const gates = {};
  for (const [of, table, options] of [["hand", HAND, { min: 0, max: 1, step: 0.01 }], ["push", PUSH, { min: -8, max: 8, step: 0.1, format: signed }]]) {
    for (const [key, label] of Object.values(table).flat()) {
      gates[`${of} ${key}`] = kit.slider({ label, value: store.get(of)[key], ...options, onInput: (v) => store.set(of, { ...store.get(of), [key]: Number(v.toFixed(2)) }) });
    }
  }
  const row = h("div", { class: "tb-controls tb-ga-gates" }, Object.values(gates).map((slider) => slider.node));
  const reset = kit.button({ text: "Reset gates", name: "Put the gate sliders back", onClick: () => store.reset() });
  return {
    nodes: [h("div", { class: "tb-row" }, kind.node, mode.node, unit.node), row,
      h("div", { class: "tb-controls" }, step.node, mark.node, length.node), h("div", { class: "tb-row" }, start, turn, fresh, reset)],
    draw(state, { units, unit: current }) {
      const of = state.mode === "trained" ? ["push", PUSH] : ["hand", HAND];
      const wanted = of[1][state.kind].map(([key]) => `${of[0]} ${key}`);
      for (const [name, slider] of Object.entries(gates)) {
        const [which, key] = name.split(" ");
        slider.node.hidden = !wanted.includes(name);
        slider.node.style.display = slider.node.hidden ? "none" : "";
        if (slider.input !== document.activeElement) slider.set(state[which][key]);
      }
      for (const slider of [step, mark]) slider.input.max = state.length;
      for (const [slider, value] of [[step, state.step], [mark, state.mark], [length, state.length]]) slider.set(value);
      kind.set(state.kind);
      mode.set(state.mode);
      mode.input.options[0].disabled = !state.weights[state.kind];
      if (unit.input.options.length !== units) unit.input.replaceChildren(...Array.from({ length: units }, (_, k) => h("option", { value: k, text: `${k + 1}` })));
      unit.set(current);
      unit.node.style.display = units > 1 ? "" : "none";
      start.textContent = state.shown < state.length || store.playing ? (store.playing ? "Pause" : "Play") : "Play";
    },
  };
}

const NAMES = ["weights", "kind", "mode", "unit", "length", "mark", "step", "seed", "flips", "hand", "push"];

function makeStore(model, refresh) {
  const own = { held: false, playing: false, stop: () => {}, first: { hand: model.get("hand"), push: model.get("push") } };
  const traits = Object.fromEntries(NAMES.map((name) => [name, kit.trait(model, name, () => { if (!own.held) refresh(name); })]));
  const store = {
    get: (name) => traits[name].get(),
    set: (name, value) => traits[name].set(value),
    get playing() { return own.playing; },
    all(values) { // several at once, then one picture
      own.held = true;
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
      own.held = false;
      refresh();
    },
    choose(values) {
      const kind = values.kind ?? store.get("kind");
      const mode = store.get("weights")[kind] ? values.mode ?? store.get("mode") : "by hand";
      store.all({ kind, mode, unit: 0 });
    },
    turn(t) {
      const flips = store.get("flips");
      store.set("flips", flips.includes(t) ? flips.filter((v) => v !== t) : [...flips, t]);
    },
    resize(length) { store.all({ length, mark: Math.min(store.get("mark"), length), step: Math.min(store.get("step"), length) }); },
    reset() { store.all(own.first); },
    toggle() {
      own.playing = !own.playing;
      own.stop();
      if (!own.playing) { refresh("step"); return; }
      if (store.get("step") === store.get("length")) store.set("step", 1);
      let before = null;
      const pace = Math.max(12, 3600 / store.get("length")); // the whole sequence in about four seconds
      own.stop = kit.animate((time) => {
        before ??= time;
        const by = Math.floor((time - before) / pace);
        if (by > 0) {
          before += by * pace;
          const to = Math.min(store.get("step") + by, store.get("length"));
          if (to === store.get("length")) own.playing = false;
          store.set("step", to);
        }
        return own.playing;
      });
    },
    halt() { own.playing = false; own.stop(); },
  };
  return store;
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-ga");
  let refresh = () => {};
  const store = makeStore(model, (name) => refresh(name));
  const width = clamp(body.clientWidth || 720, 280, 900);
  const controls = makeControls(store);
  const keys = Object.fromEntries(["gates", "state", "kept"].map((name) => [name, h("p", { class: "tb-ga-key" })]));
  const parts = [makeStrip(store, width), makeGates(store, width), makeState(store, width), makeKept(store, width)];
  const caption = h("p", { class: "tb-ga-caption", text: "Derivative of the last memory by the memory of each step, in size:" });
  body.append(...controls.nodes, parts[0].node, keys.gates, parts[1].node, keys.state, parts[2].node, caption, keys.kept, parts[3].node);
  let [result, written] = [null, ""];
  refresh = (name) => {
    const state = Object.fromEntries(NAMES.map((key) => [key, store.get(key)]));
    if (state.mode === "trained" && !state.weights[state.kind]) state.mode = "by hand";
    state.mark = clamp(state.mark, 1, state.length);
    state.step = clamp(state.step, 1, state.length);
    state.shown = store.playing ? state.step : state.length;
    if (name !== "step" || !result) result = run(state);
    const wanted = `${state.kind} ${result.units}`;
    if (written !== wanted) for (const [part, entries] of Object.entries(keyOf(state.kind, result.units))) keys[part].replaceChildren(...entries);
    written = wanted;
    controls.draw(state, result);
    for (const part of parts) part.draw(state, result);
    say(sentence(state, result));
  };
  refresh();
  return () => store.halt();
}

export default { render };
