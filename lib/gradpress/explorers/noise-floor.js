// The floor of DCSGD on a quadratic function: the algorithm, its equation, and three bounds.
//
// The d curvatures lie between μ and L in equal ratios; noise and compressor act on each coordinate alike, so that second
// moments, and with them the mean gaps, are known at every step.

const START = 10; // the gap at first, the same share of it in each coordinate
const POINTS = 120;
const AXES = {
  eta: "step size η", omega: "variance constant ω", N: "agents N", B: "batch size B", sigma: "noise scale σ",
};
const LINES = {
  chain: { label: "the algorithm, exact", colour: "var(--gp-unbiased)", width: 3.2, dash: null },
  sde: { label: "its equation, exact", colour: "var(--gp-b2)", width: 2.4, dash: "9 3" },
  sharp: { label: "bound with Δ′ (equation)", colour: "var(--gp-theory)", width: 2, dash: "5 4" },
  bound: { label: "bound of the algorithm", colour: "var(--gp-theory)", width: 1.6, dash: "1.5 3" },
  poster: { label: "the poster’s bound (equation)", colour: "var(--gp-measured)", width: 2, dash: "8 3 2 3" },
};
const RATES = { sharp: "dcsgd_rate", bound: "dcsgd_rate_chain", poster: "dcsgd_rate_printed" };
const FLOORS = { sharp: "dcsgd_floor", bound: "dcsgd_floor_chain", poster: "dcsgd_floor_printed" };

const settled = (state) => ({ ...state, mu: Math.min(state.mu, state.L) });
const curvatures = ({ d, mu, L }) => Array.from({ length: d }, (_, j) => mu * Math.pow(L / mu, j / (d - 1)));

// The five floors; Infinity where there is none.
function floors(given) {
  const state = settled(given);
  const each = curvatures(state).map((H) => ({ ...state, H }));
  const exact = (variance, stable) => (each.every(stable) ? sum(each.map((at) => (at.H / 2) * formulas[variance](at))) : Infinity);
  const found = {
    chain: exact("dcsgd_variance_chain", (at) => formulas.dcsgd_factor(at) < 1),
    sde: exact("dcsgd_variance", (at) => formulas.dcsgd_decay(at) > 0),
  };
  for (const key of Object.keys(RATES)) found[key] = formulas[RATES[key]](state) > 0 ? formulas[FLOORS[key]](state) : Infinity;
  return found;
}

// The gaps after n steps, that is at the time nη.
function gaps(given, n) {
  const state = settled(given);
  const found = { chain: 0, sde: 0 };
  for (const H of curvatures(state)) {
    const at = { ...state, H };
    const first = START / state.d;
    const toward = (share, variance) => { const end = (H / 2) * formulas[variance](at); return end + share * (first - end); };
    found.chain += toward(Math.pow(formulas.dcsgd_factor(at), n), "dcsgd_variance_chain");
    found.sde += toward(Math.exp(-formulas.dcsgd_decay(at) * n * state.eta), "dcsgd_variance");
  }
  for (const key of Object.keys(RATES)) {
    const rate = 2 * state.mu * formulas[RATES[key]](state);
    const share = key === "bound" ? Math.pow(1 - state.eta * rate, n) : Math.exp(-rate * n * state.eta);
    found[key] = share * START + (1 - share) * formulas[FLOORS[key]](state);
  }
  return found;
}

const INTERNALS = { noiseFloor: { floors, gaps } };

// --- two pictures of the five lines ----------------------------------------------------------------------------------

