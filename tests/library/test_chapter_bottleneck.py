"""The statements of the chapter `bottleneck`, each tried where it would fail if it were false.

Inequalities are tried on adversarial instances as well as random ones, and at the instances that attain them. The
statistical tests use fixed seeds; their thresholds come from the standard error, at 5 standard errors each, and there
are fewer than 40 comparisons: a family-wise error below 40 · 6e-7 = 2.4e-5.
"""

import math
from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch

from gradpress import compressors as ops
from gradpress import cost, formulas
from gradpress.cost import Cost, Link
from gradpress.datasets import breast_cancer
from gradpress.methods import DCGD
from gradpress.noise import AffineGaussian
from gradpress.problems import Logistic, Quadratic, SineValley, least_squares, stuck
from gradpress.simulate import simulate

SIGMAS = 5
double = torch.float64


def rng(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed):
    return torch.randn(*shape, dtype=double, generator=rng(seed))


# ------------------------------------------------------------------------------------------------ functions of one line


def two_valleys(c):
    """f, f′ of prop-smooth-readings, without overflow."""
    def value(x):
        size = np.abs(c * x)
        return x**2 / 2 - (size + np.log1p(np.exp(-2 * size)) - np.log(2)) / c

    return value, lambda x: x - np.tanh(c * x)


def pairs(low=-3.0, high=3.0, count=601):
    x = np.linspace(low, high, count)
    return x[:, None], x[None, :]


def upper_excess(value, slope, L, **kwargs):
    """The largest violation of the upper bound over a grid of pairs: at most 0 up to rounding if it holds."""
    x, y = pairs(**kwargs)
    return float((value(y) - value(x) - slope(x) * (y - x) - L / 2 * (y - x) ** 2).max())


def lower_excess(value, slope, L, **kwargs):
    x, y = pairs(**kwargs)
    return float((value(x) + slope(x) * (y - x) - L / 2 * (y - x) ** 2 - value(y)).max())


def turning(slope, low=-3.0, high=3.0, count=60_001):
    x = np.linspace(low, high, count)
    return float(np.abs(np.diff(slope(x)) / np.diff(x)).max())


LINE = {  # value, slope, least L of the upper bound, least Lipschitz constant, convex, infimum
    "parabola": (lambda x: 2 * x**2, lambda x: 4 * x, 4.0, 4.0, True, 0.0),
    "pseudo-Huber": (lambda x: np.sqrt(1 + x**2), lambda x: x / np.sqrt(1 + x**2), 1.0, 1.0, True, 1.0),
    "soft plus": (lambda x: np.logaddexp(0, 4 * x), lambda x: 4 / (1 + np.exp(-4 * x)), 4.0, 4.0, True, 0.0),
    "valley": (lambda x: x**2 + 3 * np.sin(x) ** 2, lambda x: 2 * x + 3 * np.sin(2 * x), 8.0, 8.0, False, 0.0),
    "two valleys": (*two_valleys(20), 1.0, 19.0, False, None),
}


def lowest(name):
    value, *_, infimum = LINE[name]
    bottom = 1.0
    for _ in range(50):  # of the two valleys, where x = tanh(20x)
        bottom = np.tanh(20 * bottom)
    return float(value(bottom)) if infimum is None else infimum


@pytest.mark.refutes("def-smooth")
@pytest.mark.parametrize("name", LINE)
def test_constants_of_smoothness_are_the_least_ones(name):
    """The upper bound holds with the L that is given and with none smaller, and the derivative turns just as fast."""
    value, slope, upper, lipschitz, *_ = LINE[name]
    fine = {"count": 1501}
    assert upper_excess(value, slope, upper, **fine) <= 1e-12
    assert upper_excess(value, slope, 0.97 * upper, **fine) > 0
    assert turning(slope) == pytest.approx(lipschitz, rel=0.01)


@pytest.mark.refutes("def-smooth")
def test_on_quadratics_one_reading_bounds_eigenvalues_above_and_the_other_on_both_sides():
    H = torch.diag(torch.tensor([-7.0, 1.0, 2.0], dtype=double))
    steps = normal(2000, 3, seed=1)
    excess = ((steps @ H) * steps).sum(1) / 2 - 2 / 2 * steps.square().sum(1)
    assert excess.max() <= 0
    ratio = (steps @ H).norm(dim=1) / steps.norm(dim=1)
    assert 6 < ratio.max() <= 7


@pytest.mark.refutes("prop-gradient-gap")
@pytest.mark.parametrize("name", LINE)
def test_gradient_is_bounded_by_the_gap_without_convexity(name):
    value, slope, upper, *_ = LINE[name]
    x = np.linspace(-3, 3, 20_001)
    ratio = slope(x) ** 2 / (2 * upper * np.maximum(value(x) - lowest(name), 1e-300))
    seen = ratio[np.abs(slope(x)) > 1e-6].max()
    assert seen <= 1 + 1e-6
    if name == "parabola":
        assert seen == pytest.approx(1)


@pytest.mark.refutes("prop-smooth-convex")
@pytest.mark.parametrize("name", LINE)
def test_gradients_of_convex_functions_and_only_of_those(name):
    value, slope, upper, _, convex, _ = LINE[name]
    x, y = pairs()
    bregman = value(x) - value(y) - slope(y) * (x - y)
    first = (slope(x) - slope(y)) ** 2 / (2 * upper) - bregman
    second = (slope(x) - slope(y)) ** 2 / upper - (slope(x) - slope(y)) * (x - y)
    assert (max(first.max(), second.max()) <= 1e-9) == convex
    if name == "parabola":
        assert np.abs(first).max() < 1e-12  # equality everywhere


