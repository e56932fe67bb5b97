import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The networks. Both are x -> v · tanh(w x + b) + c, kept as one list of numbers [w..., b..., v..., c].

export const EDGE = 5;
const FARTHEST = 4;
const SPREAD = 0.5;
const UNITS = { generator: 12, discriminator: 16 };
const BATCH = 128;
const BETAS = [0.5, 0.999];

/** Weights to begin with. The discriminator's units bend at places all over the line, and it starts undecided. */
export function start(seed) {
  const { normal } = kit.random(seed + 11);
  const list = (count, scale) => Array.from({ length: count }, () => scale * normal());
  const net = (units, w, b, v) => [...list(units, w), ...list(units, b), ...list(units, v), 0];
  const fresh = (p) => ({ p, m: p.map(() => 0), v: p.map(() => 0), t: 0 });
  return { generator: fresh(net(UNITS.generator, 1.5, 1, 0.5)), discriminator: fresh(net(UNITS.discriminator, 1, 2, 0.1)) };
}

/** The network's output at x, and its slope there. */
export function output(p, x) {
  const units = (p.length - 1) / 3;
  let [y, slope] = [p[3 * units], 0];
  for (let j = 0; j < units; j += 1) {
    const a = Math.tanh(p[j] * x + p[units + j]);
    y += p[2 * units + j] * a;
    slope += p[2 * units + j] * (1 - a * a) * p[j];
  }
  return [y, slope];
}

/** Add `weight` times the gradient of the output at x, by each parameter, to `gradient`. */
function backward(p, x, weight, gradient) {
  const units = (p.length - 1) / 3;
  for (let j = 0; j < units; j += 1) {
    const a = Math.tanh(p[j] * x + p[units + j]);
    const inner = weight * p[2 * units + j] * (1 - a * a);
    gradient[j] += inner * x;
    gradient[units + j] += inner;
    gradient[2 * units + j] += weight * a;
  }
  gradient[3 * units] += weight;
}

export const sigmoid = (s) => (s >= 0 ? 1 / (1 + Math.exp(-s)) : Math.exp(s) / (1 + Math.exp(s)));
export const softplus = (s) => Math.max(s, 0) + Math.log1p(Math.exp(-Math.abs(s)));

/** J_D = -½ E log D - ½ E log(1 - D) on points [x, weight as real, weight as generated], and its gradient. */
export function discriminatorLoss(d, points) {
  const gradient = new Array(d.length).fill(0);
  let loss = 0;
  for (const [x, real, made] of points) {
    const [s] = output(d, x);
    loss += (real * softplus(-s) + made * softplus(s)) / 2;
    backward(d, x, (made * sigmoid(s) - real * sigmoid(-s)) / 2, gradient);
  }
  return { loss, gradient };
}

/** One generated point's loss by the discriminator's logit, and its derivative. */
export function pointLoss(s, kind) {
  return kind === "saturating" ? [-softplus(s), -sigmoid(s)] : [softplus(-s), -sigmoid(-s)];
}

/** J_G on the noise z (mean), its gradient by the generator's parameters, and minus its slope at each G(z). */
export function generatorLoss(g, d, noise, kind) {
  const gradient = new Array(g.length).fill(0);
  const push = [];
  let loss = 0;
  for (const z of noise) {
    const [s, slope] = output(d, output(g, z)[0]);
    const [value, down] = pointLoss(s, kind);
    loss += value / noise.length;
    push.push(-down * slope);
    backward(g, z, (down * slope) / noise.length, gradient);
  }
  return { loss, gradient, push };
}

/** One step of Adam with betas 0.5 and 0.999. */
export function adam({ p, m, v, t }, gradient, lr) {
  const [b1, b2] = BETAS;
  const next = { p: [], m: [], v: [], t: t + 1 };
  for (let i = 0; i < p.length; i += 1) {
    next.m.push(b1 * m[i] + (1 - b1) * gradient[i]);
    next.v.push(b2 * v[i] + (1 - b2) * gradient[i] * gradient[i]);
    next.p.push(p[i] - (lr * next.m[i] / (1 - b1 ** next.t)) / (Math.sqrt(next.v[i] / (1 - b2 ** next.t)) + 1e-8));
  }
  return next;
}

// ---- Distributions as probabilities of cells on [-5, 5]; what lies outside is counted in the last cell on its side.

