"""Theorems of the book as objects: what they ask of a compressor and of a step size, and what they promise.

>>> from gradpress.compressors import TopK
>>> from gradpress.problems import Quadratic
>>> f = Quadratic.diagonal([[1.0, 2.0, 2.0, 2.0]], [[0.0] * 4])
>>> theorem = GUARANTEES["thm-cgd-b3"]
>>> theorem.largest_step(f, TopK(1)), theorem.factor(f, TopK(1), step_size=0.5)
(0.5, 0.875)
"""

from collections.abc import Callable
from dataclasses import dataclass

from . import formulas
from .classes import B1, B2, B3
from .compressors import Compressor
from .formulas import Formula
from .problems import Problem


def _member(kind: type, compressor: Compressor, d: int, title: str):
    """The compressor's constants in a class, or a `ValueError` of one sentence."""
    for member in compressor.membership(d):
        if isinstance(member, kind):
            return member
    raise ValueError(f"{title} needs a compressor of the class {kind.__name__}; as it stands, {compressor!r} is none, "
                     "scaling it may help")


@dataclass(frozen=True)
class Guarantee:
    """A theorem that bounds a method for step sizes up to a largest one.

    Attributes
    ----------
    label : str
        Its label in the book.
    title : str
        What it is called in messages.
    step : Formula
        The largest step size.
    rate : Formula or None
        The factor by which it says that a step multiplies the expected gap, if it says so of every step.
    constants : callable
        From (problem, compressor, noise) to the values that the formulas take, the step size excepted.
    """

    label: str
    title: str
    step: Formula
    rate: Formula | None
    constants: Callable[..., dict]

    def _value(self, formula: Formula, values: dict) -> float:
        return float(formula(**{symbol.name: values[symbol.name] for symbol in formula.symbols}))

    def largest_step(self, problem: Problem, compressor: Compressor, noise=None) -> float:
        """The largest step size that the theorem allows."""
        return self._value(self.step, self.constants(self, problem, compressor, noise))

    def factor(self, problem: Problem, compressor: Compressor, step_size: float, noise=None) -> float:
        """The factor of the expected gap that the theorem promises for one step."""
        if self.rate is None:
            raise ValueError(f"{self.title} promises no factor for a single step")
        return self._value(self.rate, self.constants(self, problem, compressor, noise) | {"eta": step_size})


def require(label: str, problem: Problem, compressor: Compressor, step_size: float, noise=None) -> None:
    """Refuse, in one sentence that names the theorem, what lies outside its conditions."""
    if label not in GUARANTEES:
        raise ValueError(f"check must be one of {sorted(GUARANTEES)}, got {label!r}")
    theorem = GUARANTEES[label]
    largest = theorem.largest_step(problem, compressor, noise)
    if step_size > largest * (1 + 1e-12):
        raise ValueError(f"step_size must be at most {largest:.6g} for {theorem.title}, got {step_size:.6g}")


def _single(kind: type):
    """The constants for compressed gradient descent on one node."""

    def constants(theorem, problem, compressor, noise):
        if problem.agents != 1 or noise is not None:
            raise ValueError(f"{theorem.title} is about one node and exact gradients")
        member = _member(kind, compressor, problem.d, theorem.title)
        return {"L": problem.smoothness, "mu": problem.convexity, **vars(member)}

    return constants


def _memory(theorem, problem, compressor, noise):
    """The constants of error feedback: those of the agents, of B³ and of the noise."""
    if problem.agent_convexity <= 0:
        raise ValueError(f"{theorem.title} needs strongly convex agents, got a least curvature of "
                         f"{problem.agent_convexity:.3g}")
    delta = _member(B3, compressor, problem.d, theorem.title).delta
    spread = {"B_aff": getattr(noise, "b_aff", 0.0), "delta": delta}
    return {"L": problem.agent_smoothness, "mu": problem.agent_convexity, **spread}


GUARANTEES = {
    theorem.label: theorem
    for theorem in (
        Guarantee("thm-cgd-b1", "Theorem 17 (thm-cgd-b1)", formulas.cgd_b1_step, formulas.cgd_b1_factor, _single(B1)),
        Guarantee("thm-cgd-b2", "Theorem 18 (thm-cgd-b2)", formulas.cgd_b2_step, formulas.cgd_b2_factor, _single(B2)),
        Guarantee("thm-cgd-b3", "Theorem 19 (thm-cgd-b3)", formulas.cgd_b3_step, formulas.cgd_b3_factor, _single(B3)),
        Guarantee("thm-error-feedback", "Theorem 21 (thm-error-feedback)", formulas.ef_step, None, _memory),
    )
}
