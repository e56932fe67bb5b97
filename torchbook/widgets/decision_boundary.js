import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The maths. A point is [x, y, class]. Two classes have one row of weights (logistic regression: the
// logit of class 0 is 0), more classes one row each. The bias is the last number of a row.

export const EDGE = 3;
const MOST_POINTS = 150;

/** What the model sees of a place: its coordinates, for "quadratic" their products too, and a 1. */
export function featuresOf(x, y, kind) {
  return kind === "quadratic" ? [x, y, x * x, x * y, y * y, 1] : [x, y, 1];
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** One logit per class. */
export function logitsOf(weights, phi) {
  const scores = weights.map((row) => dot(row, phi));
  return scores.length === 1 ? [0, scores[0]] : scores;
}

/** Softmax with the largest logit taken off, so that nothing overflows. */
export function softmax(logits) {
  const top = Math.max(...logits);
  const powers = logits.map((z) => Math.exp(z - top));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

function crossEntropy(logits, label) {
  const top = Math.max(...logits);
  return top + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - top), 0)) - logits[label];
}

/** Mean cross-entropy, the same plus l2 / 2 |w|² (no bias), and its gradient: rows of p − y times x. */
export function lossAndGradient({ weights, points, l2, features }) {
  const gradient = weights.map((row) => row.map((w, j) => (j < row.length - 1 ? l2 * w : 0)));
  let entropy = 0;
  for (const [x, y, label] of points) {
    const phi = featuresOf(x, y, features);
    const logits = logitsOf(weights, phi);
    const p = softmax(logits);
    entropy += crossEntropy(logits, label) / points.length;
    gradient.forEach((row, r) => {
      const c = weights.length === 1 ? 1 : r;
      const error = (p[c] - (label === c ? 1 : 0)) / points.length;
      phi.forEach((value, j) => { row[j] += error * value; });
    });
  }
  return { entropy, loss: entropy + (l2 / 2) * normOf(weights) ** 2, gradient };
}

/** Euclidean norm of the weights, biases left out. */
export function normOf(weights) {
  return Math.sqrt(weights.reduce((sum, row) => sum + dot(row.slice(0, -1), row.slice(0, -1)), 0));
}

/** One step of full-batch gradient descent; stays where the step would leave the finite numbers. */
export function descend(state, lr) {
  const { gradient } = lossAndGradient(state);
  const next = state.weights.map((row, r) => row.map((w, j) => w - lr * gradient[r][j]));
  return next.flat().every((w) => Math.abs(w) < 1e12) ? next : state.weights;
}

const argmax = (values) => values.indexOf(Math.max(...values));

/** The class that the model names at a place. */
export function predict(weights, x, y, features) {
  return argmax(logitsOf(weights, featuresOf(x, y, features)));
}

/** Counts: one row per true class, one column per predicted class. */
export function confusion({ weights, points, classes, features }) {
  const counts = Array.from({ length: classes }, () => new Array(classes).fill(0));
  for (const [x, y, label] of points) counts[label][predict(weights, x, y, features)] += 1;
  return counts;
}

/** Accuracy, and per class recall and precision; null where the share is of nothing. */
export function rates(counts) {
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const share = (part, whole) => (whole ? part / whole : null);
  const right = counts.map((row, c) => row[c]);
  return {
    right: sum(right), total: sum(counts.flat()), accuracy: share(sum(right), sum(counts.flat())),
    recall: right.map((n, c) => share(n, sum(counts[c]))),
    precision: right.map((n, c) => share(n, sum(counts.map((row) => row[c])))),
  };
}

/** Weights from which training starts: a wrong guess, the same for the same seed. */
export function start(classes, features, seed) {
  const { normal } = kit.random(1003 + seed);
  const rows = classes === 2 ? 1 : classes;
  const width = features === "quadratic" ? 6 : 3;
  return Array.from({ length: rows }, () => Array.from({ length: width }, () => Number((normal() * (width === 6 ? 0.3 : 0.9)).toFixed(3))));
}

// ---- Points to begin with.

const inside = (v) => Number(Math.min(2.9, Math.max(-2.9, v)).toFixed(2));

