"""Made-up people, Market-1501's layout and the faces: what is drawn, what is read, and what is said about wrong folders."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import few_people
from PIL import Image

from imu_core import data
from imu_core.data import faces, market, people
from imu_core.data.people.figure import PARTS
from imu_core.data.people.look import look
from imu_core.errors import DataError
from imu_core.evaluation import reidentification
from imu_core.problems import forget
from imu_core.records.data import Dataset


def shot(identity: int = 1, camera: int = 0, number: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    person = look(np.random.default_rng([seed, people._LOOK, identity]))
    return people.take(person, camera, np.random.default_rng([seed, people._SHOT, identity, camera, number]))


# Drawing.


def test_the_same_seed_draws_the_same_bits() -> None:
    for first, second in itertools.product(range(2), range(3)):
        one, again = shot(5, first, second), shot(5, first, second)
        assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert (shot(5)[0] != shot(5, seed=1)[0]).any()
    assert (shot(5)[0] != shot(6)[0]).any()


def test_a_shot_shows_a_person_and_knows_where() -> None:
    for identity in range(1, 13):
        pixels, parts = shot(identity)
        cues = people.cue_mask(parts)
        assert pixels.shape == (128, 64, 3)
        assert pixels.dtype == parts.dtype == np.uint8
        assert set(np.unique(parts)) <= set(range(len(PARTS)))
        assert 0.05 < cues.mean() < 0.6  # somebody is there, and not everywhere
        assert not cues[parts == PARTS.index("skin")].any()
        assert not cues[parts == PARTS.index("background")].any()
        rows, columns = np.nonzero(cues)
        assert 16 < columns.mean() < 48
        assert rows.max() - rows.min() > 50


def test_pixels_under_the_mask_change_with_the_clothes_and_the_others_do_not() -> None:
    person = look(np.random.default_rng([0, 1, 3]))
    other = dataclasses.replace(person, top_colour=(250, 20, 20), pattern="plain")
    same_rng = lambda: np.random.default_rng([0, 2, 3, 0, 0])  # noqa: E731
    (before, parts), (after, other_parts) = people.take(person, 0, same_rng()), people.take(other, 0, same_rng())
    changed = (np.abs(before.astype(int) - after) > 30).any(-1)
    assert (parts == other_parts).all()
    assert changed.sum() > 100
    near_top = Image.fromarray((parts == PARTS.index("top")).astype(np.uint8) * 255).resize((64, 128))
    grown = np.asarray(near_top) > 0
    for axis, step in itertools.product((0, 1), (-2, -1, 1, 2)):
        grown = grown | np.roll(np.asarray(near_top) > 0, step, axis)  # blur spreads the edge by a pixel or two
    assert (changed & grown).sum() / changed.sum() > 0.97


def test_identities_differ() -> None:
    looks = [look(np.random.default_rng([0, people._LOOK, identity])) for identity in range(1, 226)]
    assert len(set(looks)) == 225


WHOLE_SET = pytest.mark.slow(reason="draws the whole set of people")


@pytest.fixture(scope="module")
def everybody() -> Dataset:
    return data.load("people")


@WHOLE_SET
def test_the_whole_set_has_the_promised_shape(everybody: Dataset) -> None:
    who = everybody.people
    assert len(everybody.class_names) == 150
    assert len(who.train) + len(who.test) == 150 * 6 * people.SHOTS
    assert len(set(who.query.ids.tolist())) == 75
    assert set(who.query.ids.tolist()) == set(who.gallery.ids.tolist()) - {0, -1}
    assert int((who.gallery.ids == 0).sum()) == people.DISTRACTORS
    assert int((who.gallery.ids == -1).sum()) == people.JUNK
    assert not set(who.query.ids.tolist()) & set(who.train.ids.tolist())
    assert who.synthetic
    assert "synthetic" in everybody.title
    for identity in (1, 75, 150):
        kept = set(who.train.cameras[who.train.ids == identity].tolist())
        held = set(who.test.cameras[who.test.ids == identity].tolist())
        assert (len(kept), len(held), kept & held) == (4, 2, set())


@WHOLE_SET
def test_pixels_alone_do_not_find_people(everybody: Dataset) -> None:
    found = reidentification.pixels_alone(everybody)
    assert found.map <= 0.2


@WHOLE_SET
def test_the_set_comes_from_the_cache_the_second_time(everybody: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "draw_all", lambda: pytest.fail("drawn again"))
    again = people.load()
    assert again.hash == everybody.hash
    assert (again.train.images == everybody.train.images).all()
    assert (again.people.test.parts == everybody.people.test.parts).all()


def test_a_damaged_cache_is_removed_with_a_sentence(fresh_home: Path) -> None:
    people._cache().parent.mkdir(parents=True)
    people._cache().write_bytes(b"half a file")
    with pytest.raises(DataError, match="damaged and is removed"):
        people.load()
    assert not people.is_here()


# Market-1501's layout.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0002_c1s1_000451_03.jpg", (2, 1)),
        ("-1_c3s2_000101_00.jpg", (-1, 3)),
        ("0000_c6s4_012345_01.jpg", (0, 6)),
        ("1501_c6s4_012345_01.JPG", (1501, 6)),
        ("0002_c1s1_000451_03.txt", None),
        ("person.jpg", None),
        ("0002_1.jpg", None),
        ("-2_c1s1_000451_03.jpg", None),
    ],
)
def test_names_are_read_as_market_1501_writes_them(name: str, expected: tuple[int, int] | None) -> None:
    assert market.parse(name) == expected


def in_layout(folder: Path, names: dict[str, list[str]]) -> Path:
    for part, files in names.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(files):
            Image.new("RGB", (64, 128), (number * 20 % 255, 80, 90)).save(folder / part / name)
    return folder


def names_of(identities: range, cameras: range = range(1, 5)) -> list[str]:
    return [f"{i:04d}_c{c}s1_{i:06d}_00.jpg" for i in identities for c in cameras]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small person set on disk: three training people, two unseen, a distractor and a junk image."""
    gallery = [*names_of(range(8, 10)), "0000_c1s1_000001_00.jpg", "-1_c2s1_000001_00.jpg"]
    names = {
        "bounding_box_train": names_of(range(1, 4)),
        "bounding_box_test": gallery,
        "query": names_of(range(8, 10), range(1, 2)),
    }
    return in_layout(tmp_path / "set", names)


