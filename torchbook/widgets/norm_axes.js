import * as kit from "./kit.js";

const { h, s: svg } = kit;

// ---- Which entries belong together. A block (N, C, H, W) is a flat list, as torch's `flatten()` gives it.

export const NORMS = {
  batch: "batch norm", layer: "layer norm, whole image", channels: "layer norm, channels", instance: "instance norm", group: "group norm",
};
export const PRESETS = { random: "random", bright: "one bright image", loud: "one loud channel" };
export const EPS = 1e-5;
export const MOMENTUM = 0.1;
export const EDGE = 9; // the largest value that can be set by hand

/** [n, c, h, w] of every entry. */
export function places([N, C, H, W]) {
  return Array.from({ length: N * C * H * W }, (_, i) => [Math.floor(i / (C * H * W)), Math.floor(i / (H * W)) % C, Math.floor(i / W) % H, i % W]);
}

/** For every entry, the number of the group that shares its mean and variance. */
export function groupIds(norm, shape, groups = 1) {
  const [, C, H, W] = shape;
  return places(shape).map(([n, c, y, x]) => ({
    batch: c, layer: n, channels: (n * H + y) * W + x, instance: n * C + c, group: n * groups + Math.floor(c / (C / groups)),
  })[norm]);
}

/** For every entry, the number of its scale and shift; null where the layer has none. */
export function parameterIds(norm, shape) {
  const [, C, H, W] = shape;
  if (norm === "instance") return null; // torch.nn.InstanceNorm2d has affine=False
  return places(shape).map(([, c, y, x]) => (norm === "layer" ? (c * H + y) * W + x : c));
}

/** How many numbers share a statistic, how many statistics, parameters and running averages there are. */
export function counts(norm, shape, groups = 1) {
  const ids = groupIds(norm, shape, groups);
  const statistics = Math.max(...ids) + 1;
  const own = parameterIds(norm, shape);
  return { pooled: ids.length / statistics, statistics, parameters: own ? 2 * (Math.max(...own) + 1) : 0, remembered: norm === "batch" ? 2 * shape[1] : 0 };
}

/** Why PyTorch raises ValueError for this shape, or an empty text. */
export function refusal(norm, [N, C, H, W], groups, mode) {
  if (norm === "batch" && mode === "train" && N * H * W === 1) return "one value per channel has no spread";
  if (norm === "instance" && H * W === 1) return "one value per image and channel has no spread";
  if (norm === "group" && (N * C * H * W) / groups === 1) return "one value per group has no spread";
  return "";
}

/** Mean and variance (divided by the count) of each group. */
export function moments(values, ids) {
  const size = Math.max(...ids) + 1;
  const [count, mean, variance] = [0, 0, 0].map(() => new Array(size).fill(0));
  values.forEach((v, i) => { count[ids[i]] += 1; mean[ids[i]] += v; });
  mean.forEach((total, g) => { mean[g] = total / count[g]; });
  values.forEach((v, i) => { variance[ids[i]] += (v - mean[ids[i]]) ** 2 / count[ids[i]]; });
  return { count, mean, variance };
}

/** The normalized block, before scale and shift, with the mean and the variance that each entry met. */
export function normalize({ norm, shape, groups, mode, values, running }) {
  const remembered = norm === "batch" && mode === "eval";
  const ids = groupIds(norm, shape, groups);
  const { mean, variance } = remembered ? running : moments(values, ids);
  return {
    mean: ids.map((g) => mean[g]), variance: ids.map((g) => variance[g]),
    output: values.map((v, i) => (v - mean[ids[i]]) / Math.sqrt(variance[ids[i]] + EPS)),
    members: values.map((_, i) => (remembered ? [i] : ids.flatMap((g, k) => (g === ids[i] ? [k] : [])))),
  };
}

/** The running averages after one more training batch; the variance goes in divided by count - 1. */
export function remember(running, values, shape) {
  const { count, mean, variance } = moments(values, groupIds("batch", shape));
  const blend = (old, fresh) => old.map((v, c) => (1 - MOMENTUM) * v + MOMENTUM * fresh[c]);
  return { mean: blend(running.mean, mean), variance: blend(running.variance, variance.map((v, c) => (v * count[c]) / (count[c] - 1))) };
}

export const forget = (C) => ({ mean: new Array(C).fill(0), variance: new Array(C).fill(1) });

