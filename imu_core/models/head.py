"""Where a network is cut: the linear head, the backbone below it, and the blocks counted from the end."""

from __future__ import annotations

import copy

from torch import nn

from imu_core.errors import CheckpointError
from imu_core.records.run import scope_blocks


def head_name(model: nn.Module) -> str:
    """Dotted name of the classifier head: what a brought model says (`head_layer`), else the last `nn.Linear` defined.

    CheckpointError where there is none.
    """
    if named := getattr(model, "head_layer", ""):
        return named
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not names or not names[-1]:
        raise CheckpointError(f"{type(model).__name__} has no linear head below the top level: its last nn.Linear is missing.")
    return names[-1]


def find_head(model: nn.Module) -> nn.Linear:
    """The classifier head itself (shared with `model`, not a copy)."""
    return model.get_submodule(head_name(model))


def split_head(model: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """(backbone, head), both copies: the backbone returns penultimate features (n, d), the head is an `nn.Linear`."""
    backbone = copy.deepcopy(model)
    name = head_name(model)
    head = backbone.get_submodule(name)
    parent, _, leaf = name.rpartition(".")
    setattr(backbone.get_submodule(parent), leaf, nn.Identity())
    return backbone, head


def blocks(model: nn.Module) -> list[nn.Module]:
    """Modules with parameters in forward order, the head last; containers (Sequential, ModuleList) of blocks are opened.

    A module that the head lies in is opened too, so that the head is a block of its own.
    """
    head = find_head(model)
    others = [block for block in _opened(model, head) if block is not head]
    return [*others, head]


def _opened(module: nn.Module, head: nn.Module) -> list[nn.Module]:
    """The blocks of `module`, which is no block itself."""

    def has_parameters(module: nn.Module) -> bool:
        return next(module.parameters(), None) is not None

    blocks: list[nn.Module] = []
    for child in filter(has_parameters, module.children()):
        inner = list(filter(has_parameters, child.children()))
        is_row = isinstance(child, (nn.Sequential, nn.ModuleList)) and not _is_layer(inner)
        holds_head = child is not head and any(part is head for part in child.modules())
        blocks.extend(_opened(child, head) if holds_head else inner if is_row else [child])
    return blocks


def _is_layer(modules: list[nn.Module]) -> bool:
    """Whether a container only wraps one layer (convolution with its norm), and so counts as a single block."""
    return all(next(module.children(), None) is None for module in modules)


def trainable(model: nn.Module, scope: str) -> list[nn.Parameter]:
    """The parameters that `scope` opens (head | last:K | all), in definition order."""
    count = scope_blocks(scope)
    if count is None:
        return list(model.parameters())
    chosen = blocks(model)[:-1][-count:] if count else []
    return [parameter for block in (*chosen, find_head(model)) for parameter in block.parameters()]
