// Example 2 and its relatives: which agent keeps which coordinate, how often each one is kept, and what a round makes of it.

const ROUNDS = 10;
const KINDS = {
  subsets: { label: "Example 2: one agent for each subset, Top-d₁" },
  shifts: { label: "this book: d shifts of one vector, Top-k" },
  signs: { label: "this book: d shifts of one vector, scaled sign" },
};
const largestK = (state) => (state.kind === "subsets" ? Math.floor((state.d - 1) / 2) : state.d - 1);
const keptK = (state) => Math.min(Number(state.k), largestK(state));

function subsetsOf(d, k, from = 0) {
  if (k === 0) return [[]];
  const found = [];
  for (let i = from; i <= d - k; i += 1) for (const rest of subsetsOf(d, k - 1, i + 1)) found.push([i, ...rest]);
  return found;
}

// The vectors v of the agents; b belongs to Example 2, g is the vector that is shifted.
function agentsOf(state) {
  const { d } = state;
  const k = keptK(state);
  if (state.kind === "subsets") {
    const b = formulas.example_2_least_b({ d, d_1: k }) + state.excess;
    const c = (1 + b * k) / (d - k);
    return { b, agents: subsetsOf(d, k).map((set) => Array.from({ length: d }, (_, j) => (set.includes(j) ? -b : c))) };
  }
  const g = state.kind === "signs" ? signVector(d) : topVector(d, k);
  return { g, agents: g.map((_, j) => g.map((__, i) => g[(i - j + d) % d])) };
}

function topVector(d, k) {
  if (k === 1) return Array.from({ length: d }, (_, i) => (i === 0 ? -1 : 0.9));
  const [more, fewer] = [Math.ceil(k / 2), Math.floor(k / 2)];
  return Array.from({ length: d }, (_, i) => (i < more ? 1 : i < k ? -(more + 0.2) / fewer : 0.9));
}

function signVector(d) {
  const m = Math.floor(d / 2) + 1;
  return Array.from({ length: d }, (_, i) => (i < m ? -1 : m + 1));
}

function gradient(state, v, x) {
  const along = dot(v, x);
  if (state.kind === "subsets") return v.map((entry, j) => 2 * along * entry + x[j]);
  const total = sum(v);
  const middle = sum(x) / x.length;
  return v.map((entry, j) => (along * entry) / total + x[j] - middle);
}

function message(state, g) {
  return state.kind === "signs" ? OPERATORS["scaled-sign"].draw(g, {}) : OPERATORS["top-k"].draw(g, { k: keptK(state) });
}

// One round after the other from (1, …, 1); the first round also for the picture.
function rounds(state, agents) {
  let x = Array.from({ length: state.d }, () => 1);
  const first = agents.map((v) => gradient(state, v, x));
  const sizes = [1];
  for (let n = 0; n < ROUNDS; n += 1) {
    const messages = agents.map((v) => message(state, gradient(state, v, x)));
    x = x.map((value, j) => value - (state.eta * sum(messages.map((m) => m[j]))) / agents.length);
    sizes.push(x[0]);
  }
  return { gradients: first, messages: first.map((g) => message(state, g)), sizes };
}

const binomial = (n, k) => { let value = 1; for (let i = 1; i <= k; i += 1) value = (value * (n - k + i)) / i; return Math.round(value); };

function claimed(state, found) {
  const k = keptK(state);
  if (state.kind !== "subsets") return formulas.shifts_factor({ d: state.d, eta: state.eta, kept: sum(message(state, found.g)) });
  const values = { b: found.b, d: state.d, d_1: k, eta: state.eta };
  return state.version === "printed" ? formulas.example_2_factor_printed(values) : formulas.example_2_factor(values);
}

// --- who keeps what --------------------------------------------------------------------------------------------------

