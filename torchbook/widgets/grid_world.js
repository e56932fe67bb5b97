import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- The world: what a sign means, where a move leads.

export const MOVES = [[-1, 0], [0, 1], [1, 0], [0, -1]]; // up, right, down, left
const WAYS = ["up", "right", "down", "left"];
const ARROWS = "↑→↓←";
const PAYS = { G: 1, P: -1, "+": 1, "-": -0.2 };
const BRUSHES = { ".": "free", "#": "wall", G: "goal, pays 1 and ends", P: "pit, costs 1 and ends",
  "+": "reward 1 per landing", "-": "mud, costs 0.2", "~": "wind, blows up", S: "start" };
const LIMIT = 100; // moves after which an episode is cut

export const pays = (sign) => PAYS[sign] ?? 0;
export const ends = (sign) => sign === "G" || sign === "P";
export const free = (sign) => !ends(sign) && sign !== "#";

/** A map as one object: cells row by row, and for each cell and action the list of [next cell, probability]. */
export function build(rows, wind) {
  const [height, width] = [rows.length, rows[0].length];
  const cells = [...rows.join("")];
  const land = (s, a) => {
    const [y, x] = [Math.floor(s / width) + MOVES[a][0], (s % width) + MOVES[a][1]];
    const inside = y >= 0 && y < height && x >= 0 && x < width;
    return inside && cells[y * width + x] !== "#" ? y * width + x : s;
  };
  const next = cells.map((sign, s) => MOVES.map((_, a) => {
    if (!free(sign)) return [];
    return sign === "~" && wind > 0 ? [[land(s, a), 1 - wind], [land(s, 0), wind]] : [[land(s, a), 1]];
  }));
  return { height, width, cells, next, start: cells.indexOf("S"), open: cells.flatMap((sign, s) => (free(sign) ? [s] : [])) };
}

export const zeros = (world) => world.cells.map(() => [0, 0, 0, 0]);
export const best = (row) => Math.max(...row);

/** One sweep of value iteration over all states and actions: the new Q, rows of four. */
export function backup(q, { cells, next }, gamma) {
  const v = q.map(best);
  return next.map((actions) => actions.map((ways) =>
    ways.reduce((sum, [to, p]) => sum + p * (pays(cells[to]) + (ends(cells[to]) ? 0 : gamma * v[to])), 0)));
}

/** The largest difference of two Qs. */
export function distance(one, two) {
  let most = 0;
  for (let s = 0; s < one.length; s += 1) for (let a = 0; a < 4; a += 1) most = Math.max(most, Math.abs(one[s][a] - two[s][a]));
  return most;
}

/** The mean absolute difference of two Qs over the pairs of free cells. */
export function meanDistance(one, two, { open }) {
  const sum = open.reduce((all, s) => all + one[s].reduce((part, v, a) => part + Math.abs(v - two[s][a]), 0), 0);
  return open.length ? sum / (4 * open.length) : 0;
}

/** Q*, or null where value iteration does not come to rest. */
export function solve(world, gamma, sweeps = 4000) {
  let q = zeros(world);
  for (let n = 0; n < sweeps; n += 1) {
    const better = backup(q, world, gamma);
    const change = distance(q, better);
    q = better;
    if (change < 1e-10) return q;
  }
  return null;
}

/** The actions that are best by a row of Q, ties included; none where all four are equal. */
export function greedy(row, slack = 1e-9) {
  const top = best(row);
  const chosen = [0, 1, 2, 3].filter((a) => row[a] >= top - slack);
  return chosen.length === 4 ? [] : chosen;
}

/** A fresh learner: where it is, what it knows, what it has drawn so far. */
export function learner(world, seed) {
  const { uniform } = kit.random(seed + 1);
  const agent = { q: zeros(world), uniform, s: -1, age: 0, moves: 0, episodes: 0 };
  restart(agent, world);
  return agent;
}

function restart(agent, world) {
  agent.age = 0;
  agent.s = world.start >= 0 || !world.open.length ? world.start : world.open[Math.floor(agent.uniform() * world.open.length)];
}

