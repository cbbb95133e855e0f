"""One way to compute the influence of a head, in a process of its own: NAME, a file with the problem, a file for the answer.

The file holds Z (n, d) float32, y (n,), W (C, d), b (C,) and damping λ. The answer: s_i = (1/n) g_Fᵀ (H + λI)⁻¹ g_i, g_F the mean
gradient of the n samples and H the Hessian of their mean loss. Every way is given what its library asks for (a model, a loader, a
task) before the clock starts; from there to the n scores everything counts: factors, solves, gradients, dot products.
Imports and reading do not. The best of a few repetitions is reported, with the processor seconds of all threads, and by how
many bytes the process grew beyond what it held before.

Runs with the project's own Python ("imu …", "dense") or that of requirements-influence.txt (the others).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

Work = Callable[[], Tensor]
Given = dict[str, Tensor]
ENOUGH, REPEATS = 2.0, 7  # seconds after which no further repetition begins, and the most repetitions
BATCH = 500  # samples whose gradients exist at once, in libraries that make them


def model_of(given: Given) -> nn.Linear:
    """The head as a module."""
    head = nn.Linear(given["W"].shape[1], len(given["W"]))
    head.load_state_dict({"weight": given["W"], "bias": given["b"]})
    return head


def along(model: nn.Module, given: Given, direction: list[Tensor]) -> Tensor:
    """Every sample's gradient times `direction`, (n,): one forward-mode product, for libraries that leave this to their user."""
    names = [name for name, _ in model.named_parameters()]

    def losses(*values: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (given["Z"],))
        return F.cross_entropy(logits, given["y"], reduction="none")

    values = tuple(p.detach() for p in model.parameters())
    return torch.func.jvp(losses, values, tuple(direction))[1]


# Ours, and the oracle.


def imu(estimator: str, **settings: float) -> Callable[[Given], Work]:
    """`imu_core.influence.head_scores` with one estimator."""

    def build(given: Given) -> Work:
        from imu_core.influence import head_scores

        Z, y, W, b, damping = given["Z"], given["y"], given["W"], given["b"], float(given["damping"])
        return lambda: head_scores(Z, y, W, b, estimator=estimator, damping=damping, **settings).scores

    return build


def dense(given: Given) -> Work:
    """The oracle: the (C(d+1))² Hessian entry by entry in float64, and a Cholesky solve."""

    def work() -> Tensor:
        Z, W, b = (given[name].double() for name in ("Z", "W", "b"))
        A, n = torch.cat([Z, torch.ones(len(Z), 1, dtype=torch.float64)], 1), len(Z)
        P = (Z @ W.T + b).softmax(1)
        R = P - F.one_hot(given["y"], len(W))
        H = torch.empty(len(W), A.shape[1], len(W), A.shape[1], dtype=torch.float64)
        for k in range(len(W)):
            for j in range(len(W)):
                S = P[:, k] * (float(k == j) - P[:, j])
                H[k, :, j, :] = (A * S[:, None]).T @ A / n
        M = H.view(R.shape[1] * A.shape[1], -1)
        M.diagonal().add_(given["damping"])
        g = R.T @ A / n
        X = torch.cholesky_solve(g.reshape(-1, 1), torch.linalg.cholesky(M)).view_as(g)
        return (R * (A @ X.T)).sum(1) / n

    return work


# The libraries.


def curvlinops(given: Given) -> Work:
    """GGN (for this model the Hessian) as a product, inverted by conjugate gradients."""
    from curvlinops import CGInverseLinearOperator, GGNLinearOperator
    from curvlinops.examples import IdentityLinearOperator

    model, data = model_of(given), [(given["Z"], given["y"])]
    parameters = list(model.parameters())

    def work() -> Tensor:
        ggn = GGNLinearOperator(model, nn.CrossEntropyLoss(), parameters, data, check_deterministic=False)
        shapes, device, dtype = [p.shape for p in parameters], torch.device("cpu"), torch.float32
        damped = ggn + float(given["damping"]) * IdentityLinearOperator(shapes, device, dtype)
        g = torch.autograd.grad(F.cross_entropy(model(given["Z"]), given["y"]), parameters)
        inverse = CGInverseLinearOperator(damped, tolerance=1e-5, max_iter=1000, max_tridiag_iter=0)
        return along(model, given, inverse @ list(g)) / len(given["y"])

    return work


