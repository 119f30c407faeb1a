// An adversary for one step of compressed gradient descent. An instance is a quadratic f = ½(μx₁² + x₂²), so L = 1, a place
// on its level set f = ½, an operator of the class at its gradient, and a step size of the range: six numbers of [0, 1].
// What is compared is the decrease of f: the one that is claimed, over the one that happens.

const SIDES_OF_CUBE = 6;
const SHORTEST = 0.02; // share of the range of step sizes; at 0 both sides vanish
const CLAIMS = {
  "lemma-22": { label: "Lemma 22", class: "b1", printed: "gain", why: "1/β is missing, as every β > 1 shows" },
  "lemma-23": { label: "Lemma 23", class: "b2" },
  "lemma-24": { label: "Lemma 24", class: "b3" },
  "theorem-17": { label: "Theorem 17", class: "b1", rate: true },
  "theorem-18": { label: "Theorem 18", class: "b2", rate: true, printed: "factor", why: "μ is missing: no rate holds for every flat valley" },
  "theorem-19": { label: "Theorem 19", class: "b3", rate: true, printed: "power", why: "the power belongs to the first gap" },
  "long-lemma": { label: "Lemma 24 for every step size", class: "b3", long: true },
  "long-theorem": { label: "Theorem 19 for every step size", class: "b3", rate: true, long: true },
};

// The class at its constants: the moments that an instance may have, and the step sizes of its theorem.
const CLASSES = {
  b1: {
    name: "B¹(α, β)", constants: ["alpha", "beta"], most: (c) => formulas.cgd_b1_step(c),
    gain: (c) => formulas.cgd_b1_gain(c), factor: (c) => formulas.cgd_b1_factor(c),
    moments({ alpha, beta }, s, t) {
      const m2 = mix(alpha, beta * beta, s);
      return [mix(m2 / beta, Math.sqrt(m2), t), m2];
    },
    outline({ alpha, beta }) { return { low: alpha / beta, high: beta, ceiling: (m) => beta * m, floor: (m) => Math.max(m * m, alpha) }; },
  },
  b2: {
    name: "B²(γ, β)", constants: ["gamma", "beta"], most: (c) => formulas.cgd_b2_step(c),
    gain: (c) => formulas.cgd_b2_gain(c), factor: (c) => formulas.cgd_b2_factor(c),
    moments({ gamma, beta }, s, t) {
      const m1 = mix(gamma, beta, s);
      return [m1, mix(m1 * m1, beta * m1, t)];
    },
    outline({ gamma, beta }) { return { low: gamma, high: beta, ceiling: (m) => beta * m, floor: (m) => m * m }; },
  },
  b3: {
    name: "B³(δ)", constants: ["delta"], most: (c) => formulas.cgd_b3_step(c),
    gain: (c) => formulas.cgd_b3_gain(c), factor: (c) => formulas.cgd_b3_factor(c),
    moments({ delta }, s, t) {
      const m1 = mix(formulas.b3_low_corner({ delta }), formulas.b3_high_corner({ delta }), s);
      return [m1, mix(m1 * m1, Math.max(m1 * m1, 2 * m1 - 1 / delta), t)];
    },
    outline({ delta }) {
      return { low: formulas.b3_low_corner({ delta }), high: formulas.b3_high_corner({ delta }), ceiling: (m) => 2 * m - 1 / delta, floor: (m) => m * m };
    },
  },
};
const LONG = {
  most: (c) => formulas.cgd_b3_step_long(c), gain: (c) => formulas.cgd_b3_gain_long(c), factor: (c) => formulas.cgd_b3_factor_long(c),
};
const GREEK = { alpha: "α", beta: "β", gamma: "γ", delta: "δ" };
const COORDINATES = [
  ["μ — least curvature", (at) => number(at.mu)], ["angle of the start", (at) => `${number(at.place)}°`],
  ["operator — along its region", (at) => `m₁ = ${number(at.m1)}`], ["operator — across its region", (at) => `m₂ = ${number(at.m2)}`],
  ["η — step size", (at) => number(at.eta)], ["angle of the noise", (at) => `${number(at.noise)}°`],
];

const mix = (low, high, share) => low + (high - low) * share;
const claimOf = (state) => CLAIMS[state.claim];
const versionOf = (state) => (claimOf(state).printed && state.version === "printed" ? "printed" : "corrected");
const quotient = (left, right) => (right > 1e-12 ? left / right : left < 1e-12 ? 0 : Infinity);

