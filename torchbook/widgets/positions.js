import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The encodings. A table is a list of rows, one per position.

export const KINDS = { sinusoid: "sinusoid", random: "random table", binary: "binary digits" };
export const BASES = [2, 100000];
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

/** Angle by which each of the d / 2 clocks turns from one position to the next. */
export function frequencies(d, base) {
  return Array.from({ length: d / 2 }, (_, i) => base ** ((-2 * i) / d));
}

/** The table: (length, d). Random entries have the mean square of a sinusoid's, one half. */
export function encode({ kind, d, base, length, seed }) {
  const rows = (entry) => Array.from({ length }, (_, t) => Array.from({ length: d }, (_, j) => entry(t, j)));
  if (kind === "binary") return rows((t, j) => (Math.floor(t / 2 ** j) % 2 ? 1 : -1));
  if (kind === "random") {
    const { normal } = kit.random(seed * 7919 + 29);
    return rows(() => normal() * Math.SQRT1_2);
  }
  const omega = frequencies(d, base);
  return rows((t, j) => (j % 2 ? Math.cos : Math.sin)(t * omega[Math.floor(j / 2)]));
}

export const dot = (a, b) => a.reduce((total, v, j) => total + v * b[j], 0);

/** Dot products of row t with every row. */
export const products = (table, t) => table.map((row) => dot(table[t], row));

/** Smallest and largest dot product over all pairs of positions at this distance. */
export function spread(table, distance) {
  const gap = Math.abs(distance);
  const all = table.slice(gap).map((row, t) => dot(row, table[t]));
  return [Math.min(...all), Math.max(...all)];
}

/** How many clocks make less than a tenth of a turn over the whole table. */
export function still(d, base, length) {
  return frequencies(d, base).filter((omega) => omega * (length - 1) < (2 * Math.PI) / 10).length;
}

/** The position most like t among those at least `gap` away, and its dot product. */
export function lookalike(table, t, gap = 5) {
  let best = [-1, -Infinity];
  products(table, t).forEach((value, q) => { if (Math.abs(q - t) >= gap && value > best[1] + 1e-9) best = [q, value]; });
  return best;
}

/** Both positions inside the table: the distance is kept, the first position gives way. */
export function settle(position, distance, length) {
  const k = clamp(distance, 1 - length, length - 1);
  return [clamp(position, Math.max(0, -k), length - 1 - Math.max(0, k)), k];
}

const show = (v) => kit.fmt(Math.abs(v) < 5e-4 ? 0 : Number(v.toFixed(2)));

/** The line that says the result. */
export function sentence(state) {
  const { kind, d, base, length, position, distance, clock } = state;
  const table = encode(state);
  const [low, high] = spread(table, distance);
  const other = position + distance;
  const gap = Math.abs(distance);
  const verdict = high - low < 1e-6 ? `the same for any two positions ${gap} apart`
    : `but between ${show(low)} and ${show(high)} for other pairs ${gap} apart`;
  const begin = `Positions ${position} and ${other}: dot product ${show(dot(table[position], table[other]))}, ${verdict}.`;
  const [twin, alike] = lookalike(table, position);
  const middle = ` Of positions 5 or more away, ${twin} is most like ${position}: ${show(alike)}, against ${show(dot(table[position], table[position]))} with itself.`;
  if (kind !== "sinusoid") return begin + middle;
  const omega = frequencies(d, base)[clock];
  return `${begin}${middle} Clock ${clock} turns ${show(omega)} rad per position, once around in ${kit.fmt((2 * Math.PI) / omega, 3)}. `
    + `Over all ${length} positions ${still(d, base, length)} of ${d / 2} clocks make less than a tenth of a turn.`;
}

// ---- The heat map: one row per position, one column per entry.

