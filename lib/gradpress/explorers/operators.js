// The operators, once for all explorers. Everything here is a pure function of x, the parameters P = {k, q, b, s, p}
// and (for a draw) an array of d uniform numbers; the tests compare it with the Python library.

const sum = (values) => values.reduce((total, value) => total + value, 0);
const square = (x) => sum(x.map((v) => v * v));
const dot = (x, y) => sum(x.map((v, i) => v * y[i]));
const norm1 = (x) => sum(x.map(Math.abs));

// Scaled by the largest entry first, so that no power overflows.
function norm(x, p) {
  const top = Math.max(...x.map(Math.abs));
  if (p === Infinity || top === 0) return top;
  return top * Math.pow(sum(x.map((v) => Math.pow(Math.abs(v) / top, p))), 1 / p);
}

// The neighbouring levels b^e ≤ t < b^(e+1) of an exponential rounding, for t > 0.
function exponentialCell(t, b) {
  let e = Math.floor(Math.log(t) / Math.log(b));
  while (Math.pow(b, e) > t) e -= 1;
  while (Math.pow(b, e + 1) <= t) e += 1;
  return [Math.pow(b, e), Math.pow(b, e + 1)];
}

// The neighbouring levels of a dithering for t in [0, 1]: 0 and u_0 at the bottom.
function ditherCell(t, P) {
  const u0 = formulas.exponential_u0({ b: P.b, s: P.s });
  if (t < u0) return [0, u0];
  if (t >= 1) return [1, 1];
  const [low, high] = exponentialCell(t, P.b);
  return [Math.max(low, u0), Math.min(high, 1)];
}

function uniformCell(t, P) {
  if (t >= 1) return [1, 1];
  const j = Math.floor(t * P.s);
  return [j / P.s, (j + 1) / P.s];
}

const TERNARY_CELL = () => [0, 1];

// The k positions of largest magnitude, ties to the lowest index.
function topPositions(x, k) {
  return x.map((_, i) => i).sort((i, j) => Math.abs(x[j]) - Math.abs(x[i]) || i - j).slice(0, k);
}

function topK(x, k) {
  const kept = new Set(topPositions(x, k));
  return x.map((v, i) => (kept.has(i) ? v : 0));
}

const fixed = (image) => ({ mean: image, second: image.map((v) => v * v) });

// Rounding of every |x_i| / scale to one of two neighbouring levels, without bias: E ξ² = t² + (t − a)(c − t).
const rounded = (scale, cell) => ({
  moments(x, P) {
    const unit = scale(x, P);
    return {
      mean: x.slice(),
      second: x.map((v) => {
        if (v === 0 || unit === 0) return 0;
        const t = Math.abs(v) / unit;
        const [a, c] = cell(t, P);
        return v * v + unit * unit * ((t - a) * (c - t));
      }),
    };
  },
  draw(x, P, u) {
    const unit = scale(x, P);
    return x.map((v, i) => {
      if (v === 0 || unit === 0) return 0;
      const t = Math.abs(v) / unit;
      const [a, c] = cell(t, P);
      return Math.sign(v) * unit * (c > a && u[i] < (t - a) / (c - a) ? c : a);
    });
  },
});

const toNorm = (x, P) => norm(x, P.p);
const noScale = () => 1;
const exponential = rounded(toNorm, ditherCell);

// The constant of U(ζ) of a dithering on n coordinates (chapter `compressors`), from the formulas of the library.
function exponentialZeta(n, P) {
  if (n === 1) return 1; // |x|/‖x‖ = 1 is a level
  const u0 = formulas.exponential_u0({ b: P.b, s: P.s });
  const z = formulas.unbiased_rounding_zeta({ rho: P.b });
  const tau = formulas.dithering_tau({ d: n, p: P.p, u_0: u0 });
  if (P.p !== Infinity) return P.s === 1 ? tau : formulas.dithering_zeta({ z, tau });
  const bottom = formulas.dithering_zeta_max_bottom({ d: n, u_0: u0 });
  return P.s === 1 ? bottom : Math.max(bottom, formulas.dithering_zeta_max_top({ b: P.b, d: n, z }));
}

