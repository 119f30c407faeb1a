"""The book's interactive pictures: one widget class, one script each, the same in a static page and in Jupyter.

An explorer computes and draws in the browser: Python never has to answer, and a saved notebook stays alive.

>>> picture = explorer("compressors", c1="rand-k", k1=2)
>>> picture.state
{'c1': 'rand-k', 'k1': 2}
"""

import json
from functools import cache
from importlib.resources import files

import anywidget
import traitlets

from ..figures import COLOURS
from ..formulas import ALL
from .catalogue import menu

_OPERATOR = {"k": 3, "q": 0.3, "b": 2.0, "s": 2, "p": "2"}

# What each picture shows at first. The keys are those of `explorer(name, ...)` and of an address (#compressors:k1=3).
DEFAULTS = {
    "compressors": {
        "x": [0.8, -0.52, 0.33, -0.27, 0.2, 0.16, -0.11, 0.08, -0.05, 0.02],
        "seed": 1,
        "c1": "rand-k",
        "c2": "top-k",
        **{f"{key}{side}": value for side in (1, 2) for key, value in _OPERATOR.items()},
    },
    "classes": {"c": "ternary", "d": 10, "lambda": 1.0, "region": "b3", **_OPERATOR},
    "adversary": {
        "claim": "lem-top-k-dithering",
        "version": "printed",
        "side": "b3",
        "d": 10,
        "seed": 1,
        "x": [],
        **_OPERATOR,
        "k": 9,
        "s": 8,
    },
    "bottleneck": {
        "F": 1.5,
        "bits": 1.0,
        "sent": "gather",
        "dense": "ring",
        "N": 8,
        "d": 25.6e6,
        "v": 1e9,
        "lat": 50e-6,
        "comp": 0.1,
    },
    "descent": {
        "c": "random-sparsification",
        "kappa": 20,
        "angle": 25,
        "eta": 0.8,
        "steps": 40,
        "region": "b3",
        "seed": 1,
        "x": [0.75, 0.8],
        **_OPERATOR,
        "k": 1,
        "q": 0.5,
    },
    "descent-adversary": {
        "claim": "lemma-22",
        "version": "printed",
        "alpha": 1.0,
        "beta": 2.0,
        "gamma": 0.5,
        "delta": 4.0,
        "n": 2,
        "seed": 1,
        "x": [],
    },
    "agents": {"c": "top-1", "eta": 0.05, "off": 0, "n": 6, "seed": 1, "turn": 335, "rise": 20},
    "memory": {"problem": "example", "eta": -1.3, "k": 1, "seed": 0, "n": 40},
    "memory-adversary": {
        "claim": "lem-virtual-step", "version": "printed", "seed": 1, "x": [],
        "N": 4, "delta": 3.0, "B": 0.0, "C": 1.0, "kappa": 10,
    },
    "agents-adversary": {
        "claim": "err-dcgd-convexity",
        "version": "printed",
        "N": 2,
        "omega": 1,
        "share": 0.5,
        "theta": 1,
        "seed": 1,
        "x": [],
    },
    "subsets": {"kind": "subsets", "version": "printed", "d": 5, "k": "2", "excess": 0.5, "eta": 0.1},
    "selection": {"law": "normal", "mean": 0.0, "nu": 3.0, "a": 2.5, "d": "1000", "k": 50, "seed": 1},
    "diffusion": {"problem": "bowl", "noise": "normal", "eta": 0.5, "sigma": 1.0, "t": 5.0, "seed": 1},
    "noise-floor": {
        "along": "eta", "eta": 0.05, "omega": 4.0, "N": 8, "B": 4, "sigma": 1.0, "d": 10, "mu": 1.0, "L": 10.0,
    },
    "dcsgd-adversary": {
        "claim": "thm-dcsgd-bound", "version": "printed", "N": 4, "omega": 1.0, "kappa": 5, "B": 8, "seed": 1, "x": [],
    },
    "dsign": {"nu": "1", "sigma": 0.3, "eta": 0.05, "N": 4, "B": 1, "n": 40, "seed": 1},
    "dsign-adversary": {"claim": "stationary", "version": "printed", "nu": "1", "zoom": 5, "seed": 1, "x": []},
    "stability-map": {
        "f": "cosh", "method": "constant", "noise": "none", "omega": 0.0, "sigma": 0.3, "N": 4, "seed": 1, "x0": 2.5,
        "eta": 0.5, "goal": 0.1,
    },
    "smoothness-adversary": {
        "claim": "descent", "version": "printed", "L0": 1.0, "L1": 1.0, "reach": 2.0, "seed": 1, "x": [],
    },
    "calculator": {
        "c": "rand-k", "q": 0.25, "s": 4, "nu": "3", "knob": "agents", "eta": 0.1, "B": 32, "N": 8, "d": 1e6,
        "ceta": 1.0, "cB": 1.0, "cN": 1.0, "L": 0,
    },
}

