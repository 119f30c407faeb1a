"""Every closed form of the book, once, in SymPy.

A page takes its LaTeX, the library its exact value, a notebook its NumPy function and an explorer its JavaScript from
the same `Formula`. Nothing here is retyped anywhere else.
"""

from dataclasses import dataclass
from functools import cached_property, reduce
from math import inf

import sympy as sp

ALL: dict[str, "Formula"] = {}


@dataclass(frozen=True)
class Formula:
    """A closed form with named parameters.

    Parameters
    ----------
    name : str
        The key under which `ALL` holds it.
    expression : sympy.Expr
        The closed form; its free symbols are the parameters.
    source : str
        Where it is stated first, or "this book".

    Examples
    --------
    >>> rand_k_zeta(d=10, k=4)
    5/2
    >>> rand_k_zeta.latex()
    '\\\\frac{d}{k}'
    >>> float(rand_k_zeta.function()(10.0, 4.0))
    2.5
    >>> rand_k_zeta.javascript()
    '(d, k) => d/k'
    """

    name: str
    expression: sp.Expr
    source: str

    @cached_property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The parameters, in alphabetical order: the order of arguments in every rendering."""
        return tuple(sorted(self.expression.free_symbols, key=lambda symbol: symbol.name))

    def __call__(self, **values) -> sp.Expr:
        """The exact value: integers and decimal floats are taken as the rational numbers that they print as."""
        wanted = {symbol.name for symbol in self.symbols}
        if set(values) != wanted:
            raise ValueError(f"{self.name} takes the parameters {sorted(wanted)}, got {sorted(values)}")
        return self.expression.subs({symbol: exact(values[symbol.name]) for symbol in self.symbols})

    def latex(self) -> str:
        """The formula as LaTeX."""
        return sp.latex(self.expression, symbol_names={lam: r"\lambda"})

    def function(self):
        """A function of NumPy arrays or floats, its arguments in the order of `symbols`."""
        return sp.lambdify(self.symbols, self.expression, modules="numpy")

    def javascript(self) -> str:
        """The formula as the text of a JavaScript arrow function, its arguments in the order of `symbols`."""
        arguments = ", ".join(symbol.name for symbol in self.symbols)
        return f"({arguments}) => {_javascript(self.expression)}"


def exact(value) -> sp.Expr:
    """The SymPy number that a Python number prints as: 1.1 is 11/10, not its binary neighbour.

    Examples
    --------
    >>> exact(1.1), exact(3), exact(float("inf"))
    (11/10, 3, oo)
    """
    if isinstance(value, sp.Basic):
        return value
    if isinstance(value, int):
        return sp.Integer(value)
    return sp.oo if value == inf else sp.Rational(repr(float(value)))


def _javascript(expression) -> str:
    """SymPy's printer, after Max and Min and Piecewise are made plain expressions (no statement, no `Sum`)."""
    if expression.has(sp.Sum, sp.I):
        raise ValueError(f"{expression} has no faithful JavaScript form")
    return sp.jscode(expression)


def _formula(name: str, expression, source: str) -> Formula:
    ALL[name] = Formula(name, sp.sympify(expression), source)
    return ALL[name]


_PAPER = "Beznosikov et al. 2023"
_OWN = "this book"

d, k, b, s, p, z, q = sp.symbols("d k b s p z q", positive=True)
alpha, beta, gamma, delta, zeta, lam, tau, u0, ratio = sp.symbols(
    "alpha beta gamma delta zeta lam tau u_0 rho", positive=True
)
m, r = sp.symbols("m r", positive=True)

# Sparsification: d coordinates, k kept, q the smallest inclusion probability.
rand_k_zeta = _formula("rand_k_zeta", d / k, f"{_PAPER}, Lemma 8")
sparsification_gamma = _formula("sparsification_gamma", q, f"{_PAPER}, Lemma 9")
sparsification_delta = _formula("sparsification_delta", 1 / q, f"{_PAPER}, Lemma 9")
adaptive_gamma = _formula("adaptive_gamma", 1 / d, f"{_PAPER}, Lemma 10")
adaptive_delta = _formula("adaptive_delta", d, f"{_PAPER}, Lemma 10")
top_k_gamma = _formula("top_k_gamma", k / d, f"{_PAPER}, Lemma 11")
top_k_delta = _formula("top_k_delta", d / k, f"{_PAPER}, Lemma 11")

