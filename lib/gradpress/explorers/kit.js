// What every explorer shares: state, controls, the page's fragment, the line of words, redraws and their timing.

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const CONTROLS = new Set(["button", "input", "select"]);

const element = (tag, className, parent, text) => {
  const node = document.createElement(tag);
  if (CONTROLS.has(tag)) node.dataset.lmSuppressShortcuts = "true"; // else JupyterLab keeps the arrow keys for itself
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
};

// Three significant digits, a true minus sign, no exponent for everyday sizes.
function number(value, digits = 3) {
  if (value === Infinity) return "∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-4
    ? value.toExponential(digits - 1).replace("e+", "·10^").replace("e-", "·10^−")
    : size >= Math.pow(10, digits) ? value.toFixed(0) : String(+value.toPrecision(digits));
  return text.replace(/^-/, "−");
}
const percent = (value) => (value === Infinity ? "∞" : `${number(100 * value)} %`);

// --- state -----------------------------------------------------------------------------------------------------------

// A value of the state as text in an address, and back; what does not fit the default's type or the control is dropped.
const encode = (value) => (Array.isArray(value) ? value.map((v) => +v.toFixed(3)).join("_") : String(value));

function decode(text, fallback) {
  if (Array.isArray(fallback)) {
    const values = text.split("_").map(Number);
    return values.every(Number.isFinite) && values.length > 0 ? values : fallback;
  }
  if (typeof fallback === "number") return text !== "" && Number.isFinite(Number(text)) ? Number(text) : fallback;
  return text;
}

function admit(control, value, fallback, example) {
  if (Array.isArray(example)) {
    const fits = Array.isArray(value) && (example.length === 0 || value.length === example.length);
    return fits ? value.map((v) => clamp(v, -1, 1)) : fallback;
  }
  if (!control) return value;
  if (control.options) return control.options.some(([key]) => key === value) ? value : fallback;
  return clamp(value, control.min, control.max);
}

// The fragment holds one part for each explorer of the page: #compressors:k1=3,c2=sign;classes:lambda=0.5
const fragment = {
  parts() {
    const parts = {};
    for (const part of location.hash.slice(1).split(";")) {
      const at = part.indexOf(":");
      if (at > 0) parts[part.slice(0, at)] = part.slice(at + 1);
    }
    return parts;
  },
  read(place, defaults) {
    const found = {};
    for (const pair of (this.parts()[place] ?? "").split(",")) {
      const [key, text] = pair.split("=");
      if (text !== undefined && key in defaults) found[key] = decode(decodeURIComponent(text), defaults[key]);
    }
    return found;
  },
  write(place, state, defaults) {
    const parts = this.parts();
    const changed = Object.keys(defaults).filter((key) => encode(state[key]) !== encode(defaults[key]));
    if (changed.length) parts[place] = changed.map((key) => `${key}=${encodeURIComponent(encode(state[key]))}`).join(",");
    else delete parts[place];
    const text = Object.entries(parts).map(([name, part]) => `${name}:${part}`).join(";");
    history.replaceState(history.state, "", text ? `#${text}` : location.pathname + location.search);
  },
};

// --- operators as a reader sets them ----------------------------------------------------------------------------------

const operatorOptions = Object.entries(DATA.operators).map(([key, { label }]) => [key, label]);
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// The sliders of an operator's parameters; `side` tells two operators of one picture apart, `most` bounds k.
function parameterControls(side, most, operatorKey = `c${side}`) {
  const shown = (parameter) => (state) => DATA.operators[state[operatorKey]].parameters.includes(parameter);
  return [
    { key: `k${side}`, symbol: "k", word: "coordinates kept", min: 1, max: most, step: 1, shown: shown("k"),
      top: (state) => Math.min(most, state.d ?? most) },
    { key: `q${side}`, symbol: "q", word: "chance to be kept", min: 0.05, max: 1, step: 0.05, shown: shown("q") },
    { key: `b${side}`, symbol: "b", word: "base", min: 1.25, max: 8, step: 0.25, shown: shown("b") },
    { key: `s${side}`, symbol: "s", word: "levels", min: 1, max: 8, step: 1, shown: shown("s") },
    { key: `p${side}`, symbol: "p", word: "norm", shown: shown("p"), options: [["1", "p = 1"], ["2", "p = 2"], ["inf", "p = ∞"]] },
  ];
}

const parametersOf = (state, side) => ({
  k: Math.min(state[`k${side}`], state.d ?? Infinity), q: state[`q${side}`], b: state[`b${side}`], s: state[`s${side}`],
  p: state[`p${side}`] === "inf" ? Infinity : Number(state[`p${side}`]),
});

