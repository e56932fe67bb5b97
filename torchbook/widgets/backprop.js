import * as kit from "./kit.js";

const { h, s: svg } = kit;

export const PRESETS = {
  "shared input": ["y = sin(x); z = x * y; w = cos(z)", { x: 1.3 }],
  "neuron and its loss": ["z = w * x + b; -log(sigmoid(z))", { w: 0.5, x: 2, b: -1.5 }],
  "two layers": ["h = tanh(w * x + b); e = v * h - t; e^2", { w: 0.8, x: 1.5, b: -0.4, v: -1.2, t: 0.5 }],
  "closed gate": ["r = relu(w * x + b); r * v", { w: 0.6, x: -1.5, b: 0.4, v: 2 }],
  "many paths": ["a = x + x; b = a + a; c = b + b; c + c", { x: 0.5 }],
  quotient: ["p = exp(x); q = exp(y); p / (p + q)", { x: 1, y: 0.2 }],
};
const EDGE = 4;
const MOST = { nodes: 24, inputs: 6, letters: 160 };

// ---- Operations: the value, the local derivatives, and how both are written. `u`, `v` are the arguments, `y` the result.

const sigmoid = (u) => (u >= 0 ? 1 / (1 + Math.exp(-u)) : Math.exp(u) / (1 + Math.exp(u)));
export const OPERATIONS = {
  "+": { of: (u, v) => u + v, slopes: () => [1, 1], rules: ["1", "1"] },
  "-": { of: (u, v) => u - v, slopes: () => [1, -1], rules: ["1", "−1"] },
  "*": { of: (u, v) => u * v, slopes: (u, v) => [v, u], rules: ["v", "u"] },
  "/": { of: (u, v) => u / v, slopes: (u, v) => [1 / v, -u / (v * v)], rules: ["1/v", "−u/v²"] },
  "^": { of: (u, v) => u ** v, slopes: (u, v) => [v * u ** (v - 1), 0], rules: ["v·u^(v−1)", "0"] },
  neg: { of: (u) => -u, slopes: () => [-1], rules: ["−1"] },
  sin: { of: Math.sin, slopes: (u) => [Math.cos(u)], rules: ["cos u"] },
  cos: { of: Math.cos, slopes: (u) => [-Math.sin(u)], rules: ["−sin u"] },
  exp: { of: Math.exp, slopes: (u) => [Math.exp(u)], rules: ["y"] },
  log: { of: Math.log, slopes: (u) => [1 / u], rules: ["1/u"] },
  sqrt: { of: Math.sqrt, slopes: (u) => [0.5 / Math.sqrt(u)], rules: ["1/(2y)"] },
  tanh: { of: Math.tanh, slopes: (u) => [1 - Math.tanh(u) ** 2], rules: ["1 − y²"] },
  sigmoid: { of: sigmoid, slopes: (u) => [sigmoid(u) * sigmoid(-u)], rules: ["y(1 − y)"] },
  relu: { of: (u) => Math.max(u, 0), slopes: (u) => [u > 0 ? 1 : 0], rules: ["1 if u > 0, else 0"] },
};
const SIGNS = { "*": "×", "/": "÷", "-": "−", neg: "−", sigmoid: "σ" };
const sign = (op) => SIGNS[op] ?? op;
const isName = (word) => /^[A-Za-z][A-Za-z0-9]{0,2}$/.test(word) && !(word in OPERATIONS);

// ---- From text to a graph.

/**
 * The graph of "y = sin(x); x * y": nodes in an order in which parents come first. A node is { name, op, args, label },
 * op "" for an input; each arg is { node } or a constant { value }. Throws an Error that says what to write instead.
 */
export function parse(text) {
  if (text.length > MOST.letters) throw new Error(`at most ${MOST.letters} letters fit`);
  const [nodes, known] = [[], new Map()];
  const pieces = text.split(";").filter((piece) => piece.trim());
  if (!pieces.length) throw new Error("write something, such as x * y + sin(x)");
  let last = null;
  for (const piece of pieces) {
    const [, name, body] = piece.match(/^([^=]*)=([^]*)$/) ?? [null, null, piece];
    const own = name?.trim();
    if (name !== null && !isName(own)) throw new Error(`“${own}” cannot be a name: use one to three letters and digits`);
    last = expression(body, nodes, known);
    if (name === null) continue;
    if (known.has(own)) throw new Error(`${own} is used or defined already: choose another name`);
    if (last.node !== undefined && !nodes[last.node].op) throw new Error(`${own} is a second name for an input: use the input itself`);
    known.set(own, last);
    if (last.node !== undefined) nodes[last.node].name ||= own;
  }
  if (last.node === undefined || !nodes[last.node].op) throw new Error("the last statement must compute something from an input, such as x * y");
  return finish(nodes, last.node);
}

