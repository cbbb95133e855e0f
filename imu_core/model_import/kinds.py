"""What a file is that is no checkpoint: recognised by its first bytes or its members, and said in words with what to do."""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Sequence

from imu_core.errors import shown

_AGAIN = "Download the file itself again."
_SAVE = "Save the tensors as a state dict with torch.save(model.state_dict(), …), or as safetensors."
_CONVERT = f"Load it with the program that wrote it, and convert it. {_SAVE}"
_UNPACK = "Unpack it and give the checkpoint in it."

# (bytes, where they stand, what it is, what to do)
_MAGIC: tuple[tuple[bytes, int, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", 0, "an HDF5 file, as Keras and TensorFlow write it", _CONVERT),
    (b"\x93NUMPY", 0, "a NumPy array (.npy)", _SAVE),
    (b"GGUF", 0, "a GGUF file of a language model", _SAVE),
    (b"TFL3", 4, "a TensorFlow Lite model", _CONVERT),
    (b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", -8, "the index of a TensorFlow checkpoint", _CONVERT),
    (b"\x12\x01\x00\x00\x00\x00\x00\x00", 0, "a file of MXNet's parameters", _CONVERT),
    (b"\x04\x00\x00\x00\x01\x00\x00\x00", 0, "a file of Lua Torch (.t7)", _CONVERT),
    (b"MATLAB 5.0", 0, "a MATLAB file", _SAVE),
    (b"SQLite format 3\x00", 0, "an SQLite database", "Give the checkpoint instead."),
    (b"\x1f\x8b", 0, "packed with gzip", _UNPACK),
    (b"BZh", 0, "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", 0, "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", 0, "packed with zstd", _UNPACK),
    (b"\x04\x22\x4d\x18", 0, "packed with lz4", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", 0, "a RAR archive", _UNPACK),
    (b"ustar", 257, "a tar archive", _UNPACK),
    (b"\x89PNG", 0, "an image (PNG)", "Images belong in the archive of images; give the checkpoint here."),
    (b"\xff\xd8\xff", 0, "an image (JPEG)", "Images belong in the archive of images; give the checkpoint here."),
    (b"GIF8", 0, "an image (GIF)", "Images belong in the archive of images; give the checkpoint here."),
    (b"%PDF", 0, "a PDF document", "Give the checkpoint instead."),
    (b"\x7fELF", 0, "a program or library", "Give the checkpoint instead; nothing in it was run."),
    (b"MZ", 0, "a program for Windows", "Give the checkpoint instead; nothing in it was run."),
    (b"\x00asm", 0, "a WebAssembly program", "Give the checkpoint instead; nothing in it was run."),
)
_ONNX = re.compile(rb"\x08[\x01-\x20](?:\x12|\x1a|\x3a|\x42)", re.DOTALL)  # ir_version, then producer, domain, graph or opset
_ENDINGS = {
    ".onnx": "an ONNX model",
    ".pb": "a graph of TensorFlow",
    ".tflite": "a TensorFlow Lite model",
    ".caffemodel": "a model of Caffe",
    ".msgpack": "a checkpoint of Flax",
    ".mlmodel": "a model of Core ML",
    ".weights": "a file of Darknet's weights",
    ".distcp": "one part of a distributed checkpoint of torch",
    ".ckpt.meta": "the graph of a TensorFlow checkpoint",
}
_TF_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled
_CHECKPOINTS = (".pt", ".pth", ".safetensors", ".ckpt", ".bin", ".th", ".pth.tar", ".pkl")
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
_MOST_MEMBERS, _MOST_JSON, _MOST_SCANNED = 200_000, 1 << 25, 1 << 20
_HEAD = 4096


def unlike(content: bytes, file: str) -> str:
    """Words on what `content` is, if not a checkpoint, that go on after the file's name; "" where it may be one."""
    if not content:
        return "is empty: it has 0 bytes. Copy or download it again."
    if content[:2] == b"PK":
        return _zipped(content)
    for magic, at, what, todo in _MAGIC:
        if content.endswith(magic) if at == -8 else content[at : at + len(magic)] == magic:
            return f"is {what}, not a checkpoint of torch. {todo}"
    if content[8:9] == b"{" and len(content) - 8 < int.from_bytes(content[:8], "little") < 100_000_000:
        return f"is a safetensors file that was cut off after {len(content):,} bytes, so it is damaged. {_AGAIN}"
    if not any(content[:_HEAD]) and not any(content[-_HEAD:]):
        return f"holds zeros where a checkpoint begins and ends: it is a damaged copy. {_AGAIN}"
    return _a_pickle(content) or _text(content, file) or _by_ending(content, file)


def _by_ending(content: bytes, file: str) -> str:
    name = file.lower()
    if content[:1] == b"\x80" or content[8:9] == b"{":  # a pickle or safetensors under whatever name
        return ""
    what = next((what for ending, what in _ENDINGS.items() if name.endswith(ending)), "")
    if _TF_DATA.search(name):
        what = "one part of a TensorFlow checkpoint"
    elif not what and _ONNX.match(content):
        what = "an ONNX model, as it seems"
    return f"is {what}, not a checkpoint of torch. {_CONVERT}" if what else ""


# Text.


def _text(content: bytes, file: str) -> str:
    text = _decoded(content)
    if text is None:
        return ""
    plain = text.lstrip("\ufeff \t\r\n")
    if plain.startswith("version https://git-lfs.github.com/"):
        return f"is a git-lfs pointer: it only names the file that git-lfs keeps elsewhere. Run git lfs pull, or {_AGAIN.lower()}"
    if re.match(r"(/annex/objects/|(\.\./)*\.git/annex/)", plain):
        return f"is a git-annex pointer, not the file itself. Run git annex get, or {_AGAIN.lower()}"
    if re.match(r"outs:\s*\n\s*- ", plain):
        return f"is a pointer of DVC, not the file itself. Run dvc pull, or {_AGAIN.lower()}"
    if re.match(r"<(!doctype html|html|head|body|script|meta|title|!--)", plain, re.IGNORECASE):
        return f"is a web page (HTML){_titled(plain)}, which a server sent instead of the file. {_AGAIN}"
    if plain.startswith("<"):
        return f"is XML, such as a server's error message or another program's model{_quoted(plain)}. {_AGAIN}"
    if plain[:1] in ("{", "["):
        return _json(content, plain)
    return f"is a text of {len(content):,} bytes, no checkpoint{_quoted(plain)}. {_AGAIN}"


def _decoded(content: bytes) -> str | None:
    """The beginning of a text; None where it is none."""
    head = content[:_HEAD]
    for bom, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8")):
        if head.startswith(bom):
            text = head.decode(encoding, "replace")[: -4 if len(content) > _HEAD else None]  # the last letter may be cut
            printable = sum(sign.isprintable() or sign in "\r\n\t\ufeff" for sign in text)
            return text if text and printable >= 0.98 * len(text) and "\ufffd" not in text and "\0" not in text else None
    return None


def _titled(page: str) -> str:
    title = re.search(r"<title[^>]*>([^<]{1,200})", page, re.IGNORECASE)
    return f", titled “{shown(' '.join(title[1].split()))}”" if title else ""


def _quoted(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"; it begins “{shown(line)}”" if line else ""


def _json(content: bytes, head: str) -> str:
    document = None
    if len(content) <= _MOST_JSON:
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
    if not isinstance(document, dict):
        return f"is a text in JSON, no checkpoint{_quoted(head)}. {_AGAIN}"
    if isinstance(document.get("weight_map"), dict):
        parts = sorted({str(part) for part in document["weight_map"].values()})
        return (
            f"is the index of a checkpoint that is split into {len(parts)} files ({_few(parts)}); the tensors are in those, the "
            f"index holds none. {joined(len(parts))}"
        )
    if {"model_type", "architectures", "num_classes", "architecture"} & document.keys():
        return f"describes a model in JSON ({_few(list(document))}) and holds no tensors. Give the file with the weights."
    message = next((document[key] for key in ("error", "message", "detail", "msg", "errors") if document.get(key)), None)
    if message is not None:
        return f"is an error message in JSON that a server sent instead of the file: “{shown(message, 120)}”. {_AGAIN}"
    return f"is a text in JSON with the keys {_few(list(document)) or 'none'}, no checkpoint. {_AGAIN}"


def joined(count: int) -> str:
    """A sentence on how to make one file of a checkpoint in `count` parts."""
    return (
        f"Join all {count} parts into one file: read each one into the same dictionary, and save that with "
        "safetensors.torch.save_file or torch.save."
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(shown(name, 40) for name in names[:4]) + (", …" if len(names) > 4 else "")


# Pickles that torch did not write.


def _a_pickle(content: bytes) -> str:
    """A pickle of Python's own; torch's begins with a magic number."""
    if _LEGACY in content[:40]:
        return ""
    starts = content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    names, ended = _globals(content)
    if not starts and not ended:
        return ""
    wants = f" (it asks for {_few(names)})" if names else ""
    if not starts or ended or names:
        arrays = " It seems to hold NumPy arrays: turn each into a tensor." if any(a.startswith("numpy") for a in names) else ""
        return f"is a pickle that torch.save did not write{wants}; nothing in it was run.{arrays} {_SAVE}"
    return f"is a damaged pickle, or one that was cut off; nothing in it was run. {_AGAIN}"


def _globals(content: bytes) -> tuple[list[str], bool]:
    """(what a pickle asks for, by dotted name, whether it came to an end); nothing is run. Bounded by `_MOST_SCANNED` bytes."""
    names: dict[str, None] = {}
    texts: list[str] = []
    count = 0
    try:
        for code, value, _ in pickletools.genops(io.BytesIO(content[:_MOST_SCANNED])):
            count += 1
            if code.name in ("GLOBAL", "INST"):
                names[str(value).replace(" ", ".")] = None
            elif code.name == "STACK_GLOBAL" and len(texts) > 1:
                names[".".join(texts[-2:])] = None
            elif isinstance(value, str):
                texts = [*texts[-1:], value[:200]]
    except Exception:  # noise is no pickle, in whatever way it fails
        return list(names), False
    return list(names), count > 2


# Archives.


def _zipped(content: bytes) -> str:
    if content.count(b"PK\x01\x02") > _MOST_MEMBERS:
        return f"is an archive with more than {_MOST_MEMBERS:,} members, no checkpoint. {_UNPACK}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError) as error:
        return f"is a damaged archive, perhaps cut off ({shown(error, 100)}). {_AGAIN}"
    ends = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in ends and "constants.pkl" not in ends and not any("/code/" in name for name in names):
        return ""
    return f"is {_archive(names, ends)}"


def _archive(names: list[str], ends: set[str]) -> str:
    if "constants.pkl" in ends or any("/code/" in name for name in names):
        return (
            "a TorchScript program (torch.jit.save), which holds code beside its tensors; nothing in it was run. Save the "
            "tensors alone: torch.save(torch.jit.load(file).state_dict(), …)."
        )
    if ends & {"archive_format", "serialized_exported_program.json"}:
        return f"a program of torch.export (.pt2), not a checkpoint. {_SAVE}"
    if names and all(name.endswith(".npy") for name in names):
        return f"an archive of NumPy arrays (.npz): {_few(names)}. Turn each into a tensor. {_SAVE}"
    if "model.weights.h5" in ends or "saved_model.pb" in ends:
        return f"a model of Keras or TensorFlow, not a checkpoint of torch. {_CONVERT}"
    if any(name.startswith("MAR-INF/") for name in names):
        return f"a model archive of TorchServe. {_UNPACK}"
    if "[Content_Types].xml" in ends:
        return "an office document. Give the checkpoint instead."
    inside = [name for name in names if name.lower().endswith(_CHECKPOINTS)]
    if inside:
        return f"a zip archive, and the checkpoint may lie in it: {_few(inside)}. {_UNPACK}"
    if any(name.lower().endswith(_IMAGES) for name in names):
        return "a zip archive of images. Those go where images are asked for; give the checkpoint here."
    return f"a zip archive of {len(names):,} files ({_few(names) or 'none'}), not what torch.save writes. {_UNPACK}"
