"""The statements of the chapter `descent`, each tried where it would fail if it were false.

Operators are given by their whole law (finitely many outcomes with probabilities) wherever that is possible, so that
expectations are exact sums over all outcomes of all steps. The few statistical tests have fixed seeds and state their
error. Inequalities are tried on many instances, and every one of them also where it is an equality: a constant that is
a little too good fails there.
"""

import json
import math
import re
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

from gradpress import compressors as ops
from gradpress import formulas
from gradpress.classes import B1, B2, B3
from gradpress.formulas import exact
from gradpress.guarantees import GUARANTEES
from gradpress.methods import DCGD
from gradpress.problems import Logistic, Quadratic, SineValley
from gradpress.simulate import simulate

SLACK = 1e-9
CHAPTER = Path(__file__).parents[2] / "chapters" / "descent"


@cache
def compiled(name):
    formula = formulas.ALL[name]
    return formula.function(), [symbol.name for symbol in formula.symbols]


def number(name, **values):
    """A formula of the library as a float; the values that it does not take are left aside."""
    function, names = compiled(name)
    return float(function(*(float(values[key]) for key in names)))


# -------------------------------------------------------------------------------------------- functions and operators


class Smooth:
    """A function with its gradient, L, μ (0 where PL fails) and infimum, on arrays (…, d)."""

    def __init__(self, loss, gradient, smoothness, pl, least=0.0):
        self.loss, self.gradient, self.smoothness, self.pl, self.least = loss, gradient, smoothness, pl, least


def quadratic(matrix):
    values = np.linalg.eigvalsh(matrix)
    return Smooth(
        lambda x: np.einsum("...i,ij,...j->...", x, matrix, x) / 2, lambda x: x @ matrix, values[-1], values[0]
    )


def random_quadratic(rng, d):
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return quadratic(turn.T @ np.diag(10 ** rng.uniform(-2, 1, d)) @ turn)


VALLEY = Smooth(
    lambda x: (x**2 + 3 * np.sin(x) ** 2).sum(-1), lambda x: 2 * x + 3 * np.sin(2 * x), 8.0, SineValley().convexity
)
WAVES = Smooth(lambda x: (1 - np.cos(x)).sum(-1), np.sin, 1.0, 0.0)  # neither convex nor PL
HUBER = Smooth(
    lambda x: np.where(np.abs(x) < 1, x**2 / 2, np.abs(x) - 0.5).sum(-1), lambda x: np.clip(x, -1, 1), 1.0, 0.0
)


def some_functions(rng, d):
    return [random_quadratic(rng, d), quadratic(2.5 * np.eye(d)), VALLEY, WAVES, HUBER]


def random_law(rng, g):
    """Outcomes (n, d) of C(g) and their probabilities: near g, along g, or anywhere."""
    n = rng.integers(1, 5)
    outcomes = rng.uniform(0, 2, (n, 1)) * g + rng.choice([0, 0.3, 1]) * rng.standard_normal((n, len(g)))
    return outcomes, rng.dirichlet(np.ones(n))


def at_point(a, c, g):
    """The law on the point (a, c) of the plane: prop-plane-realised."""
    spread = np.sqrt(max(c - a * a, 0))
    return np.array([(a + spread) * g, (a - spread) * g]), np.array([0.5, 0.5])


def moments(g, outcomes, p):
    return (p @ outcomes) @ g / (g @ g), p @ np.square(outcomes).sum(1) / (g @ g)


def expected(f, x, eta, outcomes, p):
    """E f(x − ηC(g)), exactly."""
    return p @ f.loss(x - eta * outcomes)