function standardZeta(n, P) {
  if (n === 1) return 1;
  const u0 = formulas.standard_u0({ s: P.s });
  if (P.p === Infinity) return formulas.dithering_zeta_max_bottom({ d: n, u_0: u0 });
  return formulas.dithering_zeta({ z: 1, tau: formulas.dithering_tau({ d: n, p: P.p, u_0: u0 }) });
}

// Constants at λ = 1: of U(ζ) with what follows from it, and of an operator with E‖C(x)‖² = ⟨E C(x), x⟩ ≥ γ‖x‖².
function unbiasedConstants(zeta) {
  const second = { alpha: 1, beta: zeta, gamma: 1 };
  return { zeta, ...second, delta: deltaOf(second, 1) };
}
const projection = (gamma) => ({ alpha: gamma, beta: 1, gamma, delta: 1 / gamma });

// The δ that B²(γ, β) gives λC, infinite where λβ ≥ 2.
function deltaOf({ gamma, beta }, lambda) {
  return lambda * beta < 2 ? formulas.b2_to_b3_delta({ beta, gamma, lam: lambda }) : Infinity;
}

const OPERATORS = {
  "identity": {
    constants: () => unbiasedConstants(1),
    moments: (x) => fixed(x.slice()),
    draw: (x) => x.slice(),
  },
  "rand-k": {
    constants: (d, P) => unbiasedConstants(formulas.rand_k_zeta({ d, k: P.k })),
    moments: (x, P) => ({ mean: x.slice(), second: x.map((v) => (v * v * x.length) / P.k) }),
    draw(x, P, u) {
      const order = u.slice(0, x.length).map((_, i) => i).sort((i, j) => u[i] - u[j]);
      const kept = new Set(order.slice(0, P.k));
      return x.map((v, i) => (kept.has(i) ? (v * x.length) / P.k : 0));
    },
  },
  "random-sparsification": {
    constants: (d, P) => projection(formulas.sparsification_gamma({ q: P.q })),
    moments: (x, P) => ({ mean: x.map((v) => P.q * v), second: x.map((v) => P.q * v * v) }),
    draw: (x, P, u) => x.map((v, i) => (u[i] < P.q ? v : 0)),
  },
  "adaptive-sparsification": {
    constants: (d) => projection(formulas.adaptive_gamma({ d })),
    moments(x) {
      const total = norm1(x) || 1;
      return { mean: x.map((v) => (Math.abs(v) / total) * v), second: x.map((v) => (Math.abs(v) / total) * v * v) };
    },
    draw(x, P, u) {
      let left = u[0] * norm1(x);
      let chosen = -1;
      x.forEach((v, i) => {
        if (left >= 0 && v !== 0) chosen = i;
        left -= Math.abs(v);
      });
      return x.map((v, i) => (i === chosen ? v : 0));
    },
  },
  "top-k": {
    constants: (d, P) => projection(formulas.top_k_gamma({ d, k: P.k })),
    moments: (x, P) => fixed(topK(x, P.k)),
    draw: (x, P) => topK(x, P.k),
  },
  "unbiased-rounding": { constants: (d, P) => unbiasedConstants(formulas.unbiased_rounding_zeta({ rho: P.b })), ...rounded(noScale, (t, P) => exponentialCell(t, P.b)) },
  "biased-rounding": {
    constants: (d, P) => biasedRoundingConstants(P.b),
    moments: (x, P) => fixed(nearest(x, P.b)),
    draw: (x, P) => nearest(x, P.b),
  },
  "natural-compression": { constants: () => unbiasedConstants(formulas.unbiased_rounding_zeta({ rho: 2 })), ...rounded(noScale, (t) => exponentialCell(t, 2)) },
  "exponential-dithering": { constants: (d, P) => unbiasedConstants(exponentialZeta(d, P)), ...exponential },
  "standard-dithering": { constants: (d, P) => unbiasedConstants(standardZeta(d, P)), ...rounded(toNorm, uniformCell) },
  "ternary": { constants: (d, P) => unbiasedConstants(exponentialZeta(d, { ...P, b: 2, s: 1 })), ...rounded(toNorm, TERNARY_CELL) },
  "sign": {
    constants: () => ({}),
    moments: (x) => fixed(x.map(Math.sign)),
    draw: (x) => x.map(Math.sign),
  },
  "scaled-sign": {
    constants: (d) => scaledSignConstants(d),
    moments: (x) => fixed(scaledSign(x)),
    draw: scaledSign,
  },
  "top-k-dithering": {
    constants: (d, P) => topKDitheringConstants(d, P),
    moments(x, P) {
      const { second } = exponential.moments(topK(x, P.k), P);
      return { mean: topK(x, P.k), second };
    },
    draw: (x, P, u) => exponential.draw(topK(x, P.k), P, u),
  },
};

