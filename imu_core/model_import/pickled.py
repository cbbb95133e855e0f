"""A checkpoint that torch pickled: what the process that reads it runs. It imports torch and nothing of this program.

The file comes in on standard input; out go its tensors as safetensors, or a sentence on why there are none. Objects that lie
beside the tensors become empty ones that do nothing (`Inert`): torch's `weights_only` reader makes them, and nothing of a
stranger's is run. The process allows itself little more memory than the file justifies: a few hundred bytes of pickle can ask for
gigabytes, or for years.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

MOST_BYTES, MOST_TENSORS, MOST_NUMBERS = 1 << 30, 20_000, 1 << 28
DEEPEST, MOST_ENTRIES = 12, 500_000  # how far containers are looked into, and how many entries of them
REFUSED = 3  # exit status: what was written is not tensors but a sentence
ABOUT = "about"  # the tensor that carries the names, as bytes of JSON: safetensors sorts, and takes no broken Unicode
NO_STATE = "holds no state dict: no names with tensors{}. Save it with torch.save(model.state_dict(), …)."
_ROOM, _COPIES = 1 << 30, 6  # bytes for whatever the file; and the file, its storages, their copies, and what is written
_SMALL = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)  # torch cannot compute with them
_KINDS = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, *_SMALL),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


class Refused(Exception):
    """Why a file is not read, in words that go on after its name."""


def shown(value: object, most: int = 60) -> str:
    """As `errors.shown`, which this file does without: it is run as a program of its own, where the package may be missing."""
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(value)[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass
class Found:
    """What a file holds: `tensors` by name, in its order; `flaws`, why some of them cannot be used, by name.

    `objects` are the kinds of what lay beside them and was left out. A tensor with a flaw may stand for its shape alone, on the
    device `meta`.
    """

    tensors: dict[str, Tensor]
    flaws: dict[str, str] = field(default_factory=dict)
    objects: tuple[str, ...] = ()


def plain(tensors: Mapping[str, Tensor]) -> Found:
    """The same tensors without gradients, floats of one byte as float32; one that is not simply numbers in memory has a flaw."""
    if len(tensors) > MOST_TENSORS:
        raise Refused(f"holds {len(tensors):,} tensors; at most {MOST_TENSORS:,} are read.")
    flaws: dict[str, str] = {}
    numbers = 0
    for name in sorted(tensors, key=is_spare):
        tensor = tensors[name]
        numbers += tensor.numel() if _is_plain(tensor) else 0  # a view of one number can claim to be a trillion
        if not _is_plain(tensor):
            flaws[name] = (
                f"holds under {shown(name)} no plain tensor of numbers (sparse, nested, quantised, complex, of bits, or without "
                "data). Save it in float32."
            )
        elif numbers > MOST_NUMBERS:
            numbers -= tensor.numel()
            flaws[name] = f"claims more than {MOST_NUMBERS:,} numbers with {shown(name)}; no more are read."
    return Found({name: _shape(t) if name in flaws else _usual(t) for name, t in tensors.items()}, flaws)


def _usual(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.dtype in _SMALL else tensor.detach()


def _shape(tensor: Tensor) -> Tensor:
    """What stands for a tensor that cannot be used: its shape, where it has one."""
    try:
        return torch.empty(tuple(tensor.shape), device="meta")
    except Exception:  # a nested one has none
        return torch.empty(0, device="meta")


def _is_plain(tensor: Tensor) -> bool:
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.dtype not in _KINDS:
        return False
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not (tensor.is_quantized or tensor.is_nested)


_SPARE = {"ema", "averaged", "shadow", "teacher", "target", "swa", "init", "initial", "best", "old", "prev", "ref", "momentum"}


def is_spare(name: str) -> bool:
    """Whether a name says that it belongs to a copy of the network: an average of its weights, a teacher, an earlier state."""
    return not _SPARE.isdisjoint(re.split(r"[._]", name[:1000].lower())) or "encoder_k." in name[:1000]


# Objects beside the tensors.


class Inert:
    """What stands for a stranger's object: it keeps the state that the file gives it, and does nothing.

    Each kind of object gets a class of its own, so that it can be named by its `path`.
    """

    path = ""
    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """One such object, whatever it is made from."""
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.state = state


_NEVER = re.compile(
    r"(os|posix|nt|sys|subprocess|shutil|socket|runpy|importlib|ctypes|pty|commands|webbrowser|code|pdb|timeit|signal|asyncio|urllib|"
    r"http|requests|pip|multiprocessing|threading)(\.|$)|(__builtin__|builtins)?\.?(eval|exec|execfile|compile|__import__|open|input|"
    r"breakpoint|getattr_static)$"
)
_AS_LIST = ("collections.deque",)  # what they contain is appended to them
_ASKED = re.compile(r"(?:GLOBAL|import) `?([\w.<>]+)")
_MISTAKEN = re.compile(r"Can only (SETITEM|append|extend).*but got <class '([^']+)'>", re.DOTALL)
_MOST_KINDS = 64


def _loaded(content: bytes) -> tuple[Any, tuple[str, ...]]:
    """(what torch reads in `content`, the kinds of objects that were made inert in it)."""
    kinds: dict[str, type[Inert]] = {}
    with suppress(Exception):  # it knows zip files alone, and few opcodes; what it misses is found one by one
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
        kinds = {name: _inert(name) for name in sorted(names)[:_MOST_KINDS] if not _NEVER.match(name)}
    while True:
        try:
            with torch.serialization.safe_globals([(kind, name) for name, kind in kinds.items()]):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), tuple(kinds)
        except Exception as error:
            if len(kinds) >= _MOST_KINDS or not _learnt(str(error), kinds):
                raise


def _inert(name: str, kind: type[Inert] = Inert) -> type[Inert]:
    """A class that stands for what a file calls `name`."""
    return type("Inert", (_Sequence if name in _AS_LIST else kind,), {"path": name, "__qualname__": name, "__module__": "inert"})


class _Dictionary(Inert):
    """A stranger's kind of dictionary, as one of Python's."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """An empty one."""
        return OrderedDict()


class _Sequence(Inert):
    """A stranger's kind of list, as one of Python's."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """An empty one."""
        return []


def _learnt(message: str, kinds: dict[str, type[Inert]]) -> bool:
    """Whether `kinds` now holds, in a form that goes further, the kind of object that torch's error `message` names."""
    mistaken = _MISTAKEN.search(message)
    if mistaken:
        name = mistaken[2].removeprefix("inert.")
        wanted = _Dictionary if mistaken[1] == "SETITEM" else _Sequence
        if name not in kinds or not mistaken[2].startswith("inert."):
            return False
        kinds[name] = _inert(name, wanted)
        return True
    match = _ASKED.search(message)
    name = "" if not match else match[1] if "." in match[1] else f"builtins.{match[1]}"  # torch leaves that out
    if not name or name in kinds or _NEVER.match(name) or "is blocked" in message:
        return False
    kinds[name] = _inert(name)
    return True