/** One move and one update of Q-learning. Draws: explore or not, the action, and the wind where it can blow. */
export function move(agent, world, { gamma, alpha, eps }) {
  const { cells, next } = world;
  const row = agent.q[agent.s];
  const top = best(row);
  const choice = agent.uniform() < eps ? [0, 1, 2, 3] : [0, 1, 2, 3].filter((a) => row[a] === top);
  const a = choice[Math.floor(agent.uniform() * choice.length)];
  const ways = next[agent.s][a];
  const to = ways.length > 1 && agent.uniform() < ways[1][1] ? ways[1][0] : ways[0][0];
  const over = ends(cells[to]);
  row[a] += alpha * (pays(cells[to]) + (over ? 0 : gamma * best(agent.q[to])) - row[a]);
  agent.moves += 1;
  agent.age += 1;
  agent.s = to;
  if (over || agent.age >= LIMIT) {
    agent.episodes += 1;
    restart(agent, world);
  }
}

/** `count` moves of a fresh learner: its Q, its place, its moves and episodes. */
export function learn(rows, options, count) {
  const world = build(rows, options.wind);
  const agent = learner(world, options.seed);
  for (let n = 0; n < count; n += 1) move(agent, world, options);
  return { q: agent.q, s: agent.s, moves: agent.moves, episodes: agent.episodes };
}

/** Moves of the greedy path from the start to a goal, without wind; null where it leads nowhere. */
export function route(q, world) {
  let s = world.start;
  for (let n = 0; s >= 0 && n <= world.cells.length; n += 1) {
    if (world.cells[s] === "G") return n;
    const [a] = greedy(q[s]);
    if (a === undefined || !free(world.cells[s])) return null;
    [[s]] = world.next[s][a];
  }
  return null;
}

/** The map with one sign painted; a map has one start at most. */
export function paint(rows, s, sign) {
  const width = rows[0].length;
  const cells = [...rows.join("")].map((old, i) => (i === s ? sign : sign === "S" && old === "S" ? "." : old));
  return rows.map((_, y) => cells.slice(y * width, (y + 1) * width).join(""));
}

// ---- Text.

function short(v) {
  const size = Math.abs(v);
  const text = size < 0.005 ? "0" : size < 0.995 ? v.toFixed(2).replace("0.", ".") : size < 9.95 ? v.toFixed(1) : String(Math.round(v));
  return text.replace("-", "−");
}

const errorOf = (method, q, exact, world) => (method === "Q-learning" ? meanDistance(q, exact, world) : distance(q, exact));
const errorName = (method) => (method === "Q-learning" ? "mean error" : "largest error");

export function sentence({ method, world, q, exact, sweeps, change, agent }) {
  const steps = route(q, world);
  const path = world.start < 0 ? "No start is painted." : steps === null ? "No greedy path leads from the start to a goal yet."
    : `The greedy path from the start takes ${steps} ${steps === 1 ? "move" : "moves"}.`;
  const error = exact ? `${errorName(method)} against Q* ${kit.fmt(errorOf(method, q, exact, world), 3)}` : "Q* does not exist: the values grow without bound";
  const done = method === "Q-learning"
    ? `Q-learning, ${agent.moves} ${agent.moves === 1 ? "move" : "moves"} in ${agent.episodes} finished ${agent.episodes === 1 ? "episode" : "episodes"}`
    : `Value iteration, sweep ${sweeps}${sweeps ? `, last change ${kit.fmt(change, 3)}` : ""}`;
  return `${done}: ${error}. ${path}`;
}

// ---- The grid.

const UNIT = 48;

