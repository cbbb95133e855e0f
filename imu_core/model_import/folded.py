"""Tensors that a stranger's file keeps in pieces, put together: pruning masks, weight and spectral norm; and wrappers' names."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

# Parts that wrappers of a network, or of a piece of it, leave in the names: DataParallel, compile, FSDP, checkpointing.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
_PARAMETRIZED = ".parametrizations."

Tensors = dict[str, Tensor]


def folded(tensors: Tensors) -> tuple[Tensors, tuple[str, ...]]:
    """(`tensors`, in their order, with every weight in one piece under its usual name; phrases on what was done)."""
    named, notes = _unwrapped(tensors)
    entries: Tensors = {}
    used: set[str] = set()
    done: Counter[str] = Counter()
    for name, tensor in named.items():
        whole, pieces, how = _whole(name, named) if name not in used else ("", {}, "")
        if how and whole not in named and whole not in entries:
            entries[whole], done[how] = pieces.pop("result"), done[how] + 1
            used |= pieces.keys()
        else:
            entries[name] = tensor
    state = {name: tensor for name, tensor in entries.items() if name not in used}
    phrases = [f"{how} of {count} tensor{'s' * (count > 1)} computed into the weights" for how, count in done.items()]
    return state, (*notes, *phrases)


def _unwrapped(tensors: Tensors) -> tuple[Tensors, tuple[str, ...]]:
    """The same without the parts that wrappers leave in the names, unless two names would become one."""
    names, taken = [], Counter()
    for name in tensors:
        parts = name.split(".")
        inner = [part for part in parts[:-1] if part not in WRAPPERS]
        taken.update({part for part in parts[:-1] if part in WRAPPERS})
        names.append(".".join([*inner, parts[-1]]))
    if not taken or len(set(names)) < len(names):
        return tensors, ()
    words = " and ".join(f"{part}." for part in taken)
    every = "every name" if all(count == len(names) for count in taken.values()) else "the names"
    return dict(zip(names, tensors.values(), strict=True)), (f"{words} taken off {every}",)


def _whole(name: str, tensors: Tensors) -> tuple[str, Tensors, str]:
    """(name of the weight that `name` is the first piece of, its pieces and `result`, what puts them together); "" if none."""
    if tensors[name].is_floating_point() and not tensors[name].is_meta:
        for make in (_masked, _parametrized, _weight_norm):
            made = make(name, tensors)
            if made and not any(piece.is_meta for piece in made[1].values()):
                return made
    return "", {}, ""


def _masked(name: str, tensors: Tensors) -> tuple[str, Tensors, str] | None:
    """torch.nn.utils.prune and spectral_norm: `weight_orig` with `weight_mask`, or with the vectors `weight_u` and `weight_v`."""
    if not name.endswith("_orig"):
        return None
    whole, first = name.removesuffix("_orig"), tensors[name]
    mask, u, v = (tensors.get(f"{whole}_{part}") for part in ("mask", "u", "v"))
    if mask is not None and mask.shape == first.shape:
        return whole, {f"{whole}_mask": mask, "result": first * mask.to(first.dtype)}, "pruning masks"
    if u is not None and first.ndim > 1 and u.shape == first.shape[:1]:
        pieces = {f"{whole}_u": u} | ({} if v is None else {f"{whole}_v": v})
        return whole, {**pieces, "result": _spectral(first, u, v)}, "spectral norms"
    return None


def _parametrized(name: str, tensors: Tensors) -> tuple[str, Tensors, str] | None:
    """torch.nn.utils.parametrizations: weight norm (`original0`, `original1`) and spectral norm (`original`, `0._u`, `0._v`)."""
    before, dots, after = name.partition(_PARAMETRIZED)
    leaf, _, piece = after.partition(".")
    place = f"{before}{dots}{leaf}"
    if not dots:
        return None
    g, direction = tensors.get(f"{place}.original0"), tensors.get(f"{place}.original1")
    if piece == "original0" and _is_length(g, direction):
        return f"{before}.{leaf}", {f"{place}.original1": direction, "result": _scaled(g, direction)}, "weight norms"
    u, v = tensors.get(f"{place}.0._u"), tensors.get(f"{place}.0._v")
    if piece == "original" and u is not None and tensors[name].ndim > 1 and u.shape == tensors[name].shape[:1]:
        pieces = {f"{place}.0._u": u} | ({} if v is None else {f"{place}.0._v": v})
        return f"{before}.{leaf}", {**pieces, "result": _spectral(tensors[name], u, v)}, "spectral norms"
    return None


def _weight_norm(name: str, tensors: Tensors) -> tuple[str, Tensors, str] | None:
    """torch.nn.utils.weight_norm: the length `weight_g` and the direction `weight_v`."""
    whole = name[:-2]
    g, direction = tensors.get(f"{whole}_g"), tensors.get(f"{whole}_v")
    if name[-2:] not in ("_g", "_v") or not _is_length(g, direction):
        return None
    other = f"{whole}_v" if name.endswith("_g") else f"{whole}_g"
    return whole, {other: tensors[other], "result": _scaled(g, direction)}, "weight norms"


def _is_length(g: Tensor | None, v: Tensor | None) -> bool:
    """Whether `g` can be the length of the direction `v`: of as many dimensions, each as long or 1; or one number."""
    if g is None or v is None or not (g.is_floating_point() and v.is_floating_point()):
        return False
    return g.ndim == 0 or (g.ndim == v.ndim and all(one in (1, other) for one, other in zip(g.shape, v.shape, strict=True)))


def _scaled(g: Tensor, v: Tensor) -> Tensor:
    """`v` with the length `g`, over the dimensions that `g` has but one of."""
    dims = [n for n in range(v.ndim) if g.ndim == 0 or g.shape[n] == 1]
    length = v.square().sum(dims, keepdim=True).sqrt()
    return v * (g / length.clamp(min=torch.finfo(torch.float32).tiny))


def _spectral(weight: Tensor, u: Tensor, v: Tensor | None) -> Tensor:
    """`weight` divided by its largest singular value, as the stored vectors tell it."""
    matrix, u = weight.flatten(1), u.to(weight.dtype)
    right = matrix.T @ u if v is None or v.shape != matrix.shape[1:] else v.to(weight.dtype)
    right = right / right.norm().clamp(min=torch.finfo(torch.float32).tiny)
    return weight / (u @ matrix @ right)
