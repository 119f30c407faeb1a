// An adversary: it looks for a vector at which an inequality of a class fails, from closed forms, under the reader's eyes.

const BUDGET = 6000;
const TOLERANCE = 1e-9;

// Left side over right side at a point of the plane of moments; above 1 the statement is false.
const SIDES = {
  u: { text: "U(ζ): E‖C(x)‖² ≤ ζ‖x‖²", names: ["zeta"], ratio: (m1, m2, c) => m2 / c.zeta },
  b1: { text: "B¹: α‖x‖² ≤ E‖C(x)‖²", names: ["alpha"], ratio: (m1, m2, c) => c.alpha / m2 },
  up: { text: "B¹, B²: E‖C(x)‖² ≤ β⟨E C(x), x⟩", names: ["beta"], ratio: (m1, m2, c) => m2 / (c.beta * m1) },
  b2: { text: "B²: γ‖x‖² ≤ ⟨E C(x), x⟩", names: ["gamma"], ratio: (m1, m2, c) => c.gamma / m1 },
  b3: { text: "B³: E‖C(x) − x‖² ≤ (1 − 1/δ)‖x‖²", names: ["delta"], ratio: (m1, m2, c) => contraction(m2 - 2 * m1 + 1, 1 - 1 / c.delta) },
};
const GREEK = { alpha: "α", beta: "β", gamma: "γ", delta: "δ", zeta: "ζ" };

// Where both sides vanish (no coordinate is dropped) the inequality holds with equality of zeros.
function contraction(left, right) {
  if (right > 1e-12) return left / right;
  return left < 1e-12 ? 0 : Infinity;
}

const statedZeta = (d, P) => formulas.dithering_zeta_stated({
  z: formulas.unbiased_rounding_zeta({ rho: P.b }),
  tau: formulas.dithering_tau({ d, p: P.p, u_0: formulas.exponential_u0({ b: P.b, s: P.s }) }),
});
const standardStated = (d, P) => formulas.standard_zeta_stated({
  tau: formulas.dithering_tau({ d, p: P.p, u_0: formulas.standard_u0({ s: P.s }) }),
});
function composed(d, P, zeta) {
  const gamma = formulas.top_k_gamma({ d, k: P.k });
  return { alpha: gamma, beta: zeta, gamma, delta: formulas.top_k_delta({ d, k: P.k }) * zeta };
}

// The statements. `printed` and `corrected` give the constants; a claim without `printed` stands as its source has it.
const CLAIMS = {
  "lem-rand-k": { label: "Lemma 8, Rand-k", operator: "rand-k", sides: ["u"] },
  "lem-random-sparsification": { label: "Lemma 9, random sparsification", operator: "random-sparsification", sides: ["b3", "b1", "up", "b2"] },
  "lem-adaptive": { label: "Lemma 10, adaptive sparsification", operator: "adaptive-sparsification", sides: ["b3", "b1", "up", "b2"] },
  "lem-top-k": { label: "Lemma 11, Top-k", operator: "top-k", sides: ["b3", "b1", "up", "b2"] },
  "lem-unbiased-rounding": { label: "Lemma 12, unbiased rounding", operator: "unbiased-rounding", sides: ["u"] },
  "lem-biased-rounding": { label: "Lemma 13, biased rounding", operator: "biased-rounding", sides: ["b3", "b1", "up", "b2"] },
  "lem-natural": { label: "natural compression, 9/8", operator: "natural-compression", sides: ["u"] },
  "lem-dithering": {
    label: "Lemma 15, exponential dithering", operator: "exponential-dithering", sides: ["u"], instance: { s: 4, p: "inf" },
    printed: (d, P) => ({ zeta: statedZeta(d, P) }), why: "the printed constant (15) is not reached; this book's is smaller",
  },
  "standard-dithering": {
    label: "standard dithering", operator: "standard-dithering", sides: ["u"],
    printed: (d, P) => ({ zeta: standardStated(d, P) }), why: "the printed constant is not reached; this book's is smaller",
  },
  "ternary": {
    label: "ternary, read as s = 1, b = 1 in (15)", operator: "ternary", sides: ["u"],
    printed: (d, P) => ({ zeta: statedZeta(d, { ...P, b: 1, s: 1 }) }), why: "the base plays no part when s = 1; this book's constant is exact for p = 2 and p = ∞",
  },
  "lem-top-k-dithering": {
    label: "Lemma 16, Top-k then exponential dithering", operator: "top-k-dithering", sides: ["b3", "b1", "up", "b2"],
    printed: (d, P) => composed(d, P, statedZeta(d, P)),
    why: "δ = dζ/k belongs to C/ζ; unscaled, δ = d/(k(2 − ζ))", instance: { k: 9, s: 8 },
  },
  "natural-after-top-k": {
    label: "§4.2, ζ = 9/8 after Top-k", operator: "top-k-dithering", sides: ["up"], base: 2,
    printed: (d, P) => composed(d, P, formulas.unbiased_rounding_zeta({ rho: 2 })),
    why: "with few levels the bottom cell costs more than 9/8", instance: { k: 5, p: "inf" },
  },
  "lem-sign": { label: "scaled sign", operator: "scaled-sign", sides: ["b3", "b1", "up", "b2"] },
};

