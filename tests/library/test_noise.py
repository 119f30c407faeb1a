"""Noises, agents that share a function, and stochastic differential equations: each law against its plain version.

Statistical tests: fixed seeds; all comparisons of this file together fail by chance with probability at most 1e-6.
"""

from math import inf, sqrt

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import stats

from gradpress import formulas, randomness
from gradpress.compressors import (
    Identity,
    NaturalCompression,
    RandK,
    RandomSparsification,
    Scaled,
    Sign,
    StandardDithering,
    TopK,
)
from gradpress.homogeneous import Homogeneous
from gradpress.methods import DCGD
from gradpress.noise import AffineGaussian, Averaged, Gaussian, StudentT, batch_slope, slope
from gradpress.problems import Quadratic, SineValley, bowl
from gradpress.sde import DCSGD, DSignSGD, Equation, LinearisedDSignSGD, SecondOrder, euler_maruyama
from gradpress.simulate import simulate

double = torch.float64
FAMILY_ERROR, COMPARISONS = 1e-6, 120  # at most so many comparisons in this file
LEVEL = FAMILY_ERROR / COMPARISONS
Z = stats.norm.isf(LEVEL / 2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def same_law(first, second):
    """Two samples do not differ by the test of Kolmogorov and Smirnov (conservative where values repeat)."""
    first, second = (np.round(np.asarray(sample, dtype=float), 9) for sample in (first, second))
    return stats.ks_2samp(first, second, method="asymp").pvalue > LEVEL


# ------------------------------------------------------------------------------------------------------------- noises


@pytest.mark.parametrize("nu", [0.7, 1.0, 2.0, 2.5, 3.0, 7.0])
@pytest.mark.parametrize("shared", [False, True])
def test_student_numbers_have_students_law(nu, shared):
    sample = StudentT(2.0, nu=nu, shared=shared)(torch.zeros(40_000, 1, 2, dtype=double), seeded(1))[:, 0]
    assert stats.kstest(sample[:, 1] / 2, stats.t(nu).cdf).pvalue > LEVEL


def test_a_shared_chi_ties_the_sizes_of_the_coordinates_and_independent_ones_are_free():
    for shared in (False, True):
        sample = StudentT(1.0, nu=5.0, shared=shared).draw(torch.zeros(40_000, 2, dtype=double), seeded(2)).abs()
        tie = stats.spearmanr(sample[:, 0], sample[:, 1])
        assert (tie.pvalue < LEVEL and tie.statistic > 0.05) == shared


def test_student_numbers_in_float32_are_finite_and_end_where_the_docstring_says():
    sample = StudentT(1.0, nu=1).draw(torch.zeros(2_000_000), seeded(3))
    assert bool(sample.isfinite().all())
    assert sample.abs().max() < 5.4e6


@pytest.mark.parametrize("noise", [Gaussian(1.5), StudentT(1.5, nu=5.0), StudentT(1.5, nu=9.0, shared=True),
                                   Averaged(Gaussian(3.0), 4), Averaged(StudentT(3.0, nu=9.0), 4),
                                   AffineGaussian(b_aff=1.0, c_aff=2.0)], ids=repr)
def test_variances_are_those_of_the_draws(noise):
    gradient = torch.full((200_000, 2), 0.5, dtype=double)
    squares = noise.draw(gradient, seeded(4)).square()
    want = noise.variance(gradient)
    want = float(want if isinstance(want, float) else want[0])
    assert abs(float(squares.mean()) - want) < Z * float(squares.std()) / sqrt(squares.numel() / 2)


def test_a_variance_that_does_not_exist_is_infinite():
    assert StudentT(1.0, nu=2.0).variance() == StudentT(0.1, nu=1.0).variance() == inf
    assert Averaged(StudentT(1.0, nu=1.5), 1000).variance() == inf


@pytest.mark.parametrize("nu", [0.6, 1, 2, 2.7, 3, 4, 11.0])
def test_the_mean_of_a_sign_is_twice_the_centred_distribution_function(nu):
    u = torch.linspace(-8, 8, 33, dtype=double)
    want = torch.from_numpy(2 * stats.t(nu).cdf(u.numpy()) - 1)
    torch.testing.assert_close(StudentT(0.5, nu=nu).sign_mean(u / 2), want, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(Gaussian(1.0).sign_mean(u), torch.from_numpy(2 * stats.norm.cdf(u.numpy()) - 1))


def test_the_means_of_signs_in_the_formulas_have_the_slope_that_the_formulas_give():
    for nu, mean in formulas.SIGN_MEANS.items():
        at_zero = mean.expression.diff(formulas.u).subs(formulas.u, 0)
        want = sp.sqrt(2 / sp.pi) if nu == inf else formulas.student_slope(nu=nu)
        assert sp.simplify(at_zero - want) == 0


def test_slopes_of_a_batch_are_twice_the_density_at_zero():
    for nu in (1, 2, 3.5, inf):
        assert batch_slope(nu, 1) == pytest.approx(slope(nu), rel=1e-9)
    two = 2 * np.trapezoid(stats.t(3).pdf(x := np.linspace(-200, 200, 400_001)) ** 2, x) * 2  # density of (T+T′)/2 at 0
    assert batch_slope(3, 2) == pytest.approx(two, rel=1e-6)
    assert batch_slope(inf, 9) == pytest.approx(3 * slope(inf))
    assert Averaged(StudentT(2.0, nu=3.0), 2).sign_slope == pytest.approx(two / 2, rel=1e-6)


def test_the_mean_of_cauchy_numbers_is_cauchy():
    sample = Averaged(StudentT(1.0, nu=1), 10).draw(torch.zeros(20_000, 1, dtype=double), seeded(5))[:, 0]
    assert stats.kstest(sample, stats.cauchy.cdf).pvalue > LEVEL
    gradient = torch.tensor([0.3], dtype=double)
    assert Averaged(StudentT(1.0, nu=1), 10).sign_mean(gradient) == StudentT(1.0, nu=1).sign_mean(gradient)


@pytest.mark.parametrize(("make", "named"), [
    (lambda: Gaussian(-1.0), "scale"), (lambda: StudentT(1.0, nu=0), "nu"), (lambda: StudentT(1.0, nu=inf), "nu"),
    (lambda: Averaged(Gaussian(1.0), 0), "batch"), (lambda: Averaged(Gaussian(1.0), 2.5), "batch"),
    (lambda: AffineGaussian(c_aff=inf), "c_aff"),
])
def test_noises_refuse_what_makes_no_sense(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_no_closed_law_is_invented_for_the_mean_of_student_numbers():
    with pytest.raises(NotImplementedError, match="no closed law"):
        Averaged(StudentT(1.0, nu=3.0), 2).sign_mean(torch.zeros(1))


# --------------------------------------------------------------------------------------- agents that share a function


@pytest.mark.parametrize(("d", "k", "agents"), [(7, 1, 5), (7, 3, 4), (7, 5, 4), (7, 7, 3), (3, 2, 300)])
def test_counts_of_subsets_have_the_law_of_counted_subsets(d, k, agents):
    runs = 20_000 if agents < 100 else 500
    counts = randomness.subset_counts(d, k, agents, runs, "cpu", seeded(6))
    plain = torch.zeros(runs, d, dtype=torch.long)
    chosen = randomness.subset(d, k, (runs, agents), "cpu", seeded(7)).view(runs, -1)
    plain.scatter_add_(1, chosen, torch.ones_like(chosen))
    assert bool((counts.sum(1) == k * agents).all())
    assert counts.shape == plain.shape
    for weights in (torch.eye(d)[0], torch.arange(d).float()):
        assert same_law(counts @ weights.long(), plain @ weights.long())


def test_counts_do_not_depend_on_how_many_runs_share_a_table(monkeypatch):
    whole = randomness.subset_counts(50, 5, 10, 200, "cpu", seeded(8))
    monkeypatch.setattr(randomness, "_MARKS", 1)
    parts = randomness.subset_counts(50, 5, 10, 200, "cpu", seeded(8))
    assert same_law(whole[:, 0], parts[:, 0])
    assert parts.shape == whole.shape


NOISES = [Gaussian(0.7), StudentT(0.7, nu=3.0), StudentT(0.7, nu=1.0), StudentT(0.7, nu=3.0, shared=True),
          AffineGaussian(b_aff=0.5, c_aff=0.3), Averaged(StudentT(0.7, nu=3.0), 2)]
COMPRESSORS = [RandK(2), Sign(), Identity(), Scaled(RandomSparsification(0.25), 4), TopK(1)]


@pytest.mark.parametrize("noise", NOISES, ids=repr)
@pytest.mark.parametrize("compressor", COMPRESSORS, ids=repr)
def test_the_mean_message_has_the_law_of_the_mean_of_the_messages(compressor, noise):
    runs, agents = 8_000, 3
    gradient = torch.tensor([0.6, -0.3, 0.0, 1.2], dtype=double)
    fast = Homogeneous(compressor, agents, noise).mean_message(gradient.expand(runs, 4), seeded(9))
    plain = compressor(noise(gradient.expand(runs, agents, 4), seeded(10)), seeded(11)).mean(-2)
    direction = torch.tensor([1.0, 0.7, -0.4, 0.3], dtype=double)
    assert same_law(fast[:, 1], plain[:, 1])
    assert same_law(fast @ direction, plain @ direction)


@pytest.mark.parametrize("compressor", [RandK(2), TopK(1)], ids=repr)
def test_without_noise_the_agents_differ_by_their_draws_alone(compressor):
    gradient = torch.tensor([0.6, -0.3, 0.1, 1.2], dtype=double).expand(4_000, 4)
    fast = Homogeneous(compressor, 5).mean_message(gradient, seeded(12))
    plain = compressor(gradient[:, None].expand(-1, 5, -1), seeded(13)).mean(-2)
    assert same_law(fast[:, 3], plain[:, 3])


def test_signs_of_noiseless_agents_are_the_sign():
    gradient = torch.tensor([[0.5, -2.0, 0.0]])
    for noise in (None, Gaussian(0.0), StudentT(0.0, nu=1), AffineGaussian()):
        assert torch.equal(Homogeneous(Sign(), 4, noise).mean_message(gradient, seeded()), gradient.sign())


def test_a_run_of_shared_agents_has_the_law_of_a_run_of_all_agents():
    curvatures, noise = [1.0, 3.0], StudentT(1.0, nu=3.0)
    fast = simulate(bowl(curvatures), Homogeneous(RandK(1), 4, noise), [2.0, 1.0], 15, 0.2, runs=4_000,
                    generator=seeded(14))
    plain = simulate(bowl(curvatures, agents=4), DCGD(RandK(1)), [2.0, 1.0], 15, 0.2, runs=4_000, noise=noise,
                     generator=seeded(15))
    assert same_law(fast.gap[-1], plain.gap[-1])
    assert torch.equal(fast.bits, plain.bits)


def test_global_randomness_is_left_alone_and_a_seed_repeats():
    before = torch.get_rng_state()
    gradient = torch.ones(10, 6)
    for compressor in (RandK(2), Sign(), TopK(1)):
        method = Homogeneous(compressor, 3, StudentT(1.0, nu=3.0))
        assert torch.equal(method.mean_message(gradient, seeded(1)), method.mean_message(gradient, seeded(1)))
        method.mean_message(gradient)
    assert torch.equal(before, torch.get_rng_state())


def test_shared_agents_refuse_a_problem_of_many_and_a_number_that_is_none():
    with pytest.raises(ValueError, match="one agent"):
        simulate(bowl([1.0], agents=2), Homogeneous(Sign(), 4, Gaussian(1.0)), [1.0], 1, 0.1)
    with pytest.raises(ValueError, match="agents"):
        Homogeneous(Sign(), 0)


# ---------------------------------------------------------------------------------------------------------- equations


def covariance(sample):
    return sample.T @ sample / len(sample)


@pytest.mark.parametrize("noise", [None, Gaussian(0.8), StudentT(0.5, nu=6.0), AffineGaussian(b_aff=0.5, c_aff=0.2)],
                         ids=repr)
@pytest.mark.parametrize("compressor", [Identity(), RandK(1), RandK(3), Scaled(RandomSparsification(0.5), 2),
                                        NaturalCompression(), StandardDithering(s=2)], ids=repr)
def test_kicks_have_the_covariance_of_a_message(compressor, noise):
    """By the largest of the standardised errors of the entries of the two covariances; 6 entries each."""
    runs, gradient = 60_000, torch.tensor([0.6, -0.35, 1.1], dtype=double)
    equation = DCSGD(bowl([1.0] * 3), 0.1, noise=noise, compressor=compressor)
    many = gradient.expand(runs, 3)
    normal = torch.randn(runs, 3, dtype=double, generator=seeded(16))
    kick = equation.kick(many.clone(), normal, seeded(17))
    message = compressor(many if noise is None else noise(many, seeded(18)), seeded(19)) - gradient
    products = [(sample[:, :, None] * sample[:, None, :]).view(runs, 9) for sample in (kick, message)]
    error = (products[0].mean(0) - products[1].mean(0)).abs()
    spread = sum(product.var(0) for product in products).div(runs).sqrt()
    assert bool((error <= 1e-12 + stats.norm.isf(LEVEL / 12) * spread).all())


def test_the_sign_equation_has_the_mean_and_the_variance_of_a_sign():
    gradient, noise = torch.tensor([0.4, -1.5, 0.0], dtype=double), StudentT(0.5, nu=2.0)
    equation = DSignSGD(bowl([1.0] * 3), 0.1, noise=noise)
    field = equation.field(gradient)
    kick = equation.kick(field, torch.ones(3, dtype=double), None)
    torch.testing.assert_close(equation.drift(gradient, field), -noise.sign_mean(gradient))
    torch.testing.assert_close(kick.square(), 1 - noise.sign_mean(gradient).square())
    linear = LinearisedDSignSGD(bowl([1.0] * 3), 0.1, noise=noise)
    torch.testing.assert_close(linear.field(gradient), slope(2) / 0.5 * gradient)


def test_the_second_order_drift_is_the_gradient_of_the_modified_loss():
    f, eta = SineValley(), 0.3
    x = torch.linspace(-2, 2, 9, dtype=double)[:, None].requires_grad_()
    modified = f.loss(x) + eta / 4 * f.gradient(x).square().sum(-1)
    want = -torch.autograd.grad(modified.sum(), x)[0]
    equation = SecondOrder(f, eta)
    x = x.detach()
    torch.testing.assert_close(equation.drift(x, equation.field(x)), want)


def test_products_with_the_hessian_are_those_of_the_matrix():
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=double)
    x, v = torch.randn(2, 3, 2, dtype=double, generator=seeded(20))
    torch.testing.assert_close(Quadratic(matrix[None], torch.ones(1, 2)).hessian_product(x, v), v @ matrix)
    torch.testing.assert_close(bowl([2.0, 5.0]).hessian_product(x, v), v * torch.tensor([2.0, 5.0]))


def test_a_problem_moves_whole_and_keeps_its_constants():
    f = SineValley()
    g = f.to(torch.float32)
    assert g.minimiser.dtype == torch.float32
    assert f.minimiser.dtype == double
    assert g.gap(torch.ones(4, 1)).dtype == torch.float32
    assert g.convexity == f.convexity
    assert bowl([1.0, 2.0]).to(torch.float32).gradient(torch.ones(3, 2)).dtype == torch.float32


class Multiplicative(Equation):
    """dX = −X dt + √η σX dW on a fixed Brownian path: geometric Brownian motion, whose solution is known."""

    def drift(self, x, field):
        return -x

    def kick(self, field, normal, generator):
        return self.increments.pop(0) * field

    def field(self, x):
        return x


def paths_of(increments, kind):
    """Euler–Maruyama on given standard normal increments (substeps, runs, 1), to t = 1 with η = 1."""
    equation = kind(bowl([1.0]), 1.0)
    object.__setattr__(equation, "to", lambda dtype: equation)
    object.__setattr__(equation, "increments", list(increments))
    return euler_maruyama(equation, torch.ones(1), 1, runs=increments.shape[1], substeps=len(increments), dtype=double,
                          generator=seeded()).final[:, 0]


class Additive(Multiplicative):
    def kick(self, field, normal, generator):
        return self.increments.pop(0)


@pytest.mark.parametrize(("kind", "order"), [(Multiplicative, 0.5), (Additive, 1.0)])
def test_euler_maruyama_has_its_strong_order(kind, order):
    """The slope of log₂ of the strong error over four halvings of the step, with an interval from 20 blocks of runs."""
    fine, runs = 512, 4_000
    normal = torch.randn(fine, runs, 1, dtype=double, generator=seeded(21))
    brownian = normal.sum(0)[:, 0] / sqrt(fine)
    exact = torch.exp(-1.5 + brownian) if kind is Multiplicative else paths_of(normal, kind)
    errors = []
    for n in (8, 16, 32, 64):
        coarse = normal.view(n, fine // n, runs, 1).sum(1) / sqrt(fine // n)
        errors.append((paths_of(coarse, kind) - exact).abs().view(20, -1).mean(1))
    slopes = -torch.stack(errors).log2().diff(dim=0).mean(0)
    error = Z * float(slopes.std()) / sqrt(20)
    assert error < 0.2
    assert abs(float(slopes.mean()) - order) < error + 0.1


def test_euler_maruyama_has_weak_order_one():
    """E X² by the scheme for dX = −X dt + dW is known: (1 − h)² V + h a step. Its error halves with h."""
    gaps = {}
    for substeps in (4, 8):
        equation = DCSGD(bowl([1.0]), 1.0, noise=Gaussian(1.0))
        final = euler_maruyama(equation, [2.0], 1, runs=200_000, substeps=substeps, generator=seeded(22)).final.double()
        gaps[substeps] = final.square().mean(), float(final.square().std()) / sqrt(200_000)
    exact = 4 * np.exp(-2) + (1 - np.exp(-2)) / 2
    for n, (second, error) in gaps.items():
        h, value = 1 / n, 4.0
        for _ in range(n):
            value = (1 - h) ** 2 * value + h
        assert abs(float(second) - value) < Z * error
        assert abs(value - exact) > 2 * Z * error
    ratio = (float(gaps[4][0]) - exact) / (float(gaps[8][0]) - exact)
    assert 1.5 < ratio < 3.0


def test_sgd_with_gaussian_noise_is_its_euler_scheme():
    f, noise = bowl([1.0, 4.0]), Gaussian(0.5)
    chain = simulate(f, Homogeneous(Identity(), 9, noise), [1.0, 1.0], 20, 0.1, runs=4_000, generator=seeded(23))
    paths = euler_maruyama(DCSGD(f, 0.1, agents=9, noise=noise), [1.0, 1.0], 20, runs=4_000, generator=seeded(24))
    assert same_law(chain.gap[-1], paths.gap[-1])
    assert paths.time.tolist() == pytest.approx([0.1 * n for n in range(21)])


@pytest.mark.parametrize(("make", "named"), [
    (lambda: DCSGD(bowl([1.0]), 0.0), "step_size"),
    (lambda: DCSGD(bowl([1.0]), 0.1, agents=0), "agents"),
    (lambda: DCSGD(bowl([1.0, 1.0]), 0.1, compressor=TopK(1)), "unbiased"),
    (lambda: DCSGD(bowl([1.0]), 0.1, noise=StudentT(1.0, nu=2.0)), "finite variance"),
    (lambda: DSignSGD(bowl([1.0]), 0.1), "noise"),
    (lambda: euler_maruyama(DCSGD(bowl([1.0]), 0.1), [1.0], 5, substeps=0), "substeps"),
    (lambda: euler_maruyama(DCSGD(bowl([1.0]), 0.1), [1.0], -1), "steps"),
    (lambda: euler_maruyama(DCSGD(bowl([1.0]), 0.1), [1.0, 2.0], 5), "start"),
    (lambda: euler_maruyama(DCSGD(bowl([1.0]), 0.1), [float("nan")], 5), "start"),
])
def test_equations_refuse_what_makes_no_sense(make, named):
    with pytest.raises(ValueError, match=named):
        make()
