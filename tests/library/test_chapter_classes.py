"""The statements of the chapter `classes`, each tried where it would fail if it were false.

Operators are given here by their whole law (finitely many outcomes with probabilities), so that expectations are exact
sums and no statistical error is involved. Seeds are fixed.
"""

import re
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

from gradpress import compressors as ops
from gradpress.classes import B1, B2, B3, Unbiased, moments
from gradpress.formulas import exact

SLACK = 1e-9
CHAPTER = Path(__file__).parents[2] / "chapters" / "classes"
t, alpha, beta, gamma, delta, zeta, lam = sp.symbols("t alpha beta gamma delta zeta lam", positive=True)


# ----------------------------------------------------------------------------------------------- operators by their law


def exact_moments(x, outcomes, probabilities):
    """(m₁, m₂) straight from the definition: outcomes (n, d) of C(x) with their probabilities (n,)."""
    energy = x @ x
    return (probabilities @ outcomes) @ x / energy, probabilities @ np.square(outcomes).sum(1) / energy


def random_law(rng, d):
    """A vector and the law of C at it: one to four outcomes, near x, along x, or anywhere."""
    x = rng.standard_normal(d)
    n = rng.integers(1, 5)
    outcomes = rng.uniform(0, 2, (n, 1)) * x + rng.choice([0, 0.1, 1]) * rng.standard_normal((n, d))
    return x, outcomes, rng.dirichlet(np.ones(n))


def at_point(a, c, x):
    """The law of the operator that sits on (a, c): prop-plane-realised."""
    spread = np.sqrt(max(c - a * a, 0))
    return x, np.array([(a + spread) * x, (a - spread) * x]), np.array([0.5, 0.5])


def laws(seed, count=400):
    rng = np.random.default_rng(seed)
    return [random_law(rng, rng.integers(1, 5)) for _ in range(count)]


