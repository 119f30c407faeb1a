"""The statements of the chapter `agents`, each tried where it would fail if it were false.

Most operators here have finitely many outcomes or moments in closed form, so that one step, or all steps on a quadratic
function, can be followed exactly and without statistical error. Seeds are fixed.
"""

from itertools import product
from math import comb

import numpy as np
import pytest
import sympy as sp
import torch
from closed import generator

from gradpress import compressors as ops
from gradpress import formulas
from gradpress.methods import DCGD, DIANA
from gradpress.problems import Logistic, Quadratic, stuck, top_1_failure, top_k_failure
from gradpress.simulate import simulate

SLACK = 1e-9


def value(formula, **values):
    return float(formula(**values))


# ------------------------------------------------------------------------------------------------------------ instances


def sloped(rng, n, d, low=0.0, high=1.0):
    """Random convex quadratic agents; a random share of the curvatures is 0."""
    matrices = []
    for _ in range(n):
        q = np.linalg.qr(rng.standard_normal((d, d)))[0]
        h = rng.uniform(low, high, d) * rng.integers(0, 2, d)
        matrices.append((q * h) @ q.T)
    matrices = np.array(matrices)
    matrices[0] += 0.05 * np.eye(d)
    return Quadratic(matrices, rng.choice([0, 1]) * rng.standard_normal((n, d)))


def logistic(rng, n, d):
    return Logistic(
        rng.standard_normal((3 * n, d)) * rng.exponential(2, (3 * n, 1)), rng.choice([-1.0, 1.0], 3 * n), 0.05, n
    )


def smooth_convex(seed, count):
    rng = np.random.default_rng(seed)
    for i in range(count):
        n, d = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        yield rng, (logistic(rng, n, d) if i % 3 == 0 else sloped(rng, n, d)), rng.uniform(0.2, 8)


def constants(problem, omega, **more):
    return {
        "L": problem.smoothness,
        "mu": problem.convexity,
        "L_max": problem.agent_smoothness,
        "N": problem.agents,
        "omega": float(omega),
        **more,
    }


def chosen(formula, **values):
    """The formula at those of the values that it takes."""
    return value(formula, **{symbol.name: values[symbol.name] for symbol in formula.symbols})


def after_one_step(problem, x, eta, omega):
    """E‖x⁺ − x*‖² exactly, for independent messages whose noise is ω‖v‖², no more and no less."""
    each = problem.gradients(x)
    landed = (x - eta * each.mean(-2) - problem.minimiser).square().sum(-1)
    return landed + eta**2 * omega / problem.agents * each.square().sum(-1).mean(-1)


def points(problem, rng, count=60):
    """Points far from the minimiser and near to it, in every direction and along the axes."""
    away = torch.from_numpy(rng.standard_normal((count, problem.d)) * 10 ** rng.uniform(-3, 1.5, (count, 1)))
    axes = torch.eye(problem.d, dtype=torch.float64)
    return problem.minimiser + torch.cat([away, axes, -axes, 0 * axes[:1]])


# ---------------------------------------------------------------------------------------------------- one step, exactly


@pytest.mark.refutes("def-dcgd")
def test_dcgd_is_a_step_along_the_mean_of_the_messages():
    rng = np.random.default_rng(1)
    f = sloped(rng, 4, 3)
    x = torch.from_numpy(rng.standard_normal(3))
    step, _ = DCGD(ops.TopK(1)).update(f.gradients(x), None, 0.3)
    by_hand = np.zeros(3)
    for g in f.gradients(x).numpy():
        j = np.argmax(np.abs(g))
        by_hand[j] += g[j] / 4
    np.testing.assert_allclose(step, 0.3 * by_hand)
    residual = f.gradients(f.minimiser)
    assert f.disagreement == pytest.approx(float(residual.square().sum() / 4))
    np.testing.assert_allclose(residual.mean(0), 0, atol=1e-12)  # the mean vanishes, the agents' own do not
    one = Quadratic(f.matrices[:1], f.vectors[:1])
    torch.testing.assert_close(DCGD(ops.Identity()).update(one.gradients(x), None, 1.0)[0], one.gradient(x))


@pytest.mark.refutes("lem-mean-message", "rem-averaging")
def test_noise_of_the_mean_message_by_all_outcomes():
    """Rand-1 on each of N agents in two or three dimensions: all dᴺ outcomes of the mean."""
    rng = np.random.default_rng(2)
    for d, n in ((2, 1), (2, 5), (3, 4)):
        g = rng.standard_normal((n, d))
        means = []
        for kept in product(range(d), repeat=n):
            message = np.zeros((n, d))
            message[range(n), kept] = d * g[range(n), kept]
            means.append(message.mean(0))
        means, omega = np.array(means), d - 1
        np.testing.assert_allclose(means.mean(0), g.mean(0), atol=1e-12)
        noise = np.square(means - g.mean(0)).sum(1).mean()
        assert noise == pytest.approx(omega / n * np.square(g).sum(1).mean())  # attained


@pytest.mark.refutes("lem-mean-message")
def test_splitting_gradients():
    for rng, f, theta in smooth_convex(3, 30):
        x = points(f, rng)
        each, here = f.gradients(x), f.gradients(f.minimiser)
        change = (each - here).square().sum(-1).mean(-1)
        bound = (1 + theta) * change + (1 + 1 / theta) * f.disagreement
        assert (each.square().sum(-1).mean(-1) <= bound * (1 + SLACK) + SLACK).all()
    # attained where all changes are aligned with the gradients at the minimiser
    f = Quadratic.diagonal([[1.0], [0.0]], [[1.0], [-1.0]])
    q, theta = f.gradients(f.minimiser)[:, 0], 0.5
    x = f.minimiser + q[0] / theta  # the first agent's gradient changes by q/θ
    p = (f.gradients(x) - f.gradients(f.minimiser))[:, 0]
    assert float(p[0] + q[0]) ** 2 == pytest.approx(float((1 + theta) * p[0] ** 2 + (1 + 1 / theta) * q[0] ** 2))


@pytest.mark.refutes("lem-cocoercive")
def test_cocoercivity_on_convex_functions_and_on_their_edges():
    tight = [0.0, 0.0]
    for rng, f, _ in smooth_convex(4, 40):
        x, y = points(f, rng), points(f, rng)
        gx, gy = f.gradient(x), f.gradient(y)
        square = (gx - gy).square().sum(-1)
        bregman = f.loss(y) - f.loss(x) - (gx * (y - x)).sum(-1)
        inner = ((gx - gy) * (x - y)).sum(-1)
        assert (square / (2 * f.smoothness) <= bregman * (1 + 1e-6) + 1e-9).all()
        assert (square / f.smoothness <= inner * (1 + 1e-6) + 1e-9).all()
        away = x - f.minimiser
        p, r = (f.gradient(x) * away).sum(-1), away.square().sum(-1)
        assert (f.convexity * r <= p * (1 + 1e-6) + 1e-9).all()
        assert (p <= f.smoothness * r * (1 + 1e-6) + 1e-9).all()
        stated = (f.smoothness + f.convexity) * p - f.smoothness * f.convexity * r
        assert (f.gradient(x).square().sum(-1) <= stated * (1 + 1e-6) + 1e-9).all()
    f = Quadratic.diagonal([[0.5, 3.0]], [[0.0, 0.0]])  # equality along both axes
    for x in torch.eye(2, dtype=torch.float64):
        p, r, g = float(f.gradient(x) @ x), float(x @ x), float(f.gradient(x) @ f.gradient(x))
        tight.append(g - ((3.5) * p - 1.5 * r))
    assert np.abs(tight).max() < 1e-12


