"""Words for the methods, their presets and the settings of a run."""

from __future__ import annotations

from imu_core.glossary.term import OF_METHODS, Term
from imu_core.settings import RUN

TERMS: tuple[Term, ...] = (
    Term(
        key="method",
        title="Method",
        group=OF_METHODS,
        short=RUN["method"].help,
        text=(
            "A method turns a batch into a loss; everything else (scope, steps, stopping, evaluation) is the same loop for all "
            "of them. That is what makes runs comparable: change the method, leave the rest, and read both at the same depth. "
            "Each method declares which data it uses and gets no more. The trap: the same learning rate does not mean the same "
            "strength, because losses differ in scale. Normalised steps and a common target remove that difference."
        ),
        see=("imu", "ga", "npo", "finetune", "retrain", "sees"),
    ),
    Term(
        key="sees",
        title="What a method sees",
        group=OF_METHODS,
        short="The data a method declared it needs; asking for more ends the run.",
        text=(
            "Each method declares a part of: forget set, retain set, stored statistics, initial weights, "
            "training log. It gets that part, the original model and its own copy. GA, IMU and NPO declare the forget set; "
            "fine-tuning the retain set; retraining the retain set and the initial weights. The retrained reference is shown "
            "to none. The trap: a method that sees the retain set can repair what it breaks, so compare it with its own kind "
            "first."
        ),
        see=("method", "retain_set", "retrained"),
    ),
    Term(
        key="preset",
        title="Preset",
        group=OF_METHODS,
        short="A named set of settings to start from, for each method and scope.",
        text=(
            "A preset fills in the settings of a run; you can change each of them afterwards. There are three: `gentle`, `five "
            "epochs` and `authors`. Fine-tuning and retraining have settings of their own and are the same under each name. "
            "The trap: two presets differ in many settings at once. If you want to know what one setting does, change that one."
        ),
        see=("gentle", "five_epochs", "authors"),
    ),
    Term(
        key="gentle",
        title="Preset: gentle",
        group=OF_METHODS,
        short="Small normalised steps until almost none of the forget set is recognised, then stop.",
        text=(
            "The run takes small normalised steps and ends at the first evaluation at or below its target, or when its epochs "
            "are used up. Methods then end at about the same depth, and what differs is what they cost. It also picks ψ for "
            "IMU, which need not be the paper's square root; the settings show which. The trap: a target near 0 is right for "
            "whole classes and wrong for random samples, where a retrained model recognises most of the set. Set the target to "
            "the retrained model's accuracy there."
        ),
        see=("stop_at", "normalised", "depth", "random_sets"),
    ),
    Term(
        key="five_epochs",
        title="Preset: five epochs",
        group=OF_METHODS,
        short="Five passes over the forget set at a fixed step length, however far that gets.",
        text=(
            "Most papers run a fixed number of epochs; this preset does so with normalised steps and no target. How far it "
            "gets depends on the size of the forget set, because a larger one gives more steps per epoch. The trap: methods "
            "end at different depths, so one that kept more may merely have forgotten less."
        ),
        see=("epochs", "depth", "gentle"),
    ),
    Term(
        key="authors",
        title="Preset: authors",
        group=OF_METHODS,
        short="Settings of the IMU authors' code: momentum SGD, training mode, weights clipped at their 93 % quantile, L1.",
        text=(
            "Paper and code differ, and this preset follows the code: SGD with momentum 0.9 and weight decay, augmentation, "
            "batch norm in training mode, and for IMU clipped weights and L1 on the head. It does not copy everything: their "
            "script scores randomly cropped and flipped images and keeps the top tenth of samples unless told otherwise; here "
            "scores come from plain images, augmentation is flips, and `top` stays at 1. The trap: with `bn=train` the "
            "backbone's statistics drift even when only the head is trained."
        ),
        see=("bn", "clip_quantile", "l1", "top", "momentum"),
    ),
    Term(
        key="stop_at",
        title="Target (stop_at)",
        group=OF_METHODS,
        short=RUN["stop_at"].help,
        text=(
            "After every step the run compares forget accuracy with this target and ends when it is at or below it. In runs over "
            "images it looks at as many forget samples as it takes to be sure, near the target at all of them. The same target "
            "for all methods means the same depth, which is what makes costs comparable. The trap: one step can go far past "
            "the target; take smaller ones, and compare where runs ended."
        ),
        see=("depth", "eval_every", "forget", "gentle"),
    ),
    Term(
        key="depth",
        title="Depth of forgetting",
        group=OF_METHODS,
        short="How far a run has gone, read as forget accuracy; compare methods at the same depth.",
        text=(
            "Every method that pushes the forget set away pays with accuracy elsewhere, and pays more the further it goes. A "
            "table of two runs at different depths therefore compares how far they went and not how well. Give both the same "
            "target, or read both paths in the plane at the same forget accuracy. The trap: once forget accuracy is 0 the "
            "depth is hidden, and the loss of the forget set goes on rising."
        ),
        see=("stop_at", "plane", "cross_entropy"),
    ),
    Term(
        key="step",
        title="Step",
        group=OF_METHODS,
        short="One batch, one gradient, one update of the parameters in scope.",
        text=(
            "A run is a row of steps; the point before the first one is the original model. In a run over cached features "
            "every evaluated step keeps its head, so you can go back to it. The trap: the number of steps compares two runs "
            "only when their steps are equally long. With plain SGD one step can be many times as long as another."
        ),
        see=("normalised", "epochs", "batch_size"),
    ),
    Term(
        key="learning_rate",
        title="Learning rate",
        group=OF_METHODS,
        short=RUN["learning_rate"].help,
        text=(
            r"Plain SGD moves the parameters by $\eta$ times the gradient, so a step is as long as the gradient happens to be. "
            r"With normalised steps the gradient is first scaled to length 1, and without momentum $\eta$ is the length of the "
            "step. With plain SGD this setting decides nearly everything: a little too small does nothing, a little too large "
            "wrecks the model. That is why trajectories and matched depth are shown here, and not single numbers. The trap: a "
            "learning rate found for one method, scope or optimiser does not carry over to another."
        ),
        see=("optimizer", "normalised", "depth", "diverged"),
    ),
    Term(
        key="optimizer",
        title="Optimiser",
        group=OF_METHODS,
        short=RUN["optimizer"].help,
        text=(
            "`sgd` is plain stochastic gradient descent, with momentum and weight decay if you set them. `normalised` scales "
            "the gradient of all parameters in scope together to length 1 before the same update. Normalised steps make "
            "methods with losses of different scale comparable and keep gradient ascent from running away faster and faster. "
            "Published results nearly always use the plain form, so choose `sgd` to repeat them."
        ),
        see=("normalised", "learning_rate", "momentum"),
    ),
    Term(
        key="normalised",
        title="Normalised steps",
        group=OF_METHODS,
        short="The gradient is scaled to length 1 first, so a step is as long as the learning rate says.",
        text=(
            r"The update is $\theta \leftarrow \theta - \eta\, g/\lVert g\rVert$, the norm taken over all parameters in scope "
            "together. Then two runs of equally many steps have walked equally far, whatever the scale of their losses. This "
            "is exact with momentum 0, weight decay 0 and a constant schedule; with momentum, steps add up to longer ones or "
            "cancel. The trap: the length of a step no longer shrinks where the gradient does, so a method whose gradient dies "
            "away (NPO) keeps moving."
        ),
        see=("learning_rate", "optimizer", "npo"),
    ),
    Term(
        key="epochs",
        title="Epochs",
        group=OF_METHODS,
        short=RUN["epochs"].help,
        text=(
            "One epoch visits each sample of the driving set once, in an order drawn afresh. For GA, IMU and NPO that is the "
            "forget set, for fine-tuning and retraining the retain set. The trap: five epochs over a small forget set are few "
            "steps and five over a large one are many, so equal epochs are not equal effort. With a target the number of "
            "epochs is only an upper limit."
        ),
        see=("step", "batch_size", "stop_at"),
    ),
    Term(
        key="batch_size",
        title="Batch size",
        group=OF_METHODS,
        short=RUN["batch_size"].help,
        text=(
            "Each step uses one batch; the last batch of an epoch holds what is left over. A batch as large as the set makes "
            "every step use all of it. For IMU with `weight_norm=batch` the weights are normalised inside each batch, so small "
            "batches blur the difference between strong and weak samples: alone in its batch, every sample with a weight "
            "counts fully."
        ),
        see=("step", "epochs", "weight_norm"),
    ),
    Term(
        key="momentum",
        title="Momentum",
        group=OF_METHODS,
        short=RUN["momentum"].help,
        text=(
            r"The update is $v \leftarrow \mu v + g$, then $\theta \leftarrow \theta - \eta v$. While the gradient keeps its "
            r"direction, steps grow up to $1/(1-\mu)$ times as long: ten times at 0.9. The trap: on the head of a confident "
            "model this is enough to turn a harmless learning rate into a collapse, and the run goes on moving after the "
            "gradient has turned."
        ),
        see=("learning_rate", "optimizer", "authors"),
    ),
    Term(
        key="weight_decay",
        title="Weight decay",
        group=OF_METHODS,
        short=RUN["weight_decay"].help,
        text=(
            r"It adds $\lambda_{wd}\,\theta$ to the gradient of every parameter in scope, and, with normalised steps, after the "
            "scaling. It belongs to the settings of the authors' code and is off by default here. The trap: it also shrinks "
            "what serves the other classes, so it costs a little accuracy in ways that have nothing to do with forgetting."
        ),
        see=("l1", "optimizer", "authors"),
    ),
    Term(
        key="schedule",
        title="Learning-rate schedule",
        group=OF_METHODS,
        short=RUN["schedule"].help,
        text=(
            "`constant` keeps the learning rate you set. `one_cycle` starts low, reaches the learning rate after a fifth of "
            "the steps and then falls almost to 0; it suits retraining. The trap: the cycle is laid out over all planned "
            "steps. A run that stops early at its target has seen only the first, steeper part of it."
        ),
        see=("learning_rate", "retrain"),
    ),
    Term(
        key="augment",
        title="Augmentation",
        group=OF_METHODS,
        short=RUN["augment"].help,
        text=(
            "Augmentation changes the images that steps are computed from; influence scores and evaluations always use plain "
            "images. It is off by default, because features cannot be kept when the image changes every time: with it even a "
            "run on the head passes images through the whole model and takes far longer. The trap: the IMU authors' code "
            "leaves training augmentation on while forgetting, so switch it on to repeat such runs."
        ),
        see=("features", "authors"),
    ),
    Term(
        key="eval_every",
        title="Evaluate every",
        group=OF_METHODS,
        short=RUN["eval_every"].help,
        text=(
            "Each evaluation gives one point of the chart. Left empty, a run is evaluated 1,000 times at most over features "
            "(fewer where the head is large) and 60 times over images: after each of its first steps, then at even distances. "
            "The target is asked for after every step, however rare the evaluations are. The time all this takes is recorded "
            "apart and is no part of a method's cost. The trap: with rare evaluations the curve between two points is a straight "
            "line that nobody measured."
        ),
        see=("stop_at", "full_evaluation", "seconds"),
    ),
    Term(
        key="l1",
        title="L1 on the head",
        group=OF_METHODS,
        short=RUN["l1"].help,
        text=(
            r"The loss gets $\alpha\lVert\theta_c\rVert_1$, the sum over all weights and biases of the head. It pulls small "
            "entries to 0 and acts on the rows of all classes, those to be kept included. The IMU authors' code uses it; the "
            "paper gives a range and not its point of reference, and here it pulls towards 0 and not towards the original "
            "head. It applies to GA and IMU. The trap: a gain or a loss under L1 is no merit of influence weights unless GA "
            "had the same L1."
        ),
        see=("authors", "weight_decay", "head"),
    ),
    Term(
        key="beta",
        title="β of NPO",
        group=OF_METHODS,
        short=RUN["beta"].help,
        text=(
            r"A sample's share in the gradient is $2\sigma(-\beta(\ell-\ell_0))$. With a large $\beta$ it dies after a small "
            r"rise in loss; as $\beta\to 0$ it stays at 1 and NPO becomes GA. The trap: with normalised steps the run keeps its "
            "pace even so, and only the sharing among samples changes."
        ),
        see=("npo", "ga", "normalised"),
    ),
    Term(
        key="options",
        title="A method's own settings",
        group=OF_METHODS,
        short="What only this method can be set to, such as SSD's selection α; the rest is common to all methods.",
        text=(
            "Every method may declare settings of its own, each with a range, a default and a sentence of help. They appear in "
            "the form as soon as the method is chosen, and go by `--set NAME=VALUE` on the command line. The gentle preset "
            "fills in values that work on the embedded set. The trap: two methods may use one name, such as α, for different "
            "things."
        ),
        see=("method", "preset"),
    ),
    Term(
        key="edit",
        title="Edit",
        group=OF_METHODS,
        short="A change computed at once instead of in steps; it is walked along a straight line, so that it has every depth.",
        text=(
            "SSD, influence unlearning, Newton removal and their like compute new parameters directly. Here the run then walks "
            "in a straight line from the original to them, in twentieths, and stops where a target is reached. That makes them "
            "comparable at equal depth with methods that take steps. The trap: their papers report the whole edit, which is "
            "the end of the line."
        ),
        see=("depth", "ssd", "iu_optml", "newton"),
    ),
)
