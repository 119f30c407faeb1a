// An adversary: it looks for a vector at which an inequality of a class fails, from closed forms, under the reader's eyes.

// Left side over right side at a point of the plane of moments; above 1 the statement is false.
const SIDES = {
  u: { text: "U(ζ): E‖C(x)‖² ≤ ζ‖x‖²", names: ["zeta"], ratio: (m1, m2, c) => m2 / c.zeta },
  b1: { text: "B¹: α‖x‖² ≤ E‖C(x)‖²", names: ["alpha"], ratio: (m1, m2, c) => c.alpha / m2 },
  up: { text: "B¹, B²: E‖C(x)‖² ≤ β⟨E C(x), x⟩", names: ["beta"], ratio: (m1, m2, c) => m2 / (c.beta * m1) },
  b2: { text: "B²: γ‖x‖² ≤ ⟨E C(x), x⟩", names: ["gamma"], ratio: (m1, m2, c) => c.gamma / m1 },
  b3: { text: "B³: E‖C(x) − x‖² ≤ (1 − 1/δ)‖x‖²", names: ["delta"], ratio: (m1, m2, c) => contraction(m2 - 2 * m1 + 1, 1 - 1 / c.delta) },
};
const GREEK = { alpha: "α", beta: "β", gamma: "γ", delta: "δ", zeta: "ζ" };

// Where both sides vanish (no coordinate is dropped) the inequality holds with equality of zeros.
function contraction(left, right) {
  if (right > 1e-12) return left / right;
  return left < 1e-12 ? 0 : Infinity;
}

const statedZeta = (d, P) => formulas.dithering_zeta_stated({
  z: formulas.unbiased_rounding_zeta({ rho: P.b }),
  tau: formulas.dithering_tau({ d, p: P.p, u_0: formulas.exponential_u0({ b: P.b, s: P.s }) }),
});
const standardStated = (d, P) => formulas.standard_zeta_stated({
  tau: formulas.dithering_tau({ d, p: P.p, u_0: formulas.standard_u0({ s: P.s }) }),
});
function composed(d, P, zeta) {
  const gamma = formulas.top_k_gamma({ d, k: P.k });
  return { alpha: gamma, beta: zeta, gamma, delta: formulas.top_k_delta({ d, k: P.k }) * zeta };
}

// The statements. `printed` and `corrected` give the constants; a claim without `printed` stands as its source has it.
const CLAIMS = {
  "lem-rand-k": { label: "Lemma 8, Rand-k", operator: "rand-k", sides: ["u"] },
  "lem-random-sparsification": { label: "Lemma 9, random sparsification", operator: "random-sparsification", sides: ["b3", "b1", "up", "b2"] },
  "lem-adaptive": { label: "Lemma 10, adaptive sparsification", operator: "adaptive-sparsification", sides: ["b3", "b1", "up", "b2"] },
  "lem-top-k": { label: "Lemma 11, Top-k", operator: "top-k", sides: ["b3", "b1", "up", "b2"] },
  "lem-unbiased-rounding": { label: "Lemma 12, unbiased rounding", operator: "unbiased-rounding", sides: ["u"] },
  "lem-biased-rounding": { label: "Lemma 13, biased rounding", operator: "biased-rounding", sides: ["b3", "b1", "up", "b2"] },
  "lem-natural": { label: "natural compression, 9/8", operator: "natural-compression", sides: ["u"] },
  "lem-dithering": {
    label: "Lemma 15, exponential dithering", operator: "exponential-dithering", sides: ["u"], instance: { s: 4, p: "inf" },
    printed: (d, P) => ({ zeta: statedZeta(d, P) }), why: "the printed constant (15) is not reached; this book's is smaller",
  },
  "standard-dithering": {
    label: "standard dithering", operator: "standard-dithering", sides: ["u"],
    printed: (d, P) => ({ zeta: standardStated(d, P) }), why: "the printed constant is not reached; this book's is smaller",
  },
  "ternary": {
    label: "ternary, read as s = 1, b = 1 in (15)", operator: "ternary", sides: ["u"],
    printed: (d, P) => ({ zeta: statedZeta(d, { ...P, b: 1, s: 1 }) }), why: "the base plays no part when s = 1; this book's constant is exact for p = 2 and p = ∞",
  },
  "lem-top-k-dithering": {
    label: "Lemma 16, Top-k then exponential dithering", operator: "top-k-dithering", sides: ["b3", "b1", "up", "b2"],
    printed: (d, P) => composed(d, P, statedZeta(d, P)),
    why: "δ = dζ/k belongs to C/ζ; unscaled, δ = d/(k(2 − ζ))", instance: { k: 9, s: 8 },
  },
  "natural-after-top-k": {
    label: "§4.2, ζ = 9/8 after Top-k", operator: "top-k-dithering", sides: ["up"], base: 2,
    printed: (d, P) => composed(d, P, formulas.unbiased_rounding_zeta({ rho: 2 })),
    why: "with few levels the bottom cell costs more than 9/8", instance: { k: 5, p: "inf" },
  },
  "lem-sign": { label: "scaled sign", operator: "scaled-sign", sides: ["b3", "b1", "up", "b2"] },
};