@pytest.mark.refutes("prop-smooth-convex", "prop-gradient-gap")
def test_both_inequalities_on_real_data_and_in_the_steepest_direction():
    f = Logistic(*breast_cancer(), regularisation=0.01, agents=5)
    for scale in (0.01, 0.3, 5.0):
        a, b = f.minimiser + scale * normal(2, 300, 30, seed=2)
        bregman = f.loss(a) - f.loss(b) - (f.gradient(b) * (a - b)).sum(-1)
        assert ((f.gradient(a) - f.gradient(b)).square().sum(-1) <= 2 * f.smoothness * bregman * (1 + 1e-9)).all()
        assert (f.gradient(a).square().sum(-1) <= 2 * f.smoothness * f.gap(a) * (1 + 1e-9)).all()


@pytest.mark.refutes("prop-smooth-readings")
@pytest.mark.parametrize("name", LINE)
def test_lipschitz_is_the_two_sided_bound(name):
    """Two-sided with the Lipschitz constant; with a smaller one, one of the two sides fails."""
    value, slope, _, lipschitz, *_ = LINE[name]
    fine = {"low": -0.5, "high": 0.5, "count": 1201}
    assert max(side(value, slope, lipschitz, **fine) for side in (upper_excess, lower_excess)) <= 1e-12
    assert max(side(value, slope, 0.9 * lipschitz, **fine) for side in (upper_excess, lower_excess)) > 0


@pytest.mark.refutes("prop-smooth-readings")
@pytest.mark.parametrize("c", [2, 5, 50, 1000])
def test_upper_bound_alone_says_nothing_about_ridges(c):
    value, slope = two_valleys(c)
    assert upper_excess(value, slope, 1.0) <= 1e-12
    assert turning(slope, -3 / c, 3 / c) == pytest.approx(c - 1, rel=1e-3)
    assert value(np.linspace(-50, 50, 10_001)).min() >= -0.5


@pytest.mark.refutes("prop-smooth-readings")
def test_convex_functions_with_the_upper_bound_are_smooth():
    for name, (_, slope, upper, _, convex, _) in LINE.items():
        if convex:
            assert turning(slope) <= upper * (1 + 1e-6), name


# ---------------------------------------------------------------------------------------- strong convexity and PL


@pytest.mark.refutes("def-strongly-convex")
def test_strong_convexity_of_quadratics_and_its_consequences():
    """The bowl lies below with μ, the least eigenvalue, and not with more; one minimiser, with quadratic growth."""
    f = Quadratic.diagonal(torch.linspace(0.5, 9, 12, dtype=double)[None], normal(1, 12, seed=3))
    x, y = normal(2, 500, 12, seed=4)
    x[0] = y[0] + torch.eye(12, dtype=double)[0]
    bregman = f.loss(x) - f.loss(y) - (f.gradient(y) * (x - y)).sum(1)
    ratio = bregman / (x - y).square().sum(1) * 2
    assert ratio.min() == pytest.approx(0.5)
    assert (f.gap(x) >= 0.25 * (x - f.minimiser).square().sum(1)).all()


@pytest.mark.refutes("def-pl")
def test_squared_gradient_lies_between_two_multiples_of_the_gap():
    for f, x in (
        (Quadratic.diagonal([[1.0, 4.0, 9.0]], [[1.0, 0.0, 2.0]]), normal(500, 3, seed=5)),
        (SineValley(), torch.linspace(-30, 30, 40_001, dtype=double)[:, None]),
        (Logistic(*breast_cancer(), regularisation=0.05), 3 * normal(200, 30, seed=6)),
    ):
        squared, gap = f.gradient(x).square().sum(-1), f.gap(x)
        assert (2 * f.convexity * gap <= squared * (1 + 1e-9)).all()
        assert (squared <= 2 * f.smoothness * gap * (1 + 1e-9)).all()


@pytest.mark.refutes("prop-strong-implies-pl")
def test_pl_constant_is_that_of_strong_convexity_and_no_larger():
    f = Quadratic.diagonal([[0.3, 5.0]], [[0.0, 0.0]])
    x = torch.tensor([[1.0, 0.0], [1e-6, 1.0], [0.0, 1.0]], dtype=double)
    ratio = f.gradient(x).square().sum(1) / (2 * f.gap(x))
    assert ratio.min() == pytest.approx(0.3)
    more = Quadratic.diagonal([[0.3, 5.0]], [[0.3, -2.0]])
    y = more.minimiser + 10 * normal(2000, 2, seed=7)
    assert (more.gradient(y).square().sum(1) / (2 * more.gap(y))).min() >= 0.3


@pytest.mark.refutes("prop-strong-implies-pl")
def test_least_squares_with_few_rows_is_pl_with_many_minimisers():
    a, y = normal(4, 9, seed=8), normal(4, seed=9)
    f = least_squares(a, y)
    singular = torch.linalg.svdvals(a)
    assert f.convexity == pytest.approx(float(singular[-1] ** 2 / 4))
    kernel = torch.linalg.svd(a).Vh[4:]
    other = f.minimiser + 3 * kernel[0]
    assert f.gap(other) == pytest.approx(0, abs=1e-9)  # a second minimiser: not strongly convex
    x = normal(3000, 9, seed=10)
    assert (f.gradient(x).square().sum(1) / (2 * f.gap(x))).min() >= f.convexity * (1 - 1e-9)


def test_curved_valley_of_the_quiz():
    """½(x₂ − sin x₁)² is 1-PL and not convex near its minimisers."""
    x = 3 * np.random.default_rng(11).standard_normal((5000, 2))
    r = x[:, 1] - np.sin(x[:, 0])
    assert (r**2 * (1 + np.cos(x[:, 0]) ** 2) >= r**2).all()
    x1, r = 1.0, -1e-3
    hessian = np.array([[np.cos(x1) ** 2 + r * np.sin(x1), -np.cos(x1)], [-np.cos(x1), 1]])
    assert np.linalg.eigvalsh(hessian)[0] < 0


