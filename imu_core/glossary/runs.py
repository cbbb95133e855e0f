"""Words for runs that are kept: the database, its names and tags, and many runs at once."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "Stored runs"

TERMS: tuple[Term, ...] = (
    Term(
        key="stored_run",
        title="Stored run",
        group=GROUP,
        short="A finished run in the database: settings, every point, final metrics, and the parameters it changed where kept.",
        text=(
            "The database is a file on this machine unless the environment variable IMU_DATABASE_URL names another. A run "
            "goes in whole or not at all, so a killed program leaves no half record. Parameters are kept where they have less "
            "than 8 MB: a run on the head changes two tensors, one through the whole network changes all of them. The trap: a "
            "stored model is rebuilt on the original it came from, and when that has been trained anew the run must be "
            "repeated."
        ),
        see=("run_key", "tags", "sweep"),
    ),
    Term(
        key="run_key",
        title="Key of a run",
        group=GROUP,
        short="The same problem with the same settings has the same key; that is how a run is found again.",
        text=(
            "It is a SHA-256 of the problem (data set, model, request, seed, earlier requests) and of every setting that is "
            "not at its default. Two runs with one key took the same steps to the same numbers. What was measured afterwards "
            "is no part of it: a run can be measured further later on and stays the same run. The id is something else, it "
            "belongs to one record alone."
        ),
        see=("stored_run", "seed", "sweep"),
    ),
    Term(
        key="tags",
        title="Tags",
        group=GROUP,
        short="Words of your own on a stored run, to find it and its like again.",
        text=(
            "A run carries up to 20 tags of up to 40 characters, in no order. A search for several tags finds the runs that "
            "carry all of them. Tags change nothing about the run, nor its key. They travel with it when it is exported."
        ),
        see=("stored_run",),
    ),
    Term(
        key="deleted_run",
        title="Deleted run",
        group=GROUP,
        short="Hidden and not gone: it can be restored until it is removed for good.",
        text=(
            "Deleting takes a run out of every list and comparison, and one click or command brings it back. A sweep counts a "
            "deleted run as missing and runs it again. Removing for good is a step of its own (the command is runs purge), "
            "and it cannot be undone."
        ),
        see=("stored_run", "sweep"),
    ),
    Term(
        key="sweep",
        title="Sweep",
        group=GROUP,
        short="Many runs at once: every combination of methods, requests, scopes, seeds and settings.",
        text=(
            "The runs go to all cores of this machine, or to a cluster, and each is stored as it ends. Each computes with one "
            "thread, so its numbers do not depend on how many run beside it. Stopped or killed, the same sweep goes on: what "
            "is stored is not run again. A run that fails is stored with its reason and stops nothing. A setting that a "
            "method does not use is left out for it, so no run is done twice. The trap: a single seed shows one draw, so ask "
            "for several before you call a method better."
        ),
        see=("seed", "run_key", "stored_run"),
    ),
    Term(
        key="measured",
        title="How far it was measured",
        group=GROUP,
        short="Of each run of a sweep: nothing, quick (accuracies, distances) or full (attacks too, seconds a run).",
        text=(
            "Quick takes what one pass through the outputs tells: accuracies of all models and the distance from the "
            "retrained one. Full adds the membership attacks, which can take longer than the run itself. Asking for more "
            "later completes the stored records in place. The trap: a table may mix runs measured to different depths, and an "
            "empty cell means not measured."
        ),
        see=("sweep", "membership", "kl"),
    ),
)