# -------------------------------------------------------------------------------------------------- rate, neighbourhood


@pytest.mark.refutes("thm-dcgd")
@pytest.mark.parametrize("share", [1.0, 0.5, 0.05])
def test_one_step_stays_below_the_bound(share):
    """The noise is as large as the class allows, so that the left side is exact."""
    nearest = 0.0
    for rng, f, theta in smooth_convex(5, 60):
        omega = rng.exponential(4)
        known = constants(f, omega, theta=theta, D=f.disagreement)
        eta = share * chosen(formulas.dcgd_step, **known)
        known["eta"] = eta
        factor, noise = chosen(formulas.dcgd_factor, **known), chosen(formulas.dcgd_noise, **known)
        x = points(f, rng)
        away = (x - f.minimiser).square().sum(-1)
        left, right = after_one_step(f, x, eta, omega), factor * away + noise
        assert (left <= right * (1 + 1e-7) + 1e-12).all()
        nearest = max(nearest, float((left / right.clamp_min(1e-300))[away > 1e-6].max()))
    assert nearest > 0.8


@pytest.mark.refutes("thm-dcgd")
def test_beyond_its_step_size_the_bound_can_fail():
    """Curvatures μ and L with η(L + μ + M) > 2: the direction of L is worse then, and the stated factor is false."""
    f = Quadratic.diagonal([[1.0, 4.0]], [[0.0, 0.0]])
    known = constants(f, 0.5, theta=1e-9)
    eta = 1.2 * chosen(formulas.dcgd_step, **known)
    x = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert float(after_one_step(f, x, eta, 0.5)) > chosen(formulas.dcgd_factor, eta=eta, **known)
    other = (1 - 4 * eta) ** 2 + eta**2 * 4 * (1 + 1e-9) * 0.5 * 4  # with L in the place of μ, as the text says
    assert float(after_one_step(f, x, eta, 0.5)) <= other * (1 + SLACK)


@pytest.mark.refutes("thm-dcgd")
def test_classical_form_follows():
    L, mu, omega, N, L_max = sp.symbols("L mu omega N L_max", positive=True)
    eta = formulas.dcgd_classic_step.expression
    theta, e = (next(s for s in formulas.dcgd_factor.symbols if s.name == name) for name in ("theta", "eta"))
    factor = formulas.dcgd_factor.expression.subs({theta: 1, e: eta})
    gap = sp.simplify((1 - eta * mu - factor) * (L + 2 * omega * L_max / N) ** 2 / mu)
    assert sp.expand(gap - (L - mu)) == 0  # not negative, since μ ≤ L
    noise = formulas.dcgd_noise.expression.subs(theta, 1) / (e * mu)
    assert sp.simplify(noise - formulas.dcgd_classic_floor.expression) == 0
    numbers = {"L": 10, "mu": 1, "L_max": 10, "N": 10, "omega": 9}
    assert value(formulas.dcgd_classic_step, L=10, L_max=10, N=10, omega=9) == pytest.approx(1 / 28)
    assert chosen(formulas.dcgd_classic_floor, eta=1 / 28, D=1, **numbers) == pytest.approx(18 / 280)


@pytest.mark.refutes("thm-dcgd")
@pytest.mark.parametrize(
    "c", [ops.RandK(1), ops.NaturalCompression(), ops.Ternary(), ops.StandardDithering(s=2)], ids=repr
)
def test_runs_stay_below_the_classical_form(c):
    """400 runs of real operators on heterogeneous agents; 5 standard errors, 4 × 6 looks: false alarm below 1e-5."""
    rng = np.random.default_rng(6)
    f = Quadratic.diagonal(rng.uniform(0.5, 5, (6, 4)), rng.standard_normal((6, 4)))
    omega = float(c.membership(4)[0].zeta) - 1
    known = constants(f, omega, D=f.disagreement)
    eta = chosen(formulas.dcgd_classic_step, **known)
    run = simulate(f, DCGD(c), f.minimiser + 3, 150, eta, runs=400, every=30, generator=generator(7))
    mean, error = run.distance.mean(1), run.distance.std(1) / 20
    bound = (1 - eta * f.convexity) ** run.step * run.distance[0, 0]
    bound = bound + chosen(formulas.dcgd_classic_floor, eta=eta, **known)
    assert (mean <= bound + 5 * error).all()
    assert mean[-1] > 0  # a neighbourhood, not a point


@pytest.mark.refutes("cor-dcgd-steps")
def test_agreement_removes_the_neighbourhood_and_its_factor_is_the_best():
    """The extremal agents of the proof, and random ones that agree."""
    rng = np.random.default_rng(8)
    for _ in range(200):
        n = int(rng.integers(1, 9))
        flat, top = int(rng.integers(0, n)), rng.uniform(0.5, 3)
        mu = top * ((n - flat) / n)
        L = mu + (top - mu) * rng.random()
        h = np.column_stack([np.repeat([top, 0.0], [n - flat, flat]), np.full(n, L)])
        f = Quadratic.diagonal(h, np.zeros((n, 2)))
        omega = rng.exponential(3)
        known = {"L": L, "mu": mu, "L_max": top, "N": n, "omega": omega}
        eta = rng.uniform(0.01, 1) * chosen(formulas.dcgd_agreed_step, **known)
        factor = chosen(formulas.dcgd_agreed_factor, eta=eta, **known)
        x = torch.tensor([1.0, 0.0], dtype=torch.float64)
        assert float(after_one_step(f, x, eta, omega)) == pytest.approx(factor)
        everywhere = points(f, rng)
        away = everywhere.square().sum(-1)
        assert (after_one_step(f, everywhere, eta, omega) <= factor * away * (1 + SLACK)).all()


