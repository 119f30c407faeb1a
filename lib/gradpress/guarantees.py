"""Theorems of the book as objects: what they ask of a problem, a compressor and a step size, and what they promise.

>>> from gradpress.compressors import TopK
>>> from gradpress.problems import Quadratic
>>> f = Quadratic.diagonal([[1.0, 2.0, 2.0, 2.0]], [[0.0] * 4])
>>> theorem = GUARANTEES["thm-cgd-b3"]
>>> theorem.largest_step(f, TopK(1)), theorem.factor(f, TopK(1), step_size=0.5)
(0.5, 0.875)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import formulas
from .classes import B1, B2, B3, Unbiased
from .compressors import Compressor
from .formulas import Formula
from .methods import DCGD, DIANA, EF21, ErrorFeedback, Method
from .problems import Problem


@dataclass(frozen=True)
class Guarantee:
    """A theorem that bounds a method for step sizes up to a largest one.

    Attributes
    ----------
    label : str
        Its label in the book.
    title : str
        What it is called in messages.
    method : type
        The method that it is about.
    step : Formula
        The largest step size.
    rate : Formula or None
        The factor by which it says that a step multiplies the expected gap, if it says so of every step.
    constants : callable
        From (title, problem, compressor, noise) to the values that the formulas take, the step size excepted; refuses
        what the theorem is not about.
    limits : mapping
        The largest values of other parameters of the method, by name.
    """

    label: str
    title: str
    method: type[Method]
    step: Formula
    rate: Formula | None
    constants: Callable[..., dict]
    limits: Mapping[str, Formula] = field(default_factory=dict)

    def largest_step(self, problem: Problem, compressor: Compressor, noise=None) -> float:
        """The largest step size that the theorem allows."""
        return _value(self.step, self.constants(self.title, problem, compressor, noise))

    def factor(self, problem: Problem, compressor: Compressor, step_size: float, noise=None) -> float:
        """The factor of the expected gap that the theorem promises for one step."""
        if self.rate is None:
            raise ValueError(f"{self.title} promises no factor of the gap for a single step")
        return _value(self.rate, self.constants(self.title, problem, compressor, noise) | {"eta": step_size})


def require(label: str, problem: Problem, method: Method, step_size: float, noise=None) -> None:
    """Refuse, in one sentence that names the theorem, what lies outside its conditions."""
    if label not in GUARANTEES:
        raise ValueError(f"check must be one of {sorted(GUARANTEES)}, got {label!r}")
    theorem = GUARANTEES[label]
    if not isinstance(method, theorem.method):
        raise ValueError(f"{theorem.title} is about {theorem.method.__name__}, got {type(method).__name__}")
    values = theorem.constants(theorem.title, problem, method.compressor, noise)
    limited = {"step_size": (step_size, theorem.step)}
    limited |= {name: (getattr(method, name), formula) for name, formula in theorem.limits.items()}
    for name, (value, formula) in limited.items():
        largest = _value(formula, values)
        if value > largest * (1 + 1e-12):
            raise ValueError(f"{name} must be at most {largest:.6g} for {theorem.title}, got {value:.6g}")


def _value(formula: Formula, values: dict) -> float:
    return float(formula(**{symbol.name: values[symbol.name] for symbol in formula.symbols}))


def _member(kind: type, compressor: Compressor, d: int, title: str):
    """The compressor's constants in a class, or a `ValueError` of one sentence."""
    for member in compressor.membership(d):
        if isinstance(member, kind):
            return member
    raise ValueError(f"{title} needs a compressor of the class {kind.__name__}; as it stands, {compressor!r} is none, "
                     "scaling it may help")


def _no_noise(title: str, noise) -> None:
    if noise is not None:
        raise ValueError(f"{title} is about exact gradients, got noise")


def _convex_agents(title: str, problem: Problem) -> None:
    if problem.agent_convexity < 0:
        raise ValueError(f"{title} needs convex agents, got a least curvature of {problem.agent_convexity:.3g}")


def _one_node(kind: type):
    """The constants for compressed gradient descent on one node with a compressor of some class."""

    def constants(title, problem, compressor, noise):
        _no_noise(title, noise)
        if problem.agents != 1:
            raise ValueError(f"{title} is about one node, got {problem.agents} agents")
        member = _member(kind, compressor, problem.d, title)
        return {"L": problem.smoothness, "mu": problem.convexity, **vars(member)}

    return constants


def _unbiased(title, problem, compressor, noise):
    """The constants for many agents with unbiased compressors."""
    _no_noise(title, noise)
    _convex_agents(title, problem)
    omega = _member(Unbiased, compressor, problem.d, title).omega
    return {"L": problem.smoothness, "L_max": problem.agent_smoothness, "N": problem.agents, "omega": omega}


def _memory(title, problem, compressor, noise):
    """The constants of error feedback: those of the agents, of B³ and of the noise."""
    _convex_agents(title, problem)
    delta = _member(B3, compressor, problem.d, title).delta
    return {"L": problem.agent_smoothness, "delta": delta, "B_aff": getattr(noise, "b_aff", 0.0)}


def _estimates(title, problem, compressor, noise):
    """The constants of EF21."""
    _no_noise(title, noise)
    delta = _member(B3, compressor, problem.d, title).delta
    return {"L": problem.smoothness, "L_rms": problem.agent_smoothness_rms, "delta": delta}


def _named(label: str, name: str, *rest, **limits) -> Guarantee:
    return Guarantee(label, f"{name} ({label})", *rest, limits=limits)


GUARANTEES = {
    theorem.label: theorem
    for theorem in (
        _named("thm-cgd-b1", "Theorem 17", DCGD, formulas.cgd_b1_step, formulas.cgd_b1_factor, _one_node(B1)),
        _named("thm-cgd-b2", "Theorem 18", DCGD, formulas.cgd_b2_step, formulas.cgd_b2_factor, _one_node(B2)),
        _named("thm-cgd-b3", "Theorem 19", DCGD, formulas.cgd_b3_step, formulas.cgd_b3_factor, _one_node(B3)),
        _named("thm-dcgd", "the theorem on DCGD", DCGD, formulas.dcgd_classic_step, None, _unbiased),
        _named("thm-diana", "the theorem on DIANA", DIANA, formulas.diana_step, None, _unbiased,
               shift_step=formulas.diana_shift_step),
        _named("thm-error-feedback", "Theorem 21", ErrorFeedback, formulas.ef_step, None, _memory),
        _named("thm-second-order", "the sharper theorem on error feedback", ErrorFeedback, formulas.ef_wide_step, None,
               _memory),
        _named("thm-ef21", "the theorem on EF21", EF21, formulas.ef21_step, None, _estimates),
    )
}
