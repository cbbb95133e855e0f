"""U-LiRA: many shadow heads, trained with and without the forget set."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from imu_core import runtime
from imu_core.errors import ConfigError
from imu_core.evaluation.attacks import Attack, descent, in_range, with_head
from imu_core.evaluation.probe import DECAY
from imu_core.metrics import thresholds
from imu_core.metrics.lira import u_lira
from imu_core.numeric import as_number
from imu_core.records.run import Problem, RunConfig
from imu_core.unlearning.run import Run

_HALVES = 64  # a stream of the generator
_ROUNDS, _ITERATIONS = 10, 20  # L-BFGS iterations for a shadow head, in rounds between which it can be stopped
_ENOUGH = 1e-3  # relative gain of a round below which a shadow head is trained


class ShadowAttack(Attack):
    """U-LiRA on the head: are heads that learned the forget set and unlearned it like heads that never saw it?

    For each of K random halves S of the retain set two heads are trained from scratch over the frozen features: one on S and
    the forget set, then unlearned with `config`; one on S alone. `metrics.lira.u_lira` is asked to tell them apart by the
    margin of every forget sample, each pair judged by the others. `result` holds, from the second pair on,

        auc, balanced_accuracy, tpr_at_1_fpr   of telling "trained, then unlearned" from "never trained": 0.5, 0.5, 0.01 = private
        before    the same numbers before unlearning: what there was to hide
        shadows   pairs so far; words: what the numbers rest on

    The features below were trained on everything, so this attacks the head alone and finds too little, never too much. Every
    run draws its batches with a seed of its own. `margins` holds the φ (K, n) of "unlearned", "never" and "trained" heads.

    Args: `config` of the run, scope head, bn eval, no augmentation; `shadows` K, 2 to 256. Raises: ConfigError for anything
    else, and for methods that read statistics or logs of the original training: those do not fit a shadow.
    Cost: about a second a pair on the images that ship. Source: Hayes et al., arXiv 2403.01218.
    """

    def __init__(self, problem: Problem, config: RunConfig, shadows: int = 16, seed: int = 0) -> None:
        super().__init__(problem)
        shadows = in_range("shadows", shadows, 2, 256)
        if config.scope != "head" or config.bn != "eval" or config.augment:
            raise ConfigError(
                f"This run has scope {config.scope!r}, batch norm in {config.bn} mode and augment={config.augment}; shadow heads "
                "repeat runs with scope 'head', bn 'eval' and no augmentation. Run the method so, then attack that."
            )
        needs = " and ".join(sorted(Run(problem, config).granted & {"statistics", "training_log"})).replace("_", " ")
        if needs:
            raise ConfigError(
                f"{config.method} reads the {needs} of the original training, which shadow heads do not have. Choose a method "
                "that works from the forget and retain set."
            )
        self.config, self.shadows, self.seed = config, shadows, as_number(seed)
        self.margins: dict[str, list[Tensor]] = {"unlearned": [], "never": [], "trained": []}
        self.result = {"shadows": 0}

    def working(self) -> Iterator[tuple[float, str]]:
        """Fit pairs of heads, with the forget set and without, and unlearn the first of each."""
        forget, retain = self.problem.split.forget, self.problem.split.retain
        for k in range(self.shadows):
            half = retain[torch.randperm(len(retain), generator=runtime.generator(self.seed, _HALVES, k))[: len(retain) // 2]]
            half = half.sort().values
            title = f"pair {k + 1} of {self.shadows}"
            yield k / self.shadows, f"{title}: a head that learns the forget set"
            learned = self._fit(torch.cat([half, forget]))
            yield (k + 0.4) / self.shadows, f"{title}: unlearning it"
            unlearned = self._unlearn(learned, half, k)
            yield (k + 0.6) / self.shadows, f"{title}: a head that never sees it"
            self._add(learned, unlearned, self._fit(half))

    def _fit(self, index: Tensor) -> nn.Linear:
        """A head trained from zero on training samples `index`, until its regularised loss hardly falls."""
        problem = self.problem
        head = nn.utils.skip_init(nn.Linear, problem.train.Z.shape[1], len(problem.dataset.class_names))
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        advance = descent(head, problem.train.Z[index], problem.train.labels[index], DECAY["shadow"], _ITERATIONS)
        last = math.inf
        for _ in range(_ROUNDS):
            self._raise_if_cancelled()
            loss = advance()
            if last - loss < _ENOUGH * loss:
                break
            last = loss
        return head.requires_grad_(False)

    def _unlearn(self, head: nn.Linear, half: Tensor, k: int) -> nn.Linear:
        """The head after the attacked method, which sees this half of the retain set and not the other."""
        config = dataclasses.replace(self.config, seed=(self.config.seed + k) % 2**31, eval_every=10**9)
        run = self._through(Run(with_head(self.problem, head, half), config))
        self._raise_if_cancelled()
        for _ in run:
            pass
        self._raise_if_cancelled()
        if run.outcome.state == "failed" or not all(bool(t.isfinite().all()) for t in run.points[-1].head):
            raise ConfigError(f"A shadow head could not be unlearned: {run.outcome.reason}")
        unlearned = copy.deepcopy(head)
        with torch.no_grad():
            for parameter, value in zip((unlearned.weight, unlearned.bias), run.points[-1].head, strict=True):
                parameter.copy_(value)
        return unlearned

    @torch.no_grad()
    def _add(self, learned: nn.Linear, unlearned: nn.Linear, never: nn.Linear) -> None:
        forget = self.problem.split.forget
        Z, labels = self.problem.train.Z[forget], self.problem.train.labels[forget]
        for name, head in (("trained", learned), ("unlearned", unlearned), ("never", never)):
            self.margins[name].append(thresholds.margins(head(Z), labels))
        pairs = len(self.margins["never"])
        self.result["shadows"] = pairs
        if pairs < 2:
            return
        trained, after, without = (torch.stack(self.margins[name]) for name in ("trained", "unlearned", "never"))
        self.result |= u_lira(after, without)._asdict()
        self.result["before"] = u_lira(trained, without)._asdict()
        self.result["words"] = (
            f"{pairs} pairs of heads, {len(forget):,} forget sample{'s' * (len(forget) != 1)}. The layers below the head were "
            "trained on everything, so what they give away is not counted."
        )
