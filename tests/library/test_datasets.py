"""Real data: what is not byte for byte the expected file is never used, and the gradients are those of the loss."""

import hashlib
import importlib
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest
import torch

from gradpress import datasets
from gradpress.datasets import DataUnavailable, Source, logistic_gradients, parse_libsvm

TRAIN, TEST = b"1 3:1 126:1\n0 1:1\n", b"0 2:1 4:1\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(address: str, content: bytes) -> Source:
    return Source(address, len(content), sha256(content))


class Handler(BaseHTTPRequestHandler):
    """Answers out of `server.answers`: path -> (status, declared length, body)."""

    def do_GET(self):
        status, length, body = self.server.answers.get(self.path, (404, 0, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)
        self.server.requests.append(self.path)

    def log_message(self, *arguments):
        """Keep the test's output quiet."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answers, server.requests = {}, []
        server.handle_error = lambda *arguments: None  # a client that hangs up is part of these tests
        server.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder that does not exist yet; proxies are left aside, for the server is on this machine."""
    monkeypatch.setenv("GRADPRESS_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def small(server, cache, monkeypatch):
    """Two small files in the place of the mushrooms, which the server has."""
    sources = source(f"{server.address}/train", TRAIN), source(f"{server.address}/test", TEST)
    monkeypatch.setattr(datasets, "MUSHROOMS", sources)
    server.answers |= {"/train": (200, len(TRAIN), TRAIN), "/test": (200, len(TEST), TEST)}
    return sources


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


# Fetching and the cache


def test_a_first_use_fetches_and_a_second_needs_no_network(small, server, cache):
    features, labels = datasets.mushrooms()
    assert features.shape == (3, 126)
    assert features.dtype == labels.dtype == torch.float64
    assert features.nonzero().tolist() == [[0, 2], [0, 125], [1, 0], [2, 1], [2, 3]]
    assert labels.tolist() == [1, -1, -1]
    assert contents(cache) == {"train": TRAIN, "test": TEST}
    server.answers.clear()
    assert torch.equal(datasets.mushrooms()[0], features)
    assert server.requests == ["/train", "/test"]


def test_a_cache_filled_by_hand_is_used(small, server, cache):
    cache.mkdir()
    (cache / "train").write_bytes(TRAIN)
    (cache / "test").write_bytes(TEST)
    assert len(datasets.mushrooms()[1]) == 3
    assert not server.requests


def test_the_progress_goes_to_standard_error(small, capsys):
    datasets.mushrooms()
    captured = capsys.readouterr()
    assert "train: 18 of 18 bytes" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("content", [TRAIN[:-3], TRAIN.replace(b"126", b"125"), TRAIN + b"\n", b""])
def test_an_altered_cached_file_is_refused_and_left_alone(small, server, cache, content):
    cache.mkdir()
    (cache / "train").write_bytes(content)
    with pytest.raises(DataUnavailable, match=r"truncated or altered .*: delete it"):
        datasets.mushrooms()
    assert contents(cache) == {"train": content}
    assert not server.requests


ALTERED = TRAIN.replace(b"126", b"125")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, len(TRAIN), TRAIN[:-3]), "has 15 bytes instead of 18|IncompleteRead"),  # the line breaks off
        ((200, len(TRAIN) - 3, TRAIN[:-3]), "has 15 bytes instead of 18"),
        ((200, len(ALTERED), ALTERED), "has a wrong sha256"),
        ((200, 1 << 22, bytes(1 << 22)), "bytes instead of 18"),
        ((404, 0, b""), "404"),
        ((500, 0, b""), "500"),
    ],
)
def test_a_bad_answer_is_refused_and_leaves_nothing(small, server, cache, answer, message):
    server.answers["/train"] = answer
    with pytest.raises(DataUnavailable, match=message) as caught:
        datasets.mushrooms()
    assert contents(cache) == {}
    assert "breast_cancer()" in str(caught.value)


def test_an_endless_answer_is_cut_off(small, server, monkeypatch):
    received = []
    monkeypatch.setattr(datasets.Source, "verify", lambda self, content, origin, remedy: received.append(len(content)))
    server.answers["/train"] = 200, 1 << 22, bytes(1 << 22)
    datasets.download(small[0])
    assert received[0] <= 1 << 16


def test_without_a_server_one_sentence_says_so_and_names_the_alternative(small, server, cache):
    server.server_close()
    with pytest.raises(DataUnavailable, match=r"^There is no network, or http\S+ does not answer") as caught:
        datasets.mushrooms()
    message = str(caught.value)
    assert str(cache) in message
    assert message.endswith("or use breast_cancer(), which needs no network.")
    assert "\n" not in message


