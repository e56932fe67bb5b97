import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The decoder. Numbers come as base64: signed bytes for weights, float16 for codes, half bytes for images.

export const { bytes, halves } = kit;

const ACTIVATIONS = {
  "": (v) => v,
  Tanh: Math.tanh,
  ReLU: (v) => Math.max(v, 0),
  SiLU: (v) => v / (1 + Math.exp(-v)),
  Sigmoid: (v) => 1 / (1 + Math.exp(-v)),
};

/** Numbers in [0, 1] of a base64 string that holds two 4-bit gray levels in a byte. */
export function grays(text) {
  return Array.from(bytes(text)).flatMap((pair) => [(pair >> 4) / 15, (pair & 15) / 15]);
}

/** Layers that `decode` can run, from [[inputs, outputs, activation, scale, bias scale], ...] and all weights in one row. */
export function unpack(layers, weights) {
  const values = new Int8Array(bytes(weights).buffer);
  let at = 0;
  const take = (n, scale) => Float64Array.from(values.subarray(at, (at += n)), (v) => v * scale);
  return layers.map(([inputs, outputs, activation, scale, biasScale]) => ({
    inputs, outputs, activation, weight: take(inputs * outputs, scale), bias: take(outputs, biasScale) }));
}

/** The output of the network: each layer is activation(W x + b). */
export function decode(net, input) {
  let x = input;
  for (const { inputs, outputs, activation, weight, bias } of net) {
    const y = new Float64Array(outputs);
    for (let i = 0; i < outputs; i += 1) {
      let sum = bias[i];
      for (let j = 0; j < inputs; j += 1) sum += weight[i * inputs + j] * x[j];
      y[i] = ACTIVATIONS[activation](sum);
    }
    x = y;
  }
  return Array.from(x);
}

/** What the decoder takes: the two latent variables, then the one-hot class if there are classes. */
export function inputOf(z, label, classes) {
  return [...z, ...Array.from({ length: classes }, (_, c) => (c === label ? 1 : 0))];
}

// ---- The plane.

/** Share of draws from N(0, I) in the plane that lie farther from the middle than z: exp(-|z|^2 / 2). */
export function outside([a, b]) {
  return Math.exp(-(a * a + b * b) / 2);
}

/** Index and distance of the code nearest to z; with `label`, only among the codes of that class. */
export function nearest(codes, labels, z, label = null) {
  let best = { index: -1, distance: Infinity };
  labels.forEach((own, index) => {
    if (label !== null && own !== label) return;
    const distance = Math.hypot(codes[2 * index] - z[0], codes[2 * index + 1] - z[1]);
    if (distance < best.distance) best = { index, distance };
  });
  return best;
}

/** n points from a to b, both included, evenly spaced. */
export function between(a, b, n) {
  return Array.from({ length: n }, (_, i) => a.map((v, axis) => v + ((b[axis] - v) * i) / (n - 1)));
}

/** Root of the mean squared difference of two pictures. */
export function difference(a, b) {
  return Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]) ** 2, 0) / a.length);
}

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const two = (v) => (Math.abs(v) < 0.005 ? "0.00" : v.toFixed(2).replace("-", "−"));
const share = (v) => (v < 0.01 ? "less than 1 %" : `${Math.round(100 * v)} %`);
const named = (label) => `${label === 8 ? "an" : "a"} ${label}`;

/** The line that says the result. `gap` is null where the real images are not known. */
export function sentence({ point, label, classes, noisy }, { distance, own, gap }) {
  const place = `z = (${two(point[0])}, ${two(point[1])})`;
  const start = classes ? `Class ${label}, style ${place}` : `At ${place}`;
  const near = distance === Infinity ? "No held-out image has this class."
    : `The nearest code${classes ? " of this class" : `, of ${named(own)},`} is ${two(distance)} away`
      + (gap === null ? "." : `; its image and the decoded one differ by ${two(gap)} per pixel${noisy ? " (noise included)" : ""}.`);
  return `${start}: ${share(outside(point))} of draws from the prior lie farther out. ${near}`;
}

// ---- Pictures. Ink is black of some opacity; the style sheet inverts it on a dark page.

const STEPS = 9;
const TILES = 12;

/** Draw square pictures into the canvas, `columns` in a row, with a margin of so many pixels around each. */
function paint(canvas, pictures, columns = 1, margin = 0) {
  const own = Math.sqrt(pictures[0].length);
  const side = own + 2 * margin;
  canvas.width = columns * side;
  canvas.height = (pictures.length / columns) * side;
  const context = canvas.getContext("2d");
  const data = context.createImageData(canvas.width, canvas.height);
  pictures.forEach((picture, p) => {
    const [left, top] = [(p % columns) * side + margin, Math.floor(p / columns) * side + margin];
    picture.forEach((v, i) => {
      const at = (top + Math.floor(i / own)) * canvas.width + left + (i % own);
      data.data[4 * at + 3] = Math.round(255 * clamp(v, 0, 1));
    });
  });
  context.putImageData(data, 0, 0);
}

