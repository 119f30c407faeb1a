"""The explorers in a real browser: the same numbers as the library, every control alive, by hand and by keyboard."""

import json
import os
import platform
import re
import time
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch

from gradpress import explorers, formulas
from gradpress.classes import B1, B2, B3, Unbiased
from gradpress.compressors import TopK
from gradpress.explorers import catalogue
from gradpress.methods import DCGD, EF21, ErrorFeedback
from gradpress.order_statistics import Laplace, Normal, Pareto, StudentT, Uniform, kept_share
from gradpress.problems import Quadratic, top_1_failure
from gradpress.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "_build" / "measured" / "explorers.json"
FIRST_ANSWER, REDRAW, SLACK = 1500, 16, 5  # milliseconds, milliseconds, times

# A change that Python makes to a picture: a menu and one of its entries.
FROM_PYTHON = {
    "compressors": ("c1", "sign"),
    "classes": ("c", "top-k"),
    "adversary": ("claim", "lem-top-k"),
    "bottleneck": ("dense", "tree"),
    "descent": ("c", "top-k"),
    "descent-adversary": ("claim", "theorem-17"),
    "agents": ("c", "identity"),
    "agents-adversary": ("claim", "thm-diana"),
    "diffusion": ("noise", "coin"),
    "selection": ("law", "student"),
    "calculator": ("c", "sign"),
    "subsets": ("kind", "shifts"),
    "memory": ("problem", "disagree"),
    "memory-adversary": ("claim", "regime-equal"),
    "noise-floor": ("along", "omega"),
    "dcsgd-adversary": ("claim", "thm-dcsgd-chain"),
    "dsign": ("nu", "inf"),
    "dsign-adversary": ("claim", "transient"),
    "stability-map": ("f", "quartic"),
    "smoothness-adversary": ("claim", "growth"),
}

BLANK = """<!doctype html><html lang="en" data-theme="light"><title>blank</title><body><div id="place"></div>"""
RUN = """async ([text, state, place]) => {
  const module = await import(URL.createObjectURL(new Blob([text], {type: 'text/javascript'})));
  const listeners = {}, values = {state, place};
  window.told = [];
  window.model = {
    get: key => values[key], save_changes: () => window.told.push(structuredClone(values.state)),
    set: (key, value) => { values[key] = value; (listeners[`change:${key}`] ?? []).forEach(f => f()); },
    on: (event, f) => (listeners[event] ??= []).push(f),
    off: (event, f) => { listeners[event] = (listeners[event] ?? []).filter(g => g !== f); },
  };
  const el = document.getElementById('place');
  window.stop = module.default.render({model: window.model, el});
  window.internals = module.internals;
  window.parameters = setting =>
    Object.fromEntries(Object.entries(setting).map(([key, v]) => [key, v === 'inf' ? Infinity : v]));
}"""


def pages_of(name):
    pages = sorted((ROOT / "chapters").rglob("*.md"))
    found = [p for p in pages if re.search(rf"^```\{{explorer\}} {name}$", p.read_text("utf-8"), re.MULTILINE)]
    assert found, f"no page shows the explorer {name}"
    return [page.relative_to(ROOT).with_suffix(".html").as_posix() for page in found]


@pytest.fixture(scope="module")
def bench(browser):
    """A blank page in which an explorer's module runs without the book: what Jupyter does with it."""
    context = browser.new_context(viewport={"width": 800, "height": 900})
    page = context.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm("adversary"), {}, None])
    yield page
    context.close()


@pytest.fixture(params=list(explorers.DEFAULTS))
def name(request):
    return request.param


@pytest.fixture
def place(unset, name):
    """The explorer on the first page that shows it, once it has answered; of the article there is nothing else."""
    page = unset(pages_of(name)[0], only=name).page
    return page, settled(page, name)


def settled(page, name):
    root = page.locator(f'.gradpress-place[data-place="{name}"]')
    root.wait_for()
    page.wait_for_function("el => el.gradpress?.firstAnswer != null", arg=root.element_handle())
    root.scroll_into_view_if_needed()
    page.wait_for_timeout(150)  # what moves by itself begins where it is seen
    halt(root)
    return root