// Where a statement is looked at first, unless it names an instance of its own.
const INSTANCE = { d: 10, k: 3, q: 0.3, b: 2, s: 2, p: "2" };
const ROUNDINGS = { "unbiased-rounding": (P) => P.b, "biased-rounding": (P) => P.b, "natural-compression": () => 2 };

const claimOf = (state) => CLAIMS[state.claim];
const sideOf = (state) => (claimOf(state).sides.includes(state.side) ? state.side : claimOf(state).sides[0]);
const versionsOf = (state) => [
  ...(claimOf(state).printed ? ["printed"] : []), "corrected",
  ...(claimOf(state).operator === "top-k-dithering" && sideOf(state) === "b3" ? ["scaled"] : []),
];
const versionOf = (state) => (versionsOf(state).includes(state.version) ? state.version : "corrected");

// What is tried: the operator, its parameters, its scale, and the constants that are claimed for it.
function challenge(state) {
  const claim = claimOf(state);
  const P = { ...parametersOf(state, ""), ...(claim.base ? { b: claim.base } : {}) };
  const version = versionOf(state);
  const zeta = version === "scaled" ? exponentialZeta(P.k, P) : 1;
  const constants = {
    printed: () => claim.printed(state.d, P),
    corrected: () => OPERATORS[claim.operator].constants(state.d, P),
    scaled: () => composed(state.d, P, zeta),
  }[version]();
  const side = SIDES[sideOf(state)];
  const scale = 1 / zeta;
  const source = { printed: "as printed", corrected: claim.printed ? "as corrected" : "as stated", scaled: "for C/ζ" }[version];
  return {
    P, constants, side, scale, d: state.d, name: claim.operator, label: claim.label, why: claim.why, source,
    key: JSON.stringify([state.claim, sideOf(state), version, state.d, P, String(P.p)]),
    silence: constants[side.names[0]] === Infinity ? "Nothing is claimed here: with these parameters the statement gives no finite δ." : "",
    setting: () => `${settingName(claim.operator, P)}, d = ${state.d}`,
    starts: (seed) => specimens(state.d, 60, seed),
    moves: MOVES,
    // No operator here cares for signs or order, roundings not for a power of the base and the others not for length.
    normal(x) {
      const size = x.map(Math.abs).sort((a, b) => b - a);
      const top = size[0] > 0 ? size[0] : 1;
      const unit = ROUNDINGS[claim.operator] ? exponentialCell(top, ROUNDINGS[claim.operator](P))[1] : top;
      return size[0] > 0 ? size.map((v) => v / unit) : size.map((v, i) => (i === 0 ? 1 : 0));
    },
    ratio(x) {
      const [m1, m2] = planePoint(claim.operator, x, P);
      return side.ratio(scale * m1, scale * scale * m2, constants);
    },
  };
}

