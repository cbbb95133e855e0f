"""Checkpoints nobody should write: each is accepted rightly or ends in a sentence of ours; and forms that people do write.

Pickles are read in this process: what the process apart adds is bounds, and those are tried in `test_own`.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from imu_core import models
from imu_core.errors import CheckpointError
from imu_core.model_import import apart, foreign, pickled
from imu_core.model_import.normalisations import normalisation, normalised_by
from imu_core.records.data import Dataset, ImageSet

State = dict[str, Tensor]
# The default run takes three attacks of each kind, spread over the lists.
pytestmark = pytest.mark.sample(3, reason="one attack of many of a kind")
LONG = "x" * 10_000


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own for each pickle costs seconds."""
    monkeypatch.setattr(apart, "unpickled", lambda content, stop=None: pickled.unpacked(pickled._read(content)))


def net(name: str = "small_resnet") -> nn.Module:
    model = models.construct(name, 3, (3, 16, 16), (0.5,) * 3, (0.5,) * 3, head="head", seed=1).eval()
    for number, tensor in enumerate(model.state_dict().values()):
        if tensor.is_floating_point() and number > 1:  # whatever is mistaken for another layer shows
            tensor.add_(0.01 * torch.rand(tensor.shape, generator=torch.Generator().manual_seed(number)))
    return model


def state(name: str = "small_resnet") -> State:
    return {n: t.clone() for n, t in net(name).state_dict().items() if not n.startswith("normalise")}


def theirs(given: State | None = None) -> State:
    """The same tensors as others name them."""
    found = {}
    for key, tensor in (state() if given is None else given).items():
        for ours, other in (("stem.0", "conv1"), ("stem.1", "bn1"), ("head", "fc"), ("shortcut", "downsample")):
            key = key.replace(ours, other)
        for n in range(3):
            key = key.replace(f"blocks.{n}.", f"layer{n + 1}.0.")
        found[key] = tensor
    return found


