"""The statements of the chapter `diffusions`, each tried where it would fail if it were false.

Weak errors are computed without sampling: on the circle one step of a method is a matrix on 64 Fourier modes, and an
equation a matrix exponential. Sampled numbers must lie within 5 standard errors of the known ones, which by chance
alone fails with a probability of 6e-7 each; there are fewer than 60 of them. All seeds are fixed.
"""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
import sympy as sp
import torch
from scipy import stats
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov

from gradpress import formulas
from gradpress.compressors import Identity
from gradpress.homogeneous import Homogeneous
from gradpress.noise import AffineGaussian, Averaged, Gaussian, StudentT
from gradpress.problems import Logistic, SineValley, bowl
from gradpress.sde import DCSGD, SecondOrder, euler_maruyama
from gradpress.simulate import simulate


@cache
def compiled(name):
    formula = formulas.ALL[name]
    return formula.function(), [symbol.name for symbol in formula.symbols]


def number(name, **values):
    """A formula of the library as a float; the values that it does not take are left aside."""
    function, names = compiled(name)
    return float(function(*(float(values[key]) for key in names)))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def near(values, known, errors=5):
    """Whether the mean of independent values lies within so many standard errors of the known number."""
    values = np.asarray(values, dtype=float)
    return abs(values.mean() - known) <= errors * values.std(ddof=1) / math.sqrt(len(values))


# ----------------------------------------------------------------------------------------------------- on the circle

MODES = 64
X = 2 * np.pi * np.arange(MODES) / MODES
K = np.fft.fftfreq(MODES, 1 / MODES)
WAVES = np.exp(1j * np.outer(X, K))
INVERSE = np.linalg.inv(WAVES)
D1 = (WAVES @ np.diag(1j * K * (abs(K) < MODES / 2)) @ INVERSE).real
D2 = (WAVES @ np.diag(-(K**2)) @ INVERSE).real
SLOPE, CURVATURE = np.sin(X), np.cos(X)  # f = 1 − cos x
COIN = np.array([[1.0, 0.5], [-1.0, 0.5]])
SKEW = np.array([[2.0, 0.2], [-0.5, 0.8]])  # mean 0, variance 1, third moment 3/2


def one_step(step, gradients, chances):
    """v ↦ E v(x − step · G(x)) for finitely many gradient fields, rows of `gradients`."""
    parts = [p * np.exp(1j * np.outer(X - step * g, K)) for g, p in zip(gradients, chances, strict=True)]
    return (sum(parts) @ INVERSE).real


def sgd(step, law, sigma):
    return one_step(step, [SLOPE + sigma * z for z in law[:, 0]], law[:, 1])


def equation(time, drift, spread):
    """e^{t𝓛} for 𝓛 = drift · D + spread/2 · D²."""
    return expm(time * (np.asarray(drift)[:, None] * D1 + np.asarray(spread + 0 * X)[:, None] / 2 * D2))


def drift(eta, order):
    return -SLOPE - (eta / 2 * CURVATURE * SLOPE if order == 2 else 0)


def orders_of(error, etas):
    """Slopes between neighbouring step sizes."""
    sizes = np.array([error(eta) for eta in etas])
    return np.diff(np.log(sizes)) / np.diff(np.log(etas))


ETAS = 2.0 ** -np.arange(6, 10)
G = np.sin(X) + np.cos(2 * X) / 2 + 0.3 * np.cos(X)


def worst_error(step, generator, eta, time=1.0, g=G):
    """The largest |E g(X_{nη}) − E g(xⁿ)| over all starts and all nη ≤ T."""
    method, flow = step(eta), generator(eta)
    mine, theirs, worst = g, g, 0.0
    for _ in range(round(time / eta)):
        mine, theirs = method @ mine, flow @ theirs
        worst = max(worst, np.abs(mine - theirs).max())
    return worst


TWO_SAMPLES = 0.7 * np.cos(2 * X)  # a mini-batch of one of two functions: the noise depends on the place
CASES = {
    "coin": (lambda eta: sgd(eta, COIN, 1.0), 1.0),
    "skew": (lambda eta: sgd(eta, SKEW, 0.5), 0.25),
    "two samples": (lambda eta: one_step(eta, [SLOPE + TWO_SAMPLES, SLOPE - TWO_SAMPLES], [0.5, 0.5]), TWO_SAMPLES**2),
}


@pytest.mark.refutes("def-weak-order", "thm-weak-first", "thm-weak-second", "def-smooth-noise")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", [1, 2])
def test_weak_orders(case, order):
    """Additive and multiplicative noise, symmetric and skew: the slope is the order, neither less nor more."""
    step, variance = CASES[case]

    def error(eta):
        return worst_error(step, lambda eta: equation(eta, drift(eta, order), eta * variance), eta)

    found = orders_of(error, ETAS)
    assert found == pytest.approx(order, abs=0.2)
    assert abs(found[-1] - order) < 0.06


@pytest.mark.refutes("prop-flow-first")
@pytest.mark.parametrize("spread", [0.0, 3.0, 1 + SLOPE**2])
def test_any_diffusion_has_order_1_and_only_1(spread):
    step, _ = CASES["coin"]
    for order in (1, 2):  # a better drift does not help where the diffusion is wrong

        def error(eta, order=order):
            return worst_error(step, lambda eta: equation(eta, drift(eta, order), eta * spread), eta)

        assert orders_of(error, ETAS) == pytest.approx(1, abs=0.1)


