"""The statements of the chapter `dsignsgd`, each tried where it would fail if it were false.

Most laws here are exact: the method on a line is a chain on a lattice, its equation a generator on a fine grid. Where
numbers are drawn, seeds are fixed and bounds are five standard errors: about 60 comparisons, false alarm below 1e-4.
"""

from itertools import pairwise, product
from math import erf, inf, pi, sqrt

import numpy as np
import pytest
import sympy as sp
import torch
from closed import generator, value
from scipy import stats
from scipy.integrate import dblquad, quad, solve_ivp
from scipy.optimize import brentq
from scipy.sparse import diags
from scipy.sparse.linalg import expm_multiply

from gradpress import compressors as ops
from gradpress import formulas
from gradpress.homogeneous import Homogeneous
from gradpress.methods import DCGD, Clipped, Normalised
from gradpress.noise import Averaged, Gaussian, StudentT, batch_slope, slope
from gradpress.problems import SineValley, bowl
from gradpress.sde import DSignSGD, LinearisedDSignSGD, euler_maruyama
from gradpress.sign_laws import (
    chain_second_moment,
    expected_sign,
    sde_second_moment,
    shared_covariance,
    unit_noise,
)
from gradpress.simulate import simulate

TAILS = (1, 2, 3, 5, inf)
double = {"dtype": torch.float64}


def bend(nu):
    return (1 + (0 if nu == inf else 1 / nu)) / 2


def settings(seed, count):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        nu = (1, 1.5, 2, 3, 4, 10, inf)[rng.integers(7)]
        yield rng, nu, 10 ** rng.uniform(-1.5, 1), 10 ** rng.uniform(-2.5, -0.3), int(rng.integers(1, 20))


def on_a_line(nu, eta, agents, reach, points=501):
    """The generator of the equation for f = x²/2 and σ_B = 1, by central differences: the grid and the matrix."""
    x = np.linspace(-reach, reach, points)
    h, m = x[1] - x[0], expected_sign(nu, x)
    spread = eta / agents * (1 - m**2) / (2 * h * h)
    up, down = spread - m / (2 * h), spread + m / (2 * h)
    up[-1] = down[0] = 0
    return x, diags([down[1:], -(up + down), up[:-1]], [-1, 0, 1]).tocsc()


# ------------------------------------------------------------------------------------------------ messages, equation


@pytest.mark.refutes("def-dsignsgd")
def test_a_step_is_the_mean_of_signs():
    f, noise = bowl([1.0, 2.0], agents=5), StudentT(0.7, nu=1.5)
    x = torch.tensor([0.4, -0.3], **double)
    noisy = noise(f.gradients(x), generator(1))
    step, _ = DCGD(ops.Sign()).update(noisy, None, 0.1)
    by_hand = np.zeros(2)
    for z in noisy.numpy() - np.array([0.4, -0.6]):
        by_hand += np.sign(np.array([0.4, -0.6]) + z) / 5
    np.testing.assert_allclose(step, 0.1 * by_hand, atol=1e-15)
    assert set(np.unique(np.round(10 * np.abs(step.numpy()), 10))) <= {0.2, 0.6, 1.0}


@pytest.mark.refutes("lem-sign-moments")
@pytest.mark.parametrize("nu", TAILS)
def test_moments_of_the_mean_sign_by_all_outcomes(nu):
    g, scale, agents = np.array([0.5, -2.0]), 0.8, 3
    m = expected_sign(nu, g / scale)
    tail = stats.norm.cdf if nu == inf else lambda u: stats.t.cdf(u, nu)
    np.testing.assert_allclose(m, 2 * (tail(g / scale) - 0.5), atol=1e-12)
    mean, second = np.zeros(2), np.zeros((2, 2))
    for signs in product((-1, 1), repeat=2 * agents):
        sent = np.array(signs).reshape(agents, 2)
        chance = ((1 + sent * m) / 2).prod()
        mean += chance * sent.mean(0)
        second += chance * np.outer(sent.mean(0), sent.mean(0))
    np.testing.assert_allclose(mean, m, atol=1e-12)
    np.testing.assert_allclose(second - np.outer(m, m), np.diag(1 - m**2) / agents, atol=1e-12)
    assert np.trace(second) == pytest.approx(m @ m + (2 - m @ m) / agents)


@pytest.mark.refutes("lem-sign-moments", "def-dsignsgd")
def test_moments_of_the_mean_sign_by_draws():
    noise, g = StudentT(0.8, nu=1), torch.tensor([0.5, -2.0], **double)
    drawn = Homogeneous(ops.Sign(), 4, noise).mean_message(g.expand(50_000, 2), generator(2))
    m = noise.sign_mean(g)
    assert (((drawn.mean(0) - m) / (drawn.std(0) / 50_000**0.5)).abs() < 5).all()
    off = np.cov(drawn.T.numpy())
    np.testing.assert_allclose(off, np.diag(1 - m.numpy() ** 2) / 4, atol=5 * 0.3 / 50_000**0.5)


@pytest.mark.refutes("thm-dsign-sde")
@pytest.mark.parametrize("nu", TAILS)
def test_drift_and_diffusion_of_the_equation(nu):
    noise = Gaussian(0.5) if nu == inf else StudentT(0.5, nu)
    equation = DSignSGD(bowl([1.0, 3.0]), 0.1, 4, noise)
    x = torch.tensor([[0.2, -0.4], [5.0, 0.0]], **double)
    field = equation.field(x)
    m = expected_sign(nu, x.numpy() * [1, 3] / 0.5)
    np.testing.assert_allclose(equation.drift(x, field), -m, atol=1e-12)
    kick = equation.kick(field, torch.ones_like(x), generator(1))
    np.testing.assert_allclose(kick.square(), 1 - m**2, atol=1e-9)