@pytest.mark.refutes("cor-dcgd-steps")
def test_steps_to_an_accuracy():
    L, mu, omega, N, L_max = sp.symbols("L mu omega N L_max", positive=True)
    e = next(s for s in formulas.dcgd_agreed_factor.symbols if s.name == "eta")
    cost = omega * L_max / N
    at = formulas.dcgd_agreed_factor.expression.subs(e, 1 / (L + cost))
    assert sp.expand(sp.simplify((1 - mu / (L + cost) - at) * (L + cost) ** 2 / mu) - (L - mu)) == 0
    rng = np.random.default_rng(9)
    for _ in range(200):
        mu, omega, N, D, start = rng.uniform(0.1, 1), rng.exponential(5), rng.integers(1, 50), rng.exponential(), 100.0
        L, top, epsilon = 1.0, rng.uniform(1, 4), 10 ** rng.uniform(-6, 0)
        eta = min(1 / (L + 2 * omega * top / N), epsilon * mu * N / (4 * omega * D))
        needed = max(L / mu + 2 * omega * top / (mu * N), 4 * omega * D / (mu**2 * N * epsilon)) * np.log(
            2 * start / epsilon
        )
        steps = np.ceil(needed)
        assert (1 - eta * mu) ** steps * start + 2 * eta * omega * D / (mu * N) <= epsilon * (1 + SLACK)


@pytest.mark.refutes("cor-dcgd-steps")
def test_agreement_in_real_runs():
    """Example 1's agents agree, so that unbiased Rand-1 converges to the last digits where Top-1 runs away."""
    f = top_1_failure()
    eta = chosen(formulas.dcgd_agreed_step, **constants(f, 2))
    assert eta == pytest.approx(2 / (110 / 6 + 23))
    run = simulate(f, DCGD(ops.RandK(1)), torch.ones(3), 1500, eta, runs=50, every=1500, generator=generator(10))
    assert run.distance[-1].max() < 1e-12


@pytest.mark.refutes("thm-dcgd-gap")
def test_function_values_without_strong_convexity():
    """Flat directions; exact expectations over Rand-1, a diagonal problem: E f(x̄) ≤ mean of E f(xⁿ) ≤ the bound."""
    rng = np.random.default_rng(11)
    for _ in range(60):
        n, d = int(rng.integers(1, 6)), int(rng.integers(2, 5))
        h = rng.uniform(0, 2, (n, d)) * rng.integers(0, 2, (n, d))
        slopes = rng.standard_normal((n, d))
        h[0, 0] += 0.1  # one coordinate at least is curved
        f = Quadratic.diagonal(h, slopes * (h.mean(0) > 0))
        omega, theta = d - 1, rng.uniform(0.3, 5)
        cost = (1 + theta) * omega * f.agent_smoothness / n
        eta, steps = rng.uniform(0.1, 0.95) / (f.smoothness + cost), int(rng.integers(1, 80))
        first, second = np.full(d, 2.0), np.full(d, 4.0)  # moments of xⁿ − x* by coordinate
        hbar, h2 = h.mean(0), (h**2).mean(0)
        g = f.gradients(f.minimiser).numpy()
        gaps = []
        for _ in range(steps):
            gaps.append((hbar * second).sum() / 2)
            noise = h2 * second + 2 * (h * g).mean(0) * first + (g**2).mean(0)
            second = (1 - eta * hbar) ** 2 * second + eta**2 * omega / n * noise
            first = (1 - eta * hbar) * first
        bound = 4.0 * d / (2 * eta * steps) + (1 + 1 / theta) * eta * omega * f.disagreement / (2 * n)
        assert np.mean(gaps) <= bound / (1 - eta * (f.smoothness + cost)) * (1 + 1e-9)


@pytest.mark.refutes("thm-dcgd-gap")
def test_gradients_at_the_minimisers_do_not_depend_on_the_minimiser():
    """Rank-deficient convex agents: move along the null space of the mean."""
    rng = np.random.default_rng(12)
    rows = rng.standard_normal((3, 2, 5))
    matrices = rows.transpose(0, 2, 1) @ rows
    matrices[:, :, 4] = matrices[:, 4, :] = 0
    f = Quadratic(matrices, np.einsum("nij,nj->ni", matrices, rng.standard_normal((3, 5))))
    other = f.minimiser + 7 * torch.eye(5, dtype=torch.float64)[4]
    assert float(f.gap(other)) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(f.gradients(other), f.gradients(f.minimiser))
    assert f.disagreement > 0.01


# ----------------------------------------------------------------------------------------------------------- sharpness


def floors(rng):
    n = int(rng.integers(1, 12))
    flat = int(rng.integers(0, n))
    top = rng.uniform(0.5, 3)
    mu = top * (n - flat) / n
    return n, flat, top, mu, rng.uniform(1, 8)


@pytest.mark.refutes("prop-dcgd-floor")
def test_best_floor_is_the_minimum_over_theta():
    rng = np.random.default_rng(13)
    floor = {
        formula: formula.function()
        for formula in (formulas.dcgd_floor, formulas.dcgd_best_floor, formulas.dcgd_best_theta)
    }

    def at(formula, **values):
        return floor[formula](*(values[symbol.name] for symbol in formula.symbols))

    for _ in range(200):
        n, _, top, mu, omega = floors(rng)
        known = {"mu": mu, "L_max": top, "N": n, "omega": omega, "D": rng.exponential()}
        eta = rng.uniform(0.01, 0.9) * 2 / (mu + omega * top / n)
        best = at(formulas.dcgd_best_floor, eta=eta, **known)
        theta = at(formulas.dcgd_best_theta, eta=eta, **known)
        assert at(formulas.dcgd_floor, eta=eta, theta=theta, **known) == pytest.approx(best)
        others = at(formulas.dcgd_floor, eta=eta, theta=theta * np.exp(rng.uniform(-1, 1, 50)), **known)
        assert ((others < 0) | (others >= best * (1 - SLACK))).all()
        classic = 2 * 1e-9 * eta * omega * known["D"] / (mu * n)
        assert at(formulas.dcgd_best_floor, eta=1e-9 * eta, **known) / classic == pytest.approx(0.25, rel=1e-3)
    u, A, s = sp.symbols("u A s", positive=True)
    reciprocal = (s - 1) * (A - s * u) / s
    assert sp.simplify(reciprocal.subs(s, sp.sqrt(A / u)) - (sp.sqrt(A) - sp.sqrt(u)) ** 2) == 0
    assert sp.simplify(sp.diff(reciprocal, s, 2) + 2 * A / s**3) == 0  # concave


def second_moments(h, g, eta, omega, steps):
    """E(xⁿ − x*)² by coordinate from the recursion of Rand-k, from 1 in every coordinate."""
    noise = eta**2 * omega / len(h) * np.array([(h**2).mean(0), 2 * (h * g).mean(0), (g**2).mean(0)])
    shrink = 1 - eta * h.mean(0)
    first, second = np.ones(h.shape[1]), np.ones(h.shape[1])
    for _ in range(steps):
        second = (shrink**2 + noise[0]) * second + noise[1] * first + noise[2]
        first = shrink * first
    return second


