// Greedy against blind selection under a law of the reader's choice: where the coordinates are, and where the energy is.

const LAWS = {
  uniform: { label: "uniform", word: "Uniform magnitudes" },
  normal: { label: "normal", word: "Normal coordinates" },
  laplace: { label: "Laplace (exponential)", word: "Laplace coordinates" },
  student: { label: "Student's t", word: "Student coordinates" },
  pareto: { label: "Pareto", word: "Pareto magnitudes" },
};
const SIZES = [["10", "10"], ["100", "100"], ["1000", "1000"], ["10000", "10 000"], ["100000", "100 000"]];
const HEAVY = new Set(["student", "pareto"]); // drawn on a logarithmic axis
const RUG = 400;

// --- special functions, relative accuracy about 1e-12 -----------------------------------------------------------------

const LANCZOS = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];

function logGamma(x) {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const t = x + 6.5;
  const sum = LANCZOS.reduce((total, c, i) => (i ? total + c / (x - 1 + i) : c), 0);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

// Lentz's algorithm for 1 / (1 + a₁ / (1 + a₂ / …)).
function fraction(term) {
  let c = 1;
  let d = 0;
  let value = 1;
  for (let n = 1; n < 3000; n += 1) {
    const a = term(n);
    d = 1 / (1 + a * d);
    c = 1 + a / c;
    value *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return 1 / value;
}

function betaTail(x, a, b) { // P(Beta(a, b) ≤ x)
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaTail(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  return front * fraction((n) => {
    const m = Math.floor(n / 2);
    return n % 2 ? (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)) : (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
  });
}

function normalTail(x) { // P(N(0, 1) > x)
  if (x < 0) return 1 - normalTail(-x);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n += 1) sum += term = (term * x * x) / (2 * n + 1);
    return 0.5 - bell(x) * sum;
  }
  return (bell(x) / x) * fraction((n) => n / (x * x));
}
const bell = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
const studentTail = (t, nu) => betaTail(nu / (nu + t * t), nu / 2, 0.5); // P(|t_ν| > t)

// --- small tools ------------------------------------------------------------------------------------------------------

// A scale on which each tenfold is equally wide; `axis` draws it, with ticks at the given values.
function logScale([low, high], range) {
  const linear = d3.scaleLinear([Math.log10(low), Math.log10(high)], range);
  const x = (t) => linear(Math.log10(t));
  x.invert = (px) => 10 ** linear.invert(px);
  x.axis = (values) => d3.axisBottom(linear).tickValues(values.map(Math.log10)).tickFormat((v) => (v >= 4 && v < 7 ? whole(Math.round(10 ** v)) : number(10 ** v))).tickSize(4);
  return x;
}
const powersOfTen = (low, high) => {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const all = Array.from({ length: Math.max(1, Math.floor(Math.log10(high) + 1e-9) - first + 1) }, (_, i) => 10 ** (first + i));
  const skip = Math.ceil(all.length / 8);
  return all.filter((_, i) => i % skip === 0);
};
const whole = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u2009"); // 100 000
const largestOf = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);