function cloud(rng, count, cx, cy, spread, label) {
  return Array.from({ length: count }, () => [inside(cx + spread * rng.normal()), inside(cy + spread * rng.normal()), label]);
}

function ringOf(rng, count) {
  return Array.from({ length: count }, (_, i) => {
    const angle = (2 * Math.PI * i) / count;
    const radius = 2.2 + 0.25 * rng.normal();
    return [inside(radius * Math.cos(angle)), inside(radius * Math.sin(angle)), 1];
  });
}

export const PRESETS = {
  "overlapping clouds": (r) => [...cloud(r, 18, -0.9, -0.6, 0.85, 0), ...cloud(r, 18, 0.9, 0.7, 0.85, 1)],
  "separable clouds": (r) => [...cloud(r, 14, -1.4, -0.9, 0.45, 0), ...cloud(r, 14, 1.3, 1, 0.45, 1)],
  "one mislabeled point": (r) => [...cloud(r, 14, -1.2, 0, 0.5, 0), ...cloud(r, 14, 1.2, 0, 0.5, 1), [2.6, 2.4, 0]],
  unbalanced: (r) => [...cloud(r, 57, -0.3, -0.3, 0.9, 0), ...cloud(r, 3, 0.8, 0.7, 0.4, 1)],
  "three clouds": (r) => [...cloud(r, 12, -1.5, -1, 0.6, 0), ...cloud(r, 12, 1.5, -1, 0.6, 1), ...cloud(r, 12, 0, 1.5, 0.6, 2)],
  ring: (r) => [...cloud(r, 18, 0, 0, 0.55, 0), ...ringOf(r, 20)],
};

/** The points of a preset, always the same ones. */
export function presetPoints(name) {
  return PRESETS[name](kit.random(7));
}

/** How many classes the points need. */
export function classesOf(points) {
  return Math.max(2, ...points.map((point) => point[2] + 1));
}

/** Line segments [x1, y1, x2, y2] where a function on a grid of n × n places crosses zero (marching squares). */
export function contour(value, n = 60) {
  const at = (i) => -EDGE + (2 * EDGE * i) / n;
  const grid = Array.from({ length: n + 1 }, (_, i) => Array.from({ length: n + 1 }, (__, j) => value(at(i), at(j), i, j)));
  const segments = [];
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
      const cuts = corners.flatMap(([a, b], k) => {
        const [c, d] = corners[(k + 1) % 4];
        const [u, v] = [grid[a][b], grid[c][d]];
        if (u > 0 === v > 0) return [];
        const t = u / (u - v);
        return [[at(a) + t * (at(c) - at(a)), at(b) + t * (at(d) - at(b))]];
      });
      for (let k = 0; k + 1 < cuts.length; k += 2) segments.push([...cuts[k], ...cuts[k + 1]]);
    }
  }
  return segments;
}

// ---- The words.

const percent = (value) => (value === null ? "0/0" : `${(100 * value).toFixed(0)} %`);

/** The line that says the result. */
export function sentence({ step, entropy, norm, right, total, end }) {
  if (!total) return "No points yet: click in the plane to add some.";
  const tail = { converged: " The gradient has vanished: this is the minimum.",
    separable: " Every point is right, and without L2 there is no minimum: the weights grow and grow.",
    unstable: " The loss rises: the learning rate is too large." }[end] ?? "";
  return `Step ${step}: loss ${kit.fmt(entropy, 3)}, accuracy ${percent(right / total)} (${right} of ${total}), `
    + `length of the weights ${kit.fmt(norm, 3)}.${tail}`;
}

/** What one point is and how it fares. */
export function pointSentence([x, y, label], predicted, index, count) {
  const fate = predicted === label ? "classified right" : `taken for class ${predicted}`;
  return `point ${index + 1} of ${count}, class ${label}, at ${kit.fmt(x, 3)}, ${kit.fmt(y, 3)}: ${fate}`;
}

// ---- The state: traits, and what training keeps to itself.

const FLAT = 1e-4; // a gradient below this counts as gone
const MOST_STEPS = 20000;
const clampPlane = (v) => Math.min(EDGE, Math.max(-EDGE, v));

