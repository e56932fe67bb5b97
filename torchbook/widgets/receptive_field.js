import * as kit from "./kit.js";

// ---------------------------------------------------------------------------------------------------
// The maths. A layer is [kernel, stride, dilation, padding]. Kernels are square, so one axis tells both:
// a pixel's number of paths in the plane is the product of its row's and its column's.
// ---------------------------------------------------------------------------------------------------

export const LIMITS = [["kernel", 1, 11], ["stride", 1, 4], ["dilation", 1, 8], ["padding", 0, 8]];
export const MOST_LAYERS = 8;
export const LARGEST_INPUT = 255;

export const PRESETS = [
  { name: "VGG block", inputSize: 31, layers: [[3, 1, 1, 1], [3, 1, 1, 1], [3, 1, 1, 1]] },
  { name: "AlexNet, first half", inputSize: 227, layers: [[11, 4, 1, 0], [3, 2, 1, 0], [5, 1, 1, 2], [3, 2, 1, 0]] },
  { name: "ResNet stem", inputSize: 64, layers: [[7, 2, 1, 3], [3, 2, 1, 1], [3, 1, 1, 1], [3, 1, 1, 1]] },
  { name: "Dilated 1, 2, 4, 8", inputSize: 63, layers: [[3, 1, 1, 1], [3, 1, 2, 2], [3, 1, 4, 4], [3, 1, 8, 8]] },
  { name: "Gridding 2, 2, 2", inputSize: 31, layers: [[3, 1, 2, 2], [3, 1, 2, 2], [3, 1, 2, 2]] },
  { name: "Strided 1×1", inputSize: 37, layers: [[1, 3, 1, 0], [5, 1, 1, 0]] },
];

/** How many units of the layer below one kernel spans, the gaps of its dilation included. */
export function spanOf([kernel, , dilation]) {
  return dilation * (kernel - 1) + 1;
}

/** Sides of the input and of each layer's output. Ends with a 0 where a layer cannot fit. */
export function outputSizes(layers, inputSize) {
  const sizes = [inputSize];
  for (const layer of layers) {
    const room = sizes.at(-1) + 2 * layer[3] - spanOf(layer);
    sizes.push(room < 0 ? 0 : Math.floor(room / layer[1]) + 1);
    if (room < 0) break;
  }
  return sizes;
}

/** The smallest input with at least `outputs` output units. */
export function fittingInput(layers, outputs) {
  return layers.reduceRight(
    (size, layer) => Math.max((size - 1) * layer[1] + spanOf(layer) - 2 * layer[3], 1), outputs);
}

/**
 * Receptive field of each level, input first: unit u covers `extent` pixels from pixel start + u * jump,
 * as if the image never ended. Dumoulin & Visin (2016); Araujo, Norris & Sim (2019).
 */
export function receptiveFields(layers) {
  const fields = [{ start: 0, extent: 1, jump: 1 }];
  for (const layer of layers) {
    const { start, extent, jump } = fields.at(-1);
    fields.push({ start: start - layer[3] * jump, extent: extent + (spanOf(layer) - 1) * jump, jump: jump * layer[1] });
  }
  return fields;
}

/** Units of the layer below that unit `u` reads, those in the padding included. */
export function taps([kernel, stride, dilation, padding], u) {
  return Array.from({ length: kernel }, (_, i) => u * stride - padding + i * dilation);
}

/**
 * Number of paths from each unit of each level (input first) to the marked output unit, along one axis.
 * Padding holds no units, so a path that enters it ends there.
 */
export function pathCounts(layers, inputSize, unit) {
  const sizes = outputSizes(layers, inputSize);
  const levels = sizes.map((size) => new Array(size).fill(0));
  levels.at(-1)[unit] = 1;
  for (let k = layers.length; k > 0; k -= 1) {
    const below = levels[k - 1];
    levels[k].forEach((paths, u) => {
      if (paths) for (const t of taps(layers[k - 1], u)) if (t >= 0 && t < below.length) below[t] += paths;
    });
  }
  return levels;
}

/** Indices of the units of each level (input first) that the marked unit reaches. */
export function reachedSets(layers, inputSize, unit) {
  return pathCounts(layers, inputSize, unit).map((counts) => counts.flatMap((paths, u) => (paths ? [u] : [])));
}

