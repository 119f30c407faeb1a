"""Properties of every operator: what it declares of itself is what it does.

Statistical tests use fixed seeds; their thresholds are those of a normal statistic at a family-wise error probability
of 1e-6, divided by the number of comparisons made in the whole module (Bonferroni).
"""

import random
from math import inf

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operators import ALL, CLOSED, KINDS, D, families, generator, worst

import gradpress.compressors as library
from gradpress.classes import B1, B2, B3, Unbiased, estimate, moments
from gradpress.compressors import (
    AdaptiveSparsification,
    BiasedRounding,
    Composition,
    ExponentialDithering,
    Identity,
    Induced,
    NaturalCompression,
    NaturalDithering,
    PowerSGD,
    RandK,
    RandomSparsification,
    Scaled,
    ScaledSign,
    StandardDithering,
    Ternary,
    TopK,
    UnbiasedRounding,
)
from gradpress.formulas import exact

FAMILY_ERROR = 1e-6
DRAWS = 20_000
COMPARISONS = 2 * len(ALL) * 4 * D
Z = float(torch.special.ndtri(torch.tensor(1 - FAMILY_ERROR / COMPARISONS / 2, dtype=torch.float64)))

# Examples are the same on every run. A failing one is reported as found: shrinking takes minutes an operator.
QUICK = settings(deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
every = pytest.mark.parametrize("c", ALL, ids=repr)
every_closed = pytest.mark.parametrize("c", CLOSED, ids=repr)
ALL_LEMMAS = pytest.mark.refutes(
    "lem-rand-k", "lem-random-sparsification", "lem-adaptive", "lem-top-k", "lem-unbiased-rounding",
    "lem-biased-rounding", "lem-natural", "lem-dithering", "prop-dithering-sharp", "prop-dithering-max-norm",
    "lem-top-k-dithering", "lem-composition", "lem-sign", "lem-powersgd", "lem-induced", "thm-b2-to-b3", "thm-scaling",
)


def plain_vectors() -> torch.Tensor:
    """Four vectors without tiny probabilities, so that sums of draws are close to normal: shape (4, D), float64."""
    rng = np.random.default_rng(5)
    normal = rng.standard_normal(D)
    tied = np.where(np.arange(D) % 3 == 0, 1.5, -0.7)
    rows = [np.sign(normal) * np.maximum(abs(normal), 0.2), np.ones(D), tied, np.linspace(0.3, 2, D)]
    return torch.from_numpy(np.array(rows))


def z_scores(values: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """The standardised distance of the mean over axis 0 from its expectation; an exact match counts 0."""
    spread = values.std(0) / len(values) ** 0.5
    distance = (values.mean(0) - expected).abs()
    rounding = 1e-12 * (1 + expected.abs())
    return (distance - rounding).clamp_min(0) / spread.clamp_min(rounding)


@every
@ALL_LEMMAS
def test_unbiased_where_declared(c):
    if not c.unbiased:
        assert not any(isinstance(found, Unbiased) for found in c.membership(D))
        return
    x = plain_vectors()
    draws = c(x.expand(DRAWS, *x.shape), generator(1))
    assert z_scores(draws, x).max() < Z


@every_closed
@ALL_LEMMAS
def test_moments_are_those_of_the_draws(c):
    x = plain_vectors()
    draws = c(x.expand(DRAWS, *x.shape), generator(2))
    mean, second = c.moments(x)
    assert z_scores(draws, mean).max() < Z
    assert z_scores(draws.square(), second).max() < Z


@every_closed
@ALL_LEMMAS
@pytest.mark.parametrize("d", [1, 2, D])
def test_class_inequalities_hold(c, d):
    try:
        members = c.membership(d)
    except ValueError:
        return  # k or the list of probabilities asks for another dimension
    x = families(d)
    m1, m2 = moments(c, x)
    for member in members:
        slack = 1e-9 * (1 + m2.abs())
        assert bool((member.excess(m1, m2) <= slack).all()), member


@every_closed
@ALL_LEMMAS
def test_class_inequalities_resist_a_search(c):
    """Climb from many starts towards the point that breaks an inequality worst."""
    for member in c.membership(D):
        x = families(D, seed=3)
        x = x / x.norm(dim=-1, keepdim=True)
        best = member.excess(*moments(c, x))
        rng = generator(4)
        for step in range(60):
            moved = x * torch.exp(torch.randn(x.shape, dtype=x.dtype, generator=rng) * 0.5 ** (step // 10))
            moved = moved / moved.norm(dim=-1, keepdim=True)
            found = member.excess(*moments(c, moved))
            x, best = torch.where((found > best)[:, None], moved, x), torch.maximum(best, found)
        assert best.max() <= 1e-9, (member, x[best.argmax()])


@pytest.mark.parametrize("c", [c for c in ALL if c not in CLOSED], ids=repr)
@ALL_LEMMAS
def test_class_inequalities_hold_for_draws(c):
    """Operators without closed forms: the interval of each constant must not lie beyond the declared one."""
    x = torch.cat([plain_vectors(), torch.from_numpy(worst(D)[:4])])
    comparisons = 5 * len(x) * len(ALL)
    found = estimate(c, x, DRAWS, generator(6), confidence=1 - FAMILY_ERROR / comparisons)
    tiny = 1e-9
    for member in c.membership(D):
        if isinstance(member, B1):
            assert bool((found.alpha.high >= float(member.alpha) - tiny).all())
        if isinstance(member, B2):
            assert bool((found.gamma.high >= float(member.gamma) - tiny).all())
        if isinstance(member, B1 | B2):
            assert bool((found.beta.low <= float(member.beta) + tiny).all())
        if isinstance(member, B3):
            assert bool((found.delta.low <= float(member.delta) + tiny).all())
        if isinstance(member, Unbiased):
            assert bool((found.zeta.low <= float(member.zeta) + tiny).all())


floats = st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-12)
hypothesis_vectors = hnp.arrays(np.float64, D, elements=floats).filter(lambda x: np.abs(x).max() > 0)


@every_closed
@ALL_LEMMAS
@settings(QUICK, max_examples=25)
@given(x=hypothesis_vectors)
def test_class_inequalities_on_drawn_vectors(c, x):
    m1, m2 = moments(c, torch.from_numpy(x / np.abs(x).max()))
    for member in c.membership(D):
        assert member.contains(m1, m2, 1e-9 * (1 + float(m2))), member


def sharp(c) -> set[str]:
    """The constants of an operator that the lemmas prove to be attained by some vector."""
    match c:
        case Identity() | UnbiasedRounding() | NaturalCompression() | RandK():
            return {"zeta"}
        case RandomSparsification() | AdaptiveSparsification() | TopK():
            return {"alpha", "beta", "gamma", "delta"}
        case BiasedRounding():
            return {"alpha", "gamma", "delta"}  # beta is a supremum: the midpoint itself goes down
        case ScaledSign():
            return {"alpha", "gamma"}
        case ExponentialDithering() if c.p == inf or (c.s == 1 and c.p <= 2):
            return {"zeta"}
        case StandardDithering() if c.p == inf or (c.p <= 2 and float(c.tau(D)) >= 2):
            return {"zeta"}
        case Composition(outer=NaturalDithering() | NaturalCompression(), inner=TopK()):
            return {"beta"}
        case Induced(compressor=TopK(), correction=RandK()):
            return {"zeta"}
    return set()


@every_closed
@ALL_LEMMAS
def test_declared_constants_are_attained(c):
    m1, m2 = moments(c, torch.cat([torch.from_numpy(worst(D)), torch.eye(D, dtype=torch.float64)]))
    extreme = {"zeta": m2.max(), "alpha": m2.min(), "beta": (m2 / m1).max(), "gamma": m1.min(),
               "delta": 1 / (2 * m1 - m2).min()}
    declared = {name: float(value) for member in reversed(c.membership(D)) for name, value in vars(member).items()}
    for name in sharp(c):
        assert float(extreme[name]) == pytest.approx(declared[name], rel=0.01), name


@pytest.mark.refutes("lem-unbiased-rounding", "lem-biased-rounding")
@pytest.mark.parametrize("ratio", [1.3, 2.0, 7.0])
def test_rounding_constants_are_suprema(ratio):
    """β of biased rounding is approached from above the midpoint; ζ is met at the harmonic mean of two levels."""
    above = torch.tensor([(1 + ratio) / 2 * (1 + 1e-6)], dtype=torch.float64)
    m1, m2 = moments(BiasedRounding(ratio), above)
    assert float(m2 / m1) == pytest.approx(2 * ratio / (ratio + 1), rel=1e-5)
    _, m2 = moments(UnbiasedRounding(ratio), torch.tensor([2 * ratio / (1 + ratio)], dtype=torch.float64))
    assert float(m2) == pytest.approx((1 + ratio) ** 2 / (4 * ratio), rel=1e-12)


@pytest.mark.refutes("lem-powersgd")
def test_power_sgd_constant_is_attained_by_equal_singular_values():
    """The mean of E‖C(x)‖²/‖x‖² over 20 000 draws meets r/m within 1 %; its standard error is 0.1 % of that."""
    basis = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=generator(1))).Q
    x = torch.cat([basis, torch.zeros(4, 2, dtype=torch.float64)], 1).flatten()
    found = estimate(PowerSGD(2, rows=4), x, DRAWS, generator(2))
    assert float(found.gamma.value) == pytest.approx(0.5, rel=0.01)
    assert float(found.delta.value) == pytest.approx(2, rel=0.01)


@every
def test_zero_gives_zero(c):
    assert torch.equal(c(torch.zeros(3, D), generator()).abs(), torch.zeros(3, D))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_awkward_inputs(c, dtype):
    """Ties, both zeros, subnormals, huge and tiny numbers: finite results of the same shape and dtype."""
    limits = torch.finfo(dtype)
    rows = [[1.0, -1.0] * (D // 2), [0.0, -0.0] * (D // 2), [limits.smallest_normal / 8, 0.0, -1.0] * (D // 3),
            [limits.smallest_normal / 8, -limits.smallest_normal / 64] * (D // 2), [limits.max ** 0.5, 1.0] * (D // 2),
            [limits.tiny, -limits.tiny * 3] * (D // 2)]
    x = torch.tensor(rows, dtype=dtype)
    y = c(x, generator())
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert bool(torch.isfinite(y).all())
    if c.keeps_support:
        assert bool((y[x == 0] == 0).all())


@every
def test_one_dimension(c):
    try:
        c.membership(1)
    except ValueError:
        with pytest.raises(ValueError, match="d = 1"):
            c(torch.tensor([2.0]))
        return
    assert c(torch.tensor([[2.0], [-0.5], [0.0]]), generator()).shape == (3, 1)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layout_and_leading_axes_do_not_matter(c, dtype):
    x = torch.randn(2, 3, D, dtype=dtype, generator=generator(3))
    strided = torch.stack([x, -x], -1).flatten(-2)[..., ::2]
    assert not strided.is_contiguous()
    assert torch.equal(c(strided, generator(4)), c(x, generator(4)))
    assert c(x, generator(4)).shape == x.shape
    if c.deterministic:
        rows = torch.stack([c(row) for row in x.view(-1, D)]).view(x.shape)
        assert torch.allclose(c(x), rows, rtol=1e-6)
    assert torch.equal(c(x.numpy(), generator(4)), c(x, generator(4)))


@every
def test_randomness_is_explicit(c):
    """The same generator gives the same result, no global state moves, and the input is neither changed nor aliased."""
    x = torch.randn(50, D, generator=generator(7))
    kept = x.clone()
    # NumPy's global state is read here on purpose: it is what must not move.
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = c(x, generator(8))
    c(x)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    assert torch.equal(first, c(x, generator(8)))
    if c.deterministic:
        assert torch.equal(first, c(x))
    first += 1
    assert torch.equal(x, kept)


def random_operators() -> list:
    return [c for c in ALL if not c.deterministic]


@pytest.mark.parametrize("c", random_operators(), ids=repr)
def test_random_operators_are_random(c):
    """Two seeds give two results on 50 Gaussian vectors, unless the operator reproduces x, as p = 1 does."""
    x = torch.randn(50, D, generator=generator(7))
    first = c(x, generator(8))
    assert not torch.equal(first, c(x, generator(9))) or torch.equal(first, x)


@every
@settings(QUICK, max_examples=15)
@given(data=st.data(), dtype=st.sampled_from([torch.float32, torch.float64]), seed=st.integers(0, 99))
def test_decode_returns_the_bits_of_the_image(c, data, dtype, seed):
    width = 32 if dtype == torch.float32 else 64
    values = st.floats(-(2.0**99), 2.0**99, width=width)
    x = torch.from_numpy(data.draw(hnp.arrays(np.dtype(f"f{width // 8}"), D, elements=values)))
    image = c(x, generator(seed))
    message = c.encode(x, generator(seed))
    decoded = c.decode(message, D, dtype, generator(seed))
    assert torch.equal(image, decoded)
    assert torch.equal(image.signbit(), decoded.signbit())
    for cut in (message[:-1], torch.cat([message, torch.ones(1, dtype=torch.uint8)])):
        with pytest.raises(ValueError, match="message"):
            c.decode(cut, D, dtype, generator(seed))


LARGE = [
    Identity(), RandK(300), RandK(300, shared_seed=True), TopK(300), RandomSparsification(0.03),
    AdaptiveSparsification(),
    UnbiasedRounding(2.0), UnbiasedRounding((1.0, 1.25, 1.5, 1.75, 2.0)), BiasedRounding(3.0), NaturalCompression(),
    ExponentialDithering(2.0, 8, 2), StandardDithering(7), Ternary(), library.Sign(), ScaledSign(), PowerSGD(2),
    Composition(NaturalDithering(s=4), TopK(300)), Composition(ScaledSign(), TopK(300)),
    Scaled(RandK(300), 0.5), Induced(TopK(100), RandK(100)),
]


def test_large_examples_cover_every_operator():
    assert {type(c) for c in LARGE} | {NaturalDithering} == set(KINDS)


@pytest.mark.parametrize("c", LARGE, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_claimed_bits_are_the_bytes_sent(c, dtype):
    """Mean length over 30 Gaussian vectors, within 1 % and one byte of padding.

    The lengths vary by at most 2 % between messages (the number kept at random), so the mean of 30 has a standard error
    below 0.4 % of the claim for the widest of them.
    """
    d = 10_000
    x = torch.randn(30, d, dtype=dtype, generator=generator(1))
    rng = generator(2)
    mean = np.mean([8 * len(c.encode(row, rng)) for row in x])
    assert abs(mean - c.bits(d, dtype)) <= 0.01 * c.bits(d, dtype) + 8


def test_exact_zeros_of_a_sign_message_are_paid_for_only_where_they_occur():
    dense, sparse = torch.ones(8000), torch.ones(8000)
    sparse[:4] = 0
    sign = library.Sign()
    assert 8 * len(sign.encode(dense)) <= 8000 + 8
    assert 8000 < 8 * len(sign.encode(sparse)) <= 8000 + 100


BAD_PARAMETERS = [
    (TopK, {"k": 0}, "k"), (TopK, {"k": 2.0}, "k"), (RandK, {"k": True}, "k"), (RandK, {"k": -1}, "k"),
    (RandomSparsification, {"p": 0.0}, "p"), (RandomSparsification, {"p": 1.1}, "p"),
    (RandomSparsification, {"p": (0.5, float("nan"))}, "p"), (UnbiasedRounding, {"levels": 1.0}, "levels"),
    (BiasedRounding, {"levels": (1.0, 1.0)}, "levels"), (BiasedRounding, {"levels": (2.0,)}, "levels"),
    (ExponentialDithering, {"base": 1.0, "s": 2}, "base"), (ExponentialDithering, {"base": 2.0, "s": 0}, "s"),
    (ExponentialDithering, {"base": 2.0, "s": 400}, "s"), (StandardDithering, {"s": 2, "p": 0.5}, "p"),
    (StandardDithering, {"s": 2, "p": float("nan")}, "p"), (PowerSGD, {"rank": 0}, "rank"),
    (PowerSGD, {"rank": 1, "rows": 0}, "rows"), (Scaled, {"compressor": TopK(1), "factor": 0}, "factor"),
    (Scaled, {"compressor": TopK(1), "factor": inf}, "factor"),
    (Induced, {"compressor": TopK(1), "correction": TopK(1)}, "correction"),
]


@pytest.mark.parametrize(("kind", "parameters", "name"), BAD_PARAMETERS)
def test_bad_parameters_get_one_sentence(kind, parameters, name):
    with pytest.raises(ValueError, match=name) as caught:
        kind(**parameters)
    assert "\n" not in str(caught.value)


BAD_INPUTS = [
    (torch.tensor([1.0, float("nan")]), "NaN"), (torch.tensor([1.0, float("inf")]), "infinity"),
    (torch.tensor([1, 2]), "float"), (torch.tensor([1.0], dtype=torch.float16), "float"), (torch.tensor(1.0), "shape"),
    (torch.zeros(3, 0), "shape"), ([1.0, 2.0], "tensor"), (None, "tensor"), (np.array([1, 2]), "float"),
]


@every
@pytest.mark.parametrize(("x", "word"), BAD_INPUTS)
def test_bad_vectors_get_one_sentence(c, x, word):
    with pytest.raises(ValueError, match=word) as caught:
        c(x)
    assert "x must" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("c", "d", "word"), [
    (TopK(5), 4, "k must be at most d = 4"), (RandK(5), 4, "k must be at most d = 4"),
    (RandomSparsification((0.5, 0.5)), 3, "one entry per coordinate"),
    (PowerSGD(1, rows=3), 8, "rows must divide d = 8"),
])
def test_parameters_that_do_not_suit_the_dimension(c, d, word):
    for use in (lambda: c(torch.ones(d)), lambda: c.membership(d), lambda: c.bits(d), lambda: c.encode(torch.ones(d))):
        with pytest.raises(ValueError, match=word):
            use()


def test_numbers_beyond_the_last_level_are_refused():
    for c in (NaturalCompression(), UnbiasedRounding(2.0), BiasedRounding(2.0)):
        with pytest.raises(ValueError, match="must not exceed"):
            c(torch.tensor([3e38]))


def test_a_batch_cannot_be_encoded():
    with pytest.raises(ValueError, match="one vector"):
        TopK(1).encode(torch.ones(2, 2))


@pytest.mark.refutes("lem-natural")
def test_natural_compression_is_rounding_to_powers_of_two():
    """All carries of a 23-bit mantissa: the share that rounds up is exactly the mantissa's share."""
    for mantissa in (0, 1, 12345, 1 << 22, (1 << 23) - 1):
        word = torch.tensor([(130 << 23) + mantissa], dtype=torch.int32)
        noise = torch.arange(1 << 23, dtype=torch.int32)
        up = ((word + noise) >> 23 == 131).sum().item()
        assert up == mantissa
        x = word.view(torch.float32)
        mean, _ = NaturalCompression().moments(x)
        assert exact(float(mean)) == exact(float(x))


def test_natural_compression_sends_powers_of_two():
    x = families(D)[:20].float()
    draws = NaturalCompression()(x.expand(200, *x.shape), generator(3))
    assert set(draws.frexp().mantissa.abs().unique().tolist()) <= {0.0, 0.5}


@pytest.mark.parametrize("rank", [1, 3])
def test_power_sgd_warm_start_converges_to_the_best_approximation(rank):
    x = torch.randn(60, dtype=torch.float64, generator=generator(1))
    c = PowerSGD(rank, rows=6)
    state = c.start(x, generator(2))
    for _ in range(300):
        image, state = c.update(x, state)
    values = torch.linalg.svdvals(x.view(6, 10))
    assert float((x - image).square().sum()) == pytest.approx(float(values[rank:].square().sum()), rel=1e-6)
    with pytest.raises(ValueError, match="state must have shape"):
        c.update(x, state[:-1])