function makeStore(model, refresh) {
  const names = ["points", "classes", "lr", "l2", "features", "weights"];
  const own = { step: 0, seed: 0, history: [], stride: 1, held: false, kept: [] };
  const traits = Object.fromEntries(names.map((name) => [name, kit.trait(model, name, () => { if (!own.held) refresh(name); })]));
  const fits = (rows, classes, features) => rows.length === (classes === 2 ? 1 : classes)
    && rows.every((row) => row.length === (features === "quadratic" ? 6 : 3));
  const store = {
    own,
    get classes() { return traits.classes.get(); },
    get points() { return traits.points.get().map(([x, y, c]) => [x, y, Math.min(c, store.classes - 1)]); },
    get lr() { return traits.lr.get(); },
    get l2() { return traits.l2.get(); },
    get features() { return traits.features.get(); },
    get state() {
      const { points, classes, l2, features } = store;
      if (!fits(own.kept, classes, features)) own.kept = start(classes, features, own.seed);
      return { weights: own.kept, points, classes, l2, features };
    },
    set: (values) => { // all of them, then one picture
      own.held = true;
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
      own.held = false;
      refresh(...Object.keys(values));
    },
    restart(values = {}) {
      own.step = 0;
      own.history = [];
      own.stride = 1;
      own.kept = start(values.classes ?? store.classes, values.features ?? store.features, own.seed);
      store.set({ ...values, weights: own.kept });
    },
    /** Note the loss; thin the list when it gets long. */
    note(loss) {
      if (own.step % own.stride) return;
      own.history.push([own.step, loss]);
      if (own.history.length > 600) { own.history = own.history.filter((_, i) => i % 2 === 0); own.stride *= 2; }
    },
    advance() {
      own.kept = descend(store.state, store.lr);
      own.step += 1;
      store.note(lossAndGradient(store.state).entropy);
    },
  };
  own.kept = traits.weights.get();
  return store;
}

// ---- The plane.

const SHAPES = [
  (r) => `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0Z`,
  (r) => `M${-r * 0.9} ${-r * 0.9}H${r * 0.9}V${r * 0.9}H${-r * 0.9}Z`,
  (r) => `M0 ${-r * 1.2}L${r * 1.15} ${r * 0.8}H${-r * 1.15}Z`,
  (r) => `M0 ${-r * 1.3}L${r * 1.3} 0L0 ${r * 1.3}L${-r * 1.3} 0Z`,
];
const CELLS = 48;

function icon(label) {
  return svg("svg", { viewBox: "-9 -9 18 18", "aria-hidden": "true" }, svg("path", { d: SHAPES[label](6.5), class: `tb-db-c${label}` }));
}

/** Red, green and blue of the classes, as the theme has them now. */
function palette(root) {
  const style = getComputedStyle(root);
  return ["--tb-c1", "--tb-c0", "--tb-c2", "--tb-c4"].map((name) => {
    const hex = style.getPropertyValue(name).trim().slice(1);
    return [0, 2, 4].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
  });
}

function paint(canvas, root, { weights, classes, features }) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(CELLS, CELLS);
  const colors = palette(root);
  for (let row = 0; row < CELLS; row += 1) {
    for (let column = 0; column < CELLS; column += 1) {
      const x = -EDGE + (2 * EDGE * (column + 0.5)) / CELLS;
      const y = EDGE - (2 * EDGE * (row + 0.5)) / CELLS;
      const p = softmax(logitsOf(weights, featuresOf(x, y, features)));
      const sure = (Math.max(...p) - 1 / classes) / (1 - 1 / classes);
      const spot = 4 * (row * CELLS + column);
      for (let k = 0; k < 3; k += 1) image.data[spot + k] = p.reduce((sum, value, c) => sum + value * colors[c][k], 0);
      image.data[spot + 3] = 255 * (0.06 + 0.34 * sure);
    }
  }
  context.putImageData(image, 0, 0);
}

/** Where to write a region's name: in the cell, not too near the rim, whose class is surest of itself. */
function labelPlaces({ weights, classes, features }, points) {
  const best = Array.from({ length: classes }, () => ({ score: -Infinity }));
  for (let x = -2.25; x <= 2.26; x += 0.25) {
    for (let y = -2.75; y <= 2.76; y += 0.25) {
      const p = softmax(logitsOf(weights, featuresOf(x, y, features)));
      const c = argmax(p);
      let room = 1;
      for (const [a, b] of points) room = Math.min(room, Math.hypot((a - x) / 2, b - y));
      const score = Math.min(p[c], 0.9) + room;
      if (score > best[c].score) best[c] = { score, x, y };
    }
  }
  return best;
}

