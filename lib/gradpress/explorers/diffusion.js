// SGD beside its first- and second-order equations: many runs of each, over time and at one moment.

const RUNS = 400;
const TIME = 6; // all runs end here; one step of SGD takes the time η
const MOST = 0.025; // the longest step of the solver
const START = 2;
const QUANTILES = [0.1, 0.9];

// f′ and f″ on the line; H where closed forms hold.
const PROBLEMS = {
  bowl: { label: "bowl, ½x²", H: 1, slope: (x) => x, curvature: () => 1 },
  valley: { label: "valley, ¼(x² + 3 sin²x)", slope: (x) => (2 * x + 3 * Math.sin(2 * x)) / 4, curvature: (x) => (1 + 3 * Math.cos(2 * x)) / 2 },
  wave: { label: "wave, 1 − cos x", slope: Math.sin, curvature: Math.cos },
};
// The noise of scale 1 from two uniform numbers, and whether it has a variance.
const NOISES = {
  normal: { label: "Gaussian", finite: true, draw: (random) => gaussian(random) },
  coin: { label: "a fair coin, ±σ", finite: true, draw: (random) => (random() < 0.5 ? -1 : 1) },
  skew: { label: "a skew coin, 2σ or −½σ", finite: true, draw: (random) => (random() < 0.2 ? 2 : -0.5) },
  cauchy: { label: "Cauchy", finite: false, draw: (random) => Math.tan(Math.PI * (random() - 0.5)) },
};
const KINDS = {
  chain: { label: "SGD", colour: "unbiased", dash: null },
  first: { label: "first-order equation", colour: "b2", dash: "8 4" },
  second: { label: "second-order equation", colour: "b1", dash: "2 4" },
};

// One step of the method, and one of the solver: Euler–Maruyama of length dt with a standard normal number w.
const chainStep = (problem, x, eta, sigma, z) => x - eta * (problem.slope(x) + sigma * z);
function solverStep(problem, order, x, eta, sigma, dt, w) {
  const slope = problem.slope(x);
  const drift = order === 2 ? slope + (eta / 2) * problem.curvature(x) * slope : slope;
  return x - dt * drift + Math.sqrt(eta * dt) * sigma * w;
}

// Rows of states, one for each time: the method's at 0, η, 2η, …; the equations' at the times of the solver.
function chainRows({ problem, noise, eta, sigma, seed }) {
  const random = uniforms(seed);
  const rows = [new Float64Array(RUNS).fill(START)];
  for (let n = 1; n * eta <= TIME + 1e-9; n += 1) {
    rows.push(rows[n - 1].map((x) => clamp(chainStep(PROBLEMS[problem], x, eta, sigma, NOISES[noise].draw(random)), -1e9, 1e9)));
  }
  return { rows, dt: eta };
}

// The Brownian motion of a seed, the same for both equations and every η, so that only their differences show.
const COUNT = Math.ceil(TIME / MOST);
const motion = { seed: null, rows: [] };
function normals(seed) {
  if (motion.seed !== seed) {
    const random = uniforms(seed + 1000);
    motion.seed = seed;
    motion.rows = Array.from({ length: COUNT }, () => Float64Array.from({ length: RUNS }, () => gaussian(random)));
  }
  return motion.rows;
}

function equationRows({ problem, eta, sigma, seed }, order) {
  const dt = TIME / COUNT;
  const rows = [new Float64Array(RUNS).fill(START)];
  let x = rows[0];
  normals(seed).forEach((w, n) => {
    x = x.map((v, i) => solverStep(PROBLEMS[problem], order, v, eta, sigma, dt, w[i]));
    if (n % 4 === 3) rows.push(x);
  });
  return { rows, dt: 4 * dt };
}

const mean = (row) => row.reduce((total, v) => total + v, 0) / row.length;
function summary(row) {
  const sorted = Float64Array.from(row).sort();
  const average = mean(row);
  return { average, variance: row.reduce((total, v) => total + (v - average) ** 2, 0) / (row.length - 1),
    low: sorted[Math.floor(QUANTILES[0] * row.length)], high: sorted[Math.floor(QUANTILES[1] * row.length)], median: sorted[row.length >> 1], sorted };
}

// Mean and variance at the time t on the bowl, from the closed forms of the book.
function closedForm(kind, { eta, sigma }, t) {
  const values = { H: 1, eta, sigma_B: sigma };
  if (kind === "chain") {
    const factor = formulas.sgd_factor(values);
    const n = Math.floor(t / eta + 1e-9);
    const share = 1 - factor ** (2 * n);
    const variance = Math.abs(factor * factor - 1) < 1e-9 ? n * (eta * sigma) ** 2 : formulas.sgd_variance_chain(values) * share;
    return { average: START * factor ** n, variance };
  }
  const decay = formulas[`sgd_decay_${kind}`](values);
  return { average: START * Math.exp(-decay * t), variance: formulas[`sgd_variance_${kind}`](values) * -Math.expm1(-2 * decay * t) };
}