def clouds(seed, count=300):
    """Random finite clouds above the floor with m₁ > 0, some points on the floor: arrays m₁, m₂."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n = rng.integers(1, 6)
        m1 = rng.uniform(0.05, 2.5, n)
        yield m1, m1**2 * (1 + rng.exponential(1, n) * rng.integers(0, 2, n))


def tightest(m1, m2):
    """The best constants that a cloud allows: alpha, beta, gamma, 1/delta."""
    return np.min(m2), np.max(m2 / m1), np.min(m1), np.min(2 * m1 - m2)


def holds(member, m1, m2, scale=1.0):
    return np.all(member.contains(float(scale) * m1, float(scale) ** 2 * m2, tolerance=SLACK))


def close(member, m1, m2, scale=1.0):
    """Whether every constant of the class is the best one for the scaled cloud."""
    a, b, g, kept = tightest(float(scale) * m1, float(scale) ** 2 * m2)
    best = {"alpha": a, "beta": b, "gamma": g, "delta": 1 / kept}
    return all(np.isclose(float(value), best[name], rtol=1e-9) for name, value in vars(member).items())


# ------------------------------------------------------------------------------------------------------------ the plane


@pytest.mark.refutes("prop-moments")
def test_moments_floor_error_and_scaling():
    for x, outcomes, p in laws(1):
        m1, m2 = exact_moments(x, outcomes, p)
        off = p @ np.square(outcomes - m1 * x).sum(1) / (x @ x)
        assert m2 - m1**2 == pytest.approx(off, abs=1e-9)  # so m₂ ≥ m₁², with equality only for multiples of x
        assert m2 - 2 * m1 + 1 == pytest.approx(p @ np.square(outcomes - x).sum(1) / (x @ x), abs=1e-9)
        assert exact_moments(x, 0.3 * outcomes, p) == pytest.approx((0.3 * m1, 0.09 * m2), abs=1e-9)


@pytest.mark.refutes("prop-plane-realised")
def test_every_point_above_the_floor_is_an_operator():
    rng = np.random.default_rng(2)
    for _ in range(300):
        x, a = rng.standard_normal(rng.integers(1, 6)), rng.uniform(-2, 2)
        c = a * a + rng.choice([0, 1]) * rng.exponential()
        law = at_point(a, c, x)
        assert exact_moments(*law) == pytest.approx((a, c), abs=1e-9)
        np.testing.assert_allclose(law[2] @ law[1], a * x, atol=1e-12)  # unbiased for a = 1


@pytest.mark.refutes("prop-plane-realised")
def test_finitely_many_points_are_one_cloud():
    points = [(0.5, 0.25), (0.5, 1.5), (1.0, 3.0)]
    rng = np.random.default_rng(3)
    cloud = set()
    for x in rng.uniform(0, 9, (200, 1)):  # in one dimension, the hardest case: the norm alone chooses the point
        point = exact_moments(*at_point(*points[int(np.linalg.norm(x)) % len(points)], x))
        cloud.add(tuple(np.round(point, 9)))
    assert cloud == set(points)


@pytest.mark.refutes("rem-plane-blind")
def test_the_plane_does_not_see_unbiasedness():
    x = np.array([3.0, 4.0])
    turned = x + np.array([-x[1], x[0]])
    assert exact_moments(*at_point(1, 2, x)) == pytest.approx((1, 2))
    assert exact_moments(x, turned[None], np.ones(1)) == pytest.approx((1, 2))
    for n in range(1, 9):
        signs = np.array(list(product((-1, 1), repeat=n)))
        average = (1 + signs.mean(1))[:, None] * x
        assert exact_moments(x, average, np.full(2**n, 0.5**n)) == pytest.approx((1, 1 + 1 / n))
    assert np.abs(turned - x).max() > 1  # any average of copies of the second is the same wrong vector


# ---------------------------------------------------------------------------------------------------------- definitions


def in_unbiased(x, outcomes, p, c):
    return p @ np.square(outcomes).sum(1) <= c["zeta"] * (x @ x)  # for laws with E C(x) = x


def in_b1(x, outcomes, p, c):
    second, inner = p @ np.square(outcomes).sum(1), (p @ outcomes) @ x
    return c["alpha"] * (x @ x) <= second <= c["beta"] * inner


def in_b2(x, outcomes, p, c):
    second, inner = p @ np.square(outcomes).sum(1), (p @ outcomes) @ x
    return max(c["gamma"] * (x @ x), second / c["beta"]) <= inner


def in_b3(x, outcomes, p, c):
    return p @ np.square(outcomes - x).sum(1) <= (1 - 1 / c["delta"]) * (x @ x)


def agreement(kind, inside, constants, seed, unbiased=False):
    """How often the definition holds and fails among random laws; the library's predicate must say the same."""
    rng = np.random.default_rng(seed)
    verdicts = []
    for x, outcomes, p in laws(seed, 600):
        if unbiased:
            outcomes = outcomes + x - p @ outcomes
        c = constants(rng)
        m1, m2 = exact_moments(x, outcomes, p)
        member = kind(**c)
        if abs(m2 - c["zeta"] if unbiased else member.excess(m1, m2)) < 2 * SLACK:
            continue  # on the boundary rounding decides
        verdicts.append(bool(inside(x, outcomes, p, c)))
        assert bool(member.contains(m1, m2, tolerance=SLACK)) == verdicts[-1]
    return verdicts.count(True), verdicts.count(False)


@pytest.mark.refutes("def-unbiased")
def test_definition_of_the_unbiased_class():
    counts = agreement(Unbiased, in_unbiased, lambda rng: {"zeta": rng.uniform(1, 3)}, 11, unbiased=True)
    assert min(counts) > 50
    assert not Unbiased(5).contains(0.99, 1.5)
    assert Unbiased(5).omega == 4


@pytest.mark.refutes("def-b1")
def test_definition_of_the_first_class():
    def constants(rng):
        b = rng.uniform(0.5, 2)
        return {"alpha": rng.uniform(0.01, 0.5) * b**2, "beta": b}

    assert min(agreement(B1, in_b1, constants, 12)) > 50


@pytest.mark.refutes("def-b2")
def test_definition_of_the_second_class():
    def constants(rng):
        b = rng.uniform(0.5, 2)
        return {"gamma": rng.uniform(0.01, 0.9) * b, "beta": b}

    assert min(agreement(B2, in_b2, constants, 13)) > 50


@pytest.mark.refutes("def-b3")
def test_definition_of_the_third_class():
    assert min(agreement(B3, in_b3, lambda rng: {"delta": 1 + rng.exponential(2)}, 14)) > 50


