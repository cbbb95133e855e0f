"""`influence`: which samples of the forget set carry the most influence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor

from imu_core import runtime, weights
from imu_core.cli import app
from imu_core.cli.speaking import (
    Damping,
    Estimator,
    Forget,
    JsonFile,
    ModelName,
    ProblemName,
    ProblemSeed,
    Psi,
    check_writable,
    load,
    option,
    say,
    speaking,
    stoppable,
    write_json,
)
from imu_core.errors import Cancelled, ConfigError, ConvergenceError, ImuError
from imu_core.evaluation import agreement, truth
from imu_core.evaluation.agreement import Agreement
from imu_core.influence import forget_scores, ranking
from imu_core.influence.truth import Match
from imu_core.records.run import Influence, Problem, scope_blocks
from imu_core.report.numbers import decimal, megabytes, percent
from imu_core.settings import INFLUENCE

_WIDE_ESTIMATORS = ("exact", "diagonal")  # of those that are compared through the layers
_MOST_ROWS = 200  # at each end; a file has all of them
_LARGEST_SHARE = 0.05  # "the top 5 %"
_EVERY = 0.02  # of the work between two lines of progress

_INFLUENCE_EXAMPLES = """\b
Examples:
  python -m imu_core influence --forget class:Sandal --top 10
  python -m imu_core influence --forget random:10% --estimator kfac --damping 0.001 --csv scores.csv
  python -m imu_core influence --forget hardest:100 --psi tanh --json scores.json
  python -m imu_core influence --forget class:Sandal --scope all
  python -m imu_core influence --forget random:10% --truth

A positive score is helpful: without the sample the loss of the forget set would rise. Weights keep positive scores alone
and sum to 1; they are what IMU multiplies each sample's loss with.

With --scope all the gradients and the curvature (Gauss-Newton, conjugate gradients) go through every layer, and a table says
how the head alone agrees with that: Figure 2 of the paper. It takes minutes; what it finds is kept and shown on the page."""


@app.command("influence", epilog=_INFLUENCE_EXAMPLES)
@speaking
def influence_command(
    context: typer.Context,
    problem: ProblemName = "fashion",
    model: ModelName = None,
    forget: Forget = None,
    problem_seed: ProblemSeed = 0,
    estimator: Estimator = None,
    damping: Damping = INFLUENCE["damping"].default,
    psi: Psi = INFLUENCE["psi"].default,
    scope: Annotated[str, typer.Option(help="Whose gradients and curvature: head, last:K or all.")] = "head",
    curvature: Annotated[int | None, option(INFLUENCE["curvature"], metavar="INTEGER")] = None,
    hold: Annotated[
        bool, typer.Option("--truth", help="Leave samples out for real, and say who foretold what happened.")
    ] = False,
    top: Annotated[int, typer.Option(metavar="INTEGER", min=1, max=_MOST_ROWS, help="Rows shown at each end.")] = 5,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="All samples as CSV.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Show which samples of the forget set carry the most influence on the model, and how uneven that is."""
    check_writable(csv_file, json_file)
    wide = _checked_scope(scope, estimator, curvature)
    INFLUENCE["psi"].check(psi, "--psi")
    INFLUENCE["damping"].check(damping, "--damping")
    case = load(context.params)
    estimator = estimator or ("exact" if wide else "diagonal")
    comparison = _compared(case, scope, damping, curvature) if wide else None
    influence = comparison.through_layers(estimator) if comparison else forget_scores(case, estimator, damping)
    held = weights.sample_weights(influence, psi=psi)
    rows = _influence_rows(case, influence, held)
    facts = _influence_facts(case, influence, psi, held)
    if comparison:
        facts |= {"curvature": comparison.curvature, "agreement": [dataclasses.asdict(row) for row in comparison.rows()]}
    held_against = _carried_out(truth.HoldAgainst(case, damping, estimator)) if hold else None
    if held_against:
        facts |= {"truth": {name: dataclasses.asdict(m) for name, m in _matches(held_against).items()}}
    _show_influence(rows, facts, top)
    if comparison:
        _show_agreement(comparison)
    if held_against:
        _show_truth(held_against)
    if csv_file is not None:
        from imu_core.report.exports import scores_csv

        runtime.write_whole(csv_file, lambda part: part.write_text(scores_csv(case, influence, held), encoding="utf-8"))
        typer.echo(f"Written: {csv_file}")
    write_json(json_file, {**facts, "samples": rows})


