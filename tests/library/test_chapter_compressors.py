"""Chapter `compressors`: its long algebra in SymPy, its constants under attack, and both sides of its four errata.

Nothing here is sampled unless its docstring gives the probability that a correct statement fails.
"""

import json
import re
from itertools import combinations, pairwise
from math import inf, log2, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch
from operators import families, generator

from gradpress import formulas
from gradpress.classes import B1, B2, B3, estimate, moments
from gradpress.compressors import (
    AdaptiveSparsification,
    BiasedRounding,
    Composition,
    ExponentialDithering,
    Induced,
    NaturalCompression,
    NaturalDithering,
    PowerSGD,
    RandK,
    RandomSparsification,
    Scaled,
    ScaledSign,
    Sign,
    StandardDithering,
    Ternary,
    TopK,
    UnbiasedRounding,
)

CHAPTER = Path(__file__).resolve().parents[2] / "chapters" / "compressors"
SLACK = 1e-9
t, a, c, b, u0, z, zeta, n = sp.symbols("t a c b u_0 z zeta n", positive=True)


def vector(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def two_level(d: int, values) -> torch.Tensor:
    """j entries 1 and the others t, for a few j and every t of `values`: most worst cases of the lemmas are such."""
    ones = np.arange(d) < np.array(sorted({0, 1, 2, 3, d // 3, d // 2, d - 1, d}))[:, None, None]
    return torch.from_numpy(np.where(ones, 1.0, np.asarray(values)[:, None]).reshape(-1, d))


def many(d: int) -> torch.Tensor:
    return torch.cat([families(d), two_level(d, np.geomspace(1e-3, 1, 301))])


def worst(score, x: torch.Tensor, rounds: int = 80) -> float:
    """The largest score on x and on what climbing from its 40 worst vectors reaches."""
    rng, x = generator(11), x[score(x).topk(min(40, len(x))).indices]
    for step in range(rounds):
        moved = x * (torch.randn(x.shape, dtype=x.dtype, generator=rng) * 0.5 ** (1 + 12 * step / rounds)).exp()
        x = torch.where((score(moved) > score(x))[:, None], moved, x)
    return float(score(x).max())


def second_moment(op):
    return lambda x: moments(op, x)[1]


def error(op, x) -> torch.Tensor:
    first, second = moments(op, x)
    return 1 - 2 * first + second


# ------------------------------------------------------------------------------------------------------ sparsification


@pytest.mark.refutes("lem-equal-moments")
@pytest.mark.parametrize("gamma", [0.01, 0.3, 0.999, 1.0])
def test_equal_moments_settle_three_classes_and_no_better_constant_holds(gamma):
    m = np.linspace(gamma, 1, 200)
    assert all(member.contains(m, m, 1e-15).all() for member in (B1(gamma, 1), B2(gamma, 1), B3(1 / gamma)))
    better = [B1(gamma * 1.01, 1.01), B1(gamma * 0.9, 0.99), B2(gamma * 1.001, 1.001)]
    better += [B3(0.99 / gamma)] if gamma < 0.99 else []
    assert not any(member.contains(gamma, gamma) for member in better)


@pytest.mark.refutes("lem-rand-k", "lem-top-k", "lem-random-sparsification")
@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_sparsifiers_by_enumeration_of_all_subsets(k):
    """All C(6, k) equally likely positions: Rand-k's moments, Lemma 9 for a dependent sampling, Top-k as the best."""
    x = vector(3.0, -1.0, 0.5, 0.0, 2.0, -2.5)
    subsets = torch.tensor(list(combinations(range(6), k)))
    kept = torch.zeros(len(subsets), 6, dtype=torch.float64).scatter_(1, subsets, x[subsets])
    scaled, energy = kept * 6 / k, x.square().sum()
    torch.testing.assert_close(scaled.mean(0), x)
    assert float(scaled.square().sum(1).mean() / energy) == pytest.approx(6 / k)
    first, second = (kept @ x).mean() / energy, kept.square().sum(1).mean() / energy
    assert float(first) == pytest.approx(k / 6)
    assert float(second) == pytest.approx(k / 6)
    assert float((kept - x).square().sum(1).min()) == pytest.approx(float((TopK(k)(x) - x).square().sum()))


@pytest.mark.refutes("lem-random-sparsification")
def test_random_sparsification_is_worst_at_the_coordinate_of_least_probability():
    p = (0.9, 0.2, 0.5)
    first, second = moments(RandomSparsification(p), torch.cat([torch.eye(3, dtype=torch.float64), many(3)]))
    assert float(first.min()) == pytest.approx(0.2)
    assert float(error(RandomSparsification(p), vector(0, 1, 0))) == pytest.approx(0.8)
    torch.testing.assert_close(first, second)


@pytest.mark.refutes("lem-adaptive")
@pytest.mark.parametrize("d", [2, 7, 30])
def test_adaptive_sparsification_attains_its_constant_at_equal_magnitudes_alone(d):
    x = many(d)
    first, _ = moments(AdaptiveSparsification(), x)
    formula = x.abs().pow(3).sum(1) / (x.abs().sum(1) * x.square().sum(1))
    torch.testing.assert_close(first, formula)
    size = x.abs()
    terms = (size[:, :, None] - size[:, None]) * (x.square()[:, :, None] - x.square()[:, None])
    difference = d * size.pow(3).sum(1) - size.sum(1) * x.square().sum(1)
    torch.testing.assert_close(terms.sum((1, 2)), 2 * difference, rtol=1e-6, atol=1e-6)
    assert bool((terms >= 0).all())
    equal = size.amin(1) >= size.amax(1) * (1 - 1e-9)
    assert bool((first[equal] <= 1 / d + SLACK).all())
    assert bool((first[~equal] > 1 / d).all())


# ------------------------------------------------------------------------------------------------------------ rounding


@pytest.mark.refutes("lem-unbiased-rounding")
def test_unbiased_rounding_algebra():
    up = (t - a) / (c - a)
    assert sp.simplify((1 - up) * a + up * c - t) == 0
    second = (1 - up) * a**2 + up * c**2
    assert sp.simplify(second - ((a + c) * t - a * c)) == 0
    (place,) = sp.solve(sp.diff(second / t**2, t), t)
    assert sp.simplify(place - 2 * a * c / (a + c)) == 0
    value = sp.simplify((second / t**2).subs(t, place))
    assert sp.simplify(value - (a + c) ** 2 / (4 * a * c)) == 0
    rho = formulas.ratio
    assert sp.simplify(value.subs(c, rho * a) - formulas.unbiased_rounding_zeta.expression) == 0
    assert sp.factor(sp.diff(formulas.unbiased_rounding_zeta.expression, rho)) == (rho - 1) * (rho + 1) / (4 * rho**2)


@pytest.mark.refutes("lem-biased-rounding")
def test_biased_rounding_algebra():
    middle, rho = (a + c) / 2, formulas.ratio
    for name, value in (("gamma", a / middle), ("beta", c / middle), ("alpha", (a / middle) ** 2)):
        assert sp.simplify(value.subs(c, rho * a) - formulas.ALL[f"biased_rounding_{name}"].expression) == 0
    lost = ((middle - a) / middle) ** 2
    assert sp.simplify(lost - ((c - middle) / middle) ** 2) == 0
    assert sp.simplify(1 / (1 - lost.subs(c, rho * a)) - formulas.biased_rounding_delta.expression) == 0
    assert sp.simplify(sp.diff(formulas.biased_rounding_gamma.expression, rho)).is_negative
    assert sp.simplify(sp.diff(formulas.biased_rounding_beta.expression, rho)).is_positive


@pytest.mark.refutes("lem-natural")
def test_natural_compression_for_every_carry():
    """All 2²³ integers are added: the mean is x, for normal and for subnormal x; 9/8 fails for the latter alone."""
    noise = torch.arange(1 << 23, dtype=torch.int32)
    for value in (1.3, -0.7, 3e38 / 2, 2.0**127, 2.0**-140):
        word = torch.tensor([value]).view(torch.int32)
        images = ((word + noise) >> 23 << 23).view(torch.float32).double()
        assert bool(((images == images[0]) | (images == images[-1])).all())
        assert float(images.mean()) == pytest.approx(float(word.view(torch.float32).double()), rel=1e-12)
        ratio = float(images.square().mean() / word.view(torch.float32).double() ** 2)
        assert (ratio <= 9 / 8 + SLACK) == (abs(value) >= 2.0**-126)


@pytest.mark.refutes("err-arbitrary-levels")
def test_arbitrary_levels_printed():
    """The levels 2^(j|j|) satisfy the printed hypotheses; from cell to cell ζ, δ and 1/γ grow without a bound."""
    for j in range(6):
        low, high = 2.0 ** (j * j), 2.0 ** ((j + 1) ** 2)
        x = vector(2 * low * high / (low + high)), vector((low + high) / 2)
        assert float(moments(UnbiasedRounding((low, high)), x[0])[1]) > 4**j / 2
        first, second = moments(BiasedRounding((low, high)), x[1])
        assert float(first) < 4.0**-j
        assert 1 / float(2 * first - second) > 4**j / 2


@pytest.mark.refutes("err-arbitrary-levels", "lem-unbiased-rounding", "lem-biased-rounding")
def test_arbitrary_levels_corrected():
    """With a bounded ratio both lemmas hold; with a given range and number of cells equal ratios are the best."""
    rng = np.random.default_rng(5)
    for _ in range(30):
        inner = np.sort(rng.uniform(1, 16, 3))
        levels = (1.0, *map(float, inner), 16.0)
        rho = max(high / low for low, high in pairwise(levels))
        bound = (rho + 1) ** 2 / (4 * rho)
        assert bound >= 9 / 8 - SLACK  # four equal ratios, 2 each
        x = torch.from_numpy(np.r_[rng.uniform(1, 16, 500), np.geomspace(1, 16, 500)])[:, None]
        assert float(moments(UnbiasedRounding(levels), x)[1].max()) <= bound + SLACK
        first, second = moments(BiasedRounding(levels), x)
        assert 1 / float((2 * first - second).min()) <= bound + SLACK
        assert float(first.min()) >= 2 / (rho + 1) - SLACK


# ----------------------------------------------------------------------------------------------------------- dithering

NORMS = [1, 1.5, 2, 3, inf]


def ditherings(p):
    exponential = [ExponentialDithering(base, s, p) for base in (1.5, 2.0, 5.0) for s in (1, 2, 5)]
    return exponential + [StandardDithering(s, p) for s in (1, 2, 10)]


@pytest.mark.refutes("lem-dithering", "prop-dithering-sharp")
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("d", [2, 9, 40])
def test_dithering_constants_hold_under_attack(p, d):
    for op in ditherings(p):
        tau, ratio = float(op.tau(d)), float(op.ratio_constant())
        stated = ratio + tau * min(1, tau)
        ours = tau if op.s == 1 else float(formulas.dithering_zeta(tau=op.tau(d), z=op.ratio_constant()))
        assert ours <= stated + SLACK
        assert worst(second_moment(op), many(d), 15) <= ours + SLACK, op


@pytest.mark.refutes("prop-dithering-sharp")
@pytest.mark.parametrize("ratio", [1, 9 / 8, 9 / 5])
def test_the_smaller_constant_is_smaller(ratio):
    tau = np.geomspace(1e-4, 1e4, 4001)
    ours, stated = formulas.dithering_zeta.function()(tau, ratio), formulas.dithering_zeta_stated.function()(tau, ratio)
    assert (ours < stated).all()
    assert ours == pytest.approx(np.where(tau <= 2 * ratio, ratio + tau**2 / (4 * ratio), tau))
    fine = tau < 1
    assert ((ours - ratio)[fine] <= (stated - ratio)[fine] / (4 * ratio) * (1 + 1e-6)).all()


@pytest.mark.refutes("prop-dithering-sharp")
@pytest.mark.parametrize("op", [ExponentialDithering(3.0, 4, 2), NaturalDithering(s=6), StandardDithering(7)], ids=repr)
def test_tangent_bounds_the_second_moment_of_one_coordinate(op):
    levels, ratio = op.table(torch.float64).numpy(), float(op.ratio_constant())
    grid = np.linspace(0, 1, 20001)
    phi, lowest = np.interp(grid, levels, levels**2), levels[1]
    for factor in (ratio, 1.2 * ratio, 5 * ratio):
        gap = factor * grid**2 + lowest**2 / (4 * factor) - phi
        assert gap.min() >= -SLACK
        assert gap[np.abs(grid - lowest / (2 * factor)).argmin()] == pytest.approx(0, abs=1e-7)
    below = 0.9 * ratio  # the proof needs c ≥ z: the claim itself fails at a harmonic mean of high levels
    if len(levels) > 3:
        assert (below * grid**2 + lowest**2 / (4 * below) - phi).min() < 0


@pytest.mark.refutes("prop-dithering-sharp")
def test_uniform_upper_cells_algebra():
    j, w, factor = sp.symbols("j w c", positive=True)
    form = factor * w**2 - (2 * j + 1) * w + j * (j + 1) + 1 / (4 * factor)
    (place,) = sp.solve(sp.diff(form, w), w)
    assert sp.simplify(form.subs(w, place) - j * (j + 1) * (1 - 1 / factor)) == 0


@pytest.mark.refutes("prop-dithering-sharp")
@pytest.mark.parametrize("p", [1, 1.5, 2])
def test_equal_entries_attain_the_constant(p):
    d = 50
    for op in ditherings(p):
        tau = float(op.tau(d))
        if op.s == 1 or tau >= 2 * float(op.ratio_constant()):
            assert float(moments(op, torch.ones(d, dtype=torch.float64))[1]) == pytest.approx(tau, rel=1e-9)


@pytest.mark.refutes("prop-dithering-sharp")
def test_two_large_entries_come_near_the_constant_in_high_dimension():
    """The lab's vector: 0.02 % below the constant, far above what (15) without its second term would allow."""
    x = torch.full((10_000,), sqrt(1 / 9 / 9998), dtype=torch.float64)
    x[:2] = 2 / 3
    op = NaturalDithering(s=8, p=2)
    found, ours = float(moments(op, x)[1]), float(op.zeta(10_000))
    assert 0.999 * ours < found <= ours


@pytest.mark.refutes("prop-dithering-max-norm")
def test_maximum_norm_algebra():
    bottom = u0 * t - zeta * t**2
    (place,) = sp.solve(sp.diff(bottom, t), t)
    assert sp.simplify(bottom.subs(t, place) - u0**2 / (4 * zeta)) == 0
    upper = a * (1 + b) * t - a**2 * b - zeta * t**2
    (place,) = sp.solve(sp.diff(upper, t), t)
    ratio = (b + 1) ** 2 / (4 * b)
    assert sp.simplify(upper.subs(t, place) - a**2 * b * (ratio / zeta - 1)) == 0
    assert sp.factor((b + 1) / 2 - ratio) == (b - 1) * (b + 1) / (4 * b)
    d = formulas.d
    first = formulas.dithering_zeta_max_bottom.expression.subs(formulas.u0, u0)
    assert sp.simplify((4 * zeta**2 - 4 * zeta - (d - 1) * u0**2).subs(zeta, first)) == 0
    second = formulas.dithering_zeta_max_top.expression
    quadratic = zeta**2 - (1 - (d - 1) / formulas.b) * zeta - (d - 1) * formulas.z / formulas.b
    assert sp.simplify(quadratic.subs(zeta, second)) == 0
    assert sp.simplify(quadratic.subs(zeta, formulas.z) - formulas.z * (formulas.z - 1)) == 0


@pytest.mark.refutes("prop-dithering-max-norm")
@pytest.mark.parametrize("d", [2, 3, 5, 20, 200])
def test_maximum_norm_constant_is_the_supremum(d):
    """Never exceeded by climbing, and met within 10⁻⁶ by one entry 1 and equal others."""
    for op in ditherings(inf):
        ours = float(op.zeta(d))
        grid, levels = np.linspace(0, 1, 20001), op.table(torch.float64).numpy()
        phi = np.interp(grid, levels, levels**2)
        found = ((1 + (d - 1) * phi) / (1 + (d - 1) * grid**2)).max()
        assert found == pytest.approx(ours, rel=1e-6)
        if d <= 20:
            assert worst(second_moment(op), many(d), 15) <= ours + SLACK
    assert float(Ternary().zeta(d)) == pytest.approx((1 + sqrt(d)) / 2)


@pytest.mark.refutes("err-bottom-cell")
def test_bottom_cell_printed():
    """The printed cells between the listed levels leave out small ratios; continued for ever they need more levels."""
    base, s = 2.0, 3
    listed = [base**-i for i in range(s)]
    cells = [(low, high) for high, low in pairwise(listed)]
    ratio = 0.1  # of the vector (1, 0.1) in the maximum norm
    assert not any(low <= ratio <= high for low, high in cells)
    exponent = int(np.floor(-log2(ratio)))
    assert base ** (-exponent - 1) not in listed


@pytest.mark.refutes("err-bottom-cell", "lem-dithering")
@pytest.mark.parametrize("p", NORMS)
def test_bottom_cell_corrected(p):
    """With the cell [0, b^(1−s)] every ratio has a cell, ξ has the proof's law, and its mean is the ratio."""
    op = ExponentialDithering(2.0, 3, p)
    x = many(11)
    ratio, number, low, high = op.cell(x, op.norm(x))
    assert bool(((low <= ratio) & (ratio <= high)).all())
    up = (ratio - low) / (high - low)
    assert bool(((up >= 0) & (up <= 1)).all())
    torch.testing.assert_close((1 - up) * low + up * high, ratio)
    bottom = number == 0
    torch.testing.assert_close(((1 - up) * low**2 + up * high**2)[bottom], 0.25 * ratio[bottom])
    images = op(x, generator(1)).abs() / op.norm(x)
    assert bool((images[..., None] - vector(0, 0.25, 0.5, 1)).abs().amin(-1).lt(1e-12).all())


# -------------------------------------------------------------------------------------------------------- compositions


def constant(op, d, kind):
    return next(found for found in op.membership(d) if isinstance(found, kind))


@pytest.mark.refutes("lem-composition")
@pytest.mark.parametrize("inner", [TopK(3), BiasedRounding(3.0), ScaledSign()], ids=repr)
@pytest.mark.parametrize("outer", [UnbiasedRounding(2.5), NaturalDithering(s=2, p=2), Ternary(), RandK(4)], ids=repr)
def test_an_unbiased_outer_operator_multiplies_beta(inner, outer):
    d, x = 10, many(10)
    y = inner(x)
    mean, second = outer.moments(y)
    energy = x.square().sum(1)
    m1, m2 = (mean * x).sum(1) / energy, second.sum(1) / energy
    zeta_outer = float(constant(outer, d, B1).beta)
    first, other = constant(inner, d, B1), constant(inner, d, B2)
    assert bool(B1(first.alpha, zeta_outer * float(first.beta)).contains(m1, m2, SLACK).all())
    assert bool(B2(other.gamma, zeta_outer * float(other.beta)).contains(m1, m2, SLACK).all())


@pytest.mark.refutes("lem-composition")
def test_unbiased_after_unbiased_by_enumeration():
    """Rounding after Rand-2 in four dimensions: all six pairs, each with the exact moments of the rounding."""
    x = many(4)
    total = torch.zeros(len(x), dtype=torch.float64)
    mean = torch.zeros_like(x)
    for pair in combinations(range(4), 2):
        y = torch.zeros_like(x)
        y[:, list(pair)] = x[:, list(pair)] * 2
        first, second = UnbiasedRounding(2.0).moments(y)
        mean, total = mean + first / 6, total + second.sum(1) / 6
    torch.testing.assert_close(mean, x)
    assert float((total / x.square().sum(1)).max()) <= 2 * 9 / 8 + SLACK
    assert float((total / x.square().sum(1)).max()) >= 0.99 * 2 * 9 / 8


@pytest.mark.refutes("lem-composition")
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize(
    "outer", [BiasedRounding(3.0), TopK(2), AdaptiveSparsification(), RandomSparsification(0.4)], ids=repr
)
def test_contractions_multiply_after_a_selector(outer, k):
    """Top-k first; the outer constants are those in k dimensions (part 3)."""
    d, x = 10, many(10)
    inner = TopK(k)
    mean, second = outer.moments(inner(x))
    energy = x.square().sum(1)
    m1, m2 = (mean * x).sum(1) / energy, second.sum(1) / energy
    first, other, third = (constant(outer, k, kind) for kind in (B1, B2, B3))
    share = formulas.exact(k) / d
    expected = B1(share * first.alpha, first.beta), B2(share * other.gamma, other.beta), B3(third.delta / share)
    assert all(bool(member.contains(m1, m2, SLACK).all()) for member in expected)


@pytest.mark.refutes("lem-composition")
def test_contractions_need_not_multiply_before_a_selector():
    """x ↦ (x₁/10, x₂), then Top-1, at (1, 1/5): the example of the derivation."""
    x = vector(1, 0.2)
    image = TopK(1)(x * vector(0.1, 1))
    lost = float((image - x).square().sum() / x.square().sum())
    contraction = 1 - 0.9**2
    assert lost > 1 - contraction / 2 + 0.05


@pytest.mark.refutes("lem-top-k-dithering")
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize(("k", "s"), [(1, 2), (4, 1), (4, 3), (9, 8)])
def test_top_k_then_dithering_under_attack(p, k, s):
    d, dithering = 12, NaturalDithering(s=s, p=p)
    op, zeta_k, x = Composition(dithering, TopK(k)), float(dithering.zeta(k)), many(12)
    scaled = Scaled(op, 1 / zeta_k)
    assert worst(lambda y: moments(op, y)[1] / moments(op, y)[0], x, 20) <= zeta_k + SLACK
    first, second = moments(op, x)
    assert min(float(first.min()), float(second.min())) >= k / d - SLACK
    assert worst(lambda y: error(scaled, y), x, 20) <= 1 - k / (d * zeta_k) + SLACK
    if zeta_k < 2:
        assert worst(lambda y: error(op, y), x, 20) <= 1 - k * (2 - zeta_k) / d + SLACK


@pytest.mark.refutes("lem-top-k-dithering")
@pytest.mark.parametrize(("op", "k"), [(Ternary(p=2), 2), (Ternary(p=2), 3), (Ternary(p=1.5), 2)], ids=repr)
def test_unscaled_constant_is_attained_at_equal_entries(op, k):
    d, zeta_k = 12, float(op.zeta(k))
    assert zeta_k < 2
    found = float(error(Composition(op, TopK(k)), torch.ones(d, dtype=torch.float64)))
    assert found == pytest.approx(1 - k * (2 - zeta_k) / d, rel=1e-9)


@pytest.mark.refutes("err-top-k-dithering")
@pytest.mark.parametrize("dimension", [100, 9])
def test_top_k_dithering_printed(dimension):
    """d = 100 equal entries, k = 9, p = 2, b = 2, s = 8: the printed B³(dζ_b/k) fails, with (15) at d and at k."""
    dithering = NaturalDithering(s=8, p=2)
    stated = float(formulas.dithering_zeta_stated(tau=dithering.tau(dimension), z=dithering.ratio_constant()))
    found = float(error(Composition(dithering, TopK(9)), torch.ones(100, dtype=torch.float64)))
    assert found == pytest.approx(0.92125, abs=1e-12)
    assert found > 1 - 9 / (100 * stated) + 5e-4


@pytest.mark.refutes("err-top-k-dithering")
@pytest.mark.parametrize(("d", "k", "s"), [(100, 9, 8), (30, 5, 3), (30, 30, 2)])
def test_top_k_dithering_corrected(d, k, s):
    dithering = NaturalDithering(s=s, p=2)
    op, zeta_k, x = Composition(dithering, TopK(k)), float(dithering.zeta(k)), many(d)
    assert worst(lambda y: error(Scaled(op, 1 / zeta_k), y), x, 20) <= 1 - k / (d * zeta_k) + SLACK
    if zeta_k < 2:
        assert worst(lambda y: error(op, y), x, 20) <= 1 - k * (2 - zeta_k) / d + SLACK


@pytest.mark.refutes("err-nine-eighths")
def test_nine_eighths_printed():
    """The source's own setting, s = 2 and k = 5 in the maximum norm: β is (1 + √2)/2, not 9/8."""
    small = (sqrt(2) - 1) / 2
    first, second = moments(Composition(NaturalDithering(s=2), TopK(5)), vector(1, small, small, small, small, 0, 0))
    assert float(second / first) == pytest.approx((1 + sqrt(2)) / 2, rel=1e-12)
    assert float(second / first) > 9 / 8 + 0.08


@pytest.mark.refutes("err-nine-eighths", "prop-dithering-max-norm")
@pytest.mark.parametrize("s", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [2, 3, 4, 5, 10, 11, 37, 38, 39])
def test_nine_eighths_corrected(k, s):
    """9/8 is exceeded by some vector if and only if (k − 1)4^(1−s) > 9/16, and then the stated supremum is met."""
    op = NaturalDithering(s=s)
    found = float(moments(op, two_level(k, np.r_[np.linspace(0, 1, 4001)[1:], 2 / 3]))[1].max())
    exceeded = (k - 1) * 4.0 ** (1 - s) > 9 / 16
    assert (found > 9 / 8 + 1e-6) == exceeded
    if exceeded:
        assert found == pytest.approx((1 + sqrt(1 + (k - 1) * 4.0 ** (1 - s))) / 2, rel=1e-4)
    assert worst(second_moment(op), many(k), 20) <= float(op.zeta(k)) + SLACK


# --------------------------------------------------------------------------------------------- sign, low rank, induced


@pytest.mark.refutes("lem-sign")
def test_sign_leaves_every_class_when_the_vector_is_stretched():
    x = families(6)[:10]
    first, second = moments(Sign(), x)
    for stretch in (1e2, 1e6):
        m1, m2 = moments(Sign(), stretch * x)
        torch.testing.assert_close(m1, first / stretch)
        torch.testing.assert_close(m2, second / stretch**2)
    far = moments(Sign(), 1e9 * x)
    candidates = B1(1e-6, 1e3), B2(1e-6, 1e3), B3(1e6)
    assert not any(bool(member.contains(*far).any()) for member in candidates)


@pytest.mark.refutes("lem-sign")
@pytest.mark.parametrize("d", [1, 2, 9, 33])
def test_scaled_sign_constants_are_sharp(d):
    x = many(d)
    first, second = moments(ScaledSign(), x)
    count = (x != 0).sum(1)
    torch.testing.assert_close(first, x.abs().sum(1).square() / (d * x.square().sum(1)))
    torch.testing.assert_close(second, first * count / d)
    assert float(second.min()) >= 1 / d**2 - SLACK
    assert bool((1 - 2 * first + second <= 1 - 1 / d + SLACK).all())
    single = moments(ScaledSign(), torch.eye(d, dtype=torch.float64)[0])
    assert [float(value) for value in single] == pytest.approx([1 / d, 1 / d**2])
    spike = torch.full((d,), 1e-9, dtype=torch.float64)
    spike[0] = 1
    assert float(error(ScaledSign(), spike)) == pytest.approx(1 - 1 / d, abs=1e-6)


@pytest.mark.refutes("lem-sign")
def test_scaled_sign_of_a_gaussian_vector():
    """m₁ of 10⁶ Gaussian coordinates is within 0.005 of 2/π, six standard deviations: it fails with p < 10⁻⁸."""
    x = torch.randn(1_000_000, dtype=torch.float64, generator=generator(1))
    assert float(moments(ScaledSign(), x)[0]) == pytest.approx(2 / pi, abs=0.005)


@pytest.mark.refutes("lem-powersgd")
def test_subspace_step_loses_nothing():
    """Tr(Π′B) ≥ Tr(QᵀBQ) for 200 random positive B and subspaces Q; the matrix that decides it is semidefinite."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        size, rank = 6, rng.integers(1, 6)
        q, _ = np.linalg.qr(rng.standard_normal((size, rank)))
        basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
        values = np.exp(rng.uniform(-6, 3, size))
        matrix = (basis * values) @ basis.T
        root = (basis * np.sqrt(values)) @ basis.T
        left, _ = np.linalg.qr(root @ q)
        kept, plain = np.trace(left.T @ matrix @ left), np.trace(q.T @ matrix @ q)
        assert kept >= plain * (1 - 1e-9)
        gap = q.T @ matrix @ (np.eye(size) - q @ q.T) @ matrix @ q
        assert np.linalg.eigvalsh(gap).min() >= -1e-9 * values.max() ** 2


@pytest.mark.refutes("lem-powersgd")
def test_power_sgd_of_two_singular_values_by_quadrature():
    """Rank 1 of a 2 × 2 matrix: the mean over all directions is at least half the energy, half only for equal values.

    For the values 1 and 1/2 it is compared with 4 000 draws; the 99.9999 % interval fails with probability 10⁻⁶.
    """
    angle = (np.arange(100_000) + 0.5) / 100_000 * pi
    cosine, sine = np.cos(angle) ** 2, np.sin(angle) ** 2
    for other in (1.0, 0.9, 0.5, 1e-3):
        kept = ((cosine + sine * other**4) / (cosine + sine * other**2)).mean() / (1 + other**2)
        assert kept >= 0.5 - 1e-12
        assert (kept < 0.5 + 1e-9) == (other == 1.0)
        if other == 0.5:
            found = estimate(PowerSGD(1, rows=2), vector(1, 0, 0, 0.5), 4000, generator(4), confidence=1 - 1e-6).gamma
            assert float(found.low) < kept < float(found.high)


@pytest.mark.refutes("lem-powersgd")
def test_a_stale_start_can_give_zero_for_ever():
    unit = torch.eye(4, dtype=torch.float64)
    image, state = PowerSGD(1, rows=4).update(torch.outer(unit[2], unit[0]).flatten(), unit[:, 1:2].contiguous())
    assert not image.any()
    assert not state.any()


@pytest.mark.refutes("lem-induced")
@pytest.mark.parametrize("first", [TopK(3), BiasedRounding(4.0), ScaledSign()], ids=repr)
@pytest.mark.parametrize("rest", [RandK(3), NaturalCompression(), Ternary()], ids=repr)
def test_induced_constant_holds_and_is_met_where_stated(first, rest):
    d, x = 10, many(10)
    x = x[(x.abs().amin(1) > 1e-5) | (x == 0).any(1)]  # what is left over must have no subnormal entry
    delta, zeta_rest = float(constant(first, d, B3).delta), float(constant(rest, d, B1).beta)
    bound = 1 + (zeta_rest - 1) * (1 - 1 / delta)
    m1, m2 = moments(Induced(first, rest), x)
    torch.testing.assert_close(m1, torch.ones_like(m1))
    assert float(m2.max()) <= bound + SLACK
    if isinstance(first, TopK) and isinstance(rest, RandK):
        assert float(moments(Induced(first, rest), torch.ones(d, dtype=torch.float64))[1]) == pytest.approx(bound)


# ----------------------------------------------------------------------------------------------------------- the pages


def test_the_opening_vector_is_the_explorers():
    from gradpress.explorers import DEFAULTS

    cells = json.loads((CHAPTER / "lab.ipynb").read_text(encoding="utf-8"))["cells"]
    (line,) = [line for cell in cells for line in cell["source"] if line.startswith("opening = [")]
    assert json.loads(re.search(r"\[.*\]", line)[0]) == DEFAULTS["compressors"]["x"]


def test_the_solutions_in_code_run():
    text = (CHAPTER / "review.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert "assert " in block
        exec(compile(block, str(CHAPTER / "review.md"), "exec"), {"__name__": "solution"})
