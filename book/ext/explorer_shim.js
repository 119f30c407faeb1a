// Runs the explorers of a page without a kernel: those of the {explorer} directive out of their scripts, and those that
// an executed notebook left in the page out of its widget state. The same module text runs in Jupyter.
(() => {
  if (globalThis.gradpressShim) return;
  globalThis.gradpressShim = true;

  // A module comes from text, not from an address, so that it also loads where the page is a file.
  const modules = new Map();
  const load = (text) => {
    if (!modules.has(text)) modules.set(text, import(URL.createObjectURL(new Blob([text], { type: "text/javascript" }))));
    return modules.get(text);
  };

  // What anywidget hands to `render`, as far as an explorer uses it. `place` tells the explorers of a page apart.
  const modelOf = (values) => ({
    get: (key) => values[key],
    set: (key, value) => { values[key] = value; },
    save_changes() {},
    on() {},
    off() {},
  });

  const seen = {};
  async function show(el, text, name, state) {
    seen[name] = (seen[name] ?? 0) + 1;
    const place = seen[name] === 1 ? name : `${name}-${seen[name]}`;
    const module = await load(text);
    el.replaceChildren();
    module.default.render({ model: modelOf({ name, state, place }), el });
    el.dataset.place = place;
    el.style.minHeight = "";
    if (location.hash.includes(`${place}:`)) el.scrollIntoView({ block: "center" });
  }

  function widgets() {
    const holder = document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]');
    const models = holder ? JSON.parse(holder.textContent).state : {};
    const shown = [];
    for (const view of document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]')) {
      const values = models[JSON.parse(view.textContent).model_id]?.state ?? {};
      const el = document.createElement("div");
      el.className = "gradpress-place";
      view.after(el);
      const text = globalThis.gradpressExplorers?.[values.name];
      if (text) {
        el.dataset.explorer = values.name;
        shown.push(show(el, text, values.name, values.state));
      } else el.textContent = "This control answers in a running notebook only: open it in Jupyter or Colab.";
    }
    return shown;
  }

  function start() {
    const places = [...document.querySelectorAll(".gradpress-place[data-explorer]")];
    const shown = places.map((el) => {
      const name = el.dataset.explorer;
      return show(el, globalThis.gradpressExplorers[name], name, JSON.parse(el.dataset.state));
    });
    // An explorer draws in the next frame; the formulas are set after it (explorer_first.js).
    Promise.allSettled([...shown, ...widgets()]).then(() => requestAnimationFrame(() => setTimeout(gradpressDrawn)));
  }
  // Deferred scripts run one by one before this event: only then has every explorer of the page brought its text.
  if (document.readyState === "complete") start();
  else addEventListener("DOMContentLoaded", start);
})();
