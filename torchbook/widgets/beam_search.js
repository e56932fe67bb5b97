import * as kit from "./kit.js";

const { h, s: svg } = kit;
const [BOS, EOS] = [1, 2];

// ---- The network: what nn.Embedding, nn.LSTM and nn.Linear compute.

export const { half } = kit;

/** {shape, data in base64} to {rows, columns, values}; a vector is one column. */
export function unpack({ shape, data }) {
  return { rows: shape[0], columns: shape[1] ?? 1, values: kit.halves(data) };
}

function times({ rows, columns, values }, x, out) {
  for (let i = 0; i < rows; i += 1) for (let j = 0, at = i * columns; j < columns; j += 1, at += 1) out[i] += values[at] * x[j];
  return out;
}

const sigmoid = (v) => 1 / (1 + Math.exp(-v));
const row = ({ columns, values }, i) => values.subarray(i * columns, (i + 1) * columns);

/** One step of an LSTM cell: gates in PyTorch's order, input, forget, cell, output. */
export function lstm(net, part, x, [hidden, cell]) {
  const a = times(net[`${part}.weight_hh_l0`], hidden, times(net[`${part}.weight_ih_l0`], x, Float64Array.from(net[`${part}.bias`].values)));
  const n = cell.length;
  const c = cell.map((v, i) => sigmoid(a[n + i]) * v + sigmoid(a[i]) * Math.tanh(a[2 * n + i]));
  return [c.map((v, i) => sigmoid(a[3 * n + i]) * Math.tanh(v)), c];
}

export function logSoftmax(z) {
  const top = z.reduce((a, b) => Math.max(a, b), -Infinity);
  const shift = top + Math.log(z.reduce((sum, v) => sum + Math.exp(v - top), 0));
  return Array.from(z, (v) => v - shift);
}

/** A model for the searches: `start`, and `step(token, state)` that gives { logp, state }. */
export function network(packed, ids) {
  const net = Object.fromEntries(Object.entries(packed).map(([name, value]) => [name, unpack(value)]));
  const zero = () => new Float64Array(net["head.weight"].columns);
  const start = ids.reduce((state, id) => lstm(net, "encoder", row(net["source.weight"], id), state), [zero(), zero()]);
  return { start, step(token, state) {
    const next = lstm(net, "decoder", row(net["target.weight"], token), state);
    return { logp: logSoftmax(times(net["head.weight"], next[0], Float64Array.from(net["head.bias"].values))), state: next };
  } };
}

/** The same from a table: rows["0,2"] holds the probabilities after the tokens 0 and 2, rows[""] those of the first. */
export function table(rows) {
  return { start: null, step(token, before) {
    const state = before === null ? [] : [...before, token];
    return { logp: rows[state.join(",")].map(Math.log), state };
  } };
}

/** The ids of a text, padded on the left. */
export function toIds(text, tokens, length) {
  return [...Array(Math.max(length - text.length, 0)).fill(0), ...[...text].map((sign) => tokens.indexOf(sign))];
}

// ---- The searches.

const tokensOf = (node) => (node.parent ? [...tokensOf(node.parent), node.token] : []);

/**
 * Beam search. Each candidate of each step becomes a node { parent, token, depth, p, total, rank, beyond, fate }, with p the log-probability
 * of the token alone; fates are "kept", "pruned", "finished" (ends with eos) and "cut" (as long as allowed, without eos).
 */
export function beamSearch(model, { width, longest, eos = EOS }) {
  const root = { parent: null, token: BOS, depth: 0, p: 0, total: 0, rank: 0, fate: "kept", state: model.start, children: [] };
  const finished = [];
  let [live, calls] = [[root], 0];
  for (let depth = 1; depth <= longest && live.length; depth += 1) {
    const candidates = live.flatMap((parent) => {
      const { logp, state } = model.step(parent.token, parent.state);
      calls += 1;
      parent.children = logp.map((p, token) => ({ parent, token, depth, p, total: parent.total + p, state, children: [] }));
      return parent.children;
    }).sort((a, b) => b.total - a.total || a.token - b.token);
    const room = width - finished.length;
    candidates.forEach((node, i) => {
      node.rank = i + 1;
      node.beyond = i - room + 1; // 1 for the best that was pruned
      node.fate = i >= room ? "pruned" : node.token === eos ? "finished" : depth === longest ? "cut" : "kept";
    });
    live = candidates.slice(0, room).filter((node) => node.fate === "kept");
    finished.push(...candidates.slice(0, room).filter((node) => node.fate !== "kept"));
  }
  return { root, finished, calls };
}

