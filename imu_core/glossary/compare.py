"""Words for holding models side by side: layers, answers, one frame for all, and the runs that nobody beats."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "Metrics"

TERMS: tuple[Term, ...] = (
    Term(
        key="cka",
        title="Linear CKA",
        group=GROUP,
        short="How alike two networks' activations are at one layer: 1 is alike up to a rotation, 0 is unrelated.",
        text=(
            "Both networks see the same $n$ images, and only how the images lie to each other is compared: with the Gram "
            "matrices $K$ and $L$ it is $HSIC(K, L) / \\sqrt{HSIC(K, K) \\, HSIC(L, L)}$. The unbiased estimate of HSIC is used, "
            "because the standard one calls any two layers alike that have more features than there are images; it can fall "
            "slightly below 0. A run on the head leaves every layer below at exactly 1 to the original. The trap: 1 to the "
            "original below the head means that whatever those layers knew of the forget set, they still know."
        ),
        see=("retrained", "scope", "common_frame"),
    ),
    Term(
        key="prediction_matrix",
        title="Prediction matrix",
        group=GROUP,
        short="Counts of what one model says against what another says about the same images.",
        text=(
            "A row is a class that A names, a column a class that B names, a cell the number of images with this pair of "
            "answers. On the diagonal both agree, which may be agreement on a mistake. It shows where a forgotten class goes: "
            "two runs can have the same accuracy and send its images to different classes. It is no confusion matrix, for the "
            "true class plays no part."
        ),
        see=("agreement", "forget", "test_other"),
    ),
    Term(
        key="common_frame",
        title="Common frame",
        group=GROUP,
        short="One plane for all models, fitted once on the original, so that places can be compared.",
        text=(
            "The plane is spanned by the first two principal components of the original model's outputs or features on a "
            "fixed sample; every other model is projected into it and nothing is fitted again. An arrow then means that a sample "
            "really moved. A network that was trained by itself has features in a basis of its own, so the retrained one is "
            "first turned onto the original by the samples that stay; outputs need no turning. The trap: a plane shows only "
            "the share of variance written under it, and a sample may move in what it does not show."
        ),
        see=("cka", "retrained", "prediction_matrix"),
    ),
    Term(
        key="pareto_front",
        title="Pareto front",
        group=GROUP,
        short="The runs that no other run beats in forgetting and in keeping at once.",
        text=(
            "A run is on the front when every other one that forgets more keeps less. All others are worse choices whatever "
            "one values. After random samples, forgetting more is no aim: there the distance to the retrained model's forget "
            "accuracy takes its place. The trap: with a single seed, chance alone can put a run on the front or push it off."
        ),
        see=("plane", "depth", "random_sets"),
    ),
)
