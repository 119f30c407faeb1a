// Memory on and off: the gap of three methods with the same compressor, and what each agent owes at one step.

const STEPS = 400;
const FLOOR = 1e-14;
const ROOF = 1e8;

// fᵢ(x) = ½ xᵀAᵢx − bᵢᵀx for three agents in three dimensions.
const rankOne = (a) => a.map((u, i) => a.map((v, j) => 2 * u * v + (i === j ? 0.5 : 0)));
const diagonal = (h) => h.map((v, i) => h.map((_, j) => (i === j ? v : 0)));
const CURVED = [[3, 1, 0.5], [0.5, 3, 1], [1, 0.5, 3]].map(diagonal);
const apply = (A, x) => A.map((row) => row.reduce((sum, v, j) => sum + v * x[j], 0));
const ZERO = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
const PROBLEMS = {
  example: { label: "Example 1", matrices: [[-3, 2, 2], [2, -3, 2], [2, 2, -3]].map(rankOne), vectors: ZERO },
  agree: { label: "another three, one minimiser", matrices: CURVED, vectors: CURVED.map((A) => apply(A, [0.4, -0.3, 0.2])) },
  disagree: { label: "another three that disagree", matrices: CURVED, vectors: [[1.5, -0.6, 0.3], [-0.9, 1.2, -0.6], [0, -0.3, 0.9]] },
};
const METHODS = {
  off: { label: "memory off", colour: "biased", dash: "2 4" },
  feedback: { label: "error feedback", colour: "b2", dash: null },
  ef21: { label: "EF21", colour: "b1", dash: "9 4" },
};

const mean = (vectors) => vectors[0].map((_, j) => vectors.reduce((sum, v) => sum + v[j], 0) / vectors.length);
const combine = (a, u, b, v) => u.map((_, j) => a * u[j] + b * v[j]);
const size = (v) => Math.hypot(...v);

// The minimiser of the mean: three equations, by elimination.
function minimiser({ matrices, vectors }) {
  const M = matrices[0].map((row, i) => [...row.map((_, j) => mean(matrices.map((A) => [A[i][j]]))[0]), mean(vectors)[i]]);
  for (let i = 0; i < 3; i += 1) {
    for (let l = 0; l < 3; l += 1) {
      if (l === i) continue;
      const factor = M[l][i] / M[i][i];
      M[l] = M[l].map((v, j) => v - factor * M[i][j]);
    }
  }
  return M.map((row, i) => row[3] / row[i]);
}

// The k largest entries in absolute value, the first of equal ones.
function greedy(v, k) {
  const order = v.map((_, j) => j).sort((a, b) => Math.abs(v[b]) - Math.abs(v[a]) || a - b);
  const kept = new Set(order.slice(0, k));
  return v.map((value, j) => (kept.has(j) ? value : 0));
}

const startOf = (seed) => {
  const random = uniforms(seed);
  return seed === 0 ? [1, 1, 1] : [0, 1, 2].map(() => 4 * random() - 2);
};

// The same rules as gradpress.methods: how much x moves, and the next state. `wanted` and `sent` are kept for the picture.
const RULES = {
  off: (g, state, eta, k) => {
    const sent = g.map((v) => greedy(v, k));
    return { move: mean(sent).map((v) => eta * v), state };
  },
  feedback: (g, state, eta, k) => {
    const wanted = state.map((e, i) => combine(1, e, eta, g[i]));
    const sent = wanted.map((v) => greedy(v, k));
    return { move: mean(sent), state: wanted.map((v, i) => combine(1, v, -1, sent[i])), wanted, sent };
  },
  ef21: (g, state, eta, k) => {
    const next = state.map((h, i) => combine(1, h, 1, greedy(combine(1, g[i], -1, h), k)));
    return { move: mean(next).map((v) => eta * v), state: next };
  },
};

// One run: the gaps at steps 0 … STEPS, shorter if it diverges, and what happened in each step.
function run(problem, rule, start, eta, k) {
  const best = minimiser(problem);
  const hessian = [0, 1, 2].map((i) => mean(problem.matrices.map((A) => A[i])));
  const gap = (x) => { const away = combine(1, x, -1, best); return 0.5 * away.reduce((sum, v, j) => sum + v * apply(hessian, away)[j], 0); };
  let x = start;
  let state = ZERO;
  let longest = 0;
  const gaps = [gap(x)];
  const seen = [];
  for (let n = 0; n < STEPS && gaps[n] < 1e15; n += 1) {
    const g = problem.matrices.map((A, i) => combine(1, apply(A, x), -1, problem.vectors[i]));
    const step = RULES[rule](g, state, eta, k);
    longest = Math.max(longest, ...g.map((v) => eta * size(v)));
    seen.push({ x, before: state, wanted: step.wanted, sent: step.sent, after: step.state, longest });
    x = combine(1, x, -1, step.move);
    state = step.state;
    gaps.push(gap(x));
  }
  return { gaps, seen };
}