function makePlane(store, root, say, size) {
  const px = (x) => ((x + EDGE) / (2 * EDGE)) * size;
  const py = (y) => ((EDGE - y) / (2 * EDGE)) * size;
  const canvas = h("canvas", { width: CELLS, height: CELLS, "aria-hidden": "true" });
  const [lines, sides, names, marks] = [svg("path", { class: "tb-db-line" }), svg("path", { class: "tb-db-side" }), svg("g", {}), svg("g", {})];
  const picture = svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "group",
    "aria-label": "The plane with its points. Arrow keys move a point, Enter recolors it, Delete removes it, Page Down goes to the next one" },
  sides, lines, names, marks);
  const node = h("div", { class: "tb-db-stage" }, canvas, picture);
  const plane = { node, current: 0, brush: 0, picked: null, moved: false };
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return [clampPlane(((event.clientX - box.left) / box.width) * 2 * EDGE - EDGE), clampPlane(EDGE - ((event.clientY - box.top) / box.height) * 2 * EDGE)]
      .map((v) => Number((Math.round(20 * v) / 20).toFixed(2))); // a pointer is no finer than that
  };
  const change = (index, point) => store.set({ points: store.points.map((old, i) => (i === index ? point : old)) });
  const drop = (index) => {
    plane.current = Math.max(0, index - 1);
    store.set({ points: store.points.filter((_, i) => i !== index) });
    made[plane.current]?.node.focus();
  };
  const recolor = (index) => {
    const [x, y, c] = store.points[index];
    change(index, [x, y, (c + 1) % store.classes]);
  };
  const tell = (index) => {
    const point = store.points[index];
    const text = pointSentence(point, predict(store.state.weights, point[0], point[1], store.features), index, store.points.length);
    say(`${text[0].toUpperCase()}${text.slice(1)}.`);
  };
  plane.add = (x, y) => {
    if (store.points.length >= MOST_POINTS) { say(`There is room for ${MOST_POINTS} points: remove one first.`); return; }
    plane.current = store.points.length;
    store.set({ points: [...store.points, [x, y, Math.min(plane.brush, store.classes - 1)]] });
  };
  picture.addEventListener("click", (event) => { if (!event.target.closest(".tb-db-point")) plane.add(...at(event)); });
  let made = [];
  const onKey = (index) => (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
    const [x, y, c] = store.points[index];
    const pace = event.shiftKey ? 0.02 : 0.1;
    const turn = { PageDown: 1, PageUp: -1 }[event.key];
    if (dx || dy) change(index, [clampPlane(x + dx * pace), clampPlane(y + dy * pace), c].map((v) => Number(v.toFixed(2))));
    else if (event.key === "Enter" || event.key === " ") recolor(index);
    else if (event.key === "Delete" || event.key === "Backspace") drop(index);
    else if (turn) {
      plane.current = (index + turn + made.length) % made.length;
      plane.drawPoints();
      made[plane.current].node.focus();
    } else return;
    event.preventDefault();
    if (!turn && made[index] && store.points[index] && !["Delete", "Backspace"].includes(event.key)) tell(index);
  };
  const make = (index) => {
    const mark = svg("path", { class: "mark" });
    const point = svg("g", { class: "tb-db-point", role: "button" },
      svg("circle", { r: 16, class: "hit" }), mark, svg("path", { class: "cross", d: "M-4.5 -4.5L4.5 4.5M-4.5 4.5L4.5 -4.5" }));
    point.addEventListener("keydown", onKey(index));
    point.addEventListener("focus", () => { plane.current = index; });
    let from = null;
    kit.drag(point, {
      start: (event) => { from = [event.clientX, event.clientY]; plane.moved = false; },
      move: (event) => {
        if (!plane.moved && Math.hypot(event.clientX - from[0], event.clientY - from[1]) < 4) return;
        plane.moved = true;
        change(index, [...at(event), store.points[index][2]]);
      },
      end: () => { plane.current = index; if (!plane.moved) recolor(index); },
    });
    return { node: point, mark, label: null };
  };
  plane.drawPoints = () => {
    const { points, state } = store;
    while (made.length > points.length) made.pop().node.remove();
    while (made.length < points.length) { made.push(make(made.length)); marks.append(made.at(-1).node); }
    plane.current = Math.min(plane.current, Math.max(points.length - 1, 0));
    points.forEach(([x, y, c], i) => {
      const item = made[i];
      if (item.label !== c) { item.mark.setAttribute("d", SHAPES[c](7)); item.mark.setAttribute("class", `mark tb-db-c${c}`); item.label = c; }
      const seen = predict(state.weights, x, y, state.features);
      item.node.setAttribute("transform", `translate(${px(x).toFixed(1)} ${py(y).toFixed(1)})`);
      item.node.setAttribute("tabindex", i === plane.current ? "0" : "-1");
      item.node.setAttribute("aria-label", pointSentence([x, y, c], seen, i, points.length));
      item.node.setAttribute("class", seen === c ? "tb-db-point" : "tb-db-point wrong");
    });
  };
  const trace = (segments) => segments.map(([a, b, c, d]) => `M${px(a).toFixed(1)} ${py(b).toFixed(1)}L${px(c).toFixed(1)} ${py(d).toFixed(1)}`).join("");
  let drawn = ""; // what the picture shows: a moved point changes nothing in it
  plane.drawModel = (again = false) => {
    const { state } = store;
    const now = JSON.stringify([state.weights, state.features, document.documentElement.dataset.theme]);
    if (now === drawn && !again) return;
    drawn = now;
    paint(canvas, root, state);
    const known = new Map(); // the logits of a place serve several contours
    const logitsAt = (x, y, i, j) => {
      const key = 1000 * i + j;
      if (!known.has(key)) known.set(key, logitsOf(state.weights, featuresOf(x, y, state.features)));
      return known.get(key);
    };
    const margin = (c) => (x, y, i, j) => {
      const z = logitsAt(x, y, i, j);
      let rival = -Infinity;
      for (let k = 0; k < z.length; k += 1) if (k !== c && z[k] > rival) rival = z[k];
      return z[c] - rival;
    };
    const classes = state.classes === 2 ? [1] : [...Array(state.classes).keys()];
    lines.setAttribute("d", classes.map((c) => trace(contour(margin(c), state.classes === 2 ? 60 : 72))).join(""));
    const odds = Math.log(9); // where the probability is 0.1 or 0.9
    sides.setAttribute("d", state.classes === 2
      ? [odds, -odds].map((level) => trace(contour((...place) => margin(1)(...place) - level))).join("") : "");
    names.replaceChildren(...labelPlaces(state, state.points).flatMap(({ score, x, y }, c) => (score === -Infinity ? []
      : [svg("text", { class: "tb-db-region", x: px(x), y: py(y) + 4, "text-anchor": "middle", text: `class ${c}` })])));
  };
  return plane;
}