QUIET = """async el => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
  while (el.querySelector(".gp-words[aria-busy]")) await frame();
}"""


def halt(root):
    """Stop what moves by itself, so that a change in the picture has one cause, and let the words catch up."""
    pause = root.get_by_role("button", name="pause", exact=True)
    if pause.count():
        pause.click()
    root.evaluate(QUIET)


def shown(root):
    """Everything that the reader sees of an explorer: its drawings and its words."""
    parts = "svg, .gp-value, table, .gp-meters"
    markup = root.evaluate("(el, parts) => [...el.querySelectorAll(parts)].map(e => e.outerHTML).join()", parts)
    return markup.replace(' style=""', "")  # what is left of a style that was taken away shows nothing


def words(root):
    return root.locator(".gp-words").inner_text()


def changed(page, look, before, patience=8):
    """Whether what `look` sees becomes different; on a busy machine that may take a while."""
    end = time.monotonic() + patience
    while look() == before and time.monotonic() < end:
        page.wait_for_timeout(50)
    return look() != before


def waited(page):
    page.wait_for_timeout(450)  # the address follows a tenth of a second after the reader's hand


# ------------------------------------------------------------------------------------- the same numbers as the library


def test_formulas_are_the_same_in_both_languages(bench):
    """Every closed form of the book at three points, in the script and in NumPy."""
    random = np.random.default_rng(0)
    points = [
        (name, [round(float(value), 3) for value in random.uniform(0.05, 3, len(formula.symbols))])
        for name, formula in formulas.ALL.items() for _ in range(3)
    ]  # fmt: skip
    script = """points => points.map(([name, names, values]) =>
      window.internals.formulas[name](Object.fromEntries(names.map((key, i) => [key, values[i]]))))"""
    names = {name: [symbol.name for symbol in formula.symbols] for name, formula in formulas.ALL.items()}
    found = bench.evaluate(script, [[name, names[name], values] for name, values in points])
    with np.errstate(all="ignore"):
        wanted = [formulas.ALL[name].function()(*map(np.float64, values)) for name, values in points]
    for point, value, want in zip(points, found, wanted, strict=True):
        assert not np.isfinite(want) or value == pytest.approx(want, rel=1e-10, abs=1e-12), point
    assert np.isfinite(wanted).mean() > 0.9  # outside of its domain a formula is NaN or ∞, in both languages