function biasedRoundingConstants(rho) {
  return {
    alpha: formulas.biased_rounding_alpha({ rho }),
    beta: formulas.biased_rounding_beta({ rho }),
    gamma: formulas.biased_rounding_gamma({ rho }),
    delta: formulas.biased_rounding_delta({ rho }),
  };
}

function scaledSignConstants(d) {
  const gamma = formulas.scaled_sign_gamma({ d });
  return { alpha: formulas.scaled_sign_alpha({ d }), beta: 1, gamma, delta: 1 / gamma };
}

function topKDitheringConstants(d, P) {
  const gamma = formulas.top_k_gamma({ d, k: P.k });
  const second = { alpha: gamma, beta: exponentialZeta(P.k, P), gamma };
  return { ...second, delta: deltaOf(second, 1) };
}

// A level and its neighbour above meet at their arithmetic mean; the mean itself goes down.
function nearest(x, b) {
  return x.map((v) => {
    if (v === 0) return 0;
    const [a, c] = exponentialCell(Math.abs(v), b);
    return Math.sign(v) * (Math.abs(v) - a <= c - Math.abs(v) ? a : c);
  });
}

function scaledSign(x) {
  const size = norm1(x) / x.length;
  return x.map((v) => size * Math.sign(v));
}

// The point (m_1, m_2) of an operator at x ≠ 0.
function planePoint(name, x, P) {
  const { mean, second } = OPERATORS[name].moments(x, P);
  const energy = square(x);
  return [dot(mean, x) / energy, sum(second) / energy];
}

// A small generator of uniform numbers with a seed (mulberry32), so that a picture can be sent to a colleague.
function uniforms(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const gaussian = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

// Vectors that show what an operator does: random, sparse and heavy-tailed ones, equal entries of every size, one spike
// over a floor of every height.
function specimens(d, count, seed) {
  const random = uniforms(seed);
  const vector = (entry) => Array.from({ length: d }, entry);
  const log = (low, high) => Math.exp(Math.log(low) + random() * Math.log(high / low));
  const kinds = [
    () => vector(() => gaussian(random)),
    () => vector(() => gaussian(random) / Math.max(1e-6, Math.abs(gaussian(random)))),
    () => vector((_, i) => (i > 0 && random() < 0.7 ? 0 : gaussian(random))),
    () => { const size = log(1, 16); return vector(() => size); },
    () => { const floor = log(1e-4, 1); const unit = log(1, 16); return vector((_, i) => unit * (i === 0 ? 1 : floor)); },
    () => { const steepness = log(0.05, 3); return vector((_, i) => Math.exp(-steepness * i) * log(0.8, 1.25)); },
  ];
  return Array.from({ length: count }, (_, i) => kinds[i % kinds.length]());
}

// The δ of λC on its worst vector. Where C rounds x to r·x with r in [γ, β] coordinate by coordinate, 2λr − λ²r² is
// concave in r, so that an end of the range is worst; every other operator here is worst where its B² constants meet.
function scaledDelta(name, constants, lambda) {
  if (name !== "biased-rounding") return deltaOf(constants, lambda);
  return Math.max(...[constants.gamma, constants.beta].map((r) => deltaOf({ gamma: r, beta: r }, lambda)));
}

const bestScale = (name, { beta, gamma }) => (name === "biased-rounding" ? 2 / (beta + gamma) : 1 / beta);
