"""Methods and the loop that runs them: against plain loops written out, and against what the reader may ask of them."""

import pytest
import torch

from gradpress.compressors import Identity, NaturalCompression, RandK, Scaled, TopK
from gradpress.guarantees import GUARANTEES
from gradpress.methods import DCGD, DIANA, EF21, ErrorFeedback
from gradpress.noise import AffineGaussian
from gradpress.problems import Quadratic, SineValley, top_1_failure
from gradpress.simulate import simulate

double = torch.float64
FAMILY_ERROR, COMPARISONS = 1e-6, 4  # of the statistical tests of this file
Z = float(torch.special.ndtri(torch.tensor(1 - FAMILY_ERROR / COMPARISONS / 2, dtype=double)))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def two_agents():
    return Quadratic.diagonal([[1.0, 2.0, 4.0], [3.0, 1.0, 0.5]], [[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]])


def start(d=3):
    return torch.arange(1.0, d + 1, dtype=double)


# ----------------------------------------------------------------------------------------------- against plain loops


def plain(problem, rule, steps):
    """x⁰, …, xᴷ by a rule (gradients, memory) -> (step, memory) in plain sums over agents."""
    x, memory = start(problem.d), [torch.zeros(problem.d, dtype=double)] * problem.agents
    path = [x]
    for _ in range(steps):
        step, memory = rule([g.clone() for g in problem.gradients(x)], memory)
        x = x - step
        path.append(x)
    return torch.stack(path)


def top_1(v):
    out = torch.zeros_like(v)
    out[v.abs().argmax()] = v[v.abs().argmax()]
    return out


def dcgd(g, e, eta=0.2):
    return eta * sum(map(top_1, g)) / len(g), e


def error_feedback(g, e, eta=0.2):
    sent = [top_1(ei + eta * gi) for gi, ei in zip(g, e, strict=True)]
    return sum(sent) / len(g), [ei + eta * gi - mi for gi, ei, mi in zip(g, e, sent, strict=True)]


def ef21(g, h, eta=0.2):
    h = [hi + top_1(gi - hi) for gi, hi in zip(g, h, strict=True)]
    return eta * sum(h) / len(h), h


def diana(g, h, eta=0.2):
    m = [top_1(gi - hi) for gi, hi in zip(g, h, strict=True)]
    mean = sum(hi + mi for hi, mi in zip(h, m, strict=True)) / len(g)
    return eta * mean, [hi + 0.3 * mi for hi, mi in zip(h, m, strict=True)]


METHODS = [(DCGD(TopK(1)), dcgd), (ErrorFeedback(TopK(1)), error_feedback), (EF21(TopK(1)), ef21),
           (DIANA(TopK(1), 0.3), diana)]


@pytest.mark.parametrize(("method", "rule"), METHODS, ids=lambda value: type(value).__name__)
def test_methods_are_the_algorithms_written_out(method, rule):
    problem, steps = two_agents(), 25
    path = plain(problem, rule, steps)
    record = simulate(problem, method, start(), steps, 0.2, runs=2)
    for run in range(2):
        torch.testing.assert_close(record.final[run], path[-1])
        torch.testing.assert_close(record.gap[:, run], problem.gap(path))
        torch.testing.assert_close(record.distance[:, run], (path - problem.minimiser).square().sum(-1))


@pytest.mark.parametrize("compressor", [TopK(1), RandK(2), NaturalCompression()], ids=repr)
def test_sent_and_kept_add_up(compressor):
    """Error feedback loses nothing: the iterate plus what is owed is what uncompressed steps would have made."""
    problem, x = two_agents(), start()
    method, generator = ErrorFeedback(compressor), seeded()
    state, uncompressed = method.init(x, 2), x
    for _ in range(30):
        gradients = problem.gradients(x)
        step, state = method.update(gradients, state, 0.1, generator)
        x, uncompressed = x - step, uncompressed - 0.1 * gradients.mean(-2)
        torch.testing.assert_close(x - state.mean(-2), uncompressed)


def test_state_can_be_saved_and_taken_up_again():
    problem, method = two_agents(), ErrorFeedback(TopK(1))
    whole = simulate(problem, method, start(), 20, 0.1)
    half = simulate(problem, method, start(), 10, 0.1)
    x, state = half.final, half.state.clone()
    for _ in range(10):
        step, state = method.update(problem.gradients(x), state, 0.1)
        x = x - step
    assert torch.equal(x, whole.final)
    assert torch.equal(state, whole.state)


# -------------------------------------------------------------------------------------------------------- the record


