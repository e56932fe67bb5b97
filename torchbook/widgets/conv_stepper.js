import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The maths. An image is [channel][row][column], a weight [filter][channel][row][column].

/** Kernels of one channel; "motion" has the opposite sign in the second channel, and nothing in a third. */
export const PRESETS = {
  "vertical edges": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
  "horizontal edges": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
  Laplacian: [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
  sharpen: [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
  "box sum": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
  "Gaussian times 16": [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
  identity: [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
  "shift right": [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
  motion: [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
};
const LARGEST = 99;
const MOST_FILTERS = 3;

/** The kernel of one filter, [channel][row][column]. */
export function presetKernel(name, channels) {
  const signs = [1, name === "motion" ? -1 : 1, name === "motion" ? 0 : 1];
  return Array.from({ length: channels }, (_, c) => PRESETS[name].map((row) => row.map((v) => signs[c] * v + 0)));
}

/** Which preset a filter is, "" if none. Only the channels that take part count. */
export function presetOf(filter, channels) {
  const text = (planes) => JSON.stringify(planes.slice(0, channels).map((plane) => plane.map((row) => row.map((v) => v + 0))));
  return Object.keys(PRESETS).find((name) => text(presetKernel(name, filter.length)) === text(filter)) ?? "";
}

/** The formula: outputs along one side. 0 where the kernel does not fit. */
export function outputSize(side, { kernel, padding, stride, dilation }) {
  return Math.max(0, Math.floor((side + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1);
}

/** The picture: where a window may start, in pixels of the image; padding has negative places. */
export function starts(side, { kernel, padding, stride, dilation }) {
  const out = [];
  for (let at = -padding; at + dilation * (kernel - 1) <= side - 1 + padding; at += stride) out.push(at);
  return out;
}

/** The products of output place [i, j]: { c, k1, k2, row, column, x, w, inside }. */
export function products(image, filter, { padding, stride, dilation, flip, channels }, i, j) {
  const K = filter[0].length;
  const out = [];
  for (let c = 0; c < channels; c += 1) {
    for (let k1 = 0; k1 < K; k1 += 1) {
      for (let k2 = 0; k2 < K; k2 += 1) {
        const [row, column] = [stride * i + dilation * k1 - padding, stride * j + dilation * k2 - padding];
        const x = image[c][row]?.[column];
        const w = flip ? filter[c][K - 1 - k1][K - 1 - k2] : filter[c][k1][k2];
        out.push({ c, k1, k2, row, column, x: x ?? 0, w, inside: x !== undefined });
      }
    }
  }
  return out;
}

/** The whole output of one filter, [row][column]. */
export function convolve(image, filter, bias, options) {
  const sizes = { ...options, kernel: filter[0].length };
  const [rows, columns] = [outputSize(image[0].length, sizes), outputSize(image[0][0].length, sizes)];
  return Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (__, j) =>
    products(image, filter, options, i, j).reduce((sum, { x, w }) => sum + x * w, bias)));
}

/** A plane cut or filled with zeros to K x K, its middle kept in the middle. */
export function resize(plane, K) {
  const shift = Math.floor((K - 1) / 2) - Math.floor((plane.length - 1) / 2);
  return Array.from({ length: K }, (_, r) => Array.from({ length: K }, (__, c) => plane[r - shift]?.[c - shift] ?? 0));
}

// ---- Text.

const n = (v) => kit.fmt(v, 4);
const factor = (v) => (v < 0 ? `(${n(v)})` : n(v));
const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

/** The sum in full: one line for each row of each kernel; brackets around padding. */
export function sumLines(list, bias, K) {
  const lines = [];
  for (let at = 0; at < list.length; at += K) {
    lines.push(list.slice(at, at + K).map(({ x, w, inside }) => `${inside ? n(x) : "[0]"}·${factor(w)}`).join(" + "));
  }
  return bias ? [...lines, `bias ${n(bias)}`] : lines;
}

/** The number of places along one side, by the formula and by counting. */
export function sizeText(side, sizes) {
  const { kernel, padding, stride, dilation } = sizes;
  const found = starts(side, sizes);
  const where = found.length > 3 ? `${n(found[0])}, ${n(found[1])}, …, ${n(found.at(-1))}` : found.map(n).join(", ");
  return `⌊(${side} + 2·${padding} − ${dilation}·(${kernel} − 1) − 1) / ${stride}⌋ + 1 = ${outputSize(side, sizes)}; `
    + `windows start at ${where || "no place"}: ${found.length}`;
}

/** The line that says the result. */
export function sentence({ image, kernel, bias, filter, step, ...options }) {
  const weight = kernel[filter];
  const sizes = { ...options, kernel: weight[0].length };
  const [height, width] = [image[0].length, image[0][0].length];
  const [rows, columns] = [outputSize(height, sizes), outputSize(width, sizes)];
  if (!rows || !columns) {
    const span = options.dilation * (sizes.kernel - 1) + 1;
    return `The kernel spans ${span} pixels and the padded image has ${Math.min(height, width) + 2 * options.padding}: it fits nowhere. `
      + "Add padding, or make the kernel or its dilation smaller.";
  }
  const [i, j] = [Math.floor(step / columns), step % columns];
  const list = products(image, weight, options, i, j);
  const z = list.reduce((sum, { x, w }) => sum + x * w, bias[filter]);
  const outside = list.filter(({ inside }) => !inside).length;
  return `Output row ${i}, column ${j}${kernel.length > 1 ? ` of filter ${filter + 1}` : ""}: ${plural(list.length, "product")}`
    + `${outside ? `, ${outside} of them with padding,` : ""} sum to ${n(z)}. Output ${rows} by ${columns}, `
    + `${plural(rows * columns * list.length, "multiplication")}${kernel.length > 1 ? " per filter" : ""}; `
    + `parameters: ${kernel.length} · (${options.channels} · ${sizes.kernel}² + 1) = ${kernel.length * (options.channels * sizes.kernel ** 2 + 1)}.`;
}

/** The same layer in PyTorch. */
export function torchLine({ image, kernel, padding, stride, dilation, channels, flip }) {
  const [O, K] = [kernel.length, kernel[0][0].length];
  const sizes = { kernel: K, padding, stride, dilation };
  const shape = [1, O, outputSize(image[0].length, sizes), outputSize(image[0][0].length, sizes)];
  return `# x: (1, ${channels}, ${image[0].length}, ${image[0][0].length})\n# w: (${O}, ${channels}, ${K}, ${K}), b: (${O},)\n`
    + `F.conv2d(x, w${flip ? ".flip(2, 3)" : ""}, b,\n         stride=${stride},\n         padding=${padding},\n         dilation=${dilation})\n# (${shape.join(", ")})`;
}

// ---- Pictures: grids of numbers, drawn for the width that there is, so that text keeps its size.

const CELL = 34;

function cell(x, y, size, text, fill, opacity, classes) {
  return svg("g", { class: classes },
    svg("rect", { x: x + 0.5, y: y + 0.5, width: size - 1, height: size - 1, fill, "fill-opacity": opacity }),
    svg("text", { x: x + size / 2, y: y + size / 2 + 4, "text-anchor": "middle", style: `font-size:${Math.min(12.5, (size * 1.75) / Math.max(3, text.length))}px`, text }));
}

function fit(node, width, height) {
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.style.width = `${width}px`;
}

/** One input channel with its ring of padding, and the window on it. */
function drawInput(node, plane, padding, list, width) {
  const [rows, columns] = [plane.length + 2 * padding, plane[0].length + 2 * padding];
  const size = Math.min(CELL, width / columns);
  const most = Math.max(1e-9, ...plane.flat().map(Math.abs));
  const taps = new Set(list.map(({ row, column }) => `${row},${column}`));
  fit(node, columns * size, rows * size);
  const cells = [];
  for (let r = -padding; r < plane.length + padding; r += 1) {
    for (let c = -padding; c < plane[0].length + padding; c += 1) {
      const v = plane[r]?.[c];
      const kind = `${v === undefined ? "pad" : "pixel"}${taps.has(`${r},${c}`) ? " tap" : ""}`;
      cells.push(cell((c + padding) * size, (r + padding) * size, size, n(v ?? 0), "var(--tb-ink)", v === undefined ? 0 : (0.5 * Math.abs(v)) / most, kind));
    }
  }
  const at = (v) => (v + padding) * size;
  const [first, last] = [list[0], list.at(-1)];
  const frame = first ? [svg("rect", { class: "window", x: at(first.column), y: at(first.row), width: at(last.column + 1) - at(first.column), height: at(last.row + 1) - at(first.row) })] : [];
  node.replaceChildren(...cells, ...frame);
}

/** The output so far; places that are still to come stay empty. */
function drawOutput(node, values, step, width) {
  const columns = values[0].length;
  const size = Math.min(CELL, width / columns);
  const most = Math.max(1e-9, ...values.flat().map(Math.abs));
  fit(node, columns * size, values.length * size);
  node.replaceChildren(...values.flatMap((row, i) => row.map((v, j) => {
    const place = i * columns + j;
    const known = place <= step;
    const classes = `place${known ? "" : " later"}${place === step ? " current" : ""}`;
    return cell(j * size, i * size, size, known ? n(v) : "", v < 0 ? "var(--tb-c1)" : "var(--tb-c0)", known ? (0.55 * Math.abs(v)) / most : 0, classes);
  })));
  return size;
}

/** Number fields for one channel's kernel. */
function makeKernel(store, c, K) {
  const label = (r, k) => `weight row ${r}, column ${k}, channel ${c + 1}`;
  const fields = Array.from({ length: K }, (_, r) => Array.from({ length: K }, (__, k) => kit.number({ label: label(r, k), hideLabel: true,
    min: -LARGEST, max: LARGEST, step: "any", value: 0, onInput: (v) => store.weight(c, r, k, v) })));
  return { node: h("div", { class: "tb-cs-kernel", style: `--k:${K}`, role: "group", "aria-label": `Kernel for channel ${c + 1}` }, fields.flat().map(({ node }) => node)),
    draw: (plane) => fields.forEach((row, r) => row.forEach((field, k) => { if (field.input !== document.activeElement) field.set(plane[r][k]); })) };
}

// ---- The whole.

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-cs");
  const KEYS = ["image", "kernel", "bias", "channels", "filter", "padding", "stride", "dilation", "flip", "step"];
  const traits = Object.fromEntries(KEYS.map((key) => [key, kit.trait(model, key, () => { if (!quiet) draw(); })]));
  let quiet = false;
  const get = (key) => traits[key].get();
  const set = (changes) => { // one redraw for several traits
    quiet = true;
    for (const [key, value] of Object.entries(changes)) traits[key].set(value);
    quiet = false;
    draw();
  };
  const filter = () => Math.min(get("filter"), get("kernel").length - 1);
  const options = () => ({ padding: get("padding"), stride: get("stride"), dilation: get("dilation"), flip: get("flip"), channels: Math.min(get("channels"), get("image").length) });
  const sizes = () => ({ ...options(), kernel: get("kernel")[0][0].length });
  const shape = () => [get("image")[0].length, get("image")[0][0].length].map((side) => outputSize(side, sizes()));
  const now = () => Math.max(0, Math.min(get("step"), shape()[0] * shape()[1] - 1));
  const go = (step) => set({ step: Math.max(0, Math.min(step, shape()[0] * shape()[1] - 1)) });
  const place = (i, j) => go(Math.max(0, Math.min(i, shape()[0] - 1)) * shape()[1] + Math.max(0, Math.min(j, shape()[1] - 1)));
  const own = (kernels) => get("kernel").map((one, f) => (f === filter() ? kernels : one));
  const store = { weight: (c, r, k, v) => set({ kernel: own(get("kernel")[filter()].map((plane, at) => (at === c ? plane.map((row, y) => row.map((w, x) => (y === r && x === k ? v : w))) : plane))) }) };

  // Controls.
  const all = get("image").length;
  const presets = kit.select({ label: "kernel", options: [...Object.keys(PRESETS), ["", "your own"]], value: "", onChange: (name) => {
    if (!name) { draw(); return; }
    const chosen = presetKernel(name, all);
    const kernel = own(chosen).map((one) => one.map((plane) => resize(plane, chosen[0].length))); // all filters have one size
    set({ kernel, ...(name === "motion" && all > 1 ? { channels: Math.max(2, get("channels")) } : {}) });
  } });
  const channels = kit.select({ label: "input channels", options: Array.from({ length: all }, (_, i) => i + 1), value: get("channels"), onChange: (v) => set({ channels: Number(v) }) });
  const filters = kit.select({ label: "filters", options: Array.from({ length: MOST_FILTERS }, (_, i) => i + 1), value: get("kernel").length, onChange: (v) => {
    const K = get("kernel")[0][0].length;
    const fresh = Object.keys(PRESETS).filter((name) => !get("kernel").some((one) => presetOf(one, all) === name));
    const more = fresh.map((name) => presetKernel(name, all).map((plane) => resize(plane, K)));
    const kernel = [...get("kernel"), ...more].slice(0, Number(v));
    set({ kernel, bias: kernel.map((_, f) => get("bias")[f] ?? 0), filter: Math.min(filter(), kernel.length - 1) });
  } });
  const shown = kit.select({ label: "shown", options: [], value: 0, onChange: (v) => set({ filter: Number(v) }) });
  const flip = kit.checkbox({ label: "flip the kernel", value: get("flip"), onChange: (on) => set({ flip: on }) });
  const slide = (key, max, min) => kit.slider({ label: key, min, max, value: get(key), format: String, onInput: (v) => { halt(); set({ [key]: v }); } });
  const sliders = { padding: slide("padding", 3, 0), stride: slide("stride", 3, 1), dilation: slide("dilation", 3, 1) };
  const kernelSize = kit.slider({ label: "kernel size", min: 1, max: 5, value: sizes().kernel, format: String, onInput: (K) => {
    halt();
    set({ kernel: get("kernel").map((one) => one.map((plane) => resize(plane, K))) });
  } });
  const bias = kit.number({ label: "bias", min: -LARGEST, max: LARGEST, step: "any", value: 0, onInput: (v) => set({ bias: get("bias").map((b, f) => (f === filter() ? v : b)) }) });

  // The walk.
  let stop = null;
  const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
  const halt = () => { stop?.(); stop = null; play.textContent = "Play"; };
  const end = () => shape()[0] * shape()[1] - 1;
  const play = kit.button({ text: "Play", kind: "primary tb-cs-play", onClick: () => {
    if (stop) { halt(); return; }
    if (calm) { go(end()); return; }
    if (now() >= end()) go(0);
    play.textContent = "Pause";
    let last = 0;
    stop = kit.animate((time) => {
      if (!play.isConnected) return false;
      if (time - last < 130) return true;
      last = time;
      go(now() + 1);
      if (now() >= end()) halt();
      return Boolean(stop);
    });
  } });
  const press = (text, name, move) => kit.button({ text, name, onClick: () => { halt(); go(move()); } });
  const walk = h("div", { class: "tb-row" }, press("Start", "To the first place", () => 0), press("Back", "One place back", () => now() - 1),
    press("Next", "Next place", () => now() + 1), press("End", "To the last place", end), play);

  // Pictures.
  const output = svg("svg", { class: "tb-cs-output", tabindex: "0", role: "slider", "aria-label": "Output place", "aria-valuemin": 0 });
  output.addEventListener("keydown", (event) => {
    const columns = shape()[1];
    const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    halt();
    if (Number.isFinite(move) && (now() + move < 0 || now() + move > end())) return; // up from the first row leads nowhere
    go(move === Infinity ? end() : move === -Infinity ? 0 : now() + move);
  });
  let size = CELL;
  kit.drag(output, { start: () => { halt(); output.focus({ preventScroll: true }); }, move: (event) => {
    const box = output.getBoundingClientRect();
    const scale = (size * box.width) / output.viewBox.baseVal.width;
    place(Math.floor((event.clientY - box.top) / scale), Math.floor((event.clientX - box.left) / scale));
  } });
  const inputs = h("div", { class: "tb-cs-inputs" });
  const [caption, sum, total] = [h("p", { class: "tb-cs-caption" }), h("div", { class: "tb-cs-lines" }), h("p", { class: "tb-cs-total" })];
  const shapes = h("div", { class: "tb-cs-shapes" });
  const python = kit.code("The same layer in PyTorch");
  let panels = [];
  let built = "";

  function build() { // grids and number fields, when their number changes
    const { channels: used, kernel: K } = sizes();
    if (built === `${used} ${K}`) return;
    built = `${used} ${K}`;
    panels = Array.from({ length: used }, (_, c) => {
      const picture = svg("svg", { role: "img", class: "tb-cs-input" });
      const [kernel, times] = [makeKernel(store, c, K), h("p", { class: "tb-cs-caption" })];
      const name = h("p", { class: "tb-cs-caption", text: used > 1 ? `input channel ${c + 1}` : "input" });
      const node = h("div", { class: "tb-cs-panel" }, h("div", {}, name, picture), h("div", {}, times, kernel.node));
      return { picture, kernel, times, node };
    });
    inputs.replaceChildren(...panels.map(({ node }) => node));
  }

  function draw() {
    build();
    const f = filter();
    const [image, kernel, one] = [get("image"), get("kernel"), { ...options(), kernel: get("kernel")[0][0].length }];
    const [rows, columns] = shape();
    const fits = rows > 0 && columns > 0;
    const step = now();
    const list = fits ? products(image, kernel[f], one, Math.floor(step / columns), step % columns) : [];
    const whole = Math.max(240, Math.min(900, body.clientWidth || 720));
    const column = whole >= 620 ? (whole - 13) / 2 : whole;
    panels.forEach((panel, c) => {
      const beside = panels.length > 1 && column > 390; // the kernel stands beside its channel, not below
      const width = beside ? column - 175 : panels.length > 1 ? Math.min(column, 260) : column;
      panel.node.classList.toggle("beside", beside);
      panel.times.textContent = one.flip ? "times this kernel, flipped" : "times this kernel";
      drawInput(panel.picture, image[c], one.padding, list.filter((p) => p.c === c), width);
      panel.picture.setAttribute("aria-label", `Input channel ${c + 1}, ${image[c].length} by ${image[c][0].length} pixels, padding ${one.padding}`);
      panel.kernel.draw(kernel[f][c]);
    });
    output.style.display = fits ? "" : "none";
    if (fits) {
      const values = convolve(image, kernel[f], get("bias")[f], one);
      size = drawOutput(output, values, step, column);
      const z = values[Math.floor(step / columns)][step % columns];
      output.setAttribute("aria-valuemax", rows * columns - 1);
      output.setAttribute("aria-valuenow", step);
      output.setAttribute("aria-valuetext", `row ${Math.floor(step / columns)}, column ${step % columns}: ${n(z)}`);
      sum.replaceChildren(...sumLines(list, get("bias")[f], one.kernel).map((text, i) => h("p", { text: `${i ? "+ " : ""}${text}` })));
      total.textContent = `= ${n(z)} = z[${Math.floor(step / columns)}, ${step % columns}]`;
    } else {
      sum.replaceChildren();
      total.textContent = "";
    }
    caption.textContent = `output${kernel.length > 1 ? ` of filter ${f + 1}` : ""}: ${rows} by ${columns}`;
    const [H, W] = [image[0].length, image[0][0].length];
    shapes.replaceChildren(...(H === W ? [["side", H]] : [["rows", H], ["columns", W]]).map(([name, side]) => h("p", { text: `${name}: ${sizeText(side, one)}` })));
    presets.set(presetOf(kernel[f], one.channels));
    channels.set(one.channels);
    filters.set(kernel.length);
    shown.input.replaceChildren(...kernel.map((_, i) => h("option", { value: i, text: `filter ${i + 1}`, selected: i === f })));
    shown.node.style.display = kernel.length > 1 ? "" : "none";
    flip.set(one.flip);
    for (const [key, slider] of Object.entries(sliders)) slider.set(one[key]);
    kernelSize.set(one.kernel);
    if (bias.input !== document.activeElement) bias.set(get("bias")[f]);
    python.set(torchLine({ ...one, image, kernel }));
    say(sentence({ image, kernel, bias: get("bias"), filter: f, step, ...options() }));
  }

  channels.node.style.display = all > 1 ? "" : "none";
  body.append(h("p", { class: "tb-cs-hint", text: "Click a place of the output, or focus it and use the arrow keys. [0] is padding." }),
    h("div", { class: "tb-row" }, presets.node, flip.node), h("div", { class: "tb-row" }, channels.node, filters.node, shown.node, bias.node),
    h("div", { class: "tb-split tb-cs-split" }, inputs, h("div", {}, caption, output, walk, h("div", { class: "tb-cs-sum" }, sum, total))),
    h("div", { class: "tb-controls" }, kernelSize.node, sliders.padding.node, sliders.stride.node, sliders.dilation.node), shapes, python.node);
  draw();
}

export default { render };