# Where the tensors lie.


def gathered(loaded: Any) -> dict[str, Tensor]:
    """Every tensor in `loaded` by its dotted name, out of nested dictionaries, lists and objects; Refused where there is none.

    Tensors of an optimizer are passed over, unless there are no others. Containers are opened to a depth of `DEEPEST`.
    """
    for everything in (False, True):
        tensors: dict[str, Tensor] = {}
        for name, tensor in _tensors(loaded, everything):
            tensors.setdefault(name, tensor)
            if len(tensors) > MOST_TENSORS:
                raise Refused(f"holds more than {MOST_TENSORS:,} tensors; no more are read.")
        if tensors:
            return tensors
    raise Refused(NO_STATE.format(_contents(loaded)))


_ASIDE = re.compile(r"optimi[sz]er|(^|_)(optims?|opts?|schedulers?|sched|scaler|rng)(_|\d|$)", re.IGNORECASE)


def _tensors(loaded: Any, everything: bool) -> Iterator[tuple[str, Tensor]]:
    waiting, seen, entries = [("", loaded, 0)], set(), 0
    while waiting:
        path, value, depth = waiting.pop()
        if isinstance(value, Tensor):
            yield path, value
            continue
        inner = _inside(value)
        if inner is None or id(value) in seen or depth > DEEPEST:
            continue
        seen.add(id(value))
        children = [(key, v) for key, v in inner if everything or isinstance(v, Tensor) or not _ASIDE.search(key[:100])]
        entries += len(children)
        if entries > MOST_ENTRIES:
            raise Refused(f"holds more than {MOST_ENTRIES:,} entries; no more are read.")
        waiting.extend((f"{path}.{key}" if path else key, v, depth + 1) for key, v in reversed(children))


def _inside(value: Any) -> Iterable[tuple[str, Any]] | None:
    """(name, value) of what lies in a container; None for what is none. With dict's own methods: a pickle may have set attributes
    of these names on an OrderedDict."""
    if isinstance(value, Inert):
        return _of_object(value.state)
    if isinstance(value, dict):
        return ((_name(name), inner) for name, inner in dict.items(value))
    if isinstance(value, (list, tuple)):
        return ((str(number), inner) for number, inner in enumerate(value) if not isinstance(inner, (int, float, str)))
    return None


