// Compressed gradient descent in the plane: a quadratic that the reader bends, one run, many runs, and what is promised.

const RUNS = 64;
const REACH = 1.15;
const LEAST = 1e-9; // the smallest share of the first gap that is drawn
const QUANTILE = 1.96;

// What a class promises of one step, with L = 1: the largest step and the factor of the gap.
const THEOREMS = {
  b1: { name: "Theorem 17", class: "B¹", colour: "b1", needs: ["alpha", "beta"],
    most: (c) => formulas.cgd_b1_step({ beta: c.beta, L: 1 }), factor: (c) => formulas.cgd_b1_factor(c) },
  b2: { name: "Theorem 18", class: "B²", colour: "b2", needs: ["gamma", "beta"],
    most: (c) => formulas.cgd_b2_step({ beta: c.beta, L: 1 }), factor: (c) => formulas.cgd_b2_factor(c) },
  b3: { name: "Theorem 19", class: "B³", colour: "b3", needs: ["delta"],
    most: () => formulas.cgd_b3_step({ L: 1 }), factor: (c) => formulas.cgd_b3_factor(c) },
  long: { name: "the longer step in B³", class: "B³", colour: "b3", needs: ["delta"],
    most: (c) => formulas.cgd_b3_step_long({ delta: c.delta, L: 1 }), factor: (c) => formulas.cgd_b3_factor_long(c) },
};

// The theorem at these settings: `factor` is null where nothing is promised, and `why` says so.
function promise(state, constants) {
  const theorem = THEOREMS[state.region];
  const missing = theorem.needs.some((name) => !(constants[name] < Infinity));
  if (missing) return { theorem, factor: null, why: `as it stands it is in no ${theorem.class}, so ${theorem.name} is silent` };
  const values = { ...constants, eta: state.eta, mu: 1 / state.kappa, L: 1 };
  const most = theorem.most(values);
  if (state.eta > most * (1 + 1e-9)) return { theorem, most, factor: null, why: `${theorem.name} allows steps up to ${number(most)}/L only and is silent here` };
  return { theorem, most, factor: Math.max(0, theorem.factor(values)), why: "" };
}

// The step size with the smallest promised factor.
function bestStep(state, constants) {
  const { beta } = constants;
  if (state.region === "b1" || state.region === "b2") return beta < Infinity ? 1 / beta : null;
  return constants.delta < Infinity ? 1 : null;
}

// f(x) = ½(μ⟨v, x⟩² + ⟨w, x⟩²): v along the valley, w across it.
function valley({ kappa, angle }) {
  const [cosine, sine] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  const mu = 1 / kappa;
  const parts = ([x, y]) => [cosine * x + sine * y, cosine * y - sine * x];
  return {
    mu, cosine, sine,
    loss(x) { const [along, across] = parts(x); return (mu * along * along + across * across) / 2; },
    gradient(x) {
      const [along, across] = parts(x);
      return [cosine * mu * along - sine * across, sine * mu * along + cosine * across];
    },
  };
}

// Runs of `steps` steps, each a list of iterates. The first run is the one that is drawn.
function descend(state, P) {
  const { gradient } = valley(state);
  const random = uniforms(state.seed);
  const { draw } = OPERATORS[state.c];
  const runs = DATA.operators[state.c].deterministic ? 1 : RUNS;
  return Array.from({ length: runs }, () => {
    const path = [state.x];
    for (let n = 0; n < state.steps; n += 1) {
      const x = path[n];
      const message = draw(gradient(x), P, [random(), random()]);
      const next = x.map((v, i) => v - state.eta * message[i]);
      path.push(next.every((v) => Math.abs(v) < 1e60) ? next : x);
    }
    return path;
  });
}

// The gap over the first one, run by run, and its mean with a normal interval at every step.
function gaps(state, runs) {
  const { loss } = valley(state);
  const first = loss(state.x) || 1;
  const each = runs.map((path) => path.map((x) => loss(x) / first));
  const mean = [];
  const width = [];
  for (let n = 0; n <= state.steps; n += 1) {
    const average = sum(each.map((run) => run[n])) / each.length;
    const spread = Math.sqrt(sum(each.map((run) => (run[n] - average) ** 2)) / Math.max(1, each.length - 1) / each.length);
    mean.push(average);
    width.push(QUANTILE * spread);
  }
  return { each, mean, width };
}