// ---- Beside the plane: the loss, and who is taken for whom.

function makeCurve(store, width) {
  const view = kit.axes({ width, height: Math.round(100 + width / 4), xLabel: "step", yLabel: "loss", label: "Training loss at each step", pad: [10, 12, 40, 50] });
  const path = svg("path", { class: "tb-curve", stroke: "var(--tb-c0)" });
  const guess = svg("path", { class: "tb-db-side" });
  const note = svg("text", { "text-anchor": "end" });
  view.plot.append(guess, note, path);
  return { node: view.svg, draw() {
    const { history, step } = store.own;
    const chance = Math.log(store.classes);
    const top = Math.max(chance * 1.15, ...history.map(([, loss]) => Math.min(loss, 50)));
    view.update({ x: [0, Math.max(20, step)], y: [0, top], xTicks: kit.ticks(0, Math.max(20, step), 4), yTicks: kit.ticks(0, top, 4) });
    guess.setAttribute("d", view.path([[0, chance], [Math.max(20, step), chance]]));
    note.textContent = `log ${store.classes}: knows nothing`;
    note.setAttribute("x", view.right);
    note.setAttribute("y", view.py(chance) - 5);
    path.setAttribute("d", view.path(history));
  } };
}

function makeTable(store) {
  const [head, rows] = [h("thead", {}), h("tbody", {})];
  const node = h("div", { class: "tb-scroll" }, h("table", { class: "tb-db-table" },
    h("caption", { text: "True class in rows, predicted class in columns" }), head, rows));
  const named = (label) => [icon(label), ` ${label}`];
  return { node, draw() {
    const counts = confusion(store.state);
    const { precision, recall } = rates(counts);
    head.replaceChildren(h("tr", {}, h("td", {}), counts.map((_, c) => h("th", { scope: "col" }, named(c))), h("th", { scope: "col", text: "recall" })));
    rows.replaceChildren(...counts.map((row, c) => h("tr", {}, h("th", { scope: "row" }, named(c)),
      row.map((n, k) => h("td", { class: k === c ? "right" : "", text: String(n) })), h("td", { class: "rate", text: percent(recall[c]) }))),
    h("tr", {}, h("th", { scope: "row", text: "precision" }), precision.map((value) => h("td", { class: "rate", text: percent(value) })), h("td", {})));
  } };
}

