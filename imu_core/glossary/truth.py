"""Words for whether an influence score is true."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "Influence"

TERMS: tuple[Term, ...] = (
    Term(
        key="leave_one_out",
        title="Leaving one out",
        group=GROUP,
        short="Training again without one sample, to see what influence only estimates.",
        text=(
            "Under an L2 term the loss of the last layer has one minimum. The head is trained to it with all samples and again "
            "without one of them; the change of the forget set's loss is the truth that a score foretells. The trap: this is the "
            "truth about the head at its optimum, not about a whole network, nor about one that training left before its optimum."
        ),
        see=("score", "estimator", "lds"),
    ),
    Term(
        key="lds",
        title="Linear datamodelling score (LDS)",
        group=GROUP,
        short="How well summed scores foretell which of many random halves of the data makes the smaller loss; 1 is perfect.",
        text=(
            "The head is trained on random halves of the training set. For each half the scores of its samples are added up, and "
            "these sums are ranked beside the losses really found (Spearman). Park et al. 2023, TRAK. The trap: it asks about "
            "many samples at once, so a method may do well here and order single samples badly."
        ),
        see=("leave_one_out", "spearman"),
    ),
)