@pytest.mark.refutes("thm-dsign-sde")
def test_agents_with_different_noise_average_their_covariances():
    g, scales = 0.7, (0.2, 1.0, 5.0)
    m = [float(expected_sign(1, g / s)) for s in scales]
    variance = 0.0
    for signs in product((-1, 1), repeat=3):
        chance = np.prod([(1 + s * p) / 2 for s, p in zip(signs, m, strict=True)])
        variance += chance * (np.mean(signs) - np.mean(m)) ** 2
    assert variance == pytest.approx((1 - np.mean(np.square(m))) / 3)
    assert variance != pytest.approx((1 - np.mean(m) ** 2) / 3, rel=1e-2)


@pytest.mark.refutes("thm-dsign-sde")
@pytest.mark.parametrize("nu", [1, 3, inf])
def test_the_equation_follows_the_method_to_weak_order_1(nu):
    """Both exactly: the chain by its matrix, the equation by its semigroup. The error halves with the step."""
    errors = []
    for eta in (0.1, 0.05, 0.025):
        steps, spacing, most = round(1 / eta), eta, round(6 / eta)
        place = np.arange(-most, most + 1)
        down = (1 + expected_sign(nu, spacing * place)) / 2
        gap = (spacing * place) ** 2 / 2
        for _ in range(steps):
            left, right = np.roll(gap, 1), np.roll(gap, -1)
            gap = down * left + (1 - down) * right
        x, matrix = on_a_line(nu, eta, 1, 6.0, 1201)
        solved = expm_multiply(matrix, x**2 / 2)
        errors.append(gap[most + round(2 / eta)] - np.interp(2.0, x, solved))
    ratios = np.array(errors[:-1]) / errors[1:]
    assert (np.abs(ratios - 2) < 0.1).all(), ratios


# ------------------------------------------------------------------------------------------------------- a shared χ


@pytest.mark.refutes("prop-sign-shared")
@pytest.mark.parametrize("nu", [1, 2, 3, 7])
def test_covariance_of_signs_under_a_shared_chi(nu):
    rng = np.random.default_rng(3)
    for u, w in [(1.0, 1.0), (0.2, -3.0), *rng.standard_normal((3, 2))]:
        density = lambda a, b: (1 + (a * a + b * b) / nu) ** (-(nu + 2) / 2)  # noqa: E731 (used at once)
        joint = 2 / pi * dblquad(density, 0, u, 0, w, epsabs=1e-10)[0]
        wanted = joint - float(expected_sign(nu, u) * expected_sign(nu, w))
        found = shared_covariance(nu, u, w)
        assert found == pytest.approx(wanted, abs=1e-8)
        if nu == 1:
            closed = 2 / pi * np.arctan(u * w / sqrt(1 + u * u + w * w))
            assert joint == pytest.approx(closed, abs=1e-9)
    cap = value(formulas.shared_sign_cap, ell=slope(nu))
    for u, w in 10 ** rng.uniform(-3, 2, (40, 2)):
        assert 0 < shared_covariance(nu, u, w) <= cap * u * w * (1 + 1e-6) + 1e-12
        assert shared_covariance(nu, u, -w) == pytest.approx(-shared_covariance(nu, u, w), abs=1e-12)
    assert shared_covariance(nu, 0.01, 0.02) == pytest.approx(cap * 2e-4, rel=2e-3)


@pytest.mark.refutes("prop-sign-shared")
def test_closed_form_for_cauchy_noise_and_the_slope_by_chi():
    u, w = sp.symbols("u w", positive=True)
    closed = 2 / sp.pi * sp.atan(u * w / sp.sqrt(1 + u**2 + w**2))
    assert sp.simplify(sp.diff(closed, u, w) - 2 / sp.pi * (1 + u**2 + w**2) ** sp.Rational(-3, 2)) == 0
    for nu in (1, 2, 3, 10):
        chi = stats.chi(nu).mean() / sqrt(nu)
        assert slope(nu) == pytest.approx(sqrt(2 / pi) * chi)
        assert value(formulas.shared_sign_cap, ell=slope(nu)) == pytest.approx(2 / pi * (1 - chi**2))


@pytest.mark.refutes("err-dsign-shared", "prop-sign-shared")
def test_printed_covariance_of_signs_fails_where_chi_is_shared_and_holds_where_not():
    n, u = 200_000, torch.ones(2)
    for shared in (True, False):
        signs = StudentT(1.0, nu=3, shared=shared)(u.expand(n, 2), generator(4)).sign().double()
        product_, error = signs.prod(1), 1 / n**0.5
        off = float(product_.mean() - signs.mean(0).prod())
        if shared:
            assert off > 10 * error
            assert off == pytest.approx(shared_covariance(3, 1.0, 1.0), abs=5 * error)
            assert off == pytest.approx(0.0365, abs=5 * error)
        else:
            assert abs(off) < 5 * error
        diagonal = 1 - float(expected_sign(3, 1.0)) ** 2
        assert float(signs.var(0).mean()) == pytest.approx(diagonal, abs=5 * error)
        assert diagonal == pytest.approx(0.629, abs=5e-4)


