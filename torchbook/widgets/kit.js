// What every widget shares: elements, controls that a keyboard can reach, axes, and one line of text that
// says the result. Widgets begin with `import * as kit from "./kit.js"`; base.py puts this file in place of it.

const SVG = "http://www.w3.org/2000/svg";
let serial = 0;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2).toLowerCase(), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "text") node.textContent = value;
    else if (name in node && typeof value === "boolean") node[name] = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element: h("button", { class: "x", onclick: f, text: "Go" }, child, ...). */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element, same form as `h`. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A number that is unique on the page, for ids. */
export function uid(prefix = "tb") {
  serial += 1;
  return `${prefix}-${serial}-${Math.random().toString(36).slice(2, 7)}`;
}

/** Short text for a number: 4 significant digits, exponents for very small and very large ones. */
export function fmt(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-3 || size >= 1e6 ? value.toExponential(Math.max(digits - 2, 0)) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−").replace("e−", "e−").replace("e+", "e");
}

/** The frame of a widget: a labelled group with a title, a body and the line that says the result. */
export function frame(el, title) {
  const id = uid("tb-title");
  const readout = h("p", { class: "tb-readout", role: "status", "aria-live": "polite" });
  const body = h("div", { class: "tb-body" });
  // JupyterLab takes the arrow keys of a slider as "next cell", before the slider hears of them, unless the very
  // element that has the focus carries this attribute.
  const ownKeys = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  const root = h("section", { class: "tb", role: "group", "aria-labelledby": id, onfocusin: ownKeys },
    h("p", { class: "tb-title", id, text: title }), body, readout);
  el.replaceChildren(root);
  let pending = 0;
  // A screen reader should hear where a slider comes to rest, not every step of the way.
  const say = (text) => {
    readout.textContent = text;
    readout.setAttribute("aria-live", "off");
    clearTimeout(pending);
    pending = setTimeout(() => { readout.setAttribute("aria-live", "polite"); readout.textContent = text; }, 400);
  };
  return { root, body, readout, say };
}

/** A labelled slider. `log: true` moves over powers of ten; `format` turns the value into text. */
export function slider({ label, min, max, step = 1, value, log = false, format = fmt, onInput }) {
  const id = uid();
  const toSlider = log ? Math.log10 : (v) => v;
  const fromSlider = log ? (v) => 10 ** v : (v) => v;
  const output = h("output", { for: id });
  const input = h("input", { type: "range", id, min: toSlider(min), max: toSlider(max), step: log ? "any" : step });
  const show = (v) => {
    output.textContent = format(v);
    input.setAttribute("aria-valuetext", format(v));
  };
  const read = () => fromSlider(Number(input.value));
  const set = (v) => { input.value = toSlider(v); show(v); };
  if (log) {
    input.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!way) return;
      event.preventDefault(); // "any" has no useful step of its own: move a fiftieth of the range
      input.value = Number(input.value) + (way * (toSlider(max) - toSlider(min))) / 50;
      input.dispatchEvent(new Event("input"));
    });
  }
  input.addEventListener("input", () => { show(read()); onInput(read()); });
  set(value);
  const node = h("div", { class: "tb-control tb-slider" }, h("label", { for: id, text: label }), input, output);
  return { node, input, set, get value() { return read(); } };
}

/** A labelled choice among `options`: [[value, text], ...] or [text, ...]. */
export function select({ label, options, value, onChange }) {
  const id = uid();
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const input = h("select", { id, onchange: () => onChange(input.value) },
    pairs.map(([key, text]) => h("option", { value: key, text, selected: String(key) === String(value) })));
  return {
    node: h("div", { class: "tb-control" }, h("label", { for: id, text: label }), input),
    input,
    set: (v) => { input.value = v; },
    get value() { return input.value; },
  };
}

/** A labelled number field; values outside [min, max] are pulled back when the field is left. */
export function number({ label, min, max, step = 1, value, onInput, hideLabel = false }) {
  const id = uid();
  const clamp = (v) => Math.min(max, Math.max(min, Number.isFinite(v) ? v : min));
  const input = h("input", { type: "number", id, min, max, step, value, inputmode: "decimal",
    "aria-label": hideLabel ? label : null,
    oninput: () => { if (input.value !== "" && input.checkValidity()) onInput(Number(input.value)); },
    onchange: () => { input.value = clamp(Number(input.value)); onInput(Number(input.value)); } });
  const node = hideLabel ? input : h("div", { class: "tb-control" }, h("label", { for: id, text: label }), input);
  return { node, input, set: (v) => { input.value = v; }, get value() { return clamp(Number(input.value)); } };
}