def instances(d, seed):
    """Vectors that an operator may stumble over: random, sparse, heavy-tailed, tied, tiny, huge, on a level."""
    random = np.random.default_rng(seed)
    spike = np.full(d, 0.2071067811865475)
    spike[0] = 1.0
    return [
        random.standard_normal(d), random.standard_t(1, d), random.standard_normal(d) * (random.random(d) < 0.4),
        np.ones(d), -np.ones(d), np.full(d, 1 / 3), spike, np.eye(d)[d // 2], np.zeros(d),
        random.standard_normal(d) * 1e-20, random.standard_normal(d) * 1e20, 2.0 ** random.integers(-4, 5, d),
        np.exp(-np.arange(d)), 10 ** random.uniform(-8, 8, d),
    ]  # fmt: skip


def settings(operator, d, seed, count=6):
    random = np.random.default_rng(seed)
    grids = {key: [v for v in catalogue.GRID[key] if key != "k" or v <= d] for key in operator.parameters}
    return [{key: grid[random.integers(len(grid))] for key, grid in grids.items()} for _ in range(count)]


def to_script(setting):
    return {key: "inf" if value == float("inf") else value for key, value in setting.items()}


EACH = """([name, setting, vectors, what]) => {
  const P = window.parameters(setting);
  return vectors.map(([x, u]) => window.internals.OPERATORS[name][what](x, P, u));
}"""


@pytest.mark.parametrize("operator_name", catalogue.OPERATORS)
def test_moments_agree_with_the_library(bench, operator_name):
    """Relative to each coordinate, to 1e-12, on every kind of vector."""
    operator = catalogue.OPERATORS[operator_name]
    for d, seed in ((1, 1), (3, 2), (10, 3), (33, 4)):
        for setting in settings(operator, d, seed):
            vectors = instances(d, seed)
            given = [[vector.tolist(), []] for vector in vectors]
            found = bench.evaluate(EACH, [operator_name, to_script(setting), given, "moments"])
            for x, moments in zip(vectors, found, strict=True):
                mean, second = operator.make(**setting).moments(torch.from_numpy(x))
                for found_one, wanted in ((moments["mean"], mean), (moments["second"], second)):
                    found_one = np.array(found_one, dtype=float)  # a number without a fraction comes as an integer
                    np.testing.assert_allclose(found_one, wanted, rtol=1e-12, atol=0, err_msg=f"{setting} {x}")


@pytest.mark.parametrize("operator_name", catalogue.OPERATORS)
def test_constants_agree_with_the_library(bench, operator_name):
    operator = catalogue.OPERATORS[operator_name]
    fields = {Unbiased: ("zeta",), B1: ("alpha", "beta"), B2: ("gamma", "beta"), B3: ("delta",)}
    for d in (2, 10, 64):
        for setting in settings(operator, d, d, count=10):
            wanted = {
                field: float(getattr(found, field))
                for found in operator.make(**setting).membership(d)
                for field in fields[type(found)]
            }
            found = bench.evaluate(
                """([name, setting, d]) => {
                  const constants = window.internals.OPERATORS[name].constants(d, window.parameters(setting));
                  return Object.fromEntries(Object.entries(constants).filter(([, v]) => v < Infinity));
                }""",
                [operator_name, to_script(setting), d],
            )
            assert found == pytest.approx(wanted, rel=1e-12), setting


SAME_PATH = ["random-sparsification", "adaptive-sparsification", "unbiased-rounding", "exponential-dithering",
             "standard-dithering", "ternary"]  # fmt: skip


@pytest.mark.parametrize("operator_name", SAME_PATH)
def test_draws_agree_with_the_library_on_the_same_uniform_numbers(bench, operator_name, monkeypatch):
    """The library's uniform numbers are replaced by given ones; Rand-k and natural compression draw integers."""
    operator = catalogue.OPERATORS[operator_name]
    random = np.random.default_rng(5)
    for setting in settings(operator, 10, 6):
        pairs = [(random.standard_normal(10), random.random(10)) for _ in range(50)]
        lists = [[x.tolist(), u.tolist()] for x, u in pairs]
        found = bench.evaluate(EACH, [operator_name, to_script(setting), lists, "draw"])
        for (x, u), draw in zip(pairs, found, strict=True):
            given = lambda shape, like, generator, u=u: torch.from_numpy(u).reshape(-1)[: shape[-1]]  # noqa: E731
            for module in ("sparsify", "rounding", "dithering"):
                monkeypatch.setattr(f"gradpress.compressors.{module}.uniform", given)
            np.testing.assert_allclose(draw, operator.make(**setting)(torch.from_numpy(x)), rtol=1e-12, atol=0)


RANDOM = [
    name
    for name, operator in catalogue.OPERATORS.items()
    if not operator.make(**settings(operator, 10, 0)[0]).deterministic
]
DRAW_MEANS = """([name, setting, x, draws]) => {
  const P = window.parameters(setting), random = window.internals.uniforms(7), d = x.length;
  const total = new Array(d).fill(0), squares = new Array(d).fill(0);
  for (let j = 0; j < draws; j += 1) {
    const u = Array.from({length: d}, random);
    const draw = window.internals.OPERATORS[name].draw(x, P, u);
    draw.forEach((v, i) => { total[i] += v / draws; squares[i] += v * v / draws; });
  }
  return {mean: total, second: squares, exact: window.internals.OPERATORS[name].moments(x, P)};
}"""


@pytest.mark.parametrize("operator_name", RANDOM)
def test_draws_have_the_moments_that_are_stated(bench, operator_name):
    """20 000 draws: each coordinate's mean within 5.5 standard errors, false alarm below 1e-4 over all coordinates."""
    operator, draws = catalogue.OPERATORS[operator_name], 20_000
    x = np.random.default_rng(8).standard_normal(10).tolist()
    setting = {"k": 3, "q": 0.3, "b": 2.5, "s": 3, "p": 2}
    result = bench.evaluate(DRAW_MEANS, [operator_name, {key: setting[key] for key in operator.parameters}, x, draws])
    mean, second = (np.array(result["exact"][key]) for key in ("mean", "second"))
    error = np.sqrt(np.maximum(second - mean**2, 0) / draws)
    assert (np.abs(result["mean"] - mean) <= 5.5 * error + 1e-9 * np.abs(x)).all()
    # The squares are bounded by their largest value M, so that their variance is at most M times their mean.
    most = np.max(np.abs(x)) * 10 / 3 + np.linalg.norm(x)
    assert (np.abs(result["second"] - second) <= 5.5 * most * np.sqrt(second / draws) + 1e-9).all()


# ------------------------------------------------------------------------------------------------ the module by itself


@pytest.mark.parametrize("name", explorers.DEFAULTS)
def test_module_runs_without_the_book(browser, name):
    """As anywidget runs it: a model with listeners, state from Python and back, nothing in the address, a clean end."""
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm(name), {}, None])
    root = page.locator("#place")
    page.wait_for_function("document.getElementById('place').gradpress.firstAnswer !== null")
    assert root.locator("svg[role][aria-label]").count() >= 2
    controls = root.locator("button, input, select, [role=slider]")
    assert controls.count() == root.locator("[data-lm-suppress-shortcuts=true]").count(), "JupyterLab takes arrow keys"
    before = shown(root)
    key, value = FROM_PYTHON[name]
    page.evaluate("([key, value]) => window.model.set('state', {[key]: value})", [key, value])
    page.wait_for_timeout(300)
    assert shown(root) != before
    assert root.locator(f'[name="{key}"]').input_value() == value
    slider = root.locator("input[type=range]:visible").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert page.evaluate("window.told.at(-1)")[slider.get_attribute("name")] == float(slider.input_value())
    assert page.evaluate("location.hash") == ""
    page.evaluate("window.stop()")
    assert faults == []
    context.close()