def instances(seed, count=300):
    """(f, x, g, outcomes, p) with g ≠ 0, over functions, dimensions and operators."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        d = rng.integers(1, 5)
        f = some_functions(rng, d)[rng.integers(5)]
        x = 3 * rng.standard_normal(d)
        g = f.gradient(x)
        if g @ g > 1e-6:
            yield f, x, g, *random_law(rng, g)


def gap_after(f, x, eta, law, steps):
    """E f(x^n) − f* for n = 0, …, steps, over every sequence of outcomes of the operator `law`(g)."""
    states, gaps = [(x, 1.0)], [f.loss(x) - f.least]
    for _ in range(steps):
        states = [(y - eta * c, w * q) for y, w in states for c, q in zip(*law(f.gradient(y)), strict=True)]
        gaps.append(sum(w * (f.loss(y) - f.least) for y, w in states))
    return np.array(gaps)


# ------------------------------------------------------------------------------------------------------------ one step


@pytest.mark.refutes("def-cgd")
def test_the_method_is_the_definition():
    f = Quadratic.diagonal([[1.0, 3.0]], [[0.0, 0.0]])
    x = torch.tensor([2.0, -1.0], dtype=torch.float64)
    record = simulate(f, DCGD(ops.TopK(1)), x, 2, 0.1)
    first = x - 0.1 * torch.tensor([0.0, -3.0])  # the larger component of ∇f = (2, −3)
    second = first - 0.1 * torch.tensor([0.0, -2.1])  # ∇f = (2, −2.1)
    torch.testing.assert_close(record.final[0], second)
    assert record.gap[:, 0].tolist() == pytest.approx([float(f.loss(y)) for y in (x, first, second)])


@pytest.mark.refutes("def-cgd")
def test_draws_of_different_steps_are_independent():
    """10 000 runs of two steps on a nearly flat f: which coordinate is kept does not tell the next one; 4 sigma."""
    runs = 10_000
    f = Quadratic.diagonal([[1e-9, 1e-9]], [[0.0, 0.0]])
    generator = torch.Generator().manual_seed(1)
    kept = []
    x = torch.ones(runs, 2, dtype=torch.float64)
    for _ in range(2):
        after = simulate(f, DCGD(ops.RandK(1)), x, 1, 1.0, runs=runs, generator=generator).final
        kept.append((after[:, 0] != x[:, 0]).double())
        x = after
    joint = float((kept[0] * kept[1]).mean())
    assert abs(joint - 0.25) < 4 * math.sqrt(0.25 * 0.75 / runs)


@pytest.mark.refutes("prop-one-step")
def test_one_step_lowers_every_smooth_function_by_what_the_moments_say():
    rng = np.random.default_rng(11)
    for f, x, g, outcomes, p in instances(1):
        m1, m2 = moments(g, outcomes, p)
        for eta in rng.uniform(0, 3, 4) / f.smoothness:
            gain = number("cgd_gain", m_1=m1, m_2=m2, eta=eta, L=f.smoothness) * (g @ g)
            assert expected(f, x, eta, outcomes, p) <= f.loss(x) - gain + SLACK * (1 + g @ g)


@pytest.mark.refutes("prop-one-step")
def test_one_step_is_an_equality_where_all_curvatures_are_equal():
    rng = np.random.default_rng(2)
    for _ in range(100):
        f, x = quadratic(2.5 * np.eye(3)), rng.standard_normal(3)
        g = f.gradient(x)
        outcomes, p = random_law(rng, g)
        m1, m2 = moments(g, outcomes, p)
        eta = rng.uniform(0, 1)
        gain = number("cgd_gain", m_1=m1, m_2=m2, eta=eta, L=2.5) * (g @ g)
        assert expected(f, x, eta, outcomes, p) == pytest.approx(f.loss(x) - gain, abs=1e-9)


@pytest.mark.refutes("prop-one-step")
def test_the_contraction_constant_of_the_scaled_operator_is_the_guarantee():
    """Part 2, with the smallest δ' that the law has at g, and part 3: no step size gives a lower bound."""
    etas = np.linspace(0.01, 3, 300)
    for f, x, g, outcomes, p in instances(3):
        m1, m2 = moments(g, outcomes, p)
        lam = 0.7
        kept = 1 - p @ np.square(lam * outcomes - g).sum(1) / (g @ g)  # 1/δ' from the definition of B³
        after = expected(f, x, lam / f.smoothness, outcomes, p)
        assert after <= f.loss(x) - kept / (2 * f.smoothness) * (g @ g) + SLACK * (1 + g @ g)
        if kept >= 0 and f.pl > 0:
            assert after - f.least <= (1 - kept * f.pl / f.smoothness) * (f.loss(x) - f.least) + SLACK * (1 + g @ g)
        if m1 > 0:
            best = m1**2 / (2 * m2 * f.smoothness)
            gains = [number("cgd_gain", m_1=m1, m_2=m2, eta=e, L=f.smoothness) for e in etas / f.smoothness]
            assert max(gains) <= best * (1 + 1e-12)
            at = number("cgd_gain", m_1=m1, m_2=m2, eta=m1 / (f.smoothness * m2), L=f.smoothness)
            assert at == pytest.approx(best)


@pytest.mark.refutes("rem-step-is-scaling")
@pytest.mark.parametrize("op", [ops.RandK(2), ops.TopK(1), ops.NaturalCompression()])
def test_scaling_the_operator_and_dividing_the_step_changes_nothing(op):
    f = Quadratic.diagonal([[0.3, 1.0, 2.0]], [[0.0, 1.0, 0.0]])
    start = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    one, other = (
        simulate(f, DCGD(c), start, 20, eta, runs=5, generator=torch.Generator().manual_seed(4)).final
        for c, eta in ((op, 0.1), (ops.Scaled(op, 4.0), 0.025))
    )
    torch.testing.assert_close(one, other)


@pytest.mark.refutes("rem-step-is-scaling", "err-lemma-22", "err-theorem-18")
def test_the_corrected_lines_pass_the_test_of_scaling_and_the_printed_ones_fail_it():
    lam, alpha, beta, gamma, eta = sp.symbols("lam alpha beta gamma eta", positive=True)
    changes = {alpha: lam**2 * alpha, beta: lam * beta, gamma: lam * gamma, eta: eta / lam}

    def moved(name):
        expression = formulas.ALL[name].expression
        return sp.simplify(expression.subs(changes, simultaneous=True) - expression)

    for name in ("cgd_b1_gain", "cgd_b2_gain", "cgd_b1_factor", "cgd_b2_factor"):
        assert moved(name) == 0, name
    assert moved("cgd_b1_gain_printed") != 0
    assert "mu" not in {symbol.name for symbol in formulas.cgd_b2_factor_printed.symbols}


@pytest.mark.refutes("prop-best-step")
def test_the_best_constant_step_of_a_cloud():
    """Brute force over step sizes on the cloud itself, against the largest m₂/m₁² over mixtures of two points.

    On a segment m₁²/m₂ is stationary at one share, found from its derivative.
    """
    rng = np.random.default_rng(5)
    for _ in range(200):
        n = rng.integers(1, 5)
        m1 = rng.uniform(0.1, 2, n)
        m2 = m1**2 * (1 + rng.exponential(1, n) * rng.integers(0, 2, n))
        delta, best = max(mixed(m1, m2, i, j) for i in range(n) for j in range(n))
        lams = np.append(np.linspace(0.001, 3 * best, 2000), best)[:, None]
        worst = (2 * lams * m1 - lams**2 * m2).min(1)  # 1/δ' of each step size, L = 1
        assert worst.max() <= (1 / delta) * (1 + 1e-9)  # no step size is better
        assert worst[-1] == pytest.approx(1 / delta, rel=1e-9)  # and η* is as good


