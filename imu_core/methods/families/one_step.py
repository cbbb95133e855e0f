"""Unlearning in one step: along gradients of the two sets, with or without a curvature, or back along the training's steps."""

from __future__ import annotations

import torch
from torch import Tensor

from imu_core.errors import ConfigError
from imu_core.influence.solvers import check_step, conjugate_gradients
from imu_core.methods.base import Edit, Method, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.gradients import flat, mean_gradient, moved, sample_gradients
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

_MOST_NUMBERS = 100_000_000  # in the per-sample gradients of iu_woodfisher: 400 MB

ALPHA = Parameter("alpha", "Step α", 10.0, "How far to go along the computed direction.", 1e-4, 1e4, logarithmic=True)
SAMPLES = Parameter(
    "samples", "Retain samples", 1000, "Retain samples whose gradients make the curvature.", 1, 10_000, whole=True
)
FISHER_DAMPING = Parameter(
    "fisher_damping", "Damping λ", 1e-3, "Added to the diagonal of the Fisher matrix.", 1e-8, 1e4, logarithmic=True
)
NEWTON = (
    Parameter("newton_damping", "Damping λ", 1e-2, "Added to the diagonal of the Hessian.", 1e-8, 1e4, logarithmic=True),
    Parameter("scale", "Step length", 1.0, "1 is the Newton step.", 1e-4, 1e4, logarithmic=True),
)
ETA = Parameter("eta", "Step η", 1.0, "How far to go along the mean gradient.", 1e-6, 1e6, logarithmic=True)
CORRECTION = Parameter(
    "correction", "Gradient correction", True, "Also step down the retain gradient (IA + GC); reads the retain set."
)
AT = Parameter("at", "Gradient at", "initial", "The weights before training, or those of today.", choices=("initial", "current"))
STRENGTH = Parameter("strength", "Strength", 1.0, "1 is the published step.", 1e-6, 1e4, logarithmic=True)
TAKEN_BACK = Parameter(
    "strength", "Share taken back", 1.0, "1 takes back all that the logged steps added.", 1e-4, 10.0, logarithmic=True
)


def _difference(view: View) -> Tensor:
    """(n_f / n) (ḡ_f − ḡ_r), (p,): it raises the forget loss and lowers the retain loss."""
    n_f, n_r = len(view.forget.labels), len(view.retain.labels)
    return n_f / (n_f + n_r) * (flat(mean_gradient(view, "forget")) - flat(mean_gradient(view, "retain")))


def iu_optml(view: View, config: RunConfig) -> Edit:
    """Influence unlearning as OPTML's `wfisher` really computes it (Unlearn-Sparse and SalUn repositories; the papers' "IU").

    The recursion keeps one vector o, set to the first retain sample's gradient and only ever rescaled, where the formula
    needs F⁻¹g for each new g. So k = v − s g₁ for one number s: one gradient step, α (n_f/n) (ḡ_f − ḡ_r), corrected along g₁.
    """
    k, n = _difference(view), min(view.options["samples"], len(view.retain.labels))
    G = sample_gradients(view, "retain", n)
    o = next(G)
    for g in G:
        t = float(o @ g)
        k = k - float(k @ g) / (n + t) * o
        o = o - t / (n + t) * o
    return Edit(moved(view, view.options["alpha"] * k))