function makeMap(store, width) {
  const height = Math.round(clamp(width * 0.8, 230, 320));
  const canvas = h("canvas", { "aria-hidden": "true" });
  const pair = svg("rect", { class: "tb-po-pair" });
  const marker = (kind, name) => svg("g", { class: `tb-po-row ${kind}`, tabindex: "0", role: "slider", "aria-label": name,
    "aria-orientation": "vertical", "aria-valuemin": 0 }, svg("rect", { x: 1 }), svg("text", { x: 5 }));
  const rows = { first: marker("first", "Row of the first position"), second: marker("second", "Row of the second position") };
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "group", "aria-label": "Table of the encodings" },
    pair, rows.second, rows.first);
  const node = h("div", { class: "tb-po-map", style: `height: ${height}px` }, canvas, picture);
  const move = {
    first: (t) => store.place(t, store.get("distance")),
    second: (t) => store.place(store.get("position"), clamp(t, 0, store.get("length") - 1) - store.get("position")),
  };
  let held = "first";
  const rowAt = (event) => {
    const box = node.getBoundingClientRect();
    return [Math.floor(((event.clientY - box.top) / box.height) * store.get("length")), (event.clientX - box.left) / box.width];
  };
  kit.drag(picture, {
    start: (event) => { // whichever marker is nearer is taken along
      const [t] = rowAt(event);
      const [first, second] = [store.get("position"), store.get("position") + store.get("distance")];
      held = Math.abs(t - second) < Math.abs(t - first) ? "second" : "first";
      rows[held].focus({ preventScroll: true });
    },
    move: (event) => {
      const [t, x] = rowAt(event);
      store.set("clock", clamp(Math.floor((x * store.get("d")) / 2), 0, store.get("d") / 2 - 1));
      move[held](t);
    },
  });
  for (const [name, row] of Object.entries(rows)) {
    row.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 8, PageUp: -8 }[event.key];
      if (!step) return;
      event.preventDefault();
      move[name](store.get("position") + (name === "second" ? store.get("distance") : 0) + step);
    });
  }
  return { node, drawTable(table) {
    const [T, d] = [table.length, table[0].length];
    [canvas.width, canvas.height] = [d, T];
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(d, T);
    table.forEach((row, t) => row.forEach((v, j) => image.data.set([92, 122, 150, Math.round(12 + 121 * (clamp(v, -1, 1) + 1))], 4 * (t * d + j))));
    pen.putImageData(image, 0, 0);
  }, draw() {
    const [T, d, t] = [store.get("length"), store.get("d"), store.get("position")];
    const rise = height / T;
    const at = { first: t, second: t + store.get("distance") };
    for (const [name, row] of Object.entries(rows)) {
      const [y, tall] = [at[name] * rise, Math.max(rise, 5)];
      const attributes = { y: y + rise / 2 - tall / 2, height: tall, width: width - 2 };
      for (const [key, v] of Object.entries(attributes)) row.firstChild.setAttribute(key, v);
      row.lastChild.textContent = `${at[name]}`;
      row.lastChild.setAttribute("y", y < 16 ? y + rise + 12 : y - 4);
      row.lastChild.setAttribute("x", name === "first" ? 5 : width - 26);
      row.setAttribute("aria-valuemax", T - 1);
      row.setAttribute("aria-valuenow", at[name]);
      row.setAttribute("aria-valuetext", `position ${at[name]}`);
    }
    const column = (2 * width) / d;
    for (const [key, v] of Object.entries({ x: store.get("clock") * column, y: 1, width: column, height: height - 2 })) pair.setAttribute(key, v);
  } };
}

// ---- The clocks: two columns are the two coordinates of a hand.

function makeClocks(store, width) {
  const node = svg("svg", { class: "tb-po-clocks", role: "img" });
  node.addEventListener("click", (event) => {
    const clock = event.target.closest("[data-clock]");
    if (clock) store.set("clock", Number(clock.dataset.clock));
  });
  return { node, draw(table) {
    const [n, t, k] = [store.get("d") / 2, store.get("position"), store.get("distance")];
    const columns = n <= 4 ? n : n <= 16 ? 4 : 8;
    const cell = Math.min(width / columns, 80);
    const r = cell / 2 - 4;
    const turn = store.get("kind") === "sinusoid" ? frequencies(store.get("d"), store.get("base")) : null;
    node.setAttribute("viewBox", `0 0 ${width} ${Math.ceil(n / columns) * cell}`);
    node.setAttribute("aria-label", `${n} clocks with the hands of positions ${t} and ${t + k}`);
    node.replaceChildren(...Array.from({ length: n }, (_, i) => {
      const [cx, cy] = [(i % columns) * cell + cell / 2, Math.floor(i / columns) * cell + cell / 2];
      const hand = (row, kind) => {
        const [x, y] = [table[row][2 * i], table[row][2 * i + 1]];
        const shrink = Math.min(1, 1 / Math.hypot(x, y)) * r * (kind === "first" ? 0.92 : 0.76);
        return svg("path", { class: kind, d: `M${cx.toFixed(1)} ${cy.toFixed(1)}l${(x * shrink).toFixed(2)} ${(-y * shrink).toFixed(2)}` });
      };
      return svg("g", { "data-clock": i, class: i === store.get("clock") ? "chosen" : "" },
        svg("circle", { class: "face", cx, cy, r }), turn ? arc(cx, cy, r * 0.45, turn[i] * t, turn[i] * k) : null, hand(t + k, "second"), hand(t, "first"));
    }));
  } };
}