@pytest.mark.refutes("prop-sign-shared")
def test_a_shared_chi_moves_the_gap_of_no_sum_and_of_others_little():
    finals = []
    for shared in (True, False):
        method = Homogeneous(ops.Sign(), 2, StudentT(1.0, nu=2, shared=shared))
        run = simulate(bowl([1.0, 2.0]).to(torch.float32), method, [2.0, 0.0], 40, 0.1, runs=6000,
                       every=40, generator=generator(5))
        finals.append((run.gap[-1].mean(), run.gap[-1].std() / 6000**0.5))
    (a, ea), (b, eb) = finals
    assert abs(a - b) < 5 * (ea**2 + eb**2) ** 0.5
    rng = np.random.default_rng(6)
    for _ in range(20):  # the change of the generator
        d, nu = int(rng.integers(2, 5)), (1, 2, 4)[rng.integers(3)]
        q = np.linalg.qr(rng.standard_normal((d, d)))[0]
        h = (q * rng.uniform(0, 1, d)) @ q.T
        u = rng.standard_normal(d) * rng.choice([0.1, 1, 5])
        change = sum(h[j, k] * shared_covariance(nu, u[j], u[k]) for j, k in product(range(d), repeat=2) if j != k)
        cap = value(formulas.shared_sign_cap, ell=slope(nu))
        assert abs(change) <= cap * (d - 1) * np.linalg.norm(h, 2) * (u @ u) + 1e-12


# ---------------------------------------------------------------------------------------------------- expected sign


@pytest.mark.refutes("lem-expected-sign")
@pytest.mark.parametrize("nu", [1, 2, 3, 4, inf])
def test_closed_forms_are_integrals_of_the_density(nu):
    u = formulas.u
    density = sp.exp(-(u**2) / 2) / sp.sqrt(2 * sp.pi)
    if nu != inf:
        density = formulas.student_slope(nu=nu) / 2 * (1 + u**2 / sp.Integer(nu)) ** (-sp.Rational(nu + 1, 2))
    closed = formulas.SIGN_MEANS[nu].expression
    assert sp.simplify(sp.diff(closed, u) - 2 * density) == 0
    assert sp.limit(closed, u, 0) == 0
    series = sp.series(closed, u, 0, 5).removeO() / sp.diff(closed, u).subs(u, 0)
    assert sp.simplify(series - u + sp.Rational(1 if nu == inf else nu + 1, 6 if nu == inf else 6 * nu) * u**3) == 0
    assert float(sp.diff(closed, u).subs(u, 0)) == pytest.approx(slope(nu))


@pytest.mark.refutes("lem-expected-sign")
def test_shape_of_the_expected_sign():
    u = np.linspace(0, 40, 4001)
    for nu in (0.7, 1, 1.5, 2, 3, 4, 10, inf):
        m = expected_sign(nu, u)
        assert (np.diff(m) > -1e-12).all()
        assert (np.diff(m, 2) < 1e-12).all()
        assert (m[1:] < slope(nu) * u[1:]).all()
        assert (np.diff(m[1:] / u[1:]) < 0).all()
        np.testing.assert_allclose(expected_sign(nu, -u), -m)
        for u1 in (0.1, 1.0, 7.0):
            assert (m >= expected_sign(nu, u1) * np.minimum(u / u1, 1) - 1e-12).all()
    slopes = [slope(nu) for nu in (0.5, 1, 1.5, 2, 3, 10, 100, inf)]
    assert (np.diff(slopes) > 0).all()
    np.testing.assert_allclose([slope(1), slope(2), slope(3), slope(4)], [2 / pi, 2**-0.5, 4 / (pi * 3**0.5), 0.75])
    # two bumps: the expected sign lies above its tangent first
    bumps = lambda v: (stats.norm.cdf(v, 2, 0.5) + stats.norm.cdf(v, -2, 0.5)) - 1  # noqa: E731 (used at once)
    tangent = 2 * stats.norm.pdf(0, 2, 0.5)
    assert bumps(1.5) > 1.5 * tangent


@pytest.mark.refutes("lem-expected-sign")
def test_one_norm_for_all_coordinates():
    nearest = inf
    for rng, nu, scale, _, _ in settings(7, 300):
        g = rng.standard_normal(int(rng.integers(1, 9))) * 10 ** rng.uniform(-2, 2)
        left = (np.abs(g) * expected_sign(nu, np.abs(g) / scale)).sum()
        norm = np.linalg.norm(g)
        right = norm * float(expected_sign(nu, norm / scale))
        assert left >= right * (1 - 1e-9)
        nearest = min(nearest, left / right)
    assert nearest < 1.001


# ------------------------------------------------------------------------------------------------------- linearised


@pytest.mark.refutes("def-dsign-linear")
def test_linearised_equation_has_constant_diffusion_and_linear_drift():
    equation = LinearisedDSignSGD(bowl([1.0, 3.0]), 0.1, 4, StudentT(0.5, nu=1))
    x = torch.tensor([[0.2, -40.0]], **double)
    field = equation.field(x)
    torch.testing.assert_close(field, 2 / pi / 0.5 * x * torch.tensor([1.0, 3.0], **double))
    torch.testing.assert_close(equation.kick(field, torch.ones_like(x), None), torch.ones_like(x))
    assert value(formulas.dsign_rate, ell=slope(1), B=16, sigma=2) == pytest.approx(slope(1) / 0.5)


@pytest.mark.refutes("thm-dsign-linear-bound", "err-dsign-bound")
def test_theorem_4_holds_for_the_linearised_equation():
    """Its moments on a quadratic are known; on a valley that is not convex the inequality of the proof is tried."""
    nearest = inf
    for rng, nu, scale, eta, agents in settings(8, 200):
        d, delta = int(rng.integers(1, 5)), slope(nu) / scale
        h = rng.uniform(0.1, 3, d) if rng.random() < 0.7 else np.full(d, rng.uniform(0.1, 3))
        x0, t = rng.standard_normal(d) * 5, rng.exponential(2 * scale)
        fade = np.exp(-2 * delta * h * t)
        gap = (h / 2 * (x0**2 * fade + (1 - fade) * eta / (2 * agents * delta * h))).sum()
        known = {"eta": eta, "L": h.max(), "mu": h.min(), "d": d, "N": agents, "B": 1, "sigma": scale, "t": t}
        bound = value(formulas.dsign_bound, **known, ell=slope(nu), E_0=(h / 2 * x0**2).sum())
        assert gap <= bound * (1 + 1e-9)
        nearest = min(nearest, bound / gap)
        if h.min() == h.max():
            assert gap == pytest.approx(bound, rel=1e-6)
    assert nearest < 1 + 1e-6
    f, x = SineValley(), torch.linspace(-15, 15, 3001, **double)[:, None]
    g, second = f.gradient(x)[:, 0], 2 + 6 * torch.cos(2 * x[:, 0])
    generated = -0.7 * g.square() + 0.05 * second
    assert (generated <= -2 * f.convexity * 0.7 * f.loss(x) + 0.05 * f.smoothness + 1e-9).all()


