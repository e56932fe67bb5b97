import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- What a block is: its name, its fields with their limits, and the layers that it stands for.

const CONV = [["channels", 1, 4096], ["kernel", 1, 11], ["stride", 1, 4], ["padding", 0, 5]];
const POOL = [["kernel", 1, 11], ["stride", 1, 4], ["padding", 0, 5]];
const STAGE = [["blocks", 1, 40], ["channels", 4, 4096], ["stride", 1, 2]];

export const KINDS = {
  conv: { name: "convolution", fields: CONV, fresh: [64, 3, 1, 1] },
  convnorm: { name: "convolution + norm", fields: CONV, fresh: [64, 3, 1, 1] },
  maxpool: { name: "max pooling", fields: POOL, fresh: [2, 2, 0] },
  avgpool: { name: "average pooling", fields: POOL, fresh: [2, 2, 0] },
  vgg: { name: "VGG block", fields: [["convolutions", 1, 8], ["channels", 1, 4096]], fresh: [2, 64] },
  inception: { name: "Inception block", fields: ["1×1", "3×3 reduced", "3×3", "5×5 reduced", "5×5", "pool 1×1"].map((n) => [n, 1, 1024]), fresh: [64, 96, 128, 16, 32, 32] },
  basic: { name: "residual blocks", fields: STAGE, fresh: [2, 64, 1] },
  bottleneck: { name: "bottleneck blocks", fields: STAGE, fresh: [3, 256, 1] },
  dense: { name: "dense block", fields: [["layers", 1, 64], ["growth", 1, 128]], fresh: [6, 32] },
  transition: { name: "transition", fields: [], fresh: [] },
  norm: { name: "norm + ReLU", fields: [], fresh: [] },
  gap: { name: "global average", fields: [], fresh: [] },
  linear: { name: "linear layer", fields: [["units", 1, 10000]], fresh: [10] },
};

const HEAD = [["linear", 4096], ["linear", 4096], ["linear", 1000]];
const STEM = [["convnorm", 64, 7, 2, 3], ["maxpool", 3, 2, 1]];

export const PRESETS = {
  "LeNet": { input: [1, 28], blocks: [["conv", 6, 5, 1, 2], ["avgpool", 2, 2, 0], ["conv", 16, 5, 1, 0], ["avgpool", 2, 2, 0], ["linear", 120], ["linear", 84], ["linear", 10]] },
  "AlexNet": { input: [3, 227], blocks: [["conv", 96, 11, 4, 0], ["maxpool", 3, 2, 0], ["conv", 256, 5, 1, 2], ["maxpool", 3, 2, 0], ["conv", 384, 3, 1, 1], ["conv", 384, 3, 1, 1], ["conv", 256, 3, 1, 1], ["maxpool", 3, 2, 0], ...HEAD] },
  "VGG-16": { input: [3, 224], blocks: [["vgg", 2, 64], ["vgg", 2, 128], ["vgg", 3, 256], ["vgg", 3, 512], ["vgg", 3, 512], ...HEAD] },
  "GoogLeNet": { input: [3, 224], blocks: [["conv", 64, 7, 2, 3], ["maxpool", 3, 2, 1], ["conv", 64, 1, 1, 0], ["conv", 192, 3, 1, 1], ["maxpool", 3, 2, 1],
    ["inception", 64, 96, 128, 16, 32, 32], ["inception", 128, 128, 192, 32, 96, 64], ["maxpool", 3, 2, 1], ["inception", 192, 96, 208, 16, 48, 64], ["inception", 160, 112, 224, 24, 64, 64],
    ["inception", 128, 128, 256, 24, 64, 64], ["inception", 112, 144, 288, 32, 64, 64], ["inception", 256, 160, 320, 32, 128, 128], ["maxpool", 3, 2, 1],
    ["inception", 256, 160, 320, 32, 128, 128], ["inception", 384, 192, 384, 48, 128, 128], ["gap"], ["linear", 1000]] },
  "ResNet-18": { input: [3, 224], blocks: [...STEM, ["basic", 2, 64, 1], ["basic", 2, 128, 2], ["basic", 2, 256, 2], ["basic", 2, 512, 2], ["gap"], ["linear", 1000]] },
  "DenseNet-121": { input: [3, 224], blocks: [...STEM, ["dense", 6, 32], ["transition"], ["dense", 12, 32], ["transition"], ["dense", 24, 32], ["transition"], ["dense", 16, 32], ["norm"], ["gap"], ["linear", 1000]] },
};

