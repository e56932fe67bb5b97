import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The maths. A unit is [w, b, v] (one input) or [w1, w2, b, v] (two); a net is { units, bias }.

export const EDGE = 2; // the picture shows [-2, 2] in each direction
const [MOST_UNITS, LIMIT, SAME] = [8, 8, 1e-9];
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const tidy = (v, digits = 3) => Number(clamp(v, -LIMIT, LIMIT).toFixed(digits));

/** What a unit gives before ReLU at the place x, a list of one or two coordinates. */
export const preactivation = (unit, x) => x.reduce((sum, value, i) => sum + unit[i] * value, unit[x.length]);
/** c + sum of v ReLU(w x + b). */
export const forward = ({ units, bias }, x) => units.reduce((sum, unit) => sum + unit.at(-1) * Math.max(0, preactivation(unit, x)), bias);
/** One input: the place -b/w of each unit's joint, from left to right; units with w = 0 have none. */
export const joints = (units) => units.map(([w, b], unit) => ({ unit, x: -b / w })).filter(({ x }) => Number.isFinite(x)).sort((p, q) => p.x - q.x);

/** One input: the stretches of [low, high] on which the net is one straight line: { from, to, slope }. */
export function pieces(units, low = -EDGE, high = EDGE) {
  const places = joints(units).map(({ x }) => x).filter((x) => x > low + SAME && x < high - SAME);
  const [cuts, out] = [[low, ...places, high], []];
  for (let i = 0; i + 1 < cuts.length; i += 1) {
    if (cuts[i + 1] - cuts[i] < SAME) continue; // two joints in one place
    const middle = [(cuts[i] + cuts[i + 1]) / 2];
    const slope = units.reduce((sum, unit) => sum + (preactivation(unit, middle) > 0 ? unit[0] * unit[2] : 0), 0);
    if (out.length && Math.abs(out.at(-1).slope - slope) < SAME) out.at(-1).to = cuts[i + 1]; // a joint that changes nothing
    else out.push({ from: cuts[i], to: cuts[i + 1], slope });
  }
  return out;
}

/** The place between p and q where a value that is s at p and t at q is zero. */
const between = (p, q, s, t) => p.map((v, k) => v + (s / (s - t)) * (q[k] - v));

/** The part of a convex polygon where a x + b y + c is at least zero. */
export function clip(polygon, [a, b, c]) {
  const side = polygon.map(([x, y]) => a * x + b * y + c);
  return polygon.flatMap((p, i) => {
    const [j, kept] = [(i + 1) % polygon.length, side[i] >= 0 ? [p] : []];
    return side[i] * side[j] < 0 ? [...kept, between(p, polygon[j], side[i], side[j])] : kept;
  });
}

const next = (polygon, i) => polygon[(i + 1) % polygon.length];
export const area = (polygon) => polygon.reduce((sum, [x, y], i) => sum + (x * next(polygon, i)[1] - next(polygon, i)[0] * y) / 2, 0);
const square = (edge) => [[-edge, -edge], [edge, -edge], [edge, edge], [-edge, edge]];
/** Two inputs: the tiles of the square on which the net is one tilted plane: { polygon, gradient }. */
export function tiles(units, edge = EDGE) {
  let found = [square(edge)];
  for (const [a, b, c, v] of units) {
    if (v === 0 || (a === 0 && b === 0)) continue;
    const halves = (polygon) => [clip(polygon, [a, b, c]), clip(polygon, [-a, -b, -c])];
    found = found.flatMap((polygon) => halves(polygon).filter((part) => part.length > 2 && area(part) > 1e-7));
  }
  return found.map((polygon) => {
    const center = [0, 1].map((k) => polygon.reduce((sum, p) => sum + p[k], 0) / polygon.length);
    const awake = units.filter((unit) => preactivation(unit, center) > 0);
    return { polygon, center, gradient: [0, 1].map((k) => awake.reduce((sum, unit) => sum + unit[k] * unit[3], 0)) };
  });
}

