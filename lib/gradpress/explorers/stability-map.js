// What an algorithm does from each start with each step size, and where the equations that stand for it see a limit.
//
// All cells of the map use the same random numbers; what is computed for a cell is in landscapes.js.

const RUNS = 8; // of a cell
const COLUMNS = 48, ROWS = 32, LOW = 0.04, HIGH = 10;
const LOST = 1e6; // a gap above this counts as blown up
const MILLISECONDS = 8; // for cells in one redraw

const METHODS = { constant: "DCSGD, step η", prescribed: "DCSGD, step follows f′", sign: "DSignSGD, step η" };
const LIMITS = {
  exact: { label: "the algorithm itself", colour: "var(--gp-ink)", width: 6, dash: null },
  corrected: { label: "corrected equation", colour: "var(--gp-b3)", width: 2.6, dash: null },
  safe: { label: "(L₀, L₁) rule", colour: "var(--gp-measured)", width: 2.6, dash: "10 3 2 3" },
  first: { label: "first-order equation", colour: "var(--gp-b2)", width: 2.6, dash: "8 4" },
  second: { label: "second-order equation", colour: "var(--gp-b1)", width: 2.6, dash: "2 4" },
};
const FLOWS = { corrected: 1, first: 0, second: -1 }; // the sign of the correction in the drift

// --- the cells -----------------------------------------------------------------------------------------------------------

const startOf = (column) => ((column + 0.5) / COLUMNS) * REACH;
const etaOf = (row) => LOW * Math.pow(HIGH / LOW, (row + 0.5) / ROWS);

const COUNT = COLUMNS * ROWS;

// Fills the cells in an order that jumps about, so that the picture sharpens everywhere; what is not yet known stays as it was.
class Cells {
  constructor(state, shown) {
    this.state = state;
    this.step = stepper(state);
    this.runs = atRandom(state) ? RUNS : 1;
    this.next = 0;
    this.counts = { arrived: new Uint8Array(COUNT), lost: new Uint8Array(COUNT) };
    this.shown = shown ?? { arrived: new Float32Array(COUNT), lost: new Float32Array(COUNT) }; // shares of the runs
  }

  get done() { return this.next >= this.runs * COUNT; }

  advance() {
    const end = performance.now() + MILLISECONDS, { goal } = this.state;
    for (; !this.done; this.next += 1) {
      const run = Math.floor(this.next / COUNT), cell = (this.next * 617) % COUNT;
      if (this.next % 16 === 0 && performance.now() > end) return;
      if (this.next % COUNT === 0) this.draws = drawsOf(this.state, run);
      const gap = lastGap(this.state, this.step, startOf(cell % COLUMNS), etaOf(Math.floor(cell / COLUMNS)), this.draws, goal);
      if (gap <= goal) this.counts.arrived[cell] += 1;
      else if (!(gap <= LOST)) this.counts.lost[cell] += 1;
      for (const kind of ["arrived", "lost"]) this.shown[kind][cell] = this.counts[kind][cell] / (run + 1);
    }
  }
}