@pytest.mark.refutes("thm-dsign-linear-bound")
def test_worked_number_of_theorem_4():
    known = {"mu": 1, "L": 1, "d": 1, "N": 1, "eta": 0.1, "B": 1, "sigma": 1, "ell": slope(1)}
    assert value(formulas.dsign_floor, **known) == pytest.approx(0.03927, abs=5e-6)
    run = euler_maruyama(LinearisedDSignSGD(bowl([1.0]), 0.1, 1, StudentT(1.0, nu=1)), [2.0], 20, runs=4000,
                         substeps=20, generator=generator(9))
    error = float(run.gap[-1].std() / 4000**0.5)
    assert float(run.gap[-1].mean()) == pytest.approx(value(formulas.dsign_bound, **known, E_0=2, t=2), abs=5 * error)


# ------------------------------------------------------------------------------------------------- what exceeds it


@pytest.mark.refutes("prop-dsign-exceeds", "err-dsign-bound")
@pytest.mark.parametrize("nu", [1, 3, inf])
def test_on_the_way_theorem_4_is_refuted_for_every_tail(nu):
    noise = Gaussian(0.01) if nu == inf else StudentT(0.01, nu)
    paths = euler_maruyama(DSignSGD(bowl([1.0]), 0.01, 1, noise), [10.0], 100, runs=200, dtype=torch.float64,
                           generator=generator(10))
    run = simulate(bowl([1.0]), Homogeneous(ops.Sign(), 1, noise), [10.0], 100, 0.01, runs=50, generator=generator(11))
    slowest = [value(formulas.dsign_slowest, H=1, x_0=10, t=int(n) / 100) for n in paths.step]
    assert (run.gap >= torch.tensor(slowest, **double)[:, None] - 1e-9).all()
    assert (paths.gap.mean(1) >= torch.tensor(slowest, **double) - 0.02).all()
    printed = value(formulas.dsign_bound, mu=1, L=1, d=1, N=1, eta=0.01, B=1, sigma=0.01, ell=slope(nu), E_0=50, t=1)
    assert slowest[-1] == 40.5
    assert printed < 1e-4
    if nu == 1:
        assert printed == pytest.approx(3.9e-5, abs=5e-7)


@pytest.mark.refutes("prop-dsign-exceeds")
@pytest.mark.parametrize("nu", [1, 3, inf])
def test_density_at_rest_is_that_of_the_generator(nu):
    for theta in (0.02, 0.3):
        x, matrix = on_a_line(nu, theta, 1, 10 * sqrt(theta), 1001)
        system = matrix.T.toarray()
        system[-1] = 1.0
        law = np.linalg.solve(system, np.eye(len(x))[-1])
        assert sde_second_moment(nu, theta) == pytest.approx(law @ x**2, rel=2e-3)


@pytest.mark.refutes("prop-dsign-exceeds", "err-dsign-bound")
def test_at_rest_the_equation_exceeds_the_floor_under_heavy_tails_only():
    def share(nu, theta):
        return sde_second_moment(nu, theta, 6001) / (theta / (2 * slope(nu)))

    for nu in (1, 2, 3, 5, 8, inf):
        v = 1e-3
        excess = (share(nu, 2 * slope(nu) * v) - 1) / v
        assert excess == pytest.approx(bend(nu) - slope(nu) ** 2, abs=4e-3)
        known = {"eta": 2 * slope(nu) * v, "H": 1, "N": 1, "B": 1, "sigma": 1, "ell": slope(nu)}
        if nu != inf:
            wanted = 1 + v * (bend(nu) - slope(nu) ** 2)
            assert value(formulas.dsign_excess_sde, **known, nu=nu) == pytest.approx(wanted)
            assert value(formulas.sign_bend, nu=nu) == pytest.approx(bend(nu))
    threshold = brentq(lambda nu: bend(nu) - slope(nu) ** 2, 3, 10)
    assert threshold == pytest.approx(5.8834, abs=1e-4)
    difference = [bend(nu) - slope(nu) ** 2 for nu in np.linspace(0.5, 40, 150)]
    assert (np.diff(np.sign(difference)) != 0).sum() == 1
    assert share(5.5, 0.002) > 1 > share(6.3, 0.002)
    assert sde_second_moment(1, 0.1) / 2 == pytest.approx(0.04085, abs=5e-6)
    assert share(1, 0.1) > 1.04
    assert share(inf, 0.1) < 0.995


@pytest.mark.refutes("prop-dsign-exceeds", "err-dsign-bound")
def test_at_rest_the_method_exceeds_the_floor_under_all_tails():
    for nu in (1, 2, 3, 10, inf):
        for agents in (1, 2, 5):
            for theta in (0.01, 0.2, 0.8):
                v = theta / (2 * slope(nu))
                for offset in (0.0, 0.4):
                    assert chain_second_moment(nu, theta, agents, offset) > v
            v = 5e-4
            excess = (chain_second_moment(nu, 2 * slope(nu) * v, agents) / v - 1) / v
            wanted = bend(nu) + (agents - 1) * slope(nu) ** 2
            assert excess == pytest.approx(wanted, rel=0.01)
            if nu != inf:
                known = {"eta": 2 * slope(nu) * v * agents, "H": 1, "N": agents, "B": 1, "sigma": 1, "ell": slope(nu)}
                assert value(formulas.dsign_excess_chain, **known, nu=nu) == pytest.approx(1 + v * wanted)
    assert chain_second_moment(1, 0.1) / 2 == pytest.approx(0.04223, abs=5e-6)
    assert chain_second_moment(inf, 0.1) / 2 == pytest.approx(0.03232, abs=5e-6)