@pytest.mark.refutes("prop-noise-scale")
@pytest.mark.parametrize(("law", "order"), [(COIN, 1.0), (SKEW, 0.5)])
def test_large_noise(law, order):
    def error(eta, spread=0.36):
        return worst_error(lambda eta: sgd(eta, law, 0.6 / eta**0.5), lambda eta: equation(eta, -SLOPE, spread), eta)

    etas = 2.0 ** -np.arange(9, 13)
    assert orders_of(error, etas) == pytest.approx(order, abs=0.06)
    assert orders_of(lambda eta: error(eta, spread=0.0), etas) == pytest.approx(0, abs=0.06)


@pytest.mark.refutes("lem-chain-smooth")
def test_the_method_keeps_functions_smooth():
    """One step against the constants of the proof, |∇f's derivatives| ≤ 1, and many steps at once for k = 1."""
    rng = np.random.default_rng(1)
    lower = {1: lambda e: 0, 2: lambda e: e, 3: lambda e: 3 * e * (1 + e) + e,
             4: lambda e: 6 * (1 + e) ** 2 * e + 4 * (1 + e) * e + 3 * e * e + e}  # fmt: skip

    def size(v, k):
        tops, w = [], v
        for _ in range(k):
            w = D1 @ w
            tops.append(np.abs(w).max())
        return max(tops)

    grew = 0
    for _ in range(40):
        modes = rng.integers(1, 4)
        v = sum(rng.standard_normal() * np.cos(j * X + rng.uniform(0, 6)) for j in range(1, modes + 1))
        eta = rng.choice([1.0, 0.5, 0.1, 0.01])
        after = sgd(eta, SKEW, 0.5) @ v
        for k in (1, 2, 3, 4):
            assert size(after, k) <= ((1 + eta) ** k + lower[k](eta)) * size(v, k) * 1.02  # 2 % for the grid
        grew += size(after, 2) > size(v, 2)
    assert grew > 0  # c = 0 would be false
    for eta in 2.0 ** -np.arange(1, 8):
        after = np.linalg.matrix_power(sgd(eta, SKEW, 0.5), round(1 / eta)) @ G
        assert size(after, 1) <= math.e * size(G, 1)


# ------------------------------------------------------------------------------------------- expansions, symbolically


@pytest.mark.refutes("lem-one-step-expansion", "def-generator")
def test_one_step_to_the_second_order():
    """Two dimensions, noise that depends on the place, drift and diffusion of the equation arbitrary."""
    x, y, eta = sp.symbols("x y eta")
    place = (x, y)
    f, v = sp.sin(x) * y + x**2 / 2 + y**2, sp.cos(x + 2 * y) + x * y**2

    def grad(function):
        return sp.Matrix([function.diff(s) for s in place])

    slope, hessian = grad(f), sp.hessian(f, place)
    noises = [sp.Matrix([2 * sp.cos(y), 1 + x]), sp.Matrix([-sp.cos(y), -(1 + x) / 2])]
    chances = [sp.Rational(1, 3), sp.Rational(2, 3)]
    sigma = sum((p * z * z.T for z, p in zip(noises, chances, strict=True)), sp.zeros(2))
    b1, s = sp.Matrix([x * y, sp.sin(x)]), sp.Matrix([[1 + x**2, x], [x, 2]])

    after = 0
    for z, p in zip(noises, chances, strict=True):
        moved = [place[i] - eta * (slope + z)[i] for i in range(2)]
        after += p * v.subs(dict(zip(place, moved, strict=True)), simultaneous=True)
    second = sum(slope[i] * slope[j] * v.diff(place[i], place[j]) for i, j in product(range(2), repeat=2))

    def trace(matrix, function):
        return (matrix * sp.hessian(function, place)).trace()

    def generator(g):
        return (-slope + eta * b1).dot(grad(g)) + eta / 2 * trace(s, g)

    flowed = v + eta * generator(v) + eta**2 / 2 * generator(generator(v))
    claims = (
        (after, v - eta * slope.dot(grad(v)) + eta**2 / 2 * (second + trace(sigma, v))),
        (flowed, v - eta * slope.dot(grad(v))
         + eta**2 / 2 * (second + (hessian * slope + 2 * b1).dot(grad(v)) + trace(s, v))),
    )  # fmt: skip
    at = {x: sp.Rational(3, 10), y: sp.Rational(-7, 10)}
    for left, right in claims:
        for k in range(3):
            difference = (left - right).diff(eta, k).subs(eta, 0).subs(at)
            assert abs(sp.N(difference, 30)) < 1e-20


@pytest.mark.refutes("lem-ito", "def-generator")
def test_expectations_move_at_the_rate_of_the_generator():
    t, x, a, b, y, m, v = sp.symbols("t x a b y m v", positive=True)
    gaussian = (1, m, m**2 + v, m**3 + 3 * m * v, m**4 + 6 * m**2 * v + 3 * v**2)  # moments of N(m, v)

    def mean(g):
        return sum(c * gaussian[k] for (k,), c in sp.Poly(g, y).terms())

    for g in (y, y**2, y**3, y**4 - y):  # dX = −aX dt + √b dW has m′ = −am and v′ = b − 2av
        generator = sp.expand(-a * y * g.diff(y) + b / 2 * g.diff(y, 2))
        moved = mean(g).diff(m) * (-a * m) + mean(g).diff(v) * (b - 2 * a * v)
        assert sp.expand(moved - mean(generator)) == 0
    p = sp.Symbol("p", positive=True)  # multiplicative noise b X²: X_t = x exp(−(a + b/2)t + √b W_t)
    moment = x**p * sp.exp(-(a + b / 2) * p * t + p**2 * b * t / 2)
    assert sp.simplify(moment.diff(t) - (-a * p + b * p * (p - 1) / 2) * moment) == 0


