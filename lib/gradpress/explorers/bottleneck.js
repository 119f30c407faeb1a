// The time of a step against the bits per coordinate: what compression can save, what it cannot, and where it breaks even.

const LEAST = 0.01;
const MOST = 32;
const PARTS = [["compute", "computing"], ["latency", "latency"], ["transmission", "bits on the wire"]];
const DENSE = { ring: "ring", halving: "halving and doubling", tree: "tree", server: "server" };
const SENT = { gather: "gathered", server: "server", ring: "added in the ring" };
const KNOWN = [[0.4, "Top-1 %"], [1, "sign"], [9, "natural"], [16, "16-bit"]];

const unit = (value, steps) => {
  const [size, name] = steps.find(([least]) => value >= least) ?? steps.at(-1);
  return `${number(value / size)} ${name}`;
};
const seconds = (t) => unit(t, [[86400, "days"], [3600, "h"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
const rate = (v) => unit(v, [[1e12, "Tbit/s"], [1e9, "Gbit/s"], [1e6, "Mbit/s"], [1e3, "kbit/s"]]);
const count = (d) => unit(d, [[1e9, "billion"], [1e6, "million"], [1, ""]]).trim();
const bitsOf = (bits) => `${number(bits)} ${bits === 1 ? "bit" : "bits"}`;
const times = (gain) => (gain >= 1 ? `${number(gain)} times sooner` : `${number(1 / gain)} times later`);

const agentsOf = (state) => 2 ** Math.round(Math.log2(state.N));
const doublings = (N) => 32 - Math.clz32(N - 1);

// Rounds and load of a collective for messages of M bits, out of the formulas of the chapter.
function denseCost(how, N, M) {
  const rounds = how === "ring" || how === "server" ? formulas.ring_rounds({ N }) : 2 * doublings(N);
  const load = how === "tree" ? formulas.tree_load({ M, rounds })
    : how === "server" ? formulas.server_load({ M, M_down: M, N }) : formulas.ring_load({ M, N });
  return { rounds, load };
}

function sentCost(how, N, M, whole) {
  if (how === "ring") return denseCost("ring", N, M);
  if (how === "gather") return { rounds: formulas.gather_rounds({ N }), load: formulas.gather_load({ M, N }) };
  return { rounds: formulas.ring_rounds({ N }), load: formulas.server_load({ M, M_down: Math.min(N * M, whole), N }) };
}

// One step in seconds: computing, latency, bits on the wire.
function parts(state, { rounds, load }) {
  const latency = formulas.collective_time({ T_lat: state.lat, load: 0, rounds, v: state.v });
  const transmission = formulas.collective_time({ T_lat: 0, load, rounds, v: state.v });
  return { compute: state.comp, latency, transmission, all: state.comp + latency + transmission };
}

function race(state) {
  const N = agentsOf(state);
  const whole = MOST * state.d;
  const dense = parts(state, denseCost(state.dense, N, whole));
  const at = (bits) => parts(state, sentCost(state.sent, N, bits * state.d, whole));
  // The load grows with the bits, so the break-even is found by halving; 0 is never, Infinity always within the picture.
  const wins = (bits) => state.F * at(bits).all < dense.all;
  let even = wins(LEAST) ? Infinity : 0;
  if (even && !wins(MOST)) {
    let [low, high] = [Math.log(LEAST), Math.log(MOST)];
    for (let i = 0; i < 60; i += 1) [low, high] = wins(Math.exp((low + high) / 2)) ? [(low + high) / 2, high] : [low, (low + high) / 2];
    even = Math.exp(low);
  }
  const sent = at(state.bits);
  const empty = at(0);
  return { N, dense, at, sent, even, gain: dense.all / (state.F * sent.all),
    most: dense.all / (state.F * (empty.compute + empty.latency)) };
}

// Seconds to the progress of one dense step, against the bits per coordinate, in three layers.
class Layers {
  constructor(kit, parent) {
    this.kit = kit;
    const svg = (this.svg = kit.svg(parent, ""));
    const clip = `gp-clip-${kit.place ?? "w"}`;
    const defs = svg.append("defs");
    this.frame = defs.append("clipPath").attr("id", clip).append("rect");
    const hatch = defs.append("pattern").attr("id", `${clip}-hatch`).attr("width", 8).attr("height", 8)
      .attr("patternUnits", "userSpaceOnUse").attr("patternTransform", "rotate(45)");
    hatch.append("line").attr("y2", 8).attr("stroke", "var(--gp-alarm)").attr("stroke-width", 4);
    const inside = svg.append("g").attr("clip-path", `url(#${clip})`);
    this.areas = PARTS.map(([key]) => inside.append("path").attr("fill", `var(--gp-${key})`).attr("opacity", 0.75));
    this.pays = inside.append("path").attr("fill", "var(--gp-b1)").attr("opacity", 0.2);
    this.blank = inside.append("path").attr("fill", "var(--gp-ground)").attr("opacity", 0.75);
    this.loses = inside.append("path").attr("fill", `url(#${clip}-hatch)`).attr("opacity", 0.45);
    this.curve = inside.append("path").attr("fill", "none").attr("stroke", "var(--gp-ink)").attr("stroke-width", 2.5);
    this.axes = { x: svg.append("g").attr("class", "gp-axis"), y: svg.append("g").attr("class", "gp-axis") };
    this.line = svg.append("path").attr("stroke", "var(--gp-x)").attr("stroke-width", 3).attr("stroke-dasharray", "9 4");
    const text = (name) => svg.append("text").attr("class", name);
    this.text = { dense: text("gp-halo"), pays: text("gp-halo"), loses: text("gp-halo"), x: text("gp-faint"), y: text("gp-faint") };
    this.text.x.text("bits per coordinate of the compressed message").attr("text-anchor", "end");
    this.text.y.text("seconds for the progress of one dense step");
    this.known = KNOWN.map(([, name]) => svg.append("text").attr("class", "gp-faint").attr("text-anchor", "middle").text(name));
    this.ticks = svg.append("path").attr("stroke", "var(--gp-soft)");
    this.buildFlag(svg.append("g"));
    this.buildDot(svg.append("g"));
  }

  buildFlag(group) {
    this.flag = group;
    const { kit } = this;
    this.tellFlag = kit.handle(group, {
      label: "break-even bits per coordinate: moving it sets the iteration factor", orientation: "horizontal",
      value: () => this.parked, text: () => this.flagWords, low: Math.log10(LEAST), high: Math.log10(MOST), step: 0.05,
      at: (event) => this.log.invert(event.x),
      change: (value) => kit.set({ F: +(this.found.dense.all / this.found.at(10 ** value).all).toPrecision(3) }),
    });
    this.pole = group.append("line").attr("stroke", "var(--gp-b1)").attr("stroke-width", 2).attr("stroke-dasharray", "2 3");
    group.append("circle").attr("r", 15).attr("fill", "transparent");
    this.banner = group.append("path").attr("class", "gp-grip").attr("fill", "var(--gp-b1)").attr("stroke", "var(--gp-b1)").attr("stroke-width", 2);
    this.flagText = group.append("text").attr("class", "gp-halo");
  }

  buildDot(group) {
    this.dot = group;
    const { kit } = this;
    this.tellDot = kit.handle(group, {
      label: "bits per coordinate of the compressed message", orientation: "horizontal",
      value: () => Math.log10(kit.state.bits), text: () => `${bitsOf(kit.state.bits)}, ${times(this.found.gain)}`,
      low: Math.log10(LEAST), high: Math.log10(MOST), step: 0.05,
      at: (event) => this.log.invert(event.x), change: (value) => kit.set({ bits: +(10 ** value).toPrecision(3) }),
    });
    group.append("circle").attr("r", 15).attr("fill", "transparent");
    group.append("circle").attr("class", "gp-grip").attr("r", 7.5).attr("fill", "var(--gp-ink)").attr("stroke", "var(--gp-ground)").attr("stroke-width", 2);
    this.dotText = group.append("text").attr("class", "gp-halo").style("font-weight", 600);
  }

  draw(state, found, width) {
    this.found = found;
    const height = clamp(width * 0.52, 270, 460);
    const pad = { left: 46, right: 14, top: 40, bottom: 36 };
    const { dense, at, even } = found;
    const ceiling = 1.75 * Math.max(dense.all, state.F * at(LEAST).all);
    this.log = d3.scaleLinear([Math.log10(LEAST), Math.log10(MOST)], [pad.left, width - pad.right]).clamp(true);
    const x = (this.x = (bits) => this.log(Math.log10(bits)));
    const y = d3.scaleLinear([0, ceiling], [height - pad.bottom, pad.top]);
    const floor = height - pad.bottom;
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label",
      `Seconds for the progress of one dense step, against bits per coordinate. The dense step takes ${seconds(dense.all)}.`);
    this.frame.attr("x", pad.left).attr("y", pad.top).attr("width", width - pad.left - pad.right).attr("height", floor - pad.top);
    const grid = Array.from({ length: 121 }, (_, i) => LEAST * (MOST / LEAST) ** (i / 120));
    const rows = grid.map((bits) => [bits, at(bits)]);
    const low = (f) => rows.map(([bits, part]) => [x(bits), Math.max(y(state.F * f(part)), -2 * height)]);
    const tops = [low(() => 0), low((p) => p.compute), low((p) => p.compute + p.latency), low((p) => p.all)];
    this.areas.forEach((area, i) => area.attr("d", `${polyline([...tops[i + 1], ...[...tops[i]].reverse()])}Z`));
    this.curve.attr("d", polyline(tops[3]));
    const level = y(dense.all);
    const between = (side) => {
      const part = tops[3].filter(([, top]) => (side > 0 ? top > level : top < level));
      if (part.length < 2) return "";
      const edge = even > 0 && even < Infinity ? [[x(even), level]] : [];
      const border = side > 0 ? [...part, ...edge] : [...edge, ...part];
      return `${polyline([...border, [border.at(-1)[0], level], [border[0][0], level]])}Z`;
    };
    this.pays.attr("d", between(1));
    const lost = between(-1);
    this.blank.attr("d", lost);
    this.loses.attr("d", lost);
    this.line.attr("d", `M${pad.left},${level}H${width - pad.right}`);
    this.axes.x.attr("transform", `translate(0,${floor})`).call(d3.axisBottom(this.log).tickValues([0.01, 0.1, 1, 4, 32].map(Math.log10)).tickFormat((v) => number(10 ** v)).tickSize(4));
    this.axes.y.attr("transform", `translate(${pad.left},0)`).call(d3.axisLeft(y).ticks(5).tickSize(4).tickFormat((v) => number(v)));
    this.text.x.attr("x", width - pad.right).attr("y", height - 3);
    this.text.y.attr("x", 2).attr("y", 12);
    const roomy = width > 480;
    this.known.forEach((text, i) => text.attr("x", x(KNOWN[i][0])).attr("y", pad.top - 7).attr("visibility", roomy || i % 2 ? "visible" : "hidden"));
    this.ticks.attr("d", KNOWN.filter((_, i) => roomy || i % 2).map(([bits]) => `M${x(bits)},${pad.top - 4}v6`).join(""));
    this.text.dense.attr("x", pad.left + 6).attr("y", level - 7).text(`dense, ${DENSE[state.dense]}: ${seconds(dense.all)}`);
    const span = (from, to) => x(to) - x(from);
    const room = even > 0 && level + 24 < y(state.F * at(LEAST).all) && span(LEAST, Math.min(even, MOST)) > 150;
    this.text.pays.attr("x", pad.left + 6).attr("y", level + 18).text(room ? "compression pays" : "");
    const lostRoom = even < MOST && span(Math.max(even, LEAST), MOST) > 130;
    this.text.loses.attr("x", width - pad.right - 6).attr("y", level - 7).attr("text-anchor", "end").text(lostRoom ? "it does not" : "");
    this.drawFlag(even, floor, pad, width);
    this.drawDot(state, found, y, height, width);
  }

  drawFlag(even, floor, pad, width) {
    this.parked = Math.log10(clamp(even, LEAST, MOST));
    this.flagWords = even === 0 ? "compression never pays here" : even === Infinity ? "it pays up to 32 bits"
      : `break-even at ${bitsOf(even)}`;
    const place = this.x(clamp(even, LEAST, MOST));
    const left = place > pad.left + 190;
    const top = pad.top + 18;
    this.flag.attr("transform", `translate(${place},${top})`);
    this.pole.attr("y1", -12).attr("y2", floor - top);
    this.banner.attr("d", `M0,12V-11L${place > width - 40 ? -15 : 15},-5L0,1`);
    this.flagText.attr("x", left ? -9 : 19).attr("y", 0).attr("text-anchor", left ? "end" : "start").text(this.flagWords);
    this.tellFlag();
  }

  drawDot(state, found, y, height, width) {
    const place = this.x(state.bits);
    const top = Math.max(y(state.F * found.sent.all), 76);
    this.dot.attr("transform", `translate(${place},${top})`);
    const right = place > width - 150;
    this.dotText.attr("x", right ? -12 : 12).attr("y", -10).attr("text-anchor", right ? "end" : "start").text(times(found.gain));
    this.tellDot();
  }
}

// The same as a race: one dense step above, F compressed steps below.
class Race {
  constructor(kit, parent) {
    const svg = (this.svg = kit.svg(parent, ""));
    this.bars = svg.append("g");
    this.axis = svg.append("g").attr("class", "gp-axis");
    this.names = [0, 1].map(() => svg.append("text"));
  }

  draw(state, { dense, sent }, width) {
    const height = 126;
    const total = state.F * sent.all;
    const x = d3.scaleLinear([0, 1.02 * Math.max(dense.all, total)], [12, width - 14]);
    const steps = state.F <= 12 ? Math.ceil(state.F - 1e-9) : 1;
    const pieces = [];
    const lay = (row, step, share, from) => {
      let at = from;
      for (const [key] of PARTS) {
        pieces.push({ row, key, from: at, to: at + share * step[key] });
        at += share * step[key];
      }
    };
    lay(0, dense, 1, 0);
    for (let i = 0; i < steps; i += 1) lay(1, sent, steps === 1 ? state.F : Math.min(1, state.F - i), i * sent.all);
    this.bars.selectAll("rect").data(pieces).join("rect").attr("x", (p) => x(p.from)).attr("y", (p) => 18 + 42 * p.row)
      .attr("width", (p) => Math.max(0, x(p.to) - x(p.from))).attr("height", 19).attr("fill", (p) => `var(--gp-${p.key})`)
      .attr("stroke", "var(--gp-ground)").attr("stroke-width", 1);
    this.names[0].attr("x", 12).attr("y", 13).text(`one dense step: ${seconds(dense.all)}`);
    this.names[1].attr("x", 12).attr("y", 55).text(`${number(state.F)} compressed steps of ${seconds(sent.all)}: ${seconds(total)}`);
    this.axis.attr("transform", "translate(0,84)").call(d3.axisBottom(x).ticks(5).tickSize(4).tickFormat((t) => `${number(t)} s`));
    this.svg.attr("viewBox", `0 0 ${width} ${height - 16}`).attr("aria-label",
      `A race: one dense step of ${seconds(dense.all)} against ${number(state.F)} compressed steps of ${seconds(sent.all)}.`);
  }
}

function legend(parent) {
  const line = element("p", "gp-legend", parent);
  for (const [key, name] of PARTS) {
    const entry = element("span", "", line);
    const svg = d3.select(entry).append("svg").attr("aria-hidden", "true");
    svg.append("rect").attr("width", 22).attr("height", 12).attr("fill", `var(--gp-${key})`);
    entry.append(name);
  }
}

function inWords(state, found) {
  const { N, dense, sent, even, gain, most } = found;
  const spent = (p) => `${seconds(p.compute)} computing, ${seconds(p.latency)} latency, ${seconds(p.transmission)} bits`;
  const verdict = `${number(state.F)} times as many steps: ${times(gain)}.`;
  const threshold = even === 0 ? "No message length breaks even." : even === Infinity ? "Up to 32 bits it pays."
    : `Break-even: ${bitsOf(even)}.`;
  const limit = most > 1 ? `Without any bits it would be ${times(most)}.` : `Even without any bits it would be ${times(most)}.`;
  return `${N} agents, ${count(state.d)} coordinates at ${rate(state.v)}. Dense (${DENSE[state.dense]}): ${spent(dense)}. `
    + `Compressed to ${bitsOf(state.bits)} (${SENT[state.sent]}): ${spent(sent)}. ${verdict} ${threshold} ${limit}`;
}

const PLACES = {
  phones: { v: 1e7, lat: 0.05, comp: 1 },
  "data centre": { v: 1e11, lat: 1e-5, comp: 0.1 },
};

const EXPLORER = {
  controls: [
    { key: "F", symbol: "F", word: "iteration factor", min: 1, max: 20, step: 0.1 },
    { key: "bits", symbol: "M/d", word: "bits per coordinate", min: LEAST, max: MOST, step: 0.05, log: 10 },
    { key: "sent", word: "compressed messages are", options: Object.entries(SENT).map(([key, name]) => [key, name]) },
    { key: "dense", word: "dense gradients by", options: Object.entries(DENSE).map(([key, name]) => [key, name]) },
    { key: "N", symbol: "N", word: "agents", min: 2, max: 1024, step: 1, log: 2 },
    { key: "d", symbol: "d", word: "coordinates", min: 1e3, max: 1e11, step: 0.1, log: 10, format: count },
    { key: "v", symbol: "v", word: "bandwidth", min: 1e6, max: 1e12, step: 0.1, log: 10, format: rate },
    { key: "lat", word: "latency", min: 1e-6, max: 0.2, step: 0.1, log: 10, format: seconds },
    { key: "comp", word: "computing", min: 1e-4, max: 100, step: 0.1, log: 10, format: seconds },
  ],
  build(kit) {
    const controls = element("div", "gp-trio", kit.root);
    for (const key of ["F", "bits", "sent", "N", "d", "dense", "v", "lat", "comp"]) kit.control(key, controls);
    const layers = new Layers(kit, kit.root);
    legend(kit.root);
    const runners = new Race(kit, kit.root);
    const last = kit.bar();
    for (const [name, place] of Object.entries(PLACES)) kit.button(name, () => kit.set(place), last);
    kit.reset(last);
    const say = kit.words();
    return (state) => {
      const width = kit.root.clientWidth;
      const found = race(state);
      layers.draw(state, found, width);
      runners.draw(state, found, width);
      say(inWords(state, found));
    };
  },
};