/** Recursive descent: sum > product > sign > power > atom. Adds nodes, and returns the argument that stands for the whole. */
function expression(body, nodes, known) {
  const tokens = body.replaceAll("**", "^").match(/\d*\.?\d+(?:[eE][+-]?\d+)?\.?|[A-Za-z][A-Za-z0-9]*|[^\s]/g) ?? [];
  let at = 0;
  const fail = () => { throw new Error(at < tokens.length ? `cannot read “${tokens[at]}” here` : `“${body.trim()}” ends too early`); };
  const take = (token) => { if (tokens[at] !== token) return false; at += 1; return true; };
  const make = (op, ...args) => {
    if (args.every((arg) => arg.value !== undefined)) return { value: OPERATIONS[op].of(...args.map((arg) => arg.value)) };
    return { node: nodes.push({ name: "", op, args }) - 1 };
  };
  const chain = (next, signs) => () => {
    let left = next();
    while (signs.includes(tokens[at])) left = make(tokens[at++], left, next());
    return left;
  };
  const inParentheses = () => { const inner = take("(") ? sum() : fail(); return take(")") ? inner : fail(); };
  const atom = () => {
    const token = tokens[at] ?? "";
    if (token === "(") return inParentheses();
    if (/^[\d.]/.test(token) && Number.isFinite(Number(token))) return take(token) && { value: Number(token) };
    if (/^[a-z]+$/.test(token) && token in OPERATIONS && token !== "neg") return take(token) && make(token, inParentheses());
    if (/^[A-Za-z]/.test(token) && tokens[at + 1] === "(") throw new Error(`no function ${token}: there are ${Object.keys(OPERATIONS).slice(6).join(", ")}`);
    if (!isName(token)) fail();
    take(token);
    if (!known.has(token)) known.set(token, { node: nodes.push({ name: token, op: "", args: [] }) - 1 });
    return known.get(token);
  };
  const power = () => {
    const base = atom();
    const exponent = take("^") ? unary() : null;
    if (exponent && exponent.value === undefined) throw new Error("an exponent must be a number, such as x^2");
    return exponent ? make("^", base, exponent) : base;
  };
  const unary = () => (take("-") ? make("neg", unary()) : power());
  const product = chain(unary, ["*", "/"]);
  const sum = chain(product, ["+", "-"]);
  const whole = sum();
  return at < tokens.length ? fail() : whole;
}

/** Keep what the output needs, inputs first; give each node a name and the text in its circle. */
function finish(nodes, output) {
  const needed = new Set([output]);
  for (let i = output; i >= 0; i -= 1) if (needed.has(i)) nodes[i].args.forEach((arg) => arg.node !== undefined && needed.add(arg.node));
  const order = [...needed].sort((a, b) => Boolean(nodes[a].op) - Boolean(nodes[b].op) || a - b);
  const place = new Map(order.map((old, i) => [old, i]));
  const taken = new Set(nodes.map((node) => node.name));
  const fresh = (name) => { while (taken.has(name)) name += "'"; taken.add(name); return name; };
  let serial = 0;
  const graph = order.map((old) => {
    const { name, op, args } = nodes[old];
    const moved = args.map((arg) => (arg.node === undefined ? arg : { node: place.get(arg.node) }));
    const own = name || (old === output ? fresh("f") : fresh(`v${serial += 1}`));
    const [a, b] = moved.map((arg) => (arg.value === undefined ? null : kit.fmt(arg.value, 3)));
    const label = !op ? own : a != null ? `${a} ${sign(op)}` : b != null ? (op === "^" ? `( )^${b}` : `${sign(op)} ${b}`) : sign(op);
    return { name: own, op, args: moved, label };
  });
  const inputs = graph.filter((node) => !node.op).length;
  if (inputs > MOST.inputs) throw new Error(`${inputs} inputs: use at most ${MOST.inputs}`);
  if (graph.length > MOST.nodes) throw new Error(`${graph.length} nodes: use at most ${MOST.nodes}`);
  return graph;
}

