// A setting without compression, a compressor, and a knob that may move: the setting that keeps the floor, and its price.

const KNOBS = { agents: "agents N", batch_size: "batch size B", step_size: "step size η" };
const COMPRESSORS = {
  "rand-k": "Rand-k, shared seed", "natural-compression": "natural compression", "standard-dithering": "standard dithering, p = 2",
  ternary: "ternary quantisation, p = ∞", sign: "sign (DSignSGD)",
};
const TAILS = { inf: "Gaussian, ν = ∞", 5: "Student, ν = 5", 3: "Student, ν = 3", 1: "Cauchy, ν = 1" };
const DENSE = 32;
const MOST = 2 ** 20;
const START = 1000; // the pictured runs begin this many floors up
const LETTERS = { agents: "N", batch_size: "B", step_size: "η" };
const SIZES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const large = (value, unit) => {
  const [size, name] = SIZES.find(([least]) => value >= least) ?? [1, ""];
  return `${number(value / size)} ${name}${unit}`.trimEnd();
};
const round = (value) => Math.max(1, Math.round(value));

// ω and the bits a coordinate, in the worst case of the class and as the library packs the message.
function compressor(state) {
  const { c, d, q, s } = state;
  if (c === "sign") return { omega: 0, bits: 1 };
  const k = clamp(Math.round(q * d), 1, d);
  const zeta = OPERATORS[c].constants(d, { k, s, p: c === "ternary" ? Infinity : 2, b: 2 }).zeta;
  const bits = c === "rand-k" ? (DENSE * k) / d : c === "natural-compression" ? 9
    : formulas.packed_bits({ s: c === "ternary" ? 1 : s, d });
  return { omega: zeta - 1, bits };
}

// What a mean of B draws is worth to a sign, over a single draw's: the integral of the transform to the power B, by Simpson.
function slope(nu, B) {
  if (nu === "1") return 1;
  if (nu === "inf") return Math.sqrt(B);
  const transform = formulas[`student_transform_${nu}`];
  const area = (batch) => {
    const [n, end] = [1200, 24];
    let total = 0;
    for (let i = 0; i <= n; i += 1) {
      const weight = i === 0 || i === n ? 1 : i % 2 ? 4 : 2;
      const inner = i === 0 ? 1 : transform({ u: (i * end) / n / Math.sqrt(batch) });
      total += weight * Math.pow(inner, batch);
    }
    return (Math.sqrt(batch) * total * end) / n / 3;
  };
  return area(B) / area(1);
}

const heat = (state, { eta, B, N, omega }) => (state.c === "sign" ? eta / (N * slope(state.nu, B))
  : formulas.scaling_temperature({ B, N, eta, omega }));

// The batch size at which a sign has a slope of `wanted`, or none.
function batchOf(nu, wanted) {
  let [low, high] = [1, MOST];
  if (nu === "1" || slope(nu, low) > wanted || slope(nu, high) < wanted) return NaN;
  for (let i = 0; i < 44; i += 1) {
    const middle = Math.sqrt(low * high);
    [low, high] = slope(nu, middle) < wanted ? [middle, high] : [low, middle];
  }
  return Math.sqrt(low * high);
}

const KEY = { agents: "N", batch_size: "B", step_size: "eta" };

function answer(state) {
  const { omega, bits } = compressor(state);
  const before = { eta: state.eta, B: round(state.B), N: round(state.N), omega: 0 };
  const times = { eta: state.ceta, B: state.cB, N: state.cN };
  const key = KEY[state.knob];
  times[key] = 1;
  const alone = { eta: before.eta * times.eta, B: Math.max(1, before.B * times.B), N: before.N * times.N, omega };
  const cold = heat(state, before);
  const hot = heat(state, alone) / cold;
  const exact = { ...alone };
  if (state.c === "sign" && key === "B") exact.B = hot === 1 ? alone.B : batchOf(state.nu, hot * slope(state.nu, alone.B));
  else exact[key] = key === "eta" ? alone.eta / hot : alone[key] * hot;
  const rounded = { ...exact, B: round(exact.B), N: round(exact.N) };
  const told = (now) => {
    const worth = state.c === "sign" ? slope(state.nu, now.B) / slope(state.nu, before.B) : 1;
    const steps = before.eta / (now.eta * worth);
    const [c_N, c_B, c_eta] = [now.N / before.N, now.B / before.B, 1 / steps]; // c_eta: the speed of a step
    return { ...now, floor: heat(state, now) / cold, steps, samples: formulas.scaling_samples({ c_B, c_N, c_eta }),
      traffic: formulas.scaling_traffic({ R: state.c === "sign" ? DENSE : bits, c_N, c_eta }), step: now.N * state.d * bits };
  };
  return { omega, bits, before, alone: told(alone), exact: told(exact), now: told(rounded), possible: Number.isFinite(exact[key]),
    load: state.L * rounded.eta * (1 + omega / rounded.N) };
}

