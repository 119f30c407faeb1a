// An adversary for Theorem 4 of the poster, read as a bound, and for what holds in its place; on f(x) = H x²/2.
//
// Everything is exact: the flow by an integral, the equation at rest by its density, one agent at rest by detailed balance.

const STATEMENTS = {
  stationary: {
    label: "The floor, for the equation (5) at rest", sides: 1,
    why: "the expected sign bends below its tangent, and under heavy tails that outweighs the smaller noise",
    instance: (cube) => ({ theta: 10 ** (-3 + 3.3 * cube[0]) }),
  },
  method: {
    label: "The floor, for DSignSGD with one agent at rest", sides: 2,
    why: "the second moment of a sign is 1 whatever the gradient is, and the drift is weaker than its tangent",
    instance: (cube) => ({ theta: 10 ** (-2.3 + 2.6 * cube[0]), offset: cube[1] }),
  },
  transient: {
    label: "The rate, on the way, without diffusion", sides: 2,
    why: "no coordinate moves faster than 1, and the bound promises an exponential",
    instance: (cube) => { const u0 = 10 ** (-2 + 2.7 * cube[0]); return { u0, ut: u0 * (0.2 + 0.5 * cube[1]) }; },
  },
};

// The time, in units of σ_B/H, that the flow needs from u₀ to u_t: ∫ du/m(u), in the variable log u.
function flowTime(tail, u0, ut, points = 60) {
  const step = Math.log(u0 / ut) / points;
  let total = 0;
  for (let i = 0; i <= points; i += 1) {
    const u = ut * Math.exp(i * step);
    total += ((i === 0 || i === points ? 1 : i % 2 ? 4 : 2) * u) / expectedSign(tail, u);
  }
  return (total * step) / 3;
}

const THRESHOLDS = Array.from({ length: 40 }, (_, i) => 10 ** (-2.5 + (5 * i) / 39));
// What the three phases promise for the gap (σ_B = H = 1): the best of the thresholds.
function phasesBound(tail, E_0, t) {
  return Math.min(...THRESHOLDS.map((u_1) => {
    const m_1 = expectedSign(tail, u_1);
    const end = Math.min(E_0, formulas.sign_phase_end({ B: 1, mu: 1, sigma: 1, u_1 }));
    const arrival = (Math.sqrt(E_0) - Math.sqrt(end)) / (m_1 * Math.sqrt(0.5));
    return t <= arrival ? formulas.sign_phase_gap({ E_0, m_1, mu: 1, t }) : formulas.sign_chord_gap({ B: 1, E_0: end, m_1, mu: 1, sigma: 1, t: t - arrival, u_1 });
  }));
}

const GAPS = Array.from({ length: 120 }, (_, i) => 10 ** (-6 + i / 12));
// The floor of the global theorem for d = N = 1 and σ_B = H = 1; θ is η then.
function globalFloor(tail, eta) {
  const known = { L: 1, N: 1, d: 1, eta };
  const kick = formulas.dsign_kick(known);
  return Math.min(...GAPS.map((gap_0) => {
    const w = Math.sqrt(2 * gap_0);
    const G_0 = w * expectedSign(tail, w);
    return G_0 > 3 * kick ? formulas.dsign_global_floor({ ...known, G_0, gap_0 }) : Infinity;
  }));
}

function bothSides(state, cube) {
  const instance = STATEMENTS[state.claim].instance(cube);
  const tail = state.nu;
  const printed = state.version === "printed";
  const known = { B: 1, L: 1, N: 1, d: 1, ell: slopeOf(tail), mu: 1, sigma: 1 };
  if (state.claim === "transient") {
    const { u0, ut } = instance;
    const t = flowTime(tail, u0, ut);
    const E_0 = (u0 * u0) / 2;
    return { ...instance, t, left: (ut * ut) / 2, right: printed ? formulas.dsign_bound({ ...known, E_0, eta: 0, t }) : phasesBound(tail, E_0, t) };
  }
  const floor = formulas.dsign_floor({ ...known, eta: instance.theta });
  if (state.claim === "method") {
    const rest = methodMoment(tail, instance.theta, instance.offset - 0.5) / 2;
    return printed ? { ...instance, left: rest, right: floor } : { ...instance, left: floor, right: rest };
  }
  return { ...instance, left: equationMoment(tail, instance.theta, 300) / 2, right: printed ? floor : globalFloor(tail, instance.theta) };
}

