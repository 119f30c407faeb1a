"""What the ensembles of Part III cost, as ratios of times taken in one run on one thread.

    python benchmarks/noise.py

Each line is the median time of one piece of work over the median time of drawing standard normal numbers: those that
the work itself needs, or all that a plain simulation would need. The peer `torchsde` is timed if it is installed; its
Brownian motion is the fastest of the settings tried here.
"""

import torch
from timing import interleaved_medians

from gradpress import sde
from gradpress.compressors import RandK, Sign
from gradpress.homogeneous import Homogeneous
from gradpress.noise import Gaussian, StudentT
from gradpress.problems import bowl

RUNS, D, STEPS, STEP_SIZE = 10**4, 10, 10**3, 0.01
CHAINS, AGENTS, WIDTH = 10**3, 100, 100
GENERATOR = torch.Generator().manual_seed(0)


def report(title, repeats, floor, works):
    """One line for each work: its name, and its time over that of the floor."""
    base, *times = interleaved_medians(repeats, floor, *works.values())
    print(f"{title} ({base * 1e3:.0f} ms)")
    for name, taken in zip(works, times, strict=True):
        print(f"    {name:58}{taken / base:8.2f}")


def ensembles():
    """Euler–Maruyama ensembles over the normals that they draw."""
    f = bowl(torch.linspace(1.0, 2.0, D))
    equations = {
        "SGD, Gaussian noise": sde.DCSGD(f, STEP_SIZE, noise=Gaussian(1.0)),
        "SGD of second order": sde.SecondOrder(f, STEP_SIZE, noise=Gaussian(1.0)),
        "DSignSGD, Gaussian noise": sde.DSignSGD(f, STEP_SIZE, noise=Gaussian(1.0)),
        "DSignSGD, Cauchy noise": sde.DSignSGD(f, STEP_SIZE, noise=StudentT(1.0, nu=1)),
        "DCSGD with Rand-3": sde.DCSGD(f, STEP_SIZE, noise=Gaussian(1.0), compressor=RandK(3)),
    }
    start = torch.ones(D)

    def solved(equation):
        return lambda: sde.euler_maruyama(equation, start, STEPS, runs=RUNS, generator=GENERATOR, every=STEPS)

    def normals():
        for _ in range(STEPS):
            torch.randn(RUNS, D, generator=GENERATOR)

    works = {name: solved(equation) for name, equation in equations.items()}
    report(f"ensembles of {RUNS} paths, d = {D}, {STEPS} steps, over their normals", 5, normals, works)
    peers = torchsde_peers(torch.linspace(1.0, 2.0, D))
    if peers:
        report("the same by torchsde, 100 steps, over ours", 3,
               lambda: sde.euler_maruyama(equations["SGD, Gaussian noise"], start, 100, runs=RUNS,
                                          generator=GENERATOR, every=100), peers)


def torchsde_peers(curvatures):
    """SGD's equation in torchsde's Euler scheme, for several settings of its Brownian motion; {} without torchsde."""
    try:
        import torchsde
    except ImportError:
        return {}

    class Equation(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t, y):
            return -curvatures * y

        def g(self, t, y):
            return torch.full_like(y, STEP_SIZE**0.5)

    end = 100 * STEP_SIZE
    times = torch.tensor([0.0, end])

    def solved(**settings):
        def action():
            brownian = torchsde.BrownianInterval(0.0, end, size=(RUNS, D), entropy=0, **settings)
            with torch.no_grad():
                torchsde.sdeint(Equation(), torch.ones(RUNS, D), times, bm=brownian, dt=STEP_SIZE, method="euler")
        return action

    return {f"torchsde {torchsde.__version__}, {settings}": solved(**settings)
            for settings in ({}, {"dt": STEP_SIZE}, {"dt": STEP_SIZE, "cache_size": 512, "pool_size": 24})}


def messages():
    """Mean messages of homogeneous agents over the normals of all their coordinates, and Student's numbers."""
    floor = lambda: torch.randn(CHAINS, AGENTS, WIDTH, generator=GENERATOR)  # noqa: E731 (a timed call)
    far = torch.randn(CHAINS, WIDTH, generator=GENERATOR)
    works = {}
    for noise in (Gaussian(1.0), StudentT(1.0, nu=3.0)):
        for compressor, gradient, where in ((RandK(WIDTH // 10), far, ""), (Sign(), far / 10, ", |∇f| ≪ σ"),
                                            (Sign(), far, ", |∇f| ~ σ")):
            method = Homogeneous(compressor, AGENTS, noise)
            name = f"{type(compressor).__name__}, {type(noise).__name__}{where}"
            works[name] = lambda method=method, gradient=gradient: method.mean_message(gradient, GENERATOR)
    report(f"a step of {CHAINS} runs × {AGENTS} agents × d = {WIDTH}, over all normals", 9, floor, works)
    many = torch.empty(10**6)
    students = {f"ν = {nu:g}": lambda nu=nu: StudentT(1.0, nu=nu).draw(many, GENERATOR) for nu in (1.0, 3.0, 5.5)}
    report("10⁶ numbers of Student's law, over 10⁶ normals", 15, lambda: torch.randn(10**6, generator=GENERATOR),
           students)


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, float32")
    ensembles()
    messages()


if __name__ == "__main__":
    main()