@pytest.mark.refutes("exm-valley")
def test_valley_and_its_certificate():
    value, slope, *_ = LINE["valley"]
    x = 0.5 + 2e-5 * np.arange(125_001)
    assert x[-1] >= 3
    margin = (slope(x) - np.sqrt(2 * 0.1755 * value(x))).min()
    assert margin > 10 * 1e-5 + 1e-9  # 10 bounds the derivative of the difference; half a cell is 1e-5
    assert 8 + 2 * math.sqrt(2 * 0.1755) < 10
    assert slope(2.2017) ** 2 / (2 * value(2.2017)) < 0.1756
    assert 2 + 6 * math.cos(1) > 5  # f″ on [0, ½]
    near = np.linspace(1e-6, 0.5, 10_001)
    assert (slope(near) ** 2 / (2 * value(near))).min() >= 5
    far = np.linspace(3, 60, 100_001)
    assert (slope(far) >= far).all()
    assert (value(far) <= 4 / 3 * far**2).all()
    assert SineValley().convexity == pytest.approx(0.17553, abs=1e-5)
    assert turning(slope) == pytest.approx(8, rel=1e-3)
    curvature = 2 + 6 * np.cos(2 * (math.pi / 2))
    assert curvature == pytest.approx(-4)


def descent_length(gradient, start, step, count):
    x, length = start, 0.0
    for _ in range(count):
        move = step * gradient(x)
        x, length = x - move, length + float(np.linalg.norm(move))
    return x, length


@pytest.mark.refutes("prop-quadratic-growth")
def test_growth_and_the_length_of_the_path():
    value, slope, *_ = LINE["valley"]
    x = np.linspace(-20, 20, 40_001)
    assert (value(x) >= 0.1755 / 2 * x**2).all()
    for step, start in product((0.12, 0.01), (2.2, 5.0, 9.5)):
        end, length = descent_length(slope, start, step, 20_000)
        assert length <= math.sqrt(2 * value(start) / 0.1755) / (1 - step * 4)
        assert value(end) < 1e-12
    # Many minimisers: the distance to the nearest one, and equality along the flattest axis.
    a = normal(4, 9, seed=12)
    f = least_squares(a, normal(4, seed=13))
    inside = torch.linalg.pinv(a) @ a
    points = f.minimiser + 2 * normal(1000, 9, seed=14)
    points[0] = f.minimiser + torch.linalg.svd(a).Vh[3]
    away = ((points - f.minimiser) @ inside).square().sum(1)
    ratio = 2 * f.gap(points) / away
    assert ratio.min() == pytest.approx(f.convexity)


# ------------------------------------------------------------------------------------------------------ splitting


@pytest.mark.refutes("prop-young")
def test_young_and_its_cases_of_equality():
    a, b = normal(2, 500, 4, seed=15)
    for theta in (0.01, 0.5, 1.0, 3.0, 100.0):
        first = a.square().sum(1) / theta + theta * b.square().sum(1) - 2 * (a * b).sum(1)
        second = (1 + 1 / theta) * a.square().sum(1) + (1 + theta) * b.square().sum(1) - (a + b).square().sum(1)
        torch.testing.assert_close(first, (a - theta * b).square().sum(1) / theta)
        torch.testing.assert_close(second, first)
        same = theta * b
        assert torch.allclose((1 + 1 / theta) * same.square().sum(1) + (1 + theta) * b.square().sum(1),
                              (same + b).square().sum(1))
    thetas = torch.logspace(-3, 3, 6001, dtype=double)
    right = (1 + 1 / thetas) * 9 + (1 + thetas) * 1  # ‖a‖ = 3, ‖b‖ = 1
    assert right.min() == pytest.approx(16, rel=1e-6)
    assert thetas[right.argmin()] == pytest.approx(3, rel=2e-3)


@pytest.mark.refutes("prop-young")
def test_square_of_a_sum():
    g = normal(300, 6, 4, seed=16)
    slack = 6 * g.square().sum((-1, -2)) - g.sum(1).square().sum(-1)
    torch.testing.assert_close(slack, 6 * (g - g.mean(1, keepdim=True)).square().sum((-1, -2)))
    assert (slack > 0).all()
    equal = g[:, :1].expand_as(g)
    torch.testing.assert_close(6 * equal.square().sum((-1, -2)), equal.sum(1).square().sum(-1))


# ------------------------------------------------------------------------------------------------------- how many steps


@pytest.mark.refutes("def-problem")
def test_mean_of_the_agents_is_the_function_and_distributed_descent_is_descent():
    data = breast_cancer()
    whole, dealt = (Logistic(*data, regularisation=0.01, agents=agents) for agents in (1, 569))
    x = normal(30, seed=17)
    torch.testing.assert_close(dealt.gradients(x).mean(0), whole.gradient(x))
    torch.testing.assert_close(dealt.loss(x), whole.loss(x))
    step = 1 / whole.smoothness
    ends = [simulate(f, DCGD(ops.Identity()), torch.zeros(30), 50, step, progress=False).final for f in (whole, dealt)]
    torch.testing.assert_close(*ends)


def one_step(f, x, eta):
    """The largest factor of the gap over the points x."""
    return float((f.gap(x - eta * f.gradient(x)) / f.gap(x)).max())


@pytest.mark.refutes("thm-gd")
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0, 1.5, 1.9, 2.0])
def test_descent_under_pl(share):
    bound = formulas.gd_factor.function()
    problems = [
        (SineValley(), torch.linspace(-12, 12, 16_000, dtype=double)[:, None]),
        (Quadratic.diagonal([[1.0, 10.0]], [[0.0, 0.0]]), torch.cat([torch.eye(2), torch.randn(50, 2)]).double()),
        (least_squares(normal(4, 9, seed=18), normal(4, seed=19)), normal(300, 9, seed=20)),
        (Logistic(*breast_cancer(), regularisation=0.02), normal(100, 30, seed=21)),
    ]
    for f, x in problems:
        eta = share / f.smoothness
        assert one_step(f, x, eta) <= bound(f.smoothness, eta, f.convexity) + 1e-9, f


@pytest.mark.refutes("thm-gd")
def test_descent_under_the_upper_bound_alone():
    """The two valleys, not PL and 19-smooth: what the proof takes from the upper bound with L = 1 holds up to η = 2."""
    value, slope = two_valleys(20)
    x = np.linspace(-3, 3, 6001)
    for eta in (0.5, 1.0, 1.9):
        assert (value(x - eta * slope(x)) <= value(x) - eta * (1 - eta / 2) * slope(x) ** 2 + 1e-12).all()