# -------------------------------------------------------------------------------------------------------- in the page


def test_every_control_moves_picture_and_words_by_keyboard(place, name):
    """Sliders, menus, switches, handles and buttons, each from the picture's first state, with keys alone."""
    page, root = place
    for control, keys in keyboard(root):
        before, said = shown(root), words(root)
        control.focus()
        for key in keys:
            page.keyboard.press(key)
        assert changed(page, partial(shown, root), before), control
        assert changed(page, partial(words, root), said), control
        reset(root)  # before the next control is asked which keys would move it


def keyboard(root):
    for control in root.locator("input[type=range]:visible").all():
        top = control.input_value() == control.get_attribute("max")
        yield control, ["ArrowLeft" if top else "ArrowRight"] * 3
    for control in root.locator("select:visible").all():
        if control.locator("option:not([disabled])").count() > 1:
            last = control.evaluate("s => s.selectedIndex === [...s.options].findLastIndex(o => !o.disabled)")
            yield control, ["ArrowUp" if last else "ArrowDown"]
    for control in root.locator("fieldset:visible").all():
        yield control.locator("input:checked"), ["ArrowDown"]
    for control in root.locator("[role=slider][tabindex='0']").all():
        yield control, ["ArrowDown"] * 3
    for control in action_buttons(root):
        yield control, ["Enter"]


def action_buttons(root):
    """Buttons that change the picture from its first state: not the ones that say what it shows already."""
    idle = {"reset", "gradient-like", "λ = 1", "B³(δ)", "start again"}
    return [button for button in root.get_by_role("button").all() if button.inner_text() not in idle]


def reset(root):
    root.get_by_role("button", name="reset").click()
    root.evaluate(QUIET)
    halt(root)


def test_every_control_moves_picture_and_words_by_mouse(place, name):
    page, root = place
    for control, gesture in mouse(page, root):
        reset(root)
        before, said = shown(root), words(root)
        gesture(control)
        assert changed(page, partial(shown, root), before), control
        assert changed(page, partial(words, root), said), control


