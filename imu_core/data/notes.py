"""What one must know of the images before believing a number: which files were left out, and which images are there twice."""

from __future__ import annotations

from imu_core.data import files
from imu_core.records.data import Dataset
from imu_core.records.run import Problem


def about(dataset: Dataset) -> tuple[str, ...]:
    """Sentences on the images of `dataset`; none where nothing was left out and nothing is there twice."""
    copies, sentences, noun = dataset.copies, [files.sentence(dataset.left_out)], dataset.noun
    alike = "number by number" if dataset.holds_vectors else "pixel by pixel"
    if copies.test_in_train:
        sentences.append(
            f"Duplicates: {copies.test_in_train:,} of {len(dataset.test):,} test {noun} are in the training set too, "
            f"{alike}. Test accuracy and membership attacks then say less than they seem to."
        )
    if copies.train_twice:
        torn = f"; {copies.other_class:,} are there under two classes" if copies.other_class else ""
        sentences.append(
            f"Duplicates: {copies.train_twice:,} of {len(dataset.train):,} training {noun} came before, {alike}{torn}."
        )
    if copies.query_elsewhere:
        sentences.append(
            f"Duplicates: {copies.query_elsewhere:,} query images are in the gallery or the training set too, pixel by pixel: "
            "they are found by being the same image, not by the person."
        )
    return tuple(filter(None, sentences))


def before(problem: Problem) -> tuple[str, ...]:
    """Sentences on the images of `problem`: on forget images that are in the retain set too, then those of `about`."""
    shared, forget, noun = problem.copies.forget_in_retain, len(problem.split.forget), problem.dataset.noun
    alike = "number by number" if problem.dataset.holds_vectors else "pixel by pixel"
    if not shared:
        return about(problem.dataset)
    return (
        f"Duplicates: {shared:,} of {forget:,} forget {noun} are in the retain set too, {alike}: the same "
        f"{noun} are to be forgotten and kept.",
        *about(problem.dataset),
    )


def counted(problem: Problem) -> dict[str, int]:
    """The numbers behind the sentences of `before`, by name, for the record of a run; {} where there is nothing to say."""
    copies = {name: count for name, count in vars(problem.copies).items() if count}
    return copies | {f"left_out_{entry.why}{entry.what}"[:60]: entry.count for entry in problem.dataset.left_out}
