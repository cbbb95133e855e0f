"""Words for the controls: other weights that IMU's own weights are compared with."""

from __future__ import annotations

from imu_core.glossary.term import Term
from imu_core.settings import RUN

GROUP = "Controls"

TERMS: tuple[Term, ...] = (
    Term(
        key="control",
        title="Control",
        group=GROUP,
        short=RUN["control"].help,
        text=(
            "A run with a control takes the same steps as IMU with other weights. If the control does as well, the result does "
            "not come from influence. Empty means IMU's own weights. Controls change one thing: scope, learning rate, target "
            "and seed stay as you set them. The trap: one run of each proves little. Repeat both with several seeds and "
            "several forget sets, and compare them pair by pair."
        ),
        see=("uniform", "permuted", "random", "loss", "gradient_norm", "imu"),
    ),
    Term(
        key="uniform",
        title="Control: uniform weights",
        group=GROUP,
        short="Every forget sample counts the same: this is exactly GA.",
        text=(
            "All weights are equal, also for samples with a negative score. On the head the run equals GA bit for bit. It "
            "shows what plain gradient ascent reaches at IMU's scope and settings, which the paper's tables do not contain. ψ, "
            "top share and clipping have no effect on it."
        ),
        see=("ga", "control", "weight"),
    ),
    Term(
        key="permuted",
        title="Control: permuted weights",
        group=GROUP,
        short="IMU's own weights, shuffled among the forget samples: the same inequality, the wrong owners.",
        text=(
            "The weights keep their values and lose their samples. What is left of IMU is how unequal they are. It is the "
            "sharpest control: if it does as well as IMU, it does not matter which sample gets which weight. On the head, at "
            "equal depth, that is what we found on CIFAR-10, within the spread between classes; the Unlearn page lets you "
            "repeat it. The trap: one shuffle is one draw, so use several seeds."
        ),
        see=("control", "imu", "seed", "weight"),
    ),
    Term(
        key="random",
        title="Control: random weights",
        group=GROUP,
        short="Numbers drawn at random in place of scores, then made into weights the usual way.",
        text=(
            "Each sample gets a draw between 0 and 1 in place of $N s_i$; top share, ψ and clipping then act as they do for "
            "IMU. It shows whether just any unequal weights would do. The trap: these weights are less unequal than IMU's "
            "mostly are, so `permuted` is the closer comparison."
        ),
        see=("permuted", "control", "random_sets"),
    ),
    Term(
        key="loss",
        title="Control: loss as score",
        group=GROUP,
        short="Each sample's cross-entropy in place of its score: does influence say more than the loss?",
        text=(
            "The sample's cross-entropy under the model stands in for $N s_i$; the rest stays. A gradient on the head is long "
            "where the error is large, so within one class score and loss order the samples much alike; in a random set they "
            "do not. If this control does as well, a forward pass would have been enough and no curvature was needed."
        ),
        see=("cross_entropy", "gradient_norm", "control"),
    ),
    Term(
        key="gradient_norm",
        title="Control: gradient norm as score",
        group=GROUP,
        short="The length of each sample's head gradient in place of its score: does its direction matter?",
        text=(
            r"$\lVert g_i\rVert = \lVert p_i-y_i\rVert\,\lVert [z_i;1]\rVert$ stands in for $N s_i$; the rest stays. It knows "
            "how strongly a sample pulls and not in which direction, while influence also asks whether it pulls the way the "
            "forget set does. If the two do equally well, direction and curvature added nothing."
        ),
        see=("gradient", "loss", "control"),
    ),
)