@pytest.mark.refutes("thm-gd")
def test_range_of_step_sizes_is_sharp_and_steps_suffice():
    f = Quadratic.diagonal([[1.0, 10.0]], [[0.0, 0.0]])
    top = torch.tensor([[0.0, 1.0]], dtype=double)
    assert one_step(f, top, 0.2) == pytest.approx(1)
    assert one_step(f, top, 0.2001) > 1
    for kappa, epsilon in ((10, 1e-6), (100, 1e-3)):
        g = Quadratic.diagonal([[1.0, float(kappa)]], [[0.0, 0.0]])
        steps = math.ceil(kappa * math.log(1 / epsilon))
        x = torch.tensor([1.0, 0.0], dtype=double)
        run = simulate(g, DCGD(ops.Identity()), x, steps, 1 / kappa, progress=False)
        assert run.gap[-1, 0] <= epsilon * run.gap[0, 0]
    assert math.ceil(100 * math.log(1e6)) == 1382


@pytest.mark.refutes("prop-gd-quadratic")
def test_descent_on_quadratics_exactly():
    exact = formulas.gd_quadratic_factor.function()
    f = Quadratic.diagonal(torch.linspace(1, 10, 7, dtype=double)[None], normal(1, 7, seed=22))
    starts = f.minimiser + torch.cat([torch.eye(7, dtype=double), normal(300, 7, seed=23)])
    for eta in (0.01, 0.1, 2 / 11, 0.19, 0.2, 0.25):
        assert one_step(f, starts, eta) == pytest.approx(exact(10.0, eta, 1.0))
    grid = np.linspace(0.001, 0.2, 20_000)
    best = grid[np.argmin(exact(10.0, grid, 1.0))]
    assert best == pytest.approx(2 / 11, abs=1e-4)
    assert exact(10.0, 2 / 11, 1.0) == pytest.approx((9 / 11) ** 2)
    assert exact(10.0, 0.1999, 1.0) < 1 <= exact(10.0, 0.2, 1.0)


@pytest.mark.refutes("def-disagreement")
def test_disagreement_of_known_problems():
    two = stuck([[-1.0], [1.0]])  # ½(x − 1)² and ½(x + 1)² up to constants
    assert two.disagreement == pytest.approx(1)
    assert float(two.gradient(two.minimiser).norm()) == 0
    same = Quadratic.diagonal([[1.0, 2.0], [3.0, 1.0]], [[1.0, 2.0], [3.0, 1.0]])  # both least at (1, 1)
    assert same.disagreement == pytest.approx(0)
    vectors = normal(6, 4, seed=24)
    known = (vectors - vectors.mean(0)).square().sum(1).mean()  # ∇fᵢ(x*) = vᵢ − mean
    assert stuck(vectors).disagreement == pytest.approx(float(known))


@pytest.mark.refutes("prop-disagreement")
def test_disagreement_bounds_the_mean_square_of_the_gradients():
    features, labels = breast_cancer()
    order = labels.argsort()
    for rows in (torch.arange(569), order):
        f = Logistic(features[rows], labels[rows], regularisation=0.01, agents=7)
        x = f.minimiser + torch.cat([s * normal(60, 30, seed=25) for s in (0.01, 0.3, 4)])
        g = f.gradients(x)
        left = g.square().sum(-1).mean(-1)
        spread = (g - g.mean(-2, keepdim=True)).square().sum(-1).mean(-1)
        torch.testing.assert_close(left, g.mean(-2).square().sum(-1) + spread)
        for theta in (0.1, 1.0, 10.0):
            right = (1 + theta) * 2 * f.agent_smoothness * f.gap(x) + (1 + 1 / theta) * f.disagreement
            assert (left <= right * (1 + 1e-9)).all()


@pytest.mark.refutes("prop-disagreement")
def test_disagreement_bound_is_attained_and_needs_convex_agents():
    """fᵢ = ½(x ∓ 1)², L = 1: (1/N) Σ ∇fᵢ² = x² + 1, and 2(1 + θ)·x²/2 + (1 + 1/θ) is x² + 1 in the limits of θ."""
    f = stuck([[-1.0], [1.0]])
    x = torch.tensor([[100.0], [0.0]], dtype=double)
    left = f.gradients(x).square().sum(-1).mean(-1)
    for at, theta in ((0, 0.01), (1, 100.0)):
        right = (1 + theta) * 2 * f.gap(x)[at] + (1 + 1 / theta)
        assert left[at] <= right <= 1.03 * left[at]
    bent = Quadratic.diagonal([[9.0], [-7.0]], [[0.0], [0.0]])  # the second agent is not convex; f = ½x², L = 9, D = 0
    at = torch.tensor([1.0], dtype=double)
    assert bent.gradients(at).square().mean() == pytest.approx(65)
    assert bent.gradients(at).square().mean() > 2 * 9 * bent.gap(at)  # θ → 0 and D = 0


@pytest.mark.refutes("prop-disagreement")
def test_disagreement_is_the_same_at_every_minimiser_of_convex_agents():
    a, y = normal(6, 9, seed=26), normal(6, seed=27)
    f = least_squares(a, y, agents=3)  # interpolation: every agent is least there
    assert f.disagreement == pytest.approx(0, abs=1e-12)
    tied = least_squares(torch.cat([a[:2], a[:2]]), torch.cat([y[:2], y[:2] + 1]), agents=2)  # no interpolation
    other = tied.minimiser + 2 * torch.linalg.svd(a[:2]).Vh[4]
    assert float(tied.gap(other)) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(tied.gradients(other), tied.gradients(tied.minimiser))
    assert tied.disagreement > 0.01