// Where a statement is looked at first, unless it names an instance of its own.
const INSTANCE = { d: 10, k: 3, q: 0.3, b: 2, s: 2, p: "2" };
const ROUNDINGS = { "unbiased-rounding": (P) => P.b, "biased-rounding": (P) => P.b, "natural-compression": () => 2 };

const claimOf = (state) => CLAIMS[state.claim];
const sideOf = (state) => (claimOf(state).sides.includes(state.side) ? state.side : claimOf(state).sides[0]);
const versionsOf = (state) => [
  ...(claimOf(state).printed ? ["printed"] : []), "corrected",
  ...(claimOf(state).operator === "top-k-dithering" && sideOf(state) === "b3" ? ["scaled"] : []),
];
const versionOf = (state) => (versionsOf(state).includes(state.version) ? state.version : "corrected");

// What is tried: the operator, its parameters, its scale, and the constants that are claimed for it.
function challenge(state) {
  const claim = claimOf(state);
  const P = { ...parametersOf(state, ""), ...(claim.base ? { b: claim.base } : {}) };
  const version = versionOf(state);
  const zeta = version === "scaled" ? exponentialZeta(P.k, P) : 1;
  const constants = {
    printed: () => claim.printed(state.d, P),
    corrected: () => OPERATORS[claim.operator].constants(state.d, P),
    scaled: () => composed(state.d, P, zeta),
  }[version]();
  const side = SIDES[sideOf(state)];
  const scale = 1 / zeta;
  return {
    claim, P, version, constants, side, scale, d: state.d, name: claim.operator, silent: constants[side.names[0]] === Infinity,
    // No operator here cares for signs or order, roundings not for a power of the base and the others not for length.
    normal(x) {
      const size = x.map(Math.abs).sort((a, b) => b - a);
      const top = size[0] > 0 ? size[0] : 1;
      const unit = ROUNDINGS[claim.operator] ? exponentialCell(top, ROUNDINGS[claim.operator](P))[1] : top;
      return size[0] > 0 ? size.map((v) => v / unit) : size.map((v, i) => (i === 0 ? 1 : 0));
    },
    ratio(x) {
      const [m1, m2] = planePoint(claim.operator, x, P);
      return side.ratio(scale * m1, scale * scale * m2, constants);
    },
  };
}

// --- the search ------------------------------------------------------------------------------------------------------

// Small changes of x; s is their size. The copying ones find the instances in which many entries are equal.
const MOVES = [
  (x, random, s) => { const i = pickOne(x, random); return x.map((v, j) => (j === i ? v * Math.exp(s * gaussian(random)) : v)); },
  (x, random) => { const i = pickOne(x, random); const j = pickOne(x, random); return x.map((v, l) => (l === i ? Math.abs(x[j]) : v)); },
  (x, random, s) => { const factor = Math.exp(s * gaussian(random)); return x.map((v) => v * factor); },
  (x, random, s) => {
    const size = Math.abs(x[pickOne(x, random)]);
    const factor = Math.exp(s * gaussian(random));
    return x.map((v) => (Math.abs(v) === size ? v * factor : v));
  },
  (x, random) => {
    const order = x.map(Math.abs).sort((a, b) => b - a);
    const cut = 1 + Math.floor(random() * (x.length - 1));
    const low = order[cut] ?? order[0];
    return x.map((v) => (Math.abs(v) <= low ? low : v));
  },
  (x, random, s) => { const i = pickOne(x, random); return x.map((v, j) => (j === i && s > 0.3 ? 0 : v)); },
];
const pickOne = (x, random) => Math.floor(random() * x.length);