def iu_woodfisher(view: View, config: RunConfig) -> Edit:
    """Influence unlearning as it was meant: α F⁻¹ v with the empirical Fisher F = λI + (1/N) Σ g gᵀ of N retain samples.

    Solved exactly by Woodbury, x = (v − Gᵀ (NλI + G Gᵀ)⁻¹ G v) / λ in float64; N is cut where the gradients would not fit.
    """
    v, damping = _difference(view), view.options["fisher_damping"]
    most = max(1, min(view.options["samples"], _MOST_NUMBERS // len(v)))
    G = torch.stack(list(sample_gradients(view, "retain", most))).double()
    K = G @ G.T + len(G) * damping * torch.eye(len(G), dtype=torch.float64)
    x = (v.double() - G.T @ torch.linalg.solve(K, G @ v.double())) / damping
    check_step(x, view.parameters, damping)
    return Edit(moved(view, (view.options["alpha"] * x).to(v.dtype)))


def iau(view: View, config: RunConfig) -> Edit:
    """IAU: θ − η (ḡ_r n_r/n_f − ḡ_f), gradients of sums divided by n_f; without correction only the forget part (Eqs. 5, 8).

    At a minimum of the training loss the two sums cancel, and the correction (GC) doubles the step; elsewhere it pulls the
    retain loss down. Source: arXiv 2507.23257; its gradient regularisation (Eq. 7) is `Recipe.gradient_penalty` in training.
    """
    step = flat(mean_gradient(view, "forget"))
    if view.options["correction"]:
        step = step - len(view.retain.labels) / len(view.forget.labels) * flat(mean_gradient(view, "retain"))
    return Edit(moved(view, view.options["eta"] * step))


def iau_needs(config: RunConfig) -> frozenset[str]:
    """The forget set, and the retain set only where the gradient is corrected."""
    return frozenset({"forget", "retain"} if config.options.get("correction", True) else {"forget"})


def usgd(view: View, config: RunConfig) -> Edit:
    """Unrolled SGD: θ + strength · η · epochs / b · Σ_f ∇ℓ(θ₀): takes back training on the forget set, to first order.

    θ₀ are the weights before training (or the current ones), η the mean learning rate, b the batch size of the original's
    recipe. Momentum and weight decay are ignored, as in the source: arXiv 2109.13398, single-gradient unlearning.
    """
    recipe, now = view.recipe, [p.detach().clone() for p in view.parameters]
    if view.options["at"] == "initial":
        initial = view.initial_weights
        _fill(view, [_of_module(initial, name) for name in view.names])
    gradient = flat(mean_gradient(view, "forget"))
    _fill(view, now)
    mean_rate = recipe["learning_rate"] / 2  # of one cycle, up and down in straight or cosine lines
    times = mean_rate * recipe["epochs"] / recipe["batch_size"] * len(view.forget.labels)
    return Edit(moved(view, view.options["strength"] * times * gradient))


def _of_module(tensors: dict[str, Tensor], name: str) -> Tensor:
    return tensors[name] if name in tensors else tensors[name.rpartition(".")[2]]  # the head alone has lost its prefix


@torch.no_grad()
def _fill(view: View, values: list[Tensor]) -> None:
    for parameter, value in zip(view.parameters, values, strict=True):
        parameter.copy_(value)


def newton(view: View, config: RunConfig) -> Edit:
    """Newton removal on the head: θ + (H_r + λI)⁻¹ Σ_f g / n_r, H_r the exact Hessian of the retain loss (float64, CG).

    The update of certified removal (Guo et al. 2020, arXiv 1911.03030, Eq. 3) for a softmax head. It carries no certificate:
    that needs noise added to the training loss, and a bound on the backbone, which has seen everything.
    """
    A, P, R = _head_set(view, "retain")
    B, _, S = _head_set(view, "forget")
    right = S.T @ B / len(A)
    damping = view.options["newton_damping"]

    def product(V: Tensor) -> Tensor:
        U = P * (A @ V.T)
        return (U - P * U.sum(1, keepdim=True)).T @ A / len(A) + damping * V

    X, _, iterations = conjugate_gradients(product, right, rtol=1e-6)
    check_step(X, list(view.head.parameters()), damping)
    weight, bias = view.head.weight.detach(), view.head.bias
    if bias is None:
        raise ConfigError("Newton removal needs a head with a bias; this model's has none.")
    scale = view.options["scale"]
    target = [weight + scale * X[:, :-1].to(weight.dtype), bias.detach() + scale * X[:, -1].to(weight.dtype)]
    before, after = (float((R.T @ A / len(A)).norm()), _retain_gradient(A, view.retain.labels, target))
    words = f"Gradient of the retain loss: {before:.2g} before, {after:.2g} after; {iterations} iterations."
    return Edit(target, words)


def _head_set(view: View, which: str) -> tuple[Tensor, Tensor, Tensor]:
    """(A (n, d+1) features with a one, P (n, C) probabilities, R = P − Y) of a set at the current head, float64."""
    pairs = list(view.batches(which, size=5000))
    Z, y = torch.cat([z for z, _ in pairs]).double(), torch.cat([y for _, y in pairs])
    A = torch.cat([Z, torch.ones(len(Z), 1, dtype=torch.float64)], 1)
    with torch.no_grad():
        P = torch.cat([view.head(z).double().softmax(1) for z, _ in pairs])
    return A, P, P - torch.nn.functional.one_hot(y, P.shape[1])


def _retain_gradient(A: Tensor, labels: Tensor, target: list[Tensor]) -> float:
    """Norm of the gradient of the mean retain loss at the head `target`."""
    logits = A @ torch.cat([target[0].double(), target[1].double()[:, None]], 1).T
    R = logits.softmax(1) - torch.nn.functional.one_hot(labels, logits.shape[1])
    return float((R.T @ A / len(A)).norm())


def amnesiac_delta(view: View, config: RunConfig) -> Edit:
    """θ − strength · Σ Δ over the training steps whose batch held a forget sample (arXiv 2010.10981).

    It takes back everything in those batches. Where forget samples are spread over nearly all batches, as a class is, that is
    nearly the whole training. The log is made by repeating the original's training once, and kept.
    """
    strength = view.options["strength"]
    return Edit([p.detach() - strength * d for p, d in zip(view.parameters, view.training_log, strict=True)])


METHODS = {
    "iu_optml": Method(
        title="IU (OPTML)",
        family="newton",
        start=iu_optml,
        needs=needs("forget", "retain"),
        source="wfisher in the code of arXiv 2304.04934 and 2310.12508",
        edit=True,
        parameters=(ALPHA, SAMPLES),
        strength="alpha",
        note="As the code does it: its inverse is the identity, corrected along one gradient.",
        gentle={"options": {"alpha": 1000.0}},
        look=Look("#56B4E9", "dashdot", "star-square"),
        card=Card(
            title="IU, as the code does it",
            short="Influence unlearning as published in code: one gradient step, corrected along a single sample's gradient.",
            text=(
                "The papers describe a step along the inverse Fisher matrix times the difference of the two sets' gradients. The "
                "code that everybody compares with keeps one vector where it would need a matrix, so its inverse is the identity "
                "plus a correction along the first retain sample's gradient. Tables that list IU list this. It reads both sets."
            ),
            see=("iu_woodfisher", "newton", "edit"),
        ),
    ),
    "iu_woodfisher": Method(
        title="IU (WoodFisher)",
        family="newton",
        start=iu_woodfisher,
        needs=needs("forget", "retain"),
        source="the formula of arXiv 2304.04934, solved exactly",
        edit=True,
        parameters=(ALPHA, SAMPLES, FISHER_DAMPING),
        strength="alpha",
        gentle={"options": {"alpha": 3.0}},
        look=Look("#56B4E9", "solid", "star-diamond"),
        card=Card(
            title="IU, as it was meant",
            short="Influence unlearning with the inverse empirical Fisher matrix of retain samples, solved exactly.",
            text=(
                "The difference between the gradients of forget and retain set is multiplied by the inverse of the empirical "
                "Fisher matrix plus damping. With the gradients of up to 1,000 retain samples the Woodbury identity solves that "
                "exactly, in double precision. It reads both sets. The trap: it is a local formula, and its length α is a guess; "
                "the walk along the line shows where it still holds."
            ),
            see=("iu_optml", "newton", "damping"),
        ),
    ),
    "iau": Method(
        title="IAU",
        family="newton",
        start=iau,
        needs=iau_needs,
        source="arXiv 2507.23257",
        edit=True,
        parameters=(ETA, CORRECTION),
        strength="eta",
        note="Sums of gradients are divided by the size of the forget set, so that η does not depend on it: an interpretation.",
        gentle={"options": {"eta": 100.0}},
        look=Look("#56B4E9", "dash", "cross"),
        card=Card(
            title="IAU",
            short="One step up the forget gradient and, with correction, down the retain gradient.",
            text=(
                "IA adds the summed gradient of the forget set to the parameters. Gradient correction also subtracts that of "
                "the retain set, which needs it; at a minimum of the training loss the two cancel, so the correction only "
                "doubles the step. Its third part, a penalty on gradients, belongs to training: `train --gradient-penalty`. The "
                "trap: sums grow with the sets, so they are divided by the size of the forget set here."
            ),
            see=("ga", "iu_optml", "edit"),
        ),
    ),
    "usgd": Method(
        title="Unrolled SGD",
        family="newton",
        start=usgd,
        needs=needs("forget", "initial_weights"),
        source="arXiv 2109.13398",
        edit=True,
        parameters=(STRENGTH, AT),
        strength="strength",
        note="Trained from random weights, not fine-tuned from good ones as in the source: the first order says little.",
        gentle={"options": {"strength": 0.1}},
        look=Look("#56B4E9", "dot", "cross-open"),
        card=Card(
            title="Unrolled SGD",
            short="Puts back what training did for the forget set, to first order, by its gradient at the initial weights.",
            text=(
                "Training took steps down the forget set's loss. To first order each was the gradient at the weights before "
                "training, so their sum is added back: learning rate times epochs over batch size times the summed gradient. It "
                "sees the forget set and the initial weights. The trap: it was made for fine-tuning from good weights; from "
                "random ones the first order says little."
            ),
            see=("amnesiac_delta", "edit"),
        ),
    ),
    "newton": Method(
        title="Newton removal",
        family="newton",
        start=newton,
        needs=needs("forget", "retain"),
        source="arXiv 1911.03030",
        wide=False,
        edit=True,
        parameters=NEWTON,
        strength="scale",
        note="Certified removal's update without its certificate, which needs noise in training.",
        gentle={"options": {"scale": 30.0}},
        look=Look("#56B4E9", "longdashdot", "triangle-ne"),
        card=Card(
            title="Newton removal",
            short="On the head: one Newton step towards the head that the retain set alone would have given.",
            text=(
                "The exact Hessian of the retain loss plus damping is inverted on the summed forget gradient, by conjugate "
                "gradients in double precision. For the head that is the update of certified removal. It reads both sets, takes "
                "milliseconds, and is defined for the head alone. The trap: the certificate needs noise in training and a clean "
                "backbone, and has neither here."
            ),
            see=("iu_woodfisher", "hessian", "edit"),
        ),
    ),
    "amnesiac_delta": Method(
        title="Amnesiac (deltas)",
        family="newton",
        start=amnesiac_delta,
        needs=needs("forget", "training_log"),
        source="arXiv 2010.10981",
        edit=True,
        parameters=(TAKEN_BACK,),
        strength="strength",
        note="Nearly every batch holds a sample of a class, so forgetting one takes back nearly the whole training.",
        look=Look("#56B4E9", "longdash", "triangle-sw"),
        card=Card(
            title="Amnesiac, by logged steps",
            short="Takes back what the training steps did whose batches held a forget sample.",
            text=(
                "If the changes of every training step were logged, one could subtract those with forget samples in the batch. "
                "Here the log is made by repeating the original's training once, and kept. It sees the forget set and that log. "
                "The trap: a class is in nearly every batch, so nearly the whole training is taken back; the method is for few "
                "samples in few batches."
            ),
            see=("amnesiac_relabel", "usgd", "edit"),
        ),
    ),
}