@pytest.mark.refutes("def-dsgd")
def test_noise_has_the_moments_of_the_definition():
    """Mean 0, E‖ξ‖² = B‖∇f‖² + C, uncorrelated over agents; 40 000 draws, 5 standard errors."""
    g, draws = torch.tensor([3.0, 4.0], dtype=double).expand(2, 2), 40_000
    noise = AffineGaussian(0.5, 2.0)(g.expand(draws, 2, 2), rng(28)) - g
    second = 0.5 * 25 + 2
    squares = noise.square().sum(-1)
    assert abs(float(squares.mean()) - second) <= SIGMAS * float(squares.std()) / math.sqrt(2 * draws)
    assert float(noise.mean(0).abs().max()) <= SIGMAS * math.sqrt(second / 2 / draws)
    mixed = (noise[:, 0] * noise[:, 1]).sum(-1)
    assert abs(float(mixed.mean())) <= SIGMAS * float(mixed.std()) / math.sqrt(draws)


def copies(curvatures, agents):
    return Quadratic.diagonal(torch.tensor([curvatures] * agents, dtype=double), torch.zeros(agents, len(curvatures)))


def noisy_gaps(f, start, steps, eta, b, c, seed, runs=4000):
    noise = AffineGaussian(b, c)
    run = simulate(f, DCGD(ops.Identity()), start, steps, eta, runs=runs, noise=noise, generator=rng(seed),
                   progress=False)
    return run.gap


def dsgd_bound(f, agents, eta, b, c, first, steps):
    rate = formulas.dsgd_factor.function()(b, f.smoothness, agents, eta, f.convexity)
    floor = formulas.dsgd_floor.function()(b, c, f.smoothness, agents, eta, f.convexity)
    n = np.arange(steps + 1)
    return rate**n * first + floor, rate**n * (first - floor) + floor


@pytest.mark.refutes("thm-dsgd")
@pytest.mark.parametrize(
    ("agents", "b", "c", "share"), [(1, 0, 1, 0.5), (8, 0, 1, 1.0), (4, 6, 2, 0.4), (2, 3, 0, 0.3)]
)
def test_noise_floor_is_exact_on_one_curvature(agents, b, c, share):
    """f = 5x²: the recursion is an equality; compared with 4000 runs at three steps, 5 standard errors."""
    f, steps = copies([10.0], agents), 60
    eta = share / 10
    gaps = noisy_gaps(f, torch.tensor([2.0]), steps, eta, float(b), float(c), seed=30 + agents)
    bound, exact = dsgd_bound(f, agents, eta, b, c, float(gaps[0, 0]), steps)
    for n in (1, 5, 60) if c else (1, 5):  # without additive noise the gap is a product, soon far from normal
        error = float(gaps[n].std()) / math.sqrt(gaps.shape[1])
        assert abs(float(gaps[n].mean()) - exact[n]) <= SIGMAS * error
        assert exact[n] <= bound[n]


@pytest.mark.refutes("thm-dsgd")
@pytest.mark.parametrize("b", [0.0, 4.0])
def test_noise_floor_is_an_upper_bound_elsewhere(b):
    """Two curvatures, and the valley from its shoulder, where PL is tight; the mean gap may exceed it by chance."""
    two, one = copies([1.0, 10.0], 4), SineValley()
    for f, agents, start in ((two, 4, torch.tensor([1.0, 1.0])), (one, 1, torch.tensor([2.4]))):
        eta = 0.5 / f.smoothness / (1 + b)
        gaps = noisy_gaps(f, start, 80, eta, b, 0.5, seed=40, runs=2000)
        bound, _ = dsgd_bound(f, agents, eta, b, 0.5, float(gaps[0, 0]), 80)
        for n in (1, 10, 80):
            assert float(gaps[n].mean()) <= bound[n] + SIGMAS * float(gaps[n].std()) / math.sqrt(2000)


@pytest.mark.refutes("thm-dsgd")
def test_step_sizes_of_noisy_descent_end_where_stated():
    step = formulas.dsgd_step.function()
    assert step(4.0, 10.0, 2.0) == pytest.approx(2 / 30)
    rate = formulas.dsgd_factor.function()
    assert rate(4.0, 10.0, 2.0, 2 / 30, 10.0) == pytest.approx(1)
    # Exactly: E x² is multiplied by (1 − ηL)² + η²L²B/N in each step.
    for eta in (0.02, 0.05, 2 / 30, 0.09):
        assert rate(4.0, 10.0, 2.0, eta, 10.0) == pytest.approx((1 - 10 * eta) ** 2 + (10 * eta) ** 2 * 4 / 2)


@pytest.mark.refutes("thm-dsgd")
def test_common_noise_is_not_averaged():
    """One draw shared by 8 agents: the mean noise has the variance C, not C/8."""
    draws = AffineGaussian(0.0, 1.0)(torch.zeros(20_000, 8, 1, dtype=double), rng(44))
    own = draws.mean(1).square()
    common = draws[:, :1].expand_as(draws).mean(1).square()
    for squares, known in ((own, 1 / 8), (common, 1.0)):
        assert abs(float(squares.mean()) - known) <= SIGMAS * known * math.sqrt(2 / 20_000)


# ------------------------------------------------------------------------------------------------------- what it costs


@pytest.mark.refutes("def-cost")
def test_rounds_count_one_message_out_and_one_in():
    network = cost.Network(3, bits=16)
    network.round({(0, 1): torch.ones(5), (1, 2): torch.ones(2)})
    network.round({(2, 0): torch.ones(1)})
    assert network.cost == Cost(2, 96.0)
    assert network.sent.tolist() == [80, 32, 16]
    assert network.received.tolist() == [16, 80, 32]
    assert network.cost.time(Link(bandwidth=48.0, latency=0.25)) == pytest.approx(2 * 0.25 + 2)
    for messages in ({(0, 1): 1, (0, 2): 1}, {(0, 2): 1, (1, 2): 1}):
        with pytest.raises(ValueError, match="one message a round"):
            network.round({pair: torch.ones(1) for pair in messages})


