// One vector as bars whose tips can be dragged, and what an operator makes of it: mean, spread and draws.
class VectorView {
  constructor(kit, parent, change, least = -1) {
    this.kit = kit;
    this.least = least;
    this.change = change;
    const svg = (this.svg = kit.svg(parent, ""));
    const path = (attributes) => Object.entries(attributes).reduce((node, [key, value]) => node.attr(key, value), svg.append("path"));
    this.levels = svg.append("g").attr("class", "gp-axis");
    this.zero = path({ class: "gp-grid" });
    this.bodies = path({ fill: "var(--gp-x)", class: "gp-body" });
    this.gaps = path({ stroke: "var(--gp-accent)", "stroke-width": 1.5, "stroke-dasharray": "2 2" });
    this.spread = path({ stroke: "var(--gp-accent)", class: "gp-spread" });
    this.cloud = path({ stroke: "var(--gp-accent)", "stroke-linecap": "round", "stroke-width": 4, class: "gp-cloud" });
    this.beyond = path({ fill: "var(--gp-accent)" });
    this.holder = svg.append("g");
    this.ticks = path({ stroke: "var(--gp-accent)", "stroke-width": 3 }).style("pointer-events", "none");
    this.chosen = path({ fill: "var(--gp-ground)", stroke: "var(--gp-accent)", "stroke-width": 2 }).style("pointer-events", "none");
    this.handles = [];
  }

  // One handle a coordinate; only one of them is a stop of the Tab key, the arrows left and right go on from it.
  buildHandles(d) {
    this.holder.selectAll("*").remove();
    this.handles = Array.from({ length: d }, (_, i) => this.buildHandle(this.holder.append("g"), i, d));
  }

  buildHandle(group, i, d) {
    const go = (step) => () => this.handles[clamp(i + step, 0, d - 1)].group.node().focus();
    const announce = this.kit.handle(group, {
      label: `x ${i + 1}, coordinate ${i + 1} of ${d}`, value: () => this.x[i], text: (v) => number(v), low: this.least, high: 1, step: 0.05,
      at: (event) => this.y.invert(event.y), keys: { ArrowLeft: go(-1), ArrowRight: go(1) },
      change: (value) => this.change(this.x.map((v, j) => (j === i ? Math.round(100 * value) / 100 : v))),
    });
    group.on("focus", () => this.handles.forEach(({ group: other }, j) => other.attr("tabindex", j === i ? 0 : -1)));
    group.attr("tabindex", i === 0 ? 0 : -1);
    const target = group.append("rect").attr("fill", "transparent").attr("height", 30).attr("y", -15);
    const grip = group.append("rect").attr("class", "gp-grip").attr("height", 9).attr("y", -4.5).attr("rx", 4.5)
      .attr("fill", "var(--gp-x)").attr("stroke", "var(--gp-ground)");
    return { group, target, grip, announce };
  }

  draw({ x, mean, second, draws = [], jitter = [], chosen = 0, low, high, width, height, label, held = true }) {
    this.x = x;
    const left = 30;
    const slot = (width - left - 2) / x.length;
    const y = (this.y = d3.scaleLinear([low, high], [height - 8, 8]));
    const middle = (i) => left + slot * (i + 0.5);
    const inside = (v) => clamp(v, low, high);
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("aria-label", label);
    this.levels.attr("transform", `translate(${left - 4},0)`).call(d3.axisLeft(y).ticks(5).tickSize(3)).select(".domain").remove();
    this.zero.attr("d", `M${left},${y(0)}H${width}`);
    const columns = (part, f) => x.map((v, i) => f(v, i, middle(i), slot * part)).join("");
    this.bodies.attr("d", columns(0.38, (v, i, m, w) => `M${m - w},${y(0)}V${y(inside(v))}H${m + w}V${y(0)}z`));
    this.gaps.attr("d", columns(0, (v, i, m) => (Math.abs(v - mean[i]) > 1e-9 ? `M${m},${y(inside(v))}V${y(inside(mean[i]))}` : "")));
    const deviation = (i) => Math.sqrt(Math.max(0, second[i] - mean[i] ** 2));
    this.spread.attr("stroke-width", slot * 0.5)
      .attr("d", columns(0, (v, i, m) => `M${m},${y(inside(mean[i] - deviation(i)))}V${y(inside(mean[i] + deviation(i)))}`));
    this.ticks.attr("d", columns(0.45, (v, i, m, w) => `M${m - w},${y(inside(mean[i]))}h${2 * w}`));
    const across = (i, j) => middle(i) + slot * 0.6 * (jitter[j] - 0.5);
    this.drawDraws(draws, { low, high, y, across });
    this.chosen.attr("d", draws.length ? draws[chosen].map((v, i) => `M${across(i, chosen) - 4},${y(inside(v))}a4,4 0 1 0 8,0a4,4 0 1 0 -8,0`).join("") : "");
    this.drawHandles(held, middle, slot, y, inside);
  }

  // Draws that leave the picture become triangles at its edge.
  drawDraws(draws, { low, high, y, across }) {
    const marks = [];
    const out = [];
    draws.forEach((draw, j) => draw.forEach((v, i) => {
      if (v >= low && v <= high) marks.push([across(i, j), y(v)]);
      else out.push(`M${across(i, j) - 3},${y(clamp(v, low, high)) + (v > 0 ? 5 : -5)}h6l-3,${v > 0 ? -5 : 5}z`);
    }));
    this.cloud.attr("d", dots(marks));
    this.beyond.attr("d", out.join(""));
  }

  drawHandles(held, middle, slot, y, inside) {
    if (this.handles.length !== (held ? this.x.length : 0)) this.buildHandles(held ? this.x.length : 0);
    this.handles.forEach(({ group, target, grip, announce }, i) => {
      group.attr("transform", `translate(${middle(i)},${y(inside(this.x[i]))})`);
      target.attr("x", -slot / 2).attr("width", slot);
      grip.attr("x", -slot * 0.28).attr("width", slot * 0.56);
      announce();
    });
  }
}