/** What the marked unit sees along one axis: first and last pixel, pixels across, touched, holes between. */
export function view(layers, inputSize, unit) {
  const pixels = reachedSets(layers, inputSize, unit)[0];
  if (!pixels.length) return { first: null, last: null, extent: 0, touched: 0, holes: 0 };
  const [first, last] = [pixels[0], pixels.at(-1)];
  const extent = last - first + 1;
  return { first, last, extent, touched: pixels.length, holes: extent - pixels.length };
}

/** Where the mark stays when the output changes its size: in the middle, at the end, or where it was. */
export function carryUnit(unit, before, after) {
  if (unit === Math.floor(before / 2)) return Math.floor(after / 2);
  if (unit === before - 1) return Math.max(after - 1, 0);
  return Math.max(Math.min(unit, after - 1), 0);
}

/** The list with one item moved to another place. */
export function moved(items, from, to) {
  const out = items.filter((_, i) => i !== from);
  out.splice(to, 0, items[from]);
  return out;
}

// ---------------------------------------------------------------------------------------------------
// The words.
// ---------------------------------------------------------------------------------------------------

const count = (n) => (n < 1e6 ? String(n) : `about ${kit.fmt(n, 3)}`);
const many = (n, thing) => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;

/** Why the stack has no output, and what to do about it. */
export function misfit(layers, inputSize) {
  const sizes = outputSizes(layers, inputSize);
  const index = sizes.length - 1;
  const [kernel, , dilation, padding] = layers[index - 1];
  const spread = dilation > 1 ? ` with dilation ${dilation}` : "";
  const padded = padding ? `, ${2 * padding} of them padding` : "";
  return `Layer ${index} does not fit, so there is no output: its kernel of ${kernel}${spread} spans ${spanOf(layers[index - 1])} units, `
    + `and only ${sizes.at(-2) + 2 * padding} arrive${padded}. Enlarge the input, give this layer a smaller `
    + "kernel or more padding, or lower a stride before it.";
}

/** The whole result in words: extent, jump, holes, output size. */
export function describe(layers, inputSize, unit) {
  const outputs = outputSizes(layers, inputSize).at(-1);
  const { extent: full, jump } = receptiveFields(layers).at(-1);
  const { first, last, extent, touched, holes } = view(layers, inputSize, unit);
  const next = outputs > 1 ? `: the next unit looks ${many(jump, "pixel")} further` : "";
  const tail = `Jump ${jump}${next}. Output size ${outputs}.`;
  if (!extent) return `Extent 0: unit ${unit} reads nothing but padding, so no pixel can change it. ${tail}`;
  const where = first === last ? `pixel ${first}` : `pixels ${first} to ${last}`;
  const cut = extent < full ? `, cut from ${full} by the border` : "";
  const gaps = holes ? `Holes ${holes}: it touches only ${touched} of the ${extent} pixels.` : "Holes 0: it touches every one of them.";
  return `Extent ${extent}${cut}: unit ${unit} sees ${where}. ${gaps} ${tail}`;
}

/** What the picture of the patch shows, in words. */
export function describePatch(layers, inputSize, unit) {
  const { extent, touched } = view(layers, inputSize, unit);
  const padding = extent < receptiveFields(layers).at(-1).extent ? " Dotted: padding." : "";
  if (!extent) return `No pixel is touched.${padding}`;
  const paths = pathCounts(layers, inputSize, unit)[0].filter(Boolean);
  const [least, most] = [Math.min(...paths), Math.max(...paths)];
  if (extent === 1) return `1 × 1 patch: one pixel, touched by ${many(most ** 2, "path")}.${padding}`;
  const part = touched < extent ? `${touched ** 2} of ${extent ** 2} pixels touched (hatched: never)` : `all ${extent ** 2} pixels touched`;
  const weight = least === most
    ? `each by ${many(most ** 2, "path")}`
    : `the strongest by ${most} × ${most} = ${count(most ** 2)} paths, the faintest by ${count(least ** 2)}`;
  return `${extent} × ${extent} patch: ${part}, ${weight}.${padding}`;
}

// ---------------------------------------------------------------------------------------------------
// The pyramid: one row of units per level, the input at the bottom.
// ---------------------------------------------------------------------------------------------------

const WIDE = 560; // below this width, the names of the rows get shorter
const MARGIN = 0.12; // how far beyond the image the padding is drawn, as a share of the image
const MOST_EDGES = 700; // beyond this, lines would merge anyway: one shape shows them all