def _of_object(state: Any) -> Iterable[tuple[str, Any]]:
    """What an object's attributes hold; of a network saved whole its parameters, buffers and parts."""
    state = next((part for part in state if isinstance(part, dict)), None) if isinstance(state, tuple) else state
    if not isinstance(state, dict):
        return ()
    parts = [dict.get(state, part) for part in ("_parameters", "_buffers", "_modules")]
    held = parts if all(isinstance(part, dict) for part in parts) else [state]
    return [(_name(name), inner) for part in held for name, inner in dict.items(part)]


def _name(key: Any) -> str:
    """A key in words; a tuple of tuples may have more of them than there is memory."""
    return str(key) if isinstance(key, (str, int)) else type(key).__name__


def _contents(loaded: Any) -> str:
    """What is there instead of tensors, in words."""
    if isinstance(loaded, dict):
        keys = [f"{shown(_name(key), 40)} ({_kind(value)})" for key, value in list(dict.items(loaded))[:6]]
        more = f" and {len(loaded) - 6:,} more" if len(loaded) > 6 else ""
        return f"; its keys are {', '.join(keys)}{more}" if keys else "; it is an empty dictionary"
    return f"; it is of the kind {_kind(loaded)}"


def _kind(value: Any) -> str:
    if isinstance(value, Inert):
        return "NumPy array" if value.path.endswith("_reconstruct") else shown(value.path, 40)
    return f"{len(value):,} entries" if isinstance(value, dict) else type(value).__name__


def packed(checkpoint: Found) -> bytes:
    """Plain tensors as safetensors, under numbers instead of their names; `unpacked` takes them out again."""
    usable = {name: tensor for name, tensor in checkpoint.tensors.items() if not tensor.is_meta}
    shapes = {name: list(tensor.shape) for name, tensor in checkpoint.tensors.items() if tensor.is_meta}
    about = {"names": list(checkpoint.tensors), "shapes": shapes, "flaws": checkpoint.flaws, "objects": checkpoint.objects}
    numbers = {name: str(number) for number, name in enumerate(checkpoint.tensors)}
    numbered = {numbers[n]: t.resolve_neg().clone(memory_format=torch.contiguous_format) for n, t in usable.items()}
    words = bytearray(json.dumps(about).encode("ascii"))
    return safetensors.torch.save({**numbered, ABOUT: torch.frombuffer(words, dtype=torch.uint8)})


def unpacked(content: bytes) -> Found:
    """The checkpoint that `packed` was given."""
    held = safetensors.torch.load(content)
    about = json.loads(held.pop(ABOUT).numpy().tobytes())
    shapes = {name: torch.empty(shape, device="meta") for name, shape in about["shapes"].items()}
    names = about["names"]
    tensors = {name: shapes[name] if name in shapes else held[str(number)] for number, name in enumerate(names)}
    return Found(tensors, about["flaws"], tuple(about["objects"]))


def _read(content: bytes) -> bytes:
    try:
        _check_zip(content)
        loaded, objects = _loaded(content)
        checkpoint = plain(gathered(loaded))
        return packed(Found(checkpoint.tensors, checkpoint.flaws, objects))
    except Refused:
        raise
    except Exception as error:  # a hostile pickle can make the reader raise anything; what it asked for was not done
        raise Refused(_failed(error, len(content))) from None


def _failed(error: Exception, size: int) -> str:
    message = str(error)
    if isinstance(error, MemoryError) or "allocate memory" in message:
        return f"asks for far more memory than a file of {size:,} bytes needs; it is damaged."
    if isinstance(error, RecursionError):
        return f"is nested too deeply: more than some hundred levels. {_AS_STATE}"
    if isinstance(error, EOFError) or "unexpected EOF" in message or "unexpectedly reached" in message:
        return "is damaged: it was cut off. Copy or download it again."
    if operand := re.search(r"Unsupported operand (149|140|148|142|150)", message):
        return (
            f"was pickled with protocol 4 or later (operand {operand[1]}), which is not read; nothing in it was run. Save it "
            "again with torch.save as it is, without pickle_protocol, or as safetensors."
        )
    match = re.search(r"(?:GLOBAL|class|function|unsupported operand|built-in) ?[`']?([\w.]+\.[\w.]+)", message)
    wants = f" (it asks for {shown(match[1])})" if match else ""
    return f"is damaged, or holds more than tensors{wants}; nothing in it was run. {_AS_STATE}"


_AS_STATE = "Save the model again with torch.save(model.state_dict(), …), or as safetensors."


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
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MOST_NUMBERS + _ROOM,) * 2)
        with open("/proc/self/statm") as file:  # torch itself takes much address space, more where it knows GPUs
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _COPIES * size + _ROOM,) * 2)


def main(seconds: int) -> int:
    """Read a checkpoint from standard input, write the answer to standard output, and return the exit status.

    The answer is its tensors as `packed` writes them (0), or a sentence (`REFUSED`).
    """
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
