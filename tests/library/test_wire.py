"""Messages: every part comes back bit for bit, at the length `bits` says, and no corrupt message does harm."""

import itertools
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradpress import wire
from gradpress.wire import Bits, Floats, RandomSubset, Signs, SparseFloats, Subset, Symbols, pack, unpack

reproducible = settings(derandomize=True, deadline=None, max_examples=100)
RAW = {torch.float16: torch.int16, torch.bfloat16: torch.int16, torch.float32: torch.int32, torch.float64: torch.int64}


def uniform_subset(d, k, seed):
    return torch.tensor(sorted(random.Random(seed).sample(range(d), k)), dtype=torch.int64)


def log2_binomial(d, k):
    return (math.lgamma(d + 1) - math.lgamma(k + 1) - math.lgamma(d - k + 1)) / math.log(2)


def check_round_trip(field, values, tail=(1, 0, 0, 1, 1)):
    """The part comes back with its type, whatever bits follow it; returns how many bits it took."""
    bits = field.pack(values)
    assert bits.dtype == torch.uint8
    assert bits.ndim == 1
    for rest in (tail, [1 - bit for bit in tail]):
        back, used = field.unpack(torch.cat([bits, torch.tensor(rest, dtype=torch.uint8)]))
        assert used == len(bits)
        assert (back.dtype, back.shape) == (values.dtype, values.shape)
        assert same(back, values)
    return used


def same(left, right):
    """Equal bit for bit: −0 is not +0 here, and a NaN is itself."""
    left, right = (t.contiguous().view(RAW[t.dtype]) if t.is_floating_point() else t for t in (left, right))
    return torch.equal(left, right)


subsets = st.integers(0, 300).flatmap(
    lambda d: st.tuples(st.just(d), st.sets(st.integers(0, max(d - 1, 0)), max_size=d) if d else st.just(set()))
)


def positions(chosen):
    return torch.tensor(sorted(chosen), dtype=torch.int64)


# ------------------------------------------------------------------------------------------------------ round trips


