// An adversary for the theorems on many agents: it looks for the N functions on the line that break one step of a bound.
//
// Agent i has f_i(x) = h_i x²/2 + g_i x with the g_i adding up to 0, so that x* = 0, f = h̄x²/2 and L = μ = h̄. Messages
// have the noise ω‖v‖², no more and no less; then one step is an equation, and no sampling is needed.

const STATEMENTS = {
  "thm-dcgd": { label: "The rate and the neighbourhood of DCGD", parts: ["h", "g"] },
  "cor-dcgd-steps": { label: "The factor for agents that agree (D = 0)", parts: ["h"] },
  "err-dcgd-convexity": {
    label: "The rate of §5.1 for agents that need not be convex", parts: ["h"], free: true, versions: true,
    why: "without convexity large curvatures of opposite signs cancel in f and not in the noise",
  },
  "thm-diana": { label: "The Lyapunov function of DIANA", parts: ["h", "g", "s"] },
};
// What is printed is an order of magnitude: to be tried, it is given the constants that hold for convex agents.
const SOURCES = { printed: "as printed, with the constants of convex agents,", corrected: "as corrected" };
const statementOf = (state) => STATEMENTS[state.claim];

// From the unit cube to curvatures, gradients at the minimiser, shifts and the place x.
function unpack(state, cube) {
  const { parts, free } = statementOf(state);
  const row = (part) => { const at = parts.indexOf(part); return at < 0 ? Array(state.N).fill(0) : cube.slice(at * state.N, (at + 1) * state.N); };
  const middle = (values) => { const m = sum(values) / values.length; return values.map((v) => v - m); };
  return {
    h: row("h").map((v) => (free ? 2 * v - 1 : v)), g: middle(row("g")), s: row("s").map((v) => 2 * v - 1), y: cube.at(-1),
  };
}

const average = (values) => sum(values) / values.length;

function constantsOf(state, { h, g }) {
  const mu = average(h);
  return {
    L: mu, mu, L_max: Math.max(...h.map(Math.abs)), L_rms: Math.sqrt(average(h.map((v) => v * v))), N: state.N, omega: state.omega,
    theta: state.theta, D: average(g.map((v) => v * v)), a: formulas.diana_shift_step({ omega: state.omega }),
  };
}

// The factor, the noise and the largest step of each statement.
const BOUNDS = {
  "thm-dcgd": { step: "dcgd_step", factor: "dcgd_factor", noise: "dcgd_noise" },
  "cor-dcgd-steps": { step: "dcgd_agreed_step", factor: "dcgd_agreed_factor" },
  "err-dcgd-convexity": { step: "dcgd_agreed_step", factor: "dcgd_agreed_factor" },
  "thm-diana": { step: "diana_step", factor: "diana_factor" },
};

function bothSides(state, cube) {
  const instance = unpack(state, cube);
  const { h, g, s, y } = instance;
  const known = { ...constantsOf(state, instance), ...(statementOf(state).free ? { theta: 0 } : {}) };
  if (!(known.mu > 1e-9)) return null;
  const { step, factor, noise } = BOUNDS[state.claim];
  const eta = state.share * formulas[step](known);
  const values = { ...known, eta };
  const landed = (1 - eta * known.mu) ** 2 * y * y;
  const corrected = statementOf(state).free && state.version === "corrected";
  const promised = formulas[corrected ? "dcgd_any_factor" : factor](values);
  if (state.claim !== "thm-diana") {
    const sent = average(h.map((v, i) => (v * y + g[i]) ** 2));
    return { left: landed + (eta * eta * state.omega * sent) / state.N, right: promised * y * y + (noise && known.D > 0 ? formulas[noise](values) : 0), eta, known };
  }
  const weight = formulas.diana_weight(values);
  const sent = average(h.map((v, i) => (v * y + g[i] - s[i]) ** 2));
  const { a } = known;
  const after = average(h.map((v, i) => (s[i] + a * (v * y + g[i] - s[i]) - g[i]) ** 2)) + a * a * state.omega * sent;
  const before = average(s.map((v, i) => (v - g[i]) ** 2));
  return { left: landed + (eta * eta * state.omega * sent) / state.N + weight * after, right: promised * (y * y + weight * before), eta, known };
}