/** One layer on an input of [channels, side]; null where the kernel does not fit. */
function layer([cIn, side], { out = cIn, kernel = 1, stride = 1, padding = 0, weights = 0, bias = false, norm = false }) {
  const next = Math.floor((side + 2 * padding - kernel) / stride) + 1;
  if (next < 1 || out < 1) return null;
  return { out: [out, next], params: weights + (bias ? out : 0) + (norm ? 2 * out : 0), work: weights * next * next, saved: out * next * next, kernel, stride };
}

const conv = (shape, [out, kernel, stride, padding], norm = false, plain = false) =>
  layer(shape, { out, kernel, stride, padding, weights: shape[0] * out * kernel * kernel, bias: !norm && !plain, norm });
// PyTorch refuses a pooling whose padding is more than half its kernel: a window could hold padding alone.
const pool = (shape, [kernel, stride, padding]) => (2 * padding > kernel ? null : layer(shape, { kernel, stride, padding }));
const normAlone = ([c, side]) => ({ out: [c, side], params: 2 * c, work: 0, saved: 0, kernel: 1, stride: 1 });

/** Put makers of layers in a row: every one gets the shape that the one before it gave. */
function chain(shape, makers) {
  const layers = [];
  let at = shape;
  for (const make of makers) {
    const next = make(at);
    if (!next) return null;
    layers.push(next);
    at = next.out;
  }
  return layers;
}

function residual(shape, [blocks, channels, stride], bottleneck) {
  const [path, aside] = [[], []];
  let at = shape;
  for (let i = 0; i < blocks; i += 1) {
    const [step, inner] = [i === 0 ? stride : 1, Math.floor(channels / 4)];
    const plan = bottleneck ? [[inner, 1, step, 0], [inner, 3, 1, 1], [channels, 1, 1, 0]] : [[channels, 3, step, 1], [channels, 3, 1, 1]];
    const main = chain(at, plan.map((numbers) => (x) => conv(x, numbers, true)));
    if (!main) return null;
    if (at[0] !== channels || step !== 1) aside.push(conv(at, [channels, 1, step, 0], true));
    path.push(...main);
    at = main.at(-1).out;
  }
  return { path, aside, out: at };
}

/** A block on an input of [channels, side]: the layers of its longest path, those beside it, and its output shape. */
export function expand([kind, ...f], shape) {
  const plain = (path) => path && { path, aside: [], out: path.at(-1).out };
  if (kind === "conv" || kind === "convnorm") return plain(chain(shape, [(x) => conv(x, f, kind === "convnorm")]));
  if (kind === "maxpool" || kind === "avgpool") return plain(chain(shape, [(x) => pool(x, f)]));
  if (kind === "vgg") return plain(chain(shape, [...Array(f[0]).fill((x) => conv(x, [f[1], 3, 1, 1])), (x) => pool(x, [2, 2, 0])]));
  if (kind === "basic" || kind === "bottleneck") return residual(shape, f, kind === "bottleneck");
  if (kind === "transition") return plain(chain(shape, [normAlone, (x) => conv(x, [Math.floor(x[0] / 2), 1, 1, 0], false, true), (x) => pool(x, [2, 2, 0])]));
  if (kind === "norm") return plain([normAlone(shape)]);
  if (kind === "gap") return plain(chain(shape, [(x) => pool(x, [x[1], 1, 0])]));
  if (kind === "linear") return plain([layer(shape, { out: f[0], kernel: shape[1], weights: shape[0] * shape[1] * shape[1] * f[0], bias: true })]);
  if (kind === "inception") {
    const paths = [[[f[0], 1, 1, 0]], [[f[1], 1, 1, 0], [f[2], 3, 1, 1]], [[f[3], 1, 1, 0], [f[4], 5, 1, 2]]].map((plan) => chain(shape, plan.map((numbers) => (x) => conv(x, numbers))));
    paths.push(chain(shape, [(x) => pool(x, [3, 1, 1]), (x) => conv(x, [f[5], 1, 1, 0])]));
    return { path: paths[2], aside: [paths[0], paths[1], paths[3]].flat(), out: [f[0] + f[2] + f[4] + f[5], shape[1]] };
  }
  const path = [];
  for (let i = 0; i < f[0]; i += 1) {
    const before = [shape[0] + i * f[1], shape[1]];
    path.push(normAlone(before), conv(before, [4 * f[1], 1, 1, 0], true), conv([4 * f[1], shape[1]], [f[1], 3, 1, 1], false, true));
  }
  return { path, aside: [], out: [shape[0] + f[0] * f[1], shape[1]] };
}

