"""The data set that ships, the one that is fetched, and what happens when either is missing or damaged."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import io
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from web import answer, answering

from imu_core import data, models, runtime
from imu_core.data import embed, fashion
from imu_core.data.download import fetch
from imu_core.errors import DataError
from imu_core.models import networks
from imu_core.records.data import Dataset, Source

FILES = [f"{prefix}-{kind}-ubyte.gz" for prefix in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
ORIGINALS = next((f for f in (fashion.DEBIAN_FOLDER,) if all((f / name).exists() for name in FILES)), None)


# What ships.


def test_the_shipped_set_is_balanced_and_interleaved(shipped: Dataset) -> None:
    for part, size in ((shipped.train, 10_000), (shipped.test, 5_000)):
        assert part.images.shape == (size, 1, 28, 28)
        assert (part.images.dtype, part.labels.dtype) == (torch.uint8, torch.int64)
        assert torch.equal(part.labels, torch.arange(size) % 10)
    assert len(shipped.class_names) == 10


def test_the_shipped_pixels_never_change(shipped: Dataset) -> None:
    """Every stored model, feature and reference is tied to this hash."""
    assert shipped.hash == "46fbb355f8243a88"


def test_the_shipped_set_is_small() -> None:
    assert sum(path.stat().st_size for path in (runtime.ASSETS / "fashion").iterdir()) <= 6_000_000


def test_no_image_is_blank_or_twice_in_a_set(shipped: Dataset) -> None:
    for part in (shipped.train, shipped.test):
        flat = part.images.flatten(1).numpy()
        assert (flat.max(1) > 50).all()
        assert len(np.unique(flat, axis=0)) >= len(flat) - 5


def test_pixel_statistics_are_those_of_the_images(shipped: Dataset) -> None:
    pixels = shipped.train.images.float() / 255
    assert float(pixels.mean()) == pytest.approx(shipped.mean[0], abs=0.005)
    assert float(pixels.std()) == pytest.approx(shipped.std[0], abs=0.005)


@pytest.mark.skipif(ORIGINALS is None, reason="the original files are not here (Debian: apt install dataset-fashion-mnist)")
@pytest.mark.parametrize("part", ["train", "test"])
def test_the_shipped_set_equals_the_originals_bit_for_bit(part: str) -> None:
    images, labels = fashion.read_idx(ORIGINALS, part)
    chosen = torch.stack([(labels == c).nonzero()[: fashion.PER_CLASS[part], 0] for c in range(10)], 1).flatten()
    shipped = getattr(fashion.load_embedded(), part)
    assert torch.equal(shipped.images, images[chosen])
    assert torch.equal(shipped.labels, labels[chosen])


def test_a_data_set_is_read_once_and_shared() -> None:
    assert data.load("fashion") is data.load("fashion")


def test_the_hash_sees_every_pixel_and_label(tiny: Dataset) -> None:
    images, labels = tiny.test.images.clone(), tiny.test.labels.clone()
    images[-1, 0, 27, 27] ^= 1
    labels[-1] = (labels[-1] + 1) % 10
    for part in (dataclasses.replace(tiny.test, images=images), dataclasses.replace(tiny.test, labels=labels)):
        assert dataclasses.replace(tiny, test=part).hash != tiny.hash
    assert dataclasses.replace(tiny).hash == tiny.hash


def test_an_unknown_name_lists_the_known_ones() -> None:
    for call in (data.source, data.is_here, data.load, lambda name: list(data.download(name))):
        with pytest.raises(DataError, match="fashion-full"):
            call("imagenet")


@pytest.mark.parametrize("content", [None, b"", b"RIFF not a picture"])
def test_shipped_images_that_are_missing_or_damaged_give_a_sentence(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "fashion").mkdir()
        for part in ("train", "test"):
            (tmp_path / "fashion" / f"{part}.webp").write_bytes(content)
    monkeypatch.setattr(runtime, "ASSETS", tmp_path)
    with pytest.raises(DataError, match=r"train\.webp"):
        fashion.load_embedded()


# All of it, in a small staging.


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the full data set; its raw folder."""
    monkeypatch.setenv("IMU_DATA", str(tmp_path))
    monkeypatch.setattr(fashion, "DEBIAN_FOLDER", tmp_path / "nowhere")
    return tmp_path / "FashionMNIST" / "raw"