/** A labelled check box. */
export function checkbox({ label, value, onChange }) {
  const input = h("input", { type: "checkbox", checked: Boolean(value), onchange: () => onChange(input.checked) });
  return {
    node: h("label", { class: "tb-control tb-check" }, input, h("span", { text: label })),
    input,
    set: (v) => { input.checked = v; },
    get value() { return input.checked; },
  };
}

/** A button. `name` is what a screen reader says when the text is a mere sign. */
export function button({ text, name, onClick, kind = "" }) {
  return h("button", { type: "button", class: `tb-button ${kind}`, text, "aria-label": name, title: name, onclick: onClick });
}

/** Text to read and copy, with its button. */
export function code(label) {
  const pre = h("pre", { class: "tb-code", tabindex: "0", "aria-label": label });
  const copy = button({ text: "Copy", name: `Copy: ${label}`, onClick: async () => {
    try {
      await navigator.clipboard.writeText(pre.textContent);
      copy.textContent = "Copied";
    } catch { // from file:// there may be no clipboard: select, so that Ctrl+C works
      const range = document.createRange();
      range.selectNodeContents(pre);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      copy.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  } });
  return { node: h("div", { class: "tb-codebox" }, pre, copy), set: (text) => { pre.textContent = text; } };
}

/** Round values that cover [low, high]: 1, 2 or 5 times a power of ten apart. */
export function ticks(low, high, count = 5) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) out.push(Number((i * step).toPrecision(12)));
  return out;
}

function logTicks(low, high) {
  const out = [];
  for (let p = Math.ceil(Math.log10(low) - 1e-9); 10 ** p <= high * 1.0000001; p += 1) out.push(10 ** p);
  return out.length ? out : [low];
}

/**
 * Axes in an SVG that scales with its column. Call `update({ x: [lo, hi], y: [lo, hi], logY })` when the
 * domain changes; draw into `plot`, with `px` and `py` from data to picture.
 */