/** One row per block: shape, parameters, multiply-adds, activations (numbers kept), and receptive field after it.
 *  The first block that does not fit, and all after it, get `fits: false`. */
export function profile(blocks, channels, side) {
  let [shape, field, jump, fits] = [[channels, side], 1, 1, true];
  return blocks.map((block) => {
    const made = fits ? expand(block, shape) : null;
    const blame = fits && !made;
    const input = shape;
    fits = Boolean(made);
    if (!made) return { fits, blame, input };
    for (const { kernel, stride } of made.path) {
      field += (kernel - 1) * jump;
      jump *= stride;
    }
    shape = made.out;
    const sum = (key) => [...made.path, ...made.aside].reduce((total, each) => total + each[key], 0);
    return { fits, blame, input, out: shape, params: sum("params"), work: sum("work"), saved: sum("saved"), field, jump };
  });
}

export function totals(rows) {
  const good = rows.filter((row) => row.fits);
  const sum = (key) => good.reduce((total, row) => total + row[key], 0);
  return { params: sum("params"), work: sum("work"), saved: sum("saved"), field: good.at(-1)?.field ?? 1 };
}

// ---- Text.

/** 138357544 becomes "138 M": three digits and a letter. */
export function short(value) {
  for (const [size, letter] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) if (value >= 0.9995 * size) return `${Number((value / size).toPrecision(3))}${letter}`;
  return String(Number(value.toPrecision(3)));
}
export const bytes = (numbers) => `${short(4 * numbers)}B`;
const shapeText = ([c, side]) => (side === 1 ? String(c) : `${c}×${side}×${side}`);
const percent = (part, whole) => (whole ? `${Number(((100 * part) / whole).toPrecision(3))} %` : "–");

export function label([kind, ...f]) {
  const { name, fields } = KINDS[kind];
  if (kind === "conv" || kind === "convnorm") return `${f[1]}×${f[1]} ${name}${f[2] > 1 ? ` /${f[2]}` : ""}`;
  if (kind === "maxpool" || kind === "avgpool") return `${f[0]}×${f[0]} ${name}${f[1] > 1 ? ` /${f[1]}` : ""}`;
  if (kind === "basic" || kind === "bottleneck" || kind === "dense") return `${name} ×${f[0]}`;
  return fields.length && kind === "vgg" ? `${name}, ${f[0]} conv` : name;
}

/** The line that says the result. */
export function sentence(rows, blocks, pinned) {
  const bad = rows.findIndex((row) => row.blame);
  if (bad >= 0) {
    return `Block ${bad + 1}, ${label(blocks[bad])}, does not fit an input of ${shapeText(rows[bad].input)}: enlarge the image, use a smaller kernel, or remove a block before it. A pooling may have a padding of at most half its kernel.`;
  }
  const all = totals(rows);
  const heavy = (key) => rows.reduce((best, row, i) => (row[key] > rows[best][key] ? i : best), 0);
  const most = (key) => `block ${heavy(key) + 1} (${percent(rows[heavy(key)][key], all[key])})`;
  const against = pinned ? ` Against the pinned network: ${percent(all.params, pinned.params)} of the parameters, ${percent(all.work, pinned.work)} of the multiply-adds, ${percent(all.saved, pinned.saved)} of the memory.` : "";
  return `${all.params.toLocaleString("en-US")} parameters, most in ${most("params")}; ${short(all.work)} multiply-adds, most in ${most("work")}; ${bytes(all.saved)} of activations; receptive field ${all.field}.${against}`;
}

// ---- The picture: one box per block, as high as the image and as wide as its channels, on logarithmic scales.

