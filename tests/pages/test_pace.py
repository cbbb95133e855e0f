"""How often a page looks again, and how long it waits, follow how many visitors there are."""

from __future__ import annotations

import pytest

from pages.session import pace


@pytest.fixture
def visitors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many visitors there are said to be; a test changes it."""
    count = [1]
    monkeypatch.setattr(pace, "visitors", lambda: count[0])
    return count


def test_a_visitor_counts_once_and_not_for_ever() -> None:
    audience = pace.Audience()
    assert [audience.count(name, 0.0) for name in ("a", "b", "a", "c")] == [1, 2, 2, 3]
    assert audience.count("a", pace.LATELY + 1) == 1, "the others have not been here lately"


def test_a_class_is_looked_after_more_seldom(visitors: list[int]) -> None:
    assert pace.tick() == pace.LEAST
    visitors[0] = 20
    assert pace.tick() == pytest.approx(20 * pace.EACH)


def test_a_class_waits_longer_before_a_page_is_drawn_twice(visitors: list[int]) -> None:
    assert [pace.longer(4.0) for visitors[0] in (1, pace.FEW, 2 * pace.FEW, 5 * pace.FEW)] == [4.0, 4.0, 8.0, 20.0]