ALL_REDUCE = {
    "ring": cost.run_ring_all_reduce,
    "halving": cost.run_halving_all_reduce,
    "tree": cost.run_tree_all_reduce,
    "server": cost.run_server_all_reduce,
}
ODD = {("halving", 3), ("halving", 7)}  # no powers of two
CASES = [(how, n) for how in ALL_REDUCE for n in (1, 2, 3, 4, 7, 8, 16) if (how, n) not in ODD]


@pytest.mark.refutes("prop-collectives", "prop-all-reduce-bound")
@pytest.mark.parametrize(("how", "agents"), CASES)
def test_all_reduce_adds_and_costs_what_is_stated(how, agents):
    d, bits = 3 * agents * 4, 32
    vectors = torch.randint(-99, 100, (agents, d), generator=rng(50)).double()  # whole numbers: exact sums
    before = vectors.clone()
    sums, network = ALL_REDUCE[how](vectors, bits)
    assert torch.equal(sums, vectors.sum(0).expand(agents, d))
    assert torch.equal(vectors, before)
    whole = d * bits
    assert network.cost == cost.all_reduce_cost(whole, agents, how)
    stated = {
        "ring": (2 * (agents - 1), 2 * (agents - 1) / agents * whole),
        "halving": (2 * math.log2(agents), 2 * (agents - 1) / agents * whole),
        "tree": (2 * math.ceil(math.log2(agents)), 2 * math.ceil(math.log2(agents)) * whole),
        "server": (2 * (agents - 1), 2 * (agents - 1) * whole),
    }[how]
    assert (network.rounds, network.load) == pytest.approx(stated)
    if agents > 1:  # the bounds
        assert network.rounds >= math.ceil(math.log2(agents))
        assert int(network.sent.sum()) == 2 * (agents - 1) * whole  # the least for number-by-number schemes
        assert min(network.sent.min(), network.received.min()) >= whole
        assert network.load >= 2 * (agents - 1) / agents * whole - 1e-9


@pytest.mark.refutes("prop-collectives")
@pytest.mark.parametrize(("agents", "d"), [(4, 10), (7, 3), (5, 1)])
def test_ring_with_uneven_chunks(agents, d):
    """The longest chunk has ⌈d/N⌉ numbers, also with fewer numbers than agents."""
    vectors = torch.randint(-9, 10, (agents, d), generator=rng(51)).double()
    sums, network = cost.run_ring_all_reduce(vectors)
    assert torch.equal(sums, vectors.sum(0).expand(agents, d))
    assert network.load == 2 * (agents - 1) * math.ceil(d / agents) * 32


@pytest.mark.refutes("prop-collectives")
@pytest.mark.parametrize("agents", [1, 2, 5, 8])
def test_gather_in_a_ring(agents):
    messages = torch.arange(agents * 3.0).reshape(agents, 3)
    gathered, network = cost.run_ring_all_gather(messages)
    assert torch.equal(gathered, messages.expand(agents, agents, 3))
    assert network.cost == cost.all_gather_cost(96, agents) == Cost(agents - 1, (agents - 1) * 96.0)


@pytest.mark.refutes("prop-collectives")
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_swapping_whole_vectors_and_gathering_by_doubling(steps):
    """The two schemes of the table that the library does not run, run here."""
    agents, d = 2**steps, 6
    vectors = torch.randint(-9, 10, (agents, d), generator=rng(52)).double()
    swap, gather = cost.Network(agents), cost.Network(agents)
    held, known = vectors.clone(), [{i: vectors[i]} for i in range(agents)]
    for bit in range(steps):
        partners = [(i, i ^ (1 << bit)) for i in range(agents)]
        for (_, receiver), message in swap.round({pair: held[pair[0]] for pair in partners}).items():
            held[receiver] += message
        gather.round({pair: torch.cat(list(known[pair[0]].values())) for pair in partners})
        known = [known[i] | known[i ^ (1 << bit)] for i in range(agents)]
    assert torch.equal(held, vectors.sum(0).expand(agents, d))
    assert all(set(have) == set(range(agents)) for have in known)
    assert swap.cost == cost.all_reduce_cost(32 * d, agents, "doubling") == Cost(steps, steps * 32.0 * d)
    assert gather.cost == cost.all_gather_cost(32 * d, agents, "doubling") == Cost(steps, (agents - 1) * 32.0 * d)


def additive(agents, length):
    """Whether some schedule lets all compute the sum: each number sent is the sum of some that its sender holds."""
    start = [frozenset({tuple(int(i == j) for j in range(agents))}) for i in range(agents)]
    goal = np.ones(agents)

    def knows(have):
        rows = np.array(sorted(have), dtype=float)
        return np.linalg.matrix_rank(np.vstack([rows, goal])) == np.linalg.matrix_rank(rows)

    states = {tuple(start)}
    for _ in range(length):
        following = set()
        for state in states:
            for sender, receiver in permutations(range(agents), 2):
                rows = sorted(state[sender])
                for size in range(1, len(rows) + 1):
                    for some in combinations(rows, size):
                        number = tuple(np.sum(some, axis=0).tolist())
                        new = list(state)
                        new[receiver] = state[receiver] | {number}
                        following.add(tuple(new))
        states = following
    return any(all(knows(have) for have in state) for state in states)


@pytest.mark.refutes("prop-all-reduce-bound")
@pytest.mark.parametrize(("agents", "least"), [(2, 2), (3, 4)])
def test_no_schedule_with_fewer_numbers_adds(agents, least):
    """All schedules of single numbers, each any sum of what its sender holds: 2(N − 1) can do it, one fewer cannot."""
    assert additive(agents, least)
    assert not additive(agents, least - 1)


@pytest.mark.refutes("prop-all-reduce-bound")
def test_knowledge_at_most_doubles():
    """Random rounds, each agent with one message out and one in: never more than 2ⁿ agents reached after n rounds."""
    random = np.random.default_rng(53)
    for _ in range(200):
        reached = {0}
        for n in range(1, 6):
            target = random.permutation(20)
            reached |= {int(target[i]) for i in reached}
            assert len(reached) <= 2**n
    assert [cost.doublings(n) for n in (1, 2, 3, 4, 5, 16, 17)] == [0, 1, 2, 2, 3, 4, 5]


