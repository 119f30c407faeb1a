// The plane of the two moments: every class is a region, scaling is a slide along a parabola.

const SAMPLES = 420;
const CLASSES = {
  u: { name: "U(ζ)", title: "unbiased" },
  b1: { name: "B¹(α, β)", title: "α ≤ m₂ ≤ β m₁" },
  b2: { name: "B²(γ, β)", title: "γ ≤ m₁, m₂ ≤ β m₁" },
  b3: { name: "B³(δ)", title: "m₂ ≤ 2m₁ − 1/δ" },
};
const TABLE_ONE = {
  b1: ({ alpha, beta }) => formulas.b1_iterations({ alpha, beta }),
  b2: ({ beta, gamma }) => formulas.b2_iterations({ beta, gamma }),
  b3: ({ delta }) => formulas.b3_iterations({ delta }),
};

// The constants of λC in every class, from those of C.
function scaledConstants(name, constants, lambda) {
  if (!("beta" in constants)) return null;
  return {
    alpha: lambda * lambda * constants.alpha, beta: lambda * constants.beta, gamma: lambda * constants.gamma,
    delta: scaledDelta(name, constants, lambda), zeta: lambda === 1 ? constants.zeta : undefined,
  };
}

const bound = (kind, at) => (at && (kind !== "b3" || at.delta < Infinity) ? TABLE_ONE[kind](at) : Infinity);

// What does not depend on λ, kept until an operator or a parameter changes.
function portrait(name, P, d) {
  const constants = OPERATORS[name].constants(d, P);
  const points = specimens(d, SAMPLES, 11).map((x) => planePoint(name, x, P));
  return { name, P, d, constants, points, best: "beta" in constants ? bestScale(name, constants) : 1 };
}

