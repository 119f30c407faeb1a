"""The explorers of the chapter `dsignsgd` compute what the library does, and their adversary finds what it should."""

from math import inf

import numpy as np
import pytest
import torch
from scipy.stats import binom
from test_explorers import BLANK, RUN, hunted

from gradpress import explorers, formulas, randomness
from gradpress.noise import slope
from gradpress.problems import bowl
from gradpress.sde import DSignSGD
from gradpress.sign_laws import chain_second_moment, expected_sign, sde_second_moment, unit_noise

TAILS = {"1": 1, "2": 2, "3": 3, "4": 4, "inf": inf}


@pytest.fixture(scope="module")
def ask(browser):
    """Calls a function that the explorer `dsign` offers to tests."""
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm("dsign"), {}, None])
    yield lambda name, *given: page.evaluate(
        "([name, given]) => given.map(one => window.internals.dsign[name](...one))", [name, list(given)]
    )
    context.close()


@pytest.mark.refutes("lem-expected-sign")
@pytest.mark.parametrize("tail", TAILS)
def test_expected_signs_and_slopes_are_the_library_s(ask, tail):
    u = np.concatenate([-np.geomspace(1e-6, 1e3, 40), [0.0], np.geomspace(1e-6, 1e3, 40)])
    found = ask("expectedSign", *([tail, float(at)] for at in u))
    np.testing.assert_allclose(found, expected_sign(TAILS[tail], u), rtol=1e-11, atol=1e-15)
    assert ask("slopeOf", [tail]) == [pytest.approx(slope(TAILS[tail]), rel=1e-12)]


@pytest.mark.refutes("prop-dsign-exceeds")
@pytest.mark.parametrize("tail", TAILS)
def test_laws_at_rest_are_the_library_s(ask, tail):
    nu = TAILS[tail]
    for theta in (0.005, 0.1, 1.5):
        assert ask("equationMoment", [tail, theta]) == [pytest.approx(sde_second_moment(nu, theta), rel=1e-4)]
        for offset in (0.0, 0.3):
            known = chain_second_moment(nu, theta, offset=offset)
            assert ask("methodMoment", [tail, theta, offset]) == [pytest.approx(known, rel=1e-8)]


@pytest.mark.parametrize("tail", ["1", "3", "inf"])
def test_steps_are_the_library_s_on_the_same_random_numbers(ask, tail):
    rng = np.random.default_rng(1)
    nu = TAILS[tail]
    for agents, scale, eta in ((1, 0.3, 0.1), (7, 2.0, 0.02), (16, 0.05, 0.5)):
        x, u, z = 3 * rng.standard_normal(60), rng.random(60), rng.standard_normal(60)
        setting = {"eta": eta, "N": agents, "scale": scale, "tail": tail}
        mean = expected_sign(nu, x / scale)
        counts = binom.ppf(u, agents, (1 + mean) / 2)
        known = x - eta * (2 * counts / agents - 1)
        found = ask("signStep", *([float(a), float(b), setting] for a, b in zip(x, u, strict=True)))
        np.testing.assert_allclose(found, known, rtol=1e-12, atol=1e-14)
        noise = type(unit_noise(nu))(scale) if nu == inf else type(unit_noise(nu))(scale, nu)
        equation = DSignSGD(bowl([1.0]), eta, agents, noise)
        field = equation.field(torch.from_numpy(x)[:, None])
        kick = equation.kick(field, torch.from_numpy(z.copy())[:, None], torch.Generator())
        known = torch.from_numpy(x)[:, None] + eta * equation.drift(None, field) + eta / agents**0.5 * kick
        found = ask("equationStep", *([float(a), float(b), setting] for a, b in zip(x, z, strict=True)))
        np.testing.assert_allclose(found, known[:, 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tail", ["1", "2", "4"])
def test_student_numbers_are_the_library_s_on_the_same_uniform_ones(ask, tail, monkeypatch):
    rng = np.random.default_rng(2)
    u, v = torch.from_numpy(rng.random(50)), torch.from_numpy(rng.random(50))
    drawn = iter([u, v])
    monkeypatch.setattr(randomness, "uniform", lambda *given: next(drawn).clone())
    known = randomness.student(TAILS[tail], (50,), torch.empty(0, dtype=torch.float64), torch.Generator())
    found = ask("student", *([tail, float(a), float(b)] for a, b in zip(u, v, strict=True)))
    np.testing.assert_allclose(found, known, rtol=1e-9)


@pytest.mark.refutes("thm-dsign-linear-bound")
def test_the_dashed_curve_is_theorem_4(ask):
    state = explorers.DEFAULTS["dsign"]
    [found] = ask("runAll", [state])
    known = {"B": 1, "sigma": 0.3, "ell": slope(1), "mu": 1, "L": 1, "d": 1, "N": 4, "eta": 0.05, "E_0": 4.5}
    wanted = [float(formulas.dsign_bound(**known, t=0.05 * n)) for n in (0, 1, 20, 100)]
    np.testing.assert_allclose([found["linear"][n] for n in (0, 1, 20, 100)], wanted, rtol=1e-9)
    [found] = ask("runAll", [{**state, "eta": 0.2}])
    for which in ("sign", "equation"):  # 120 runs: the mean at rest is known to about a tenth
        rest = np.square(np.array(found[which][40:])).mean() / 2
        law = chain_second_moment(1, 0.05 / 0.3, 4) if which == "sign" else sde_second_moment(1, 0.05 / 0.3)
        assert rest == pytest.approx(law * 0.3**2 / 2, rel=0.25)


FALLS = [
    ("stationary", "1", 1.01), ("stationary", "4", 1.0001), ("method", "1", 1.05), ("method", "inf", 1.02),
    ("transient", "1", 10), ("transient", "inf", 10),
]  # fmt: skip
STANDS = [("stationary", "1", 0.9), ("stationary", "inf", 0.8), ("method", "inf", 0.99), ("transient", "1", 0.8)]


@pytest.mark.refutes("err-dsign-bound", "prop-dsign-exceeds")
@pytest.mark.parametrize(("claim", "tail", "least"), FALLS)
def test_adversary_breaks_theorem_4_read_as_a_bound(browser, claim, tail, least):
    found = hunted(browser, {"claim": claim, "nu": tail, "version": "printed"}, "dsign-adversary")
    assert found["score"] > least
    assert found["alarm"]
    assert "is refuted" in found["words"]


@pytest.mark.refutes("thm-dsign-global", "prop-dsign-exceeds", "prop-phases")
@pytest.mark.parametrize(("claim", "tail", "reached"), STANDS)
def test_adversary_does_not_break_what_holds(browser, claim, tail, reached):
    found = hunted(browser, {"claim": claim, "nu": tail, "version": "corrected"}, "dsign-adversary")
    assert reached < found["score"] <= 1 + 1e-9
    assert not found["alarm"]


def test_under_gaussian_noise_the_equation_obeys_the_floor(browser):
    found = hunted(browser, {"claim": "stationary", "nu": "inf", "version": "printed"}, "dsign-adversary")
    assert 0.99 < found["score"] <= 1
    assert not found["alarm"]