@pytest.mark.refutes("lem-ito")
def test_the_weights_grow_no_faster_than_stated():
    """𝓛V ≤ c_m V for random coefficients and for the largest ones that the condition allows."""
    rng = np.random.default_rng(2)
    highest = 0.0
    for _ in range(2000):
        d, m, c = rng.integers(1, 5), rng.choice([2, 3, 4, 8]), rng.uniform(0.1, 3)
        x = rng.standard_normal(d) * 10 ** rng.uniform(-2, 2)
        r = np.linalg.norm(x)
        side = x if rng.random() < 0.5 else rng.standard_normal(d)
        b = c * (1 + r) * side / np.linalg.norm(side)
        root = rng.standard_normal((d, d))
        s = c * (1 + r) ** 2 * (np.eye(d) if rng.random() < 0.5 else root @ root.T / np.linalg.norm(root @ root.T, 2))
        v = (1 + r * r) ** (m / 2)
        gradient = m * v / (1 + r * r) * x
        hessian = m * v / (1 + r * r) * (np.eye(d) + (m - 2) * np.outer(x, x) / (1 + r * r))
        share = (b @ gradient + np.trace(s @ hessian) / 2) / v / (2 * m * c + m * (m - 1) * d * c)
        assert share <= 1 + 1e-12
        highest = max(highest, share)
    assert highest > 0.6


# ------------------------------------------------------------------------------------------- noise and Brownian motion


@pytest.mark.refutes("def-noise")
@pytest.mark.parametrize(("nu", "shared"), [(1.0, False), (3.0, False), (3.0, True), (8.0, True)])
def test_student_noise(nu, shared):
    """Each coordinate is Student's (Kolmogorov–Smirnov at 1e-6); squares of two are dependent only if shared."""
    draws = StudentT(2.0, nu, shared).draw(torch.zeros(40_000, 2, dtype=torch.float64), seeded(3)).numpy()
    assert stats.kstest(draws[:, 0] / 2, stats.t(nu).cdf, method="asymp").pvalue > 1e-6
    large = np.abs(draws) > 2 * stats.t(nu).ppf(0.95)
    both = large.all(1).mean()
    off = (both - large[:, 0].mean() * large[:, 1].mean()) / math.sqrt(0.01 / len(draws))
    assert off > 6 if shared else abs(off) < 5


@pytest.mark.refutes("def-noise")
def test_the_step_and_the_scale_of_a_batch():
    known = {nu: nu / (nu - 2) for nu in (3, 5)}
    assert all(StudentT(1.0, nu).variance() == pytest.approx(value) for nu, value in known.items())
    assert StudentT(1.0, 2.0).variance() == math.inf
    zero = torch.zeros(40_000, 1, dtype=torch.float64)
    assert near(Averaged(Gaussian(3.0), 9).draw(zero, seeded(4)).square()[:, 0], 1.0)
    f, x = bowl([1.0, 2.0]), torch.tensor([1.0, -1.0], dtype=torch.float64)
    after = simulate(f, Homogeneous(Identity(), 1, Gaussian(0.5)), x, 1, 0.1, generator=seeded(5)).final
    z = 0.5 * torch.randn(1, 2, dtype=torch.float64, generator=seeded(5))
    torch.testing.assert_close(after, x - 0.1 * (f.gradient(x) + z))


@pytest.mark.refutes("def-brownian", "lem-quadratic-variation")
def test_brownian_increments():
    """Squares over an uneven division, and what the solver makes of Brownian motion: variance η σ² t."""
    cuts = np.array([0, 0.05, 0.1, 0.4, 0.5, 1.0, 1.5])
    pieces = np.diff(cuts)
    w = np.random.default_rng(6).standard_normal((40_000, len(pieces))) * np.sqrt(pieces)
    off = ((w**2).sum(1) - 1.5) ** 2
    assert near(off, 2 * (pieces**2).sum())
    assert 2 * (pieces**2).sum() <= 2 * 1.5 * pieces.max()
    flat = DCSGD(bowl([1e-9]), 0.5, noise=Gaussian(2.0))
    end = euler_maruyama(flat, [0.0], 6, runs=20_000, substeps=3, generator=seeded(7), dtype=torch.float64).final
    assert near(end[:, 0] ** 2, 0.5 * 4 * 3)
    assert near(end[:, 0] ** 4, 3 * (0.5 * 4 * 3) ** 2)


# --------------------------------------------------------------------------------------------------------- the solver


@pytest.mark.refutes("rem-euler")
def test_one_substep_is_sgd_itself():
    f, x = bowl([1.0, 3.0]), torch.tensor([1.0, 2.0], dtype=torch.float64)
    equation = DCSGD(f, 0.2, noise=Gaussian(0.7))
    one = euler_maruyama(equation, x, 9, runs=5, generator=seeded(1), dtype=torch.float64)
    generator, y = seeded(1), x.expand(5, 2)
    for _ in range(9):
        normal = torch.empty(2, 5, dtype=torch.float64).normal_(generator=generator).mT
        y = y - 0.2 * (f.gradient(y) - 0.7 * normal)
    torch.testing.assert_close(one.final, y)


