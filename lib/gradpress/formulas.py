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
        return sp.lambdify(self.symbols, self.expression, modules=["scipy", "numpy"])

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
    """SymPy's printer (no statement, no `Sum`); Γ and erf are those of the explorers' script `special.js`."""
    if expression.has(sp.Sum, sp.I):
        raise ValueError(f"{expression} has no faithful JavaScript form")
    return sp.jscode(expression, user_functions={"gamma": "gammaFunction", "erf": "erf"})


def _formula(name: str, expression, source: str) -> Formula:
    ALL[name] = Formula(name, sp.sympify(expression), source)
    return ALL[name]


_PAPER = "Beznosikov et al. 2023"
_OWN = "this book"

# Letters, as in the book's notation. Compressors and classes:
d, k, b, s, p, z, q, m, r = sp.symbols("d k b s p z q m r", positive=True)
alpha, beta, gamma, delta, zeta, omega, lam, tau, u0, ratio = sp.symbols(
    "alpha beta gamma delta zeta omega lam tau u_0 rho", positive=True
)
m1, m2 = sp.symbols("m_1 m_2", positive=True)
# Descent: K is the number of the last step, r_0 the squared distance of the start from the minimiser, theta a free
# number that splits a square, L_max and L_rms the largest and the quadratic mean of the agents' constants.
L, mu, eta, D, N, K, kappa, epsilon, theta = sp.symbols(
    "L mu eta D N K kappa epsilon theta", positive=True
)
B_aff, C_aff, L_max, L_rms, r0, a, d_1, kept, Gamma_0 = sp.symbols(
    "B_aff C_aff L_max L_rms r_0 a d_1 kept Gamma_0", positive=True
)
# The cost of a step: M and M_down are lengths of messages, v a bandwidth, T_lat a latency, F the iteration factor.
M, M_down, v, T_lat, rounds, load, F = sp.symbols("M M_down v T_lat rounds load F", positive=True)
T_0, fixed_0, fixed_1, load_0 = sp.symbols("T_0 fixed_0 fixed_1 load_0", positive=True)
# Selection: h_1 and h_2 are the sums of 1/i and 1/i² over k < i ≤ d, Q the magnitude that a standard normal coordinate
# exceeds with probability q, a the index of a power tail, R bits a coordinate.
h1, h2, threshold, rate = sp.symbols("h_1 h_2 Q R", positive=True)
# Noise: B a batch size, sigma the scale of the noise of one example, nu its degrees of freedom, u a gradient in units
# of the noise, ell the slope of E sign at 0, H a curvature of a quadratic, t the time of an SDE; c_N, c_omega, c_eta
# and c_B the factors by which a setting is multiplied.
B, sigma, nu, u, ell, H, t = sp.symbols("B sigma nu u ell H t", positive=True)
# Chapter diffusions: sigma_B the scale of the noise of a mini-batch, n a number of steps, t_1 the time at which a step
# size begins to fall, T a final time, E_0 a first gap, l the number of SVAG's small steps in one step of SGD.
sigma_B, n, t_1, T, E_0, small = sp.symbols("sigma_B n t_1 T E_0 l", positive=True)
c_N, c_omega, c_eta, c_B = sp.symbols("c_N c_omega c_eta c_B", positive=True)
# Chapter smoothness: x a point of the line, L_0 and L_1 the constants of (L₀, L₁)-smoothness, g the norm of a gradient,
# A_g and S_g the constants of the second moment of the mean message, share the part of the largest step that is used.
x = sp.Symbol("x", real=True)
L_0, L_1, g, A_g, S_g, share = sp.symbols("L_0 L_1 g A_g S_g share", positive=True)

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

# Chapter bottleneck: descent without compression; what a step costs.
gd_factor = _formula("gd_factor", 1 - eta * mu * (2 - eta * L), _OWN)
gd_quadratic_factor = _formula("gd_quadratic_factor", sp.Max((1 - eta * mu) ** 2, (1 - eta * L) ** 2), _OWN)
_inflated = L * (1 + B_aff / N)
dsgd_step = _formula("dsgd_step", 2 / _inflated, _OWN)
dsgd_factor = _formula("dsgd_factor", 1 - eta * mu * (2 - eta * _inflated), _OWN)
dsgd_floor = _formula("dsgd_floor", eta * L * C_aff / (2 * N * mu * (2 - eta * _inflated)), _OWN)