// ---- The two walks.

/** Values and local derivatives: { values: [...], slopes: [[one per arg], ...] }. */
export function evaluate(graph, inputs) {
  const [values, slopes] = [[], []];
  for (const { name, op, args } of graph) {
    const numbers = args.map((arg) => arg.value ?? values[arg.node]);
    values.push(op ? OPERATIONS[op].of(...numbers) : inputs[name] ?? 1);
    slopes.push(op ? OPERATIONS[op].slopes(...numbers) : []);
  }
  return { values, slopes };
}

/** The arrows of a graph in the order of the walk back: { from, to, arg }, from a node to the parent that hears it. */
export function arrows(graph) {
  return graph.flatMap(({ args }, from) => args.flatMap(({ node }, arg) => (node === undefined ? [] : [{ from, to: node, arg }]))).reverse();
}

/**
 * Reverse mode, up to and including the node `until` (a place in the order; 0 for all): the adjoints so far, null where
 * nothing has arrived. `accumulate` false overwrites instead of adding: the bug.
 */
export function pullBack(graph, slopes, { accumulate = true, until = 0 } = {}) {
  const adjoints = graph.map(() => null);
  adjoints[graph.length - 1] = 1;
  for (const { from, to, arg } of arrows(graph)) {
    if (from < until || adjoints[from] === null) continue;
    const product = adjoints[from] * slopes[from][arg];
    adjoints[to] = accumulate ? (adjoints[to] ?? 0) + product : product;
  }
  return adjoints;
}

/** Forward mode: how fast each value moves with the input `by`. */
export function pushForward(graph, slopes, by) {
  const tangents = [];
  graph.forEach(({ name, op, args }, i) => {
    tangents.push(op ? args.reduce((sum, arg, k) => sum + (arg.node === undefined ? 0 : tangents[arg.node] * slopes[i][k]), 0) : Number(name === by));
  });
  return tangents;
}

/** The steps of a walk: { kind: "value" | "seed" | "back" | "both", node }. */
export function stepsOf(graph, direction) {
  const inner = graph.map((node, i) => i).filter((i) => graph[i].op);
  if (direction === "forward") return inner.map((node) => ({ kind: "both", node }));
  return [...inner.map((node) => ({ kind: "value", node })), { kind: "seed", node: graph.length - 1 }, ...inner.reverse().map((node) => ({ kind: "back", node }))];
}

/** All that the picture shows after `step` steps. `multiplications`: one per arrow that a derivative has crossed. */
export function stateAt(graph, inputs, { direction, by, accumulate, step }) {
  const { values, slopes } = evaluate(graph, inputs);
  const steps = stepsOf(graph, direction);
  const done = Math.min(step, steps.length);
  const current = done ? steps[done - 1] : null;
  const past = steps.slice(0, done);
  const known = new Set([...graph.keys()].filter((i) => !graph[i].op || past.some((one) => one.node === i)));
  const crossed = new Set(past.filter(({ kind }) => kind === "back" || kind === "both").map(({ node }) => node));
  const reverse = () => (past.some(({ kind }) => kind === "seed") ? pullBack(graph, slopes, { accumulate, until: Math.min(graph.length, ...crossed) }) : graph.map(() => null));
  const grads = direction === "reverse" ? reverse() : pushForward(graph, slopes, by).map((tangent, i) => (known.has(i) ? tangent : null));
  const multiplications = arrows(graph).filter(({ from }) => crossed.has(from)).length;
  return { values: values.map((value, i) => (known.has(i) ? value : null)), slopes, grads, known, crossed, current, done, total: steps.length, multiplications };
}

/** The derivative of the output by each input, by central differences: a judge that knows no chain rule. */
export function differences(graph, inputs, eps = 1e-5) {
  const output = (name, change) => evaluate(graph, { ...inputs, [name]: inputs[name] + change }).values.at(-1);
  return Object.fromEntries(graph.filter((node) => !node.op).map(({ name }) => [name, (output(name, eps) - output(name, -eps)) / (2 * eps)]));
}

// ---- Text.

const n = (value) => kit.fmt(value, 4);
const factor = (value) => (value < 0 ? `(${n(value)})` : n(value));

