"""What a step of distributed descent costs: collectives by formula, and the same collectives run message by message.

The model is that of def-cost. In one round every agent may send one message and receive one; the round lasts as long as
the latency plus the longest of its messages over the bandwidth. Times are seconds, lengths bits, bandwidths bits a
second.

>>> link = Link(bandwidth=1e9, latency=50e-6)
>>> round(all_reduce_time(25.6e6 * 32, 8, link), 4), round(all_gather_time(25.6e6, 8, link), 4)
(1.4343, 0.1795)
"""

from dataclasses import dataclass, field
from math import inf, isfinite

import torch
from torch import Tensor

from . import formulas
from .formulas import Formula


@dataclass(frozen=True)
class Link:
    """The link of every agent: it sends and receives at the same time; def-cost.

    Attributes
    ----------
    bandwidth : float
        v, bits a second in each direction.
    latency : float
        T_lat, seconds that a message takes beyond its length over v.

    Raises
    ------
    ValueError
        If the bandwidth is not positive or the latency is negative.
    """

    bandwidth: float
    latency: float = 0.0

    def __post_init__(self):
        if not self.bandwidth > 0:
            raise ValueError(f"bandwidth must be positive, got {self.bandwidth!r}")
        if not 0 <= self.latency < inf:
            raise ValueError(f"latency must be finite and not negative, got {self.latency!r}")


@dataclass(frozen=True)
class Cost:
    """What a collective needs: rounds, and the load, the sum over the rounds of the longest message in bits."""

    rounds: int
    load: float

    def time(self, link: Link) -> float:
        """Seconds on this link.

        Examples
        --------
        >>> Cost(rounds=14, load=7.0).time(Link(bandwidth=7.0, latency=0.5))
        8.0
        """
        return self.rounds * link.latency + self.load / link.bandwidth


def doublings(agents: int) -> int:
    """⌈log₂ N⌉, the least number of rounds in which something that one agent knows can reach all.

    Examples
    --------
    >>> [doublings(n) for n in (1, 2, 3, 8, 9)]
    [0, 1, 2, 3, 4]
    """
    return (_agents(agents) - 1).bit_length()


def all_reduce_cost(bits: float, agents: int, how: str = "ring") -> Cost:
    """Every agent ends with the sum of all vectors; prop-collectives.

    Parameters
    ----------
    bits : float
        M, the length of one vector.
    agents : int
        N, at least 1; for "halving" and "doubling" a power of two.
    how : str
        "ring", "halving" (recursive halving and doubling), "tree" (to a root and back), "doubling" (whole vectors,
        swapped), or "server" (one agent receives and answers all others in turn).

    Examples
    --------
    >>> all_reduce_cost(8.0, 8), all_reduce_cost(8.0, 8, "halving"), all_reduce_cost(8.0, 8, "tree")
    (Cost(rounds=14, load=14.0), Cost(rounds=6, load=14.0), Cost(rounds=6, load=48.0))
    """
    bits, agents, steps = _bits(bits), _agents(agents), doublings(agents)
    if how in ("halving", "doubling") and 2**steps != agents:
        raise ValueError(f"agents must be a power of two for {how!r}, got {agents}")
    ring_load = _value(formulas.ring_load, M=bits, N=agents)
    costs = {
        "ring": Cost(2 * (agents - 1), ring_load),
        "halving": Cost(2 * steps, ring_load),
        "tree": Cost(2 * steps, _value(formulas.tree_load, M=bits, rounds=2 * steps)),
        "doubling": Cost(steps, _value(formulas.tree_load, M=bits, rounds=steps)),
        "server": server_cost(bits, bits, agents),
    }
    if how not in costs:
        raise ValueError(f"how must be one of {sorted(costs)}, got {how!r}")
    return costs[how]


def all_gather_cost(bits: float, agents: int, how: str = "ring") -> Cost:
    """Every agent ends with the messages of all, each of `bits`; how is "ring" or "doubling"; prop-collectives.

    Examples
    --------
    >>> all_gather_cost(1.0, 8), all_gather_cost(1.0, 8, "doubling")
    (Cost(rounds=7, load=7.0), Cost(rounds=3, load=7.0))
    """
    bits, agents, steps = _bits(bits), _agents(agents), doublings(agents)
    if how not in ("ring", "doubling"):
        raise ValueError(f"how must be 'ring' or 'doubling', got {how!r}")
    if how == "doubling" and 2**steps != agents:
        raise ValueError(f"agents must be a power of two for 'doubling', got {agents}")
    return Cost(agents - 1 if how == "ring" else steps, _value(formulas.gather_load, M=bits, N=agents))