# The scripts that a picture is built from, besides those that all of them share and its own.
PARTS = {
    "compressors": ("vector.js",),
    "classes": (),
    "adversary": ("vector.js", "hunt.js"),
    "bottleneck": (),
    "descent": (),
    "descent-adversary": ("hunt.js",),
    "agents": (),
    "agents-adversary": ("hunt.js",),
    "subsets": (),
    "memory": (),
    "memory-adversary": ("hunt.js",),
    "selection": (),
    "diffusion": (),
    "noise-floor": ("logscale.js",),
    "dcsgd-adversary": ("hunt.js", "logscale.js"),
    "dsign": ("signs.js",),
    "dsign-adversary": ("hunt.js", "signs.js"),
    "stability-map": ("signs.js", "logscale.js", "landscapes.js"),
    "smoothness-adversary": ("hunt.js",),
    "calculator": (),
}

# What each picture is called where it cannot be seen.
TITLES = {
    "compressors": "Two compressors and a vector: what they send, how far it scatters, how much it shrinks",
    "classes": "The classes of compressors as regions of the plane of the two moments",
    "adversary": "An adversary that tries to break the class inequalities",
    "bottleneck": "The time of a step against the bits per coordinate, and where compression breaks even",
    "descent": "Compressed gradient descent in a valley: the path, the gap, and what a theorem promises",
    "descent-adversary": "An adversary that tries to break the bounds for one step of compressed gradient descent",
    "agents": "Three agents in space: their gradients, their messages, and where the mean of the messages leads",
    "agents-adversary": "An adversary that tries to break the theorems on many agents",
    "subsets": "Example 2 and its relatives: who keeps which coordinate, and how fast the run leaves the minimum",
    "memory": "Memory on and off: the gaps of three methods, and what the agents owe",
    "memory-adversary": "An adversary that tries to break the lemmas and the theorem of error feedback",
    "selection": "Greedy and blind selection under a law: where the coordinates are, where the energy is, what is kept",
    "diffusion": "Many runs of SGD beside its first- and second-order equations, over time and at one moment",
    "noise-floor": "The noise floor of compressed SGD: the algorithm, its stochastic equation, and three bounds",
    "dcsgd-adversary": "An adversary that tries to break the bounds on the floor of compressed SGD",
    "dsign": "Signs under noise: the gaps of four methods, and the expected sign with its tangent",
    "dsign-adversary": "An adversary that tries to break Theorem 4 on DSignSGD, and what holds in its place",
    "stability-map": "A map of starts and step sizes: what an algorithm does, and where its equations see a limit",
    "smoothness-adversary": "An adversary that tries to break the bounds for functions that are (L₀, L₁)-smooth",
    "calculator": "A calculator of settings that keep the floor: the price of compression in agents, steps and bits",
}


def checked(name: str, state: dict) -> dict:
    """The state as given, or a `ValueError` of one sentence: the explorer, its keys and the kinds of their values."""
    if name not in DEFAULTS:
        raise ValueError(f"name must be one of {sorted(DEFAULTS)}, got {name!r}")
    for key, value in state.items():
        if key not in DEFAULTS[name]:
            raise ValueError(f"{name} has the state {sorted(DEFAULTS[name])}, got {key!r}")
        _check_kind(key, value, DEFAULTS[name][key])
    return state


def parsed(name: str, key: str, text: str):
    """The value that `text` stands for, in the kind that the key wants: a word, a number, or numbers and commas.

    >>> parsed("compressors", "x", "0.5, -1"), parsed("compressors", "k1", "4"), parsed("compressors", "c1", "sign")
    ([0.5, -1.0], 4.0, 'sign')
    """
    example = DEFAULTS.get(name, {}).get(key, "")
    try:
        if isinstance(example, list):
            return [float(part) for part in text.split(",")]
        return text if isinstance(example, str) else float(text)
    except ValueError as error:
        raise ValueError(f"{key} must be {_kind(example)}, got {text!r}") from error


