"""Every method that ships, a line each: what it is called, what it sees, what it can be set to."""

from __future__ import annotations

from imu_core.errors import ConfigError
from imu_core.methods.base import Method, Parameter
from imu_core.methods.families import (
    amnesiac,
    boundary,
    dampening,
    distillation,
    fisher,
    one_step,
    references,
    relabel,
    scar,
    unsir,
)
from imu_core.methods.families.ascent import HESSIAN, NEGGRAD, ga, imu, imu_needs, neggrad_plus
from imu_core.methods.families.npo import npo, simnpo
from imu_core.methods.view import needs

_IMU_USES = ("estimator", "damping", "psi", "top", "clip_quantile", "control", "update_every", "weight_norm", "l1")
_BOTH = needs("forget", "retain")
_SHARE = distillation.RETAIN_SHARE
_FISHER_DAMPING = Parameter(
    "fisher_damping", "Damping λ", 1e-3, "Added to the diagonal of the Fisher matrix.", 1e-8, 1e4, logarithmic=True
)
_NEWTON = (
    Parameter("newton_damping", "Damping λ", 1e-2, "Added to the diagonal of the Hessian.", 1e-8, 1e4, logarithmic=True),
    Parameter("scale", "Step length", 1.0, "1 is the Newton step.", 1e-4, 1e4, logarithmic=True),
)
_ETA = Parameter("eta", "Step η", 1.0, "How far to go along the mean gradient.", 1e-6, 1e6, logarithmic=True)
_GC = Parameter("correction", "Gradient correction", True, "Also step down the retain gradient (IA + GC); reads the retain set.")
_AT = Parameter("at", "Gradient at", "initial", "The weights before training, or those of today.", choices=("initial", "current"))
_STRENGTH = Parameter("strength", "Strength", 1.0, "1 is the published step.", 1e-6, 1e4, logarithmic=True)
_THIRD = Parameter("retain_share", "Share of the retain set", 0.3, "A fixed random share of the retain set takes part.", 0.001)