// --- the valley ------------------------------------------------------------------------------------------------------

const radiusOf = (kappa) => 0.3 + 0.35 * Math.log10(kappa);
const kappaOf = (radius) => Math.round(clamp(10 ** ((radius - 0.3) / 0.35), 1, 100));

class Valley {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    this.contours = svg.append("g").attr("fill", "none").attr("stroke", "var(--gp-line)").attr("stroke-width", 1.2);
    this.axis = svg.append("path").attr("stroke", "var(--gp-soft)").attr("stroke-width", 1.5).attr("stroke-dasharray", "4 3");
    this.cloud = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-linecap", "round").attr("stroke-width", 5).attr("class", "gp-cloud");
    this.path = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-accent)").attr("stroke-width", 1.8);
    this.marks = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-linecap", "round").attr("stroke-width", 6);
    this.minimum = svg.append("path").attr("stroke", "var(--gp-ink)").attr("stroke-width", 2);
    this.note = svg.append("text").attr("class", "gp-faint gp-halo");
    this.start = this.grip("var(--gp-x)", "start", (group) => kit.handle(group, this.startHandle()));
    this.turn = this.grip("var(--gp-soft)", "valley", (group) => kit.handle(group, this.turnHandle()));
  }

  grip(colour, name, handle) {
    const group = this.svg.append("g");
    const announce = handle(group);
    group.append("circle").attr("r", 15).attr("fill", "transparent");
    group.append("circle").attr("class", "gp-grip").attr("r", 7).attr("fill", colour).attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
    group.append("text").attr("class", "gp-halo").attr("y", -11).attr("text-anchor", "middle").text(name);
    return { group, announce };
  }

  // A handle of the kit is a slider; a hand moves these in both directions, and so do the four arrows.
  startHandle() {
    const { kit } = this;
    const set = (i, value) => kit.set({ x: kit.state.x.map((v, j) => (j === i ? clamp(Math.round(100 * value) / 100, -1, 1) : v)) });
    let across = null;
    return {
      label: "start: where the descent begins", value: () => kit.state.x[1], low: -1, high: 1, step: 0.05,
      text: () => `(${number(kit.state.x[0])}, ${number(kit.state.x[1])})`,
      at: (event) => { across = this.x.invert(event.x); return this.y.invert(event.y); },
      change: (value) => { set(1, value); if (across !== null) set(0, across); across = null; },
      keys: { ArrowLeft: () => set(0, kit.state.x[0] - 0.05), ArrowRight: () => set(0, kit.state.x[0] + 0.05) },
    };
  }

  turnHandle() {
    const { kit } = this;
    let away = null;
    return {
      label: "valley: its direction and, further out, its condition number", value: () => kit.state.angle, low: 0, high: 180, step: 3,
      text: (v) => `${number(v)} degrees, κ = ${number(kit.state.kappa)}`,
      at: (event) => {
        const [x, y] = [this.x.invert(event.x), this.y.invert(event.y)];
        away = Math.hypot(x, y);
        return ((Math.atan2(y, x) * 180) / Math.PI + 360) % 180;
      },
      change: (value) => { kit.set({ angle: Math.round(value), ...(away === null ? {} : { kappa: kappaOf(away) }) }); away = null; },
      keys: { ArrowLeft: () => kit.set({ kappa: kit.state.kappa - 1 }), ArrowRight: () => kit.set({ kappa: kit.state.kappa + 1 }) },
    };
  }

  draw(state, runs, width) {
    const size = clamp(width, 240, 460);
    this.svg.attr("viewBox", `0 0 ${width} ${size}`);
    const x = (this.x = d3.scaleLinear([-REACH, REACH], [(width - size) / 2, (width + size) / 2]));
    const y = (this.y = d3.scaleLinear([-REACH, REACH], [size, 0]));
    const spot = (point) => [x(clamp(point[0], -3, 3)), y(clamp(point[1], -3, 3))];
    const { mu, cosine, sine, loss } = valley(state);
    const unit = x(1) - x(0);
    const levels = Array.from({ length: 9 }, (_, i) => Math.max(loss(state.x), 1e-6) * 4 ** (2 - i));
    this.contours.selectAll("ellipse").data(levels).join("ellipse").attr("cx", x(0)).attr("cy", y(0))
      .attr("rx", (c) => unit * Math.sqrt((2 * c) / mu)).attr("ry", (c) => unit * Math.sqrt(2 * c))
      .attr("transform", `rotate(${-state.angle},${x(0)},${y(0)})`);
    const radius = radiusOf(state.kappa);
    const tip = [radius * cosine, radius * sine];
    this.axis.attr("d", polyline([spot([0, 0]), spot(tip)]));
    this.minimum.attr("d", `M${x(0) - 5},${y(0)}h10M${x(0)},${y(0) - 5}v10`);
    this.path.attr("d", polyline(runs[0].map(spot)));
    this.marks.attr("d", dots(runs[0].slice(1).map(spot)));
    this.cloud.attr("d", dots(runs.slice(1).map((path) => spot(path[state.steps]))));
    this.note.attr("x", x(-REACH) + 4).attr("y", size - 6).text(runs.length > 1 ? `pale: ${runs.length - 1} other runs after ${state.steps} steps` : "");
    this.start.group.attr("transform", `translate(${spot(state.x)})`);
    this.turn.group.attr("transform", `translate(${spot(tip)})`);
    this.start.announce();
    this.turn.announce();
    this.svg.attr("aria-label", `Contours of a quadratic with condition number ${number(state.kappa)} and the path of ${state.steps} steps.`);
  }
}