def _check_kind(key: str, value, example) -> None:
    """Refuse a value of another kind than the example, or a vector of another length (an empty example has any)."""
    if isinstance(example, list):
        fits = isinstance(value, list | tuple) and len(value) == (len(example) or len(value))
        fits = fits and all(_is_number(entry) for entry in value)
    else:
        fits = isinstance(value, str) if isinstance(example, str) else _is_number(value)
    if not fits:
        raise ValueError(f"{key} must be {_kind(example)}, got {value!r}")


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(example) -> str:
    if isinstance(example, list):
        return f"a list of {len(example)} numbers" if example else "a list of numbers"
    return "a word" if isinstance(example, str) else "a number"


# A formula called by the names of its parameters: a missing or renamed one is an error, never a silent NaN.
_NAMED = """const named = (names, f) => {
  const known = (values, name) => {
    if (!(name in values)) throw new Error(`a formula of ${names} was not given ${name}`);
    return values[name];
  };
  const call = (values) => f(...names.map((name) => known(values, name)));
  // Along one parameter, the others given once: for loops that ask many thousand times.
  call.along = (free, given = {}) => {
    const place = names.indexOf(free), values = names.map((name) => (name === free ? NaN : known(given, name)));
    if (place < 0) return () => f(...values);
    const lead = f.bind(null, ...values.slice(0, place)), [next, ...rest] = values.slice(place + 1);
    if (next === undefined) return lead;
    return rest.length ? (value) => lead(value, next, ...rest) : (value) => lead(value, next);
  };
  return call;
};"""


@cache
def esm(name: str) -> str:
    """The script of an explorer: one ES module that imports nothing and exports `render`, as anywidget wants it.

    The book's page runs the same text, so that a picture cannot differ between the page and Jupyter.
    """
    checked(name, {})
    named = ",\n".join(
        f"  {formula.name}: named({json.dumps([symbol.name for symbol in formula.symbols])}, {formula.javascript()})"
        for formula in ALL.values()
    )
    colours = "".join(f"--gp-{key}: {value}; " for key, value in COLOURS.items())
    return "\n".join([
        _text("vendor/d3.min.js"),
        _text("special.js"),
        _NAMED,
        f"const formulas = {{\n{named},\n}};",
        f"const DEFAULTS = {json.dumps(DEFAULTS[name])};",
        f"const TITLE = {json.dumps(TITLES[name])};",
        f"const DATA = {json.dumps({'operators': menu(len(DEFAULTS['compressors']['x']))})};",
        f"const STYLE = {json.dumps(_text('explorer.css') + f'.gradpress {{ {colours}}}')};",
        _text("operators.js"),
        _text("kit.js"),
        *map(_text, PARTS[name]),
        _text(f"{name}.js"),
        "const own = typeof INTERNALS === 'object' ? INTERNALS : {};  // what a picture's script offers to tests",
        "export const internals = { OPERATORS, formulas, uniforms, ...own };",
        "export default { render };",
    ])


def _text(path: str) -> str:
    return (files(__name__) / path).read_text(encoding="utf-8")


class Explorer(anywidget.AnyWidget):
    """An interactive picture, by name; `state` follows what the reader does and can be set.

    Parameters
    ----------
    name : str
        A key of `DEFAULTS`.
    state : dict
        What to show at first, where it differs from the defaults.

    Examples
    --------
    >>> Explorer(name="compressors")._esm.endswith("export default { render };")
    True
    """

    name = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    _esm = traitlets.Unicode().tag(sync=True)

    def __init__(self, name: str, state: dict | None = None, **kwargs):
        super().__init__(name=name, state=checked(name, state or {}), _esm=esm(name), **kwargs)

    def __repr__(self) -> str:
        return f"explorer({self.name!r})"


def explorer(name: str, **state) -> Explorer:
    """The interactive picture `name`, showing `state` at first.

    Raises `ValueError` for a name or a key that does not exist.

    Examples
    --------
    >>> explorer("compressors", c1="natural-compression")
    explorer('compressors')
    """
    return Explorer(name, state)