/** Values to begin with, in tenths: channels differ in mean and spread, as they do in a network. */
export function drawValues(seed, preset, shape) {
  const { normal } = kit.random(seed * 7919 + 17);
  const odd = (size) => Math.min(1, size - 1);
  return places(shape).map(([n, c]) => {
    let v = [1, -1, 2, 0][c] + [1, 0.6, 1.5, 1][c] * normal();
    if (preset === "bright" && n === odd(shape[0])) v += 5;
    if (preset === "loud" && c === odd(shape[1])) v *= 4;
    return Math.round(10 * Math.min(EDGE, Math.max(-EDGE, v))) / 10 + 0;
  });
}

const letter = (k) => (k < 26 ? String.fromCharCode(65 + k) : `${String.fromCharCode(65 + (k % 26))}${Math.floor(k / 26)}`);
const place = ([n, c, y, x]) => `image ${n}, channel ${c}, row ${y}, column ${x}`;
const tenths = (v) => (Math.abs(v) < 0.05 ? 0 : v).toFixed(1).replace("-", "−");
const number = (v, digits = 3) => kit.fmt(Math.abs(v) < 5e-7 ? 0 : Number(v.toPrecision(digits)), digits);

/** The line that says the result. */
export function sentence(state) {
  const { norm, shape, groups, mode, values, picked } = state;
  const why = refusal(norm, shape, groups, mode);
  const spot = place(places(shape)[picked]);
  if (why) return `${NORMS[norm]}: ${why}, and PyTorch raises ValueError.`;
  const { mean, variance, output, members } = normalize(state);
  const many = members[picked].length;
  const company = norm === "batch" && mode === "eval" ? "no other entry matters, only its channel's running averages"
    : many === 1 ? "it is alone in its group" : `its group has ${many} of the ${values.length} entries`;
  const minus = mean[picked] < 0 ? `(${number(mean[picked])})` : number(mean[picked]);
  return `${NORMS[norm]}${norm === "batch" ? `, ${mode} mode` : ""}; ${spot}: ${company}; mean ${number(mean[picked])}, variance ${number(variance[picked])}. `
    + `Output (${number(values[picked])} − ${minus}) / √(${number(variance[picked])} + ε) = ${number(output[picked])}.`;
}

// ---- The block: one row of buttons per image and grid row, one column per channel and grid column.

function makeBlock(store) {
  const node = h("div", { class: "tb-na-block", role: "group" });
  let drawn = "";
  const step = (event) => {
    const shape = store.get("shape");
    const [n, c, y, x] = places(shape)[store.get("picked")];
    const [, C, H, W] = shape;
    const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const nudge = { PageUp: 0.5, PageDown: -0.5 }[event.key];
    if (!way && !nudge) return;
    event.preventDefault();
    if (nudge) { store.setValue(store.get("values")[store.get("picked")] + nudge); return; }
    const row = Math.min(Math.max(n * H + y + way[0], 0), shape[0] * H - 1);
    const column = Math.min(Math.max(c * W + x + way[1], 0), C * W - 1);
    store.set("picked", ((Math.floor(row / H) * C + Math.floor(column / W)) * H + (row % H)) * W + (column % W));
    node.querySelector("[tabindex='0']").focus();
  };
  node.addEventListener("keydown", step);
  const build = (shape) => {
    const [N, C, H, W] = shape;
    node.style.gridTemplateColumns = `auto repeat(${C}, minmax(0, 1fr))`;
    const entry = (n, c, y, x) => h("button", { type: "button", class: "tb-na-entry", onclick: (event) => {
      store.set("picked", Number(event.currentTarget.dataset.i));
    }, "data-i": ((n * C + c) * H + y) * W + x }, h("span", {}), h("small", { "aria-hidden": "true" }));
    const range = (size) => [...Array(size).keys()];
    node.replaceChildren(h("span"), ...range(C).map((c) => h("span", { class: "tb-na-head", text: `channel ${c}` })),
      ...range(N).flatMap((n) => [h("span", { class: "tb-na-head side", text: `image ${n}` }), ...range(C).map((c) =>
        h("div", { class: "tb-na-grid", style: `grid-template-columns: repeat(${W}, minmax(0, 1fr))` },
          range(H).flatMap((y) => range(W).map((x) => entry(n, c, y, x)))))]));
  };
  return { node, draw(result, labels, marked) {
    const [shape, values, picked, output] = ["shape", "values", "picked", "output"].map(store.get);
    if (drawn !== String(shape)) build(shape);
    drawn = String(shape);
    const shown = output && result ? result.output : values;
    const top = output ? 2.5 : Math.max(...values.map(Math.abs), 1);
    const all = places(shape);
    node.setAttribute("aria-label", `Block of ${shape.join(" by ")}: ${output ? "output" : "input"}`);
    node.querySelectorAll("button").forEach((button, i) => {
      const text = output && !result ? "–" : tenths(shown[i]);
      const share = result || !output ? Math.round(Math.min(Math.abs(shown[i]) / top, 1) * 42) : 0;
      button.firstChild.textContent = text;
      button.lastChild.textContent = labels ? letter(labels[i]) : "";
      button.style.background = `color-mix(in srgb, var(${shown[i] < 0 ? "--tb-c1" : "--tb-c3"}) ${share}%, var(--tb-panel))`;
      button.classList.toggle("in", marked.includes(i));
      button.setAttribute("aria-pressed", String(i === picked));
      button.setAttribute("tabindex", i === picked ? "0" : "-1");
      button.setAttribute("aria-label", `${place(all[i])}: ${text}${marked.includes(i) ? ", shared" : ""}`);
    });
  } };
}

