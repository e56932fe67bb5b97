// Brings the widgets of a static page to life, without a kernel and without another host.
//
// myst-nb leaves two kinds of JSON blocks in a page: one `widget-state+json` with the state of every model,
// and a `widget-view+json` where each view belongs. For each view: import the model's own module from a Blob
// and call its `render({ model, el })`, as Jupyter would. A classic script, because browsers refuse module
// scripts from file://.
(() => {
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';

  class Model {
    constructor(state) {
      this.state = state;
      this.changed = new Set();
      this.listeners = new Map();
    }
    get(name) { return this.state[name]; }
    set(name, value) {
      if (this.state[name] === value) return;
      this.state[name] = value;
      this.changed.add(name);
      this.emit(`change:${name}`, value);
    }
    save_changes() {
      if (this.changed.size) { this.changed.clear(); this.emit("change"); }
    }
    on(event, callback) {
      if (!this.listeners.has(event)) this.listeners.set(event, new Set());
      this.listeners.get(event).add(callback);
    }
    off(event, callback) {
      if (callback) this.listeners.get(event)?.delete(callback);
      else this.listeners.delete(event);
    }
    emit(event, value) {
      for (const callback of [...(this.listeners.get(event) ?? [])]) callback(value);
    }
    send() { throw new Error("a static page has no kernel to send to: keep the state in traits"); }
  }

  // Binary traits travel beside the state, as base64 with the path of the hole they fill.
  function restoreBuffers(entry) {
    for (const { path, data } of entry.buffers ?? []) {
      const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
      const last = path.at(-1);
      const parent = path.slice(0, -1).reduce((value, key) => value[key], entry.state);
      parent[last] = new DataView(bytes.buffer);
    }
    return entry.state;
  }

  // A page holds the text that its widgets share once: `shared`, and a mark where a source begins with it.
  const whole = (text, shared) => text?.replace(/^\/\*shared:(\d+)\*\//, (_, index) => shared[index]);

  const modules = new Map(); // source -> promise of its module: each kind of widget is imported once
  function load(source) {
    if (!modules.has(source)) {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(url).then((module) => module.default ?? module));
    }
    return modules.get(source);
  }

  const styles = new Set();
  function addStyle(css) {
    if (!css || styles.has(css)) return;
    styles.add(css);
    document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  }

  async function mount(script, entries, models, shared) {
    if (script.dataset.mounted) return;
    script.dataset.mounted = "yes";
    const id = JSON.parse(script.textContent).model_id;
    const entry = entries[id];
    if (!entry?.state?._esm) return; // a layout, or a widget that needs a kernel
    if (!models.has(id)) models.set(id, new Model(restoreBuffers(entry)));
    const model = models.get(id);
    const el = document.createElement("div");
    el.className = "tb-widget";
    script.after(el);
    try {
      addStyle(whole(model.get("_css"), shared));
      const widget = await load(whole(model.get("_esm"), shared));
      await widget.initialize?.({ model });
      await widget.render({ model, el });
      el.dataset.ready = "yes";
    } catch (error) {
      el.textContent = `This figure could not start: ${error.message}`;
      el.setAttribute("role", "alert");
      console.error(error);
    }
  }

  function mountAll() {
    const blocks = [...document.querySelectorAll(STATE)].map((script) => JSON.parse(script.textContent));
    const entries = Object.assign({}, ...blocks.map((block) => block.state));
    const shared = blocks.flatMap((block) => block.shared ?? []);
    const models = new Map();
    for (const script of document.querySelectorAll(VIEW)) mount(script, entries, models, shared);
  }

  if (window.torchbookHost) return; // the tag may stand twice in a page
  window.torchbookHost = { Model };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mountAll);
  else mountAll();
})();