@pytest.mark.refutes("prop-two-over-n")
@pytest.mark.parametrize("agents", [2, 4, 8, 16, 32, 64, 256])
def test_gathering_breaks_even_at_two_over_n(agents):
    whole = 32 * 10**6
    even = float(formulas.dense_share(N=agents)) * whole
    assert even / 10**6 == pytest.approx(64 / agents)
    dense = cost.all_reduce_cost(whole, agents).load
    assert cost.all_gather_cost(0.999 * even, agents).load < dense < cost.all_gather_cost(1.001 * even, agents).load
    assert cost.all_gather_cost(even, agents).load == pytest.approx(dense)


@pytest.mark.refutes("prop-two-over-n")
def test_nine_bits_lose_at_eight_agents_and_not_at_seven():
    link, d = Link(1e9), 10**6
    wins = {n: cost.all_gather_time(9 * d, n, link) < cost.all_reduce_time(32 * d, n, link) for n in (4, 7, 8, 16)}
    assert wins == {4: True, 7: True, 8: False, 16: False}


# --------------------------------------------------------------------------------------------------------- unions


@pytest.mark.refutes("prop-union")
@pytest.mark.parametrize(("d", "k", "agents"), [(4, 2, 2), (5, 2, 3), (3, 1, 4)])
def test_union_of_uniform_supports_by_counting(d, k, agents):
    """All choices of supports, equally likely: the mean size of the union, exactly."""
    supports = [frozenset(s) for s in combinations(range(d), k)]
    sizes = [len(frozenset.union(*chosen)) for chosen in product(supports, repeat=agents)]
    assert np.mean(sizes) == pytest.approx(cost.union_size(d, k, agents))
    assert max(sizes) == min(d, agents * k)
    assert min(sizes) == k


@pytest.mark.refutes("prop-union")
def test_union_under_any_common_law_is_no_larger_and_under_unlike_laws_may_be():
    random = np.random.default_rng(54)
    supports = [frozenset(s) for s in combinations(range(4), 2)]
    for _ in range(200):
        law = random.dirichlet(random.choice([0.1, 1, 10]) * np.ones(len(supports)))
        size = sum(law[i] * law[j] * law[m] * len(supports[i] | supports[j] | supports[m])
                   for i, j, m in product(range(len(supports)), repeat=3))
        assert size <= cost.union_size(4, 2, 3) + 1e-12
        inclusion = np.array([sum(p for p, s in zip(law, supports, strict=True) if c in s) for c in range(4)])
        assert size == pytest.approx((1 - (1 - inclusion) ** 3).sum())
    assert len(frozenset({0, 1}) | frozenset({2, 3})) == 4 > cost.union_size(4, 2, 2)  # fixed ones


@pytest.mark.refutes("prop-union")
def test_union_of_messages_of_the_library():
    """Rand-k messages of the library added: 300 sums of 8, mean size of the support within 5 standard errors."""
    draws = ops.RandK(20)(torch.ones(300, 8, 400, dtype=double), rng(55)).sum(1)
    sizes = draws.count_nonzero(-1).double()
    assert abs(float(sizes.mean()) - cost.union_size(400, 20, 8)) <= SIGMAS * float(sizes.std()) / math.sqrt(300)
    top = ops.TopK(20)(normal(8, 400, seed=56)).sum(0).count_nonzero()
    assert 20 <= int(top) <= 160


@pytest.mark.refutes("prop-additive")
@pytest.mark.parametrize("agents", [1, 2, 3, 7, 8])
def test_sums_of_signs(agents):
    sums = {sum(signs) for signs in product((-1, 1), repeat=agents)}
    assert len(sums) == agents + 1
    width = math.ceil(math.log2(agents + 1))
    assert 2**width >= len(sums) > 2 ** (width - 1)


@pytest.mark.refutes("prop-additive")
def test_common_draw_adds_and_own_draws_average():
    """Rand-2 of 6 at four gradients: both errors exactly, over all masks (15 and 15⁴)."""
    g = normal(4, 6, seed=57)
    mean, omega = g.mean(0), 6 / 2 - 1
    spread = (g - mean).square().sum(1).mean()
    masks = torch.zeros(15, 6, dtype=double)
    for row, support in zip(masks, combinations(range(6), 2), strict=True):
        row[list(support)] = 6 / 2
    summed = (masks[:, None] * g).sum(1)
    torch.testing.assert_close(summed, masks * g.sum(0))  # the sum of the messages is the message of the sum
    assert (summed.count_nonzero(1) == 2).all()
    common = (masks * mean - mean).square().sum(1).mean()
    assert float(common) == pytest.approx(float(omega * mean.square().sum()))
    index = torch.cartesian_prod(*[torch.arange(15)] * 4)
    own = sum(masks[index[:, i]] * g[i] for i in range(4)) / 4 - mean
    assert float(own.square().sum(1).mean()) == pytest.approx(float(omega / 4 * (mean.square().sum() + spread)))


@pytest.mark.refutes("prop-additive")
def test_which_draw_errs_less():
    for size, spread, agents in ((1.0, 2.9, 4), (1.0, 3.1, 4), (0.0, 1.0, 8)):
        own, common = 9 / agents * (size + spread), 9 * size
        assert (common < own) == (spread > (agents - 1) * size)


# -------------------------------------------------------------------------------------------------- when it pays


def settings(seed, count=400):
    random = np.random.default_rng(seed)
    for _ in range(count):
        dense = Cost(int(random.integers(1, 40)), float(10 ** random.uniform(3, 10)))
        sent = Cost(int(random.integers(1, 40)), dense.load * float(10 ** random.uniform(-3, 0.3)))
        yield dense, sent, 10 ** random.uniform(-7, -2), 10 ** random.uniform(-4, 1), 10 ** random.uniform(0, 1)


