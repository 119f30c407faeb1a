"""Every problem knows its gradients, its constants and its minimiser: each is checked against what defines it."""

import numpy as np
import pytest
import torch

from gradpress.datasets import breast_cancer
from gradpress.problems import (
    Logistic,
    Quadratic,
    SineValley,
    least_squares,
    random_quadratic,
    stuck,
    top_1_failure,
    top_k_failure,
)

double = torch.float64


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=double, generator=torch.Generator().manual_seed(seed))


def several_agents():
    matrices = randn(4, 5, 5, seed=1)
    matrices = matrices + matrices.mT  # indefinite, each of them
    return Quadratic(matrices + (1 - torch.linalg.eigvalsh(matrices.mean(0))[0]) * torch.eye(5), randn(4, 5, seed=2))


def regression():
    features, labels = breast_cancer()
    return features[:200, :6], labels[:200]


PROBLEMS = {
    "quadratic": several_agents,
    "diagonal": lambda: Quadratic.diagonal([[1.0, 2.0, -1.0], [3.0, 0.0, 2.0]], randn(2, 3)),
    "singular": lambda: Quadratic.diagonal([[0.0, 2.0, 3.0]], [[0.0, 1.0, -1.0]]),
    "random": lambda: random_quadratic(20, 10.0, torch.Generator().manual_seed(3)),
    "least squares": lambda: least_squares(regression()[0], regression()[1], agents=3),
    "logistic": lambda: Logistic(*regression(), regularisation=0.01, agents=3),
    "valley": SineValley,
    "example 1": top_1_failure,
    "example 2": lambda: top_k_failure(5, 2),
    "example 3": lambda: stuck([[1.0, 4.0], [-1.0, -2.0], [1.0, -2.0]]),
}


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return PROBLEMS[request.param]()


def test_gradients_are_those_of_the_loss(problem):
    for x in 2 * randn(3, problem.d, seed=5):
        point = x.clone().requires_grad_()
        [slope] = torch.autograd.grad(problem.loss(point), point)
        torch.testing.assert_close(problem.gradient(x), slope)
        torch.testing.assert_close(problem.gradients(x).mean(-2), slope)
        assert problem.gradients(x).shape == (problem.agents, problem.d)


def test_leading_axes_are_points_of_their_own(problem):
    x = randn(2, 3, problem.d, seed=6)
    for method in (problem.loss, problem.gap, problem.gradient, problem.gradients):
        at_once, one = method(x), method(x[1, 2])
        assert at_once.shape[:2] == (2, 3)
        torch.testing.assert_close(at_once[1, 2], one)


def test_minimiser_and_gap(problem):
    assert problem.gradient(problem.minimiser).norm() < 1e-10 * max(1, problem.smoothness)
    x = problem.minimiser + randn(500, problem.d, seed=7)
    assert (problem.gap(x) >= 0).all()
    torch.testing.assert_close(problem.gap(x), problem.loss(x) - problem.minimum)
    assert problem.gap(problem.minimiser) <= 1e-15
    each = problem.gradients(problem.minimiser).square().sum(-1)
    assert problem.disagreement == pytest.approx(float(each.mean()))


def hessians(problem, x):
    """∇²fᵢ(x) for every agent, shape (N, d, d), from automatic differentiation."""
    return torch.autograd.functional.jacobian(problem.gradients, x)


def test_constants_bound_the_curvature_and_are_reached(problem):
    points = [problem.minimiser, torch.zeros(problem.d, dtype=double), *(3 * randn(30, problem.d, seed=8))]
    each = torch.stack([hessians(problem, x) for x in points])
    whole = torch.linalg.eigvalsh(each.mean(1))
    assert whole.abs().max() <= problem.smoothness * (1 + 1e-9)
    assert whole.abs().max() >= problem.smoothness * (1 - 1e-9)  # attained, at 0 or at the minimiser
    agents = torch.linalg.eigvalsh(each)
    assert agents.abs().max() == pytest.approx(problem.agent_smoothness, rel=1e-9)
    rms = agents.abs().amax((0, 2)).square().mean().sqrt()
    assert rms == pytest.approx(problem.agent_smoothness_rms, rel=1e-9)
    assert agents.min() >= problem.agent_convexity - 1e-9
    x = problem.minimiser + 5 * randn(5000, problem.d, seed=9)
    quotient = problem.gradient(x).square().sum(-1) / (2 * problem.gap(x))
    assert quotient.min() >= problem.convexity * (1 - 1e-9)


def test_convexity_of_quadratics_is_reached():
    for make in (several_agents, top_1_failure, lambda: random_quadratic(20, 10.0, torch.Generator().manual_seed(3))):
        problem = make()
        values, axes = torch.linalg.eigh(hessians(problem, problem.minimiser).mean(0))
        x = problem.minimiser + axes[:, 0]
        quotient = problem.gradient(x).square().sum() / (2 * problem.gap(x))
        assert quotient == pytest.approx(problem.convexity, rel=1e-9) == pytest.approx(float(values[0]), rel=1e-9)


