import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The mathematics: all rows are arrays, minus infinity is -Infinity, and NaN is what PyTorch would give.

const HALF = 3;
const SHARP = 8; // the score of a word with itself in a sentence
export const HEADS = ["spelling", "previous word", "ending"];
const MASKS = [["none", "none"], ["causal", "causal: j ≤ i"], ["local", "local: |i − j| ≤ w"]];
const WAYS = [["add", "add 0 or −∞"], ["zero", "multiply by 1 or 0"], ["inf", "multiply by 1 or −∞"]];

const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);

/** q·k over the root of their width and over the temperature: one row per query. */
export function scoresOf(Q, K, temperature) {
  return Q.map((q) => K.map((k) => dot(q, k) / (Math.sqrt(q.length) * temperature)));
}

/** Which key each query may see. */
export function allowed(n, m, mask, window) {
  const may = { none: () => true, causal: (i, j) => j <= i, local: (i, j) => Math.abs(i - j) <= window }[mask];
  return Array.from({ length: n }, (_, i) => Array.from({ length: m }, (__, j) => may(i, j)));
}

/** The mask meets the scores: "add" is right, "zero" and "inf" multiply. */
export function maskScores(scores, seen, way) {
  return scores.map((row, i) => row.map((e, j) => {
    if (way === "add") return e + (seen[i][j] ? 0 : -Infinity);
    return e * (seen[i][j] ? 1 : way === "zero" ? 0 : -Infinity);
  }));
}

export function softmax(row) {
  const top = Math.max(...row);
  const raised = row.map((e) => Math.exp(e - top));
  const total = raised.reduce((a, b) => a + b, 0);
  return raised.map((e) => e / total);
}

/** All weight on the first of the largest scores; a row that softmax cannot do is NaN here, too. */
export function hardmax(row) {
  const top = Math.max(...row);
  if (!Number.isFinite(top)) return row.map(() => NaN);
  const best = row.indexOf(top);
  return row.map((_, j) => (j === best ? 1 : 0));
}

/** Everything about one head: scores, what the mask left of them, weights, outputs. */
export function attention({ Q, K, V, temperature = 1, mask = "none", window = 1, way = "add", hard = false }) {
  const scores = scoresOf(Q, K, temperature);
  const seen = allowed(Q.length, K.length, mask, window);
  const masked = mask === "none" ? scores : maskScores(scores, seen, way);
  const weights = masked.map(hard ? hardmax : softmax);
  const output = weights.map((row) => V[0].map((_, c) => row.reduce((sum, a, j) => sum + a * V[j][c], 0)));
  return { scores, seen, masked, weights, output };
}

/** In nats. */
export function entropy(row) {
  return row.reduce((sum, a) => sum - (a === 0 ? 0 : a * Math.log(a)), 0);
}

export function wordsOf(text) {
  return (text.toLowerCase().match(/[a-z]+/g) ?? []).slice(0, 9);
}

/** Letter counts of a text, of length 1, times `size`. */
function letters(text, size) {
  const counts = Array.from({ length: 26 }, (_, c) => [...text].filter((letter) => letter.charCodeAt(0) === 97 + c).length);
  const norm = Math.sqrt(dot(counts, counts));
  return counts.map((v) => (v * size) / norm);
}

/** Queries and keys of one head of a sentence; the values are the words themselves, one-hot. */
export function headOf(words, head) {
  const n = words.length;
  const size = (width) => Math.sqrt(SHARP * Math.sqrt(width));
  const unit = (place) => Array.from({ length: n }, (_, c) => (c === place ? size(n) : 0));
  const V = words.map((_, i) => words.map((__, j) => Number(i === j)));
  if (head === 1) return { Q: words.map((_, i) => unit(i - 1)), K: words.map((_, j) => unit(j)), V };
  const rows = words.map((word) => letters(head === 0 ? word : word.slice(-2), size(26)));
  return { Q: rows, K: rows, V };
}

/** How much of each different word is in a row of weights, largest first: [[word, weight], ...]. */
export function mixture(words, row) {
  const parts = new Map();
  words.forEach((word, j) => parts.set(word, (parts.get(word) ?? 0) + row[j]));
  return [...parts].sort((a, b) => b[1] - a[1]);
}

/** The corners of the convex hull of points in the plane, counterclockwise. */
export function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const chain = (list) => list.reduce((out, p) => {
    const turn = ([ax, ay], [bx, by]) => (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax);
    while (out.length > 1 && turn(out.at(-2), out.at(-1)) <= 0) out.pop();
    return [...out, p];
  }, []);
  return [...chain(sorted).slice(0, -1), ...chain([...sorted].reverse()).slice(0, -1)];
}