def _checked_scope(scope: str, estimator: str | None, curvature: int | None) -> bool:
    """Whether more than the head is asked for; ConfigError for settings that do not go with that."""
    wide = scope_blocks(scope) != 0
    about = INFLUENCE["estimator"]
    about = dataclasses.replace(about, choices=_WIDE_ESTIMATORS) if wide else about
    dataclasses.replace(about, optional=True).check(estimator, "--estimator")
    INFLUENCE["curvature"].check(curvature, "--curvature")
    if curvature is not None and not wide:
        raise ConfigError("--curvature is for --scope last:K and all; the head's curvature is always from all forget samples.")
    return wide


def _compared(problem: Problem, scope: str, damping: float, curvature: int | None) -> agreement.Found:
    """Scores by the head and through the layers: stored ones, else computed now with a line of progress every 2 % of the work."""
    known = agreement.stored(problem, scope=scope, damping=damping, curvature=curvature)
    if known is not None:
        say("Found earlier with these settings, and kept.")
        return known
    return _carried_out(Agreement(problem, scope=scope, damping=damping, curvature=curvature))


def _carried_out(work: Agreement | truth.HoldAgainst) -> Any:
    """What `work` finds, with a line of progress every 2 % of it."""
    last_fraction = -1.0
    with stoppable(work):
        for fraction, words in work:
            if fraction - last_fraction >= _EVERY:
                last_fraction = fraction
                say(f"  {fraction:4.0%}  {words}")
    if work.found is None:
        raise Cancelled(work.outcome.reason) if work.outcome.state == "cancelled" else ConvergenceError(work.outcome.reason)
    return work.found


def _matches(held: truth.Held) -> dict[str, Match]:
    return {**held.estimators, "IMU's own score": held.own, "the plain loss": held.loss}


def _show_truth(held: truth.Held) -> None:
    typer.echo(f"\nAgainst leaving {len(held.left_out)} samples out, head at its optimum under an L2 term of {held.truth.l2:g}:")
    rows = [truth.row(name, m) for name, m in _matches(held).items()]
    widths = {title: max(len(title), *(len(row[title]) for row in rows)) for title in rows[0]}
    for line in (dict(zip(widths, widths, strict=True)), *rows):
        typer.echo("  ".join(f"{line[title]:<{width}}" for title, width in widths.items()).rstrip())
    typer.echo(truth.verdict(held))


def _show_agreement(comparison: agreement.Found) -> None:
    other = agreement.words_of(comparison.scope)
    typer.echo(f"\nAgainst {other}, exact, with the curvature of {_samples(comparison.curvature)}:")
    shares = "".join(f"{f'top {100 * share:g} %':>9}" for share in agreement.SHARES)
    typer.echo(f"{'scores':<16} {'Spearman':>9} {'95 %':>15}{shares} {'differ':>7} {'seconds':>8} {'MB':>6} {'iterations':>10}")
    for row in comparison.rows():
        overlap = "".join(f"{row.overlap[share]:>9.0%}" for share in agreement.SHARES)
        interval = "—" if math.isnan(row.low) else f"{decimal(row.low, 3)} to {decimal(row.high, 3)}"
        typer.echo(
            f"{row.scores:<16} {ranking.written(row.spearman):>9} {interval:>15}{overlap} {_differ(row.discrepancy):>7} "
            f"{row.seconds:>8.2f} {megabytes(row.peak_bytes):>6} {row.iterations:>10}"
        )
    typer.echo(agreement.verdict(comparison))