def mouse(page, root):
    def slide(control):
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        page.mouse.click(box["x"] + 0.62 * box["width"], box["y"] + box["height"] / 2)

    def choose(control):
        values = control.locator("option:not([disabled])").evaluate_all("all => all.map(o => o.value)")
        control.select_option(next(value for value in values if value != control.input_value()))

    def pull(control):
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 15, y + 15, steps=4)
        page.mouse.up()

    for control in root.locator("input[type=range]:visible").all():
        yield control, slide
    for control in root.locator("select:visible").all():
        if control.locator("option:not([disabled])").count() > 1:
            yield control, choose
    for control in root.locator(".gp-position:visible:not(:has(:checked))").all():
        yield control, lambda control: control.click()
    for control in root.locator("[role=slider]").all():
        yield control, pull
    for control in action_buttons(root):
        yield control, lambda control: control.click()


def test_names_for_a_screen_reader(place, name):
    """Each control has symbol and word, each handle its value in words, each drawing and the whole a label."""
    _, root = place
    tree = root.aria_snapshot()
    assert f'region "{explorers.TITLES[name]}"' in tree
    for kind, length in (("slider", 3), ("combobox", 3), ("(?:img|group)", 20)):
        assert re.search(rf'- {kind} "[^"]{{{length},}}"', tree), kind
        assert not re.search(rf"- {kind}(:|$)", tree, re.MULTILINE), f"a {kind} without a name"
    for handle in root.locator("[role=slider]").all():
        assert handle.get_attribute("aria-valuetext")
        assert float(handle.get_attribute("aria-valuemin")) <= float(handle.get_attribute("aria-valuenow"))
    assert root.locator("[role=status][aria-live=polite]").count() == 1


def test_state_travels_in_the_address(unset, name):
    """Nothing is written at load; what a reader does is; a colleague who opens the address sees the same picture."""
    path = pages_of(name)[0]
    page = unset(path, only=name).page
    root = settled(page, name)
    assert page.evaluate("location.hash") == ""
    for control in root.locator("input[type=range]:visible").all():
        control.focus()
        page.keyboard.press("ArrowLeft")
    root.locator("select:visible").first.select_option(index=2)
    waited(page)
    state = root.evaluate("el => el.gradpress.state()")
    address = page.evaluate("location.hash")
    assert address.startswith(f"#{name}:")
    other = unset(path + address, only=name).page
    twin = settled(other, name)
    assert twin.evaluate("el => el.gradpress.state()") == state
    if "hunt.js" not in explorers.PARTS[name]:  # a hunter's picture also says how far the search has gone
        assert shown(twin) == shown(root)
    reset(twin)
    waited(other)
    assert other.evaluate("location.hash") == ""
    assert twin.evaluate("el => el.gradpress.state()") != state


def test_a_broken_address_shows_the_first_state(bench, name):
    """The module reads the address itself, so that it can be tried without the book."""
    faults = []
    bench.on("pageerror", lambda error: faults.append(str(error)))
    states = []
    for address in ("", f"#{name}:d=abc,c=nothing,x=1_q,unknown=3", f"#{name}:", "#;;:=,", f"#{name}:k"):
        bench.set_content(BLANK)
        bench.evaluate("address => { location.hash = address; }", address)
        bench.evaluate(RUN, [explorers.esm(name), {}, name])
        bench.wait_for_function("document.getElementById('place').gradpress.firstAnswer !== null")
        states.append(bench.evaluate("document.getElementById('place').gradpress.state()"))
        bench.evaluate("window.stop()")
    assert all(state == states[0] for state in states)
    assert faults == []


def test_several_explorers_do_not_clash(unset):
    """On a page with two of them, each one's state has its own part of the address and survives the other's."""
    path = next((p for p in pages_of("adversary") if len(set(explorers_on(p))) > 1), None)
    assert path, "no page has two explorers"
    first, second = explorers_on(path)[:2]
    page = unset(path).page
    for name in (first, second):
        settled(page, name).locator("input[type=range]:visible").first.focus()
        page.keyboard.press("ArrowLeft")
        waited(page)
    address = page.evaluate("location.hash")
    assert f"{first}:" in address
    assert f"{second}:" in address