// ---- The group on two number lines: above as it came, below as it leaves.

function makeLines(store, width) {
  const [left, right, top, bottom] = [20, width - 20, 46, 140];
  const scene = svg("g", { "aria-hidden": "true" });
  const handle = svg("g", { class: "tb-na-handle", tabindex: "0", role: "slider", "aria-label": "Picked value", "aria-valuemin": -EDGE, "aria-valuemax": EDGE },
    svg("circle", { class: "hit", r: 15 }), svg("path", { d: "M0 -8L8 0L0 8L-8 0Z" }));
  const node = svg("svg", { viewBox: `0 0 ${width} ${bottom + 34}`, class: "tb-na-lines", role: "group", "aria-label": "The group before and after" }, scene, handle);
  const at = (v, edge) => left + ((v + edge) / (2 * edge)) * (right - left);
  const start = (event) => {
    const box = node.getBoundingClientRect();
    if (event.clientY - box.top > box.height / 2) return false; // the output follows, it is not set
    handle.focus({ preventScroll: true });
    return true;
  };
  kit.drag(node, { start, move: (event) => {
    const box = node.getBoundingClientRect();
    const x = ((event.clientX - box.left) * width) / box.width;
    store.setValue(((x - left) / (right - left)) * 2 * EDGE - EDGE);
  } });
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    store.setValue(store.get("values")[store.get("picked")] + step);
  });
  return { node, draw(result) {
    const [values, picked] = [store.get("values"), store.get("picked")];
    const ruler = (y, edge, count) => [svg("line", { class: "rule", x1: left, x2: right, y1: y, y2: y }), ...kit.ticks(-edge, edge, count).flatMap((v) => [
      svg("line", { class: "rule", x1: at(v, edge), x2: at(v, edge), y1: y - 3, y2: y + 3 }),
      svg("text", { x: at(v, edge), y: y === top ? y - 18 : y + 20, "text-anchor": "middle", text: kit.fmt(v) })])];
    const pieces = [...ruler(top, EDGE, 6), svg("text", { class: "name", x: 2, y: 12, text: "input" }), svg("text", { class: "name", x: 2, y: bottom - 12, text: "output" })];
    if (result) {
      const others = result.members[picked];
      const edge = Math.max(3, Math.ceil(Math.max(...others.map((i) => Math.abs(result.output[i])))));
      const [mean, std] = [result.mean[picked], Math.sqrt(result.variance[picked])];
      const bar = (a, b, y, scale) => [svg("line", { class: "spread", x1: at(Math.max(a, -scale), scale), x2: at(Math.min(b, scale), scale), y1: y, y2: y }),
        svg("path", { class: "mean", d: `M${at((a + b) / 2, scale)} ${y - 10}v20` })];
      pieces.push(...ruler(bottom, edge, 6), ...bar(mean - std, mean + std, top, EDGE), ...bar(-1, 1, bottom, edge),
        ...others.map((i) => svg("line", { class: i === picked ? "thread picked" : "thread", x1: at(values[i], EDGE), y1: top, x2: at(result.output[i], edge), y2: bottom })),
        ...others.filter((i) => i !== picked).flatMap((i) => [[values[i], EDGE, top], [result.output[i], edge, bottom]].map(([v, scale, y]) =>
          svg("circle", { class: "dot", cx: at(v, scale), cy: y, r: 3.5 }))),
        svg("path", { class: "end", transform: `translate(${at(result.output[picked], edge)} ${bottom})`, d: "M0 -8L8 0L0 8L-8 0Z" }));
    }
    scene.replaceChildren(...pieces);
    handle.setAttribute("transform", `translate(${at(values[picked], EDGE)} ${top})`);
    handle.setAttribute("aria-valuenow", values[picked]);
    handle.setAttribute("aria-valuetext", number(values[picked]));
  } };
}

