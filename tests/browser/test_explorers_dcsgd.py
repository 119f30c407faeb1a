"""The explorers of the chapter `dcsgd` compute what the library computes, and their adversary finds what it should."""

import numpy as np
import pytest
from scipy.linalg import expm
from test_explorers import BLANK, RUN, hunted

from gradpress import explorers, formulas

RATES = {"sharp": "dcsgd_rate", "bound": "dcsgd_rate_chain", "poster": "dcsgd_rate_printed"}
FLOORS = {"sharp": "dcsgd_floor", "bound": "dcsgd_floor_chain", "poster": "dcsgd_floor_printed"}


def value(name, **known):
    formula = formulas.ALL[name]
    return float(formula(**{symbol.name: known[symbol.name] for symbol in formula.symbols}))


@pytest.fixture(scope="module")
def ask(browser):
    """Call what an explorer's script offers to tests."""
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")
    pages = {}

    def asked(name, expression, *arguments):
        if name not in pages:
            pages[name] = context.new_page()
            pages[name].set_content(BLANK)
            pages[name].evaluate(RUN, [explorers.esm(name), {}, None])
        return pages[name].evaluate(f"(given) => window.internals.{expression}(...given)", list(arguments))

    yield asked
    context.close()


def settings(seed, count):
    random = np.random.default_rng(seed)
    for _ in range(count):
        L = 10 ** random.uniform(0, 2)
        yield {
            "eta": 10 ** random.uniform(-3, 0), "omega": 10 ** random.uniform(-1, 2), "N": int(random.integers(1, 257)),
            "B": int(2 ** random.integers(0, 9)), "sigma": 10 ** random.uniform(-1, 1),
            "d": int(random.integers(2, 33)),
            "mu": L * 10 ** random.uniform(-2, 0), "L": L,
        }  # fmt: skip


@pytest.mark.refutes("prop-dcsgd-variance", "thm-dcsgd-sharp", "thm-dcsgd-bound", "thm-dcsgd-chain")
def test_floors_and_gaps_are_those_of_the_recursions(ask):
    """Floors from the formulas, gaps by walking the recursion of the second moments and by a fine Euler scheme."""
    finite = 0
    for state in settings(1, 60):
        found = ask("noise-floor", "noiseFloor.floors", state)
        each = [
            {**state, "H": state["mu"] * (state["L"] / state["mu"]) ** (j / (state["d"] - 1))}
            for j in range(state["d"])
        ]
        stable = state["eta"] < value("dcsgd_largest_step", **state)
        chain = sum(at["H"] / 2 * value("dcsgd_variance_chain", **at) for at in each) if stable else np.inf
        below = state["eta"] * state["L"] * state["omega"] < 2 * state["N"]
        sde = sum(at["H"] / 2 * value("dcsgd_variance", **at) for at in each) if below else np.inf
        assert found["chain"] == pytest.approx(chain, rel=1e-9)
        assert found["sde"] == pytest.approx(sde, rel=1e-9)
        for key in RATES:
            wanted = value(FLOORS[key], **state) if value(RATES[key], **state) > 0 else np.inf
            assert found[key] == pytest.approx(wanted, rel=1e-9)
        if not stable:
            continue
        finite += 1
        H = np.array([at["H"] for at in each])
        s2, share = state["sigma"] ** 2 / state["B"], state["omega"] / state["N"]
        walked = 20 / state["d"] / H
        for _ in range(7):
            walked = ((1 - state["eta"] * H) ** 2 + share * state["eta"] ** 2 * H**2) * walked + state["eta"] ** 2 * (
                1 + state["omega"]
            ) * s2 / state["N"]
        gaps = ask("noise-floor", "noiseFloor.gaps", state, 7)
        assert gaps["chain"] == pytest.approx((H * walked).sum() / 2, rel=1e-8)
        solved, dt = 20 / state["d"] / H, 7 * state["eta"] / 20_000
        for _ in range(20_000):
            grown = -2 * H * solved + state["eta"] / state["N"] * (
                state["omega"] * H**2 * solved + (1 + state["omega"]) * s2
            )
            solved = solved + dt * grown
        assert gaps["sde"] == pytest.approx((H * solved).sum() / 2, rel=0.02)
    assert finite > 15