ring_rounds = _formula("ring_rounds", 2 * (N - 1), _OWN)
ring_load = _formula("ring_load", 2 * (N - 1) * M / N, _OWN)
tree_load = _formula("tree_load", rounds * M, _OWN)
server_load = _formula("server_load", (N - 1) * (M + M_down), _OWN)
gather_rounds = _formula("gather_rounds", N - 1, _OWN)
gather_load = _formula("gather_load", (N - 1) * M, _OWN)
collective_time = _formula("collective_time", rounds * T_lat + load / v, _OWN)
union_size = _formula("union_size", d * (1 - (1 - k / d) ** N), _OWN)
dense_share = _formula("dense_share", 2 / N, _OWN)
break_even_load = _formula("break_even_load", (T_0 / F - fixed_1) * v, _OWN)
break_even_bandwidth = _formula("break_even_bandwidth", (load_0 - F * load) / (F * fixed_1 - fixed_0), _OWN)

# Chapter descent: the factor of the gap in one step, and the largest step size.
cgd_b1_factor = _formula("cgd_b1_factor", 1 - alpha / beta * eta * mu * (2 - eta * beta * L), f"{_PAPER}, Theorem 17")
cgd_b2_factor = _formula("cgd_b2_factor", 1 - gamma * eta * mu * (2 - eta * beta * L), f"{_PAPER}, Theorem 18")
cgd_b3_factor = _formula("cgd_b3_factor", 1 - eta * mu / delta, f"{_PAPER}, Theorem 19")
cgd_b1_step = _formula("cgd_b1_step", 2 / (beta * L), f"{_PAPER}, Theorem 17")
cgd_b2_step = _formula("cgd_b2_step", 2 / (beta * L), f"{_PAPER}, Theorem 18")
cgd_b3_step = _formula("cgd_b3_step", 1 / L, f"{_PAPER}, Theorem 19")

# By how much a step lowers f at least, over the squared norm of the gradient; then what the source prints wrong.
_low, _high = b3_low_corner.expression, b3_high_corner.expression
_kept = sp.Min(_low * (2 - eta * L * _low), _high * (2 - eta * L * _high))
cgd_gain = _formula("cgd_gain", eta * (m1 - eta * L * m2 / 2), _OWN)
cgd_b1_gain = _formula("cgd_b1_gain", alpha / beta * eta * (1 - eta * beta * L / 2), f"{_PAPER}, Lemma 22, corrected")
cgd_b2_gain = _formula("cgd_b2_gain", gamma * eta * (1 - eta * beta * L / 2), f"{_PAPER}, Lemma 23")
cgd_b3_gain = _formula("cgd_b3_gain", eta / (2 * delta), f"{_PAPER}, Lemma 24")
cgd_b3_gain_long = _formula("cgd_b3_gain_long", eta * _kept / 2, _OWN)
cgd_b3_factor_long = _formula("cgd_b3_factor_long", 1 - eta * mu * _kept, _OWN)
cgd_b3_step_long = _formula("cgd_b3_step_long", 2 / (_high * L), _OWN)
cgd_b1_gain_printed = _formula("cgd_b1_gain_printed", alpha * eta * (1 - eta * beta * L / 2), f"{_PAPER}, Lemma 22")
_bracket = gamma * eta * (2 - eta * beta) * L
cgd_b2_factor_printed = _formula("cgd_b2_factor_printed", 1 - _bracket, f"{_PAPER}, Theorem 18")

# Steps until the gap is the share epsilon of the first one, if each step removes the share 1/(F kappa) of it.
_share = 1 / (F * kappa)
cgd_iterations = _formula("cgd_iterations", sp.ceiling(sp.log(1 / epsilon) / -sp.log(1 - _share)), _OWN)