/** A local derivative in letters: "cos x" for y = sin x. */
export function rule(graph, i, k) {
  const { op, args, name } = graph[i];
  const words = args.map((arg) => (arg.node === undefined ? n(arg.value) : graph[arg.node].name));
  if (op === "^") return `${words[1]}·${words[0]}${args[1].value === 2 ? "" : `^${n(args[1].value - 1)}`}`;
  const letters = { u: words[0], v: words[1], y: name };
  return OPERATIONS[op].rules[k].replace(/\b[uvy]\b/g, (letter) => letters[letter] ?? letter);
}

function formula(graph, i) {
  const { op, args } = graph[i];
  const [a, b] = args.map((arg) => (arg.node === undefined ? factor(arg.value) : graph[arg.node].name));
  if (op === "neg") return `−${a}`;
  return args.length === 1 ? `${op}(${a})` : `${a} ${sign(op)} ${b}`;
}

/** What step number `done` did, with all its numbers. */
export function sentence(graph, inputs, options) {
  const state = stateAt(graph, inputs, options);
  const { current, values, slopes, grads, done, total } = state;
  const output = graph.at(-1).name;
  if (!current) return `${total} steps. Inputs: ${Object.entries(inputs).map(([name, value]) => `${name} = ${n(value)}`).join(", ")}. Press Next.`;
  const { kind, node: i } = current;
  const { name, args } = graph[i];
  const head = `Step ${done} of ${total}`;
  const value = `${name} = ${formula(graph, i)} = ${n(values[i])}`;
  const parents = args.map(({ node }, k) => [node, k]).filter(([node]) => node !== undefined);
  const text = {
    value: () => `${head}, forward: ${value}.`,
    seed: () => `${head}: turn around. The output moves with itself: its adjoint is ∂${output}/∂${output} = 1.`,
    both: () => `${head}, forward: ${value}, and its slope is ${parents.map(([node, k]) => `${factor(slopes[i][k])} · ${factor(grads[node])}`).join(" + ")} = ${n(grads[i])}.`,
    back: () => `${head}, back from ${name}, adjoint ${n(grads[i])}: ${parents.map(([node, k]) =>
      `to ${graph[node].name} by ${rule(graph, i, k)}: ${factor(grads[i])} · ${factor(slopes[i][k])} = ${n(grads[i] * slopes[i][k])}`).join("; ")}.`,
  }[kind]();
  return done < total ? text : `${text} ${verdict(graph, inputs, options, state)}`;
}

function verdict(graph, inputs, { direction, by }, { grads, multiplications }) {
  const output = graph.at(-1).name;
  const judge = differences(graph, inputs);
  const entries = direction === "forward" ? [[by, grads.at(-1)]] : graph.flatMap(({ name, op }, i) => (op ? [] : [[name, grads[i] ?? 0]]));
  const found = entries.map(([name, value]) => `∂${output}/∂${name} = ${n(value)}`).join(", ");
  const wrong = entries.filter(([name, value]) => !(Math.abs(value - judge[name]) <= 1e-4 * Math.max(1, Math.abs(value), Math.abs(judge[name]))));
  const all = Object.keys(inputs).length;
  const runs = direction === "forward" && all > 1 ? `, and ${all} such runs for all ${all} inputs` : "";
  const price = `${multiplications} ${multiplications === 1 ? "multiplication" : "multiplications"}${runs}`;
  const check = !wrong.length ? "Finite differences agree." : `Finite differences disagree: ${wrong.map(([name]) => `∂${output}/∂${name} = ${n(judge[name])}`).join(", ")}.`;
  return `Done: ${found}; ${price}. ${check}`;
}

// ---- The picture: layers, with a place in every layer that an arrow passes, so that it goes around the nodes there.

