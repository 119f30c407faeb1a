// An adversary for the lemmas on (L₀, L₁)-smooth functions, over all such functions of one variable.
//
// An instance is the slope g at x, the length v of the step (to the right), and for each of PIECES parts of the way the
// share in [−1, 1] of the allowed curvature L₀ + L₁|f′| that f″ has there. Everything is exact between the kinks.

const PIECES = 6;
const STATEMENTS = {
  descent: { label: "The bound on f after a step v", why: "the gradient, and with it the curvature, grows along the way" },
  growth: { label: "The bound on |f′| after a step v", why: "the curvature grows with the gradient, and so does its own growth" },
  step: { label: "The descent in a step of gradient descent", why: "far out the curvature is above L₀, and the step 1/L₀ is too long" },
};

// ψ, by its series where the closed form cancels.
const psi = (u) => (Math.abs(u) > 0.05 ? formulas.descent_factor({ u }) : 0.5 + u / 6 + (u * u) / 24 + u ** 3 / 120 + u ** 4 / 720 + u ** 5 / 5040);

// Over a length h with the share s, from the slope g: the slope at its end, and the integral of the slope minus g.
function along(g, h, s, { L0, L1 }) {
  const side = Math.sign(g) || Math.sign(s) || 1;
  const zero = side * s < 0 ? Math.log1p((Math.abs(g) * L1) / L0) / (Math.abs(s) * L1) : Infinity; // how far the slope keeps its sign
  const first = Math.min(h, zero), w = s * L1 * first, size = Math.abs(g) + L0 / L1;
  const end = first < h ? 0 : g + side * size * Math.expm1(side * w);
  const area = size * first * w * psi(side * w);
  if (first === h) return [end, area];
  const [last, rest] = along(0, h - first, s, { L0, L1 });
  return [last, area + (h - first) * (end - g) + rest];
}

// The way: points (t, f′, f minus its tangent) at the ends of the pieces and in between.
function wayOf({ g, v, shares }, state, between = 1) {
  const points = [[0, g, 0]];
  const h = v / (PIECES * between);
  for (const share of shares) for (let i = 0; i < between; i += 1) {
    const [t, slope, above] = points.at(-1);
    const [next, area] = along(slope, h, share, state);
    points.push([t + h, next, above + (slope - g) * h + area]);
  }
  return points;
}

function instanceOf(cube, { claim, version, L0, L1, reach }) {
  const t = 2 * cube[0] - 1;
  const size = (L0 / L1) * (10 ** (3 * Math.abs(t)) - 1);
  const shares = cube.slice(2).map((c) => 2 * c - 1);
  if (claim !== "step") return { g: Math.sign(t) * size, v: ((0.02 + 0.98 * cube[1]) * reach) / L1, shares };
  const g = clamp(size, 1e-3 * (L0 / L1), 8 * (L0 / L1)); // beyond, the ratio only grows
  return { g: -g, v: version === "printed" ? g / L0 : g / (L0 + L1 * g), shares };
}

// At the distance t on the way: what the statement allows, for L-smooth functions and by the lemma.
function allowed({ claim, L0, L1 }, g, t) {
  const size = Math.abs(g), H = L0 + L1 * size;
  if (claim === "growth") return { printed: size + H * t, corrected: formulas.gradient_growth({ L_0: L0, L_1: L1, g: size, r: t }) };
  if (claim === "descent") return { printed: (H * t * t) / 2, corrected: H * t * t * psi(L1 * t) };
  return { printed: (L0 * t * t) / 2, corrected: (H * t * t) / 2 };
}
const reached = ({ claim }, [, slope, above]) => (claim === "growth" ? Math.abs(slope) : above);

function bothSides(state, cube) {
  const instance = instanceOf(cube, state);
  const end = wayOf(instance, state).at(-1);
  return { ...instance, left: reached(state, end), right: allowed(state, instance.g, instance.v)[state.version] };
}

const CLAIMED = {
  descent: ["f(x + v) ≤ f + f′v + ½(L₀ + L₁|f′|)v²", "f(x + v) ≤ f + f′v + ψ(L₁|v|)(L₀ + L₁|f′|)v²"],
  growth: ["|f′(x + v)| ≤ |f′| + (L₀ + L₁|f′|)|v|", "|f′(x + v)| + L₀/L₁ ≤ (|f′| + L₀/L₁) e^(L₁|v|)"],
  step: ["f(x − ηf′) ≤ f − ½ηf′², η = 1/L₀", "f(x − ηf′) ≤ f − ½ηf′², η = 1/(L₀ + L₁|f′|)"],
};