def test_a_server_that_does_not_speak_http_is_refused(small, cache, monkeypatch):
    monkeypatch.setattr(Handler, "do_GET", lambda self: self.wfile.write(b"220 mail.example ready\r\n"))
    with pytest.raises(DataUnavailable, match="220 mail"):
        datasets.mushrooms()
    assert contents(cache) == {}


def test_a_silent_server_is_given_up(small, server, monkeypatch):
    server.answers["/train"] = 200, len(TRAIN), b""
    monkeypatch.setattr(datasets, "TIMEOUT", 0.05)
    monkeypatch.setattr(Handler, "do_GET", lambda self: threading.Event().wait(0.5))
    with pytest.raises(DataUnavailable, match="timed out"):
        datasets.mushrooms()


def test_a_file_in_the_place_of_the_cache_folder_is_one_sentence(small, cache):
    cache.write_text("not a folder")
    with pytest.raises(DataUnavailable, match=r"^The cache .* cannot be used"):
        datasets.mushrooms()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("place", ["write_bytes", "replace"])
def test_an_interrupted_write_leaves_nothing(small, cache, monkeypatch, interruption, place):
    def interrupted(path, *arguments):
        if place == "write_bytes":
            with path.open("wb") as partial:
                partial.write(TRAIN[:5])
        raise interruption("the disk is full")

    monkeypatch.setattr(datasets.Path if place == "write_bytes" else datasets.os, place, interrupted)
    with pytest.raises((KeyboardInterrupt, DataUnavailable)):
        datasets.mushrooms()
    assert contents(cache) == {}


WRITER = """
import sys
from pathlib import Path
from gradpress.datasets import write_whole
print("ready", flush=True)
path, letter = sys.stdin.readline().split()
for _ in range(200):
    write_whole(Path(path), letter.encode() * 200_000)
"""


def test_a_reader_beside_two_writers_never_sees_a_part(tmp_path):
    path, seen = tmp_path / "file", set()
    command = [sys.executable, "-c", WRITER]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as second,
    ):
        assert first.stdout.readline() == second.stdout.readline() == "ready\n"
        for writer, letter in ((first, "a"), (second, "b")):
            writer.stdin.write(f"{path} {letter}\n")
            writer.stdin.flush()
        while first.poll() is None or second.poll() is None:
            if path.exists():
                seen.add(path.read_bytes())
            time.sleep(0.001)
    assert first.returncode == second.returncode == 0
    assert seen == {b"a" * 200_000, b"b" * 200_000}
    assert list(contents(tmp_path)) == ["file"]


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADPRESS_DATA", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert datasets.cache_folder() == tmp_path / "chosen"
    monkeypatch.delenv("GRADPRESS_DATA")
    assert datasets.cache_folder() == tmp_path / "xdg" / "gradpress"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert datasets.cache_folder() == tmp_path / ".cache" / "gradpress"


def test_the_lab_takes_the_mushrooms_where_it_can(small, capsys):
    name, features, labels = datasets.mushrooms_or_shipped()
    assert (name, features.shape, labels.shape) == ("mushrooms", (3, 126), (3,))
    assert capsys.readouterr().out == ""


def test_the_lab_says_why_it_takes_the_shipped_data(small, server, capsys):
    server.answers.clear()
    name, features, labels = datasets.mushrooms_or_shipped()
    assert (name, features.shape, labels.shape) == ("breast cancer", (569, 30), (569,))
    assert capsys.readouterr().out.startswith("Using the shipped breast-cancer data: There is no network, or ")


# The parser


def test_the_parser_reads_signs_exponents_blank_lines_and_rows_without_features():
    features, labels = parse_libsvm("+1 1:-.5 3:2e-3\r\n\n-1\n  2.5\t2:1. \n", 3)
    expected = [[-0.5, 0, 0.002], [0, 0, 0], [0, 1, 0]]
    assert torch.equal(features, torch.tensor(expected, dtype=torch.float64))
    assert labels.tolist() == [1, -1, 2.5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2", "must read"),
        ("1 2:", "must read"),
        ("1 :2", "must read"),
        ("1 1:1:1", "must read"),
        ("1:1 2:1", "must read"),
        ("1 a:1", "must read"),
        ("1 1.5:1", "must read"),
        ("1 -1:1", "must read"),
        ("1 1:nan", "must read"),
        ("1 1:inf", "must read"),
        ("1 1:1 # remark", "must read"),
        ("1 ١:1", "must read"),
        ("\0", "must read"),
        ("1 0:1", "from 1 to 3, got 0"),
        ("1 4:1", "from 1 to 3, got 4"),
        ("1 99999999999999999999:1", "from 1 to 3"),
        ("1 2:1 2:1", "must ascend"),
        ("1 2:1 1:1", "must ascend"),
        ("1 1:1e999", "overflows"),
        ("1e999 1:1", "overflows"),
    ],
)
def test_the_parser_refuses_a_malformed_line_among_good_ones(line, message):
    with pytest.raises(ValueError, match=message):
        parse_libsvm(f"1 1:1\n{line}\n0 3:1\n", 3)