def test_logistic_curvature_falls_to_the_regularisation():
    features, labels = regression()
    problem = Logistic(features, labels, regularisation=0.01)
    away = 1e4 * features.mean(0) + randn(6, seed=10)
    assert torch.linalg.eigvalsh(hessians(problem, away).mean(0))[0] <= 0.01 * (1 + 1e-3)


def test_valley_has_the_constants_that_it_names():
    problem = SineValley()
    x = torch.linspace(-60, 60, 600_001, dtype=double)[:, None]
    x = x[x[:, 0].abs() > 1e-6]
    quotient = problem.gradient(x).square()[:, 0] / (2 * problem.gap(x))
    assert quotient.min() >= problem.convexity * (1 - 1e-9)
    assert quotient.min() <= problem.convexity * (1 + 1e-6)
    curvature = 2 + 6 * torch.cos(2 * x)
    assert (float(curvature.min()), float(curvature.max())) == pytest.approx((-4, 8), abs=1e-6)


def test_least_squares_is_the_usual_one():
    features, targets = regression()
    solution = torch.linalg.lstsq(features, targets[:, None]).solution[:, 0]
    torch.testing.assert_close(least_squares(features, targets).minimiser, solution, rtol=1e-8, atol=1e-10)
    one, three = least_squares(features[:198], targets[:198]), least_squares(features[:198], targets[:198], agents=3)
    torch.testing.assert_close(one.gradient(features[0]), three.gradient(features[0]))  # 198 rows divide evenly


def test_rows_that_do_not_divide_evenly():
    features, labels = regression()
    problem = Logistic(features[:10], labels[:10], 0.1, agents=3)  # 4, 3 and 3 rows
    alone = [Logistic(features[rows], labels[rows], 0.1) for rows in (slice(0, 4), slice(4, 7), slice(7, 10))]
    x = randn(6, seed=11)
    torch.testing.assert_close(problem.gradients(x), torch.stack([one.gradient(x) for one in alone]))


def test_figure_7_problems():
    problem = random_quadratic(100, 100.0, torch.Generator().manual_seed(4))
    assert 2 <= problem.convexity < problem.smoothness <= 200
    assert 50 < problem.smoothness / problem.convexity < 100
    assert ((problem.vectors >= 0) & (problem.vectors <= 1)).all()


def test_counterexamples_have_the_gradients_of_the_text():
    t = 1.7
    one = top_1_failure().gradients(t * torch.ones(3, dtype=double))
    np.testing.assert_allclose(one[1], t / 2 * np.array([9, -11, 9]))
    d, d1, b = 7, 3, 6.0
    c = (1 + b * d1) / (d - d1)
    gradients = top_k_failure(d, d1, b).gradients(t * torch.ones(d, dtype=double))
    assert gradients.shape == (35, 7)
    np.testing.assert_allclose(gradients.sort().values[:, :d1], t * (1 - 2 * b))
    np.testing.assert_allclose(gradients.sort().values[:, d1:], t * (1 + 2 * c))
    v = torch.tensor([[1.0, 4.0], [-1.0, -2.0]], dtype=double)
    torch.testing.assert_close(stuck(v).gradients(torch.zeros(2, dtype=double)), v)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Quadratic(torch.ones(1, 2, 3), torch.ones(1, 2)),
        lambda: Quadratic(torch.tensor([[[1.0, 2.0], [0.0, 1.0]]]), torch.ones(1, 2)),
        lambda: Quadratic(-torch.eye(2)[None], torch.ones(1, 2)),
        lambda: Quadratic.diagonal([[0.0, 1.0]], [[1.0, 0.0]]),
        lambda: Quadratic.diagonal([[float("nan"), 1.0]], [[1.0, 0.0]]),
        lambda: Quadratic.diagonal([[1.0, 1.0]], [[1.0]]),
        lambda: least_squares(torch.ones(3, 2), torch.ones(2)),
        lambda: least_squares(torch.ones(3, 2), torch.ones(3), agents=4),
        lambda: Logistic(torch.ones(3, 2), torch.zeros(3), 0.1),
        lambda: Logistic(torch.ones(3, 2), torch.ones(3), -0.1),
        lambda: random_quadratic(3, 1.0, torch.Generator()),
        lambda: top_k_failure(4, 2),
        lambda: top_k_failure(5, 2, b=2.0),
        lambda: top_k_failure(5, 2, b=4.5, c=1.0),
    ],
)
def test_nonsense_is_refused_in_one_sentence(make):
    with pytest.raises(ValueError, match=r"^[^\n]*(must)[^\n]*$"):
        make()