def server_cost(bits: float, reply: float, agents: int) -> Cost:
    """One of the agents receives the others' messages in turn and answers each with `reply` bits; prop-collectives.

    Examples
    --------
    >>> server_cost(1.0, 4.0, agents=8)
    Cost(rounds=14, load=35.0)
    """
    agents = _agents(agents)
    return Cost(2 * (agents - 1), _value(formulas.server_load, M=_bits(bits), M_down=_bits(reply), N=agents))


def all_reduce_time(bits: float, agents: int, link: Link, how: str = "ring") -> float:
    """Seconds of `all_reduce_cost`; prop-collectives."""
    return all_reduce_cost(bits, agents, how).time(link)


def all_gather_time(bits: float, agents: int, link: Link, how: str = "ring") -> float:
    """Seconds of `all_gather_cost`; prop-collectives."""
    return all_gather_cost(bits, agents, how).time(link)


def server_time(bits: float, reply: float, agents: int, link: Link) -> float:
    """Seconds of `server_cost`; prop-collectives."""
    return server_cost(bits, reply, agents).time(link)


def gain(dense: Cost, sent: Cost, link: Link, compute: float = 0.0, factor: float = 1.0) -> float:
    """How many times sooner the compressed method is done; below 1 it is later; prop-speedup.

    Parameters
    ----------
    dense, sent : Cost
        One round of communication without and with compression.
    compute : float
        T_comp, seconds a step that both methods need beside communication.
    factor : float
        F, the iteration factor: how many times as many steps the compressed method takes.

    Examples
    --------
    >>> gain(Cost(1, 30.0), Cost(1, 1.0), Link(bandwidth=1.0), compute=9.0, factor=1.3)
    3.0
    """
    if not factor > 0 or not compute >= 0:
        raise ValueError(f"factor must be positive and compute not negative, got {factor!r} and {compute!r}")
    return (compute + dense.time(link)) / (factor * (compute + sent.time(link)))


def break_even_load(dense: Cost, rounds: int, link: Link, compute: float = 0.0, factor: float = 1.0) -> float:
    """The load below which a compressed method with so many rounds gains; not positive: none does; prop-speedup.

    Examples
    --------
    >>> break_even_load(Cost(14, 14.0), 7, Link(bandwidth=1.0), factor=2.0)
    7.0
    """
    times = {"T_0": compute + dense.time(link), "fixed_1": compute + rounds * link.latency}
    return _value(formulas.break_even_load, F=factor, v=link.bandwidth, **times)


def break_even_bandwidth(dense: Cost, sent: Cost, latency: float, compute: float = 0.0, factor: float = 1.0) -> float:
    """The bandwidth below which compression pays (`inf`: at any, 0: at none); prop-speedup.

    Raises
    ------
    ValueError
        If compression saves time elsewhere but sends more: then it pays above a bandwidth, not below one.

    Examples
    --------
    >>> break_even_bandwidth(Cost(2, 30.0), Cost(2, 5.0), latency=0.0, compute=1.0, factor=2.0)
    20.0
    """
    fixed = compute + dense.rounds * latency, compute + sent.rounds * latency
    lost = factor * fixed[1] - fixed[0]
    if dense.load > factor * sent.load:
        values = {"F": factor, "load": sent.load, "load_0": dense.load, "fixed_0": fixed[0], "fixed_1": fixed[1]}
        return inf if lost <= 0 else _value(formulas.break_even_bandwidth, **values)
    if lost < 0:
        raise ValueError("the compressed load must be below the dense one, or the time saved elsewhere not positive")
    return 0.0


def union_size(d: int, k: int, agents: int) -> float:
    """The expected size of the union of `agents` independent uniform k-subsets of d coordinates; prop-union.

    Examples
    --------
    >>> round(union_size(10_000, 100, 64), 1)
    4744.0
    """
    if not 1 <= k <= d:
        raise ValueError(f"k must be from 1 to d = {d}, got {k}")
    return float(formulas.union_size.function()(float(agents), float(d), float(k)))