/** { places: [[layer, offset], ...], routes: Map("from-arg" -> [[layer, offset], ...]), layers, widest }; offsets from −(widest−1)/2. */
export function layout(graph) {
  const depth = graph.map(() => 0);
  graph.forEach(({ args }, i) => args.forEach(({ node }) => { if (node !== undefined) depth[i] = Math.max(depth[i], depth[node] + 1); }));
  graph.forEach(({ op }, i) => { // an input stands just before its first use
    if (!op) depth[i] = Math.min(...graph.flatMap(({ args }, j) => (args.some(({ node }) => node === i) ? [depth[j] - 1] : [])));
  });
  const layers = Array.from({ length: Math.max(...depth) + 1 }, () => []);
  const spots = graph.map((_, i) => ({ layer: depth[i], links: [], rank: 0, node: i }));
  spots.forEach((spot) => layers[spot.layer].push(spot));
  const routes = new Map();
  const shared = new Map(); // arrows from one parent share their places in the layers that they pass
  for (const { from, to, arg } of arrows(graph).reverse()) {
    const route = [spots[to]];
    for (let layer = depth[to] + 1; layer < depth[from]; layer += 1) {
      const key = `${to}-${layer}`;
      if (!shared.has(key)) layers[layer].push(shared.set(key, { layer, links: [], rank: 0 }).get(key));
      route.push(shared.get(key));
    }
    route.push(spots[from]);
    route.slice(1).forEach((spot, i) => { spot.links.push(route[i]); route[i].links.push(spot); });
    routes.set(`${from}-${arg}`, route);
  }
  const number = (layer) => layer.forEach((spot, i) => { spot.rank = i - (layer.length - 1) / 2; });
  layers.forEach(number);
  const pull = (layer, side) => { // toward the mean place of the neighbors on one side
    const keys = new Map(layer.map((spot) => {
      const links = spot.links.filter((link) => Math.sign(link.layer - spot.layer) === side);
      return [spot, links.length ? links.reduce((sum, link) => sum + link.rank, 0) / links.length : spot.rank];
    }));
    layer.sort((a, b) => keys.get(a) - keys.get(b));
    number(layer);
  };
  for (let sweep = 0; sweep < 4; sweep += 1) {
    layers.slice(1).forEach((layer) => pull(layer, -1));
    layers.slice(0, -1).reverse().forEach((layer) => pull(layer, 1));
  }
  const at = (spot) => [spot.layer, spot.rank];
  return { places: spots.map(at), routes: new Map([...routes].map(([key, route]) => [key, route.map(at)])), layers: layers.length,
    widest: Math.max(...layers.map((layer) => layer.length)) };
}

const [RADIUS, TEXT] = [21, 84]; // of a circle; the room for the numbers beside it

function drawGraph(node, graph, state, direction, width, label) {
  const plan = layout(graph);
  const upright = width < 560 || (width - 60) / plan.layers < 84;
  const along = upright ? 92 : Math.min(150, (width - 60) / Math.max(plan.layers - 1, 1) - 4);
  const across = upright ? Math.min(150, (width - 2 * RADIUS - TEXT) / Math.max(plan.widest - 1, 1)) : 104;
  const height = upright ? (plan.layers - 1) * along + 2 * RADIUS + 46 : plan.widest * across + 14;
  const [first, middle] = upright ? [RADIUS + 24, (width - TEXT) / 2] : [(width - along * (plan.layers - 1)) / 2, height / 2];
  const to = ([layer, rank]) => (upright ? [middle + rank * across, first + layer * along] : [first + layer * along, middle + rank * across]);
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.setAttribute("aria-label", label);
  const edges = arrows(graph).reverse().map(({ from, to: parent, arg }) => {
    const twins = graph[from].args.filter((other) => other.node === parent).length > 1; // x + x: two arrows side by side
    return edge(plan.routes.get(`${from}-${arg}`).map(to), twins ? 52 * arg - 26 : 0, upright, from, state.slopes[from][arg], state);
  });
  const circles = graph.map((one, i) => circle(one, i, to(plan.places[i]), state, direction, upright));
  node.replaceChildren(...edges.map(({ line }) => line), ...edges.map(({ label: slope }) => slope), ...circles);
}