def mixed(m1, m2, i, j):
    """(m₂/m₁², m₁/m₂) at the point between points i and j where the first is largest."""
    a, da, c, dc = m1[i], m1[j] - m1[i], m2[i], m2[j] - m2[i]
    inner = np.clip((a * dc - 2 * da * c) / (da * dc), 0, 1) if da * dc != 0 else 0
    return max(((c + t * dc) / (a + t * da) ** 2, (a + t * da) / (c + t * dc)) for t in (0, 1, inner))


# ---------------------------------------------------------------------------------------------------- the three lemmas


def tight(g, outcomes, p):
    """The constants that the law has at g: α = m₂, β = m₂/m₁, γ = m₁, δ = 1/(2m₁ − m₂)."""
    m1, m2 = moments(g, outcomes, p)
    return {"alpha": m2, "beta": m2 / m1 if m1 > 0 else None, "gamma": m1, "kept": 2 * m1 - m2}


LEMMAS = {"b1": ("alpha", "beta"), "b2": ("gamma", "beta")}


@pytest.mark.refutes("lem-descent-b1", "lem-descent-b2", "thm-cgd-b1", "thm-cgd-b2")
@pytest.mark.parametrize("kind", LEMMAS)
def test_first_and_second_class_on_every_function(kind):
    """Lemmas 22, 23 and Theorems 17, 18, with tight constants and with looser ones, over the whole range of steps."""
    rng = np.random.default_rng(6)
    tried = 0
    for f, x, g, outcomes, p in instances(7, 500):
        at = tight(g, outcomes, p)
        if at["beta"] is None:
            continue
        for slack in (1, rng.uniform(0.5, 1)):
            values = {"alpha": slack * at["alpha"], "gamma": slack * at["gamma"], "beta": at["beta"] / slack}
            most = number(f"cgd_{kind}_step", beta=values["beta"], L=f.smoothness)
            for eta in most * np.array([0.01, rng.uniform(), 1]):
                values |= {"eta": eta, "L": f.smoothness, "mu": f.pl}
                after, room = expected(f, x, eta, outcomes, p), SLACK * (1 + g @ g)
                assert after <= f.loss(x) - number(f"cgd_{kind}_gain", **values) * (g @ g) + room
                if f.pl > 0:
                    bound = number(f"cgd_{kind}_factor", **values) * (f.loss(x) - f.least)
                    assert after - f.least <= bound + room
                tried += 1
    assert tried > 1000


@pytest.mark.refutes("lem-descent-b3", "thm-cgd-b3", "prop-b3-long-steps")
def test_third_class_on_every_function():
    """Lemma 24, Theorem 19, and this book's bound for every step size."""
    rng = np.random.default_rng(8)
    tried = 0
    for f, x, g, outcomes, p in instances(9, 800):
        kept = tight(g, outcomes, p)["kept"]
        if kept <= 1e-3:
            continue
        values = {"delta": max(1, 1 / (rng.uniform(0.7, 1) * kept)), "L": f.smoothness, "mu": f.pl}
        furthest = number("cgd_b3_step_long", **values)
        room = SLACK * (1 + g @ g)
        for eta in (rng.uniform() / f.smoothness, 1 / f.smoothness, rng.uniform() * furthest, 0.999 * furthest):
            after = expected(f, x, eta, outcomes, p)
            long = number("cgd_b3_gain_long", eta=eta, **values)
            assert long >= -1e-12
            assert after <= f.loss(x) - long * (g @ g) + room
            if eta <= 1 / f.smoothness:
                short = number("cgd_b3_gain", eta=eta, **values)
                assert short <= long + 1e-12
                assert after <= f.loss(x) - short * (g @ g) + room
            if f.pl > 0:
                factor = number("cgd_b3_factor_long", eta=eta, **values)
                assert after - f.least <= factor * (f.loss(x) - f.least) + room
            tried += 1
    assert tried > 1000


@pytest.mark.refutes("lem-descent-b1", "lem-descent-b2", "lem-descent-b3", "prop-cgd-sharp")
def test_the_lemmas_are_equalities_at_the_corners():
    rng = np.random.default_rng(10)
    f = quadratic(np.eye(2))
    for _ in range(200):
        beta = rng.uniform(0.3, 2.5)
        alpha, gamma, delta = rng.uniform(0.05, beta**2), rng.uniform(0.05, beta), 1 + rng.exponential(3)
        low = number("b3_low_corner", delta=delta)
        x = rng.standard_normal(2)
        eta = rng.uniform(0, 2 / beta)
        for name, point, step in (
            ("cgd_b1_gain", (alpha / beta, alpha), eta),
            ("cgd_b2_gain", (gamma, gamma * beta), eta),
            ("cgd_b3_gain", (low, low**2), 1.0),
        ):
            gain = number(name, alpha=alpha, beta=beta, gamma=gamma, delta=delta, eta=step, L=1)
            after = expected(f, x, step, *at_point(*point, x))
            assert after == pytest.approx(f.loss(x) - gain * (x @ x), abs=1e-9)


@pytest.mark.refutes("lem-descent-b1", "lem-descent-b2", "lem-descent-b3")
def test_beyond_the_ranges_a_step_may_go_up():
    """The largest steps of the first two lemmas are the right ones: a little beyond, the corner operator climbs."""
    f, x = quadratic(np.eye(1)), np.ones(1)
    for beta, gamma in ((2.0, 0.5), (1.0, 0.2)):
        step = 1.01 * number("cgd_b2_step", beta=beta, L=1)
        assert expected(f, x, step, *at_point(gamma, gamma * beta, x)) > f.loss(x)
    for delta in (1.125, 4.0):
        high, step = number("b3_high_corner", delta=delta), 1.01 * number("cgd_b3_step_long", delta=delta, L=1)
        assert expected(f, x, step, *at_point(high, high**2, x)) > f.loss(x)