@pytest.mark.refutes("def-unbiased", "def-b1", "def-b2", "def-b3")
@pytest.mark.parametrize(
    "member", [Unbiased(3), B1(0.5, 1.5), B2(0.5, 1.5), B3(4)], ids=lambda member: type(member).__name__
)
def test_predicate_on_draws_of_a_real_operator(member):
    """Sparsification in two dimensions: its four outcomes are the law, and the inequalities are written out."""
    rng = np.random.default_rng(15)
    inside = {Unbiased: in_unbiased, B1: in_b1, B2: in_b2, B3: in_b3}[type(member)]
    constants = {name: float(value) for name, value in vars(member).items()}
    seen = set()
    for _ in range(400):
        x, q, scale = rng.standard_normal(2), rng.uniform(0.2, 1, 2), rng.uniform(0.5, 1.5)
        kept = np.array(list(product((0, 1), repeat=2)))
        p = np.prod(np.where(kept == 1, q, 1 - q), axis=1)
        outcomes = kept * x / q if isinstance(member, Unbiased) else scale * kept * x
        m1, m2 = exact_moments(x, outcomes, p)
        if not isinstance(member, Unbiased):
            c = ops.Scaled(ops.RandomSparsification(tuple(q)), float(scale))
            library = [float(m) for m in moments(c, torch.from_numpy(x))]
            assert library == pytest.approx([m1, m2])
        assert bool(member.contains(m1, m2, SLACK)) == bool(inside(x, outcomes, p, constants))
        seen.add(bool(member.contains(m1, m2, SLACK)))
    assert seen == {True, False}


@pytest.mark.refutes("lem-second-moment")
def test_second_moment_is_at_most_beta_squared():
    met = 0
    for x, outcomes, p in laws(16, 1500):
        m1, m2 = exact_moments(x, outcomes, p)
        if m1 > 0:
            b = m2 / m1  # the smallest β for which the assumption holds
            met += 1
            assert 0 <= m1 <= b + SLACK
            assert m2 <= b**2 + SLACK
    assert met > 1000
    m1, m2 = exact_moments(np.ones(2), 0.7 * np.ones((1, 2)), np.ones(1))
    assert m2 == pytest.approx((m2 / m1) ** 2)  # attained by a multiple of the identity


# --------------------------------------------------------------------------------------------------------- the theorems


@pytest.mark.refutes("thm-equivalence")
def test_equivalence_on_random_clouds():
    """Each cloud is put into the smallest class of each kind, and every conversion must hold it."""
    contractions = 0
    for m1, m2 in clouds(21, 400):
        a, b, g, kept = tightest(m1, m2)
        assert b**2 >= a - SLACK  # 1(i), first half
        assert b >= g - SLACK  # 2(i), first half
        first, second = B1((1 - 1e-12) * a, b), B2((1 - 1e-12) * g, b)  # β² ≥ α exactly, in spite of rounding
        for scale in (0.2, 1.7):
            assert holds(first.scaled(scale), m1, m2, scale)
            assert holds(second.scaled(scale), m1, m2, scale)
        arrows = [first.to_b2(), first.to_b3(), second.to_b1(), second.to_b3()]
        if kept > 1e-3:
            contractions += 1
            assert kept <= 1 + SLACK  # 3(i)
            third = B3(max(1 / kept, 1))
            arrows += [third.to_b2(), third.to_b1()]
        assert all(holds(arrow.member, m1, m2, arrow.scale) for arrow in arrows)
    assert contractions > 80


@pytest.mark.refutes("thm-equivalence")
def test_equivalence_formulas():
    assert B1(alpha, beta).scaled(lam) == B1(lam**2 * alpha, lam * beta)
    assert B1(alpha, beta).to_b2() == (B2(alpha / beta, beta), 1)
    assert B1(alpha, beta).to_b3() == (B3(beta**2 / alpha), 1 / beta)
    assert B2(gamma, beta).scaled(lam) == B2(lam * gamma, lam * beta)
    assert B2(gamma, beta).to_b1() == (B1(gamma**2, beta), 1)
    assert B2(gamma, beta).to_b3() == (B3(beta / gamma), 1 / beta)
    assert B3(delta).to_b2() == (B2(1 / (2 * delta), 2), 1)
    assert B3(delta).to_b1() == (B1(1 / (4 * delta**2), 2), 1)