/** An arrow from the parent to its child; its number is the local derivative, written once the child's value is known. */
function edge(points, bend, upright, from, slope, state) {
  const [first, last] = [points[0], points.at(-1)];
  const middle = first.map((v, k) => (v + last[k]) / 2 + (k === Number(!upright) ? bend : 0));
  const way = bend ? [first, middle, last] : points;
  const bow = ([ax, ay], [bx, by]) => (upright ? `C${ax} ${(ay + by) / 2} ${bx} ${(ay + by) / 2} ${bx} ${by}` : `C${(ax + bx) / 2} ${ay} ${(ax + bx) / 2} ${by} ${bx} ${by}`);
  const d = `M${first.join(" ")}${way.slice(1).map((point, i) => bow(way[i], point)).join("")}`;
  const { kind, node } = state.current ?? {};
  const active = node === from && kind !== "seed";
  const path = svg("path", { d, class: `tb-bp-edge${active ? ` active ${kind}` : ""}${state.crossed.has(from) ? " crossed" : ""}` });
  const length = path.getTotalLength();
  const [tip, before] = [2, 12].map((gap) => path.getPointAtLength(length - RADIUS - gap));
  const angle = (Math.atan2(tip.y - before.y, tip.x - before.x) * 180) / Math.PI;
  const head = svg("path", { d: "M0 0L-9 -4.5L-9 4.5Z", transform: `translate(${tip.x} ${tip.y}) rotate(${angle})`, class: `tb-bp-head${active ? " active" : ""}` });
  const { x, y } = path.getPointAtLength(length * (points.length > 2 ? 0.62 : 0.5) - 2);
  const text = state.known.has(from) ? kit.fmt(slope, 3) : "";
  const label = svg("g", { class: `tb-bp-slope${active ? " active" : ""}` },
    svg("rect", { x: x - 3.9 * text.length - 1, y: y - 9, width: 7.8 * text.length + 2, height: text ? 18 : 0, rx: 4 }),
    svg("text", { x, y: y + 4, "text-anchor": "middle", text }));
  return { line: svg("g", {}, path, head), label };
}

function circle({ label, name, op }, i, [x, y], state, direction, upright) {
  const { current, known, values, grads } = state;
  const classes = ["tb-bp-node", op ? "" : "input", known.has(i) ? "known" : "", current?.node === i ? "current" : ""].filter(Boolean).join(" ");
  const value = values[i] === null ? "" : `${op ? `${name} = ` : ""}${kit.fmt(values[i], 4)}`;
  const grad = grads[i] === null ? "" : `${direction === "forward" ? "slope" : "adj"} ${kit.fmt(grads[i], 4)}`;
  const [vx, vy, gx, gy, anchor] = upright ? [x + RADIUS + 5, y + 12, x + RADIUS + 5, y - 3, "start"] : [x, y + RADIUS + 15, x, y - RADIUS - 7, "middle"];
  return svg("g", { class: classes, "data-node": name },
    svg("circle", { cx: x, cy: y, r: RADIUS }),
    svg("text", { x, y: y + 5, "text-anchor": "middle", class: label.length > 4 ? "sign long" : "sign", text: label }),
    svg("text", { x: vx, y: vy, "text-anchor": anchor, class: "value", text: value }),
    svg("text", { x: gx, y: gy, "text-anchor": anchor, class: "grad", text: grad }));
}