# Chapter agents: many nodes.
_cost = (1 + theta) * omega * L_max / N
dcgd_step = _formula("dcgd_step", 2 / (L + mu + _cost), _OWN)
dcgd_factor = _formula("dcgd_factor", (1 - eta * mu) ** 2 + eta**2 * mu * _cost, _OWN)
dcgd_noise = _formula("dcgd_noise", (1 + 1 / theta) * eta**2 * omega * D / N, _OWN)
dcgd_floor = _formula(
    "dcgd_floor", (1 + 1 / theta) * eta * omega * D / (N * mu * (2 - eta * (mu + _cost))), _OWN
)
dcgd_best_floor = _formula(
    "dcgd_best_floor",
    eta * omega * D / (N * mu * (sp.sqrt(2 - eta * mu) - sp.sqrt(eta * omega * L_max / N)) ** 2),
    _OWN,
)
dcgd_best_theta = _formula(
    "dcgd_best_theta", sp.sqrt((2 - eta * mu) * N / (eta * omega * L_max)) - 1, _OWN
)
dcgd_classic_step = _formula("dcgd_classic_step", 1 / (L + 2 * omega * L_max / N), f"{_PAPER}, §5.1")
dcgd_classic_factor = _formula("dcgd_classic_factor", 1 - eta * mu, f"{_PAPER}, §5.1")
dcgd_classic_floor = _formula("dcgd_classic_floor", 2 * eta * omega * D / (mu * N), f"{_PAPER}, §5.1")
dcgd_agreed_step = _formula("dcgd_agreed_step", 2 / (L + mu + omega * L_max / N), _OWN)
dcgd_agreed_factor = _formula(
    "dcgd_agreed_factor", (1 - eta * mu) ** 2 + eta**2 * mu * omega * L_max / N, _OWN
)
dcgd_quadratic_floor = _formula(
    "dcgd_quadratic_floor", eta * omega * D / (N * mu * (2 - eta * (mu + omega * L_max / N))), _OWN
)
dcgd_any_step = _formula("dcgd_any_step", 2 / (L + mu), _OWN)
dcgd_any_factor = _formula("dcgd_any_factor", (1 - eta * mu) ** 2 + (1 + theta) * eta**2 * omega * L_rms**2 / N, _OWN)
dcgd_concave_gain = _formula("dcgd_concave_gain", 2 / (kappa**2 - 2 * kappa + 4), _OWN)
dcgd_shared_step = _formula("dcgd_shared_step", 2 / ((1 + omega) * (L + mu)), _OWN)
dcgd_shared_factor = _formula("dcgd_shared_factor", (1 - eta * mu) ** 2 + eta**2 * omega * mu**2, _OWN)
diana_step = _formula("diana_step", 1 / (L + 6 * omega * L_max / N), _OWN)
diana_weight = _formula("diana_weight", 4 * eta**2 * omega / (a * N), _OWN)
diana_factor = _formula("diana_factor", sp.Max(1 - eta * mu, 1 - a / 2), _OWN)
diana_shift_step = _formula("diana_shift_step", 1 / (1 + omega), "Mishchenko et al. 2024")
example_1_factor = _formula("example_1_factor", 1 + 11 * eta / 6, f"{_PAPER}, Example 1")
example_2_factor = _formula("example_2_factor", 1 + eta * (2 * b - 1) * d_1 / d, _OWN)
example_2_factor_printed = _formula(
    "example_2_factor_printed", 1 + eta * (2 * b - 1) * d_1 / (d - d_1 + 1), f"{_PAPER}, Example 2"
)
example_2_least_b = _formula("example_2_least_b", (d - d_1 + 1) / (d - 2 * d_1), _OWN)
shifts_factor = _formula("shifts_factor", 1 - eta * kept / d, _OWN)
biased_floor = _formula("biased_floor", (delta - 1) * Gamma_0 / (2 * mu), _OWN)
biased_threshold = _formula("biased_threshold", 1 / (delta - 1), _OWN)

# Chapter memory: Theorem 21 of the paper.
_spread = 2 * delta + B_aff
_noise = C_aff * (1 + 1 / N) + D * (2 * B_aff / N + 3 * delta)
ef_step = _formula("ef_step", 1 / (14 * _spread * L), f"{_PAPER}, Theorem 21")
ef_a1 = _formula("ef_a1", L**2 * _spread**2 / mu * r0, f"{_PAPER}, Theorem 21")
ef_a2 = _formula("ef_a2", _noise / mu, f"{_PAPER}, Theorem 21")
ef_a3 = _formula("ef_a3", L * _spread * r0, f"{_PAPER}, Theorem 21")
ef_a4 = _formula("ef_a4", 28 * L * _spread / mu, f"{_PAPER}, Theorem 21")
ef_a5 = _formula("ef_a5", sp.sqrt(_noise * r0), f"{_PAPER}, Theorem 21")

