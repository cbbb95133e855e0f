"""Unlearning with teachers: the original model for what stays, a clueless or a corrected one for what goes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core.methods.base import RETAIN_SHARE, Batch, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

_CLUELESS = 1_000_003  # added to the run's seed: never the seed of a model that is trained here

THIRD = Parameter("retain_share", "Share of the retain set", 0.3, "A fixed random share of the retain set takes part.", 0.001)
SCRUB = (
    Parameter("temperature", "Temperature", 4.0, "Of both softmaxes in the distance to the original.", 0.1, 20.0),
    Parameter("gamma", "Cross-entropy γ", 0.99, "Weight of the cross-entropy on the retain set.", 0.0, 10.0),
    Parameter("alpha", "Distance α", 0.001, "Weight of staying near the original on the retain set.", 0.0, 10.0),
    Parameter("forget_epochs", "Forgetting epochs", 2, "Epochs that begin with a pass over the forget set.", 0, 500, whole=True),
    RETAIN_SHARE,
)
TEMPERATURE = Parameter("temperature", "Temperature", 1.0, "Of teachers and student.", 0.1, 20.0)
TRW = (
    Parameter("tilt", "Tilt β", 10.0, "How much similar classes are preferred; 0 is plain renormalising.", 0.0, 100.0),
    Parameter("sharpness", "Temperature of similarity", 0.1, "Of the softmax over cosines between head rows.", 0.01, 10.0),
    Parameter("retain_weight", "Retain weight", 1.0, "Weight of the cross-entropy on the retain set.", 0.0, 10.0),
    RETAIN_SHARE,
)


def soft_distance(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T² · mean KL(softmax(teacher/T) ‖ softmax(student/T)), nats."""
    log_p, log_q = (teacher / temperature).log_softmax(1), (student / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


class Scrub(Objective):
    """minimise −KL_T on forget batches, in the first epochs only, and γ CE + α KL_T on retain batches; KL_T: `soft_distance`."""

    def __init__(self, view: View) -> None:
        self._original, self._options = view.original, view.options

    def __call__(self, batch: Batch) -> Tensor | None:
        """The batch's loss; None for forget batches once their epochs are over."""
        o, forgetting = self._options, bool(batch.is_forget.all())
        if forgetting and batch.epoch >= o["forget_epochs"]:
            return None
        with torch.no_grad():
            teacher = self._original(batch.inputs)
        distance = soft_distance(teacher, batch.logits, o["temperature"])
        return -distance if forgetting else o["gamma"] * batch.losses().mean() + o["alpha"] * distance


def scrub(view: View, config: RunConfig) -> Objective:
    """SCRUB: move away from the original on the forget set, stay near it and fit on the retain set (arXiv 2302.09880, Eq. 3)."""
    return Scrub(view)


class TwoTeachers(Objective):
    """minimise KL(teacher ‖ model): a clueless teacher on forget samples, the original on retain samples."""

    def __init__(self, view: View, config: RunConfig) -> None:
        self._clueless, self._original = view.fresh(config.seed + _CLUELESS), view.original
        self._temperature = view.options["temperature"]

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean divergence, nats. The published code divides by the number of classes as well."""
        with torch.no_grad():
            p = torch.where(
                batch.is_forget[:, None],
                (self._clueless(batch.inputs) / self._temperature).log_softmax(1),
                (self._original(batch.inputs) / self._temperature).log_softmax(1),
            )
        q = (batch.logits / self._temperature).log_softmax(1)
        return F.kl_div(q, p, reduction="batchmean", log_target=True)


def bad_teaching(view: View, config: RunConfig) -> Objective:
    """Bad teaching: learn a random network's answers on the forget set, the original's on the rest (arXiv 2205.08096, Eq. 3)."""
    return TwoTeachers(view, config)


def similarity(weight: Tensor, forgotten: int, sharpness: float) -> Tensor:
    """Softmax over cosines between the forgotten class's head row and the others', after PCA of the rows; (C,), 0 for itself."""
    W = weight.detach().double()
    U, S, _ = torch.linalg.svd(W - W.mean(0), full_matrices=False)
    rows = F.normalize((U * S)[:, : len(W) - 1], dim=1)
    cosine = rows @ rows[forgotten] / sharpness
    cosine[forgotten] = -torch.inf
    return cosine.softmax(0)


class Tilted(Objective):
    """minimise KL(q ‖ model) on forget samples, q ∝ 1[c ≠ f] p⁰_c exp(β s_c), and the cross-entropy on retain samples.

    p⁰ is the original's answer, f the forgotten class, s_c the `similarity` of class c to it, β the tilt.
    """

    def __init__(self, view: View) -> None:
        self._original, self._options = view.original, view.options
        C = view.head.out_features
        self._tilt = torch.zeros(C, C)
        for f in view.classes:
            self._tilt[f] = self._options["tilt"] * similarity(view.head.weight, f, self._options["sharpness"]).float()
            self._tilt[f, list(view.classes)] = -torch.inf

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's loss, each part averaged over its own samples."""
        loss, out = torch.zeros(()), batch.is_forget
        if bool(out.any()):
            with torch.no_grad():
                q = (self._original(batch.inputs[out]) + self._tilt[batch.labels[out]]).softmax(1)
            loss = loss + (q * (q.clamp(min=1e-30).log() - batch.logits[out].log_softmax(1))).sum(1).mean()
        if bool((~out).any()):
            loss = loss + self._options["retain_weight"] * F.cross_entropy(batch.logits[~out], batch.labels[~out])
        return loss


def trw(view: View, config: RunConfig) -> Objective:
    """TRW: for the forgotten class, the original's answer without it, tilted towards similar classes (arXiv 2506.20893).

    PCA dimension and temperature are not published in what could be read: an interpretation.
    """
    return Tilted(view)


METHODS = {
    "scrub": Method(
        title="SCRUB",
        family="distillation",
        start=scrub,
        needs=needs("forget", "retain"),
        source="arXiv 2302.09880",
        stream="in_turn",
        parameters=SCRUB,
        look=Look("#7A5195", "dot", "hexagon2"),
        card=Card(
            title="SCRUB",
            short="Moves away from the original model on the forget set, stays near it on the retain set, in turn.",
            text=(
                "The first epochs begin with a pass over the forget set that increases the divergence from the original model. "
                "Each epoch then trains on the retain set with cross-entropy and a small pull back to the original's answers. It "
                "needs both sets. The trap: everything hangs on the number of forgetting epochs and on when one stops."
            ),
            see=("bad_teaching", "neggrad_plus"),
        ),
    ),
    "bad_teaching": Method(
        title="Bad teaching",
        family="distillation",
        start=bad_teaching,
        needs=needs("forget", "retain"),
        source="arXiv 2205.08096",
        stream="together",
        parameters=(TEMPERATURE, THIRD),
        gentle={"learning_rate": 0.01},
        look=Look("#7A5195", "dashdot", "hexagon2-open"),
        card=Card(
            title="Bad teaching",
            short="Learns a random network's answers on the forget set and the original's on a part of the retain set.",
            text=(
                "Two teachers stand by: the original model for retain samples and a randomly initialised one for forget samples. "
                "The student learns from whichever is in charge. It uses 30 % of the retain set by default. The trap: a random "
                "network's answers are not what a retrained model would say, so its outputs on the forget set are far from both."
            ),
            see=("scrub", "zrf"),
        ),
    ),
    "trw": Method(
        title="TRW",
        family="distillation",
        start=trw,
        needs=needs("forget", "retain"),
        source="arXiv 2506.20893",
        stream="together",
        classes=True,
        parameters=TRW,
        note="PCA dimension and temperature of the similarity are not published: an interpretation.",
        look=Look("#7A5195", "longdash", "octagon"),
        card=Card(
            title="TRW",
            short="Teaches the original's answer without the forgotten class, tilted towards similar classes.",
            text=(
                "For forget samples the target is the original's distribution without the class, multiplied by how similar each "
                "remaining class's row in the head is to the forgotten one's. The retain set is trained on as well. It needs "
                "both sets and whole classes. The trap: it moves probability where a retrained model would put it only if "
                "similar rows mean similar images. With the tilt at 0 and no retain set it is DELETE."
            ),
            see=("delete", "sees"),
        ),
    ),
}