@pytest.mark.parametrize("dtype", RAW, ids=str)
@reproducible
@given(data=st.data())
def test_floats_keep_every_bit(dtype, data):
    shape = data.draw(st.sampled_from([(), (0,), (1,), (7,), (2, 3), (3, 0)]))
    width = torch.finfo(dtype).bits
    edges = [0, -(2 ** (width - 1)), 1, -1, 2 ** (width - 1) - 1]  # ±0, the least subnormal, NaNs with payloads
    patterns = st.sampled_from(edges) | st.integers(-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    raw = data.draw(st.lists(patterns, min_size=math.prod(shape), max_size=math.prod(shape)))
    values = torch.tensor(raw, dtype=RAW[dtype]).view(dtype).reshape(shape)
    assert check_round_trip(Floats(shape, dtype), values) == Floats(shape, dtype).bits() == width * math.prod(shape)


def test_floats_of_a_view():
    values = torch.arange(12.0).reshape(3, 4).t()
    assert not values.is_contiguous()
    check_round_trip(Floats((4, 3), torch.float32), values)


@reproducible
@given(st.lists(st.booleans(), max_size=40))
def test_bits_round_trip(values):
    assert check_round_trip(Bits(len(values)), torch.tensor(values, dtype=torch.bool)) == Bits(len(values)).bits()


@reproducible
@given(st.integers(1, 20) | st.sampled_from([255, 256, 257, 2**21, 2**21 + 1, 2**31 - 1, 2**31]), st.data())
def test_symbols_round_trip(m, data):
    n = data.draw(st.integers(0, 150))
    symbols = st.sampled_from([0, m - 1]) | st.integers(0, m - 1)
    values = torch.tensor(data.draw(st.lists(symbols, min_size=n, max_size=n)), dtype=torch.int64)
    field = Symbols(n, m)
    assert check_round_trip(field, values) == field.bits() <= n * math.ceil(math.log2(m))
    check_round_trip(field, torch.full((n,), m - 1))


@reproducible
@given(subsets)
def test_subset_round_trip(case):
    d, chosen = case
    used = check_round_trip(Subset(d, len(chosen)), positions(chosen))
    if len(chosen) in (0, d):
        assert used == 0 == Subset(d, len(chosen)).bits()


@pytest.mark.parametrize(("d", "k"), [(10**9, 50), (2**48, 3), (10**6, 10**6 - 2), (10**5, 50_000), (10**5, 50_001)])
def test_subset_round_trip_of_clusters(d, k):
    """Runs at either end give the longest and the shortest gaps."""
    check_round_trip(Subset(d, k), torch.arange(k))
    check_round_trip(Subset(d, k), torch.arange(d - k, d))
    check_round_trip(Subset(d, k), torch.cat([torch.arange(k - 1), torch.tensor([d - 1])]))
    if d < 10**7 or k < 100:
        check_round_trip(Subset(d, k), uniform_subset(d, k, seed=k))


@reproducible
@given(subsets, st.floats(0, 1))
def test_random_subset_carries_any_set_whatever_its_probability(case, p):
    d, chosen = case
    check_round_trip(RandomSubset(d, p), positions(chosen))
    check_round_trip(RandomSubset(d, tuple(p * i / d for i in range(d))), positions(chosen))


@pytest.mark.parametrize("dtype", RAW, ids=str)
@reproducible
@given(st.lists(st.sampled_from([0.0, 0.0, -0.0, 1.5, math.nan, math.inf, 6e-8]), max_size=50), st.floats(0, 1))
def test_sparse_floats_round_trip(dtype, values, p):
    sparse, d = torch.tensor(values, dtype=dtype), len(values)
    field = SparseFloats(d, p, dtype)
    kept = [i for i, value in enumerate(values) if value != 0 or math.copysign(1, value) < 0]
    used = check_round_trip(field, sparse)
    assert used == len(RandomSubset(d, p).pack(positions(kept))) + len(kept) * torch.finfo(dtype).bits


@pytest.mark.parametrize("p", [0.1, (0.5, 0, 0.25, 1)])
def test_sparse_floats_bits_adds_the_kept_values(p):
    mean = sum(p) if isinstance(p, tuple) else 4 * p
    assert SparseFloats(4, p, torch.float64).bits() == pytest.approx(RandomSubset(4, p).bits() + 64 * mean)


@reproducible
@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=60) | st.lists(st.sampled_from([-1, 1]), max_size=60))
def test_signs_round_trip(values):
    signs, n = torch.tensor(values, dtype=torch.int8), len(values)
    used = check_round_trip(Signs(n), signs)
    zeros = values.count(0)
    assert used == n + 1 == Signs(n).bits() if not zeros else used <= 2 + n + (n - zeros)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64], ids=str)
def test_signs_of_other_types_come_back_as_int8(dtype):
    values = torch.tensor([1, 0, -1, -1, 0], dtype=dtype) * torch.tensor([1, -1, 1, 1, 1], dtype=dtype)  # with a −0.0
    assert unpack({"s": Signs(5)}, pack({"s": Signs(5)}, {"s": values}))["s"].tolist() == [1, 0, -1, -1, 0]


def test_signs_send_the_zeros_the_cheaper_way():
    few, dense = torch.ones(10_000, dtype=torch.int8), torch.ones(10_000, dtype=torch.int8)
    few[5000] = 0
    dense[torch.arange(0, 10_000, 3)] = 0
    assert check_round_trip(Signs(10_000), few) < 10_000 + 60
    assert check_round_trip(Signs(10_000), -dense) <= 2 + 10_000 + int(dense.sum())
    assert check_round_trip(Signs(10_000), 0 * few) == 2 + 14  # all zero: the flag and the count
    late = torch.ones(64, dtype=torch.int8)  # a list of these 24 zeros would take 7 bits more than the bitmap
    late[40:] = 0
    assert check_round_trip(Signs(64), late) == 2 + 64 + 40


@pytest.mark.parametrize(("n", "zeros"), [(64, 60), (64, 24), (1000, 950), (1000, 5)])
def test_signs_cost_what_is_expected_of_their_zeros(n, zeros):
    """200 random sets of zeros; a length varies by a few bits, its mean by less than one."""
    lengths = []
    for seed in range(200):
        signs = torch.ones(n, dtype=torch.int8)
        signs[uniform_subset(n, zeros, seed)] = 0
        lengths.append(len(Signs(n, zeros).pack(signs)))
    assert sum(lengths) / 200 == pytest.approx(Signs(n, zeros).bits(), abs=1)