# The same with every constant written out.
_cap = 14 * _spread * L
_n0 = 56 * _spread * L / mu
_log = sp.Max(1, sp.log(mu**2 * r0 * (K + 1) ** 2 / (4 * _noise)))
_power = (1 - mu * eta / 2) ** (K + 1)
ef_noise = _formula("ef_noise", _noise, f"{_PAPER}, Theorem 21")
ef_n0 = _formula("ef_n0", _n0, f"{_PAPER}, Theorem 21")
ef_virtual_step = _formula("ef_virtual_step", 1 / (4 * L * (1 + 2 * B_aff / N)), f"{_PAPER}, Lemma 27")
ef_bound_decreasing = _formula(
    "ef_bound_decreasing", 6272 * ef_a1.expression / K**2 + 32 * ef_a2.expression / K, f"{_PAPER}, Theorem 21"
)
ef_bound_decreasing_whole = _formula(
    "ef_bound_decreasing_whole",
    2 * mu * (_n0 - 1) ** 2 * r0 / ((2 * _n0 + K) * (K + 1)) + 32 * _noise / (mu * (2 * _n0 + K)),
    _OWN,
)
ef_bound_any_step = _formula("ef_bound_any_step", 2 * mu * r0 * _power / (1 - _power) + 4 * _noise * eta, _OWN)
ef_log = _formula("ef_log", _log, _OWN)
ef_step_constant = _formula("ef_step_constant", sp.Min(1 / _cap, 2 * _log / (mu * (K + 1))), _OWN)
ef_bound_constant = _formula(
    "ef_bound_constant",
    56 * ef_a3.expression * sp.exp(-(K + 1) / ef_a4.expression) + 8 * ef_a2.expression * (1 + _log) / (K + 1),
    _OWN,
)
ef_step_equal = _formula("ef_step_equal", sp.Min(1 / _cap, sp.sqrt(r0 / (_noise * (K + 1)))), f"{_PAPER}, Theorem 21")
ef_bound_equal = _formula(
    "ef_bound_equal",
    4 * ((_cap - mu / 2) * r0 / (K + 1) + 2 * sp.sqrt(_noise * r0 / (K + 1))),
    f"{_PAPER}, Theorem 21",
)
ef_bound_linear = _formula("ef_bound_linear", 4 * r0 / eta * _power, _OWN)
ef_wide_step = _formula("ef_wide_step", 1 / (8 * _spread * L), _OWN)
ef_second_noise = _formula("ef_second_noise", (C_aff + 2 * B_aff * D) / N, _OWN)
ef_second_memory = _formula("ef_second_memory", 8 * L * (delta - 1) * (2 * _spread * D + C_aff), _OWN)
ef_floor = _formula("ef_floor", 4 * (eta * ef_second_noise.expression + eta**2 * ef_second_memory.expression), _OWN)
memory_gain = _formula("memory_gain", (1 - _low) / _low, _OWN)
ef21_step = _formula("ef21_step", 1 / (L + L_rms * (1 - _low) / _low), "Richtárik, Sokolov and Fatkhullin 2021")
ef21_pl_step = _formula(
    "ef21_pl_step",
    sp.Min(1 / (L + sp.sqrt(2) * L_rms * (1 - _low) / _low), _low / (2 * mu)),
    "Richtárik, Sokolov and Fatkhullin 2021",
)
ef21_factor = _formula("ef21_factor", 1 - eta * mu, "Richtárik, Sokolov and Fatkhullin 2021")
ef21_weight = _formula("ef21_weight", eta / (2 * (_low - eta * mu)), _OWN)
induced_omega = _formula("induced_omega", (zeta - 1) * (1 - 1 / delta), "Horváth and Richtárik 2021")
induced_step = _formula("induced_step", dcgd_classic_step.expression.subs(L_max, L), _OWN)
induced_floor = _formula("induced_floor", dcgd_classic_floor.expression, _OWN)

# Chapter selection: q = k/d is the share of coordinates that is kept, and d − k are left.
_left = d - k
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
_bells = [sp.exp(-((threshold - side * m) ** 2) / 2) / sp.sqrt(2 * sp.pi) for side in (1, -1)]
folded_normal_kept = _formula(
    "folded_normal_kept",
    q + ((threshold + m) * _bells[0] + (threshold - m) * _bells[1]) / (1 + m**2),
    _OWN,
)
pareto_limit_lost = _formula("pareto_limit_lost", 1 - q ** (1 - 2 / a), _OWN)
pareto_kept_least = _formula("pareto_kept_least", 1 - a / 2, _OWN)
binary_entropy = _formula("binary_entropy", -(q * sp.log(q) + (1 - q) * sp.log(1 - q)) / sp.log(2), "Shannon")
top_k_bits = _formula("top_k_bits", 32 * q - (q * sp.log(q) + (1 - q) * sp.log(1 - q)) / sp.log(2), _OWN)
rand_k_lost = _formula("rand_k_lost", 1 - rate / 32, f"{_PAPER}, Figure 1")
normal_floor = _formula("normal_floor", sp.Integer(4) ** (-rate), "Shannon")