/** Horizontal places: `x(level, u)` in SVG units, and `pitch[level]` between neighbors. */
function places(layers, sizes, left, right) {
  const fields = receptiveFields(layers).slice(0, sizes.length);
  const center = (k, u) => fields[k].start + u * fields[k].jump + (fields[k].extent - 1) / 2;
  const edges = sizes.flatMap((size, k) => [center(k, 0) - 0.5, center(k, size - 1) + 0.5]);
  const spill = Math.ceil(MARGIN * sizes[0]);
  const ghosts = layers.slice(0, sizes.length - 1).flatMap(([, , , p], k) => [center(k, -p) - 0.5, center(k, sizes[k] - 1 + p) + 0.5]);
  const inView = ghosts.filter((v) => v >= -0.5 - spill && v <= sizes[0] - 0.5 + spill);
  const [low, high] = [Math.min(...edges, ...inView), Math.max(...edges, ...inView)];
  if (high - low > 2.5 * sizes[0]) { // much padding: units far outside the image; give each row the whole width
    const step = sizes.map((size) => (right - left) / size);
    return { x: (k, u) => left + (u + 0.5) * step[k], pitch: step };
  }
  const scale = (right - left) / (high - low);
  return { x: (k, u) => left + (center(k, u) - low) * scale, pitch: sizes.map((_, k) => scale * fields[k].jump) };
}

const round = (v) => Math.round(v * 100) / 100;

function cells(units, x, y, pitch, height) {
  const width = Math.max(Math.min(pitch < 3 ? pitch : pitch * 0.8, 13), 0.6);
  return units.map((u) => `M${round(x(u) - width / 2)} ${y - height / 2}h${round(width)}v${height}h${round(-width)}z`).join("");
}

/** Lines from the reached units of level k down to what they read: inside the layer below, and in its padding. */
function fan(scene, k) {
  const { layers, sizes, reached, place, y } = scene;
  const [solid, ghost, outside] = [[], [], new Set()];
  for (const u of reached[k]) {
    for (const t of taps(layers[k - 1], u)) {
      const inside = t >= 0 && t < sizes[k - 1];
      (inside ? solid : ghost).push(`M${round(place.x(k, u))} ${y(k)}L${round(place.x(k - 1, t))} ${y(k - 1)}`);
      if (!inside) outside.add(t);
    }
  }
  return { solid, ghost, outside: [...outside] };
}

function hull(scene, k) {
  const { reached, place, y } = scene;
  const [above, below] = [reached[k], reached[k - 1]];
  if (!above.length || !below.length) return "";
  const point = (level, u) => `${round(place.x(level, u))} ${y(level)}`;
  return `M${point(k, above[0])}L${point(k, above.at(-1))}L${point(k - 1, below.at(-1))}L${point(k - 1, below[0])}z`;
}

function drawFan(scene, k) {
  const { solid, ghost, outside } = fan(scene, k);
  const { place, y } = scene;
  const crowded = solid.length > MOST_EDGES;
  const radius = Math.max(Math.min(place.pitch[k - 1] * 0.32, 4), 1);
  return kit.s("g", { class: "tb-rf-fan", "data-layer": k },
    kit.s("path", { class: crowded ? "tb-rf-hull" : "tb-rf-edges", d: crowded ? hull(scene, k) : solid.join("") }),
    kit.s("path", { class: "tb-rf-ghost-edges", d: ghost.slice(0, MOST_EDGES).join("") }),
    outside.slice(0, 200).map((t) => kit.s("circle", { class: "tb-rf-ghost", cx: round(place.x(k - 1, t)), cy: y(k - 1), r: round(radius) })));
}

function drawLevel(scene, k) {
  const { sizes, reached, place, y, height } = scene;
  const seen = new Set(reached[k]);
  const rest = Array.from({ length: sizes[k] }, (_, u) => u).filter((u) => !seen.has(u));
  const x = (u) => place.x(k, u);
  return kit.s("g", {},
    kit.s("path", { class: place.pitch[k] < 6 ? "tb-rf-rest dense" : "tb-rf-rest", d: cells(rest, x, y(k), place.pitch[k], height - 3) }),
    kit.s("path", { class: "tb-rf-reached", "data-level": k, d: cells(reached[k], x, y(k), place.pitch[k], height) }));
}

function drawName(scene, k) {
  const { sizes, y, wide } = scene;
  const size = sizes[k] ?? 0; // 0: this layer, or one before it, does not fit
  const note = wide ? many(size, k === 0 ? "pixel" : "unit") : String(size);
  return kit.s("text", { class: size ? "tb-rf-name" : "tb-rf-name missing", x: 0, y: y(k) - 3 },
    kit.s("tspan", { class: "tb-rf-strong", text: k === 0 ? "input" : `layer ${k}` }), kit.s("tspan", { x: 0, dy: 14, text: note }));
}

