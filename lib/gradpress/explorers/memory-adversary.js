// An adversary against the lemmas and the theorem of error feedback. Agents are quadratics on the line, so that both sides are exact.

// An instance is a point of the unit cube; a dial says what one of its coordinates stands for. L = 1 and x* = 0 throughout.
const share = (u) => Math.pow(10, 6 * (u - 1));
const DIALS = {
  x: { name: "x − x*", of: (u) => 2 * u },
  virtual: { name: "x̃ − x*", of: (u) => 4 * u - 2 },
  curvature: { name: "curvature", of: (u, P) => 1 / P.kappa + (1 - 1 / P.kappa) * u },
  apart: { name: "slope ∇fᵢ(x*)", of: (u) => 4 * u },
  eta: { name: "η / its largest", of: share },
  owed: { name: "eᵢ / (η∇fᵢ)", of: (u, P) => 4 * P.delta * u },
  steps: { name: "last step K", of: (u) => Math.round(Math.exp(u * Math.log(3000))) },
};

// The agents' gradients at x: equal curvatures, and slopes at x* that add up to 0.
const slopes = (N, apart) => Array.from({ length: N }, (_, i) => (N % 2 && i === N - 1 ? 0 : i % 2 ? -apart : apart));
const squared = (v) => v * v;
const average = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

// Lemma 27, with −η/2 times the gap moved to the left: every term is positive.
function virtualStep(P, { x, virtual, curvature, apart, eta }, version) {
  const agents = version === "corrected" ? 1 : P.N;
  const step = eta * formulas.ef_virtual_step({ B_aff: P.B, L: 1, N: agents });
  const offsets = slopes(P.N, apart);
  const gradients = offsets.map((slope) => curvature * x + slope);
  const energies = gradients.map((g) => P.B * g * g + P.C);
  const noise = version === "independent" ? average(energies) / P.N : squared(average(energies.map(Math.sqrt)));
  const left = squared(virtual - step * curvature * x) + step * step * noise + (step / 4) * curvature * x * x;
  const right = (1 - step / (2 * P.kappa)) * virtual * virtual + 3 * step * squared(x - virtual)
    + (step * step * (P.C + 2 * P.B * average(offsets.map(squared)))) / agents;
  return left / right;
}

// One step of Lemma 28: what a contraction leaves is (1 − 1/δ) of what it is given, exactly, if it shrinks or is lazy.
function memoryStep(P, { x, curvature, apart, eta, owed }) {
  const offsets = slopes(P.N, apart);
  const gradients = offsets.map((slope) => curvature * x + slope);
  const step = eta;
  const left = (1 - 1 / P.delta) * average(gradients.map((g) => squared((1 + owed) * step * g) + step * step * (P.B * g * g + P.C)));
  const energy = average(gradients.map((g) => squared(owed * step * g)));
  const income = (2 * P.delta + P.B) * (2 * curvature * x * x + 2 * average(offsets.map(squared))) + P.C;
  const right = (1 - 1 / (2 * P.delta)) * energy + (1 - 1 / P.delta) * step * step * income;
  return right > 0 ? left / right : 0;
}

// The expected gap of the mean iterate for C(v) = θv: moments forward, and what each step adds to the mean backward.
function meanGap(P, curvature, x, eta, weights) {
  const theta = formulas.b3_low_corner({ delta: P.delta });
  const [a, b, c, d] = [1 - theta * eta * curvature, -theta, (1 - theta) * eta * curvature, 1 - theta];
  const K = weights.length - 1;
  let [xx, xe, ee] = [x * x, 0, 0];
  const history = new Float64Array(2 * K + 2);
  for (let n = 0; n <= K; n += 1) {
    history[2 * n] = xx;
    history[2 * n + 1] = xe;
    const noise = (eta * eta * (P.B * curvature * curvature * xx + P.C)) / P.N;
    [xx, xe, ee] = [
      a * a * xx + 2 * a * b * xe + b * b * ee + theta * theta * noise,
      a * c * xx + (a * d + b * c) * xe + b * d * ee - theta * (1 - theta) * noise,
      c * c * xx + 2 * c * d * xe + d * d * ee + squared(1 - theta) * noise,
    ];
  }
  const total = weights.reduce((sum, w) => sum + w, 0);
  let [mean, p, q] = [0, 0, 0];
  for (let n = K; n >= 0; n -= 1) {
    const w = weights[n] / total;
    const [fx, fe] = [a * p + c * q, b * p + d * q];
    mean += w * w * history[2 * n] + 2 * w * (history[2 * n] * fx + history[2 * n + 1] * fe);
    [p, q] = [fx + w, fe];
  }
  return 0.5 * curvature * mean;
}