// --- the runs over time ----------------------------------------------------------------------------------------------

class Course {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.zero = svg.append("path").attr("class", "gp-grid");
    this.bands = {};
    this.lines = {};
    for (const [key, { colour, dash }] of Object.entries(KINDS)) {
      this.bands[key] = svg.append("path").attr("fill", "none").attr("stroke", `var(--gp-${colour})`).attr("stroke-width", 1.3).attr("stroke-dasharray", dash);
      this.lines[key] = svg.append("path").attr("fill", "none").attr("stroke", `var(--gp-${colour})`).attr("stroke-width", 3).attr("stroke-dasharray", dash);
    }
    this.stops = svg.append("path").attr("stroke", "var(--gp-unbiased)").attr("stroke-width", 6).attr("stroke-linecap", "round");
    this.cursor = svg.append("line").attr("stroke", "var(--gp-ink)");
    const text = () => svg.append("text").attr("class", "gp-faint gp-halo");
    this.text = { x: text().attr("text-anchor", "end").text("time t = nη"), y: text().text("x: mean (thick), and where 80 % of the runs are") };
    this.group = svg.append("g");
    this.group.append("circle").attr("r", 15).attr("fill", "transparent");
    this.group.append("circle").attr("class", "gp-grip").attr("r", 7).attr("fill", "var(--gp-ink)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
    this.announce = kit.handle(this.group, {
      label: "t, the time that is shown on the right", orientation: "horizontal", value: () => kit.state.t, text: (v) => `time ${number(v)}`,
      low: 0, high: TIME, step: 0.1, at: (event) => this.x.invert(event.x), change: (value) => kit.set({ t: Math.round(10 * value) / 10 }),
    });
  }

  draw(found, state, width) {
    const height = clamp(width * 0.74, 240, 420);
    const pad = { left: 40, right: 14, top: 24, bottom: 44 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const x = (this.x = d3.scaleLinear([0, TIME], [pad.left, width - pad.right]));
    const reach = 4;
    const y = d3.scaleLinear([-reach, reach], [height - pad.bottom, pad.top]).clamp(true);
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(d3.axisBottom(x).ticks(6).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(y).ticks(5).tickSize(4));
    this.zero.attr("d", `M${pad.left},${y(0)}H${width - pad.right}`);
    for (const key of Object.keys(KINDS)) {
      const run = found[key];
      const path = (pick) => (run ? polyline(run.sums.map((one, n) => [x(n * run.dt), y(pick(one))])) : "");
      this.bands[key].attr("d", path((one) => one.low) + path((one) => one.high));
      this.lines[key].attr("d", path((one) => (NOISES[state.noise].finite ? one.average : one.median)));
    }
    const chain = found.chain;
    this.stops.attr("d", dots(chain.sums.length <= 61 ? chain.sums.map((one, n) => [x(n * chain.dt), y(NOISES[state.noise].finite ? one.average : one.median)]) : []));
    this.cursor.attr("x1", x(state.t)).attr("x2", x(state.t)).attr("y1", pad.top).attr("y2", height - pad.bottom);
    this.group.attr("transform", `translate(${x(state.t)},${height - pad.bottom})`);
    this.text.x.attr("x", width - pad.right).attr("y", height - 6);
    this.text.y.attr("x", 2).attr("y", 12).text(`x: ${NOISES[state.noise].finite ? "mean" : "median"} (thick), and the middle 80 % of the runs`);
    this.svg.attr("aria-label", `${RUNS} runs of SGD and of its two equations from x = ${START} over the time from 0 to ${TIME}.`);
    this.announce();
  }
}

// --- the runs at one moment: distribution functions ------------------------------------------------------------------

class Moment {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.curves = Object.fromEntries(Object.entries(KINDS).map(([key, { colour, dash }]) => [key,
      svg.append("path").attr("fill", "none").attr("stroke", `var(--gp-${colour})`).attr("stroke-width", 2.5).attr("stroke-dasharray", dash)]));
    const text = () => svg.append("text").attr("class", "gp-faint gp-halo");
    this.text = { x: text().attr("text-anchor", "end").text("x"), y: text() };
  }