@pytest.mark.refutes("thm-equivalence")
def test_equivalence_bounds_are_refused_by_the_library():
    for wrong in (lambda: B1(2, 1), lambda: B2(2, 1), lambda: B3(exact(0.9))):
        with pytest.raises(ValueError, match="must be at least"):
            wrong()


@pytest.mark.refutes("thm-b2-to-b3")
def test_second_class_to_contraction_for_every_scaling():
    m1, m2 = sp.symbols("m1 m2", positive=True)
    kept = 2 * lam * m1 - lam**2 * m2
    split = lam * (2 - lam * beta) * (gamma + (m1 - gamma)) + lam**2 * (beta * m1 - m2)
    assert sp.expand(kept - split) == 0
    stated = B2(gamma, beta).to_b3(scale=lam).member.delta
    assert sp.simplify(1 / stated - lam * gamma * (2 - lam * beta)) == 0
    assert sp.solve(sp.diff(1 / stated, lam), lam) == [1 / beta]
    assert sp.simplify(sp.diff(1 / stated, lam, 2)) == -2 * beta * gamma  # a maximum
    corner = kept.subs({m1: gamma, m2: beta * gamma})
    assert sp.simplify(corner - 1 / stated) == 0  # attained


@pytest.mark.refutes("thm-b2-to-b3")
def test_second_class_to_contraction_on_random_clouds():
    rng = np.random.default_rng(22)
    for m1, m2 in clouds(22):
        _, b, g, _ = tightest(m1, m2)
        scale = rng.uniform(0.01, 1.99) / b
        arrow = B2(min(g, b), b).to_b3(scale=scale)
        assert holds(arrow.member, m1, m2, scale)
        corner = (np.array([g]), np.array([b * g]))
        assert close(arrow.member, *corner, scale)
        assert not holds(B3(max(1, 0.999 * float(arrow.member.delta))), *corner, scale) or arrow.member.delta < 1.002
        too_large = rng.uniform(2, 4) / b
        assert tightest(too_large * corner[0], too_large**2 * corner[1])[3] <= SLACK  # in no B³


@pytest.mark.refutes("thm-b2-to-b3")
def test_second_class_to_contraction_contains_the_papers_statements():
    general = B2(gamma, beta).to_b3(scale=lam).member.delta

    def read(**values):
        return sp.simplify(general.subs({sp.Symbol(k, positive=True): v for k, v in values.items()}, simultaneous=True))

    k, d = sp.symbols("k d", positive=True)
    assert read(lam=1 / beta) == B2(gamma, beta).to_b3().member.delta
    assert read(gamma=alpha / beta, lam=1 / beta) == B1(alpha, beta).to_b3().member.delta
    assert sp.simplify(read(gamma=1, beta=zeta) - Unbiased(zeta).to_b3(lam).member.delta) == 0
    assert sp.simplify(read(gamma=k / d, beta=zeta, lam=1) - d / (k * (2 - zeta))) == 0


@pytest.mark.refutes("thm-scaling")
def test_scaling_of_unbiased_operators():
    rng = np.random.default_rng(23)
    for _ in range(300):
        second = 1 + rng.exponential(1.5, 5) * rng.integers(0, 2, 5)
        first, member = np.ones(5), Unbiased(second.max())
        scale = rng.uniform(0.01, 1.99) / second.max()
        for arrow in (member.to_b1(scale), member.to_b2(scale), member.to_b3(scale)):
            assert arrow.scale == exact(scale)
            assert holds(arrow.member, first, second, scale)
        assert close(member.to_b3(scale).member, first, second, scale)  # equality where m₂ = ζ


@pytest.mark.refutes("thm-scaling")
def test_scaling_formulas_and_the_best_scaling():
    assert Unbiased(zeta).to_b1(lam) == (B1(lam**2, lam * zeta), lam)
    assert Unbiased(zeta).to_b2(lam) == (B2(lam, lam * zeta), lam)
    kept = 1 / Unbiased(zeta).to_b3(lam).member.delta
    assert sp.expand(kept - (2 * lam - zeta * lam**2)) == 0
    assert sp.solve(sp.diff(kept, lam), lam) == [1 / zeta]
    assert sp.diff(kept, lam, 2) == -2 * zeta
    assert Unbiased(zeta).to_b3() == (B3(zeta), 1 / zeta)
    with pytest.raises(ValueError, match="too large"):
        Unbiased(4).to_b3(scale=exact(1) / 2)


