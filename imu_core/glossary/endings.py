"""Words for the states of a run, from waiting in line to its end."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "How a run ends"

TERMS: tuple[Term, ...] = (
    Term(
        key="queued",
        title="Queued",
        group=GROUP,
        short="Waiting in line: other runs come first, nothing has happened yet.",
        text=(
            "Your own runs go one after another, and a few visitors are served at the same time. The page says how many runs "
            "are ahead of yours. Stop takes it out of the line at once."
        ),
        see=("running", "cancelled"),
    ),
    Term(
        key="running",
        title="Running",
        group=GROUP,
        short="Taking steps; points appear as they are evaluated.",
        text=(
            "The run works in the background and goes on when you change the page. What you see is a prefix of its path and "
            "already valid. Stop ends it within a step."
        ),
        see=("stopping", "queued"),
    ),
    Term(
        key="stopping",
        title="Stopping",
        group=GROUP,
        short="You pressed Stop; the run ends after the work it is in the middle of.",
        text=(
            "A run looks for Stop before each step and between the parts of an evaluation, so this usually lasts a moment; a "
            "long solve for influence scores is finished first. All points so far are kept. Pressing Stop again changes "
            "nothing."
        ),
        see=("cancelled", "running"),
    ),
    Term(
        key="done",
        title="Done",
        group=GROUP,
        short="The run reached its target, or took all its steps; the reason says which.",
        text=(
            "The last point is a full evaluation. The trap: done means that the run ended as planned, and not that the forget "
            "set is gone. If it ran out of steps before its target, the reason says so; whether anything was forgotten is for "
            "the metrics to show."
        ),
        see=("stop_at", "forget", "membership"),
    ),
    Term(
        key="cancelled",
        title="Cancelled",
        group=GROUP,
        short="You stopped it; everything up to that step is valid and kept.",
        text=(
            "You pressed Stop, and the run ended at its next step. The points are a valid beginning of the run: with the same "
            "seed, running it again passes through the same ones. The trap: in a run over images its last point may come from "
            "a subset of the samples, so do not put it beside the final numbers of a finished run."
        ),
        see=("stopping", "full_evaluation", "seed"),
    ),
    Term(
        key="diverged",
        title="Diverged",
        group=GROUP,
        short="The loss stopped being a number, or test accuracy fell to chance twice in a row; the model is wrecked.",
        text=(
            "The run ends by itself when a loss or a parameter is no longer finite, or when two evaluations running find test "
            "accuracy no better than guessing ($1/C$ for $C$ classes, with an allowance for the size of the test set). Use a "
            "smaller learning rate, or a target at which to stop. The trap: such a run can show a forget accuracy of 0 and a "
            "fine membership number, because a model that knows nothing has also forgotten. Retraining starts at chance, so "
            "only the first rule applies to it."
        ),
        see=("learning_rate", "stop_at", "depth"),
    ),
    Term(
        key="failed",
        title="Failed",
        group=GROUP,
        short="Something the run needed was missing or impossible; the reason says what, and what to do.",
        text=(
            "Common reasons: no forget sample has a positive score, a solve did not converge, or a stored model is missing. "
            "The sentence beside the state names the setting and what to try. Points from before the failure stay. If the "
            "reason speaks of the program itself, it is a defect of ours: please report it."
        ),
        see=("residual", "positive_share", "done"),
    ),
)
