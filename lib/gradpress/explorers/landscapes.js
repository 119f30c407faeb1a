// Functions of one coordinate, DCSGD and DSignSGD on them, and the limits and flows of the equations that stand for them.
//
// A compressor keeps a message with probability 1/(1 + ω), scaled by 1 + ω. Noise that stays at the minimum moves the
// floor and not the limits, so that the limits leave it out; those of signs leave out all noise.

const STEPS = 300, PATH = 30, REACH = 6; // steps of a run, steps that are drawn, the largest start
const FUNCTIONS = {
  cosh: { label: "cosh x − 1", bounds: [1, 1] },
  quadratic: { label: "½x²", bounds: [1, 0], given: { H: 1 } },
  quartic: { label: "¼x⁴", bounds: [1, 2] },
  extremal: { label: "e^|x| − 1 − |x|", bounds: [1, 1], given: { L_0: 1, L_1: 1 } },
  exponential: { label: "eˣ", bounds: [0, 1], endless: true },
};
for (const [name, one] of Object.entries(FUNCTIONS)) {
  for (const part of ["", "_slope", "_curvature"]) one[part || "_value"] = formulas[name + part].along("x", one.given);
}
const NOISES = {
  none: { label: "none", spread: () => () => 0, growth: () => 0, floor: () => 0, sign: (g) => Math.sign(g) },
  normal: { label: "Gaussian, σ", spread: (sigma) => () => sigma, draw: (random) => gaussian(random), growth: () => 0, floor: (sigma) => sigma * sigma,
    sign: (g, sigma) => expectedSign("inf", g / sigma) },
  affine: { label: "affine, σ√(1 + f′²)", spread: (sigma) => (g) => sigma * Math.sqrt(1 + g * g), draw: (random) => gaussian(random),
    growth: (sigma) => sigma * sigma, floor: (sigma) => sigma * sigma, sign: (g, sigma) => expectedSign("inf", g / (sigma * Math.sqrt(1 + g * g))) },
  cauchy: { label: "Cauchy, σ", spread: (sigma) => () => sigma, draw: (random) => Math.tan(Math.PI * (random() - 0.5)), growth: () => 0, floor: () => 0,
    sign: (g, sigma) => expectedSign("1", g / sigma) },
};
const bySigns = (state) => state.method === "sign";
const noisy = (state) => state.noise !== "none";
const atRandom = (state) => noisy(state) || (!bySigns(state) && state.omega > 0);

// --- the algorithm -----------------------------------------------------------------------------------------------------

// E‖mean message‖² ≤ A f′² + S.
function messageOf({ noise, sigma, omega, N }) {
  const [B_aff, C_aff] = [NOISES[noise].growth(sigma), NOISES[noise].floor(sigma)];
  return { A_g: formulas.message_growth({ B_aff, N, omega }), S_g: formulas.message_floor({ C_aff, N, omega }) };
}
// The step that η = 1 stands for at a slope of size |g|: 1, or what the theorem prescribes.
function unitOf(state) {
  if (state.method !== "prescribed") return () => 1;
  const [L_0, L_1] = FUNCTIONS[state.f].bounds;
  return formulas.prescribed_step_floor.along("g", { ...messageOf(state), L_0, L_1, share: 0.5 });
}

// Of N messages: the mean of what compression keeps of 1, and of given noise.
function mix(u, z, omega) {
  const kept = z.filter((_, i) => u[i] < 1 / (1 + omega));
  return { keep: ((1 + omega) / z.length) * kept.length, push: ((1 + omega) / z.length) * sum(kept) };
}
function drawsOf(state, run) {
  const random = uniforms(1000 * state.seed + run);
  const draw = NOISES[state.noise].draw ?? (() => 0);
  return Array.from({ length: STEPS }, () => {
    const noise = Array.from({ length: state.N }, () => draw(random));
    return { noise, ...mix(noise.map(random), noise, state.omega) };
  });
}

// One step, as a function of x, η and the random numbers of the step.
function stepper(state) {
  const slope = FUNCTIONS[state.f]._slope;
  const spread = NOISES[state.noise].spread(state.sigma);
  if (bySigns(state)) return (x, eta, { noise }) => {
    const g = slope(x), scale = spread(g);
    let total = 0;
    for (let i = 0; i < noise.length; i += 1) total += Math.sign(g + scale * noise[i]);
    return x - (eta * total) / noise.length;
  };
  const unit = unitOf(state);
  return (x, eta, { keep, push }) => {
    const g = slope(x), size = unit(Math.abs(g));
    return size < Infinity ? x - eta * size * (keep * g + spread(g) * push) : x; // eˣ so far left that its slope is 0
  };
}