/** The most regions that so many units can make: M + 1 on a line, 1 + M + M (M - 1) / 2 in a plane. */
export const mostRegions = (inputs, units) => (inputs === 1 ? units + 1 : 1 + units + (units * (units - 1)) / 2);

/** The ends of the line a x + b y + c = 0 inside the square, or null where it misses it. */
export function chord([a, b, c], edge = EDGE) {
  const ends = clip(square(edge), [a, b, c]).filter(([x, y]) => Math.abs(a * x + b * y + c) < SAME);
  return ends.length === 2 ? ends : null;
}

const softplus = (s) => Math.max(s, 0) + Math.log1p(Math.exp(-Math.abs(s)));
const sigmoid = (s) => 1 / (1 + Math.exp(-s));

/** Points are [x, y] with a number y, or [x1, x2, class]. Loss, its gradient, and how many classes are right. */
export function lossAndGradient(net, points) {
  const inputs = net.units[0].length - 2;
  const units = net.units.map((unit) => unit.map(() => 0));
  let [loss, bias, right] = [0, 0, 0];
  for (const point of points) {
    const [x, y] = [point.slice(0, inputs), point[inputs]];
    const f = forward(net, x);
    loss += (inputs === 1 ? (f - y) ** 2 : softplus(f) - y * f) / points.length;
    const error = (inputs === 1 ? 2 * (f - y) : sigmoid(f) - y) / points.length;
    if (f > 0 === y > 0) right += 1;
    bias += error;
    net.units.forEach((unit, j) => {
      const z = preactivation(unit, x);
      if (z > 0) [...x.map((value) => value * unit.at(-1)), unit.at(-1), z].forEach((slope, i) => { units[j][i] += error * slope; });
    });
  }
  return { loss, right, gradient: { units, bias } };
}

/** One step of full-batch gradient descent. */
export function descend(net, points, lr) {
  const { gradient } = lossAndGradient(net, points);
  return { units: net.units.map((unit, j) => unit.map((value, i) => value - lr * gradient.units[j][i])), bias: net.bias - lr * gradient.bias };
}

/** Random units: each wakes somewhere in the picture. The same for the same seed. */
export function start(inputs, count, seed) {
  const { normal, uniform } = kit.random(77 + 13 * seed);
  return Array.from({ length: count }, () => {
    const w = Array.from({ length: inputs }, () => tidy((inputs === 1 ? Math.sign(uniform() - 0.5) : normal()) * (0.7 + 0.5 * uniform()), 2));
    return [...w, tidy(-w.reduce((sum, value) => sum + value * 0.75 * EDGE * (2 * uniform() - 1), 0), 2), tidy(0.7 * normal(), 2)];
  });
}

const line = (f) => Array.from({ length: 41 }, (_, i) => [tidy(-EDGE + i / 10), tidy(f(-EDGE + i / 10))]);

/** Points of class 1 where `depth` is positive, and none close to where it is zero. */
function scatter(depth) {
  const { uniform } = kit.random(5);
  const places = Array.from({ length: 200 }, () => [tidy(3.6 * uniform() - 1.8, 2), tidy(3.6 * uniform() - 1.8, 2)]);
  return places.filter((p) => Math.abs(depth(p)) > 0.15).slice(0, 60).map((p) => [...p, Number(depth(p) > 0)]);
}

export const DATA = {
  zigzag: { inputs: 1, points: line((x) => 1.2 * (1 - 2 * Math.abs((((x + 2) * 0.75 + 0.5) % 2) - 1))) },
  wave: { inputs: 1, points: line((x) => 1.3 * Math.sin(2.2 * x)) },
  step: { inputs: 1, points: line((x) => (x > 0.3 ? 1 : -1)) },
  XOR: { inputs: 2, points: [[-1, -1, 0], [1, 1, 0], [-1, 1, 1], [1, -1, 1]] },
  ring: { inputs: 2, points: scatter(([x, y]) => 1.05 - Math.hypot(x, y)) },
  stripes: { inputs: 2, points: scatter(([x, y]) => 0.65 - Math.abs(x + 0.5 * y)) },
};

