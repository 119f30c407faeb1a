// An adversary for the floors of DCSGD: it looks for a function, a noise, a compressor, a step size and a time.
//
// f = (h₁x₁² + h₂x₂²)/2 with μ ≤ hⱼ ≤ L = 1. Of the compressor's noise, ω‖v‖² in all, the share 1 − θ goes to each
// coordinate in proportion to its square, and the rest to the two coordinates as w and 1 − w, whatever v is. Then the two
// second moments obey a linear equation, which is solved exactly.

const D = 2;
const SIDES = ["h1", "h2", "start", "split", "noise", "share", "theta", "w", "eta", "time"];
const STATEMENTS = {
  "thm-dcsgd-bound": {
    label: "The poster’s bound, Theorem 3", rate: "dcsgd_rate_printed", floor: "dcsgd_floor_printed", versions: true,
    why: "read literally, the hypothesis bounds the noise of the whole batch, and the floor divides it by B once more",
  },
  "thm-dcsgd-sharp": { label: "The bound with Δ′ for the equation", rate: "dcsgd_rate", floor: "dcsgd_floor" },
  "thm-dcsgd-chain": { label: "The bound of the algorithm", rate: "dcsgd_rate_chain", floor: "dcsgd_floor_chain", steps: true },
  "mistaken": {
    label: "The bound with Δ′, mistaken for one on the algorithm", rate: "dcsgd_rate", floor: "dcsgd_floor", steps: true,
    why: "the equation forgets the squared length of the mean step",
  },
};
const SOURCES = { printed: "as printed and read literally", corrected: "as corrected" };
const statementOf = (state) => STATEMENTS[state.claim];

// --- linear algebra of affine maps u ↦ Mu + c on the plane, as 3 × 3 matrices ------------------------------------------

const times = (a, b) => a.map((row) => b[0].map((_, j) => row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]));
const UNIT = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];

function power(a, n) {
  let [result, base] = [UNIT, a];
  for (let rest = n; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2) result = times(base, result);
    base = times(base, base);
  }
  return result;
}

// The exponential: a Taylor series at a small multiple, squared up again.
function matrixExponential(a) {
  const size = Math.max(...a.slice(0, 2).map((row) => Math.abs(row[0]) + Math.abs(row[1])));
  const halvings = Math.max(0, Math.ceil(Math.log2(size / 0.25)));
  const small = a.map((row) => row.map((v) => v / Math.pow(2, halvings)));
  let [result, term] = [UNIT, UNIT];
  for (let k = 1; k < 16; k += 1) {
    term = times(term, small).map((row) => row.map((v) => v / k));
    result = result.map((row, i) => row.map((v, j) => v + term[i][j]));
  }
  for (let i = 0; i < halvings; i += 1) result = times(result, result);
  return result;
}

// --- an instance -------------------------------------------------------------------------------------------------------

function unpack(state, cube) {
  const at = Object.fromEntries(SIDES.map((key, i) => [key, cube[i]]));
  const { rate, steps, versions } = statementOf(state);
  const known = { L: 1, mu: 1 / state.kappa, d: D, sigma: 1, B: versions ? state.B : 1, N: state.N, omega: state.omega };
  const largest = { dcsgd_rate: 2 * state.N / state.omega, dcsgd_rate_printed: (2 * state.N) / (state.omega * state.kappa), dcsgd_rate_chain: Infinity }[rate];
  const eta = (0.005 + 0.99 * at.eta) * Math.min(largest, steps ? formulas.dcsgd_largest_step(known) : Infinity);
  const literal = versions && state.version === "printed";
  const trace = at.share * D * (literal ? 1 : 1 / known.B);
  const h = [at.h1, at.h2].map((v) => known.mu * Math.pow(state.kappa, v));
  const noise = [at.split * trace, (1 - at.split) * trace];
  const gap = Math.pow(10, 4 * at.start - 3);
  const u = [at.noise, 1 - at.noise].map((share, j) => (2 * gap * share) / h[j]);
  // What the noise of a mean message adds to the second moments u, as rows (from u₁, from u₂, constant).
  const received = [at.w, 1 - at.w].map((w, j) => [0, 1].map((i) => ((i === j ? 1 - at.theta : 0) + at.theta * w)));
  const added = received.map((row, j) => [
    ...row.map((share, i) => (state.omega * share * h[i] * h[i]) / state.N),
    (state.omega * (row[0] * noise[0] + row[1] * noise[1]) + noise[j]) / state.N,
  ]);
  return { known: { ...known, eta }, h, u, gap, added, eta, time: at.time };
}

// The exact mean gap and the promised one; after n steps, or at the time t.
function bothSides(state, cube, stretch = 1) {
  const { rate, floor, steps } = statementOf(state);
  const { known, h, u, gap, added, eta, time } = unpack(state, cube);
  const exponent = 2 * known.mu * formulas[rate](known);
  const goal = Math.pow(10, 3.5 * time - 2) * stretch; // in units of 1/μ
  let map, share, when;
  if (steps) {
    when = Math.max(1, Math.round(goal / (known.mu * eta)));
    map = power([0, 1].map((j) => [0, 1, 2].map((i) => (i === j ? Math.pow(1 - eta * h[j], 2) : 0) + eta * eta * added[j][i])).concat([UNIT[2]]), when);
    share = state.claim === "mistaken" ? Math.exp(-exponent * eta * when) : Math.pow(1 - eta * exponent, when);
  } else {
    when = goal / known.mu;
    map = matrixExponential([0, 1].map((j) => [0, 1, 2].map((i) => when * ((i === j ? -2 * h[j] : 0) + eta * added[j][i]))).concat([[0, 0, 0]]));
    share = Math.exp(-exponent * when);
  }
  const left = sum([0, 1].map((j) => (h[j] / 2) * (map[j][0] * u[0] + map[j][1] * u[1] + map[j][2])));
  return { left, right: share * gap + (1 - share) * formulas[floor](known), when, eta, known, h };
}