// ---- The controls.

function makeBrushes(store, plane) {
  const name = kit.uid("brush");
  const node = h("fieldset", { class: "tb-db-brushes" });
  let built = 0;
  return { node, draw() {
    if (built === store.classes) return;
    built = store.classes;
    plane.brush = Math.min(plane.brush, built - 1);
    const add = kit.button({ text: "Add", name: "Add a point in the middle", onClick: () => plane.add(0, 0) });
    node.replaceChildren(h("legend", { text: "New points:" }), ...Array.from({ length: built }, (_, c) => h("label", { class: "tb-db-brush" },
      h("input", { type: "radio", name, value: c, checked: c === plane.brush, onchange: () => { plane.brush = c; } }), icon(c), h("span", { text: `class ${c}` }))), add);
  } };
}

function makeSliders(store) {
  const lr = kit.slider({ label: "learning rate", min: 0.01, max: 100, log: true, value: store.lr,
    format: (v) => kit.fmt(Number(v.toPrecision(2))), onInput: (v) => store.set({ lr: Number(v.toPrecision(2)) }) });
  const zero = 1e-4; // the slider's left end means 0
  const show = (v) => Math.max(v, zero);
  const read = (v) => (v <= zero * 1.001 ? 0 : Number(v.toPrecision(2)));
  const l2 = kit.slider({ label: "L2 penalty", min: zero, max: 1, log: true, value: show(store.l2),
    format: (v) => kit.fmt(read(v)), onInput: (v) => store.set({ l2: read(v) }) });
  const features = kit.select({ label: "features", options: [["linear", "x, y"], ["quadratic", "x, y, x², xy, y²"]], value: store.features,
    onChange: (value) => store.restart({ features: value }) });
  const classes = kit.select({ label: "classes", options: [2, 3, 4].map((n) => [n, String(n)]), value: store.classes,
    onChange: (value) => {
      const count = Number(value);
      store.restart({ classes: count, points: store.points.map(([x, y, c]) => [x, y, Math.min(c, count - 1)]) });
    } });
  return { node: h("div", { class: "tb-db-sliders" }, lr.node, l2.node, h("div", { class: "tb-row" }, features.node, classes.node)), draw() {
    if (lr.input !== document.activeElement) lr.set(store.lr);
    if (l2.input !== document.activeElement) l2.set(show(store.l2));
    features.set(store.features);
    classes.set(store.classes);
  } };
}

/** Why training may rest, or what the reader should know about it. */
function verdict(store, loss, gradient, right, total) {
  const size = Math.sqrt(gradient.flat().reduce((sum, g) => sum + g * g, 0));
  if (size < FLAT && !(right === total && store.l2 === 0)) return "converged";
  const { history, step } = store.own;
  if (step > 3 && history.length > 3 && loss > history.at(-2)[1] + 1e-6 && loss > history.at(-3)[1] + 1e-6) return "unstable";
  return right === total && store.l2 === 0 && step >= 300 ? "separable" : "";
}

