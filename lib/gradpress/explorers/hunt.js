// What every adversary shares: the search for the worst instance, its picture, its verdict and the buttons that drive it.
//
// An instance is an array of numbers. A trial is one statement with what is given in it:
//   key               a text that tells trials apart: the search begins anew when it changes
//   starts(seed)      some instances to begin with
//   moves             functions (instance, random, size) -> instance; the size shrinks while nothing helps
//   normal(instance)  the instance in normal form
//   ratio(instance)   left side over right side; above 1 the statement is false
//   label, source     how the statement is called, and in which version: "as printed"
//   setting(instance) what is given, in words
//   why               why the statement is false, where it is
//   silence           in words, where nothing is claimed
// hunter({...}) makes an explorer of them; what it asks for stands above it.

const BUDGET = 6000;
const TOLERANCE = 1e-9;

// --- the search ------------------------------------------------------------------------------------------------------

const pickOne = (x, random) => Math.floor(random() * x.length);

// Random starts, then climbing with steps that grow on success and shrink on failure. The same seed gives the same search.
class Search {
  constructor(trial, seed) {
    this.trial = trial;
    this.random = uniforms(seed);
    this.starts = trial.starts(seed + 17);
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
    const { life, trial: { moves } } = this;
    const moved = life ? moves[Math.floor(this.random() * moves.length)](life.x, this.random, life.size) : this.start();
    const x = this.trial.normal(moved);
    const ratio = this.trial.ratio(x);
    this.tried += 1;
    if (this.tried < 300 || this.tried % Math.ceil(this.tried / 300) === 0) this.trace.push([this.tried, ratio]);
    if (ratio > this.best.ratio) this.best = { ratio, x, at: this.tried };
    if (!life) this.life = { x, ratio, size: 0.5, failures: 0 };
    else if (ratio > life.ratio) Object.assign(life, { x, ratio, size: Math.min(1, 1.6 * life.size), failures: 0 });
    else this.fail(life);
  }