def explorers_on(path):
    return re.findall(r"^```\{explorer\} ([\w-]+)$", (ROOT / path).with_suffix(".md").read_text("utf-8"), re.MULTILINE)


def test_lives_in_a_file_without_a_server(browser, name):
    context = browser.new_context()
    context.route("**/mathjax/**", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page, faults, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((ROOT / "_build" / "html" / pages_of(name)[0]).as_uri())
    root = settled(page, name)
    assert root.locator("svg").count() >= 2
    assert faults == []
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    context.close()


def test_fits_and_can_be_read_at_any_width(unset, name):
    """No sideways scrolling, no text below 11 px, nothing to hit below 24 px, ink against ground at least 4.5 : 1."""
    seen = unset(pages_of(name)[0], "phone", only=name)
    root = settled(seen.page, name)
    fits(seen.page, root)
    for mode in ("light", "dark"):
        seen.become(mode)
        fits(seen.page, root)
    seen.page.set_viewport_size({"width": 3840, "height": 900})
    root.evaluate(QUIET)
    fits(seen.page, root)


def fits(page, root):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = root.evaluate(
        """el => [...el.querySelectorAll('svg text, .gp-name, .gp-words, button, select, .gp-value')]
          .filter(e => e.checkVisibility() && e.textContent)
          .map(e => parseFloat(getComputedStyle(e).fontSize) * (e.ownerSVGElement
            ? e.ownerSVGElement.getBoundingClientRect().width / e.ownerSVGElement.viewBox.baseVal.width : 1))"""
    )
    assert min(sizes) >= 11
    targets = root.evaluate(
        """el => [...el.querySelectorAll('button, select, input[type=range], .gp-position, [role=slider]')]
          .filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect()).map(b => Math.min(b.width, b.height))"""
    )
    assert min(targets) >= 24
    style = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    assert contrast(*root.locator(".gradpress").evaluate(style)) >= 4.5
    widths = "el => [...el.querySelectorAll('svg[role]')].map(s => s.getBoundingClientRect().width)"
    assert min(root.evaluate(widths)) > 150


def contrast(first, second):
    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


# ---------------------------------------------------------------------------------------------------- the adversary


@pytest.mark.refutes("lem-top-k-dithering", "lem-dithering")
@pytest.mark.parametrize(
    ("claim", "setting", "reached"),
    [
        ("lem-top-k-dithering", {"k": 9, "s": 8}, 1.0602),
        ("lem-top-k-dithering", {"k": 9, "s": 8, "d": 100}, 1.00089),
        ("natural-after-top-k", {"k": 5, "s": 2, "p": "inf", "side": "up"}, (1 + 2**0.5) / 2 / 1.125),
    ],
)
def test_adversary_breaks_the_printed_and_not_the_corrected(browser, claim, setting, reached):
    state = {"claim": claim, **setting}
    printed = hunted(browser, {**state, "version": "printed"})
    corrected = hunted(browser, {**state, "version": "corrected"})
    assert printed["score"] == pytest.approx(reached, rel=1e-4)
    assert printed["alarm"]
    assert "is refuted" in printed["words"]
    assert 0.999 < corrected["score"] <= 1 + 1e-9
    assert not corrected["alarm"]


UNBIASED = ["lem-rand-k", "lem-unbiased-rounding", "lem-natural", "ternary"]
BIASED = ["lem-random-sparsification", "lem-adaptive", "lem-top-k", "lem-biased-rounding", "lem-sign"]
STANDING = [(c, "u") for c in UNBIASED] + [(c, side) for c in BIASED for side in ("b3", "b1", "up", "b2")]


@pytest.mark.refutes(
    "lem-rand-k", "lem-random-sparsification", "lem-adaptive", "lem-top-k", "lem-unbiased-rounding",
    "lem-biased-rounding", "lem-natural", "lem-sign",
)  # fmt: skip
@pytest.mark.parametrize(("claim", "side"), STANDING)
def test_adversary_reaches_what_is_attained_and_goes_no_further(browser, claim, side):
    found = hunted(browser, {"claim": claim, "side": side, "version": "corrected", "k": 3, "s": 2, "b": 4})
    assert 0.999 < found["score"] <= 1 + 1e-9
    assert not found["alarm"]


def hunted(browser, state, name="adversary"):
    """The end of a search: with reduced motion a press on «play» runs it at once and shows the result."""
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm(name), state, None])
    root = page.locator("#place")
    root.get_by_role("button", name="play").click()
    page.wait_for_function("document.querySelector('.gp-words').textContent.includes('After 6000 ')")
    score = root.locator(".gp-score")
    result = {"words": words(root), "alarm": "gp-alarming" in score.get_attribute("class"),
              "score": float(score.inner_text().split(":")[1])}  # fmt: skip
    context.close()
    return result