// The gaps against the step, on a logarithmic axis, with a cursor that can be dragged.
class Gaps {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.lines = Object.fromEntries(Object.entries(METHODS).map(([key, { colour, dash }]) => [key,
      svg.append("path").attr("fill", "none").attr("stroke", `var(--gp-${colour})`).attr("stroke-width", 2.5).attr("stroke-dasharray", dash)]));
    this.cursor = svg.append("line").attr("stroke", "var(--gp-ink)").attr("stroke-width", 1);
    this.dots = Object.fromEntries(Object.entries(METHODS).map(([key, { colour }]) => [key, svg.append("circle").attr("r", 4.5).attr("fill", `var(--gp-${colour})`)]));
    const text = () => svg.append("text").attr("class", "gp-faint gp-halo");
    this.text = { x: text().attr("text-anchor", "end").text("step n"), y: text().text("gap f(xⁿ) − f*"), away: text().attr("class", "gp-halo") };
    this.group = svg.append("g");
    this.group.append("circle").attr("r", 15).attr("fill", "transparent");
    this.group.append("circle").attr("class", "gp-grip").attr("r", 7).attr("fill", "var(--gp-ink)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
    this.announce = kit.handle(this.group, {
      label: "n, the step that is shown", orientation: "horizontal", value: () => kit.state.n, text: (v) => `step ${v}`,
      low: 0, high: STEPS - 1, step: 1, at: (event) => this.x.invert(event.x), change: (value) => kit.set({ n: Math.round(value) }),
    });
  }

  draw(found, n, width) {
    const height = clamp(width * 0.74, 240, 430);
    const pad = { left: 52, right: 12, top: 24, bottom: 44 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const x = (this.x = d3.scaleLinear([0, STEPS], [pad.left, width - pad.right]));
    const scale = d3.scaleLinear([Math.log10(FLOOR), Math.log10(ROOF)], [height - pad.bottom, pad.top]);
    const y = (gap) => scale(Math.log10(clamp(gap, FLOOR, ROOF)));
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(scale).tickValues([-12, -8, -4, 0, 4, 8])
      .tickFormat((v) => (v === 0 ? "1" : `10${superscript(v)}`)).tickSize(4));
    for (const [key, { gaps }] of Object.entries(found)) {
      const inside = gaps.filter((gap) => gap <= ROOF).length;
      const drawn = gaps.slice(0, Math.min(gaps.length, inside + 1));
      this.lines[key].attr("d", polyline(drawn.map((gap, i) => [x(i), y(gap)])));
      const here = gaps[n] ?? Infinity;
      this.dots[key].attr("cx", x(n)).attr("cy", y(here)).attr("visibility", here <= ROOF ? "visible" : "hidden");
    }
    const gone = Object.entries(found).find(([, { gaps }]) => gaps.some((gap) => gap > ROOF));
    const at = gone ? gone[1].gaps.findIndex((gap) => gap > ROOF) : 0;
    this.text.away.text(gone ? `${METHODS[gone[0]].label}: gone` : "").attr("x", clamp(x(at) + 8, pad.left, width - 130)).attr("y", pad.top + 14)
      .style("fill", gone ? `var(--gp-${METHODS[gone[0]].colour})` : null);
    this.cursor.attr("x1", x(n)).attr("x2", x(n)).attr("y1", pad.top).attr("y2", height - pad.bottom);
    this.group.attr("transform", `translate(${x(n)},${height - pad.bottom})`);
    this.text.x.attr("x", width - pad.right).attr("y", height - 6);
    this.text.y.attr("x", 2).attr("y", 12);
    this.svg.attr("aria-label", `The gaps of three methods against the step, from 0 to ${STEPS}.`);
    this.announce();
  }
}

const superscript = (v) => String(v).replace(/[-0-9]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)]));