def strong_errors(noise, exact, counts, runs=2000):
    """Mean |X − exact| at time 1 for each number of substeps, with the Brownian increments that the solver drew."""
    found = []
    for substeps in map(int, counts):
        problem = DCSGD(bowl([1.0]), 0.5, noise=noise)
        end = euler_maruyama(problem, [1.0], 2, runs=runs, substeps=substeps, generator=seeded(8), dtype=torch.float64)
        dt, generator = 0.5 / substeps, seeded(8)
        draws = [torch.empty(runs, 1, dtype=torch.float64).normal_(generator=generator) for _ in range(2 * substeps)]
        increments = math.sqrt(dt) * torch.cat(draws, 1)
        found.append(float((end.final[:, 0] - exact(increments, dt)).abs().mean()))
    return np.array(found)


@pytest.mark.refutes("rem-euler")
def test_strong_orders_of_the_solver():
    """One half for multiplicative noise, where X_t is known in W_t; one for additive noise, given the increments."""
    counts = np.array([32, 64, 128, 256])

    def geometric(w, dt):  # dX = −X dt + √η √b X dW with η = ½, b = 0.98
        return torch.exp(-(1 + 0.245) + 0.7 * w.sum(1))

    def additive(w, dt):  # ∫e^{−(dt−s)}dW of each piece: its part along ΔW, and an independent rest
        along = (1 - math.exp(-dt)) / dt
        rest = math.sqrt(max(0.0, (1 - math.exp(-2 * dt)) / 2 - along**2 * dt))
        pieces = along * w + rest * torch.randn(w.shape, dtype=w.dtype, generator=seeded(9))
        decay = torch.exp(-dt * torch.arange(w.shape[1] - 1, -1, -1, dtype=w.dtype))
        return math.exp(-1) + math.sqrt(0.5) * (pieces * decay).sum(1)

    for noise, exact, order in ((AffineGaussian(0.98, 0.0), geometric, 0.5), (Gaussian(1.0), additive, 1.0)):
        errors = strong_errors(noise, exact, counts)
        slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
        assert slope == pytest.approx(order, abs=0.1)


@pytest.mark.refutes("rem-euler")
def test_weak_order_of_the_solver():
    """Its variance at rest is that of SGD with its own step; the distance to the equation's falls like the step."""
    known = {"H": 1, "eta": 0.8, "sigma_B": 1}
    exact, off = number("sgd_variance_first", **known), []
    for substeps in (2, 4, 8):
        equation = DCSGD(bowl([1.0]), 0.8, noise=Gaussian(1.0))
        end = euler_maruyama(equation, [0.0], 12, runs=100_000, substeps=substeps, generator=seeded(10)).final[:, 0]
        step = {**known, "eta": 0.8 / substeps}
        assert near(end**2, substeps * number("sgd_variance_chain", **step))
        off.append(float(end.square().mean()) - exact)
    slopes = -np.diff(np.log2(off))
    assert slopes == pytest.approx(1, abs=0.35)


@pytest.mark.refutes("thm-weak-first", "thm-weak-second")
@pytest.mark.parametrize("kind", [DCSGD, SecondOrder])
def test_declared_orders_of_the_equations(kind):
    """Without noise, against gradient descent, by the library's solver."""
    f, found = bowl([1.0, 2.5]), []
    for eta in (0.2, 0.1, 0.05):
        steps, start = round(1 / eta), torch.ones(2, dtype=torch.float64)
        substeps = round(4 / eta) * 10 if kind is SecondOrder else 100
        end = euler_maruyama(kind(f, eta), start, steps, substeps=substeps, dtype=torch.float64).final[0]
        found.append(float((end - start * (1 - eta * f.curvatures) ** steps).norm()))
    assert -np.diff(np.log(found)) / math.log(2) == pytest.approx(kind.order, abs=0.25)


# ------------------------------------------------------------------------------------------------------------- at rest


def some_matrices(rng, d=3):
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    curvatures, root = rng.uniform(0.3, 3, d), rng.standard_normal((d, d))
    return turn @ np.diag(curvatures) @ turn.T, root @ root.T


def in_eigenbasis(hessian, sigma, denominator):
    h, basis = np.linalg.eigh(hessian)
    return basis @ (basis.T @ sigma @ basis / denominator(h[:, None], h)) @ basis.T


@pytest.mark.refutes("thm-stationary-lyapunov")
def test_covariance_of_the_linear_equation():
    rng = np.random.default_rng(11)
    for _ in range(20):
        hessian, sigma = some_matrices(rng)
        eta = rng.uniform(0.05, 0.5)
        for a in (hessian, hessian + eta / 2 * hessian @ hessian):
            v = eta * in_eigenbasis(a, sigma, lambda x, y: x + y)
            np.testing.assert_allclose(v, solve_continuous_lyapunov(a, eta * sigma), rtol=1e-9, atol=1e-12)
        v = solve_continuous_lyapunov(hessian, eta * sigma)
        assert np.trace(hessian @ v) / 2 == pytest.approx(eta / 4 * np.trace(sigma))
        s = np.linspace(0, 2, 401)  # at a finite time, by Simpson's rule, and as V − e^{−Ht} V e^{−Ht}
        values = np.array([expm(-hessian * one) @ sigma @ expm(-hessian * one) for one in s[::8]])
        weights = np.full(51, 2.0)
        weights[1::2], weights[[0, -1]] = 4, 1
        transient = eta * np.einsum("n,nij->ij", weights * 0.04 / 3, values)
        end = expm(-2 * hessian)
        np.testing.assert_allclose(transient, v - end @ v @ end, rtol=1e-3, atol=1e-4)
    assert number("sgd_gap_stationary", d=3, eta=0.1, sigma_B=2) == pytest.approx(0.1 / 4 * 3 * 4)