const EXPLORER = hunter({
  controls: [
    { key: "claim", word: "statement", options: Object.entries(STATEMENTS).map(([key, { label }]) => [key, label]) },
    { key: "version", word: "its factor", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"]],
      allowed: (state, key) => statementOf(state).versions || key === "corrected", actual: (state) => (statementOf(state).versions ? state.version : "corrected") },
    { key: "N", symbol: "N", word: "agents", min: 2, max: 8, step: 1 },
    { key: "omega", symbol: "ω", word: "variance constant", min: 0.25, max: 16, step: 0.25 },
    { key: "share", symbol: "η", word: "share of the largest step", min: 0.05, max: 1, step: 0.05, format: percent },
    { key: "theta", symbol: "ϑ", word: "how gradients are split", min: 0.1, max: 5, step: 0.1, shown: (state) => state.claim === "thm-dcgd" },
  ],
  bars: [["claim", "version"], ["N", "omega", "share", "theta"]], broad: ["claim"],
  trial(state) {
    const statement = statementOf(state);
    const sides = statement.parts.length * state.N + 1;
    const version = statement.versions ? state.version : "corrected";
    return {
      key: JSON.stringify([state.claim, version, state.N, state.omega, state.share, state.theta]), state, version,
      label: statement.label, source: statement.versions ? SOURCES[version] : "as stated", why: statement.why,
      starts: (seed) => cubeStarts(sides, 60, seed), moves: CUBE_MOVES, normal: inCube,
      ratio(cube) {
        const found = bothSides(state, cube);
        return !found || !(found.right > 1e-300) ? -Infinity : found.left / found.right;
      },
      setting(cube) {
        const found = bothSides(state, cube);
        const eta = found ? `, η = ${number(found.eta)} = ${percent(state.share)} of the largest step` : "";
        return `N = ${state.N}, ω = ${number(state.omega)}${state.claim === "thm-dcgd" ? `, ϑ = ${number(state.theta)}` : ""}${eta}`;
      },
    };
  },
  own: () => false,
  words: { one: "set of agents", many: "sets of agents", mine: "your agents", caption: "The worst agents so far: the functions of the agents (thin), their mean (thick), the iterate (dot) and the minimum (ring)." },
  accent: () => "unbiased",
  claimed({ state, version }) {
    if (state.claim === "thm-diana") return "E Ψ after one step ≤ max{1 − ημ, 1 − η_h/2} Ψ";
    if (state.claim === "thm-dcgd") return "E‖x⁺ − x*‖² ≤ [(1 − ημ)² + (1 + ϑ)η²μωL_max/N]‖x − x*‖² + (1 + 1/ϑ)η²ωD/N";
    return version === "corrected" && statementOf(state).free ? "E‖x⁺ − x*‖² ≤ [(1 − ημ)² + η²ωL_rms²/N]‖x − x*‖²" : "E‖x⁺ − x*‖² ≤ [(1 − ημ)² + η²μωL_max/N]‖x − x*‖²";
  },
  panel: (kit, parent) => parabolas(kit, parent),
});

function parabolas(kit, parent) {
  const svg = kit.svg(parent, "");
  const axis = svg.append("g").attr("class", "gp-axis");
  const each = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-x)").attr("stroke-width", 1.5);
  const whole = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-accent)").attr("stroke-width", 3.5);
  const least = svg.append("circle").attr("r", 6).attr("fill", "none").attr("stroke", "var(--gp-ink)").attr("stroke-width", 2);
  const here = svg.append("circle").attr("r", 6).attr("fill", "var(--gp-ink)");
  return ({ state }, cube, width) => {
    const height = clamp(width * 0.6, 180, 320);
    const { h, g, y } = unpack(state, cube);
    const x = d3.scaleLinear([-1.3, 1.3], [8, width - 8]);
    const z = d3.scaleLinear([-1, 1.2], [height - 26, 8]).clamp(true);
    const curve = (bend, slope) => polyline(Array.from({ length: 53 }, (_, i) => -1.3 + i / 20).map((v) => [x(v), z((bend * v * v) / 2 + slope * v)]));
    svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", `${state.N} functions of agents, with the curvatures ${h.map((v) => number(v, 2)).join(", ")}, and their mean.`);
    axis.attr("transform", `translate(0,${height - 24})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    each.attr("d", h.map((bend, i) => curve(bend, g[i])).join(""));
    whole.attr("d", curve(average(h), 0));
    least.attr("cx", x(0)).attr("cy", z(0));
    here.attr("cx", x(y)).attr("cy", z((average(h) * y * y) / 2));
  };
}