METHODS: dict[str, Method] = {
    "imu": Method("IMU", "imu", imu, imu_needs, "arXiv 2508.01620", uses=_IMU_USES, parameters=(HESSIAN,)),
    "ga": Method("GA", "ga", ga, needs("forget"), "gradient ascent; arXiv 1911.04933", uses=("weight_norm", "l1")),
    "npo": Method("NPO", "npo", npo, needs("forget"), "arXiv 2404.05868", uses=("beta",)),
    "simnpo": Method("SimNPO", "npo", simnpo, needs("forget"), "arXiv 2410.07163", uses=("beta",)),
    "rl": Method(
        "RL",
        "relabelling",
        relabel.rl,
        relabel.rl_needs,
        "random labels; arXiv 1911.04933",
        stream=relabel.rl_stream,
        parameters=(relabel.WITH_RETAIN, relabel.TRUE_LABELS, _SHARE),
    ),
    "boundary_shrink": Method(
        "Boundary Shrink",
        "relabelling",
        boundary.boundary_shrink,
        needs("forget"),
        "Boundary Unlearning, CVPR 2023",
        parameters=(boundary.EPSILON,),
        note="Samples that the attack cannot move take no part; the published code learns them again.",
    ),
    "boundary_expand": Method(
        "Boundary Expand", "relabelling", boundary.boundary_expand, needs("forget"), "Boundary Unlearning, CVPR 2023"
    ),
    "delete": Method("DELETE", "distillation", relabel.delete, needs("forget"), "arXiv 2503.23751"),
    "scar": Method(
        "SCAR",
        "distillation",
        scar.scar,
        needs("forget", "statistics"),
        "arXiv 2404.12922",
        head=False,
        parameters=scar.PARAMETERS,
        note="Forget set only: an interpretation. Class statistics are stored ones; it distils on the forget images themselves.",
    ),
    "ssd": Method(
        "SSD",
        "dampening",
        dampening.ssd,
        needs("forget", "statistics"),
        "arXiv 2308.07707",
        edit=True,
        parameters=(dampening.SELECT, dampening.DAMPEN),
        strength="alpha",
    ),
    "lfssd": Method(
        "LFSSD",
        "dampening",
        dampening.lfssd,
        needs("forget", "statistics"),
        "arXiv 2402.19308",
        edit=True,
        parameters=(dampening.SELECT, dampening.DAMPEN),
        strength="alpha",
    ),
    "finetune": Method(
        "Fine-tune",
        "reference",
        references.finetune,
        needs("retain"),
        "train on, on the retain set",
        stream="retain",
        parameters=(_SHARE,),
        forgets=False,
        note="Not meant to lower the forget accuracy by itself: nothing in it speaks of the forget set.",
    ),
    "l1_sparse": Method(
        "L1-sparse",
        "reference",
        references.l1_sparse,
        needs("retain"),
        "arXiv 2304.04934",
        stream="retain",
        parameters=(references.SPARSITY, _SHARE),
    ),
    "salun": Method(
        "SalUn",
        "relabelling",
        relabel.salun,
        _BOTH,
        "arXiv 2310.12508",
        stream="in_turn",
        parameters=(relabel.DENSITY, relabel.STRICT, _SHARE),
    ),
    "iu_optml": Method(
        "IU (OPTML)",
        "newton",
        one_step.iu_optml,
        _BOTH,
        "wfisher in the code of arXiv 2304.04934 and 2310.12508",
        edit=True,
        parameters=(one_step.ALPHA, one_step.SAMPLES),
        strength="alpha",
        note="As the code does it: its inverse is the identity, corrected along one gradient.",
    ),
    "iu_woodfisher": Method(
        "IU (WoodFisher)",
        "newton",
        one_step.iu_woodfisher,
        _BOTH,
        "the formula of arXiv 2304.04934, solved exactly",
        edit=True,
        parameters=(one_step.ALPHA, one_step.SAMPLES, _FISHER_DAMPING),
        strength="alpha",
    ),
    "iau": Method(
        "IAU",
        "newton",
        one_step.iau,
        one_step.iau_needs,
        "arXiv 2507.23257",
        edit=True,
        parameters=(_ETA, _GC),
        strength="eta",
        note="Sums of gradients are divided by the size of the forget set, so that η does not depend on it: an interpretation.",
    ),
    "usgd": Method(
        "Unrolled SGD",
        "newton",
        one_step.usgd,
        needs("forget", "initial_weights"),
        "arXiv 2109.13398",
        edit=True,
        parameters=(_STRENGTH, _AT),
        strength="strength",
        note="Trained from random weights, not fine-tuned from good ones as in the source: the first order says little.",
    ),
    "newton": Method(
        "Newton removal",
        "newton",
        one_step.newton,
        _BOTH,
        "arXiv 1911.03030",
        wide=False,
        edit=True,
        parameters=_NEWTON,
        strength="scale",
        note="Certified removal's update without its certificate, which needs noise in training.",
    ),
    "fisher": Method(
        "Fisher forgetting",
        "dampening",
        fisher.fisher,
        needs("retain"),
        "arXiv 1911.04933; fisher_new in OPTML's code",
        edit=True,
        parameters=fisher.PARAMETERS,
        strength="alpha",
        note="Where whole classes go, the published code replaces their head rows by noise; that alone forgets them.",
    ),
    "scrub": Method(
        "SCRUB",
        "distillation",
        distillation.scrub,
        _BOTH,
        "arXiv 2302.09880",
        stream="in_turn",
        parameters=distillation.SCRUB,
    ),
    "neggrad_plus": Method("NegGrad+", "ga", neggrad_plus, _BOTH, "arXiv 2302.09880", stream="paired", parameters=NEGGRAD),
    "bad_teaching": Method(
        "Bad teaching",
        "distillation",
        distillation.bad_teaching,
        _BOTH,
        "arXiv 2205.08096",
        stream="together",
        parameters=(distillation.TEMPERATURE, _THIRD),
    ),
    "amnesiac_delta": Method(
        "Amnesiac (deltas)",
        "newton",
        amnesiac.amnesiac_delta,
        needs("forget", "training_log"),
        "arXiv 2010.10981",
        edit=True,
        parameters=(amnesiac.STRENGTH,),
        strength="strength",
        note="Nearly every batch holds a sample of a class, so forgetting one takes back nearly the whole training.",
    ),
    "amnesiac_relabel": Method(
        "Amnesiac (relabel)",
        "relabelling",
        relabel.amnesiac_relabel,
        _BOTH,
        "arXiv 2010.10981, the repository's second method",
        stream="together",
        parameters=(_SHARE,),
    ),
    "unsir": Method(
        "UNSIR",
        "dampening",
        unsir.unsir,
        needs("retain"),
        "arXiv 2111.08947",
        stream="retain",
        classes=True,
        parameters=unsir.PARAMETERS,
        note="Never sees the forget set. On the head its noise is made in the space of features: an interpretation.",
    ),
    "trw": Method(
        "TRW",
        "distillation",
        distillation.trw,
        _BOTH,
        "arXiv 2506.20893",
        stream="together",
        classes=True,
        parameters=distillation.TRW,
        note="PCA dimension and temperature of the similarity are not published: an interpretation.",
    ),
    "retrain": Method(
        "Retrain",
        "reference",
        references.retrain,
        needs("retain", "initial_weights"),
        "train again without the forget set",
        stream="retain",
        from_scratch=True,
    ),
}


def find(name: str) -> Method:
    """The method called `name`, or a ConfigError that lists the names there are."""
    if name not in METHODS:
        raise ConfigError(f"There is no method called {name!r}. Known methods: {', '.join(METHODS)}.")
    return METHODS[name]