export const CELLS = 200;
const WIDTH = (2 * EDGE) / CELLS;
export const centerOf = (i) => -EDGE + (i + 0.5) * WIDTH;
const cellOf = (x) => Math.min(CELLS - 1, Math.max(0, Math.floor((x + EDGE) / WIDTH)));
const bell = (u) => Math.exp((-u * u) / 2) / Math.sqrt(2 * Math.PI);

/** The data: normal distributions of equal shares. */
export function dataTable(modes) {
  const table = new Array(CELLS).fill(0);
  for (let x = -EDGE - 2 + WIDTH / 8; x < EDGE + 2; x += WIDTH / 4) {
    for (const mode of modes) table[cellOf(x)] += ((WIDTH / 4) * bell((x - mode) / SPREAD)) / SPREAD / modes.length;
  }
  return table;
}

/** The generator's distribution: small pieces of the noise's, each spread over where its ends are mapped to. */
export function pushForward(g) {
  const table = new Array(CELLS).fill(0);
  const [reach, pieces] = [5, 1600];
  const step = (2 * reach) / pieces;
  let [from] = output(g, -reach);
  for (let k = 0; k < pieces; k += 1) {
    const [to] = output(g, -reach + (k + 1) * step);
    const mass = step * bell(-reach + (k + 0.5) * step);
    const [low, high] = from < to ? [from, to] : [to, from];
    const [first, last] = [cellOf(low), cellOf(high)];
    if (first === last) table[first] += mass;
    else {
      for (let i = first; i <= last; i += 1) {
        const left = i === first ? low : -EDGE + i * WIDTH;
        const right = i === last ? high : -EDGE + (i + 1) * WIDTH;
        table[i] += (mass * (right - left)) / (high - low);
      }
    }
    from = to;
  }
  return table;
}

/** D* = p / (p + q), or null where there is nothing. */
export const best = (p, q) => p.map((value, i) => (value + q[i] > 1e-7 ? value / (value + q[i]) : null));

/** The Jensen-Shannon divergence of two tables. */
export function jensenShannon(p, q) {
  const term = (a, b) => (a > 0 ? (a / 2) * Math.log((2 * a) / (a + b)) : 0);
  return p.reduce((sum, value, i) => sum + term(value, q[i]) + term(q[i], value), 0);
}

/** What the picture shows: tables, D, D*, both losses without sampling noise, and the lowest J_D, log 2 - JS. */
export function survey({ generator, discriminator }, modes, kind) {
  const [p, q] = [dataTable(modes), pushForward(generator.p)];
  const logits = p.map((_, i) => output(discriminator.p, centerOf(i))[0]);
  let [jd, jg] = [0, 0];
  logits.forEach((s, i) => {
    jd += (p[i] * softplus(-s) + q[i] * softplus(s)) / 2;
    jg += q[i] * pointLoss(s, kind)[0];
  });
  const js = jensenShannon(p, q);
  return { p, q, d: logits.map(sigmoid), best: best(p, q), jd, jg, js, lowest: Math.log(2) - js };
}

/** The share of the table within 1 of each mode, each cell counted for the nearest one. */
export function sharesOf(table, modes) {
  const shares = modes.map(() => 0);
  table.forEach((value, i) => {
    const far = modes.map((mode) => Math.abs(centerOf(i) - mode));
    const nearest = far.indexOf(Math.min(...far));
    if (far[nearest] <= 1) shares[nearest] += value;
  });
  return shares;
}

// ---- Steps. `players` is what `start` gives; rng is one of the kit's.

export function stepDiscriminator(players, rng, modes, lr) {
  const points = Array.from({ length: 2 * BATCH }, (_, i) => (i < BATCH
    ? [modes[Math.floor(rng.uniform() * modes.length)] + SPREAD * rng.normal(), 1 / BATCH, 0]
    : [output(players.generator.p, rng.normal())[0], 0, 1 / BATCH]));
  const { gradient } = discriminatorLoss(players.discriminator.p, points);
  return { ...players, discriminator: adam(players.discriminator, gradient, lr) };
}

export function stepGenerator(players, rng, kind, lr) {
  const noise = Array.from({ length: BATCH }, () => rng.normal());
  const { gradient } = generatorLoss(players.generator.p, players.discriminator.p, noise, kind);
  return { ...players, generator: adam(players.generator, gradient, lr) };
}

/** Many steps of the discriminator alone, on the whole distributions instead of draws. */
export function trainToBest(players, modes, steps = 600) {
  const [p, q] = [dataTable(modes), pushForward(players.generator.p)];
  const points = p.map((value, i) => [centerOf(i), value, q[i]]);
  let net = players.discriminator;
  for (let i = 0; i < steps; i += 1) net = adam(net, discriminatorLoss(net.p, points).gradient, i < steps / 2 ? 0.04 : 0.015);
  return { ...players, discriminator: net };
}