def test_records_the_steps_and_bits_that_it_names():
    record = simulate(two_agents(), DCGD(TopK(1)), start(), 10, 0.1, every=4)
    assert record.step.tolist() == [0, 4, 8, 10]
    assert record.bits.tolist() == [n * 2 * TopK(1).bits(3) for n in (0, 4, 8, 10)]
    assert record.gap.shape == record.distance.shape == (4, 1)


def test_same_seed_same_record_and_global_state_untouched():
    before = torch.random.get_rng_state()
    records = [simulate(two_agents(), DCGD(RandK(1)), start(), 20, 0.05, runs=3, generator=seeded(7)) for _ in range(2)]
    simulate(two_agents(), DCGD(RandK(1)), start(), 5, 0.05)  # without a generator
    assert torch.equal(records[0].final, records[1].final)
    assert len({tuple(row.tolist()) for row in records[0].final}) == 3  # runs are independent
    assert torch.equal(before, torch.random.get_rng_state())


def test_weighted_mean():
    problem, weights = two_agents(), lambda n: 1.5**n
    record = simulate(problem, DCGD(Identity()), start(), 12, 0.2, weights=weights)
    path = plain(problem, lambda g, e: (0.2 * sum(g) / 2, e), 12)
    w = torch.tensor([weights(n) for n in range(13)], dtype=double)
    torch.testing.assert_close(record.average[0], w @ path / w.sum())


def test_step_size_may_depend_on_n():
    record = simulate(two_agents(), DCGD(Identity()), start(), 3, lambda n: [0.1, 0.0, 0.2][n])
    assert record.gap[1] == record.gap[2]
    assert record.gap[3] < record.gap[2]


# ------------------------------------------------------------------------------------------------------ divergence


def test_divergence_is_reported_and_not_computed_to_nan():
    record = simulate(top_1_failure(), DCGD(TopK(1)), torch.ones(3), 10_000, 0.1)
    factor = 1 + 11 * 0.1 / 6
    first = next(n for n in range(10_000) if factor ** (2 * n) * record.gap[0, 0] > 1e12 * record.gap[0, 0])
    assert record.diverged.tolist() == [first]
    assert record.gap[-1, 0] == torch.inf
    assert record.step[-1] == first  # all runs are over: the loop ends
    assert record.final.isfinite().all()


def test_one_diverging_run_does_not_stop_the_others():
    valley = Quadratic.diagonal([[1.0]], [[0.0]])
    record = simulate(valley, DCGD(Identity()), torch.tensor([[1.0], [0.0]]), 60, 3.0, runs=2)
    assert record.diverged[0] > 0
    assert record.diverged[1] == -1
    assert (record.gap[:, 1] == 0).all()
    assert record.step[-1] == 60
    n = int(record.diverged[0])
    assert (record.gap[n:, 0] == torch.inf).all()
    assert record.gap[:n, 0].isfinite().all()


# ------------------------------------------------------------------------------------------------------ guarantees


def one_node(d=4):
    return Quadratic.diagonal([[1.0] + [2.0] * (d - 1)], [[0.0] * d])


def test_step_outside_a_theorem_is_refused_with_its_name():
    problem = one_node()
    simulate(problem, DCGD(TopK(1)), start(4), 2, 0.5, check="thm-cgd-b3")
    with pytest.raises(ValueError, match=r"^step_size must be at most 0.5 for Theorem 19 \(thm-cgd-b3\), got 0.51$"):
        simulate(problem, DCGD(TopK(1)), start(4), 2, 0.51, check="thm-cgd-b3")
    with pytest.raises(ValueError, match=r"at most 0.5 for Theorem 19"):  # the largest of a schedule counts
        simulate(problem, DCGD(TopK(1)), start(4), 3, lambda n: 0.3 * n, check="thm-cgd-b3")


@pytest.mark.parametrize(
    ("check", "problem", "method", "noise", "sentence"),
    [
        ("thm-cgd-b3", one_node(), DCGD(RandK(1)), None, "needs a compressor of the class B3"),
        ("thm-cgd-b3", two_agents(), DCGD(TopK(1)), None, "one node"),
        ("thm-cgd-b2", one_node(), DCGD(TopK(1)), AffineGaussian(c_aff=1.0), "exact gradients"),
        ("thm-nothing", one_node(), DCGD(TopK(1)), None, "check must be one of"),
        ("thm-error-feedback", Quadratic.diagonal([[1.0], [-0.5]], [[0.0], [0.0]]), ErrorFeedback(TopK(1)), None,
         "needs convex agents"),
        ("thm-error-feedback", two_agents(), DCGD(TopK(1)), None, "is about ErrorFeedback, got DCGD"),
        ("thm-dcgd", two_agents(), DCGD(TopK(1)), None, "needs a compressor of the class Unbiased"),
        ("thm-dcgd", Quadratic.diagonal([[1.0], [-0.5]], [[0.0], [0.0]]), DCGD(RandK(1)), None, "needs convex agents"),
        ("thm-diana", two_agents(), DIANA(RandK(1), 0.5), None, r"shift_step must be at most 0.333333 for the theorem"),
        ("thm-ef21", two_agents(), EF21(TopK(1)), AffineGaussian(c_aff=1.0), "exact gradients"),
    ],
)
def test_other_conditions_are_checked_too(check, problem, method, noise, sentence):
    with pytest.raises(ValueError, match=sentence):
        simulate(problem, method, start(problem.d), 2, 0.01, check=check, noise=noise)


