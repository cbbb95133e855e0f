"""Words for what is measured, with the direction that is good and the misreading to avoid."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "Metrics"

TERMS: tuple[Term, ...] = (
    Term(
        key="direction",
        title="Direction",
        group=GROUP,
        short="Which way a metric is good: higher, lower, or nearest the retrained reference.",
        text=(
            "A number without a direction cannot be read. Some metrics are better higher (what should be kept), some lower "
            "(distances), and some are best where they come nearest the retrained reference, neither high nor low as such. The "
            "direction can depend on the request: forget accuracy should be low after a whole class and near the retrained "
            "model after random samples."
        ),
        see=("retrained", "random_sets", "forget"),
    ),
    Term(
        key="forget",
        title="Forget accuracy",
        group=GROUP,
        short="Share of the forget set still classified correctly. Whole classes: lower; otherwise nearest the retrained model.",
        text=(
            "This is accuracy on the training images that must go. After a whole class a retrained model recognises none, so "
            "lower is better. After random or hand-picked samples it recognises many of them, and nearest the retrained model "
            "is better. The trap: it reads the model's first choice only. At 0 % the class may be second choice on every "
            "image, and the features may separate it as well as before."
        ),
        see=("forget_set", "random_sets", "stop_at", "membership"),
    ),
    Term(
        key="retain",
        title="Retain accuracy",
        group=GROUP,
        short="Share of the retain set classified correctly; higher is better.",
        text=(
            "Accuracy on the training images that stay: what you paid on known data. Higher is better. The trap: the model was "
            "trained on these images and has a margin on them, so this falls later than accuracy on test images. A method that "
            "trains on the retain set can hold it up while test accuracy drops."
        ),
        see=("retain_set", "test_other"),
    ),
    Term(
        key="test",
        title="Test accuracy, all classes",
        group=GROUP,
        short="Share of the whole test set classified correctly. Whole classes: nearest the retrained model; otherwise higher.",
        text=(
            "All test images count, those of forgotten classes included. After forgetting a whole class the best possible "
            "result loses that class, so the right value is the retrained model's and not the highest. After other requests "
            "higher is better. The trap: most tables on class forgetting leave the class out; compare those with test accuracy "
            "on the other classes."
        ),
        see=("test_other", "test_forgotten", "test_set"),
    ),
    Term(
        key="test_other",
        title="Test accuracy, other classes",
        group=GROUP,
        short="Share of test images of the classes to be kept that are classified correctly; higher is better.",
        text=(
            "When whole classes go, this is what must survive: new images of all other classes. Higher is better, and the "
            "clearest reading of damage there is. The trap: it can rise a little above the original model's, because one class "
            "fewer leaves fewer mistakes to make. The retrained model shows how much of that is natural."
        ),
        see=("test", "retain", "depth"),
    ),
    Term(
        key="test_forgotten",
        title="Test accuracy, forgotten classes",
        group=GROUP,
        short="Share of test images of the forgotten classes still named correctly; lower is better.",
        text=(
            "These images were in no training set. If forget accuracy falls and this does not, the model forgot the pictures "
            "and not the class. Lower is better; a retrained model, which never met the class, has 0. The trap: naming is all "
            "it reads. The images may still lie together in feature space, under another name."
        ),
        see=("forget", "test", "features"),
    ),
    Term(
        key="earlier",
        title="Accuracy on the earlier forget set",
        group=GROUP,
        short="Share of what an earlier request removed that is classified correctly; nearest the retrained model is better.",
        text=(
            "It exists only after a second request. If it rises during the second run, that run brought back something the "
            "first had pushed away. Nearest the retrained reference is better, and the reference here saw neither forget set."
        ),
        see=("second_request", "forget", "retrained"),
    ),
    Term(
        key="membership",
        title="Membership attack (SVC confidence)",
        group=GROUP,
        short="Share of the forget set that an attack judges never seen; nearest the retrained model is better.",
        text=(
            "A support vector classifier learns to tell retain samples from test samples by the probability of the true class, "
            "and is then asked about the forget set. 1 means it takes every forget sample for never seen. A retrained model "
            "after random samples comes out well below 1, so nearest the retrained model is better. The trap: the attack looks "
            "at one number. Any method that pushes that probability down fools it, so a good value here is not proof against "
            "other attacks. A value above the retrained model's marks the samples just as a lower one does."
        ),
        see=("orientation", "confidence", "retrained", "random_sets"),
    ),
    Term(
        key="orientation",
        title="Orientation of membership numbers",
        group=GROUP,
        short="Here 1 means judged never seen; some papers report the share judged seen instead.",
        text=(
            "SalUn, IMU and this app report the share of the forget set judged NON-member. SSD and Bad Teaching report the "
            "share judged member, so theirs falls where ours rises. Others report the attack's own accuracy, which is best "
            "near one half. Ask which of these a table means before you compare. The attacks behind them differ as well."
        ),
        see=("membership",),
    ),
    Term(
        key="kl",
        title="KL divergence",
        group=GROUP,
        short="How far the run's probabilities are from the retrained model's, in nats; lower is better, 0 is equal.",
        text=(
            r"It is the mean over samples of $\sum_c p_c \ln(p_c/q_c)$, with $p$ from the retrained reference and $q$ from the "
            "run. Lower is better; it has no upper bound. It reads all probabilities and not only the first choice. The traps: "
            "it is not symmetric, and a few samples on which the run is very sure and very wrong can make most of the mean. "
            "Read it beside the original model's value, and separately for forget, retain and test set."
        ),
        see=("js", "w1", "retrained"),
    ),
    Term(
        key="js",
        title="Jensen-Shannon divergence",
        group=GROUP,
        short="Symmetric distance of the run's probabilities from the retrained model's, 0 to ln 2 nats; lower is better.",
        text=(
            r"It is the mean over samples of $\frac12\mathrm{KL}(p\Vert m)+\frac12\mathrm{KL}(q\Vert m)$ with $m=(p+q)/2$. "
            r"Lower is better; 0 is equal and $\ln 2 \approx 0.69$ means that they share nothing. Because it is bounded, single "
            "samples cannot dominate it. The trap: some papers take the square root, use base 2 or divide by the number of "
            "classes, so their numbers are not on this scale."
        ),
        see=("kl", "w1", "retrained"),
    ),
    Term(
        key="w1",
        title="Per-class W1",
        group=GROUP,
        short="Distance between two models' probabilities for a class over a whole set, mean over classes; lower is better.",
        text=(
            "For each class sort the run's probabilities over all samples, and the retrained model's, and take the mean "
            "difference of the sorted lists; then average over the classes. Lower is better; it lies between 0 and 1. The "
            "trap: it compares distributions, not samples. Two models that swap their answers between samples can have "
            "distance 0. It is also not the W_dist of the IMU paper, whose code compares class numbers, so that the order of "
            "the classes matters."
        ),
        see=("kl", "js", "retrained"),
    ),
    Term(
        key="cross_entropy",
        title="Loss (cross-entropy)",
        group=GROUP,
        short=(
            "Minus the logarithm of the true class's probability, in nats; on the forget set nearest the retrained model is "
            "better."
        ),
        text=(
            r"$\mathrm{CE} = -\ln p_y$. It is 0 when the model is certain and right, $\ln C$ when it guesses among $C$ classes, "
            "and has no upper bound. On data to be kept lower is better; on the forget set the retrained model's value is the "
            "aim. The trap: higher on the forget set is not better without end. A loss far above the retrained model's means "
            "over-forgetting, which costs the other classes and is itself a mark. A run's own loss, which its method "
            "minimises, is something else: for GA and IMU it is negative."
        ),
        see=("confidence", "depth", "loss"),
    ),
    Term(
        key="confidence",
        title="Confidence",
        group=GROUP,
        short="The probability the model gives the true class, 0 to 1; on the forget set nearest the retrained model is better.",
        text=(
            "It is $p_y$, the softmax probability of the true class, and what the membership attack looks at. On data to be "
            "kept higher is better. The trap: others call the largest probability confidence, whichever class it belongs to. A "
            "model can be very confident in that sense and wrong."
        ),
        see=("membership", "cross_entropy"),
    ),
    Term(
        key="effective_share",
        title="Effective share",
        group=GROUP,
        short="How evenly weights are spread: 100 % for equal weights, 1/n when one sample carries all. No good direction.",
        text=(
            r"It is $(\sum w)^2/(n\sum w^2)$: the share of the forget set that would carry the same if all its members weighed "
            "the same. GA has 100 %. Neither end is better. A low value means that a run follows few samples, so its steps are "
            "noisier and most of the set is forgotten only along with them. The trap: at 100 % IMU is GA, so a comparison of "
            "the two is empty there."
        ),
        see=("weight", "largest", "positive_share", "concentration"),
    ),
    Term(
        key="positive_share",
        title="Share with a weight",
        group=GROUP,
        short="Share of the forget set whose weight is above 0; all others are never pushed. No good direction.",
        text=(
            "Samples with a negative score, or outside the top share, have weight 0. Within a single class nearly all scores "
            "tend to be positive, because the gradients point much the same way; in a random set about half may be. The trap: "
            "a sample without weight is not kept. It moves with the parameters like every other."
        ),
        see=("score", "top", "weight"),
    ),
    Term(
        key="largest",
        title="Largest weight",
        group=GROUP,
        short="The highest weight of a single sample, all weights summing to 1. No good direction.",
        text=(
            "With equal weights it is 1 divided by the size of the forget set. If it is many times that, one sample steers the "
            "run: look at it, since it may be mislabelled or odd. Clipping keeps it down."
        ),
        see=("effective_share", "clip_quantile", "weight"),
    ),
    Term(
        key="seconds",
        title="Seconds by phase",
        group=GROUP,
        short="Wall-clock time, split into preparation (scores), steps and evaluation; lower is better.",
        text=(
            "`prepare` holds influence scores and weights, `steps` the batches with their updates, `evaluation` the judging in "
            "between. The cost of a method is the first two; evaluation is there for you to watch. The trap: seconds compare "
            "only on one machine under one load, and published times often include loading the data. Compare within one "
            "session, and at the same depth."
        ),
        see=("eval_every", "update_every", "depth"),
    ),
    Term(
        key="peak_bytes",
        title="Peak memory",
        group=GROUP,
        short="By how much the program grew at most while the run went on; lower is better.",
        text=(
            "It is the high-water mark of the whole program's resident memory during the run, minus what it held before. Runs of "
            "the head alone often show nearly nothing, because freed memory is used again. The trap: in the app other visitors' "
            "runs count as well; a sweep runs one at a time in each worker."
        ),
        see=("seconds",),
    ),
    Term(
        key="full_evaluation",
        title="Full evaluation",
        group=GROUP,
        short="Judged on whole sets: always over features and at the end; runs over images use fixed subsets in between.",
        text=(
            "A run on the head with `bn=eval` and without augmentation works on cached features, and every point is computed "
            "on all samples. All other runs go over images: points in between are judged on at most 500 samples of each set, "
            "the same for every run on the problem; the last point uses the whole sets, unless you stopped the run. The trap: "
            "a jump at the last point of such a run can come from the change of samples and not from the step. Put no weight "
            "on differences smaller than what chance gives for that many samples."
        ),
        see=("eval_every", "problem_seed", "stop_at"),
    ),
    Term(
        key="plane",
        title="Plane of forgetting and utility",
        group=GROUP,
        short="Each run as a path: forget accuracy to one side, test accuracy upwards; the star is the retrained model.",
        text=(
            "A single pair of numbers depends on when the run stopped; its path does not. Where one path lies above another at "
            "the same forget accuracy, it kept more at the same depth. The best result lies nearest the star. The trap: on "
            "random forget sets the star is close to where the paths begin, so a long path there is damage."
        ),
        see=("depth", "retrained", "random_sets"),
    ),
)