function above(sorted, value) { // the first index whose entry is larger
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

// --- laws -------------------------------------------------------------------------------------------------------------

// A law: survival G, density g, quantile Q, energy curve Λ (where the second moment is finite), and its second moment.
function makeLaw({ law, mean, nu, a }) {
  if (law === "uniform") return {
    G: (t) => Math.max(0, 1 - t), g: (t) => (t <= 1 ? 1 : 0), Q: (u) => 1 - u,
    curve: (u) => 1 - formulas.uniform_limit_lost({ q: u }), moment: 1 / 3, low: 0,
  };
  if (law === "laplace") return {
    G: (t) => Math.exp(-t), g: (t) => Math.exp(-t), Q: (u) => -Math.log(u),
    curve: (u) => 1 - formulas.exponential_limit_lost({ q: u }), moment: 2, low: 0,
  };
  if (law === "pareto") return {
    G: (t) => (t < 1 ? 1 : t ** -a), g: (t) => (t < 1 ? 0 : a * t ** (-a - 1)), Q: (u) => u ** (-1 / a),
    curve: a > 2 ? (u) => 1 - formulas.pareto_limit_lost({ a, q: u }) : null, moment: a > 2 ? a / (a - 2) : Infinity, low: 1,
  };
  if (law === "normal") return tabled({
    G: (t) => normalTail(t - mean) + normalTail(t + mean), g: (t) => bell(t - mean) + bell(t + mean), moment: 1 + mean * mean,
    share: (t, q) => formulas.folded_normal_kept({ Q: t, m: mean, q }), low: 0,
  }, Array.from({ length: 2401 }, (_, i) => ((mean + 10) * i) / 2400));
  const front = (2 * Math.exp(logGamma((nu + 1) / 2) - logGamma(nu / 2))) / Math.sqrt(Math.PI * nu);
  return tabled({
    G: (t) => studentTail(t, nu), g: (t) => front * (1 + (t * t) / nu) ** (-(nu + 1) / 2), moment: nu > 2 ? nu / (nu - 2) : Infinity, low: 0,
    share: nu > 2 ? (t, q) => (nu - 1) * studentTail(t * Math.sqrt((nu - 2) / nu), nu - 2) - (nu - 2) * q : null,
  }, Array.from({ length: 1601 }, (_, i) => Math.sinh(((44 / nu + 3) * i) / 1600)));
}

// Q and Λ as functions of s = log 1/u, by cubic interpolation with exact slopes.
function tabled(law, levels) {
  const rows = levels.map((t) => ({ t, u: law.G(t) })).filter(({ u }, i, all) => u > 1e-18 && (i === 0 || u < all[i - 1].u));
  const s = rows.map(({ u }) => -Math.log(Math.min(1, u)));
  const slope = rows.map(({ t, u }) => u / law.g(t));
  const kept = law.share && rows.map(({ t, u }) => law.share(t, u));
  const fall = rows.map(({ t, u }) => (-t * t * u) / law.moment);
  const cubic = (value, gradient) => (u) => {
    const at = clamp(-Math.log(u), 0, s.at(-1));
    const i = clamp(above(s, at), 1, s.length - 1);
    const h = s[i] - s[i - 1];
    const x = (at - s[i - 1]) / h;
    const [p, q] = [value[i - 1], value[i]];
    return p + x * (h * gradient[i - 1] + x * (3 * (q - p) - h * (2 * gradient[i - 1] + gradient[i]) + x * (2 * (p - q) + h * (gradient[i - 1] + gradient[i]))));
  };
  return { ...law, Q: cubic(rows.map(({ t }) => t), slope), curve: kept ? cubic(kept, fall) : null };
}

// E Λ(B) for B ~ Beta(k, d − k): the expected share of the energy that Top-k keeps. In y = log B/(1 − B) the density is
// proportional to B^k (1 − B)^(d−k), and the trapezoidal rule converges faster than any power.
function keptShare(law, d, k) {
  if (k >= d) return 1;
  const centre = Math.log(k / (d - k));
  const spread = Math.sqrt(d / (k * (d - k)));
  const step = spread / 6;
  const from = Math.ceil(Math.max(9 * spread, 38 / k) / step);
  const to = Math.ceil(Math.max(9 * spread, 38 / (d - k)) / step);
  const top = logDensity(centre, d, k);
  let total = 0;
  let weights = 0;
  for (let i = -from; i <= to; i += 1) {
    const y = centre + i * step;
    const w = Math.exp(logDensity(y, d, k) - top);
    weights += w;
    total += w * law.curve(1 / (1 + Math.exp(-y)));
  }
  return total / weights;
}
const logDensity = (y, d, k) => (y > 0 ? -k * Math.log1p(Math.exp(-y)) - (d - k) * (y + Math.log1p(Math.exp(-y)))
  : k * (y - Math.log1p(Math.exp(y))) - (d - k) * Math.log1p(Math.exp(y)));

// One vector, largest magnitude first, and the share that Top-k keeps of it for every k: sorted uniform numbers are
// quotients of sums of exponential ones.
function drawVector(law, d, random) {
  const sorted = new Float64Array(d);
  const kept = new Float64Array(d + 1);
  const arrivals = new Float64Array(d + 1);
  let clock = 0;
  for (let j = 0; j <= d; j += 1) arrivals[j] = clock += -Math.log(1 - random());
  for (let j = 0; j < d; j += 1) {
    sorted[j] = law.Q(arrivals[j] / clock);
    kept[j + 1] = kept[j] + sorted[j] ** 2;
  }
  const all = kept[d];
  for (let j = 1; j <= d; j += 1) kept[j] /= all;
  return { sorted, kept };
}

const INTERNALS = { selection: { makeLaw, keptShare } };

// --- what is drawn ----------------------------------------------------------------------------------------------------

const sizeOf = (state) => Number(state.d);
const countOf = (state) => Math.min(state.k, sizeOf(state));

// What does not depend on k, kept until the law, d or the vector changes.
function portrait(state) {
  const d = sizeOf(state);
  const law = makeLaw(state);
  const random = uniforms(state.seed);
  const { sorted, kept: one } = drawVector(law, d, random);
  const some = law.curve ? [one] : [one, ...Array.from({ length: clamp(2e5 / d, 4, 40) - 1 }, () => drawVector(law, d, random).kept)];
  const counts = [...new Set(Array.from({ length: 61 }, (_, i) => Math.round(d ** (i / 60))))];
  const mean = (k) => (law.curve ? keptShare(law, d, k) : some.reduce((sum, shares) => sum + shares[k], 0) / some.length);
  const rug = Array.from({ length: Math.min(d, RUG) }, (_, i) => {
    const rank = d <= RUG ? i : Math.floor(d * random());
    return { t: sorted[rank], rank, lot: random() };
  });
  return { d, law, one, vectors: some.length, mean, rug, curve: counts.map((k) => [k, mean(k)]), single: counts.map((k) => [k, one[k]]) };
}

// The densities of coordinates and of energy, per unit of the axis, each with area 1 on the axis shown.
function densities(law, heavy, d) {
  const high = heavy ? 1.4 * law.Q(0.7 / d) : 1.04 * law.Q(0.35 / d);
  const low = heavy ? Math.max(law.low, 0.02) : 0;
  const grid = Array.from({ length: 321 }, (_, i) => (heavy ? low * (high / low) ** (i / 320) : (high * i) / 320));
  const many = grid.map((t) => law.g(t) * (heavy ? t : 1));
  const energy = grid.map((t, i) => t * t * many[i]);
  const areas = [many, energy].map((values) => values.reduce((sum, v) => sum + v, 0));
  return { low, high, grid, many: many.map((v) => v / areas[0]), energy: energy.map((v) => v / areas[1]) };
}

class Densities {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    const path = (attributes) => Object.entries(attributes).reduce((node, [key, value]) => node.attr(key, value), svg.append("path"));
    this.axis = svg.append("g").attr("class", "gp-axis");
    this.allMany = path({ fill: "var(--gp-x)", opacity: 0.16 });
    this.keptMany = path({ fill: "var(--gp-x)", opacity: 0.75 });
    this.allEnergy = path({ fill: "var(--gp-biased)", opacity: 0.13 });
    this.keptEnergy = path({ fill: "var(--gp-biased)", opacity: 0.55 });
    this.lineMany = path({ fill: "none", stroke: "var(--gp-x)", "stroke-width": 2 });
    this.lineEnergy = path({ fill: "none", stroke: "var(--gp-biased)", "stroke-width": 2.5 });
    this.rows = { lost: path({ stroke: "var(--gp-x)", opacity: 0.45 }), top: path({ stroke: "var(--gp-biased)", "stroke-width": 1.6 }),
      all: path({ stroke: "var(--gp-x)", opacity: 0.25 }), blind: path({ stroke: "var(--gp-unbiased)", "stroke-width": 1.6 }) };
    const text = (className) => svg.append("text").attr("class", className);
    this.text = { many: text("gp-halo"), energy: text("gp-halo"), x: text("gp-faint"), top: text("gp-faint"), blind: text("gp-faint"), cut: text("gp-halo") };
    this.text.many.style("fill", "var(--gp-x)").text("coordinates");
    this.text.energy.style("fill", "var(--gp-biased)").text("energy");
    this.text.top.text("sent by Top-k");
    this.text.blind.text("sent by Rand-k");
    this.text.x.attr("text-anchor", "end");
    this.buildHandle(svg.append("g"));
  }

  buildHandle(group) {
    this.group = group;
    const { kit } = this;
    const move = (sign) => () => setCount(kit, countOf(kit.state) + sign * Math.max(1, Math.round(countOf(kit.state) / 20)));
    this.announce = kit.handle(group, {
      label: "threshold: coordinates beyond it are sent by Top-k", orientation: "horizontal", low: 0, high: 5, step: 0.05,
      value: () => Math.log10(sizeOf(kit.state) / countOf(kit.state)), text: () => this.spoken(),
      keys: { ArrowRight: move(-1), ArrowUp: move(-1), ArrowLeft: move(1), ArrowDown: move(1) },
      at: (event) => Math.log10(1 / clamp(this.law.G(Math.max(this.x.invert(event.x), 1e-9)), 1e-5, 1)),
      change: (value) => setCount(kit, sizeOf(kit.state) / 10 ** value),
    });
    group.append("rect").attr("x", -14).attr("width", 28).attr("fill", "transparent");
    group.append("line").attr("stroke", "var(--gp-ink)").attr("stroke-width", 2);
    group.append("circle").attr("class", "gp-grip").attr("r", 8).attr("fill", "var(--gp-biased)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
  }

  spoken() {
    return `threshold ${number(this.cut)}: the largest ${countOf(this.kit.state)} of ${this.kit.state.d}`;
  }

  draw(state, found, width) {
    const { law, d, rug } = found;
    const k = countOf(state);
    const heavy = HEAVY.has(state.law);
    const height = clamp(width * 0.78, 270, 430);
    const pad = { left: 8, right: 8, top: 34, bottom: 104 };
    const shape = (found.shape ??= densities(law, heavy, d));
    this.law = law;
    this.cut = k >= d ? (heavy ? law.low : 0) : law.Q(k / d);
    const place = clamp(this.cut, shape.low, shape.high);
    const x = (this.x = (heavy ? logScale : d3.scaleLinear)([shape.low, shape.high], [pad.left, width - pad.right]));
    const floor = height - pad.bottom;
    const top = Math.min(largestOf([...shape.many, ...shape.energy]), 2.6 * largestOf(shape.energy));
    const y = d3.scaleLinear([0, 1.04 * top], [floor, pad.top]);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label",
      `Densities of the magnitudes and of the energy, cut at ${number(this.cut)}; below, ${rug.length} coordinates of one vector, those that Top-k sends and those that Rand-k sends.`);
    this.axis.attr("transform", `translate(0,${floor})`).call(heavy ? x.axis(powersOfTen(shape.low, shape.high)) : d3.axisBottom(x).ticks(6).tickSize(4));
    const curve = (values) => shape.grid.map((t, i) => [x(t), y(Math.min(values[i], 1.04 * top))]);
    const area = (points) => (points.length > 1 ? `${polyline(points)}L${points.at(-1)[0].toFixed(1)},${floor}L${points[0][0].toFixed(1)},${floor}Z` : "");
    const beyond = (points) => points.filter(([px]) => px >= x(place) - 0.01);
    for (const [values, all, kept, line] of [[shape.many, this.allMany, this.keptMany, this.lineMany], [shape.energy, this.allEnergy, this.keptEnergy, this.lineEnergy]]) {
      const points = curve(values);
      all.attr("d", area(points));
      kept.attr("d", area(beyond(points)));
      line.attr("d", polyline(points));
    }
    this.drawRug({ rug, x, shape, floor, k, d });
    this.label({ x, y, shape, floor, width, height, heavy, place, pad });
  }

  drawRug({ rug, x, shape, floor, k, d }) {
    const at = (t) => x(clamp(t, shape.low, shape.high)).toFixed(1);
    const ticks = (level, kept) => rug.filter(kept).map(({ t }) => `M${at(t)},${level}v14`).join("");
    const greedy = ({ rank }) => rank < k;
    const blind = ({ lot }) => lot < k / d;
    this.rows.lost.attr("d", ticks(floor + 36, (entry) => !greedy(entry)));
    this.rows.top.attr("d", ticks(floor + 36, greedy));
    this.rows.all.attr("d", ticks(floor + 72, (entry) => !blind(entry)));
    this.rows.blind.attr("d", ticks(floor + 72, blind));
  }

  label({ x, y, shape, floor, width, height, heavy, place, pad }) {
    const peak = (values) => values.indexOf(largestOf(values));
    const put = (node, values, skip) => {
      const i = clamp(peak(values), 12, shape.grid.length - 60);
      node.attr("x", x(shape.grid[i]) + skip).attr("y", Math.max(pad.top - 6, y(values[i]) - 7));
    };
    put(this.text.many, shape.many, 6);
    put(this.text.energy, shape.energy, 6);
    const [a, b] = [this.text.many, this.text.energy].map((node) => [Number(node.attr("x")), Number(node.attr("y"))]);
    if (Math.abs(a[0] - b[0]) < 84 && Math.abs(a[1] - b[1]) < 16) this.text.energy.attr("y", a[1] + 17);
    this.text.x.attr("x", width - pad.right).attr("y", height - 4).text(heavy ? "magnitude |x| (each tenfold equally wide)" : "magnitude |x| of a coordinate");
    this.text.top.attr("x", pad.left).attr("y", floor + 33);
    this.text.blind.attr("x", pad.left).attr("y", floor + 69);
    const right = x(place) > width - 120;
    this.text.cut.attr("x", x(place) + (right ? -12 : 12)).attr("text-anchor", right ? "end" : "start").attr("y", 15).text(`|x| > ${number(this.cut)}`);
    this.group.attr("transform", `translate(${x(place)},0)`);
    this.group.select("rect").attr("y", 2).attr("height", floor - 2);
    this.group.select("line").attr("y1", 12).attr("y2", floor + 52);
    this.group.select("circle").attr("cy", 12);
    this.announce();
  }
}