# Noise: twice the centred distribution function of t_ν, that is the mean of a sign, and its slope at 0.
student_slope = _formula(
    "student_slope", 2 * sp.gamma((nu + 1) / 2) / (sp.sqrt(nu * sp.pi) * sp.gamma(nu / 2)), "Student"
)
sign_mean_1 = _formula("sign_mean_1", 2 / sp.pi * sp.atan(u), _OWN)
sign_mean_2 = _formula("sign_mean_2", u / sp.sqrt(2 + u**2), _OWN)
sign_mean_3 = _formula(
    "sign_mean_3", 2 / sp.pi * (sp.atan(u / sp.sqrt(3)) + sp.sqrt(3) * u / (3 + u**2)), _OWN
)
sign_mean_4 = _formula("sign_mean_4", u * (6 + u**2) / sp.sqrt(4 + u**2) ** 3, _OWN)
sign_mean_normal = _formula("sign_mean_normal", sp.erf(u / sp.sqrt(2)), _OWN)
SIGN_MEANS = {1: sign_mean_1, 2: sign_mean_2, 3: sign_mean_3, 4: sign_mean_4, inf: sign_mean_normal}

# Chapter diffusions: SGD on ½Hx² with noise of variance sigma_B², and its first- and second-order equations.
_batch = eta * sigma_B**2
sgd_factor = _formula("sgd_factor", 1 - eta * H, _OWN)
sgd_decay_first = _formula("sgd_decay_first", H, "Li, Tai and E 2017")
sgd_decay_second = _formula("sgd_decay_second", H + eta * H**2 / 2, "Li, Tai and E 2017")
sgd_decay_exact = _formula("sgd_decay_exact", -sp.log(1 - eta * H) / eta, _OWN)
sgd_variance_chain = _formula("sgd_variance_chain", _batch / (H * (2 - eta * H)), _OWN)
sgd_variance_first = _formula("sgd_variance_first", _batch / (2 * H), "Mandt, Hoffman and Blei 2017")
sgd_variance_second = _formula("sgd_variance_second", _batch / (2 * H + eta * H**2), _OWN)
sgd_variance_matched = _formula("sgd_variance_matched", _batch * (1 + eta * H) / (2 * H + eta * H**2), _OWN)
sgd_variance_off_first = _formula("sgd_variance_off_first", -eta * H / 2, _OWN)
sgd_variance_off_second = _formula("sgd_variance_off_second", -2 * eta * H / (2 + eta * H), _OWN)
sgd_largest_step = _formula("sgd_largest_step", 2 / H, _OWN)
sgd_kurtosis_share = _formula("sgd_kurtosis_share", (1 - (1 - eta * H) ** 2) / (1 + (1 - eta * H) ** 2), _OWN)
sgd_gap_stationary = _formula("sgd_gap_stationary", eta * d * sigma_B**2 / 4, _OWN)

# Control: the best share of the step size and the gap that it leaves, in the equation and step by step; the best batch.
control_start = _formula("control_start", sp.log(4 * E_0 / (eta * sigma_B**2) - 1) / (2 * H), "Li, Tai and E 2017")
control_share = _formula("control_share", 1 / (1 + H * (t - t_1)), "Li, Tai and E 2017")
control_gap = _formula("control_gap", _batch / (2 * (1 + H * (t - t_1))), "Li, Tai and E 2017")
_head_start = sigma_B**2 / (2 * H * E_0)
control_step_chain = _formula("control_step_chain", 1 / (H * (n + 1 + _head_start)), _OWN)
control_gap_chain = _formula("control_gap_chain", sigma_B**2 / (2 * H * (n + _head_start)), _OWN)
batch_gap_best = _formula("batch_gap_best", eta * sigma**2 * (1 - sp.exp(-H * T)) ** 2 / (2 * H * B * T), _OWN)
batch_gap_equal = _formula("batch_gap_equal", eta * sigma**2 * (1 - sp.exp(-2 * H * T)) / (4 * B), _OWN)

# SVAG: the third and the fourth cumulant of its noise over one step of SGD, in shares of SGD's own.
svag_third = _formula("svag_third", (3 * small - 1) / (2 * small**2), _OWN)
svag_fourth = _formula("svag_fourth", (small**2 + 2 * small - 1) / (2 * small**3), _OWN)

# Heavy tails: the stationary scale of SGD with symmetric ν-stable noise of scale sigma_B.
stable_scale = _formula(
    "stable_scale", eta * sigma_B / (1 - sp.Abs(1 - eta * H) ** nu) ** (1 / nu), _OWN
)

# Chapter dcsgd: the rate and the floor, for the SDE (sharp and as the poster has them) and for the algorithm itself.
_POSTER = "Compagnoni et al. 2025"
_batch_noise = sigma**2 / B


def _dcsgd_floor(rate_share):
    return eta * L * d * _batch_noise * (1 + omega) / (4 * mu * N * rate_share)


