"""Images as people have them: copied from a Mac, packed on Windows, beside other files, named with accents, there twice."""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import imu_core
from imu_core import data, names
from imu_core.data import archive, faces, files, folder, market, notes
from imu_core.errors import ConfigError, DataError
from imu_core.influence import ranking
from imu_core.model_import import orders, own
from imu_core.problems import forget
from imu_core.records.data import Dataset, ImageSet, LeftOut, Why
from imu_core.records.run import Features, Problem, RunConfig, Split, Trajectory
from imu_core.store.reading import read_trajectory

CLASSES = ("cat", "dog", "frog")
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(82)


def picture(number: int, side: int = 12) -> Image.Image:
    """Noise, another for each number."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (side, side, 3)).astype(np.uint8))


def content(number: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture(number).save(buffer, form)
    return buffer.getvalue()


def draw(root: Path, classes: Iterable[str] = CLASSES, parts: Iterable[str] = ("train", "test"), each: int = 2) -> Path:
    """A folder of images, all of them different."""
    number = 0
    for part in parts:
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for place in range(each):
                picture(number).save(root / part / name / f"{place}.png")
                number += 1
    return root


def read(root: Path) -> Dataset:
    return data.load(f"folder:{root}@12")


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, body in members.items():
            info = zipfile.ZipInfo("x")
            info.filename = name  # as it is: zipfile would turn or cut what it does not like
            made.writestr(info, body)
    return buffer.getvalue()


def unpacked(members: dict[str, bytes]) -> dict[str, dict[str, list[Path]]]:
    for _ in archive.unpack(packed(members), "set"):
        pass
    return folder.listing("set")


def sizes(found: dict[str, dict[str, list[Path]]]) -> dict[str, int]:
    return {name: len(found["train"][name]) + len(found["test"][name]) for name in found["train"]}


# Files of a system: one rule, which every reader follows.

SYSTEM = ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r", ".hidden.png", "Desktop.INI")


@pytest.mark.parametrize("name", [*SYSTEM, "__MACOSX", ".ipynb_checkpoints", "@eaDir", "$RECYCLE.BIN", "lost+found"])
def test_what_a_system_leaves_behind_is_hidden(name: str) -> None:
    assert files.is_hidden(name)
    assert not files.is_image(name)


@pytest.mark.parametrize("name", ["0.png", "__0.png", "thumbs.png", "a.b.JPG", "~0.jpeg"])
def test_what_people_call_their_images_is_not(name: str) -> None:
    assert files.is_image(name)


def spoil(place: Path) -> None:
    for name in SYSTEM:
        (place / name).write_bytes(APPLE_DOUBLE)
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (place / name).mkdir()
        (place / name / "0.png").write_bytes(content(99))


def test_a_folder_copied_from_a_mac(tmp_path: Path, fresh_home: Path) -> None:
    root = draw(tmp_path / "images")
    for place in (root, root / "train", root / "test" / "dog"):
        spoil(place)
    found = read(root)
    assert (len(found.train), len(found.test), found.class_names) == (6, 6, CLASSES)
    assert [entry.why for entry in found.left_out] == [Why.HIDDEN]
    assert found.left_out[0].count == 3 * (len(SYSTEM) + 2)


def test_an_archive_packed_on_a_mac(fresh_home: Path) -> None:
    members = {f"pets/{name}/{k}.png": content(k) for name in CLASSES for k in range(2)}
    members |= {f"__MACOSX/pets/{name}/._{k}.png": APPLE_DOUBLE for name in CLASSES for k in range(2)}
    members |= {"pets/.DS_Store": b"x", "pets/Icon\r": b"x", "pets/cat/.ipynb_checkpoints/0.png": content(1)}
    assert sizes(unpacked(members)) == {"cat": 2, "dog": 2, "frog": 2}
    assert folder.survey("set")[1] == (LeftOut(Why.HIDDEN, "", 9, "__MACOSX/pets/cat/._0.png"),)


def people(root: Path, form: str = "{i:04d}_c{c}s1_{k:06d}_00.png") -> Path:
    """Four training people and two others, each seen by four cameras."""
    for part in market.FOLDERS:
        (root / part).mkdir(parents=True)
    for i in range(1, 7):
        for c in range(1, 5):
            part = "bounding_box_train" if i < 5 else "query" if c == 1 else "bounding_box_test"
            picture(10 * i + c).save(root / part / form.format(i=i, c=c, k=c))
    return root


def test_people_copied_from_a_mac(tmp_path: Path, fresh_home: Path) -> None:
    root = people(tmp_path / "set")
    spoil(root / "query")
    found = data.load(f"market:{root}")
    assert len(found.people.query) == 2
    assert [(entry.why, entry.count) for entry in found.left_out] == [(Why.HIDDEN, len(SYSTEM) + 2)]


def test_faces_copied_from_a_mac(tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_DATA", str(tmp_path))
    for person in range(1, faces.PEOPLE + 1):
        (tmp_path / "att_faces" / f"s{person}").mkdir(parents=True)
        for number in range(1, faces.EACH + 1):
            picture(20 * person + number).convert("L").save(tmp_path / "att_faces" / f"s{person}" / f"{number}.pgm")
    (tmp_path / "att_faces" / "s1" / "._1.pgm").write_bytes(APPLE_DOUBLE)
    assert faces.load().left_out == (LeftOut(Why.HIDDEN, "", 1, "s1/._1.pgm"),)


# What is left out is said.


def test_whatever_lies_beside_the_images_is_counted(tmp_path: Path, fresh_home: Path) -> None:
    root = draw(tmp_path / "images")
    for name in ("a.heic", "b.heic", "c.svg", "notes.txt", "raw.CR2", "noending"):
        (root / "train" / "cat" / name).write_bytes(b"x")
    (root / "train" / "cat" / "more").mkdir()
    picture(50).save(root / "train" / "cat" / "more" / "deep.png")
    (root / "val" / "cat").mkdir(parents=True)
    picture(51).save(root / "val" / "cat" / "0.png")
    picture(52).save(root / "cover.png")
    Image.new("RGB", (12, 12)).save(
        root / "test" / "dog" / "moving.gif", save_all=True, append_images=[Image.new("RGB", (12, 12), "white")]
    )
    (root / "test" / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = read(root)
    counted = {(entry.why, entry.what): entry.count for entry in found.left_out}
    assert counted == {
        (Why.KIND, ".heic"): 2,
        (Why.KIND, ".svg"): 1,
        (Why.KIND, ".txt"): 1,
        (Why.KIND, ".cr2"): 1,
        (Why.KIND, ""): 1,
        (Why.PLACE, "more"): 1,
        (Why.PLACE, "val"): 1,
        (Why.PLACE, "images"): 1,
        (Why.SPECIAL, ""): 1,
        (Why.FRAMES, ""): 1,
    }
    words = files.sentence(found.left_out)
    assert "2 .heic files (such as cat/a.heic), a kind that is not read" in words
    assert words.startswith("Left out: ")
    assert "4 of other kinds" in words, "six are named"
    assert notes.about(found)[0] == words
    assert data.load(f"folder:{root}@12").left_out == found.left_out, "the same when it comes from this machine's cache"


@pytest.mark.parametrize("ending", [".tif", ".tiff", ".jfif", ".jpe", ".webp", ".bmp", ".JPEG"])
def test_images_by_their_less_usual_endings_are_read(ending: str, tmp_path: Path, fresh_home: Path) -> None:
    root = draw(tmp_path / "images")
    form = {".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP", ".bmp": "BMP"}.get(ending, "JPEG")
    (root / "train" / "cat" / f"x{ending}").write_bytes(content(77, form))
    found = read(root)
    assert (len(found.train), found.left_out) == (7, ())


def test_a_class_of_nothing_but_unread_kinds_says_which(tmp_path: Path, fresh_home: Path) -> None:
    root = draw(tmp_path / "images")
    for place in (root / "train" / "cat").iterdir():
        place.rename(place.with_suffix(".heic"))
    with pytest.raises(DataError, match=r"'cat' in 'train' has no image .* 2 \.heic files"):
        read(root)
    with pytest.raises(DataError, match=r"holds 0 folders.* 3 \.heic files"):
        unpacked({f"{name}/0.heic": b"x" for name in CLASSES})


def test_what_is_left_out_of_an_archive_stays_known(fresh_home: Path) -> None:
    members = {f"{name}/{k}.png": content(k) for name in CLASSES for k in range(2)} | {"cat/x.heic": b"x", "readme.md": b"x"}
    unpacked(members)
    found = data.load("folder:set@12")
    assert {(entry.why, entry.what) for entry in found.left_out} == {(Why.KIND, ".heic"), (Why.KIND, ".md")}
    (folder.kept() / "set" / files.NOTE).write_text("damaged")
    assert folder.survey("set")[1] == ()


def test_left_out_goes_into_text_and_back() -> None:
    entries = (LeftOut(Why.KIND, ".txt", 3, "a/b.txt"), LeftOut(Why.FRAMES, "", 1, "a/c.gif"))
    assert files.from_text(files.to_text(entries)) == entries
    assert files.sentence(()) == ""


# Names: é is one sign, Cat and cat are one class.

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def test_names_are_compared_in_one_form() -> None:
    assert NFC != NFD
    assert names.normal(NFD) == NFC
    assert names.key(NFD.upper()) == names.key(NFC)
    assert names.key("dog") != names.key("dogs")


@pytest.mark.parametrize(("train", "test"), [(NFC, NFD), (NFD, NFC), ("Cat", "cat"), (NFD.upper(), NFC)])
def test_a_class_spelt_in_two_ways_is_one(train: str, test: str, tmp_path: Path, fresh_home: Path) -> None:
    root = draw(tmp_path / "images", ("dog", "emu"))
    for part, name in (("train", train), ("test", test)):
        (root / part / "emu").rename(root / part / name)
    found = read(root)
    assert set(found.class_names) == {"dog", names.normal(train)}, "composed, as the training part has it"
    assert len(found.test) == 4


@pytest.mark.parametrize(("one", "other", "how"), [("Cat", "cat", "capital letters"), (NFC, NFD, "accented letter")])
def test_two_spellings_of_a_class_side_by_side_are_refused(
    one: str, other: str, how: str, tmp_path: Path, fresh_home: Path
) -> None:
    with pytest.raises(DataError, match=how):
        read(draw(tmp_path / "images", (one, other, "dog")))


def test_a_folder_is_found_however_its_name_is_stored(tmp_path: Path, fresh_home: Path) -> None:
    root = draw(tmp_path / NFD / "images")
    typed = str(root).replace(NFD, NFC)
    assert data.load(f"folder:{typed}@12").name == data.load(f"folder:{root}@12").name
    people(tmp_path / f"{NFD}p")
    assert data.load(f"market:{tmp_path / NFC}p").people is not None


def test_the_same_files_are_kept_out_on_a_mac(tmp_path: Path, fresh_home: Path) -> None:
    held = []
    for form in ("NFC", "NFD"):
        root = tmp_path / form
        for name in CLASSES:
            (root / name).mkdir(parents=True)
            for k in range(6):
                picture(k).save(root / name / unicodedata.normalize(form, f"é{k}.png"))
        held.append([names.normal(path.name) for path in folder.listing(str(root))["test"]["cat"]])
    assert held[0] == held[1]


def problem_of(dataset: Dataset, request: str) -> Problem:
    n, classes = len(dataset.train), len(dataset.class_names)
    part = Features(torch.zeros(n, 3), dataset.train.labels, torch.zeros(n, classes))
    return Problem(dataset, "m", torch.nn.Linear(1, 1), part, part, forget.split(request, dataset, part))


@pytest.mark.parametrize("request_", [f"class:{NFD}", f"class:{NFC}", f" CLASS: {NFD.upper()} ", f"class:{NFD}+{NFC}"])
def test_a_request_finds_its_class_in_either_form(request_: str, tmp_path: Path, fresh_home: Path) -> None:
    found = problem_of(read(draw(tmp_path / "images", ("dog", "emu", NFC))), request_)
    assert found.split.request == f"class:{NFC}"
    assert len(found.split.forget) == 2


def test_a_list_of_classes_is_read_in_either_form(tmp_path: Path, fresh_home: Path) -> None:
    dataset = read(draw(tmp_path / "images", ("dog", NFC, "emu")))
    order = orders.from_list(f"emu, {NFD}, DOG")
    assert own.in_order(order, dataset) == ("emu", NFC, "dog")
    assert own.in_order((), dataset) == dataset.class_names
    with pytest.raises(ConfigError, match="missing emu, not a class cow, named twice dog"):
        own.in_order(("dog", "dog", "cow", NFC), dataset)


# Archives: names as they were meant, and a sentence that fits the cause.


def test_backslashes_of_windows_are_slashes(fresh_home: Path) -> None:
    members = {f"data\\{name}\\{k}.png": content(k) for name in CLASSES for k in range(2)} | {"data\\cat\\": b""}
    assert sizes(unpacked(members)) == {"cat": 2, "dog": 2, "frog": 2}


@pytest.mark.parametrize("twin", ["IMG_1.JPG", "é.png"])
def test_files_that_are_one_on_many_disks_are_kept_apart(twin: str, fresh_home: Path) -> None:
    other = twin.lower() if twin.isascii() else unicodedata.normalize("NFD", twin)
    members = {f"{name}/{file}": content(k) for name in CLASSES for k, file in enumerate((twin, other, "x.png"))}
    found = unpacked(members)
    assert sizes(found) == {"cat": 3, "dog": 3, "frog": 3}
    written = [path.name for part in found.values() for path in part["cat"]]
    assert len({names.key(name) for name in written}) == 3, written


def test_one_file_twice_is_named(fresh_home: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("cat/1.png", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("cat/1.png", b"y")
    with pytest.raises(DataError, match=r"two files of one name, 'cat/1\.png'"):
        list(archive.unpack(buffer.getvalue(), "set"))


def test_utf8_that_is_not_marked_as_such(fresh_home: Path) -> None:
    members = {f"{name}/{k}.png": content(k) for name in ("dog", NFC) for k in range(2)}
    marked = packed(members)
    unmarked = bytearray(marked)
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := marked.find(sign, at + 1)) >= 0:
            unmarked[at + flags + 1] &= 0xF7  # bit 11 says that names are UTF-8
    for _ in archive.unpack(bytes(unmarked), "set"):
        pass
    assert sizes(folder.listing("set")) == {"dog": 2, NFC: 2}


# People: every form that the sentence asks for.


@pytest.mark.parametrize(
    "form",
    [
        "{i}_c{c}s1_{k:06d}_00.png",
        "{i:03d}_c{c}s1_{k:06d}_00.png",
        "{i:07d}_c{c}s1_{k:06d}_00.png",
        "{i:04d}_c{c:03d}_{k:08d}_0.png",
        "{i:04d}_c{c}_f{k:07d}.png",
        "{i:04d}_c{c}.png",
        "{i:04d}_C{c}S12.png",
        "{i:04d}_c{c:05d}-{k}.png",
    ],
)
def test_people_named_as_the_sentence_asks_are_read(form: str, tmp_path: Path, fresh_home: Path) -> None:
    found = data.load(f"market:{people(tmp_path / 'set', form)}")
    assert found.class_names == ("0001", "0002", "0003", "0004")
    assert sorted(set(found.people.gallery.cameras.tolist())) == [2, 3, 4]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("-1_c1.jpg", (-1, 1)),
        ("-001_c012_x.webp", (-1, 12)),
        ("123456789012_c3s1_x.tif", (123456789012, 3)),
        ("._0002_c1s1_000451_03.jpg", None),
        ("0002_c.jpg", None),
        ("x_c1.jpg", None),
        ("0002_c1", None),
    ],
)
def test_names_of_people(name: str, expected: tuple[int, int] | None) -> None:
    assert market.parse(name) == expected


def test_a_long_identity_may_be_asked_for(tmp_path: Path, fresh_home: Path) -> None:
    dataset = data.load(f"market:{people(tmp_path / 'set', '12345678900{i}_c{c}.png')}")
    assert problem_of(dataset, "identity:0123456789002").split.request == "identity:123456789002"


# Images that are there twice.


def twice(root: Path) -> Path:
    """Test images in train too, and one cat that is a dog as well as a cat again."""
    draw(root, each=3)
    for name in CLASSES:
        (root / "train" / name / "t.png").write_bytes((root / "test" / name / "0.png").read_bytes())
    for name in ("cat", "dog"):
        (root / "train" / name / "z.png").write_bytes((root / "train" / "cat" / "0.png").read_bytes())
    return root


def test_copies_are_counted_by_their_pixels(tmp_path: Path, fresh_home: Path) -> None:
    dataset = read(twice(tmp_path / "images"))
    assert vars(dataset.copies) == {
        "test_in_train": 3, "train_twice": 2, "other_class": 3, "query_elsewhere": 0, "forget_in_retain": 0
    }  # fmt: skip
    slow = [image.numpy().tobytes() for image in dataset.train.images]
    assert len(slow) - len(set(slow)) == dataset.copies.train_twice
    assert sum(image.numpy().tobytes() in slow for image in dataset.test.images) == dataset.copies.test_in_train


def test_images_that_differ_in_one_pixel_are_no_copies() -> None:
    images = torch.randint(0, 256, (40, 3, 40, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    near = images.clone()
    near[:, 1, 33, 17] ^= 1  # where the quick look does not look
    labels = torch.arange(40) % 2
    pair = ImageSet(torch.cat([images, near]), torch.cat([labels, labels]))
    dataset = Dataset("d", "d", pair, ImageSet(near[:7], labels[:7]), ("a", "b"), (0.5,) * 3, (0.5,) * 3)
    assert (dataset.copies.train_twice, dataset.copies.test_in_train, dataset.copies.other_class) == (0, 7, 0)


def test_what_is_to_be_forgotten_and_kept_is_said(tmp_path: Path, fresh_home: Path) -> None:
    dataset = read(twice(tmp_path / "images"))
    place = int((dataset.train.labels == 0).nonzero()[0])
    asked = problem_of(dataset, f"ids:{place}")
    assert asked.copies.forget_in_retain == 1
    said = " ".join(notes.before(asked))
    assert "1 of 1 forget images are in the retain set too, pixel by pixel" in said
    assert "3 of 9 test images are in the training set too" in said
    assert "2 of 14 training images came before, pixel by pixel; 3 are there under two classes" in said
    assert notes.counted(asked)["forget_in_retain"] == 1
    whole = problem_of(dataset, "class:frog")
    assert whole.copies.forget_in_retain == 0
    assert "forget images" not in " ".join(notes.before(whole))


def test_a_query_that_is_in_the_gallery_is_said(tmp_path: Path, fresh_home: Path) -> None:
    root = people(tmp_path / "set")
    source = next((root / "query").iterdir())
    (root / "bounding_box_test" / "0005_c4s1_000009_09.png").write_bytes(source.read_bytes())
    found = data.load(f"market:{root}")
    assert found.copies.query_elsewhere == 1
    assert "1 query images are in the gallery" in " ".join(notes.about(found))


def test_the_set_that_ships_holds_nothing_twice(shipped: Dataset) -> None:
    assert not any(vars(shipped.copies).values())
    assert notes.about(shipped) == ()


def test_commands_that_only_read_the_images_say_it_too(
    tmp_path: Path, fresh_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from imu_core.cli.speaking import fetch

    root = twice(tmp_path / "images")
    (root / "train" / "cat" / "x.heic").write_bytes(b"x")
    for _ in range(2):  # read now, and known from before
        fetch(f"folder:{root}@12")
        said_so = capsys.readouterr().err
        assert "Note: Left out: 1 .heic file" in said_so
        assert "Note: Duplicates: 3 of 9 test images" in said_so


def test_a_run_has_it_on_record(lenet: Problem, cheap: Callable[..., RunConfig]) -> None:
    images = lenet.dataset.train.images.clone()
    forgotten, kept = int(lenet.split.forget[0]), int(lenet.split.retain[0])
    images[kept] = images[forgotten]
    left_out = (LeftOut(Why.KIND, ".heic", 4, "a/b.heic"),)
    dataset = replace(lenet.dataset, train=ImageSet(images, lenet.dataset.train.labels), left_out=left_out)
    run = imu_core.unlearn(replace(lenet, dataset=dataset), cheap(method="ga", epochs=1))
    for _ in run:
        pass
    record = json.loads(json.dumps(run.trajectory.to_dict(), allow_nan=False))
    assert record["images"] == {"train_twice": 1, "other_class": 2, "forget_in_retain": 1, "left_out_kind.heic": 4}
    assert Trajectory.from_dict(record).images == read_trajectory(record).images == record["images"]
    del record["images"]
    assert read_trajectory(record).images == {}, "runs that were stored before"


# A number behind @ is a side only where no such folder exists.


def test_a_folder_called_with_an_at_sign(tmp_path: Path, fresh_home: Path) -> None:
    root = draw(tmp_path / "photos@2024")
    assert data.load(f"folder:{root}").train.images.shape[2:] == (32, 32)
    assert data.load(f"folder:{root}@16").train.images.shape[2:] == (16, 16)
    assert folder.parse(f"{root}@16grey") == folder.Asked(str(root), 16, True)
    draw(tmp_path / "photos")
    (tmp_path / "photos@48").mkdir()
    assert folder.parse(f"{tmp_path}/photos@48").path == f"{tmp_path}/photos@48"
    assert folder.parse(f"{tmp_path}/photos@64") == folder.Asked(f"{tmp_path}/photos", 64, False)
    with pytest.raises(DataError, match="2025 is no side"):
        folder.parse(f"{tmp_path}/photos@2025")


# A forget set of one image.


def test_a_forget_set_in_words(lenet: Problem) -> None:
    def words(ids: list[int]) -> str:
        return forget.in_words(Split("ids", torch.tensor(ids), torch.tensor([])), lenet.dataset)

    assert words([1]) == "one image of Trouser"
    assert words([1, 11]) == "2 images of Trouser"
    assert words([1, 2, 11]) == "3 images of 2 of the 10 classes"


def test_one_sample_has_no_order() -> None:
    assert ranking.unranked([0.3]) == "one sample alone has no order"
    assert ranking.unranked([0.3, 0.3]) == "all scores are equal"
    assert ranking.unranked([0.3, 0.2]) == ""
    assert (ranking.written(ranking.spearman([0.3], [0.1])), ranking.written(0.98765)) == ("—", "0.988")


def said(*arguments: Any) -> str:
    from typer.testing import CliRunner

    from imu_core.cli import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_commands_speak_truly_of_one_image(tiny: Dataset, tmp_path: Path) -> None:
    about = ("--problem", "tiny", "--model", "lenet5", "--forget", "ids:1")
    text = said("run", *about, "--method", "imu", "--epochs", 1, "--no-metrics", "--json", tmp_path / "out.json")
    assert "one image of Trouser, no whole class" in text
    assert "every class" not in text
    text = said("influence", *about)
    assert "none, one sample alone has no order" in text
    assert "nan" not in text
    assert "largest scores hold" not in text