// ---- Text.

const two = (v) => (Number.isNaN(v) ? "NaN" : !Number.isFinite(v) ? kit.fmt(v) : v.toFixed(2).replace("-", "−"));
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

/** The line that says the result for the query in `row`. */
export function sentence(names, row, result, words) {
  const [weights, seen] = [result.weights[row], result.seen[row]];
  const who = words ? `“${names.queries[row]}” (word ${row + 1})` : names.queries[row];
  if (weights.some(Number.isNaN)) return `${who}: the weights are NaN. ${why(result.masked[row], seen)}`;
  const best = weights.indexOf(Math.max(...weights));
  const hidden = weights.reduce((sum, a, j) => sum + (seen[j] ? 0 : a), 0);
  const got = words ? mixture(words, weights).slice(0, 3).filter(([, a]) => a >= 0.005).map(([word, a]) => `${two(a)} ${word}`).join(" + ")
    : `(${result.output[row].map(two).join(", ")})`;
  return `${who} looks most at ${words ? `word ${best + 1}, “${names.keys[best]}”` : names.keys[best]}, with weight ${two(weights[best])}. Output ${got}. `
    + `Entropy ${two(entropy(weights))} of at most ${two(Math.log(weights.length))}.`
    + (hidden > 0 ? ` Leak: ${kit.fmt(hidden, 2)} of the weight is on hidden keys.` : "");
}

function why(masked, seen) {
  if (!seen.some(Boolean)) return "This query may see no key.";
  if (masked.includes(Infinity)) return "A negative score times −∞ is +∞.";
  return "A score of 0 times −∞ is NaN.";
}

// ---- The matrix: a row per query, a column per key. Up and Down choose the row.

function makeMatrix(store, width) {
  const cells = svg("g", { "aria-hidden": "true" });
  const node = svg("svg", { class: "tb-at-matrix", tabindex: "0", role: "slider", "aria-label": "query shown", "aria-valuemin": 1 }, cells);
  let sizes = { left: 40, cell: 40, n: 1 };
  const choose = (i) => store.set("row", clamp(i, 0, sizes.n - 1));
  node.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    choose(store.get("row") + way);
  });
  node.addEventListener("pointerdown", (event) => {
    const box = node.getBoundingClientRect();
    choose(Math.floor((((event.clientY - box.top) * sizes.height) / box.height - sizes.top) / sizes.cell));
  });
  return { node, draw(names, result, values) {
    const [n, m, row] = [names.queries.length, names.keys.length, store.get("row")];
    const long = Math.max(...[...names.queries, ...names.keys].map((name) => name.length));
    const left = clamp(long * 7.5 + 8, 30, 84);
    const cell = Math.min((width - left - 4) / m, 46);
    const top = names.words ? left : 24;
    sizes = { left, cell, n, top, height: top + n * cell + 4 };
    node.setAttribute("viewBox", `0 0 ${left + m * cell + 4} ${sizes.height}`);
    node.style.maxWidth = `${left + m * cell + 4}px`;
    const label = (name) => (name.length > 9 ? `${name.slice(0, 8)}…` : name);
    const column = (name, j) => {
      const x = left + (j + 0.5) * cell;
      return names.words ? svg("text", { transform: `translate(${x + 4} ${top - 5}) rotate(-90)`, text: label(name) })
        : svg("text", { x, y: top - 6, "text-anchor": "middle", text: name });
    };
    const place = (i, j) => {
      const [a, x, y] = [result.weights[i][j], left + j * cell, top + i * cell];
      const leak = !result.seen[i][j];
      return svg("g", { class: `cell${leak ? " hidden" : ""}${Number.isNaN(a) ? " nan" : ""}` },
        svg("rect", { x, y, width: cell, height: cell }),
        svg("rect", { class: "fill", x, y, width: cell, height: cell, "fill-opacity": Number.isNaN(a) ? 0 : 0.85 * a }),
        leak ? svg("path", { class: "cross", d: `M${x + 3} ${y + cell - 3}L${x + cell - 3} ${y + 3}` }) : null,
        cell > 30 ? svg("text", { class: a > 0.6 ? "on" : "", x: x + cell / 2, y: y + cell / 2 + 4, "text-anchor": "middle", text: short(values[i][j]) }) : null);
    };
    cells.replaceChildren(...names.keys.map(column),
      ...names.queries.flatMap((name, i) => [svg("text", { class: i === row ? "chosen" : "", x: left - 6, y: top + (i + 0.5) * cell + 4, "text-anchor": "end", text: label(name) }),
        ...names.keys.map((_, j) => place(i, j))]),
      svg("rect", { class: "frame", x: left, y: top + row * cell, width: m * cell, height: cell }));
    node.setAttribute("aria-valuemax", n);
    node.setAttribute("aria-valuenow", row + 1);
    node.setAttribute("aria-valuetext", `${names.queries[row]}, row ${row + 1} of ${n}`);
  } };
}