// ---- What the layer holds, and the controls.

function makeFacts(store) {
  const body = h("tbody");
  const node = h("table", { class: "tb-na-facts" }, h("caption", { class: "tb-visually-hidden", text: "What this layer computes, learns and remembers" }), body);
  return { node, draw() {
    const [norm, shape, groups, picked, running, steps] = ["norm", "shape", "groups", "picked", "running", "steps"].map(store.get);
    const { pooled, statistics, parameters, remembered } = counts(norm, shape, groups);
    const c = places(shape)[picked][1];
    const [, C, H, W] = shape;
    const size = norm === "layer" ? `${C}·${H}·${W}` : C;
    const rows = [
      ["means and variances", `${statistics}, each of ${pooled} ${pooled === 1 ? "entry" : "entries"}`],
      ["parameters γ and β", parameters ? `${parameters} = 2 · ${size}` : "0 (2 · C if asked for)"],
      ["running averages", remembered ? `${remembered} = 2 · ${C}` : "0: train = eval"],
    ];
    if (remembered) rows.push([`channel ${c}, ${steps} ${steps === 1 ? "step" : "steps"}`, `mean ${number(running.mean[c])}, variance ${number(running.variance[c])}`]);
    body.replaceChildren(...rows.map(([name, text]) => h("tr", {}, h("th", { scope: "row", text: name }), h("td", { text }))));
  } };
}

