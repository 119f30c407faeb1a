// The special functions that formulas call, to about 14 digits.

// The error function: its power series near 0, and a continued fraction of 1 − erf further out.
function erf(x) {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    let term = x, sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }
  let tail = 0;
  for (let n = 60; n > 0; n--) tail = n / 2 / (size + tail);
  return Math.sign(x) * (1 - Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + tail));
}

// Γ(x) for x > 0, by the approximation of Lanczos.
function gammaFunction(x) {
  if (x < 0.5) return Math.PI / (Math.sin(Math.PI * x) * gammaFunction(1 - x));
  const c = [676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
  const sum = c.reduce((total, value, n) => total + value / (x + n), 0.99999999999980993);
  const at = x + 6.5;
  return Math.sqrt(2 * Math.PI) * at ** (x - 0.5) * Math.exp(-at) * sum;
}