@pytest.mark.refutes("err-lemma-22")
def test_lemma_22_as_printed_is_refuted_and_as_corrected_is_met():
    f, x = quadratic(np.eye(1)), np.ones(1)
    values = {"alpha": 4, "beta": 2, "eta": 0.01, "L": 1}
    after = expected(f, x, 0.01, np.array([[2.0]]), np.ones(1))
    assert after == pytest.approx(0.4802)
    assert 0.5 - number("cgd_b1_gain_printed", **values) == pytest.approx(0.4604)
    assert 0.5 - number("cgd_b1_gain", **values) == pytest.approx(after)
    for beta in (0.5, 1.0):  # where it is weaker, and true
        weak = number("cgd_b1_gain_printed", alpha=beta**2, beta=beta, eta=0.1, L=1)
        assert weak <= number("cgd_b1_gain", alpha=beta**2, beta=beta, eta=0.1, L=1)


# -------------------------------------------------------------------------------------------------- the three theorems


CASES = {  # the law of an operator at g, with its constants
    "thm-cgd-b1": (lambda g: at_point(0.5, 1, g), {"alpha": 1, "beta": 2}),
    "thm-cgd-b2": (lambda g: (2 * np.eye(len(g)) * g, np.full(len(g), 1 / len(g))), {"gamma": 1, "beta": 2}),  # Rand-1
    "thm-cgd-b3": (lambda g: (np.eye(len(g)) * g, np.full(len(g), 1 / len(g))), {"delta": 2}),
}


@pytest.mark.refutes("thm-cgd-b1", "thm-cgd-b2", "thm-cgd-b3")
@pytest.mark.parametrize("label", CASES)
def test_the_theorems_over_all_outcomes_of_five_steps(label):
    law, constants = CASES[label]
    theorem, rng = GUARANTEES[label], np.random.default_rng(12)
    for _ in range(8):
        f = random_quadratic(rng, 2)
        values = {**constants, "L": f.smoothness, "mu": f.pl}
        for share in (0.1, 0.5, 1.0):
            eta = share * number(theorem.step.name, **values)
            factor = number(theorem.rate.name, eta=eta, **values)
            gaps = gap_after(f, rng.standard_normal(2), eta, law, 5)
            assert (gaps[1:] <= factor * gaps[:-1] * (1 + SLACK)).all()
            assert factor >= 0


@pytest.mark.refutes("thm-cgd-b1", "thm-cgd-b2", "thm-cgd-b3")
@pytest.mark.parametrize("label", CASES)
def test_the_theorems_need_no_convexity(label):
    """x² + 3 sin²x: every start on a grid, every outcome of four steps."""
    law, constants = CASES[label]
    points = {"thm-cgd-b2": (1, 2), "thm-cgd-b3": (0.5, 0.5)}  # in one dimension Rand-1 is the identity
    if label in points:
        law = partial(at_point, *points[label])
    theorem, values = GUARANTEES[label], {**constants, "L": 8, "mu": VALLEY.pl}
    eta = 0.5 * number(theorem.step.name, **values)
    factor = number(theorem.rate.name, eta=eta, **values)
    for start in np.linspace(-9, 9, 61):
        gaps = gap_after(VALLEY, np.array([start]), eta, law, 4)
        assert (gaps[1:] <= factor * gaps[:-1] * (1 + SLACK) + 1e-12).all()


@pytest.mark.refutes("thm-cgd-b3")
def test_a_logistic_loss_with_top_k_keeps_the_promise():
    rng = np.random.default_rng(13)
    f = Logistic(rng.standard_normal((40, 6)), rng.choice([-1.0, 1.0], 40), regularisation=0.05)
    start = torch.from_numpy(3 * rng.standard_normal(6))
    record = simulate(f, DCGD(ops.TopK(2)), start, 200, 1 / f.smoothness, check="thm-cgd-b3")
    factor = GUARANTEES["thm-cgd-b3"].factor(f, ops.TopK(2), 1 / f.smoothness)
    assert factor == pytest.approx(1 - f.convexity / f.smoothness / 3)
    assert (record.gap[1:] <= factor * record.gap[:-1] + 1e-14).all()


@pytest.mark.refutes("prop-cgd-sharp", "thm-cgd-b1", "thm-cgd-b2", "thm-cgd-b3")
def test_the_factors_are_attained_for_every_number_of_steps():
    f, rng = quadratic(3.0 * np.eye(1)), np.random.default_rng(14)
    for _ in range(20):
        beta = rng.uniform(0.3, 2.5)
        values = {"beta": beta, "alpha": rng.uniform(0.05, beta**2), "gamma": rng.uniform(0.05, beta),
                  "delta": 1 + rng.exponential(3), "L": 3, "mu": 3}  # fmt: skip
        low = number("b3_low_corner", delta=values["delta"])
        points = {"b1": (values["alpha"] / beta, values["alpha"]), "b2": (values["gamma"], values["gamma"] * beta),
                  "b3": (low, low**2)}  # fmt: skip
        for kind, point in points.items():
            eta = 1 / 3 if kind == "b3" else rng.uniform(0, 2 / (3 * beta))
            factor = number(f"cgd_{kind}_factor", eta=eta, **values)
            gaps = gap_after(f, np.ones(1), eta, lambda g, point=point: at_point(*point, g), 6)
            np.testing.assert_allclose(gaps, gaps[0] * factor ** np.arange(7), rtol=1e-8, atol=1e-12)


