"""Settings that work, by name and scope, and the settings of the paper's code."""

from __future__ import annotations

from typing import Any

from imu_core.errors import ConfigError
from imu_core.records import RunConfig, scope_blocks

# On the head every class of the embedded set loses at most 3 points elsewhere (a test proves it); through more layers the same
# depth costs more, whatever the method.
_GENTLE: dict[str, dict[str, Any]] = {
    "head": {"learning_rate": 0.003, "momentum": 0.9, "epochs": 200, "stop_at": 0.02},
    "last": {"learning_rate": 0.003, "momentum": 0.9, "epochs": 50, "stop_at": 0.02, "eval_every": 1},
    "all": {"learning_rate": 0.003, "momentum": 0.9, "epochs": 50, "stop_at": 0.02, "eval_every": 1},
}
_TRAIN = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "batch_size": 128}
_REFERENCES: dict[str, dict[str, Any]] = {
    "finetune": {**_TRAIN, "learning_rate": 0.01, "epochs": 5},
    "retrain": {**_TRAIN, "learning_rate": 0.2, "epochs": 30, "schedule": "one_cycle"},
}

PRESETS: dict[str, str] = {
    "gentle": "Small steps, with momentum, until at most 2 % of the forget set is still recognised, then stop.",
    "five epochs": "Five passes over the forget set at a fixed step length, however far that gets.",
    "authors": "What the code of the IMU paper does: momentum SGD, training mode, weights clipped at their 93 % quantile, L1.",
}


def preset(name: str, method: str = "imu", scope: str = "head", seed: int = 0) -> RunConfig:
    """The RunConfig that preset `name` means for `method` at `scope`."""
    if name not in PRESETS:
        raise ConfigError(f"There is no preset called {name!r}. Known presets: {', '.join(PRESETS)}.")
    scope_blocks(scope)
    common: dict[str, Any] = {"method": method, "scope": scope, "seed": seed}
    if method in _REFERENCES:
        wide = {"bn": "train", "augment": True} if scope != "head" else {}
        return RunConfig(**common, **_REFERENCES[method], **wide)
    if name == "gentle":
        own = {"psi": "tanh"} if method == "imu" else {}  # the square root costs more on T-shirt: 3.4 points
        return RunConfig(**common, **_GENTLE[scope.partition(":")[0]], **own)
    if name == "five epochs":
        return RunConfig(**common, epochs=5)
    own = {"clip_quantile": 0.93, "l1": 2e-4} if method == "imu" else {}
    return RunConfig(
        **common, bn="train", optimizer="sgd", learning_rate=0.01, momentum=0.9, weight_decay=5e-4, augment=True, epochs=5, **own
    )
