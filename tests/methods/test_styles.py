"""Who is drawn how: every method and control has a look of its own, the same in Plotly, in Matplotlib and in tables."""

from __future__ import annotations

import base64
import io
import itertools
import re
import tomllib
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib import pyplot
from matplotlib.markers import MarkerStyle
from PIL import Image

from imu_core import figures
from imu_core.errors import ConfigError
from imu_core.figures import CONTROLS, Shown, Style, markers, style, style_of
from imu_core.methods import METHODS, card
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point, RunConfig, Trajectory
from imu_core.settings import CONTROLS as CONTROL_NAMES

EVERYBODY = [(name, None) for name in METHODS] + [("imu", control) for control in CONTROL_NAMES]


def run(count: int = 21, end: float = 0.1) -> Trajectory:
    """A run whose forget accuracy falls and whose test accuracy bends."""
    path = np.linspace(0.0, 1.0, count)
    points = [
        Point(n, float(n), 0.0, 0.0, {"forget": float(1 - (1 - end) * x), "test_other": float(0.9 - 0.1 * x * x)})
        for n, x in enumerate(path)
    ]
    about = {"dataset": "d", "model": "m", "forget": "class:a", "seed": 0, "history": []}
    return Trajectory(RunConfig(), about, tuple(points), {"steps": 0.1}, Outcome("done", ""), {})


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


@pytest.fixture
def newcomers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names = [f"newcomer_{n}" for n in range(30)]
    for name in names:
        monkeypatch.setitem(METHODS, name, METHODS["ga"])
    return names


def test_everybody_differs_in_more_than_colour(newcomers: list[str]) -> None:
    looks = [(s.dash, s.marker) for s in (style_of(*who) for who in [*EVERYBODY, *((name, None) for name in newcomers)])]
    assert len(set(looks)) == len(looks) == len(METHODS) + len(CONTROL_NAMES)


def test_every_control_has_its_place_in_the_table() -> None:
    assert set(CONTROLS) == set(CONTROL_NAMES)
    assert {s.colour for s in CONTROLS.values()} == {"#CC79A7"}
    assert not {style_of(name).colour for name in METHODS} & {"#CC79A7"}


def test_the_theme_of_the_pages_has_the_same_ink_and_ground() -> None:
    theme = tomllib.loads((Path(figures.__file__).parents[2] / ".streamlit" / "config.toml").read_text())["theme"]
    for name in ("light", "dark"):
        own = theme | theme[name]
        assert (own["textColor"], own["backgroundColor"]) == (style.INK[name], style.GROUND[name])


def test_colours_are_written_in_one_place() -> None:
    """Everybody else takes them from figures/style.py; a method's own is in its declaration."""
    root = Path(figures.__file__).parents[2]
    files = [file for room in ("imu_core", "pages") for file in (root / room).rglob("*.py")]
    assert len(files) > 100
    written = {str(f.relative_to(root)) for f in files if re.search("#[0-9A-Fa-f]{6}[\"']", f.read_text())}
    assert {name for name in written if not name.startswith("imu_core/methods/families/")} == {"imu_core/figures/style.py"}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_drawn_as_it_declares(name: str) -> None:
    look, own = METHODS[name].look, style_of(name)
    assert look is None or (own.colour, own.dash, own.marker) == (look.colour, look.dash, look.marker), "another has this look"


def test_every_name_of_a_dash_and_a_shape_can_be_drawn() -> None:
    assert set(style.DASHES) == set(card.DASHES)
    assert {shape for shape in card.SHAPES if Style("", "", shape).corners} == set(card.SHAPES) - {"circle"}


@pytest.mark.parametrize(
    "wrong", [("blue",), ("#12345",), ("#123456", "wavy"), ("#123456", "solid", "blob"), (3,), ("#123456", "dot", 3)]
)
def test_a_look_that_cannot_be_drawn_is_a_sentence(wrong: tuple) -> None:
    with pytest.raises(ConfigError, match=r"must be|allowed are"):
        card.Look(*wrong)