// ---- Text.

const percent = (v) => `${Math.round(100 * v)} %`;

/** The line that says the result. */
export function sentence(moves, seen, modes) {
  const shares = sharesOf(seen.q, modes);
  const where = modes.length === 1 ? `${percent(shares[0])} of the generated points lie at the mode`
    : `the generator's shares at the modes are ${shares.map(percent).join(", ")} (the data's: ${percent(1 / modes.length)} each)`;
  const lost = modes.length > 1 && Math.min(...shares) < 0.05 && Math.max(...shares) > 0.5 ? " A mode is lost." : "";
  return `After ${moves} ${moves === 1 ? "move" : "moves"}: J_D ${kit.fmt(seen.jd, 2)}, with D* it would be ${kit.fmt(seen.lowest, 2)}; `
    + `J_G ${kit.fmt(seen.jg, 2)}. JS(data, generator) is ${seen.js.toFixed(2)} of at most 0.69; ${where}.${lost}`;
}

// ---- The line with its densities.

const CURVES = [
  ["p", "data", "tb-gan-p"], ["q", "generator", "tb-gan-q"], ["d", "discriminator D", "tb-gan-d"], ["best", "best D*", "tb-gan-best"],
];
const NOISE = Array.from({ length: 21 }, (_, i) => quantile((i + 0.5) / 21));

/** The normal quantile, by bisection on a sum of the density. */
function quantile(share) {
  let [x, sum] = [-6, 0];
  while (sum < share) { sum += 1e-3 * bell(x + 5e-4); x += 1e-3; }
  return x;
}

function makeLine(store, width) {
  const view = kit.axes({ width, height: width < 500 ? 290 : 330, xLabel: "x", yLabel: "D, and densities", pad: [10, 12, 40, 50],
    label: "Densities of data and generator, the discriminator and the best discriminator; arrows below push generated points" });
  view.svg.setAttribute("role", "group"); // it holds sliders, which an image must not
  view.update({ x: [-EDGE, EDGE], y: [-0.34, 1.02], yTicks: [0, 0.25, 0.5, 0.75, 1] });
  const areas = { p: svg("path", { class: "tb-gan-area-p" }), q: svg("path", { class: "tb-gan-area-q" }) };
  const lines = Object.fromEntries(CURVES.map(([key, , name]) => [key, svg("path", { class: `tb-curve ${name}` })]));
  const [arrows, handles] = [svg("g", { class: "tb-gan-arrows", "aria-hidden": "true" }), svg("g", {})];
  view.plot.append(areas.p, areas.q, ...Object.values(lines), arrows, handles);
  const key = h("div", { class: "tb-gan-key" }, CURVES.map(([, text, name]) => h("span", {},
    svg("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" }, svg("path", { class: `tb-curve ${name}`, d: "M1 5H29" })), text)),
  h("span", {}, svg("svg", { viewBox: "0 0 30 10", "aria-hidden": "true", class: "tb-gan-arrows" }, svg("path", { d: arrow(4, 5, 22) })), "push on a point"));
  let made = [];
  const move = (i, x) => store.set({ modes: store.modes.map((old, k) => (k === i ? Number(Math.min(FARTHEST, Math.max(-FARTHEST, x)).toFixed(2)) : old)) });
  const make = (i) => {
    const node = svg("g", { class: "tb-gan-mode", tabindex: "0", role: "slider", "aria-label": `mode ${i + 1} of the data`, "aria-valuemin": -FARTHEST, "aria-valuemax": FARTHEST },
      svg("circle", { class: "hit", r: 17 }), svg("path", { d: "M0 -8L8 0L0 8L-8 0Z" }));
    kit.drag(node, { start: () => { node.focus({ preventScroll: true }); }, move: (event) => move(i, view.at(event)[0]) });
    node.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      move(i, store.modes[i] + way);
    });
    return node;
  };
  return { node: h("div", {}, view.svg, key), draw(seen) {
    const along = (table, scale) => table.map((value, i) => [centerOf(i), value === null ? NaN : Math.min(value * scale, 1.02)]);
    for (const name of ["p", "q"]) {
      const points = along(seen[name], 1 / WIDTH);
      lines[name].setAttribute("d", view.path(points));
      areas[name].setAttribute("d", `${view.path([[centerOf(0), 0], ...points, [centerOf(CELLS - 1), 0]])}Z`);
    }
    for (const name of ["d", "best"]) lines[name].setAttribute("d", view.path(along(seen[name], 1)));
    const { generator, discriminator } = store.players;
    const { push } = generatorLoss(generator.p, discriminator.p, NOISE, store.loss);
    arrows.replaceChildren(...NOISE.map((z, i) => {
      const x = Math.min(EDGE, Math.max(-EDGE, output(generator.p, z)[0]));
      const length = Math.min(1.5, Math.max(-1.5, 0.6 * push[i])) * (view.px(1) - view.px(0));
      const y = view.py(-0.1 - 0.075 * (i % 3));
      return svg("g", {}, svg("circle", { cx: view.px(x), cy: y, r: 2.6 }), svg("path", { d: arrow(view.px(x), y, length) }));
    }));
    if (made.length !== store.modes.length) { made = store.modes.map((_, i) => make(i)); handles.replaceChildren(...made); }
    made.forEach((node, i) => {
      node.setAttribute("transform", `translate(${view.px(store.modes[i])} ${view.py(0)})`);
      node.setAttribute("aria-valuenow", store.modes[i]);
      node.setAttribute("aria-valuetext", kit.fmt(store.modes[i], 3));
    });
  } };
}

