// DSignSGD on f(x) = x²/2 under Student noise: the method, its equation, the linearised equation, and DCSGD beside them.
// DCSGD sends its one coordinate with probability ½, doubled: ω = 1.

const RUNS = 120, STEPS = 100, START = 3;

// One step of each, from given random numbers; u is uniform in [0, 1), z standard normal.
const student = (tail, u, v) => {
  if (tail === "inf") return Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v);
  const nu = TAILS[tail];
  return Math.sqrt(nu * Math.expm1((-2 / nu) * Math.log(1 - u))) * Math.cos(2 * Math.PI * v);
};

// How many of N agents send +1 at the mean m, by inversion of the binomial law.
function positives(N, m, u) {
  const p = (1 + m) / 2;
  if (p >= 1) return N;
  let chance = (1 - p) ** N, count = 0, left = u;
  while (left >= chance && count < N) {
    left -= chance;
    count += 1;
    chance *= ((N - count + 1) / count) * (p / (1 - p));
  }
  return count;
}

const signStep = (x, u, { eta, N, scale, tail }) => x - eta * ((2 * positives(N, expectedSign(tail, x / scale), u)) / N - 1);
function equationStep(x, z, { eta, N, scale, tail }) {
  const m = expectedSign(tail, x / scale);
  return x - eta * m + eta * Math.sqrt(Math.max(1 - m * m, 0) / N) * z;
}
function compressedStep(x, random, { eta, N, scale, tail }) {
  let total = 0;
  for (let i = 0; i < N; i += 1) if (random() < 0.5) total += 2 * (x + scale * student(tail, random(), random()));
  return x - (eta / N) * total;
}

const settingOf = ({ sigma, nu, eta, N, B }) => ({ eta, N, scale: sigma / Math.sqrt(B), tail: nu });

function ensemble(step, draw) {
  let xs = Array(RUNS).fill(START);
  const all = [xs];
  for (let n = 0; n < STEPS; n += 1) {
    xs = xs.map((x) => step(x, draw()));
    all.push(xs);
  }
  return all;
}
const gap = (x) => (x * x) / 2;
const meanGap = (xs) => sum(xs.map(gap)) / xs.length;
const middle = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const medianGap = (xs) => middle(xs.map(gap));

function runAll(state) {
  const setting = settingOf(state);
  const [one, two, three] = [1, 2, 3].map((k) => uniforms(10 * state.seed + k));
  const sign = ensemble((x, u) => signStep(x, u, setting), one);
  const equation = ensemble((x, z) => equationStep(x, z, setting), () => gaussian(two));
  const dcsgd = ensemble((x) => compressedStep(x, three, setting), () => 0);
  const known = { B: state.B, sigma: state.sigma, ell: slopeOf(state.nu), mu: 1, L: 1, d: 1, N: state.N, eta: state.eta, E_0: gap(START) };
  const linear = Array.from({ length: STEPS + 1 }, (_, n) => formulas.dsign_bound({ ...known, t: n * state.eta }));
  return { sign, equation, dcsgd, linear, curves: { sign: sign.map(meanGap), equation: equation.map(meanGap), dcsgd: dcsgd.map(meanGap), median: dcsgd.map(medianGap), linear } };
}

// --- the gaps ----------------------------------------------------------------------------------------------------------

const LINES = {
  dcsgd: { colour: "var(--gp-unbiased)", width: 2, dash: null, text: "DCSGD (ω = 1), mean" },
  median: { colour: "var(--gp-unbiased)", width: 1.6, dash: "2 3", text: "DCSGD, median" },
  linear: { colour: "var(--gp-theory)", width: 2, dash: "7 4", text: "Theorem 4 (linearised equation)" },
  equation: { colour: "var(--gp-b2)", width: 2.4, dash: null, text: "the equation (5), mean" },
  sign: { colour: "var(--gp-biased)", width: 2.4, dash: null, text: "DSignSGD, mean" },
};

