"""The explorers of the chapter `smoothness` compute what the library does, and their adversary finds what it should."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import binom
from test_explorers import BLANK, RUN, hunted, words

from gradpress import explorers, formulas
from gradpress.compressors import RandomSparsification, Scaled, Sign
from gradpress.homogeneous import Homogeneous, Prescribed
from gradpress.noise import AffineGaussian, Gaussian, StudentT
from gradpress.problems import Separable

START = explorers.DEFAULTS["stability-map"]
PROBLEMS = {
    "cosh": Separable("cosh"), "quadratic": Separable("quadratic", H=1.0), "quartic": Separable("quartic"),
    "extremal": Separable("extremal", L_0=1.0, L_1=1.0),
}  # fmt: skip
BOUNDS = {"cosh": (1.0, 1.0), "quadratic": (1.0, 0.0), "quartic": (1.0, 2.0), "extremal": (1.0, 1.0)}
NOISES = {
    "none": lambda sigma: None, "normal": Gaussian, "affine": lambda sigma: AffineGaussian(sigma**2, sigma**2),
    "cauchy": lambda sigma: StudentT(sigma, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(browser):
    """A blank page with the map in it."""
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm("stability-map"), {}, None])
    yield page
    context.close()


@pytest.fixture(scope="module")
def ask(bench):
    """Calls a function that the map offers to tests, with the first state and some changes."""

    def call(name, changes, *given):
        script = "([name, state, given]) => window.internals.stabilityMap[name](state, ...given)"
        return bench.evaluate(script, [name, {**START, **changes}, list(given)])

    return call


def column(values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize("f", PROBLEMS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("method", ["constant", "prescribed", "sign"])
def test_a_step_is_the_library_s_on_the_same_random_numbers(ask, monkeypatch, f, noise, method):
    rng = np.random.default_rng(3)
    problem, sigma, omega, agents, eta = PROBLEMS[f], 0.7, 3.0, 5, 0.3
    law = NOISES[noise](sigma)
    for x in (-1.2, 0.4, 2.5):
        u, z = rng.random(agents), rng.standard_normal(agents) * (noise != "none")
        monkeypatch.setattr("gradpress.compressors.sparsify.uniform", lambda *given, u=u: column(u)[None])
        for name in ("normal", "student"):
            monkeypatch.setattr(f"gradpress.randomness.{name}", lambda *given, z=z: column(z)[None].clone())
        gradient = problem.gradient(torch.tensor([[x]], dtype=torch.float64))
        if method == "sign":
            messages = gradient[:, None].expand(1, agents, 1)
            messages = messages if law is None else law(messages)
            update = eta * Sign()(messages).mean(-2)
        else:
            compressor = Scaled(RandomSparsification(1 / (1 + omega)), 1 + omega)
            own = Homogeneous(compressor, agents, law)
            if method == "prescribed":
                b_aff, c_aff = (sigma**2 if noise in which else 0 for which in (("affine",), ("affine", "normal")))
                growth = 1 + (omega + (1 + omega) * b_aff) / agents
                own = Prescribed(compressor, agents, law, *BOUNDS[f], growth, (1 + omega) * c_aff / agents)
            update, _ = own.update(gradient[:, None], None, eta / 2 if method == "prescribed" else eta)
        changes = {"f": f, "noise": noise, "method": method, "sigma": sigma, "omega": omega, "N": agents, "eta": eta}
        assert ask("stepAt", changes, x, u.tolist(), z.tolist()) == pytest.approx(x - float(update), rel=1e-12)


@pytest.mark.refutes("prop-thresholds")
def test_curves_without_noise_are_the_thresholds_of_the_chapter(ask):
    """From where the closed form has its threshold with η, the curve has its limit at η."""
    for eta in (0.05, 0.5, 1.5):
        known = {
            ("quartic", "exact"): formulas.quartic_basin, ("quartic", "corrected"): formulas.quartic_basin_corrected,
            ("cosh", "corrected"): formulas.cosh_basin_corrected, ("cosh", "safe"): formulas.cosh_basin_safe,
        }  # fmt: skip
        for (f, key), formula in known.items():
            assert ask("limitsAt", {"f": f}, float(formula(eta=eta)))[key] == pytest.approx(eta, rel=1e-9), (f, key)
    for x in (0.3, 2.0, 5.0):
        cosh = ask("limitsAt", {}, x)
        assert cosh["exact"] == pytest.approx(2 * x / np.sinh(x), rel=1e-9)
        assert ask("limitsAt", {"f": "quadratic"}, x)["corrected"] == pytest.approx(2, rel=1e-12)
        tail = ask("limitsAt", {"f": "exponential"}, x)
        assert tail["exact"] == np.inf
        assert tail["corrected"] == pytest.approx(2 * np.exp(-x), rel=1e-12)
        assert tail["safe"] == pytest.approx(2 * np.exp(-x), rel=1e-12)
        for f in (*PROBLEMS, "exponential"):
            found = ask("limitsAt", {"f": f}, x)
            assert found["first"] == found["second"] == np.inf
            assert found["safe"] <= found["corrected"] * (1 + 1e-12)  # |f″| ≤ L₀ + L₁|f′|


@pytest.mark.refutes("thm-faithful-quadratic")
@pytest.mark.parametrize("noise", ["none", "normal", "affine"])
def test_on_the_quadratic_the_corrected_curve_is_the_algorithm_s(ask, noise):
    for omega, agents in ((0.0, 4), (7.0, 2), (3.0, 16)):
        growth = 1 + (omega + (1 + omega) * (0.25 if noise == "affine" else 0)) / agents
        changes = {"f": "quadratic", "noise": noise, "sigma": 0.5, "omega": omega, "N": agents}
        found = ask("limitsAt", changes, 1.7)
        assert found["exact"] == pytest.approx(2 / growth, rel=1e-9)
        assert found["corrected"] == pytest.approx(2 / growth, rel=1e-12)
        assert found["first"] == (pytest.approx(2 / (growth - 1)) if growth > 1 else np.inf)
        assert found["second"] == (pytest.approx(2 / (growth - 2)) if growth > 2 else np.inf)


def test_the_algorithm_s_own_limit_under_compression(ask):
    """There the mean of f after one step is f: summed over the binomial law by SciPy."""
    omega, agents, x = 3.0, 4, 1.3
    for f, problem in PROBLEMS.items():
        eta = ask("limitsAt", {"f": f, "omega": omega, "N": agents}, x)["exact"]
        counts = np.arange(agents + 1)
        gradient = float(problem.gradient(torch.tensor([x], dtype=torch.float64)))
        after = problem.loss(column(x - eta * (1 + omega) * counts / agents * gradient)).numpy()
        mean = binom.pmf(counts, agents, 1 / (1 + omega)) @ after
        assert mean == pytest.approx(float(problem.loss(torch.tensor([x], dtype=torch.float64))), rel=1e-8)


@pytest.mark.parametrize("sign", [1, 0, -1])
@pytest.mark.parametrize(("f", "method", "eta"), [("cosh", "constant", 0.2), ("quartic", "prescribed", 1.0),
                                                  ("cosh", "sign", 0.2)])  # fmt: skip
def test_flows_solve_their_equations(ask, f, method, eta, sign):
    problem, (l0, l1) = PROBLEMS[f], BOUNDS[f]

    def rate(_, x):
        at = torch.tensor(x, dtype=torch.float64)
        g, one = problem.gradient(at).numpy(), torch.ones(1, dtype=torch.float64)
        h = eta / (l0 + l1 * abs(g)) if method == "prescribed" else eta
        m = np.sign(g) if method == "sign" else g
        return h * (-m + sign * h / 2 * m / g * problem.hessian_product(at, one).numpy() * m)

    points = np.array(ask("flow", {"f": f, "method": method, "eta": eta, "x0": 2.0}, sign))
    points = points[(points[:, 0] < 8) & (points[:, 1] > 0.05)]
    known = solve_ivp(rate, (0, 8), [2.0], dense_output=True, rtol=1e-9, atol=1e-12).sol(points[:, 0])[0]
    np.testing.assert_allclose(points[:, 1], known, rtol=2e-3)


@pytest.mark.refutes("prop-thresholds")
@pytest.mark.parametrize("f", PROBLEMS)
def test_cells_are_the_library_s_gradient_descent(ask, f):
    cells = {key: np.array(values, dtype=float) for key, values in ask("cellsOf", {"f": f}).items()}
    x, eta = column(cells["x0"]), column(cells["eta"])
    for _ in range(300):
        x = x - eta * PROBLEMS[f].gradient(x)
    gap = PROBLEMS[f].loss(x).numpy()
    np.testing.assert_array_equal(cells["arrived"], gap <= START["goal"])
    np.testing.assert_array_equal(cells["lost"], ~(gap <= 1e6))
    limits = [ask("limitsAt", {"f": f}, float(at)) for at in cells["x0"][:48]]  # one row
    exact = np.tile([limit["exact"] for limit in limits], 32)
    far = np.abs(np.log(cells["eta"] / exact)) > 0.03
    np.testing.assert_array_equal(cells["lost"][far] == 1, (cells["eta"] > exact)[far])


def test_nothing_is_lost_on_the_exponential_function_nor_by_signs(ask):
    prescribed = {"method": "prescribed", "f": "quartic"}
    for changes in ({"f": "exponential"}, {"method": "sign", "noise": "cauchy"}, prescribed):
        assert max(ask("cellsOf", changes)["lost"]) == 0


def test_shares_of_runs_are_the_same_however_long_it_takes(ask):
    changes = {"omega": 2.0, "noise": "normal"}
    first, again = ask("cellsOf", changes), ask("cellsOf", changes)
    assert first == again
    assert 0 < np.mean(first["lost"]) < 1
    assert any(0 < share < 1 for share in first["lost"])


def test_the_hand_on_the_map_moves_in_both_directions(bench):
    root = bench.locator("#place")
    handle = root.locator("[role=slider]:not(input)")

    def state():
        return root.evaluate("el => el.gradpress.state()")

    before = state()
    for key in ("ArrowUp", "ArrowDown", "ArrowRight", "ArrowLeft"):
        name, up = ("eta" if key in ("ArrowUp", "ArrowDown") else "x0"), key in ("ArrowUp", "ArrowRight")
        seen = state()[name]
        handle.focus()
        bench.keyboard.press(key)
        bench.wait_for_timeout(60)
        assert (state()[name] > seen) == up
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    bench.mouse.move(x, y)
    bench.mouse.down()
    bench.mouse.move(x + 60, y - 50, steps=3)
    bench.mouse.up()
    bench.wait_for_timeout(600)
    assert state()["x0"] > before["x0"] + 0.3
    assert state()["eta"] > 1.5 * before["eta"]
    assert "blows up" in words(root)
    root.get_by_role("button", name="reset").click()
    bench.wait_for_timeout(600)
    assert state() == before
    assert "arrives" in words(root)


CLAIMS = [("descent", 2 * (np.exp(2) - 3) / 4), ("growth", (np.exp(2) - 1) / 2), ("step", 10)]


@pytest.mark.refutes("lem-l0l1-growth", "lem-l0l1-descent", "prop-l0l1-gd")
@pytest.mark.parametrize(("claim", "reached"), CLAIMS)
def test_adversary_breaks_the_bounds_of_l_smooth_functions(browser, claim, reached):
    found = hunted(browser, {"claim": claim, "version": "printed"}, "smoothness-adversary")
    assert found["score"] == pytest.approx(reached, rel=1e-3) if claim != "step" else found["score"] > reached
    assert found["alarm"]
    assert "is refuted" in found["words"]


@pytest.mark.refutes("lem-l0l1-growth", "lem-l0l1-descent", "prop-l0l1-gd")
@pytest.mark.parametrize(("claim", "least"), [("descent", 1 - 1e-6), ("growth", 1 - 1e-6), ("step", 0.999)])
def test_adversary_does_not_break_the_lemmas(browser, claim, least):
    found = hunted(browser, {"claim": claim, "version": "corrected"}, "smoothness-adversary")
    assert least <= found["score"] <= 1 + 1e-9
    assert not found["alarm"]


def bent(_, state, share, g):
    """Slope and height above the tangent of a function with that share of the allowed curvature, L₀ = 0.7, L₁ = 1.3."""
    slope, _ = state
    return [share * (0.7 + 1.3 * abs(slope)), slope - g]


def test_adversary_integrates_its_functions_exactly(browser):
    """Slope and height above the tangent at the ends of the pieces, against SciPy; the slope changes its sign."""
    page = browser.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm("smoothness-adversary"), {}, None])
    rng = np.random.default_rng(7)
    for g, v in ((-2.0, 3.0), (0.5, 1.0), (4.0, 2.5), (0.0, 1.0)):
        shares, constants = rng.uniform(-1, 1, 6), {"L0": 0.7, "L1": 1.3}
        script = "([instance, state]) => window.internals.smoothness.wayOf(instance, state)"
        found = np.array(page.evaluate(script, [{"g": g, "v": v, "shares": shares.tolist()}, constants]))
        slope, above = g, 0.0
        for piece, share in enumerate(shares):
            piece_end = solve_ivp(bent, (0, v / 6), [slope, above], args=(share, g), rtol=1e-10, atol=1e-12)
            slope, above = piece_end.y[:, -1]
            np.testing.assert_allclose(found[piece + 1, 1:], [slope, above], rtol=1e-6, atol=1e-8)
    page.close()