// Random starts, then climbing with steps that grow on success and shrink on failure. The same seed gives the same search.
class Search {
  constructor(trial, seed) {
    this.trial = trial;
    this.random = uniforms(seed);
    this.starts = specimens(trial.d, 60, seed + 17);
    this.tried = 0;
    this.best = { ratio: -Infinity, x: trial.normal(this.starts[0]) };
    this.trace = [];
    this.life = null;
  }

  // So many evaluations, or as many as fit into some milliseconds; the order of the steps does not depend on either.
  advance(evaluations, milliseconds = Infinity) {
    const end = performance.now() + milliseconds;
    for (let i = 0; i < evaluations && this.tried < BUDGET && performance.now() < end; i += 1) this.step();
  }

  step() {
    const life = this.life;
    const moved = life ? MOVES[Math.floor(this.random() * MOVES.length)](life.x, this.random, life.size) : this.start();
    const x = this.trial.normal(moved);
    const ratio = this.trial.ratio(x);
    this.tried += 1;
    if (this.tried < 300 || this.tried % Math.ceil(this.tried / 300) === 0) this.trace.push([this.tried, ratio]);
    if (ratio > this.best.ratio) this.best = { ratio, x, at: this.tried };
    if (!life) this.life = { x, ratio, size: 0.5, failures: 0 };
    else if (ratio > life.ratio) Object.assign(life, { x, ratio, size: Math.min(1, 1.6 * life.size), failures: 0 });
    else this.fail(life);
  }

  // A life ends when nothing helps any more; every second one goes on from the best vector found.
  fail(life) {
    life.failures += 1;
    life.size = Math.max(1e-8, 0.94 * life.size);
    if (life.failures > 120) this.life = null;
  }

  start() {
    this.lives = (this.lives ?? 0) + 1;
    return this.lives > 5 && this.lives % 2 === 0 ? this.best.x : this.starts[this.lives % this.starts.length];
  }
}

// --- the picture -----------------------------------------------------------------------------------------------------

class Climb {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, "The ratio of left side to right side, try by try."));
    this.above = svg.append("rect").attr("fill", "var(--gp-alarm)").attr("opacity", 0.1);
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.tries = svg.append("path").attr("stroke", "var(--gp-x)").attr("stroke-linecap", "round").attr("stroke-width", 3.5).attr("class", "gp-cloud");
    this.wall = svg.append("path").attr("stroke", "var(--gp-ink)").attr("stroke-width", 2.5);
    this.stair = svg.append("path").attr("fill", "none").attr("stroke-width", 2.5);
    this.head = svg.append("circle").attr("r", 5);
    this.mine = svg.append("path").attr("stroke", "var(--gp-x)").attr("stroke-width", 2).attr("stroke-dasharray", "5 3");
    const text = (className) => svg.append("text").attr("class", className);
    this.text = { wall: text("gp-faint gp-halo"), x: text("gp-faint"), y: text("gp-faint"), above: text("gp-halo"), mine: text("gp-halo") };
    this.text.x.attr("text-anchor", "end").text("vectors tried (each tenfold equally wide)");
    this.text.y.text("left side / right side");
    this.text.wall.text("1: as far as the statement lets it go");
    this.text.above.text("here the statement is false").style("fill", "var(--gp-alarm)");
  }

  draw(search, mine, width) {
    const height = clamp(width * 0.72, 230, 460);
    const pad = { left: 46, right: 10, top: 24, bottom: 36 };
    this.svg.attr("viewBox", `0 0 ${width} ${height}`);
    const x = d3.scaleLinear([0, Math.log10(BUDGET)], [pad.left, width - pad.right]);
    const y = d3.scaleSymlog([-1, 0.5], [height - pad.bottom, pad.top]).constant(0.002);
    const across = (tried) => x(Math.log10(tried));
    const up = (ratio) => y(clamp(ratio - 1, -1, 0.5));
    const ticks = [-1, -0.5, -0.1, -0.01, 0, 0.01, 0.1, 0.5];
    this.axes.x.attr("transform", `translate(0,${height - pad.bottom})`)
      .call(d3.axisBottom(x).tickValues([0, 1, 2, 3]).tickFormat((v) => number(10 ** v, 4)).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(y).tickValues(ticks).tickFormat((v) => number(1 + v, 4)).tickSize(4));
    this.above.attr("x", pad.left).attr("width", width - pad.left - pad.right).attr("y", y(0.5)).attr("height", y(0) - y(0.5));
    this.wall.attr("d", `M${pad.left},${y(0)}H${width - pad.right}`);
    this.tries.attr("d", dots(search.trace.filter(([, ratio]) => ratio > -Infinity).map(([tried, ratio]) => [across(tried), up(ratio)])));
    const { best } = search;
    const fell = best.ratio > 1 + TOLERANCE;
    const colour = fell ? "var(--gp-alarm)" : "var(--gp-accent)";
    this.stair.attr("stroke", colour).attr("d", this.staircase(search, across, up));
    const shown = best.ratio > -Infinity;
    this.head.attr("visibility", shown ? "visible" : "hidden").attr("fill", colour);
    if (shown) this.head.attr("cx", across(Math.max(1, search.tried))).attr("cy", up(best.ratio));
    this.mine.attr("d", mine === null ? "" : `M${pad.left},${up(mine)}H${width - pad.right}`);
    this.text.mine.attr("x", width - pad.right - 4).attr("y", up(mine ?? 1) - 5).attr("text-anchor", "end").text(mine === null ? "" : "your x");
    this.text.wall.attr("x", pad.left + 6).attr("y", y(0) + 15);
    this.text.above.attr("x", pad.left + 6).attr("y", y(0.5) + 15);
    this.text.x.attr("x", width - pad.right).attr("y", height - 4);
    this.text.y.attr("x", 2).attr("y", 12);
  }

  staircase(search, across, up) {
    let best = -Infinity;
    const points = [];
    for (const [tried, ratio] of [...search.trace, [search.best.at ?? 1, search.best.ratio]].sort((a, b) => a[0] - b[0])) {
      if (ratio <= best) continue;
      if (best > -Infinity) points.push([across(tried), up(best)]);
      best = ratio;
      points.push([across(tried), up(best)]);
    }
    if (points.length) points.push([across(Math.max(1, search.tried)), up(best)]);
    return polyline(points);
  }
}

