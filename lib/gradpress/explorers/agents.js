// Three agents in three dimensions (Example 1): what they compute, what they send, and where the mean of it leads.

const STEPS = 60;
const V = [[-3, 2, 2], [2, -3, 2], [2, 2, -3]];
const OFF = [1.2, -0.9, -0.3]; // across the diagonal
const MESSAGES = {
  "top-1": { label: "Top-1", operator: "top-k", P: { k: 1 } },
  "top-2": { label: "Top-2", operator: "top-k", P: { k: 2 } },
  "rand-1": { label: "Rand-1, right on average", operator: "rand-k", P: { k: 1 } },
  "scaled-sign": { label: "scaled sign", operator: "scaled-sign", P: {} },
  "identity": { label: "everything (gradient descent)", operator: "identity", P: {} },
};

const add = (x, y, s = 1) => x.map((v, i) => v + s * y[i]);
const mean = (rows) => rows[0].map((_, j) => sum(rows.map((row) => row[j])) / rows.length);
const length = (x) => Math.sqrt(square(x));
const gradientsAt = (x) => V.map((v) => { const along = 2 * dot(v, x); return v.map((entry, j) => along * entry + x[j] / 2); });
const startOf = (off) => OFF.map((v) => 1 + off * v);

// The whole run: at each step the iterate, the gradients and the messages.
function run({ c, eta, off, seed }) {
  const { operator, P } = MESSAGES[c];
  const random = uniforms(seed);
  const path = [];
  let x = startOf(off);
  for (let n = 0; n <= STEPS; n += 1) {
    const gradients = gradientsAt(x);
    const messages = gradients.map((g) => OPERATORS[operator].draw(g, P, g.map(random)));
    path.push({ x, gradients, messages, step: mean(messages), gradient: mean(gradients) });
    x = add(x, mean(messages), -eta);
  }
  return path;
}

// --- the view in space -----------------------------------------------------------------------------------------------