@pytest.mark.refutes("prop-dcgd-exact")
def test_exact_floor_of_rand_k_is_the_limit_and_stays_below_the_bound():
    rng = np.random.default_rng(14)
    for _ in range(30):
        n, d = int(rng.integers(1, 8)), int(rng.integers(2, 6))
        h = rng.uniform(0.2, 2, (n, d)) * np.where(np.arange(n)[:, None] > 0, rng.integers(0, 2, (n, d)), 1)
        f = Quadratic.diagonal(h, rng.standard_normal((n, d)))
        g, omega = f.gradients(f.minimiser).numpy(), rng.uniform(0.5, 6)
        known = constants(f, omega, D=f.disagreement)
        eta = rng.uniform(0.3, 1) * chosen(formulas.dcgd_agreed_step, **known)
        hbar, h2 = h.mean(0), (h**2).mean(0)
        stated = eta * omega * (g**2).mean(0) / (n * (2 * hbar - eta * hbar**2 - eta * omega * h2 / n))
        np.testing.assert_allclose(second_moments(h, g, eta, omega, 3000), stated, rtol=1e-6, atol=1e-12)
        assert stated.sum() <= chosen(formulas.dcgd_quadratic_floor, eta=eta, **known) * (1 + SLACK)


@pytest.mark.refutes("prop-dcgd-exact", "prop-dcgd-floor")
def test_the_bound_for_quadratics_is_attained_and_the_ratio_is_as_stated():
    rng = np.random.default_rng(15)
    for _ in range(30):
        n, flat, top, mu, omega = floors(rng)
        if n - flat < 1 or n < 2:
            continue
        h = np.repeat([top, 0.0], [n - flat, flat])[:, None] * np.ones(2)
        vectors = rng.standard_normal((n, 2))
        f = Quadratic.diagonal(h, vectors - vectors.mean(0))
        known = {"L": mu, "mu": mu, "L_max": top, "N": n, "omega": omega, "D": f.disagreement}
        eta = rng.uniform(0.1, 1) * chosen(formulas.dcgd_agreed_step, **known)
        exact = second_moments(h, f.gradients(f.minimiser).numpy(), eta, omega, 2000).sum()
        assert exact == pytest.approx(chosen(formulas.dcgd_quadratic_floor, eta=eta, **known), rel=1e-4)
        A, u = 2 - eta * mu, eta * omega * top / n
        if u < 0.999 * A:
            ratio = (np.sqrt(A) + np.sqrt(u)) / (np.sqrt(A) - np.sqrt(u))
            best = chosen(formulas.dcgd_best_floor, eta=eta, **known)
            assert best / chosen(formulas.dcgd_quadratic_floor, eta=eta, **known) == pytest.approx(ratio)


@pytest.mark.refutes("prop-dcgd-exact")
def test_exact_floor_is_seen_in_runs():
    """Rand-1 in 4 dimensions, 4000 runs: the mean at the end within 5 standard errors of the formula, 4 coordinates."""
    rng = np.random.default_rng(16)
    f = Quadratic.diagonal(rng.uniform(0.5, 2, (5, 4)), rng.standard_normal((5, 4)))
    eta = 0.9 * chosen(formulas.dcgd_agreed_step, **constants(f, 3))
    run = simulate(f, DCGD(ops.RandK(1)), f.minimiser, 120, eta, runs=4000, every=120, generator=generator(17))
    seen = (run.final - f.minimiser).square()
    g, h = f.gradients(f.minimiser).numpy(), f.diagonals.numpy()
    stated = eta * 3 * (g**2).mean(0) / (5 * (2 * h.mean(0) - eta * h.mean(0) ** 2 - eta * 3 * (h**2).mean(0) / 5))
    assert (np.abs(seen.mean(0).numpy() - stated) <= 5 * seen.std(0).numpy() / np.sqrt(4000)).all()


# --------------------------------------------------------------------------------------------- what the conditions cost


def opposed(kappa, d=1):
    """f₁ = L‖x‖²/2 and f₂ = −(L − 2μ)‖x‖²/2 with μ = 1: the mean is ‖x‖²/2."""
    return Quadratic.diagonal([[kappa] * d, [2 - kappa] * d], torch.zeros(2, d))


@pytest.mark.refutes("err-dcgd-convexity")
@pytest.mark.parametrize("kappa", [3.0, 10.0, 100.0, 1000.0])
def test_rate_without_convex_agents_as_printed_falls_as_corrected_stands(kappa):
    """All four outcomes of the two coins, for every step size: the printed rate would need a factor of 1 − c/κ."""
    f = opposed(kappa)
    assert (f.smoothness, f.convexity, f.disagreement) == pytest.approx((1, 1, 0))
    assert f.agent_convexity < 0

    def factor(eta):
        outcomes = [1 - eta * (kappa * first - (kappa - 2) * second) for first, second in product((0, 1), repeat=2)]
        return np.mean(np.square(outcomes), axis=0)  # a message is twice the gradient or nothing

    etas = np.concatenate([np.linspace(0, 2, 20_001), np.geomspace(1e-9, 1, 20_001)])
    gained = 1 - factor(etas)
    best = value(formulas.dcgd_concave_gain, kappa=kappa)
    assert gained.max() == pytest.approx(best, rel=1e-3)
    assert (gained <= best * (1 + SLACK)).all()
    at = 2 / (kappa**2 - 2 * kappa + 4)
    assert 1 - factor(at) == pytest.approx(best)
    printed = 1 / (kappa + kappa / 2)  # L/μ + L(ζ − 1)/(μn) with ζ = n = 2
    if kappa >= 10:
        assert gained.max() < 0.5 * printed
    if kappa == 1000:
        assert gained.max() < printed / 300  # no constant in front of the printed rate saves it


@pytest.mark.refutes("err-dcgd-convexity")
def test_rate_without_convex_agents_in_many_coordinates():
    """2000 coordinates with their own coins: single runs look like the mean square (5 %, about 10 standard errors)."""
    f, half = opposed(20.0, d=2000), ops.Scaled(ops.RandomSparsification(0.5), 2.0)
    eta = 0.005
    run = simulate(f, DCGD(half), torch.ones(2000), 10, eta, runs=3, every=10, generator=generator(18))
    expected = (1 - 2 * eta + eta**2 * (1 + (20**2 + 18**2) / 4)) ** 10
    np.testing.assert_allclose(run.distance[-1] / 2000, expected, rtol=0.05)