const exactly = (ratio) => (ratio > 0.99 && ratio < 1.01 ? ratio.toFixed(7).replace(/0+$/, "").replace(/\.$/, "") : number(ratio, 5));

function verdict(trial, search, ratio, own) {
  const setting = `${settingName(trial.name, trial.P)}, d = ${trial.d}`;
  if (trial.silent) return `Nothing is claimed here: with these parameters the statement gives no finite δ. ${setting}.`;
  const who = own ? "Your x reaches" : `After ${number(search.tried, 5)} vectors the worst ratio is`;
  const start = `${who} ${exactly(ratio)}.`;
  const source = { printed: "as printed", corrected: trial.claim.printed ? "as corrected" : "as stated", scaled: "for C/ζ" }[trial.version];
  if (ratio > 1 + TOLERANCE) return `${start} ${trial.claim.label} ${source} is refuted by the vector drawn here: ${trial.claim.why ?? "the statement is false"}. ${setting}.`;
  const close = ratio > 1 - 1e-6 ? "The bound is reached, and not passed" : ratio > 0.99 ? "The bound is nearly reached" : "The bound stands, with room to spare";
  return `${start} ${close}: ${trial.claim.label} ${source}. ${setting}.`;
}

const EXPLORER = {
  controls: [
    { key: "claim", word: "statement", options: Object.entries(CLAIMS).map(([key, { label }]) => [key, label]),
      brings: (key) => ({ ...INSTANCE, side: CLAIMS[key].sides[0], version: "printed", x: [], ...CLAIMS[key].instance }) },
    { key: "side", word: "inequality", options: Object.entries(SIDES).map(([key, { text }]) => [key, text]),
      allowed: (state, key) => claimOf(state).sides.includes(key), actual: sideOf },
    { key: "version", word: "constants", radio: true, options: [["printed", "as printed"], ["corrected", "as corrected"], ["scaled", "as printed, for C/ζ"]],
      allowed: (state, key) => versionsOf(state).includes(key), actual: versionOf },
    { key: "d", symbol: "d", word: "dimension", min: 2, max: 100, step: 1 },
    ...parameterControls("", 100, "operator"),
  ].map((control) => forClaim(control)),
  build(kit) {
    const bar = kit.bar();
    for (const key of ["claim", "side"]) kit.control(key, bar).classList.add("gp-broad");
    kit.control("version", bar);
    const second = kit.bar();
    for (const key of ["d", "k", "q", "b", "s", "p"]) kit.control(key, second);
    const third = kit.bar();
    const play = kit.button("pause", () => toggle(), third);
    kit.button("step", () => { pause(); run.search.advance(1); kit.invalidate(); }, third);
    kit.button("start again", () => { run.key = null; kit.set({ x: [] }); resume(); }, third);
    kit.button("another seed", () => { kit.set({ seed: (kit.state.seed % 9999) + 1, x: [] }); resume(); }, third);
    kit.reset(third);
    const halves = element("div", "gp-halves", kit.root);
    const left = element("div", "gp-half", halves);
    const right = element("div", "gp-half", halves);
    const climb = new Climb(kit, left);
    const claimed = element("p", "gp-claim", right);
    const score = element("p", "gp-score", right);
    const view = new VectorView(kit, right, (x) => { pause(); kit.set({ x }); }, 0);
    element("p", "gp-caption", right, "The worst vector so far, largest entry first; drag a bar to try your own.");
    const say = kit.words();
    const run = { key: null, search: null, playing: false, seen: false };

    const pause = () => { run.playing = false; };
    const resume = () => {
      run.playing = true;
      if (kit.calm) run.atOnce = true;
      kit.invalidate();
    };
    const toggle = () => {
      if (run.playing) pause();
      else if (run.search.tried >= BUDGET) { run.key = null; resume(); }
      else resume();
      if (kit.state.x.length) kit.set({ x: [] });
      kit.invalidate();
    };
    const begin = ([{ isIntersecting }]) => {
      if (!isIntersecting || run.seen) return;
      run.seen = true;
      if (!kit.calm) resume();
    };
    kit.listen(new IntersectionObserver(begin), "observe", kit.root);

    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const trial = challenge(state);
      const key = JSON.stringify([state.claim, sideOf(state), trial.version, state.d, trial.P, String(trial.P.p), state.seed]);
      if (run.key !== key) Object.assign(run, { key, search: new Search(trial, state.seed) });
      const { search } = run;
      const own = state.x.length === state.d && state.x.some((v) => v !== 0);
      if (run.playing && !trial.silent && !own) {
        if (run.atOnce) search.advance(BUDGET);
        else search.advance(1 + Math.floor(search.tried / 60), 5);
      }
      run.atOnce = false;
      if (search.tried === 0 && !trial.silent) search.advance(1);
      if (search.tried >= BUDGET || trial.silent) run.playing = false;
      play.textContent = run.playing ? "pause" : "play";
      const x = own ? state.x : search.best.x;
      const ratio = trial.silent ? 0 : own ? trial.ratio(x) : search.best.ratio;
      const fell = ratio > 1 + TOLERANCE;
      kit.root.style.setProperty("--gp-accent", `var(--gp-${DATA.operators[trial.name].unbiased ? "unbiased" : "biased"})`);
      climb.draw(search, own ? ratio : null, widths[0]);
      const [name] = trial.side.names;
      claimed.textContent = `${trial.side.text}, ${GREEK[name]} = ${number(trial.constants[name], 5)}`;
      score.textContent = trial.silent ? "no claim" : `${own ? "your ratio" : "worst ratio found"}: ${exactly(ratio)}`;
      score.classList.toggle("gp-alarming", fell);
      drawVector(view, trial, x, widths[1]);
      say(verdict(trial, search, ratio, own), fell);
      if (run.playing) kit.invalidate();
    };
  },
};

// The worst vector, and what the operator makes of it.
function drawVector(view, trial, x, width) {
  const { mean, second } = OPERATORS[trial.name].moments(x, trial.P);
  const scaledMean = mean.map((v) => v * trial.scale);
  const reach = 1.05 * Math.max(...x.map(Math.abs), ...second.map((v) => Math.sqrt(v) * trial.scale));
  view.draw({
    x, mean: scaledMean, second: second.map((v) => v * trial.scale ** 2), low: Math.min(0, ...x), high: reach, width, height: clamp(width * 0.62, 180, 360),
    held: x.length <= 20, label: `The worst vector found, ${x.length} coordinates, with the mean and spread of C(x).`,
  });
}

// The parameters' controls ask for the operator: here it is the one of the statement, and k goes up to d.
function forClaim(control) {
  if (!control.shown) return control;
  const uses = (state) => DATA.operators[claimOf(state).operator].parameters.includes(control.key);
  return { ...control, shown: (state) => uses(state) && !(control.key === "b" && claimOf(state).base) };
}