function makeGrid(paintAt, describe) {
  const [cellsLayer, marks] = [svg("g", {}), svg("g", {})];
  const agent = svg("circle", { class: "tb-gw-agent", r: 19 });
  const cursor = svg("rect", { class: "tb-gw-cursor", width: UNIT - 4, height: UNIT - 4, rx: 5 });
  const help = h("p", { class: "tb-visually-hidden", id: kit.uid("help"),
    text: `Arrow keys move the cursor. Space paints with the brush. These keys paint at once: ${Object.entries(BRUSHES).map(([k, v]) => `${k} ${v}`).join("; ")}.` });
  const spoken = h("p", { class: "tb-visually-hidden", "aria-live": "polite" });
  const picture = svg("svg", { class: "tb-gw-grid", tabindex: "0", role: "application", "aria-label": "Grid to paint", "aria-describedby": help.id },
    cellsLayer, marks, agent, cursor);
  let [at, world, parts] = [0, null, []];
  const node = h("div", {}, picture, help, spoken);
  const place = () => {
    cursor.setAttribute("x", (at % world.width) * UNIT + 2);
    cursor.setAttribute("y", Math.floor(at / world.width) * UNIT + 2);
  };
  const tell = () => { spoken.textContent = describe(at); };
  let last = -1;
  kit.drag(picture, { start: () => { last = -1; picture.focus({ preventScroll: true }); }, move: (event) => {
    const box = picture.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * world.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * world.height);
    if (x < 0 || y < 0 || x >= world.width || y >= world.height || y * world.width + x === last) return;
    at = last = y * world.width + x;
    place();
    paintAt(at);
  } });
  picture.addEventListener("keydown", (event) => {
    const way = { ArrowUp: 0, ArrowRight: 1, ArrowDown: 2, ArrowLeft: 3 }[event.key];
    const sign = event.key.length === 1 ? event.key.toUpperCase() : "";
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way !== undefined) {
      const [y, x] = [Math.floor(at / world.width) + MOVES[way][0], (at % world.width) + MOVES[way][1]];
      if (y >= 0 && y < world.height && x >= 0 && x < world.width) at = y * world.width + x;
      place();
    } else if (event.key === " " || event.key === "Enter") paintAt(at);
    else if (sign in BRUSHES) paintAt(at, sign);
    else return;
    event.preventDefault();
    tell();
  });
  return { node, drawWorld, drawValues };

  function drawWorld(now) {
    world = now;
    at = Math.min(at, world.cells.length - 1);
    picture.setAttribute("viewBox", `0 0 ${world.width * UNIT} ${world.height * UNIT}`);
    parts = world.cells.map((sign, s) => {
      const [x, y] = [(s % world.width) * UNIT, Math.floor(s / world.width) * UNIT];
      const c = UNIT / 2;
      const corners = [`0 0H${UNIT}L${c} ${c}`, `${UNIT} 0V${UNIT}L${c} ${c}`, `${UNIT} ${UNIT}H0L${c} ${c}`, `0 ${UNIT}V0L${c} ${c}`];
      const wedges = free(sign) ? corners.map((d) => svg("path", { d: `M${d}Z`, class: "wedge" })) : [];
      const points = free(sign) ? MOVES.map((_, a) => svg("path", { class: "point", d: "M0 -22.5L-5.5 -15H5.5Z", transform: `translate(${c} ${c}) rotate(${90 * a})` })) : [];
      const value = svg("text", { x: c, y: c + 4.5, "text-anchor": "middle", class: free(sign) ? "value" : "sign", text: free(sign) ? "" : sign === "#" ? "" : sign });
      const note = free(sign) && sign !== "." ? svg("text", { x: 4, y: 13, class: "note", text: sign === "-" ? "−" : sign }) : null;
      const group = svg("g", { transform: `translate(${x} ${y})`, class: `cell ${sign === "#" ? "wall" : sign === "G" ? "goal" : sign === "P" ? "pit" : ""}` },
        svg("rect", { width: UNIT, height: UNIT }), ...wedges, ...points, value, note);
      return { group, wedges, points, value };
    });
    cellsLayer.replaceChildren(...parts.map((part) => part.group));
    place();
  }

  function drawValues(q, where) {
    const scale = Math.max(0.05, ...q.flat().map(Math.abs));
    world.cells.forEach((sign, s) => {
      if (!free(sign)) return;
      const { wedges, points, value } = parts[s];
      const chosen = greedy(q[s]);
      q[s].forEach((v, a) => {
        wedges[a].setAttribute("fill", v < 0 ? "var(--tb-c0)" : "var(--tb-c1)");
        wedges[a].setAttribute("fill-opacity", (0.6 * Math.abs(v) / scale).toFixed(3));
        points[a].setAttribute("visibility", chosen.includes(a) ? "visible" : "hidden");
      });
      value.textContent = short(best(q[s]));
    });
    agent.setAttribute("visibility", where >= 0 ? "visible" : "hidden");
    if (where < 0) return;
    agent.setAttribute("cx", ((where % world.width) + 0.5) * UNIT);
    agent.setAttribute("cy", (Math.floor(where / world.width) + 0.5) * UNIT);
  }
}