/** What stands in the row of the first layer that does not fit. */
function drawMisfit(scene) {
  const { sizes, layers, left, y } = scene;
  const text = `does not fit: spans ${spanOf(layers[sizes.length - 1])}, ${sizes.at(-1) + 2 * layers[sizes.length - 1][3]} arrive`;
  return kit.s("text", { class: "tb-rf-misfit", x: left, y: y(sizes.length) + 4, text });
}

/** A line under the input that measures the extent; dashed where padding takes the rest. */
function drawExtent(scene) {
  const { layers, reached, place, y, width, left, right } = scene;
  const pixels = reached[0];
  if (!pixels.length) return null;
  const line = y(0) + 17;
  const [a, b] = [place.x(0, pixels[0]) - place.pitch[0] / 2, place.x(0, pixels.at(-1)) + place.pitch[0] / 2];
  const [full, extent] = [receptiveFields(layers).at(-1).extent, pixels.at(-1) - pixels[0] + 1];
  const text = `extent ${extent}${extent < full ? ` of ${full}` : ""}`;
  const half = text.length * 3.3;
  const middle = Math.min(Math.max((a + b) / 2, left + half), right - half, width - half);
  return kit.s("g", { class: "tb-rf-extent" },
    kit.s("path", { d: `M${round(a)} ${line - 5}v10M${round(a)} ${line}H${round(b)}M${round(b)} ${line - 5}v10` }),
    kit.s("text", { x: round(middle), y: line + 17, "text-anchor": "middle", text }));
}

/** Paths from each pixel to the marked unit, as bars under the input. */
function drawProfile(scene) {
  const { counts, place, y, left, right, profile } = scene;
  const top = y(0) + 44;
  const most = Math.max(...counts[0]);
  const width = Math.max(place.pitch[0] < 3 ? place.pitch[0] : Math.min(place.pitch[0] * 0.8, 13), 0.6);
  const bars = counts[0].map((paths, u) => {
    if (!paths) return "";
    const tall = Math.max((paths / most) * profile, 1);
    return `M${round(place.x(0, u) - width / 2)} ${round(top + profile)}v${round(-tall)}h${round(width)}v${round(tall)}z`;
  });
  const text = most ? `paths along one side, at most ${count(most)}` : "no path reaches the image";
  return kit.s("g", {},
    kit.s("line", { class: "tb-rf-base", x1: left, x2: right, y1: top + profile, y2: top + profile }),
    kit.s("path", { class: "tb-rf-bars", d: bars.join("") }),
    kit.s("text", { x: left, y: top + profile + 16, text }));
}

/** Everything that the drawing needs to know, for one state and one width. */
function stage(state, width) {
  const { layers, inputSize, unit } = state;
  const whole = outputSizes(layers, inputSize);
  const fits = whole.at(-1) > 0;
  const sizes = fits ? whole : whole.slice(0, -1);
  const wide = width >= WIDE;
  const [left, right, top] = [wide ? 74 : 52, width - 4, 38];
  const gap = Math.min(Math.max(250 / layers.length, 40), 74);
  const counts = fits ? pathCounts(layers, inputSize, unit) : sizes.map((n) => new Array(n).fill(0));
  const y = (k) => round(top + (layers.length - k) * gap);
  return {
    layers, sizes, unit, fits, wide, width, left, right, y, counts, height: 13, profile: 44,
    reached: counts.map((row) => row.flatMap((paths, u) => (paths ? [u] : []))),
    place: places(layers, sizes, left, right),
    tall: y(0) + 44 + 44 + 22,
  };
}

/** Arrow keys and the like on the mark: the unit that they lead to, or null. */
function steered(key, unit, outputs) {
  const leap = Math.max(Math.round(outputs / 10), 2);
  const to = { ArrowRight: unit + 1, ArrowUp: unit + 1, ArrowLeft: unit - 1, ArrowDown: unit - 1,
    PageUp: unit + leap, PageDown: unit - leap, Home: 0, End: outputs - 1 }[key];
  return to === undefined ? null : Math.min(Math.max(to, 0), outputs - 1);
}