class Chart {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    const shades = (colour) => Array.from({ length: RUNS }, (_, i) => svg.append("path").attr("fill", colour).attr("fill-opacity", (0.62 * (i + 1)) / RUNS).attr("shape-rendering", "crispEdges"));
    this.ground = svg.append("rect").attr("fill", "var(--gp-x)").attr("fill-opacity", 0.22);
    this.white = svg.append("path").attr("fill", "var(--gp-ground)").attr("shape-rendering", "crispEdges");
    this.shades = { arrived: shades("var(--gp-unbiased)"), lost: shades("var(--gp-alarm)") };
    const line = (colour, width, dash) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    const halos = Object.values(LIMITS).map(({ width }) => line("var(--gp-ground)", width + 2.5, null));
    this.lines = Object.entries(LIMITS).map(([key, { colour, width, dash }], i) => [key, [halos[i], line(colour, width, dash)]]);
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    const text = (anchor) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor);
    this.text = { x: text("end").text("start x₀"), y: text("start") };
    this.group = svg.append("g");
    let across = null;
    const set = (x0) => kit.set({ x0: clamp(Math.round(20 * x0) / 20, 0.05, REACH) });
    this.announce = kit.handle(this.group, {
      label: "start and step size", value: () => Math.log10(kit.state.eta), low: Math.log10(LOW), high: Math.log10(HIGH), step: 0.04,
      text: () => `x₀ = ${number(kit.state.x0)}, η = ${number(kit.state.eta)}`,
      at: (event) => { across = this.x.invert(event.x); return Math.log10(this.y.invert(event.y)); },
      change: (value) => { kit.set({ eta: +Math.pow(10, value).toPrecision(4) }); if (across !== null) set(across); across = null; },
      keys: { ArrowLeft: () => set(kit.state.x0 - 0.1), ArrowRight: () => set(kit.state.x0 + 0.1) },
    });
    this.group.append("circle").attr("r", 15).attr("fill", "transparent");
    this.group.append("circle").attr("class", "gp-grip").attr("r", 7).attr("fill", "var(--gp-ink)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
  }

  draw(state, cells, curves, width) {
    const height = clamp(width * 0.82, 260, 470), right = width - 10, bottom = height - 38, pad = { left: 44, top: 24 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const x = (this.x = d3.scaleLinear([0, REACH], [pad.left, right]));
    const y = (this.y = logScale([LOW, HIGH], [bottom, pad.top]));
    this.ground.attr("x", pad.left).attr("y", pad.top).attr("width", right - pad.left).attr("height", bottom - pad.top);
    const edges = (count, from, to) => Array.from({ length: count + 1 }, (_, i) => (from + ((to - from) * i) / count).toFixed(1));
    const [across, up] = [edges(COLUMNS, pad.left, right), edges(ROWS, bottom, pad.top)];
    const box = (cell) => {
      const [i, j] = [cell % COLUMNS, Math.floor(cell / COLUMNS)];
      return `M${across[i]},${up[j]}H${across[i + 1]}V${up[j + 1]}H${across[i]}z`;
    };
    let white = "";
    const found = { arrived: Array(RUNS + 1).fill(""), lost: Array(RUNS + 1).fill("") };
    for (let cell = 0; cell < COUNT; cell += 1) {
      const shares = ["arrived", "lost"].map((kind) => [kind, cells.shown[kind][cell]]);
      for (const [kind, share] of shares) if (share > 0) found[kind][Math.ceil(RUNS * share - 1e-6)] += box(cell);
      if (shares[0][1] + shares[1][1] > 0.999) white += box(cell);
    }
    this.white.attr("d", white);
    for (const [kind, paths] of Object.entries(this.shades)) paths.forEach((path, i) => path.attr("d", found[kind][i + 1]));
    for (const [key, pair] of this.lines) {
      const points = curves.filter(([, limits]) => limits[key] > LOW && limits[key] < HIGH).map(([at, limits]) => [x(at), y(limits[key])]);
      pair.forEach((path) => path.attr("d", polyline(points)));
    }
    this.axes.x.attr("transform", `translate(0,${bottom})`).call(d3.axisBottom(x).ticks(6).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(y.axis(d3.axisLeft));
    this.group.attr("transform", `translate(${x(state.x0)},${y(state.eta)})`);
    this.text.x.attr("x", right).attr("y", height - 5);
    this.text.y.attr("x", 2).attr("y", 13).text(state.method === "prescribed" ? "η = 2s, s the share of the largest step" : "step size η");
    this.svg.attr("aria-label", `For each start from 0 to ${REACH} and each η from ${LOW} to ${HIGH}: the share of runs that arrive and that blow up, and the largest η by the algorithm and by each equation.`);
    this.announce();
  }
}

// --- from one start ------------------------------------------------------------------------------------------------------

class Path {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.zero = svg.append("path").attr("class", "gp-grid");
    const line = (colour, width, dash) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    this.runs = line("var(--gp-accent)", 1, null);
    this.run = line("var(--gp-accent)", 2, null);
    this.dots = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-width", 6).attr("stroke-linecap", "round");
    this.flows = Object.fromEntries(Object.keys(FLOWS).map((key) => [key, line(LIMITS[key].colour, LIMITS[key].width, LIMITS[key].dash)]));
    const text = (anchor, label) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor).text(label);
    this.text = { x: text("end", "step n"), y: text("start", "x: the algorithm (dots), three equations (lines)") };
  }

  draw(state, runs, width) {
    const height = clamp(width * 0.62, 200, 300), pad = { left: 40, right: 10, top: 24, bottom: 36 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const reach = Math.max(0.5, 1.35 * state.x0);
    const x = d3.scaleLinear([0, PATH], [pad.left, width - pad.right]);
    const y = d3.scaleLinear([-reach, reach], [height - pad.bottom, pad.top]).clamp(true);
    // As far as a path stays in the picture, and one point more, at its edge.
    const place = (points) => {
      const out = points.findIndex(([, at]) => !(Math.abs(at) <= reach));
      return (out < 0 ? points : points.slice(0, out + 1)).map(([n, at]) => [x(n), y(Math.abs(at) >= 0 ? at : reach)]);
    };
    const paths = runs.map((run) => place(run.map((at, n) => [n, at])));
    this.runs.attr("d", paths.slice(1).map(polyline).join(""));
    this.run.attr("d", polyline(paths[0]));
    this.dots.attr("d", dots(paths[0]));
    for (const [key, path] of Object.entries(this.flows)) path.attr("d", polyline(place(flow(state, FLOWS[key]))));
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(d3.axisBottom(x).ticks(6).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(y).ticks(5).tickSize(4));
    this.zero.attr("d", `M${pad.left},${y(0)}H${width - pad.right}`);
    this.text.x.attr("x", width - pad.right).attr("y", height - 4);
    this.text.y.attr("x", 2).attr("y", 12);
    this.svg.attr("aria-label", `The first ${PATH} steps of the algorithm from x₀ = ${number(state.x0)}, and the three flows from there.`);
  }
}