def saved(found: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(found, buffer)
    return buffer.getvalue()


def under(prefix: str, found: State) -> State:
    return {prefix + name: tensor for name, tensor in found.items()}


def shortcut_first(found: State) -> State:
    names = list(found)
    for key in reversed([name for name in names if "downsample" in name]):
        names.remove(key)
        names.insert(next(n for n, other in enumerate(names) if other.startswith(key[:9])), key)
    return {name: found[name] for name in names}


def masked(found: State) -> State:
    made: State = {}
    for name, tensor in found.items():
        made |= {f"{name}_mask": torch.ones_like(tensor), f"{name}_orig": tensor} if tensor.ndim == 4 else {name: tensor}
    return made


def normed(found: State) -> State:
    weight = found["fc.weight"]
    rest = {name: tensor for name, tensor in found.items() if name != "fc.weight"}
    return rest | {"fc.weight_g": weight.norm(dim=1, keepdim=True), "fc.weight_v": weight / 7}


class Whole(nn.Module):
    """A network that somebody pickled whole."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()


# What people write: (the file, words that must be said).
GOOD: dict[str, tuple[Callable[[], Any], str]] = {
    "swa": (lambda: {"n_averaged": torch.tensor(5), **under("module.", theirs())}, "n_averaged"),
    "ema alone": (lambda: {"model_ema": under("module.", theirs()), "epoch": 3}, "under model_ema"),
    "ema beside": (
        lambda: {"state_dict_ema": under("module.", theirs()), "state_dict": theirs()},
        "under state_dict; not taken, though it fits as well: state_dict_ema",
    ),
    "lightning": (
        lambda: {"state_dict": {**under("model.", theirs()), "criterion.weight": torch.ones(3)}, "loops": {}},
        "state_dict.criterion.weight",
    ),
    "unknown wrappers": (lambda: {"a": {"b": [{"c": under("module._orig_mod.", theirs())}, 1]}}, "under a.b.0.c"),
    "compiled inside": (lambda: {n.replace("layer1", "layer1._orig_mod"): t for n, t in theirs().items()}, "_orig_mod."),
    "pruned": (lambda: masked(theirs()), "pruning masks of 9 tensors"),
    "weight norm": (lambda: normed(theirs()), "weight norms of 1 tensor "),
    "second head": (
        lambda: {**theirs(), "projector.0.weight": torch.randn(32, 64), "projector.0.bias": torch.zeros(32)},
        "projector",
    ),
    "a head like ours beside": (lambda: {**state(), "aux.weight": torch.zeros(3, 64), "aux.bias": torch.zeros(3)}, "aux"),
    "shortcut first": (lambda: shortcut_first(theirs()), "by their shapes"),
    "counters of operations": (
        lambda: theirs() | {"layer1.0.conv1.total_ops": torch.zeros(1), "total_ops": torch.zeros(1)},
        "total_ops",
    ),
    "optimizer": (lambda: {"net": theirs(), "optimizer": {"state": {0: {"exp_avg": torch.ones(16, 3, 3, 3)}}}}, "under net"),
    "args": (lambda: {"model": theirs(), "args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
    "numpy beside": (lambda: {"model": theirs(), "best": np.float64(91.2), "curve": np.arange(3.0)}, "not run"),
    "containers": (lambda: {"model": theirs(), "log": defaultdict(list, {"a": [1]}), "at": PurePosixPath("x")}, "under model"),
    "saved whole": (Whole, "not run"),
    "nan beside": (lambda: {**theirs(), "criterion.centre": torch.full((3,), torch.nan)}, "criterion.centre"),
    "sparse beside": (lambda: {**theirs(), "graph.edges": torch.eye(3).to_sparse()}, "graph.edges"),
    "complex beside": (lambda: {**theirs(), "rope.freqs": torch.zeros(3, dtype=torch.complex64)}, "rope.freqs"),
    "a trillion beside": (lambda: {**theirs(), "bank.queue": torch.zeros(1).expand(1 << 40)}, "bank.queue"),
    "no numbers beside": (lambda: {**theirs(), "bank.queue": torch.zeros(0, 128)}, "bank.queue"),
}  # fmt: skip


@pytest.mark.parametrize("form", GOOD)
def test_what_lies_beside_a_network_is_left_out_and_said(form: str) -> None:
    make, words = GOOD[form]
    matched = foreign.match(net(), foreign.read(saved(make())), 3)
    wanted = state()
    close = {n: torch.allclose(matched.state[n].float(), wanted[n].float(), atol=1e-6) for n in wanted}
    assert all(close.values()), [name for name, same in close.items() if not same]
    assert words in matched.how
    assert matched.how.isprintable()


@pytest.mark.parametrize("names", ["normalize.", "normalise.", "module.normalize.", "0.", "preprocess.pixel_"])
def test_a_normalisation_that_lies_in_a_file_counts(names: str) -> None:
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    images = ImageSet(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    dataset = Dataset("d", "d", images, images, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
    for factor in (1, 255):
        if factor > 1 and names == "normalise.":
            continue
        strange = foreign.read(saved({**theirs(), f"{names}mean": factor * mean, f"{names}std": factor * std}))
        assert "carries" in normalised_by(strange, dataset)
        assert np.allclose(normalisation("none", dataset, strange), (mean, std), atol=1e-6)
        assert "left out" not in foreign.match(net(), strange, 3).how


def archive(*members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name in members:
            made.writestr(name, b"x" * 40)
    return buffer.getvalue()


def data_pkl(opcodes: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in {"data.pkl": opcodes, "byteorder": b"little", "version": b"3\n"}.items():
            made.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = dict(theirs())
    for _ in range(depth):
        found = {"m": found}
    return found


def dictionaries(depth: int) -> bytes:
    """A pickle of one within the other; torch cannot write so many."""
    return b"\x80\x02" + depth * b"}X\x01\0\0\0m" + b"}" + depth * b"s" + b"."


def header(about: Any, body: bytes = b"") -> bytes:
    text = json.dumps(about).encode()
    return len(text).to_bytes(8, "little") + text + body


def deeper() -> State:
    return {**theirs(), **{n.replace("layer3.0", "layer3.1"): t for n, t in theirs().items() if "layer3.0" in n}}


PADDED = b"\0" * 100
# (content, file name, words of the answer).
BAD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 4\n", "a.pth", "git-lfs pointer"),
    "annex": (lambda: b"/annex/objects/MD5E-s1--aa.pth\n", "a.pth", "git-annex pointer"),
    "web page": (lambda: b"\n<!DOCTYPE html><html><title>Scan \x1b[2J</title></html>", "a.pth", "web page"),
    "xml": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a.pth", "XML"),
    "json error": (lambda: b'{"error": "Repository not found"}', "a.pth", "Repository not found"),
    "json deep": (lambda: b"[" * 200_000, "a.pth", "JSON"),
    "config": (lambda: b'{"architectures": ["ResNet"], "model_type": "resnet"}', "config.json", "describes a model"),
    "index": (lambda: b'{"weight_map": {"a": "model-1-of-2.bin", "b": "model-2-of-2.bin"}}', "i.json", "split into 2 files"),
    "not found": (lambda: b"404: Not Found", "a.pth", "404: Not Found"),
    "gzip": (lambda: b"\x1f\x8b" + PADDED, "a.pth", "gzip"),
    "tar": (lambda: b"a" * 257 + b"ustar" + PADDED, "a.pth.tar", "tar archive"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + PADDED, "a.h5", "HDF5"),
    "npy": (lambda: b"\x93NUMPY" + PADDED, "a.npy", "NumPy"),
    "npz": (lambda: archive("a.npy", "b.npy"), "a.npz", "NumPy arrays"),
    "keras": (lambda: archive("config.json", "model.weights.h5"), "a.keras", "Keras"),
    "torchscript": (lambda: archive("m/data.pkl", "m/constants.pkl", "m/code/x.py"), "a.pt", "TorchScript"),
    "packed": (lambda: archive("weights/best.pth"), "a.zip", "weights/best.pth"),
    "images": (lambda: archive("train/a/1.png"), "a.zip", "archive of images"),
    "onnx": (lambda: b"\x08\x07\x12\x07pytorch" + PADDED, "a.pth", "ONNX"),
    "tensorflow": (lambda: b"\x0a\x05abc" + bytes(range(200)), "model.ckpt.data-00000-of-00001", "TensorFlow"),
    "zeros": (lambda: bytes(5000), "a.pth", "zeros"),
    "cut zip": (lambda: saved(theirs())[:5000], "a.pth", "damaged archive"),
    "cut safetensors": (lambda: safetensors.torch.save(state())[:50], "a.safetensors", "cut off"),
    "many members": (lambda: b"PK" + b"PK\x01\x02" * 200_001, "a.zip", "200,000 members"),
    "plain pickle": (lambda: pickle.dumps({"w": np.ones(3)}), "a.pkl", "NumPy arrays"),
    "eval": (lambda: data_pkl(b"\x80\x02cbuiltins\neval\nX\x01\0\0\0a\x85R."), "a.pt", "nothing in it was run"),
    "system": (lambda: data_pkl(b"\x80\x02}X\x01\0\0\0acos\nsystem\nX\x02\0\0\0ls\x85Rs."), "a.pt", "nothing in it was run"),
    "subprocess": (lambda: data_pkl(b"\x80\x02csubprocess\nPopen\nX\x02\0\0\0ls\x85R."), "a.pt", "subprocess.Popen"),
    "protocol 5": (lambda: data_pkl(pickle.dumps({"a": "b" * 50}, protocol=5)), "a.pt", "protocol 4 or later"),
    "no pickle": (lambda: data_pkl(b"nonsense"), "a.pt", "nothing in it was run"),
    "empty pickle": (lambda: data_pkl(b""), "a.pt", "cut off"),
    "stack underflow": (lambda: data_pkl(b"\x80\x02s."), "a.pt", "nothing in it was run"),
    "missing memo": (lambda: data_pkl(b"\x80\x02h\x09."), "a.pt", "nothing in it was run"),
    "storage that is not there": (
        lambda: data_pkl(b"\x80\x02((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ."), "a.pt", "run"
    ),
    "nested 1000 deep": (lambda: data_pkl(dictionaries(1000)), "a.pt", "no state dict"),
    "nested beyond": (lambda: saved(nested(100)), "a.pt", "no state dict"),
    "numbers for names": (lambda: saved({0: torch.ones(2), 1.5: torch.ones(2), None: torch.ones(2)}), "a.pt", "another network"),
    "long names": (lambda: saved({LONG + str(n): torch.ones(2) for n in range(20)}), f"{LONG}.pt", "another network"),
    "dots": (lambda: saved({"." * 10_000: torch.ones(2), "": torch.ones(2), ".": torch.ones(1)}), "a.pt", "another network"),
    "nul in names": (lambda: saved({"a\0b.weight": torch.ones(2), "\n.\u202e": torch.ones(2)}), "a\0\n.pt", "another network"),
    "arrays alone": (lambda: saved({"w": np.ones(3)}), "a.pt", "NumPy array"),
    "objects alone": (lambda: saved(argparse.Namespace(a=1)), "a.pt", "argparse.Namespace"),
    "shard": (lambda: saved({"conv1.weight": torch.ones(16, 3, 3, 3)}), "m-00001-of-00003.bin", "one of 3 parts"),
    "larger": (lambda: saved(deeper()), "a.pt", "another network.*layer3.1"),
    "quantised": (
        lambda: saved(theirs() | {"fc.bias": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}), "a.pt", "no plain"
    ),
    "scalars": (lambda: saved({f"w{n}": torch.tensor(1.0) for n in range(100)}), "a.pt", "another network"),
    "nothing inside": (lambda: saved({n: t[:0] for n, t in theirs().items() if t.ndim}), "a.pt", "another network|shape"),
    "too many": (lambda: saved(OrderedDict((f"w{n}", torch.tensor(1)) for n in range(3000))), "a.pt", "holds .* tensors"),
    "header of text": (lambda: (60).to_bytes(8, "little") + b"{" * 80, "a.safetensors", "damaged safetensors"),
    "overlapping": (
        lambda: header({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}, b"\0" * 4), "a.st", "damaged"
    ),
    "offsets of terabytes": (
        lambda: header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}, b"\0" * 16), "a.st", "damaged"
    ),
    "unknown kind": (lambda: header({"a": {"dtype": "Q7", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4), "a.st", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("form", BAD)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_such_checkpoint_is_a_sentence(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, file, words = BAD[form]
    monkeypatch.setattr(pickled, "MOST_TENSORS", 2000)
    with pytest.raises(CheckpointError, match=words) as caught:
        foreign.match(net(), foreign.read(make(), file), 3)
    text = str(caught.value)
    assert text.isprintable()
    assert text[-1] in ".)"
    assert 20 < len(text) < 900


def test_a_larger_network_of_the_same_kind_is_not_mistaken_for_a_smaller_one() -> None:
    file = foreign.read(saved(state("resnet20") | {"row3.3.conv1.weight": torch.zeros(64, 64, 3, 3)}))
    assert foreign.ways(net("resnet20"), file) == []
    assert len(foreign.ways(net("resnet20"), foreign.read(saved(state("resnet20"))))) == 1