@pytest.mark.refutes("prop-cgd-sharp")
def test_one_step_from_the_flat_direction_is_nearly_the_bound():
    rng = np.random.default_rng(15)
    for _ in range(100):
        mu, smooth = 10 ** rng.uniform(-3, 0), 1.0
        f, x = quadratic(np.diag([mu, smooth])), np.array([1.0, 0.0])
        g, m1 = f.gradient(x), rng.uniform(0.05, 1.5)
        m2 = m1**2 * (1 + rng.exponential(5))
        across = np.sqrt(m2 - m1**2) * np.array([-g[1], g[0]])
        outcomes = np.array([m1 * g + across, m1 * g - across])
        assert moments(g, outcomes, np.full(2, 0.5)) == pytest.approx((m1, m2))
        eta = rng.uniform(0, 2)
        ratio = expected(f, x, eta, outcomes, np.full(2, 0.5)) / f.loss(x)
        bound = 1 - eta * mu * (2 * m1 - eta * m2)
        assert ratio == pytest.approx(bound - eta**2 * mu * (1 - mu) * m1**2, abs=1e-9)
        best = m1 / m2
        share = 1 - expected(f, x, best, outcomes, np.full(2, 0.5)) / f.loss(x)
        assert share == pytest.approx(mu * m1**2 / m2 * (1 + (1 - mu) * m1**2 / m2), rel=1e-6)


@pytest.mark.refutes("err-theorem-18")
def test_theorem_18_as_printed_is_refuted_and_as_corrected_holds():
    f, x = quadratic(np.diag([0.1, 1.0])), np.array([1.0, 0.0])
    values = {"gamma": 1, "beta": 1, "eta": 1, "L": 1, "mu": 0.1}
    ratio = float(f.loss(x - f.gradient(x)) / f.loss(x))
    assert ratio == pytest.approx(0.81)
    assert number("cgd_b2_factor_printed", **values) == pytest.approx(0)
    assert 1 - 1 * 1 * (2 - 1 * 1 * 1) == 0  # the other way of closing the bracket, 1 − γη(2 − ηβL), has no μ either
    assert number("cgd_b2_factor", **values) == pytest.approx(0.9)


@pytest.mark.refutes("err-theorem-19")
def test_theorem_19_as_printed_is_refuted_and_as_corrected_holds():
    f = quadratic(np.eye(1))
    gaps = gap_after(f, np.ones(1), 1.0, lambda g: (0.5 * g[None], np.ones(1)), 5)
    factor = number("cgd_b3_factor", delta=4 / 3, eta=1, mu=1)
    assert B3(exact(4) / 3).contains(0.5, 0.25, tolerance=1e-12)
    np.testing.assert_allclose(gaps[1:], factor * gaps[:-1])
    assert all(gaps[n] > factor**n * gaps[n - 1] for n in range(2, 6))  # printed: false from the second step on
    np.testing.assert_allclose(gaps, factor ** np.arange(6) * gaps[0])


# -------------------------------------------------------------------------------------- iterations, and what they cost


@pytest.mark.refutes("prop-complexity")
def test_the_number_of_iterations_is_exact_and_the_formula_near():
    rng = np.random.default_rng(16)
    for _ in range(300):
        factor, kappa, epsilon = 10 ** rng.uniform(0, 2), 10 ** rng.uniform(0.01, 2), 10 ** rng.uniform(-8, -0.1)
        count, left = int(number("cgd_iterations", F=factor, kappa=kappa, epsilon=epsilon)), 1 - 1 / (factor * kappa)
        assert left**count <= epsilon * (1 + 1e-9)
        assert left ** (count - 1) > epsilon * (1 - 1e-9)
        steps, logarithm = math.log(1 / epsilon) / -math.log(left), math.log(1 / epsilon)
        assert (factor * kappa - 1) * logarithm * (1 - 1e-12) <= steps <= factor * kappa * logarithm * (1 + 1e-12)


@pytest.mark.refutes("prop-complexity")
@pytest.mark.parametrize("kind", ["b1", "b2", "b3"])
def test_the_iteration_factors_are_those_of_the_best_steps(kind):
    alpha, beta, gamma, delta, mu, smooth = sp.symbols("alpha beta gamma delta mu L", positive=True)
    best = {"b1": 1 / (beta * smooth), "b2": 1 / (beta * smooth), "b3": 1 / smooth}[kind]
    factor = formulas.ALL[f"cgd_{kind}_factor"].expression.subs(sp.Symbol("eta", positive=True), best)
    share = sp.simplify(1 - factor)
    assert sp.simplify(share * formulas.ALL[f"{kind}_iterations"].expression - mu / smooth) == 0
    assert {alpha, beta, gamma, delta} >= formulas.ALL[f"{kind}_iterations"].expression.free_symbols


@pytest.mark.refutes("prop-b1-worse")
def test_every_factor_of_the_detours():
    a, b, g = sp.Rational(1, 3), sp.Rational(5, 4), sp.Rational(2, 5)
    first, second = B1(a, b), B2(g, b)
    assert first.iterations == first.to_b2().member.iterations == first.to_b3().member.iterations == b**2 / a
    assert second.to_b3().member.iterations == second.iterations == b / g
    assert second.to_b1().member.iterations == second.iterations * b / g
    for delta in (sp.Integer(1), sp.Rational(9, 8), sp.Integer(10)):
        third = B3(delta)
        assert third.to_b1().member.iterations == 16 * delta * third.iterations
        assert third.to_b2().member.iterations == 4 * third.iterations
        high = formulas.b3_high_corner(delta=delta)
        sharp = third.to_b2_sharp().member
        assert sp.simplify(sharp.iterations - high**2 * delta) == 0
        assert sp.simplify(sharp.to_b1().member.iterations - high**4 * delta**2) == 0