// The same as one line of Python.
function code(state, { before, alone, omega }) {
  const short = (value) => +value.toPrecision(6);
  const wanted = `Setting(${short(alone.eta)}, ${short(alone.B)}, ${short(alone.N)}${omega > 0 ? `, omega=${short(omega)}` : ""})`;
  const keep = `keep=Setting(${short(before.eta)}, ${before.B}, ${before.N})`;
  const tail = state.c === "sign" && state.nu !== "inf" ? `, nu=${state.nu}` : "";
  const name = state.c === "sign" ? "solve_sign" : "solve";
  return `from gradpress.scaling import Setting, ${name}; print(${name}(${wanted}, "${state.knob}", ${keep}${tail}))`;
}

// --- the gap against the steps ------------------------------------------------------------------------------------------

class Curves {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    const path = (colour, width, dash) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-width", width).attr("stroke-dasharray", dash);
    this.floor = path("var(--gp-line)", 1.5, null);
    this.alone = path("var(--gp-alarm)", 2, "2 4");
    this.now = path("var(--gp-accent)", 3.5, null);
    this.before = path("var(--gp-ink)", 1.8, "6 6");
    this.label = svg.append("text").attr("class", "gp-faint").attr("text-anchor", "end").text("steps, in relaxation times of the old setting");
    this.name = svg.append("text").attr("class", "gp-faint").text("gap / old floor");
  }

  draw(state, found, width) {
    const height = clamp(width * 0.62, 220, 320);
    const end = 9 * clamp(found.now.steps || 1, 1, 12);
    const highest = Math.max(START, 2 * found.alone.floor);
    const x = d3.scaleLinear([0, end], [44, width - 8]);
    const log = d3.scaleLinear([Math.log10(0.4), Math.log10(1.6 * highest)], [height - 36, 20]).clamp(true);
    const y = (value) => log(Math.log10(value));
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label",
      `The gap over the old floor against the steps, for the old setting, the compressed one with the knob left alone, which ends at ${number(found.alone.floor)}, and the new setting, which ends at ${number(found.now.floor)}.`);
    this.axes.x.attr("transform", `translate(0,${height - 36})`).call(d3.axisBottom(x).ticks(5).tickSize(4));
    this.axes.y.attr("transform", "translate(44,0)").call(d3.axisLeft(log).tickValues([0, 1, 2, 3, 4, 5].filter((v) => 10 ** v < 1.6 * highest)).tickFormat((v) => number(10 ** v)).tickSize(4));
    const curve = ({ floor, steps }) => polyline(Array.from({ length: 121 }, (_, i) => {
      const n = (end * i) / 120;
      return [x(n), y(floor + (START - floor) * Math.exp(-n / steps))];
    }));
    this.floor.attr("d", `M44,${y(1)}H${width - 8}`);
    this.before.attr("d", curve({ floor: 1, steps: 1 }));
    this.alone.attr("d", curve(found.alone));
    this.now.attr("d", found.possible ? curve(found.now) : "");
    this.label.attr("x", width - 8).attr("y", height - 4);
    this.name.attr("x", 2).attr("y", 12);
  }
}

// --- the price, as bars from 1 ------------------------------------------------------------------------------------------