// --- the gap ---------------------------------------------------------------------------------------------------------

const power = (exponent) => (exponent === 0 ? "1" : `10${[...String(exponent)].map((sign) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign] ?? "⁻").join("")}`);

class Gap {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    const line = (attributes) => Object.entries(attributes).reduce((node, [key, value]) => node.attr(key, value), svg.append("path").attr("fill", "none"));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.others = line({ stroke: "var(--gp-accent)", "stroke-width": 1, opacity: 0.18 });
    this.band = svg.append("path").attr("fill", "var(--gp-measured)").attr("opacity", 0.25);
    this.run = line({ stroke: "var(--gp-accent)", "stroke-width": 1.8 });
    this.mean = line({ stroke: "var(--gp-measured)", "stroke-width": 3 });
    this.bound = line({ "stroke-width": 2.5, "stroke-dasharray": "7 4" });
    this.text = Object.fromEntries(["x", "y", "bound", "mean"].map((key) => [key, svg.append("text").attr("class", "gp-halo")]));
    this.text.x.attr("class", "gp-faint").attr("text-anchor", "end").text("steps n");
    this.text.y.attr("class", "gp-faint").text("gap / first gap");
  }

  draw(state, { each, mean, width: spread }, promised, width) {
    const height = clamp(width * 0.8, 240, 400);
    const pad = { left: 52, right: 12, top: 24, bottom: 34 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const lowest = clamp(Math.min(...mean, promised.factor === null ? 1 : promised.factor ** state.steps), LEAST, 0.1);
    const highest = clamp(Math.max(1, ...mean), 1, 1e6);
    const x = d3.scaleLinear([0, state.steps], [pad.left, width - pad.right]);
    const tenth = d3.scaleLinear([Math.log10(lowest / 2), Math.log10(2 * highest)], [height - pad.bottom, pad.top]);
    const up = (value) => tenth(Math.log10(clamp(value, lowest / 2, 2 * highest)));
    const line = (values) => polyline(values.map((value, n) => [x(n), up(value)]));
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    const tens = tenth.ticks(6).filter(Number.isInteger);
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(tenth).tickValues(tens).tickFormat(power).tickSize(4));
    this.others.attr("d", each.slice(1, 16).map(line).join(""));
    this.run.attr("d", line(each[0]));
    this.mean.attr("d", each.length > 1 ? line(mean) : "");
    const low = mean.map((value, n) => [x(n), up(Math.max(value - spread[n], LEAST))]);
    this.band.attr("d", each.length > 1 ? `${polyline([...mean.map((value, n) => [x(n), up(value + spread[n])]), ...low.reverse()])}Z` : "");
    const colour = `var(--gp-${promised.theorem.colour})`;
    const bounds = mean.map((_, n) => (promised.factor ?? 1) ** n);
    this.bound.attr("stroke", colour).attr("d", promised.factor === null ? "" : line(bounds));
    const label = promised.factor === null ? "nothing is promised" : `at most: ${promised.theorem.name}`;
    const third = Math.round(state.steps / 3);
    const above = promised.factor === null ? pad.top + 12 : clamp(up(bounds[third]) - 12, pad.top + 12, height - pad.bottom - 30);
    this.text.bound.attr("x", x(third)).attr("y", above).style("fill", colour).text(label);
    this.text.mean.attr("x", pad.left + 6).attr("y", height - pad.bottom - 8).style("fill", "var(--gp-measured)")
      .text(each.length > 1 ? `mean of ${each.length} runs` : "");
    this.text.x.attr("x", width - pad.right).attr("y", height - 3);
    this.text.y.attr("x", 2).attr("y", 12);
    this.svg.attr("aria-label", "The gap over the first gap against the number of steps, with what the theorem promises.");
  }
}

