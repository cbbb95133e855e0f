"""Words for a model of one's own: what is brought, and how it is checked."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "Your own"

TERMS: tuple[Term, ...] = (
    Term(
        key="checkpoint",
        title="Checkpoint",
        group=GROUP,
        short="The file with a trained network's numbers: safetensors, or a state dict saved by torch.",
        text=(
            "A checkpoint holds tensors by name and nothing else. Wrappers such as `state_dict` and prefixes such as "
            "`module.` are taken off. Where its names are not ours, layers of one kind are paired in the order they come in, "
            "if every shape agrees; whether that was right, the accuracy decides. A file that holds more than tensors is "
            "refused, and nothing in it is run. The trap: a whole model saved by torch is a program, not a checkpoint; save "
            "`model.state_dict()`."
        ),
        see=("architecture", "own_check", "original"),
    ),
    Term(
        key="architecture",
        title="Architecture",
        group=GROUP,
        short="The network that the numbers belong to: one of this registry's, torchvision:NAME or timm:NAME.",
        text=(
            "A checkpoint does not say what is computed with its tensors, so the architecture must be named. Every shape "
            "must agree; what is missing or left over is named. The trap: two architectures can have the same tensors and "
            "compute different things. `resnet20` exists with the zeros of its shortcuts behind the old channels or on both "
            "sides of them; of such pairs the form that recognises more training images is taken, and the page says so."
        ),
        see=("checkpoint", "head", "own_check"),
    ),
    Term(
        key="normalisation",
        title="Normalisation",
        group=GROUP,
        short="What is subtracted from the pixels and what they are divided by before the network sees them.",
        text=(
            "A network expects its images as they were in its training: minus a mean and divided by a standard deviation for "
            "each channel, in units of 0 to 1. `imagenet`, `dataset`, `half` and `none` are offered; anything else is "
            "written as MEAN,MEAN,MEAN/STD,STD,STD. Where the accuracy is low, the others are tried on a few training "
            "images. The trap: with the wrong one a good network looks mediocre rather than broken."
        ),
        see=("own_check", "checkpoint"),
    ),
    Term(
        key="own_images",
        title="Your own images",
        group=GROUP,
        short="A folder of images for each class, in train and test (or val), or side by side; on disk or as a .zip.",
        text=(
            "Classes are numbered in the order of their folders' names. Each image is cut to its largest centred square and "
            "scaled to the side you name. Without a test folder, a fifth of each class is kept out, drawn by the SHA-256 of "
            "the file names: the same files on every machine. Numbers and bytes are bounded, and one damaged image refuses "
            "the whole folder by name. Files of systems (._x.jpg, Thumbs.db) and kinds that are not read (HEIC, AVIF, SVG, raw) "
            "are left out, which is said; so is it said of images that are there twice, pixel by pixel. The trap: if the network "
            "was trained on what is now called test, its accuracy is flattered."
        ),
        see=("dataset", "test_set", "own_check"),
    ),
    Term(
        key="own_check",
        title="Check of a brought model",
        group=GROUP,
        short="Accuracy on the test images before anything else, with its 95 % interval, beside chance and what you expect.",
        text=(
            "The interval is Wilson's; chance is the share of the commonest class. A model no better than chance, or below "
            "what you expect of it, is not stored; nor is one below 70 % of which you expect nothing. Below 90 %, trials on a "
            "few training images look for a better normalisation and a better order of the classes. The trap: a model that "
            "passes has the right numbers in the right places; it says nothing about what it was trained on, so forget sets "
            "drawn from these images may never have been seen by it."
        ),
        see=("normalisation", "architecture", "test"),
    ),
)