const constantsOf = (P, x, K) => ({ B_aff: P.B, C_aff: P.C, D: 0, K, L: 1, N: P.N, delta: P.delta, mu: 1 / P.kappa, r_0: x * x });
// Weights that grow by 1/(1 − μη/2), counted from the end so that the last one is 1, or equal ones.
const growing = (P, eta, K) => Array.from({ length: K + 1 }, (_, n) => Math.pow(1 - eta / (2 * P.kappa), K - n));
const equal = (P, eta, K) => new Array(K + 1).fill(1);

function regime(weightsOf, stepOf, boundOf) {
  return (P, { x, curvature, eta, steps }, version) => {
    const start = Math.max(x, 1e-3);
    const c = constantsOf(P, start, steps);
    const step = version === "printed" ? eta * formulas.ef_step(c) : stepOf(c);
    return meanGap(P, curvature, start, step, weightsOf(P, step, steps)) / boundOf(c, step);
  };
}
const quiet = (c) => formulas.ef_noise(c) === 0;
const grownBound = (c) => (quiet(c) ? 56 * formulas.ef_a3(c) * Math.exp(-(c.K + 1) / formulas.ef_a4(c)) : formulas.ef_bound_constant(c));

function secondOrder(P, { x, curvature, eta, steps }) {
  const start = Math.max(x, 1e-3);
  const c = constantsOf(P, start, steps);
  const step = eta * formulas.ef_wide_step(c);
  const weights = growing(P, step, steps);
  // The weights w_n of the theorem are these times w_K = (1 − μη/2)^{−(K+1)}.
  const total = weights.reduce((sum, w) => sum + w, 0) * Math.pow(1 - step / (2 * P.kappa), -(steps + 1));
  return meanGap(P, curvature, start, step, weights) / ((4 * start * start) / (step * total) + formulas.ef_floor({ ...c, eta: step }));
}

const CLAIMS = {
  "lem-virtual-step": {
    label: "Lemma 27", dials: ["x", "virtual", "curvature", "apart", "eta"], uses: ["N", "B", "C", "kappa"],
    versions: { printed: "as printed, with noise that the agents share", corrected: "with 1 for 1/N, as noise that is shared needs it", independent: "with independent noise" },
    text: "E‖x̃⁺−x*‖² + ½η(f−f*) ≤ (1−½μη)‖x̃−x*‖² + 3Lη‖x−x̃‖² + η²(C + 2BD)/N", ratio: virtualStep,
    why: "the noise of all agents points the same way and does not average out",
  },
  "lem-memory": {
    label: "Lemma 28, one step", dials: ["x", "curvature", "apart", "owed", "eta"], uses: ["N", "delta", "B", "C", "kappa"],
    versions: { corrected: "as stated" },
    text: "M⁺ ≤ (1 − 1/(2δ))M + (1 − 1/δ)η²[(2δ + B)(4L(f−f*) + 2D) + C]", ratio: memoryStep,
  },
  "regime-growing": {
    label: "Theorem 21 (ii)", dials: ["x", "curvature", "steps", "eta"], uses: ["N", "delta", "B", "C", "kappa"],
    versions: { printed: "as printed, with any step size that is allowed", corrected: "with the step size that is chosen" },
    text: "E f(x̄) − f* ≤ 56 A₃ exp(−(K+1)/A₄) + 8 A₂ (1+ℓ)/(K+1)", ratio: regime(growing, (c) => (quiet(c) ? formulas.ef_step(c) : formulas.ef_step_constant(c)), grownBound),
    why: "a step size this small has not left the start",
  },
  "regime-equal": {
    label: "Theorem 21 (iii)", dials: ["x", "curvature", "steps", "eta"], uses: ["N", "delta", "B", "C", "kappa"],
    versions: { printed: "as printed, with any step size that is allowed", corrected: "with the step size that is chosen" },
    text: "E f(x̄) − f* ≤ 4[(14(2δ+B)L − ½μ)r₀/(K+1) + 2√(C̃r₀/(K+1))]", ratio: regime(equal, (c) => (quiet(c) ? formulas.ef_step(c) : formulas.ef_step_equal(c)), (c) => formulas.ef_bound_equal(c)),
    why: "a step size this small has not left the start",
  },
  "thm-second-order": {
    label: "the second-order bound of this book", dials: ["x", "curvature", "steps", "eta"], uses: ["N", "delta", "B", "C", "kappa"],
    versions: { corrected: "as stated" },
    text: "E f(x̄) − f* ≤ 4[r₀/(ηW) + η(C+2BD)/N + 8L(δ−1)η²(2(2δ+B)D + C)]", ratio: secondOrder,
  },
};

const claimOf = (state) => CLAIMS[state.claim];
const versionOf = (state) => (state.version in claimOf(state).versions ? state.version : Object.keys(claimOf(state).versions)[0]);
const given = (state) => ({ N: state.N, delta: state.delta, B: state.B, C: state.C, kappa: state.kappa });
const GIVEN = { N: "N", delta: "δ", B: "B", C: "C", kappa: "κ" };

