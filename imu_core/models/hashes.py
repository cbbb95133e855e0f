"""Short names for what cannot be compared by eye: a network with its tensors, a set of removed samples."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


def removed_hash(removed: Tensor) -> str:
    """16 hex digits that stand for a set of removed training indices, whatever their order; 'none' for the empty set."""
    if not len(removed):
        return "none"
    return hashlib.sha256(removed.to(torch.int64).sort().values.numpy().tobytes()).hexdigest()[:16]


def state_hash(model: nn.Module) -> str:
    """16 hex digits over every parameter and buffer, names included: two models with one hash compute the same thing.

    Of a brought model its architecture and its head too: strangers' tensors fit several forms of one network.
    """
    digest = hashlib.sha256()
    if getattr(model, "head_layer", ""):
        digest.update(f"{model.architecture} {model.head_layer} ".encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