@pytest.mark.refutes("prop-dcgd-any-agents")
def test_bound_for_agents_that_need_not_be_convex():
    rng = np.random.default_rng(19)
    nearest = 0.0
    for _ in range(80):
        n, d = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        h = rng.uniform(-3, 4, (n, d))
        h += 0.2 - np.minimum(h.mean(0), 0)
        f = Quadratic.diagonal(h, rng.choice([0, 1]) * rng.standard_normal((n, d)))
        omega, theta = rng.exponential(2), rng.uniform(0.2, 5)
        rms = float(np.sqrt(np.square(np.abs(h).max(1)).mean()))
        known = {
            "L": f.smoothness,
            "mu": f.convexity,
            "N": n,
            "omega": omega,
            "L_rms": rms,
            "theta": theta,
            "D": f.disagreement,
        }
        eta = rng.uniform(0.01, 1) * chosen(formulas.dcgd_any_step, **known)
        x = points(f, rng)
        left = after_one_step(f, x, eta, omega)
        right = chosen(formulas.dcgd_any_factor, eta=eta, **known) * (x - f.minimiser).square().sum(-1)
        right = right + chosen(formulas.dcgd_noise, eta=eta, **known)
        assert (left <= right * (1 + SLACK) + 1e-12).all()
        nearest = max(nearest, float((left / right.clamp_min(1e-300)).max()))
    assert nearest > 0.9
    f = opposed(7.0)  # attained, without θ, where the agents agree
    rms = np.sqrt((7.0**2 + 5.0**2) / 2)
    stated = chosen(formulas.dcgd_any_factor, eta=0.03, mu=1, N=2, omega=1, L_rms=rms, theta=1e-12)
    assert float(after_one_step(f, torch.ones(1, dtype=torch.float64), 0.03, 1)) == pytest.approx(stated)


@pytest.mark.refutes("prop-dcgd-shared")
def test_dependent_messages_in_general_and_at_their_worst():
    """All agents keep the same coordinate: every outcome is written out."""
    rng = np.random.default_rng(20)
    for _ in range(100):
        d, n = int(rng.integers(2, 5)), int(rng.integers(1, 6))
        g = rng.standard_normal((n, d)) * rng.choice([0, 1]) + rng.standard_normal(d)
        outcomes = np.array([d * g.mean(0) * (np.arange(d) == j) for j in range(d)])
        noise = np.square(outcomes - g.mean(0)).sum(1).mean()
        assert noise <= (d - 1) * np.square(g).sum(1).mean() * (1 + SLACK)
        assert noise == pytest.approx((d - 1) * np.square(g.mean(0)).sum())  # that of one node: D plays no part
    g = np.ones((4, 3))
    outcomes = np.array([3 * g.mean(0) * (np.arange(3) == j) for j in range(3)])
    assert np.square(outcomes - 1).sum(1).mean() == pytest.approx(2 * 3)  # ω times the mean energy, without 1/N


@pytest.mark.refutes("prop-dcgd-shared")
def test_shared_seed_converges_in_spite_of_disagreement():
    for rng, f, _ in smooth_convex(21, 40):
        omega = rng.exponential(4)
        known = constants(f, omega)
        eta = rng.uniform(0.05, 1) * chosen(formulas.dcgd_shared_step, **known)
        factor = chosen(formulas.dcgd_shared_factor, eta=eta, **known)
        x = points(f, rng)
        g, away = f.gradient(x), x - f.minimiser
        left = (away - eta * g).square().sum(-1) + eta**2 * omega * g.square().sum(-1)
        assert (left <= factor * away.square().sum(-1) * (1 + 1e-7) + 1e-12).all()
    f = Quadratic.diagonal([[2.0, 2.0]], [[0.0, 0.0]])
    stated = chosen(formulas.dcgd_shared_factor, eta=0.1, omega=1, mu=2)
    assert float(after_one_step(f, torch.tensor([1.0, -2.0], dtype=torch.float64), 0.1, 1)) == pytest.approx(5 * stated)
    rng = np.random.default_rng(22)
    f = Quadratic.diagonal(rng.uniform(0.5, 2, (8, 4)), 5 * rng.standard_normal((8, 4)))
    assert f.disagreement > 10
    x, draws = torch.zeros(4, dtype=torch.float64), generator(23)
    for _ in range(600):
        kept = torch.randint(4, (), generator=draws)
        mask = torch.zeros(4, dtype=torch.float64)
        mask[kept] = 4
        x = x - 0.2 * (mask * f.gradients(x)).mean(0)
    assert float((x - f.minimiser).norm()) < 1e-12


# ---------------------------------------------------------------------------------------------------------------- DIANA


@pytest.mark.refutes("def-diana")
def test_diana_by_hand():
    g = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    h = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    step, after = DIANA(ops.TopK(1), 0.5).update(g, h, 0.1)
    message = torch.tensor([[0.0, 4.0], [0.0, -2.0]], dtype=torch.float64)
    torch.testing.assert_close(step, 0.1 * (h + message).mean(0))
    torch.testing.assert_close(after, h + 0.5 * message)
    same, zero = DIANA(ops.Identity(), 1.0).update(g, h, 0.1)
    torch.testing.assert_close(same, 0.1 * g.mean(0))
    torch.testing.assert_close(zero, g)


@pytest.mark.refutes("thm-diana")
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_lyapunov_function_of_diana_after_one_step(share):
    """Exact expectation over messages with noise ω‖v‖², at random states and at adversarial ones."""
    nearest = 0.0
    for rng, f, _ in smooth_convex(24, 90):
        omega = rng.exponential(3)
        known = constants(f, omega)
        eta = share * chosen(formulas.diana_step, **known)
        a = rng.uniform(0.3, 1) / (1 + omega)
        weight = chosen(formulas.diana_weight, eta=eta, a=a, **known)
        factor = chosen(formulas.diana_factor, eta=eta, a=a, **known)
        x = points(f, rng)
        best = f.gradients(f.minimiser)
        g = f.gradients(x)
        kinds = [
            best + torch.from_numpy(rng.standard_normal(g.shape)) * 10 ** rng.uniform(-2, 1),
            0 * g,
            2 * best - g,
            best - (g - best) / (1 + omega),
        ]
        for h in kinds:
            away, off = (x - f.minimiser).square().sum(-1), (h - best).square().sum(-1).mean(-1)
            sent = (g - h).square().sum(-1).mean(-1)
            landed = (x - eta * g.mean(-2) - f.minimiser).square().sum(-1) + eta**2 * omega / f.agents * sent
            shifted = (h + a * (g - h) - best).square().sum(-1).mean(-1) + a**2 * omega * sent
            left, right = landed + weight * shifted, factor * (away + weight * off)
            assert (left <= right * (1 + 1e-7) + 1e-12).all()
            nearest = max(nearest, float((left / right.clamp_min(1e-300))[away > 1e-6].max()))
    assert nearest > 0.8


@pytest.mark.refutes("thm-diana")
def test_diana_needs_a_small_shift_step():
    """With a = 1 and ω = 3 the shifts are thrown about: the Lyapunov function grows by more than its factor."""
    f = Quadratic.diagonal([[1.0], [1.0]], [[1.0], [-1.0]])
    eta = chosen(formulas.diana_step, **constants(f, 3))
    weight = chosen(formulas.diana_weight, eta=eta, a=1, omega=3, N=2)
    off = 1.0  # at the minimiser, with shifts 0: E‖h + m − ∇f(x*)‖² = ω‖∇f(x*)‖²
    left = eta**2 * 3 / 2 * 1.0 + weight * 3 * 1.0
    assert left > chosen(formulas.diana_factor, eta=eta, a=1, mu=1) * weight * off