  // A life ends when nothing helps any more; every second one goes on from the best instance found.
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

// For instances that are points of the unit cube: starts, the way back into it, and moves along its sides and to its faces.
const inCube = (x) => x.map((v) => clamp(v, 0, 1));
function cubeStarts(sides, count, seed) {
  const random = uniforms(seed);
  return Array.from({ length: count }, () => Array.from({ length: sides }, random));
}
const changeOne = (change) => (x, random, s) => {
  const i = pickOne(x, random);
  return x.map((v, j) => (j === i ? change(v, random, s) : v));
};
const CUBE_MOVES = [
  changeOne((v, random, s) => v + s * gaussian(random)),
  (x, random, s) => x.map((v) => v + 0.5 * s * gaussian(random)),
  changeOne((v, random, s) => v * Math.exp(s * gaussian(random))),
  changeOne((v, random, s) => 1 - (1 - v) * Math.exp(s * gaussian(random))),
  changeOne((v, random) => (random() < 0.5 ? 0 : 1)),
  changeOne((v, random) => random()),
];

// --- the picture -----------------------------------------------------------------------------------------------------

class Climb {
  constructor(kit, parent, words) {
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
    this.text.x.attr("text-anchor", "end").text(`${words.many} tried (each tenfold equally wide)`);
    this.text.y.text("left side / right side");
    this.text.wall.text("1: as far as the statement lets it go");
    this.text.above.text("here the statement is false").style("fill", "var(--gp-alarm)");
    this.words = words;
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
    this.text.mine.attr("x", width - pad.right - 4).attr("y", up(mine ?? 1) - 5).attr("text-anchor", "end").text(mine === null ? "" : this.words.mine);
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

function verdict(trial, words, search, { x, ratio, own }) {
  const setting = trial.setting(x);
  if (trial.silence) return `${trial.silence} ${setting}.`;
  const who = own ? `${capital(words.mine)} reaches` : `After ${number(search.tried, 5)} ${words.many} the worst ratio is`;
  const start = `${who} ${exactly(ratio)}.`;
  const statement = `${trial.label} ${trial.source}`;
  if (ratio > 1 + TOLERANCE) return `${start} ${statement} is refuted by the ${words.one} drawn here: ${trial.why ?? "the statement is false"}. ${setting}.`;
  const close = ratio > 1 - 1e-6 ? "The bound is reached, and not passed" : ratio > 0.99 ? "The bound is nearly reached" : "The bound stands, with room to spare";
  return `${start} ${close}: ${statement}. ${setting}.`;
}

// --- the explorer ----------------------------------------------------------------------------------------------------

// An explorer that hunts. Its state has a `seed` and the reader's own instance `x`, empty while there is none.
//   controls, bars    the controls, and their keys row by row; those in `broad` get more room
//   trial(state)      the statement under attack
//   own(state)        whether `state.x` is an instance of the reader's
//   words             { one, many, mine, caption }: "vector", "vectors", "your x", a line below the instance's picture
//   accent(trial)     the name of a colour
//   claimed(trial)    the inequality with its constants
//   panel(kit, parent, change)  the picture of an instance, as a function (trial, x, width); a hand in it calls change(x)
function hunter({ controls, bars, broad, trial: trialOf, own: isOwn, words, accent, claimed, panel }) {
  return {
    controls,
    build(kit) {
      for (const keys of bars) {
        const bar = kit.bar();
        for (const key of keys) kit.control(key, bar).classList.toggle("gp-broad", broad.includes(key));
      }
      const run = { key: null, search: null, playing: false, seen: false };
      const buttons = kit.bar();
      const play = kit.button("pause", () => toggle(), buttons);
      kit.button("step", () => { pause(); run.search.advance(1); kit.invalidate(); }, buttons);
      kit.button("start again", () => { run.key = null; kit.set({ x: [] }); resume(); }, buttons);
      kit.button("another seed", () => { kit.set({ seed: (kit.state.seed % 9999) + 1, x: [] }); resume(); }, buttons);
      kit.reset(buttons);
      const halves = element("div", "gp-halves", kit.root);
      const left = element("div", "gp-half", halves);
      const right = element("div", "gp-half", halves);
      const climb = new Climb(kit, left, words);
      const claim = element("p", "gp-claim", right);
      const score = element("p", "gp-score", right);
      const drawInstance = panel(kit, right, (x) => { pause(); kit.set({ x }); });
      element("p", "gp-caption", right, words.caption);
      const say = kit.words();

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
        const trial = trialOf(state);
        const key = `${trial.key} ${state.seed}`;
        if (run.key !== key) Object.assign(run, { key, search: new Search(trial, state.seed) });
        const { search } = run;
        const own = isOwn(state);
        const silent = Boolean(trial.silence);
        if (run.playing && !silent && !own) {
          if (run.atOnce) search.advance(BUDGET);
          else search.advance(1 + Math.floor(search.tried / 60), 5);
        }
        run.atOnce = false;
        if (search.tried === 0 && !silent) search.advance(1);
        if (search.tried >= BUDGET || silent) run.playing = false;
        play.textContent = run.playing ? "pause" : "play";
        const x = own ? state.x : search.best.x;
        const ratio = silent ? 0 : own ? trial.ratio(x) : search.best.ratio;
        const fell = ratio > 1 + TOLERANCE;
        kit.root.style.setProperty("--gp-accent", `var(--gp-${accent(trial)})`);
        climb.draw(search, own ? ratio : null, widths[0]);
        claim.textContent = claimed(trial);
        score.textContent = silent ? "no claim" : `${own ? "your ratio" : "worst ratio found"}: ${exactly(ratio)}`;
        score.classList.toggle("gp-alarming", fell);
        drawInstance(trial, x, widths[1]);
        say(verdict(trial, words, search, { x, ratio, own }), fell);
        if (run.playing) kit.invalidate();
      };
    },
  };
}