class Incidence {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    const path = (fill, opacity) => svg.append("path").attr("fill", fill).attr("opacity", opacity);
    this.up = path("var(--gp-x)", 0.28);
    this.sent = path("var(--gp-accent)", 0.95);
    this.right = path("var(--gp-accent)", 0.35);
    this.lines = svg.append("path").attr("class", "gp-grid");
    this.columns = svg.append("g");
    this.counts = svg.append("g");
    this.text = ["agents", "kept by"].map((label) => svg.append("text").attr("class", "gp-faint").text(label));
  }

  draw(state, { gradients, messages }, width) {
    const { d } = state;
    const rows = gradients.length;
    const row = clamp(300 / rows, 5, 26);
    const [left, top] = [58, 22];
    const cell = Math.min(58, (width - left - 6) / d);
    const height = top + rows * row + 30;
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const box = (i, j, inset) => `M${left + j * cell + inset},${top + i * row + inset}h${cell - 2 * inset}v${row - 2 * inset}h${2 * inset - cell}z`;
    const where = (test) => gradients.map((g, i) => g.map((v, j) => (test(v, messages[i][j]) ? box(i, j, 0.5) : "")).join("")).join("");
    this.up.attr("d", where((v, m) => m === 0));
    this.sent.attr("d", where((v, m) => m < 0));
    this.right.attr("d", where((v, m) => m > 0));
    this.lines.attr("d", Array.from({ length: d + 1 }, (_, j) => `M${left + j * cell},${top}V${top + rows * row}`).join(""));
    const middle = (j) => left + (j + 0.5) * cell;
    const labels = (group, texts, y, className) => group.selectAll("text").data(texts).join("text")
      .attr("class", className).attr("text-anchor", "middle").attr("x", (_, j) => middle(j)).attr("y", y).text((text) => text);
    labels(this.columns, Array.from({ length: d }, (_, j) => `x${"₁₂₃₄₅₆₇₈₉"[j]}`), 15, "gp-faint");
    labels(this.counts, Array.from({ length: d }, (_, j) => String(messages.filter((m) => m[j] !== 0).length)), height - 12, "");
    this.text[0].attr("x", 2).attr("y", top + 14).text(`${rows} agents`);
    this.text[1].attr("x", 2).attr("y", height - 12);
    this.svg.attr("aria-label", `${rows} agents in rows and ${d} coordinates in columns; filled where the agent keeps the coordinate.`);
  }
}

// --- growth ----------------------------------------------------------------------------------------------------------

