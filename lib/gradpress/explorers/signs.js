// The expected sign under Student noise, and exact laws of sign descent on f(x) = H x²/2, in units of the noise.

const TAILS = { 1: 1, 2: 2, 3: 3, 4: 4, inf: Infinity };
const tailOptions = [["1", "ν = 1 (Cauchy)"], ["2", "ν = 2"], ["3", "ν = 3"], ["4", "ν = 4"], ["inf", "ν = ∞ (Gaussian)"]];
const SIGN_OF = { 1: "sign_mean_1", 2: "sign_mean_2", 3: "sign_mean_3", 4: "sign_mean_4", inf: "sign_mean_normal" };
const expectedSign = (tail, u) => Math.sign(u) * formulas[SIGN_OF[tail]]({ u: Math.abs(u) });
const slopeOf = (tail) => (tail === "inf" ? Math.sqrt(2 / Math.PI) : formulas.student_slope({ nu: TAILS[tail] }));

// E u² under the stationary density of the equation: exp(−(2/θ) ∫ m/(1 − m²))/(1 − m²), by the trapezoidal rule.
function equationMoment(tail, theta, points = 800) {
  const du = (14 * Math.sqrt(theta / (2 * slopeOf(tail)))) / points;
  let height = 0, before = 0, top = 0, bottom = 0;
  for (let i = 0; i <= points; i += 1) {
    const u = i * du, m = expectedSign(tail, u), spread = Math.max(1 - m * m, 1e-300);
    height += ((before + m / spread) / 2) * du;
    before = m / spread;
    const density = (i === 0 ? 0.5 : 1) * Math.exp((-2 / theta) * height) / spread;
    if (!(density > 1e-300)) break;
    top += u * u * density;
    bottom += density;
  }
  return top / bottom;
}

// E u² for one agent, by detailed balance on the lattice θ(k + offset), outwards from its middle.
function methodMoment(tail, theta, offset = 0) {
  let top = 0, bottom = 0;
  const visit = (k, weight) => { const u = theta * (k + offset); top += u * u * weight; bottom += weight; };
  visit(0, 1);
  for (const side of [1, -1]) {
    let weight = 1;
    for (let k = side; weight > 1e-18 && Math.abs(k) < 4000; k += side) {
      const outward = 1 - side * expectedSign(tail, theta * (k - side + offset));
      const inward = 1 + side * expectedSign(tail, theta * (k + offset));
      weight *= outward / inward;
      visit(k, weight);
    }
  }
  return top / bottom;
}