// ---- The whole.

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, "Forward and back through a graph");
  root.classList.add("tb-bp");
  const KEYS = ["expression", "inputs", "direction", "by", "accumulate", "step"];
  const traits = Object.fromEntries(KEYS.map((key) => [key, kit.trait(model, key, () => refresh(key))]));
  const get = (key) => traits[key].get();
  let graph = parse(get("expression"));
  let quiet = false;
  const setAll = (changes) => { // one redraw for several traits
    quiet = true;
    for (const [key, value] of Object.entries(changes)) traits[key].set(value);
    quiet = false;
    refresh("expression");
  };
  const namesOf = (nodes) => nodes.filter((node) => !node.op).map((node) => node.name);
  const inputs = () => Object.fromEntries(namesOf(graph).map((name) => [name, get("inputs")[name] ?? 1]));
  const by = () => (namesOf(graph).includes(get("by")) ? get("by") : namesOf(graph)[0]);
  const total = () => stepsOf(graph, get("direction")).length;
  const go = (step) => traits.step.set(Math.max(0, Math.min(total(), step)));
  const now = () => Math.min(get("step"), total());
  const use = (text, own = {}) => {
    const names = namesOf(parse(text)); // a program that cannot be read ends here
    const values = Object.fromEntries(names.map((name) => [name, own[name] ?? get("inputs")[name] ?? 1]));
    setAll({ expression: text, inputs: values, by: names.includes(get("by")) ? get("by") : names[0], step: 0 });
  };
  const presetOf = (text) => Object.keys(PRESETS).find((key) => PRESETS[key][0] === text) ?? "";
  const presets = kit.select({ label: "program", options: [...Object.keys(PRESETS), ["", "your own"]], value: presetOf(get("expression")),
    onChange: (key) => { if (key) use(...PRESETS[key]); else field.focus(); } });
  const fieldId = kit.uid();
  const complaint = h("p", { class: "tb-bp-error", id: `${fieldId}-error`, role: "alert" });
  const field = h("input", { type: "text", id: fieldId, value: get("expression"), maxlength: MOST.letters, spellcheck: "false", autocapitalize: "off", autocomplete: "off",
    "aria-describedby": complaint.id, oninput: () => complain(() => use(field.value)) });
  const complain = (attempt) => {
    let text = "";
    try { attempt(); } catch (error) { text = `Not drawn: ${error.message}.`; }
    complaint.textContent = text;
    if (text) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid");
  };
  const directions = kit.select({ label: "direction", value: "", options: [], onChange: (key) => {
    const [direction, input] = key.split(":");
    setAll({ direction, by: input ?? by(), step: 0 });
  } });
  const adding = kit.checkbox({ label: "add up where arrows meet", value: get("accumulate"), onChange: (on) => traits.accumulate.set(on) });
  const press = (text, name, onClick, kind) => kit.button({ text, name, kind, onClick });
  const buttons = { start: press("Start", "To the start", () => go(0)), back: press("Back", "One step back", () => go(now() - 1)),
    next: press("Next", "Next step", () => go(now() + 1), "primary"), end: press("End", "To the end", () => go(total())) };
  const picture = svg("svg", { class: "tb-bp-graph", role: "img" });
  const sliders = h("div", { class: "tb-controls" });
  const legend = h("p", { class: "tb-bp-legend" });
  body.append(h("div", { class: "tb-row" }, presets.node, directions.node, adding.node),
    h("div", { class: "tb-control tb-bp-field" }, h("label", { for: fieldId, text: "expression" }), field), complaint,
    h("div", { class: "tb-row tb-bp-steps" }, Object.values(buttons)), picture, legend, sliders);
  let shown = "";
  let handles = {};
  const drawInputs = () => {
    const values = inputs();
    const names = Object.keys(values);
    if (names.join() !== shown) {
      shown = names.join();
      handles = Object.fromEntries(names.map((name) => [name, kit.slider({ label: `input ${name}`, min: -EDGE, max: EDGE, step: 0.05, value: values[name],
        onInput: (value) => traits.inputs.set({ ...inputs(), [name]: Number(value.toFixed(4)) }) })]));
      sliders.replaceChildren(...names.map((name) => handles[name].node));
      directions.input.replaceChildren(h("option", { value: "reverse", text: "reverse: from the output" }),
        ...names.map((name) => h("option", { value: `forward:${name}`, text: `forward: from ${name}` })));
    }
    for (const name of names) if (handles[name].input !== document.activeElement) handles[name].set(values[name]);
    directions.set(get("direction") === "reverse" ? "reverse" : `forward:${by()}`);
  };
  const draw = () => {
    const options = { direction: get("direction"), by: by(), accumulate: get("accumulate"), step: get("step") };
    const forward = options.direction === "forward";
    const state = stateAt(graph, inputs(), options);
    const bad = evaluate(graph, inputs()).values.some((value) => !Number.isFinite(value));
    const text = sentence(graph, inputs(), options) + (bad ? " Some value is no finite number here: move an input." : "");
    drawGraph(picture, graph, state, options.direction, Math.max(280, Math.min(900, body.clientWidth || 720)), `Graph of ${get("expression")}. ${text}`);
    for (const [key, end] of [["start", 0], ["back", 0], ["next", state.total], ["end", state.total]]) buttons[key].setAttribute("aria-disabled", state.done === end);
    adding.input.disabled = forward;
    legend.textContent = `On an arrow: its local derivative. ${forward ? `“slope”: how fast the value moves with ${by()}.` : `“adj”: the adjoint, how fast ${graph.at(-1).name} moves with the value.`}`;
    say(text);
  };
  function refresh(key) {
    if (quiet) return;
    if (key === "expression") {
      try { graph = parse(get("expression")); } catch { return; } // Python has said what is wrong
      presets.set(presetOf(get("expression")));
      if (field !== document.activeElement) { field.value = get("expression"); complain(() => {}); }
    }
    adding.set(get("accumulate"));
    drawInputs();
    draw();
  }
  refresh("expression");
}

export default { render };