@pytest.mark.refutes("prop-stationary-chain")
def test_covariance_of_the_method():
    rng = np.random.default_rng(12)
    for _ in range(20):
        hessian, sigma = some_matrices(rng)
        eta = rng.uniform(0.1, 1.95) / np.linalg.eigvalsh(hessian)[-1]
        v = eta * in_eigenbasis(hessian, sigma, lambda x, y, eta=eta: x + y - eta * x * y)
        step = np.eye(3) - eta * hessian
        np.testing.assert_allclose(v, solve_discrete_lyapunov(step, eta**2 * sigma), rtol=1e-8)
        np.testing.assert_allclose(hessian @ v + v @ hessian - eta * hessian @ v @ hessian, eta * sigma, atol=1e-10)
    for eta in (1.99, 2.0, 2.01):  # at and beyond the threshold the variance grows at least linearly
        v = 0.0
        for _ in range(5000):
            v = (1 - eta) ** 2 * v + eta**2
        assert (v < 5000) == (eta < 2)
        assert number("sgd_largest_step", H=1) == 2


@pytest.mark.refutes("prop-stationary-chain")
@pytest.mark.parametrize("eta", [0.1, 0.5, 1.3, 1.9])
def test_the_method_at_rest_is_not_quite_gaussian(eta):
    """Moments of a skew coin's sum by their exact recursion, to the fixed point."""
    z2, z3, z4 = 1.0, 1.5, 0.2 * 16 + 0.8 / 16
    a, m2, m3, m4 = 1 - eta, 0.0, 0.0, 0.0
    for _ in range(4000):
        m4 = a**4 * m4 + 6 * a**2 * m2 * eta**2 * z2 - 0 * m3 * z3 + eta**4 * z4
        m2 = a**2 * m2 + eta**2 * z2
    assert m2 == pytest.approx(number("sgd_variance_chain", H=1, eta=eta, sigma_B=1))
    assert m4 / m2**2 - 3 == pytest.approx((z4 - 3) * number("sgd_kurtosis_share", H=1, eta=eta))


H, ETA, SIGMA = sp.symbols("H eta sigma_B", positive=True)


def expression(name):
    return formulas.ALL[name].expression


@pytest.mark.refutes("prop-three-variances", "thm-stationary-lyapunov", "prop-stationary-chain", "prop-gradient-noise")
def test_three_variances_symbolically():
    chain, first, second = (expression(f"sgd_variance_{name}") for name in ("chain", "first", "second"))
    assert sp.simplify(chain - (1 - ETA * H) ** 2 * chain - ETA**2 * SIGMA**2) == 0  # from the recursion
    for variance, decay in ((first, "first"), (second, "second")):
        assert sp.simplify(2 * expression(f"sgd_decay_{decay}") * variance - ETA * SIGMA**2) == 0
        assert sp.simplify(variance / chain - 1 - expression(f"sgd_variance_off_{decay}")) == 0
    faithful = ETA * SIGMA**2 / (2 * (H - ETA * H**2 / 2))  # the opposite correction of the drift
    assert sp.simplify(faithful - chain) == 0
    matched = expression("sgd_variance_matched")
    assert sp.simplify(matched / chain - 1 + (ETA * H) ** 2 / (2 + ETA * H)) == 0
    for u in np.linspace(0.01, 1.99, 50):  # the second is the worse one throughout
        off = [number(f"sgd_variance_off_{name}", H=1, eta=u) for name in ("first", "second")]
        assert off[1] < off[0] < 0
    noise_share = H**2 * chain / SIGMA**2
    assert sp.simplify(noise_share - ETA * H / (2 - ETA * H)) == 0
    assert sp.simplify(chain / first - 1 - noise_share) == 0


@pytest.mark.refutes("prop-three-variances", "thm-stationary-lyapunov", "prop-gradient-noise")
def test_three_variances_measured():
    """20 000 runs each at η H = ½; the solver's own bias is that of a step of 0.005."""
    f, noise, known = bowl([1.0]), Gaussian(1.0), {"H": 1, "eta": 0.5, "sigma_B": 1}
    zero, method = torch.zeros(1), Homogeneous(Identity(), 1, noise)
    run = simulate(f.to(torch.float32), method, zero, 20, 0.5, runs=20_000, generator=seeded(13))
    assert near(run.final[:, 0] ** 2, number("sgd_variance_chain", **known))
    for name, kind in (("first", DCSGD), ("second", SecondOrder)):
        end = euler_maruyama(kind(f, 0.5, noise=noise), zero, 10, runs=20_000, substeps=100, generator=seeded(14)).final
        assert near(end[:, 0] ** 2, number(f"sgd_variance_{name}", **known))
        assert not near(end[:, 0] ** 2, number("sgd_variance_chain", **known))


@pytest.mark.refutes("prop-exact-equation")
def test_the_exact_equation():
    decay = expression("sgd_decay_exact")
    spread = 2 * decay * SIGMA**2 / (H * (2 - ETA * H))
    assert sp.simplify(sp.exp(-decay * ETA) - (1 - ETA * H)) == 0
    assert sp.simplify(ETA * spread * (1 - sp.exp(-2 * decay * ETA)) / (2 * decay) - ETA**2 * SIGMA**2) == 0
    assert sp.series(decay, ETA, 0, 2).removeO() == sp.expand(expression("sgd_decay_second"))
    assert sp.simplify(sp.series(spread, ETA, 0, 2).removeO() - SIGMA**2 * (1 + ETA * H)) == 0


