"""Scaling rules: one number that fixes the floor of DCSGD, and how to keep it when step, batch, agents or ω change.

>>> before = Setting(step_size=0.1, batch_size=32, agents=8)
>>> solve(replace(before, omega=9.0), "agents", keep=before)
Setting(step_size=0.1, batch_size=32, agents=80.0, omega=9.0)
"""

from dataclasses import dataclass, replace
from math import inf, isfinite, sqrt

from . import formulas
from .noise import batch_slope, slope

KNOBS = ("step_size", "batch_size", "agents")
LARGEST_BATCH = 2.0**20


@dataclass(frozen=True)
class Setting:
    """What a run of DCSGD or DSignSGD is started with; def-rescaling.

    Attributes
    ----------
    step_size, batch_size, agents : float
        η, B and N, positive. The theory takes any B and N; `rounded` makes integers of them.
    omega : float
        ω of the compressor, E‖C(x) − x‖² ≤ ω‖x‖²; 0 is no compression. It plays no part for signs.

    Examples
    --------
    >>> Setting(0.1, 32, 8, omega=3.0).temperature
    0.0015625
    """

    step_size: float
    batch_size: float
    agents: float
    omega: float = 0.0

    def __post_init__(self):
        for name in KNOBS:
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)!r}")
        if not 0 <= self.omega < inf:
            raise ValueError(f"omega must be finite and not negative, got {self.omega!r}")

    @property
    def temperature(self) -> float:
        """Θ = η(1 + ω)/(N B): to first order the floor is proportional to it; thm-scaling-law."""
        return self.step_size * (1 + self.omega) / (self.agents * self.batch_size)

    def sign_temperature(self, nu: float = inf, model: bool = False) -> float:
        """η/(N ℓ_ν(B)), which does the same for DSignSGD in its linear phase; thm-scaling-sign.

        With `model` the slope ℓ_ν(B) of a batch is ℓ_ν √B, as if the noise of a batch had the scale σ/√B.
        """
        return self.step_size / (self.agents * _slope_of_batch(nu, self.batch_size, model))

    def floor(self, L: float, mu: float, d: int, sigma: float, kind: str = "chain") -> float:
        """The floor of the gap: of the algorithm ("chain"), of its SDE ("sharp"), as the poster has it ("printed").

        Examples
        --------
        >>> round(Setting(0.05, 1, 4, omega=1.0).floor(L=10, mu=1, d=2, sigma=1.0, kind="printed"), 4)
        0.3333
        """
        if not 0 < sigma < inf:
            raise ValueError(f"sigma must be positive and finite, got {sigma!r}")
        formula = FLOORS.get(kind)
        if formula is None:
            raise ValueError(f"kind must be one of {sorted(FLOORS)}, got {kind!r}")
        known = {"B": self.batch_size, "N": self.agents, "eta": self.step_size, "omega": self.omega}
        value = float(formula(L=L, mu=mu, d=d, sigma=sigma, **known))
        return value if value > 0 else inf  # a negative denominator: the step is beyond the bound's range

    def rounded(self) -> "Setting":
        """The same with B and N at the nearest integers of at least 1."""
        whole = {name: max(1, round(getattr(self, name))) for name in ("batch_size", "agents")}
        return replace(self, **whole)


FLOORS = {
    "chain": formulas.dcsgd_floor_chain,
    "sharp": formulas.dcsgd_floor,
    "printed": formulas.dcsgd_floor_printed,
}


@dataclass(frozen=True)
class Comparison:
    """A setting beside another one, to first order in η; each number is that of the first over that of the second.

    Attributes
    ----------
    floor : float
        Of the gap at which the runs stall.
    steps, samples, messages : float
        Over all agents, up to the same accuracy; prop-speed. The bits are the messages times their length.
    """

    floor: float
    steps: float
    samples: float
    messages: float


def compare(now: Setting, before: Setting) -> Comparison:
    """DCSGD in the setting `now` beside DCSGD in the setting `before`.

    Examples
    --------
    >>> compare(Setting(0.1, 32, 32, omega=3.0), Setting(0.1, 32, 8)).samples
    4.0
    """
    steps = before.step_size / now.step_size
    messages = steps * now.agents / before.agents
    samples = messages * now.batch_size / before.batch_size
    return Comparison(now.temperature / before.temperature, steps, samples, messages)


def solve(setting: Setting, knob: str, keep: Setting) -> Setting:
    """`setting` with one of step_size, batch_size, agents moved so that its floor is that of `keep`; prop-six-rules.

    Parameters
    ----------
    setting : Setting
        What is wanted, with any value of the knob.
    knob : str
        "step_size", "batch_size" or "agents".
    keep : Setting
        The reference; with ω = 0 it is uncompressed.

    Examples
    --------
    >>> before = Setting(0.1, 32, 8)
    >>> solve(Setting(0.1, 64, 8, omega=3.0), "step_size", keep=before).step_size
    0.05
    """
    too_hot = setting.temperature / keep.temperature
    value = getattr(setting, _knob(knob))
    return replace(setting, **{knob: value / too_hot if knob == "step_size" else value * too_hot})


def solve_sign(setting: Setting, knob: str, keep: Setting, nu: float = inf, model: bool = False) -> Setting:
    """The same for DSignSGD under noise of ν degrees of freedom; thm-scaling-sign.

    Raises
    ------
    ValueError
        In one sentence, if ν ≤ 1, where larger batches do not help a sign, or if no batch size up to 2²⁰ does it.

    Examples
    --------
    >>> before = Setting(0.1, 32, 8)
    >>> solve_sign(Setting(0.2, 32, 8), "batch_size", keep=before, nu=3, model=True).batch_size
    128.0
    >>> solve_sign(Setting(0.1, 128, 8), "step_size", keep=before, nu=1).step_size
    0.1
    """
    too_hot = setting.sign_temperature(nu, model) / keep.sign_temperature(nu, model)
    if _knob(knob) == "batch_size":
        if model:
            return replace(setting, batch_size=setting.batch_size * too_hot**2)
        wanted = too_hot * _slope_of_batch(nu, setting.batch_size, model)
        return replace(setting, batch_size=_batch_of_slope(nu, wanted))
    value = getattr(setting, knob)
    return replace(setting, **{knob: value / too_hot if knob == "step_size" else value * too_hot})


def _knob(knob: str) -> str:
    if knob not in KNOBS:
        raise ValueError(f"knob must be one of {list(KNOBS)}, got {knob!r}")
    return knob


def _slope_of_batch(nu: float, batch: float, model: bool) -> float:
    """ℓ_ν(B) for any B ≥ 1: the integral of prop-batching does not ask for an integer."""
    return sqrt(batch) * slope(nu) if model else batch_slope(nu, batch)


def _batch_of_slope(nu: float, wanted: float) -> float:
    """The batch size whose slope is `wanted`, by doubling and halving: for ν > 1 the slope grows with B."""
    low, high = 1.0, 2.0
    if nu <= 1:
        raise ValueError(f"at nu = {nu} larger batches do not help a sign: move another knob")
    while batch_slope(nu, high) < wanted and high < LARGEST_BATCH:
        low, high = high, 2 * high
    if not batch_slope(nu, low) <= wanted <= batch_slope(nu, high):
        raise ValueError(f"no batch size from 1 to 2^20 gives the sign a slope of {wanted:.4g} at nu = {nu}")
    while high / low > 1 + 1e-9:
        middle = sqrt(low * high)
        low, high = (middle, high) if batch_slope(nu, middle) < wanted else (low, middle)
    return sqrt(low * high)