const setCount = (kit, k) => kit.set({ k: clamp(Math.round(k), 1, sizeOf(kit.state)) });

class Shares {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    const path = (attributes) => Object.entries(attributes).reduce((node, [key, value]) => node.attr(key, value), svg.append("path"));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.between = path({ fill: "var(--gp-biased)", opacity: 0.12 });
    this.blind = path({ fill: "none", stroke: "var(--gp-unbiased)", "stroke-width": 2.5, "stroke-dasharray": "7 4" });
    this.single = path({ fill: "none", stroke: "var(--gp-x)", "stroke-width": 1.5 });
    this.greedy = path({ fill: "none", stroke: "var(--gp-biased)", "stroke-width": 3 });
    this.bar = path({ stroke: "var(--gp-ink)", "stroke-width": 1.5 });
    const text = (className) => svg.append("text").attr("class", className);
    this.text = { greedy: text("gp-halo"), blind: text("gp-halo"), gain: text("gp-halo"), x: text("gp-faint"), y: text("gp-faint") };
    this.text.greedy.style("fill", "var(--gp-biased)").text("Top-k");
    this.text.blind.style("fill", "var(--gp-unbiased)").text("Rand-k").attr("text-anchor", "end");
    this.text.gain.style("font-weight", 700);
    this.text.x.attr("text-anchor", "end").text("k, coordinates kept (each tenfold equally wide)");
    this.text.y.text("share of the energy kept");
    this.foot = svg.append("circle").attr("r", 5).attr("fill", "var(--gp-unbiased)");
    this.group = svg.append("g");
    const move = (sign) => () => setCount(kit, countOf(kit.state) + sign * Math.max(1, Math.round(countOf(kit.state) / 20)));
    this.announce = kit.handle(this.group, {
      label: "k, coordinates kept", orientation: "horizontal", low: 1, high: 1e5, step: 1,
      value: () => countOf(kit.state), text: () => this.spoken(),
      keys: { ArrowRight: move(1), ArrowUp: move(1), ArrowLeft: move(-1), ArrowDown: move(-1) },
      at: (event) => this.x.invert(event.x), change: (value) => setCount(kit, value),
    });
    this.group.append("circle").attr("r", 15).attr("fill", "transparent");
    this.group.append("circle").attr("class", "gp-grip").attr("r", 8).attr("fill", "var(--gp-biased)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
  }