/** A horizontal arrow; below two pixels there is none. */
function arrow(x, y, length) {
  if (Math.abs(length) < 2) return "";
  const [tip, head] = [x + length, Math.sign(length) * Math.min(4, Math.abs(length))];
  return `M${x.toFixed(1)} ${y.toFixed(1)}H${tip.toFixed(1)}m${-head} -3l${head} 3l${-head} 3`;
}

// ---- The losses, move by move.

const LOSSES = [["jd", "J_D", "tb-gan-d"], ["lowest", "log 2 − JS, the lowest J_D", "tb-gan-best"], ["jg", "J_G", "tb-gan-q"]];

function makeChart(store, width) {
  const view = kit.axes({ width, height: width < 500 ? 180 : 190, xLabel: "moves", yLabel: "loss", label: "Both losses, and the lowest that the discriminator's could be", pad: [8, 12, 38, 50] });
  const paths = Object.fromEntries(LOSSES.map(([key, , name]) => [key, svg("path", { class: `tb-curve ${name}` })]));
  const even = svg("line", { class: "tb-gan-even" });
  view.plot.append(even, ...Object.values(paths));
  const key = h("div", { class: "tb-gan-key" }, LOSSES.map(([, text, name]) => h("span", {},
    svg("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" }, svg("path", { class: `tb-curve ${name}`, d: "M1 5H29" })), text)));
  return { node: h("div", {}, view.svg, key), draw() {
    const past = store.history;
    const [first, last] = [past[0].moves, Math.max(past.at(-1).moves, past[0].moves + 20)];
    const values = past.flatMap(({ jd, jg }) => [jd, jg]);
    const y = [Math.max(-5, Math.min(0, ...values)), Math.min(5, Math.max(1, ...values))];
    view.update({ x: [first, last], y, xTicks: kit.ticks(first, last, 4), yTicks: kit.ticks(...y, 4) });
    for (const [name] of LOSSES) paths[name].setAttribute("d", view.path(past.map((row) => [row.moves, Math.min(y[1], Math.max(y[0], row[name]))])));
    for (const [name, v] of Object.entries({ x1: view.left, x2: view.right, y1: view.py(Math.log(2)), y2: view.py(Math.log(2)) })) even.setAttribute(name, v);
  } };
}

// ---- The whole.

const DATA = { 1: [1.5], 2: [-2, 2], 3: [-3, 0, 3] };
const NAMES = ["modes", "loss", "turns", "lr_generator", "lr_discriminator", "seed"];