function settingName(name, P) {
  const { label, parameters } = DATA.operators[name];
  const shown = parameters.map((key) => `${key} = ${number(P[key])}`);
  return capital(label) + (shown.length ? ` (${shown.join(", ")})` : "");
}

// A path of round dots: one element for a whole cloud.
const dots = (points) => points.map(([x, y]) => `M${x.toFixed(1)},${y.toFixed(1)}h0`).join("");
const polyline = (points) => (points.length ? `M${points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}` : "");

// --- one explorer ----------------------------------------------------------------------------------------------------

// EXPLORER = { controls: [...], build(kit) -> draw(state) } is what <name>.js defines.
class Kit {
  constructor(model, el, spec) {
    this.model = model;
    this.el = el;
    this.place = model.get("place");
    this.controls = Object.fromEntries(spec.controls.map((control) => [control.key, control]));
    this.inputs = {};
    this.cleanups = [];
    this.defaults = this.sanitised({ ...DEFAULTS, ...model.get("state") }, DEFAULTS);
    this.state = { ...this.defaults };
    if (this.place) Object.assign(this.state, this.sanitised(fragment.read(this.place, DEFAULTS), this.defaults));
    el.gradpress = { redraws: [], firstAnswer: null, state: () => ({ ...this.state }) };

    this.root = element("section", "gradpress", el);
    this.root.setAttribute("aria-label", TITLE);
    element("style", "", this.root, STYLE);
    this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  sanitised(values, fallback) {
    const entries = Object.entries(values).filter(([key]) => key in DEFAULTS);
    return Object.fromEntries(entries.map(([key, value]) => [key, admit(this.controls[key], value, fallback[key], DEFAULTS[key])]));
  }

  start(draw) {
    this.draw = draw;
    this.listen(new ResizeObserver(() => this.invalidate()), "observe", this.root);
    const changed = () => this.adopt(this.model.get("state"));
    this.model.on("change:state", changed);
    this.cleanups.push(() => this.model.off("change:state", changed));
    if (this.place) {
      const moved = () => this.adopt({ ...this.defaults, ...fragment.read(this.place, DEFAULTS) });
      addEventListener("hashchange", moved);
      this.cleanups.push(() => removeEventListener("hashchange", moved));
    }
    this.redraw();
  }

  listen(observer, method, target) {
    observer[method](target);
    this.cleanups.push(() => observer.disconnect());
  }

  stop() {
    this.stopped = true;
    this.cleanups.forEach((cleanup) => cleanup());
  }

  // State that comes from outside: Python, or an address pasted into the window.
  adopt(values) {
    Object.assign(this.state, this.sanitised(values ?? {}, this.defaults));
    this.invalidate();
  }

  // State that the reader changes: told to Python and to the address.
  set(changes) {
    Object.assign(this.state, this.sanitised(changes, this.state));
    this.invalidate();
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), 120);
  }

  tell() {
    this.model.set("state", { ...this.state });
    this.model.save_changes();
    if (this.place) fragment.write(this.place, this.state, this.defaults);
  }

  invalidate() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.redraw());
  }

  redraw() {
    this.waiting = false;
    if (this.stopped || this.root.clientWidth === 0) return;
    const start = performance.now();
    for (const update of Object.values(this.inputs)) update(this.state);
    this.draw(this.state);
    const end = performance.now();
    const record = this.el.gradpress;
    record.firstAnswer ??= end;
    record.redraws.push(end - start);
    if (record.redraws.length > 400) record.redraws.shift();
  }

  // --- pieces of the page ---

  bar(parent = this.root) {
    return element("div", "gp-bar", parent);
  }

  // A declared control: a slider (min, max, step) or a menu (options), named by symbol and word.
  control(key, parent) {
    const control = this.controls[key];
    if (control.radio) return this.radios(control, parent);
    const label = element("label", "gp-control", parent);
    const name = element("span", "gp-name", label);
    if (control.symbol) {
      element("i", "gp-symbol", name, control.symbol);
    }
    name.append(control.symbol ? `— ${control.word}` : control.word);
    if (control.options) this.menu(control, label);
    else {
      // Not an <output>: a label names the first such element in it, and the slider would stay without a name.
      const value = element("span", "gp-value", name);
      value.setAttribute("aria-hidden", "true");
      this.slider(control, label, value);
    }
    return label;
  }

  menu(control, label) {
    const select = element("select", "gp-menu", label);
    select.name = control.key;
    const entries = control.options.map(([value, text]) => Object.assign(element("option", "", select, text), { value }));
    select.addEventListener("input", () => this.set({ ...control.brings?.(select.value), [control.key]: select.value }));
    this.inputs[control.key] = (state) => {
      label.hidden = control.shown ? !control.shown(state) : false;
      const value = control.actual ? control.actual(state) : state[control.key];
      if (control.allowed) entries.forEach((option) => { option.hidden = option.disabled = !control.allowed(state, option.value); });
      if (select.value !== value) select.value = value;
    };
  }

  // A switch between a few named positions: native radio buttons.
  radios(control, parent) {
    const group = element("fieldset", "gp-control gp-switch", parent);
    element("legend", "gp-name", group, control.word);
    const name = `gp-${control.key}-${Math.random().toString(36).slice(2)}`;
    const entries = control.options.map(([value, text]) => {
      const label = element("label", "gp-position", group);
      const input = Object.assign(element("input", "", label), { type: "radio", name, value });
      label.append(text);
      input.addEventListener("input", () => this.set({ [control.key]: value }));
      return { label, input, value };
    });
    this.inputs[control.key] = (state) => {
      const actual = control.actual ? control.actual(state) : state[control.key];
      for (const { label, input, value } of entries) {
        label.hidden = control.allowed ? !control.allowed(state, value) : false;
        if (input.checked !== (value === actual)) input.checked = value === actual;
      }
    };
    return group;
  }

  slider(control, label, output) {
    const input = element("input", "gp-slider", label);
    // With `log`, the slider holds the logarithm to that base, and the state the number itself to four digits.
    const inner = control.log ? (value) => +(Math.log(value) / Math.log(control.log)).toFixed(9) : (value) => value;
    const outer = control.log ? (value) => +Math.pow(control.log, value).toPrecision(4) : (value) => value;
    Object.assign(input, { type: "range", name: control.key, min: inner(control.min), max: inner(control.max), step: control.step });
    const format = control.format ?? ((value) => number(value));
    input.addEventListener("input", () => this.set({ [control.key]: outer(Number(input.value)) }));
    this.inputs[control.key] = (state) => {
      label.hidden = control.shown ? !control.shown(state) : false;
      const value = state[control.key];
      const top = control.top ? control.top(state) : control.max;
      if (Number(input.max) !== inner(top)) input.max = inner(top);
      if (Number(input.value) !== inner(value)) input.value = inner(value);
      const text = format(Math.min(value, top));
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
  }

  button(text, action, parent, className = "gp-button") {
    const button = element("button", className, parent, text);
    button.type = "button";
    button.addEventListener("click", action);
    return button;
  }

  reset(parent) {
    return this.button("reset", () => this.set(this.defaults), parent, "gp-button gp-quiet");
  }

  svg(parent, label) {
    const holder = element("div", "gp-figure", parent);
    return d3.select(holder).append("svg").attr("role", "img").attr("aria-label", label);
  }

  // The line of words: at once for the eye, and at most three times a second for a screen reader.
  words(parent = this.root) {
    const line = element("p", "gp-words", parent);
    line.setAttribute("role", "status");
    line.setAttribute("aria-live", "polite");
    let last = 0;
    let pending;
    return (text, alarm = false) => {
      const show = () => {
        last = performance.now();
        if (line.textContent !== text) line.textContent = text;
        line.classList.toggle("gp-alarm", alarm);
        line.removeAttribute("aria-busy");
      };
      clearTimeout(pending);
      const wait = 330 - (performance.now() - last);
      if (last === 0 || wait <= 0) return show();
      line.setAttribute("aria-busy", "true");
      pending = setTimeout(show, wait);
    };
  }

  // Makes a group a slider for mouse, touch and keyboard. `at(event)` reads a value from a pointer.
  handle(group, { label, value, text, at, low, high, step, change, orientation, keys }) {
    group.node().ownerSVGElement.setAttribute("role", "group"); // a picture with controls inside is no plain image
    group.attr("tabindex", 0).attr("role", "slider").attr("class", "gp-handle").attr("aria-label", label)
      .attr("data-lm-suppress-shortcuts", "true")
      .attr("aria-orientation", orientation ?? "vertical").attr("aria-valuemin", low).attr("aria-valuemax", high);
    group.call(d3.drag().container(group.node().ownerSVGElement).on("start drag", (event) => {
      group.node().focus({ preventScroll: true });
      change(clamp(at(event), low, high));
    }));
    const moves = { ArrowUp: step, ArrowRight: step, ArrowDown: -step, ArrowLeft: -step, PageUp: 5 * step, PageDown: -5 * step };
    group.on("keydown", (event) => {
      if (keys?.[event.key]) keys[event.key]();
      else if (event.key in moves) change(clamp(value() + moves[event.key], low, high));
      else if (event.key === "Home") change(low);
      else if (event.key === "End") change(high);
      else return;
      event.preventDefault();
    });
    return () => group.attr("aria-valuenow", +value().toFixed(4)).attr("aria-valuetext", text(value()));
  }
}

function render({ model, el }) {
  const kit = new Kit(model, el, EXPLORER);
  kit.start(EXPLORER.build(kit));
  return () => kit.stop();
}