// The constants as the sliders have them, made ones that some operator has: α ≤ β², γ ≤ β.
function constantsOf(state) {
  const { beta, delta } = state;
  return { beta, delta, alpha: Math.min(state.alpha, beta * beta), gamma: Math.min(state.gamma, beta), L: 1 };
}

function challenge(state) {
  const claim = claimOf(state);
  const kind = CLASSES[claim.class];
  const law = claim.long ? { ...kind, ...LONG } : kind;
  const constants = constantsOf(state);
  const version = versionOf(state);
  const shown = kind.constants.map((name) => `${GREEK[name]} = ${number(constants[name])}`).join(", ");
  const read = (x) => {
    const [m1, m2] = kind.moments(constants, x[2], x[3]);
    return { mu: 0.01 ** (1 - x[0]), place: 90 * x[1], m1, m2, eta: mix(SHORTEST, 1, x[4]) * law.most(constants), noise: 90 * x[5] };
  };
  return {
    claim, kind, constants, read, version, step: state.n,
    key: JSON.stringify([state.claim, version, constants, claim.printed === "power" ? state.n : 0]),
    label: claim.label, why: claim.why, silence: "",
    source: claim.long ? "as this book has it" : version === "printed" ? "as printed" : claim.printed ? "as corrected" : "as stated",
    setting(x) {
      const at = read(x);
      return `${kind.name} with ${shown}; here m₁ = ${number(at.m1)}, m₂ = ${number(at.m2)}, μ/L = ${number(at.mu)}, η = ${number(at.eta)}/L, `
        + `start at ${number(at.place)}°, noise at ${number(at.noise)}°`;
    },
    starts: (seed) => cubeStarts(SIDES_OF_CUBE, 60, seed),
    moves: CUBE_MOVES,
    normal: inCube,
    ratio: (x) => oneStep(read(x), law, { claim, version, constants, step: state.n }),
  };
}

// The decrease that is claimed over the one that happens, at f(x) = ½: the operator moves by m₁g and by noise of random sign.
function oneStep({ mu, place, m1, m2, eta, noise }, law, { claim, version, constants, step }) {
  const [angle, turn] = [(place * Math.PI) / 180, (noise * Math.PI) / 180];
  const x = [Math.cos(angle) / Math.sqrt(mu), Math.sin(angle)];
  const g = [mu * x[0], x[1]];
  const after = [x[0] - eta * m1 * g[0], x[1] - eta * m1 * g[1]];
  const bend = mu * Math.cos(turn) ** 2 + Math.sin(turn) ** 2;
  const size = square(g);
  const expected = (mu * after[0] ** 2 + after[1] ** 2 + eta * eta * Math.max(0, m2 - m1 * m1) * size * bend) / 2;
  return quotient(claimedDecrease({ ...constants, eta, mu }, size, law, { claim, version, step }), 0.5 - expected);
}

function claimedDecrease(values, size, law, { claim, version, step }) {
  const printed = version === "printed";
  if (!claim.rate) return size * (printed ? formulas.cgd_b1_gain_printed(values) : law.gain(values));
  const factor = printed && claim.printed === "factor" ? formulas.cgd_b2_factor_printed(values) : law.factor(values);
  return 0.5 * (1 - (printed && claim.printed === "power" ? factor ** step : factor));
}

// What the statement says, as a line of text.
function inequality({ claim, version, step }) {
  const printed = version === "printed";
  const gain = { b1: printed ? "αη(1 − ηβL/2)" : "(α/β) η(1 − ηβL/2)", b2: "γη(1 − ηβL/2)", b3: claim.long ? "ηm(1 − ηLm/2)" : "η/(2δ)" }[claim.class];
  const share = {
    b1: "(α/β) ημ(2 − ηβL)", b2: printed ? "γη(2 − ηβ)L" : "γημ(2 − ηβL)", b3: claim.long ? "ημm(2 − ηLm)" : "ημ/δ",
  }[claim.class];
  if (!claim.rate) return `${gain} ‖∇f(x)‖² ≤ f(x) − E f(x⁺)`;
  if (printed && claim.printed === "power") return `(1 − (1 − ${share})ᵏ) 𝓔ₖ₋₁ ≤ 𝓔ₖ₋₁ − 𝓔ₖ, at k = ${step}`;
  return `${share} · (f(x) − f*) ≤ f(x) − E f(x⁺)`;
}

// --- the instance: its place in the plane of moments, and a slider for each of its numbers -----------------------------