  spoken() {
    return `k = ${countOf(this.kit.state)}: Top-k keeps ${percent(this.share)}`;
  }

  draw(state, found, share, width) {
    const { d } = found;
    const k = countOf(state);
    this.share = share;
    const height = clamp(width * 0.66, 230, 340);
    const pad = { left: 42, right: 26, top: 26, bottom: 38 };
    const x = (this.x = logScale([1, d], [pad.left, width - pad.right]));
    const y = d3.scaleLinear([0, 1], [height - pad.bottom, pad.top]);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label",
      `The share of the energy kept against k: Top-k on average, Top-k on one vector, and Rand-k. At k = ${k}, ${percent(share)} against ${percent(k / d)}.`);
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(x.axis(powersOfTen(1, d)));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(y).ticks(5, "%").tickSize(4));
    const line = (points) => points.map(([n, v]) => [x(n), y(v)]);
    const diagonal = found.curve.map(([n]) => [n, n / d]);
    this.greedy.attr("d", polyline(line(found.curve)));
    this.single.attr("d", polyline(line(found.single)));
    this.blind.attr("d", polyline(line(diagonal)));
    this.between.attr("d", `${polyline([...line(found.curve), ...line(diagonal).reverse()])}Z`);
    this.bar.attr("d", `M${x(k)},${y(k / d)}V${y(share)}`);
    this.foot.attr("cx", x(k)).attr("cy", y(k / d));
    this.group.attr("transform", `translate(${x(k)},${y(share)})`);
    const late = x(k) > width * 0.62;
    this.text.gain.attr("x", x(k) + (late ? -12 : 12)).attr("text-anchor", late ? "end" : "start")
      .attr("y", Math.max(pad.top + 14, (y(share) + y(k / d)) / 2 - 2)).text(`× ${number((share * d) / k)}`);
    const free = x(k) < width / 2 ? 0.78 : 0.34; // away from the handle
    const [n, v] = found.curve.find(([count]) => x(count) > free * width) ?? found.curve.at(-1);
    this.text.greedy.attr("x", x(n) - 4).attr("text-anchor", "end").attr("y", Math.max(17, y(v) - 9));
    this.text.blind.attr("x", width - pad.right - 12).attr("y", y(0.06));
    this.text.x.attr("x", width - pad.right).attr("y", height - 3);
    this.text.y.attr("x", 2).attr("y", 13);
    this.announce();
  }
}