/** The most probable output of all: always extend the most probable prefix. `floor`: what is known to be reachable. */
export function bestFirst(model, { longest, eos = EOS, floor = -Infinity, budget = 4000 }) {
  let queue = [{ tokens: [], total: 0, state: model.start }];
  for (let calls = 0; queue.length && calls < budget; calls += 1) {
    const best = queue.reduce((a, b) => (b.total > a.total ? b : a));
    const { tokens, total } = best;
    if (tokens.length === longest || tokens[tokens.length - 1] === eos) return { tokens, total, calls };
    queue = queue.filter((entry) => entry !== best);
    const { logp, state } = model.step(tokens.length ? tokens[tokens.length - 1] : BOS, best.state);
    logp.forEach((p, token) => {
      if (total + p >= floor - 1e-9) queue.push({ tokens: [...tokens, token], total: total + p, state });
    });
  }
  return null;
}

/** The score that ranks: S with a correction for m tokens. */
export function corrected(rule, strength, total, m) {
  if (rule === "bonus") return total + strength * m;
  return total / (rule === "gnmt" ? (5 + m) / 6 : m) ** strength;
}

export function ranked(finished, rule, strength) {
  return finished.map((node) => ({ node, tokens: tokensOf(node), score: corrected(rule, strength, node.total, node.depth) }))
    .sort((a, b) => b.score - a.score || b.node.total - a.node.total);
}

// ---- The tree.

const [SHOWN, COLUMN, ROW] = [2, 100, 25];
const FAINT = -7; // pruned and below: not drawn

/** Nodes to draw up to `step`, in columns by depth and rows by leaf: what was kept, the best that was pruned, the exact winner's path. */
export function layout(root, step, exact) {
  const nodes = [];
  let rows = 0;
  const visit = (node, onPath) => {
    nodes.push(node);
    const isBest = (child) => onPath && exact[child.depth - 1] === child.token;
    const shown = node.depth >= step ? [] : node.children.filter((child) => child.fate !== "pruned" || isBest(child)
      || (child.beyond <= SHOWN && child.total > FAINT)).sort((a, b) => b.total - a.total);
    Object.assign(node, { best: onPath, shown, dead: node.depth < step && node.fate === "kept" && node.children.every((child) => child.fate === "pruned") });
    shown.forEach((child) => visit(child, isBest(child)));
    node.row = shown.length ? shown[0].row : rows++;
  };
  visit(root, Boolean(exact));
  return { nodes, rows };
}

// ---- Text.

const RULES = { power: "S / m^α", gnmt: "S / ((5 + m) / 6)^α", bonus: "S + b m" };
const percent = (p) => (p >= 0.995 ? "1" : p < 0.001 ? "<.001" : p < 0.0995 ? p.toFixed(3).slice(1) : p.toFixed(2).slice(1));
const signed = (v) => v.toFixed(2).replace("-", "−");

export function phrase(tokens, names) {
  const text = tokens.filter((token) => token !== EOS).map((token) => names[token]).join(" ");
  return tokens.length && !text ? "(empty)" : text;
}

/** Where the exact winner left the beam, or 0. */
export function prunedAt(root, exact) {
  let node = root;
  for (const token of exact) {
    node = node.children.find((child) => child.token === token);
    if (!node || node.fate === "pruned") return node ? node.depth : 0;
  }
  return 0;
}

/** The line that says the result. */
export function sentence({ text, width, rule, strength }, search, exact, names) {
  const [first] = ranked(search.finished, rule, strength);
  const say = (tokens, total) => `“${phrase(tokens, names)}” (log p ${signed(total)}, p ${kit.fmt(Math.exp(total), 2)})`;
  const parts = [`${text} with width ${width}: ${search.calls} decoder steps, ${search.finished.length} finished. Winner: ${say(first.tokens, first.node.total)}`
    + (strength > 0 ? `, score ${signed(first.score)}.` : ".")];
  if (exact) {
    const lost = prunedAt(search.root, exact.tokens);
    if (lost) parts.push(`The most probable output of all, ${say(exact.tokens, exact.total)}, was pruned at step ${lost}.`);
    else if (exact.tokens.join() === first.tokens.join()) parts.push("It is the most probable output of all.");
    else parts.push(`The most probable of all is ${say(exact.tokens, exact.total)}: the length correction preferred another.`);
  }
  return parts.join(" ");
}

const FATES = { kept: "kept", pruned: "pruned", finished: "finished", cut: "cut off at the largest length" };

