"""The command line: what it writes, what it says, and how it answers what it cannot use."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

import imu_core
from imu_core import methods, runtime
from imu_core.cli import app
from imu_core.records.data import Dataset
from imu_core.records.run import Problem, RunConfig, Trajectory
from imu_core.store.runs import Store
from imu_core.training.loop import Training
from imu_core.training.recipes import Recipe

COMMANDS = ("run", "train", "influence", "info", "sweep", "runs")
TINY = ("--problem", "tiny", "--model", "lenet5")
QUICK = ("--epochs", "3", "--batch-size", "16", "--stop-at", "none")


@pytest.fixture
def own_home(tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An IMU_HOME with the tiny originals in it, so that what is trained here is found by no other test."""
    home = tmp_path / "home"
    shutil.copytree(runtime.home() / "models", home / "models", ignore=shutil.ignore_patterns("retrained-*"))
    monkeypatch.setenv("IMU_HOME", str(home))
    monkeypatch.delenv("IMU_DATABASE_URL", raising=False)
    return home


@pytest.fixture
def cli(own_home: Path) -> Callable[..., Result]:
    """Call the command line in this process, where the tiny data set is known."""

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return call


def strictly(path: Path) -> Any:
    """The JSON in `path`; nan and inf, which are no JSON, are errors."""

    def refuse(name: str) -> None:
        raise ValueError(f"{path} holds {name}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def python_m(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    """`python -m imu_core …` in an interpreter of its own."""
    command = [sys.executable, "-m", "imu_core", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


# ------------------------------------------------------------------------------------------------------------------ run


def test_run_writes_a_record_that_can_be_read_back(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "out.json"
    result = cli("run", *TINY, *QUICK, "--learning-rate", 0.01, "--psi", "softmax", "--json", out)
    assert result.exit_code == 0, result.stderr
    found = strictly(out)
    assert found["problem"] == {"dataset": "tiny", "model": "lenet5", "forget": "class:Sandal", "seed": 0, "history": []}
    assert found["config"]["learning_rate"] == 0.01
    assert found["config"]["psi"] == "softmax"
    assert set(found["phases"]) == {"prepare", "steps", "evaluation"}
    assert [point["step"] for point in found["points"]] == list(range(10))
    assert found["outcome"]["state"] == "done"
    assert set(found["metrics"]["accuracies"]) == set(found["metrics"]["membership"]) == {"original", "run"}
    assert Trajectory.from_dict(found).config == RunConfig.from_dict(found["config"])


def test_run_sums_up_on_stdout_and_reports_progress_on_stderr(cli: Callable[..., Result]) -> None:
    result = cli("run", *TINY, *QUICK, "--no-metrics")
    sentence = result.stdout.splitlines()[0]
    assert sentence.startswith("IMU: forget ")
    assert " -> " in sentence
    assert "other classes" in sentence
    assert "9 steps" in sentence
    assert "step 0/9" in result.stderr
    assert "step 0/9" not in result.stdout
    assert "python -m imu_core train --problem tiny --model lenet5 --forget class:Sandal" in result.stdout


def test_same_seed_gives_the_same_numbers(cli: Callable[..., Result], tmp_path: Path) -> None:
    def accuracies(name: str, seed: int) -> list[dict[str, float]]:
        out = tmp_path / name
        assert cli("run", *TINY, *QUICK, "--no-metrics", "--seed", seed, "--json", out).exit_code == 0
        return [{"loss": point["loss"], **point["accuracies"]} for point in strictly(out)["points"]]

    assert accuracies("one.json", 0) == accuracies("two.json", 0)
    assert accuracies("one.json", 0) != accuracies("three.json", 1)


def test_options_override_the_preset_and_nothing_else_changes(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    given = ("--method", "ga", "--preset", "authors", "--epochs", 1, "--no-augment", "--bn", "eval", "--l1", 0.5)
    assert cli("run", *TINY, *given, "--no-metrics", "--json", out).exit_code == 0
    start = methods.preset("authors", "ga", "head")
    expected = dataclasses.replace(start, epochs=1, augment=False, bn="eval", l1=0.5)
    assert RunConfig.from_dict(strictly(out)["config"]) == expected


def test_every_setting_has_an_option(cli: Callable[..., Result]) -> None:
    shown = cli("run", "--help").stdout
    missing = [f.name for f in dataclasses.fields(RunConfig) if f"--{f.name.replace('_', '-')}" not in shown]
    assert missing == ["options"]  # a method's own settings, which --set gives
    assert "--set" in shown


def test_settings_with_words_as_values(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    given = ("--stop-at", "none", "--clip-quantile", "none", "--update-every", "iteration", "--epochs", 1)
    assert cli("run", *TINY, *given, "--no-metrics", "--json", out).exit_code == 0
    config = strictly(out)["config"]
    assert (config["stop_at"], config["clip_quantile"], config["update_every"]) == (None, None, "iteration")
    assert cli("run", *TINY, "--update-every", 2, *QUICK, "--no-metrics", "--json", out).exit_code == 0
    assert strictly(out)["config"]["update_every"] == 2


def test_a_random_request_is_never_said_to_be_forgotten(cli: Callable[..., Result]) -> None:
    result = cli("run", *TINY, "--epochs", 1, "--forget", "random:10%,seed=3", "--no-metrics")
    assert "forgot " not in result.stdout
    assert "not 0 %" in result.stdout
    assert "The forget set is none" in result.stderr  # the preset's target is meant for whole classes


@pytest.mark.slow(reason="a whole command; that the target is taken is tested without")
def test_stop_at_the_retrained_model(cli: Callable[..., Result], tmp_path: Path) -> None:
    request, out = "ids:0-39", tmp_path / "out.json"
    without = cli("run", *TINY, "--forget", request, "--stop-at", "retrained")
    assert without.exit_code == 2
    assert "--forget ids:0-39" in without.stderr
    trained = cli("train", *TINY, "--forget", request, "--epochs", 1)
    assert trained.exit_code == 0, trained.stderr
    result = cli("run", *TINY, "--forget", request, "--stop-at", "retrained", "--json", out)
    found = strictly(out)
    assert "(retrained: " in result.stdout
    assert found["config"]["stop_at"] == found["metrics"]["accuracies"]["retrained"]["forget"]
    assert set(found["metrics"]["divergence"]) == {"original", "run"}


def test_save_stores_the_unlearned_model(cli: Callable[..., Result], tmp_path: Path, lenet: Problem) -> None:
    path = tmp_path / "unlearned.safetensors"
    assert cli("run", *TINY, *QUICK, "--no-metrics", "--save", path).exit_code == 0
    before, after = lenet.model.state_dict(), load_file(path)
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert {name.rpartition(".")[0] for name in changed} == {head_of(lenet)}


def head_of(problem: Problem) -> str:
    from imu_core.models.head import head_name

    return head_name(problem.model)


def test_a_diverged_run_is_a_result_and_its_json_is_json(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    given = ("--optimizer", "sgd", "--learning-rate", 10, "--momentum", 0.9, "--epochs", 50, "--stop-at", "none")
    result = cli("run", *TINY, *given, "--json", out)
    assert result.exit_code == 0
    assert strictly(out)["outcome"]["state"] == "diverged"
    assert "diverged" in result.stdout


def test_settings_that_a_method_ignores_are_named(cli: Callable[..., Result]) -> None:
    result = cli("run", *TINY, *QUICK, "--method", "npo", "--damping", 3, "--no-metrics")
    assert "NPO does not use --damping" in result.stderr


def test_a_failed_run_exits_with_1(cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise imu_core.ImuError("The solve stopped.")

    monkeypatch.setattr("imu_core.methods.view.head_scores", fail)
    out = tmp_path / "out.json"
    result = cli("run", *TINY, *QUICK, "--json", out)
    assert result.exit_code == 1
    assert "The solve stopped." in result.stderr
    assert strictly(out)["outcome"] == {"state": "failed", "reason": "The solve stopped.", "reached": False}


WRONG = [
    (("run", "--problem", "nope"), "no dataset called 'nope'"),
    (("run", "--model", "nope"), "no model called 'nope'"),
    (("run", "--forget", "class:Nope"), "no class 'Nope'"),
    (("run", "--forget", "nonsense"), "not a forget request"),
    (("run", "--method", "nope"), "no method called 'nope'"),
    (("run", "--scope", "nope"), "scope is 'nope'"),
    (("run", "--preset", "nope"), "no preset called 'nope'"),
    (("run", "--psi", "nope"), "--psi is 'nope'; allowed are sqrt"),
    (("run", "--estimator", "nope"), "--estimator is 'nope'; allowed are diagonal"),
    (("run", "--control", "nope"), "--control is 'nope'; allowed are uniform"),
    (("run", "--stop-at", "nope"), "--stop-at is 'nope'"),
    (("run", "--stop-at", "2"), "it must be a number from 0 to 1"),
    (("run", "--learning-rate", "nan"), "learning_rate is nan"),
    (("run", "--epochs", "-1"), "epochs is -1"),
    (("run", "--epochs", "many"), "--epochs"),
    (("run", "--update-every", "often"), "update_every is 'often'"),
    (("run", "--save", "model.pt"), ".safetensors"),
    (("run", "--problem-seed", "-1"), "--problem-seed"),
    (("run", "--unheard-of"), "--unheard-of"),
    (("run", "--json", "/proc/nowhere/out.json"), "cannot be written"),
    (("run", "--set", "beta"), "--set is 'beta'; it must be NAME=VALUE"),
    (("run", "--set", "colour=red"), "IMU has no setting 'colour'"),
    (("run", "--set", "epochs=-1"), "epochs is -1"),
    (("run", "--plugin", "/nowhere/plugin.py"), "plugin.py"),
    (("sweep", "--methods", "nope"), "no method called 'nope'"),
    (("sweep", "--forget", "nonsense"), "not a forget request"),
    (("sweep", "--seeds", "4-1"), "seed is '4-1'"),
    (("sweep", "--set", "epochs=1,-1"), "epochs is -1"),
    (("sweep", "--measure", "nope"), "measure is 'nope'"),
    (("sweep", "--workers", "0"), "workers is 0"),
    (("sweep", "/nowhere/sweep.yaml"), "cannot be read"),
    (("runs", "show", "abc"), "too short for an id"),
    (("runs", "show", "abcd"), "No run begins with 'abcd'"),
    (("runs", "delete", "abcd"), "No run begins"),
    (("runs", "import", str(Path(__file__))), "it is not JSON"),
    (("train", "--model", "nope"), "no model called 'nope'"),
    (("train", "--epochs", "0"), "epochs is 0"),
    (("train", "--learning-rate", "-1"), "learning_rate is -1"),
    (("train", "--forget", "hardest:none"), "not understood"),
    (("influence", "--damping", "-1"), "damping is -1"),
    (("influence", "--estimator", "nope"), "--estimator is 'nope'"),
    (("influence", "--top", "0"), "--top"),
    (("influence", "--scope", "tail"), "scope is 'tail'"),
    (("influence", "--scope", "all", "--estimator", "kfac"), "allowed are exact, diagonal"),
    (("influence", "--curvature", "5"), "--curvature is for"),
    (("nope",), "nope"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_arguments_exit_with_2_and_a_sentence(
    cli: Callable[..., Result], arguments: tuple[str, ...], expected: str
) -> None:
    command, *options = arguments
    given = TINY if command in COMMANDS and command != "runs" and not {"--problem", "--model"} & set(options) else ()
    result = cli(command, *given, *options)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout


# ----------------------------------------------------------------------------------------------- --set, --plugin, --store


def test_set_gives_any_setting_by_name(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    given = ("--method", "npo", "--set", "beta=0.5", "--set", "eval-every=2", "--set", "stop_at=none", "--epochs", 1)
    assert cli("run", *TINY, *given, "--no-metrics", "--json", out).exit_code == 0
    config = strictly(out)["config"]
    assert (config["beta"], config["eval_every"], config["stop_at"], config["epochs"]) == (0.5, 2, None, 1)


def test_set_gives_a_target_that_the_request_does_not_change(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    given = ("--forget", "random:10%", "--epochs", 1, "--set", "stop_at=0.03", "--no-metrics")
    assert cli("run", *TINY, *given, "--json", out).exit_code == 0
    assert strictly(out)["config"]["stop_at"] == 0.03


def test_a_method_of_ones_own(cli: Callable[..., Result], tmp_path: Path) -> None:
    plugin, out = tmp_path / "plugin.py", tmp_path / "out.json"
    plugin.write_text(
        "import dataclasses\nfrom imu_core.methods import METHODS, Parameter, register\n"
        "own = Parameter('temper', 'Temper', 1.0, 'How hot.', low=0.0, high=9.0)\n"
        "register('own', dataclasses.replace(METHODS['ga'], title='Own', parameters=(own,)))\n"
    )
    given = ("--method", "own", "--plugin", plugin, "--epochs", 1, "--no-metrics")
    try:
        result = cli("run", *TINY, *given, "--set", "temper=2", "--json", out)
        assert result.exit_code == 0, result.stderr
        assert strictly(out)["config"]["options"] == {"temper": 2}
        assert "Own: forget" in result.stdout
        wrong = cli("run", *TINY, *given, "--set", "temper=10")
        assert (wrong.exit_code, "temper is 10" in wrong.stderr) == (2, True)
    finally:
        methods.METHODS.pop("own", None)


def test_a_stored_run_is_listed_shown_and_rebuilt(cli: Callable[..., Result], tmp_path: Path, lenet: Problem) -> None:
    result = cli("run", *TINY, *QUICK, "--no-metrics", "--store", "--name", "first", "--tag", "talk", "--tag", "b")
    run_id = result.stdout.partition("Stored: ")[2].split()[0]
    listed = cli("runs", "list", "--tag", "talk").stdout
    assert run_id[:8] in listed
    assert "first" in listed
    assert "1 of 1 runs" in listed
    assert "0 of 0 runs" in cli("runs", "list", "--text", "nothing").stdout
    out = tmp_path / "run.json"
    shown = cli("runs", "show", run_id[:6], "--json", out).stdout
    assert "class:Sandal" in shown
    assert strictly(out)["config"]["epochs"] == 3
    assert Store().get(run_id).model(lenet) is not None


# ---------------------------------------------------------------------------------------------------------- sweep, runs


SWEEP = ("sweep", *TINY, "--preset", "five epochs", "--set", "epochs=1", "--workers", 1, "--measure", "none")


def test_a_sweep_says_what_it_will_do_does_it_and_goes_on(cli: Callable[..., Result], tmp_path: Path) -> None:
    grid = (*SWEEP, "--methods", "imu,npo", "--set", "beta=0.5,1", "--seeds", "0-1")
    dry = cli(*grid, "--dry-run")
    assert "6 runs: 0 are stored already, 6 to do" in dry.stderr
    assert len(dry.stdout.splitlines()) == 6
    assert Store().count() == 0
    as_csv, as_json = tmp_path / "runs.csv", tmp_path / "runs.json"
    result = cli(*grid, "--tag", "grid", "--csv", as_csv, "--json", as_json)
    assert result.exit_code == 0, result.stderr
    assert "100%  6 of 6" in result.stderr
    with as_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [("imu", "0"), ("imu", "1")] + [
        ("npo", seed) for seed in ("0", "0", "1", "1")
    ]
    assert [json.loads(row["settings"]).get("beta") for row in rows] == [None, None, 0.5, None, 0.5, None]
    assert strictly(as_json)["outcome"]["state"] == "done"
    assert "6 are stored already, 0 to do" in cli(*grid).stderr
    assert Store().count() == Store().count(tags=["grid"]) == 6


def test_a_sweep_from_a_file_with_options_over_it(cli: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("problem: tiny\nmodel: lenet5\nmethods: [imu, ga]\nseeds: 0-2\nname: from file\npreset: five epochs\n")
    result = cli("sweep", file, "--methods", "ga", "--set", "epochs=1", "--workers", 1, "--measure", "none")
    assert result.exit_code == 0, result.stderr
    assert [(run.method, run.name) for run in Store().search()] == [("ga", "from file")] * 3


def test_a_sweep_with_a_failing_run_exits_with_1(cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise imu_core.ImuError("The solve stopped.")

    monkeypatch.setattr("imu_core.methods.view.head_scores", fail)
    result = cli(*SWEEP, "--methods", "imu,ga")
    assert result.exit_code == 1
    assert "failed: The solve stopped." in result.stderr
    assert "2 runs are stored; 1 failed." in result.stderr


def test_runs_are_deleted_restored_named_tagged_and_carried_away(cli: Callable[..., Result], tmp_path: Path) -> None:
    assert cli(*SWEEP, "--methods", "ga", "--seeds", "0-1", "--keep").exit_code == 0
    one, two = (run.id for run in Store().search())
    assert "Undo" in cli("runs", "delete", one[:8]).stdout
    assert "1 of 1 runs" in cli("runs", "list").stdout
    assert one[:8] in cli("runs", "list", "--deleted").stdout
    assert cli("runs", "purge").stdout.startswith("0 runs")  # it was deleted just now
    assert cli("runs", "restore", one).exit_code == 0
    assert cli("runs", "name", one, "mine").exit_code == 0
    assert cli("runs", "tag", one, "a", "b").exit_code == 0
    out = tmp_path / "export.json"
    assert cli("runs", "export", "--out", out).exit_code == 0
    before = Store().export([one, two])
    assert cli("runs", "delete", one, two).exit_code == 0
    assert cli("runs", "purge", "--older", 0).stdout.startswith("2 runs")
    assert set(cli("runs", "import", out).stdout.split()) == {one, two}
    assert Store().export([one, two]) == before
    assert Store().get(one).tags == ("a", "b")
    checked = cli("runs", "check")
    assert (checked.exit_code, "2 runs" in checked.stdout, "all can be read" in checked.stdout) == (0, True, True)


def test_a_damaged_database_makes_check_fail(cli: Callable[..., Result]) -> None:
    assert cli(*SWEEP).exit_code == 0
    with sqlite3.connect(Store().place) as connection:
        connection.execute("UPDATE runs SET trajectory = x'00'")
    checked = cli("runs", "check")
    assert checked.exit_code == 1
    assert "damaged" in checked.stdout


# ---------------------------------------------------------------------------------------------------------------- train


@pytest.mark.slow(reason="a training")
def test_train_says_where_the_checkpoint_lies_and_that_it_is_there(cli: Callable[..., Result], tmp_path: Path) -> None:
    given = ("train", *TINY, "--forget", "class:Bag", "--epochs", 1)
    out = tmp_path / "card.json"
    first = cli(*given, "--json", out)
    assert first.exit_code == 0, first.stderr
    card = strictly(out)
    assert (card["role"], card["request"], card["removed"], card["recipe"]["epochs"]) == ("retrained", "class:Bag", 40, 1)
    assert f"Checkpoint: {card['path']}" in first.stdout
    assert Path(card["path"]).exists()
    assert "epoch 1/1" in first.stderr
    assert "s left" in first.stderr
    second = cli(*given)
    assert second.exit_code == 0
    assert "trained already" in second.stdout
    assert "--again" in second.stdout
    assert "epoch" not in second.stderr
    assert "epoch 1/1" in cli(*given, "--again").stderr


def test_train_resumes(cli: Callable[..., Result], tiny: Dataset, lenet: Problem) -> None:
    recipe = Recipe(epochs=3, learning_rate=0.05)
    for _ in Training(tiny, "lenet5", lenet.split.removed[:30], recipe=recipe, request="some"):
        break  # killed after the first epoch
    ids = ids_of(lenet)
    result = cli("train", *TINY, "--forget", ids, "--epochs", 3, "--learning-rate", 0.05)
    assert "resumed after epoch 1" in result.stderr
    assert "epoch 1/3" not in result.stderr


def ids_of(problem: Problem) -> str:
    from imu_core.problems.forget import ids_request

    return ids_request(problem.split.removed[:30].tolist())


def test_train_elsewhere_says_that_runs_do_not_look_there(cli: Callable[..., Result], tmp_path: Path) -> None:
    result = cli("train", *TINY, "--forget", "class:Boot", "--epochs", 1, "--out", tmp_path / "models")
    assert list((tmp_path / "models" / "tiny" / "lenet5").glob("retrained-*.safetensors"))
    assert "not what runs and pages use" in result.stderr


# ------------------------------------------------------------------------------------------------------------ influence


def test_influence_writes_all_samples(cli: Callable[..., Result], tmp_path: Path, lenet: Problem) -> None:
    as_json, as_csv = tmp_path / "scores.json", tmp_path / "scores.csv"
    result = cli("influence", *TINY, "--top", 3, "--json", as_json, "--csv", as_csv)
    assert result.exit_code == 0, result.stderr
    found = strictly(as_json)
    rows = found["samples"]
    with as_csv.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert sorted(row["id"] for row in rows) == lenet.split.forget.tolist()
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert sum(row["weight"] for row in rows) == pytest.approx(1.0)
    assert [int(row["id"]) for row in table] == [row["id"] for row in rows]
    assert [float(row["score"]) for row in table] == pytest.approx([row["score"] for row in rows])
    assert 0.05 <= found["top_share_of_scores"] <= 1.0
    assert 0.0 < found["spearman_to_exact"] <= 1.0
    ranked = [line for line in result.stdout.splitlines() if "Sandal " in line]
    assert len(ranked) == 6


def test_influence_of_the_exact_hessian_agrees_with_itself(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = cli("influence", *TINY, "--estimator", "exact", "--json", out)
    assert strictly(out)["spearman_to_exact"] == pytest.approx(1.0)
    assert "Spearman correlation with exact on the head: 1.000" in result.stdout


def test_influence_through_more_layers_is_compared_with_the_head(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "layers.json"
    asked = ("influence", *TINY, "--forget", "ids:0-9", "--scope", "last:1", "--json", out)
    result = cli(*asked)
    found = json.loads(out.read_text())
    assert (found["scope"], found["estimator"], found["curvature"], len(found["samples"])) == ("last:1", "exact", 10, 10)
    rows = {row["scores"]: row for row in found["agreement"]}
    assert rows["layers exact"]["spearman"] == pytest.approx(1.0)
    assert found["spearman_to_exact"] == pytest.approx(rows["head exact"]["spearman"])
    assert "the head and the last block" in result.stdout
    assert "Found earlier" in cli(*asked).stderr


def test_influence_of_one_sample_has_no_ranking(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    assert "none, one sample alone has no order" in cli("influence", *TINY, "--forget", "ids:5", "--json", out).stdout
    assert strictly(out)["spearman_to_exact"] is None


# ------------------------------------------------------------------------------------------------------- info and help


def test_info_lists_what_is_here(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "info.json"
    result = cli("info", "--json", out)
    found = strictly(out)
    assert set(found["methods"]) == set(methods.METHODS)
    assert found["methods"]["imu"]["sees"] == ["forget"]
    assert found["datasets"]["fashion"]["here"] is True
    originals = {(card["dataset"], card["model"]) for card in found["models"] if card["role"] == "original"}
    assert ("fashion", "small_resnet") in originals
    for word in ("Versions", "torch", "fashion/small_resnet retrained without class:Sandal", "gentle", "random:10%"):
        assert word in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_examples(cli: Callable[..., Result], command: str) -> None:
    result = cli(command, "--help")
    assert result.exit_code == 0
    assert f"python -m imu_core {command}" in result.stdout.partition("Example")[2]


# ------------------------------------------------------------------------------------- in an interpreter of its own


@pytest.mark.slow(reason="new interpreters; every command is called in this one too")
def test_the_module_runs_and_answers_in_a_sentence() -> None:
    process = python_m("run", "--forget", "class:Nope")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "no class 'Nope'" in stderr
    assert "Traceback" not in stderr
    assert not stdout


@pytest.mark.slow(reason="starts a process that imports torch; the default run calls the same command in its own")
def test_ctrl_c_ends_a_run_cleanly(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    endless = ("--learning-rate", "0", "--stop-at", "none", "--epochs", "500", "--eval-every", "1", "--model", "lenet5")
    process = python_m("run", *endless, "--json", str(out), env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stderr is not None
    assert any(line.startswith("step 0/") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "Stopped by you" in stdout
    found = strictly(out)
    assert found["outcome"]["state"] == "cancelled"
    assert found["points"]
