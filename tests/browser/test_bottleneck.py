"""The explorer of the chapter `bottleneck` says the same as the library, at settings from all corners."""

import math
import re

import numpy as np
import pytest
from test_explorers import BLANK, RUN

from gradpress import cost, explorers
from gradpress.cost import Link

UNITS = {"h": 3600, "s": 1, "ms": 1e-3, "µs": 1e-6, "days": 86400}


def settings(count=40):
    random = np.random.default_rng(3)
    for _ in range(count):
        yield {
            "F": round(float(random.choice([1.0, random.uniform(1, 20)])), 2),
            "bits": round(float(10 ** random.uniform(-2, 1.5)), 4),
            "sent": str(random.choice(["gather", "server", "ring"])),
            "dense": str(random.choice(["ring", "halving", "tree", "server"])),
            "N": int(2 ** random.integers(1, 11)),
            "d": float(f"{10 ** random.uniform(3, 11):.4g}"),
            "v": float(f"{10 ** random.uniform(6, 12):.4g}"),
            "lat": float(f"{10 ** random.uniform(-6, -0.7):.4g}"),
            "comp": float(f"{10 ** random.uniform(-4, 2):.4g}"),
        }


def sent_cost(state, bits):
    whole, message, agents = 32 * state["d"], bits * state["d"], state["N"]
    if state["sent"] == "gather":
        return cost.all_gather_cost(message, agents)
    if state["sent"] == "ring":
        return cost.all_reduce_cost(message, agents)
    return cost.server_cost(message, min(agents * message, whole), agents)


def gain(state, bits):
    dense = cost.all_reduce_cost(32 * state["d"], state["N"], state["dense"])
    link = Link(state["v"], state["lat"])
    return cost.gain(dense, sent_cost(state, bits), link, state["comp"], state["F"])


def said(text):
    """The number before «times sooner», or one over that before «times later»."""
    value, when = re.search(r"steps: ([\d.·^−]+) times (sooner|later)", text).groups()
    mantissa, _, exponent = value.partition("·10^")
    value = float(mantissa) * 10.0 ** float(exponent.replace("−", "-") or 0)
    return value if when == "sooner" else 1 / value


@pytest.mark.refutes("prop-speedup", "prop-collectives")
def test_the_picture_says_what_the_library_says(browser):
    """Gain, times and break-even of 40 settings, to the digits that are shown."""
    context = browser.new_context(viewport={"width": 800, "height": 900})
    page = context.new_page()
    seen = set()
    for state in settings():
        page.set_content(BLANK)
        page.evaluate(RUN, [explorers.esm("bottleneck"), state, None])
        page.wait_for_function("document.getElementById('place').gradpress.firstAnswer !== null")
        text = page.locator(".gp-words").inner_text()
        assert said(text) == pytest.approx(gain(state, state["bits"]), rel=6e-3), state
        parts = re.findall(r"([\d.]+) (\S+) computing, ([\d.]+) (\S+) latency, ([\d.·^]+) (\S+) bits", text)
        link, cs = Link(state["v"], state["lat"]), sent_cost(state, state["bits"])
        for number, unit, wanted in ((*parts[1][:2], state["comp"]), (*parts[1][2:4], cs.rounds * link.latency)):
            assert float(number) * UNITS[unit] == pytest.approx(wanted, rel=6e-3), state
        even = re.search(r"Break-even: ([\d.]+) bit", text)
        if even:
            assert gain(state, float(even[1])) == pytest.approx(1, rel=0.02), state
        elif "No message length" in text:
            assert gain(state, 0.01) <= 1, state
        else:
            assert gain(state, 32) >= 1, state
        seen.add(bool(even) + 2 * ("No message length" in text))
        page.evaluate("window.stop()")
    assert len(seen) == 3
    context.close()


def test_the_flag_sets_the_iteration_factor(browser):
    """Moved by keyboard, the flag stays where F makes the break-even, and F never leaves its range."""
    context = browser.new_context(viewport={"width": 800, "height": 900})
    page = context.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm("bottleneck"), {}, None])
    flag = page.get_by_role("slider", name=re.compile("^break-even"))
    flag.focus()
    for key in ["ArrowLeft"] * 5 + ["ArrowRight"] * 40 + ["Home"]:
        page.keyboard.press(key)
        page.wait_for_timeout(40)
        state = page.evaluate("document.getElementById('place').gradpress.state()")
        assert 1 <= state["F"] <= 20
        at = 10 ** float(flag.get_attribute("aria-valuenow"))
        if 0.0101 < at < 31.9 and not math.isclose(state["F"], 20):
            assert gain({**state, "N": int(state["N"])}, at) == pytest.approx(1, rel=0.02)
    context.close()