def test_a_mixed_message():
    fields, parts = mixed()
    message = pack(fields, dict(reversed(parts.items())))
    back = unpack(fields, message)
    assert list(back) == list(fields)
    assert all(torch.equal(back[name], parts[name]) for name in fields)
    lengths = [len(field.pack(parts[name])) for name, field in fields.items()]
    assert len(message) == math.ceil(sum(lengths) / 8)


def test_no_fields_make_an_empty_message():
    message = pack({}, {})
    assert (message.dtype, message.shape) == (torch.uint8, (0,))
    assert unpack({}, message) == {}


# ---------------------------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("d", [1, 2, 5, 9, 12])
def test_subset_bits_is_the_mean_over_all_subsets(d):
    for k in range(d + 1):
        lengths = [len(Subset(d, k).pack(positions(c))) for c in itertools.combinations(range(d), k)]
        assert Subset(d, k).bits() == pytest.approx(sum(lengths) / math.comb(d, k), rel=1e-12)


@pytest.mark.parametrize(
    "p", [0.0, 0.02, 0.3, 0.5, 0.8, 1.0, (0.0,) * 8, (0.5, 0, 0, 0, 0, 0.01, 0.1, 0), (1, 1, 0.9, 0, 1, 0.5, 1, 0.2)]
)
def test_random_subset_bits_is_the_mean_over_all_sets(p):
    d, mean = 8, 0.0
    each = p if isinstance(p, tuple) else (p,) * d
    for chosen in itertools.product([False, True], repeat=d):
        chance = math.prod(q if c else 1 - q for q, c in zip(each, chosen, strict=True))
        mean += chance * len(RandomSubset(d, p).pack(positions(i for i in range(d) if chosen[i])))
    assert RandomSubset(d, p).bits() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize(("d", "k"), [(1000, 100), (10**6, 100), (10**6, 3000), (10**5, 40_000), (10**5, 70_000)])
def test_subset_bits_is_the_mean_length(d, k):
    lengths = [len(pack({"i": Subset(d, k)}, {"i": uniform_subset(d, k, seed)})) * 8 for seed in range(30)]
    assert sum(lengths) / 30 == pytest.approx(Subset(d, k).bits() + 3.5, rel=0.01)


@pytest.mark.parametrize("p", [0.003, 0.2, 0.9, "unequal"])
def test_random_subset_bits_is_the_mean_length(p):
    d, generator = 20_000, torch.Generator().manual_seed(3)
    each = torch.rand(d, generator=generator, dtype=torch.float64) ** 20 if p == "unequal" else torch.full((d,), p)
    field = RandomSubset(d, tuple(each.tolist()) if p == "unequal" else p)
    draws = [(torch.rand(d, generator=generator, dtype=torch.float64) < each).nonzero().squeeze(1) for _ in range(30)]
    assert sum(len(field.pack(draw)) for draw in draws) / 30 == pytest.approx(field.bits(), rel=0.01)


@pytest.mark.parametrize("d", [40, 1000])
@pytest.mark.parametrize("p", [0.004, 0.25, 0.7])
def test_equal_probabilities_cost_the_same_as_a_number_or_a_tuple(d, p):
    assert RandomSubset(d, (p,) * d).bits() == pytest.approx(RandomSubset(d, p).bits(), rel=1e-11)


GRID = [(k, ratio) for k in (100, 316, 1000, 10_000) for ratio in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.05, 0.07, 0.1)]


@pytest.mark.parametrize(("k", "ratio"), GRID)
def test_subset_costs_at_most_a_tenth_more_than_its_entropy(k, ratio):
    """With padding, on the mean and on single messages."""
    d = round(k / ratio)
    limit = 1.10 * log2_binomial(d, k)
    assert Subset(d, k).bits() + 7 <= limit
    assert all(8 * len(pack({"i": Subset(d, k)}, {"i": uniform_subset(d, k, seed)})) <= limit for seed in range(3))


