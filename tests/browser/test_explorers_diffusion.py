"""The explorer of the chapter `diffusions` computes what the library computes, on the same random numbers."""

import numpy as np
import pytest
import torch
from test_explorers import BLANK, RUN

from gradpress import explorers, formulas
from gradpress.problems import SineValley, bowl
from gradpress.sde import DCSGD, SecondOrder


@pytest.fixture(scope="module")
def page(browser):
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_content(BLANK)
    page.evaluate(RUN, [explorers.esm("diffusion"), {}, None])
    page.wait_for_function("document.getElementById('place').gradpress.diffusion")
    yield page
    context.close()


STEPS = """([problem, xs, eta, sigma, dt, ws]) => {
  const {PROBLEMS, chainStep, solverStep} = window.internals.diffusion, f = PROBLEMS[problem];
  return [
    xs.map((x, i) => chainStep(f, x, eta, sigma, ws[i])),
    xs.map((x, i) => solverStep(f, 1, x, eta, sigma, dt, ws[i])),
    xs.map((x, i) => solverStep(f, 2, x, eta, sigma, dt, ws[i])),
  ];
}"""


class Quarter(SineValley):
    """¼(x² + 3 sin²x), the explorer's valley."""

    def gradients(self, x):
        return super().gradients(x) / 4


@pytest.mark.refutes("def-noise", "thm-weak-first", "thm-weak-second")
@pytest.mark.parametrize(("name", "problem"), [("bowl", bowl([1.0])), ("valley", Quarter())])
def test_steps_are_the_library_s(page, name, problem):
    rng = np.random.default_rng(1)
    x, w = 3 * rng.standard_normal(50), rng.standard_normal(50)
    eta, sigma, dt = 0.4, 0.7, 0.01
    found = page.evaluate(STEPS, [name, x.tolist(), eta, sigma, dt, w.tolist()])
    place = torch.from_numpy(x)[:, None]
    known = [x - eta * (problem.gradient(place)[:, 0].numpy() + sigma * w)]
    for kind in (DCSGD, SecondOrder):
        equation = kind(problem, eta)
        move = equation.drift(place, equation.field(place))[:, 0].numpy()
        known.append(x + dt * move + np.sqrt(eta * dt) * sigma * w)
    np.testing.assert_allclose(np.array(found, dtype=float), known, rtol=1e-10, atol=1e-12)


@pytest.mark.refutes("prop-three-variances")
@pytest.mark.parametrize("eta", [0.2, 1.0, 1.9])
def test_closed_forms(page, eta):
    script = """([kind, eta, t]) => {
      const {average, variance} = window.internals.diffusion.closedForm(kind, {eta, sigma: 1.5}, t);
      return [average, variance];
    }"""
    values = {"H": 1, "eta": eta, "sigma_B": 1.5}
    for kind in ("chain", "first", "second"):
        formula = formulas.ALL[f"sgd_variance_{kind}"]
        late = page.evaluate(script, [kind, eta, 400 * eta])
        assert late[1] == pytest.approx(float(formula(**values)), rel=1e-6)
    mean, variance = 2.0, 0.0
    for n in range(6):
        assert page.evaluate(script, ["chain", eta, n * eta]) == pytest.approx([mean, variance], abs=1e-12)
        mean, variance = (1 - eta) * mean, (1 - eta) ** 2 * variance + (1.5 * eta) ** 2


def test_runs_have_the_moments_of_the_closed_forms(page):
    """400 runs of each kind at η = ½: the last variance within 5 standard errors."""
    found = page.evaluate("""() => Object.fromEntries(
      Object.entries(document.getElementById('place').gradpress.diffusion)
        .map(([kind, {sums}]) => [kind, sums.at(-1).variance]))""")
    for kind, variance in found.items():
        exact = float(formulas.ALL[f"sgd_variance_{kind}"](H=1, eta=0.5, sigma_B=1))
        assert abs(variance - exact) < 5 * exact * np.sqrt(2 / 400)


@pytest.mark.refutes("prop-stationary-chain")
def test_the_words_tell_when_sgd_is_unstable_and_when_there_is_no_equation(page):
    def words(**state):
        page.evaluate("state => window.model.set('state', state)", {**explorers.DEFAULTS["diffusion"], **state})
        page.wait_for_timeout(600)
        return page.locator(".gp-words").inner_text()

    assert "unstable" not in words(eta=1.9)
    assert "unstable" in words(eta=2.1)
    assert "no diffusion" in words(noise="cauchy")