export function axes({ width = 640, height = 300, xLabel = "", yLabel = "", label = "", pad = [12, 14, 40, 54] }) {
  const [top, right, bottom, left] = pad;
  const grid = s("g", { class: "tb-grid" });
  const plot = s("g", {});
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "tb-plot", role: "img", "aria-label": label }, grid, plot,
    s("text", { class: "tb-axis", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", text: xLabel }),
    s("text", { class: "tb-axis", x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`, text: yLabel }));
  const view = {
    svg, plot, width, height, top, left, right: width - right, bottom: height - bottom, domain: null,
    update({ x, y, logX = false, logY = false, xTicks, yTicks, xFormat = fmt, yFormat = fmt }) {
      const scale = (lo, hi, a, b, log) => (log
        ? (v) => a + ((Math.log10(v) - Math.log10(lo)) / (Math.log10(hi) - Math.log10(lo))) * (b - a)
        : (v) => a + ((v - lo) / (hi - lo)) * (b - a));
      view.domain = { x, y };
      view.px = scale(x[0], x[1], left, view.right, logX);
      view.py = scale(y[0], y[1], view.bottom, top, logY);
      const inverse = (lo, hi, a, b, log) => (p) => {
        const t = (p - a) / (b - a);
        return log ? lo * (hi / lo) ** t : lo + t * (hi - lo);
      };
      view.ix = inverse(x[0], x[1], left, view.right, logX);
      view.iy = inverse(y[0], y[1], view.bottom, top, logY);
      const xs = xTicks ?? (logX ? logTicks(...x) : ticks(...x));
      const ys = yTicks ?? (logY ? logTicks(...y) : ticks(...y));
      grid.replaceChildren(
        ...xs.flatMap((v) => [
          s("line", { x1: view.px(v), x2: view.px(v), y1: top, y2: view.bottom }),
          s("text", { x: view.px(v), y: view.bottom + 16, "text-anchor": "middle", text: xFormat(v) })]),
        ...ys.flatMap((v) => [
          s("line", { x1: left, x2: view.right, y1: view.py(v), y2: view.py(v) }),
          s("text", { x: left - 6, y: view.py(v) + 4, "text-anchor": "end", text: yFormat(v) })]));
    },
    /** Data coordinates of a pointer event. */
    at(event) {
      const box = svg.getBoundingClientRect();
      return [view.ix(((event.clientX - box.left) * width) / box.width), view.iy(((event.clientY - box.top) * height) / box.height)];
    },
    /** SVG path data through [x, y] points; points that are not finite break the line. */
    path(points) {
      let pen = "M";
      return points.map(([x, y]) => {
        const [a, b] = [view.px(x), view.py(y)];
        if (!Number.isFinite(a) || !Number.isFinite(b)) { pen = "M"; return ""; }
        const piece = `${pen}${a.toFixed(2)} ${b.toFixed(2)}`;
        pen = "L";
        return piece;
      }).join("");
    },
  };
  return view;
}

/** Follow a pointer from press to release on `node`: move(event) is called for each step, also the first. */
export function drag(node, { start = () => true, move, end = () => {} }) {
  node.style.touchAction = "none";
  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || start(event) === false) return;
    event.preventDefault();
    node.setPointerCapture(event.pointerId);
    move(event);
    const stop = () => {
      node.removeEventListener("pointermove", move);
      node.removeEventListener("pointerup", stop);
      node.removeEventListener("pointercancel", stop);
      end(event);
    };
    node.addEventListener("pointermove", move);
    node.addEventListener("pointerup", stop);
    node.addEventListener("pointercancel", stop);
  });
}

/** Read and write one trait, and hear when Python or another view changes it. Returns { get, set }. */
export function trait(model, name, onChange = () => {}) {
  model.on(`change:${name}`, () => onChange(model.get(name)));
  return {
    get: () => model.get(name),
    set: (value) => { model.set(name, value); model.save_changes(); },
  };
}

/** A random number generator with a seed (mulberry32): uniform() in [0, 1), normal(). Same seed, same numbers. */
export function random(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

/** The bytes of a base64 string. */
export function bytes(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** A number from the 16 bits of an IEEE half. */
export function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

/** The numbers of a base64 string of IEEE halves, little-endian. */
export function halves(text) {
  const raw = bytes(text);
  return Float64Array.from({ length: raw.length / 2 }, (_, i) => half(raw[2 * i] | (raw[2 * i + 1] << 8)));
}

/** Call `step` once per frame while it returns true; returns a function that stops it. */
export function animate(step) {
  let handle = 0;
  const tick = (time) => { handle = step(time) ? requestAnimationFrame(tick) : 0; };
  handle = requestAnimationFrame(tick);
  return () => cancelAnimationFrame(handle);
}

/** Play and scrub `store`'s whole number "step" up to its "steps", from start to end in `frames` frames.
 * Returns { node, halt, draw }; `draw` shows the store's step. Where motion is unwelcome, Play jumps to the end. */
export function player(store, { frames = 240 } = {}) {
  let stop = null;
  const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
  const play = button({ text: "Play", kind: "primary", onClick: () => (stop ? halt() : start()) });
  const steps = () => store.get("steps");
  const scrubber = slider({ label: "step", min: 0, max: steps(), value: store.get("step"), format: String,
    onInput: (v) => { halt(); store.set("step", v); } });
  const halt = () => {
    stop?.();
    stop = null;
    play.textContent = "Play";
  };
  const start = () => {
    if (calm) { store.set("step", steps()); return; }
    play.textContent = "Pause";
    let t = store.get("step") >= steps() ? 0 : store.get("step");
    stop = animate(() => {
      if (!play.isConnected) return false;
      t = Math.min(t + steps() / frames, steps());
      store.set("step", Math.floor(t));
      if (t >= steps()) halt();
      return Boolean(stop);
    });
  };
  return { node: h("div", { class: "tb-player" }, play, scrubber.node), halt, draw() {
    scrubber.input.max = steps();
    scrubber.set(store.get("step"));
  } };
}