// What each agent wants to send at this step: solid what goes out, pale what stays in the memory.
class Owed {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.zero = svg.append("path").attr("class", "gp-grid");
    this.kept = svg.append("path").attr("fill", "var(--gp-b2)").attr("class", "gp-body");
    this.sent = svg.append("path").attr("fill", "var(--gp-b2)");
    this.labels = Array.from({ length: 3 }, (_, i) => svg.append("text").attr("class", "gp-faint").attr("text-anchor", "middle").text(`agent ${i + 1}`));
    this.scale = svg.append("text").attr("class", "gp-faint");
  }

  draw(step, width) {
    const height = clamp(width * 0.62, 170, 300);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const reach = Math.max(1e-300, ...step.wanted.flat().map(Math.abs));
    const y = d3.scaleLinear([-reach, reach], [height - 30, 22]);
    const slot = width / 3;
    const bar = (i, j, value) => {
      const left = i * slot + slot * (0.14 + 0.25 * j);
      return value === 0 ? "" : `M${left.toFixed(1)},${y(0).toFixed(1)}h${(0.2 * slot).toFixed(1)}V${y(value).toFixed(1)}h${(-0.2 * slot).toFixed(1)}Z`;
    };
    const bars = (vectors) => vectors.map((v, i) => v.map((value, j) => bar(i, j, value)).join("")).join("");
    this.kept.attr("d", bars(step.after));
    this.sent.attr("d", bars(step.sent));
    this.zero.attr("d", `M0,${y(0)}H${width}`);
    this.labels.forEach((label, i) => label.attr("x", (i + 0.5) * slot).attr("y", height - 8));
    this.scale.attr("x", 2).attr("y", 13).text(`eᵢ + ηgᵢ, up to ±${number(reach)}`);
    this.svg.attr("aria-label", `What the three agents want to send, three coordinates each: sent ${step.sent.flat().filter((v) => v !== 0).length} of nine numbers, the others are kept.`);
  }
}

function inWords(state, found, step) {
  const eta = 10 ** state.eta;
  const here = ({ gaps }) => gaps[Math.min(state.n, gaps.length - 1)];
  const tells = ({ gaps }) => (gaps.length <= state.n || here({ gaps }) > ROOF ? "is gone" : `has the gap ${number(here({ gaps }))}`);
  const last = ({ gaps }) => (gaps.length <= STEPS ? Infinity : gaps[STEPS]);
  const start = `Step ${state.n}, Top-${state.k}, η = ${number(eta)}: without memory the method ${tells(found.off)}, error feedback ${tells(found.feedback)}, EF21 ${tells(found.ef21)}.`;
  const debt = Math.max(...step.before.map(size));
  const times = step.longest > 0 ? debt / step.longest : 0;
  const gain = formulas.memory_gain({ delta: formulas.top_k_delta({ d: 3, k: state.k }) });
  const owes = state.k === 3 ? " Everything is sent, nothing is owed." : ` The most that an agent owes is ${number(times)} times its longest step so far; the bound is ${number(gain)}.`;
  const ends = Object.entries(found).filter(([, one]) => last(one) > one.gaps[0]).map(([key]) => METHODS[key].label);
  return start + owes + (ends.length ? ` Worse than at the start after ${STEPS} steps: ${ends.join(", ")}.` : "");
}

const EXPLORER = {
  controls: [
    { key: "problem", word: "problem", options: Object.entries(PROBLEMS).map(([key, { label }]) => [key, label]) },
    { key: "eta", symbol: "η", word: "step size", min: -3.5, max: -0.5, step: 0.05, format: (v) => number(10 ** v, 2) },
    { key: "k", symbol: "k", word: "coordinates kept", min: 1, max: 3, step: 1 },
    { key: "seed", word: "start, 0 is (1, 1, 1)", min: 0, max: 30, step: 1, format: (v) => String(v) },
    { key: "n", symbol: "n", word: "step shown", min: 0, max: STEPS - 1, step: 1, format: (v) => String(v) },
  ],
  build(kit) {
    const bar = kit.bar();
    for (const key of ["problem", "eta", "k", "seed", "n"]) kit.control(key, bar);
    kit.reset(bar);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const gaps = new Gaps(kit, left);
    const legend = element("p", "gp-legend", left);
    for (const { label, colour, dash } of Object.values(METHODS)) {
      const item = element("span", "", legend);
      d3.select(item).append("svg").attr("viewBox", "0 0 22 14").attr("aria-hidden", "true").append("path").attr("d", "M0,7H22")
        .attr("stroke", `var(--gp-${colour})`).attr("stroke-width", 2.5).attr("stroke-dasharray", dash);
      item.append(label);
    }
    element("p", "gp-caption", right, "Error feedback at this step: what each agent wants to send. Solid goes out, pale stays in the memory.");
    const owed = new Owed(kit, right);
    const say = kit.words();
    const memory = {};
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const key = [state.problem, state.eta, state.k, state.seed].join();
      if (memory.key !== key) {
        const problem = PROBLEMS[state.problem];
        const start = startOf(state.seed);
        const one = (rule) => run(problem, rule, start, 10 ** state.eta, state.k);
        const found = Object.fromEntries(Object.keys(METHODS).map((rule) => [rule, one(rule)]));
        Object.assign(memory, { key, found });
        kit.el.gradpress.memory = { ...problem, start, found };
      }
      const { found } = memory;
      const step = found.feedback.seen[Math.min(state.n, found.feedback.seen.length - 1)];
      kit.root.style.setProperty("--gp-accent", "var(--gp-b2)");
      gaps.draw(found, state.n, widths[0]);
      owed.draw(step, widths[1]);
      say(inWords(state, found, step), found.off.gaps.length <= STEPS);
    };
  },
};