class Bars {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.grid = svg.append("path").attr("class", "gp-grid");
    this.bars = ["floor", "steps", "samples", "traffic"].map((key) => ({
      key, bar: svg.append("rect"), name: svg.append("text"), value: svg.append("text").attr("class", "gp-halo"),
    }));
    this.one = svg.append("path").attr("stroke", "var(--gp-ink)").attr("stroke-width", 1.5);
  }

  draw(state, { now, possible }, width) {
    const [row, height] = [34, 150];
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label",
      `Floor, steps, samples and bits of the new setting over those of the old one are ${[now.floor, now.steps, now.samples, now.traffic].map((v) => number(v)).join(", ")}.`);
    const span = Math.max(10, ...(possible ? [now.floor, now.steps, now.samples, now.traffic].flatMap((v) => [v, 1 / v]) : []));
    const log = d3.scaleLinear([-Math.log10(span), Math.log10(span)], [66, width - 52]);
    const x = (value) => log(Math.log10(value));
    const tens = Array.from({ length: 13 }, (_, i) => 10 ** (i - 6)).filter((v) => v >= 1 / span && v <= span);
    this.grid.attr("d", tens.map((v) => `M${x(v)},2V${height - 14}`).join(""));
    this.one.attr("d", `M${x(1)},2V${height - 14}`);
    this.bars.forEach(({ key, bar, name, value }, i) => {
      const share = possible ? now[key] : 1;
      const [from, to] = [Math.min(x(1), x(share)), Math.max(x(1), x(share))];
      bar.attr("x", from).attr("y", 8 + row * i).attr("width", to - from).attr("height", 18)
        .attr("fill", key === "floor" ? "var(--gp-theory)" : "var(--gp-accent)");
      name.attr("x", 2).attr("y", 22 + row * i).text(key === "traffic" ? "all bits" : key);
      value.attr("x", share >= 1 ? to + 5 : from - 5).attr("text-anchor", share >= 1 ? "start" : "end").attr("y", 22 + row * i)
        .text(possible ? `× ${number(share)}` : "none");
    });
  }
}

// --- numbers and words --------------------------------------------------------------------------------------------------

function numbersTable(parent) {
  const table = element("table", "gp-table", parent);
  const head = element("tr", "", element("thead", "", table));
  for (const text of ["", "before", "exact", "rounded"]) element("th", text ? "gp-figures" : "", head, text).scope = "col";
  const body = element("tbody", "", table);
  const cells = ["step size η", "batch size B", "agents N", "floor", "bits a step"].map((name) => {
    const row = element("tr", "", body);
    element("th", "", row, name).scope = "row";
    return [0, 1, 2].map(() => element("td", "gp-figures", row));
  });
  return (state, { before, exact, now, possible }) => {
    const columns = [{ ...before, floor: 1, step: before.N * state.d * (state.c === "sign" ? 1 : DENSE) }, exact, now];
    columns.forEach((at, j) => [at.eta, at.B, at.N, at.floor, at.step].forEach((value, i) => {
      cells[i][j].textContent = j > 0 && !possible ? "–" : i === 4 ? large(value, "bit") : number(value, 4);
    }));
  };
}

function inWords(state, found) {
  const { before, alone, now, possible, omega, bits, load } = found;
  const other = [["η", state.ceta, "step_size"], ["B", state.cB, "batch_size"], ["N", state.cN, "agents"]]
    .filter(([, by, knob]) => by !== 1 && knob !== state.knob).map(([name, by]) => `${name} times ${number(by)}`);
  const what = state.c === "sign" ? `Signs under ${TAILS[state.nu]} noise, 1 bit a coordinate`
    : `${capital(COMPRESSORS[state.c])}: ω = ${number(omega)}, ${number(bits)} bits a coordinate`;
  const start = `${what}, d = ${large(state.d, "")}. From η = ${number(before.eta)}, B = ${before.B}, N = ${before.N}${other.length ? `, with ${other.join(" and ")}` : ""}: `;
  const left = `with ${LETTERS[state.knob]} left alone the floor is ${number(alone.floor)} times the old one. `;
  if (!possible) return [`${start}${left}No batch size keeps it: to a sign, batches of this noise are worth too little.`, true];
  const moved = `Keep it with η = ${number(now.eta, 4)}, B = ${now.B}, N = ${now.N}: steps × ${number(now.steps)}, samples × ${number(now.samples)}, all bits × ${number(now.traffic)}.`;
  const off = Math.abs(now.floor - 1) > 0.005 ? ` Rounding leaves the floor at ${number(now.floor)} times the old one.` : "";
  const limit = state.c === "sign" || state.L === 0 ? (state.L > 0 ? ` L = ${number(state.L)} is not used for signs.` : "")
    : ` With L = ${number(state.L)}, ηL(1 + ω/N) = ${number(load)} ${load < 2 ? "is below 2: stable." : "is not below 2: unstable!"}`;
  return [start + left + moved + off + limit, state.c !== "sign" && load >= 2];
}