dcsgd_rate = _formula("dcsgd_rate", 1 - eta * L * omega / (2 * N), _OWN)
dcsgd_rate_printed = _formula("dcsgd_rate_printed", 1 - eta * L**2 * omega / (2 * mu * N), f"{_POSTER}, Theorem 3")
dcsgd_rate_chain = _formula("dcsgd_rate_chain", 1 - eta * L * (1 + omega / N) / 2, _OWN)
dcsgd_floor = _formula("dcsgd_floor", _dcsgd_floor(dcsgd_rate.expression), _OWN)
dcsgd_floor_printed = _formula(
    "dcsgd_floor_printed", _dcsgd_floor(dcsgd_rate_printed.expression), f"{_POSTER}, Theorem 3"
)
dcsgd_floor_chain = _formula("dcsgd_floor_chain", _dcsgd_floor(dcsgd_rate_chain.expression), _OWN)
_kick = eta * (1 + omega) * _batch_noise
dcsgd_variance = _formula("dcsgd_variance", _kick / (N * H * (2 - eta * H * omega / N)), _OWN)
dcsgd_variance_chain = _formula("dcsgd_variance_chain", _kick / (N * H * (2 - eta * H * (1 + omega / N))), _OWN)
dcsgd_largest_step = _formula("dcsgd_largest_step", 2 / (L * (1 + omega / N)), _OWN)

# What a step, and the equation in a unit of time, does to a second moment; up to which order a has finite moments.
dcsgd_factor = _formula("dcsgd_factor", 1 - 2 * eta * H + eta**2 * H**2 * (1 + omega / N), _OWN)
dcsgd_decay = _formula("dcsgd_decay", 2 * H * (1 - eta * H * omega / (2 * N)), _OWN)
dcsgd_all_moments_step = _formula("dcsgd_all_moments_step", 2 / (H * (1 + omega)), _OWN)
dcsgd_tail_index = _formula("dcsgd_tail_index", 1 + 2 * N / (eta * H * omega), _OWN)

# The mean of |u + Z| for a standard normal Z, and the second moment of a ternary message of such noise alone.
folded_normal_mean = _formula(
    "folded_normal_mean", sp.sqrt(2 / sp.pi) * sp.exp(-(u**2) / 2) + u * sp.erf(u / sp.sqrt(2)), _OWN
)
ternary_noise_1 = _formula("ternary_noise_1", 1 + 2 * (d - 1) / sp.pi, _OWN)
ternary_noise_2 = _formula(
    "ternary_noise_2", d * sp.gamma(d / 2) / (sp.sqrt(sp.pi) * sp.gamma((d + 1) / 2)), _OWN
)

# Chapter dsignsgd: the linearised equation; its stationary variance, and those of the chain with the same linear drift.
# u_1 is where the chord of E sign ends, m_1 its value there, E_0 a first gap, x_0 a start.
_slope = ell * sp.sqrt(B) / sigma
u_1, m_1, E_0, x_0, gap_0, G_0 = sp.symbols("u_1 m_1 E_0 x_0 gap_0 G_0", positive=True)
dsign_rate = _formula("dsign_rate", _slope, f"{_POSTER}, Theorem 4")
dsign_floor = _formula("dsign_floor", eta * L * d / (4 * mu * N * _slope), f"{_POSTER}, Theorem 4")
_faded = sp.exp(-2 * mu * _slope * t)
dsign_bound = _formula(
    "dsign_bound", E_0 * _faded + (1 - _faded) * dsign_floor.expression, f"{_POSTER}, Theorem 4"
)
dsign_variance = _formula("dsign_variance", eta / (2 * N * _slope * H), _OWN)
dsign_variance_full = _formula("dsign_variance_full", eta / (2 * N * _slope * H + eta * _slope**2 * H**2), _OWN)
dsign_variance_chain = _formula(
    "dsign_variance_chain", eta / (N * (2 * _slope * H - eta * _slope**2 * H**2 * (1 - 1 / N))), _OWN
)
# What the bend of E sign adds: the second moment over that of the linearised equation, to first order in the step.
_bend = (1 + 1 / nu) / 2
_linear = eta * H * sp.sqrt(B) / (2 * N * ell * sigma)
sign_bend = _formula("sign_bend", _bend, _OWN)
dsign_excess_sde = _formula("dsign_excess_sde", 1 + _linear * (_bend - ell**2), _OWN)
dsign_excess_chain = _formula("dsign_excess_chain", 1 + _linear * (_bend + (N - 1) * ell**2), _OWN)
# No faster than unit speed; the phases of the flow; the descent that a gap guarantees, and the global floor.
dsign_slowest = _formula("dsign_slowest", H * sp.Max(x_0 - t, 0) ** 2 / 2, _OWN)
sign_extinction = _formula("sign_extinction", sp.sqrt(2 * E_0 / mu), _OWN)
sign_phase_gap = _formula("sign_phase_gap", sp.Max(sp.sqrt(E_0) - m_1 * sp.sqrt(mu / 2) * t, 0) ** 2, _OWN)
sign_phase_end = _formula("sign_phase_end", u_1**2 * sigma**2 / (2 * B * mu), _OWN)
sign_chord_gap = _formula("sign_chord_gap", E_0 * sp.exp(-2 * mu * m_1 * sp.sqrt(B) * t / (u_1 * sigma)), _OWN)
dsign_kick = _formula("dsign_kick", eta * L * d / (2 * N), _OWN)
dsign_chain_share = _formula("dsign_chain_share", 1 - eta * L * _slope * (1 - 1 / N) / 2, _OWN)
dsign_global_floor = _formula(
    "dsign_global_floor",
    dsign_kick.expression * gap_0 / (G_0 - dsign_kick.expression * (1 + 2 / d)),
    _OWN,
)
# Heavy tails: a χ that the coordinates share, batches, and the floor of the sign over that of an unbiased compressor.
shared_sign_cap = _formula("shared_sign_cap", 2 / sp.pi - ell**2, _OWN)
batch_limit = _formula("batch_limit", sp.sqrt(2 / sp.pi) * sp.sqrt(1 - 2 / nu) / ell, _OWN)
sign_price = _formula("sign_price", (1 - 2 / nu) / ((1 + omega) * ell**2), _OWN)

