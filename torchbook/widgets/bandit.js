import * as kit from "./kit.js";

const { h, s: svg } = kit;
const NAMES = "ABCDE";
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "5 2"];
const RUNS = 40; // whose mean regret is shown

// ---- The policy and its gradients.

export function softmax(theta) {
  const top = Math.max(...theta);
  const powers = theta.map((v) => Math.exp(v - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / sum);
}

const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);

/** The exact gradient of the expected reward by the logits: pi_k (mean_k - J). */
export function exactGradient(theta, means) {
  const p = softmax(theta);
  const J = dot(p, means);
  return p.map((v, k) => v * (means[k] - J));
}

/** Its estimate from one draw: (reward - b) (1[arm = k] - pi_k). */
export function sampledGradient(theta, arm, reward, b) {
  return softmax(theta).map((v, k) => (reward - b) * (Number(k === arm) - v));
}

/** The arm that the uniform number u draws: the first whose cumulative probability exceeds it. */
export function choose(p, u) {
  let sum = 0;
  for (let k = 0; k < p.length; k += 1) {
    sum += p[k];
    if (u < sum) return k;
  }
  return p.length - 1;
}

/** One pair per step: a uniform number for the arm and a normal one for the reward. */
export function drawsOf(seed, steps) {
  const { uniform, normal } = kit.random(seed + 1);
  return Array.from({ length: steps }, () => [uniform(), normal()]);
}

/** A run: theta and regret after 0 ... n steps; arm, reward, b and the two gradients of each step. */
export function run({ means, lr, baseline, bonus, noise }, draws) {
  const best = Math.max(...means);
  const out = { theta: [means.map(() => 0)], regret: [0], arm: [], reward: [], b: [], exact: [], sampled: [] };
  let total = 0;
  draws.forEach(([u, z], n) => {
    const theta = out.theta[n];
    const arm = choose(softmax(theta), u);
    const reward = means[arm] + bonus + noise * z;
    const earlier = n ? total / n : reward;
    const b = baseline ? earlier : 0;
    const sampled = sampledGradient(theta, arm, reward, b);
    total += reward;
    out.arm.push(arm);
    out.reward.push(reward);
    out.b.push(b);
    out.exact.push(exactGradient(theta, means));
    out.sampled.push(sampled);
    out.theta.push(theta.map((v, k) => v + lr * sampled[k]));
    out.regret.push(out.regret[n] + best - means[arm]);
  });
  return out;
}

/** Gradient ascent with the exact gradient: theta after 0 ... n steps. */
export function ascent({ means, lr }, steps) {
  const path = [means.map(() => 0)];
  for (let n = 0; n < steps; n += 1) {
    const slope = exactGradient(path[n], means);
    path.push(path[n].map((v, k) => v + lr * slope[k]));
  }
  return path;
}

/** Many runs at once, regrets alone: { regret: the mean after 0 ... n steps, found: runs that end with the best arm likeliest }. */
export function meanRegret({ means, lr, baseline, bonus, noise }, seeds, steps) {
  const best = Math.max(...means);
  const K = means.length;
  const regret = new Float64Array(steps + 1);
  const [theta, p] = [new Float64Array(K), new Float64Array(K)];
  let found = 0;
  const policy = () => {
    let [top, sum] = [-Infinity, 0];
    for (let k = 0; k < K; k += 1) top = Math.max(top, theta[k]);
    for (let k = 0; k < K; k += 1) { p[k] = Math.exp(theta[k] - top); sum += p[k]; }
    for (let k = 0; k < K; k += 1) p[k] /= sum;
  };
  for (const draws of seeds) {
    theta.fill(0);
    let [lost, total] = [0, 0];
    for (let n = 0; n < steps; n += 1) {
      policy();
      const arm = choose(p, draws[n][0]);
      const reward = means[arm] + bonus + noise * draws[n][1];
      const weight = reward - (baseline ? (n ? total / n : reward) : 0);
      total += reward;
      for (let k = 0; k < K; k += 1) theta[k] += lr * weight * (Number(k === arm) - p[k]);
      lost += best - means[arm];
      regret[n + 1] += lost / seeds.length;
    }
    const likeliest = theta.indexOf(Math.max(...theta));
    if (means[likeliest] === best) found += 1;
  }
  return { regret: Array.from(regret), found };
}

const percent = (v) => `${Math.round(100 * v)}%`;