@pytest.mark.refutes("prop-b1-worse")
def test_the_loss_in_the_first_class_is_real():
    """An operator that has the constants of B¹(m₋², m₊), and no better ones, does need b² = m₊⁴δ² times κ ln(1/ε)."""
    delta = 10.0
    low, high = number("b3_low_corner", delta=delta), number("b3_high_corner", delta=delta)
    f, eta = quadratic(np.eye(1)), 1 / high
    gaps = gap_after(f, np.ones(1), eta, lambda g: at_point(low**2 / high, low**2, g), 3)
    np.testing.assert_allclose(gaps[1:] / gaps[:-1], 1 - 1 / (high**4 * delta**2), rtol=1e-9)


# -------------------------------------------------------------------------------------------------------- longer steps


@pytest.mark.refutes("prop-b3-long-steps")
def test_the_third_class_at_every_step_size():
    """The curve is the least of 2λm₁ − λ²m₂ over a fine grid of the lens, attained by mx; its top is at λ = 1."""
    for delta in (1.0, 1.125, 2.0, 4.0, 50.0):
        low, high = number("b3_low_corner", delta=delta), number("b3_high_corner", delta=delta)
        m1 = np.linspace(low, high, 401)[:, None]
        m2 = m1**2 + np.linspace(0, 1, 101) * (2 * m1 - 1 / delta - m1**2)
        lams = np.linspace(0, 2.1 / high, 64)
        curve = np.array([2 * number("cgd_b3_gain_long", eta=lam, L=1, delta=delta) for lam in lams])
        least = np.array([(2 * lam * m1 - lam**2 * m2).min() for lam in lams])
        np.testing.assert_allclose(curve, least, atol=1e-9)
        corner = np.where(lams <= 1, low, high)
        np.testing.assert_allclose(1 - curve, (1 - lams * corner) ** 2, atol=1e-9)
        furthest = number("cgd_b3_step_long", delta=delta, L=1)
        assert (curve[(lams > 0) & (lams < furthest - 1e-9)] > 0).all()
        assert (curve[lams > furthest + 1e-9] < 0).all()
        assert curve.max() <= 2 * number("cgd_b3_gain_long", eta=1, L=1, delta=delta) + 1e-12
        assert 2 * number("cgd_b3_gain_long", eta=1, L=1, delta=delta) == pytest.approx(1 / delta)
        assert furthest >= 1


@pytest.mark.refutes("prop-b3-long-steps")
def test_longer_steps_are_attained_in_every_step():
    f = quadratic(2.0 * np.eye(1))
    for delta, lam in ((4.0, 0.4), (4.0, 1.05), (1.125, 1.4)):
        m = number("b3_low_corner" if lam <= 1 else "b3_high_corner", delta=delta)
        gaps = gap_after(f, np.ones(1), lam / 2, lambda g, m=m: (m * g[None], np.ones(1)), 5)
        factor = number("cgd_b3_factor_long", delta=delta, eta=lam / 2, L=2, mu=2)
        np.testing.assert_allclose(gaps, gaps[0] * factor ** np.arange(6))


# -------------------------------------------------------------------------------------------------------- time-varying


@pytest.mark.refutes("prop-time-varying")
def test_a_schedule_of_compressors():
    """Expectations over all outcomes: step n keeps one of d coordinates with the chance q_n, so δ_n = 1/q_n."""
    rng = np.random.default_rng(17)
    for _ in range(10):
        f, chances = random_quadratic(rng, 2), rng.uniform(0.1, 1, 4)
        states, bound = [(rng.standard_normal(2), 1.0)], 1.0
        first = f.loss(states[0][0])
        for q in chances:
            masks = [np.array(mask) for mask in product((0, 1), repeat=2)]
            keeps = [(mask, np.prod(np.where(mask == 1, q, 1 - q))) for mask in masks]
            states = [(x - mask * f.gradient(x) / f.smoothness, w * p) for x, w in states for mask, p in keeps]
            bound *= 1 - q * f.pl / f.smoothness
            assert sum(w * f.loss(x) for x, w in states) <= bound * first * (1 + SLACK)


@pytest.mark.refutes("prop-time-varying")
def test_step_sizes_that_follow_the_first_two_classes():
    rng = np.random.default_rng(18)
    f, x = quadratic(np.diag([0.2, 1.0])), np.ones(2)
    states, first, bound = [(x, 1.0)], f.loss(x), 1.0
    for _ in range(5):
        beta = rng.uniform(0.5, 2)
        gamma = rng.uniform(0.1, beta)
        step = 1 / (beta * f.smoothness)
        states = [
            (y - step * c, w * p)
            for y, w in states
            for c, p in zip(*at_point(gamma, gamma * beta, f.gradient(y)), strict=True)
        ]
        bound *= 1 - gamma / beta * f.pl / f.smoothness
        assert sum(w * f.loss(y) for y, w in states) <= bound * first * (1 + SLACK)


