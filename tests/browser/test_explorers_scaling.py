"""The calculator's answers are the library's, and the line of Python that it offers runs and says the same."""

import contextlib
import io
from math import inf

import pytest
from test_explorers import BLANK, RUN

from gradpress import compressors as ops
from gradpress import explorers
from gradpress.noise import batch_slope
from gradpress.scaling import Setting, compare, solve, solve_sign

OPERATORS = {
    "rand-k": lambda state: ops.RandK(round(state["q"] * state["d"]), shared_seed=True),
    "natural-compression": lambda state: ops.NaturalCompression(),
    "standard-dithering": lambda state: ops.StandardDithering(state["s"], 2),
    "ternary": lambda state: ops.Ternary(),
    "sign": lambda state: ops.Sign(),
}
STATES = [
    {},
    {"knob": "batch_size", "q": 0.1, "ceta": 2.0},
    {"knob": "step_size", "c": "natural-compression", "cN": 0.5, "B": 100},
    {"c": "standard-dithering", "s": 7, "d": 1000.0, "cB": 4.0},
    {"c": "ternary", "d": 10000.0, "knob": "step_size", "N": 3, "eta": 0.001},
    {"c": "sign", "knob": "step_size", "cB": 4.0, "nu": "3", "B": 16},
    {"c": "sign", "knob": "batch_size", "ceta": 2.0, "nu": "5", "B": 8},
    {"c": "sign", "knob": "batch_size", "ceta": 2.0, "nu": "inf", "B": 8},
    {"c": "sign", "knob": "agents", "ceta": 2.0, "cB": 2.0, "nu": "1"},
]


@pytest.fixture(scope="module")
def told(browser):
    """What the calculator says in a state: its answer, its line of Python, its words, and whether they alarm."""
    context = browser.new_context(viewport={"width": 800, "height": 900}, reduced_motion="reduce")

    def ask(state):
        page = context.new_page()
        page.set_content(BLANK)
        page.evaluate(RUN, [explorers.esm("calculator"), state, None])
        page.wait_for_function("document.getElementById('place').gradpress.firstAnswer !== null")
        found = page.evaluate("""() => {
          const place = document.getElementById('place'), words = place.querySelector('.gp-words');
          return {...place.gradpress.found, code: place.gradpress.code, words: words.textContent,
                  alarm: words.classList.contains('gp-alarm')};
        }""")
        page.close()
        return found

    yield ask
    context.close()


def setting(found, omega=0.0):
    return Setting(found["eta"], found["B"], found["N"], omega)


@pytest.mark.refutes("prop-six-rules", "thm-scaling-sign", "prop-speed")
@pytest.mark.parametrize("state", STATES)
def test_answers_are_the_library_s(told, state):
    found = told(state)
    full = {**explorers.DEFAULTS["calculator"], **state}
    nu, knob, sign = float(full["nu"]), full["knob"], full["c"] == "sign"
    operator, d = OPERATORS[full["c"]](full), int(full["d"])
    omega = 0.0 if sign else float(operator.membership(d)[0].zeta) - 1
    assert found["omega"] == pytest.approx(omega, rel=1e-9)
    assert found["bits"] == pytest.approx(operator.bits(d) / d, rel=0.012)  # words of 32 bits are not filled to the end
    before, alone = setting(found["before"]), setting(found["alone"], omega)
    known = solve_sign(alone, knob, before, nu) if sign else solve(alone, knob, before)
    for name, key in (("step_size", "eta"), ("batch_size", "B"), ("agents", "N")):
        assert found["exact"][key] == pytest.approx(getattr(known, name), rel=1e-6)
        assert found["now"][key] == pytest.approx(getattr(known.rounded(), name), rel=1e-6)
    now = setting(found["now"], omega)
    if sign:
        worth = batch_slope(nu, now.batch_size) / batch_slope(nu, before.batch_size)
        floor = now.sign_temperature(nu) / before.sign_temperature(nu)
        steps, per = before.step_size / now.step_size / worth, 1.0
    else:
        cost = compare(now, before)
        floor, steps, per = cost.floor, cost.steps, found["bits"] / 32
    messages = steps * now.agents / before.agents
    assert found["exact"]["floor"] == pytest.approx(1, rel=1e-6)
    assert found["now"]["floor"] == pytest.approx(floor, rel=1e-6)
    assert found["now"]["steps"] == pytest.approx(steps, rel=1e-6)
    assert found["now"]["samples"] == pytest.approx(messages * now.batch_size / before.batch_size, rel=1e-6)
    assert found["now"]["traffic"] == pytest.approx(messages * per, rel=1e-6)
    assert found["now"]["step"] == pytest.approx(now.agents * d * found["bits"], rel=1e-9)
    assert not found["alarm"]


@pytest.mark.parametrize("state", STATES)
def test_line_of_python_runs_and_says_the_same(told, state):
    found, said = told(state), io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(found["code"], {})
    printed = eval(said.getvalue(), {"Setting": Setting})
    for name, key in (("step_size", "eta"), ("batch_size", "B"), ("agents", "N")):
        assert getattr(printed, name) == pytest.approx(found["exact"][key], rel=1e-5)


@pytest.mark.refutes("thm-scaling-sign", "prop-batch-exponent")
def test_says_where_no_batch_size_helps(told):
    found = told({"c": "sign", "knob": "batch_size", "nu": "1", "ceta": 2.0})
    assert found["alarm"]
    assert "No batch size" in found["words"]
    with pytest.raises(ValueError, match="larger batches do not help"):
        solve_sign(Setting(0.2, 32, 8), "batch_size", keep=Setting(0.1, 32, 8), nu=1)


@pytest.mark.refutes("thm-quadratic-floor")
def test_warns_where_a_step_is_unstable(told):
    stable, unstable = told({"L": 5}), told({"L": 50})
    assert (stable["alarm"], unstable["alarm"]) == (False, True)
    now = unstable["now"]
    assert unstable["load"] == pytest.approx(50 * now["eta"] * (1 + 3 / now["N"]))
    assert unstable["load"] >= 2 > stable["load"]
    assert inf > unstable["now"]["floor"] > 0
