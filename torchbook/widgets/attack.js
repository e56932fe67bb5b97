import * as kit from "./kit.js";

const { h, s: svg } = kit;

export const LARGEST = { inf: 0.4, 2: 3, 1: 12 };
const USUAL = { inf: 0.1, 2: 0.5, 1: 2 };
const NAMES = { inf: "∞: each pixel", 2: "2: length", 1: "1: sum" };
const SIGN = { inf: "∞", 2: "2", 1: "1" };
const WHO = ["standard", "robust"];
const STYLE = { standard: { color: "var(--tb-c0)", dash: null }, robust: { color: "var(--tb-c1)", dash: "6 3" } };

// ---- The networks: linear layers with ReLU between.

/** Packed weights as layers [{ rows, columns, weight, bias }]. */
export function unpack({ sizes, data }) {
  const all = kit.halves(data);
  let at = 0;
  return sizes.slice(1).map((rows, i) => {
    const columns = sizes[i];
    const weight = all.subarray(at, at + rows * columns);
    const bias = all.subarray(at + rows * columns, at + rows * columns + rows);
    at += rows * columns + rows;
    return { rows, columns, weight, bias };
  });
}

/** All layers' outputs for x; the last one holds the logits. */
export function forward(net, x) {
  const outs = [];
  let input = x;
  net.forEach(({ rows, columns, weight, bias }, k) => {
    const out = new Float64Array(rows);
    for (let r = 0, at = 0; r < rows; r += 1) {
      let sum = bias[r];
      for (let c = 0; c < columns; c += 1, at += 1) sum += weight[at] * input[c];
      out[r] = k + 1 < net.length && sum < 0 ? 0 : sum;
    }
    outs.push(out);
    input = out;
  });
  return outs;
}

export const logits = (net, x) => Array.from(forward(net, x).at(-1));