@pytest.mark.refutes("prop-no-equation")
def test_paths_on_a_line_do_not_cross():
    """Random Lipschitz equations, steep ones too, solved with one Brownian path from several starts."""
    rng = np.random.default_rng(15)
    starts = np.linspace(-2, 2, 9)
    for _ in range(15):
        pull, wave, spread, turn = rng.uniform(0, 30), rng.uniform(0, 5), rng.uniform(0, 2), rng.uniform(0, 3)
        x, dt = np.tile(starts, (200, 1)), 1e-3
        for _ in range(500):
            kick = math.sqrt(dt) * rng.standard_normal((200, 1))
            x = x + dt * (-pull * x + wave * np.sin(3 * x)) + spread * (1 + 0.5 * np.cos(turn * x)) * kick
        assert (np.diff(x, axis=1) >= 0).all()
    for u in (1.01, 1.5, 3.0):
        assert (np.diff(number("sgd_factor", H=1, eta=u) * starts) < 0).all()
    assert (np.diff(number("sgd_factor", H=1, eta=0.9) * starts) > 0).all()


# ---------------------------------------------------------------------------------------------------------------- SVAG


def weights(parts):
    return (1 + math.sqrt(2 * parts - 1)) / 2, (1 - math.sqrt(2 * parts - 1)) / 2


@pytest.mark.refutes("def-svag", "prop-svag")
def test_cumulants_of_svag():
    parts = sp.Symbol("l", positive=True)
    root = sp.sqrt(2 * parts - 1)

    def factor(j):
        return sp.expand(((1 + root) / 2) ** j + ((1 - root) / 2) ** j)

    assert sp.simplify(factor(1) - 1) == 0
    assert sp.simplify(factor(2) - parts) == 0
    assert sp.simplify(factor(3) * parts / parts**3 - expression("svag_third")) == 0
    assert sp.simplify(factor(4) * parts / parts**4 - expression("svag_fourth")) == 0
    for value in (formulas.svag_third, formulas.svag_fourth):
        assert value(l=1) == 1  # it is SGD
        assert float(value(l=10**6)) < 2e-6


@pytest.mark.refutes("prop-svag", "def-svag")
@pytest.mark.parametrize("law", [COIN, SKEW])
def test_svag_leads_to_the_first_order_equation(law):
    """On the circle with η = ½: the distance over all starts falls like 1/l, also for skew noise."""
    target = equation(1.0, -SLOPE, 0.5) @ G

    def error(share):
        parts = round(1 / share)
        up, down = weights(parts)
        z = law[:, 0]
        gradients = [SLOPE + up * a + down * b for a, b in product(z, z)]
        step = one_step(0.5 / parts, gradients, [p * q for p, q in product(law[:, 1], law[:, 1])])
        return np.abs(np.linalg.matrix_power(step, 2 * parts) @ G - target).max()

    assert orders_of(error, 1 / np.array([32, 64, 128, 256])) == pytest.approx(1, abs=0.1)


# -------------------------------------------------------------------------------------------------------------- control


@pytest.mark.refutes("prop-step-control")
def test_best_step_sizes_of_the_equation():
    t = sp.Symbol("t", positive=True)
    gap, share = expression("control_gap"), expression("control_share")
    rate = -2 * share * H * gap + share**2 * ETA * H * SIGMA**2 / 2
    assert sp.simplify(gap.diff(t) - rate) == 0
    assert sp.simplify(share - 2 * gap / (ETA * SIGMA**2)) == 0  # the lowest point of the parabola
    rng = np.random.default_rng(16)
    for _ in range(10):
        h, eta, sigma, first = rng.uniform(0.3, 3, 4) * [1, 0.3, 1, 3]
        first = max(first, eta * sigma**2 / 2 * 1.01)
        known = {"H": h, "eta": eta, "sigma_B": sigma, "E_0": first}
        begin = number("control_start", **known)
        end = begin + rng.uniform(0.5, 5) / h
        best = number("control_gap", t=end, t_1=begin, **known)

        def final(share, known=known, end=end):
            h, noise = known["H"], known["eta"] * known["sigma_B"] ** 2
            rate = lambda t, y: -2 * share(t) * h * y + share(t) ** 2 * h * noise / 2  # noqa: E731 (used at once)
            return solve_ivp(rate, (0, end), [known["E_0"]], rtol=1e-7, atol=1e-10, max_step=end / 60).y[0, -1]

        theirs = final(lambda t, b=begin, h=h: 1.0 if t < b else number("control_share", H=h, t=t, t_1=b))
        assert theirs == pytest.approx(best, rel=1e-3)
        for _ in range(6):
            levels = rng.uniform(0, 1, 8)
            assert final(lambda t, levels=levels, end=end: levels[min(7, int(8 * t / end))]) >= best * (1 - 1e-6)
        for shift in (0.7, 1.4):  # the right law, begun too early or too late
            late = final(lambda t, b=shift * begin, h=h: 1.0 if t < b else number("control_share", H=h, t=t, t_1=b))
            assert late >= best * (1 - 1e-6)