function pyramid(onUnit) {
  const [drawing, clip] = [kit.s("g", { "aria-hidden": "true" }), kit.uid("clip")];
  const frame = kit.s("rect", {});
  const strip = kit.s("rect", { class: "tb-rf-strip", y: 0, height: 50, "aria-hidden": "true" });
  const flag = kit.s("text", { class: "tb-rf-flag", y: 22, "aria-hidden": "true" });
  const mark = kit.s("g", { class: "tb-rf-mark", tabindex: "0", role: "slider", "aria-label": "Marked output unit", "aria-valuemin": "0" },
    kit.s("circle", { r: 17, cy: 26, class: "tb-rf-halo" }), kit.s("path", { d: "M-8 13h16l-8 13z" }),
    kit.s("rect", { x: -7.5, y: 30.5, width: 15, height: 15, rx: 3 }));
  const grip = kit.s("g", { class: "tb-rf-grip" }, strip, flag, mark);
  const svg = kit.s("svg", { class: "tb-rf-pyramid", role: "group", "aria-label": "Units that the marked unit reaches, layer by layer" },
    kit.s("clipPath", { id: clip }, frame), drawing, grip);
  let [scene, lit] = [null, 0];
  const nearest = (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) * scene.width) / box.width;
    const k = scene.layers.length;
    const u = Math.round((at - scene.place.x(k, 0)) / scene.place.pitch[k]);
    return Math.min(Math.max(u, 0), scene.sizes[k] - 1);
  };
  kit.drag(grip, { start: () => { mark.focus({ preventScroll: true }); }, move: (event) => onUnit(nearest(event)) });
  mark.addEventListener("keydown", (event) => {
    const to = steered(event.key, scene.unit, scene.sizes.at(-1));
    if (to === null) return;
    event.preventDefault();
    onUnit(to);
  });
  const showMark = () => {
    const [k, outputs] = [scene.layers.length, scene.sizes.at(-1)];
    const x = round(scene.place.x(k, scene.unit));
    mark.setAttribute("transform", `translate(${x} 0)`);
    mark.setAttribute("aria-valuemax", outputs - 1);
    mark.setAttribute("aria-valuenow", scene.unit);
    mark.setAttribute("aria-valuetext", `unit ${scene.unit} of 0 to ${outputs - 1}`);
    const room = x + 78 < scene.width;
    flag.textContent = `unit ${scene.unit}`;
    flag.setAttribute("x", room ? x + 21 : x - 21);
    flag.setAttribute("text-anchor", room ? "start" : "end");
  };
  const light = (k) => {
    lit = k;
    for (const fan of drawing.querySelectorAll("[data-layer]")) fan.classList.toggle("lit", Number(fan.dataset.layer) === k);
  };
  const draw = (state, width) => {
    scene = stage(state, width);
    svg.setAttribute("viewBox", `0 0 ${width} ${scene.tall}`);
    strip.setAttribute("width", width);
    for (const [name, value] of Object.entries({ x: scene.left - 8, width: scene.right - scene.left + 16, height: scene.tall })) frame.setAttribute(name, value);
    grip.style.display = scene.fits ? "" : "none";
    const levels = scene.sizes.map((_, k) => k);
    drawing.replaceChildren(
      kit.s("g", { "clip-path": `url(#${clip})` }, scene.fits ? levels.slice(1).map((k) => drawFan(scene, k)) : []),
      ...levels.map((k) => drawLevel(scene, k)), ...[null, ...state.layers].map((_, k) => drawName(scene, k)),
      ...(scene.fits ? [drawExtent(scene), drawProfile(scene)].filter(Boolean) : [drawMisfit(scene)]));
    if (scene.fits) showMark();
    light(lit);
  };
  return { svg, draw, light };
}

// ---------------------------------------------------------------------------------------------------
// The patch: the pixels of the plane, darker where more paths start. The weight of a pixel is a product,
// so columns of one opacity under a mask of rows give every pixel its own.
// ---------------------------------------------------------------------------------------------------

const PATCH = 248;

/** First and last pixel of the picture: the whole receptive field, with a strip of padding at the border. */
export function patchWindow(layers, inputSize, unit) {
  const { start, extent, jump } = receptiveFields(layers).at(-1);
  const [low, high] = [start + unit * jump, start + unit * jump + extent - 1];
  const strip = Math.max(Math.ceil(0.15 * inputSize), 2);
  const clip = (v) => Math.min(Math.max(v, -strip), inputSize - 1 + strip);
  return [clip(low), clip(high)];
}