# The shipped data


def test_the_shipped_file_is_the_one_its_note_describes():
    folder = files("gradpress") / "data"
    content, note = (folder / "breast_cancer.npz").read_bytes(), (folder / "README.md").read_text("utf-8")
    assert hashlib.sha256(content).hexdigest() in note
    assert f"{len(content):,} bytes" in note


def test_the_shipped_data_is_standardised():
    features, labels = datasets.breast_cancer()
    ones = torch.ones(30, dtype=torch.float64)
    torch.testing.assert_close(features.mean(0), 0 * ones, rtol=0, atol=1e-12)
    torch.testing.assert_close(features.square().mean(0), ones, rtol=1e-12, atol=0)
    assert labels.unique(return_counts=True)[1].tolist() == [212, 357]


def test_the_shipped_data_is_that_of_scikit_learn():
    from sklearn.datasets import load_breast_cancer

    theirs = load_breast_cancer()
    ours = np.load(files("gradpress") / "data" / "breast_cancer.npz", allow_pickle=False)
    assert np.array_equal(ours["features"], theirs.data)
    assert np.array_equal(ours["target"], theirs.target)
    assert np.array_equal(datasets.breast_cancer()[1].numpy(), 2 * theirs.target - 1)


def test_the_shipped_data_needs_no_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)  # any import of it now fails
    monkeypatch.delitem(sys.modules, "gradpress.datasets")
    assert importlib.import_module("gradpress.datasets").breast_cancer()[0].shape == (569, 30)


# The regression data


def test_diabetes_is_that_of_scikit_learn_standardised():
    from sklearn.datasets import load_diabetes

    raw, target = load_diabetes(return_X_y=True, scaled=False)
    features, progress = datasets.diabetes()
    np.testing.assert_allclose(features, (raw - raw.mean(0)) / raw.std(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(progress, (target - target.mean()) / target.std(), rtol=1e-12, atol=1e-12)


def test_diabetes_without_scikit_learn_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataUnavailable, match=r"^diabetes\(\) needs scikit-learn: install gradpress\[data\]"):
        datasets.diabetes()


TOWNS = b'"A","B","MEDV"\n0,1,10\n2,5,30\n'


@pytest.fixture
def towns(server, cache, monkeypatch):
    """A small file in the place of the Boston data, which the server has."""
    chosen = replace(datasets.BOSTON, address=f"{server.address}/towns", size=len(TOWNS), sha256=sha256(TOWNS))
    monkeypatch.setattr(datasets, "BOSTON", chosen)
    server.answers["/towns"] = 200, len(TOWNS), TOWNS
    return chosen


@pytest.mark.parametrize("acknowledged", [False, None, 1, "yes"])
def test_boston_is_refused_with_its_note_unless_it_is_chosen(towns, server, acknowledged):
    with pytest.raises(ValueError, match=r"acknowledged must be True.*share of Black residents.*withdrew the data"):
        datasets.boston(acknowledged=acknowledged)
    with pytest.raises(TypeError):
        datasets.boston(True)
    assert not server.requests


def test_boston_once_chosen(towns):
    features, value = datasets.boston(acknowledged=True)
    assert features.tolist() == [[-1, -1], [1, 1]]
    assert value.tolist() == [-1, 1]


def test_an_altered_boston_names_diabetes_instead(towns, cache):
    cache.mkdir()
    (cache / "towns").write_bytes(TOWNS[:-1])
    with pytest.raises(DataUnavailable, match=r"truncated or altered .* or use diabetes\(\)"):
        datasets.boston(acknowledged=True)


@pytest.fixture
def blocks(server, cache, monkeypatch):
    """A small archive in the place of California's, of unknown size, which the server has under another name."""
    rows = b"-122,37,41,880,129,322,126,8.3,452600\n-121,38,21,7099,1106,2401,1138,8.4,358500\n"
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("CaliforniaHousing/cal_housing.data")
        member.size = len(rows)
        archive.addfile(member, BytesIO(rows))
    content = packed.getvalue()
    chosen = replace(datasets.CALIFORNIA, address=f"{server.address}/files/1", sha256=sha256(content))
    monkeypatch.setattr(datasets, "CALIFORNIA", chosen)
    server.answers["/files/1"] = 200, len(content), content
    return content


def test_california_is_unpacked_into_the_columns_of_scikit_learn(blocks, server, cache):
    """Two rows: every standardised column is ±1, and its sign says which row has more of what it should hold."""
    features, value = datasets.california_housing()
    income, age, rooms, bedrooms, people, a_household, latitude, longitude = features[0].tolist()
    assert features.square().allclose(torch.ones(2, 8, dtype=torch.float64))
    assert (income, age, people, latitude, longitude) == pytest.approx((-1, 1, -1, -1, -1))
    assert (rooms, bedrooms) == pytest.approx((1, 1))  # 880/126 > 7099/1138, 129/126 > 1106/1138
    assert a_household == pytest.approx(1)  # 322/126 > 2401/1138
    assert value.tolist() == pytest.approx([1, -1])
    assert contents(cache) == {"cal_housing.tgz": blocks}
    server.answers.clear()
    assert datasets.california_housing()[1].shape == (2,)


def test_a_file_of_unknown_size_is_read_up_to_the_limit_and_verified(blocks, server, cache, monkeypatch):
    monkeypatch.setattr(datasets, "LIMIT", 1 << 10)
    server.answers["/files/1"] = 200, 1 << 22, bytes(1 << 22)
    with pytest.raises(DataUnavailable, match="has a wrong sha256"):
        datasets.california_housing()
    assert contents(cache) == {}


def test_the_addresses_of_the_housing_data():
    """California's archive and its sha256 are scikit-learn's own."""
    from sklearn.datasets import _california_housing

    theirs = _california_housing.ARCHIVE
    assert (datasets.CALIFORNIA.address, datasets.CALIFORNIA.sha256) == (theirs.url, theirs.checksum)
    assert datasets.CALIFORNIA.name == theirs.filename
    assert datasets.BOSTON.name == "boston_house_prices.csv"


# The gradients


def loss(features, labels, x, regularisation):
    margins = -labels * (features @ x)
    return torch.nn.functional.softplus(margins).mean() + regularisation / 2 * x.square().sum()


def hessian_at_zero(features, labels, regularisation):
    zero = torch.zeros(features.shape[1], dtype=torch.float64)
    return torch.autograd.functional.hessian(lambda x: loss(features, labels, x, regularisation), zero)


@pytest.mark.parametrize("regularisation", [0.0, 1e-3, 2.0])
def test_the_gradients_are_those_of_the_loss_along_steps_of_one_over_the_largest_curvature(regularisation):
    features, labels = datasets.breast_cancer()
    step_size = 1 / torch.linalg.eigvalsh(hessian_at_zero(features, labels, regularisation))[-1]
    x = torch.zeros(30, dtype=torch.float64)
    for gradient in logistic_gradients(features, labels, 30, regularisation):
        x.requires_grad_()
        (expected,) = torch.autograd.grad(loss(features, labels, x, regularisation), x)
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)
        x = (x - step_size * expected).detach()