@pytest.mark.refutes("prop-dsign-exceeds")
def test_law_of_the_method_at_rest_is_what_runs_show():
    for agents, seed in ((1, 12), (4, 13)):
        method = Homogeneous(ops.Sign(), agents, StudentT(1.0, nu=1))
        run = simulate(bowl([1.0]).to(torch.float32), method, [0.0], 120, 0.2, runs=8000, every=119,
                       generator=generator(seed))
        seen = torch.stack([run.gap[-2], run.gap[-1]]).mean(0)
        known = chain_second_moment(1, 0.2 / agents, agents) / 2
        assert float(seen.mean()) == pytest.approx(known, abs=5 * float(seen.std()) / 8000**0.5)


# ------------------------------------------------------------------------------------------------------- what holds


def guaranteed(nu, scale, mu, e):
    w = np.sqrt(2 * mu * np.asarray(e))
    return w * expected_sign(nu, w / scale)


def curved(rng):
    """A function with its gradient, Hessian, L, μ and dimension: a rotated quadratic, or the valley."""
    if rng.random() < 0.4:
        f = SineValley()
        return (lambda x: float(f.loss(torch.tensor(x))), lambda x: f.gradient(torch.tensor(x)).numpy(),
                lambda x: np.array([[2 + 6 * np.cos(2 * x[0])]]), f.smoothness, f.convexity, 1)
    d = int(rng.integers(1, 5))
    q, h = np.linalg.qr(rng.standard_normal((d, d)))[0], rng.uniform(0.1, 2, d)
    matrix = (q * h) @ q.T
    return (lambda x: x @ matrix @ x / 2, lambda x: matrix @ x, lambda x: matrix, h.max(), h.min(), d)


@pytest.mark.refutes("thm-dsign-global")
def test_generator_of_the_equation_on_the_gap_and_on_its_square():
    broken = 0
    for rng, nu, scale, eta, agents in settings(14, 150):
        f, gradient, hessian, top, mu, d = curved(rng)
        x = rng.standard_normal(d) * 10 ** rng.uniform(-1.5, 1)
        g, diagonal, gap = gradient(x), np.diag(hessian(x)), f(x)
        m = expected_sign(nu, g / scale)
        noise = eta / (2 * agents)
        power, kick = (g * m).sum(), value(formulas.dsign_kick, eta=eta, L=top, d=d, N=agents)
        generated = -power + noise * (diagonal * (1 - m**2)).sum()
        assert generated <= -power + noise * np.maximum(diagonal, 0).sum() + 1e-12
        assert noise * np.maximum(diagonal, 0).sum() <= kick * (1 + 1e-9)
        broken += generated > -power + noise * diagonal.sum() + 1e-9  # the version with the trace
        assert power >= guaranteed(nu, scale, mu, gap) * (1 - 1e-6) - 1e-12
        square = gap * generated + noise * (g**2 * (1 - m**2)).sum()
        most = -gap * guaranteed(nu, scale, mu, gap) + (1 + 2 / d) * kick * gap
        assert square <= most + 1e-9 * (1 + abs(most))
    assert broken > 3


@pytest.mark.refutes("thm-dsign-global")
def test_the_trace_version_breaks_where_the_text_says():
    x = torch.tensor([2.0], **double)
    second, m = 2 + 6 * np.cos(4.0), float(StudentT(1.0, nu=1).sign_mean(SineValley().gradient(x)))
    assert 0.05 * second * (1 - m**2) == pytest.approx(-0.0534, abs=5e-5)
    assert 0.05 * second == pytest.approx(-0.0961, abs=5e-5)


@pytest.mark.refutes("thm-dsign-global")
@pytest.mark.parametrize("nu", [1, 3, inf])
def test_mean_gap_over_time_stays_below_the_bound_and_the_floor_is_sharp_in_the_limit(nu):
    for eta, start in ((0.1, 0.0), (0.1, 4.0), (0.02, 2.0)):
        x, matrix = on_a_line(nu, eta, 1, 7.0)
        times = np.linspace(0, 12, 61)
        gaps = expm_multiply(matrix, x**2 / 2, start=0, stop=12, num=61)
        at = np.array([np.interp(start, x, row) for row in gaps])
        kick, e0 = value(formulas.dsign_kick, eta=eta, L=1, d=1, N=1), start**2 / 2
        for n in (10, 30, 60):
            mean = np.trapezoid(at[: n + 1], times[: n + 1]) / times[n]
            for e1 in (0.3, 1.0, 5.0):
                left = guaranteed(nu, 1.0, 1.0, e1) - 3 * kick
                if left > 0:
                    assert mean <= (e1 * (kick + e0 / times[n]) + e0**2 / (2 * times[n])) / left
    ratios = []
    for eta in (1e-2, 1e-4, 1e-6):
        kick, e1 = value(formulas.dsign_kick, eta=eta, L=1, d=1, N=1), np.geomspace(1e-8, 10, 3000)
        speed = guaranteed(nu, 1.0, 1.0, e1)
        good = speed > 3 * kick
        floors = [value(formulas.dsign_global_floor, eta=eta, L=1, d=1, N=1, gap_0=e, G_0=g)
                  for e, g in zip(e1[good][::100], speed[good][::100], strict=True)]
        known = {"L": 1, "d": 1, "mu": 1, "N": 1, "B": 1, "sigma": 1, "ell": slope(nu)}
        ratios.append(min(floors) / value(formulas.dsign_floor, **known, eta=eta))
        assert min(floors) >= sde_second_moment(nu, eta) / 2 * (1 - 1e-6)
    assert 1 < ratios[2] < ratios[1] < ratios[0]
    assert ratios[2] < 1.02