const INTERNALS = { adversary: { bothSides, unpack } };

const EXPLORER = hunter({
  controls: [
    { key: "claim", word: "statement", options: Object.entries(STATEMENTS).map(([key, { label }]) => [key, label]) },
    { key: "version", word: "its hypothesis", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"]],
      allowed: (state, key) => statementOf(state).versions || key === "corrected", actual: (state) => (statementOf(state).versions ? state.version : "corrected") },
    { key: "N", symbol: "N", word: "agents", min: 1, max: 32, step: 1 },
    { key: "omega", symbol: "ω", word: "variance constant", min: 0.25, max: 32, step: 0.25 },
    { key: "kappa", symbol: "κ", word: "condition number", min: 1, max: 50, step: 1 },
    { key: "B", symbol: "B", word: "batch size", min: 1, max: 64, step: 1, shown: (state) => Boolean(statementOf(state).versions) },
  ],
  bars: [["claim", "version"], ["N", "omega", "kappa", "B"]], broad: ["claim"],
  trial(state) {
    const statement = statementOf(state);
    const version = statement.versions ? state.version : "corrected";
    return {
      key: JSON.stringify([state.claim, version, state.N, state.omega, state.kappa, state.B]), state, version,
      label: statement.label, source: statement.versions ? SOURCES[version] : "as stated", why: statement.why,
      starts: (seed) => cubeStarts(SIDES.length, 60, seed), moves: CUBE_MOVES, normal: inCube,
      ratio(cube) {
        const { left, right } = bothSides(state, cube);
        return right > 1e-300 ? left / right : -Infinity;
      },
      setting(cube) {
        const { eta, h, when } = bothSides(state, cube);
        const batch = statement.versions ? `, B = ${number(state.B)}` : "";
        const time = statement.steps ? `after ${number(when, 4)} steps` : `at t = ${number(when)}`;
        return `N = ${state.N}, ω = ${number(state.omega)}, κ = ${number(state.kappa)}${batch}, η = ${number(eta)}, curvatures ${number(h[0])} and ${number(h[1])}, ${time}`;
      },
    };
  },
  own: () => false,
  words: { one: "setting", many: "settings", mine: "your setting", caption: "The worst setting so far: its exact mean gap (solid), what is promised (dashed), and the place of the comparison (dot)." },
  accent: () => "unbiased",
  claimed({ state, version }) {
    const sign = { "thm-dcsgd-bound": "Δ", "thm-dcsgd-sharp": "Δ′", "thm-dcsgd-chain": "Δ_chain", "mistaken": "Δ′" }[state.claim];
    const left = statementOf(state).steps ? "mean gap after n steps" : "mean gap at time t";
    const factor = state.claim === "thm-dcsgd-chain" ? "(1 − 2ημΔ_chain)ⁿ" : `exp(−2μ${sign}${statementOf(state).steps ? "ηn" : "t"})`;
    const given = !statementOf(state).versions ? "" : version === "printed" ? ", given Tr Σ ≤ dσ²" : ", given Tr Σ ≤ dσ²/B";
    return `${left} ≤ s·(first gap) + (1 − s)·ηLdσ²(1 + ω)/(4μNB${sign}), s = ${factor}${given}`;
  },
  panel: (kit, parent) => curves(kit, parent),
});

function curves(kit, parent) {
  const svg = kit.svg(parent, "");
  const axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
  const path = (colour, width, dash) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
  const promised = path("var(--gp-theory)", 2, "6 4");
  const exact = path("var(--gp-accent)", 2.8, null);
  const here = svg.append("circle").attr("r", 5).attr("fill", "var(--gp-ink)");
  const label = svg.append("text").attr("class", "gp-faint").attr("text-anchor", "end");
  return ({ state }, cube, width) => {
    const height = clamp(width * 0.66, 190, 320);
    const stretches = Array.from({ length: 41 }, (_, i) => Math.pow(10, (i - 20) / 20));
    const sides = stretches.map((stretch) => bothSides(state, cube, stretch)).filter(({ left, right }) => left > 0 && right > 0 && left < 1e300);
    const at = bothSides(state, cube);
    const seen = sides.flatMap(({ left, right }) => [left, right]);
    const whens = sides.map(({ when }) => when);
    const x = logScale([Math.min(...whens), Math.max(...whens, 2 * whens[0])], [48, width - 10]);
    const y = logScale([Math.min(...seen) / 1.5, Math.max(...seen) * 1.5], [height - 34, 8]);
    svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", "The exact mean gap of the worst setting and the promised one against time, both on logarithmic axes.");
    axes.x.attr("transform", `translate(0,${height - 34})`).call(x.axis(d3.axisBottom));
    axes.y.attr("transform", "translate(48,0)").call(y.axis(d3.axisLeft));
    promised.attr("d", polyline(sides.map(({ when, right }) => [x(when), y(right)])));
    exact.attr("d", polyline(sides.map(({ when, left }) => [x(when), y(left)])));
    here.attr("cx", x(at.when)).attr("cy", y(at.left));
    label.attr("x", width - 10).attr("y", height - 4).text(statementOf(state).steps ? "step n" : "time t");
  };
}