class Plane {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    const layer = (tag, attributes) => {
      const node = svg.append(tag);
      for (const [key, value] of Object.entries(attributes)) node.attr(key, value);
      return node;
    };
    const hatch = svg.append("defs").append("pattern").attr("id", `gp-hatch-${kit.place ?? "w"}`).attr("width", 7).attr("height", 7)
      .attr("patternUnits", "userSpaceOnUse").attr("patternTransform", "rotate(45)");
    hatch.append("line").attr("y2", 7).attr("stroke", "var(--gp-line)").attr("stroke-width", 3);
    this.region = layer("path", { opacity: 0.22 });
    this.forbidden = layer("path", { fill: `url(#gp-hatch-${kit.place ?? "w"})` });
    this.axes = { x: layer("g", { class: "gp-axis" }), y: layer("g", { class: "gp-axis" }) };
    this.parabola = layer("path", { fill: "none", stroke: "var(--gp-ink)", "stroke-width": 1.5 });
    this.trails = layer("path", { fill: "none", stroke: "var(--gp-accent)", "stroke-dasharray": "1 5", "stroke-width": 2, "stroke-linecap": "round" });
    this.edges = Object.fromEntries(["b1", "ray", "b2", "b3", "u"].map((key) => [key, layer("path", { fill: "none", "stroke-width": 2 })]));
    this.cloud = layer("path", { stroke: "var(--gp-accent)", "stroke-linecap": "round", "stroke-width": 6, class: "gp-cloud" });
    const label = (key, className = "gp-halo") => [key, layer("text", { class: className })];
    this.labels = Object.fromEntries([label("alpha"), label("beta"), label("gamma"), label("delta"), label("zeta"),
      label("never", "gp-faint gp-halo"), label("x", "gp-faint"), label("y", "gp-faint")]);
    this.labels.never.text("no operator: m₂ ≥ m₁²").attr("text-anchor", "middle");
    this.labels.x.text("m₁ = ⟨E C(x), x⟩ / ‖x‖²").attr("text-anchor", "end");
    this.labels.y.text("m₂ = E‖C(x)‖² / ‖x‖²");
    this.buildHandle(layer("g", {}));
  }

  buildHandle(group) {
    this.group = group;
    this.announce = this.kit.handle(group, {
      label: "λ, scaling: where λ times x itself lies", orientation: "horizontal",
      value: () => this.kit.state.lambda, text: (v) => `λ = ${number(v)}`, low: 0.01, high: 1.5, step: 0.01,
      at: (event) => this.x.invert(event.x), change: (value) => this.kit.set({ lambda: Math.round(100 * value) / 100 }),
    });
    group.append("circle").attr("r", 15).attr("fill", "transparent");
    group.append("circle").attr("class", "gp-grip").attr("r", 7).attr("fill", "var(--gp-x)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
    this.name = group.append("text").attr("class", "gp-math gp-halo").style("font-size", "15px").text("λx");
  }

  draw(state, found, at, width) {
    const height = clamp(width * 0.86, 260, 620);
    const pad = { left: 34, right: 10, top: 22, bottom: 34 };
    const most = found.points.reduce(([a, b], [m1, m2]) => [Math.max(a, m1), Math.max(b, m2)], [0, 0]);
    const reach = clamp(1.12 * most[0], 1.35, 2.2);
    const rise = clamp(1.12 * Math.max(most[1], at ? found.constants.beta : 0), 1.6, 6);
    const x = (this.x = d3.scaleLinear([0, reach], [pad.left, width - pad.right]));
    const y = d3.scaleLinear([0, rise], [height - pad.bottom, pad.top]);
    const spot = ([m1, m2]) => [x(m1), y(m2)];
    const curve = (f, from, to) => Array.from({ length: 41 }, (_, i) => from + ((to - from) * i) / 40).map((m) => spot([m, f(m)]));
    const rim = Math.min(reach, Math.sqrt(rise));
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label",
      `The plane of the moments m₁ and m₂ with ${SAMPLES} vectors as seen through ${DATA.operators[found.name].label}, scaled by ${number(state.lambda)}.`);
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(y).ticks(5).tickSize(4));
    const square = curve((m) => m * m, 0, rim);
    this.parabola.attr("d", polyline(square));
    const corner = rim < reach ? [[x(reach), pad.top]] : [];
    this.forbidden.attr("d", `${polyline([...square, ...corner, spot([reach, 0])])}Z`);
    this.labels.never.attr("x", x(0.72 * reach)).attr("y", y(0) - Math.min(16, (y(0) - y((0.6 * reach) ** 2)) / 2));
    this.labels.x.attr("x", width - pad.right).attr("y", height - 4);
    this.labels.y.attr("x", 2).attr("y", 12);
    const { lambda } = state;
    const scaled = ([m1, m2]) => [lambda * m1, lambda * lambda * m2];
    const visible = ([m1, m2]) => m1 <= reach && m2 <= rise;
    this.cloud.attr("d", dots(found.points.map(scaled).filter(visible).map(spot)));
    this.drawTrails(found, spot, visible);
    this.drawEdges(state.region, at, { x, y, reach, rise, spot });
    this.group.attr("transform", `translate(${spot([Math.min(lambda, rim), Math.min(lambda, rim) ** 2])})`);
    // Near the origin there is room above the handle alone, further out below it.
    const low = lambda < 0.5;
    this.name.attr("x", low ? -9 : 9).attr("y", low ? -10 : 17).attr("text-anchor", low ? "end" : "start");
    this.announce();
  }

  // The paths of the two outermost points under scaling.
  drawTrails({ points }, spot, visible) {
    const steepest = points.reduce((a, b) => (b[1] / b[0] > a[1] / a[0] ? b : a));
    const lowest = points.reduce((a, b) => (b[0] < a[0] ? b : a));
    const path = ([m1, m2]) => Array.from({ length: 61 }, (_, i) => [(i / 40) * m1, (i / 40) ** 2 * m2]).filter(visible).map(spot);
    this.trails.attr("d", [steepest, lowest].map((point) => polyline(path(point))).join(""));
  }

  drawEdges(region, at, frame) {
    const { x, y, reach, rise, spot } = frame;
    const { alpha, beta, gamma, delta, zeta } = at ?? {};
    const lines = {
      b1: at && [[Math.min(alpha / beta, reach), alpha], [Math.min(Math.sqrt(alpha), reach), alpha]],
      ray: at && [[0, 0], [Math.min(reach, rise / beta), Math.min(rise, beta * reach)]],
      b2: at && [[gamma, gamma * gamma], [gamma, Math.min(rise, gamma * beta)]],
      b3: at && delta < Infinity && [[1 / (2 * delta), 0], [Math.min(reach, (rise + 1 / delta) / 2), Math.min(rise, 2 * reach - 1 / delta)]],
      u: zeta !== undefined && [[1, 1], [1, Math.min(rise, zeta)]],
    };
    const owner = { b1: "b1", ray: region === "b1" ? "b1" : "b2", b2: "b2", b3: "b3", u: "u" };
    const active = (key) => key === region || (key === "ray" && (region === "b1" || region === "b2"));
    for (const [key, path] of Object.entries(this.edges)) {
      path.attr("d", lines[key] ? polyline(lines[key].map(spot)) : "").attr("stroke", `var(--gp-${owner[key]})`)
        .attr("stroke-width", active(key) ? (key === "u" ? 7 : 3) : 1.5).attr("opacity", active(key) ? 1 : 0.45);
    }
    const put = (key, shown, [m1, m2], dx, dy, text, anchor = "start") =>
      this.labels[key].attr("x", x(m1) + dx).attr("y", y(m2) + dy).text(shown ? text() : "").attr("text-anchor", anchor);
    const end = at ? [Math.min(reach, rise / beta), Math.min(rise, beta * reach)] : [0, 0];
    put("alpha", at && region === "b1" && alpha <= rise, [0, alpha ?? 0], 4, -5, () => `α = ${number(alpha)}`);
    put("beta", at && (region === "b1" || region === "b2"), end, -8, end[1] >= rise ? 14 : -8, () => `slope β = ${number(beta)}`, "end");
    put("gamma", at && region === "b2", [Math.min(gamma ?? 0, reach), Math.min(rise, (gamma ?? 0) * (beta ?? 0))], -5, -7, () => `γ = ${number(gamma)}`, "end");
const far = lines.b3 ? lines.b3[1] : [0, 0];
    put("delta", region === "b3" && lines.b3, far, -10, far[1] >= rise ? 16 : -12, () => `δ = ${number(delta)}`, "end");
    put("zeta", region === "u" && lines.u, [1, Math.min(rise, zeta ?? 0)], 9, 12, () => `ζ = ${number(zeta)}`);
    this.region.attr("fill", `var(--gp-${region})`).attr("d", at ? this.area(region, at, frame) : "");
  }

  // The part of the plane above the parabola that a class leaves to an operator.
  area(region, { alpha, beta, gamma, delta }, { reach, rise, spot }) {
    const ceiling = { b1: (m) => beta * m, b2: (m) => beta * m, b3: (m) => 2 * m - 1 / delta }[region];
    const floor = (m) => Math.max(m * m, region === "b1" ? alpha : 0);
    if (!ceiling) return "";
    const steps = Array.from({ length: 241 }, (_, i) => (reach * i) / 240)
      .filter((m) => ceiling(m) >= floor(m) && floor(m) <= rise && (region !== "b2" || m >= gamma));
    if (steps.length < 2) return "";
    const top = steps.map((m) => spot([m, Math.min(rise, ceiling(m))]));
    const bottom = steps.map((m) => spot([m, floor(m)])).reverse();
    return `${polyline([...top, ...bottom])}Z`;
  }
}