const picture = (name) => h("canvas", { class: "tb-lw-picture", width: 8, height: 8, role: "img", "aria-label": name });
const cell = (canvas) => h("span", { class: "tb-lw-cell" }, canvas); // the border is not inverted with the ink

function makePlane(store, codes, labels, spreads) {
  const size = 360;
  const reach = store.get("reach");
  const to = ([a, b]) => [((a + reach) / (2 * reach)) * size, ((reach - b) / (2 * reach)) * size];
  const unit = size / (2 * reach);
  const canvas = h("canvas", { class: "tb-lw-tiles", "aria-hidden": "true" });
  const glyphs = labels.map((label, i) => {
    const [x, y] = to([codes[2 * i], codes[2 * i + 1]]);
    return svg("text", { class: `tb-lw-code tb-lw-class${label}`, x: x.toFixed(1), y: (y + 3.5).toFixed(1), text: label });
  });
  const rings = [1, 2].flatMap((r) => [svg("circle", { class: "tb-lw-ring", cx: size / 2, cy: size / 2, r: r * unit }),
    svg("text", { class: "tb-lw-share", x: size / 2, y: size / 2 - r * unit - 3, "text-anchor": "middle",
      text: `${Math.round(100 * (1 - Math.exp(-r * r / 2)))} % of draws` })]);
  const points = svg("g", {}, glyphs);
  const [cloud, link, walk] = [svg("ellipse", { class: "tb-lw-spread" }), svg("line", { class: "tb-lw-link" }), svg("path", { class: "tb-lw-walk" })];
  const start = svg("circle", { class: "tb-lw-anchor", r: 5 });
  const handle = svg("g", { class: "tb-lw-handle", tabindex: "0", role: "slider", "aria-label": "Point in the latent plane",
    "aria-valuemin": -reach, "aria-valuemax": reach }, svg("circle", { r: 17, class: "hit" }), svg("circle", { r: 8, class: "ring" }));
  const picture = svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "group", "aria-label": "The latent plane, with the codes of held-out images" },
    svg("g", { "aria-hidden": "true" }, points, rings, cloud, link, walk, start), handle);
  const node = h("div", { class: "tb-lw-plane" }, canvas, picture);
  const moveTo = (a, b) => store.set("point", [a, b].map((v) => Number(clamp(v, -reach, reach).toFixed(3))));

  kit.drag(picture, { start: () => { handle.focus({ preventScroll: true }); }, move: (event) => {
    const box = picture.getBoundingClientRect();
    moveTo(((event.clientX - box.left) / box.width) * 2 * reach - reach, reach - ((event.clientY - box.top) / box.height) * 2 * reach);
  } });
  handle.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way && event.key !== "Home") return;
    event.preventDefault();
    const stride = event.shiftKey ? 0.5 : 0.1;
    const [a, b] = store.get("point");
    if (way) moveTo(a + way[0] * stride, b + way[1] * stride); else moveTo(0, 0);
  });

  return { node, canvas, drawPoint(near) {
    const point = store.get("point");
    const [x, y] = to(point);
    handle.setAttribute("transform", `translate(${x} ${y})`);
    handle.setAttribute("aria-valuenow", point[0]);
    handle.setAttribute("aria-valuetext", `first ${two(point[0])}, second ${two(point[1])}`);
    const known = near.index >= 0;
    for (const shape of [link, cloud]) shape.style.display = known ? "" : "none";
    if (known) {
      const [u, v] = to([codes[2 * near.index], codes[2 * near.index + 1]]);
      for (const [key, value] of Object.entries({ x1: x, y1: y, x2: u, y2: v })) link.setAttribute(key, value);
      const [ru, rv] = spreads ? [2 * spreads[2 * near.index] * unit, 2 * spreads[2 * near.index + 1] * unit] : [0, 0];
      for (const [key, value] of Object.entries({ cx: u, cy: v, rx: ru, ry: rv })) cloud.setAttribute(key, value);
    }
    const [p, q] = to(store.get("anchor"));
    const walking = !store.get("classes");
    for (const shape of [walk, start]) shape.style.display = walking ? "" : "none";
    walk.setAttribute("d", `M${p} ${q}L${x} ${y}`);
    start.setAttribute("cx", p);
    start.setAttribute("cy", q);
  }, drawCodes() {
    const [classes, label] = [store.get("classes"), store.get("label")];
    glyphs.forEach((glyph, i) => glyph.classList.toggle("faint", Boolean(classes) && labels[i] !== label));
    points.classList.toggle("behind", store.get("tiled"));
    canvas.style.display = store.get("tiled") ? "" : "none";
  } };
}

/** Nine pictures on the way from the start to the point. */
function makeWalk() {
  const cells = Array.from({ length: STEPS }, (_, i) => picture(`Step ${i + 1} of ${STEPS}`));
  return { node: h("div", { class: "tb-lw-strip", role: "group", "aria-label": "Pictures on the way from the start to the point" }, cells.map(cell)), cells };
}