def test_adversary_moves_by_itself_only_where_motion_is_welcome(unset):
    tried = {}
    for motion in ("no-preference", "reduce"):
        page = unset(pages_of("adversary")[0], reduced_motion=motion).page
        root = page.locator('.gradpress-place[data-place="adversary"]')
        root.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        tried[motion] = int(re.search(r"After (\d+) vectors", words(root))[1])
    assert tried["reduce"] == 1
    assert tried["no-preference"] > 10


# ----------------------------------------------------------------------------------------------------------- memory


@pytest.mark.refutes("lem-virtual-step", "rem-shared-noise", "err-theorem-21")
@pytest.mark.parametrize(
    ("setting", "reached"),
    [
        ({"claim": "lem-virtual-step"}, 4),
        ({"claim": "lem-virtual-step", "N": 9}, 9),
        ({"claim": "regime-equal", "C": 0, "kappa": 1, "delta": 1}, None),
        ({"claim": "regime-growing", "C": 0.5, "kappa": 1, "delta": 1}, None),
    ],
)
def test_memory_adversary_breaks_the_printed_and_not_the_corrected(browser, setting, reached):
    printed = hunted(browser, {**setting, "version": "printed"}, "memory-adversary")
    corrected = hunted(browser, {**setting, "version": "corrected"}, "memory-adversary")
    assert printed["alarm"]
    assert "is refuted" in printed["words"]
    assert printed["score"] > 1.5
    assert reached is None or printed["score"] == pytest.approx(reached, rel=1e-3)
    assert not corrected["alarm"]
    assert corrected["score"] <= 1 + 1e-9
    assert reached is None or corrected["score"] > 0.999


@pytest.mark.refutes("lem-virtual-step", "lem-memory", "thm-second-order", "thm-error-feedback")
@pytest.mark.parametrize(
    ("setting", "least"),
    [
        ({"claim": "lem-virtual-step", "version": "independent"}, 0.999),
        ({"claim": "lem-virtual-step", "version": "independent", "B": 2, "C": 0}, 0.9),
        ({"claim": "lem-memory", "C": 0}, 0.8),
        ({"claim": "lem-memory", "delta": 12, "B": 3}, 0.8),
        ({"claim": "regime-growing", "version": "corrected", "B": 1}, 0.001),
        ({"claim": "regime-equal", "version": "corrected"}, 0.01),
        ({"claim": "thm-second-order", "B": 1, "C": 2}, 0.03),
    ],
)
def test_memory_adversary_does_not_break_what_is_proved(browser, setting, least):
    found = hunted(browser, setting, "memory-adversary")
    assert not found["alarm"]
    assert least < found["score"] <= 1 + 1e-9


def test_memory_runs_as_the_library_does(bench_memory):
    """The gaps of all three methods and the memories, on every problem, from several starts."""
    exact = partial(torch.tensor, dtype=torch.float64)
    methods = {"off": DCGD, "feedback": ErrorFeedback, "ef21": EF21}
    states = ({"seed": 4, "k": 2}, {"problem": "agree", "seed": 3}, {"problem": "disagree", "seed": 8, "eta": -0.9})
    for state in ({}, *states):
        seen = bench_memory(state)
        problem = Quadratic(exact(seen["matrices"]), exact(seen["vectors"]))
        k, eta = state.get("k", 1), 10 ** state.get("eta", -1.3)
        for rule, method in methods.items():
            gaps = exact(seen["found"][rule]["gaps"])
            steps = min(len(gaps) - 1, 120)
            record = simulate(problem, method(TopK(k)), exact(seen["start"]), steps, eta, limit=1e300)
            torch.testing.assert_close(gaps[: steps + 1], record.gap[:, 0], rtol=1e-6, atol=1e-13)
            if rule == "feedback":
                memory = exact(seen["found"][rule]["seen"][steps - 1]["after"])
                torch.testing.assert_close(memory, record.state[0], rtol=1e-6, atol=1e-12)
    assert torch.equal(exact(bench_memory({})["matrices"]), top_1_failure().matrices)