def test_a_folder_becomes_a_set(folder: Path, fresh_home: Path) -> None:
    (folder / "bounding_box_train" / "Thumbs.db").write_bytes(b"Windows leaves these behind")
    found = market.load("market:x", str(folder))
    assert found.class_names == ("0001", "0002", "0003")
    assert (len(found.train), len(found.test)) == (6, 6)
    assert found.train.images.shape[1:] == (3, 128, 64)
    assert sorted(set(found.people.gallery.ids.tolist())) == [-1, 0, 8, 9]
    assert found.people.query.cameras.tolist() == [1, 1]
    assert found.people.train.parts is None
    assert not found.people.synthetic


def test_the_name_of_a_dataset_may_carry_its_folder(folder: Path, fresh_home: Path) -> None:
    assert data.source(f"market:{folder}").people
    assert data.load(f"market:{folder}").class_names == ("0001", "0002", "0003")
    assert data.is_here(f"market:{folder}")


@pytest.mark.slow(reason="people are drawn, written and read again")
def test_people_written_to_disk_are_the_people_in_memory(
    tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = few_people()
    monkeypatch.setattr(people, "shots", lambda seed: iter(drawn))
    monkeypatch.setattr(people, "count", lambda: len(drawn))
    fractions = [fraction for fraction, _ in people.write(tmp_path / "out")]
    assert fractions[-1] == 1.0
    found = market.load("market:out", str(tmp_path / "out"))
    memory = market.assemble("m", "m", *market.reordered(drawn))
    for part in ("train", "test", "query", "gallery"):
        read, kept = getattr(found.people, part), getattr(memory.people, part)
        order = sorted(range(len(kept)), key=lambda i: kept.names[i])
        back = sorted(range(len(read)), key=lambda i: read.names[i])
        assert [read.names[i] for i in back] == [kept.names[i] for i in order]
        assert read.ids[back].tolist() == kept.ids[order].tolist()
        assert read.cameras[back].tolist() == kept.cameras[order].tolist()
        difference = (read.images[back].int() - kept.images[order].int()).abs().float()
        assert difference.mean() < 6  # JPEG
    mask = np.asarray(Image.open(tmp_path / "out" / "cues" / drawn[0].name.replace(".jpg", ".png")))
    assert ((mask > 0) == people.cue_mask(drawn[0].parts)).all()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        next(people.write(tmp_path))


def test_held_out_cameras_are_two_and_only_where_two_others_remain() -> None:
    ids = torch.tensor([1] * 6 + [2] * 3 + [3] * 8)
    cameras = torch.tensor([1, 2, 3, 4, 5, 6, 1, 2, 3, 1, 1, 2, 2, 3, 3, 4, 4])
    out = market.held_out(ids, cameras)
    assert [len(cameras[out & (ids == i)].unique()) for i in (1, 2, 3)] == [2, 0, 2]
    for identity in (1, 3):
        mine = ids == identity
        assert not set(cameras[mine & out].tolist()) & set(cameras[mine & ~out].tolist())


def test_which_cameras_are_held_out_goes_round() -> None:
    ids = torch.arange(1, 7).repeat_interleave(6)
    cameras = torch.arange(1, 7).repeat(6)
    out = market.held_out(ids, cameras)
    assert [int(out[cameras == c].sum()) for c in range(1, 7)] == [2] * 6


# What is said about wrong folders.


def said(path: str | Path) -> str:
    with pytest.raises(DataError) as caught:
        market.load("market:x", str(path))
    text = str(caught.value)
    assert text.endswith(".")
    return text


def test_a_folder_that_is_not_there(tmp_path: Path, fresh_home: Path) -> None:
    assert "There is no folder" in said(tmp_path / "nothing")


def test_a_folder_with_something_else(tmp_path: Path, fresh_home: Path) -> None:
    (tmp_path / "photos").mkdir()
    text = said(tmp_path)
    assert "lacks bounding_box_train, bounding_box_test, query" in text
    assert "photos" not in text  # nothing is listed that was not asked for


def test_market_is_looked_for_in_the_data_folder(fresh_home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Market-1501 is not in" in said("")
    assert not data.is_here("market")
    folder.rename(folder.parent / "Market-1501-v15.09.15")
    monkeypatch.setenv("IMU_DATA", str(folder.parent))
    assert market.find() == folder.parent / "Market-1501-v15.09.15"


def test_misnamed_files(folder: Path, fresh_home: Path) -> None:
    (folder / "query" / "0008_c1s1_000008_00.jpg").rename(folder / "query" / "holiday.jpg")
    text = said(folder)
    assert "1 of 2 files in query" in text
    assert "'holiday.jpg'" in text


def test_an_empty_folder(folder: Path, fresh_home: Path) -> None:
    for path in (folder / "query").iterdir():
        path.unlink()
    assert "query in" in said(folder)


def test_a_truncated_image(folder: Path, fresh_home: Path) -> None:
    victim = folder / "bounding_box_train" / names_of(range(2, 3))[0]
    victim.write_bytes(victim.read_bytes()[:-200])
    text = said(folder)
    assert f"bounding_box_train/{victim.name} is damaged or cut off" in text


def test_a_file_that_is_no_image(folder: Path, fresh_home: Path) -> None:
    victim = folder / "query" / names_of(range(8, 9))[0]
    victim.write_text("hello")
    assert f"query/{victim.name} is damaged" in said(folder)


def test_a_format_that_pillow_hands_to_another_program_is_not_read(folder: Path, fresh_home: Path) -> None:
    victim = folder / "query" / names_of(range(8, 9))[0]
    Image.new("RGB", (64, 128)).save(victim, "EPS")
    text = said(folder)
    assert f"query/{victim.name}" in text
    assert "is a PostScript file, whatever its name says" in text


def test_an_enormous_image_is_not_decoded(folder: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "MOST_PIXELS", 64 * 128 - 1)
    assert "64 x 128 pixels" in said(folder)


def test_too_many_images(folder: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "MOST_IMAGES", 5)
    assert "at most 5 are read" in said(folder)


def test_people_seen_by_too_few_cameras(tmp_path: Path, fresh_home: Path) -> None:
    names = {part: names_of(range(1, 4), range(1, 3)) for part in market.FOLDERS}
    assert "seen by four cameras" in said(in_layout(tmp_path / "set", names))


# Requests.


@pytest.mark.parametrize("text", ["identity:5", "identity:0005", " Identity: 0005 ", "identity:5+0005"])
def test_an_identity_may_be_written_in_several_ways(few: Dataset, text: str) -> None:
    split = forget.split(text, few, None)
    assert split.request == "identity:0005"
    assert split.classes == (4,)
    assert few.people.train.ids[split.forget].tolist() == [5] * 16


def test_two_identities(few: Dataset) -> None:
    split = forget.split("identity:7+2", few, None)
    assert split.request == "identity:0002+0007"
    assert len(split.forget) == 32


@pytest.mark.parametrize("text", ["identity:9999", "identity:somebody", "identity:5+", "identity:-1", "identity:٥"])
def test_an_unknown_identity_gets_a_sentence(few: Dataset, text: str) -> None:
    with pytest.raises(DataError, match=r"There is no identity .* they go from 0001 to 0012"):
        forget.split(text, few, None)


def test_identities_mean_nothing_without_people(tiny: Dataset) -> None:
    with pytest.raises(DataError, match="shows no identities"):
        forget.split("identity:5", tiny, None)


# Faces.


def faces_on_disk(root: Path, people_: int = faces.PEOPLE, each: int = faces.EACH) -> Path:
    for person in range(1, people_ + 1):
        (root / f"s{person}").mkdir(parents=True)
        for number in range(1, each + 1):
            Image.new("L", (92, 112), person * 5 + number).save(root / f"s{person}" / f"{number}.pgm")
    return root


def test_faces_are_split_by_image_and_by_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces_on_disk(tmp_path / "att_faces")
    monkeypatch.setenv("IMU_DATA", str(tmp_path))
    assert faces.is_here()
    found = faces.load()
    assert (len(found.train), len(found.test), len(found.people.query), len(found.people.gallery)) == (210, 90, 30, 70)
    assert found.class_names[0] == "s1"
    assert found.train.images.shape[1:] == (1, 64, 64)
    assert not set(found.people.query.ids.tolist()) & set(found.people.train.ids.tolist())
    assert found.train.images[7 * 6, 0, 0, 0] == 7 * 5 + 1  # s7's first image, though s10 sorts before s2 as text
    assert int(found.people.test.images[0, 0, 0, 0]) == 5 + 8
    assert forget.split("identity:s7", found, None).request == "identity:s7"


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_faces_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    root = faces_on_disk(tmp_path / "att_faces")
    victim = root / "s12" / "3.pgm"
    victim.unlink() if damage == "missing" else victim.write_bytes(victim.read_bytes()[:50])
    monkeypatch.setenv("IMU_DATA", str(tmp_path))
    with pytest.raises(DataError, match="s12"):
        faces.load()


def test_faces_that_cannot_be_fetched_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sklearn.datasets

    def offline(**_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", offline)
    monkeypatch.setenv("IMU_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"could not be fetched .*no network"):
        list(faces.download())


def test_the_real_faces() -> None:
    if "IMU_DATA" not in os.environ or not faces.is_here():
        pytest.skip("the AT&T faces are not in IMU_DATA")
    found = faces.load()
    assert len({bytes(image.numpy().tobytes()) for image in found.train.images}) == 210