function table(parent) {
  const node = element("table", "gp-table", parent);
  const head = element("tr", "", element("thead", "", node));
  element("th", "", head, "from x₀ f falls with η up to").scope = "col";
  element("th", "gp-figures", head, "η").scope = "col";
  const body = element("tbody", "", node);
  const cells = Object.entries(LIMITS).map(([key, { label, colour, width, dash }]) => {
    const row = element("tr", "", body), name = element("th", "", row);
    name.scope = "row";
    d3.select(name).append("svg").attr("viewBox", "0 0 26 10").attr("width", 26).attr("height", 10).attr("aria-hidden", "true")
      .append("path").attr("d", "M1,5H25").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    name.append(` ${label}`);
    return [key, element("td", "gp-figures", row)];
  });
  return (limits) => cells.forEach(([key, cell]) => { cell.textContent = limits[key] === Infinity ? "no limit" : number(limits[key]); });
}

function legend(parent) {
  const line = element("p", "gp-legend", parent);
  const items = [["unbiased", 0.62], ["x", 0.22], ["alarm", 0.62]].map(([colour, opacity]) => {
    const item = element("span", "", line);
    d3.select(item).append("svg").attr("viewBox", "0 0 22 14").attr("aria-hidden", "true").append("path").attr("d", "M2,1h16v12h-16z")
      .attr("fill", `var(--gp-${colour})`).attr("fill-opacity", opacity).attr("stroke", "var(--gp-soft)");
    return element("span", "", item);
  });
  return ({ goal }) => [`arrived: gap at most ${number(goal)} after ${STEPS} steps`, "neither", "blown up: gap above 10⁶ then, or no number any more"]
    .forEach((text, i) => { items[i].textContent = text; });
}

function inWords(state, gaps, limits) {
  const count = (test) => gaps.filter(test).length;
  const [arrived, lost] = [count((gap) => gap <= state.goal), count((gap) => !(gap <= LOST))];
  const random = atRandom(state) ? `, N = ${state.N}, draw ${state.seed}` : "";
  const noise = noisy(state) ? `, ${NOISES[state.noise].label} = ${number(state.sigma)}` : "";
  const setting = `${FUNCTIONS[state.f].label}, ${METHODS[state.method]}${bySigns(state) ? "" : `, ω = ${number(state.omega)}`}${noise}${random}; x₀ = ${number(state.x0)}, η = ${number(state.eta)}`;
  const median = [...gaps].sort((a, b) => a - b)[gaps.length >> 1];
  const last = median < 1e-9 ? "below 10⁻⁹" : number(median);
  const fate = gaps.length > 1
    ? `of ${gaps.length} runs ${arrived} end with a gap of at most ${number(state.goal)} and ${lost} blow up (median gap ${last})`
    : lost ? "the run blows up" : arrived ? `the run arrives (gap ${last}, at most ${number(state.goal)})` : `the run ends at the gap ${last}: neither below ${number(state.goal)} nor blown up`;
  const falls = (key) => state.eta < limits[key];
  const judge = (key) => `${falls(key) ? "falls" : "rises"}${falls(key) === falls("exact") ? "" : " (wrongly)"}`;
  const unlimited = limits.first === Infinity && limits.second === Infinity ? ", whatever η is" : "";
  const apart = !noisy(state) ? "In the first step" : state.noise === "affine" && !bySigns(state) ? "Without the noise’s constant part, in the first step" : "Without the noise, in the first step";
  const judged = `${apart} f ${falls("exact") ? "falls" : "rises"}${atRandom(state) && !bySigns(state) ? " in the mean" : ""}; by the first-order equation it ${judge("first")} and by the second-order one it ${judge("second")}${unlimited}, by the corrected one it ${judge("corrected")}; the (L₀, L₁) rule ${falls("safe") ? "allows" : "forbids"} this η`;
  const none = state.noise === "cauchy" && !bySigns(state) ? " Cauchy noise has no variance: there is no equation at all, and the mean of f after a step need not exist." : "";
  return [`${setting}: ${fate}. ${judged}.${none}`, lost > 0];
}