@pytest.mark.refutes("thm-dcsgd-sharp", "thm-dcsgd-bound", "thm-dcsgd-chain")
@pytest.mark.parametrize("claim", ["thm-dcsgd-bound", "thm-dcsgd-sharp", "thm-dcsgd-chain", "mistaken"])
def test_left_sides_are_exact(ask, claim):
    """By SciPy's matrix exponential and by walking, from the compressor's covariance written out again."""
    random = np.random.default_rng(2)
    for _ in range(20):
        state = {"claim": claim, "version": "corrected", "N": int(random.integers(1, 9)),
                 "omega": random.uniform(0.25, 9),
                 "kappa": int(random.integers(1, 30)), "B": int(random.integers(1, 20))}  # fmt: skip
        cube = random.random(10).tolist()
        found, seen = (ask("dcsgd-adversary", f"adversary.{what}", state, cube) for what in ("bothSides", "unpack"))
        h, u, eta, omega, n = np.array(seen["h"]), np.array(seen["u"]), seen["eta"], state["omega"], state["N"]
        batch = state["B"] if claim == "thm-dcsgd-bound" else 1
        noise = cube[5] * 2 / batch * np.array([cube[3], 1 - cube[3]])

        def scatter(u, h=h, noise=noise, cube=cube, omega=omega, n=n):
            seen = h**2 * u + noise  # second moments of a stochastic gradient
            error = omega * ((1 - cube[6]) * seen + cube[6] * np.array([cube[7], 1 - cube[7]]) * seen.sum())
            return (error + noise) / n

        constant = scatter(np.zeros(2))
        linear = np.column_stack([scatter(unit) - constant for unit in np.eye(2)])
        if claim in ("thm-dcsgd-chain", "mistaken"):
            for _ in range(min(found["when"], 3000)):
                u = (1 - eta * h) ** 2 * u + eta**2 * scatter(u)
            if found["when"] > 3000:
                continue
        else:
            whole = np.zeros((3, 3))
            whole[:2, :2], whole[:2, 2] = -2 * np.diag(h) + eta * linear, eta * constant
            u = (expm(whole * found["when"]) @ np.append(u, 1))[:2]
        assert found["left"] == pytest.approx((h * u).sum() / 2, rel=1e-8)
        known = {"L": 1, "mu": 1 / state["kappa"], "d": 2, "sigma": 1, "B": batch, "N": n, "omega": omega, "eta": eta}
        key = {"thm-dcsgd-bound": "poster", "thm-dcsgd-chain": "bound"}.get(claim, "sharp")
        rate, floor = 2 * known["mu"] * value(RATES[key], **known), value(FLOORS[key], **known)
        time = found["when"] * (eta if claim == "mistaken" else 1)
        share = (1 - eta * rate) ** found["when"] if key == "bound" else np.exp(-rate * time)
        first = (h * np.array(seen["u"])).sum() / 2
        assert found["right"] == pytest.approx(share * first + (1 - share) * floor, rel=1e-8)


@pytest.mark.refutes("err-dcsgd-trace", "thm-dcsgd-bound")
@pytest.mark.parametrize("setting", [{}, {"N": 1, "omega": 8, "kappa": 20, "B": 32}])
def test_adversary_breaks_the_literal_hypothesis_and_not_the_repaired_one(browser, setting):
    printed = hunted(browser, {"claim": "thm-dcsgd-bound", "version": "printed", **setting}, "dcsgd-adversary")
    corrected = hunted(browser, {"claim": "thm-dcsgd-bound", "version": "corrected", **setting}, "dcsgd-adversary")
    assert printed["alarm"]
    assert printed["score"] > 1.1
    assert not corrected["alarm"]
    assert 0.9 < corrected["score"] <= 1 + 1e-9


@pytest.mark.refutes("thm-dcsgd-sharp", "thm-dcsgd-chain")
@pytest.mark.parametrize("claim", ["thm-dcsgd-sharp", "thm-dcsgd-chain"])
@pytest.mark.parametrize(("setting", "reached"), [({"kappa": 1}, 0.9999), ({"N": 2, "omega": 6, "kappa": 12}, 0.9)])
def test_adversary_reaches_the_sharp_bounds_and_does_not_pass_them(browser, claim, setting, reached):
    found = hunted(browser, {"claim": claim, **setting}, "dcsgd-adversary")
    assert reached < found["score"] <= 1 + 1e-9
    assert not found["alarm"]


@pytest.mark.refutes("thm-dcsgd-chain")
def test_adversary_shows_that_the_equation_s_bound_is_not_the_algorithm_s(browser):
    found = hunted(browser, {"claim": "mistaken", "kappa": 1}, "dcsgd-adversary")
    assert found["alarm"]
    assert found["score"] > 1.5