function makeStore(model, refresh) {
  const traits = Object.fromEntries(NAMES.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = {
    get modes() { return traits.modes.get(); },
    get loss() { return traits.loss.get(); },
    get turns() { return traits.turns.get(); },
    get rates() { return [traits.lr_generator.get(), traits.lr_discriminator.get()]; },
    set: (values) => { for (const [name, value] of Object.entries(values)) traits[name].set(value); },
    restart() {
      Object.assign(store, { players: start(traits.seed.get()), rng: kit.random(traits.seed.get() + 5), moves: 0, history: [] });
    },
    nextSeed: () => traits.seed.set((traits.seed.get() + 1) % 2 ** 31),
    discriminate() { store.players = stepDiscriminator(store.players, store.rng, store.modes, store.rates[1]); },
    generate() { store.players = stepGenerator(store.players, store.rng, store.loss, store.rates[0]); },
    round() {
      for (let i = 0; i < store.turns; i += 1) store.discriminate();
      store.generate();
      store.moves += 1;
    },
    note(seen) {
      if (store.history.at(-1)?.moves === store.moves) store.history.pop();
      store.history.push({ moves: store.moves, jd: seen.jd, jg: seen.jg, lowest: seen.lowest });
      if (store.history.length > 500) store.history = store.history.filter((_, i) => i % 2 === 0);
    },
  };
  store.restart();
  return store;
}

function makeButtons(store, draw) {
  let stop = null;
  const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
  const run = kit.button({ text: "▶ Run", name: "Run round after round", kind: "primary", onClick: () => (stop ? buttons.halt() : go()) });
  const halt = () => { stop?.(); stop = null; run.textContent = "▶ Run"; };
  const once = (text, name, move) => kit.button({ text, name, onClick: () => { move(); store.moves += 1; draw(); } });
  const go = () => {
    if (calm) { for (let i = 0; i < 50; i += 1) store.round(); draw(); return; }
    run.textContent = "❚❚ Pause";
    stop = kit.animate(() => {
      if (!run.isConnected) return false;
      store.round();
      store.round();
      draw();
      return Boolean(stop);
    });
  };
  const buttons = { halt, node: h("div", { class: "tb-row" }, run,
    kit.button({ text: "One round", name: "One round: the discriminator's steps, then one of the generator", onClick: () => { store.round(); draw(); } }),
    once("Step discriminator", "One step of the discriminator", () => store.discriminate()),
    once("Step generator", "One step of the generator", () => store.generate()),
    once("Best D", "Train the discriminator to its best", () => { store.players = trainToBest(store.players, store.modes); }),
    kit.button({ text: "Reset", name: "Back to the first weights", onClick: () => { halt(); store.restart(); draw(); } }),
    kit.button({ text: "New start", name: "Start from other weights", onClick: () => { halt(); store.nextSeed(); } })) };
  return buttons;
}

function makeControls(store, halt) {
  const data = kit.select({ label: "data", value: store.modes.length, options: [[1, "one mode"], [2, "two modes"], [3, "three modes"]],
    onChange: (count) => store.set({ modes: [...DATA[count]] }) });
  const loss = kit.select({ label: "loss of G", value: store.loss, options: ["non-saturating", "saturating"],
    onChange: (kind) => { store.set({ loss: kind }); } });
  const turns = kit.slider({ label: "D steps per round", min: 1, max: 10, value: store.turns, format: String, onInput: (v) => store.set({ turns: v }) });
  const rate = (text, i, name) => kit.slider({ label: text, min: 1e-4, max: 0.1, log: true, value: store.rates[i], format: (v) => kit.fmt(Number(v.toPrecision(2))),
    onInput: (v) => store.set({ [name]: Math.min(0.1, Math.max(1e-4, Number(v.toPrecision(2)))) }) });
  const rates = [rate("rate of G", 0, "lr_generator"), rate("rate of D", 1, "lr_discriminator")];
  return { top: h("div", { class: "tb-row" }, data.node, loss.node), node: h("div", { class: "tb-controls" }, turns.node, rates[1].node, rates[0].node), draw() {
    data.set(store.modes.length);
    loss.set(store.loss);
    turns.set(store.turns);
    rates.forEach((slider, i) => { if (slider.input !== document.activeElement) slider.set(store.rates[i]); });
  } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, "Two players on a line");
  root.classList.add("tb-gan");
  const store = makeStore(model, (name) => {
    if (name === "seed") store.restart();
    controls.draw();
    if (name === "loss") store.history = []; // another J_G: not to be compared with the old one
    draw();
  });
  // Drawn for the pixels that there are, so that text keeps its size; 0 where nothing is laid out yet.
  const width = Math.min(Math.max(body.clientWidth || 720, 280), 900);
  const [line, chart] = [makeLine(store, width), makeChart(store, width)];
  const draw = () => {
    const seen = survey(store.players, store.modes, store.loss);
    store.note(seen);
    line.draw(seen);
    chart.draw();
    say(sentence(store.moves, seen, store.modes));
  };
  const buttons = makeButtons(store, draw);
  const controls = makeControls(store, buttons.halt);
  body.append(h("p", { class: "tb-gan-hint", text: "D is high where the discriminator expects data, and generated points climb it. Drag a diamond to move the data." }),
    controls.top, buttons.node, line.node, chart.node, controls.node);
  controls.draw();
  draw();
  return buttons.halt;
}

export default { render };