# Rounding: rho is the largest ratio of neighbouring levels.
unbiased_rounding_zeta = _formula("unbiased_rounding_zeta", (ratio + 1) ** 2 / (4 * ratio), f"{_PAPER}, Lemma 12")
biased_rounding_beta = _formula("biased_rounding_beta", 2 * ratio / (ratio + 1), f"{_PAPER}, Lemma 13")
biased_rounding_gamma = _formula("biased_rounding_gamma", 2 / (ratio + 1), f"{_PAPER}, Lemma 13")
biased_rounding_alpha = _formula("biased_rounding_alpha", (2 / (ratio + 1)) ** 2, f"{_PAPER}, Lemma 13")
biased_rounding_delta = _formula("biased_rounding_delta", (ratio + 1) ** 2 / (4 * ratio), f"{_PAPER}, Lemma 13")

# Dithering: u_0 the lowest positive level, z = (b + 1)^2 / (4 b) for exponential levels and 1 for uniform ones.
exponential_u0 = _formula("exponential_u0", b ** (1 - s), f"{_PAPER}, (14)")
standard_u0 = _formula("standard_u0", 1 / s, "Alistarh et al. 2017")
dithering_tau = _formula("dithering_tau", d ** (1 / sp.Min(p, 2)) * u0, f"{_PAPER}, Lemma 15")
dithering_zeta_stated = _formula("dithering_zeta_stated", z + tau * sp.Min(1, tau), f"{_PAPER}, Lemma 15")
standard_zeta_stated = _formula("standard_zeta_stated", 1 + sp.Min(tau**2, tau), "Alistarh et al. 2017")
dithering_zeta = _formula("dithering_zeta", sp.Piecewise((z + tau**2 / (4 * z), tau <= 2 * z), (tau, True)), _OWN)
dithering_zeta_max_bottom = _formula("dithering_zeta_max_bottom", (1 + sp.sqrt(1 + (d - 1) * u0**2)) / 2, _OWN)
_fewer = 1 - (d - 1) / b
dithering_zeta_max_top = _formula(
    "dithering_zeta_max_top", (_fewer + sp.sqrt(_fewer**2 + 4 * (d - 1) * z / b)) / 2, _OWN
)

# Sign and low rank: r the rank, m the smaller side of the matrix.
scaled_sign_alpha = _formula("scaled_sign_alpha", 1 / d**2, _OWN)
scaled_sign_gamma = _formula("scaled_sign_gamma", 1 / d, "Karimireddy et al. 2019")
power_sgd_gamma = _formula("power_sgd_gamma", r / m, _OWN)
power_sgd_delta = _formula("power_sgd_delta", m / r, _OWN)

# The arrows between the classes; lam is the scaling λ of the operator.
b1_to_b2_gamma = _formula("b1_to_b2_gamma", alpha / beta, f"{_PAPER}, Theorem 6, 1(ii)")
b1_to_b3_delta = _formula("b1_to_b3_delta", beta**2 / alpha, f"{_PAPER}, Theorem 6, 1(ii)")
b2_to_b1_alpha = _formula("b2_to_b1_alpha", gamma**2, f"{_PAPER}, Theorem 6, 2(ii)")
b2_to_b3_delta = _formula("b2_to_b3_delta", 1 / (lam * gamma * (2 - lam * beta)), _OWN)
b3_to_b2_gamma = _formula("b3_to_b2_gamma", 1 / (2 * delta), f"{_PAPER}, Theorem 6, 3(ii)")
b3_low_corner = _formula("b3_low_corner", 1 - sp.sqrt(1 - 1 / delta), _OWN)
b3_high_corner = _formula("b3_high_corner", 1 + sp.sqrt(1 - 1 / delta), _OWN)
unbiased_to_b3_delta = _formula("unbiased_to_b3_delta", 1 / (lam * (2 - zeta * lam)), f"{_PAPER}, Theorem 7(iii)")
induced_zeta = _formula("induced_zeta", 1 + (zeta - 1) * (1 - 1 / delta), "Horváth and Richtárik 2021")

# Table 1: iterations of compressed gradient descent, in units of (L / mu) log(1 / epsilon).
b1_iterations = _formula("b1_iterations", beta**2 / alpha, f"{_PAPER}, Table 1")
b2_iterations = _formula("b2_iterations", beta / gamma, f"{_PAPER}, Table 1")
b3_iterations = _formula("b3_iterations", delta, f"{_PAPER}, Table 1")