function makePicture(act) {
  const boxes = svg("g", {});
  const node = svg("svg", { class: "tb-ab-picture", tabindex: "0", role: "slider", "aria-label": "Selected block", "aria-valuemin": 1,
    onkeydown: (event) => {
      const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -1e6, End: 1e6 }[event.key];
      if (way) { event.preventDefault(); act.select(act.state().selected + way); }
      if (event.key === "Delete") { event.preventDefault(); act.remove(); }
    } }, boxes);
  let spots = [];
  let width = 640;
  kit.drag(node, { start: () => node.focus({ preventScroll: true }), move: (event) => {
    const box = node.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    const found = spots.findIndex(([left, right]) => x >= left && x < right);
    if (found >= 0) act.select(found);
  } });
  return { node, draw({ blocks, channels, side, selected }, rows, room) {
    width = room;
    const [height, gap] = [118, blocks.length > 12 ? 2 : 4];
    node.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const thick = ([c]) => 1 + Math.log2(1 + c) / 3;
    const parts = [[channels, side], ...rows.map((row) => row.out ?? [1, 1])];
    const unit = (width - gap * parts.length) / parts.reduce((sum, shape) => sum + thick(shape), 0);
    const tall = ([, n]) => 8 + ((height - 34) * Math.log2(1 + n)) / Math.log2(1 + Math.max(side, 2));
    let x = 0;
    spots = [];
    boxes.replaceChildren(...parts.map((shape, i) => {
      const [w, high] = [unit * thick(shape), tall(shape)];
      const left = x;
      x += w + gap;
      if (i > 0) spots.push([left - gap / 2, x - gap / 2]);
      const row = rows[i - 1];
      const kind = i === 0 ? "input" : blocks[i - 1][0];
      const state = i > 0 && !row.fits ? "bad" : i - 1 === selected ? "now" : "";
      return svg("g", { class: `tb-ab-box ${kind} ${state}` },
        svg("rect", { x: left, y: (height - 16 - high) / 2, width: Math.max(w, 2), height: high, rx: 3 }),
        state === "now" ? svg("path", { d: `M${left + w / 2 - 6} ${height - 13}h12l-6 -8z` }) : null,
        state ? svg("text", { x: Math.min(Math.max(left + w / 2, 46), width - 40), y: height - 1, "text-anchor": "middle", text: state === "bad" ? "✕" : shapeText(shape) }) : null);
    }));
    const row = rows[selected];
    node.setAttribute("aria-valuemax", blocks.length);
    node.setAttribute("aria-valuenow", selected + 1);
    node.setAttribute("aria-valuetext", `block ${selected + 1}, ${label(blocks[selected])}, ${row.fits ? `output ${shapeText(row.out)}` : "does not fit"}`);
  } };
}

// ---- The editor of the selected block.

function makeEditor(act) {
  const kind = kit.select({ label: "block", options: Object.entries(KINDS).map(([key, { name }]) => [key, name]), onChange: (key) => act.replace([key, ...KINDS[key].fresh]) });
  const fields = h("div", { class: "tb-ab-fields" });
  const tools = [
    kit.button({ text: "←", name: "Move the block toward the input", onClick: () => act.move(-1) }),
    kit.button({ text: "→", name: "Move the block toward the output", onClick: () => act.move(1) }),
    kit.button({ text: "Copy", name: "Insert a copy behind this block", onClick: () => act.insert() }),
    kit.button({ text: "Remove", name: "Remove this block", onClick: () => act.remove() }),
  ];
  const place = h("span", { class: "tb-ab-place" });
  let shown = "";
  let inputs = [];
  const draw = ({ blocks, selected }) => {
    const [key, ...values] = blocks[selected];
    place.textContent = `Block ${selected + 1} of ${blocks.length}`;
    kind.set(key);
    if (shown !== `${key} ${selected}`) {
      shown = `${key} ${selected}`;
      inputs = KINDS[key].fields.map(([name, min, max], i) => kit.number({ label: name, min, max, value: values[i], onInput: (v) => act.edit(i, Math.round(v)) }));
      fields.replaceChildren(...inputs.map((input) => input.node));
    }
    inputs.forEach((input, i) => { if (Number(input.input.value) !== values[i] && input.input !== document.activeElement) input.set(values[i]); });
    [tools[0].disabled, tools[1].disabled, tools[2].disabled, tools[3].disabled] = [selected === 0, selected === blocks.length - 1, blocks.length >= MOST, blocks.length < 2];
  };
  return { node: h("div", { class: "tb-ab-editor" }, h("div", { class: "tb-row" }, place, kind.node), fields, h("div", { class: "tb-row" }, tools)), draw };
}

// ---- The table: a solid bar for the share of the parameters, a striped one for that of the multiply-adds.

function bar(part, whole, style) {
  return h("td", { class: "tb-ab-bar" }, h("span", { text: short(part) }), h("i", { class: style, style: `width:${whole ? ((100 * part) / whole).toFixed(1) : 0}%` }));
}