// The gain between its ends, 1 and d/k, with the two laws that bound every symmetric log-concave one.
class Gauge {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.band = svg.append("rect").attr("height", 14).attr("y", 24).attr("fill", "var(--gp-b1)").attr("opacity", 0.3);
    this.axis = svg.append("g").attr("class", "gp-axis");
    this.mark = svg.append("path").attr("d", "M0,22l-7,-12h14z").attr("fill", "var(--gp-biased)");
    this.stem = svg.append("path").attr("stroke", "var(--gp-biased)").attr("stroke-width", 3);
    this.text = svg.append("text").attr("class", "gp-faint gp-halo").attr("y", 72);
    this.ends = svg.append("text").attr("class", "gp-faint").attr("text-anchor", "end").attr("y", 72);
  }

  draw({ d, k, gain, low, high }, width) {
    const most = Math.max(d / k, 1.0001);
    const scale = logScale([1, most], [10, width - 26]);
    const x = (v) => scale(clamp(v, 1, most));
    this.svg.attr("viewBox", `0 0 ${width} 78`).attr("aria-label",
      `The gain, ${number(gain)}, on a scale from 1 to d/k = ${number(most)}; symmetric log-concave laws lie from ${number(low)} to ${number(high)}.`);
    this.axis.attr("transform", "translate(0,38)").call(scale.axis(marks(most)));
    this.band.attr("x", x(low)).attr("width", Math.max(2, x(high) - x(low)));
    this.mark.attr("transform", `translate(${x(gain)},0)`);
    this.stem.attr("d", `M${x(gain)},20V38`);
    this.text.attr("x", 10).text("green: every symmetric log-concave law");
    this.ends.attr("x", width - 12).text(width > 400 ? "gain, from 1 to d/k" : "gain");
  }
}