def run(op, seed, d=6, steps=25):
    """One run on a random quadratic, η = 1/L: gaps over the first one, and 1/δ_n of every step."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    f = Quadratic.diagonal(10 ** rng.uniform(-2, 0, (1, d)), np.zeros((1, d)))
    x = torch.from_numpy(rng.standard_normal((1, d)))
    gaps, shares = [float(f.gap(x))], []
    for _ in range(steps):
        g = f.gradient(x)
        message = op(g, generator)
        shares.append(float(1 - (message - g).square().sum() / g.square().sum()))
        x = x - message / f.smoothness
        gaps.append(float(f.gap(x)))
    return np.array(gaps) / gaps[0], np.array(shares), f.convexity / f.smoothness


@pytest.mark.refutes("prop-time-varying", "err-section-64")
@pytest.mark.parametrize(
    "op", [ops.TopK(1), ops.Scaled(ops.RandK(2), 1 / 3), ops.NaturalCompression(), ops.ScaledSign()]
)
def test_the_product_holds_run_by_run(op):
    for seed in range(25):
        gaps, shares, inverse = run(op, seed)
        assert (shares > -1e-12).all()
        bound = np.concatenate([[1], np.cumprod(1 - shares * inverse)])
        assert (gaps <= bound * (1 + SLACK)).all()


@pytest.mark.refutes("prop-time-varying", "err-section-64")
def test_a_negative_share_needs_the_other_factor():
    printed = corrected = 0
    for seed in range(300):
        gaps, shares, inverse = run(ops.RandK(2), seed, steps=1)
        printed += gaps[1] > 1 - shares[0] * inverse + 1e-12
        corrected += gaps[1] > max(1 - shares[0] * inverse, 1 - shares[0]) + 1e-12
    assert printed > 50  # as printed, with δ < 0
    assert corrected == 0
    for seed in range(20):
        gaps, shares, inverse = run(ops.RandK(2), seed)
        bound = np.concatenate([[1], np.cumprod(np.maximum(1 - shares * inverse, 1 - shares))])
        assert (gaps <= bound * (1 + SLACK)).all()


@pytest.mark.refutes("prop-time-varying")
def test_the_factor_of_a_negative_share_is_attained():
    """Along the steepest direction with C(g) = −cg: f grows by exactly 1 − 1/δ."""
    f, x = quadratic(np.diag([0.1, 1.0])), np.array([0.0, 1.0])
    for c in (0.5, 2.0):
        share = 1 - (1 + c) ** 2
        assert f.loss(x + c * f.gradient(x)) / f.loss(x) == pytest.approx(1 - share)


@pytest.mark.refutes("err-section-64")
def test_the_printed_index_of_section_64_is_refuted():
    f = Quadratic.diagonal([[1.0, 1.0]], [[0.0, 0.0]])
    x, op = torch.ones(2, dtype=torch.float64), ops.TopK(1)
    shares, gaps = [], [float(f.gap(x))]
    for _ in range(2):
        g = f.gradient(x)
        shares.append(float(1 - (op(g) - g).square().sum() / g.square().sum()))
        x = x - op(g)
        gaps.append(float(f.gap(x)))
    assert shares == [0.5, 1.0]
    assert gaps[1] / gaps[0] == 0.5 == 1 - shares[0]  # the corrected product, with equality
    assert gaps[1] / gaps[0] > 1 - shares[1]  # the printed one


# --------------------------------------------------------------------------------------------------------- many steps


@pytest.mark.refutes("prop-own-clock")
def test_every_coordinate_has_its_own_clock():
    """Over all outcomes, for independent coordinates and for exactly one of three kept."""
    h, x, eta = np.array([0.2, 0.7, 1.5]), np.array([1.0, -2.0, 0.5]), 0.6
    f = quadratic(np.diag(h))
    q = 0.35
    masks = np.array(list(product((0, 1), repeat=3)))
    chances = np.prod(np.where(masks == 1, q, 1 - q), 1)
    laws = {q: lambda g: (masks * g, chances), 1 / 3: lambda g: (np.eye(3) * g, np.full(3, 1 / 3))}
    for share, law in laws.items():
        gaps = gap_after(f, x, eta, law, 4)
        formula = [(h / 2 * x**2 * (1 - share * eta * h * (2 - eta * h)) ** n).sum() for n in range(5)]
        np.testing.assert_allclose(gaps, formula, rtol=1e-10)


@pytest.mark.refutes("prop-own-clock")
def test_the_library_s_sparsifiers_follow_the_clock():
    """3000 runs of 30 steps each, the mean gap at four places: eight comparisons, each within 4.5 standard errors."""
    h = torch.linspace(0.1, 1, 8, dtype=torch.float64)
    f, runs = Quadratic.diagonal(h[None], torch.zeros(1, 8)), 3000
    for op in (ops.RandomSparsification(0.25), ops.Scaled(ops.RandK(2), 0.25)):
        generator = torch.Generator().manual_seed(19)
        gap = simulate(f, DCGD(op), torch.ones(8), 30, 1.0, runs=runs, generator=generator).gap
        for n in (1, 5, 15, 30):
            known = float((h / 2 * (1 - 0.25 * h * (2 - h)) ** n).sum())
            assert abs(float(gap[n].mean()) - known) < 4.5 * float(gap[n].std()) / runs**0.5


@pytest.mark.refutes("prop-own-clock")
def test_the_rate_of_the_flat_direction_bounds_the_gap():
    rng = np.random.default_rng(20)
    for _ in range(100):
        h, q = rng.uniform(0.01, 1, 5), rng.uniform(0.05, 1)
        mu, smooth, x = h.min(), h.max(), rng.standard_normal(5)
        u, least = h / smooth, mu / smooth
        n = rng.integers(1, 60)
        left = (h * x**2 * (1 - q * u * (2 - u)) ** n).sum() / (h * x**2).sum()
        rate = (1 - q * least * (2 - least)) ** n
        assert left <= rate * (1 + 1e-12)
        assert rate <= (1 - q * least) ** n  # and Theorem 19 promises less


@pytest.mark.refutes("prop-twice")
def test_no_operator_with_mean_qx_is_much_more_than_twice_as_fast():
    """Exact gaps in turned bases, for sparsification and for noise along g; plain descent attains the bound."""
    rng, q = np.random.default_rng(21), 0.5
    laws = {
        "one of two": lambda g: (np.eye(2) * g, np.full(2, 0.5)),
        "noise along g": lambda g: at_point(q, q**2 + 0.1, g),
        "plain": lambda g: (q * g[None], np.ones(1)),
    }
    for _ in range(15):
        angle, mu = rng.uniform(0, math.pi), 10 ** rng.uniform(-2, 0)
        flat, steep = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
        f = quadratic(mu * np.outer(flat, flat) + np.outer(steep, steep))
        x = rng.standard_normal(2)
        eta = rng.uniform(0, 1)
        bound = mu / 2 * (flat @ x) ** 2 * (1 - eta * q * mu) ** (2 * np.arange(6))
        for law in laws.values():
            assert (gap_after(f, x, eta, law, 5) >= bound * (1 - SLACK)).all()
        plain = gap_after(f, flat, eta, laws["plain"], 5)
        np.testing.assert_allclose(plain, mu / 2 * (1 - eta * q * mu) ** (2 * np.arange(6)))


@pytest.mark.refutes("prop-random-start")
def test_a_random_start_is_easy_at_first():
    u = (np.arange(200_000) + 0.5) / 200_000
    for q in (1.0, 0.3):
        for n in (1, 4, 25):
            left = (u * (1 - q * u * (2 - u)) ** n).sum() / u.sum()
            m = np.arange(n + 1)
            law = np.array([math.comb(n, j) * q**j * (1 - q) ** (n - j) for j in m])
            assert left == pytest.approx((law / ((m + 1) * (2 * m + 1))).sum(), rel=1e-6)
            if q == 1:
                assert left == pytest.approx(1 / ((n + 1) * (2 * n + 1)), rel=1e-6)


@pytest.mark.refutes("prop-random-start")
def test_a_random_start_with_the_library():
    """500 Gaussian starts in 400 dimensions, 10 steps of plain descent: within 4.5 standard errors of the sum."""
    h = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    f = Quadratic.diagonal(h[None], torch.zeros(1, 400))
    start = torch.randn(500, 400, generator=torch.Generator().manual_seed(22), dtype=torch.float64)
    gap = simulate(f, DCGD(ops.Identity()), start, 10, 1 / float(h.max()), runs=500).gap
    known = float((h / 2 * (1 - h / h.max()) ** 20).sum())
    assert abs(float(gap[-1].mean()) - known) < 4.5 * float(gap[-1].std()) / 500**0.5
    assert known / float((h / 2).sum()) == pytest.approx(1 / 231, rel=0.02)


# ----------------------------------------------------------------------------------------------------------- nonconvex


@pytest.mark.refutes("prop-nonconvex")
def test_the_sum_of_squared_gradients_on_functions_without_pl():
    rng = np.random.default_rng(23)
    for f in (WAVES, HUBER):
        for _ in range(20):
            a = rng.uniform(0.1, 1.5)
            c = a**2 + rng.choice([0, 1]) * rng.uniform(0, 1)
            eta = rng.uniform(0.05, 1.9) * a / c
            kept = 2 * eta * a - eta**2 * c  # 1/δ' of η C, L = 1
            states, total = [(rng.uniform(-3, 3, 1), 1.0)], 0.0
            first = f.loss(states[0][0])
            for steps in range(1, 9):
                total += sum(w * (f.gradient(x) @ f.gradient(x)) for x, w in states)
                assert total <= 2 * first / kept * (1 + SLACK)
                states = [
                    (x - eta * out, w * p)
                    for x, w in states
                    for out, p in zip(*at_point(a, c, f.gradient(x)), strict=True)
                ]
                assert total / steps >= 0


@pytest.mark.refutes("prop-nonconvex")
@pytest.mark.parametrize("delta", [1.0, 2.0, 20.0])
def test_the_bound_without_pl_is_nearly_attained(delta):
    low, steps = number("b3_low_corner", delta=delta), 4000
    x = start = 1 + (steps - 1) * low
    least = math.inf
    for _ in range(steps):
        g = float(np.clip(x, -1, 1))
        least, x = min(least, g * g), x - low * g
    bound = 2 * delta * float(HUBER.loss(np.array([start]))) / steps
    assert least == pytest.approx(1)
    assert least <= bound * (1 + 1e-9)
    assert least / bound == pytest.approx((2 - low) / 2, rel=0.02)


# --------------------------------------------------------------------------------------------------- solutions in code


def code_blocks(label):
    text = (CHAPTER / "review.md").read_text("utf-8")
    solution = re.search(rf"````\{{solution\}} {label}\n(.*?)\n````", text, re.DOTALL)[1]
    return re.findall(r"```python\n(.*?)```", solution, re.DOTALL), solution


def test_code_of_the_budget_solution(capsys, monkeypatch):
    (block,), solution = code_blocks("ex-descent-code-budget")
    torch.set_default_dtype(torch.float64)
    try:
        exec(block, {"torch": torch})
    finally:
        torch.set_default_dtype(torch.float32)
    for line in capsys.readouterr().out.splitlines():
        assert line in solution


def test_code_of_the_adversary_solution(capsys):
    (block,), solution = code_blocks("ex-descent-code-adversary")
    lab = (CHAPTER / "lab.ipynb").read_text("utf-8")
    cells = ["".join(cell["source"]) for cell in json.loads(lab)["cells"]]
    (helper,) = (cell for cell in cells if "def descend(" in cell)
    space = {"torch": torch, "math": math, "ops": ops, "Quadratic": Quadratic}
    torch.set_default_dtype(torch.float64)
    try:
        exec(helper, space)
        exec(block, space)
    finally:
        torch.set_default_dtype(torch.float32)
    quotient, mu = re.search(r"quotient ([\d.]+) at mu = ([\d.]+)", capsys.readouterr().out).groups()
    assert f"{float(quotient):.3f}" in solution
    assert f"\\mu={float(mu):g}" in solution