def dattri(attributor: str, **settings: float) -> Callable[[Given], Work]:
    """One of dattri's attributors; the set-valued query is a "sample" that holds all of the set."""

    def build(given: Given) -> Work:
        from dattri.algorithm import influence_function
        from dattri.task import AttributionTask

        model, d, damping = model_of(given), given["W"].shape[1], float(given["damping"])

        def loss(params: dict[str, Tensor], pair: tuple[Tensor, Tensor]) -> Tensor:
            logits = torch.func.functional_call(model, params, (pair[0].reshape(-1, d),))
            return F.cross_entropy(logits, pair[1].reshape(-1))

        task = AttributionTask(loss, model, model.state_dict())
        whole = DataLoader(TensorDataset(given["Z"], given["y"]), batch_size=len(given["y"]))
        query = DataLoader(TensorDataset(given["Z"][None], given["y"][None]), batch_size=1)

        def work() -> Tensor:
            made = getattr(influence_function, attributor)(task=task, regularization=damping, **settings)
            made.cache(whole)
            return made.attribute(whole, query)[:, 0] / len(given["y"])

        return work

    return build


def pydvl(model_name: str, **settings: object) -> Callable[[Given], Work]:
    """One of pyDVL's models; the query is a "sample" that holds the set, which its EK-FAC refuses. Scores come in batches."""

    def build(given: Given) -> Work:
        from pydvl.influence import torch as methods

        model, C = model_of(given), len(given["W"])
        loader = DataLoader(TensorDataset(given["Z"], given["y"]), batch_size=len(given["y"]))

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            return F.cross_entropy(logits.reshape(-1, C), labels.reshape(-1))

        def work() -> Tensor:
            made = getattr(methods, model_name)(model, loss, regularization=float(given["damping"]), **settings).fit(loader)
            factors = made.influence_factors(given["Z"][None], given["y"][None])
            parts = zip(given["Z"].split(BATCH // 5), given["y"].split(BATCH // 5), strict=True)
            return torch.cat([made.influences_from_factors(factors, *part)[0] for part in parts]) / len(given["y"])

        return work

    return build


def kronfluence(strategy: str) -> Callable[[Given], Work]:
    """One of kronfluence's strategies; factors and scores go through files, as it has it."""

    def build(given: Given) -> Work:
        import logging

        from kronfluence.analyzer import Analyzer, prepare_model
        from kronfluence.arguments import FactorArguments, ScoreArguments
        from kronfluence.task import Task

        logging.disable(logging.WARNING)
        samples, n = TensorDataset(given["Z"], given["y"]), len(given["y"])

        class Head(Task):
            def compute_train_loss(self, batch: object, model: nn.Module, sample: bool = False) -> Tensor:
                logits = model(batch[0])
                labels = batch[1] if not sample else torch.multinomial(logits.detach().softmax(1), 1)[:, 0]
                return F.cross_entropy(logits, labels, reduction="sum")

            def compute_measurement(self, batch: object, model: nn.Module) -> Tensor:
                return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

        def work() -> Tensor:
            model = prepare_model(nn.Sequential(model_of(given)), Head())
            with tempfile.TemporaryDirectory() as folder:
                analyzer = Analyzer("bench", model, Head(), cpu=True, output_dir=folder, disable_tqdm=True)
                analyzer.fit_all_factors(
                    "f", samples, per_device_batch_size=BATCH, factor_args=FactorArguments(strategy=strategy)
                )
                arguments = ScoreArguments(damping_factor=float(given["damping"]), aggregate_query_gradients=True)
                analyzer.compute_pairwise_scores(
                    "s", "f", samples, samples, per_device_query_batch_size=BATCH, per_device_train_batch_size=BATCH,
                    score_args=arguments,
                )  # fmt: skip
                return analyzer.load_pairwise_scores("s")["all_modules"][0] / n**2

        return work

    return build


def captum(kind: str, **settings: object) -> Callable[[Given], Work]:
    """One of captum's influence functions; its Hessian is that of the sum, so λ is multiplied by n."""

    def build(given: Given) -> Work:
        from captum.influence._core import arnoldi_influence_function, influence_function

        room = arnoldi_influence_function if kind.startswith("Arnoldi") else influence_function
        model, n = nn.Sequential(model_of(given)), len(given["y"])
        path = str(Path(tempfile.mkdtemp()) / "head.pt")
        torch.save(model.state_dict(), path)
        loader = DataLoader(TensorDataset(given["Z"], given["y"]), batch_size=BATCH)

        def work() -> Tensor:
            made = getattr(room, kind)(
                model, loader, path, loss_fn=nn.CrossEntropyLoss(reduction="sum"), sample_wise_grads_per_batch=True,
                hessian_reg=n * float(given["damping"]), **settings,
            )  # fmt: skip
            query = made.compute_intermediate_quantities(loader, aggregate=True)
            return (made.compute_intermediate_quantities(loader) @ query.T)[:, 0] / n

        return work

    return build


WAYS: dict[str, Callable[[Given], Work]] = {
    "imu exact": imu("exact"),
    "imu exact, rtol 1e-5": imu("exact", rtol=1e-5),
    "imu diagonal": imu("diagonal"),
    "imu ekfac": imu("ekfac"),
    "dense float64": dense,
    "curvlinops GGN + CG": curvlinops,
    "dattri CG, 100 steps": dattri("IFAttributorCG", max_iter=100, tol=1e-6),
    "pyDVL CG": pydvl("CgInfluence"),
    "pyDVL Nystroem, 100": pydvl("NystroemSketchInfluence", rank=100),
    "kronfluence EK-FAC": kronfluence("ekfac"),
    "kronfluence diagonal": kronfluence("diagonal"),
    "captum naive": captum("NaiveInfluenceFunction", projection_dim=100_000),
    "captum Arnoldi, 50": captum("ArnoldiInfluenceFunction", projection_dim=50),
}
EXACT = ("imu exact", "imu exact, rtol 1e-5", "curvlinops GGN + CG", "dattri CG, 100 steps", "pyDVL CG", "captum naive")
OURS = tuple(name for name in WAYS if name.startswith(("imu", "dense")))


def resident(field: str) -> int:
    """A field of this process's status in bytes, 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def measured(work: Work) -> tuple[Tensor, dict[str, float]]:
    """The scores, and seconds (wall and processor) of the best repetition, how many there were, and bytes grown by."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before, begun, found = resident("VmRSS"), time.perf_counter(), []
    while len(found) < 2 or (len(found) < REPEATS and time.perf_counter() - begun < ENOUGH):
        wall, cpu = time.perf_counter(), time.process_time()
        scores = work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    peak = resident("VmHWM")
    return scores, {
        "seconds": min(w for w, _ in found), "processor_seconds": min(c for _, c in found), "repeats": len(found),
        "bytes": peak - before, "process_bytes": peak,
    }  # fmt: skip


def main() -> None:
    """Build the way called by the first argument, measure it, and write its scores and figures."""
    name, given, out = sys.argv[1], load_file(sys.argv[2]), Path(sys.argv[3])
    torch.manual_seed(0)
    torch.set_num_threads(min(2, torch.get_num_threads()))
    scores, figures = measured(WAYS[name](given))
    save_file({"scores": scores.detach().double().contiguous()}, out)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
