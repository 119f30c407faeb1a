"""Real data for the labs, and the gradients that compressors meet on it.

The mushrooms and the houses are fetched once into a cache and verified at every use; the breast-cancer data ships with
the package and the diabetes data with scikit-learn, so that every lab runs without a network.
"""

import hashlib
import os
import re
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from http.client import HTTPException
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import torch
from torch import Tensor

from .problems import Logistic

LIMIT = 1 << 24  # bytes that are read at most of a file whose size is not known
TIMEOUT = 5.0  # seconds without an answer, for each of the addresses that the host's name stands for
DEMO = "https://raw.githubusercontent.com/dmlc/xgboost/379b29f0836b9dbc313b993d8e5743bd452d4117/demo/data/"
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
LIBSVM_LINE = re.compile(rf"{NUMBER}(?:\s+\d+:{NUMBER})*", re.ASCII)


class DataUnavailable(RuntimeError):
    """The verified data cannot be had; the one-sentence message says why and what to use instead."""


@dataclass(frozen=True)
class Source:
    """A file at a public address: it is used only if it has this sha256, and this size in bytes where that is known."""

    address: str
    size: int | None
    sha256: str
    file_name: str = ""
    instead: str = "breast_cancer()"

    @property
    def name(self) -> str:
        """What it is called in the cache: by default the last part of the address."""
        return self.file_name or self.address.rsplit("/", 1)[1]

    def verify(self, content: bytes, origin: str, remedy: str) -> None:
        """Raise DataUnavailable, naming the origin and the remedy, unless the content is the expected one."""
        if self.size is not None and len(content) != self.size:
            fault = f"has {len(content)} bytes instead of {self.size}"
        elif hashlib.sha256(content).hexdigest() != self.sha256:
            fault = "has a wrong sha256"
        else:
            return
        raise DataUnavailable(f"{origin} is truncated or altered ({fault}): {remedy}, or use {self.instead}.")


MUSHROOMS = (
    Source(DEMO + "agaricus.txt.train", 742257, "915c2def06e9b44a306ad097fe8b6652c7c477d9c1e605bd2130ad20a70a8ad6"),
    Source(DEMO + "agaricus.txt.test", 183611, "765db79391141953d890ce197fe828a621d6487fbba4de5e4d2217bd140371c0"),
)

BOSTON = Source(
    "https://raw.githubusercontent.com/whiteforce87/BostonHousePriceClassification/"
    "b1fa1d84bba501a14589e844a6998d24ff613a92/boston_house_prices.csv",
    34725, "34480bdd709570eb89664df3c27d87cf4231fe4145a9236fec36f3e1d5420bd5", instead="diabetes()",
)  # fmt: skip
CALIFORNIA = Source(
    "https://ndownloader.figshare.com/files/5976036", None,
    "aaa5c9a6afe2225cc2aed2723682ae403280c4a3695a2ddda4ffb5d8215ea681", "cal_housing.tgz", "diabetes()",
)  # fmt: skip
BOSTON_NOTE = (
    "the Boston data holds a column, B, that its authors made of the share of Black residents, assuming that "
    "segregation raises prices; scikit-learn withdrew the data in version 1.2 for that reason"
)


def mushrooms() -> tuple[Tensor, Tensor]:
    """The 8124 mushrooms of the UCI repository, training file before test file, as the xgboost repository encodes them.

    They have 126 binary columns, where the copy on LIBSVM's site has 112: smoothness constants differ between the two.
    The files are kept in the folder that the environment variable GRADPRESS_DATA names, by default ~/.cache/gradpress;
    a file put there by hand serves as well as a fetched one.

    Returns
    -------
    features : Tensor, float64, shape (8124, 126), of 0 and 1
    labels : Tensor, float64, shape (8124,), +1 poisonous (3916 of them), −1 edible

    Raises
    ------
    DataUnavailable
        Without a network and a cached copy, or when a file is not, byte for byte, the one that is expected.
    """
    texts = [cached(source).decode("ascii") for source in MUSHROOMS]
    features, labels = parse_libsvm("\n".join(texts), 126)
    return features, 2 * labels - 1


def breast_cancer() -> tuple[Tensor, Tensor]:
    """The 569 tumours of the Wisconsin diagnostic data, out of the package itself: no network, no scikit-learn.

    Returns
    -------
    features : Tensor, float64, shape (569, 30), each column of mean 0 and (population) standard deviation 1
    labels : Tensor, float64, shape (569,), +1 benign (357 of them), −1 malignant

    Examples
    --------
    >>> features, labels = breast_cancer()
    >>> features.shape, int((labels == 1).sum())
    (torch.Size([569, 30]), 357)
    """
    with (files("gradpress") / "data" / "breast_cancer.npz").open("rb") as stream:
        arrays = np.load(stream, allow_pickle=False)
        raw, target = torch.from_numpy(arrays["features"]), torch.from_numpy(arrays["target"])
    return standardised(raw), 2 * target.double() - 1