function detail(node, names) {
  if (!node.parent) return "Start of every hypothesis. Choose a token to see its numbers.";
  const p = Math.exp(node.p);
  return `“${phrase(tokensOf(node), names)}${node.token === EOS ? " ■" : ""}”: step ${node.depth}, p(${node.token === EOS ? "end" : names[node.token]}) = ${kit.fmt(p, 3)}, `
    + `S = ${signed(node.total)}, rank ${node.rank} at this step: ${FATES[node.fate]}${node.dead ? ", and all its continuations pruned" : ""}.`;
}

// ---- The picture.

function makeTree(names, onChoose) {
  const picture = svg("svg", { class: "tb-bs-tree", role: "tree", "aria-label": "Tree of hypotheses, from left to right" });
  const node = h("div", { class: "tb-scroll" }, picture);
  const note = h("p", { class: "tb-bs-detail" });
  let [nodes, chosen] = [[], null];
  const place = (item) => [item.depth ? 42 + (item.depth - 1) * COLUMN : 8, 16 + item.row * ROW];
  const choose = (item, focus) => {
    chosen = item;
    for (const other of nodes) other.mark.setAttribute("tabindex", other === item ? "0" : "-1");
    for (const other of nodes) other.mark.setAttribute("aria-selected", String(other === item));
    if (focus) item.mark.focus();
    note.textContent = detail(item, names);
    onChoose(item);
  };
  picture.addEventListener("keydown", (event) => {
    if (!chosen || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const column = nodes.filter((item) => item.depth === chosen.depth).sort((a, b) => a.row - b.row);
    const next = { ArrowRight: chosen.shown[0], ArrowLeft: chosen.parent, ArrowUp: column[column.indexOf(chosen) - 1], ArrowDown: column[column.indexOf(chosen) + 1] }[event.key];
    if (next) choose(next, true);
  });
  return { node, note, draw(search, step, exact, winner) {
    const drawn = layout(search.root, step, exact);
    nodes = drawn.nodes;
    const path = new Set();
    for (let item = winner; item; item = item.parent) path.add(item);
    const depth = Math.max(...nodes.map((item) => item.depth));
    const [width, height] = [Math.max(42 + depth * COLUMN, 300), 28 + drawn.rows * ROW];
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("width", width);
    picture.setAttribute("height", height);
    const edges = nodes.filter((item) => item.parent).map((item) => {
      const [[x0, y0], [x1, y1]] = [place(item.parent), place(item)];
      const from = Math.min(x0 + (item.parent.depth ? 34 + 7 * names[item.parent.token].length : 14), x1 - 10);
      const bend = x1 - 24;
      return svg("path", { class: `edge ${item.fate} ${path.has(item) ? "wins" : ""}`, d: y0 === y1 ? `M${from} ${y0}H${x1 - 4}` : `M${Math.min(from, bend)} ${y0 + 4}C${bend + 4} ${y0 + 6} ${bend - 6} ${y1} ${x1 - 4} ${y1}` });
    });
    const marks = nodes.map((item) => {
      const [x, y] = place(item);
      const text = item.parent ? (item.token === EOS ? "■ end" : names[item.token]) : "▸";
      item.mark = svg("g", { class: `mark ${item.fate} ${path.has(item) ? "wins" : ""}`, role: "treeitem", tabindex: "-1", "aria-label": detail(item, names), "aria-level": item.depth + 1,
        onclick: () => choose(item, true), transform: `translate(${x} ${y})` },
      svg("rect", { x: -4, y: -12, width: item.depth ? COLUMN - 12 : 18, height: 24, rx: 5 }),
      svg("text", { y: 4 }, text, item.parent ? svg("tspan", { class: "p", dx: 4, text: percent(Math.exp(item.p)) }) : null,
        signs(item, step) ? svg("tspan", { dx: 3, text: signs(item, step) }) : null));
      return item.mark;
    });
    picture.replaceChildren(svg("g", { "aria-hidden": "true" }, edges), ...marks);
    choose(nodes.find((item) => item === chosen) ?? winnerSeen(nodes, path), false);
  } };
}

const signs = (item, step) => (item.fate === "pruned" ? "✕" : item.dead && !item.shown.length ? "…✕" : "")
  + (item.best && item.depth && (item.fate !== "kept" || item.depth === step) ? "★" : "");

/** The deepest drawn node on the winner's path. */
function winnerSeen(nodes, path) {
  return nodes.filter((item) => path.has(item)).reduce((a, b) => (b.depth > a.depth ? b : a), nodes[0]);
}

function makeTable(names) {
  const body = h("tbody", {});
  const node = h("div", { class: "tb-scroll tb-bs-table" }, h("table", {}, h("caption", { text: "Finished hypotheses, best score first" }),
    h("thead", {}, h("tr", {}, ["", "output", "m", "S", "p", "score"].map((text) => h("th", { scope: "col", text })))), body));
  return { node, draw(list, step) {
    const done = list.filter(({ node: item }) => item.depth <= step);
    body.replaceChildren(...done.map(({ node: item, tokens, score }, i) => h("tr", {},
      [`${i + 1}.`, phrase(tokens, names) + (item.fate === "cut" ? " …" : ""), item.depth, signed(item.total), kit.fmt(Math.exp(item.total), 2), signed(score)].map((text) => h("td", { text })))));
    if (!done.length) body.append(h("tr", {}, h("td", { colspan: 6, text: "none yet" })));
  } };
}

function makeSource(model, store) {
  const id = kit.uid();
  const signs = model.get("source_tokens").slice(3);
  const longest = model.get("source_length");
  const problem = h("span", { class: "tb-bs-problem", role: "alert" });
  const input = h("input", { type: "text", id, size: Math.max(longest, 4), maxlength: longest, autocomplete: "off", spellcheck: "false", inputmode: signs.every((sign) => /\d/.test(sign)) ? "numeric" : "text",
    oninput: () => {
      const text = input.value.trim();
      const wrong = !text || [...text].some((sign) => !signs.includes(sign));
      input.setAttribute("aria-invalid", String(wrong));
      problem.textContent = wrong ? `1 to ${longest} of ${signs.join("")}` : "";
      if (!wrong) store.set("text", text);
    } });
  input.value = model.get("text");
  return { node: h("div", { class: "tb-control" }, h("label", { for: id, text: "source" }), input, problem),
    draw() { if (input !== document.activeElement) input.value = store.get("text"); } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-bs");
  const NAMES = ["text", "width", "rule", "strength", "step"];
  const traits = Object.fromEntries(NAMES.map((name) => [name, kit.trait(model, name, () => refresh(name))]));
  const store = { get: (name) => traits[name].get(), set: (name, value) => traits[name].set(value) };
  const [names, longest] = [model.get("target_tokens"), model.get("longest")];
  const [tree, table_, source] = [makeTree(names, () => {}), makeTable(names), makeSource(model, store)];
  let [net, search, exact] = [null, null, null];
  const steps = () => Math.max(...search.finished.map((item) => item.depth));

  const width = kit.slider({ label: "beam width k", min: 1, max: 8, value: store.get("width"), format: String, onInput: (v) => store.set("width", v) });
  const step = kit.slider({ label: "steps shown", min: 1, max: longest, value: store.get("step"), format: String, onInput: (v) => store.set("step", v) });
  const rule = kit.select({ label: "score", value: store.get("rule"), options: Object.entries(RULES), onChange: (name) => store.set("rule", name) });
  const strength = kit.slider({ label: "strength α or b", min: 0, max: 2, step: 0.05, value: store.get("strength"), format: (v) => v.toFixed(2), onInput: (v) => store.set("strength", v) });

  function refresh(name) {
    if (name === "text") net = network(model.get("weights"), toIds(store.get("text"), model.get("source_tokens"), model.get("source_length")));
    if (name === "text" || name === "width") {
      search = beamSearch(net, { width: store.get("width"), longest });
      exact = bestFirst(net, { longest, floor: Math.max(...search.finished.map((item) => item.total)) });
      step.input.max = steps();
    }
    const list = ranked(search.finished, store.get("rule"), store.get("strength"));
    const shown = Math.min(store.get("step"), steps());
    step.set(shown);
    for (const [control, key] of [[width, "width"], [rule, "rule"], [strength, "strength"]]) if (control.input !== document.activeElement) control.set(store.get(key));
    source.draw();
    tree.draw(search, shown, exact?.tokens, list[0].node);
    table_.draw(list, shown);
    say(sentence({ text: store.get("text"), width: store.get("width"), rule: store.get("rule"), strength: store.get("strength") }, search, exact, names));
  }

  body.append(h("p", { class: "tb-bs-hint", text: "A number is the token's probability. Thick: the winner. Dashed and ✕: pruned (the best two of a step are drawn). ★: the most probable output of all." }),
    h("div", { class: "tb-controls" }, source.node, width.node, step.node), tree.node, tree.note,
    h("div", { class: "tb-controls" }, rule.node, strength.node), table_.node);
  refresh("text");
}

export default { render };