def write_idx(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + images.tobytes(), mtime=0))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + labels.tobytes(), mtime=0))


def staged_images(n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    return pixels, (np.arange(n) % 10).astype(np.uint8)


def test_the_full_set_that_is_not_here_says_what_to_do(nothing_here: Path) -> None:
    assert not fashion.full_is_here()
    with pytest.raises(DataError, match="four gzip files") as caught:
        fashion.load_full()
    assert str(nothing_here) in str(caught.value)


def test_the_full_set_is_read_from_its_gzip_files(nothing_here: Path) -> None:
    images, labels = staged_images()
    write_idx(nothing_here, images, labels)
    found = fashion.load_full()
    assert fashion.full_is_here()
    assert np.array_equal(found.train.images[:, 0].numpy(), images)
    assert found.test.labels.tolist() == labels.tolist()


def test_three_of_four_files_are_not_enough(nothing_here: Path) -> None:
    write_idx(nothing_here, *staged_images())
    (nothing_here / FILES[3]).unlink()
    assert not fashion.full_is_here()


@pytest.mark.parametrize("damage", ["not gzip", "truncated", "flipped", "too short", "other length"])
def test_damaged_files_give_a_sentence(damage: str, nothing_here: Path) -> None:
    write_idx(nothing_here, *staged_images())
    path = nothing_here / FILES[0]
    content = bytearray(path.read_bytes())
    if damage == "not gzip":
        content = b"<html>404</html>"
    elif damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[10:60] = bytes(b ^ 0xFF for b in content[10:60])
    elif damage == "too short":
        content = gzip.compress(b"ab")
    else:
        content = gzip.compress(bytes(16 + 784 * 7))
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="download"):
        fashion.load_full()


def staged_mirror(monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes]) -> None:
    runtime.import_torchvision()
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(FashionMNIST, "resources", [(name, hashlib.md5(body).hexdigest()) for name, body in content.items()])
    answering(monkeypatch, lambda url: answer(content[url.rpartition("/")[2]]))