@pytest.mark.refutes("thm-diana")
@pytest.mark.parametrize("c", [ops.RandK(1), ops.NaturalCompression(), ops.Ternary()], ids=repr)
def test_diana_goes_where_dcgd_stalls(c):
    rng = np.random.default_rng(25)
    f = Quadratic.diagonal(rng.uniform(0.5, 2, (5, 4)), rng.standard_normal((5, 4)))
    omega = float(c.membership(4)[0].zeta) - 1
    eta = chosen(formulas.diana_step, **constants(f, omega))
    options = {"runs": 20, "every": 1500, "generator": generator(26)}
    plain = simulate(f, DCGD(c), torch.zeros(4), 1500, eta, **options).distance[-1].mean()
    shifted = simulate(f, DIANA(c, 1 / (1 + omega)), torch.zeros(4), 1500, eta, **options)
    assert plain > 1e-6
    assert shifted.distance[-1].max() < 1e-12
    best = f.gradients(f.minimiser)
    assert (shifted.state - best).abs().max() < 1e-6  # the shifts have learned the gradients at the minimiser


# ----------------------------------------------------------------------------------------------- where biased ones fail


@pytest.mark.refutes("ex-three-agents")
@pytest.mark.parametrize("eta", [1e-4, 0.05, 0.2, 5.0])
@pytest.mark.parametrize("t", [1.0, -0.3])
def test_three_agents_run_away_on_the_line(eta, t):
    f, x = top_1_failure(), torch.full((3,), t, dtype=torch.float64)
    for _ in range(5):
        after = x - DCGD(ops.TopK(1)).update(f.gradients(x), None, eta)[0]
        torch.testing.assert_close(after, value(formulas.example_1_factor, eta=eta) * x)
        x = after


@pytest.mark.refutes("ex-three-agents")
def test_three_agents_constants_and_gradient_descent():
    f = top_1_failure()
    assert (f.convexity, f.smoothness, f.agent_smoothness, f.agent_convexity) == pytest.approx(
        (7 / 6, 103 / 6, 34.5, 0.5)
    )
    assert f.disagreement == 0
    start = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)
    below = simulate(f, DCGD(ops.Identity()), start, 3000, 0.99 * 12 / 103, every=3000).distance[-1, 0]
    above = simulate(f, DCGD(ops.Identity()), start, 3000, 1.01 * 12 / 103, every=3000)
    assert below < 1e-12
    assert above.diverged[0] > 0


@pytest.mark.refutes("ex-three-agents")
def test_three_agents_run_away_from_a_whole_cone():
    """Starts at the edge of the cone, up to the largest step; beyond the cone the selection can change."""
    f, rng = top_1_failure(), np.random.default_rng(27)
    for eta in (0.001, 0.05, 0.1165, 0.24):
        p = rng.standard_normal((300, 3))
        p -= p.mean(1, keepdims=True)
        p *= 0.999 / 51 / np.abs(p).max(1, keepdims=True)
        x = torch.from_numpy(1 + p)
        for n in range(1, 30):
            x = x - DCGD(ops.TopK(1)).update(f.gradients(x), None, eta)[0]
            torch.testing.assert_close(x.mean(1), torch.full((300,), (1 + 11 * eta / 6) ** n, dtype=torch.float64))
    p = torch.tensor([2.0, -1.0, -1.0], dtype=torch.float64) * 1.1 / 51 / 2
    kept = ops.TopK(1)(f.gradients(1 + p)).abs().argmax(-1)
    wide = ops.TopK(1)(f.gradients(1 + 8 * p)).abs().argmax(-1)
    assert kept.tolist() == [0, 1, 2]
    assert wide.tolist() != [0, 1, 2]


CASES = [(3, 1), (5, 2), (6, 2), (7, 3), (8, 3)]


@pytest.mark.refutes("err-example-2", "ex-many-agents")
@pytest.mark.parametrize(("d", "d1"), CASES)
@pytest.mark.parametrize("extra", [0.1, 0.5, 20.0])
def test_all_subsets_factor_as_printed_falls_as_corrected_stands(d, d1, extra):
    b = value(formulas.example_2_least_b, d=d, d_1=d1) + extra
    f, eta = top_k_failure(d, d1, b=b), 0.1
    assert f.agents == comb(d, d1)
    assert f.disagreement == 0
    x = torch.ones(d, dtype=torch.float64)
    for _ in range(3):
        after = x - DCGD(ops.TopK(d1)).update(f.gradients(x), None, eta)[0]
        grown = float(after[0] / x[0])
        torch.testing.assert_close(after, grown * x)
        x = after
    corrected = value(formulas.example_2_factor, b=b, d=d, d_1=d1, eta=eta)
    printed = value(formulas.example_2_factor_printed, b=b, d=d, d_1=d1, eta=eta)
    assert grown == pytest.approx(corrected)
    assert (printed > grown * 1.001) if d1 > 1 else (printed == pytest.approx(grown))


@pytest.mark.refutes("err-example-2")
def test_all_subsets_numbers_of_the_box():
    values = {"b": 4.5, "d": 5, "d_1": 2, "eta": 0.1}
    assert value(formulas.example_2_factor, **values) == pytest.approx(1.32)
    assert value(formulas.example_2_factor_printed, **values) == pytest.approx(1.40)
    for d in range(3, 12):
        for d1 in range(1, d):
            assert sp.Rational(comb(d - 1, d1 - 1), comb(d, d1)) == sp.Rational(d1, d)
            assert sp.Rational(comb(d, d1 - 1), comb(d, d1)) == sp.Rational(d1, d - d1 + 1)