// ---- The error against Q*, step by step.

const KEPT = 400;
const FLOOR = 1e-4;

function makeChart() {
  const view = kit.axes({ width: 340, height: 190, xLabel: "sweeps", yLabel: "largest error", label: "Error against Q*, step by step", pad: [8, 14, 40, 56] });
  const [line, bound] = [svg("path", { class: "tb-curve", stroke: "var(--tb-c0)" }), svg("path", { class: "tb-curve", stroke: "var(--tb-soft)", "stroke-dasharray": "3 4" })];
  const lacking = svg("text", { x: 190, y: 80, "text-anchor": "middle", text: "" });
  view.plot.append(bound, line, lacking);
  const [unit, measure] = view.svg.querySelectorAll(".tb-axis");
  return { node: view.svg, draw(trace, exact, method, gamma) {
    unit.textContent = method === "Q-learning" ? "moves" : "sweeps";
    measure.textContent = errorName(method);
    const begin = trace[0]?.[0] ?? 0;
    const end = Math.max(begin + 10, trace.at(-1)?.[0] ?? 0);
    const top = Math.max(1, ...trace.map(([, e]) => e));
    view.update({ x: [begin, end], y: [FLOOR, 10 ** Math.ceil(Math.log10(top))], logY: true, yFormat: (v) => (v < 1e-3 ? "10⁻⁴" : kit.fmt(v)) });
    line.setAttribute("d", exact ? view.path(trace.map(([n, e]) => [n, Math.max(e, FLOOR)])) : "");
    const [n0, e0] = trace[0] ?? [0, 1];
    const promised = method === "Q-learning" || !exact || gamma === 0 || gamma === 1 ? []
      : Array.from({ length: 41 }, (_, i) => n0 + ((end - n0) * i) / 40).map((n) => [n, e0 * gamma ** (n - n0)]).filter(([, e]) => e >= FLOOR);
    bound.setAttribute("d", view.path(promised));
    lacking.textContent = exact ? "" : "no Q* to compare with";
  } };
}