def test_a_download_arrives_whole_and_reports_its_progress(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(nothing_here, *staged_images())
    content = {name: (nothing_here / name).read_bytes() for name in FILES}
    shutil.rmtree(nothing_here)
    staged_mirror(monkeypatch, content)
    progress = [fraction for fraction, _ in data.download("fashion-full")]
    assert progress == sorted(progress)
    assert 0 <= progress[0] <= progress[-1] == 1
    assert sorted(path.name for path in nothing_here.iterdir()) == sorted(FILES)
    assert {path.stat().st_mode & 0o777 for path in nothing_here.iterdir()} == {0o644}, "others may read them"
    assert len(fashion.load_full().train) == 20


def test_what_is_here_already_is_not_fetched_again(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(nothing_here, *staged_images())
    staged_mirror(monkeypatch, {name: (nothing_here / name).read_bytes() for name in FILES})
    answering(monkeypatch, lambda url: pytest.fail("fetched again"))
    assert [fraction for fraction, _ in data.download("fashion-full")][-1] == 1.0


def test_a_download_with_another_checksum_is_refused_and_not_kept(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged_mirror(monkeypatch, dict.fromkeys(FILES, b"expected"))
    answering(monkeypatch, lambda url: answer(b"something else"))
    with pytest.raises(DataError, match="arrived damaged"):
        list(data.download("fashion-full"))
    assert not nothing_here.exists() or list(nothing_here.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("no route to host"),
        requests.HTTPError("503 Server Error: unavailable"),
        requests.Timeout("timed out"),
        requests.exceptions.ChunkedEncodingError("garbage"),
        OSError("No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_download_that_fails_says_what_to_do(error: Exception, nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str) -> requests.Response:
        raise error

    answering(monkeypatch, fail)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        list(data.download("fashion-full"))
    assert str(error) in str(caught.value)
    assert "use the dataset 'fashion'" in str(caught.value)
    assert list(nothing_here.iterdir()) == []


class Cut(http.server.BaseHTTPRequestHandler):
    """Promises a megabyte and ends after a few bytes; /missing is not there."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"the beginning")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a real server that answers as `Cut` does."""
    monkeypatch.setenv("NO_PROXY", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cut) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("path", "said"), [("/cut", "IncompleteRead|broken"), ("/missing", "404")])
def test_what_a_real_server_leaves_undone_is_a_sentence(path: str, said: str, mirror: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"file.gz could not be downloaded \(.*({said}).*do without") as caught:
        list(fetch(f"{mirror}{path}", "0" * 32, tmp_path / "file.gz", 100, "do without."))
    assert "HTTPConnectionPool" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nobody_at_the_other_end_is_a_sentence_without_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        steps = fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/x", "0" * 32, tmp_path / "x", 100, "do without.")
        with pytest.raises(DataError, match=r"downloaded \(\[Errno \d+\] Connection refused\)"):
            list(steps)


def test_a_download_that_is_stopped_ends_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    going = threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            going.wait(20)
            return b"x" * 1000  # there is always more

    def slow(url: str) -> requests.Response:
        response = answer(b"", **{"Content-Length": "10000000"})
        response.raw = Slow()
        return response

    answering(monkeypatch, slow)
    steps = fetch("http://nowhere/x", "0" * 32, tmp_path / "x", 100, "do without.")
    assert 0.0 <= next(steps) < 1.0
    steps.close()
    going.set()
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("imu-download")]:
        thread.join(20)
        assert not thread.is_alive()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow(reason="15,000 images are packed twice")
def test_embedding_is_lossless_and_repeats_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Dataset) -> None:
    """Two images of each class, embedded twice: the same bytes, and read back the same pixels."""
    pixels, labels = shipped.test.images[:40, 0].numpy(), shipped.test.labels[:40].numpy().astype(np.uint8)
    write_idx(tmp_path, pixels, labels)
    for module in (fashion, embed):
        monkeypatch.setattr(module, "PER_CLASS", {"train": 2, "test": 2})
        monkeypatch.setattr(module, "COLUMNS", 10)
    for out in ("one", "two"):
        embed.embed(tmp_path, tmp_path / out / "fashion")
    one, two = ((tmp_path / out / "fashion" / "train.webp").read_bytes() for out in ("one", "two"))
    assert one == two
    monkeypatch.setattr(runtime, "ASSETS", tmp_path / "one")
    assert np.array_equal(fashion.load_embedded().train.images[:, 0].numpy(), pixels[:20])


def source(**about: object) -> Source:
    return Source("Mine", lambda: pytest.fail("nobody needs its images"), **about)


def test_the_networks_offered_follow_what_a_source_declares_and_not_its_name() -> None:
    for name in ("mine", "cifar-of-mine", "people-of-mine"):
        assert networks.suited(name, source()) == models.FOR_CLASSES
        assert networks.suited(name, source(channels=3)) == models.FOR_COLOUR
        assert networks.suited(name, source(channels=3, people=True)) == models.FOR_PEOPLE
        assert networks.suited(name, source(models=("vgg19", "lenet5"))) == ("vgg19", "lenet5")
    assert networks.suited("cifar20", data.source("cifar20")) == models.FOR_COLOUR
    assert networks.suited("market:/nowhere", data.source("market:/nowhere")) == models.FOR_PEOPLE
    assert networks.suited("folder:/nowhere@32", data.source("folder:/nowhere@32")) == data.FOR_FOLDERS


@pytest.mark.parametrize("name", data.DATASETS)
def test_a_source_has_the_channels_of_its_images_and_networks_that_exist(name: str) -> None:
    known = data.source(name)
    assert set(networks.suited(name, known)) <= set(models.MODELS)
    if known.is_here():
        loaded = data.load(name)
        assert loaded.holds_vectors == known.vectors
        assert known.vectors or known.channels == loaded.train.images.shape[1]


def test_a_set_of_people_is_known_without_its_images() -> None:
    known = [name for name in data.DATASETS if name not in ("few", "crowd")]  # of other tests
    shown = [name for name in (*known, "market:/nowhere", "folder:/nowhere@32", "no such set") if data.shows_people(name)]
    assert shown == ["people", "faces", "market", "market:/nowhere"]