# Chapter scaling: the temperature of a setting, its ratio to the reference's, and that ratio solved for one multiplier.
_noisier = c_eta * (1 + c_omega * omega)
scaling_temperature = _formula("scaling_temperature", eta * (1 + omega) / (N * B), _OWN)
scaling_floor_ratio = _formula("scaling_floor_ratio", _noisier / (c_N * c_B), _OWN)
scaling_agents = _formula("scaling_agents", _noisier / c_B, _OWN)
scaling_batch = _formula("scaling_batch", _noisier / c_N, _OWN)
scaling_step = _formula("scaling_step", c_N * c_B / (1 + c_omega * omega), _OWN)
scaling_row_printed = _formula("scaling_row_printed", (1 + omega) / (1 + c_omega * omega), f"{_POSTER}, rows 3 and 4")


def _agents_exactly(alone, shared):
    """c_N that makes the floors equal, not to first order only, if they have 1 − (η/2)(alone + shared · ω/N) below."""
    kept_noise = (1 + c_omega * omega) / c_B * (1 - eta * alone / 2) + eta * shared * c_omega * omega / (2 * N)
    return c_eta * kept_noise / (1 - c_eta * eta * alone / 2)


scaling_agents_sharp = _formula("scaling_agents_sharp", _agents_exactly(0, L), _OWN)
scaling_agents_printed = _formula("scaling_agents_printed", _agents_exactly(0, L**2 / mu), _OWN)
scaling_agents_chain = _formula("scaling_agents_chain", _agents_exactly(L, L), _OWN)
# What a rule costs: samples, and bits if a coordinate takes R of them instead of 32, up to the same accuracy.
scaling_samples = _formula("scaling_samples", c_N * c_B / c_eta, _OWN)
scaling_traffic = _formula("scaling_traffic", c_N * rate / (32 * c_eta), _OWN)
packed_bits = _formula("packed_bits", sp.log(2 * s + 1) / sp.log(2) + 32 / d, _OWN)
# Signs: the ratio of the floors in the model σ/√B; and for tails with 1 < ν < 2 the slope of large batches.
scaling_floor_ratio_sign = _formula("scaling_floor_ratio_sign", c_eta / (c_N * sp.sqrt(c_B)), _OWN)
_tail = sp.sqrt(sp.pi) * nu ** (nu / 2) * sp.gamma((nu + 1) / 2)
_tail /= sp.gamma(nu / 2) * sp.gamma(1 + nu) * sp.sin(sp.pi * nu / 2)
scaling_heavy_slope = _formula(
    "scaling_heavy_slope", 2 / sp.pi * sp.gamma(1 + 1 / nu) * _tail ** (-1 / nu) * B ** (1 - 1 / nu), _OWN
)
# Chapter smoothness: functions of one coordinate with the minimum 0 at 0, each with its slope and its curvature.
def _landscape(name, value, slope=None, curvature=None):
    slope = sp.diff(value, x) if slope is None else slope
    curvature = sp.diff(slope, x) if curvature is None else curvature
    return tuple(_formula(f"{name}{part}", term, _OWN)
                 for part, term in (("", value), ("_slope", slope), ("_curvature", curvature)))