const EXPLORER = {
  controls: [
    { key: "c", word: "compressor", options: Object.entries(COMPRESSORS) },
    { key: "q", symbol: "k/d", word: "share kept", min: 0.01, max: 1, step: 0.01, shown: (state) => state.c === "rand-k" },
    { key: "s", symbol: "s", word: "levels", min: 1, max: 15, step: 1, shown: (state) => state.c === "standard-dithering" },
    { key: "nu", symbol: "ν", word: "tails of the noise", options: Object.entries(TAILS).reverse(), shown: (state) => state.c === "sign" },
    { key: "knob", word: "knob that may move", options: Object.entries(KNOBS) },
    { key: "B", symbol: "B", word: "batch size", min: 1, max: 512, step: 1 },
    { key: "N", symbol: "N", word: "agents", min: 1, max: 128, step: 1 },
    { key: "eta", symbol: "η", word: "step size", min: 1e-4, max: 1, step: 0.1, log: 10 },
    { key: "d", symbol: "d", word: "coordinates", min: 10, max: 1e10, step: 0.5, log: 10, format: (value) => large(value, "") },
    { key: "ceta", symbol: "η′/η", word: "changed too", min: 0.125, max: 8, step: 0.5, log: 2, shown: (state) => state.knob !== "step_size" },
    { key: "cB", symbol: "B′/B", word: "changed too", min: 0.125, max: 8, step: 0.5, log: 2, shown: (state) => state.knob !== "batch_size" },
    { key: "cN", symbol: "N′/N", word: "changed too", min: 0.125, max: 8, step: 0.5, log: 2, shown: (state) => state.knob !== "agents" },
    { key: "L", symbol: "L", word: "curvature", min: 0, max: 50, step: 0.5, format: (value) => (value === 0 ? "unknown" : number(value)) },
  ],
  build(kit) {
    const controls = element("div", "gp-trio", kit.root);
    for (const { key } of EXPLORER.controls) kit.control(key, controls);
    kit.reset(controls);
    const halves = element("div", "gp-halves", kit.root);
    const [left, right] = [element("div", "gp-half", halves), element("div", "gp-half", halves)];
    const curves = new Curves(kit, left);
    legend(left);
    const table = numbersTable(right);
    const bars = new Bars(kit, right);
    const say = kit.words();
    const line = element("code", "gp-code", element("p", "gp-caption", kit.root, "In Python: "));
    return (state) => {
      const widths = [left.clientWidth, right.clientWidth];
      const found = (kit.el.gradpress.found = answer(state));
      kit.root.style.setProperty("--gp-accent", `var(--gp-${state.c === "sign" ? "biased" : "unbiased"})`);
      curves.draw(state, found, widths[0]);
      table(state, found);
      bars.draw(state, found, widths[1]);
      line.textContent = kit.el.gradpress.code = code(state, found);
      say(...inWords(state, found));
    };
  },
};

function legend(parent) {
  const line = element("p", "gp-legend", parent);
  for (const [colour, dash, text] of [["var(--gp-ink)", "5 3", "before"], ["var(--gp-alarm)", "2 3", "the knob left alone"], ["var(--gp-accent)", null, "the answer"]]) {
    const item = element("span", "", line);
    d3.select(item).append("svg").attr("viewBox", "0 0 22 14").attr("aria-hidden", "true").append("path").attr("d", "M1,7H21")
      .attr("stroke", colour).attr("stroke-width", 3).attr("stroke-dasharray", dash);
    item.append(text);
  }
}