class Space {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    this.floor = svg.append("path").attr("class", "gp-grid");
    this.axes = svg.append("path").attr("stroke", "var(--gp-soft)").attr("stroke-width", 1.2);
    this.diagonal = svg.append("path").attr("stroke", "var(--gp-soft)").attr("stroke-dasharray", "2 5");
    this.drop = svg.append("path").attr("stroke", "var(--gp-line)").attr("stroke-width", 1.5).attr("fill", "none");
    const arrow = (width, colour, dash) => {
      const shaft = svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
      const head = svg.append("path").attr("fill", colour);
      return { shaft, head };
    };
    this.plain = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-theory)").attr("stroke-width", 2).attr("stroke-dasharray", "6 4");
    this.trail = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-accent)").attr("stroke-width", 2);
    this.stops = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-linecap", "round").attr("stroke-width", 6);
    this.gradients = V.map(() => arrow(1.4, "var(--gp-x)", null));
    this.messages = V.map(() => arrow(3, "var(--gp-accent)", null));
    this.downhill = arrow(2, "var(--gp-theory)", "5 4");
    this.step = arrow(4.5, "var(--gp-ink)", null);
    this.here = svg.append("circle").attr("r", 6).attr("fill", "var(--gp-ink)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
    const text = (className, label) => svg.append("text").attr("class", className).text(label);
    this.names = ["x₁", "x₂", "x₃"].map((label) => text("gp-halo", label));
    this.origin = text("gp-halo gp-faint", "x* = 0");
    this.group = svg.append("g");
    this.target = this.group.append("rect").attr("fill", "transparent");
    this.grip = this.group.append("circle").attr("class", "gp-grip").attr("r", 9).attr("fill", "var(--gp-ground)").attr("stroke", "var(--gp-soft)").attr("stroke-width", 2);
    this.sign = this.group.append("text").attr("text-anchor", "middle").text("↻");
    const turn = (by, up) => () => this.turn(by, up);
    this.announce = kit.handle(this.group, {
      label: "turn the view: left and right round the x₃ axis, up and down above it", orientation: "horizontal",
      value: () => kit.state.turn, text: (v) => `${number(v)} degrees round, ${number(kit.state.rise)} degrees up`, low: 0, high: 360, step: 5,
      at: (event) => { this.turn(-0.5 * (event.dx ?? 0), 0.5 * (event.dy ?? 0)); return kit.state.turn; },
      change: () => {}, keys: {
        ArrowLeft: turn(-5, 0), ArrowRight: turn(5, 0), ArrowUp: turn(0, 5), ArrowDown: turn(0, -5), PageUp: turn(0, 20), PageDown: turn(0, -20),
        Home: () => kit.set({ turn: 0 }), End: () => kit.set({ turn: 180 }),
      },
    });
  }

  turn(by, up) {
    const { turn, rise } = this.kit.state;
    this.kit.set({ turn: Math.round((turn + by + 360) % 360), rise: clamp(Math.round(rise + up), -85, 85) });
  }

  draw(state, path, plain, width) {
    const height = clamp(width * 0.84, 250, 520);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const { x, gradients, messages, step, gradient } = path[state.n];
    const shown = [...path.slice(0, state.n + 1), ...plain.slice(0, state.n + 1)].map((at) => at.x);
    const reach = Math.max(...shown.map(length));
    const unit = Math.min(width, height) / (2.5 * reach);
    const [a, b] = [state.turn, state.rise].map((v) => (v * Math.PI) / 180);
    const right = [-Math.sin(a), Math.cos(a), 0];
    const up = [-Math.sin(b) * Math.cos(a), -Math.sin(b) * Math.sin(a), Math.cos(b)];
    const spot = (p) => [width / 2 + unit * dot(right, p), 0.6 * height - unit * dot(up, p)];
    const line = (p, q) => polyline([spot(p), spot(q)]);
    const half = 1.05 * reach;
    const rungs = [-1, -0.5, 0, 0.5, 1].map((s) => s * half);
    this.floor.attr("d", rungs.map((s) => line([s, -half, 0], [s, half, 0]) + line([-half, s, 0], [half, s, 0])).join(""));
    const ends = [0, 1, 2].map((i) => [0, 1, 2].map((j) => (i === j ? 1.2 * reach : 0)));
    this.axes.attr("d", ends.map((end) => line([0, 0, 0], end)).join(""));
    this.names.forEach((name, i) => { const [px, py] = spot(ends[i].map((v) => 1.07 * v)); name.attr("x", px - 6).attr("y", py + 4); });
    this.diagonal.attr("d", line([-0.7, -0.7, -0.7].map((v) => v * reach), [0.8, 0.8, 0.8].map((v) => v * reach)));
    this.drop.attr("d", polyline([spot(x), spot([x[0], x[1], 0]), spot([x[0], 0, 0])]));
    const [ox, oy] = spot([0, 0, 0]);
    this.origin.attr("x", ox - 8).attr("y", oy + 16).attr("text-anchor", "end");
    this.plain.attr("d", state.c === "identity" ? "" : polyline(plain.slice(0, state.n + 1).map((at) => spot(at.x))));
    const stops = path.slice(0, state.n + 1).map((at) => spot(at.x));
    this.trail.attr("d", polyline(stops));
    this.stops.attr("d", dots(stops));
    const [hx, hy] = spot(x);
    this.here.attr("cx", hx).attr("cy", hy);
    const longest = Math.max(...[...gradients, ...messages, step].map(length), 1e-300);
    const scale = (0.62 * reach) / longest;
    gradients.forEach((g, i) => this.arrow(this.gradients[i], x, g, scale, spot, 5));
    messages.forEach((m, i) => this.arrow(this.messages[i], x, m, scale, spot, 8));
    this.arrow(this.downhill, x, gradient, scale, spot, 7);
    this.arrow(this.step, x, step, scale, spot, 11);
    this.target.attr("width", width).attr("height", height);
    this.grip.attr("cx", 18).attr("cy", height - 18);
    this.sign.attr("x", 18).attr("y", height - 13.5);
    this.svg.attr("aria-label", `Three agents in space after ${state.n} steps: gradients, messages and their mean at the iterate, its path and that of gradient descent.`);
    this.announce();
  }

  // Against a gradient or a message, since that is where it sends the iterate.
  arrow({ shaft, head }, from, vector, scale, spot, size) {
    const [x0, y0] = spot(from);
    const [x1, y1] = spot(add(from, vector, -scale));
    const long = Math.hypot(x1 - x0, y1 - y0);
    if (long < 1.5) { shaft.attr("d", ""); head.attr("d", ""); return; }
    const [ux, uy] = [(x1 - x0) / long, (y1 - y0) / long];
    const tip = Math.min(size, long);
    shaft.attr("d", polyline([[x0, y0], [x1 - 0.7 * tip * ux, y1 - 0.7 * tip * uy]]));
    head.attr("d", `${polyline([[x1, y1], [x1 - tip * ux + 0.45 * tip * uy, y1 - tip * uy - 0.45 * tip * ux], [x1 - tip * ux - 0.45 * tip * uy, y1 - tip * uy + 0.45 * tip * ux]])}Z`);
  }
}