@pytest.mark.refutes("prop-step-control")
def test_best_step_sizes_of_the_method():
    rng = np.random.default_rng(17)
    for _ in range(50):
        h, sigma, first = rng.uniform(0.2, 4, 3)
        known = {"H": h, "sigma_B": sigma, "E_0": first}

        def after(steps, h=h, sigma=sigma, first=first):
            gap = first
            for step in steps:
                gap = (1 - step * h) ** 2 * gap + step**2 * h * sigma**2 / 2
            return gap

        best = [number("control_step_chain", n=n, **known) for n in range(12)]
        assert max(best) <= 1 / h
        for n in (1, 5, 12):
            least = number("control_gap_chain", n=n, **known)
            assert after(best[:n]) == pytest.approx(least)
            for _ in range(20):
                assert after(np.array(best[:n]) * rng.uniform(0.5, 1.6, n)) >= least * (1 - 1e-12)


@pytest.mark.refutes("prop-batch-control")
def test_best_batch_sizes():
    rng = np.random.default_rng(18)
    for _ in range(20):
        h, end, eta, sigma, mean = rng.uniform(0.3, 3, 5)
        known = {"H": h, "T": end, "eta": eta, "sigma": sigma, "B": mean}

        def part(batch, h=h, end=end, eta=eta, sigma=sigma):
            return eta * h * sigma**2 / 2 * quad(lambda t: math.exp(-2 * h * (end - t)) / batch(t), 0, end)[0]

        best, equal = number("batch_gap_best", **known), number("batch_gap_equal", **known)
        scale = mean * h * end / (1 - math.exp(-h * end))
        assert part(lambda t, s=scale, h=h, end=end: s * math.exp(-h * (end - t))) == pytest.approx(best)
        assert part(lambda t, mean=mean: mean) == pytest.approx(equal)
        assert best < equal
        for power in rng.uniform(-1, 3, 5):  # other exponents with the same number of samples
            total = quad(lambda t, p=power, h=h: math.exp(p * h * t), 0, end)[0]
            other = part(lambda t, p=power, h=h, m=mean * end / total: m * math.exp(p * h * t))
            assert other >= best * (1 - 1e-9)


# ---------------------------------------------------------------------------------------------- implicit regularisation


@pytest.mark.refutes("prop-implicit")
def test_the_drift_is_a_gradient():
    rng = np.random.default_rng(19)
    data = rng.standard_normal((12, 3)), np.sign(rng.standard_normal(12))
    for f in (SineValley(), Logistic(*data, regularisation=0.1), bowl([1.0, 4.0])):
        x = torch.from_numpy(rng.standard_normal((5, f.d))).requires_grad_()
        modified = (f.loss(x) + 0.3 / 4 * f.gradient(x).square().sum(-1)).sum()
        [slope] = torch.autograd.grad(modified, x)
        equation = SecondOrder(f, 0.3)
        field = equation.field(x.detach())
        torch.testing.assert_close(equation.drift(x.detach(), field), -slope)


@pytest.mark.refutes("prop-implicit")
def test_gradient_descent_stays_nearer_to_the_modified_flow():
    rng = np.random.default_rng(20)
    f = Logistic(rng.standard_normal((12, 3)), np.sign(rng.standard_normal(12)), regularisation=0.3)
    start, off = 3 * rng.standard_normal(3), []

    def drift_of(kind, eta):
        def rate(_, z):
            x = torch.from_numpy(z)
            return kind(f, eta).drift(x, f.gradient(x)).numpy()

        return rate

    for eta in (0.4, 0.2, 0.1):
        z = torch.from_numpy(start)
        for _ in range(round(2 / eta)):
            z = z - eta * f.gradient(z)
        flows = [solve_ivp(drift_of(k, eta), (0, 2), start, rtol=1e-9, atol=1e-11) for k in (DCSGD, SecondOrder)]
        off.append([np.linalg.norm(flow.y[:, -1] - z.numpy()) for flow in flows])
    slopes = -np.diff(np.log2(off), axis=0)
    assert slopes[:, 0] == pytest.approx(1, abs=0.1)
    assert slopes[:, 1] == pytest.approx(2, abs=0.2)


@pytest.mark.refutes("prop-implicit")
@pytest.mark.parametrize(("eta", "same"), [(0.3, True), (0.45, True), (0.6, False), (0.9, False)])
def test_stationary_points_of_the_modified_function(eta, same):
    """x² + 3 sin²x has f″ ≥ −4: no new ones while −4 > −2/η, new ones beyond; curvatures h + ηh²/2 at the old ones."""
    x = np.linspace(-6, 6, 400_001)
    slope, curvature = 2 * x + 3 * np.sin(2 * x), 2 + 6 * np.cos(2 * x)
    modified = (1 + eta / 2 * curvature) * slope
    zeros = [np.flatnonzero(np.sign(g[1:]) * np.sign(g[:-1]) <= 0) for g in (slope, modified)]
    assert (len(zeros[0]) == len(zeros[1])) == same
    lifted = np.gradient(modified, x)
    for i in zeros[0]:
        assert lifted[i] == pytest.approx(curvature[i] + eta / 2 * curvature[i] ** 2, abs=2e-2)


# ---------------------------------------------------------------------------------------------------------- heavy tails


@pytest.mark.refutes("prop-heavy-mean")
def test_means_of_cauchy_numbers_are_cauchy():
    means = Averaged(StudentT(2.0, nu=1), 16).draw(torch.zeros(20_000, 1, dtype=torch.float64), seeded(21))[:, 0]
    assert stats.kstest(means.numpy() / 2, stats.cauchy.cdf, method="asymp").pvalue > 1e-6
    assert stats.kstest(means.numpy(), stats.cauchy.cdf, method="asymp").pvalue < 1e-6  # and not of another scale