def test_subset_costs_no_more_than_a_bitmap_or_a_list():
    for d in [*range(1, 80), 1000, 4096, 10**6]:
        for k in range(d + 1) if d < 80 else [1, 2, 3, 10, d // 100, d // 10, d // 3, d // 2, 2 * d // 3, d - 1]:
            cheap = min(d, k * math.ceil(math.log2(d)), (d - k) * math.ceil(math.log2(d)))
            assert Subset(d, k).bits() <= cheap + 1, (d, k)


def test_a_subset_is_never_much_longer_than_its_mean():
    """For any positions at all: k (r + 1) bits and at most (d − k)/2ʳ for the quotients."""
    for d, k in [(1000, 10), (1000, 400), (10**6, 1000), (10**6, 999_000)]:
        worst = max(
            len(Subset(d, k).pack(values))
            for values in (torch.arange(k), torch.arange(d - k, d), torch.arange(k) * ((d - 1) // max(k - 1, 1)))
        )
        assert worst <= 1.3 * Subset(d, k).bits() + 8


def test_rice_parameter_is_the_best_or_nearly():
    for d in (10, 100, 10_000, 10**6):
        for k in {max(1, round(d * ratio)) for ratio in (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.38, 0.39, 0.5)}:
            costs = [
                r + 1 + sum(math.exp(log2_ratio(d, k, t)) for t in range(2**r, min(d - k, 60 * d // k) + 1, 2**r))
                for r in range(d.bit_length())
            ]
            assert Subset(d, k).bits() / k == pytest.approx(costs[wire._rice_parameter(d, k)], rel=1e-6)
            assert Subset(d, k).bits() / k <= 1.001 * min(costs) or k < 3


def log2_ratio(d, k, t):
    """log of C(d−t, k)/C(d, k)."""
    return math.lgamma(d - t + 1) - math.lgamma(d - t - k + 1) - math.lgamma(d + 1) + math.lgamma(d - k + 1)


@pytest.mark.parametrize("m", [*range(2, 70), 100, 127, 129, 255, 257, 365, 511, 512])
def test_symbols_cost_their_entropy(m):
    n = 10**5
    assert n * math.log2(m) <= Symbols(n, m).bits() <= 1.02 * n * math.log2(m)


def test_symbols_at_the_edges():
    assert Symbols(0, 3).bits() == 0
    assert Symbols(1000, 1).bits() == 0
    assert Symbols(5, 3).bits() == 8  # 3⁵ = 243: one short group
    assert Symbols(29_000, 3).bits() == 46_000  # 3²⁹ in 46 bits is the best there is below 2⁶³
    assert Symbols(7, 2**31).bits() == 7 * 31
    assert Symbols(7, 2**31 - 1).bits() == 7 * 31


# --------------------------------------------------------------------------------------------- corruption and errors


def mixed():
    """A message with every field, none of whose parts begins at a whole byte."""
    fields = {
        "signs": Signs(21),
        "index": Symbols(1, 1000),
        "subset": Subset(500, 20),
        "most": Subset(50, 40),
        "values": Floats((2, 2), torch.float32),
        "random": RandomSubset(300, 0.05),
        "symbols": Symbols(45, 3),
        "zeros": Signs(30),
        "bits": Bits(3),
    }
    parts = {
        "signs": torch.tensor([1, -1, -1] * 7, dtype=torch.int8),
        "index": torch.tensor([999]),
        "subset": uniform_subset(500, 20, seed=0),
        "most": uniform_subset(50, 40, seed=1),
        "values": torch.tensor([[1.5, -0.0], [3e38, 1e-44]]),
        "random": uniform_subset(300, 17, seed=2),
        "symbols": torch.arange(45) % 3,
        "zeros": torch.tensor([0, 1, -1, 1, 1] * 6, dtype=torch.int8),
        "bits": torch.tensor([True, False, True]),
    }
    return fields, parts


def test_a_message_cut_short_anywhere_is_refused():
    fields, parts = mixed()
    message = pack(fields, parts)
    for length in range(len(message)):
        with pytest.raises(ValueError, match=r"^message cannot be read at part '\w+': .*, got \d+"):
            unpack(fields, message[:length])
    for name, field in fields.items():
        bits = field.pack(parts[name])
        for length in range(len(bits)):
            with pytest.raises(ValueError, match="got"):
                field.unpack(bits[:length])


def test_a_message_that_is_too_long_is_refused():
    fields, parts = mixed()
    message = pack(fields, parts)
    for tail in (0, 1, 255):
        with pytest.raises(ValueError, match=r"message must end with its last part .* got \d+ bits more"):
            unpack(fields, torch.cat([message, torch.tensor([tail], dtype=torch.uint8)]))
    with pytest.raises(ValueError, match="got 5 bits more"):  # the padding is not zero
        unpack({"b": Bits(3)}, torch.tensor([0b10100001], dtype=torch.uint8))
    with pytest.raises(ValueError, match="got 8 bits more"):
        unpack({}, torch.zeros(1, dtype=torch.uint8))


VALID = [
    *mixed()[0].values(),
    Subset(6, 3),
    Subset(2**48, 2),
    RandomSubset(2**40, 1e-11),
    RandomSubset(10, (0.5,) * 10),
    RandomSubset(10, 0.9),
    SparseFloats(9, 0.3, torch.float32),
    Symbols(3, 2**31 - 1),
    Symbols(4, 5),
    Floats((), torch.float64),
]


def unless_refused(read, *arguments):
    try:
        return read(*arguments)
    except ValueError:
        return None


@settings(reproducible, max_examples=1000)
@given(st.sampled_from(VALID), st.binary(max_size=40), st.sampled_from([0, 1]))
def test_random_bits_are_a_valid_part_or_a_value_error(field, noise, filler):
    """A part that is read must be one the field can send, and sent again it must come back."""
    bits = wire._from_bytes(torch.tensor(list(noise), dtype=torch.uint8))
    bits = torch.cat([bits, torch.full((200,), filler, dtype=torch.uint8)])
    result = unless_refused(field.unpack, bits)
    if result is not None:
        part, used = result
        assert 0 <= used <= len(bits)
        assert same(field.unpack(field.pack(part))[0], part)


@settings(reproducible, max_examples=300)
@given(st.data())
def test_an_altered_message_is_valid_parts_or_a_value_error(data):
    fields, parts = mixed()
    message = pack(fields, parts)
    assert unless_refused(unpack, fields, message)
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    back = unless_refused(unpack, fields, message)
    if back is not None:
        again = unpack(fields, pack(fields, back))
        assert all(same(again[name], back[name]) for name in fields)


CORRUPT = [
    (Symbols(1, 3), [1, 1], r"groups of 1 symbols must be below 3\^1, got 3"),
    (Symbols(5, 3), [1] * 8, r"groups of 5 symbols must be below 3\^5, got 255"),
    (RandomSubset(5, 0.5), [1, 1, 1] + [1] * 9, "the size of the set must be at most 5, got 7"),
    (Signs(5), [1, 1, 1, 1, 0] + [1] * 9, "the number of zeros must be at most 5, got 6"),
    (Subset(10, 1), [1, 1, 0, 0, 1], "positions must be below 10, got 11"),
    (Subset(1000, 1), [0] * 90, "1 gaps must end within 4 bits, got 0 ends"),
    (Subset(2**48, 1), [0] * (46 + 2**18) + [1], "1 gaps must end within 4 bits, got 0 ends"),  # 2¹⁸ · 2⁴⁶ overflows
    (Floats((2**40,), torch.float64), [0] * 90, "needs 70368744177664 bits, got 90"),
    (Symbols(2**46, 3), [0] * 90, "bits, got 90"),
    (Bits(2**46), [0] * 90, "bits, got 90"),
    (Signs(2**46), [0] * 90, "bits, got 90"),
    (Signs(2**46), [1, 0] * 45, "bits, got 90"),
    (Subset(2**47, 2**46), [0] * 90, "bits, got 90"),
    (RandomSubset(2**47, 1e-9), [0] + [1] * 47 + [0] * 42, "bits, got 42"),
]


@pytest.mark.parametrize(("field", "bits", "message"), CORRUPT)
def test_corrupt_bits_are_refused_before_any_memory_is_taken(field, bits, message):
    with pytest.raises(ValueError, match=message):
        field.unpack(torch.tensor(bits, dtype=torch.uint8))


BAD_VALUES = [
    (Floats((2,), torch.float32), torch.zeros(2).double(), "values must be torch.float32, got torch.float64"),
    (Floats((2,), torch.float32), torch.zeros(3), r"values must be a tensor of shape \(2,\), got .*\(3,\)"),
    (Floats((1,), torch.float32), [1.0], r"values must be a tensor of shape \(1,\), got list"),
    (Bits(2), torch.tensor([1, 0]), "values must be booleans, got torch.int64"),
    (Bits(2), torch.tensor([[True, False]]), "values must be a tensor of shape"),
    (Symbols(2, 3), torch.tensor([-1, 2]), r"values must lie in \[0, 3\), got -1 to 2"),
    (Symbols(2, 3), torch.tensor([True, False]), "values must be integers, got torch.bool"),
    (Symbols(2, 3), torch.tensor([1]), "values must be a tensor of shape"),
    (Subset(9, 2), torch.tensor([4, 4]), "values must be sorted and distinct, got 4 before 4"),
    (Subset(9, 2), torch.tensor([4, 2]), "values must be sorted and distinct, got 4 before 2"),
    (Subset(9, 2), torch.tensor([4, 9]), r"values must lie in \[0, 9\), got 4 to 9"),
    (Subset(9, 2), torch.tensor([4]), r"values must be a tensor of shape \(2,\)"),
    (Subset(9, 2), torch.tensor([1.0, 2.0]), "values must be integers"),
    (RandomSubset(9, 0.5), torch.tensor([[1]]), "values must be a 1-D tensor of positions, got"),
    (RandomSubset(9, 0.5), torch.tensor([3, 1]), "values must be sorted and distinct, got 3 before 1"),
    (RandomSubset(9, 0.5), torch.tensor([-1, 1]), r"values must lie in \[0, 9\), got -1 to 1"),
    (RandomSubset(9, 0.5), None, "values must be a 1-D tensor of positions, got NoneType"),
    (SparseFloats(2, 0.5, torch.float32), torch.ones(3), r"values must be a tensor of shape \(2,\)"),
    (SparseFloats(2, 0.5, torch.float32), torch.ones(2).double(), "values must be torch.float32, got torch.float64"),
    (Signs(2), torch.tensor([1, 2]), "values must be -1, 0 or 1, got 2"),
    (Signs(2), torch.tensor([float("nan"), 1]), "values must be -1, 0 or 1, got nan"),
    (Signs(1), torch.tensor([-128], dtype=torch.int8), "values must be -1, 0 or 1, got -128"),
    (Signs(1), torch.tensor([255], dtype=torch.uint8), "values must be signed numbers, got torch.uint8"),
    (Signs(1), torch.tensor([1, 1]), "values must be a tensor of shape"),
]


@pytest.mark.parametrize(("field", "values", "message"), BAD_VALUES)
def test_a_part_that_does_not_suit_its_field_is_refused(field, values, message):
    with pytest.raises(ValueError, match=rf"^part 'x': {message}"):
        pack({"x": field}, {"x": values})


BAD_FIELDS = [
    (Floats, ((2,), torch.int32), "dtype must be a floating-point type, got torch.int32"),
    (Floats, ((-1,), torch.float32), "shape's entries must be an integer from 0"),
    (Bits, (-1,), "n must be an integer from 0 .* got -1"),
    (Symbols, (2, 0), "m must be an integer from 1 to 2147483648, got 0"),
    (Symbols, (2, 2**31 + 1), "m must be an integer from 1 to 2147483648, got 2147483649"),
    (Subset, (3, 4), "k must be an integer from 0 to 3, got 4"),
    (Subset, (3.0, 2), "d must be an integer from 0 .* got 3.0"),
    (Subset, (2**60, 2), "d must be an integer"),
    (RandomSubset, (3, 1.5), r"p must lie in \[0, 1\], got 1.5"),
    (RandomSubset, (3, float("nan")), r"p must lie in \[0, 1\], got nan"),
    (RandomSubset, (3, (0.5, 0.5)), "p must be one number or 3 numbers, got 2"),
    (SparseFloats, (3, 2.0, torch.float32), r"p must lie in \[0, 1\], got 2.0"),
    (SparseFloats, (3, 0.5, torch.int8), "dtype must be a floating-point type, got torch.int8"),
    (Signs, (-2,), "n must be an integer from 0 .* got -2"),
]


@pytest.mark.parametrize(("field", "arguments", "message"), BAD_FIELDS)
def test_a_field_that_makes_no_sense_is_refused(field, arguments, message):
    with pytest.raises(ValueError, match=message):
        field(*arguments)


def test_pack_and_unpack_name_what_they_refuse():
    with pytest.raises(ValueError, match=r"parts must have the names \['a'\], got \['b'\]"):
        pack({"a": Bits(1)}, {"b": torch.tensor([True])})
    for message in (torch.zeros(1), torch.zeros(1, 1, dtype=torch.uint8), b"\x00"):
        with pytest.raises(ValueError, match="message must be a 1-D uint8 tensor, got"):
            unpack({"a": Bits(1)}, message)