// --- the distance, step by step ----------------------------------------------------------------------------------------

class Distance {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, "The distance from the minimiser, step by step, for the messages and for gradient descent."));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    const path = (colour, width, dash) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    this.law = path("var(--gp-ink)", 1.2, "2 3");
    this.plain = path("var(--gp-theory)", 2, "6 4");
    this.ahead = path("var(--gp-accent)", 1.2, null).attr("opacity", 0.5);
    this.seen = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-linecap", "round").attr("stroke-width", 5);
    this.now = path("var(--gp-line)", 1.5, null);
    const text = (label, anchor) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor).text(label);
    this.text = { x: text("step n", "end"), y: text("‖xⁿ‖ / ‖x⁰‖", "start"), plain: text("gradient descent", "end"), law: text("(1 + 11η/6)ⁿ", "end") };
  }

  draw(state, path, plain, width) {
    const height = clamp(width * 0.62, 190, 300);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const sizes = [path, plain].map((all) => all.map((at) => Math.log10(Math.max(length(at.x) / length(path[0].x), 1e-12))));
    const [low, high] = [Math.max(-6, Math.min(-0.5, ...sizes[0], ...sizes[1])), Math.min(12, Math.max(0.5, ...sizes[0], ...sizes[1]))];
    const x = d3.scaleLinear([0, STEPS], [46, width - 10]);
    const y = d3.scaleLinear([low, high], [height - 32, 24]).clamp(true);
    const raised = (v) => String(v).replace(/./g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
    this.axes.x.attr("transform", `translate(0,${height - 32})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", "translate(46,0)").call(d3.axisLeft(y).ticks(5).tickFormat((v) => (v === Math.round(v) ? `10${raised(v)}` : "")).tickSize(4));
    const points = sizes.map((values) => values.map((v, n) => [x(n), y(v)]));
    const onLine = state.c === "top-1" && state.off === 0;
    const growth = Math.log10(formulas.example_1_factor({ eta: state.eta }));
    this.law.attr("d", onLine ? polyline([[x(0), y(0)], [x(STEPS), y(growth * STEPS)]]) : "");
    this.plain.attr("d", state.c === "identity" ? "" : polyline(points[1]));
    this.ahead.attr("d", polyline(points[0]));
    this.seen.attr("d", dots(points[0].slice(0, state.n + 1)));
    this.now.attr("d", `M${x(state.n)},24V${height - 32}`);
    this.text.x.attr("x", width - 10).attr("y", height - 3);
    this.text.y.attr("x", 2).attr("y", 12);
    const end = points[1][STEPS];
    this.text.plain.attr("x", width - 12).attr("y", end[1] > height - 60 ? end[1] - 22 : end[1] - 7).text(state.c === "identity" ? "" : "gradient descent");
    this.text.law.attr("x", width - 12).attr("y", y(growth * STEPS) + 18).text(onLine ? "(1 + 11η/6)ⁿ" : "");
  }
}

// --- numbers and words -----------------------------------------------------------------------------------------------

function numbersTable(parent) {
  const table = element("table", "gp-table", parent);
  const head = element("tr", "", element("thead", "", table));
  for (const text of ["", "gradient", "message"]) element("th", "", head, text).scope = "col";
  const body = element("tbody", "", table);
  const rows = ["agent 1", "agent 2", "agent 3", "mean"].map((name) => {
    const row = element("tr", "", body);
    element("th", "", row, name).scope = "row";
    return [element("td", "", row), element("td", "", row)];
  });
  const shown = (v) => `(${v.map((entry) => number(entry)).join(", ")})`;
  return ({ gradients, messages, gradient, step }) => {
    [...gradients, gradient].forEach((g, i) => { rows[i][0].textContent = shown(g); });
    [...messages, step].forEach((m, i) => { rows[i][1].textContent = shown(m); });
  };
}

function inWords(state, path, plain) {
  const now = path[state.n];
  const size = (all) => number(length(all[state.n].x) / length(all[0].x));
  const start = `${capital(MESSAGES[state.c].label)}, η = ${number(state.eta)}, from (${startOf(state.off).map((v) => number(v)).join(", ")})`;
  const far = `after ${state.n} step${state.n === 1 ? "" : "s"} the distance from the minimum is ${size(path)} times the first one`;
  const other = state.c === "identity" ? "" : ` (gradient descent: ${size(plain)})`;
  const along = dot(now.step, now.gradient);
  const angle = length(now.step) < 1e-300 ? "The mean message is 0: nothing moves."
    : along < 0 ? "The step along the mean message leads uphill." : "The step along the mean message leads downhill.";
  const law = state.c === "top-1" && state.off === 0 ? ` Each step multiplies x by 1 + 11η/6 = ${number(formulas.example_1_factor({ eta: state.eta }), 4)}.` : "";
  const drawn = state.c === "rand-1" ? ` Draw ${state.seed}.` : "";
  return [`${start}: ${far}${other}. ${angle}${law}${drawn} Seen from ${number(state.turn)}° round and ${number(state.rise)}° up.`, along < 0];
}

const EXPLORER = {
  controls: [
    { key: "c", word: "what each agent sends", options: Object.entries(MESSAGES).map(([key, { label }]) => [key, label]) },
    { key: "eta", symbol: "η", word: "step size", min: 0.005, max: 0.12, step: 0.005 },
    { key: "off", word: "start off the diagonal", min: 0, max: 1, step: 0.02 },
    { key: "n", symbol: "n", word: "steps taken", min: 0, max: STEPS, step: 1 },
    { key: "seed", word: "draw", min: 1, max: 50, step: 1, shown: (state) => state.c === "rand-1" },
    { key: "turn", min: 0, max: 360 },
    { key: "rise", min: -85, max: 85 },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["c", "eta", "off", "n", "seed"]) kit.control(key, bar);
    const buttons = kit.bar();
    const play = kit.button("play", () => toggle(), buttons);
    kit.button("step", () => { pause(); kit.set({ n: (kit.state.n + 1) % (STEPS + 1) }); }, buttons);
    kit.button("to the start", () => { pause(); kit.set({ n: 0 }); }, buttons);
    kit.reset(buttons);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const space = new Space(kit, left);
    legend(left);
    const table = numbersTable(right);
    const distance = new Distance(kit, right);
    const say = kit.words();
    const memory = {};
    let timer = null;
    const pause = () => { clearInterval(timer); timer = null; play.textContent = "play"; };
    const toggle = () => {
      if (timer) { pause(); return; }
      if (kit.calm) { kit.set({ n: kit.state.n === STEPS ? 0 : STEPS }); return; }
      if (kit.state.n >= STEPS) kit.set({ n: 0 });
      play.textContent = "pause";
      timer = setInterval(() => { if (kit.state.n >= STEPS) pause(); else kit.set({ n: kit.state.n + 1 }); }, 160);
    };
    kit.cleanups.push(() => clearInterval(timer));
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const key = JSON.stringify([state.c, state.eta, state.off, state.c === "rand-1" && state.seed]);
      if (memory.key !== key) Object.assign(memory, { key, path: run(state), plain: run({ ...state, c: "identity" }) });
      const { path, plain } = memory;
      kit.el.gradpress.path = path.map((at) => at.x);
      const { unbiased } = DATA.operators[MESSAGES[state.c].operator];
      kit.root.style.setProperty("--gp-accent", `var(--gp-${unbiased ? "unbiased" : "biased"})`);
      space.draw(state, path, plain, widths[0]);
      table(path[state.n]);
      distance.draw(state, path, plain, widths[1]);
      say(...inWords(state, path, plain));
    };
  },
};

function legend(parent) {
  const line = element("p", "gp-legend", parent);
  const entry = (colour, width, dash, text) => {
    const item = element("span", "", line);
    d3.select(item).append("svg").attr("viewBox", "0 0 22 14").attr("aria-hidden", "true").append("path").attr("d", "M1,7H21")
      .attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    item.append(text);
  };
  entry("var(--gp-x)", 1.6, null, "against a gradient");
  entry("var(--gp-accent)", 3, null, "against a message");
  entry("var(--gp-ink)", 4.5, null, "their mean: the step");
  entry("var(--gp-theory)", 2, "5 4", "gradient descent");
}