const short = (v) => (Number.isFinite(v) && Math.abs(v) >= 10 ? v.toFixed(0).replace("-", "−") : two(v));

// ---- The plane: the chosen query, all keys, all values; each can be dragged, or moved with the arrow keys.

const KINDS = { q: "query", k: "key", v: "value" };

function makePlane(store, width) {
  const view = kit.axes({ width, height: width, label: "Query, keys and values in the plane", pad: [6, 6, 22, 26] });
  view.update({ x: [-HALF, HALF], y: [-HALF, HALF], xTicks: [-2, 0, 2], yTicks: [-2, 0, 2] });
  view.svg.setAttribute("role", "group");
  const shapes = svg("g", { "aria-hidden": "true" });
  const handles = svg("g", {});
  view.plot.append(shapes, handles);
  const made = new Map();
  let held = null;
  const listed = () => [["q", store.get("row")], ...["k", "v"].flatMap((kind) => store.get(kind).map((_, j) => [kind, j]))];
  const move = (kind, index, x, y) => store.set(kind, store.get(kind).map((point, j) => (j === index
    ? [x, y].map((v) => Number(clamp(v, -HALF, HALF).toFixed(2))) : point)));
  kit.drag(view.svg, {
    start: (event) => {
      const [x, y] = view.at(event);
      const far = ([kind, j]) => Math.hypot(store.get(kind)[j][0] - x, store.get(kind)[j][1] - y);
      held = listed().reduce((a, b) => (far(b) < far(a) ? b : a));
      if (far(held) > 0.8) return false;
      handleOf(...held).focus({ preventScroll: true });
      return true;
    },
    move: (event) => move(...held, ...view.at(event)),
  });
  return { node: view.svg, draw(result) {
    const row = store.get("row");
    const [q, K, V, y, weights] = [store.get("q")[row], store.get("k"), store.get("v"), result.output[row], result.weights[row]];
    const at = ([a, b]) => `${view.px(a).toFixed(1)} ${view.py(b).toFixed(1)}`;
    const good = y.every(Number.isFinite);
    shapes.replaceChildren(
      svg("path", { class: "hull", d: `M${hull(V).map(at).join("L")}Z` }),
      ...(good ? V.map((v, j) => svg("path", { class: "pull", d: `M${at(y)}L${at(v)}`, "stroke-width": 6 * weights[j], "stroke-opacity": weights[j] > 0 ? 0.45 : 0 })) : []),
      ...K.map((k) => svg("path", { class: "key-line", d: `M${at([0, 0])}L${at(k)}` })),
      svg("path", { class: "query-line", d: `M${at([0, 0])}L${at(q)}` }),
      good ? svg("path", { class: "output", d: `M${view.px(y[0])} ${view.py(y[1]) - 9}l9 9l-9 9l-9 -9z` }) : null,
      good ? svg("text", { class: "name", x: view.px(y[0]) + 12, y: view.py(y[1]) - 8, text: "y" }) : null);
    handles.replaceChildren(...listed().map(([kind, j]) => {
      const node = handleOf(kind, j);
      const [a, b] = store.get(kind)[j];
      node.setAttribute("transform", `translate(${view.px(a)} ${view.py(b)})`);
      node.setAttribute("aria-valuenow", a);
      node.setAttribute("aria-valuetext", `x ${kit.fmt(a, 3)}, y ${kit.fmt(b, 3)}`);
      return node;
    }));
  } };

  function handleOf(kind, j) {
    const name = `${kind}${j + 1}`;
    if (made.has(name)) return made.get(name);
    const d = { q: "M-8 0a8 8 0 1 0 16 0a8 8 0 1 0 -16 0", k: "M-7 -7h14v14h-14z", v: "M0 -8l8 14h-16z" }[kind];
    const node = svg("g", { class: `handle ${KINDS[kind]}`, tabindex: "0", role: "slider", "aria-label": `${KINDS[kind]} ${name}`,
      "aria-valuemin": -HALF, "aria-valuemax": HALF }, svg("circle", { class: "hit", r: 14 }), svg("path", { d }), svg("text", { class: "name", x: 10, y: -8, text: name }));
    node.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!way) return;
      event.preventDefault();
      const step = event.shiftKey ? 0.5 : 0.1;
      const [x, y] = store.get(kind)[j];
      move(kind, j, x + way[0] * step, y + way[1] * step);
      node.focus({ preventScroll: true });
    });
    made.set(name, node);
    return node;
  }
}