function makeTrainer(store, drawTraining) {
  let stop = null;
  const button = kit.button({ text: "▶ Train", kind: "primary", onClick: () => (stop ? trainer.pause() : trainer.run()) });
  const trainer = {
    button,
    pause() {
      stop?.();
      stop = null;
      button.textContent = "▶ Train";
      store.set({ weights: store.own.kept });
    },
    run() {
      button.textContent = "❚❚ Pause";
      stop = kit.animate(() => {
        // Slow at first, so that one sees it turn; faster later, when little happens in a step.
        const pace = store.own.step < 90 ? 1 : Math.min(40, 1 + Math.floor(store.own.step / 60));
        for (let i = 0; i < pace && store.points.length; i += 1) store.advance();
        const end = drawTraining();
        if (end !== "converged" && store.own.step < MOST_STEPS && store.points.length) return true;
        trainer.pause();
        return false;
      });
    },
    get running() { return Boolean(stop); },
  };
  return trainer;
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, "Draw a data set, train a linear classifier");
  if (!model.get("points").length && PRESETS[model.get("preset")]) {
    const points = presetPoints(model.get("preset"));
    model.set("points", points);
    model.set("classes", classesOf(points));
    model.save_changes();
  }
  const store = makeStore(model, (...names) => draw(names));
  store.own.kept = store.state.weights;
  store.note(lossAndGradient(store.state).entropy);
  // Drawn for the pixels that there are, so that text keeps its size; 0 where nothing is laid out yet.
  const room = Math.min(body.clientWidth || 720, 900);
  const [large, small] = room < 540 ? [Math.min(room, 460), room] : [0.54 * (room - 20), 0.46 * (room - 20)];
  const plane = makePlane(store, root, say, Math.max(Math.round(large), 240));
  const [curve, table, brushes, sliders] = [makeCurve(store, Math.max(Math.round(small), 240)), makeTable(store), makeBrushes(store, plane), makeSliders(store)];
  const tell = () => {
    const { entropy, gradient } = lossAndGradient(store.state);
    const { right, total } = rates(confusion(store.state));
    const end = total ? verdict(store, entropy, gradient, right, total) : "";
    say(sentence({ step: store.own.step, entropy, norm: normOf(store.state.weights), right, total, end }));
    return end;
  };
  const drawTraining = () => { plane.drawModel(); plane.drawPoints(); curve.draw(); table.draw(); return tell(); };
  const draw = (names = []) => {
    if (names.includes("weights") && model.get("weights").length) store.own.kept = model.get("weights");
    sliders.draw();
    brushes.draw();
    if (names.includes("points") && store.own.step === 0) { store.own.history = []; store.note(lossAndGradient(store.state).entropy); }
    drawTraining();
  };
  const trainer = makeTrainer(store, drawTraining);
  const stepOnce = kit.button({ text: "Step", name: "One step of gradient descent", onClick: () => { if (store.points.length) { store.advance(); trainer.running || store.set({ weights: store.own.kept }); } } });
  const restart = (move) => () => { store.own.seed += move; store.restart(); store.note(lossAndGradient(store.state).entropy); draw(); };
  const presets = kit.select({ label: "Points", options: [...Object.keys(PRESETS), ["", "your own"]], value: model.get("preset"), onChange: (name) => {
    if (!name) { store.restart({ points: [] }); return; }
    const points = presetPoints(name);
    store.restart({ points, classes: classesOf(points) });
  } });
  body.append(
    h("p", { class: "tb-db-hint", text: "Press Train and watch the boundary turn. Drag a point, tap it to change its class, click beside it for a new one. A cross marks a mistake." }),
    h("div", { class: "tb-row" }, presets.node, trainer.button, stepOnce,
      kit.button({ text: "Reset", name: "Back to the start of training", onClick: restart(0) }),
      kit.button({ text: "New start", name: "Start from other weights", onClick: restart(1) })),
    h("div", { class: "tb-db-main" }, h("div", {}, plane.node, brushes.node), h("div", {}, curve.node, table.node, sliders.node)));
  draw();
  // The canvas does not follow the theme by itself.
  const repaint = new MutationObserver(() => plane.drawModel(true));
  for (const node of [document.documentElement, document.body]) repaint.observe(node, { attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "theme", "class"] });
  return () => { repaint.disconnect(); if (trainer.running) trainer.pause(); };
}

export default { render };