function marks(most) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4, 1e5];
  const inside = steps.filter((v) => v <= 1.001 * most);
  return inside.length > 9 ? inside.filter((v) => /^1/.test(String(v))) : most < 2 ? [1, most] : inside;
}

function logConcave(d, k) {
  let [first, second] = [0, 0];
  for (let i = d; i > k; i -= 1) {
    first += 1 / i;
    second += 1 / (i * i);
  }
  return { low: formulas.uniform_gain({ d, k }), high: formulas.exponential_gain({ h_1: first, h_2: second }) };
}

function lawName({ law, mean, nu, a }) {
  const setting = { normal: `, mean ${number(mean)} and deviation 1`, student: `, ν = ${number(nu)}`, pareto: `, tail index ${number(a)}` }[law] ?? "";
  return LAWS[law].word + setting;
}

function inWords(state, found, share, { low, high }) {
  const { d, law } = found;
  const k = countOf(state);
  const gain = (share * d) / k;
  const start = `${lawName(state)}, d = ${whole(d)}: the ${k === 1 ? "largest coordinate holds" : `${whole(k)} largest coordinates hold`}`;
  if (k === d) return `${start} all of the energy. Top-k and Rand-k send the same vector, number ${state.seed}.`;
  const middle = ` ${percent(share)} of the energy on average (${percent(found.one[k])} of vector number ${state.seed}), ${whole(k)} drawn blindly hold ${percent(k / d)}: a gain of ${number(gain)}, where at most ${d / k < 1e4 ? number(d / k) : whole(Math.round(d / k))} is possible.`;
  const verdict = !law.curve ? ` The second moment is infinite; the average is over ${found.vectors} vectors.`
    : gain > high * 1.0001 ? ` No symmetric log-concave law gains more than ${number(high)}.`
    : gain < low * 0.9999 ? ` Every symmetric log-concave law gains at least ${number(low)}.` : "";
  return start + middle + verdict;
}