@pytest.mark.refutes("thm-scaling")
@pytest.mark.parametrize(
    "c", [ops.RandK(3), ops.NaturalCompression(), ops.StandardDithering(s=2), ops.Ternary()], ids=repr
)
def test_scaling_on_the_librarys_operators(c):
    x = torch.randn(500, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    m1, m2 = (m.numpy() for m in moments(c, torch.cat([x, torch.ones(1, 12), 1.5 * torch.ones(1, 12)])))
    member = c.membership(12)[0]
    for share in (0.1, 0.5, 1.0, 1.5, 1.95):
        scale = share / float(member.zeta)
        assert holds(member.to_b3(scale).member, m1, m2, scale)


# ------------------------------------------------------------------------------------------------------------ sharpness


@pytest.mark.refutes("prop-arrows-sharp")
def test_every_arrow_but_one_is_attained():
    rng = np.random.default_rng(31)
    for _ in range(200):
        b = rng.uniform(0.2, 4)
        a, g, z = rng.uniform(0.01, 1) * b**2, rng.uniform(0.01, 1) * b, 1 + rng.exponential(2)
        scale = rng.uniform(0.02, 1.98)
        first, second, member = B1(a, b), B2(g, b), Unbiased(z)
        attained = [
            (first, first.to_b2(), [(a / b, a)]),
            (first, first.to_b3(), [(a / b, a)]),
            (second, second.to_b1(), [(g, g * g), (g, g * b)]),
            (second, second.to_b3(scale / b), [(g, g * b)]),
            (member, member.to_b1(scale), [(1, 1), (1, z)]),
            (member, member.to_b2(scale), [(1, z)]),
            (member, member.to_b3(scale / z), [(1, z)]),
        ]
        for start, arrow, cloud in attained:
            m1, m2 = np.array(cloud).T
            assert np.all(m2 >= m1**2 - SLACK)  # the points are operators
            assert holds(start, m1, m2)
            assert close(arrow.member, m1, m2, arrow.scale)
        for other in rng.uniform(0, 2 / b, 20):  # no other scaling does better at these corners
            assert 2 * other * a / b - other**2 * a <= 1 / float(first.to_b3().member.delta) + SLACK
            assert 2 * other * g - other**2 * g * b <= 1 / float(second.to_b3().member.delta) + SLACK


@pytest.mark.refutes("prop-arrows-sharp")
def test_the_three_bounds_on_the_constants_are_attained():
    for b in (0.3, 1.0, 2.5):
        point = np.array([b]), np.array([b * b])
        assert holds(B1(b * b, b), *point)
        assert holds(B2(b, b), *point)
    assert holds(B3(1), np.ones(1), np.ones(1))


@pytest.mark.refutes("prop-arrows-sharp", "prop-b3-sharp")
def test_theorem_6_is_never_sharp_out_of_the_third_class():
    """1 − √(1 − t) > t/2 on (0, 1], t = 1/δ, and the squares differ by t²/4 exactly."""
    assert sp.expand((1 - t / 2) ** 2 - (1 - t)) == t**2 / 4
    for value in (1, exact(1.0001), exact(9) / 8, 2, 1000):
        low, high = corners(value)
        assert bool(low > 1 / (2 * sp.sympify(value)))
        assert bool(high < 2)


def corners(value):
    sharp = B3(value).to_b2_sharp().member
    return sharp.gamma, sharp.beta


@pytest.mark.refutes("prop-b3-sharp")
def test_a_contraction_lies_in_the_wedge_of_its_corners():
    rng = np.random.default_rng(32)
    for value in (1.0, 1.01, 1.125, 2.0, 10.0, 300.0):
        low, high = (float(c) for c in corners(exact(value)))
        m1 = np.r_[low, high, rng.uniform(low, high, 20_000)]
        roof = np.maximum(2 * m1 - 1 / value, m1**2)
        m2 = m1**2 + rng.choice([0, 1, 1, 0.5], m1.size) * (roof - m1**2)
        assert holds(B3(value), m1, m2)
        assert holds(B2(low, high), m1, m2)
        assert holds(B1(low**2, high), m1, m2)
        ends = np.array([low, high]), np.array([low**2, high**2])
        assert holds(B3(value), *ends)
        assert close(B2(low, high), *ends)
        assert close(B1(low**2, high), *ends)


@pytest.mark.refutes("prop-b3-sharp")
def test_every_random_contraction_lies_in_the_wedge():
    met = 0
    for m1, m2 in clouds(33, 800):
        kept = tightest(m1, m2)[3]
        if kept > 0:
            met += 1
            low, high = 1 - np.sqrt(max(1 - kept, 0)), 1 + np.sqrt(max(1 - kept, 0))
            assert holds(B2(low, max(low, high)), m1, m2)
            assert holds(B1(low**2, high), m1, m2)
    assert met > 150


@pytest.mark.refutes("prop-b3-sharp")
def test_corners_in_terms_of_a_base():
    more = sp.Symbol("c", positive=True)  # b = 1 + c > 1
    base = 1 + more
    value = (base + 1) ** 2 / (4 * base)
    root = sp.sqrt(sp.factor(1 - 1 / value))
    low, high = 1 - root, 1 + root
    assert sp.simplify(low - 2 / (base + 1)) == 0
    assert sp.simplify(high - 2 * base / (base + 1)) == 0
    assert sp.simplify(low * high - 1 / value) == 0
    assert low + high == 2
    assert sp.simplify((sp.sqrt(sp.factor(value - 1)) + sp.sqrt(sp.factor(value))) ** 2 - base) == 0


@pytest.mark.refutes("prop-b3-sharp")
@pytest.mark.parametrize("base", [1.25, 2.0, 4.0, 10.0])
def test_biased_rounding_is_the_real_operator_of_the_sharp_arrow(base):
    first, second, third = ops.BiasedRounding(base).membership(1)
    low, high = corners(third.delta)
    assert sp.simplify(second.gamma - low) == 0
    assert sp.simplify(second.beta - high) == 0
    assert sp.simplify(first.alpha - low**2) == 0
    middle = (1 + base) / 2  # halfway between two levels; just above it the operator rounds up
    x = torch.tensor([[middle], [middle * (1 + 1e-12)]], dtype=torch.float64)
    m1, m2 = (m.numpy() for m in moments(ops.BiasedRounding(base), x))
    np.testing.assert_allclose(m1, [float(low), float(high)], rtol=1e-9)
    np.testing.assert_allclose(m2, m1**2, rtol=1e-9)


# ----------------------------------------------------------------------------------------------------- the best scaling


def most_on_hull(m1, m2):
    """The maximum of m₂/m₁² over the convex hull of finitely many points, and the point: it lies on a segment."""
    best = max(zip(m2 / m1**2, m1, m2, strict=True))
    for i, j in combinations(range(len(m1)), 2):
        run, rise = m1[j] - m1[i], m2[j] - m2[i]
        if run * rise != 0:
            share = np.clip((rise * m1[i] - 2 * run * m2[i]) / (run * rise), 0, 1)  # where the derivative vanishes
            a, c = m1[i] + share * run, m2[i] + share * rise
            best = max(best, (c / a**2, a, c))
    return best


@pytest.mark.refutes("prop-best-scaling")
def test_best_scaling_is_read_off_the_convex_hull():
    beaten = 0
    for m1, m2 in clouds(41, 300):
        worst, a, c = most_on_hull(m1, m2)
        kept = tightest(a / c * m1, (a / c) ** 2 * m2)[3]
        assert 1 / kept == pytest.approx(worst, rel=1e-9)  # attained at λ* = a/c
        for scale in np.linspace(0.01, 3, 300) * a / c:
            assert tightest(scale * m1, scale**2 * m2)[3] <= 1 / worst + SLACK  # and nowhere exceeded
        beaten += worst > np.max(m2 / m1**2) * 1.001
    assert beaten > 30  # the hull matters: the cloud alone would promise too much


@pytest.mark.refutes("prop-best-scaling")
def test_best_scaling_in_three_known_cases():
    assert most_on_hull(np.array([1, 0.5]), np.array([1, 0.25])) == pytest.approx((9 / 8, 2 / 3, 1 / 2))
    low, high = (float(c) for c in corners(4))
    arc = np.linspace(low, high, 400)
    assert most_on_hull(arc, arc**2) == pytest.approx((4, 1 / 4, 1 / 4), rel=1e-6)  # the lens: λ* = 1, nothing gained
    diagonal = np.linspace(1 / 4, 1, 50)
    assert most_on_hull(diagonal, diagonal) == pytest.approx((4, 1 / 4, 1 / 4))
    line = 2 * t - 1 / delta
    touching = delta * t**2 - line
    assert sp.simplify(touching - delta * (t - 1 / delta) ** 2) == 0  # the line is a tangent at (1/δ, 1/δ)


# --------------------------------------------------------------------------------------------- what constants are worth


@pytest.mark.refutes("rem-best-class")
def test_factors_of_biased_rounding():
    for base in (1.001, 1.5, 2.0, 7.0, 1000.0):
        first, second, third = ops.BiasedRounding(base).membership(5)
        b = exact(base)
        assert sp.simplify(first.iterations - b**2) == 0
        assert sp.simplify(second.iterations - b) == 0
        assert sp.simplify(third.iterations - (b + 1) ** 2 / (4 * b)) == 0
        assert first.iterations > second.iterations > third.iterations


def factors(c, d):
    """β²/α, β/γ and δ as in the table of the operators: unbiased ones scaled by 1/ζ, Top-k∘unbiased by 1/β."""
    members = {type(m): m for m in c.membership(d)}
    third = members[Unbiased].to_b3().member if c.unbiased else members.get(B3, members[B2].to_b3().member)
    if isinstance(c, ops.Composition):
        third = members[B2].to_b3().member
    return members[B1].iterations, members[B2].iterations, third.iterations


@pytest.mark.parametrize(
    ("c", "expected"),
    [
        (ops.Identity(), (1, 1, 1)),
        (ops.RandK(3), (16, 4, 4)),
        (ops.NaturalCompression(), (exact(81) / 64, exact(9) / 8, exact(9) / 8)),
        (ops.Ternary(p=2), (12, sp.sqrt(12), sp.sqrt(12))),
        (ops.RandomSparsification(0.25), (4, 4, 4)),
        (ops.AdaptiveSparsification(), (12, 12, 12)),
        (ops.TopK(3), (4, 4, 4)),
        (ops.BiasedRounding(3.0), (9, 3, exact(4) / 3)),
        (ops.ScaledSign(), (144, 12, 12)),
        (ops.PowerSGD(rank=2, rows=3), (exact(3) / 2, exact(3) / 2, exact(3) / 2)),
        (ops.Composition(ops.Ternary(p=2), ops.TopK(4)), (12, 6, 6)),
    ],
    ids=repr,
)
def test_table_of_the_operators(c, expected):
    """The rows of the derivation's last table at d = 12."""
    assert all(sp.simplify(a - sp.sympify(b)) == 0 for a, b in zip(factors(c, 12), expected, strict=True))


def test_table_of_the_losses():
    b = (sp.sqrt(delta) + sp.sqrt(delta - 1)) ** 2
    for value in (1, exact(9) / 8, 10, 100):
        low, high = corners(value)
        assert sp.simplify(B2(low, high).iterations - b.subs(delta, value)) == 0
        assert sp.simplify(B1(low**2, high).iterations - b.subs(delta, value) ** 2) == 0
        assert B3(value).to_b2().member.iterations == 4 * sp.sympify(value)
        assert B3(value).to_b1().member.iterations == 16 * sp.sympify(value) ** 2
    assert sp.limit(b / delta, delta, sp.oo) == 4
    assert float(b.subs(delta, 10) ** 2 / 10) == pytest.approx(144.2, abs=0.05)
    second = B2(gamma, beta)
    assert sp.simplify(second.to_b1().member.iterations - second.iterations**2) == 0
    assert second.to_b1().member.to_b2().member == B2(gamma**2 / beta, beta)


def test_worked_numbers_of_the_derivation():
    x = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert [float(m) for m in moments(ops.TopK(1), x)] == pytest.approx([0.64, 0.64])
    assert ops.RandK(2).membership(8)[0] == Unbiased(4)
    assert Unbiased(4).to_b3() == (B3(4), exact(1) / 4)
    assert ops.BiasedRounding(2.0).membership(1) == (
        B1(exact(4) / 9, exact(4) / 3),
        B2(exact(2) / 3, exact(4) / 3),
        B3(exact(9) / 8),
    )
    assert corners(exact(9) / 8) == (exact(2) / 3, exact(4) / 3)
    assert ops.TopK(2).membership(8) == (B1(exact(1) / 4, 1), B2(exact(1) / 4, 1), B3(4))
    assert B3(4).to_b2().member == B2(exact(1) / 8, 2)
    assert B3(4).to_b1().member == B1(exact(1) / 64, 2)
    wedge = B2(exact(1) / 4, exact(3) / 2)
    assert wedge.to_b3(scale=1).member == B3(8)
    assert wedge.to_b3() == (B3(6), exact(2) / 3)
    natural = ops.NaturalCompression().membership(1)[0]
    assert natural.to_b3(scale=1).member == B3(exact(8) / 7)
    assert natural.to_b3() == (B3(exact(9) / 8), exact(8) / 9)
    assert [float(c) for c in corners(4)] == pytest.approx([0.134, 1.866], abs=5e-4)
    series = sp.series(1 - sp.sqrt(1 - t), t, 0, 3).removeO()
    assert series == t / 2 + t**2 / 8


# -------------------------------------------------------------------------------------------------------- the exercises


def test_descent_lemma_of_the_exercise():
    """One step of compressed gradient descent with Rand-k on a quadratic, its expectation a sum over all subsets."""
    h, rng, d, k = np.array([1.0, 0.7, 0.4, 0.2]), np.random.default_rng(51), 4, 2
    smooth, strong = h.max(), h.min()
    for share in (0.3, 1.0, 1.7):
        arrow = Unbiased(exact(d) / k).to_b3(exact(share) * k / d)
        step = float(arrow.scale) / smooth
        for _ in range(100):
            x = rng.standard_normal(d) * rng.exponential(1, d)
            after = 0.0
            subsets = list(combinations(range(d), k))
            for chosen in subsets:
                y = x.copy()
                y[list(chosen)] -= step * d / k * (h * x)[list(chosen)]
                after += h @ y**2 / 2 / len(subsets)
            assert after <= (1 - strong / (float(arrow.member.delta) * smooth)) * (h @ x**2 / 2) + SLACK


def code_blocks(label):
    """The Python of a solution, as the page prints it."""
    page = (CHAPTER / "review.md").read_text("utf-8")
    solution = re.search(rf"{{solution}} {label}\n(.*?)\n````", page, re.DOTALL)[1]
    return re.findall(r"```python\n(.*?)```", solution, re.DOTALL)


def test_code_of_the_solution_on_the_best_scaling():
    definition, _ = code_blocks("ex-classes-code-scaling")
    scope = {}
    exec(definition, scope)
    for m1, m2 in clouds(52, 50):
        worst, a, c = most_on_hull(m1, m2)
        found, at = scope["best_scaling"](torch.from_numpy(m1), torch.from_numpy(m2))
        assert found == pytest.approx(worst, rel=1e-6)
        assert at == pytest.approx(a / c, rel=1e-3)


def test_code_of_the_solution_prints_what_the_page_says(capsys):
    z = torch.randn(2000, 16, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    vectors = z.sign() * z.abs() ** torch.linspace(-2, 8, 2000, dtype=torch.float64).clamp_min(0)[:, None]
    vectors = vectors * torch.exp(
        3 * torch.rand(2000, 1, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    )
    scope = {"ops": ops, "moments": moments, "vectors": vectors}
    for block in code_blocks("ex-classes-code-scaling"):
        exec(block, scope)
    values = [float(v) for v in re.findall(r"(?:δ =|λ =) ([\d.]+)", capsys.readouterr().out)]
    assert values == pytest.approx([9 / 8, 8 / 9, 25 / 16, 1, 8, 1 / 2], rel=0.02)


def test_code_of_the_solution_with_the_adversary(capsys):
    (block,) = code_blocks("ex-classes-code-adversary")
    exec(block, {"np": np, "B3": B3})
    assert "m1 = 0.1340, m2 = 0.0180, but 1/(2 delta) = 0.1250" in capsys.readouterr().out
    for value, true in ((1, True), (exact(9) / 8, True), (exact(1.13), False), (50, False)):
        assert bool(corners(value)[0] ** 2 >= 1 / (2 * sp.sympify(value))) == true