/** The line that says the result. */
export function sentence({ means, bonus, baseline, step }, mine, crowd) {
  const best = means.indexOf(Math.max(...means));
  const p = softmax(mine.theta[step]);
  const start = step === 0 ? "Before the first step"
    : `Step ${step}: drew arm ${NAMES[mine.arm[step - 1]]}, reward ${kit.fmt(mine.reward[step - 1], 3)}, weight ${kit.fmt(mine.reward[step - 1] - mine.b[step - 1], 3)}`;
  const extra = bonus ? ` and ${kit.fmt(bonus, 3)} more per reward` : "";
  return `${start}. Best arm ${NAMES[best]}: probability ${percent(p[best])}, regret so far ${kit.fmt(mine.regret[step], 3)}. `
    + `${baseline ? "With" : "Without"} a baseline${extra}, ${(baseline ? crowd.on : crowd.off).found} of ${RUNS} runs end with the best arm as their favorite `
    + `(${baseline ? "without" : "with"} one: ${(baseline ? crowd.off : crowd.on).found}).`;
}

// ---- The arms: their means to drag, and the policy as bars.

const LIMIT = 2;
const clampMean = (v) => Math.round(Math.min(LIMIT, Math.max(-LIMIT, v)) * 20) / 20;

function makeArms(store, width) {
  const K = store.get("means").length;
  const view = kit.axes({ width, height: 230, yLabel: "mean reward", label: "Arms: mean rewards and the policy", pad: [12, 10, 34, 48] });
  view.svg.setAttribute("role", "group");
  view.update({ x: [0, K], y: [-LIMIT, LIMIT], xTicks: [], yTicks: [-2, -1, 0, 1, 2] });
  const bars = svg("g", { "aria-hidden": "true" });
  const room = view.bottom - view.top;
  const half = 0.32 * (view.px(1) - view.px(0));
  const set = (k, v) => store.set("means", store.get("means").map((old, i) => (i === k ? clampMean(v) : old)));
  const handles = Array.from({ length: K }, (_, k) => {
    const node = svg("g", { class: "tb-ba-mean", tabindex: "0", role: "slider", "aria-label": `mean of arm ${NAMES[k]}`, "aria-orientation": "vertical",
      "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT }, svg("circle", { r: 15, class: "hit" }), svg("path", { d: "M0 -8L8 0L0 8L-8 0Z" }));
    kit.drag(node, { start: () => { node.focus({ preventScroll: true }); }, move: (event) => set(k, view.at(event)[1]) });
    node.addEventListener("keydown", (event) => {
      const way = { ArrowUp: 0.1, ArrowRight: 0.1, ArrowDown: -0.1, ArrowLeft: -0.1, PageUp: 0.5, PageDown: -0.5 }[event.key];
      const end = { Home: -LIMIT, End: LIMIT }[event.key];
      if (way === undefined && end === undefined) return;
      event.preventDefault();
      set(k, end ?? store.get("means")[k] + way);
    });
    return node;
  });
  view.plot.append(bars, ...handles);
  return { node: view.svg, draw(means, p) {
    bars.replaceChildren(...p.flatMap((v, k) => {
      const [x, tall] = [view.px(k + 0.5), v * room];
      return [svg("rect", { class: "tb-ba-bar", x: x - half, y: view.bottom - tall, width: 2 * half, height: tall }),
        svg("text", { x, y: view.bottom + 16, "text-anchor": "middle", text: NAMES[k] }),
        svg("text", { x, y: view.bottom + 30, "text-anchor": "middle", class: "tb-ba-share", text: percent(v) })];
    }));
    handles.forEach((node, k) => {
      node.setAttribute("transform", `translate(${view.px(k + 0.5).toFixed(2)} ${view.py(means[k]).toFixed(2)})`);
      node.setAttribute("aria-valuenow", means[k]);
      node.setAttribute("aria-valuetext", `${means[k]}, probability ${percent(p[k])}`);
    });
  } };
}

// ---- The gradient: exact and sampled bars, arm by arm.

function makeGradients(width, K) {
  const view = kit.axes({ width, height: 230, yLabel: "∂J/∂θ", label: "The exact gradient and its estimate from one draw", pad: [12, 10, 34, 48] });
  const bars = svg("g", {});
  const hatch = kit.uid("hatch");
  view.plot.append(svg("pattern", { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("line", { class: "tb-ba-hatch", y2: 6 })), bars);
  return { node: view.svg, draw(exact, sampled, arm) {
    const most = Math.max(0.1, ...exact.map(Math.abs), ...(sampled ?? []).map(Math.abs));
    view.update({ x: [0, K], y: [-1.1 * most, 1.1 * most], xTicks: [] });
    const bar = (value, left, right, look) => svg("rect", { ...look, x: left, width: right - left,
      y: Math.min(view.py(value), view.py(0)), height: Math.max(1, Math.abs(view.py(value) - view.py(0))) });
    bars.replaceChildren(svg("line", { class: "tb-ba-zero", x1: view.left, x2: view.right, y1: view.py(0), y2: view.py(0) }),
      ...exact.flatMap((v, k) => [
        bar(v, view.px(k + 0.14), view.px(k + 0.48), { class: "tb-ba-exact" }),
        sampled && bar(sampled[k], view.px(k + 0.52), view.px(k + 0.86), { class: "tb-ba-sampled", fill: `url(#${hatch})` }),
        svg("text", { x: view.px(k + 0.5), y: view.bottom + 16, "text-anchor": "middle", text: k === arm ? `${NAMES[k]} drawn` : NAMES[k] })].filter(Boolean)));
  } };
}

// ---- Curves over time: the policy, and the regret. A press goes to that step.

function makeCurves(store, { width, yLabel, label }) {
  const view = kit.axes({ width, height: 210, xLabel: "step", yLabel, label, pad: [12, 26, 40, 48] });
  const lines = svg("g", {});
  const now = svg("line", { class: "tb-ba-now", y1: view.top, y2: view.bottom });
  view.plot.append(svg("rect", { class: "tb-ba-field", x: view.left, y: view.top, width: view.right - view.left, height: view.bottom - view.top }), lines, now);
  kit.drag(view.svg, { move: (event) => store.go(Math.round(view.at(event)[0])) });
  return { node: view.svg, mark(step) {
    now.setAttribute("x1", view.px(step));
    now.setAttribute("x2", view.px(step));
  }, draw(steps, top, curves, format) {
    view.update({ x: [0, steps], y: [0, top], yFormat: format });
    const every = Math.max(1, Math.floor(steps / 300));
    const placed = [];
    const free = (y) => { // labels at the right end must not lie on each other
      let at = Math.max(view.top + 4, y);
      while (placed.some((other) => Math.abs(other - at) < 12)) at -= 12;
      placed.push(at);
      return at;
    };
    const ends = new Map(curves.filter((c) => c.tag).sort((a, b) => a.values.at(-1) - b.values.at(-1)).map((c) => [c, free(view.py(c.values.at(-1)))]));
    lines.replaceChildren(...curves.flatMap((curve) => [
      svg("path", { class: `tb-curve ${curve.kind ?? ""}`, stroke: curve.color, "stroke-dasharray": curve.dash || null,
        d: view.path(curve.values.flatMap((v, n) => (n % every === 0 || n === steps ? [[n, v]] : []))) }),
      curve.tag && svg("text", { class: "tb-ba-tag", x: view.right + 5, y: ends.get(curve) + 4, text: curve.tag })].filter(Boolean)));
  } };
}

const swatch = (dash, color) => svg("svg", { class: "tb-ba-swatch", viewBox: "0 0 30 10", "aria-hidden": "true" },
  svg("line", { x1: 1, x2: 29, y1: 5, y2: 5, stroke: color, "stroke-width": 2.4, "stroke-dasharray": dash || null }));

// ---- Controls.

function makeControls(store) {
  const slide = (key, options) => kit.slider({ value: store.get(key), ...options, onInput: (v) => store.set(key, Number(v.toPrecision(3))) });
  const sliders = {
    lr: slide("lr", { label: "learning rate", min: 0.01, max: 5, log: true, format: (v) => kit.fmt(v, 3) }),
    bonus: slide("bonus", { label: "add to all rewards", min: -10, max: 10, step: 0.5 }),
    noise: slide("noise", { label: "noise of rewards", min: 0, max: 2, step: 0.1 }),
  };
  const baseline = kit.checkbox({ label: "baseline (mean reward so far)", value: store.get("baseline"), onChange: (v) => store.set("baseline", v) });
  const fresh = kit.button({ text: "New draws", onClick: () => store.set("seed", store.get("seed") + 1) });
  return { top: h("div", { class: "tb-row" }, baseline.node, fresh), node: h("div", { class: "tb-controls" }, Object.values(sliders).map((one) => one.node)),
    draw() {
      baseline.set(store.get("baseline"));
      baseline.input.checked = store.get("baseline");
      for (const [key, one] of Object.entries(sliders)) if (one.input !== document.activeElement) one.set(store.get(key));
    } };
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, model.get("title"));
  root.classList.add("tb-ba");
  const KEYS = ["means", "lr", "baseline", "bonus", "noise", "steps", "step", "seed"];
  const traits = Object.fromEntries(KEYS.map((key) => [key, kit.trait(model, key, () => refresh(key))]));
  const store = { get: (key) => traits[key].get(), set: (key, v) => traits[key].set(v),
    go: (step) => { player.halt(); store.set("step", Math.min(store.get("steps"), Math.max(0, step))); } };
  const state = () => Object.fromEntries(KEYS.map((key) => [key, store.get(key)]));
  const width = Math.min(900, Math.max(280, body.clientWidth || 720));
  const column = width >= 620 ? Math.round((width - 16) / 2) : width;
  const K = model.get("means").length;
  const [arms, gradients] = [makeArms(store, column), makeGradients(column, K)];
  const policy = makeCurves(store, { width: column, yLabel: "probability", label: "The policy, arm by arm, against the step" });
  const regret = makeCurves(store, { width: column, yLabel: "regret", label: "Regret against the step" });
  const player = kit.player(store, { frames: 300 });
  const controls = makeControls(store);
  let [mine, crowd, seeds, path] = [null, null, null, null];
  const color = (k) => `var(--tb-c${k})`;

  function compute() {
    const now = state();
    const draws = drawsOf(now.seed, now.steps);
    if (seeds?.[0].length !== now.steps) seeds = Array.from({ length: RUNS }, (_, i) => drawsOf(1000 + i, now.steps));
    mine = run(now, draws);
    path = ascent(now, now.steps);
    crowd = { on: meanRegret({ ...now, baseline: true }, seeds, now.steps), off: meanRegret({ ...now, baseline: false }, seeds, now.steps) };
    const shares = [mine.theta, path].map((run) => run.map(softmax));
    policy.draw(now.steps, 1, [
      ...now.means.map((_, k) => ({ values: shares[1].map((p) => p[k]), color: color(k), dash: DASHES[k], kind: "tb-ba-faint" })),
      ...now.means.map((_, k) => ({ values: shares[0].map((p) => p[k]), color: color(k), dash: DASHES[k], tag: NAMES[k] }))]);
    const top = Math.max(1, mine.regret.at(-1), crowd.on.regret.at(-1), crowd.off.regret.at(-1));
    regret.draw(now.steps, 1.05 * top, [
      { values: crowd.on.regret, color: "var(--tb-c1)" }, { values: crowd.off.regret, color: "var(--tb-c0)", dash: "7 3" },
      { values: mine.regret, color: "var(--tb-ink)", dash: "2 3" }]);
  }

  function drawStep() {
    const now = { ...state(), step: Math.min(store.get("step"), store.get("steps")) };
    const before = Math.max(0, now.step - 1);
    arms.draw(now.means, softmax(mine.theta[now.step]));
    gradients.draw(mine.exact[before], now.step ? mine.sampled[before] : null, now.step ? mine.arm[before] : -1);
    policy.mark(now.step);
    regret.mark(now.step);
    player.draw();
    say(sentence(now, mine, crowd));
  }

  function refresh(key) {
    if (key !== "step" || !mine) {
      compute();
      controls.draw();
    }
    drawStep();
  }

  const caption = (...parts) => h("p", { class: "tb-ba-caption" }, ...parts);
  body.append(controls.top,
    h("div", { class: "tb-split" },
      h("div", {}, caption("diamonds: mean rewards (drag them); bars: the policy, full height is 100%"), arms.node),
      h("div", {}, caption("gradient of this step: ", h("i", { class: "tb-ba-key" }), " exact, ", h("i", { class: "tb-ba-key hatched" }), " from the one draw"), gradients.node),
      h("div", {}, caption("policy of this run; faint: with the exact gradient"), policy.node),
      h("div", {}, caption("regret: ", swatch("2 3", "var(--tb-ink)"), " this run; mean of 40 ", swatch("", "var(--tb-c1)"), " with, ", swatch("7 3", "var(--tb-c0)"), " without baseline"), regret.node)),
    player.node, controls.node);
  refresh("means");
}

export default { render };