/** The line that says the result. */
export function sentence({ net: { units, bias }, points, step, end }) {
  const one = units[0].length === 3;
  const { loss, right } = lossAndGradient({ units, bias }, points);
  const fate = { lost: " It diverged: take a smaller learning rate and a new start.", rests: " Training rests: the gradient has vanished.",
    tired: " Enough for now: press Fit to go on." }[end] ?? "";
  const score = one ? `mean squared error ${kit.fmt(loss, 3)}` : `${right} of ${points.length} right, loss ${kit.fmt(loss, 3)}`;
  const seen = one ? joints(units).filter(({ x }) => Math.abs(x) < EDGE).map(({ x }) => kit.fmt(x, 2)) : units.filter((unit) => chord(unit));
  const name = one ? `${plural(seen.length, "joint")} in view${seen.length ? ` (${seen.join(", ")})` : ""}` : `${plural(seen.length, "line")} in view`;
  const count = one ? pieces(units).length : tiles(units).length;
  return `${plural(units.length, "unit")}, ${name}: ${plural(count, "linear region")} of at most ${mostRegions(units[0].length - 2, units.length)}. `
    + `After ${plural(step, "step")}: ${score}.${fate}`;
}

// ---- The state: traits, and what training keeps to itself until it pauses.

function makeStore(model, refresh) {
  const own = { step: 0, end: "", held: false, chosen: 0, net: null };
  for (const name of ["data", "units", "bias", "lr"]) model.on(`change:${name}`, () => { if (!own.held) { own.net = null; refresh(); } });
  const store = {
    own,
    get inputs() { return DATA[model.get("data")].inputs; },
    get points() { return DATA[model.get("data")].points; },
    get net() { // the traits, or what training has made of them
      if (own.net) return own.net;
      const kept = model.get("units");
      const fits = kept.length && kept.every((unit) => unit.length === store.inputs + 2);
      const units = fits ? kept : start(store.inputs, model.get("count"), model.get("seed"));
      own.chosen = Math.min(own.chosen, units.length - 1);
      return (own.net = { units, bias: model.get("bias") });
    },
    choose(index) { if (own.chosen !== index) { own.chosen = index; refresh(); } },
    set(values) {
      own.held = true;
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
      [own.held, own.net] = [false, null];
      refresh();
    },
    /** What the reader's hand sets; steps are counted from here. */
    change(values) { [own.step, own.end] = [0, ""]; store.set(values); },
    edit(index, unit) {
      own.chosen = index;
      store.change({ units: store.net.units.map((old, i) => (i === index ? unit.map((v) => tidy(v)) : old)) });
    },
    fresh(values) {
      const { data, count, seed } = { data: model.get("data"), count: store.net.units.length, seed: model.get("seed"), ...values };
      store.change({ data, count, seed, units: start(DATA[data].inputs, count, seed), bias: 0 });
    },
    grow(count) {
      const more = start(store.inputs, MOST_UNITS, model.get("seed"));
      store.change({ units: Array.from({ length: count }, (_, i) => store.net.units[i] ?? more[i]), count });
    },
    advance(steps) {
      for (let i = 0; i < steps && !own.end; i += 1) {
        const next = descend(store.net, store.points, model.get("lr"));
        if ([...next.units.flat(), next.bias].every((v) => Math.abs(v) < 1e4)) [own.net, own.step] = [next, own.step + 1];
        else own.end = "lost";
      }
      const { gradient } = lossAndGradient(store.net, store.points);
      if (!own.end && Math.hypot(...gradient.units.flat(), gradient.bias) < 1e-4) own.end = "rests";
    },
    keep() { store.set({ ...store.net, count: store.net.units.length }); },
  };
  return store;
}

const ink = (index) => `var(--tb-c${index % 5})`;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const SIGNS = { turn: "M0 -7L7 0L0 7L-7 0Z", other: "M-8.5 0a8.5 8.5 0 1 0 17 0a8.5 8.5 0 1 0 -17 0" };

