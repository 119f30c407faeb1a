// Two operators and one vector that the reader drags: unbiased operators scatter, biased ones shrink.

const D = 10;
const DRAWS = 60;
const PRESETS = {
  "gradient-like": [0.8, -0.52, 0.33, -0.27, 0.2, 0.16, -0.11, 0.08, -0.05, 0.02],
  "equal entries": Array(D).fill(0.5),
  "one spike": [0.03, -0.03, 0.03, 0.9, -0.03, 0.03, -0.03, 0.03, -0.03, 0.03],
  "heavy tails": [0.04, -0.09, 0.02, 0.95, -0.06, 0.13, -0.41, 0.03, -0.02, 0.07],
};

// Everything that one column shows, computed from x: moments, draws, and where they lie as seen along x.
function survey(name, P, x, noise) {
  const entry = DATA.operators[name];
  const energy = square(x) || 1;
  const { mean, second } = OPERATORS[name].moments(x, P);
  const draws = noise.map((u) => OPERATORS[name].draw(x, P, u));
  const seen = (y) => {
    const along = dot(y, x) / energy;
    return [along, Math.sqrt(Math.max(0, square(y) / energy - along * along))];
  };
  const errorOf = (y) => square(y.map((v, i) => v - x[i])) / energy;
  const m1 = dot(mean, x) / energy;
  const m2 = sum(second) / energy;
  return {
    name, P, entry, mean, second, draws, m1, m2,
    points: draws.map(seen), centre: seen(mean),
    error: m2 - 2 * m1 + 1, errors: draws.map(errorOf), energies: draws.map((y) => square(y) / energy),
    bits: entry.bits[entry.bits_by.map((key) => +P[key].toPrecision(6)).join(",")] / D,
    drift: errorOf(mean),
  };
}

const halfCircle = (cx, cy, r) => `M${cx - r},${cy}A${r},${r} 0 0 1 ${cx + r},${cy}`;

class Column {
  constructor(kit, side, parent) {
    this.kit = kit;
    this.side = side;
    this.node = element("div", "gp-column", parent);
    const controls = element("div", "gp-controls", this.node);
    kit.control(`c${side}`, controls).classList.add("gp-wide");
    for (const key of ["k", "q", "b", "s", "p"]) kit.control(key + side, controls);
    this.verdict = element("p", "gp-verdict", controls);
    this.bars = new VectorView(kit, this.node, (x) => kit.set({ x }));
    this.plane = kit.svg(this.node, "");
    this.meters = element("div", "gp-meters", this.node);
    this.meter = {
      error: this.makeMeter("expected error"), energy: this.makeMeter("energy kept"), bits: this.makeMeter("bits a coordinate"),
    };
    this.buildPlane();
  }

  makeMeter(name) {
    element("span", "gp-meter-name", this.meters, name);
    const track = element("span", "gp-track", this.meters);
    return {
      fill: element("span", "gp-fill", track), ref: element("span", "gp-ref", track),
      mark: element("span", "gp-this", track), value: element("span", "gp-meter-value", this.meters),
    };
  }

