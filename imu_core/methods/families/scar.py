"""SCAR read for the forget set alone: pull forget features to the nearest other class, keep the answers by distillation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core.methods.base import Batch, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

_SMALLEST = 1e-6  # the root has no gradient at 0
_KNOWN = 0.8  # share of a class's forget samples still recognised, below which they are no longer pushed
PARAMETERS = (
    Parameter("distance", "Distance λ₁", 1.0, "Weight of the distance to the nearest other class.", 0.0, 100.0),
    Parameter("distil", "Distillation λ₂", 0.1, "Weight of staying near the original's answers.", 0.0, 100.0),
    Parameter("temperature", "Temperature", 2.0, "Divides the original's logits; the student's are not divided.", 0.1, 20.0),
    Parameter("power", "Power δ", 0.5, "Features are raised to this power (Tukey's transform).", 0.1, 1.0),
    Parameter("shrinkage", "Shrinkage γ", 3.0, "Of the class covariances, applied twice.", 0.0, 100.0),
)


def _shrunk(S: Tensor, gamma: float) -> Tensor:
    """S + γ mean(diagonal) I + γ mean(non-zero off-diagonal) (1 − I), for covariances (C, d, d)."""
    eye = torch.eye(S.shape[-1], dtype=S.dtype)
    off = S * (1 - eye)
    count = (off != 0).sum((1, 2)).clamp(min=1)
    diagonal, rest = S.diagonal(dim1=1, dim2=2).mean(1), off.sum((1, 2)) / count
    return S + gamma * diagonal[:, None, None] * eye + gamma * rest[:, None, None] * (1 - eye)


def class_geometry(mean: Tensor, covariance: Tensor, power: float, gamma: float) -> tuple[Tensor, Tensor]:
    """(unit class means (C, d), inverse correlation matrices (C, d, d)) of the features raised to `power`, float64.

    The stored statistics are those of plain features; for the transformed ones the delta method is used:
    mean^δ, and D S D with D = δ mean^(δ−1). Shrunk twice, turned into correlations, pseudo-inverted.
    """
    mean, S = mean.double().clamp(min=1e-3), covariance.double()
    slope = power * mean ** (power - 1)
    S = _shrunk(_shrunk(slope[:, :, None] * S * slope[:, None, :], gamma), gamma)
    scale = S.diagonal(dim1=1, dim2=2).clamp(min=1e-12).sqrt()
    return F.normalize(mean**power, dim=1), torch.linalg.pinv(S / (scale[:, :, None] * scale[:, None, :]), hermitian=True)


def distances(features: Tensor, means: Tensor, inverses: Tensor, power: float) -> Tensor:
    """Squared Mahalanobis distance of each sample to each class, (n, C): uᵀ P u, u = normalised z^δ − class mean."""
    u = F.normalize(features.clamp(min=_SMALLEST) ** power, dim=1)[:, None, :] - means
    return torch.einsum("nci,cij,ncj->nc", u, inverses, u)


class Pulled(Objective):
    """λ₁ · mean distance to the assigned class + λ₂ · KL(original / T ‖ model), on forget samples."""

    def __init__(self, view: View) -> None:
        options, stored = view.options, view.statistics
        geometry = class_geometry(stored["mean"], stored["covariance"], options["power"], options["shrinkage"])
        self._means, self._inverses = (t.to(view.head.weight.dtype) for t in geometry)
        self._view, self._options = view, options
        self._assigned = torch.full((len(view.forget.labels),), -1)

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's loss; a sample is assigned to the nearest class but its own when it is first seen, for good."""
        o = self._options
        d = distances(batch.features, self._means, self._inverses, o["power"])
        nearest = d.detach().scatter(1, batch.labels[:, None], torch.inf).argmin(1)
        assigned = self._assigned[batch.position]
        self._assigned[batch.position] = target = torch.where(assigned >= 0, assigned, nearest)
        pull = (self._share(batch) * d.gather(1, target[:, None])[:, 0]).mean()
        return o["distance"] * pull + o["distil"] * self._distance_to_the_original(batch)

    def _share(self, batch: Batch) -> Tensor:
        """Whole classes: 1. Otherwise each class's accuracy within the batch, 0 where it is below 0.8 (SCAR's HR mode)."""
        if self._view.classes:
            return torch.ones(len(batch.labels))
        hit = (batch.logits.argmax(1) == batch.labels).float()
        same = (batch.labels[:, None] == batch.labels).float()
        share = same @ hit / same.sum(1)
        return torch.where(share >= _KNOWN, share, torch.zeros_like(share))

    def _distance_to_the_original(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            teacher = self._view.original(batch.inputs)
            if self._view.classes:  # the forgotten class must not be taught
                teacher[:, list(self._view.classes)] = teacher.min()
        log_p = (teacher / self._options["temperature"]).log_softmax(1)
        return F.kl_div(batch.logits.log_softmax(1), log_p, reduction="batchmean", log_target=True)


def scar(view: View, config: RunConfig) -> Objective:
    """SCAR without a surrogate set: stored class statistics, and the forget images themselves for distillation.

    An interpretation of "SCAR, forget set only" in the IMU paper; SCAR (arXiv 2404.12922) itself distils on unrelated images.
    """
    return Pulled(view)


METHODS = {
    "scar": Method(
        title="SCAR",
        family="distillation",
        start=scar,
        needs=needs("forget", "statistics"),
        source="arXiv 2404.12922",
        head=False,
        parameters=PARAMETERS,
        note="Forget set only: an interpretation. Class statistics are stored ones; it distils on the forget images themselves.",
        gentle={"learning_rate": 0.01},
        look=Look("#7A5195", "dash", "hexagon-open"),
        card=Card(
            title="SCAR (forget set only)",
            short="Pulls the features of forget samples to the nearest other class, measured by stored class statistics.",
            text=(
                "Each forget sample is assigned to the nearest other class by Mahalanobis distance between features, and pulled "
                "there, while distillation keeps the other answers. Class means and covariances are those stored at training. "
                "The paper distils on unrelated images; here the forget images themselves serve, with the forgotten class "
                "masked. That reading of the IMU paper's table is ours. It has no gradient in the head, so it needs a wider "
                "scope."
            ),
            see=("delete", "scope", "sees"),
        ),
    ),
}