@pytest.mark.refutes("ex-many-agents")
def test_all_subsets_choice_of_the_paper_and_the_curvatures():
    for d in range(3, 12):
        for d1 in range(1, (d - 1) // 2 + 1):
            d2 = d - d1
            b, c = d2 + sp.Rational(d2, d1), d1 + sp.Rational(1, d2) + 1
            assert -b * d1 + c * d2 == 1
            assert b - c - 1 == (d2 - d1 - 1) + sp.Rational(d2 - d1, d1) - sp.Rational(1, d2)
            assert b - c - 1 >= sp.Rational(1, d1) - sp.Rational(1, d2) > 0
            least = formulas.example_2_least_b(d=d, d_1=d1)
            edge = (1 + least * d1) / d2
            assert least == edge + 1  # at the least b, b = c + 1
    f, b, c = top_k_failure(5, 2, b=4.5), 4.5, 10 / 3
    assert f.convexity == pytest.approx(1 + 2 / 5)
    assert f.smoothness == pytest.approx(1 + 2 * (b + c) ** 2 * 6 / 20)
    tight = top_k_failure(5, 2, b=4.01)
    assert (ops.TopK(2)(tight.gradients(torch.ones(5, dtype=torch.float64))) <= 0).all()
    with pytest.raises(ValueError, match="b > c"):
        top_k_failure(5, 2, b=4.0)


def shifts_of(g):
    """The agents of prop-shifts-fail."""
    d, total = len(g), float(np.sum(g))
    rows = np.array([np.roll(g, j) for j in range(d)])
    rest = np.eye(d) - np.ones((d, d)) / d
    return Quadratic(rows[:, :, None] * rows[:, None, :] / total + rest, np.zeros((d, d)))


def top_k_vector(d, k):
    """The vector of the proof of prop-shifts-fail."""
    if k == 1:
        return np.array([-1.0] + [0.9] * (d - 1))
    up, down = -(-k // 2), k // 2
    return np.array([1.0] * up + [-(up + 0.2) / down] * down + [0.9] * (d - k))


def sign_vector(d):
    m = d // 2 + 1
    return np.array([-1.0] * m + [m + 1.0] * (d - m))


FAILING = [(ops.TopK(k), top_k_vector(d, k)) for d in range(3, 9) for k in range(1, d)]
FAILING += [(ops.ScaledSign(), sign_vector(d)) for d in range(3, 9)]


@pytest.mark.refutes("prop-shifts-fail")
@pytest.mark.parametrize(("c", "g"), FAILING, ids=lambda v: repr(v) if isinstance(v, ops.Compressor) else str(len(v)))
def test_shifts_of_one_vector_run_away_for_every_step(c, g):
    f, d = shifts_of(g), len(g)
    assert f.agent_convexity > 0
    assert f.disagreement == pytest.approx(0, abs=1e-20)
    kept = float(c(torch.from_numpy(g)).sum())
    assert kept < 0 < g.sum()
    for eta in (1e-3, 0.1, 3.0):
        x = torch.ones(d, dtype=torch.float64)
        for _ in range(3):
            after = x - DCGD(c).update(f.gradients(x), None, eta)[0]
            torch.testing.assert_close(
                after, value(formulas.shifts_factor, d=d, eta=eta, kept=kept) * x, rtol=1e-9, atol=0
            )
            x = after
        assert float(x[0]) > 1


@pytest.mark.refutes("prop-top-1-plane")
def test_top_1_does_not_run_away_in_the_plane():
    """Random and near-degenerate convex agents, one step from everywhere, at the largest step size."""
    rng = np.random.default_rng(33)
    for i in range(300):
        angle, n = rng.uniform(0, np.pi, 3), int(rng.integers(1, 4))
        axes = np.stack([np.cos(angle), np.sin(angle)], 1)[:n]
        flat = rng.choice([0, 1e-3, 1]) * rng.random(n)
        matrices = axes[:, :, None] * axes[:, None, :] + flat[:, None, None] * (
            np.eye(2) - axes[:, :, None] * axes[:, None, :]
        )
        f = logistic_like(rng) if i % 10 == 0 else Quadratic(matrices, np.zeros((n, 2)))
        x = points(f, rng, 300)
        after = x - ops.TopK(1)(f.gradients(x)).mean(-2) / f.agent_smoothness
        assert (after.abs().amax(-1) <= x.abs().amax(-1) * (1 + 1e-9)).all()
    f = Quadratic.diagonal([[1.0, 0.5]], [[0.0, 0.0]])
    x = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert (x - 2.1 * ops.TopK(1)(f.gradients(x))[0]).abs().max() > 1
    three = top_1_failure()  # and in space it does, at the same step size
    start = torch.ones(3, dtype=torch.float64)
    assert (start - ops.TopK(1)(three.gradients(start)).mean(0) / three.agent_smoothness).abs().max() > 1


def logistic_like(rng):
    """Convex, not quadratic, with the minimum of every agent at 0: each row with both labels."""
    rows = np.repeat(rng.standard_normal((3, 2)), 2, axis=0)
    return Logistic(rows, np.tile([1.0, -1.0], 3), 0.0, agents=3)


@pytest.mark.refutes("ex-stuck")
def test_stuck_at_the_start_and_anywhere_on_a_segment():
    v = torch.tensor([[1.0, 4.0], [-1.0, -2.0], [1.0, -2.0]], dtype=torch.float64)
    f = stuck(v)
    assert v.sum(0).tolist() == [1, 0]
    assert ops.TopK(1)(v).sum(0).tolist() == [0, 0]
    torch.testing.assert_close(f.minimiser, torch.tensor([-1 / 3, 0], dtype=torch.float64))
    for eta in (0.01, 1.0, 7.0):
        run = simulate(f, DCGD(ops.TopK(1)), torch.zeros(2), 50, eta)
        assert (run.distance == run.distance[0]).all()
        assert float(run.gap[-1, 0]) == pytest.approx(1 / 18)
    rng = np.random.default_rng(28)
    s = rng.uniform(-1, 1, 500)
    r = (1 - np.abs(s)) * rng.uniform(-1, 1, 500) * 0.999
    for eta in (0.1, 1.0, 1.9):
        run = simulate(f, DCGD(ops.TopK(1)), torch.from_numpy(np.column_stack([s, r])), 400, eta, runs=500, every=400)
        np.testing.assert_allclose(run.final, np.column_stack([s, np.zeros(500)]), atol=1e-12)
    outside = simulate(f, DCGD(ops.TopK(1)), torch.tensor([-1.5, 0.0]), 400, 0.1, every=400).final[0]
    assert float(outside[0]) > -1.5  # beyond the segment it moves


FORGETFUL = [
    (ops.TopK(1), [1.0, 4.0], [2.0, 4.0]),
    (ops.TopK(2), [3.0, 4.0, 1.0], [3.0, 4.0, -2.0]),
    (ops.Sign(), [1.0, 4.0], [2.0, 1.0]),
    (ops.ScaledSign(), [3.0, 1.0], [2.0, 2.0]),
    (ops.BiasedRounding(2.0), [1.0, 4.1], [1.1, 4.0]),
]


@pytest.mark.refutes("prop-stuck-two")
@pytest.mark.parametrize(("c", "u", "v"), FORGETFUL, ids=lambda v: repr(v) if isinstance(v, ops.Compressor) else "")
def test_two_agents_are_stuck_with_every_forgetful_odd_compressor(c, u, v):
    u, v = torch.tensor(u, dtype=torch.float64), torch.tensor(v, dtype=torch.float64)
    torch.testing.assert_close(c(-u), -c(u))
    torch.testing.assert_close(c(u), c(v))
    f = stuck(torch.stack([u, -v]))
    run = simulate(f, DCGD(c), torch.zeros(len(u)), 20, 0.3)
    assert float(run.distance[-1, 0]) == float(run.distance[0, 0]) > 0


@pytest.mark.refutes("prop-stuck-two")
def test_an_additive_left_inverse_forbids_being_stuck_and_an_injective_cube_does_not_have_one():
    rng = np.random.default_rng(29)
    mixing = rng.standard_normal((3, 3))
    v = rng.standard_normal((5, 3))
    v[-1] = -np.linalg.solve(mixing, (v[:-1] @ mixing.T).sum(0))  # messages Mv that add up to 0
    assert np.abs((v @ mixing.T).sum(0)).max() < 1e-12
    assert np.abs(v.sum(0)).max() < 1e-9
    cube = np.array([1.0, 1.0, -(2 ** (1 / 3))])  # v ↦ v³ is odd and injective, but no additive map undoes it
    assert abs((cube**3).sum()) < 1e-12
    assert abs(cube.sum()) > 0.5


def zeroing(v, delta):
    """The operator of the proof of prop-biased-limit."""
    small = v[..., 1] ** 2 <= (1 - 1 / delta) * v.square().sum(-1) * (1 + 1e-12)
    return torch.stack([v[..., 0], torch.where(small, 0, v[..., 1])], -1)


@pytest.mark.refutes("prop-biased-limit")
@pytest.mark.parametrize("c", [ops.TopK(1), ops.TopK(2), ops.ScaledSign(), ops.BiasedRounding(4.0)], ids=repr)
def test_one_biased_step_stays_below_the_bound(c):
    """Quadratic agents with the same curvature: Γ is constant. And agents with different ones: Γ₁ from the matrices."""
    rng, d = np.random.default_rng(30), 3
    delta = float(next(m for m in c.membership(d) if hasattr(m, "delta")).delta)
    for _ in range(40):
        n = int(rng.integers(1, 5))
        h = rng.uniform(0.3, 3, d)
        f = Quadratic.diagonal(np.tile(h, (n, 1)), rng.choice([0, 0.1, 1]) * rng.standard_normal((n, d)))
        spread = float((f.gradients(f.minimiser)).square().sum(-1).mean())
        eta = rng.uniform(0.1, 1) / f.smoothness
        x = points(f, rng)
        after = x - eta * c(f.gradients(x)).mean(-2)
        bound = (1 - eta * f.convexity / delta) * f.gap(x) + eta / 2 * (1 - 1 / delta) * spread
        assert (f.gap(after) <= bound * (1 + SLACK) + 1e-12).all()
        if spread == 0 or n == 1:
            assert (f.gap(after) <= (1 - eta * f.convexity / delta) * f.gap(x) * (1 + SLACK) + 1e-12).all()


@pytest.mark.refutes("prop-biased-limit")
def test_biased_step_with_dissimilar_curvatures():
    """Top-2 in three dimensions (1/(δ − 1) = 2) on agents whose gradients differ by less than that."""
    rng, delta = np.random.default_rng(31), 1.5
    met = 0
    for _ in range(200):
        n = int(rng.integers(2, 5))
        h = rng.uniform(0.5, 2, (n, 3))
        f = Quadratic.diagonal(h, np.zeros((n, 3)))
        gamma_1 = float((h.var(0) / h.mean(0) ** 2).max())
        left_over = 1 - (1 - 1 / delta) * (1 + gamma_1)
        if left_over <= 0:
            continue
        met += 1
        x, eta = points(f, rng), 1 / f.smoothness
        after = x - eta * ops.TopK(2)(f.gradients(x)).mean(-2)
        assert (f.gap(after) <= (1 - left_over * eta * f.convexity) * f.gap(x) * (1 + SLACK) + 1e-12).all()
        seen = f.gradient(x).square().sum(-1)
        assert (seen * left_over * eta / 2 <= (f.gap(x) - f.gap(after)) * (1 + SLACK) + 1e-12).all()
    assert met > 100


@pytest.mark.refutes("prop-biased-limit")
@pytest.mark.parametrize("delta", [1.2, 2.0, 5.0])
def test_floor_and_condition_of_biased_messages_are_sharp(delta):
    w, mu = 0.7, 3.0
    f = Quadratic.diagonal([[mu, mu]] * 2, [[mu * w, 0.0], [-mu * w, 0.0]])
    spread = f.disagreement  # Γ is the same everywhere
    x = torch.tensor([0.0, w * (delta - 1) ** 0.5], dtype=torch.float64)
    g = f.gradients(x)
    assert (zeroing(g, delta) - g).square().sum() <= (1 - 1 / delta) * g.square().sum() * (1 + SLACK)  # in B³(δ)
    assert zeroing(g, delta).sum(0).abs().max() < 1e-12
    assert float(f.gap(x)) == pytest.approx(value(formulas.biased_floor, Gamma_0=spread, delta=delta, mu=mu))
    assert float(f.gradient(x).square().sum()) == pytest.approx((delta - 1) * spread)
    if delta == 2:
        assert ops.TopK(1)(torch.tensor([[w, w], [-w, w]], dtype=torch.float64)).sum(0).tolist() == [0, 0]
    w = value(formulas.biased_threshold, delta=delta) ** 0.5
    m = max(1.0, 2 * w * w)
    f = Quadratic(np.array([[[m, w], [w, 1.0]], [[m, -w], [-w, 1.0]]]), torch.zeros(2, 2))
    assert f.agent_convexity > 0
    x = points(f, np.random.default_rng(32))
    spread = (f.gradients(x) - f.gradient(x)[:, None]).square().sum(-1).mean(-1)
    assert (spread <= w * w * f.gradient(x).square().sum(-1) * (1 + SLACK) + SLACK).all()
    for s in (-2.0, 0.01, 1.0):
        x = torch.tensor([0.0, s], dtype=torch.float64)
        assert zeroing(f.gradients(x), delta).sum(0).abs().max() < 1e-12


@pytest.mark.refutes("rem-averaging")
def test_bias_does_not_average_out():
    g = np.array([3.0, 4.0])
    for n in (1, 2, 3, 6):
        outcomes = np.array(list(product((0, 1), repeat=n)))
        means = np.stack([2 * g[0] * (outcomes == 0).mean(1), 2 * g[1] * (outcomes == 1).mean(1)], 1)
        error = np.square(means - g).sum(1).mean()
        assert error == pytest.approx(25 / n)
    biased = ops.TopK(1)(torch.from_numpy(np.tile(g, (50, 1)))).mean(0).numpy()
    assert np.square(biased - g).sum() == pytest.approx(9)
    assert 25 / 3 < 9 < 25 / 2  # three agents with Rand-1, or any number with Top-1


@pytest.mark.refutes("thm-diana")
def test_the_weight_of_the_shifts_is_the_one_that_the_proof_needs():
    """What a step adds to G and H and what the shifts keep of them, in symbols, as in the last lines of the proof."""
    eta, omega, agents, a = formulas.eta, formulas.omega, formulas.N, formulas.a
    weight, noise = formulas.diana_weight.expression, 2 * eta**2 * omega / agents
    assert sp.simplify(noise + weight * (1 - a) - weight * (1 - a / 2)) == 0
    most = 1 / formulas.diana_step.expression
    assert sp.simplify((noise + weight * a) * formulas.L_max - eta**2 * (most - formulas.L)) == 0
