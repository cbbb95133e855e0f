"""Settings to start from, by name and scope. What a method needs of its own it declares itself."""

from __future__ import annotations

from imu_core.errors import ConfigError
from imu_core.methods.base import Method
from imu_core.methods.registry import METHODS
from imu_core.records.run import RunConfig, scope_blocks
from imu_core.records.shapes import Settings

# On the head every class of the embedded set loses at most 3 points elsewhere (a test proves it); through more layers the same
# depth costs more, whatever the method.
_GENTLE: dict[str, Settings] = {
    "head": {"learning_rate": 0.003, "momentum": 0.9, "epochs": 200, "stop_at": 0.02},
    "last": {"learning_rate": 0.003, "momentum": 0.9, "epochs": 50, "stop_at": 0.02, "eval_every": 1},
    "all": {"learning_rate": 0.003, "momentum": 0.9, "epochs": 50, "stop_at": 0.02, "eval_every": 1},
}
_RETAIN = {"momentum": 0.9, "stop_at": 0.02}  # methods that take steps on the retain set
_AUTHORS: Settings = {
    "bn": "train", "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "augment": True, "epochs": 5,
}  # fmt: skip

PRESETS: dict[str, str] = {
    "gentle": "Small steps, with momentum, until at most 2 % of the forget set is still recognised, then stop.",
    "five epochs": "Five passes at a fixed step length, however far that gets; edits are made whole.",
    "authors": "What the code of the IMU paper does: momentum SGD, training mode, weights clipped at their 93 % quantile, L1.",
}


def preset(name: str, method: str = "imu", scope: str = "head", seed: int = 0) -> RunConfig:
    """The RunConfig that preset `name` means for `method` at `scope`; ConfigError for an unknown preset or scope."""
    if name not in PRESETS:
        raise ConfigError(f"There is no preset called {name!r}. Known presets: {', '.join(PRESETS)}.")
    scope_blocks(scope)
    common: Settings = {"method": method, "scope": scope, "seed": seed}
    known = METHODS.get(method)
    if known and known.fixed:
        wide = {"bn": "train", "augment": True} if scope != "head" else {}
        return RunConfig(**common, **known.fixed, **wide)
    if name == "gentle":
        return RunConfig(**common, **_gentle(known, method, scope))
    own = {"options": known.gentle.get("options", {})} if known else {}
    if name == "five epochs":
        return RunConfig(**common, epochs=5, **own)
    return RunConfig(**common, **_AUTHORS, **own, **(known.authors if known else {}))


def _gentle(known: Method | None, method: str, scope: str) -> Settings:
    settings = dict(_GENTLE[scope.partition(":")[0]])
    if known and known.trains_on_retain(RunConfig(method=method, scope=scope)):
        settings = {**_RETAIN, "learning_rate": 0.03, "epochs": 10 if scope == "head" else 3}
        settings |= {} if scope == "head" else {"eval_every": 4}
    return settings | dict(known.gentle if known else {})
