"""Runs of one name are told apart: by the settings in which they differ, else by their id."""

from __future__ import annotations

from pages.widgets.apart import One, base, words


def test_a_name_of_its_own_needs_nothing() -> None:
    assert words([One("GA", {}, "aaaa1"), One("IMU", {"epochs": 3}, "bbbb2")]) == ["", ""]
    assert words([]) == []
    assert words([One("run 1", {}, "a"), One("run 2", {}, "b")]) == ["", ""], "their names are enough"


def test_the_settings_that_differ_come_first() -> None:
    runs = [One("GA", {"epochs": 40, "scope": "head"}, "a1"), One("GA 2", {"learning_rate": 0.01, "scope": "head"}, "b2")]
    first, second = words(runs, base)
    assert first.startswith("epochs 40, learning rate ")
    assert second.endswith("learning rate 0.01")
    assert "scope" not in first + second


def test_runs_alike_in_all_settings_are_told_apart_by_their_id() -> None:
    assert words([One("GA", {}, "aaaa1"), One("GA (2)", {}, "bbbb2")], base) == ["aaaa", "bbbb"]
    seeds = [One("GA", {"seed": n // 2}, f"{n}xyz9") for n in range(4)]
    told = words(seeds)
    assert len(set(told)) == 4
    assert told[2] == "seed 1, 2xyz"


def test_options_and_nothing_are_written_in_words() -> None:
    runs = [One("SSD", {"options": {"alpha": 10.0}, "stop_at": None}, "a"), One("SSD", {"options": {}, "stop_at": 0.1}, "b")]
    assert words(runs) == ["options alpha 10, stop at none", "options as usual, stop at 0.1"]


def test_only_the_number_of_a_second_run_is_left_out_of_a_name() -> None:
    assert [base(name) for name in ("GA 2", "GA (13)", "GA, last:2", "GA2", "2")] == ["GA", "GA", "GA, last:2", "GA2", "2"]