// ---- The same numbers, to type.

function makeFields(store) {
  const body = h("div", { class: "tb-at-fields" });
  const node = h("details", {}, h("summary", { text: "Edit as numbers" }), body);
  let fields = [];
  const build = () => {
    fields = Object.keys(KINDS).flatMap((kind) => store.get(kind).flatMap((point, i) => point.map((v, c) => {
      const field = kit.number({ label: `${kind}${i + 1}, ${"xy"[c]}`, min: -HALF, max: HALF, step: 0.1, value: v, hideLabel: true,
        onInput: (wanted) => store.set(kind, store.get(kind).map((row, r) => (r === i ? row.map((old, d) => (d === c ? wanted : old)) : row))) });
      return { kind, i, c, field };
    })));
    body.replaceChildren(...Object.entries({ q: "queries", k: "keys", v: "values" }).map(([kind, text]) => h("div", { role: "group", "aria-label": text }, h("p", { text }),
      store.get(kind).map((_, i) => h("div", { class: "tb-at-pair" }, h("span", { text: `${kind}${i + 1}` }),
        fields.filter((f) => f.kind === kind && f.i === i).map((f) => f.field.node))))));
  };
  build();
  return { node, draw() {
    if (fields.length !== 2 * Object.keys(KINDS).reduce((sum, kind) => sum + store.get(kind).length, 0)) build();
    for (const { kind, i, c, field } of fields) if (field.input !== document.activeElement) field.set(store.get(kind)[i][c]);
  } };
}

// ---- The chosen row, number by number; and the heads of a sentence, side by side.

function makeTable() {
  const body = h("tbody", {});
  const node = h("div", { class: "tb-scroll" }, h("table", { class: "tb-at-table" }, h("thead", {}, h("tr", {},
    ["key", "score", "after the mask", "weight"].map((text) => h("th", { scope: "col", text })))), body));
  return { node, draw(names, row, result) {
    body.replaceChildren(...names.keys.map((name, j) => h("tr", { class: result.seen[row][j] ? "" : "hidden" },
      h("th", { scope: "row", text: names.words ? `${j + 1} ${name}` : name }),
      [result.scores, result.masked, result.weights].map((part) => h("td", { text: two(part[row][j]) })))));
  } };
}

function makeHeads(store) {
  const buttons = HEADS.map((name, i) => {
    const map = svg("svg", { class: "mini", "aria-hidden": "true" });
    const node = h("button", { type: "button", class: "tb-button tb-at-head", onclick: () => store.set("head", i) }, map, h("span", { text: name }));
    return { node, map };
  });
  const told = h("p", { class: "tb-at-mix" });
  const node = h("div", {}, h("div", { class: "tb-row", role: "group", "aria-label": "heads" }, buttons.map((b) => b.node)), told);
  return { node, draw(words, results) {
    const row = store.get("row");
    buttons.forEach(({ node: button, map }, i) => {
      const n = words.length;
      map.setAttribute("viewBox", `0 0 ${n} ${n}`);
      map.replaceChildren(...results[i].weights.flatMap((weights, r) => weights.map((a, c) =>
        svg("rect", { x: c, y: r, width: 1, height: 1, "fill-opacity": Number.isNaN(a) ? 0 : a }))));
      button.setAttribute("aria-pressed", String(i === store.get("head")));
    });
    told.textContent = `The output of all heads for “${words[row]}” is concatenated: ${HEADS.map((name, i) => {
      const weights = results[i].weights[row];
      return `[${weights.some(Number.isNaN) ? "NaN" : mixture(words, weights).slice(0, 2).filter(([, a]) => a >= 0.005).map(([word, a]) => `${two(a)} ${word}`).join(" + ")}]`;
    }).join(" ")}`;
  } };
}