function makeControls(store) {
  const refit = (changes) => {
    const shape = changes.shape ?? store.get("shape");
    const preset = changes.preset ?? store.get("preset");
    const values = drawValues(store.get("seed"), preset, shape);
    const C = shape[1];
    const fresh = C === store.get("shape")[1] ? {} : { running: forget(C), steps: 0, groups: C % 2 === 0 ? 2 : 1 };
    store.setAll({ ...changes, ...fresh, values, picked: Math.min(store.get("picked"), values.length - 1) });
  };
  const resize = (axis, size) => refit({ shape: store.get("shape").map((v, i) => (i === axis ? size : v)) });
  const norm = kit.select({ label: "layer", options: Object.entries(NORMS), value: store.get("norm"), onChange: (v) => store.set("norm", v) });
  const preset = kit.select({ label: "numbers", options: Object.entries(PRESETS), value: store.get("preset"), onChange: (v) => refit({ preset: v }) });
  const share = kit.select({ label: "letters show", options: [["statistics", "who shares a mean"], ["parameters", "who shares γ and β"]], value: store.get("share"),
    onChange: (v) => store.set("share", v) });
  const mode = kit.select({ label: "mode", options: [["train", "train"], ["eval", "eval"]], value: store.get("mode"), onChange: (v) => store.set("mode", v) });
  const groups = kit.select({ label: "groups", options: [1, 2, 3, 4].map((v) => [v, String(v)]), value: store.get("groups"), onChange: (v) => store.set("groups", Number(v)) });
  const grid = kit.select({ label: "grid H × W", options: ["1 × 1", "1 × 2", "2 × 1", "2 × 2"], value: "2 × 2", onChange: (v) => {
    const [H, W] = v.split(" × ").map(Number);
    refit({ shape: [...store.get("shape").slice(0, 2), H, W] });
  } });
  const images = kit.slider({ label: "images N", min: 1, max: 4, value: store.get("shape")[0], format: String, onInput: (v) => resize(0, v) });
  const channels = kit.slider({ label: "channels C", min: 1, max: 4, value: store.get("shape")[1], format: String, onInput: (v) => resize(1, v) });
  const output = kit.checkbox({ label: "show the output", value: store.get("output"), onChange: (v) => store.set("output", v) });
  const train = (times) => {
    let [running, seed, values] = ["running", "seed", "values"].map(store.get);
    for (let k = 0; k < times; k += 1) {
      running = remember(running, values, store.get("shape"));
      seed += 1;
      values = drawValues(seed, store.get("preset"), store.get("shape"));
    }
    store.setAll({ running, seed, values, steps: store.get("steps") + times });
  };
  const fresh = kit.button({ text: "New numbers", onClick: () => { store.set("seed", store.get("seed") + 1); refit({}); } });
  const one = kit.button({ text: "Train 1 step", onClick: () => train(1) });
  const twenty = kit.button({ text: "Train 20 steps", onClick: () => train(20) });
  const reset = kit.button({ text: "Forget", name: "Forget the running averages", onClick: () => store.setAll({ running: forget(store.get("shape")[1]), steps: 0 }) });
  return {
    top: h("div", { class: "tb-row" }, norm.node, groups.node, mode.node, preset.node),
    middle: h("div", { class: "tb-row" }, output.node, share.node),
    node: h("div", {}, h("div", { class: "tb-controls" }, images.node, channels.node, grid.node), h("div", { class: "tb-row" }, fresh, one, twenty, reset)),
    draw() {
      const [kind, shape, now] = ["norm", "shape", "mode"].map(store.get);
      norm.set(kind);
      preset.set(store.get("preset"));
      share.set(store.get("share"));
      mode.set(now);
      output.set(store.get("output"));
      groups.set(store.get("groups"));
      [...groups.input.options].forEach((option) => { option.disabled = shape[1] % Number(option.value) !== 0; });
      grid.set(`${shape[2]} × ${shape[3]}`);
      images.set(shape[0]);
      channels.set(shape[1]);
      groups.node.style.display = kind === "group" ? "" : "none";
      for (const part of [mode.node, one, twenty, reset]) part.style.display = kind === "batch" ? "" : "none";
      one.disabled = twenty.disabled = now === "eval" || Boolean(refusal("batch", shape, 1, "train"));
    },
  };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-na");
  const KEYS = ["norm", "groups", "shape", "values", "picked", "mode", "output", "share", "preset", "running", "steps", "seed"];
  let paused = false;
  const traits = Object.fromEntries(KEYS.map((key) => [key, kit.trait(model, key, () => { if (!paused) refresh(); })]));
  const store = {
    get: (key) => traits[key].get(),
    set: (key, v) => traits[key].set(v),
    setAll(changes) { // several traits that fit only together
      paused = true;
      for (const [key, v] of Object.entries(changes)) traits[key].set(v);
      paused = false;
      refresh();
    },
    setValue(v) {
      const values = [...store.get("values")];
      values[store.get("picked")] = Math.round(10 * Math.min(EDGE, Math.max(-EDGE, v))) / 10 + 0;
      store.set("values", values);
    },
  };
  const whole = Math.min(Math.max(body.clientWidth || 720, 280), 900);
  const column = whole >= 620 ? Math.round((whole - 16) / 2) : whole;
  const [block, lines, facts, controls] = [makeBlock(store), makeLines(store, column), makeFacts(store), makeControls(store)];
  function refresh() {
    const state = Object.fromEntries(KEYS.map((key) => [key, store.get(key)]));
    const result = refusal(state.norm, state.shape, state.groups, state.mode) ? null : normalize(state);
    const labels = state.share === "parameters" ? parameterIds(state.norm, state.shape) : groupIds(state.norm, state.shape, state.groups);
    const marked = state.share === "parameters" ? (labels ?? []).flatMap((id, i) => (id === labels[state.picked] ? [i] : [])) : result?.members[state.picked] ?? [state.picked];
    block.draw(result, labels, marked);
    lines.draw(result);
    facts.draw();
    controls.draw();
    say(sentence(state));
  }
  body.append(h("p", { class: "tb-na-hint", text: "Pick an entry, by pointer or arrow keys. A thick border marks who shares with it. Drag the diamond to change its value." }),
    controls.top, h("div", { class: "tb-split" }, h("div", {}, block.node, controls.middle), h("div", {}, lines.node, facts.node)), controls.node);
  if (!store.get("values").length) store.setAll({ values: drawValues(store.get("seed"), store.get("preset"), store.get("shape")) });
  else refresh();
}

export default { render };