# Chapter descent: the factor of the gap in one step, and the largest step size.
L, mu, eta, B_aff, C_aff, D, N, r0 = sp.symbols("L mu eta B_aff C_aff D N r_0", positive=True)
cgd_b1_factor = _formula("cgd_b1_factor", 1 - alpha / beta * eta * mu * (2 - eta * beta * L), f"{_PAPER}, Theorem 17")
cgd_b2_factor = _formula("cgd_b2_factor", 1 - gamma * eta * mu * (2 - eta * beta * L), f"{_PAPER}, Theorem 18")
cgd_b3_factor = _formula("cgd_b3_factor", 1 - eta * mu / delta, f"{_PAPER}, Theorem 19")
cgd_b1_step = _formula("cgd_b1_step", 2 / (beta * L), f"{_PAPER}, Theorem 17")
cgd_b2_step = _formula("cgd_b2_step", 2 / (beta * L), f"{_PAPER}, Theorem 18")
cgd_b3_step = _formula("cgd_b3_step", 1 / L, f"{_PAPER}, Theorem 19")

# Chapter memory: Theorem 21 of the paper; r_0 is the squared distance of the start from the minimiser.
_spread = 2 * delta + B_aff
_noise = C_aff * (1 + 1 / N) + D * (2 * B_aff / N + 3 * delta)
ef_step = _formula("ef_step", 1 / (14 * _spread * L), f"{_PAPER}, Theorem 21")
ef_a1 = _formula("ef_a1", L**2 * _spread**2 / mu * r0, f"{_PAPER}, Theorem 21")
ef_a2 = _formula("ef_a2", _noise / mu, f"{_PAPER}, Theorem 21")
ef_a3 = _formula("ef_a3", L * _spread * r0, f"{_PAPER}, Theorem 21")
ef_a4 = _formula("ef_a4", 28 * L * _spread / mu, f"{_PAPER}, Theorem 21")
ef_a5 = _formula("ef_a5", sp.sqrt(_noise * r0), f"{_PAPER}, Theorem 21")


# Chapter selection: q = k/d the share of coordinates that is kept, m = d − k; h_1 and h_2 the sums of 1/i and 1/i² over
# k < i ≤ d; Q the magnitude that a standard normal coordinate exceeds with probability q; a the index of a power tail.
_left = d - k
h1, h2, threshold, tail_index, rate = sp.symbols("h_1 h_2 Q a R", positive=True)
uniform_lost_ratio = _formula(
    "uniform_lost_ratio", (1 - k / (d + 1)) * (1 - k / (d + 2)), f"{_PAPER}, Lemma 20(a)"
)
uniform_gain = _formula(
    "uniform_gain", (d**2 + d * _left + _left**2 + 3 * (d + _left) + 2) / ((d + 1) * (d + 2)), _OWN
)
exponential_gain = _formula("exponential_gain", (1 + (1 + h1) ** 2 + h2) / 2, _OWN)
uniform_limit_lost = _formula("uniform_limit_lost", (1 - q) ** 3, _OWN)
exponential_limit_lost = _formula("exponential_limit_lost", 1 - q * (1 + (1 - sp.log(q)) ** 2) / 2, _OWN)
normal_limit_lost = _formula(
    "normal_limit_lost", 1 - q - sp.sqrt(2 / sp.pi) * threshold * sp.exp(-(threshold**2) / 2), _OWN
)
_centre = sp.Symbol("m", positive=True)
_bells = [sp.exp(-((threshold - side * _centre) ** 2) / 2) / sp.sqrt(2 * sp.pi) for side in (1, -1)]
folded_normal_kept = _formula(
    "folded_normal_kept",
    q + ((threshold + _centre) * _bells[0] + (threshold - _centre) * _bells[1]) / (1 + _centre**2),
    _OWN,
)
pareto_limit_lost = _formula("pareto_limit_lost", 1 - q ** (1 - 2 / tail_index), _OWN)
pareto_kept_least = _formula("pareto_kept_least", 1 - tail_index / 2, _OWN)
binary_entropy = _formula("binary_entropy", -(q * sp.log(q) + (1 - q) * sp.log(1 - q)) / sp.log(2), "Shannon")
top_k_bits = _formula("top_k_bits", 32 * q - (q * sp.log(q) + (1 - q) * sp.log(1 - q)) / sp.log(2), _OWN)
rand_k_lost = _formula("rand_k_lost", 1 - rate / 32, f"{_PAPER}, Figure 1")
normal_floor = _formula("normal_floor", sp.Integer(4) ** (-rate), "Shannon")


def largest(*values) -> sp.Expr:
    """The largest of exact numbers, decided exactly.

    Examples
    --------
    >>> largest(exact(2), exact(1.5))
    2
    """
    return reduce(lambda a, c: a if bool(a >= c) else c, values)
