"""The statements of the chapter `scaling`, each tried where it would fail if it were false.

Most of it is exact: symbolic identities, and second moments iterated on quadratics without sampling. The sampled tests
have fixed seeds and some twenty comparisons at 4.5 standard errors, a family error rate below 2e-4.
"""

from dataclasses import replace
from math import gamma, inf, pi, sin, sqrt

import numpy as np
import pytest
import sympy as sp
import torch
from closed import generator
from scipy.integrate import quad

from gradpress import compressors as ops
from gradpress import formulas as F
from gradpress.homogeneous import Homogeneous
from gradpress.noise import Averaged, Gaussian, StudentT, batch_slope, slope
from gradpress.problems import bowl
from gradpress.scaling import KNOBS, Setting, compare, solve, solve_sign
from gradpress.simulate import simulate

# How a rescaling acts on the letters of a formula.
RESCALED = {F.eta: F.c_eta * F.eta, F.B: F.c_B * F.B, F.N: F.c_N * F.N, F.omega: F.c_omega * F.omega}
LAW = F.scaling_floor_ratio.expression
FLOORS = {  # with the a and b of the chapter's table
    "sharp": (F.dcsgd_floor, 0, F.L),
    "printed": (F.dcsgd_floor_printed, 0, F.L**2 / F.mu),
    "chain": (F.dcsgd_floor_chain, F.L, F.L),
    "coordinate, SDE": (F.dcsgd_variance, 0, F.H),
    "coordinate, chain": (F.dcsgd_variance_chain, F.H, F.H),
}
AGENTS = {"sharp": F.scaling_agents_sharp, "printed": F.scaling_agents_printed, "chain": F.scaling_agents_chain}


def value(formula, **values):
    return float(formula(**values).evalf())


def rescaled(expression, **more):
    return expression.subs(RESCALED | more, simultaneous=True)


def zero(expression):
    return sp.simplify(expression) == 0


# -------------------------------------------------------------------------------- the floor on quadratics, by iteration


def second_moments(omega, off):
    """T of def-linear-moment: the diagonal times 1 + ω, the rest times `off`."""
    return lambda A: off * A + (1 + omega - off) * np.diag(np.diag(A))


def rand_k(d, k):
    return d / k - 1, second_moments(d / k - 1, d / k * (k - 1) / (d - 1))


def stationary(H, S, eta, B, N, T):
    """V, by solving its linear equation: vec(V) = M vec(V) + vec(kick)."""
    d, eye = len(H), np.eye(len(H) ** 2)

    def step(A):
        HAH = H @ A @ H
        return A - eta * (H @ A + A @ H) + eta**2 * HAH + eta**2 / N * (T(HAH) - HAH)

    M = np.stack([step(e.reshape(d, d)).ravel() for e in eye], 1)
    V = np.linalg.solve(eye - M, (eta**2 / N * T(S / B)).ravel()).reshape(d, d)
    return V, max(abs(np.linalg.eigvals(M)))