/** The angle from one hand to the other, clockwise from twelve; whole turns are a circle. */
function arc(cx, cy, r, from, by) {
  const at = (a) => `${(cx + r * Math.sin(a)).toFixed(2)} ${(cy - r * Math.cos(a)).toFixed(2)}`;
  const sweep = Math.sign(by) * Math.min(Math.abs(by), 2 * Math.PI - 1e-3);
  return svg("path", { class: "arc", d: `M${at(from)}A${r} ${r} 0 ${Math.abs(sweep) > Math.PI ? 1 : 0} ${sweep > 0 ? 1 : 0} ${at(from + sweep)}` });
}

// ---- Dot products against distance.

function makeChart(store, width) {
  const view = kit.axes({ width, height: Math.round(clamp(width * 0.42, 170, 250)), xLabel: "distance to the other position", yLabel: "dot product",
    label: "Dot products with all other positions", pad: [10, 12, 40, 50] });
  const [others, own, now, zero] = [svg("g", {}), svg("g", {}), svg("circle", { class: "tb-po-now", r: 6 }), svg("line", { class: "tb-po-zero" })];
  view.plot.append(zero, others, own, now);
  return { node: view.svg, draw(table) {
    const [T, t, k] = [table.length, store.get("position"), store.get("distance")];
    const mine = products(table, t);
    const more = [0, 0.33, 0.66, 1].map((share) => Math.round(share * (T - 1))).filter((q) => q !== t);
    const lines = more.map((q) => products(table, q).map((v, p) => [p - q, v]));
    const values = [...mine, ...lines.flat().map(([, v]) => v)];
    const [low, high] = [Math.min(0, ...values), Math.max(...values)];
    view.update({ x: [1 - T, T - 1], y: [low - 0.05 * (high - low), high + 0.05 * (high - low)] });
    others.replaceChildren(...lines.map((line) => svg("path", { class: "tb-curve tb-po-other", d: view.path(line) })));
    own.replaceChildren(svg("path", { class: "tb-curve tb-po-own", d: view.path(mine.map((v, q) => [q - t, v])) }),
      ...mine.map((v, q) => svg("circle", { class: "tb-po-dot", r: 1.8, cx: view.px(q - t).toFixed(1), cy: view.py(v).toFixed(1) })));
    now.setAttribute("cx", view.px(k));
    now.setAttribute("cy", view.py(mine[t + k]));
    for (const [key, v] of Object.entries({ x1: view.left, x2: view.right, y1: view.py(0), y2: view.py(0) })) zero.setAttribute(key, v);
  } };
}

// ---- The controls.

function makeControls(store) {
  const slide = (label, min, max, options) => kit.slider({ label, min, max, value: min, format: String, ...options });
  const length = store.get("length");
  const sliders = {
    position: slide("position t", 0, length - 1, { onInput: (v) => { store.place(v, store.get("distance")); draw(); } }),
    distance: slide("distance k", 1 - length, length - 1, { format: (v) => String(v).replace("-", "−"), onInput: (v) => { store.place(store.get("position"), v); draw(); } }),
    base: slide("base", ...BASES, { log: true, format: (v) => kit.fmt(v, 3), onInput: (v) => store.set("base", clamp(Number(v.toPrecision(3)), ...BASES)) }),
    pairs: slide("clocks d / 2", 2, 32, { onInput: (v) => { store.set("clock", Math.min(store.get("clock"), v - 1)); store.set("d", 2 * v); } }),
    clock: slide("clock i", 0, 31, { onInput: (v) => store.set("clock", Math.min(v, store.get("d") / 2 - 1)) }),
  };
  const kind = kit.select({ label: "encoding", value: store.get("kind"), options: Object.entries(KINDS), onChange: (v) => store.set("kind", v) });
  const play = makePlayer(store);
  function draw() {
    sliders.clock.input.max = store.get("d") / 2 - 1;
    for (const name of ["position", "distance", "clock"]) sliders[name].set(store.get(name));
    if (sliders.base.input !== document.activeElement) sliders.base.set(store.get("base"));
    sliders.pairs.set(store.get("d") / 2);
    sliders.base.node.style.display = store.get("kind") === "sinusoid" ? "" : "none"; // the others have no frequencies
    kind.set(store.get("kind"));
  }
  return { top: h("div", { class: "tb-row" }, kind.node, play), node: h("div", { class: "tb-controls" }, Object.values(sliders).map((slider) => slider.node)), draw };
}