class Instance {
  constructor(kit, parent, change) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.region = svg.append("path").attr("opacity", 0.25);
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.parabola = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-ink)").attr("stroke-width", 1.5);
    this.spot = svg.append("circle").attr("r", 6).attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
    this.text = { x: svg.append("text").attr("class", "gp-faint").attr("text-anchor", "end").text("m₁"), y: svg.append("text").attr("class", "gp-faint").text("m₂") };
    const grid = element("div", "gp-controls", parent);
    this.inputs = COORDINATES.map(([word], i) => {
      const label = element("label", "gp-control", grid);
      const name = element("span", "gp-name", label, word);
      const value = element("span", "gp-value", name);
      value.setAttribute("aria-hidden", "true");
      const input = Object.assign(element("input", "gp-slider", label), { type: "range", name: `instance-${i + 1}`, min: 0, max: 1, step: 0.01 });
      input.addEventListener("input", () => change(this.x.map((v, j) => Math.round(1000 * (j === i ? Number(input.value) : v)) / 1000)));
      return { input, value };
    });
  }

  draw(trial, x, width) {
    this.x = x;
    const at = trial.read(x);
    const { low, high, ceiling, floor } = trial.kind.outline(trial.constants);
    const height = clamp(width * 0.55, 150, 280);
    const across = d3.scaleLinear([0, 1.1 * Math.max(high, 1)], [26, width - 8]);
    const up = d3.scaleLinear([0, 1.1 * Math.max(ceiling(high), 1)], [height - 26, 14]);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", `The region of ${trial.kind.name} in the plane of moments, and the operator of the instance in it.`);
    this.axes.x.attr("transform", `translate(0,${height - 26})`).call(d3.axisBottom(across).ticks(4).tickSize(4));
    this.axes.y.attr("transform", "translate(26,0)").call(d3.axisLeft(up).ticks(4).tickSize(4));
    const grid = Array.from({ length: 81 }, (_, i) => mix(low, high, i / 80));
    const edge = (f) => grid.map((m) => [across(m), up(f(m))]);
    this.region.attr("fill", `var(--gp-${trial.claim.class})`)
      .attr("d", `${polyline([...edge((m) => Math.max(ceiling(m), floor(m))), ...edge(floor).reverse()])}Z`);
    this.parabola.attr("d", polyline(Array.from({ length: 61 }, (_, i) => (i / 60) * Math.min(across.domain()[1], Math.sqrt(up.domain()[1]))).map((m) => [across(m), up(m * m)])));
    this.spot.attr("cx", across(at.m1)).attr("cy", up(at.m2)).attr("fill", `var(--gp-${trial.claim.class})`);
    this.text.x.attr("x", width - 8).attr("y", height - 30);
    this.text.y.attr("x", 30).attr("y", 14);
    this.inputs.forEach(({ input, value }, i) => {
      if (Number(input.value) !== x[i]) input.value = x[i];
      const text = COORDINATES[i][1](at);
      value.textContent = text;
      input.setAttribute("aria-valuetext", text);
    });
  }
}

const constant = (key, word, high) => ({
  key, symbol: GREEK[key], word, min: key === "delta" ? 1 : 0.05, max: high, step: 0.05,
  shown: (state) => CLASSES[claimOf(state).class].constants.includes(key),
  ...(key === "alpha" ? { top: (state) => Math.min(high, state.beta ** 2) } : key === "gamma" ? { top: (state) => Math.min(high, state.beta) } : {}),
});

const EXPLORER = hunter({
  controls: [
    { key: "claim", word: "statement", options: Object.entries(CLAIMS).map(([key, { label }]) => [key, label]), brings: () => ({ x: [], version: "printed" }) },
    { key: "version", word: "constants", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"]],
      allowed: (state, key) => key === "corrected" || Boolean(claimOf(state).printed), actual: versionOf },
    constant("alpha", "lower constant", 4), constant("beta", "upper constant", 2.5), constant("gamma", "lower constant", 2.5), constant("delta", "contraction", 10),
    { key: "n", symbol: "k", word: "number of the step", min: 1, max: 6, step: 1, shown: (state) => claimOf(state).printed === "power" && versionOf(state) === "printed" },
  ],
  bars: [["claim", "version"], ["alpha", "gamma", "beta", "delta", "n"]], broad: ["claim"],
  trial: challenge,
  own: (state) => state.x.length === SIDES_OF_CUBE,
  words: { one: "instance", many: "instances", mine: "your instance", caption: "The worst instance so far; move one of its sliders to try your own." },
  accent: (trial) => trial.claim.class,
  claimed: inequality,
  panel(kit, parent, change) {
    const view = new Instance(kit, parent, change);
    return (trial, x, width) => view.draw(trial, x, width);
  },
});

export const hunting = { challenge };