class Growth {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, "The first coordinate of the iterate, round by round: as simulated, and as the formula says."));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.law = svg.append("path").attr("fill", "none").attr("stroke-width", 2.5);
    this.seen = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-linecap", "round").attr("stroke-width", 8);
    const text = (label, anchor) => svg.append("text").attr("class", "gp-faint gp-halo").attr("text-anchor", anchor).text(label);
    this.text = { x: text("round n", "end"), y: text("xⁿ / x⁰: simulated (dots) and by the formula (line)", "start") };
  }

  draw(sizes, factor, wrong, width) {
    const height = clamp(width * 0.66, 190, 320);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const high = Math.max(Math.log10(sizes[ROUNDS]), ROUNDS * Math.log10(factor), 0.02);
    const x = d3.scaleLinear([0, ROUNDS], [46, width - 12]);
    const y = d3.scaleLinear([0, 1.05 * high], [height - 32, 26]); // of the logarithm
    this.axes.x.attr("transform", `translate(0,${height - 32})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", "translate(46,0)").call(d3.axisLeft(y).ticks(5).tickFormat((v) => number(10 ** v, high < 0.1 ? 4 : 2)).tickSize(4));
    this.law.attr("stroke", wrong ? "var(--gp-alarm)" : "var(--gp-ink)")
      .attr("d", polyline([[x(0), y(0)], [x(ROUNDS), y(ROUNDS * Math.log10(factor))]]));
    this.seen.attr("d", dots(sizes.map((v, n) => [x(n), y(Math.log10(v))])));
    this.text.x.attr("x", width - 12).attr("y", height - 3);
    this.text.y.attr("x", 2).attr("y", 13);
  }
}

function figures(parent) {
  const table = element("table", "gp-table", parent);
  const body = element("tbody", "", table);
  const rows = Array.from({ length: 3 }, () => {
    const row = element("tr", "", body);
    const name = element("th", "", row);
    name.scope = "row";
    return [name, element("td", "gp-figures", row)];
  });
  return (lines) => lines.forEach(([name, figure], i) => { rows[i][0].textContent = name; rows[i][1].textContent = figure; });
}

function lines(state, found, grown, factor) {
  const k = keptK(state);
  const source = state.kind !== "subsets" ? "the formula" : state.version === "printed" ? "as printed: 1 + η(2b − 1)d₁/(d₂ + 1)" : "as corrected: 1 + η(2b − 1)d₁/d";
  const count = state.kind !== "subsets" ? ["sum of the vector, of its message", `${number(sum(found.g))}, ${number(sum(message(state, found.g)))}`]
    : state.version === "printed" ? ["agents that keep an index, as printed: C(d, d₁ − 1)", number(binomial(state.d, k - 1))]
      : ["agents that keep an index, as corrected: C(d − 1, d₁ − 1)", number(binomial(state.d - 1, k - 1))];
  return [count, ["one round multiplies x by", number(grown, 5)], [source, number(factor, 5)]];
}

function tell(state, found, grown, factor, wrong) {
  const k = keptK(state);
  const rows = found.agents.length;
  const who = state.kind === "subsets" ? `d = ${state.d}, d₁ = ${k}, b = ${number(found.b)}: ${rows} agents` : state.kind === "shifts" ? `Top-${k}, d = ${state.d}: ${rows} agents` : `Scaled sign, d = ${state.d}: ${rows} agents`;
  const what = `${who}, η = ${number(state.eta)}, and every round multiplies x by ${number(grown, 5)}.`;
  if (state.kind !== "subsets") return `${what} The formula says ${number(factor, 5)}. The agents agree on the minimum, and the run leaves it for every step size.`;
  if (wrong) return `${what} The printed formula says ${number(factor, 5)}: it counts ${binomial(state.d, k - 1)} agents that keep an index, and there are ${binomial(state.d - 1, k - 1)}.`;
  return `${what} The ${state.version === "printed" ? "printed" : "corrected"} formula says the same${k === 1 && state.version === "printed" ? ": for d₁ = 1 both counts are 1" : ""}.`;
}

const EXPLORER = {
  controls: [
    { key: "kind", word: "construction", options: Object.entries(KINDS).map(([key, { label }]) => [key, label]) },
    { key: "version", word: "factor of Example 2", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"]] },
    { key: "d", symbol: "d", word: "dimension", min: 3, max: 9, step: 1 },
    { key: "k", symbol: "k", word: "coordinates kept, d₁", options: ["1", "2", "3", "4", "5", "6", "7", "8"].map((k) => [k, k]),
      allowed: (state, k) => Number(k) <= largestK(state), actual: (state) => String(keptK(state)), shown: (state) => state.kind !== "signs" },
    { key: "excess", symbol: "b", word: "above its least value", min: 0.1, max: 10, step: 0.1, shown: (state) => state.kind === "subsets" },
    { key: "eta", symbol: "η", word: "step size", min: 0.01, max: 0.5, step: 0.01 },
  ],
  build(kit) {
    const bar = kit.bar();
    kit.control("kind", bar).classList.add("gp-broad");
    const version = kit.control("version", bar);
    const second = kit.bar();
    for (const key of ["d", "k", "excess", "eta"]) kit.control(key, second);
    kit.reset(second);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const incidence = new Incidence(kit, left);
    element("p", "gp-caption", left, "A row for each agent. Strong: an entry that is sent and pulls the wrong way; pale: one that is sent and pulls the right way; grey: not sent.");
    const table = figures(right);
    const growth = new Growth(kit, right);
    const say = kit.words();
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      version.hidden = state.kind !== "subsets";
      kit.root.style.setProperty("--gp-accent", "var(--gp-biased)");
      const found = agentsOf(state);
      const seen = rounds(state, found.agents);
      const grown = seen.sizes[1];
      const factor = claimed(state, found);
      const wrong = Math.abs(factor - grown) > 1e-9 * grown;
      kit.el.gradpress.sizes = seen.sizes;
      incidence.draw(state, seen, widths[0]);
      table(lines(state, found, grown, factor));
      growth.draw(seen.sizes, factor, wrong, widths[1]);
      say(tell(state, found, grown, factor, wrong), wrong);
    };
  },
};