/** Time passes: the first position walks on, the second with it. */
function makePlayer(store) {
  const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
  let stop = null;
  const halt = () => { stop?.(); stop = null; button.textContent = "Play"; };
  const last = () => store.get("length") - 1 - Math.max(0, store.get("distance"));
  const button = kit.button({ text: "Play", kind: "tb-po-play", onClick: () => {
    if (stop) { halt(); return; }
    if (store.get("position") >= last()) store.place(0, store.get("distance"));
    if (calm) { store.place(store.get("position") + 1, store.get("distance")); return; }
    button.textContent = "Pause";
    let before = 0;
    stop = kit.animate((time) => {
      if (!button.isConnected) return false;
      if (time - before > 110) {
        before = time;
        store.place(store.get("position") + 1, store.get("distance"));
        if (store.get("position") >= last()) halt();
      }
      return Boolean(stop);
    });
  } });
  return button;
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-po");
  const NAMES = ["kind", "d", "base", "length", "position", "distance", "clock", "seed"];
  let quiet = false;
  const traits = Object.fromEntries(NAMES.map((name) => [name, kit.trait(model, name, () => { if (!quiet) refresh(); })]));
  const store = {
    get: (name) => {
      if (name === "clock") return clamp(traits.clock.get(), 0, traits.d.get() / 2 - 1);
      if (name === "position" || name === "distance") return settle(traits.position.get(), traits.distance.get(), traits.length.get())[name === "position" ? 0 : 1];
      return traits[name].get();
    },
    set: (name, v) => traits[name].set(v),
    place: (position, distance) => { // both change at once, and are drawn once
      const [t, k] = settle(position, distance, traits.length.get());
      quiet = true;
      traits.position.set(t);
      traits.distance.set(k);
      quiet = false;
      refresh();
    },
  };
  const whole = clamp(body.clientWidth || 720, 260, 900);
  const column = whole >= 620 ? Math.round((whole - 16) / 2) : whole;
  const [map, clocks, chart, controls] = [makeMap(store, column), makeClocks(store, column), makeChart(store, whole), makeControls(store)];
  const key = (kind, text) => h("span", { class: `key-${kind}` }, svg("svg", { class: "tb-po-key tb-po-clocks", viewBox: "0 0 26 10", "aria-hidden": "true", style: "display: inline-block; width: 26px" },
    svg("path", { class: kind, d: "M2 5h22" })), h("span", { text }));
  let drawn = "";
  function refresh() {
    const state = Object.fromEntries(NAMES.map((name) => [name, store.get(name)]));
    const table = encode(state);
    const stamp = [state.kind, state.d, state.base, state.length, state.seed].join();
    if (stamp !== drawn) map.drawTable(table);
    drawn = stamp;
    map.draw();
    root.querySelector(".key-arc").hidden = state.kind !== "sinusoid";
    clocks.draw(table);
    chart.draw(table);
    controls.draw();
    say(sentence(state));
  }
  const caption = (text) => h("p", { class: "tb-po-caption", text });
  body.append(h("p", { class: "tb-po-hint", text: "Each row of the table encodes a position; full tint is 1, no tint is −1. Two columns are the two coordinates of a clock's hand." }),
    controls.top, h("div", { class: "tb-split" },
      h("div", {}, caption("table: positions from top to bottom"), map.node),
      h("div", {}, h("p", { class: "tb-po-caption" }, key("first", "t "), key("second", "t + k "), key("arc", "angle between them")), clocks.node)),
    caption("solid: from position t; dotted: from four others"), chart.node, controls.node);
  refresh();
}

export default { render };