@pytest.mark.refutes("prop-heavy-mean")
@pytest.mark.parametrize("nu", [0.7, 1.0, 1.5, 1.9])
def test_tails_of_means(nu):
    """Pareto magnitudes with fair signs, Pr(|Z| > z) = min(1, z^−ν), so that c = z₀ = 1; 20 000 means."""
    rng = np.random.default_rng(22)
    spreads = []
    for batch in (1, 8, 64, 256):
        runs = 20_000 if batch < 256 else 6000
        z = rng.random((runs, batch)) ** (-1 / nu) * rng.choice([-1.0, 1.0], (runs, batch))
        scaled = np.abs(z.mean(1)) * batch ** (1 - 1 / nu)
        error = 5 * 0.5 / math.sqrt(runs)
        for y in (1.0, 3.0, 10.0, 30.0):
            assert (scaled > y).mean() <= (4 - nu) / (2 - nu) * y**-nu + error
        assert (scaled > 1).mean() >= (1 - math.exp(-1)) / 2 - error
        spreads.append(np.median(np.abs(z.mean(1))))
    slope = np.polyfit(np.log([8, 64, 256]), np.log(spreads[1:]), 1)[0]
    assert slope == pytest.approx(-(1 - 1 / nu), abs=0.1)


@pytest.mark.refutes("prop-heavy-mean")
@pytest.mark.parametrize("nu", [0.6, 1.0, 3.0])
def test_medians_do_not_mind(nu):
    rng, spreads = np.random.default_rng(23), []
    for batch in (17, 65):
        medians = np.median(rng.standard_t(nu, (10_000, batch)), axis=1)
        for y in (0.2, 0.5, 1.0):
            bound = 2 * math.exp(-2 * batch * (stats.t(nu).cdf(y) - 0.5) ** 2)
            assert (np.abs(medians) > y).mean() <= bound + 5 * 0.5 / 100
        spreads.append(np.median(np.abs(medians)))
    assert math.log(spreads[0] / spreads[1], 65 / 17) == pytest.approx(0.5, abs=0.1)


@pytest.mark.refutes("prop-stable-stationary")
def test_scale_at_rest_with_stable_noise():
    rng = np.random.default_rng(24)
    for _ in range(50):  # the fixed point of scale^ν ↦ |1 − ηH|^ν scale^ν + (ησ)^ν
        nu, h, sigma = rng.uniform(0.3, 2), rng.uniform(0.2, 3), rng.uniform(0.1, 2)
        eta = rng.uniform(0.05, 1.95) / h
        scale = number("stable_scale", nu=nu, H=h, eta=eta, sigma_B=sigma)
        assert abs(1 - eta * h) ** nu * scale**nu + (eta * sigma) ** nu == pytest.approx(scale**nu)
        small = number("stable_scale", nu=nu, H=h, eta=1e-6, sigma_B=sigma)
        assert small == pytest.approx(1e-6 ** (1 - 1 / nu) * sigma / (nu * h) ** (1 / nu), rel=1e-4)
    known = {"H": 2.0, "eta": 0.3, "sigma_B": 0.7}
    assert number("stable_scale", nu=2, **known) ** 2 == pytest.approx(number("sgd_variance_chain", **known))
    for eta in (0.01, 0.2, 0.5):
        assert number("stable_scale", nu=1, H=2, eta=eta, sigma_B=0.7) == pytest.approx(0.35)


@pytest.mark.refutes("prop-stable-stationary", "def-noise")
@pytest.mark.parametrize("eta", [0.2, 0.7, 1.6])
def test_sgd_with_cauchy_noise_comes_to_rest_where_it_should(eta):
    f, method = bowl([1.0]), Homogeneous(Identity(), 1, StudentT(1.0, nu=1))
    end = simulate(f, method, torch.zeros(1), 60, eta, runs=10_000, generator=seeded(25), limit=1e40, every=60).final
    scale = number("stable_scale", nu=1, H=1, eta=eta, sigma_B=1)
    assert stats.kstest(end[:, 0].numpy() / scale, stats.cauchy.cdf, method="asymp").pvalue > 1e-6


# ------------------------------------------------------------------------------------------ the numbers on the pages


def test_worked_numbers():
    at = {"H": 1, "eta": 0.5, "sigma_B": 1}
    three = [number(f"sgd_variance_{name}", **at) for name in ("chain", "first", "second")]
    assert three == pytest.approx([0.3333, 0.25, 0.2], abs=5e-5)
    assert number("sgd_factor", H=1, eta=0.1) ** 10 == pytest.approx(0.34868, abs=5e-6)
    decays = [math.exp(-number(f"sgd_decay_{name}", H=1, eta=0.1)) for name in ("first", "second")]
    assert decays == pytest.approx([0.36788, 0.34994], abs=5e-6)
    assert math.exp(-2.5 * number("sgd_decay_second", H=1, eta=2.5)) == pytest.approx(0.0036, abs=5e-5)
    small = {"H": 1, "eta": 0.05, "sigma_B": math.sqrt(10)}  # SVAG at l = 10
    assert number("sgd_variance_chain", **small) == pytest.approx(0.2564, abs=5e-5)
    step = number("control_step_chain", n=0, H=1, sigma_B=1, E_0=50)
    assert step == pytest.approx(1 / 1.01)
    known = {"H": 1, "T": 10, "eta": 1, "sigma": 1, "B": 1}
    assert number("batch_gap_best", **known) / number("batch_gap_equal", **known) == pytest.approx(0.2, abs=5e-5)