const put = (node, attributes) => Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));

/** One handle per unit, in its own color and with its number, made once, so that the focus stays while it moves. */
function makeHandles(store, kind, { label, onKey, onStart = () => {}, onMove }) {
  const layer = svg("g", {});
  const make = (index) => {
    const node = svg("g", { class: `tb-rn-handle ${kind}`, tabindex: "0", role: "slider", "aria-label": `${label} ${index + 1}`, "aria-valuemin": -EDGE, "aria-valuemax": EDGE },
      svg("circle", { r: 15, class: "hit" }), svg("path", { class: "mark", d: SIGNS[kind] ?? SIGNS.other }),
      kind === "turn" ? null : svg("text", { class: "number", y: 4, "text-anchor": "middle", text: String(index + 1) }));
    node.addEventListener("keydown", (event) => {
      const way = ARROWS[event.key];
      if (way) { event.preventDefault(); onKey(index, way.map((v) => v * (event.shiftKey ? 4 : 1))); }
    });
    node.addEventListener("focus", () => store.choose(index));
    kit.drag(node, { start: () => { onStart(index); node.focus({ preventScroll: true }); }, move: (event) => onMove(index, event) });
    node.style.setProperty("--own", ink(index));
    return node;
  };
  return { layer, draw(states) { // per unit { x, y, hidden, away, value, text }
    while (layer.children.length > states.length) layer.lastChild.remove();
    while (layer.children.length < states.length) layer.append(make(layer.children.length));
    states.forEach(({ x, y, hidden, away, value, text }, i) => {
      const { style, classList } = layer.children[i];
      style.display = hidden ? "none" : "";
      classList.toggle("away", away);
      classList.toggle("chosen", i === store.own.chosen);
      put(layer.children[i], { transform: `translate(${x.toFixed(2)} ${y.toFixed(2)})`, "aria-valuenow": tidy(value), "aria-valuetext": text });
    });
  } };
}

// ---- One input: the curve, its joints, and below it where each unit is awake.

/** A place on the awake side of a joint, where the curve can be tilted. */
const tiltPlace = ([w, b]) => clamp(clamp(-b / w, -EDGE, EDGE) + 0.6 * Math.sign(w), -EDGE, EDGE);