# --------------------------------------------------------------------------------------------- message by message


@dataclass
class Network:
    """Agents that hold tensors and exchange messages round by round; it counts what def-cost counts.

    Attributes
    ----------
    agents : int
    bits : int
        The length of one number.
    rounds : int
        So far.
    load : int
        The sum over the rounds of the longest message, in bits.
    sent, received : Tensor, int64, shape (agents,)
        Bits of every agent so far.

    Examples
    --------
    >>> network = Network(2, bits=32)
    >>> network.round({(0, 1): torch.ones(3)})
    {(0, 1): tensor([1., 1., 1.])}
    >>> network.rounds, network.load, network.sent.tolist()
    (1, 96, [96, 0])
    """

    agents: int
    bits: int = 32
    rounds: int = 0
    load: int = 0
    sent: Tensor = field(init=False)
    received: Tensor = field(init=False)

    def __post_init__(self):
        _agents(self.agents)
        self.sent = torch.zeros(self.agents, dtype=torch.int64)
        self.received = torch.zeros_like(self.sent)

    def round(self, messages: dict[tuple[int, int], Tensor]) -> dict[tuple[int, int], Tensor]:
        """Deliver copies of the messages, keyed by (sender, receiver), all at once.

        Raises
        ------
        ValueError
            If an agent would send, or receive, more than one message.
        """
        for side, what in enumerate(("send", "receive")):
            ends = [pair[side] for pair in messages]
            if len(set(ends)) < len(ends):
                raise ValueError(f"an agent may {what} one message a round, got {sorted(messages)}")
        for (sender, receiver), message in messages.items():
            self.sent[sender] += message.numel() * self.bits
            self.received[receiver] += message.numel() * self.bits
        self.rounds += 1
        self.load += max((message.numel() for message in messages.values()), default=0) * self.bits
        return {pair: message.clone() for pair, message in messages.items()}

    @property
    def cost(self) -> Cost:
        """What has been counted."""
        return Cost(self.rounds, float(self.load))


def run_ring_all_reduce(vectors: Tensor, bits: int = 32) -> tuple[Tensor, Network]:
    """All-reduce in a ring, chunk by chunk: N − 1 rounds that add and N − 1 that copy; prop-collectives.

    Parameters
    ----------
    vectors : Tensor, shape (N, d)
        One for each agent.
    bits : int
        The length of one number on the wire.

    Returns
    -------
    sums : Tensor, shape (N, d)
        What every agent ends with, equal rows.
    network : Network
        With its counts.

    Examples
    --------
    >>> sums, network = run_ring_all_reduce(torch.arange(8.0).reshape(2, 4))
    >>> sums.tolist(), network.cost == all_reduce_cost(4 * 32, 2)
    ([[4.0, 6.0, 8.0, 10.0], [4.0, 6.0, 8.0, 10.0]], True)
    """
    agents = len(vectors)
    network = Network(agents, bits)
    held = [list(row.clone().tensor_split(agents)) for row in vectors]
    for step in range(2 * (agents - 1)):
        chunk = [(i - step) % agents for i in range(agents)]  # in the adding half, then one chunk further round
        arrived = network.round({(i, (i + 1) % agents): held[i][chunk[i]] for i in range(agents)})
        for (sender, receiver), message in arrived.items():
            place = chunk[sender]
            held[receiver][place] = held[receiver][place] + message if step < agents - 1 else message
    return torch.stack([torch.cat(chunks) for chunks in held]), network


def run_halving_all_reduce(vectors: Tensor, bits: int = 32) -> tuple[Tensor, Network]:
    """All-reduce by recursive halving, then doubling; N a power of two that divides d; prop-collectives.

    Shapes and results as in `run_ring_all_reduce`.

    Examples
    --------
    >>> sums, network = run_halving_all_reduce(torch.ones(4, 8))
    >>> sums.unique().tolist(), network.cost == all_reduce_cost(8 * 32, 4, "halving")
    ([4.0], True)
    """
    agents, d = vectors.shape
    if agents & (agents - 1) or d % agents:
        raise ValueError(f"agents must be a power of two that divides d, got {agents} and {d}")
    network, held = Network(agents, bits), vectors.clone()
    spans = [(0, d)] * agents
    distances = [1 << j for j in reversed(range(doublings(agents)))]
    for distance in distances:  # each keeps the half that its own bit names and sends the other one
        halves = [_half(span, bool(i & distance)) for i, span in enumerate(spans)]
        others = [_half(span, not i & distance) for i, span in enumerate(spans)]
        for (sender, receiver), message in network.round(
            {(i, i ^ distance): held[i, slice(*others[i])] for i in range(agents)}
        ).items():
            held[receiver, slice(*others[sender])] += message
        spans = halves
    for distance in reversed(distances):
        for (sender, receiver), message in network.round(
            {(i, i ^ distance): held[i, slice(*spans[i])] for i in range(agents)}
        ).items():
            held[receiver, slice(*spans[sender])] = message
        spans = [(min(low, spans[i ^ distance][0]), max(high, spans[i ^ distance][1]))
                 for i, (low, high) in enumerate(spans)]
    return held, network