  draw(here, t, width) {
    const height = clamp(width * 0.74, 240, 420);
    const pad = { left: 40, right: 14, top: 24, bottom: 44 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const shown = Object.values(here);
    const spread = Math.min(8, Math.max(0.2, ...shown.map(({ sorted }) => Math.max(Math.abs(sorted[4]), Math.abs(sorted[RUNS - 5])))));
    const x = d3.scaleLinear([-1.1 * spread, 1.1 * spread], [pad.left, width - pad.right]).clamp(true);
    const y = d3.scaleLinear([0, 1], [height - pad.bottom, pad.top]);
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(y).ticks(5).tickSize(4));
    for (const key of Object.keys(KINDS)) {
      const one = here[key];
      this.curves[key].attr("d", one ? polyline(Array.from(one.sorted, (v, i) => [x(v), y((i + 0.5) / RUNS)])) : "");
    }
    this.text.x.attr("x", width - pad.right).attr("y", height - 6);
    this.text.y.attr("x", 2).attr("y", 12).text(`share of the runs below x, at t = ${number(t)}`);
    this.svg.attr("aria-label", `Distribution functions of the runs at the time ${number(t)}.`);
  }
}

function inWords(state, eta, here) {
  const { sigma, t } = state;
  const steps = Math.floor(t / eta + 1e-9);
  const noise = NOISES[state.noise];
  const begin = `η = ${number(eta)}, σ = ${number(sigma)}, after ${steps} step${steps === 1 ? "" : "s"}: `;
  if (!noise.finite) {
    const width = (here.chain.high - here.chain.low) / 2;
    const rest = state.problem === "bowl" && eta < 1 ? ` At rest it is Cauchy with the scale ${number(formulas.stable_scale({ H: 1, eta, nu: 1, sigma_B: sigma }))}, whatever η is.` : "";
    return `${begin}half the width of the middle 80 % of SGD is ${number(width)}. Cauchy noise has no variance, and SGD no diffusion.${rest}`;
  }
  const tell = (key) => {
    const { average, variance } = here[key];
    const exact = state.problem === "bowl" ? ` (exact ${number(closedForm(key, { eta, sigma }, t).average)}, ${number(closedForm(key, { eta, sigma }, t).variance)})` : "";
    return `${KINDS[key].label} ${number(average)}, ${number(variance)}${exact}`;
  };
  const unstable = state.problem === "bowl" && eta >= formulas.sgd_largest_step({ H: 1 }) ? " SGD is unstable, and neither equation sees it." : "";
  return `${begin}mean and variance of ${Object.keys(KINDS).map(tell).join("; ")}.${unstable}`;
}

const EXPLORER = {
  controls: [
    { key: "problem", word: "function f", options: Object.entries(PROBLEMS).map(([key, { label }]) => [key, label]) },
    { key: "noise", word: "noise of a gradient", options: Object.entries(NOISES).map(([key, { label }]) => [key, label]) },
    { key: "eta", symbol: "η", word: "step size", min: 0.05, max: 2.5, step: 0.05 },
    { key: "sigma", symbol: "σ", word: "noise scale", min: 0.1, max: 2, step: 0.1 },
    { key: "t", symbol: "t", word: "time shown", min: 0, max: TIME, step: 0.1 },
    { key: "seed", word: "seed", min: 1, max: 40, step: 1, format: (v) => String(v) },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["problem", "noise", "eta", "sigma", "t", "seed"]) kit.control(key, bar);
    kit.reset(bar);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const course = new Course(kit, left);
    const legend = element("p", "gp-legend", left);
    for (const { label, colour, dash } of Object.values(KINDS)) {
      const item = element("span", "", legend);
      d3.select(item).append("svg").attr("viewBox", "0 0 22 14").attr("aria-hidden", "true").append("path").attr("d", "M0,7H22")
        .attr("stroke", `var(--gp-${colour})`).attr("stroke-width", 2.5).attr("stroke-dasharray", dash);
      item.append(label);
    }
    const moment = new Moment(kit, right);
    element("p", "gp-caption", right, `${RUNS} runs each. The two equations share one Brownian motion and are solved with steps of ${MOST}, much shorter than most η.`);
    const say = kit.words();
    const memory = {};
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const key = [state.problem, state.noise, state.eta, state.sigma, state.seed].join();
      if (memory.key !== key) {
        const finite = NOISES[state.noise].finite;
        const found = { chain: chainRows(state) };
        if (finite) Object.assign(found, { first: equationRows(state, 1), second: equationRows(state, 2) });
        for (const run of Object.values(found)) run.sums = run.rows.map(summary);
        Object.assign(memory, { key, found });
        kit.el.gradpress.diffusion = found;
      }
      const { found } = memory;
      const here = Object.fromEntries(Object.entries(found).map(([name, { sums, dt }]) =>
        [name, sums[Math.min(sums.length - 1, Math.floor(state.t / dt + 1e-9))]]));
      kit.root.style.setProperty("--gp-accent", "var(--gp-unbiased)");
      course.draw(found, state, widths[0]);
      moment.draw(here, state.t, widths[1]);
      say(inWords(state, state.eta, here), NOISES[state.noise].finite && state.problem === "bowl" && state.eta >= 2);
    };
  },
};

const INTERNALS = { diffusion: { PROBLEMS, NOISES, chainStep, solverStep, closedForm } };