class Gaps {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.now = svg.append("path").attr("stroke", "var(--gp-line)").attr("stroke-width", 1.5);
    this.lines = Object.fromEntries(Object.entries(LINES).map(([key, { colour, width, dash }]) => [key,
      svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash)]));
    const text = (label, anchor) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor).text(label);
    this.text = { x: text("time t = ηn", "end"), y: text(`mean gap of ${RUNS} runs`, "start") };
  }

  draw(state, { curves }, width) {
    const height = clamp(width * 0.72, 230, 400);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const finite = Object.values(curves).flat().filter((v) => v > 0 && v < Infinity);
    const [low, high] = [Math.max(1e-6, Math.min(...finite)), Math.min(1e6, Math.max(...finite))];
    const x = d3.scaleLinear([0, STEPS * state.eta], [48, width - 10]);
    const scale = d3.scaleLinear([Math.log10(low / 1.5), Math.log10(high * 1.5)], [height - 34, 24]).clamp(true);
    const y = (v) => scale(Math.log10(v));
    const raised = (v) => String(v).replace(/./g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
    this.axes.x.attr("transform", `translate(0,${height - 34})`).call(d3.axisBottom(x).ticks(6).tickSize(4));
    this.axes.y.attr("transform", "translate(48,0)").call(d3.axisLeft(scale).ticks(5).tickFormat((v) => (v === Math.round(v) ? `10${raised(v)}` : "")).tickSize(4));
    for (const [key, line] of Object.entries(this.lines)) line.attr("d", polyline(curves[key].map((v, n) => [x(n * state.eta), y(Math.max(v, low))])));
    this.now.attr("d", `M${x(state.n * state.eta)},24V${height - 34}`);
    this.text.x.attr("x", width - 10).attr("y", height - 4);
    this.text.y.attr("x", 2).attr("y", 12);
    this.svg.attr("aria-label", `Mean gaps against time: after ${state.n} steps DSignSGD is at ${number(curves.sign[state.n])}, its equation at ${number(curves.equation[state.n])}, Theorem 4 at ${number(curves.linear[state.n])}, DCSGD at ${number(curves.dcsgd[state.n])}.`);
  }
}

// --- the expected sign, and where the runs are on it -------------------------------------------------------------------

class Bend {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    const path = (colour, width, dash) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    this.line = path("var(--gp-theory)", 2, "7 4");
    this.curve = path("var(--gp-ink)", 2.2, null);
    this.cloud = svg.append("path").attr("stroke", "var(--gp-biased)").attr("stroke-linecap", "round").attr("stroke-width", 8).attr("class", "gp-cloud");
    const text = (label, anchor) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor).text(label);
    this.text = { x: text("gradient over noise, u = |x|/σ_B", "end"), y: text("expected sign 2Ξ(u)", "start"), linear: text("linear", "start"), chord: text("chord", "middle"), sign: text("sign", "middle") };
  }

  draw(state, { sign }, width) {
    const height = clamp(width * 0.72, 190, 330);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const x = d3.scaleSymlog([0, 100], [40, width - 10]).constant(1);
    const y = d3.scaleLinear([0, 1.15], [height - 34, 24]).clamp(true);
    const us = Array.from({ length: 90 }, (_, i) => x.invert(40 + ((width - 50) * i) / 89));
    this.axes.x.attr("transform", `translate(0,${height - 34})`).call(d3.axisBottom(x).tickValues([0, 0.5, 1, 2, 5, 10, 30, 100]).tickFormat((v) => number(v)).tickSize(4));
    this.axes.y.attr("transform", "translate(40,0)").call(d3.axisLeft(y).tickValues([0, 0.5, 1]).tickSize(4));
    this.curve.attr("d", polyline(us.map((u) => [x(u), y(expectedSign(state.nu, u))])));
    const slope = slopeOf(state.nu);
    this.line.attr("d", polyline(us.filter((u) => slope * u < 1.15).map((u) => [x(u), y(slope * u)])));
    const scale = state.sigma / Math.sqrt(state.B);
    this.cloud.attr("d", dots(sign[state.n].map((at) => { const u = Math.min(Math.abs(at) / scale, 100); return [x(u), y(expectedSign(state.nu, u))]; })));
    for (const [key, u] of [["linear", 0.04], ["chord", 1.6], ["sign", 22]]) this.text[key].attr("x", x(u)).attr("y", height - 40);
    this.text.x.attr("x", width - 10).attr("y", height - 4);
    this.text.y.attr("x", 2).attr("y", 12);
    this.svg.attr("aria-label", `The expected sign against the gradient over the noise, its tangent at 0, and the ${RUNS} runs after ${state.n} steps as dots.`);
  }
}