@pytest.mark.refutes("thm-dsign-chain")
def test_one_step_of_the_method_stays_below_the_bound_however_coordinates_depend():
    """On a quadratic one step is exact; the coordinates of a message are coupled as badly as they can be."""
    nearest = 0.0
    for rng, nu, scale, eta, agents in settings(15, 200):
        d = int(rng.integers(1, 4))
        q, h = np.linalg.qr(rng.standard_normal((d, d)))[0], rng.uniform(0.1, 2, d)
        matrix = (q * h) @ q.T if rng.random() < 0.6 else 2.0 * np.eye(d)
        top = np.linalg.norm(matrix, 2)
        known = {"eta": eta, "N": agents, "d": d, "B": 1, "sigma": scale, "ell": slope(nu)}
        x = rng.standard_normal(d) * 10 ** rng.uniform(-2, 1)
        g = matrix @ x
        m = expected_sign(nu, g / scale)
        levels = np.sort(np.concatenate([[0, 1], (1 + m) / 2]))  # comonotone: one uniform number for all coordinates
        second = np.zeros((d, d))
        for low, high in pairwise(levels):
            sign = np.where((low + high) / 2 < (1 + m) / 2, 1.0, -1.0)
            second += (high - low) * np.outer(sign, sign)
        of_mean = second / agents + (1 - 1 / agents) * np.outer(m, m)
        change = -eta * g @ m + eta**2 / 2 * np.trace(matrix @ of_mean)
        rho = value(formulas.dsign_chain_share, L=top, **known)
        bound = -eta * rho * (g @ m) + eta * value(formulas.dsign_kick, L=top, **known)
        assert change <= bound + 1e-12
        nearest = max(nearest, (change + eta * rho * (g @ m)) / (bound + eta * rho * (g @ m)))
    assert nearest > 0.99
    known = {"L": 1, "eta": 0.1, "N": 8, "B": 1, "sigma": 1, "ell": slope(1)}
    assert value(formulas.dsign_chain_share, **known) == pytest.approx(0.972, abs=5e-4)


@pytest.mark.refutes("thm-dsign-chain")
def test_mean_of_q_along_runs_with_a_shared_chi():
    f, eta, agents, steps, noise = bowl([1.0, 2.0]), 0.1, 4, 120, StudentT(1.0, nu=1, shared=True)
    x, g, total = torch.full((300, 2), 2.0, **double), generator(16), torch.zeros(300, **double)
    for _ in range(steps):
        gradient = f.gradient(x)
        total += (gradient * noise.sign_mean(gradient)).sum(1) / steps
        x = x - eta * noise(gradient[:, None].expand(300, agents, 2), g).sign().mean(1)
    known = {"eta": eta, "L": 2, "N": agents, "d": 2, "B": 1, "sigma": 1, "ell": slope(1)}
    most = (6 / (eta * steps) + value(formulas.dsign_kick, **known)) / value(formulas.dsign_chain_share, **known)
    assert float(total.mean() + 5 * total.std() / 300**0.5) <= most
    assert float(total.mean()) > most / 3


# ------------------------------------------------------------------------------------------------------ three phases


@pytest.mark.refutes("prop-phases")
def test_flow_obeys_the_three_phases():
    nearest = inf
    for rng, nu, scale, _, _ in settings(17, 10):
        f, gradient, _, _, mu, d = curved(rng)
        start = rng.standard_normal(d) * 4
        flow = solve_ivp(lambda t, x, g=gradient, s=scale, v=nu: -expected_sign(v, g(x) / s), (0, 12), start,
                         rtol=1e-7, atol=1e-9, t_eval=np.linspace(0, 12, 61))
        gap = np.array([f(x) for x in flow.y.T])
        for u_1 in (0.2, 1.0, 4.0):
            m_1 = float(expected_sign(nu, u_1))
            known = {"u_1": u_1, "m_1": m_1, "mu": mu, "B": 1, "sigma": scale}
            end = value(formulas.sign_phase_end, **known)
            arrived = gap <= end
            first = np.flatnonzero(arrived)[0] if arrived.any() else len(gap)
            for n in range(0, first):
                assert sqrt(gap[n]) <= max(sqrt(gap[0]) - m_1 * sqrt(mu / 2) * flow.t[n], sqrt(end)) + 1e-6
            if first < len(gap):
                latest = value(formulas.sign_extinction, E_0=max(gap[0], 1e-12), mu=mu) / m_1
                assert flow.t[max(first - 1, 0)] <= latest + 1e-9
                for n in range(first, len(gap), 7):
                    known["t"], known["E_0"] = flow.t[n] - flow.t[first], min(gap[first], end)
                    assert gap[n] <= value(formulas.sign_chord_gap, **known) * (1 + 1e-5) + 1e-9
        if d == 1 and f(np.array([1.0])) == pytest.approx(mu / 2):
            slowest = gap[0] * np.exp(-2 * mu * slope(nu) / scale * flow.t)
            assert (gap >= slowest * (1 - 1e-5) - 1e-9).all()
            nearest = min(nearest, float((gap[1:] / np.maximum(slowest[1:], 1e-300)).min()))
    assert nearest < 50