function makeTable(act) {
  const body = h("tbody", {});
  const head = ["block", "output", "parameters", "multiply-adds", "memory", "field"];
  const node = h("div", { class: "tb-scroll tb-ab-scroll", tabindex: "0", role: "region", "aria-label": "What each block costs" },
    h("table", {}, h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col", text })))), body));
  return { node, draw({ blocks, selected }, rows, pinned) {
    const all = totals(rows);
    const line = (row, i) => h("tr", { class: i === selected ? "now" : row.fits ? "" : "bad", onclick: () => act.select(i) },
      h("th", { scope: "row", text: `${i + 1} ${label(blocks[i])}` }),
      row.fits ? [h("td", { text: shapeText(row.out) }), bar(row.params, all.params, "solid"), bar(row.work, all.work, "striped"), h("td", { text: bytes(row.saved) }), h("td", { text: row.field })]
        : h("td", { colspan: 5, text: row.blame ? "does not fit" : "–" }));
    const foot = (name, values, style) => h("tr", { class: style }, h("th", { scope: "row", text: name }), ["", ...values].map((text) => h("td", { text })));
    body.replaceChildren(...rows.map(line), foot("all", [short(all.params), short(all.work), bytes(all.saved), all.field], "sum"),
      ...(pinned ? [foot("pinned", [short(pinned.params), short(pinned.work), bytes(pinned.saved), pinned.field], "pin")] : []));
  } };
}

// ---- The widget.

const MOST = 24;
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-ab");
  let [writing, pinned] = [false, null];
  const names = ["blocks", "channels", "side", "selected"];
  const state = () => {
    const now = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    return { ...now, selected: clamp(now.selected, 0, now.blocks.length - 1) };
  };
  const write = (changes) => {
    writing = true; // one picture for all of them
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    writing = false;
    model.save_changes();
    draw();
  };
  const swap = (change) => { const { blocks, selected } = state(); write(change(blocks.map((block) => [...block]), selected)); };
  const act = {
    state,
    select: (i) => write({ selected: clamp(i, 0, state().blocks.length - 1) }),
    edit: (i, value) => swap((blocks, at) => { blocks[at][i + 1] = value; return { blocks }; }),
    replace: (block) => swap((blocks, at) => { blocks[at] = block; return { blocks }; }),
    insert: () => swap((blocks, at) => { blocks.splice(at + 1, 0, [...blocks[at]]); return blocks.length > MOST ? {} : { blocks, selected: at + 1 }; }),
    remove: () => swap((blocks, at) => { if (blocks.length < 2) return {}; blocks.splice(at, 1); return { blocks, selected: Math.min(at, blocks.length - 1) }; }),
    move: (way) => swap((blocks, at) => {
      const to = at + way;
      if (to < 0 || to >= blocks.length) return {};
      [blocks[at], blocks[to]] = [blocks[to], blocks[at]];
      return { blocks, selected: to };
    }),
  };
  const [picture, editor, table] = [makePicture(act), makeEditor(act), makeTable(act)];
  const chips = Object.entries(PRESETS).map(([name, { input, blocks }]) => kit.button({ text: name, kind: "tb-ab-chip",
    onClick: () => write({ blocks: blocks.map((block) => [...block]), channels: input[0], side: input[1], selected: 0 }) }));
  const side = kit.slider({ label: "image side", min: 8, max: 256, value: state().side, format: String, onInput: (v) => write({ side: v }) });
  const pin = kit.button({ text: "Pin", name: "Pin this network, to compare others with it", onClick: () => {
    pinned = pinned ? null : totals(profile(state().blocks, state().channels, state().side));
    draw();
  } });
  body.append(h("p", { class: "tb-ab-hint", text: "Each box is a block: as high as its feature map, as wide as its channels (both logarithmic). Select one, and change it below." }),
    h("div", { class: "tb-row", role: "group", "aria-label": "Networks" }, chips, pin), picture.node,
    h("div", { class: "tb-ab-lower" }, h("div", {}, editor.node, side.node), table.node));

  function draw() {
    const now = state();
    const rows = profile(now.blocks, now.channels, now.side);
    picture.draw(now, rows, clamp(body.clientWidth || 640, 280, 1000));
    editor.draw(now);
    table.draw(now, rows, pinned);
    if (side.input !== document.activeElement) side.set(now.side);
    pin.textContent = pinned ? "Unpin" : "Pin";
    pin.setAttribute("aria-pressed", String(Boolean(pinned)));
    const text = JSON.stringify(now.blocks);
    chips.forEach((chip, i) => chip.setAttribute("aria-pressed", String(JSON.stringify(Object.values(PRESETS)[i].blocks) === text)));
    root.classList.toggle("misfit", rows.some((row) => !row.fits));
    say(sentence(rows, now.blocks, pinned));
  }
  for (const name of names) model.on(`change:${name}`, () => { if (!writing) draw(); });
  draw();
  requestAnimationFrame(draw); // Jupyter may attach the element only after this function returns
}

export default { render };
