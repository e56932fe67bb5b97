import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- Schedules: abar[0] = 1 ... abar[T], the share of signal variance at each level.

export const T = 200;
export const NONE = 10;
const WAVES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8];
const THERE = 10; // frames of the way into noise

const products = (alphas) => alphas.reduce((levels, alpha) => [...levels, levels.at(-1) * alpha], [1]);
const betas = (steps) => Array.from({ length: steps }, (_, i) => 1e-4 + ((0.02 - 1e-4) * i) / (steps - 1));

/** The levels of a schedule: cosine, linear, or copied, the linear one with the step sizes of 1000 steps. */
export function levelsOf(name, steps = T) {
  if (name === "linear") return products(betas(steps).map((beta) => 1 - (beta * 1000) / steps));
  if (name === "copied") return products(betas(steps).map((beta) => 1 - beta));
  const f = (t) => Math.cos(((t / steps + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
  return products(Array.from({ length: steps }, (_, t) => Math.max(f(t + 1) / f(t), 0.001)));
}

export const snr = (a) => a / (1 - a);
export const noised = (x0, a, noise) => x0.map((v, i) => Math.sqrt(a) * v + Math.sqrt(1 - a) * noise[i]);

// ---- The network: one guess of the noise.

/** A packed matrix as { shape: [R, C], values: Float64Array of R * C }: letters A..Z, a..e are the levels -15..15. */
export function unpack({ shape, scale, data }) {
  const level = (code) => (code >= 97 ? code - 71 : code - 65) - 15;
  return { shape, values: Float64Array.from(data, (letter, i) => level(letter.charCodeAt(0)) * scale[Math.floor(i / shape[1])]) };
}

export const unpackAll = (packed) => Object.fromEntries(Object.entries(packed).map(([name, one]) => [name, unpack(one)]));

function linear(net, name, x) {
  const { shape: [rows, columns], values } = net[`${name}.weight`];
  const out = new Float64Array(rows);
  const bias = net[`${name}.bias`].values;
  for (let r = 0; r < rows; r += 1) {
    let sum = bias[r];
    for (let c = 0, at = r * columns; c < columns; c += 1, at += 1) sum += values[at] * x[c];
    out[r] = sum;
  }
  return out;
}

const silu = (v) => v / (1 + Math.exp(-v));

/** The denoiser's guess of the noise in x at level a, for a label of 0 to 9, or 10 for none. */
export function guess(net, x, a, label) {
  const angles = WAVES.map((w) => w * Math.log(a / (1 - a)));
  const shift = linear(net, "level", [...angles.map(Math.sin), ...angles.map(Math.cos)]);
  const width = shift.length / 3;
  const own = net["label.weight"].values;
  for (let i = 0; i < shift.length; i += 1) shift[i] += own[label * shift.length + i];
  let hidden = linear(net, "inp", x).map((v, i) => silu(v + shift[i]));
  for (const k of [0, 1]) {
    const mixed = linear(net, `mix.${k}`, hidden);
    hidden = hidden.map((v, i) => v + silu(mixed[i] + shift[(k + 1) * width + i]));
  }
  return Array.from(linear(net, "out", hidden), (v, i) => Math.sqrt(1 - a) * x[i] + Math.sqrt(a) * v);
}

/** Classifier-free guidance: from the guess without a label, w times the way to the guess with it. */
export function guided(net, x, a, label, w) {
  if (label === NONE || w === 1) return guess(net, x, a, label);
  const plain = guess(net, x, a, NONE);
  if (w === 0) return plain;
  const labeled = guess(net, x, a, label);
  return plain.map((v, i) => v + w * (labeled[i] - v));
}

/** Class probabilities of an image: linear layers with ReLU between, a softmax behind. */
export function read(judge, x) {
  const layers = Object.keys(judge).filter((name) => name.endsWith(".weight")).map((name) => name.split(".")[0]).sort((a, b) => a - b);
  let out = Float64Array.from(x);
  layers.forEach((name, i) => {
    out = linear(judge, name, out);
    if (i + 1 < layers.length) out = out.map((v) => Math.max(v, 0));
  });
  const top = Math.max(...out);
  const powers = Array.from(out, (v) => Math.exp(v - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

// ---- The way there and back.

/** One step from level a to the cleaner level b: { x, x0 }. `fresh` is the noise that eta lets in. */
export function ddimStep(x, noise, a, b, eta = 0, fresh = null) {
  const x0 = x.map((v, i) => Math.min(1, Math.max(-1, (v - Math.sqrt(1 - a) * noise[i]) / Math.sqrt(a))));
  const fits = x.map((v, i) => (v - Math.sqrt(a) * x0[i]) / Math.sqrt(1 - a));
  const variance = eta ** 2 * (1 - a / b) * ((1 - b) / (1 - a));
  const rest = Math.sqrt(Math.max(1 - b - variance, 0));
  return { x0, x: x0.map((v, i) => Math.sqrt(b) * v + rest * fits[i] + (variance > 0 ? Math.sqrt(variance) * fresh[i] : 0)) };
}

/** The levels that n steps visit from `level` down to 0; fewer where there are not so many. */
export function visited(level, n) {
  const steps = Math.min(n, level);
  return Array.from({ length: steps + 1 }, (_, i) => Math.round((level * (steps - i)) / steps));
}

const draw = (normal) => Array.from({ length: 64 }, () => normal());

/** All frames: into noise along the chain's marginals with one noise, then back; x0 is the guess at that frame. */
export function trip(net, image, { schedule, level, asked, steps, guidance, eta, seed }) {
  const levels = levelsOf(schedule);
  const { normal } = kit.random(seed + 1);
  const noise = draw(normal);
  const there = Array.from({ length: THERE + 1 }, (_, i) => Math.round((level * i) / THERE))
    .map((t) => ({ way: "there", t, x: noised(image, levels[t], noise), x0: null }));
  const path = visited(level, steps);
  let x = level === T ? noise : there[THERE].x; // a generator has no digit to begin with
  const back = [];
  for (let i = 0; i + 1 < path.length; i += 1) {
    const [a, b] = [levels[path[i]], levels[path[i + 1]]];
    const next = ddimStep(x, guided(net, x, a, asked, guidance), a, b, eta, eta > 0 ? draw(normal) : null);
    back.push({ way: "back", t: path[i], x, x0: next.x0 });
    x = next.x;
  }
  back.push({ way: "back", t: 0, x, x0: x });
  return { levels, there, back, frames: [...there, ...back] };
}

// ---- Text.

const NAMES = { cosine: "cosine", linear: "linear", copied: "linear, not rescaled" };

function ratio(a) {
  if (a === 1) return "no noise";
  return `signal to noise ${kit.fmt(snr(a), 2)}`;
}

/** The line that says the result. */
export function sentence(state, { levels, back, frames }, index, judge, image) {
  const now = frames[index];
  const path = visited(state.level, state.steps);
  const where = now.way === "there" ? `On the way into noise: level ${now.t} of ${T}`
    : `On the way back, after ${index - THERE - 1} of ${path.length - 1} ${path.length === 2 ? "step" : "steps"}: level ${now.t} of ${T}`;
  const end = back.at(-1).x;
  const far = Math.sqrt(end.reduce((sum, v, i) => sum + (v - image[i]) ** 2, 0) / 64);
  const asked = state.asked === NONE ? "no class asked" : `asked for ${state.asked} with guidance ${kit.fmt(state.guidance, 2)}`;
  const change = `${kit.fmt(far, 2)} per pixel from the start`;
  if (!judge) return `${where}, ${ratio(levels[now.t])}. At the end, ${asked}: ${change}.`;
  const p = read(judge, end);
  const best = p.indexOf(Math.max(...p));
  return `${where}, ${ratio(levels[now.t])}. At the end, ${asked}: the judge reads ${best} (${Math.round(100 * p[best])}%), ${change}.`;
}

// ---- Pictures: 8 by 8 pixels, dark ink on light paper in both themes.

const GRAY = (v) => Math.round(255 * Math.min(1, Math.max(0, (1.25 - v) / 2.5)));

function paint(canvas, x) {
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(8, 8);
  for (let i = 0; i < 64; i += 1) image.data.set([GRAY(x[i]), GRAY(x[i]), GRAY(x[i]), 255], 4 * i);
  pen.putImageData(image, 0, 0);
}

const picture = (label) => h("canvas", { width: 8, height: 8, class: "tb-no-picture", role: "img", "aria-label": label });

function makeBig() {
  const [start, now, clean] = [picture("The digit"), picture("The image now"), picture("The guess of the clean image")];
  const captions = [h("figcaption", { text: "start" }), h("figcaption", {}), h("figcaption", { text: "guess x̂₀" })];
  const node = h("div", { class: "tb-no-big" }, [start, now, clean].map((canvas, i) => h("figure", {}, canvas, captions[i])));
  return { node, draw(image, frame) {
    paint(start, image);
    paint(now, frame.x);
    captions[1].textContent = `x at level ${frame.t}`;
    clean.parentNode.classList.toggle("off", !frame.x0);
    captions[2].textContent = frame.x0 ? "guess x̂₀" : "(no guess yet)";
    if (frame.x0) paint(clean, frame.x0);
  } };
}

/** A strip of frames; each is a button that goes to its moment. */
function makeStrip(label, count, onPick) {
  const frames = Array.from({ length: count }, (_, i) => {
    const canvas = h("canvas", { width: 8, height: 8, class: "tb-no-picture" });
    return { canvas, button: h("button", { type: "button", class: "tb-no-frame", tabindex: "-1", onclick: () => onPick(i) }, canvas) };
  });
  const node = h("div", { class: "tb-no-strip", role: "group", "aria-label": label }, h("span", { text: label }), frames.map(({ button }) => button));
  return { node, draw(shown, current) {
    frames.forEach(({ canvas, button }, i) => {
      button.style.visibility = i < shown.length ? "" : "hidden";
      if (i >= shown.length) return;
      paint(canvas, shown[i].frame.x);
      button.setAttribute("aria-label", `level ${shown[i].frame.t}`);
      button.setAttribute("aria-pressed", String(shown[i].index === current));
    });
  } };
}

// ---- The schedule: signal to noise against the level, and where the steps go.

function makeCurve(width) {
  const view = kit.axes({ width, height: Math.round(Math.min(220, Math.max(170, width * 0.52))), xLabel: "level t", label: "Signal to noise against the level", pad: [8, 12, 38, 46] });
  const marks = svg("g", {});
  view.plot.append(marks);
  const [low, high] = [1e-6, 1e4];
  const powers = { "1e-6": "10⁻⁶", "0.0001": "10⁻⁴", "0.01": "10⁻²", 1: "1", 100: "10²", 10000: "10⁴" };
  view.update({ x: [0, T], y: [low, high], logY: true, yTicks: [1e-6, 1e-4, 1e-2, 1, 100, 1e4], yFormat: (v) => powers[String(v)] ?? "10⁻⁶" });
  const height = (a) => view.py(Math.min(high, Math.max(low, a < 1 ? snr(a) : high)));
  const line = (levels) => levels.map((a, t) => `${t ? "L" : "M"}${view.px(t).toFixed(1)} ${height(a).toFixed(1)}`).join("");
  return { node: view.svg, draw(state, { levels }, frame) {
    marks.replaceChildren(
      ...Object.keys(NAMES).filter((name) => name !== state.schedule).map((name) => svg("path", { class: "tb-no-other", d: line(levelsOf(name)) })),
      svg("path", { class: "tb-curve", stroke: "var(--tb-c1)", d: line(levels) }),
      ...visited(state.level, state.steps).map((t) => svg("circle", { class: "tb-no-visit", cx: view.px(t), cy: height(levels[t]), r: 2.8 })),
      svg("line", { class: "tb-no-now", x1: view.px(frame.t), x2: view.px(frame.t), y1: view.top, y2: view.bottom }),
      svg("path", { class: "tb-no-mark", d: `M${view.px(frame.t)} ${height(levels[frame.t]) - 7}l6 7l-6 7l-6 -7z` }));
  } };
}

// ---- Controls.

function makePlayer(store, count) {
  let stop = null;
  const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
  const button = kit.button({ text: "Play", kind: "primary tb-no-play", onClick: () => (stop ? halt() : play()) });
  const slider = kit.slider({ label: "moment", min: 0, max: 1, value: 0, format: (v) => `${Math.round(v)}`,
    onInput: (v) => { halt(); store.set("moment", v / count()); } });
  const halt = () => {
    stop?.();
    stop = null;
    button.textContent = "Play";
  };
  const play = () => {
    if (calm) { store.set("moment", 1); return; }
    button.textContent = "Pause";
    let [at, last] = [store.get("moment") >= 1 ? 0 : store.get("moment"), 0];
    stop = kit.animate((time) => {
      if (!button.isConnected) return false;
      at = Math.min(1, at + (last ? Math.min(time - last, 100) : 0) / 6000); // six seconds there and back
      last = time;
      store.set("moment", at);
      if (at >= 1) halt();
      return Boolean(stop);
    });
  };
  return { node: h("div", { class: "tb-no-player" }, button, slider.node), draw(index) {
    slider.input.max = count();
    slider.set(index);
  } };
}

function makeControls(store, names) {
  const digits = names.map((name, i) => [i, name]);
  const number = (key) => (v) => store.set(key, Number(v));
  const selects = {
    digit: kit.select({ label: "start from", options: digits, value: store.get("digit"), onChange: number("digit") }),
    schedule: kit.select({ label: "schedule", options: Object.entries(NAMES), value: store.get("schedule"), onChange: (v) => store.set("schedule", v) }),
    asked: kit.select({ label: "ask for", options: [...Array.from({ length: 10 }, (_, i) => [i, String(i)]), [NONE, "no class"]], value: store.get("asked"), onChange: number("asked") }),
  };
  const slide = (key, options) => kit.slider({ value: store.get(key), ...options, onInput: (v) => store.set(key, Number(v.toFixed(3))) });
  const sliders = {
    level: slide("level", { label: "noise up to level", min: 1, max: T, format: String }),
    steps: slide("steps", { label: "DDIM steps back", min: 1, max: 50, format: String }),
    guidance: slide("guidance", { label: "guidance w", min: 0, max: 8, step: 0.25 }),
    eta: slide("eta", { label: "fresh noise η", min: 0, max: 1, step: 0.05 }),
  };
  const fresh = kit.button({ text: "New noise", onClick: () => store.set("seed", store.get("seed") + 1) });
  return { top: h("div", { class: "tb-row" }, Object.values(selects).map((one) => one.node), fresh),
    node: h("div", { class: "tb-controls" }, Object.values(sliders).map((one) => one.node)),
    draw() {
      for (const [key, one] of Object.entries(selects)) one.set(store.get(key));
      for (const [key, one] of Object.entries(sliders)) if (one.input !== document.activeElement) one.set(store.get(key));
      sliders.guidance.input.disabled = store.get("asked") === NONE; // without a class there is nothing to amplify
    } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-no");
  const KEYS = ["digit", "schedule", "level", "asked", "steps", "guidance", "eta", "seed", "moment"];
  const traits = Object.fromEntries(KEYS.map((key) => [key, kit.trait(model, key, () => refresh(key))]));
  const store = { get: (key) => traits[key].get(), set: (key, v) => traits[key].set(v) };
  const net = unpackAll(model.get("network"));
  const judge = Object.keys(model.get("judge")).length ? unpackAll(model.get("judge")) : null;
  const { values } = unpack(model.get("images"));
  const width = Math.min(900, Math.max(280, body.clientWidth || 720));
  const column = width >= 620 ? Math.round((width - 16) / 2) : width;
  const shown = 8;
  let now = null;
  const state = () => Object.fromEntries(KEYS.map((key) => [key, store.get(key)]));
  const image = () => Array.from(values.subarray(64 * store.get("digit"), 64 * (store.get("digit") + 1)));
  const last = () => now.frames.length - 1;
  const index = () => Math.round(store.get("moment") * last());
  /** At most eight frames of a way, its first and last among them, with their places among all frames. */
  const picked = (frames, offset) => {
    const count = Math.min(shown, frames.length);
    return Array.from({ length: count }, (_, i) => Math.round((i * (frames.length - 1)) / Math.max(1, count - 1)))
      .map((i) => ({ frame: frames[i], index: offset + i }));
  };
  const ways = () => ({ there: picked(now.there, 0), back: picked(now.back, THERE + 1) });
  const go = (way) => (i) => store.set("moment", ways()[way][i].index / last());
  const [big, there, back, curve] = [makeBig(), makeStrip("there", shown, go("there")), makeStrip("back", shown, go("back")), makeCurve(column)];
  const player = makePlayer(store, last);
  const controls = makeControls(store, model.get("names"));
  function drawMoment() {
    const at = index();
    const strips = ways();
    big.draw(image(), now.frames[at]);
    there.draw(strips.there, at);
    back.draw(strips.back, at);
    curve.draw(state(), now, now.frames[at]);
    player.draw(at);
    say(sentence(state(), now, at, judge, image()));
  }
  function refresh(key) {
    if (key !== "moment" || !now) {
      now = trip(net, image(), state());
      controls.draw();
    }
    drawMoment();
  }
  body.append(h("p", { class: "tb-no-hint", text: "The network runs here. At level 200 the way back starts from the noise alone; below, from the noised digit." }),
    controls.top, h("div", { class: "tb-split" }, h("div", {}, big.node, there.node, back.node), h("div", {}, h("p", { class: "tb-no-caption", text: "signal to noise; dots: the levels that the steps visit" }), curve.node)),
    player.node, controls.node);
  refresh("digit");
}

export default { render };