class Lines {
  constructor(kit, parent, label) {
    const svg = (this.svg = kit.svg(parent, label));
    this.beyond = svg.append("rect").attr("fill", "var(--gp-alarm)").attr("opacity", 0.1);
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.now = svg.append("path").attr("stroke", "var(--gp-ink)").attr("stroke-width", 1.2).attr("stroke-dasharray", "2 3");
    this.paths = Object.fromEntries(Object.entries(LINES).reverse().map(([key, { colour, width, dash }]) => [key, svg.append("path")
      .attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash)]));
    this.dots = Object.fromEntries(Object.entries(LINES).map(([key, { colour }]) => [key, svg.append("circle").attr("r", 4.5).attr("fill", colour)]));
    const text = (anchor) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor);
    this.text = { x: text("end"), y: text("start"), beyond: text("end") };
  }

  // `at` is a function of the horizontal value; `marks` are the dots at the place `here`, `edge` where the runaway begins.
  draw({ across, log, at, xText, yText, here, edge, width }) {
    const height = clamp(width * 0.78, 230, 400);
    const pad = { left: 50, right: 10, top: 24, bottom: 38 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const x = (log ? logScale : d3.scaleLinear)(across, [pad.left, width - pad.right]);
    const values = Array.from({ length: POINTS }, (_, i) => { const v = x.invert(pad.left + ((width - pad.left - pad.right) * i) / (POINTS - 1)); return [v, at(v)]; });
    const seen = values.flatMap(([, found]) => [found.chain, found.sde, found.sharp]).filter((v) => v > 0 && v < 1e12);
    const low = Math.min(...seen, 1e6) / 2;
    const high = Math.max(low * 100, Math.min(Math.max(...seen, 1e-9) * 2, low * 1e6));
    const y = logScale([low, high], [height - pad.bottom, pad.top]);
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(log ? x.axis(d3.axisBottom) : d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(y.axis(d3.axisLeft));
    for (const key of Object.keys(LINES)) {
      const points = values.filter(([, found]) => found[key] > 0 && found[key] < high).map(([v, found]) => [x(v), y(found[key])]);
      this.paths[key].attr("d", polyline(points));
      const value = here === null ? Infinity : at(here)[key];
      this.dots[key].attr("visibility", value < high ? "visible" : "hidden");
      if (value < high) this.dots[key].attr("cx", x(here)).attr("cy", y(value));
    }
    this.now.attr("d", here === null ? "" : `M${x(here)},${pad.top}V${height - pad.bottom}`);
    const sides = edge ? edge.map((v) => clamp(x(v), pad.left, width - pad.right)) : [0, 0];
    this.beyond.attr("x", sides[0]).attr("width", Math.max(0, sides[1] - sides[0])).attr("y", pad.top).attr("height", height - pad.bottom - pad.top);
    this.text.beyond.attr("x", sides[1] - 4).attr("y", pad.top + 14).text(sides[1] - sides[0] > 80 ? "runs away" : "").style("fill", "var(--gp-alarm)");
    this.text.x.attr("x", width - pad.right).attr("y", height - 4).text(xText);
    this.text.y.attr("x", 2).attr("y", 13).text(yText);
  }
}

// Where along the axis the algorithm has no floor, as an interval: the largest values, or for N the smallest.
function runaway(state, key, [low, high]) {
  const bad = (v) => floors({ ...state, [key]: v }).chain === Infinity;
  const [a, b] = [bad(low), bad(high)];
  if (a === b) return a ? [low, high] : null;
  let [inside, outside] = a ? [high, low] : [low, high];
  for (let i = 0; i < 40; i += 1) {
    const middle = Math.sqrt(inside * outside);
    if (bad(middle)) outside = middle;
    else inside = middle;
  }
  return a ? [low, outside] : [outside, high];
}

function table(parent) {
  const node = element("table", "gp-table", parent);
  const head = element("tr", "", element("thead", "", node));
  for (const text of ["", "floor"]) element("th", "", head, text).scope = "col";
  const body = element("tbody", "", node);
  const cells = Object.entries(LINES).map(([key, { label, colour, width, dash }]) => {
    const row = element("tr", "", body);
    const name = element("th", "", row);
    name.scope = "row";
    d3.select(name).append("svg").attr("viewBox", "0 0 26 10").attr("width", 26).attr("height", 10).attr("aria-hidden", "true")
      .append("path").attr("d", "M1,5H25").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    name.append(` ${label}`);
    return [key, element("td", "gp-figures", row)];
  });
  return (found) => cells.forEach(([key, cell]) => { cell.textContent = found[key] === Infinity ? "none" : number(found[key], 4); });
}

function inWords(given, found) {
  const state = settled(given);
  const largest = formulas.dcsgd_largest_step(state);
  const setting = `η = ${number(state.eta)}, ω = ${number(state.omega)}, N = ${state.N}, B = ${number(state.B)}, σ = ${number(state.sigma)}, d = ${state.d}, μ = ${number(state.mu)}, L = ${number(state.L)}`;
  const drawn = `The floor is drawn along the ${AXES[state.along]}.`;
  if (found.chain === Infinity) {
    const other = found.sde === Infinity ? "and so does the equation" : `but the equation does not know it and promises ${number(found.sde)}`;
    return [`${setting}: the algorithm runs away, since η is not below ${number(largest)}, ${other}. ${drawn}`, true];
  }
  const off = percent(1 - found.sde / found.chain);
  const poster = found.poster === Infinity ? "The poster’s bound has no floor here" : `The poster’s bound is ${number(found.poster / found.chain)} times as high`;
  return [`${setting}: the algorithm ends at the gap ${number(found.chain)}, the equation ${off} below it. The bound with Δ′ is ${number(found.sharp / found.chain)} times as high. ${poster}. The step size is ${percent(state.eta / largest)} of the largest one. ${drawn}`, false];
}

const EXPLORER = {
  controls: [
    { key: "along", word: "draw the floor along", options: Object.entries(AXES) },
    { key: "eta", symbol: "η", word: "step size", min: 0.001, max: 1, step: 0.02, log: 10 },
    { key: "omega", symbol: "ω", word: "variance constant", min: 0.1, max: 100, step: 0.02, log: 10 },
    { key: "N", symbol: "N", word: "agents", min: 1, max: 256, step: 1, log: 2 },
    { key: "B", symbol: "B", word: "batch size", min: 1, max: 256, step: 1, log: 2 },
    { key: "sigma", symbol: "σ", word: "noise of one example", min: 0.1, max: 10, step: 0.02, log: 10 },
    { key: "d", symbol: "d", word: "coordinates", min: 2, max: 32, step: 1 },
    { key: "mu", symbol: "μ", word: "least curvature", min: 0.1, max: 10, step: 0.05, log: 10, top: (state) => state.L },
    { key: "L", symbol: "L", word: "largest curvature", min: 1, max: 100, step: 0.05, log: 10 },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["along", "d", "eta", "omega", "N", "B", "sigma", "mu", "L"]) kit.control(key, bar);
    kit.reset(kit.bar());
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const along = new Lines(kit, left, "The floors of the algorithm, of its equation and of three bounds along a parameter.");
    const show = table(right);
    const way = new Lines(kit, right, "The mean gap, step by step, of the algorithm and its equation, and three bounds.");
    const say = kit.words();
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const found = floors(state);
      const { min, max } = kit.controls[state.along];
      along.draw({
        across: [min, max], log: true, here: state[state.along], edge: runaway(state, state.along, [min, max]), width: widths[0],
        at: (v) => floors({ ...state, [state.along]: v }), xText: AXES[state.along], yText: "floor of the mean gap",
      });
      const steps = Math.min(1e5, Math.ceil(5 / (settled(state).mu * state.eta)));
      way.draw({
        across: [0, steps], log: false, here: null, edge: null, width: widths[1], at: (n) => gaps(state, n), xText: "step n", yText: "mean gap",
      });
      show(found);
      say(...inWords(state, found));
    };
  },
};