  buildPlane() {
    const svg = this.plane;
    this.disc = svg.append("path").attr("fill", "var(--gp-wash)");
    this.ground = svg.append("line").attr("class", "gp-grid");
    this.nothing = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-soft)").attr("stroke-dasharray", "4 4");
    this.thales = svg.append("path").attr("fill", "none").attr("stroke", "var(--gp-line)");
    this.rms = svg.append("path").attr("fill", "var(--gp-accent)").attr("fill-opacity", 0.1).attr("stroke", "var(--gp-accent)").attr("stroke-width", 2);
    this.scatter = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-linecap", "round").attr("stroke-width", 5).attr("class", "gp-cloud");
    this.arrow = svg.append("path").attr("stroke", "var(--gp-x)").attr("stroke-width", 2.5).attr("fill", "none");
    this.meanMark = svg.append("path").attr("stroke", "var(--gp-accent)").attr("stroke-width", 3.5);
    this.here = svg.append("circle").attr("r", 5).attr("fill", "var(--gp-ground)").attr("stroke", "var(--gp-accent)").attr("stroke-width", 2.5);
    this.labels = Object.fromEntries(["origin", "x", "nothing", "rms"].map((key) => [key, svg.append("text").attr("class", "gp-halo gp-faint")]));
    this.labels.x.attr("class", "gp-halo gp-math").style("font-size", "15px").text("x");
    this.labels.origin.text("0");
    this.labels.nothing.text("as bad as sending nothing").attr("text-anchor", "middle");
    svg.on("pointermove", (event) => this.pick(d3.pointer(event)));
    svg.on("pointerleave", () => this.kit.pick(0));
  }

  // The draw nearest to the pointer becomes "this draw".
  pick([px, py]) {
    if (!this.onPlane) return;
    const away = this.points.map((point) => Math.hypot(...this.onPlane(point).map((v, i) => v - [px, py][i])));
    const nearest = away.indexOf(Math.min(...away));
    if (away[nearest] < 30) this.kit.pick(nearest);
  }

  draw(state, found, shared, chosen) {
    const kind = found.entry.unbiased ? "unbiased" : "biased";
    this.node.style.setProperty("--gp-accent", `var(--gp-${kind})`);
    this.points = found.points;
    this.verdict.textContent = shortVerdict(found);
    this.bars.draw({
      x: state.x, mean: found.mean, second: found.second, draws: found.draws, jitter: shared.jitter, chosen, low: shared.low,
      high: shared.high, width: shared.width, height: shared.barsHeight,
      label: `The ten coordinates of x as bars, and what ${found.entry.label} makes of them in ${DRAWS} draws.`,
    });
    this.drawPlane(found, shared, chosen);
    this.drawMeters(found, shared, chosen);
  }

  drawPlane(found, shared, chosen) {
    const { unit, left } = shared.plane;
    const { width } = shared;
    const height = shared.planeHeight;
    const x0 = (width - shared.plane.span * unit) / 2 - left * unit;
    const y0 = height - 22;
    const at = (this.onPlane = ([along, across]) => [x0 + along * unit, y0 - across * unit]);
    const [xx] = at([1, 0]);
    const radius = Math.sqrt(Math.max(0, found.error)) * unit;
    this.plane.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label",
      `Every draw seen from x: along x and across it. Expected distance from x: ${number(Math.sqrt(found.error))} times the length of x.`);
    this.ground.attr("x1", 0).attr("x2", width).attr("y1", y0).attr("y2", y0);
    this.disc.attr("d", halfCircle(xx, y0, unit));
    this.nothing.attr("d", halfCircle(xx, y0, unit));
    this.thales.attr("d", halfCircle((x0 + xx) / 2, y0, unit / 2));
    this.rms.attr("d", halfCircle(xx, y0, radius));
    this.scatter.attr("d", dots(found.points.map(at)));
    this.arrow.attr("d", `M${x0},${y0}H${xx}M${xx - 9},${y0 - 6}L${xx},${y0}L${xx - 9},${y0 + 6}`);
    const [mx, my] = at(found.centre);
    this.meanMark.attr("d", `M${mx},${my - 9}V${my + 9}`);
    const [hx, hy] = at(found.points[chosen]);
    this.here.attr("cx", clamp(hx, 6, width - 6)).attr("cy", clamp(hy, 6, height));
    this.labels.origin.attr("x", x0 - 4).attr("y", y0 + 15);
    this.labels.x.attr("x", xx - 4).attr("y", y0 + 17);
    this.labels.nothing.attr("x", xx).attr("y", y0 - unit + (Math.abs(radius - unit) < 18 && radius > unit ? 14 : -5));
    this.labels.rms.attr("x", xx).attr("y", y0 - radius + (-5)).attr("text-anchor", "middle").text(`expected error ${percent(found.error)}`);
  }

  drawMeters(found, shared, chosen) {
    const set = (meter, value, most, reference, text, mark) => {
      const part = (v) => `${clamp((100 * v) / most, 0, 100)}%`;
      meter.fill.style.width = part(value);
      meter.ref.style.left = part(reference);
      meter.mark.hidden = mark === undefined;
      if (mark !== undefined) meter.mark.style.left = part(mark);
      meter.value.textContent = text;
    };
    set(this.meter.error, found.error, shared.mostError, 1, percent(found.error), found.errors[chosen]);
    set(this.meter.energy, found.m2, shared.mostEnergy, 1, percent(found.m2), found.energies[chosen]);
    set(this.meter.bits, found.bits, Math.max(32, shared.mostBits), 32, `${number(found.bits)} / 32`);
  }
}

function shortVerdict({ error, drift, entry, m1 }) {
  if (error < 1e-12) return "nothing is lost";
  if (drift < 1e-12) return "unbiased: it scatters";
  const manner = m1 < 1 ? "biased: it shrinks" : "biased: it distorts";
  return entry.deterministic ? manner : `${manner} and scatters`;
}

function describe(found, chosen) {
  const { entry, drift, error, m2, m1 } = found;
  const name = settingName(found.name, found.P);
  const cost = `${number(found.bits)} bits a coordinate`;
  const once = `${percent(error)} of ‖x‖² on average (this draw by ${percent(found.errors[chosen])})`;
  if (error < 1e-12) return `${name} returns x itself, for ${cost}.`;
  if (drift < 1e-12) {
    return `${name} is right on average but scatters: a draw misses by ${once} and carries ${number(m2)} times the energy of x, for ${cost}.`;
  }
  const size = m1 < 1 ? "shrinks" : "distorts";
  const manner = entry.deterministic ? `${size} x in the same way every time` : `${size} x even on average`;
  return `${name} ${manner}: it keeps ${percent(m2)} of the energy and misses by ${entry.deterministic ? percent(error) : once}, for ${cost}.`;
}

