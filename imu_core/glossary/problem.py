"""Words for what must be forgotten, from which model, and which of its parts may move."""

from __future__ import annotations

from imu_core.glossary.term import Term
from imu_core.settings import RUN

GROUP = "The problem"

TERMS: tuple[Term, ...] = (
    Term(
        key="unlearning",
        title="Machine unlearning",
        group=GROUP,
        short="Changing a trained model so that it behaves as if some of its training data had never been there.",
        text=(
            "You have a trained model, and some of its training samples must go: somebody withdrew them, or they are wrong. "
            "Training again without them is the sure way and the expensive one; unlearning methods change the model you have. "
            "The yardstick is the retrained reference: a good result behaves like it, on the forget set and everywhere else. "
            "The trap: a model can classify nothing of the forget set correctly and still carry it in its features, so a low "
            "number in the outputs is no proof that anything was removed."
        ),
        see=("forget_set", "retrained", "features", "membership"),
    ),
    Term(
        key="dataset",
        title="Data set",
        group=GROUP,
        short="The images and classes a model is trained on, and the test images it is judged by.",
        text=(
            "A data set brings training images, test images and the names of its classes. The training images divide into "
            "forget set and retain set; the test images stay apart. Models and retrained references belong to one data set "
            "each. The trap: what holds on a small set of small pictures need not hold on another, so repeat a finding on a "
            "second data set before you rely on it."
        ),
        see=("forget_set", "retain_set", "test_set"),
    ),
    Term(
        key="forget_set",
        title="Forget set",
        group=GROUP,
        short="The training samples the model must forget: what your request names.",
        text=(
            "The forget set is the part of the training set that must go; GA, IMU and NPO see nothing else. It holds training "
            "images only: test images of the same class are not in it, and they tell you whether the model forgot the class or "
            "only these pictures. It may be a whole class, a random draw, or single samples picked by hand, and the right "
            "outcome differs: after a whole class a retrained model recognises none of it, after a random draw it still "
            "recognises most."
        ),
        see=("request", "retain_set", "random_sets", "forget"),
    ),
    Term(
        key="retain_set",
        title="Retain set",
        group=GROUP,
        short="All training samples that you did not ask to forget, now or earlier.",
        text=(
            "The retain set is what remains of the training set without the forget set and without anything an earlier request "
            "removed. Accuracy on it shows what a run damaged. GA, IMU and NPO never see it; fine-tuning and retraining see "
            "nothing else. The trap: the model was trained on these images, so accuracy on them starts high and falls late. "
            "Accuracy on test images of the other classes usually reports damage earlier."
        ),
        see=("forget_set", "retain", "test_other", "sees"),
    ),
    Term(
        key="test_set",
        title="Test set",
        group=GROUP,
        short="Images that no training ever used: they show what a run does beyond the training data.",
        text=(
            "The test set is kept apart from training, unlearning and retraining, and it holds all classes. Where you forget "
            "whole classes it is read in two parts: images of the other classes, which should be kept, and images of the "
            "forgotten classes, which should be lost. The trap: published tables for class forgetting mostly leave the "
            "forgotten class out of test accuracy. A number over all classes must then drop even for a perfect result, so "
            "compare like with like."
        ),
        see=("test", "test_other", "test_forgotten"),
    ),
    Term(
        key="original",
        title="Original model",
        group=GROUP,
        short="The trained model before any unlearning; every run starts from a copy of it.",
        text=(
            "The original model was trained on the whole training set, forget set included. Every run works on its own copy, "
            "so you cannot damage it, and two runs on one problem start from the same numbers. Every method may look at it. In "
            "charts it is the open grey circle: the place from which all paths start."
        ),
        see=("retrained", "forget_set"),
    ),
    Term(
        key="retrained",
        title="Retrained reference",
        group=GROUP,
        short="A model trained by the same recipe without the forget set: what a perfect result would look like.",
        text=(
            "The retrained reference is trained from the start with the same recipe and seed as the original, on everything "
            "except the forget set and what earlier requests removed. Nothing in it comes from the forget set, so many metrics "
            "here are good when they are near its value, and neither high nor low as such. No method ever sees it; only the "
            "evaluation does. The trap: it is one model of many. With another seed it would differ a little, so a difference "
            "of that size between a run and the reference says nothing."
        ),
        see=("original", "retrain", "direction", "kl"),
    ),
    Term(
        key="request",
        title="Forget request",
        group=GROUP,
        short="What must be forgotten, written as text: class:, subclass:, random:, ids:, outliers:, hardest: or easiest:.",
        text=(
            "A request is one line of text, so that it fits into a link and repeats exactly. Its kind stands before the colon: "
            "`class:Sandal`, `random:10%`, `ids:4,8,15-23`, `outliers:50`, `hardest:50`, `easiest:50`. At least two classes "
            "must keep samples, or there is no model left to keep. The trap: the kind decides how the numbers are to be read. "
            "Only for whole classes does a lower forget accuracy mean a better result."
        ),
        see=(
            "request_class",
            "request_subclass",
            "request_random",
            "request_ids",
            "request_outliers",
            "request_hardest",
            "request_easiest",
        ),
    ),
    Term(
        key="request_class",
        title="Request: class:NAME",
        group=GROUP,
        short="Forget whole classes: class:Sandal, or class:Sandal+Bag for several.",
        text=(
            "Every training image of the named classes goes; names are joined by a plus sign and their case does not matter. A "
            "retrained model has then never seen these classes and recognises none of their images, so forget accuracy should "
            "fall to 0, and so should accuracy on test images of these classes. This is the easy case: pushing one output down "
            "reaches it. It shows little about removing single samples."
        ),
        see=("request", "test_forgotten", "forget"),
    ),
    Term(
        key="request_subclass",
        title="Request: subclass:A/B",
        group=GROUP,
        short="Forget a part of a larger class: subclass:people/boy, in CIFAR-100, whose classes lie in 20 superclasses.",
        text=(
            "The name of the superclass stands before the slash, the subclass behind it; several are joined by a plus sign. In "
            "`cifar100` the subclass is a class of its own, so the request means the same as `class:boy`. In `cifar20` the model "
            "only learned to say *people*, and boys are a fifth of them. The trap: there a retrained model, which never saw a "
            "boy, still calls many of them people, because girls and men taught it that. So the aim is its accuracy on the "
            "forget set, and not 0."
        ),
        see=("request_class", "random_sets", "request"),
    ),
    Term(
        key="request_random",
        title="Request: random:SHARE",
        group=GROUP,
        short="Forget samples drawn at random: random:10% or random:500, with ,seed=3 to fix the draw.",
        text=(
            "Samples are drawn from all classes alike, as a share of the training set or as a number. Without a seed of its "
            "own the draw uses the problem's seed; the request is then written out with that seed, so that it can be repeated. "
            "A retrained model still classifies most of these images correctly. Read the entry on random forget sets before "
            "you read the numbers."
        ),
        see=("random_sets", "problem_seed", "request"),
    ),
    Term(
        key="request_ids",
        title="Request: ids:LIST",
        group=GROUP,
        short="Forget samples picked by hand, by their numbers in the training set: ids:4,8,15-23.",
        text=(
            "The numbers are places in the training set, counted from 0; a range holds both of its ends. Selecting images on a "
            "page writes this request for you. With a handful of samples every accuracy moves in large jumps, and one sample "
            "more or less decides: look at the images and their losses rather than at a percentage."
        ),
        see=("request", "cross_entropy"),
    ),
    Term(
        key="request_outliers",
        title="Request: outliers:K",
        group=GROUP,
        short="Forget the K samples whose features look strangest to an isolation forest.",
        text=(
            "An isolation forest splits the features at random; a sample that is cut off after few splits counts as strange. "
            "The K strangest go, given as a number or as a share. Labels play no part, so the set mixes rare, odd and "
            "mislabelled images. The trap: strange means strange to this model's features, which have already been trained on "
            "these very samples."
        ),
        see=("features", "request_hardest", "request"),
    ),
    Term(
        key="request_hardest",
        title="Request: hardest:K",
        group=GROUP,
        short="Forget the K training samples with the largest loss under the original model.",
        text=(
            "The samples the original model gets most wrong go: many are mislabelled or ambiguous. K is a number or a share. "
            "The trap: the original model misses many of them to begin with, so forget accuracy starts low and says little. "
            "What counts is whether the rest gets better or worse, and how near the run comes to the retrained reference."
        ),
        see=("cross_entropy", "request_easiest", "request"),
    ),
    Term(
        key="request_easiest",
        title="Request: easiest:K",
        group=GROUP,
        short="Forget the K training samples with the smallest loss under the original model.",
        text=(
            "The samples the original model is surest about go. K is a number or a share. A retrained model finds them easy "
            "too, because other images teach it the same. The right outcome is a forget accuracy that stays high, and a run "
            "that drives it down has done harm."
        ),
        see=("request_hardest", "random_sets", "cross_entropy"),
    ),
    Term(
        key="second_request",
        title="Second request",
        group=GROUP,
        short="Another forget request on the model that an earlier run left behind.",
        text=(
            "Requests rarely come alone. A second one starts from the unlearned model of the first, and what the first removed "
            "is in neither the forget nor the retain set any more. The retrained reference is then the model that saw neither. "
            "Watch accuracy on the earlier forget set: a later run can bring back what an earlier one pushed away."
        ),
        see=("earlier", "retrained", "retain_set"),
    ),
    Term(
        key="random_sets",
        title="Random forget sets, and why “forgot” is the wrong word there",
        group=GROUP,
        short="On random samples, aim for the retrained model's accuracy, not for 0: it recognises most of what it never saw.",
        text=(
            "A model that never saw these samples classifies them about as well as test images, because the rest of the "
            "training set teaches the same classes. Forget accuracy should therefore come near the retrained reference, which "
            "lies near test accuracy. A run that drives it lower has not forgotten better: it has unlearned how to classify, "
            "and test accuracy falls with it. So this app does not say “forgot” for such sets, and the fitting question is "
            "another one: can an attack still tell that these samples were trained on?"
        ),
        see=("request_random", "membership", "forget", "direction"),
    ),
    Term(
        key="head",
        title="Head",
        group=GROUP,
        short="The model's last linear layer: it turns features into one number per class.",
        text=(
            "The head computes the logits $W z + b$ from the features $z$; a softmax makes probabilities of them. It holds few "
            "of the model's parameters and decides every answer. Influence is computed for the head, because there gradients "
            "and curvature have short exact formulas. The trap: a run on the head alone leaves the features as they are, so "
            "anyone who has the model can fit a new head on them."
        ),
        see=("backbone", "features", "scope", "influence"),
    ),
    Term(
        key="backbone",
        title="Backbone",
        group=GROUP,
        short="Everything in the model below its head: it turns an image into features.",
        text=(
            "The backbone holds the convolutions, the batch norm and most of the parameters. At scope `head` it is frozen, and "
            "each image needs to pass through it only once. The trap: frozen parameters are not everything. With `bn=train` "
            "the running statistics of batch norm move with every batch, even though no parameter of the backbone does."
        ),
        see=("head", "features", "bn"),
    ),
    Term(
        key="features",
        title="Features",
        group=GROUP,
        short="The numbers the backbone makes of an image, just before the head.",
        text=(
            "The features are what the head sees of an image: one vector per image, computed once and kept, so that a run on "
            "the head takes far less time than one over images. Search by similarity uses features and never asks the head. "
            "The trap: after a run on the head with `bn=eval` the features are the same numbers as before, so a search that "
            "found a person still finds that person."
        ),
        see=("backbone", "head", "scope"),
    ),
    Term(
        key="scope",
        title="Scope",
        group=GROUP,
        short=RUN["scope"].help,
        text=(
            "`head` changes the last linear layer, `last:2` the head and the two blocks below it, `all` everything. Scope "
            "decides a run's cost and much of its outcome. The paper compares IMU on the head with rivals on the whole "
            "network; when we put GA on the head as well, it kept as much as IMU. So compare methods at the same scope; the "
            "Unlearn page lets you put any method on any scope that suits it. The trap: a narrow scope is gentle because it "
            "leaves what the features know where it is."
        ),
        see=("head", "features", "depth", "imu"),
    ),
    Term(
        key="bn",
        title="Batch norm mode",
        group=GROUP,
        short=RUN["bn"].help,
        text=(
            "Batch norm keeps a running mean and variance of what it sees. With `eval` these are used and left alone. With "
            "`train` every batch is normalised by its own statistics, and the running ones move towards the batches: in GA, "
            "IMU and NPO these are the forget set and nothing else. The IMU authors' code runs in training mode. The trap: "
            "this drift changes the model even at scope `head` and even at learning rate 0, and it can pass for an effect of "
            "the method."
        ),
        see=("backbone", "authors", "scope"),
    ),
    Term(
        key="problem_seed",
        title="Seed of the problem",
        group=GROUP,
        short=RUN["problem_seed"].help,
        text=(
            "The problem's seed draws a random forget set where the request names no seed. For runs over images it also draws "
            "the samples that judge a run between its first and its last step. It is part of the problem: keep it fixed when "
            "you compare methods. It does not change the model: original and retrained reference have a training seed of their "
            "own."
        ),
        see=("seed", "request_random", "full_evaluation"),
    ),
    Term(
        key="seed",
        title="Seed of the run",
        group=GROUP,
        short=RUN["seed"].help,
        text=(
            "The run's seed orders the batches, flips images where `augment` is on, and draws the random or permuted weights "
            "of a control. Two methods with the same seed, batch size and set meet the same batches in the same order. Repeat "
            "a run with several seeds before you believe a small difference. The trap: seeds of the run do not vary the "
            "original model or the forget set, so their spread understates how much the outcome depends on those."
        ),
        see=("problem_seed", "control", "augment"),
    ),
)