// The gap after all steps; Infinity if a number became too large on the way. Where gradient descent with a constant step
// falls at once it never turns back, so that it need not be followed below the gap `enough`.
function lastGap(state, step, x, eta, draws, enough = 0) {
  const value = FUNCTIONS[state.f]._value;
  const settled = !atRandom(state) && state.method === "constant" ? Math.min(enough, value(x)) : 0;
  for (let n = 0; n < STEPS; n += 1) {
    x = step(x, eta, draws[n]);
    if (!(Math.abs(x) < 1e150)) return Infinity;
    if (settled > 0 && value(x) < settled) return 0;
  }
  return value(x);
}

// --- the limits ----------------------------------------------------------------------------------------------------------

const NODES = [[0, 8 / 15]]; // of a normal law
for (const [node, weight] of [[1.355626179974266, 0.2220759220056126], [2.8569700138728056, 0.01125741132772069]]) NODES.push([node, weight], [-node, weight]);

// The laws of the mean message that do not shrink with f′ left out: pairs of a chance and of the message at the slope g.
function messages({ noise, sigma, omega, N }, g) {
  const q = 1 / (1 + omega), spread = Math.sqrt(NOISES[noise].growth(sigma)) * g;
  const found = [];
  let chance = q < 1 ? (1 - q) ** N : 1;
  for (let c = q < 1 ? 0 : N; c <= N; c += 1) { // of N messages c are kept
    const [mean, deviation] = [((c / N) * g) / q, ((Math.sqrt(c) / N) * spread) / q];
    for (const [node, weight] of deviation > 0 ? NODES : [[0, 1]]) found.push([chance * weight, mean + node * deviation]);
    chance *= ((N - c) / (c + 1)) * (q / (1 - q));
  }
  return found;
}
// The largest η with which the mean of f falls in one step, by bisection: that mean is convex in η.
function exactLimit(state, x, rounds) {
  const { _value: value, _slope: slope, endless } = FUNCTIONS[state.f];
  if (bySigns(state)) return endless ? Infinity : 2 * x;
  const law = messages(state, slope(x));
  const falls = (exponent) => sum(law.map(([chance, m]) => chance * value(x - 10 ** exponent * m))) <= value(x);
  let [low, high] = [-7, 4];
  if (falls(high)) return Infinity;
  for (let i = 0; i < rounds; i += 1) {
    const middle = (low + high) / 2;
    if (falls(middle)) low = middle;
    else high = middle;
  }
  return 10 ** low;
}

// The largest η from x with which f falls, by the algorithm and by each of the equations; Infinity where there is none.
function limitsAt(state, x, rounds = 40) {
  const { _slope, _curvature, bounds: [L_0, L_1] } = FUNCTIONS[state.f];
  const g = Math.abs(_slope(x)), H = _curvature(x), exact = exactLimit(state, x, rounds);
  if (bySigns(state)) {
    const safe = L_1 > 0 ? formulas.any_tails_step({ L_1, d: 1 }) : Infinity;
    return { exact, corrected: formulas.sign_corrected_step({ H, g }), safe, first: Infinity, second: Infinity };
  }
  const { A_g } = messageOf(state), unit = unitOf(state)(g);
  const beyond = (k) => (A_g > k + 1e-12 ? formulas.affine_largest_step({ A_g: A_g - k, H }) / unit : Infinity);
  return { exact: exact / unit, corrected: beyond(0), safe: formulas.prescribed_step({ A_g, L_0, L_1, g, share: 1 }) / unit, first: beyond(1), second: beyond(2) };
}

// The flow from x₀, as points (step n, x): in one dimension time is an integral over x, however stiff the equation is.
function flow(state, sign) {
  const { _slope, _curvature, endless } = FUNCTIONS[state.f];
  const unit = unitOf(state);
  const rate = (x) => {
    const g = _slope(x), h = state.eta * unit(Math.abs(g));
    const m = bySigns(state) ? NOISES[state.noise].sign(g, state.sigma) : g;
    return h * (-m + sign * (h / 2) * (m / g) * _curvature(x) * m);
  };
  const points = [[0, state.x0]], count = 500, inward = rate(state.x0) < 0;
  const place = (i) => (!inward ? state.x0 + (3 * REACH * i) / count : endless ? state.x0 - (30 * i) / count : state.x0 * Math.exp((-12 * i) / count));
  for (let i = 1, n = 0; i <= count && n < PATH; i += 1) {
    n += (place(i) - place(i - 1)) / rate((place(i) + place(i - 1)) / 2);
    if (!(n >= 0)) break; // an equilibrium lies between
    points.push([Math.min(n, PATH), place(i)]);
  }
  const last = points.at(-1);
  if (last[0] < PATH && inward) points.push([PATH, last[1]]);
  return points;
}
