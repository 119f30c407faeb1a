"""The explorers of the chapter `agents` compute what the library computes, and their adversary finds what it should."""

import numpy as np
import pytest
import torch
from test_explorers import BLANK, RUN, hunted

from gradpress import compressors as ops
from gradpress import explorers
from gradpress.methods import DCGD
from gradpress.problems import Quadratic, top_1_failure, top_k_failure


def told(browser, name, state, key):
    """What an explorer in this state has computed."""
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm(name), state, None])
    page.wait_for_function("document.getElementById('place').gradpress.firstAnswer !== null")
    found = page.evaluate("key => document.getElementById('place').gradpress[key]", key)
    context.close()
    return np.array(found, dtype=float)


def walked(problem, compressor, x, eta, steps):
    x, path = torch.as_tensor(x, dtype=torch.float64), []
    for _ in range(steps + 1):
        path.append(x)
        x = x - DCGD(compressor).update(problem.gradients(x), None, eta)[0]
    return torch.stack(path).numpy()


SENT = {"top-1": ops.TopK(1), "top-2": ops.TopK(2), "scaled-sign": ops.ScaledSign(), "identity": ops.Identity()}


@pytest.mark.refutes("ex-three-agents")
@pytest.mark.parametrize("name", SENT)
def test_paths_in_space_are_the_library_s(browser, name):
    for eta, off in ((0.05, 0.0), (0.1, 0.5)):
        if name == "top-2" and off == 0:
            continue  # ties, which rounding errors break
        found = told(browser, "agents", {"c": name, "eta": eta, "off": off}, "path")
        start = 1 + off * np.array([1.2, -0.9, -0.3])
        known = walked(top_1_failure(), SENT[name], start, eta, 12)
        np.testing.assert_allclose(found[:13], known, rtol=1e-8, atol=1e-12)


@pytest.mark.refutes("cor-dcgd-steps")
def test_random_messages_in_space_bring_the_iterate_to_the_minimum(browser):
    for seed in (1, 2, 3):
        found = told(browser, "agents", {"c": "rand-1", "eta": 0.03, "off": 0.3, "seed": seed}, "path")
        assert np.linalg.norm(found[-1]) < 0.5 * np.linalg.norm(found[0])


@pytest.mark.refutes("ex-many-agents", "err-example-2")
@pytest.mark.parametrize(("d", "k", "excess"), [(5, 2, 0.5), (7, 3, 2.0), (4, 1, 0.1)])
def test_rounds_over_all_subsets_are_the_library_s(browser, d, k, excess):
    state = {"kind": "subsets", "d": d, "k": str(k), "excess": excess, "eta": 0.2}
    b = (d - k + 1) / (d - 2 * k) + excess
    known = walked(top_k_failure(d, k, b=b), ops.TopK(k), np.ones(d), 0.2, 10)[:, 0]
    np.testing.assert_allclose(told(browser, "subsets", state, "sizes"), known, rtol=1e-9)


@pytest.mark.refutes("prop-shifts-fail")
@pytest.mark.parametrize(("kind", "d", "k"), [("shifts", 6, 1), ("shifts", 5, 4), ("signs", 3, 1), ("signs", 8, 1)])
def test_rounds_over_shifts_are_the_library_s(browser, kind, d, k):
    if kind == "signs":
        m = d // 2 + 1
        g, c = np.array([-1.0] * m + [m + 1.0] * (d - m)), ops.ScaledSign()
    else:
        up, down = -(-k // 2), k // 2
        kept = [-1.0] if k == 1 else [1.0] * up + [-(up + 0.2) / down] * down
        g, c = np.array(kept + [0.9] * (d - k)), ops.TopK(k)
    rows = np.array([np.roll(g, j) for j in range(d)])
    rest = np.eye(d) - np.ones((d, d)) / d
    problem = Quadratic(rows[:, :, None] * rows[:, None, :] / g.sum() + rest, np.zeros((d, d)))
    found = told(browser, "subsets", {"kind": kind, "d": d, "k": str(k), "eta": 0.3}, "sizes")
    np.testing.assert_allclose(found, walked(problem, c, np.ones(d), 0.3, 10)[:, 0], rtol=1e-9)


@pytest.mark.refutes("err-dcgd-convexity", "prop-dcgd-any-agents")
def test_adversary_breaks_the_rate_without_convexity_and_not_the_corrected_one(browser):
    printed = hunted(browser, {"claim": "err-dcgd-convexity", "version": "printed"}, "agents-adversary")
    corrected = hunted(browser, {"claim": "err-dcgd-convexity", "version": "corrected"}, "agents-adversary")
    assert printed["score"] > 2.9
    assert printed["alarm"]
    assert 0.9999 < corrected["score"] <= 1 + 1e-9
    assert not corrected["alarm"]


STANDING = [("cor-dcgd-steps", 0.9999), ("thm-dcgd", 0.9), ("thm-diana", 0.9)]


@pytest.mark.refutes("thm-dcgd", "cor-dcgd-steps", "thm-diana")
@pytest.mark.parametrize(("claim", "reached"), STANDING)
@pytest.mark.parametrize("setting", [{}, {"N": 5, "omega": 6, "share": 1, "theta": 2}])
def test_adversary_does_not_break_the_theorems_for_convex_agents(browser, claim, reached, setting):
    found = hunted(browser, {"claim": claim, **setting}, "agents-adversary")
    assert reached < found["score"] <= 1 + 1e-9
    assert not found["alarm"]