def test_largest_steps_and_factors():
    problem, operator = one_node(), Scaled(TopK(1), 2.0)  # B1(4/d, 2), B2(2/d, 2), d = 4
    values = {label: (g.largest_step(problem, operator), g.factor(problem, operator, 0.25))
              for label, g in GUARANTEES.items() if label in ("thm-cgd-b1", "thm-cgd-b2")}
    assert values["thm-cgd-b1"] == pytest.approx((0.5, 1 - 0.5 * 0.25 * (2 - 0.25 * 2 * 2)))
    assert values["thm-cgd-b2"] == pytest.approx((0.5, 1 - 0.5 * 0.25 * (2 - 0.25 * 2 * 2)))
    memory = GUARANTEES["thm-error-feedback"]
    assert memory.largest_step(two_agents(), TopK(1), AffineGaussian(b_aff=1.0)) == pytest.approx(1 / (14 * 7 * 4))
    with pytest.raises(ValueError, match="no factor"):
        memory.factor(two_agents(), TopK(1), 0.001)
    many = two_agents()  # L = 2.25, L_max = 4, L_rms² = 12.5; ω = 2 and δ = 3
    root = 1 - (2 / 3) ** 0.5
    wanted = {"thm-second-order": 1 / (8 * 6 * 4), "thm-ef21": 1 / (2.25 + 12.5**0.5 * (1 - root) / root)}
    for label, step in wanted.items():
        assert GUARANTEES[label].largest_step(many, TopK(1)) == pytest.approx(step)
    wanted = {"thm-dcgd": 1 / (2.25 + 2 * 2 * 4 / 2), "thm-diana": 1 / (2.25 + 6 * 2 * 4 / 2)}
    for label, step in wanted.items():
        assert GUARANTEES[label].largest_step(many, RandK(1)) == pytest.approx(step)


# ----------------------------------------------------------------------------------------------------------- noise


def test_affine_noise_has_the_moments_that_it_names():
    noise, runs = AffineGaussian(b_aff=0.5, c_aff=2.0), 40_000
    g = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=double)
    xi = noise(g.expand(runs, 2, 2), seeded(1)) - g
    energy = xi.square().sum(-1)
    for agent, want in enumerate((0.5 * 25 + 2, 2.0)):
        error = energy[:, agent].std() / runs**0.5
        assert abs(energy[:, agent].mean() - want) < Z * error
    mean = xi.mean(0)
    assert (mean.abs() < Z * xi.std(0) / runs**0.5).all()
    product = (xi[:, 0] * xi[:, 1]).sum(-1)
    assert abs(product.mean()) < Z * product.std() / runs**0.5
    assert torch.equal(AffineGaussian()(g), g)


# ------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "changed",
    [{"start": torch.ones(2)}, {"start": torch.tensor([1.0, float("nan"), 0])}, {"steps": -1}, {"steps": 2.5},
     {"step_size": -0.1}, {"step_size": float("inf")}, {"every": 0}, {"runs": 0}, {"weights": lambda n: 0.0},
     {"weights": lambda n: float("inf")}],
    ids=lambda changed: "-".join(changed),
)
def test_nonsense_is_refused_in_one_sentence(changed):
    good = {"problem": two_agents(), "method": DCGD(TopK(1)), "start": start(), "steps": 3, "step_size": 0.1}
    with pytest.raises(ValueError, match=r"^[^\n]*must[^\n]*$"):
        simulate(**good | changed)


def test_nonsense_of_methods_and_noise():
    for make in (lambda: DCGD("top-k"), lambda: DIANA(TopK(1), 0.0), lambda: DIANA(TopK(1), 1.5),
                 lambda: AffineGaussian(b_aff=-1.0), lambda: AffineGaussian(c_aff=float("nan"))):
        with pytest.raises(ValueError, match="must"):
            make()


def test_points_of_a_valley_descend():
    record = simulate(SineValley(), DCGD(Identity()), torch.tensor([3.0]), 200, 1 / 8, check="thm-cgd-b3")
    bound = record.gap[0] * (1 - SineValley().convexity / 8) ** record.step[:, None]
    assert (record.gap <= bound * (1 + 1e-9)).all()
