import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The networks.

const SIDE = 8;
const PIXELS = 64;
const CLASSES = 10;

/** A network from its trait: { name, width, w1, b1, w2, b2 }; w1 is (64, width), row by row. */
export function network({ name, width, weights }) {
  const values = kit.halves(weights);
  let at = 0;
  const take = (n) => values.subarray(at, (at += n));
  return { name, width, w1: take(PIXELS * width), b1: take(width), w2: take(width * CLASSES), b2: take(CLASSES) };
}

/** Class probabilities: softmax(relu(x w1 + b1) w2 + b2). */
export function read({ width, w1, b1, w2, b2 }, x) {
  const hidden = Float64Array.from(b1);
  for (let i = 0, at = 0; i < PIXELS; i += 1, at += width) {
    const v = x[i];
    if (v !== 0) for (let j = 0; j < width; j += 1) hidden[j] += v * w1[at + j];
  }
  const z = Array.from(b2);
  for (let j = 0; j < width; j += 1) {
    if (hidden[j] > 0) for (let c = 0; c < CLASSES; c += 1) z[c] += hidden[j] * w2[j * CLASSES + c];
  }
  const top = Math.max(...z);
  const powers = z.map((v) => Math.exp(v - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

/** The numbers in [0, 1] of a base64 string of bytes, image by image. */
export function pictures(text) {
  const raw = kit.bytes(text);
  return Array.from({ length: raw.length / PIXELS }, (_, n) => Array.from(raw.subarray(n * PIXELS, (n + 1) * PIXELS), (v) => v / 255));
}

// ---- The corruptions. A draw holds what is random, so that severity moves one and the same accident.

const HOLES = [[2, 2], [2, 3], [3, 3], [3, 4], [4, 4]];
const WAYS = [[1, 0], [-1, 0], [0, 1], [0, -1]];
export const WAY_NAMES = ["right", "left", "down", "up"];

/** What is random about image n under this seed: { noise: 64 normals, way: 0..3, place: two numbers in [0, 1) }. */
export function drawFor(seed, n) {
  const { uniform, normal } = kit.random(seed * 7919 + n + 1);
  return { way: Math.floor(4 * uniform()), place: [uniform(), uniform()], noise: Array.from({ length: PIXELS }, () => normal()) };
}

/** One row of the blur: weights of the offsets -7..7, which sum to 1. */
export function bell(sigma) {
  const raw = Array.from({ length: 15 }, (_, i) => Math.exp(-((i - 7) ** 2) / (2 * sigma * sigma)));
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((v) => v / sum);
}

function blurred(x, sigma) {
  const row = bell(sigma);
  const pass = (values, across) => values.map((_, i) => {
    const [r, c] = [Math.floor(i / SIDE), i % SIDE];
    let sum = 0;
    for (let k = 0; k < SIDE; k += 1) sum += across ? row[c - k + 7] * values[r * SIDE + k] : row[r - k + 7] * values[k * SIDE + c];
    return sum;
  });
  return pass(pass(x, true), false);
}

function moved(x, dx, dy) {
  const at = (r, c) => (r >= 0 && r < SIDE && c >= 0 && c < SIDE ? x[r * SIDE + c] : 0);
  return x.map((_, i) => {
    const [r, c] = [Math.floor(i / SIDE) - dy, (i % SIDE) - dx];
    const [r0, c0] = [Math.floor(r), Math.floor(c)];
    const [fr, fc] = [r - r0, c - c0];
    return (1 - fr) * ((1 - fc) * at(r0, c0) + fc * at(r0, c0 + 1)) + fr * ((1 - fc) * at(r0 + 1, c0) + fc * at(r0 + 1, c0 + 1));
  });
}

/** The hole of the occlusion as { top, left, height, width }; null where the severity rounds to 0. */
export function hole(severity, place) {
  const level = Math.round(severity);
  if (level === 0) return null;
  const [height, width] = HOLES[level - 1];
  return { top: Math.floor(place[0] * (SIDE + 1 - height)), left: Math.floor(place[1] * (SIDE + 1 - width)), height, width };
}

/** The image x (64 numbers) under a corruption of severity 0 to 5; 0 leaves it alone. */
export function corrupt(x, kind, severity, { noise, way, place }) {
  if (severity === 0) return Array.from(x);
  if (kind === "noise") return x.map((v, i) => Math.min(1, Math.max(0, v + 0.12 * severity * noise[i])));
  if (kind === "blur") return blurred(x, 0.25 + 0.2 * severity);
  if (kind === "contrast") {
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const keep = 1 - 0.18 * severity;
    return x.map((v) => keep * v + (1 - keep) * mean);
  }
  if (kind === "shift") return moved(x, 0.3 * severity * WAYS[way][0], 0.3 * severity * WAYS[way][1]);
  const box = hole(severity, place);
  if (!box) return Array.from(x);
  const inside = (v, from, size) => v >= from && v < from + size;
  return x.map((v, i) => (inside(Math.floor(i / SIDE), box.top, box.height) && inside(i % SIDE, box.left, box.width) ? 0 : v));
}

// ---- Results over all images.

const best = (p) => p.indexOf(Math.max(...p));

/** Share of right answers and mean confidence of one network on corrupted images. */
export function score(net, images, labels, kind, severity, draws) {
  let [right, sure] = [0, 0];
  images.forEach((x, n) => {
    const p = read(net, corrupt(x, kind, severity, draws[n]));
    right += best(p) === labels[n] ? 1 : 0;
    sure += Math.max(...p);
  });
  return { accuracy: right / images.length, confidence: sure / images.length };
}

/** The next image after `from`, going round, on which the two networks give different classes; -1 if there is none. */
export function nextSplit(nets, images, kind, severity, draws, from) {
  for (let step = 1; step <= images.length; step += 1) {
    const n = (from + step) % images.length;
    const x = corrupt(images[n], kind, severity, draws[n]);
    if (best(read(nets[0], x)) !== best(read(nets[1], x))) return n;
  }
  return -1;
}

const percent = (v) => `${Math.round(100 * v)}%`;
const article = (label) => (label === 8 ? "an 8" : `a ${label}`);

/** The line that says the result. */
export function sentence({ kind, severity, digit }, label, way, probabilities, nets, scores, count) {
  const says = nets.map((net, i) => {
    const c = best(probabilities[i]);
    return `${net.name} says ${c} (${percent(probabilities[i][c])} sure), ${c === label ? "right" : "wrong"}`;
  });
  const all = nets.map((net, i) => `${net.name} reads ${Math.round(scores[i].accuracy * count)}, on average ${percent(scores[i].confidence)} sure`);
  const what = kind === "shift" && severity > 0 ? `shift to the ${WAY_NAMES[way]}`.replace("to the down", "down").replace("to the up", "up") : kind;
  return `Image ${digit + 1}, ${article(label)}, ${what} at severity ${kit.fmt(severity, 2)}: ${says.join("; ")}. Of ${count} images, ${all.join("; ")}.`;
}

// ---- Pictures: dark ink on light paper in both themes.

function makePicture(caption) {
  const canvas = h("canvas", { class: "tb-co-picture", width: SIDE, height: SIDE, role: "img", "aria-label": caption });
  return { node: h("figure", {}, canvas, h("figcaption", { text: caption })),
    draw(x) {
      const context = canvas.getContext("2d");
      const data = context.createImageData(SIDE, SIDE);
      x.forEach((v, i) => {
        const gray = Math.round(255 * (1 - Math.min(1, Math.max(0, v))));
        data.data.set([gray, gray, gray, 255], 4 * i);
      });
      context.putImageData(data, 0, 0);
    } };
}

/** Probabilities of the ten classes, two bars each: solid for the first network, striped for the second. */
function makeBars(nets) {
  const [width, height, low] = [320, 172, 148];
  const stripes = kit.uid("tb-stripes");
  const column = (width - 8) / CLASSES;
  const bars = nets.map((_, i) => Array.from({ length: CLASSES }, (__, c) => svg("rect", {
    class: `tb-co-bar tb-co-net${i}`, x: 4 + c * column + 4 + i * (column / 2 - 4), width: column / 2 - 5, y: low, height: 0,
    style: i ? `fill: url(#${stripes})` : null })));
  const names = Array.from({ length: CLASSES }, (_, c) => svg("text", { x: 4 + (c + 0.5) * column, y: low + 17, "text-anchor": "middle", text: c }));
  const frame = svg("rect", { class: "tb-co-truth", y: low + 3, width: 18, height: 19, rx: 4 });
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Class probabilities of both networks; the true class is framed" },
    svg("defs", {}, svg("pattern", { id: stripes, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { class: "tb-co-stripe", width: 2.4, height: 5 }))),
    svg("line", { class: "tb-co-floor", x1: 0, x2: width, y1: low, y2: low }), frame, bars.flat(), names);
  const legend = h("p", { class: "tb-co-legend" }, nets.map((net, i) => [h("span", { class: `tb-co-key tb-co-key${i}`, "aria-hidden": "true" }), h("span", { text: net.name })]).flat());
  return { node: h("div", {}, legend, picture), draw(probabilities, label) {
    probabilities.forEach((p, i) => p.forEach((v, c) => {
      const tall = v * (low - 8);
      bars[i][c].setAttribute("y", (low - tall).toFixed(2));
      bars[i][c].setAttribute("height", tall.toFixed(2));
    }));
    frame.setAttribute("x", (4 + (label + 0.5) * column - 9).toFixed(2));
  } };
}

/** Accuracy (solid) and mean confidence (dashed) against severity; a drag sets the severity. */
function makeCurves(nets, width, onSeverity) {
  const view = kit.axes({ width, height: 250, xLabel: "severity", yLabel: "share of the images", pad: [10, 12, 42, 50],
    label: "Accuracy and mean confidence of both networks against the severity" });
  view.update({ x: [0, 5], y: [0, 1], yFormat: percent, xTicks: [0, 1, 2, 3, 4, 5], yTicks: [0, 0.25, 0.5, 0.75, 1] });
  const lines = nets.map((_, i) => ["accuracy", "confidence"].map((what) => svg("path", { class: `tb-curve tb-co-line${i} tb-co-${what}` })));
  const marks = nets.map((_, i) => (i ? svg("rect", { class: `tb-co-mark${i}`, width: 9, height: 9 }) : svg("circle", { class: `tb-co-mark${i}`, r: 5 })));
  const now = svg("line", { class: "tb-co-now", y1: view.top, y2: view.bottom });
  view.plot.append(now, ...lines.flat(), ...marks);
  kit.drag(view.svg, { move: (event) => onSeverity(Math.round(10 * Math.min(5, Math.max(0, view.at(event)[0]))) / 10) });
  view.svg.classList.add("tb-co-curves");
  return { node: view.svg,
    curves(points) {
      points.forEach((own, i) => ["accuracy", "confidence"].forEach((what, k) => {
        lines[i][k].setAttribute("d", view.path(own.map((point) => [point.severity, point[what]])));
      }));
    },
    now(severity, scores) {
      const x = view.px(severity);
      now.setAttribute("x1", x);
      now.setAttribute("x2", x);
      marks[0].setAttribute("cx", x);
      marks[0].setAttribute("cy", view.py(scores[0].accuracy));
      marks[1].setAttribute("x", x - 4.5);
      marks[1].setAttribute("y", view.py(scores[1].accuracy) - 4.5);
    } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-co");
  const KEYS = ["kind", "severity", "digit", "seed"];
  const traits = Object.fromEntries(KEYS.map((key) => [key, kit.trait(model, key, () => refresh())]));
  const get = (key) => traits[key].get();
  const set = (key) => (v) => traits[key].set(v);
  const nets = model.get("models").map(network);
  const images = pictures(model.get("images"));
  const labels = model.get("labels");
  let [drawn, curved, draws] = [null, null, []];

  const width = Math.min(900, Math.max(280, body.clientWidth || 720));
  const [before, after] = [makePicture("as written"), makePicture("corrupted")];
  const bars = makeBars(nets);
  const curves = makeCurves(nets, width >= 620 ? Math.round((width - 16) / 2) : width, set("severity"));
  const kind = kit.select({ label: "corruption", options: ["noise", "blur", "contrast", "shift", "occlusion"], value: get("kind"), onChange: set("kind") });
  const severity = kit.slider({ label: "severity", min: 0, max: 5, step: 0.1, value: get("severity"), format: (v) => v.toFixed(1), onInput: (v) => set("severity")(Number(v.toFixed(1))) });
  const digit = kit.slider({ label: "image", min: 1, max: images.length, value: get("digit") + 1, format: String, onInput: (v) => set("digit")(v - 1) });
  const split = kit.button({ text: "Next disagreement", onClick: () => {
    const n = nextSplit(nets, images, get("kind"), get("severity"), draws, get("digit"));
    if (n >= 0 && n !== get("digit")) { set("digit")(n); return; }
    say(n < 0 ? "The two networks agree on every image at this severity." : "They disagree on this image alone.");
  } });
  const fresh = kit.button({ text: "New draw", name: "New draw: other noise, directions and places", onClick: () => set("seed")((get("seed") + 1) % 2 ** 31) });

  function refresh() {
    const state = Object.fromEntries(KEYS.map((key) => [key, get(key)]));
    if (drawn !== state.seed) {
      draws = images.map((_, n) => drawFor(state.seed, n));
      drawn = state.seed;
    }
    if (curved !== `${state.seed} ${state.kind}`) { // the curves change with the draw and the kind alone
      curves.curves(nets.map((net) => [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5].map((at) => ({ severity: at, ...score(net, images, labels, state.kind, at, draws) }))));
      curved = `${state.seed} ${state.kind}`;
    }
    const x = corrupt(images[state.digit], state.kind, state.severity, draws[state.digit]);
    const probabilities = nets.map((net) => read(net, x));
    const scores = nets.map((net) => score(net, images, labels, state.kind, state.severity, draws));
    before.draw(images[state.digit]);
    after.draw(x);
    bars.draw(probabilities, labels[state.digit]);
    curves.now(state.severity, scores);
    kind.set(state.kind);
    if (severity.input !== document.activeElement) severity.set(state.severity);
    if (digit.input !== document.activeElement) digit.set(state.digit + 1);
    say(sentence(state, labels[state.digit], draws[state.digit].way, probabilities, nets, scores, images.length));
  }

  body.append(h("div", { class: "tb-row" }, kind.node, split, fresh), h("div", { class: "tb-controls" }, severity.node, digit.node),
    h("div", { class: "tb-split" },
      h("div", {}, h("div", { class: "tb-co-pair" }, before.node, after.node), bars.node),
      h("div", {}, h("p", { class: "tb-co-caption", text: `all ${images.length} images: accuracy solid, mean confidence dashed; ● ${nets[0].name}, ■ ${nets[1].name}` }), curves.node)));
  refresh();
}

export default { render };