def _samples(count: int) -> str:
    return f"{count:,} forget sample{'s' * (count != 1)}"


def _differ(share: float) -> str:
    """0.07 → '7 %', 23.2 → '23 x': estimators of another curvature have another scale."""
    return f"{share:.0f} x" if share >= 10 else percent(share)


def _influence_rows(problem: Problem, influence: Influence, held: Tensor) -> list[dict[str, Any]]:
    """One row a forget sample, the largest score first."""
    names, index = problem.dataset.class_names, problem.split.forget
    order = influence.scores.argsort(descending=True, stable=True).tolist()
    return [
        {
            "rank": rank + 1,
            "id": int(index[i]),
            "class": names[int(problem.train.labels[index[i]])],
            "score": float(influence.scores[i]),
            "weight": float(held[i]),
            "loss": float(influence.losses[i]),
            "gradient_norm": float(influence.gradient_norms[i]),
        }
        for rank, i in enumerate(order)
    ]


def _influence_facts(problem: Problem, influence: Influence, psi: str, held: Tensor) -> dict[str, Any]:
    return {
        "problem": problem.describe(),
        "estimator": influence.estimator,
        "scope": influence.scope,
        "damping": influence.damping,
        "psi": psi,
        "forget": len(held),
        "total": influence.total,
        "seconds": influence.seconds,
        "residual": influence.residual,
        "iterations": influence.iterations,
        "positive_share": float((influence.scores > 0).double().mean()),
        "top_share_of_scores": ranking.held_by_top(influence.scores, _LARGEST_SHARE),
        "top_share_of_weights": ranking.held_by_top(held, _LARGEST_SHARE),
        "spearman_to_exact": _spearman_to_exact(problem, influence),
    }


def _spearman_to_exact(problem: Problem, influence: Influence) -> float | None:
    """Rank correlation of the scores with those of the exact head Hessian; None where there is nothing to rank."""
    try:
        is_exact = (influence.estimator, influence.scope) == ("exact", "head")
        exact = influence if is_exact else forget_scores(problem, "exact", influence.damping)
    except ImuError as error:
        say(f"No comparison with exact: {error}")
        return None
    value = ranking.spearman(influence.scores, exact.scores)
    return value if math.isfinite(value) else None


def _show_influence(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], top: int) -> None:
    samples = f"{facts['problem']['forget']}, {len(rows):,} of {facts['total']:,} samples"
    how = f"{facts['scope']}, {facts['estimator']}, damping {facts['damping']:g}, psi {facts['psi']}, {facts['seconds']:.3f} s"
    typer.echo(f"{samples}: {how}")
    typer.echo(f"{'rank':>6} {'id':>7}  {'class':<12} {'score':>11} {'weight':>9} {'loss/nats':>10}")
    cut = len(rows) > 2 * top
    for row in rows[:top] if cut else rows:
        typer.echo(_influence_line(row))
    if cut:
        typer.echo(f"{'...':>6}")
        for row in rows[-top:]:
            typer.echo(_influence_line(row))
    rank = facts["spearman_to_exact"]
    typer.echo(f"Positive scores: {percent(facts['positive_share'])} of the samples.")
    if len(rows) > 1:
        typer.echo(
            f"The {_LARGEST_SHARE * 100:g} % with the largest scores hold {percent(facts['top_share_of_scores'])} "
            f"of all positive score and {percent(facts['top_share_of_weights'])} of all weight."
        )
    why = ranking.unranked([row["score"] for row in rows]) or "nothing to compare with"
    typer.echo(f"Spearman correlation with exact on the head: {f'none, {why}' if rank is None else f'{rank:.3f}'}.")


def _influence_line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['rank']:>6} {row['id']:>7}  {row['class']:<12} {row['score']:>+11.3e} {row['weight']:>9.3%} {row['loss']:>10.4f}"
    )