function patch() {
  const [rows, touched, hatch, dots] = [kit.uid("rows"), kit.uid("touched"), kit.uid("hatch"), kit.uid("dots")];
  const mask = (id) => kit.s("mask", { id, maskUnits: "userSpaceOnUse", x: 0, y: 0, width: PATCH, height: PATCH });
  const [rowMask, touchedMask] = [mask(rows), mask(touched)];
  const defs = kit.s("defs", {}, rowMask, touchedMask,
    kit.s("pattern", { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, kit.s("path", { class: "tb-rf-hatch", d: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5" })),
    kit.s("pattern", { id: dots, width: 8, height: 8, patternUnits: "userSpaceOnUse" }, kit.s("circle", { class: "tb-rf-dot", cx: 4, cy: 4, r: 1 })));
  const drawing = kit.s("g", {});
  const svg = kit.s("svg", { class: "tb-rf-patch", viewBox: `0 0 ${PATCH} ${PATCH}`, role: "img" }, defs, drawing);
  const draw = ({ layers, inputSize, unit }, words) => {
    const [low, high] = patchWindow(layers, inputSize, unit);
    const across = high - low + 1;
    const cell = PATCH / across;
    const counts = pathCounts(layers, inputSize, unit)[0];
    const most = Math.max(...counts);
    const strips = counts.flatMap((paths, u) => (paths ? [{ at: (u - low) * cell, weight: Math.sqrt(paths / most) }] : []));
    const seam = cell > 5 ? Math.min(cell * 0.06, 1) : 0; // a pale line between pixels that are large enough
    const column = ({ at }, inset, rest) => kit.s("rect", { x: round(at + inset), y: 0, width: round(cell - 2 * inset), height: PATCH, ...rest });
    const row = ({ at }, inset, rest) => kit.s("rect", { x: 0, y: round(at + inset), width: PATCH, height: round(cell - 2 * inset), fill: "#fff", ...rest });
    rowMask.replaceChildren(...strips.map((strip) => row(strip, seam, { "fill-opacity": round(strip.weight) })));
    touchedMask.replaceChildren(...strips.map((strip) => row(strip, 0)));
    const whole = Math.floor(PATCH / across); // a whole number of screen pixels keeps the grid even
    svg.style.width = `${whole >= 5 ? whole * across : PATCH}px`;
    const [a, b] = [Math.max((0 - low) * cell, 0), Math.min((inputSize - low) * cell, PATCH)];
    drawing.replaceChildren(
      kit.s("rect", { class: "tb-rf-padding", width: PATCH, height: PATCH, fill: `url(#${dots})` }),
      kit.s("rect", { class: "tb-rf-image", x: a, y: a, width: Math.max(b - a, 0), height: Math.max(b - a, 0) }),
      kit.s("rect", { x: a, y: a, width: Math.max(b - a, 0), height: Math.max(b - a, 0), fill: `url(#${hatch})` }),
      kit.s("g", { mask: `url(#${touched})` }, strips.map((strip) => column(strip, 0, { class: "tb-rf-pale" }))),
      kit.s("g", { mask: `url(#${rows})` }, strips.map((strip) => column(strip, seam, { class: "tb-rf-weight", "fill-opacity": round(strip.weight) }))),
      kit.s("rect", { class: "tb-rf-border", width: PATCH, height: PATCH }));
    svg.setAttribute("aria-label", words);
  };
  return { svg, draw };
}

// ---------------------------------------------------------------------------------------------------
// The layers: one row of numbers each.
// ---------------------------------------------------------------------------------------------------

/** Let a number field also be dragged sideways, one step for each 12 pixels. A plain click still edits it. */
function scrub(input, low, high, onValue) {
  let from = null;
  const move = (event) => {
    const steps = Math.round((event.clientX - from.x) / 12);
    if (!steps && !from.moved) return;
    from.moved = true;
    onValue(Math.min(Math.max(from.value + steps, low), high));
  };
  const stop = () => {
    input.removeEventListener("pointermove", move);
    if (from?.moved) input.select();
    from = null;
  };
  input.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = { x: event.clientX, value: Number(input.value), moved: false };
    input.setPointerCapture(event.pointerId); // at once: a quick hand leaves the field with its first step
    input.addEventListener("pointermove", move);
  });
  input.addEventListener("dragstart", (event) => event.preventDefault()); // else selected digits would be carried away
  for (const name of ["pointerup", "pointercancel"]) input.addEventListener(name, stop);
}

function layerRow(index, act) {
  const name = `layer ${index + 1}`;
  const fields = LIMITS.map(([what, min, max], column) => {
    const edit = (value) => act.edit(index, column, Math.round(value));
    const field = kit.number({ label: `${what} of ${name}`, min, max, value: min, hideLabel: true, onInput: edit });
    field.input.setAttribute("inputmode", "numeric");
    scrub(field.input, min, max, edit);
    return field;
  });
  const grip = kit.h("button", { type: "button", class: "tb-rf-handle", title: "Drag, or press arrow up or down",
    "aria-label": `Move ${name}: drag, or press arrow up or down`,
    onkeydown: (event) => {
      const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      act.move(index, index + way);
    } });
  const remove = kit.button({ text: "×", name: `Remove ${name}`, kind: "tb-rf-remove", onClick: () => act.remove(index) });
  const node = kit.h("li", { class: "tb-rf-layer", onpointerenter: () => act.light(index + 1), onpointerleave: () => act.light(0),
    onfocusin: () => act.light(index + 1), onfocusout: () => act.light(0) },
  grip, kit.h("span", { class: "tb-rf-index", text: index + 1, "aria-hidden": "true" }), fields.map((field) => field.input), remove);
  const set = (layer, total) => {
    fields.forEach((field, column) => { if (Number(field.input.value) !== layer[column] || field.input.value === "") field.set(layer[column]); });
    remove.disabled = total < 2;
  };
  return { node, grip, remove, set };
}

/** Rows that stay in place while the layers move through them: a pointer or the focus is never lost. */
function editor(act) {
  const list = kit.h("ol", { class: "tb-rf-layers", "aria-label": "Layers, first layer first" });
  const rows = [];
  const move = (from, to) => {
    if (to < 0 || to >= list.children.length) return;
    act.move(from, to);
    rows[to].grip.focus();
  };
  const remove = (index) => {
    act.remove(index);
    rows[Math.min(index, list.children.length - 1)].grip.focus();
  };
  const rowUnder = (event) => [...list.children].findIndex((row) => event.clientY < row.getBoundingClientRect().bottom);
  const makeDraggable = (row, index) => {
    let at = index;
    kit.drag(row.grip, {
      start: () => { at = index; row.grip.focus(); row.node.classList.add("moving"); },
      move: (event) => {
        const under = rowUnder(event);
        const to = under < 0 ? list.children.length - 1 : under;
        if (to === at) return;
        rows[at].node.classList.remove("moving");
        rows[to].node.classList.add("moving");
        act.move(at, to);
        at = to;
      },
      end: () => { rows[at].node.classList.remove("moving"); rows[at].grip.focus(); },
    });
  };
  const set = (layers) => {
    while (rows.length < layers.length) {
      rows.push(layerRow(rows.length, { ...act, move, remove }));
      makeDraggable(rows.at(-1), rows.length - 1);
    }
    if (list.children.length !== layers.length) list.replaceChildren(...rows.slice(0, layers.length).map((row) => row.node));
    layers.forEach((layer, index) => rows[index].set(layer, layers.length));
    add.disabled = layers.length >= MOST_LAYERS;
  };
  const add = kit.button({ text: "+ layer", name: "Add a layer on top", onClick: act.add });
  const head = kit.h("p", { class: "tb-rf-head", "aria-hidden": "true" }, kit.h("span", { text: "layer" }),
    LIMITS.map(([what]) => kit.h("span", { text: what })));
  return { node: kit.h("div", { class: "tb-rf-editor" }, head, list, add), set };
}

// ---------------------------------------------------------------------------------------------------
// The widget.
// ---------------------------------------------------------------------------------------------------

/** What the reader can do to the stack, as a function from state to state. */
function actions(read, write) {
  const change = (layers, inputSize = read().inputSize) => {
    const before = read();
    const [from, to] = [outputSizes(before.layers, before.inputSize).at(-1), outputSizes(layers, inputSize).at(-1)];
    // Without an output there is no place for the mark: it waits where it was.
    const unit = from && to ? carryUnit(before.unit, from, to) : Math.min(before.unit, to ? to - 1 : Infinity);
    write({ layers, inputSize, unit });
  };
  return {
    resize: (inputSize) => change(read().layers, inputSize),
    load: ({ layers, inputSize }) => write({ layers, inputSize, unit: Math.floor(outputSizes(layers, inputSize).at(-1) / 2) }),
    edit: (index, column, value) => {
      const { layers } = read();
      if (layers[index][column] !== value) change(layers.map((layer, i) => (i === index ? layer.map((v, c) => (c === column ? value : v)) : layer)));
    },
    add: () => change([...read().layers, [3, 1, 1, 1]]),
    remove: (index) => change(read().layers.filter((_, i) => i !== index)),
    move: (from, to) => change(moved(read().layers, from, to)),
  };
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Read the three traits as one state, and write them as one message. */
function shared(model, onChange) {
  let writing = false;
  const names = { layers: "layers", inputSize: "input_size", unit: "unit" };
  const read = () => {
    const [layers, inputSize, unit] = [model.get("layers"), model.get("input_size"), model.get("unit")];
    const outputs = outputSizes(layers, inputSize).at(-1);
    return { layers, inputSize, unit: outputs ? Math.min(unit, outputs - 1) : unit };
  };
  const write = (state) => {
    writing = true; // one picture for the three of them
    for (const [key, name] of Object.entries(names)) if (!same(model.get(name), state[key])) model.set(name, state[key]);
    writing = false;
    model.save_changes();
    onChange();
  };
  for (const name of Object.values(names)) model.on(`change:${name}`, () => { if (!writing) onChange(); });
  return { read, write };
}

/** What stands in place of the patch when the stack does not fit: a way out, where there is one. */
function rescue(enough, resize) {
  if (enough > LARGEST_INPUT) return kit.h("p", { text: `No input of up to ${LARGEST_INPUT} pixels is large enough for this stack.` });
  return kit.button({ text: `Enlarge the input to ${enough}`, kind: "primary", onClick: () => resize(enough) });
}

function render({ model, el }) {
  const { root, body, say } = kit.frame(el, "What one unit sees");
  root.classList.add("tb-rf");
  let [width, shown] = [640, ""];
  const state = shared(model, () => draw());
  const act = { ...actions(state.read, state.write), light: (k) => picture.light(k) };
  const picture = pyramid((unit) => { if (unit !== state.read().unit) state.write({ ...state.read(), unit }); });
  const plane = patch();
  const layersBox = editor(act);
  const size = kit.slider({ label: "Input size", min: 1, max: LARGEST_INPUT, value: state.read().inputSize, format: String, onInput: act.resize });
  const chips = PRESETS.map((preset) => kit.button({ text: preset.name, kind: "tb-rf-chip", onClick: () => act.load(preset) }));
  const caption = kit.h("figcaption", {});
  const figure = kit.h("figure", { class: "tb-rf-figure" }, plane.svg, caption);
  const aside = kit.h("div", { class: "tb-rf-aside" }, figure);
  body.append(
    kit.h("p", { class: "tb-rf-hint", text: "Drag the marked unit along the top row, or drag a number below: which pixels can change it?" }),
    kit.h("div", { class: "tb-row tb-rf-presets", role: "group", "aria-label": "Examples" }, chips),
    picture.svg,
    kit.h("div", { class: "tb-rf-lower" }, kit.h("div", {}, layersBox.node, size.node), aside));

  function draw() {
    const now = state.read();
    const fits = outputSizes(now.layers, now.inputSize).at(-1) > 0;
    picture.draw(now, width);
    layersBox.set(now.layers);
    if (size.value !== now.inputSize) size.set(now.inputSize);
    chips.forEach((chip, i) => chip.setAttribute("aria-pressed", same(PRESETS[i].layers, now.layers)));
    root.classList.toggle("misfit", !fits);
    if (fits) {
      const words = describePatch(now.layers, now.inputSize, now.unit);
      plane.draw(now, words);
      caption.textContent = words;
    }
    const enough = fits ? 0 : Math.max(Math.min(fittingInput(now.layers, 5), LARGEST_INPUT), fittingInput(now.layers, 1));
    if (shown !== enough) aside.replaceChildren(fits ? figure : rescue(enough, (n) => { act.resize(n); size.input.focus(); }));
    shown = enough; // so that a button which has the focus is not replaced under it
    say(fits ? describe(now.layers, now.inputSize, now.unit) : misfit(now.layers, now.inputSize));
  }
  const fitWidth = () => {
    const measured = Math.round(body.clientWidth);
    if (measured && measured !== width) { width = measured; draw(); }
  };
  draw();
  fitWidth();
  requestAnimationFrame(fitWidth); // Jupyter may attach the element only after this function returns
  window.addEventListener("resize", fitWidth);
  return () => window.removeEventListener("resize", fitWidth);
}

export default { render };