function makeCurve(store, width) {
  const view = kit.axes({ width, height: Math.round(clamp(0.66 * width, 230, 330)), xLabel: "x", label: "The network's output over its input", pad: [22, 12, 38, 36] });
  view.update({ x: [-EDGE, EDGE], y: [-2, 2] });
  put(view.svg, { role: "group" });
  const mask = kit.uid("mask");
  const [slopes, dots, hinge, curve] = [svg("g", {}), svg("g", {}), svg("path", { class: "tb-rn-hinge" }), svg("path", { class: "tb-rn-curve" })];
  const tilt = svg("g", { class: "tb-rn-tilt", "aria-hidden": "true" }, svg("circle", { r: 15, class: "hit" }), svg("path", { class: "mark", d: "M0 -8L5 -2H-5ZM0 8L5 2H-5Z" }));
  const lanes = svg("svg", { class: "tb-rn-lanes", role: "img" });
  const moveTo = (index, x, [w, , v] = store.net.units[index]) => store.edit(index, [w, -w * clamp(x, -EDGE, EDGE), v]);
  const handles = makeHandles(store, "joint", { label: "Joint of unit", onMove: (index, event) => moveTo(index, view.at(event)[0]), onKey: (index, [dx, dy]) => {
    const [w, b, v] = store.net.units[index];
    if (dx) moveTo(index, clamp(-b / w, -EDGE, EDGE) + 0.05 * dx);
    else store.edit(index, [w, b, clamp(v + 0.1 * dy, -4, 4)]);
  } });
  kit.drag(tilt, { move: (event) => { // so that the curve goes through the pointer
    const [w, b, v] = store.net.units[store.own.chosen];
    const z = w * tiltPlace([w, b]) + b;
    store.edit(store.own.chosen, [w, b, clamp(v + (view.at(event)[1] - forward(store.net, [tiltPlace([w, b])])) / z, -4, 4)]);
  } });
  view.plot.append(svg("clipPath", { id: mask }, svg("rect", { x: view.left, y: view.top, width: view.right - view.left, height: view.bottom - view.top })),
    slopes, svg("g", { "clip-path": `url(#${mask})`, "aria-hidden": "true" }, dots, hinge, curve), tilt, handles.layer);
  const drawLanes = (units, row = 15) => {
    put(lanes, { viewBox: `0 0 ${width} ${units.length * row + 2}`, "aria-label": `Where each of ${plural(units.length, "unit")} is awake` });
    lanes.replaceChildren(...units.map(([w, b], i) => {
      const x = clamp(-b / w, -EDGE, EDGE);
      const [from, to] = w === 0 ? [-EDGE, b > 0 ? EDGE : -EDGE] : w > 0 ? [x, EDGE] : [-EDGE, x];
      return svg("g", { class: i === store.own.chosen ? "chosen" : "" }, svg("text", { x: view.left - 8, y: i * row + 12, "text-anchor": "end", text: String(i + 1) }),
        svg("line", { x1: view.left, x2: view.right, y1: i * row + 8, y2: i * row + 8 }),
        svg("rect", { x: view.px(from), y: i * row + 3, width: view.px(to) - view.px(from), height: row - 5, rx: 2, fill: ink(i) }));
    }));
  };
  return { hint: "Drag a numbered joint sideways. The double triangle tilts the curve where the chosen unit is awake; the dashed line is what that unit adds.",
    node: h("div", {}, view.svg, h("p", { class: "tb-rn-caption", text: "where each unit is awake" }), lanes), draw() {
      const { net: { units }, own: { chosen } } = store;
      const f = (x) => clamp(forward(store.net, [x]), -1e3, 1e3);
      const parts = pieces(units);
      dots.replaceChildren(...store.points.map(([x, y]) => svg("circle", { class: "tb-rn-dot", cx: view.px(x), cy: view.py(y), r: 2.6 })));
      curve.setAttribute("d", view.path([-EDGE, ...parts.map(({ to }) => to)].map((x) => [x, f(x)])));
      slopes.replaceChildren(svg("text", { x: view.left - 4, y: view.top - 8, "text-anchor": "end", text: "slope" }), ...parts.flatMap(({ from, to, slope }, i) => {
        const [a, b, text] = [view.px(from), view.px(to), kit.fmt(slope, 2)];
        return [i ? svg("line", { class: "tb-rn-cut", x1: a, x2: a, y1: view.top - 14, y2: view.bottom }) : null,
          b - a > 7 * text.length ? svg("text", { x: (a + b) / 2, y: view.top - 8, "text-anchor": "middle", class: "tb-rn-slope", text }) : null];
      }));
      const [w, b, v] = units[chosen];
      const [x, at] = [tiltPlace([w, b]), clamp(-b / (w || 1), -EDGE, EDGE)];
      put(hinge, { stroke: ink(chosen), d: view.path([-EDGE, at, EDGE].map((u) => [u, clamp(v * Math.max(0, w * u + b), -1e3, 1e3)])) });
      tilt.style.display = w * x + b > 0.05 ? "" : "none";
      tilt.style.setProperty("--own", ink(chosen));
      if (w) put(tilt, { transform: `translate(${view.px(x)} ${view.py(clamp(f(x), -2, 2))})` });
      handles.draw(units.map(([a, c, d]) => {
        const place = a === 0 ? 0 : clamp(-c / a, -EDGE, EDGE);
        return { x: view.px(place), y: view.py(clamp(f(place), -2, 2)), hidden: a === 0, away: Math.abs(c / a) > EDGE, value: place,
          text: `at ${kit.fmt(tidy(-c / a), 3)}, the slope changes by ${kit.fmt(tidy(d * Math.abs(a)), 3)}` };
      }));
      drawLanes(units);
    } };
}