/** One button for each class, with its picture in the present style. */
function makeClasses(store) {
  const cells = Array.from({ length: store.get("classes") }, (_, c) => picture(`Class ${c} in this style`));
  const buttons = cells.map((canvas, c) => h("button", { type: "button", class: "tb-lw-choice", "aria-label": `Class ${c}`,
    onclick: () => store.set("label", c) }, canvas, h("span", { text: c, "aria-hidden": "true" })));
  return { node: h("div", { class: "tb-lw-strip tb-lw-choices", role: "group", "aria-label": "All classes in this style: choose one" }, buttons), cells,
    mark: () => buttons.forEach((button, c) => button.setAttribute("aria-pressed", String(c === store.get("label")))) };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-lw");
  const own = ["point", "anchor", "label", "noisy", "tiled"];
  const traits = Object.fromEntries(own.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = { get: (name) => (traits[name] ? traits[name].get() : model.get(name)), set: (name, v) => traits[name].set(v) };
  const [classes, noise] = [model.get("classes"), model.get("noise")];
  const net = unpack(model.get("layers"), model.get("weights"));
  const pixels = net[net.length - 1].outputs;
  const [codes, labels] = [halves(model.get("codes")), model.get("labels")];
  const spreads = model.get("spreads") ? halves(model.get("spreads")) : null;
  const images = model.get("images") ? grays(model.get("images")) : null;
  const rng = kit.random(7);
  let grain = Array.from({ length: pixels }, rng.normal);

  const plane = makePlane(store, codes, labels, spreads);
  const strip = classes ? makeClasses(store) : makeWalk();
  const [here, real] = [picture("Decoded at the point"), picture("Nearest held-out image")];
  const realName = h("p", {});
  const at = (z, label = store.get("label")) => decode(net, inputOf(z, label, classes));

  const draw = kit.button({ text: "Draw from the prior", kind: "primary", onClick: () => {
    grain = Array.from({ length: pixels }, rng.normal);
    const reach = store.get("reach");
    store.set("point", [rng.normal(), rng.normal()].map((v) => Number(clamp(v, -reach, reach).toFixed(3))));
  } });
  const startHere = kit.button({ text: "Start the walk here", onClick: () => store.set("anchor", [...store.get("point")]) });
  const noisy = kit.checkbox({ label: "add the decoder's noise", value: store.get("noisy"), onChange: (on) => store.set("noisy", on) });
  const tiled = kit.checkbox({ label: "map of pictures", value: store.get("tiled"), onChange: (on) => store.set("tiled", on) });

  function drawPoint() {
    const state = Object.fromEntries(own.map((name) => [name, store.get(name)]));
    const near = nearest(codes, labels, state.point, classes ? state.label : null);
    plane.drawPoint(near);
    const clean = at(state.point);
    const shown = state.noisy ? clean.map((v, i) => v + noise * grain[i]) : clean;
    paint(here, [shown]);
    const places = classes ? null : between(state.anchor, state.point, STEPS);
    strip.cells.forEach((canvas, i) => paint(canvas, [classes ? at(state.point, i) : at(places[i])]));
    let gap = null;
    if (images) {
      const true_ = near.index < 0 ? new Array(pixels).fill(0) : images.slice(near.index * pixels, (near.index + 1) * pixels);
      paint(real, [true_]);
      if (near.index >= 0) gap = difference(shown, true_);
    }
    realName.textContent = near.index < 0 ? "no image of this class" : `nearest held-out image: ${named(labels[near.index])}`;
    say(sentence({ ...state, classes }, { distance: near.distance, own: labels[near.index], gap }));
  }

  function drawTiles() {
    if (!store.get("tiled")) return;
    const reach = store.get("reach");
    const centers = Array.from({ length: TILES }, (_, i) => -reach + ((2 * i + 1) * reach) / TILES);
    paint(plane.canvas, [...centers].reverse().flatMap((b) => centers.map((a) => at([a, b]))), TILES, 1);
  }

  function refresh(name) {
    if (name === "tiled" || name === "label") { drawTiles(); plane.drawCodes(); }
    if (name === "tiled") tiled.set(store.get("tiled"));
    if (name === "noisy") noisy.set(store.get("noisy"));
    if (name === "label") strip.mark();
    drawPoint();
  }

  const figure = (canvas, caption) => h("div", { class: "tb-lw-figure" }, cell(canvas), caption);
  body.append(
    h("p", { class: "tb-lw-hint", text: "Drag the ring, or move it with the arrow keys. Small digits: where the encoder puts held-out images." }),
    h("div", { class: "tb-split tb-lw-split" }, plane.node, h("div", { class: "tb-lw-side" },
      h("div", { class: "tb-lw-pair" }, figure(here, h("p", { text: "decoded at the ring" })), images ? figure(real, realName) : null),
      h("p", { class: "tb-lw-caption", text: classes ? "All classes in this style: choose one" : "On the way from the dot to the ring" }), strip.node,
      h("div", { class: "tb-row" }, draw, classes ? null : startHere),
      h("div", { class: "tb-row tb-lw-checks" }, noise > 0 ? noisy.node : null, tiled.node))));
  drawTiles();
  plane.drawCodes();
  strip.mark?.();
  drawPoint();
}

export default { render };