// ---- The whole.

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-at");
  const NAMES = ["mode", "q", "k", "v", "sentence", "head", "temperature", "mask", "window", "way", "hard", "row"];
  const traits = Object.fromEntries(NAMES.map((name) => [name, kit.trait(model, name, () => draw())]));
  const rows = () => (traits.mode.get() === "sentence" ? wordsOf(traits.sentence.get()).length : traits.q.get().length);
  const store = { get: (name) => (name === "row" ? Math.min(traits.row.get(), rows() - 1) : traits[name].get()), set: (name, v) => traits[name].set(v) };
  let shown = "weights";
  // Drawn for the width that there is, so that text keeps its size on a phone; 0 where nothing is laid out yet.
  const column = clamp(body.clientWidth || 360, 260, 380);
  const [matrix, plane, fields, table, heads] = [makeMatrix(store, column), makePlane(store, column), makeFields(store), makeTable(), makeHeads(store)];
  const mode = kit.select({ label: "look at", value: store.get("mode"), options: [["numbers", "points in a plane"], ["sentence", "a sentence"]],
    onChange: (v) => { store.set("row", 0); store.set("mode", v); } });
  const part = kit.select({ label: "show", value: shown, options: ["weights", "scores"], onChange: (v) => { shown = v; draw(); } });
  const id = kit.uid();
  const text = h("input", { type: "text", id, maxlength: 120, value: store.get("sentence"), spellcheck: "false", autocomplete: "off",
    oninput: () => { if (wordsOf(text.value).length) store.set("sentence", wordsOf(text.value).join(" ")); } });
  const typed = h("div", { class: "tb-control tb-at-typed" }, h("label", { for: id, text: "sentence, up to 9 words" }), text);
  const temperature = kit.slider({ label: "temperature τ", min: 0.05, max: 5, log: true, value: store.get("temperature"), format: (v) => kit.fmt(v, 2),
    onInput: (v) => store.set("temperature", clamp(Number(v.toPrecision(3)), 0.05, 5)) });
  const mask = kit.select({ label: "mask", value: store.get("mask"), options: MASKS, onChange: (v) => store.set("mask", v) });
  const way = kit.select({ label: "the mask", value: store.get("way"), options: WAYS, onChange: (v) => store.set("way", v) });
  const width = kit.slider({ label: "window w", min: 0, max: 8, value: store.get("window"), format: String, onInput: (v) => store.set("window", v) });
  const hard = kit.checkbox({ label: "hard: largest score only", value: store.get("hard"), onChange: (v) => store.set("hard", v) });
  const [left, right] = [h("div", {}), h("div", {})]; // the table stands where there is room
  body.append(h("div", { class: "tb-row" }, mode.node, part.node), typed,
    h("div", { class: "tb-split tb-at-split" }, h("div", {}, h("p", { class: "tb-at-caption", text: "A row per query, a column per key; a stroke marks hidden keys. Choose a row." }), matrix.node, left), h("div", {}, plane.node, heads.node, right)),
    h("div", { class: "tb-controls" }, temperature.node, hard.node, mask.node, way.node, width.node), fields.node);
  draw();

  function draw() {
    const spoken = store.get("mode") === "sentence";
    const words = spoken ? wordsOf(store.get("sentence")) : null;
    const options = { temperature: store.get("temperature"), mask: store.get("mask"), window: store.get("window"), way: store.get("way"), hard: store.get("hard") };
    const all = spoken ? HEADS.map((_, i) => attention({ ...headOf(words, i), ...options }))
      : [attention({ Q: store.get("q"), K: store.get("k"), V: store.get("v"), ...options })];
    const result = all[spoken ? store.get("head") : 0];
    const names = spoken ? { queries: words, keys: words, words }
      : { queries: store.get("q").map((_, i) => `q${i + 1}`), keys: store.get("k").map((_, j) => `k${j + 1}`) };
    const row = store.get("row");
    matrix.draw(names, result, shown === "weights" ? result.weights : result.masked);
    table.draw(names, row, result);
    if (table.node.parentNode !== (spoken ? right : left)) (spoken ? right : left).append(table.node);
    if (spoken) heads.draw(words, all); else { plane.draw(result); fields.draw(); }
    for (const [node, on] of [[typed, spoken], [heads.node, spoken], [plane.node, !spoken], [fields.node, !spoken],
      [way.node, store.get("mask") !== "none"], [width.node, store.get("mask") === "local"]]) node.style.display = on ? "" : "none";
    for (const control of [["mode", mode], ["mask", mask], ["way", way], ["hard", hard], ["temperature", temperature], ["window", width]]) {
      if (control[1].input !== document.activeElement) control[1].set(store.get(control[0]));
    }
    if (text !== document.activeElement) text.value = store.get("sentence");
    say(sentence(names, row, result, words));
  }
}

export default { render };