// Iterations against λ: what each class promises, and where B³ promises most.
class Promise3 {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.lines = Object.fromEntries(["b1", "b2", "b3"].map((key) => [key,
      svg.append("path").attr("fill", "none").attr("stroke", `var(--gp-${key})`).attr("stroke-width", 2.5)]));
    this.lines.b1.attr("stroke-dasharray", "7 4");
    this.lines.b2.attr("stroke-dasharray", "3 3");
    this.best = svg.append("path").attr("stroke", "var(--gp-b3)").attr("stroke-dasharray", "2 3");
    this.text = Object.fromEntries(["b1", "b2", "best", "x", "y"].map((key) => [key, svg.append("text").attr("class", "gp-halo gp-faint")]));
    this.text.x.attr("text-anchor", "end").text("λ, scaling");
    this.text.y.text("iterations / ((L/μ) log 1/ε)");
    this.cursor = svg.append("line").attr("stroke", "var(--gp-ink)").attr("stroke-width", 1);
    this.group = svg.append("g");
    this.announce = kit.handle(this.group, {
      label: "λ, scaling: the iterations that B³ promises", orientation: "horizontal",
      value: () => kit.state.lambda, text: (v) => this.spoken(v), low: 0.01, high: 1.5, step: 0.01,
      at: (event) => this.x.invert(event.x), change: (value) => kit.set({ lambda: Math.round(100 * value) / 100 }),
    });
    this.group.append("circle").attr("r", 15).attr("fill", "transparent");
    this.group.append("circle").attr("class", "gp-grip").attr("r", 7).attr("fill", "var(--gp-b3)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
  }