function inWords(state, P, { each, mean }, promised) {
  const start = `${settingName(state.c, P)}, κ = ${number(state.kappa)}, η = ${number(state.eta)}/L, from (${number(state.x[0])}, ${number(state.x[1])})`;
  const left = mean[state.steps];
  const who = each.length > 1 ? `the mean gap of ${each.length} runs` : "the gap";
  const found = `after ${state.steps} steps ${who} is ${number(left)} of the first one`;
  const grows = left > 1 ? " It grows: this step is too long, or the operator is too noisy for it." : "";
  if (promised.factor === null) return `${start}: ${found}; ${promised.why}.${grows}`;
  const bound = promised.factor ** state.steps;
  const rate = (value) => -Math.log(value) / state.steps;
  const faster = left < bound && left > 0 && bound < 1 ? ` The measured rate is ${number(rate(left) / rate(bound), 2)} times the promised one.` : "";
  return `${start}: ${found}; ${promised.theorem.name} promises at most ${number(bound)}.${faster}${grows}`;
}

const EXPLORER = {
  controls: [
    { key: "c", word: "operator", options: operatorOptions },
    ...parameterControls("", 2, "c"),
    { key: "kappa", symbol: "κ", word: "condition number", min: 1, max: 100, step: 1 },
    { key: "angle", word: "angle of the valley", min: 0, max: 180, step: 1, format: (v) => `${v}°` },
    { key: "eta", symbol: "ηL", word: "step size times L", min: 0.05, max: 2.5, step: 0.05 },
    { key: "steps", symbol: "n", word: "steps", min: 5, max: 150, step: 5 },
    { key: "region", word: "what is promised by", radio: true,
      options: [["b1", "B¹, Theorem 17"], ["b2", "B², Theorem 18"], ["b3", "B³, Theorem 19"], ["long", "B³, any step"]] },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["c", "k", "q", "b", "s", "p"]) kit.control(key, bar);
    const second = kit.bar();
    for (const key of ["kappa", "angle", "eta", "steps"]) kit.control(key, second);
    kit.control("region", kit.bar());
    const third = kit.bar();
    kit.button("another draw", () => kit.set({ seed: (kit.state.seed % 9999) + 1 }), third);
    const best = kit.button("best step for the class", () => kit.set({ eta: memory.best }), third);
    kit.reset(third);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const picture = new Valley(kit, left);
    const curve = new Gap(kit, right);
    const say = kit.words();
    const memory = {};
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const P = parametersOf(state, "");
      const { region, ...rest } = state;
      const key = JSON.stringify([rest, String(P.p)]);
      if (memory.key !== key) {
        const runs = descend(state, P);
        Object.assign(memory, { key, runs, measured: gaps(state, runs), constants: OPERATORS[state.c].constants(2, P) });
      }
      const promised = promise(state, memory.constants);
      const ideal = bestStep(state, memory.constants);
      memory.best = ideal === null ? state.eta : clamp(Math.round(20 * ideal) / 20, 0.05, 2.5);
      best.disabled = ideal === null;
      kit.root.style.setProperty("--gp-accent", `var(--gp-${DATA.operators[state.c].unbiased ? "unbiased" : "biased"})`);
      picture.draw(state, memory.runs, widths[0]);
      curve.draw(state, memory.measured, promised, widths[1]);
      say(inWords(state, P, memory.measured, promised), promised.factor === null);
    };
  },
};

export const simulation = { descend, gaps, promise };
