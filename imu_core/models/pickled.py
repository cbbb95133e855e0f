"""A checkpoint that torch pickled: what the process that reads it runs. It imports torch and nothing of this program.

The file comes in on standard input; out go its tensors as safetensors, or a sentence on why there are none. The process allows
itself little more memory than the file justifies: a few hundred bytes of pickle can ask for gigabytes, or for years.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

MOST_BYTES, MOST_TENSORS, MOST_NUMBERS = 1 << 30, 20_000, 1 << 28
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
DEEPEST = 3
REFUSED = 3  # exit status: what was written is not tensors but a sentence
ABOUT = "about"  # the tensor that carries the names, as bytes of JSON: safetensors sorts, and takes no broken Unicode
NO_STATE = "holds no state dict: no names with tensors. Save it with torch.save(model.state_dict(), …)."
_SPARE, _COPIES = 1 << 30, 6  # bytes for whatever the file; and the file, its storages, their copies, and what is written
_SMALL = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)  # torch cannot compute with them
_KINDS = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, *_SMALL),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


class Refused(Exception):
    """Why a file is not read, in words that go on after its name."""


def shown(name: object, most: int = 60) -> str:
    """What a stranger wrote, fit for a sentence: one line, at most `most` characters, and whatever cannot be printed as \\x1b."""
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(name)[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without gradients, floats of one byte as float32; Refused where one is not simply numbers in memory."""
    if len(tensors) > MOST_TENSORS:
        raise Refused(f"holds {len(tensors):,} tensors; at most {MOST_TENSORS:,} are read.")
    numbers = 0
    for name, tensor in tensors.items():
        if not _is_plain(tensor):
            raise Refused(
                f"holds under {shown(name)} no plain tensor of numbers (sparse, nested, quantised, complex, of bits, or without "
                "data). Save it in float32."
            )
        numbers += tensor.numel()  # a view of one number can claim to be a trillion
        if numbers > MOST_NUMBERS:
            raise Refused(f"claims more than {MOST_NUMBERS:,} numbers; no more are read.")
    return {name: t.detach().float() if t.dtype in _SMALL else t.detach() for name, t in tensors.items()}


def _is_plain(tensor: Tensor) -> bool:
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.dtype not in _KINDS:
        return False
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not (tensor.is_quantized or tensor.is_nested)


def unwrapped(found: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict in `found`, and the keys through which it was reached; Refused where there is none."""
    through: list[str] = []
    while isinstance(found, dict) and len(through) <= DEEPEST:
        # dict's own methods: a pickle may have set attributes of these names on an OrderedDict
        inner = next((key for key in WRAPPERS if isinstance(dict.get(found, key), dict)), None)
        if inner is None:
            tensors = {str(name): value for name, value in dict.items(found) if isinstance(value, Tensor)}
            if not tensors:
                break
            return tensors, tuple(through)
        through.append(inner)
        found = dict.get(found, inner)
    raise Refused(NO_STATE)


def packed(tensors: Mapping[str, Tensor], through: tuple[str, ...]) -> bytes:
    """Plain `tensors` as safetensors, under numbers instead of their names; `unpacked` takes them out again."""
    about = json.dumps({"names": list(tensors), "through": through}).encode("ascii")
    numbered = {str(n): t.resolve_neg().clone(memory_format=torch.contiguous_format) for n, t in enumerate(tensors.values())}
    return safetensors.torch.save({**numbered, ABOUT: torch.frombuffer(bytearray(about), dtype=torch.uint8)})


def unpacked(content: bytes) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(tensors by name, in the order they had, and the keys through which they were reached) from what `packed` made."""
    found = safetensors.torch.load(content)
    about = json.loads(found.pop(ABOUT).numpy().tobytes())
    return {name: found[str(number)] for number, name in enumerate(about["names"])}, tuple(about["through"])


def _read(content: bytes) -> bytes:
    try:
        _check_zip(content)
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        tensors, through = unwrapped(found)
        return packed(plain(tensors), through)
    except Refused:
        raise
    except Exception as error:  # a hostile pickle can make the reader raise anything; what it asked for was not done
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise Refused(f"asks for far more memory than a file of {len(content):,} bytes needs; it is damaged.") from None
        asked = re.search(r"(?:GLOBAL|class|function|unsupported operand|built-in) ?`?([\w.]+\.[\w.]+)", str(error))
        wants = f" (it asks for {shown(asked[1])})" if asked else ""
        raise Refused(
            f"is damaged, or holds more than tensors{wants}; nothing in it was run. Save the model again with "
            "torch.save(model.state_dict(), …), or as safetensors."
        ) from None


def _check_zip(content: bytes) -> None:
    """torch writes its zip without compression; one that grows when it is read was not made by torch."""
    if not content.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise Refused(f"is a damaged archive ({shown(error, 100)}). Copy it again.") from None
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or sum(m.file_size for m in members) > MOST_BYTES:
        raise Refused("is a compressed archive, not what torch.save writes. Give the checkpoint itself.")


def _limit(size: int, seconds: int) -> None:
    """Bounds of this process from now on, where the system has such: memory, processor time, and what it writes."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))  # ends it even where nobody is left to
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MOST_NUMBERS + _SPARE,) * 2)
        with open("/proc/self/statm") as file:  # torch itself takes much address space, more where it knows GPUs
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _COPIES * size + _SPARE,) * 2)


def main(seconds: int) -> int:
    """Read standard input and answer on standard output; the exit status says with what."""
    content = sys.stdin.buffer.read()
    _limit(len(content), seconds)
    try:
        answer, status = _read(content), 0
    except Refused as refusal:
        answer, status = str(refusal).encode("utf-8", "replace"), REFUSED
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