// Scales that both columns share, so that they can be compared by eye.
function sharedScales(both, width) {
  const values = both.flatMap(({ draws }) => draws.flat());
  const high = Math.min(4, Math.max(1.08, ...values) * 1.04);
  const low = Math.max(-4, Math.min(-1.08, ...values) * 1.04);
  const radius = Math.min(4, Math.max(1, ...both.map(({ error }) => Math.sqrt(error))));
  const points = both.flatMap(({ points: all }) => all);
  const left = Math.min(1 - radius, ...points.map(([along]) => along)) - 0.12;
  const right = Math.max(1 + radius, ...points.map(([along]) => Math.min(along, 6))) + 0.12;
  const top = Math.max(radius, ...points.map(([, across]) => Math.min(across, 4))) + 0.15;
  const barsHeight = clamp(width * 0.64, 180, 420);
  const planeHeight = clamp(width * 0.54, 165, 380);
  const unit = Math.min(width / (right - left), (planeHeight - 40) / top);
  return {
    width, low, high, barsHeight, planeHeight, plane: { unit, left, span: right - left },
    mostError: Math.max(1.25, ...both.map(({ error }) => 1.1 * error)),
    mostEnergy: Math.max(1.25, ...both.map(({ m2 }) => 1.1 * m2)),
    mostBits: Math.max(...both.map(({ bits }) => bits)),
  };
}

function legend(parent) {
  const rows = [
    ['<rect x="4" y="3" width="14" height="11" fill="var(--gp-x)" opacity=".3"/><rect x="4" y="0" width="14" height="6" rx="3" fill="var(--gp-x)"/>', "x: drag a bar's tip"],
    ['<path d="M3,3h0M8,10h0M13,5h0M18,12h0" stroke="var(--gp-ink)" stroke-width="4" stroke-linecap="round" opacity=".5"/>', `${DRAWS} draws of C(x)`],
    ['<path d="M2,7h18" stroke="var(--gp-ink)" stroke-width="3.5"/>', "their mean, E C(x)"],
    ['<circle cx="11" cy="7" r="5" fill="none" stroke="var(--gp-ink)" stroke-width="2"/>', "this draw"],
    ['<path d="M2,14A9,9 0 0 1 20,14" fill="none" stroke="var(--gp-ink)" stroke-width="2"/>', "expected distance from x"],
  ];
  const list = element("div", "gp-legend", parent);
  for (const [drawing, text] of rows) {
    const item = element("span", "", list);
    item.innerHTML = `<svg aria-hidden="true" viewBox="0 0 22 14">${drawing}</svg>`;
    item.append(text);
  }
}

const EXPLORER = {
  controls: [
    { key: "c1", word: "an operator", options: operatorOptions },
    { key: "c2", word: "another one", options: operatorOptions },
    ...parameterControls("1", D),
    ...parameterControls("2", D),
  ],
  build(kit) {
    const bar = kit.bar();
    element("span", "gp-caption", bar, "x:");
    for (const [name, x] of Object.entries(PRESETS)) kit.button(name, () => kit.set({ x }), bar);
    kit.button("draw again", () => kit.set({ seed: (kit.state.seed % 9999) + 1 }), bar).classList.add("gp-push");
    kit.reset(bar);
    const columns = element("div", "gp-columns", kit.root);
    const sides = [new Column(kit, 1, columns), new Column(kit, 2, columns)];
    legend(kit.root);
    const say = kit.words();
    let chosen = 0;
    kit.pick = (index) => {
      if (index !== chosen) kit.invalidate();
      chosen = index;
    };
    const memory = {};
    return (state) => {
      const width = sides[0].node.clientWidth;
      if (memory.seed !== state.seed) {
        const random = uniforms(state.seed);
        memory.noise = Array.from({ length: DRAWS }, () => Array.from({ length: D }, random));
        memory.jitter = Array.from({ length: DRAWS }, random);
        memory.seed = state.seed;
      }
      const both = [1, 2].map((side) => survey(state[`c${side}`], parametersOf(state, String(side)), state.x, memory.noise));
      const shared = { ...sharedScales(both, width), jitter: memory.jitter };
      sides.forEach((column, i) => column.draw(state, both[i], shared, chosen));
      say(both.map((found) => describe(found, chosen)).join(" "));
    };
  },
};