@pytest.mark.refutes("prop-phases")
def test_threshold_and_chord_are_sharp():
    """On μx²/2 the threshold is where the gradient is u₁σ_B, and short chords have the true rate."""
    mu, sigma, batch, u_1 = 0.5, 3.0, 4, 0.02
    scale = sigma / sqrt(batch)
    at = u_1 * scale / mu
    known = {"u_1": u_1, "m_1": float(expected_sign(1, u_1)), "mu": mu, "B": batch, "sigma": sigma}
    end = value(formulas.sign_phase_end, **known)
    assert end == pytest.approx(mu / 2 * at**2)
    flow = solve_ivp(lambda t, x: -expected_sign(1, mu * x / scale), (0, 2), [at], rtol=1e-10, atol=1e-14)
    chord = value(formulas.sign_chord_gap, **known, E_0=end, t=2.0)
    assert chord == pytest.approx(mu / 2 * flow.y[0, -1] ** 2, rel=1e-3)


@pytest.mark.refutes("prop-phases")
def test_without_noise_the_flow_is_extinct_in_time():
    arrival = value(formulas.sign_extinction, E_0=50, mu=1)
    assert arrival == pytest.approx(10)
    for scale in (1e-1, 1e-2, 1e-3):
        time = quad(lambda x, s=scale: 1 / float(expected_sign(1, x / s)), 0.05, 10, limit=500)[0]
        assert 9.95 <= time <= arrival + 8 * scale
    known = {"E_0": 50, "m_1": 1, "mu": 1}
    np.testing.assert_allclose([value(formulas.sign_phase_gap, **known, t=t) for t in (0, 4, 12)], [50, 18, 0])


# -------------------------------------------------------------------------------------------------------- at rest


@pytest.mark.refutes("prop-dsign-variance", "rem-stationary-laws")
def test_stationary_variances_solve_their_equations():
    eta, h, n, b, sigma, ell = (getattr(formulas, name) for name in ("eta", "H", "N", "B", "sigma", "ell"))
    delta = ell * sp.sqrt(b) / sigma
    v = formulas.dsign_variance.expression
    assert sp.simplify(-2 * delta * h * v + eta / n) == 0
    v = formulas.dsign_variance_full.expression
    assert sp.simplify(-2 * delta * h * v + eta / n * (1 - delta**2 * h**2 * v)) == 0
    v = formulas.dsign_variance_chain.expression
    moved = -2 * eta * delta * h * v + eta**2 * (1 / n + (1 - 1 / n) * delta**2 * h**2 * v)
    assert sp.simplify(moved) == 0
    assert sp.simplify(v.subs(n, 1) - formulas.dsign_variance.expression.subs(n, 1)) == 0
    gaussian = formulas.dsign_variance.expression.subs({n: 1, b: 1, ell: sp.sqrt(2 / sp.pi)})
    assert sp.simplify(gaussian - eta / 2 * sp.sqrt(sp.pi / 2) * sigma / h) == 0
    rng = np.random.default_rng(18)
    q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    hessian = (q * [0.5, 1, 4]) @ q.T
    law = 0.1 / (2 * 5 * 0.7) * np.linalg.inv(hessian)
    np.testing.assert_allclose(0.7 * (hessian @ law + law @ hessian), 0.1 / 5 * np.eye(3), atol=1e-12)
    assert np.trace(hessian @ law) / 2 == pytest.approx(0.1 * 3 / (4 * 5 * 0.7))


@pytest.mark.refutes("prop-dsign-variance")
@pytest.mark.parametrize("k", [1, 4, 10])
def test_uniform_noise_makes_an_ehrenfest_urn(k):
    place = np.arange(-k, k + 1)
    step = np.zeros((2 * k + 1, 2 * k + 1))
    for i, j in enumerate(place):
        right = (1 + j / k) / 2  # P(j/k + T > 0) for T uniform on [−1, 1]
        if i > 0:
            step[i, i - 1] = right
        if i < 2 * k:
            step[i, i + 1] = 1 - right
    np.testing.assert_allclose(step.sum(1), 1)
    law = stats.binom.pmf(np.arange(2 * k + 1), 2 * k, 0.5)
    np.testing.assert_allclose(law @ step, law, atol=1e-14)
    eta, curvature = 0.1, 2.0
    known = {"eta": eta, "H": curvature, "N": 1, "B": 1, "sigma": k * eta * curvature, "ell": 1}
    assert eta**2 * (law @ place**2) == pytest.approx(value(formulas.dsign_variance_chain, **known))


@pytest.mark.refutes("prop-dsign-variance")
def test_variance_of_the_method_is_nearly_exact_for_gaussian_noise():
    for agents in (1, 8):
        known = {"eta": 0.1, "H": 1, "N": agents, "B": 1, "sigma": 1, "ell": slope(inf)}
        exact = chain_second_moment(inf, 0.1 / agents, agents)
        assert value(formulas.dsign_variance_chain, **known) == pytest.approx(exact, rel=0.05)
        errors = [abs(value(formula, **known) - exact) for formula in
                  (formulas.dsign_variance_chain, formulas.dsign_variance_full)]
        assert errors[0] < errors[1] / 2


# --------------------------------------------------------------------------------------------------------- batches


@pytest.mark.refutes("prop-batching")
def test_slope_of_a_mean_against_its_density():
    for nu in (2, 3, 5):
        square = quad(lambda x, v=nu: stats.t.pdf(x, v) ** 2, -inf, inf)[0]
        assert batch_slope(nu, 2) == pytest.approx(4 * square, rel=1e-8)  # the mean of two has the density 2∫p² at 0
        assert batch_slope(nu, 1) == pytest.approx(slope(nu), rel=1e-8)
    rng = np.random.default_rng(19)
    chi = np.sqrt(rng.chisquare(3, (40_000, 8)) / 3)
    each = sqrt(2 / pi) * 8 / np.sqrt((chi**-2).sum(1))
    assert batch_slope(3, 8) == pytest.approx(each.mean(), abs=5 * each.std() / 200)