def test_a_run_of_a_method_that_is_not_here_is_drawn_too() -> None:
    assert style_of("gone_method") == style_of("gone_method") != style_of("imu")
    assert style_of("imu", "a control of another version").colour == "#CC79A7"


@pytest.mark.parametrize("look", itertools.product(style.DASHES, [s + e for e in ("", "-open") for s in card.SHAPES]), ids=str)
def test_every_look_is_one_to_plotly_and_to_matplotlib(look: tuple[str, str]) -> None:
    own = Style("#123456", *look)
    go.Scatter(line={"dash": own.dash}, marker={"symbol": own.marker})  # a ValueError for what it does not know
    given = own.for_matplotlib()
    line = pyplot.Line2D([0, 1], [0, 1], **given)
    assert line.get_markerfacecolor() == ("none" if look[1].endswith("-open") else "#123456")
    assert MarkerStyle(given["marker"]).get_path() is not None


def test_every_shape_and_dash_differs_in_matplotlib() -> None:
    outlines = {str(np.round(Style("#123456", "solid", shape).corners, 3).tolist()) for shape in card.SHAPES}
    assert len(outlines) == len(card.SHAPES)
    assert len(set(map(str, style.DASHES.values()))) == len(style.DASHES)
    assert all(abs(n) <= 1.0 + 1e-9 for shape in card.SHAPES for pair in Style("", "", shape).corners for n in pair)


@pytest.mark.sample(6, reason="a picture is drawn for each; every method has its look in the default run")
@pytest.mark.parametrize("who", EVERYBODY, ids=str)
def test_the_picture_of_the_charts_shows_everybody_in_their_colour(who: tuple[str, str | None]) -> None:
    own = style_of(*who)
    picture = pixels(figures.png([Shown("Somebody", run(), own)], {"forget": 0.0, "test_other": 0.85}))
    colour = [int(own.colour[at : at + 2], 16) for at in (1, 3, 5)]
    assert (np.abs(picture - colour).sum(-1) < 12).sum() > 200


def test_the_pictures_of_the_charts_differ_in_grey() -> None:
    greys = [Style("#555555", s.dash, s.marker) for s in (style_of(*who) for who in EVERYBODY)]
    drawn = {figures.png([Shown("Somebody", run(), grey)], None) for grey in greys[:6] + greys[-5:]}
    assert len(drawn) == 11


@pytest.mark.parametrize("name", ["_hidden", "$x", r"a $\frac{$ b", "<b>Run</b>", "", "ψ 忘"])
def test_a_name_in_the_picture_is_a_name(name: str, recwarn: pytest.WarningsRecorder) -> None:
    with_name = pixels(figures.png([Shown(name, run(), style_of("imu"))], None))
    other = pixels(figures.png([Shown("somebody else", run(), style_of("imu"))], None))
    assert (with_name != other).any()
    assert not [w for w in recwarn if "Glyph" not in str(w.message)]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_runs_have_a_picture(count: int) -> None:
    assert figures.png([Shown("Short", run(count), style_of("imu"))], None).startswith(b"\x89PNG")


def svg(own: Style) -> str:
    return base64.b64decode(markers.picture(own).partition(",")[2]).decode()


def test_the_mark_in_a_table_tells_everybody_apart() -> None:
    marks = {who: svg(style_of(*who)) for who in EVERYBODY}
    assert len(set(marks.values())) == len(EVERYBODY)
    assert all(style_of(*who).colour in mark for who, mark in marks.items())
    assert all(('fill="none"' in mark) == style_of(*who).marker.endswith("-open") for who, mark in marks.items())


def test_a_mark_lies_inside_its_picture() -> None:
    for shape in card.SHAPES[1:]:
        text = svg(Style("#123456", "solid", shape))
        numbers = [float(n) for n in text.partition('points="')[2].partition('"')[0].replace(",", " ").split()]
        assert len(numbers) >= 6
        assert all(1.0 <= n <= 23.0 for n in numbers), shape
