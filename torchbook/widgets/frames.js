import * as kit from "./kit.js";

const { h } = kit;

/** The frame that a drag over `dx` of a picture `width` wide leads to: its whole width spans all frames. */
export function dragged(start, dx, width, count) {
  const moved = start + Math.round((dx / Math.max(width, 1)) * count);
  return Math.min(count - 1, Math.max(0, moved));
}

const FORBIDDEN = "script, foreignObject, iframe, style, animate, set, animateTransform, animateMotion";

/**
 * An SVG element from its text, fit to be put in a page: without scripts, event handlers and outer resources,
 * and with ids that begin with `prefix`, so that no two pictures share a clip path.
 */
export function safeSvg(text, prefix) {
  const svg = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  if (svg.localName !== "svg" || svg.querySelector("parsererror")) throw new Error("a frame holds no readable SVG");
  for (const node of svg.querySelectorAll(FORBIDDEN)) node.remove();
  for (const node of [svg, ...svg.querySelectorAll("*")]) {
    for (const attribute of [...node.attributes]) cleanAttribute(node, attribute, prefix);
  }
  return document.importNode(svg, true);
}

function cleanAttribute(node, attribute, prefix) {
  const { name, localName, value } = attribute;
  const inside = value.startsWith("#");
  const embedded = node.localName === "image" && /^data:image\/(png|jpeg);base64,/.test(value);
  if (localName.startsWith("on") || localName === "src") node.removeAttribute(name);
  else if (localName === "id") attribute.value = prefix + value;
  else if (localName === "href" && inside) attribute.value = `#${prefix}${value.slice(1)}`;
  else if (localName === "href" && !embedded) node.removeAttribute(name);
  else if (/url\(/i.test(value)) attribute.value = value.replace(/url\(\s*["']?(#?)([^)"']*)["']?\s*\)/gi,
    (_, hash, id) => (hash ? `url(#${prefix}${id})` : "none"));
}

// Font sizes that a narrow screen may enlarge: a figure drawn for a page shrinks to half on a phone.
function scalableText(svg) {
  for (const text of svg.querySelectorAll("text, tspan")) {
    if (text.style.fontSize) text.style.fontSize = `calc(${text.style.fontSize} * var(--tb-frames-text, 1))`;
  }
  svg.setAttribute("style", "stroke-linejoin: round; stroke-linecap: butt");
}

function picture(frame, number) {
  const box = h("div", { class: "tb-frame", role: "img", "aria-label": frame.alt });
  box.style.width = `${frame.width}px`;
  box.style.aspectRatio = `${frame.width} / ${frame.height}`;
  if (frame.svg) {
    const svg = safeSvg(frame.svg, `${kit.uid("frame")}-${number}-`);
    if (!svg.hasAttribute("viewBox")) svg.setAttribute("viewBox", `0 0 ${parseFloat(svg.getAttribute("width"))} ${parseFloat(svg.getAttribute("height"))}`);
    svg.removeAttribute("width");
    svg.removeAttribute("height");
    svg.setAttribute("aria-hidden", "true");
    scalableText(svg);
    box.append(svg);
  } else {
    box.append(h("img", { src: frame.png, alt: "", draggable: "false", class: frame.pixelated ? "pixelated" : "" }));
  }
  return box;
}

// Play through the frames and around again; `interval` milliseconds each.
function player(next, onChange, interval) {
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    onChange(false);
  };
  const start = () => {
    timer = setInterval(next, interval);
    onChange(true);
  };
  return { stop: () => { if (timer) stop(); }, toggle: () => (timer ? stop() : start()), get playing() { return timer !== 0; } };
}

function controls(model, frames, index, play) {
  const count = frames.length;
  const slider = kit.slider({ label: model.get("parameter"), min: 0, max: count - 1, value: index.get(),
    format: (i) => frames[i].label, onInput: (i) => { play.stop(); index.set(i); } });
  const step = (way) => () => { play.stop(); index.set((index.get() + way + count) % count); };
  const button = kit.button({ text: "▶ Play", name: "Play the frames", onClick: play.toggle });
  // Who asked for less motion gets no player; the frames are one press apart all the same.
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const node = h("div", { class: "tb-row tb-frames-bar" },
    kit.button({ text: "‹", name: "Previous frame", onClick: step(-1) }),
    still ? null : button,
    kit.button({ text: "›", name: "Next frame", onClick: step(1) }), slider.node);
  return { node, slider, showPlaying: (playing) => {
    button.textContent = playing ? "❚❚ Pause" : "▶ Play";
    button.setAttribute("aria-label", playing ? "Pause" : "Play the frames");
    button.title = playing ? "Pause" : "Play the frames";
  } };
}

function makeDraggable(stage, count, index, play) {
  let from = null;
  kit.drag(stage, {
    start: (event) => { play.stop(); from = { x: event.clientX, index: index.get() }; },
    move: (event) => index.set(dragged(from.index, event.clientX - from.x, stage.clientWidth, count)),
  });
  stage.style.touchAction = "pan-y"; // a finger that moves up or down still scrolls the page
}

function render({ model, el }) {
  const frames = model.get("frames");
  const { body, readout, say } = kit.frame(el, model.get("title"));
  const stage = h("div", { class: "tb-frames" });
  const made = new Map(); // a picture is parsed when it is first shown, and kept
  const index = kit.trait(model, "index", () => show());
  const play = player(() => index.set((index.get() + 1) % frames.length), (on) => bar.showPlaying(on),
    Math.max(150, Math.min(700, 6000 / frames.length)));
  const bar = controls(model, frames, index, play);
  const show = () => {
    const i = index.get();
    if (!made.has(i)) made.set(i, picture(frames[i], i));
    stage.replaceChildren(made.get(i));
    bar.slider.set(i);
    const text = `${model.get("parameter")} = ${frames[i].label} (${i + 1} of ${frames.length}): ${frames[i].alt}`;
    if (play.playing) { // a screen reader is not told of every passing picture
      readout.setAttribute("aria-live", "off");
      readout.textContent = text;
    } else say(text);
  };
  // Room for the largest picture, so that nothing below jumps while one scrubs.
  const widest = Math.max(...frames.map((frame) => frame.width));
  stage.style.maxWidth = `${widest}px`;
  stage.style.aspectRatio = `${widest} / ${Math.max(...frames.map((frame) => frame.height))}`;
  makeDraggable(stage, frames.length, index, play);
  body.append(stage, bar.node);
  show();
  return () => play.stop();
}

export default { render };