def diabetes() -> tuple[Tensor, Tensor]:
    """The 442 patients of the diabetes data (Efron et al. 2004), which ship with scikit-learn: no network.

    Returns
    -------
    features : Tensor, float64, shape (442, 10), each column of mean 0 and (population) standard deviation 1
    target : Tensor, float64, shape (442,), a measure of the disease's progress, likewise

    Raises
    ------
    DataUnavailable
        Without scikit-learn, which the package's extra `data` installs.

    Examples
    --------
    >>> features, target = diabetes()
    >>> features.shape, target.shape
    (torch.Size([442, 10]), torch.Size([442]))
    """
    try:
        from sklearn.datasets import load_diabetes
    except ImportError as reason:
        message = "diabetes() needs scikit-learn: install gradpress[data], or use breast_cancer()."
        raise DataUnavailable(message) from reason
    raw, target = (torch.from_numpy(values) for values in load_diabetes(return_X_y=True, scaled=False))
    return standardised(raw), standardised(target)


def boston(*, acknowledged: bool = False) -> tuple[Tensor, Tensor]:
    """The 506 towns of the Boston housing data (Harrison and Rubinfeld 1978), for those who know what is wrong with it.

    One of its columns, B = 1000 (b − 0.63)², was made of the share b of Black residents, on the assumption that
    segregation raises the price of houses. scikit-learn withdrew the data in its version 1.2 for that reason. It is
    here because published figures use it; `california_housing` or `diabetes` serve as well.

    Parameters
    ----------
    acknowledged : bool
        Your own choice, by keyword: True says that you have read the note above.

    Returns
    -------
    features : Tensor, float64, shape (506, 13), each column of mean 0 and (population) standard deviation 1
    target : Tensor, float64, shape (506,), the median value of homes, likewise

    Raises
    ------
    ValueError
        Unless it is acknowledged.
    DataUnavailable
        Without a network and a cached copy, or when the file is not, byte for byte, the one that is expected.
    """
    if acknowledged is not True:
        raise ValueError(f"acknowledged must be True to use this data, got {acknowledged!r}: {BOSTON_NOTE}")
    lines = cached(BOSTON).decode("ascii").splitlines()[1:]
    table = torch.tensor([[float(entry) for entry in line.split(",")] for line in lines if line], dtype=torch.float64)
    return standardised(table[:, :-1]), standardised(table[:, -1])


def california_housing() -> tuple[Tensor, Tensor]:
    """The 20 640 block groups of the California housing data (Pace and Barry 1997; census of 1990).

    The columns are those of scikit-learn's `fetch_california_housing`: income, age of houses, rooms and bedrooms a
    household, population, people a household, latitude and longitude. The file is the archive that scikit-learn has.

    Returns
    -------
    features : Tensor, float64, shape (20640, 8), each column of mean 0 and (population) standard deviation 1
    target : Tensor, float64, shape (20640,), the median value of houses, likewise

    Raises
    ------
    DataUnavailable
        Without a network and a cached copy, or when the file is not, byte for byte, the one that is expected.
    """
    with tarfile.open(fileobj=BytesIO(cached(CALIFORNIA))) as archive:
        text = archive.extractfile("CaliforniaHousing/cal_housing.data").read().decode("ascii")
    table = torch.tensor([[float(entry) for entry in line.split(",")] for line in text.split()], dtype=torch.float64)
    longitude, latitude, age, rooms, bedrooms, people, households, income, value = table.T
    columns = income, age, rooms / households, bedrooms / households, people, people / households, latitude, longitude
    return standardised(torch.stack(columns, 1)), standardised(value)


def standardised(raw: Tensor) -> Tensor:
    """Each column, or the one vector, with mean 0 and (population) standard deviation 1.

    Examples
    --------
    >>> standardised(torch.tensor([1.0, 3.0]))
    tensor([-1.,  1.])
    """
    return (raw - raw.mean(0)) / raw.std(0, correction=0)


def mushrooms_or_shipped() -> tuple[str, Tensor, Tensor]:
    """`mushrooms()` where they can be had; otherwise prints one sentence that says why not and takes `breast_cancer()`.

    Returns
    -------
    name : str, "mushrooms" or "breast cancer", for captions
    features, labels : Tensor, as the chosen function returns them
    """
    try:
        return "mushrooms", *mushrooms()
    except DataUnavailable as reason:
        print(f"Using the shipped breast-cancer data: {reason}")
        return "breast cancer", *breast_cancer()


def cached(source: Source) -> bytes:
    """The verified content of `source`: from the cache folder, fetched into it if it is not there.

    A cached file that is not the expected one is neither used nor overwritten, because it may be the reader's own.
    """
    path = cache_folder() / source.name
    try:
        if not path.exists():
            write_whole(path, download(source))
        content = path.read_bytes()
    except OSError as reason:
        raise DataUnavailable(f"The cache {path} cannot be used ({reason}): use {source.instead}.") from reason
    source.verify(content, str(path), "delete it to have it fetched again")
    return content