  spoken(lambda) {
    return `λ = ${number(lambda)}, δ = ${number(this.delta ?? Infinity)}`;
  }

  draw(state, found, at, width) {
    this.svg.attr("visibility", at ? "visible" : "hidden").attr("aria-label", "Iterations that the classes promise, against the scaling λ.");
    const height = clamp(width * 0.62, 190, 340);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    if (!at) return;
    const { constants, name, best } = found;
    const bounds = { b1: bound("b1", at), b2: bound("b2", at) };
    const ideal = scaledDelta(name, constants, best);
    const most = 1.12 * Math.max(2 * ideal, Math.min(bounds.b1, 3.2 * ideal), Math.min(bounds.b2, 3.2 * ideal));
    const x = (this.x = d3.scaleLinear([0, 1.5], [32, width - 10]));
    const y = d3.scaleLinear([0, most], [height - 32, 24]);
    this.delta = at.delta;
    this.axes.x.attr("transform", `translate(0,${height - 32})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", "translate(32,0)").call(d3.axisLeft(y).ticks(5).tickSize(4));
    const limit = (value) => Math.max(y(Math.min(value, most * 1.2)), 8);
    for (const key of ["b1", "b2"]) {
      this.lines[key].attr("d", bounds[key] <= most ? `M${x(0)},${y(bounds[key])}H${x(1.5)}` : "");
    }
    const apart = Math.abs(y(Math.min(bounds.b1, most)) - y(bounds.b2)) > 14;
    this.text.b1.attr("x", x(1.5)).attr("text-anchor", "end").attr("y", bounds.b1 <= most ? y(bounds.b1) - 5 : 36)
      .text(apart ? `B¹: β²/α = ${number(bounds.b1)}${bounds.b1 > most ? " ↑" : ""}` : "");
    this.text.b2.attr("x", x(1.5)).attr("text-anchor", "end").attr("y", y(bounds.b2) - 5)
      .text(apart ? `B²: β/γ = ${number(bounds.b2)}` : `B¹ and B²: ${number(bounds.b2)}`);
    const grid = Array.from({ length: 301 }, (_, i) => 0.005 * i).concat(best).sort((a, b) => a - b);
    this.lines.b3.attr("d", polyline(grid.map((l) => [x(l), scaledDelta(name, constants, l)]).filter(([, v]) => v <= most).map(([px, v]) => [px, y(v)])));
    this.best.attr("d", `M${x(best)},${y(0)}V${y(ideal)}`);
    const flip = x(best) > width * 0.6;
    this.text.best.attr("x", x(best) + (flip ? -6 : 6)).attr("y", y(0) - 8).attr("text-anchor", flip ? "end" : "start").text(`best λ = ${number(best)}, δ = ${number(ideal)}`);
    this.text.x.attr("x", width - 10).attr("y", height - 3);
    this.text.y.attr("x", 2).attr("y", 11);
    const at3 = limit(at.delta);
    this.cursor.attr("x1", x(state.lambda)).attr("x2", x(state.lambda)).attr("y1", y(0)).attr("y2", at3);
    this.group.attr("transform", `translate(${x(state.lambda)},${at3})`);
    this.announce();
  }
}

// The table is the legend: a row shades its class.
function readout(kit, parent) {
  const table = element("table", "gp-table", parent);
  const head = element("tr", "", element("thead", "", table));
  for (const text of ["class", "constants at this λ", "iterations"]) element("th", "", head, text).scope = "col";
  const body = element("tbody", "", table);
  const rows = Object.entries(CLASSES).map(([key, { name, title }]) => {
    const row = element("tr", "", body);
    const button = kit.button(name, () => kit.set({ region: key }), element("th", "", row), "gp-button gp-class");
    row.firstChild.scope = "row";
    button.title = title;
    button.style.setProperty("--gp-accent", `var(--gp-${key})`);
    return { key, button, constants: element("td", "", row), bound: element("td", "gp-figures", row) };
  });
  return (state, at, constants) => {
    const bounds = Object.fromEntries(["b1", "b2", "b3"].map((key) => [key, at ? bound(key, at) : Infinity]));
    const least = Math.min(...Object.values(bounds));
    const text = {
      u: constants.zeta === undefined ? "biased" : state.lambda === 1 ? `ζ = ${number(constants.zeta)}` : "only for λ = 1",
      b1: at ? `α = ${number(at.alpha)}, β = ${number(at.beta)}` : "none",
      b2: at ? `γ = ${number(at.gamma)}, β = ${number(at.beta)}` : "none",
      b3: at ? (at.delta < Infinity ? `δ = ${number(at.delta)}` : "none: λβ ≥ 2") : "none",
    };
    for (const { key, button, constants: cell, bound: figure } of rows) {
      button.setAttribute("aria-pressed", state.region === key);
      cell.textContent = text[key];
      const best = bounds[key] <= least * 1.001 && least < Infinity;
      figure.textContent = key === "u" ? "" : (best ? "★ " : "") + number(bounds[key]);
      figure.title = best ? "the best bound at this λ" : "";
    }
  };
}

function inWords(state, found, at) {
  const name = settingName(found.name, found.P);
  const shaded = { u: "Marked: U(ζ).", b1: "Shaded: B¹(α, β).", b2: "Shaded: B²(γ, β).", b3: "Shaded: B³(δ)." }[state.region];
  if (!at) return `${name} is in none of the classes: make x longer and m₁ falls to 0, make it shorter and it grows without end.`;
  const { best, constants } = found;
  const start = `λ = ${number(state.lambda)}: ${name}, d = ${found.d}, needs at most ${number(bound("b1", at))} (B¹), ${number(bound("b2", at))} (B²)`;
  const third = at.delta < Infinity ? ` or ${number(at.delta)} (B³) times (L/μ) log(1/ε) iterations.`
    : " times (L/μ) log(1/ε) iterations; it has left B³, where λβ must stay below 2.";
  const ideal = scaledDelta(found.name, constants, best);
  const advice = Math.abs(state.lambda - best) < 0.006 ? ` Here B³ is at its best, near λ = ${number(best)}.`
    : ` Scaling moves B³ alone: its best is λ = ${number(best)}, with δ = ${number(ideal)}.`;
  return `${start}${third}${advice} ${shaded}`;
}

const EXPLORER = {
  controls: [
    { key: "c", word: "operator", options: operatorOptions },
    { key: "d", symbol: "d", word: "dimension", min: 2, max: 40, step: 1 },
    ...parameterControls("", 40, "c"),
    { key: "lambda", symbol: "λ", word: "scaling", min: 0.01, max: 1.5, step: 0.01 },
    { key: "region", options: Object.keys(CLASSES).map((key) => [key, key]) },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["c", "d", "k", "q", "b", "s", "p"]) kit.control(key, bar);
    const second = kit.bar();
    kit.control("lambda", second).classList.add("gp-long");
    kit.button("λ = 1", () => kit.set({ lambda: 1 }), second);
    const toBest = kit.button("best λ for B³", () => kit.set({ lambda: Math.round(100 * memory.found.best) / 100 }), second);
    kit.reset(second);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const plane = new Plane(kit, left);
    const table = readout(kit, right);
    const promise = new Promise3(kit, right);
    const say = kit.words();
    const memory = {};
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const P = parametersOf(state, "");
      const key = JSON.stringify([state.c, state.d, P, String(P.p)]);
      if (memory.key !== key) Object.assign(memory, { key, found: portrait(state.c, P, state.d) });
      const { found } = memory;
      const at = scaledConstants(found.name, found.constants, state.lambda);
      kit.root.style.setProperty("--gp-accent", `var(--gp-${DATA.operators[state.c].unbiased ? "unbiased" : "biased"})`);
      toBest.disabled = !at;
      plane.draw(state, found, at, widths[0]);
      table(state, at, found.constants);
      promise.draw(state, found, at, widths[1]);
      say(inWords(state, found, at));
    };
  },
};
