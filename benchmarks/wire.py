"""What packing costs, as ratios of times taken in one run on one thread.

    python benchmarks/wire.py

Each line gives the median time to pack and to unpack a message, over the median time of a peer on the same data: for
positions `torch.topk`, which finds them; for dense parts a plain copy, the least that any sender does. The last column
is the length of the message over its entropy.
"""

import math

import torch
from timing import interleaved_medians

from gradpress.wire import Bits, Floats, RandomSubset, Signs, Subset, Symbols, pack, unpack

D = 10**6
REPEATS = 15


def report(name, field, values, peer_name, peer, entropy):
    fields = {"part": field}
    message = pack(fields, {"part": values})
    packing, unpacking, other = interleaved_medians(
        REPEATS, lambda: pack(fields, {"part": values}), lambda: unpack(fields, message), peer
    )
    ratios = f"{packing / other:8.2f}{unpacking / other:8.2f}"
    print(f"{name:34}{ratios}  of {peer_name:6} ({other * 1e3:6.2f} ms){8 * len(message) / entropy:9.4f}")


def log2_binomial(d, k):
    return (math.lgamma(d + 1) - math.lgamma(k + 1) - math.lgamma(d - k + 1)) / math.log(2)


def main():
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(D, generator=generator)
    print(f"d = {D}, torch {torch.__version__}, one thread, median of {REPEATS}")
    print(f"{'':34}{'pack':>8}{'unpack':>8}{'':20}{'bits/entropy':>15}")
    for k in (D // 1000, D // 100, D // 10, D // 2):
        found = x.abs().topk(k).indices.sort().values
        topk = lambda k=k: x.abs().topk(k)  # noqa: E731 (one of several timed calls)
        report(f"Subset, k/d = {k / D:g}", Subset(D, k), found, "topk", topk, log2_binomial(D, k))
    drawn = (torch.rand(D, generator=generator) < 0.01).nonzero().squeeze(1)
    entropy = -D * (0.01 * math.log2(0.01) + 0.99 * math.log2(0.99))
    report("RandomSubset, p = 0.01", RandomSubset(D, 0.01), drawn, "topk", lambda: x.abs().topk(D // 100), entropy)
    for m in (3, 7, 16, 257):
        symbols = torch.randint(m, (D,), generator=generator)
        report(f"Symbols, m = {m}", Symbols(D, m), symbols, "copy", symbols.clone, D * math.log2(m))
    report("Signs, no zero", Signs(D), x.sign(), "copy", x.clone, D)
    report("Bits", Bits(D), x > 0, "copy", x.clone, D)
    report("Floats, float32", Floats((D,), torch.float32), x, "copy", x.clone, 32 * D)


if __name__ == "__main__":
    main()