// ---- All together.

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-gw");
  const traits = Object.fromEntries(["rows", "method", "gamma", "alpha", "eps", "wind", "seed"].map((name) => [name, kit.trait(model, name, () => changed(name))]));
  const get = (name) => traits[name].get();
  let [brush, stop, credit, sweeps, change, trace] = ["#", null, 0, 0, 0, []];
  let world = build(get("rows"), get("wind"));
  let exact = solve(world, get("gamma"));
  let [q, agent] = [zeros(world), learner(world, get("seed"))];
  const learning = () => get("method") === "Q-learning";
  const values = () => (learning() ? agent.q : q);
  const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;

  const grid = makeGrid((s, sign = brush) => traits.rows.set(paint(get("rows"), s, sign)), (s) => {
    const named = `Row ${Math.floor(s / world.width) + 1}, column ${(s % world.width) + 1}: ${BRUSHES[world.cells[s]]}`;
    return free(world.cells[s]) ? `${named}. ${values()[s].map((v, a) => `${WAYS[a]} ${short(v)}`).join(", ")}.` : `${named}.`;
  });
  const chart = makeChart();
  const palette = h("div", { class: "tb-row tb-gw-brushes", role: "group", "aria-label": "Brush" }, Object.entries(BRUSHES).map(([sign, name]) => {
    const node = kit.button({ text: sign === "." ? "·" : sign === "-" ? "−" : sign, name, onClick: () => {
      brush = sign;
      for (const other of palette.children) other.setAttribute("aria-pressed", String(other === node));
    } });
    node.setAttribute("aria-pressed", String(sign === brush));
    return node;
  }));
  const method = kit.select({ label: "method", options: ["value iteration", "Q-learning"], value: get("method"), onChange: (v) => traits.method.set(v) });
  const slide = (name, label, min, max = 1) => kit.slider({ label, min, max, step: 0.01, value: get(name), onInput: (v) => traits[name].set(v) });
  const sliders = { gamma: slide("gamma", "discount γ", 0), wind: slide("wind", "wind", 0), eps: slide("eps", "exploration ε", 0), alpha: slide("alpha", "rate α", 0.01) };
  const speed = kit.slider({ label: "speed", min: 1, max: 5, value: 3, format: String, onInput: () => {} });
  const play = kit.button({ text: "Play", kind: "primary", onClick: () => (stop ? halt() : start()) });
  const step = kit.button({ text: "Step", onClick: () => { halt(); advance(1); draw(); } });
  const leap = kit.button({ text: "100 steps", onClick: () => { halt(); advance(100); draw(); } });
  const reset = kit.button({ text: "Forget", name: "Forget all values", onClick: () => { halt(); forget(); draw(); } });

  function note() {
    if (!exact) return;
    trace.push([learning() ? agent.moves : sweeps, errorOf(get("method"), values(), exact, world)]);
    if (trace.length > KEPT) trace = trace.filter((_, i) => i % 2 === 0 || i === trace.length - 1);
  }

  function advance(count) {
    for (let n = 0; n < count; n += 1) {
      if (!learning()) {
        const better = backup(q, world, get("gamma"));
        change = distance(q, better);
        q = better;
        sweeps += 1;
        note();
      } else if (world.open.length) move(agent, world, { gamma: get("gamma"), alpha: get("alpha"), eps: get("eps") });
    }
    if (learning()) note();
  }

  function halt() {
    stop?.();
    stop = null;
    play.textContent = "Play";
  }

  function start() {
    if (calm) { advance(learning() ? 20000 : 300); draw(); return; }
    play.textContent = "Pause";
    stop = kit.animate(() => {
      if (!play.isConnected) return false;
      const pace = Number(speed.value) - 1;
      credit += (learning() ? [0.1, 1, 10, 100, 1000] : [1 / 30, 1 / 15, 1 / 6, 1 / 2, 1])[pace];
      const count = Math.floor(credit);
      credit -= count;
      if (!count) return true;
      advance(count);
      draw();
      if (!learning() && (change < 1e-12 || sweeps >= 5000)) halt();
      return Boolean(stop);
    });
  }

  function forget() {
    [q, agent, sweeps, change] = [zeros(world), learner(world, get("seed")), 0, 0];
    fresh();
  }

  function fresh() { // the error is measured against another Q*, or from another place: a new curve
    trace = [];
    note();
  }

  function changed(name) {
    if (name === "rows" || name === "wind") {
      const size = `${world.height}x${world.width}`;
      world = build(get("rows"), get("wind"));
      if (`${world.height}x${world.width}` !== size) forget();
      for (const table of [q, agent.q]) table.forEach((row, s) => { if (!free(world.cells[s])) row.fill(0); });
      if (agent.s < 0 || !free(world.cells[agent.s])) restart(agent, world);
      if (name === "rows") grid.drawWorld(world);
    }
    if (name === "seed") forget();
    if (["rows", "wind", "gamma"].includes(name)) exact = solve(world, get("gamma"));
    if (!["alpha", "eps"].includes(name)) fresh();
    draw();
  }

  function draw() {
    method.set(get("method"));
    for (const [name, slider] of Object.entries(sliders)) if (slider.input !== document.activeElement) slider.set(get(name));
    for (const name of ["eps", "alpha"]) sliders[name].input.disabled = !learning();
    grid.drawValues(values(), learning() ? agent.s : -1);
    chart.draw(trace, exact, get("method"), get("gamma"));
    say(sentence({ method: get("method"), world, q: values(), exact, sweeps, change, agent }));
  }

  body.append(h("p", { class: "tb-gw-hint", text: "Pick a brush and paint with the pointer, or focus the grid: arrow keys, then a sign. A cell shows its best value; wedges are its four actions, points the greedy ones." }),
    palette, h("div", { class: "tb-split tb-gw-split" }, grid.node, h("div", {}, h("div", { class: "tb-row" }, method.node),
      h("div", { class: "tb-row" }, play, step, leap, reset), speed.node, ...Object.values(sliders).map((slider) => slider.node), chart.node)));
  grid.drawWorld(world);
  fresh();
  draw();
}

export default { render };