def _half(span: tuple[int, int], upper: bool) -> tuple[int, int]:
    middle = (span[0] + span[1]) // 2
    return (middle, span[1]) if upper else (span[0], middle)


def run_tree_all_reduce(vectors: Tensor, bits: int = 32) -> tuple[Tensor, Network]:
    """All-reduce along a binomial tree to agent 0 and back, whole vectors, any N; prop-collectives.

    Shapes and results as in `run_ring_all_reduce`.

    Examples
    --------
    >>> sums, network = run_tree_all_reduce(torch.ones(5, 2))
    >>> sums.unique().tolist(), network.rounds
    ([5.0], 6)
    """
    agents = len(vectors)
    network, held = Network(agents, bits), vectors.clone()
    levels = [1 << j for j in range(doublings(agents))]
    for level in levels:
        up = {(i, i - level): held[i] for i in range(level, agents, 2 * level)}
        for (_, receiver), message in network.round(up).items():
            held[receiver] += message
    for level in reversed(levels):
        down = {(i - level, i): held[i - level] for i in range(level, agents, 2 * level)}
        for (_, receiver), message in network.round(down).items():
            held[receiver] = message
    return held, network


def run_server_all_reduce(vectors: Tensor, bits: int = 32) -> tuple[Tensor, Network]:
    """Agent 0 receives all vectors one after another, adds, and sends the sum to each in turn; prop-collectives.

    Shapes and results as in `run_ring_all_reduce`.

    Examples
    --------
    >>> run_server_all_reduce(torch.ones(3, 2))[1].cost == all_reduce_cost(2 * 32, 3, "server")
    True
    """
    agents = len(vectors)
    network, held = Network(agents, bits), vectors.clone()
    for i in range(1, agents):
        held[0] += network.round({(i, 0): held[i]})[i, 0]
    for i in range(1, agents):
        held[i] = network.round({(0, i): held[0]})[0, i]
    return held, network


def run_ring_all_gather(messages: Tensor, bits: int = 32) -> tuple[Tensor, Network]:
    """Every agent passes on what came last, N − 1 times round the ring; prop-collectives.

    Parameters
    ----------
    messages : Tensor, shape (N, m)
        One for each agent, all of the same length.

    Returns
    -------
    gathered : Tensor, shape (N, N, m)
        Row i is what agent i ends with: all messages in order.
    network : Network

    Examples
    --------
    >>> gathered, network = run_ring_all_gather(torch.arange(3.0)[:, None])
    >>> gathered[..., 0].tolist(), network.cost
    ([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], Cost(rounds=2, load=64.0))
    """
    agents = len(messages)
    network = Network(agents, bits)
    held = messages.new_zeros(agents, *messages.shape)
    held[range(agents), range(agents)] = messages
    for step in range(agents - 1):
        passed = {(i, (i + 1) % agents): held[i, (i - step) % agents] for i in range(agents)}
        for (sender, receiver), message in network.round(passed).items():
            held[receiver, (sender - step) % agents] = message
    return held, network


def _value(formula: Formula, **values) -> float:
    return float(formula.function()(*(float(values[symbol.name]) for symbol in formula.symbols)))


def _agents(agents: int) -> int:
    if isinstance(agents, bool) or agents != int(agents) or agents < 1:
        raise ValueError(f"agents must be a whole number, at least 1, got {agents!r}")
    return int(agents)


def _bits(bits: float) -> float:
    if not (isfinite(bits) and bits >= 0):
        raise ValueError(f"bits must be finite and not negative, got {bits!r}")
    return float(bits)