export function softmax(z) {
  const top = Math.max(...z);
  const powers = z.map((v) => Math.exp(v - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

/** Backpropagation to the input: the gradient of the cross-entropy of class y at x. */
export function inputGradient(net, x, y) {
  const outs = forward(net, x);
  let back = Float64Array.from(softmax(Array.from(outs.at(-1))), (p, c) => p - (c === y ? 1 : 0));
  for (let k = net.length - 1; k >= 0; k -= 1) {
    const { rows, columns, weight } = net[k];
    const next = new Float64Array(columns);
    for (let r = 0, at = 0; r < rows; r += 1, at += columns) {
      if (back[r] === 0) continue;
      for (let c = 0; c < columns; c += 1) next[c] += weight[at + c] * back[r];
    }
    if (k > 0) for (let c = 0; c < columns; c += 1) if (outs[k - 1][c] <= 0) next[c] = 0;
    back = next;
  }
  return Array.from(back);
}

/** The right logit minus the largest other one: below 0 the network is fooled. */
export function margin(z, y) {
  return z[y] - Math.max(...z.filter((_, c) => c !== y));
}

// ---- The attack.

export function size(delta, norm) {
  if (norm === "inf") return delta.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  if (norm === "1") return delta.reduce((a, v) => a + Math.abs(v), 0);
  return Math.sqrt(delta.reduce((a, v) => a + v * v, 0));
}

/** The nearest point of the ball of radius eps. */
export function project(delta, eps, norm) {
  if (norm === "inf") return delta.map((v) => Math.min(eps, Math.max(-eps, v)));
  if (norm === "2") {
    const factor = Math.min(1, eps / Math.max(size(delta, "2"), 1e-12));
    return delta.map((v) => v * factor);
  }
  let [sum, tau] = [0, 0];
  [...delta].map(Math.abs).sort((a, b) => b - a).forEach((v, i) => {
    sum += v;
    tau = Math.max(tau, (sum - eps) / (i + 1));
  });
  return delta.map((v) => Math.sign(v) * Math.max(Math.abs(v) - tau, 0));
}

/** The step of norm 1 that gains most along g. */
export function steepest(g, norm) {
  if (norm === "inf") return g.map(Math.sign);
  if (norm === "2") {
    const length = Math.max(size(g, "2"), 1e-12);
    return g.map((v) => v / length);
  }
  let best = 0;
  g.forEach((v, i) => { if (Math.abs(v) > Math.abs(g[best])) best = i; });
  return g.map((v, i) => (i === best ? Math.sign(v) : 0));
}

const boxed = (x, delta) => x.map((v, i) => Math.min(1, Math.max(0, v + delta[i])));

/** PGD: every point of the way, from the start to the end, steps + 1 in all. aim < 0: away from class y. */
export function attack(net, x, y, { norm, eps, steps, start, aim, seed }) {
  const length = steps === 1 && !start ? eps : (2.5 * eps) / steps;
  const { uniform } = kit.random(seed + 1);
  let moved = start ? boxed(x, project(x.map(() => eps * (2 * uniform() - 1)), eps, norm)) : [...x];
  const way = [moved];
  for (let t = 0; t < steps; t += 1) {
    let g = inputGradient(net, moved, aim < 0 ? y : aim);
    if (aim >= 0) g = g.map((v) => -v);
    g = g.map((v, i) => ((moved[i] <= 0 && v < 0) || (moved[i] >= 1 && v > 0) ? 0 : v));
    const step = steepest(g, norm);
    moved = boxed(x, project(moved.map((v, i) => v - x[i] + length * step[i]), eps, norm));
    way.push(moved);
  }
  return way;
}

/** The ways for both networks: their own, or both the one made for a network. */
export function ways(nets, x, y, state) {
  if (state.made_for === "each") return Object.fromEntries(WHO.map((who) => [who, attack(nets[who], x, y, state)]));
  const one = attack(nets[state.made_for], x, y, state);
  return { standard: one, robust: one };
}

/** Margins after the attack against eps, for both networks: { eps, standard, robust }. */
export function curve(nets, x, y, state, count = 12) {
  const eps = Array.from({ length: count + 1 }, (_, i) => (LARGEST[state.norm] * i) / count);
  const ends = eps.map((e) => ways(nets, x, y, { ...state, eps: e, steps: Math.min(state.steps, 15) }));
  return { eps, ...Object.fromEntries(WHO.map((who) => [who, ends.map((end) => margin(logits(nets[who], end[who].at(-1)), y))])) };
}

/** One touch of the pen at pixel (row, column): full ink there, a trace beside it; or none, if it erases. */
export function touch(image, row, column, erase) {
  return image.map((v, i) => {
    const far = Math.abs(Math.floor(i / 8) - row) + Math.abs((i % 8) - column);
    if (erase) return far === 0 ? 0 : v;
    return Math.max(v, far === 0 ? 1 : far === 1 ? 0.25 : 0);
  });
}

// ---- Text.

const best = (p) => p.indexOf(Math.max(...p));
const percent = (v) => `${Math.round(100 * v)}%`;

/** What one network says, and how the attack went for it. */
export function verdict(net, x, moved, { truth, aim }) {
  const [before, after] = [x, moved].map((image) => softmax(logits(net, image)));
  const [was, is] = [best(before), best(after)];
  const end = was !== truth ? "wrong before any attack" : aim >= 0 && aim !== truth && is === aim ? "the target is hit"
    : is !== truth ? "fooled" : "it stands";
  return { before, after, was, is, end };
}

export function sentence(state, x, shown, results) {
  const said = WHO.map((who) => `${who} reads ${results[who].is} (${percent(results[who].after[results[who].is])}): ${results[who].end}`);
  const delta = (who) => shown[who].map((v, i) => v - x[i]);
  const largest = (norm) => kit.fmt(Math.max(...WHO.map((who) => size(delta(who), norm))), 3);
  return `A ${state.truth}, after ${state.step} of ${state.steps} ${state.steps === 1 ? "step" : "steps"}, ‖δ‖ with p = ${SIGN[state.norm]} at most ${kit.fmt(state.eps, 3)}. `
    + `${said.join("; ")}. Largest change ‖δ‖∞ ${largest("inf")}, ‖δ‖₂ ${largest("2")}, ‖δ‖₁ ${largest("1")}.`;
}

// ---- Pictures: 8 by 8 pixels, dark ink on light paper in both themes.

function paint(canvas, values, gray) {
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(8, 8);
  for (let i = 0; i < 64; i += 1) image.data.set([gray(values[i]), gray(values[i]), gray(values[i]), 255], 4 * i);
  pen.putImageData(image, 0, 0);
}
const ink = (v) => Math.round(255 * (1 - v));
const picture = (label, cls = "") => h("canvas", { width: 8, height: 8, class: `tb-at-picture ${cls}`, role: "img", "aria-label": label });

/** The paper: draw with a pointer, or with arrow keys and space. */
function makePaper(read, write) {
  const canvas = picture("The digit", "tb-at-draw");
  const cursor = h("span", { class: "tb-at-cursor", "aria-hidden": "true" });
  const node = h("div", { class: "tb-at-paper", tabindex: "0", role: "application", "aria-label": "Paper: arrow keys move, space inks or erases a pixel" }, canvas, cursor);
  let [row, column, erase] = [3, 3, false];
  const place = () => {
    cursor.style.left = `${12.5 * column}%`;
    cursor.style.top = `${12.5 * row}%`;
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const cell = (v, low, span) => Math.min(7, Math.max(0, Math.floor((8 * (v - low)) / span)));
    [row, column] = [cell(event.clientY, box.top, box.height), cell(event.clientX, box.left, box.width)];
    place();
  };
  kit.drag(node, {
    start: (event) => {
      node.focus({ preventScroll: true });
      at(event);
      erase = read()[8 * row + column] > 0.6;
    },
    move: (event) => { at(event); write(touch(read(), row, column, erase)); },
  });
  node.addEventListener("keydown", (event) => {
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    if (way) [row, column] = [Math.min(7, Math.max(0, row + way[0])), Math.min(7, Math.max(0, column + way[1]))];
    else write(touch(read(), row, column, read()[8 * row + column] > 0.6));
    place();
  });
  place();
  return { node, draw: (x) => paint(canvas, x, ink) };
}

/** One network: the attacked image, the change, and ten bars, before (outline) and after (filled). */
function makePanel(who) {
  const [after, change] = [picture(`The image that ${who} gets`), picture(`The change, dark where ink is added`)];
  const head = h("p", { class: "tb-at-head" });
  const bars = svg("g", {});
  const plot = svg("svg", { viewBox: "0 0 220 104", role: "img", "aria-label": `Probabilities by the ${who} network` }, bars);
  const node = h("div", { class: "tb-at-panel" }, head,
    h("div", { class: "tb-at-two" }, h("figure", {}, after, h("figcaption", { text: "attacked" })), h("figure", {}, change, h("figcaption", { text: "change" })), plot));
  return { node, draw(x, moved, result, state) {
    paint(after, moved, ink);
    const delta = moved.map((v, i) => v - x[i]);
    const top = Math.max(size(delta, "inf"), 1e-9);
    paint(change, delta, (v) => Math.round(127.5 * (1 - v / top)));
    head.replaceChildren(h("b", { text: `${who}: ` }), `reads ${result.is} (${percent(result.after[result.is])}), ${result.end}`);
    head.dataset.state = result.is === state.truth ? "stands" : "fooled";
    bars.replaceChildren(...result.after.flatMap((p, c) => [
      svg("rect", { x: 22 * c + 3, width: 16, y: 84 - 78 * p, height: 78 * p, class: c === state.truth ? "tb-at-true" : "tb-at-bar" }),
      svg("rect", { x: 22 * c + 3, width: 16, y: 84 - 78 * result.before[c], height: 78 * result.before[c], class: "tb-at-before" }),
      svg("text", { x: 22 * c + 11, y: 99, "text-anchor": "middle", text: c === state.truth ? `${c}✓` : c === state.aim ? `${c}◎` : String(c) })]));
  } };
}

/** The margins of both networks against the budget. */
function makeCurve(width, pick) {
  const view = kit.axes({ width, height: 210, xLabel: "budget ε", yLabel: "margin", label: "Margin of both networks against the budget; drag to set it", pad: [10, 12, 40, 48] });
  const marks = svg("g", {});
  view.plot.append(marks);
  kit.drag(view.svg, { move: (event) => pick(view.at(event)[0]) });
  return { node: view.svg, draw(state, lines) {
    const all = WHO.flatMap((who) => lines[who]);
    const [low, high] = [Math.max(-30, Math.min(-2, ...all)), Math.max(2, ...all)];
    view.update({ x: [0, LARGEST[state.norm]], y: [low, high] });
    const inside = (v) => Math.max(low, v);
    marks.replaceChildren(
      svg("line", { class: "tb-at-zero", x1: view.left, x2: view.right, y1: view.py(0), y2: view.py(0) }),
      svg("text", { x: view.right, y: view.py(0) + 14, "text-anchor": "end", text: "below: fooled" }),
      svg("line", { class: "tb-at-now", x1: view.px(state.eps), x2: view.px(state.eps), y1: view.top, y2: view.bottom }),
      ...WHO.flatMap((who, k) => [
        svg("path", { class: "tb-curve", stroke: STYLE[who].color, "stroke-dasharray": STYLE[who].dash, d: view.path(lines.eps.map((e, i) => [e, inside(lines[who][i])])) }),
        svg("text", { class: "tb-at-name", x: view.left + 8 + 90 * k, y: view.bottom - 8, style: `fill: ${STYLE[who].color}`, text: `${k ? "- -" : "—"} ${who}` })]));
  } };
}

function makeControls(store, labels, clear) {
  const digits = [...labels.map((label, i) => [i, `a ${label}${new Set(labels).size < labels.length ? ` (${i + 1})` : ""}`]), [-1, "my drawing"]];
  const classes = Array.from({ length: 10 }, (_, c) => [c, String(c)]);
  const selects = {
    digit: kit.select({ label: "image", options: digits, value: store.get("digit"), onChange: (v) => store.set("digit", Number(v)) }),
    truth: kit.select({ label: "it is a", options: classes, value: store.get("truth"), onChange: (v) => store.set("truth", Number(v)) }),
    aim: kit.select({ label: "aim at", options: [[-1, "any mistake"], ...classes], value: store.get("aim"), onChange: (v) => store.set("aim", Number(v)) }),
    norm: kit.select({ label: "norm p", options: ["inf", "2", "1"].map((p) => [p, NAMES[p]]), value: store.get("norm"), onChange: (v) => store.set("norm", v) }),
    made_for: kit.select({ label: "made for", options: [["each", "each network"], ["standard", "standard only"], ["robust", "robust only"]], value: store.get("made_for"), onChange: (v) => store.set("made_for", v) }),
  };
  const eps = kit.slider({ label: "budget ε", min: 0, max: 1, step: "any", value: 0, format: (v) => kit.fmt(v * LARGEST[store.get("norm")], 3),
    onInput: (v) => store.set("eps", Number((v * LARGEST[store.get("norm")]).toFixed(3))) });
  eps.input.step = 0.025;
  const steps = kit.slider({ label: "attack steps", min: 1, max: 40, value: store.get("steps"), format: String, onInput: (v) => store.set("steps", v) });
  const start = kit.checkbox({ label: "random start", value: store.get("start"), onChange: (v) => store.set("start", v) });
  const fresh = kit.button({ text: "New start", onClick: () => store.set("seed", store.get("seed") + 1) });
  return { rows: [h("div", { class: "tb-row" }, selects.digit.node, selects.truth.node, kit.button({ text: "Clear the paper", onClick: clear })),
    h("div", { class: "tb-controls" }, eps.node, steps.node),
    h("div", { class: "tb-row" }, selects.norm.node, selects.aim.node, selects.made_for.node, start.node, fresh)],
  draw() {
    for (const [key, one] of Object.entries(selects)) one.set(String(store.get(key)));
    eps.set(store.get("eps") / LARGEST[store.get("norm")]);
    steps.set(store.get("steps"));
    start.set(store.get("start"));
    fresh.disabled = !store.get("start");
  } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-at");
  const KEYS = ["digit", "drawn", "truth", "norm", "eps", "steps", "step", "start", "aim", "made_for", "seed"];
  const [images, labels] = [model.get("images"), model.get("labels")];
  const nets = { standard: unpack(model.get("standard")), robust: unpack(model.get("robust")) };
  let [quiet, now] = [true, null];
  const traits = Object.fromEntries(KEYS.map((key) => [key, kit.trait(model, key, () => { if (!quiet) refresh(key); })]));
  const store = { get: (key) => traits[key].get(), set(key, v) {
    quiet = true; // what follows from a choice is set with it, and drawn once
    if (key === "norm") traits.eps.set(USUAL[v]);
    if (key === "steps") traits.step.set(v);
    else if (key !== "step") traits.step.set(store.get("steps"));
    if (key === "digit" && v >= 0) traits.truth.set(labels[v]);
    if (key === "digit" && v < 0 && store.get("drawn").length !== 64) traits.drawn.set([...image()]);
    if (key === "drawn" && store.get("digit") >= 0) traits.digit.set(-1);
    traits[key].set(v);
    quiet = false;
    refresh(key);
  } };
  const image = () => (store.get("digit") >= 0 ? images[store.get("digit")] : store.get("drawn").length === 64 ? store.get("drawn") : images[0]);
  const state = () => Object.fromEntries(KEYS.map((key) => [key, store.get(key)]));
  const width = Math.min(900, Math.max(280, body.clientWidth || 720));
  const paper = makePaper(image, (x) => store.set("drawn", x));
  const panels = Object.fromEntries(WHO.map((who) => [who, makePanel(who)]));
  const plot = makeCurve(width >= 620 ? Math.round(width * 0.62) : width, (v) => store.set("eps", Number(Math.min(LARGEST[store.get("norm")], Math.max(0, v)).toFixed(3))));
  const controls = makeControls(store, labels, () => store.set("drawn", Array(64).fill(0)));
  const player = kit.player(store, { frames: 60 });
  function refresh(key) {
    const [x, current] = [image(), state()];
    if (key !== "step" || !now) {
      now = ways(nets, x, current.truth, current);
      if (!["eps", "step"].includes(key) || !plot.done) plot.draw(current, plot.done = curve(nets, x, current.truth, current));
      else plot.draw(current, plot.done);
      paper.draw(x);
      controls.draw();
    }
    const at = Math.min(current.step, current.steps);
    const shown = Object.fromEntries(WHO.map((who) => [who, now[who][at]]));
    const results = Object.fromEntries(WHO.map((who) => [who, verdict(nets[who], x, shown[who], current)]));
    for (const who of WHO) panels[who].draw(x, shown[who], results[who], current);
    player.draw();
    say(sentence(current, x, shown, results));
  }
  body.append(h("div", { class: "tb-at-top" }, h("div", {}, paper.node, h("p", { class: "tb-at-hint", text: "the paper: draw here" })),
    h("div", { class: "tb-at-panels" }, WHO.map((who) => panels[who].node))), ...controls.rows, player.node, plot.node);
  quiet = false;
  refresh("digit");
}

export default { render };
