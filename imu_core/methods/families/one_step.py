"""Unlearning in one step: gradients of the two sets, with a curvature, with the initial weights, or as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from imu_core.errors import ConfigError
from imu_core.influence.solvers import check_step, conjugate_gradients
from imu_core.methods.base import Edit, Parameter
from imu_core.methods.gradients import flat, mean_gradient, moved, sample_gradients
from imu_core.methods.view import View
from imu_core.records import RunConfig

_MOST_NUMBERS = 100_000_000  # in the per-sample gradients of iu_woodfisher: 400 MB

ALPHA = Parameter("alpha", "Step α", 10.0, "How far to go along the computed direction.", 1e-4, 1e4, logarithmic=True)
SAMPLES = Parameter(
    "samples", "Retain samples", 1000, "Retain samples whose gradients make the curvature.", 1, 10_000, whole=True
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
    """The retain set only where the gradient is corrected."""
    return frozenset({"forget", "retain"} if config.options.get("correction", True) else {"forget"})


def usgd(view: View, config: RunConfig) -> Edit:
    """Unrolled SGD: what training took down at first order, put back: strength · η · epochs / b · Σ_f ∇ℓ(θ₀).

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