const EXPLORER = {
  controls: [
    { key: "f", word: "function f", options: Object.entries(FUNCTIONS).map(([key, { label }]) => [key, label]) },
    { key: "method", word: "algorithm", options: Object.entries(METHODS) },
    { key: "noise", word: "noise of a gradient", options: Object.entries(NOISES).map(([key, { label }]) => [key, label]) },
    { key: "omega", symbol: "ω", word: "variance constant", min: 0, max: 15, step: 0.5, shown: (state) => !bySigns(state) },
    { key: "sigma", symbol: "σ", word: "noise scale", min: 0.01, max: 5, step: 0.05, log: 10, shown: noisy },
    { key: "N", symbol: "N", word: "agents", min: 1, max: 16, step: 1, shown: atRandom },
    { key: "seed", word: "draw", min: 1, max: 50, step: 1, shown: atRandom },
    { key: "x0", symbol: "x₀", word: "start", min: 0.05, max: REACH, step: 0.05 },
    { key: "eta", symbol: "η", word: "step size", min: LOW, max: HIGH, step: 0.02, log: 10 },
    { key: "goal", word: "gap that counts as arrived", min: 0.001, max: 10, step: 0.1, log: 10 },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["f", "method", "noise", "omega", "sigma", "N", "seed", "x0", "eta", "goal"]) kit.control(key, bar);
    kit.reset(kit.bar());
    const halves = element("div", "gp-halves", kit.root);
    const [left, right] = [element("div", "gp-half", halves), element("div", "gp-half", halves)];
    const chart = new Chart(kit, left);
    const explain = legend(left);
    const show = table(right);
    const path = new Path(kit, right);
    const say = kit.words();
    const memory = { said: 0 };
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const key = JSON.stringify({ ...state, x0: 0, eta: 0 });
      if (memory.key !== key) {
        const starts = Array.from({ length: 80 }, (_, i) => ((i + 0.5) / 80) * REACH);
        Object.assign(memory, { key, cells: new Cells(state, memory.cells?.shown), curves: starts.map((x) => [x, limitsAt(state, x, 15)]),
          draws: Array.from({ length: atRandom(state) ? RUNS : 1 }, (_, run) => drawsOf(state, run)) });
      }
      const { cells, curves, draws } = memory;
      cells.advance();
      const limits = limitsAt(state, state.x0);
      const walk = (draw) => draw.slice(0, PATH).reduce((xs, one) => [...xs, cells.step(xs.at(-1), state.eta, one)], [state.x0]);
      kit.root.style.setProperty("--gp-accent", `var(--gp-${bySigns(state) ? "biased" : "unbiased"})`);
      chart.draw(state, cells, curves, widths[0]);
      path.draw(state, draws.slice(0, 3).map(walk), widths[1]);
      show(limits);
      explain(state);
      // While cells are being filled the words are still to come, but not for longer than a third of a second.
      if (cells.done || performance.now() - memory.said > 400) {
        memory.said = performance.now();
        say(...inWords(state, draws.map((draw) => lastGap(state, cells.step, state.x0, state.eta, draw)), limits));
      }
      if (!cells.done) {
        kit.root.querySelector(".gp-words").setAttribute("aria-busy", "true");
        kit.invalidate();
      }
    };
  },
};

const INTERNALS = { stabilityMap: {
  limitsAt, flow, drawsOf,
  stepAt: (state, x, u, z) => stepper(state)(x, state.eta, { noise: z, ...mix(u, z, state.omega) }),
  cellsOf(state) {
    const cells = new Cells(state);
    while (!cells.done) cells.advance();
    return { x0: Array.from({ length: COUNT }, (_, i) => startOf(i % COLUMNS)), eta: Array.from({ length: COUNT }, (_, i) => etaOf(Math.floor(i / COLUMNS))),
      arrived: [...cells.shown.arrived], lost: [...cells.shown.lost] };
  },
} };