_outward = sp.exp(L_1 * sp.Abs(x))
LANDSCAPES = {
    "quadratic": _landscape("quadratic", H * x**2 / 2),
    "quartic": _landscape("quartic", x**4 / 4),
    "cosh": _landscape("cosh", 2 * sp.sinh(x / 2) ** 2, sp.sinh(x), sp.cosh(x)),
    "extremal": _landscape("extremal", L_0 / L_1**2 * (_outward - 1 - L_1 * sp.Abs(x)),
                           L_0 / L_1 * (_outward - 1) * sp.sign(x), L_0 * _outward),
}

# What (L₀, L₁)-smoothness allows: the factor of the descent lemma, the growth of a gradient over a distance r.
descent_factor = _formula("descent_factor", (sp.exp(u) - 1 - u) / u**2, _OWN)
gradient_growth = _formula("gradient_growth", (g + L_0 / L_1) * sp.exp(L_1 * r) - L_0 / L_1, "Zhang et al. 2020")

# Where a step ceases to help: gradient descent on x⁴/4; the corrected flow on x⁴/4 and cosh; the (L₀, L₁) rule on cosh.
quartic_basin = _formula("quartic_basin", sp.sqrt(2 / eta), _OWN)
quartic_basin_corrected = _formula("quartic_basin_corrected", sp.sqrt(2 / (3 * eta)), _OWN)
cosh_basin_corrected = _formula("cosh_basin_corrected", sp.acosh(2 / eta), _OWN)
cosh_basin_safe = _formula("cosh_basin_safe", sp.asinh(2 / eta - 1), _OWN)

# DCSGD: the second moment of the mean message is at most A_g ‖∇f‖² + S_g; the steps that follow from it.
message_growth = _formula("message_growth", 1 + (omega + (1 + omega) * B_aff) / N, _OWN)
message_floor = _formula("message_floor", (1 + omega) * C_aff / N, _OWN)
affine_variance = _formula("affine_variance", eta * S_g / (H * (2 - eta * H * A_g)), _OWN)
affine_largest_step = _formula("affine_largest_step", 2 / (H * A_g), _OWN)
prescribed_step = _formula("prescribed_step", 2 * share / (A_g * (L_0 + L_1 * g)), _OWN)
prescribed_step_floor = _formula("prescribed_step_floor", 2 * share / (A_g * (L_0 + L_1 * g) + L_1 * S_g), _OWN)

# Without a minimum: f = eˣ. For signs without noise, up to which step the corrected equation shrinks.
exponential = _landscape("exponential", sp.exp(x))
sign_corrected_step = _formula("sign_corrected_step", 2 * g / H, _OWN)

# DSignSGD under any tails: the largest first step, and the bound on the least mean descent over K steps; u_1 is where
# the expected sign has reached one half.
any_tails_step = _formula("any_tails_step", 1 / (4 * (sp.E - 2) * L_1 * d), _OWN)
any_tails_bound = _formula(
    "any_tails_bound",
    (E_0 + (sp.E - 2) * d * (L_0 + L_1 * d * u_1 * sigma_B) * eta**2 * (1 + sp.log(K)))
    / (eta * (sp.sqrt(K + 1) - 1)),
    _OWN,
)
any_tails_floor = _formula(
    "any_tails_floor",
    2 * E_0 / (eta * K) + 2 * (sp.E - 2) * d * eta * (L_0 + L_1 * d * u_1 * sigma_B), _OWN
)

# Fourier transforms of Student-t laws, at u > 0.
student_transform_1 = _formula("student_transform_1", sp.exp(-u), "Student")
student_transform_3 = _formula("student_transform_3", (1 + sp.sqrt(3) * u) * sp.exp(-sp.sqrt(3) * u), "Student")
student_transform_5 = _formula(
    "student_transform_5", (1 + sp.sqrt(5) * u + 5 * u**2 / 3) * sp.exp(-sp.sqrt(5) * u), "Student"
)
# Ternary with p = 2 on a normal vector: E ‖Z‖₂‖Z‖₁ / E ‖Z‖², where the worst case is √d.
ternary_normal_zeta = _formula(
    "ternary_normal_zeta", d * sp.gamma(d / 2) / (sp.sqrt(sp.pi) * sp.gamma((d + 1) / 2)), _OWN
)


def largest(*values) -> sp.Expr:
    """The largest of exact numbers, decided exactly.

    Examples
    --------
    >>> largest(exact(2), exact(1.5))
    2
    """
    return reduce(lambda a, c: a if bool(a >= c) else c, values)