def test_a_step_lowers_the_loss_by_at_least_the_descent_lemma():
    """f(x − ∇f/L) ≤ f(x) − ‖∇f‖²/(2L): with an L that is too small the sum over the path would break this."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 7, dtype=torch.float64, generator=generator)
    labels = torch.randn(40, dtype=torch.float64, generator=generator).sign()
    smoothness = torch.linalg.eigvalsh(hessian_at_zero(features, labels, 0.1))[-1]
    gradients = logistic_gradients(features, labels, 50, 0.1)
    x = -gradients.sum(0) / smoothness
    fall = loss(features, labels, 0 * x, 0.1) - loss(features, labels, x, 0.1)
    assert fall >= gradients.square().sum() / (2 * smoothness)


def test_the_gradients_repeat_accept_arrays_and_leave_their_input_alone():
    features, labels = datasets.breast_cancer()
    before = features.clone()
    first = logistic_gradients(features, labels, 5, 1e-3)
    assert first.dtype == torch.float64
    assert not first.requires_grad
    assert torch.equal(first, logistic_gradients(features.numpy(), labels.numpy(), 5, 1e-3))
    assert torch.equal(features, before)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"features": torch.ones(4)}, "features"),
        ({"features": torch.ones(0, 2)}, "features"),
        ({"features": torch.zeros(4, 2)}, "features"),
        ({"features": torch.full((4, 2), torch.nan)}, "features"),
        ({"labels": torch.ones(3)}, "labels"),
        ({"labels": torch.tensor([0.0, 1, 1, 0])}, "labels"),
        ({"steps": 0}, "steps"),
        ({"regularisation": -1e-9}, "regularisation"),
        ({"regularisation": float("nan")}, "regularisation"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changed, message):
    good = {"features": torch.ones(4, 2), "labels": torch.tensor([1.0, -1, 1, 1]), "steps": 3, "regularisation": 0.1}
    with pytest.raises(ValueError, match=message):
        logistic_gradients(**good | changed)