@pytest.fixture
def bench_memory(browser):
    """What the explorer `memory` computes in a state: its problem, its start and its runs."""
    context = browser.new_context(viewport={"width": 800, "height": 900})

    def seen(state):
        page = context.new_page()
        page.set_content(BLANK)
        page.evaluate(RUN, [explorers.esm("memory"), state, None])
        page.wait_for_function("document.getElementById('place').gradpress?.memory")
        return page.evaluate("document.getElementById('place').gradpress.memory")

    yield seen
    context.close()


@pytest.mark.parametrize(
    ("state", "law"),
    [
        ({"law": "uniform"}, Uniform()), ({"law": "laplace"}, Laplace()), ({"law": "normal"}, Normal()),
        ({"law": "normal", "mean": 2}, Normal(2.0, 1.0)), ({"law": "student", "nu": 3}, StudentT(3.0)),
        ({"law": "student", "nu": 2.5}, StudentT(2.5)), ({"law": "pareto", "a": 2.2}, Pareto(2.2)),
    ],
)  # fmt: skip
def test_selection_keeps_what_the_library_says(browser, state, law):
    """The expected share that Top-k keeps, to 1e-7, and the threshold, for few and for many coordinates."""
    page = browser.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm("selection"), {}, None])
    script = """([state, d, k]) => {
      const {makeLaw, keptShare} = window.internals.selection, law = makeLaw(state);
      return [keptShare(law, d, k), law.Q(k / d)];
    }"""
    for d, k in ((10, 1), (10, 9), (1000, 50), (100_000, 3), (100_000, 30_000)):
        share, threshold = page.evaluate(script, [{**explorers.DEFAULTS["selection"], **state}, d, k])
        assert share == pytest.approx(kept_share(d, k, law), rel=1e-7)
        assert threshold == pytest.approx(float(law.quantile(k / d)), rel=1e-7)
    page.close()


# ------------------------------------------------------------------------------------------------------------ speed


@pytest.fixture(scope="module")
def measured():
    """What was measured, kept for the book's status page."""
    rows = []
    yield rows
    table = {
        "title": "Explorers: milliseconds from the start of loading to the first answer, and for one redraw (median)",
        "made": date.today().isoformat(),
        "machine": f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processor cores, headless Chromium",
        "columns": ["explorer", "first answer", "wanted", "redraw", "wanted", "redraws"],
        "rows": rows,
    }
    MEASURED.parent.mkdir(parents=True, exist_ok=True)
    MEASURED.write_text(json.dumps(table, ensure_ascii=False, indent=1), encoding="utf-8")


def test_answers_in_time(unset, name, measured):
    """A slider is moved to and fro 24 times, as a hand would; redraws are timed by the explorer itself.

    The page is whole but for its formulas, which for a reader are set after the first answer.
    """
    page = unset(pages_of(name)[0]).page
    root = settled(page, name)
    first = root.evaluate("el => el.gradpress.firstAnswer")
    root.evaluate("el => { el.gradpress.redraws.length = 0; }")
    slider = root.locator("input[type=range]:visible").first
    slider.focus()
    for step in range(24):
        page.keyboard.press("ArrowRight" if step % 8 < 4 else "ArrowLeft")
        page.wait_for_timeout(30)
    redraws = root.evaluate("el => el.gradpress.redraws")
    assert len(redraws) >= 12
    measured.append([name, f"{first:.0f}", f"{FIRST_ANSWER}", f"{median(redraws):.1f}", f"{REDRAW}", f"{len(redraws)}"])
    assert first <= SLACK * FIRST_ANSWER
    assert median(redraws) <= SLACK * REDRAW
