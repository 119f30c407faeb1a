"""Distributed methods that send compressed messages. State is a value: what `init` makes, `update` takes and returns.

Every method is used in the same way; `gradients` holds one gradient for each agent, shape (…, N, d):

>>> import torch
>>> from gradpress.compressors import TopK
>>> method, x = ErrorFeedback(TopK(1)), torch.tensor([1.0, 2.0])
>>> state = method.init(x, agents=1)
>>> step, state = method.update(x[None], state, step_size=0.5)
>>> x - step, state
(tensor([1., 1.]), tensor([[0.5000, 0.0000]]))
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .compressors import Compressor


@dataclass(frozen=True)
class Method(ABC):
    """A rule that turns the agents' gradients into compressed messages and those into a step.

    Attributes
    ----------
    compressor : Compressor
        What each agent applies to what it sends; draws are independent over agents and steps.
    """

    compressor: Compressor

    def __post_init__(self):
        if not isinstance(self.compressor, Compressor):
            raise ValueError(f"compressor must be a Compressor, got {self.compressor!r}")

    def init(self, x: Tensor, agents: int) -> Tensor:
        """The state before the first step: zeros, shape (…, N, d), for x of shape (…, d)."""
        return x.new_zeros(*x.shape[:-1], agents, x.shape[-1])

    @abstractmethod
    def update(self, gradients: Tensor, state: Tensor, step_size: float,
               generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The step, shape (…, d), to be subtracted from x, and the next state."""

    def bits(self, d: int, agents: int) -> float:
        """The expected bits that all agents together send in one step."""
        return agents * self.compressor.bits(d)


@dataclass(frozen=True)
class DCGD(Method):
    """Distributed compressed gradient descent, x ← x − η · mean of C(gᵢ); with one agent it is CGD (def-cgd, def-dcgd).

    It has no memory: its state is empty.
    """

    def init(self, x: Tensor, agents: int) -> Tensor:
        """The state before the first step: nothing."""
        return x.new_zeros(0)

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), and the empty state."""
        return step_size * self.compressor(gradients, generator).mean(-2), state


@dataclass(frozen=True)
class Clipped(DCGD):
    """DCGD whose agents clip before they compress: they send C(g · min{1, threshold/‖g‖}).

    Attributes
    ----------
    threshold : float
        The largest norm that is left as it is.

    Examples
    --------
    >>> from gradpress.compressors import Identity
    >>> Clipped(Identity(), threshold=1.0).update(torch.tensor([[3.0, 4.0]]), None, step_size=1.0)[0]
    tensor([0.6000, 0.8000])
    """

    threshold: float

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.threshold < float("inf"):
            raise ValueError(f"threshold must be positive and finite, got {self.threshold!r}")

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), and the empty state."""
        shrink = (self.threshold / gradients.norm(dim=-1, keepdim=True)).clamp(max=1)
        return super().update(gradients * shrink, state, step_size, generator)


@dataclass(frozen=True)
class Normalised(DCGD):
    """DCGD whose agents normalise before they compress: they send C(g/‖g‖), and 0 for 0.

    Examples
    --------
    >>> from gradpress.compressors import Identity
    >>> Normalised(Identity()).update(torch.tensor([[3.0, 4.0]]), None, step_size=1.0)[0]
    tensor([0.6000, 0.8000])
    """

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), and the empty state."""
        return super().update(torch.nn.functional.normalize(gradients, dim=-1), state, step_size, generator)


@dataclass(frozen=True)
class ErrorFeedback(Method):
    """Error feedback: send C(eᵢ + ηgᵢ), keep what was not sent (def-error-feedback).

    Beznosikov et al. 2023, Algorithm 1. The state is the error memory e₁, …, e_N. What was sent and what is kept add up
    to what there was to be sent.
    """

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), and the next error memory, shape (…, N, d)."""
        owed = state + step_size * gradients
        sent = self.compressor(owed, generator)
        return sent.mean(-2), owed - sent


@dataclass(frozen=True)
class EF21(Method):
    """EF21: each agent keeps an estimate hᵢ of its gradient and sends C(gᵢ − hᵢ), by which hᵢ moves (thm-ef21).

    The step is η times the mean of the hᵢ after they have moved. The state is h₁, …, h_N (Richtárik et al. 2021).
    """

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), and the next estimates, shape (…, N, d)."""
        state = state + self.compressor(gradients - state, generator)
        return step_size * state.mean(-2), state


@dataclass(frozen=True)
class DIANA(Method):
    """DIANA: send C(gᵢ − hᵢ), step along the mean of hᵢ + C(gᵢ − hᵢ), move the shift hᵢ by a part of it (thm-diana).

    Attributes
    ----------
    shift_step : float
        The part, in (0, 1]; theory wants at most 1/(1 + ω).
    """

    shift_step: float

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.shift_step <= 1:
            raise ValueError(f"shift_step must lie in (0, 1], got {self.shift_step!r}")

    def update(self, gradients, state, step_size, generator=None):
        """The step, shape (…, d), and the next shifts, shape (…, N, d)."""
        message = self.compressor(gradients - state, generator)
        return step_size * (state + message).mean(-2), state + self.shift_step * message