@pytest.mark.refutes("prop-batching", "err-dsign-batch")
def test_true_over_modelled_slope():
    for nu in (1, 1.5, 2, 3, 5, 20):
        ratio = [batch_slope(nu, b) / (slope(nu) * b**0.5) for b in (1, 2, 3, 8, 64, 512)]
        assert ratio[0] == pytest.approx(1)
        assert (np.diff(ratio) < 0).all()
        if nu > 2:
            limit = value(formulas.batch_limit, nu=nu, ell=slope(nu))
            assert limit < ratio[-1] < limit * (1.03 if nu == 3 else 1.005)
    np.testing.assert_allclose([batch_slope(1, b) for b in (2, 9, 100)], 2 / pi)
    at_64 = [batch_slope(nu, 64) / (8 * slope(nu)) for nu in (1, 2, 3, 5)]
    np.testing.assert_allclose(at_64, [0.125, 0.4755, 0.6691, 0.8212], atol=5e-5)
    assert batch_slope(2, 10**5) / (10**2.5 * slope(2)) < 0.32  # slowly, to 0
    assert batch_slope(inf, 9) == pytest.approx(3 * slope(inf))


@pytest.mark.refutes("err-dsign-batch")
@pytest.mark.parametrize("nu", [1, 3, inf])
def test_printed_slope_of_a_batch_fails_in_draws_and_the_corrected_holds(nu):
    n, b, u = 150_000, 16, 0.05
    noise = Averaged(unit_noise(nu), b)
    signs = noise(torch.full((n,), u), generator(20)).sign()
    seen, error = float(signs.mean()), 1 / n**0.5
    cubic = u**3 * 40  # the bend, generously
    assert seen == pytest.approx(batch_slope(nu, b) * u, abs=5 * error + cubic)
    printed = slope(nu) * sqrt(b) * u
    assert (abs(seen - printed) > 5 * error + cubic) == (nu != inf)


# ------------------------------------------------------------------------------------------------------- resilience


@pytest.mark.refutes("prop-sign-price")
def test_price_of_signs_at_equal_speed():
    assert value(formulas.sign_price, nu=3, ell=slope(3), omega=0) == pytest.approx(0.617, abs=5e-4)
    price = [value(formulas.sign_price, nu=nu, ell=slope(nu), omega=0) for nu in np.linspace(2.01, 60, 80)]
    assert (np.diff(price) > 0).all()
    assert price[0] < 0.02
    assert price[-1] < pi / 2
    threshold = brentq(lambda nu: value(formulas.sign_price, nu=nu, ell=slope(nu), omega=0) - 1, 3, 10)
    assert threshold == pytest.approx(4.678, abs=1e-3)
    # from the floors themselves, as the step size goes to 0, with DSignSGD's step scaled to equal speed
    for nu, omega in ((3, 0.0), (5, 3.0), (inf, 1.0)):
        scale, eta, spread = 0.4, 1e-6, 1.0 if nu == inf else nu / (nu - 2)
        known = {"H": 2, "N": 5, "B": 1, "omega": omega}
        plain = value(formulas.dcsgd_variance, **known, eta=eta, sigma=scale * sqrt(spread))
        sign = value(formulas.dsign_variance, **known, eta=eta * scale / slope(nu), sigma=scale, ell=slope(nu))
        wanted = pi / 2 / (1 + omega) if nu == inf else value(formulas.sign_price, nu=nu, ell=slope(nu), omega=omega)
        assert sign / plain == pytest.approx(wanted, rel=1e-4)
        contraction = eta * scale / slope(nu) * value(formulas.dsign_rate, B=1, sigma=scale, ell=slope(nu))
        assert contraction == pytest.approx(eta)


@pytest.mark.refutes("prop-sign-price")
def test_price_in_runs():
    noise, f, eta = StudentT(0.3, nu=5), bowl([1.0] * 4).to(torch.float32), 0.05
    gaps = []
    for c, step in ((ops.Identity(), eta), (ops.Sign(), eta * 0.3 / slope(5))):
        run = simulate(f, Homogeneous(c, 4, noise), torch.zeros(4), 160, step, runs=800, every=20,
                       generator=generator(21))
        each = run.gap[4:].mean(0)
        gaps.append((float(each.mean()), float(each.std()) / 800**0.5))
    (plain, ep), (sign, es) = gaps
    quotient, error = sign / plain, sign / plain * sqrt((ep / plain) ** 2 + (es / sign) ** 2)
    assert quotient == pytest.approx(value(formulas.sign_price, nu=5, ell=slope(5), omega=0), abs=5 * error + 0.04)


def test_clipped_and_normalised_messages():
    g = torch.randn(50, 3, 4, generator=generator(22), **double) * 3
    clipped, _ = Clipped(ops.Identity(), threshold=2.0).update(g, None, 0.5)
    by_hand = torch.stack([v * min(1.0, 2.0 / float(v.norm())) for v in g.reshape(-1, 4)]).view(50, 3, 4).mean(1) / 2
    torch.testing.assert_close(clipped, by_hand)
    normalised, _ = Normalised(ops.Identity()).update(g[:, :1], None, 1.0)
    torch.testing.assert_close(normalised.norm(dim=1), torch.ones(50, **double))
    zero = torch.zeros(1, 1, 4, **double)
    for method in (Clipped(ops.RandK(2), threshold=1.0), Normalised(ops.RandK(2))):
        assert torch.equal(method.update(zero, None, 1.0)[0], zero[0])
        assert method.bits(4, 3) == DCGD(ops.RandK(2)).bits(4, 3)
    with pytest.raises(ValueError, match="threshold must be positive"):
        Clipped(ops.Identity(), threshold=0.0)


def test_erf_is_the_gaussian_sign():
    assert float(expected_sign(inf, 0.7)) == pytest.approx(erf(0.7 / sqrt(2)))