function challenge(state) {
  const claim = claimOf(state);
  const P = given(state);
  const version = versionOf(state);
  const read = (point) => Object.fromEntries(claim.dials.map((key, i) => [key, DIALS[key].of(point[i], P)]));
  const uses = claim.uses.map((key) => `${GIVEN[key]} = ${number(P[key])}`).join(", ");
  const at = (point) => claim.dials.map((key, i) => `${DIALS[key].name} = ${number(DIALS[key].of(point[i], P))}`).join(", ");
  return {
    P, read, dials: claim.dials, text: claim.text, label: claim.label, why: claim.why, source: claim.versions[version],
    key: JSON.stringify([state.claim, version, P]), setting: (point) => `${capital(uses)}; ${at(point)}`,
    starts: (seed) => [[0, 0.5, 0, 0, 1].slice(0, claim.dials.length), ...cubeStarts(claim.dials.length, 40, seed)],
    moves: CUBE_MOVES, normal: inCube, ratio: (point) => claim.ratio(P, read(point), version),
  };
}

// The instance as dials: one track for each coordinate, with what it stands for.
class Dials {
  constructor(kit, parent, change) {
    this.kit = kit;
    this.change = change;
    this.svg = kit.svg(parent, "The worst instance found.");
    this.rows = [];
  }

  build(keys) {
    this.svg.selectAll("*").remove();
    this.keys = keys;
    this.rows = keys.map((key, i) => {
      const row = { name: this.svg.append("text"), value: this.svg.append("text").attr("text-anchor", "end"), track: this.svg.append("path").attr("class", "gp-grid"), group: this.svg.append("g") };
      row.name.text(DIALS[key].name);
      row.announce = this.kit.handle(row.group, {
        label: DIALS[key].name, orientation: "horizontal", value: () => this.point?.[i] ?? 0, text: (u) => number(DIALS[key].of(u, this.P)), low: 0, high: 1, step: 0.02,
        at: (event) => this.across.invert(event.x), change: (u) => this.change(this.point.map((v, j) => (j === i ? u : v))),
      });
      row.group.append("circle").attr("r", 15).attr("fill", "transparent");
      row.group.append("circle").attr("class", "gp-grip").attr("r", 7).attr("fill", "var(--gp-accent)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
      return row;
    });
  }

  draw({ dials, P }, point, width) {
    Object.assign(this, { P, point });
    if (this.keys?.join() !== dials.join()) this.build(dials);
    const pitch = 48;
    this.svg.attr("viewBox", `0 0 ${width} ${pitch * dials.length + 6}`).attr("aria-label", `The worst instance found: ${dials.length} numbers on their tracks.`);
    this.across = d3.scaleLinear([0, 1], [16, width - 16]);
    this.rows.forEach((row, i) => {
      const y = pitch * i + 32;
      row.name.attr("x", 2).attr("y", y - 16);
      row.value.attr("x", width - 2).attr("y", y - 16).text(number(DIALS[dials[i]].of(point[i], P)));
      row.track.attr("d", `M${this.across(0)},${y}H${this.across(1)}`);
      row.group.attr("transform", `translate(${this.across(point[i])},${y})`);
      row.announce();
    });
  }
}

const forClaim = (control) => ({ ...control, shown: (state) => claimOf(state).uses.includes(control.key) });

const EXPLORER = hunter({
  controls: [
    { key: "claim", word: "statement", options: Object.entries(CLAIMS).map(([key, { label }]) => [key, label]),
      brings: (key) => ({ version: Object.keys(CLAIMS[key].versions)[0], x: [] }) },
    { key: "version", word: "version", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"], ["independent", "independent noise"]],
      allowed: (state, key) => key in claimOf(state).versions, actual: versionOf },
    { key: "N", symbol: "N", word: "agents", min: 1, max: 12, step: 1 },
    { key: "delta", symbol: "δ", word: "contraction", min: 1, max: 20, step: 0.5 },
    { key: "B", symbol: "B", word: "noise with the gradient", min: 0, max: 5, step: 0.5 },
    { key: "C", symbol: "C", word: "noise without it", min: 0, max: 5, step: 0.5 },
    { key: "kappa", symbol: "κ", word: "condition number", min: 1, max: 100, step: 1 },
  ].map((control) => (control.min === undefined ? control : forClaim(control))),
  bars: [["claim", "version"], ["N", "delta", "B", "C", "kappa"]], broad: ["claim"],
  trial: challenge,
  own: (state) => state.x.length === claimOf(state).dials.length,
  words: { one: "instance", many: "instances", mine: "your instance", caption: "The worst instance so far; move a handle to try your own. L = 1, all agents have the same curvature, their slopes at x* add up to 0." },
  accent: () => "b2",
  claimed: ({ text }) => text,
  panel(kit, parent, change) {
    const dials = new Dials(kit, parent, change);
    return (trial, point, width) => dials.draw(trial, point, width);
  },
});