// Small changes of x; s is their size. The copying ones find the instances in which many entries are equal.
const MOVES = [
  (x, random, s) => { const i = pickOne(x, random); return x.map((v, j) => (j === i ? v * Math.exp(s * gaussian(random)) : v)); },
  (x, random) => { const i = pickOne(x, random); const j = pickOne(x, random); return x.map((v, l) => (l === i ? Math.abs(x[j]) : v)); },
  (x, random, s) => { const factor = Math.exp(s * gaussian(random)); return x.map((v) => v * factor); },
  (x, random, s) => {
    const size = Math.abs(x[pickOne(x, random)]);
    const factor = Math.exp(s * gaussian(random));
    return x.map((v) => (Math.abs(v) === size ? v * factor : v));
  },
  (x, random) => {
    const order = x.map(Math.abs).sort((a, b) => b - a);
    const cut = 1 + Math.floor(random() * (x.length - 1));
    const low = order[cut] ?? order[0];
    return x.map((v) => (Math.abs(v) <= low ? low : v));
  },
  (x, random, s) => { const i = pickOne(x, random); return x.map((v, j) => (j === i && s > 0.3 ? 0 : v)); },
];

const EXPLORER = hunter({
  controls: [
    { key: "claim", word: "statement", options: Object.entries(CLAIMS).map(([key, { label }]) => [key, label]),
      brings: (key) => ({ ...INSTANCE, side: CLAIMS[key].sides[0], version: "printed", x: [], ...CLAIMS[key].instance }) },
    { key: "side", word: "inequality", options: Object.entries(SIDES).map(([key, { text }]) => [key, text]),
      allowed: (state, key) => claimOf(state).sides.includes(key), actual: sideOf },
    { key: "version", word: "constants", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"], ["scaled", "as printed, for C/ζ"]],
      allowed: (state, key) => versionsOf(state).includes(key), actual: versionOf },
    { key: "d", symbol: "d", word: "dimension", min: 2, max: 100, step: 1 },
    ...parameterControls("", 100, "operator"),
  ].map((control) => forClaim(control)),
  bars: [["claim", "side", "version"], ["d", "k", "q", "b", "s", "p"]], broad: ["claim", "side"],
  trial: challenge,
  own: (state) => state.x.length === state.d && state.x.some((v) => v !== 0),
  words: { one: "vector", many: "vectors", mine: "your x", caption: "The worst vector so far, largest entry first; drag a bar to try your own." },
  accent: (trial) => (DATA.operators[trial.name].unbiased ? "unbiased" : "biased"),
  claimed({ side, constants }) {
    const [name] = side.names;
    return `${side.text}, ${GREEK[name]} = ${number(constants[name], 5)}`;
  },
  panel(kit, parent, change) {
    const view = new VectorView(kit, parent, change, 0);
    return (trial, x, width) => drawVector(view, trial, x, width);
  },
});

// The worst vector, and what the operator makes of it.
function drawVector(view, trial, x, width) {
  const { mean, second } = OPERATORS[trial.name].moments(x, trial.P);
  const scaledMean = mean.map((v) => v * trial.scale);
  const reach = 1.05 * Math.max(...x.map(Math.abs), ...second.map((v) => Math.sqrt(v) * trial.scale));
  view.draw({
    x, mean: scaledMean, second: second.map((v) => v * trial.scale ** 2), low: Math.min(0, ...x), high: reach, width, height: clamp(width * 0.62, 180, 360),
    held: x.length <= 20, label: `The worst vector found, ${x.length} coordinates, with the mean and spread of C(x).`,
  });
}

// The parameters' controls ask for the operator: here it is the one of the statement, and k goes up to d.
function forClaim(control) {
  if (!control.shown) return control;
  const uses = (state) => DATA.operators[claimOf(state).operator].parameters.includes(control.key);
  return { ...control, shown: (state) => uses(state) && !(control.key === "b" && claimOf(state).base) };
}