const EXPLORER = hunter({
  controls: [
    { key: "claim", word: "statement", options: Object.entries(STATEMENTS).map(([key, { label }]) => [key, label]) },
    { key: "version", word: "the bound", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"]] },
    { key: "nu", symbol: "ν", word: "tails of the noise", options: tailOptions },
    { key: "zoom", symbol: "u", word: "largest gradient drawn", min: 1, max: 30, step: 1 },
  ],
  bars: [["claim", "version"], ["nu", "zoom"]], broad: ["claim"],
  trial(state) {
    const { label, why, sides } = STATEMENTS[state.claim];
    return {
      key: JSON.stringify([state.claim, state.version, state.nu]), state, label, why,
      source: state.version === "printed" ? "as printed" : "as corrected",
      starts: (seed) => cubeStarts(sides, 40, seed), moves: CUBE_MOVES, normal: inCube,
      ratio(cube) {
        const found = bothSides(state, cube);
        return !found || !(found.right > 1e-300) ? -Infinity : found.left / found.right;
      },
      setting(cube) {
        const found = bothSides(state, cube);
        const noise = state.nu === "inf" ? "Gaussian noise" : `ν = ${state.nu}`;
        const drawn = `drawn up to u = ${number(state.zoom)}`;
        if (!found) return `${noise}, ${drawn}`;
        if (state.claim === "transient") return `${noise}, the flow from u = ${number(found.u0)} to ${number(found.ut)} in ${number(found.t)} units of time, ${drawn}`;
        return `${noise}, ηH/(Nσ_B) = ${number(found.theta)}: left ${number(found.left, 4)}, right ${number(found.right, 4)}, ${drawn}`;
      },
    };
  },
  own: () => false,
  words: { one: "setting", many: "settings", mine: "your setting", caption: "The expected sign (solid) and its tangent at 0 (dashed), which the printed bound takes for it; the dots are the gradients of the worst setting so far, over the scale of the noise." },
  accent: () => "biased",
  claimed({ state }) {
    const printed = state.version === "printed";
    if (state.claim === "transient") return printed ? "f(x_t) − f* ≤ (f(x₀) − f*) e^(−2μΔt)" : "f(x_t) − f* ≤ the best of the chords: sign phase, then e^(−2μ c₁(t − t₁)/(u₁σ_B))";
    if (state.claim === "method") return printed ? "E f − f* ≤ ηLd/(4μNΔ)" : "ηd/(4NΔ) ≤ E f − f*: for equal curvatures the floor is a lower bound";
    return printed ? "E f − f* ≤ ηLd/(4μNΔ)" : "E f − f* ≤ min over h₁ of k h₁/(G(h₁) − (1 + 2/d)k)";
  },
  panel: (kit, parent) => bendOf(kit, parent),
});

function bendOf(kit, parent) {
  const svg = kit.svg(parent, "");
  const axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
  const line = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-theory)").attr("stroke-width", 2).attr("stroke-dasharray", "7 4");
  const curve = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-ink)").attr("stroke-width", 2.2);
  const marks = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-linecap", "round").attr("stroke-width", 10);
  return ({ state }, cube, width) => {
    const height = clamp(width * 0.6, 180, 320);
    const found = bothSides(state, cube);
    const at = !found ? [] : state.claim === "transient" ? [found.u0, found.ut] : [Math.sqrt(2 * Math.max(found.left, found.right))];
    const x = d3.scaleLinear([0, state.zoom], [36, width - 10]).clamp(true);
    const y = d3.scaleLinear([0, 1.15], [height - 26, 8]).clamp(true);
    const us = Array.from({ length: 80 }, (_, i) => (state.zoom * i) / 79);
    const slope = slopeOf(state.nu);
    svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", `The expected sign up to u = ${number(state.zoom)}, its tangent at 0, and the worst setting at ${at.map((u) => number(u)).join(" and ")}.`);
    axes.x.attr("transform", `translate(0,${height - 24})`).call(d3.axisBottom(x).ticks(6).tickSize(4));
    axes.y.attr("transform", "translate(36,0)").call(d3.axisLeft(y).tickValues([0, 0.5, 1]).tickSize(4));
    curve.attr("d", polyline(us.map((u) => [x(u), y(expectedSign(state.nu, u))])));
    line.attr("d", polyline(us.filter((u) => slope * u <= 1.2).map((u) => [x(u), y(slope * u)])));
    marks.attr("d", dots(at.map((u) => [x(u), y(expectedSign(state.nu, u))])));
  };
}

const INTERNALS = { dsign: { bothSides, globalFloor, phasesBound, flowTime } };
