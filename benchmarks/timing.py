"""How the benchmarks take times: several actions in turns, on one thread."""

import statistics
import time


def interleaved_medians(repeats, *actions):
    """Median seconds of each action; they take turns, so that a slow moment of the machine meets all of them."""
    times = [[] for _ in actions]
    for repeat in range(repeats + 1):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            if repeat:  # the first round warms up
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]