def instances(seed, count=60):
    """H rotated at random, Σ of every rank, each compressor with a linear second moment."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        d = int(rng.integers(2, 6))
        q = np.linalg.qr(rng.standard_normal((d, d)))[0]
        h = np.sort(10 ** rng.uniform(-1, 1, d))
        s = rng.standard_normal((d, int(rng.integers(1, d + 1))))
        H, S = q @ np.diag(h) @ q.T, s @ s.T
        omega, T = [rand_k(d, int(rng.integers(1, d + 1))), (w := rng.exponential(5), second_moments(w, 1.0))][i % 2]
        B, N = (int(v) for v in rng.integers(1, 12, 2))
        eta = rng.uniform(0.02, 0.98) * 2 / (h[-1] * (1 + omega / N))
        yield rng, H, h, S, eta, B, N, omega, T


@pytest.mark.refutes("def-linear-moment")
def test_moments_of_the_three_compressors_are_linear():
    rng = np.random.default_rng(1)
    d, runs = 4, 400_000
    for k in (1, 2, 4):
        omega, T = rand_k(d, k)
        v = rng.standard_normal(d)
        # all subsets, exactly
        subsets = [s for s in range(2**d) if bin(s).count("1") == k]
        masks = np.array([[s >> j & 1 for j in range(d)] for s in subsets]) * d / k
        sent = masks * v
        np.testing.assert_allclose(sent.T @ sent / len(sent), T(np.outer(v, v)), atol=1e-12)
        A = rng.standard_normal((d, d))
        assert np.trace(T(A @ A.T)) == pytest.approx((1 + omega) * np.trace(A @ A.T))
        found = ops.RandK(k)(torch.tensor(v).expand(runs // 40, d), generator(k)).numpy()
        assert set(np.round(np.unique(found / v), 9)) <= {0.0, round(d / k, 9)}
    q = 0.3
    omega, T = 1 / q - 1, second_moments(1 / q - 1, 1.0)
    v = torch.tensor(rng.standard_normal(3))
    sent = (torch.rand(runs, 3, generator=generator(2), dtype=torch.float64) < q) * v / q
    products = sent[:, :, None] * sent[:, None, :]
    off = (products.mean(0) - torch.tensor(T(np.outer(v, v)))) / (products.std(0) / runs**0.5)
    assert off.abs().max() < 4.5


@pytest.mark.refutes("thm-quadratic-floor")
def test_balance_and_bounds_on_many_quadratics():
    reached = [1.0, 1.0]
    for _, H, h, S, eta, B, N, omega, T in instances(3):
        V, radius = stationary(H, S, eta, B, N, T)
        assert radius < 1 + 1e-9
        hot = Setting(eta, B, N, omega).temperature * np.trace(S)
        balance = eta * (1 + omega / N) * np.trace(H @ H @ V) + hot
        assert 2 * np.trace(H @ V) == pytest.approx(balance, rel=1e-7)
        floor = np.trace(H @ V) / 2
        low, high = (hot / 4 / (1 - eta * c / 2 * (1 + omega / N)) for c in (h[0], h[-1]))
        assert low * (1 - 1e-7) <= floor <= high * (1 + 1e-7)
        reached = [min(reached[0], floor / low), max(reached[1], high / floor)]
    # both bounds are attained: noise along the flattest and along the steepest axis
    H, eta, B, N = np.diag([1.0, 4.0]), 0.1, 2, 3
    omega, T = rand_k(2, 1)
    for j, c in enumerate((1.0, 4.0)):
        S = np.zeros((2, 2))
        S[j, j] = 1
        V, _ = stationary(H, S, eta, B, N, T)
        known = value(F.dcsgd_floor_chain, L=c, mu=c, d=1, sigma=1, eta=eta, B=B, N=N, omega=omega)
        assert np.trace(H @ V) / 2 == pytest.approx(known)


@pytest.mark.refutes("thm-quadratic-floor")
def test_beyond_its_step_the_second_moment_grows():
    """On H = L I every direction is steepest, and the limit of the step is exact."""
    for omega, T in (rand_k(3, 1), rand_k(3, 3)):
        largest = value(F.dcsgd_largest_step, L=2, N=4, omega=omega)
        below, above = (stationary(2 * np.eye(3), np.eye(3), share * largest, 1, 4, T)[1] for share in (0.999, 1.001))
        assert below < 1 < above


@pytest.mark.refutes("thm-quadratic-floor")
def test_floor_of_the_library_s_own_runs():
    """10 000 runs of Rand-2 of 4 coordinates, of no compression, and of Student noise, against the exact mean."""
    h, runs = torch.tensor([0.5, 1.0, 2.0, 3.0]), 10_000
    f = bowl(h.tolist()).to(dtype=torch.float32)
    half, whole = rand_k(4, 2)[1], rand_k(4, 4)[1]
    heavy = StudentT(1.0, nu=5)
    for c, T, noise in (
        (ops.RandK(2), half, Gaussian(1.0)),
        (ops.Identity(), whole, Gaussian(1.0)),
        (ops.RandK(2), half, heavy),
    ):
        V, _ = stationary(np.diag(h.numpy().astype(float)), noise.variance() * np.eye(4), 0.1, 1, 3, T)
        method = Homogeneous(c, 3, noise)
        gap = simulate(f, method, torch.zeros(4), 90, 0.1, runs=runs, generator=generator(5), every=90).gap[-1]
        known = float((h.double() * torch.tensor(np.diag(V))).sum() / 2)
        assert abs(float(gap.mean()) - known) < 4.5 * float(gap.std()) / runs**0.5 + 2e-4 * known


# ------------------------------------------------------------------------------------------------------------- the law


@pytest.mark.refutes("def-rescaling")
def test_temperature_and_its_ratio():
    assert zero(rescaled(F.scaling_temperature.expression) / F.scaling_temperature.expression.subs(F.omega, 0) - LAW)
    setting = Setting(0.1, 32, 8, 3.0)
    assert setting.temperature == pytest.approx(4 * 0.1 / 256)
    rng = np.random.default_rng(6)
    for _ in range(50):
        eta, B, N, omega, *c = np.exp(rng.standard_normal(8))
        now = Setting(c[0] * eta, c[1] * B, c[2] * N, c[3] * omega)
        ratio = value(F.scaling_floor_ratio, c_eta=c[0], c_B=c[1], c_N=c[2], c_omega=c[3], omega=omega)
        assert now.temperature / Setting(eta, B, N).temperature == pytest.approx(ratio)


@pytest.mark.refutes("thm-scaling-law")
@pytest.mark.parametrize("name", FLOORS)
def test_ratio_of_every_floor_symbolically(name):
    formula, alone, shared = FLOORS[name]
    new, old = rescaled(formula.expression), formula.expression.subs(F.omega, 0)
    load = F.c_eta * F.eta / 2 * (alone + shared * F.c_omega * F.omega / (F.c_N * F.N))
    assert zero(new / old - LAW * (1 - F.eta * alone / 2) / (1 - load))
    assert zero(sp.limit(new / old, F.eta, 0) - LAW)
    error = F.eta / 2 * (alone * (F.c_eta - 1) + shared * F.c_eta * F.c_omega * F.omega / (F.c_N * F.N)) / (1 - load)
    lawful = {F.c_B: F.scaling_batch.expression}
    assert zero((new / old - 1 - error).subs(lawful))
    assert not zero((new / old - 1).subs(lawful))  # the law holds to first order and not exactly


@pytest.mark.refutes("thm-scaling-law")
@pytest.mark.parametrize("name", AGENTS)
def test_exact_condition(name):
    """Both directions: this c_N makes the floors equal, and no other one does."""
    formula, exactly = FLOORS[name][0].expression, AGENTS[name].expression
    new, old = rescaled(formula), formula.subs(F.omega, 0)
    assert zero((new / old).subs(F.c_N, exactly) - 1)
    solutions = sp.solve(sp.numer(sp.together(new / old - 1)), F.c_N)
    assert any(zero(solution - exactly) for solution in solutions)
    assert len(solutions) == 1
    assert zero(sp.limit(exactly, F.eta, 0) - F.scaling_agents.expression)


@pytest.mark.refutes("thm-scaling-law")
def test_law_on_every_quadratic_within_its_bounds():
    far = 0.0
    for rng, H, h, S, eta, B, N, omega, T in instances(8):
        c_eta, c_B = np.exp(rng.uniform(-1, 0, 2))
        now = solve(Setting(c_eta * eta, c_B * B, N, omega), "agents", keep=Setting(eta, B, N))
        load = 1 + omega / now.agents
        if now.step_size * h[-1] * load >= 2 or eta * h[-1] >= 2:
            continue
        V, _ = stationary(H, S, eta, B, N, lambda A: A)
        W, _ = stationary(H, S, now.step_size, now.batch_size, now.agents, T)
        ratio = np.trace(H @ W) / np.trace(H @ V)
        low = (1 - eta * h[-1] / 2) / (1 - now.step_size * h[0] / 2 * load)
        high = (1 - eta * h[0] / 2) / (1 - now.step_size * h[-1] / 2 * load)
        assert low * (1 - 1e-7) <= ratio <= high * (1 + 1e-7)
        tiny = replace(now, step_size=now.step_size / 1000)
        small = [stationary(H, S, s.step_size, s.batch_size, s.agents, t)[0]
                 for s, t in ((Setting(eta / 1000, B, N), lambda A: A), (tiny, T))]  # fmt: skip
        assert np.trace(H @ small[1]) / np.trace(H @ small[0]) == pytest.approx(1, abs=2e-3)
        far = max(far, abs(ratio - 1))
    assert far > 0.05  # at large steps the law is visibly of first order


@pytest.mark.refutes("thm-scaling-law")
def test_keeping_compressed_descent_itself():
    ratio = rescaled(F.dcsgd_floor_chain.expression) / F.dcsgd_floor_chain.expression
    assert zero(sp.limit(ratio, F.eta, 0) - LAW / (1 + F.omega))


@pytest.mark.refutes("thm-scaling-law")
def test_rule_4_is_exact_for_a_single_agent():
    for name in ("chain", "coordinate, chain"):
        formula = FLOORS[name][0].expression
        new = rescaled(formula).subs({F.c_N: 1, F.c_B: 1, F.c_eta: 1 / (1 + F.c_omega * F.omega), F.N: 1})
        assert zero(new / formula.subs({F.omega: 0, F.N: 1}) - 1)


@pytest.mark.refutes("rem-kept")
def test_diffusion_at_the_minimum_is_kept_and_elsewhere_not():
    g, x = 0.7, torch.tensor([[0.7, 0.0]])
    for k, N, B in ((2, 4, 2), (1, 4, 2), (1, 8, 2)):
        omega = 2 / k - 1
        c = ops.Identity() if k == 2 else ops.RandK(k)
        sent = Homogeneous(c, N, Gaussian(1 / B**0.5)).mean_message(x.expand(200_000, 2).double(), generator(N + k))
        known = torch.tensor([omega * g**2, 0.0]) + (1 + omega) / B
        variance = sent.var(0)
        error = (sent - sent.mean(0)).square().std(0) / len(sent) ** 0.5
        assert ((variance - known / N).abs() < 4.5 * error).all()
    # N twice as large for ω = 1: kept is the second coordinate's, where the gradient is 0
    kept = (1 + 1) / 2 / 8, 1 / 2 / 4
    assert kept[0] == kept[1]


# ----------------------------------------------------------------------------------------------------------- six rules

RULES = {  # row: the multipliers as the chapter has them, and as the poster prints them
    1: ({F.c_N: 1 + F.c_omega * F.omega}, (F.c_N, F.c_omega), {F.c_N: 1 + F.c_omega * F.omega}),
    2: ({F.c_N: F.c_eta * (1 + F.omega)}, (F.c_N, F.c_eta), {F.c_N: F.c_eta * (1 + F.omega)}),
    3: ({F.c_N: (1 + F.omega) / F.c_B}, (F.c_N, F.c_B), {F.c_N: F.scaling_row_printed.expression}),
    4: ({F.c_eta: 1 / (1 + F.c_omega * F.omega)}, (F.c_eta, F.c_omega), {F.c_eta: F.scaling_row_printed.expression}),
    5: ({F.c_B: 1 + F.c_omega * F.omega}, (F.c_B, F.c_omega), {F.c_B: 1 + F.c_omega * F.omega}),
    6: ({F.c_eta: F.c_B / (1 + F.omega)}, (F.c_eta, F.c_B), {F.c_eta: F.c_B / (1 + F.omega)}),
}
SOLVED = {F.c_N: F.scaling_agents, F.c_B: F.scaling_batch, F.c_eta: F.scaling_step}


def others_at_1(expression, moving):
    return expression.subs({c: 1 for c in (F.c_N, F.c_B, F.c_eta, F.c_omega) if c not in moving})


@pytest.mark.refutes("prop-six-rules")
@pytest.mark.parametrize("row", RULES)
def test_each_rule_keeps_the_floor_and_is_the_law_solved(row):
    rule, moving, printed = RULES[row]
    [(knob, worth)] = rule.items()
    ratio = others_at_1(LAW, moving)
    assert zero(ratio.subs(rule) - 1)
    assert zero(others_at_1(SOLVED[knob].expression, moving) - worth)
    wrong = sp.Symbol("wrong", positive=True)
    off = wrong / worth if knob == F.c_eta else worth / wrong
    assert zero(ratio.subs(knob, wrong) - off)
    assert zero(ratio.subs(printed) - 1) is (row not in (3, 4))


@pytest.mark.refutes("prop-six-rules", "prop-speed")
@pytest.mark.parametrize("knob", KNOBS)
def test_library_solves_for_each_knob(knob):
    rng = np.random.default_rng(9)
    for _ in range(30):
        before = Setting(*np.exp(rng.standard_normal(3) + 2), omega=rng.choice([0, 2.5]))
        wanted = Setting(*np.exp(rng.standard_normal(3) + 2), omega=rng.exponential(4))
        now = solve(wanted, knob, keep=before)
        assert compare(now, before).floor == pytest.approx(1)
        assert {name for name in KNOBS if getattr(now, name) == getattr(wanted, name)} == set(KNOBS) - {knob}


def chain_ratio(now, before, H=1.0):
    """The floors of the algorithm on a parabola, exactly."""
    known = {"L": H, "mu": H, "d": 1, "sigma": 1.0}
    return now.floor(**known) / before.floor(**known)


@pytest.mark.refutes("err-scaling-row-3")
def test_printed_row_3_is_far_off_and_the_corrected_one_holds():
    printed = others_at_1(LAW, (F.c_N, F.c_omega)).subs({F.c_N: F.scaling_row_printed.expression})
    assert zero(printed - (1 + F.c_omega * F.omega) ** 2 / (1 + F.omega))
    assert printed.subs({F.omega: 3, F.c_omega: 2}) == sp.Rational(49, 4)
    before = Setting(1e-4, 4, 7)
    assert chain_ratio(Setting(1e-4, 4, 4, omega=6.0), before) == pytest.approx(12.25, rel=1e-3)  # 7 · 4/7 agents
    for omega in (0.125, 3.0, 99.0):
        for c_B in (0.25, 2.0, 8.0):
            corrected = Setting(1e-4, 4 * c_B, 7 * (1 + omega) / c_B, omega)
            assert chain_ratio(corrected, before) == pytest.approx(1, abs=0.01)
            if c_B != 1 + omega:
                stays = chain_ratio(Setting(1e-4, 4 * c_B, 7.0, omega), before)  # as printed with β = 1: α = 1
                assert abs(stays - 1) > 0.05


@pytest.mark.refutes("err-scaling-row-4")
def test_printed_row_4_keeps_compressed_descent_and_not_uncompressed():
    for omega, c_omega in ((3.0, 2.0), (3.0, 1.0), (0.125, 5.0), (99.0, 0.1)):
        before, eta = Setting(1e-5, 4, 7), 1e-5
        row = value(F.scaling_row_printed, omega=omega, c_omega=c_omega)
        printed, corrected = (Setting(eta * c, 4, 7, omega * c_omega) for c in (row, 1 / (1 + omega * c_omega)))
        assert chain_ratio(printed, before) == pytest.approx(1 + omega, rel=0.01)
        assert chain_ratio(printed, replace(before, omega=omega)) == pytest.approx(1, rel=0.01)
        assert chain_ratio(corrected, before) == pytest.approx(1, rel=0.01)


# -------------------------------------------------------------------------------------------------------------- which ω


@pytest.mark.refutes("prop-effective-omega")
def test_floor_of_the_linear_equation_is_the_trace():
    """Any H, any covariance of the messages: the stationary law by its Lyapunov equation."""
    from scipy.linalg import solve_continuous_lyapunov

    for _, H, _, S, eta, _, N, _, _ in instances(10, 20):
        V = solve_continuous_lyapunov(H, eta / N * S)
        assert np.trace(H @ V) / 2 == pytest.approx(eta / (4 * N) * np.trace(S))


@pytest.mark.refutes("prop-effective-omega")
def test_omega_at_the_floor_is_at_most_the_class_s():
    Z = torch.randn(4000, 50, generator=generator(11), dtype=torch.float64)
    energy = Z.square().sum()
    found = {}
    for c in (ops.RandK(5), ops.NaturalCompression(), ops.Ternary(), ops.Ternary(p=2), ops.StandardDithering(3, 2)):
        second = (c.moments(Z)[1].sum() / energy).item()
        assert second <= float(c.membership(50)[0].zeta) * (1 + 1e-12)
        found[repr(c)] = second
    assert found[repr(ops.RandK(5))] == pytest.approx(10, rel=1e-12)
    ratios = Z.norm(dim=1) * Z.abs().sum(1)
    error = float((ratios - energy / 4000 * found[repr(ops.Ternary(p=2))]).std()) / 4000**0.5 / 50
    assert abs(found[repr(ops.Ternary(p=2))] - value(F.ternary_normal_zeta, d=50)) < 4.5 * error
    assert float(ops.Ternary(p=2).membership(50)[0].zeta) == pytest.approx(sqrt(50))
    assert value(F.ternary_normal_zeta, d=1000) == pytest.approx(sqrt(2000 / pi), rel=1e-3)
    # in the plane by quadrature: E‖U‖₁ on the circle
    quarter = quad(lambda t: np.cos(t) + sin(t), 0, pi / 2)[0]
    assert value(F.ternary_normal_zeta, d=2) == pytest.approx(quarter / (pi / 2))


# ---------------------------------------------------------------------------------------------------------------- signs


@pytest.mark.refutes("thm-scaling-sign", "err-scaling-sign")
def test_rule_for_signs_in_the_model_symbolically():
    sign = F.scaling_floor_ratio_sign.expression
    for formula in (F.dsign_floor, F.dsign_variance):
        assert zero(rescaled(formula.expression) / formula.expression - sign)
    phase = F.H**2 * F.dsign_variance.expression * F.B / F.sigma**2
    grown = rescaled(phase) / phase
    assert zero(grown.subs(F.c_eta, F.c_N * sp.sqrt(F.c_B)) - F.c_B)  # its root is the growth of the ratio itself
    assert not zero(sign - 1)  # without "= 1" the printed expression says nothing
    assert not zero(rescaled(F.dsign_variance_chain.expression) / F.dsign_variance_chain.expression - sign)


@pytest.mark.refutes("thm-scaling-sign", "err-scaling-sign")
@pytest.mark.parametrize("nu", [1, 1.5, 3, inf])
def test_rule_for_signs_with_the_true_slope(nu):
    """The stationary variance of the linearised chain and SDE at the slope of a real batch."""
    before = Setting(1e-5, 4, 3)
    worth = batch_slope(nu, 64) / batch_slope(nu, 4)
    assert worth == pytest.approx({1: 1, inf: 4}.get(nu, worth))
    for model, c_eta in ((False, worth), (True, 4.0)):
        now = solve_sign(replace(before, batch_size=64), "step_size", keep=before, nu=nu, model=model)
        assert now.step_size / 1e-5 == pytest.approx(c_eta)
        variance = [value(F.dsign_variance_chain, eta=s.step_size, N=s.agents, H=1, sigma=1, B=1,
                          ell=batch_slope(nu, s.batch_size)) for s in (now, before)]  # fmt: skip
        assert variance[0] / variance[1] == pytest.approx(c_eta / worth, rel=1e-3)
    for knob in KNOBS:  # twice the step, and each knob in turn makes up for it
        for model in (True, False):
            if knob == "batch_size" and nu == 1 and not model:
                continue  # no batch size does
            now = solve_sign(replace(before, step_size=2e-5), knob, keep=before, nu=nu, model=model)
            assert now.sign_temperature(nu, model) == pytest.approx(before.sign_temperature(nu, model))
            if knob == "batch_size" and model:
                assert now.batch_size == pytest.approx(16)
    if nu == 1:  # the printed rule: √δ = 4 times too high
        assert variance[0] / variance[1] == pytest.approx(4, rel=1e-3)


@pytest.mark.refutes("thm-scaling-sign")
def test_signs_of_real_batches():
    """ν = 3, from 1 to 16 draws that are really averaged: the true slope keeps the floor, √B does not."""
    f, runs, floors = bowl([1.0]).to(dtype=torch.float32), 10_000, {}
    before, t3 = Setting(0.01, 1, 2), StudentT(1.0, nu=3)
    larger = replace(before, batch_size=16)
    settings = {"before": (before, t3)}
    for name, model in (("true", False), ("model", True)):
        settings[name] = solve_sign(larger, "step_size", before, nu=3, model=model), Averaged(t3, 16)
    for name, (setting, noise) in settings.items():
        steps = round(5 / (2 * setting.step_size * noise.sign_slope))
        method = Homogeneous(ops.Sign(), 2, noise)
        gap = simulate(f, method, torch.zeros(1), steps, setting.step_size, runs=runs,
                       generator=generator(12), every=steps).gap[-1]  # fmt: skip
        floors[name] = float(gap.mean()), float(gap.std()) / runs**0.5
    mean, error = floors["before"]
    kept = floors["true"][0] / mean
    off = floors["model"][0] / mean
    spread = 4.5 * error / mean * 1.5
    assert abs(kept - 1) < spread + 0.03  # 3 %: the linear phase is left a little
    assert off > 4 / (batch_slope(3, 16) / slope(3)) - spread


@pytest.mark.refutes("prop-batch-exponent")
def test_slopes_of_large_batches():
    for nu in (2.5, 3, 5, 10):
        limit = slope(inf) * sqrt((nu - 2) / nu)
        off = [batch_slope(nu, B) / sqrt(B) / limit - 1 for B in (2**10, 2**14, 2**18)]
        assert off[0] > off[1] > off[2] > 0
        assert off[2] < (0.06 if nu == 2.5 else 0.01)
    for nu in (0.5, 0.8, 1, 1.2, 1.5):
        off = [abs(batch_slope(nu, B) / value(F.scaling_heavy_slope, nu=nu, B=B) - 1) for B in (2**6, 2**10, 2**14)]
        assert off[2] <= off[1] <= off[0] or max(off) < 1e-6
        assert off[2] < 0.03
    assert batch_slope(0.5, 64) < batch_slope(0.5, 4)  # below ν = 1 batches are harmful
    ratio = batch_slope(1.5, 2**18) / batch_slope(1.5, 2**14)
    assert ratio == pytest.approx(16 ** (1 / 3), rel=0.015)
    assert ratio < 0.7 * 4  # where √B would have 4


@pytest.mark.refutes("prop-batch-exponent")
def test_constant_of_the_heavy_tail():
    """a_ν against 1 − φ(u) at small u, φ by quadrature of the density."""
    for nu in (0.7, 1.3):
        tail = gamma((nu + 1) / 2) * nu ** (nu / 2) / (sqrt(pi) * gamma(nu / 2))
        known = pi * tail / (gamma(1 + nu) * sin(pi * nu / 2))
        inside = quad(lambda y: (1 - np.cos(y)) / y ** (1 + nu), 0, 1)[0]  # noqa: B023 (used at once)
        beyond = 1 / nu - quad(lambda y: y ** (-1 - nu), 1, inf, weight="cos", wvar=1)[0]  # noqa: B023 (used at once)
        assert inside + beyond == pytest.approx(pi / (2 * gamma(1 + nu) * sin(pi * nu / 2)), rel=1e-6)
        at = value(F.scaling_heavy_slope, nu=nu, B=1)
        assert at == pytest.approx(2 / pi * gamma(1 + 1 / nu) * known ** (-1 / nu))
    for nu, transform in ((1, F.student_transform_1), (3, F.student_transform_3), (5, F.student_transform_5)):
        area = quad(lambda u: value(transform, u=u), 1e-9, 30, limit=100)[0]  # noqa: B023 (used at once)
        assert 2 / pi * area == pytest.approx(slope(nu), rel=1e-6)


# ---------------------------------------------------------------------------------------------------------------- costs


@pytest.mark.refutes("prop-speed")
def test_steps_of_the_exact_chain_are_inverse_to_the_step_size():
    def steps(eta, N, omega, h=1.5):
        return np.log(10) / -np.log(1 - 2 * eta * h + eta**2 * h**2 * (1 + omega / N))

    for c_eta, c_N, omega in ((1, 7, 6), (1 / 7, 1, 6), (0.5, 3, 2)):
        for eta, close in ((1e-2, 0.1), (1e-4, 1e-3)):
            assert steps(c_eta * eta, 4 * c_N, omega) / steps(eta, 4, 0) == pytest.approx(1 / c_eta, rel=close)
    # any H: M = A − η(HA + AH) + O(η²) along an eigenvector
    rng = np.random.default_rng(13)
    q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    H, (_, T) = q @ np.diag([1.0, 2.0, 3.0]) @ q.T, rand_k(3, 1)
    A, eta = np.outer(q[:, 1], q[:, 1]), 1e-4
    HAH = H @ A @ H
    moved = A - eta * (H @ A + A @ H) + eta**2 * HAH + eta**2 / 5 * (T(HAH) - HAH)
    np.testing.assert_allclose((moved - A) / eta, -4 * A, atol=20 * eta)


@pytest.mark.refutes("prop-speed")
def test_whichever_rule_the_samples_are_the_same():
    for knob, formula in SOLVED.items():
        assert zero(F.scaling_samples.expression.subs(knob, formula.expression) - (1 + F.c_omega * F.omega))
        traffic = F.scaling_traffic.expression.subs(knob, formula.expression)
        expected = (1 + F.c_omega * F.omega) / F.c_B * F.rate / 32
        assert zero(traffic - expected.subs(knob, formula.expression))
    before = Setting(0.1, 32, 8)
    for knob in KNOBS:
        for omega in (0.125, 3.0, 9.0):
            cost = compare(solve(replace(before, omega=omega), knob, keep=before), before)
            assert cost.samples == pytest.approx(1 + omega)
            d, k = 1000, round(1000 / (1 + omega))
            bits = ops.RandK(k, shared_seed=True).bits(d) / ops.Identity().bits(d) * cost.messages
            assert bits == pytest.approx(1 / (1 + omega) if knob == "batch_size" else 1, rel=2e-3)


@pytest.mark.refutes("prop-speed")
def test_samples_of_signs():
    """Under its rule a sign needs the same samples where the slope is a root, and more where it is not."""
    before = Setting(0.01, 4, 3)
    for nu, factor in ((inf, 1.0), (1, 16.0)):
        now = solve_sign(replace(before, batch_size=64, agents=6), "step_size", keep=before, nu=nu)
        s = batch_slope(nu, 64) / batch_slope(nu, 4)
        steps = before.step_size / (now.step_size * s)
        assert steps == pytest.approx(1 / (2 * s**2))
        assert steps * 2 * 16 == pytest.approx(factor)


@pytest.mark.refutes("def-rescaling")
def test_bad_settings_are_refused_in_one_sentence():
    for bad in ({"step_size": 0}, {"batch_size": -1}, {"agents": inf}, {"omega": -0.1}, {"step_size": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Setting(**{"step_size": 0.1, "batch_size": 1, "agents": 1, **bad})
    before = Setting(0.1, 1, 1)
    with pytest.raises(ValueError, match="knob must be one of"):
        solve(before, "omega", keep=before)
    with pytest.raises(ValueError, match="kind must be one of"):
        before.floor(L=1, mu=1, d=1, sigma=1, kind="true")
    assert Setting(0.5, 1, 1, omega=10.0).floor(L=1, mu=1, d=1, sigma=1) == inf
    assert Setting(0.1, 2.4, 0.2).rounded() == Setting(0.1, 2, 1)