const EXPLORER = {
  controls: [
    { key: "law", word: "law of a coordinate", options: Object.entries(LAWS).map(([key, { label }]) => [key, label]) },
    { key: "mean", symbol: "μ₀", word: "mean", min: 0, max: 5, step: 0.1, shown: ({ law }) => law === "normal" },
    { key: "nu", symbol: "ν", word: "degrees of freedom", min: 1, max: 12, step: 0.5, shown: ({ law }) => law === "student" },
    { key: "a", symbol: "a", word: "tail index", min: 1, max: 6, step: 0.1, shown: ({ law }) => law === "pareto" },
    { key: "d", symbol: "d", word: "dimension", options: SIZES },
    { key: "k", symbol: "k", word: "coordinates kept", min: 1, max: 100000, step: 1, top: sizeOf, format: whole },
    { key: "seed", min: 1, max: 9999 },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["law", "mean", "nu", "a", "d", "k"]) kit.control(key, bar);
    kit.button("another vector", () => kit.set({ seed: (kit.state.seed % 9999) + 1 }), bar);
    kit.reset(bar);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const shapes = new Densities(kit, left);
    const shares = new Shares(kit, right);
    const gauge = new Gauge(kit, right);
    const say = kit.words();
    const memory = {};
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const key = JSON.stringify([state.law, state.mean, state.nu, state.a, state.d, state.seed]);
      if (memory.key !== key) Object.assign(memory, { key, found: portrait(state) });
      const { found } = memory;
      const k = countOf(state);
      const share = found.mean(k);
      const bounds = logConcave(found.d, k);
      shapes.draw(state, found, widths[0]);
      shares.draw(state, found, share, widths[1]);
      gauge.draw({ d: found.d, k, gain: (share * found.d) / k, ...bounds }, widths[1]);
      say(inWords(state, found, share, bounds));
    };
  },
};