const EXPLORER = hunter({
  controls: [
    { key: "claim", word: "statement", options: Object.entries(STATEMENTS).map(([key, { label }]) => [key, label]) },
    { key: "version", word: "the bound", radio: true, options: [["printed", "as for L-smooth functions"], ["corrected", "with L₁"]] },
    { key: "L0", symbol: "L₀", word: "curvature where f′ = 0", min: 0.1, max: 10, step: 0.05, log: 10 },
    { key: "L1", symbol: "L₁", word: "its growth with |f′|", min: 0.1, max: 10, step: 0.05, log: 10 },
    { key: "reach", word: "longest L₁|v|", min: 0.1, max: 4, step: 0.1, shown: (state) => state.claim !== "step" },
  ],
  bars: [["claim", "version"], ["reach", "L0", "L1"]], broad: ["claim"],
  trial(state) {
    const { label, why } = STATEMENTS[state.claim];
    return {
      key: JSON.stringify([state.claim, state.version, state.L0, state.L1, state.reach]), state, label, why,
      source: state.version === "printed" ? "as for L-smooth functions" : "with L₁",
      starts: (seed) => cubeStarts(PIECES + 2, 40, seed), moves: CUBE_MOVES, normal: inCube,
      ratio(cube) {
        const { left, right } = bothSides(state, cube);
        return right > 1e-300 && left < Infinity ? left / right : -Infinity;
      },
      setting(cube) {
        const { g, v, shares } = bothSides(state, cube);
        const all = shares.every((s) => s > 0.999) ? "all of the allowed curvature on the whole way" : `shares of the allowed curvature from ${number(Math.min(...shares))} to ${number(Math.max(...shares))}`;
        return `L₀ = ${number(state.L0)}, L₁ = ${number(state.L1)}, f′ = ${number(g)}, v = ${number(v)} (L₁|v| = ${number(state.L1 * v)}${state.claim === "step" ? "" : `, at most ${number(state.reach)}`}), ${all}`;
      },
    };
  },
  own: () => false,
  words: { one: "function", many: "functions", mine: "your function", caption: "Along the worst step so far, solid: the function. Dashed: what the bound for L-smooth functions allows. Dotted: what the lemma allows. The bold one is on trial." },
  accent: () => "unbiased",
  claimed: ({ state }) => CLAIMED[state.claim][state.version === "printed" ? 0 : 1],
  panel: (kit, parent) => wayPicture(kit, parent),
});

function wayPicture(kit, parent) {
  const svg = kit.svg(parent, "");
  const axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
  const line = (colour, width, dash) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
  const lines = { corrected: line("var(--gp-theory)", 2.6, "2 3"), printed: line("var(--gp-measured)", 2.2, "8 4"), own: line("var(--gp-accent)", 2.4, null) };
  const text = (anchor) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor);
  const texts = { x: text("end").text("distance from x"), y: text("start") };
  return ({ state }, cube, width) => {
    const height = clamp(width * 0.6, 180, 320);
    const instance = instanceOf(cube, state);
    const way = wayOf(instance, state, 12);
    const curves = { own: way.map((point) => [point[0], reached(state, point)]) };
    for (const version of ["printed", "corrected"]) curves[version] = way.map(([t]) => [t, allowed(state, instance.g, t)[version]]);
    const values = Object.values(curves).map((points) => points.at(-1)[1]).filter(Number.isFinite);
    const [low, high] = [Math.min(0, ...curves.own.map(([, at]) => at)), Math.max(...values, 1e-12)];
    const x = d3.scaleLinear([0, instance.v], [52, width - 10]);
    const y = d3.scaleLinear([low, Math.min(high * 1.05, 3 * Math.max(...values.slice(0, 2), 1e-12))], [height - 34, 22]).clamp(true);
    svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", `The worst function so far along its step of length ${number(instance.v)}, and the two bounds.`);
    axes.x.attr("transform", `translate(0,${height - 34})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    axes.y.attr("transform", "translate(52,0)").call(d3.axisLeft(y).ticks(4).tickFormat((v) => number(v, 2)).tickSize(4));
    for (const [key, path] of Object.entries(lines)) path.attr("d", polyline(curves[key].filter(([, at]) => Number.isFinite(at)).map(([t, at]) => [x(t), y(at)])));
    for (const version of ["printed", "corrected"]) lines[version].attr("stroke-width", version === state.version ? 3.4 : 1.8);
    texts.x.attr("x", width - 10).attr("y", height - 4);
    texts.y.attr("x", 2).attr("y", 12).text(state.claim === "growth" ? "|f′|" : "f above its tangent at x");
  };
}

const INTERNALS = { smoothness: { bothSides, wayOf, psi } };