// ---- Two inputs: the plane, the lines where units wake, and the tiles between them.

const [CELLS, REACH] = [64, 0.35]; // squares of the shading; length of a unit's arrow, per length of its weights

/** Where a unit is taken hold of: the middle of its line, or the border point next to it. */
function hold(unit) {
  const [p, q] = chord(unit) ?? [];
  return [0, 1].map((k) => (p ? (p[k] + q[k]) / 2 : clamp((-unit[k] * unit[2]) / (unit[0] ** 2 + unit[1] ** 2 || 1), -EDGE, EDGE)));
}

function paint(canvas, root, net) {
  const style = getComputedStyle(root);
  const colors = ["--tb-c1", "--tb-c0"].map((name) => [1, 3, 5].map((i) => Number.parseInt(style.getPropertyValue(name).trim().slice(i, i + 2), 16)));
  const image = new ImageData(CELLS, CELLS);
  const at = (i) => -EDGE + (2 * EDGE * (i + 0.5)) / CELLS;
  for (let i = 0; i < CELLS * CELLS; i += 1) {
    const p = sigmoid(forward(net, [at(i % CELLS), -at(Math.floor(i / CELLS))]));
    image.data.set([...colors[Number(p > 0.5)], 20 + 190 * Math.abs(p - 0.5)], 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function makePlane(store, root, width) {
  const size = Math.min(width, 460);
  const canvas = h("canvas", { width: CELLS, height: CELLS, "aria-hidden": "true" });
  const [lines, level, arrows, marks] = [svg("g", {}), svg("path", { class: "tb-rn-level" }), svg("g", {}), svg("g", {})];
  const picture = svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "group", "aria-label": "The plane of the two inputs, with the line of each unit" });
  const to = ([x, y]) => [((x + EDGE) / (2 * EDGE)) * size, ((EDGE - y) / (2 * EDGE)) * size];
  const at = ({ clientX, clientY }, box = picture.getBoundingClientRect()) =>
    [(clientX - box.left) / box.width - 0.5, 0.5 - (clientY - box.top) / box.height].map((v) => clamp(2 * EDGE * v, -EDGE, EDGE));
  const through = (index, [a, b], [x, y]) => store.edit(index, [a, b, -a * x - b * y, store.net.units[index][3]]);
  const holds = makeHandles(store, "hold", { label: "Line of unit", onMove: (index, event) => through(index, store.net.units[index], at(event)),
    onKey: (index, way, unit = store.net.units[index]) => through(index, unit, hold(unit).map((v, k) => clamp(v + 0.05 * way[k], -EDGE, EDGE))) });
  let pivot = [0, 0];
  const turns = makeHandles(store, "turn", { label: "Direction of unit", onStart: (index) => { pivot = hold(store.net.units[index]); }, onMove: (index, event) => {
    const w = at(event).map((v, k) => (v - pivot[k]) / REACH);
    if (Math.hypot(...w) > 0.2) through(index, w, pivot);
  }, onKey: (index, [dx, dy], unit = store.net.units[index]) => {
    const [angle, length] = [Math.atan2(unit[1], unit[0]) - 0.05 * dx, clamp(Math.hypot(unit[0], unit[1]) + 0.1 * dy, 0.2, 5)];
    through(index, [length * Math.cos(angle), length * Math.sin(angle)], hold(unit));
  } });
  picture.append(svg("g", { "aria-hidden": "true" }, lines, arrows, level, marks), holds.layer, turns.layer);
  const drawUnits = () => {
    const { net: { units }, own: { chosen } } = store;
    const states = units.map((unit, i) => {
      const middle = hold(unit);
      const [[x, y], [u, v]] = [to(middle), to(middle.map((c, k) => clamp(c + REACH * unit[k], -EDGE, EDGE)))];
      const [a, b] = unit.slice(0, 2).map((c) => kit.fmt(tidy(c), 3));
      return { x, y, u, v, hidden: unit[0] === 0 && unit[1] === 0, away: !chord(unit), value: middle[0], turned: i !== chosen,
        text: `through ${middle.map((c) => kit.fmt(tidy(c), 3)).join(", ")}; weights ${a}, ${b}` };
    });
    holds.draw(states);
    turns.draw(states.map((state) => ({ ...state, x: state.u, y: state.v, hidden: state.hidden || state.turned })));
    lines.replaceChildren(...states.map(({ x, y, u, v }, i) => {
      const d = (chord(units[i]) ?? []).map((p, k) => `${"ML"[k]}${to(p).join(" ")}`).join("");
      return svg("g", { stroke: ink(i), class: `tb-rn-line ${i === chosen ? "chosen" : ""} ${units[i][3] < 0 ? "minus" : ""}` },
        svg("path", { d }), svg("path", { class: "shaft", d: `M${x} ${y}L${u} ${v}` }));
    }));
  };
  const repaint = () => paint(canvas, root, store.net);
  return { hint: "Drag a numbered line; the diamond turns it and points to where the unit is awake. Dashed: its output weight is negative. Thick: f = 0. Each gray arrow is the slope on one tile.",
    node: h("div", { class: "tb-rn-plane" }, canvas, picture), repaint, draw() {
      const found = tiles(store.net.units);
      repaint();
      drawUnits();
      // On a tile the net is a plane: f = 0 is one straight piece, the gradient one arrow.
      level.setAttribute("d", found.map(({ polygon, center, gradient }) => {
        const value = (p) => forward(store.net, center) + gradient[0] * (p[0] - center[0]) + gradient[1] * (p[1] - center[1]);
        const ends = polygon.flatMap((p, i) => {
          const [q, s] = [next(polygon, i), value(p)];
          return s > 0 === value(q) > 0 ? [] : [to(between(p, q, s, value(q)))];
        });
        return ends.map(([x, y], k) => `${"ML"[k % 2]}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
      }).join(""));
      arrows.replaceChildren(...found.filter(({ polygon, gradient }) => area(polygon) > 0.12 && Math.hypot(...gradient) > 0.02).map(({ center, gradient }) => {
        const [length, turn] = [clamp(12 * Math.hypot(...gradient), 6, 30), (-180 / Math.PI) * Math.atan2(gradient[1], gradient[0])];
        return svg("path", { class: "tb-rn-arrow", transform: `translate(${to(center).join(" ")}) rotate(${turn.toFixed(1)})`, d: `M${-length / 2} 0H${length / 2}m-5 -4l5 4l-5 4` });
      }));
      marks.replaceChildren(...store.points.map(([x, y, label]) => {
        const [a, b] = to([x, y]);
        return svg("path", { class: `tb-rn-class${label}`, d: label ? `M${a - 4.5} ${b - 4.5}h9v9h-9z` : `M${a - 5} ${b}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0` });
      }));
    } };
}

// ---- The controls: which unit, and its numbers.

function makeEditor(store) {
  const [chips, sliders] = [h("fieldset", { class: "tb-rn-chips" }), h("div", { class: "tb-rn-sliders" })];
  let [name, built, parts] = [kit.uid("unit"), "", []];
  const slide = (label, onInput) => kit.slider({ label, min: -4, max: 4, step: 0.05, value: 0, format: (v) => kit.fmt(v, 3), onInput });
  const build = () => {
    chips.replaceChildren(h("legend", { text: "unit" }), ...store.net.units.map((_, i) => h("label", { style: `--own: ${ink(i)}` },
      h("input", { type: "radio", name, value: i, onchange: () => store.choose(i) }), h("span", { text: String(i + 1) }))));
    const names = store.inputs === 1 ? ["weight w", "bias b", "output weight v"] : ["weight w₁", "weight w₂", "bias b", "output weight v"];
    parts = [...names.map((label, k) => slide(label, (v) => store.edit(store.own.chosen, Object.assign([...store.net.units[store.own.chosen]], { [k]: v })))),
      slide("output bias c", (v) => store.change({ bias: v }))];
    sliders.replaceChildren(...parts.map((part) => part.node));
  };
  return { node: h("div", {}, chips, sliders), draw() {
    const { units, bias } = store.net;
    if (`${store.inputs} ${units.length}` !== built) { built = `${store.inputs} ${units.length}`; build(); }
    chips.querySelectorAll("input")[store.own.chosen].checked = true;
    [...units[store.own.chosen], bias].forEach((v, i) => { if (parts[i].input !== document.activeElement) parts[i].set(v); });
  } };
}

const ENOUGH = 20000;
function render({ model, el }) {
  const { root, body, say } = kit.frame(el, "A ReLU network in your hands");
  root.classList.add("tb-rn");
  // Drawn for the pixels that there are, so that text keeps its size; 0 where nothing is laid out yet.
  const room = clamp(body.clientWidth || 720, 270, 900);
  const wide = room < 600 ? room : Math.round(0.58 * (room - 20));
  let stop = null;
  const store = makeStore(model, () => draw());
  const [curve, plane, editor] = [makeCurve(store, wide), makePlane(store, root, wide), makeEditor(store)];
  const [stage, hint] = [h("div", {}), h("p", { class: "tb-rn-hint" })];
  const halted = (action) => (value) => { if (stop) pause(); action(value); };
  const draw = () => {
    const shown = store.inputs === 1 ? curve : plane;
    if (stage.firstChild !== shown.node) stage.replaceChildren(shown.node);
    hint.textContent = shown.hint;
    shown.draw();
    editor.draw();
    for (const [part, v] of [[data, model.get("data")], [count, store.net.units.length], [rate, model.get("lr")]]) if (part.input !== document.activeElement) part.set(v);
    say(sentence({ net: store.net, points: store.points, step: store.own.step, end: store.own.end }));
  };
  const pause = () => { stop = stop?.(); fit.textContent = "▶ Fit"; store.keep(); };
  const run = () => {
    [fit.textContent, store.own.end] = ["❚❚ Pause", ""];
    const until = store.own.step + ENOUGH;
    stop = kit.animate(() => {
      store.advance(store.own.step < 100 ? 2 : 25); // slow at first, so that one sees the joints set out
      if (store.own.step >= until) store.own.end = "tired";
      if (store.own.end || !root.isConnected) { pause(); return false; }
      draw();
      return true;
    });
  };
  const fit = kit.button({ text: "▶ Fit", kind: "primary tb-rn-fit", onClick: () => (stop ? pause() : run()) });
  const anew = kit.button({ text: "New start", name: "Start from other random weights", onClick: halted(() => store.fresh({ seed: (model.get("seed") + 1) % 100000 })) });
  const data = kit.select({ label: "data", value: model.get("data"), options: Object.entries(DATA).map(([name, { inputs }]) => [name, `${name} (${plural(inputs, "input")})`]),
    onChange: halted((name) => store.fresh({ data: name })) });
  const count = kit.slider({ label: "hidden units", min: 1, max: MOST_UNITS, value: store.net.units.length, format: String, onInput: store.grow });
  const rate = kit.slider({ label: "learning rate", min: 0.001, max: 1, log: true, value: model.get("lr"), format: (v) => kit.fmt(v, 2), onInput: (v) => store.set({ lr: Number(v.toPrecision(2)) }) });
  const main = h("div", { class: "tb-rn-main" }, stage, h("div", {}, count.node, editor.node, rate.node));
  for (const name of ["pointerdown", "keydown", "input"]) main.addEventListener(name, () => { if (stop) pause(); }, true); // a hand on the network stops training
  body.append(hint, h("div", { class: "tb-row" }, data.node, fit, anew), main);
  draw();
  // The canvas does not follow the theme by itself.
  const watch = new MutationObserver(() => { if (store.inputs === 2) plane.repaint(); });
  for (const node of [document.documentElement, document.body]) watch.observe(node, { attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "theme", "class"] });
  return () => { watch.disconnect(); stop?.(); };
}

export default { render };