def run_times(dense, sent, link, compute, factor):
    """Both methods simulated as a clock: steps one by one, rounds one by one."""
    def clock(steps, what):
        return steps * (compute + sum(link.latency for _ in range(what.rounds)) + what.load / link.bandwidth)

    return clock(100, dense), clock(100 * factor, sent)


@pytest.mark.refutes("prop-speedup")
def test_gain_and_break_even_load():
    for dense, sent, latency, compute, factor in settings(60):
        link = Link(1e8, latency)
        first, second = run_times(dense, sent, link, compute, factor)
        gain = cost.gain(dense, sent, link, compute, factor)
        assert gain == pytest.approx(first / second)
        even = cost.break_even_load(dense, sent.rounds, link, compute, factor)
        assert (sent.load < even) == (gain > 1)
        if even > 0:
            assert cost.gain(dense, Cost(sent.rounds, even), link, compute, factor) == pytest.approx(1)
        theta = compute + dense.rounds * latency, compute + sent.rounds * latency
        assert gain <= (theta[0] + dense.load / 1e8) / (factor * theta[1]) + 1e-12
        empty = cost.gain(dense, Cost(dense.rounds, 0.0), link, compute, factor)
        assert empty == pytest.approx((1 + dense.load / (1e8 * theta[0])) / factor)


@pytest.mark.refutes("prop-speedup")
def test_break_even_bandwidth():
    seen = set()
    for dense, sent, latency, compute, factor in settings(61):
        lost = factor * (compute + sent.rounds * latency) - (compute + dense.rounds * latency)
        if lost < 0 and factor * sent.load >= dense.load:
            with pytest.raises(ValueError, match="must be below"):
                cost.break_even_bandwidth(dense, sent, latency, compute, factor)
            continue
        even = cost.break_even_bandwidth(dense, sent, latency, compute, factor)
        gains = {v: cost.gain(dense, sent, Link(v, latency), compute, factor) for v in 10.0 ** np.arange(0, 16)}
        assert all((gain > 1) == (v < even) for v, gain in gains.items())
        slow = cost.gain(dense, sent, Link(1e-9, latency), compute, factor)
        assert slow == pytest.approx(dense.load / (factor * sent.load), rel=1e-6)  # only bits count
        if 0 < even < math.inf:
            assert cost.gain(dense, sent, Link(even, latency), compute, factor) == pytest.approx(1)
        seen.add((even == 0, even == math.inf))
    assert len(seen) == 3  # never, always, below a bandwidth: all three occurred


@pytest.mark.refutes("prop-speedup")
def test_numbers_of_the_page():
    whole, d = 32 * 25.6e6, 25.6e6
    link = Link(1e9, 50e-6)
    times = [cost.all_reduce_time(whole, 8, link, how) for how in ("ring", "tree", "server")]
    assert times == pytest.approx([1.4343, 4.9155, 11.4695], abs=1e-4)
    small = [cost.all_reduce_time(32_000, 8, link, how) for how in ("ring", "halving")]
    assert small == pytest.approx([0.756e-3, 0.356e-3])
    dense, sign = cost.all_reduce_cost(whole, 8), cost.all_gather_cost(d, 8)
    assert cost.break_even_bandwidth(dense, sign, 50e-6, 0.1, 2.0) == pytest.approx(10.752e9, rel=1e-6)
    assert (0.1 + cost.all_reduce_time(whole, 8, Link(1e11, 50e-6))) / 0.1 == pytest.approx(1.15, abs=0.001)


@pytest.mark.refutes("prop-worst-case-bits")
@pytest.mark.parametrize(("d", "k"), [(4, 1), (6, 2), (9, 8), (5, 5)])
def test_sparse_messages_lose_at_the_flat_vector(d, k):
    """No vector with k nonzero coordinates is nearer to (1, …, 1) than 1 − k/d; Top-k and scaled Rand-k attain it."""
    flat = torch.ones(d, dtype=double)
    for support in combinations(range(d), k):
        best = torch.zeros(d, dtype=double)
        best[list(support)] = 1
        for other in best * (1 + 0.3 * normal(20, d, seed=62)):
            assert (other - flat).square().sum() >= (d - k) * (1 - 1e-12)
    members = [ops.TopK(k).membership(d)[-1], ops.Scaled(ops.RandK(k), k / d).membership(d)[-1]]
    for member in members:
        assert float(member.delta) == pytest.approx(d / k)
        assert float(formulas.b3_iterations(delta=member.delta)) * 32 * k >= 32 * d * (1 - 1e-12)


@pytest.mark.refutes("prop-worst-case-bits")
def test_sparsifiers_keep_to_it():
    quantised = ops.Composition(ops.Ternary(p=2), ops.TopK(3))
    for c, k in ((ops.AdaptiveSparsification(), 1), (ops.TopK(3), 3), (quantised, 3)):
        deltas = [float(member.delta) for member in c.membership(12) if hasattr(member, "delta")]
        assert min(deltas, default=math.inf) >= 12 / k


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "call",
    [
        lambda: Link(0.0), lambda: Link(1.0, -1.0), lambda: Link(1.0, math.inf), lambda: cost.all_reduce_cost(8, 0),
        lambda: cost.all_reduce_cost(8, 2.5), lambda: cost.all_reduce_cost(-1, 2),
        lambda: cost.all_reduce_cost(8, True), lambda: cost.all_reduce_cost(8, 3, "halving"),
        lambda: cost.all_reduce_cost(8, 4, "star"),
        lambda: cost.all_gather_cost(8, 3, "doubling"), lambda: cost.all_gather_cost(8, 4, "tree"),
        lambda: cost.gain(Cost(1, 1.0), Cost(1, 1.0), Link(1.0), factor=0), lambda: cost.union_size(4, 5, 2),
        lambda: cost.run_halving_all_reduce(torch.ones(4, 6)), lambda: cost.all_reduce_cost(math.nan, 2),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_one_sentence(call):
    with pytest.raises(ValueError, match=r"^[^.\n]*(, got )[^\n]*$"):
        call()
