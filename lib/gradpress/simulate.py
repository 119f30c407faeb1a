"""One loop for every method: many runs at once, all agents in one process, and a record of what happened."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .guarantees import require
from .methods import Method
from .problems import Problem
from .randomness import private


@dataclass(frozen=True)
class Record:
    """What `simulate` saw. T is the number of recorded steps.

    Attributes
    ----------
    step : Tensor, int64, shape (T,)
        The numbers n of the recorded steps, from 0 to the last.
    gap : Tensor, shape (T, runs)
        f(xⁿ) − f(x*); infinite from the step at which a run was seen to diverge.
    distance : Tensor, shape (T, runs)
        ‖xⁿ − x*‖², likewise.
    bits : Tensor, shape (T,)
        The expected bits that all agents together had sent before step n.
    final, average : Tensor, shape (runs, d)
        The last iterate, and the weighted mean of x⁰, …, xᴷ (where no weights were given, the last iterate again).
    state : Tensor
        The method's state after the last step.
    diverged : Tensor, int64, shape (runs,)
        The first step at which the gap was beyond the limit, −1 if there was none. The run was stopped there.
    """

    step: Tensor
    gap: Tensor
    distance: Tensor
    bits: Tensor
    final: Tensor
    average: Tensor
    state: Tensor
    diverged: Tensor


def simulate(problem: Problem, method: Method, start, steps: int, step_size: float | Callable[[int], float], *,
             runs: int = 1, noise=None, generator: torch.Generator | None = None, every: int = 1,
             weights: Callable[[int], float] | None = None, check: str | None = None, limit: float = 1e12,
             progress: bool | None = None) -> Record:
    """Run a method from `start`, in several independent runs at once.

    Parameters
    ----------
    problem : Problem
    method : Method
    start : Tensor, shape (d,) or (runs, d)
    steps : int
        K, the number of steps.
    step_size : float or function of n
        η, or its value at step n.
    noise : callable, optional
        Turns the gradients (runs, N, d) into stochastic ones; see `gradpress.noise`.
    generator : torch.Generator, optional
        The source of all randomness; seeded by the operating system if there is none.
    every : int
        Record every so many steps, and always the first and the last.
    weights : function of n, optional
        The positive weights w_n of the mean iterate.
    check : str, optional
        The label of a theorem in `gradpress.guarantees`: its conditions on the compressor and on every step size must
        hold.
    limit : float
        A run whose gap exceeds this many times max(its first gap, 1) has diverged: it is stopped and reported.
    progress : bool, optional
        Whether to show a bar for work of more than two seconds; by default in a terminal only.

    Returns
    -------
    Record

    Raises
    ------
    ValueError
        In one sentence, if an argument makes no sense or a condition of the theorem does not hold.

    Examples
    --------
    >>> from gradpress.compressors import Identity
    >>> from gradpress.methods import DCGD
    >>> from gradpress.problems import Quadratic
    >>> f = Quadratic.diagonal([[1.0, 2.0]], [[0.0, 0.0]])
    >>> simulate(f, DCGD(Identity()), torch.tensor([4.0, 4.0]), steps=2, step_size=0.5).gap[:, 0].tolist()
    [24.0, 2.0, 0.5]
    """
    x = _start(start, runs, problem)
    sizes = _step_sizes(step_size, steps)
    if check is not None:
        require(check, problem, method, max(sizes, default=0.0), noise)
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    generator = generator or private(x.device)
    state, watch = method.init(x, problem.agents), _Watch(problem, x, limit)
    means = _Means(x, weights, steps)
    record = [(0, watch.gap, watch.distance)]
    shown = sys.stderr.isatty() if progress is None else progress
    for n in tqdm(range(steps), delay=2, disable=not shown, leave=False):
        gradients = problem.gradients(x)
        if noise is not None:
            gradients = noise(gradients, generator)
        step, state = method.update(gradients, state, sizes[n], generator)
        x = watch.advance(n + 1, x, x - step)
        means.add(n + 1, x)
        if watch.all_stopped or (n + 1) % every == 0 or n + 1 == steps:
            record.append((n + 1, watch.gap, watch.distance))
        if watch.all_stopped:
            break
    step, gap, distance = zip(*record, strict=True)
    step = torch.tensor(step)
    bits = step * method.bits(problem.d, problem.agents)
    return Record(step, torch.stack(gap), torch.stack(distance), bits, x, means.value, state, watch.diverged)


class _Watch:
    """Looks at every iterate, and stops a run that diverges where it was last seen in its bounds."""

    def __init__(self, problem: Problem, x: Tensor, limit: float):
        self.problem = problem
        self.gap, self.distance = problem.gap(x), (x - problem.minimiser).square().sum(-1)
        self.bound = limit * self.gap.clamp_min(1)
        self.diverged = torch.full((len(x),), -1, device=x.device)

    @property
    def all_stopped(self) -> bool:
        return bool((self.diverged >= 0).all())

    def advance(self, n: int, x: Tensor, after: Tensor) -> Tensor:
        """The iterates after step n: `after`, but x where a run has diverged."""
        gap = self.problem.gap(after)
        beyond = ~(gap.abs() <= self.bound)  # NaN is beyond as well
        self.diverged = self.diverged.where((self.diverged >= 0) | ~beyond, n)
        stopped = self.diverged >= 0
        self.gap = gap.where(~stopped, torch.inf)
        self.distance = (after - self.problem.minimiser).square().sum(-1).where(~stopped, torch.inf)
        return after.where(~stopped[:, None], x)


class _Means:
    """The weighted mean of the iterates, as a running mean, so that growing weights do no harm."""

    def __init__(self, x: Tensor, weights: Callable[[int], float] | None, steps: int):
        self.shares = None if weights is None else _shares(weights, steps)
        self.value = x

    def add(self, n: int, x: Tensor) -> None:
        self.value = x if self.shares is None else self.value + self.shares[n] * (x - self.value)


def _shares(weights: Callable[[int], float], steps: int) -> list[float]:
    """w_n / (w_0 + … + w_n) for n = 0, …, K."""
    values = [float(weights(n)) for n in range(steps + 1)]
    if not all(0 < value < float("inf") for value in values):
        raise ValueError("weights must be positive and finite for every n from 0 to the number of steps")
    return [value / total for value, total in zip(values, accumulate(values), strict=True)]


def _start(start, runs: int, problem: Problem) -> Tensor:
    x = torch.as_tensor(start, dtype=problem.minimiser.dtype, device=problem.minimiser.device)
    if runs < 1 or x.shape not in ((problem.d,), (runs, problem.d)):
        raise ValueError(f"start must have the shape ({problem.d},) or ({runs}, {problem.d}), got {tuple(x.shape)}")
    if not bool(x.isfinite().all()):
        raise ValueError("start must be finite, got NaN or infinity")
    return x.expand(runs, problem.d)


def _step_sizes(step_size, steps: int) -> list[float]:
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be an integer of at least 0, got {steps!r}")
    sizes = [float(step_size(n)) if callable(step_size) else float(step_size) for n in range(steps)]
    if not all(0 <= size < float("inf") for size in sizes):
        raise ValueError("step_size must be finite and not negative at every step")
    return sizes