def download(source: Source) -> bytes:
    """The verified content of `source` from its public address, with a line of progress on standard error."""
    content, most = b"", LIMIT if source.size is None else source.size
    total = "" if source.size is None else f" of {source.size:,}"
    try:
        with urlopen(source.address, timeout=TIMEOUT) as response:
            while len(content) <= most and (chunk := response.read(1 << 16)):
                content += chunk
                print(f"\r{source.name}: {len(content):,}{total} bytes", end="", file=sys.stderr)
        print(file=sys.stderr)
    except (OSError, HTTPException) as reason:
        if isinstance(reason, HTTPError):
            reason.close()  # it is also the open answer
        raise DataUnavailable(
            f"There is no network, or {source.address} does not answer as it should ({reason}): connect and try again, "
            f"put that file into {cache_folder()}, or use {source.instead}, which needs no network."
        ) from reason
    source.verify(content, f"The answer of {source.address}", "try again")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that others see whole or not at all, whatever interrupts this process or runs beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as folder:
        partial = Path(folder) / path.name
        partial.write_bytes(content)
        os.replace(partial, path)


def cache_folder() -> Path:
    """$GRADPRESS_DATA, else gradpress in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache)."""
    if chosen := os.environ.get("GRADPRESS_DATA"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradpress"


def parse_libsvm(text: str, d: int) -> tuple[Tensor, Tensor]:
    """Features (n, d) and labels (n,), both float64, out of n lines `label index:value …`, indices from 1 to d.

    Raises
    ------
    ValueError
        For a line of another form, an index outside 1 … d or out of ascending order, or a number that overflows.

    Examples
    --------
    >>> parse_libsvm("1 1:0.5 3:2\\n0 2:1", 3)[0]
    tensor([[0.5000, 0.0000, 2.0000],
            [0.0000, 1.0000, 0.0000]], dtype=torch.float64)
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if bad := next((line for line in lines if not LIBSVM_LINE.fullmatch(line)), None):
        raise ValueError(f"every line must read 'label index:value …', got {bad[:60]!r}")
    numbers = np.array(" ".join(lines).replace(":", " ").split(), dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("every number must be finite in float64, got one that overflows")
    counts = np.array([line.count(":") for line in lines], dtype=np.int64)
    starts = np.cumsum(1 + 2 * counts) - (1 + 2 * counts)  # where each line's label stands among the numbers
    pairs = np.delete(numbers, starts).reshape(-1, 2)
    rows, indices = np.repeat(np.arange(len(lines)), counts), pairs[:, 0]
    if (outside := indices[(indices < 1) | (indices > d)]).size:
        raise ValueError(f"every index must be from 1 to {d}, got {outside[0]:.0f}")
    if (np.diff(indices)[np.diff(rows) == 0] <= 0).any():
        raise ValueError("the indices of a line must ascend, got a repeated or a smaller one")
    features = torch.zeros(len(lines), d, dtype=torch.float64)
    features[rows, indices.astype(np.int64) - 1] = torch.from_numpy(pairs[:, 1])
    return features, torch.from_numpy(numbers[starts])


def logistic_gradients(features, labels, steps: int, regularisation: float) -> Tensor:
    """The gradients ∇f(x₀), …, ∇f(x_{steps−1}) that gradient descent meets from x₀ = 0, with step size 1/L.

    The objective is the regularised logistic loss of the rows aᵢ of A (n, d) and the labels bᵢ = ±1,

        f(x) = (1/n) Σᵢ log(1 + exp(−bᵢ⟨aᵢ, x⟩)) + (λ/2)‖x‖²,    L = ‖A‖²/(4n) + λ,

    where ‖A‖ is the spectral norm. This L is the smallest possible one: at 0 the Hessian has it as an eigenvalue.

    Parameters
    ----------
    features : Tensor or array, shape (n, d)
    labels : Tensor or array, shape (n,), of +1 and −1
    steps : int, at least 1
    regularisation : float, λ ≥ 0

    Returns
    -------
    Tensor, float64, shape (steps, d)

    Examples
    --------
    >>> gradients = logistic_gradients(*breast_cancer(), steps=20, regularisation=1e-3)
    >>> gradients.shape, bool(gradients[-1].norm() < gradients[0].norm())
    (torch.Size([20, 30]), True)
    """
    a, b = (torch.as_tensor(values, dtype=torch.float64) for values in (features, labels))
    check_logistic(a, b, steps, regularisation)
    problem = Logistic(a, b, regularisation)
    x, gradients = a.new_zeros(a.shape[1]), a.new_empty(steps, a.shape[1])
    for n in range(steps):
        gradients[n] = problem.gradient(x)
        x = x - gradients[n] / problem.smoothness
    return gradients


def check_logistic(a: Tensor, b: Tensor, steps: int, regularisation: float) -> None:
    """Refuse what `logistic_gradients` cannot use, with one sentence that names the argument."""
    if a.ndim != 2 or 0 in a.shape or not a.isfinite().all() or not a.any():
        raise ValueError(f"features must be a finite, non-zero (n, d) matrix, got shape {tuple(a.shape)}")
    if b.shape != a.shape[:1] or not (b.abs() == 1).all():
        raise ValueError(f"labels must be {len(a)} numbers +1 or −1, got {b}")
    if steps < 1 or not 0 <= regularisation < float("inf"):
        raise ValueError(f"steps must be at least 1 and regularisation at least 0, got {steps} and {regularisation}")