function legend(parent) {
  const line = element("p", "gp-legend", parent);
  for (const { colour, width, dash, text } of Object.values(LINES)) {
    const item = element("span", "", line);
    d3.select(item).append("svg").attr("viewBox", "0 0 22 14").attr("aria-hidden", "true").append("path").attr("d", "M1,7H21")
      .attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    item.append(text);
  }
}

function inWords(state, { sign, curves }) {
  const scale = state.sigma / Math.sqrt(state.B);
  const u = middle(sign[state.n].map(Math.abs)) / scale;
  const phase = u > 3 ? "the sign phase: unit speed" : u > 0.5 ? "between sign and linear phase" : "the linear phase";
  const at = (key) => number(curves[key][state.n]);
  const above = curves.sign[state.n] > 1.15 * curves.linear[state.n];
  const settings = `σ = ${number(state.sigma)}, ${state.nu === "inf" ? "Gaussian noise" : `ν = ${state.nu}`}, η = ${number(state.eta)}, N = ${state.N}, B = ${state.B}`;
  const tails = state.nu === "1" || state.nu === "2" ? ` Its variance is infinite, so that DCSGD's mean belongs to its largest run (median ${at("median")}).` : "";
  return [`${settings}, draw ${state.seed}, after ${state.n} steps: half of the runs have |x|/σ_B above ${number(u)}, ${phase}. DSignSGD has the mean gap ${at("sign")}, its equation ${at("equation")}, the linearised equation ${at("linear")}${above ? ", which is no bound here" : ""}; DCSGD ${at("dcsgd")}.${tails}`, above];
}

const EXPLORER = {
  controls: [
    { key: "nu", symbol: "ν", word: "tails of the noise", options: tailOptions },
    { key: "sigma", symbol: "σ", word: "noise of a sample", min: 0.01, max: 10, step: 0.02, log: 10 },
    { key: "eta", symbol: "η", word: "step size", min: 0.01, max: 0.5, step: 0.02, log: 10 },
    { key: "N", symbol: "N", word: "agents", min: 1, max: 16, step: 1 },
    { key: "B", symbol: "B", word: "batch (model σ/√B)", min: 1, max: 64, step: 1 },
    { key: "n", symbol: "n", word: "steps shown", min: 0, max: STEPS, step: 1 },
    { key: "seed", word: "draw", min: 1, max: 50, step: 1 },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["nu", "N", "sigma", "eta", "B", "n", "seed"]) kit.control(key, bar);
    kit.reset(kit.bar());
    const halves = element("div", "gp-halves", kit.root);
    const [left, right] = [element("div", "gp-half", halves), element("div", "gp-half", halves)];
    const gaps = new Gaps(kit, left);
    legend(left);
    const bend = new Bend(kit, right);
    element("p", "gp-caption", right, "Solid: the expected sign. Dashed: its tangent at 0, which Theorem 4 takes for it. Dots: where the runs are.");
    const say = kit.words();
    const memory = {};
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const key = JSON.stringify({ ...state, n: 0 });
      if (memory.key !== key) Object.assign(memory, { key, found: runAll(state) });
      kit.root.style.setProperty("--gp-accent", "var(--gp-biased)");
      gaps.draw(state, memory.found, widths[0]);
      bend.draw(state, memory.found, widths[1]);
      say(...inWords(state, memory.found));
    };
  },
};

const INTERNALS = { dsign: { expectedSign, slopeOf, student, positives, signStep, equationStep, equationMoment, methodMoment, runAll } };
