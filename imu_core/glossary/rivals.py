"""Words for the methods beyond the first few: what each does, what it sees, and the trap in it."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "Methods"

TERMS: tuple[Term, ...] = (
    Term(
        key="options",
        title="A method's own settings",
        group=GROUP,
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
        group=GROUP,
        short="A change computed at once instead of in steps; it is walked along a straight line, so that it has every depth.",
        text=(
            "SSD, influence unlearning, Newton removal and their like compute new parameters directly. Here the run then walks "
            "in a straight line from the original to them, in twentieths, and stops where a target is reached. That makes them "
            "comparable at equal depth with methods that take steps. The trap: their papers report the whole edit, which is "
            "the end of the line."
        ),
        see=("depth", "ssd", "iu_optml", "newton"),
    ),
    Term(
        key="boundary_shrink",
        title="Boundary Shrink",
        group=GROUP,
        short="Teaches each forget sample the label of the nearest other class, found by a small attack on the original.",
        text=(
            "One signed gradient step in the pixels moves an image over the nearest decision boundary of the frozen original, "
            "and the class found there becomes its new label. Then the model is trained on the untouched images with these "
            "labels. It sees the forget set only. The trap: where the attack does not succeed, the published code teaches the "
            "true label again; here such samples take no part."
        ),
        see=("boundary_expand", "rl", "delete"),
    ),
    Term(
        key="boundary_expand",
        title="Boundary Expand",
        group=GROUP,
        short="Sends the forget set to an extra class that is cut off again at the end.",
        text=(
            "A row is added to the head, the forget set is trained towards it, and the row is thrown away. What remains is a "
            "model that has learned to give its own class a low logit for these images. It sees the forget set only. The trap: "
            "once the extra row alone explains the forget set, nothing pushes the old class any further, so on some classes it "
            "stops halfway. OPTML's version keeps the row when it judges the model, which flatters it."
        ),
        see=("boundary_shrink", "ga"),
    ),
    Term(
        key="scar",
        title="SCAR (forget set only)",
        group=GROUP,
        short="Pulls the features of forget samples to the nearest other class, measured by stored class statistics.",
        text=(
            "Each forget sample is assigned to the nearest other class by Mahalanobis distance between features, and pulled "
            "there, while distillation keeps the other answers. Class means and covariances are those stored at training. The "
            "paper distils on unrelated images; here the forget images themselves serve, with the forgotten class masked. That "
            "reading of the IMU paper's table is ours. It has no gradient in the head, so it needs a wider scope."
        ),
        see=("delete", "scope", "sees"),
    ),
    Term(
        key="ssd",
        title="SSD (selective synaptic dampening)",
        group=GROUP,
        short="Shrinks the parameters that matter much more to the forget set than to the whole training set.",
        text=(
            "Importance is the mean squared gradient of batches. Where a parameter's importance on the forget set exceeds "
            "α times the stored one, it is multiplied by their ratio times λ, at most by 1. No step is taken, and the "
            "retain set is not needed, only importances stored at training. The trap: importance of batches depends on the "
            "batch size, so both must use the same."
        ),
        see=("lfssd", "edit", "fisher"),
    ),
    Term(
        key="lfssd",
        title="LFSSD (label-free SSD)",
        group=GROUP,
        short="SSD whose importance is the mean absolute gradient of the squared length of the logits: no labels needed.",
        text=(
            "It asks which parameters drive the size of the output, whatever the label, and dampens those that do so more for "
            "the forget set than for the training set. Selection and dampening are SSD's. The trap: absolute gradients spread "
            "much less than squared ones, so SSD's α selects hardly anything here and must be smaller."
        ),
        see=("ssd", "edit"),
    ),
    Term(
        key="l1_sparse",
        title="L1-sparse",
        group=GROUP,
        short="Fine-tunes on the retain set under an L1 penalty that fades away.",
        text=(
            "The penalty drives small parameters to zero and with them, one hopes, what the forget set left behind. It falls "
            "linearly, so the last epochs repair the accuracy. It needs the retain set and says nothing of the forget set. The "
            "trap: like fine-tuning it forgets slowly, and mostly what the model was unsure of anyway."
        ),
        see=("finetune", "l1"),
    ),
    Term(
        key="salun",
        title="SalUn",
        group=GROUP,
        short="Random labels, but only the parameters with the largest forget gradient may change.",
        text=(
            "The gradient of the forget loss is summed over the forget set, and the half of all parameters where it is largest "
            "forms a mask. Then each epoch goes through the forget set with random labels, the true one included, and through "
            "the retain set with its own. It needs both sets. The trap: with weight decay and momentum masked parameters moved "
            "all the same in the first published code; here they are held fast unless you say otherwise."
        ),
        see=("rl", "sees"),
    ),
    Term(
        key="iu_optml",
        title="IU, as the code does it",
        group=GROUP,
        short="Influence unlearning as published in code: one gradient step, corrected along a single sample's gradient.",
        text=(
            "The papers describe a step along the inverse Fisher matrix times the difference of the two sets' gradients. The "
            "code that everybody compares with keeps one vector where it would need a matrix, so its inverse is the identity "
            "plus a correction along the first retain sample's gradient. Tables that list IU list this. It reads both sets."
        ),
        see=("iu_woodfisher", "newton", "edit"),
    ),
    Term(
        key="iu_woodfisher",
        title="IU, as it was meant",
        group=GROUP,
        short="Influence unlearning with the inverse empirical Fisher matrix of retain samples, solved exactly.",
        text=(
            "The difference between the gradients of forget and retain set is multiplied by the inverse of the empirical "
            "Fisher matrix plus damping. With the gradients of up to 1,000 retain samples the Woodbury identity solves that "
            "exactly, in double precision. It reads both sets. The trap: it is a local formula, and its length α is a guess; "
            "the walk along the line shows where it still holds."
        ),
        see=("iu_optml", "newton", "damping"),
    ),
    Term(
        key="iau",
        title="IAU",
        group=GROUP,
        short="One step up the forget gradient and, with correction, down the retain gradient.",
        text=(
            "IA adds the summed gradient of the forget set to the parameters. Gradient correction also subtracts that of the "
            "retain set, which needs it; at a minimum of the training loss the two cancel, so the correction only doubles the "
            "step. Its third part, a penalty on gradients, belongs to training: `train --gradient-penalty`. The trap: sums "
            "grow with the sets, so they are divided by the size of the forget set here."
        ),
        see=("ga", "iu_optml", "edit"),
    ),
    Term(
        key="usgd",
        title="Unrolled SGD",
        group=GROUP,
        short="Puts back what training did for the forget set, to first order, by its gradient at the initial weights.",
        text=(
            "Training took steps down the forget set's loss. To first order each was the gradient at the weights before "
            "training, so their sum is added back: learning rate times epochs over batch size times the summed gradient. It "
            "sees the forget set and the initial weights. The trap: it was made for fine-tuning from good weights; from random "
            "ones the first order says little."
        ),
        see=("amnesiac_delta", "edit"),
    ),
    Term(
        key="newton",
        title="Newton removal",
        group=GROUP,
        short="On the head: one Newton step towards the head that the retain set alone would have given.",
        text=(
            "The exact Hessian of the retain loss plus damping is inverted on the summed forget gradient, by conjugate "
            "gradients in double precision. For the head that is the update of certified removal. It reads both sets, takes "
            "milliseconds, and is defined for the head alone. The trap: the certificate needs noise in training and a clean "
            "backbone, and has neither here."
        ),
        see=("iu_woodfisher", "hessian", "edit"),
    ),
    Term(
        key="fisher",
        title="Fisher forgetting",
        group=GROUP,
        short="Adds noise to every parameter: much where the retain set does not care, little where it does.",
        text=(
            "The variance of the noise is α over the Fisher information of the retain set, clamped. Where whole classes go, "
            "the published code also replaces their rows in the head by small noise around zero. It reads the retain set only. "
            "The trap: that row alone brings the forget accuracy down, whatever the noise does elsewhere; switch it off to see."
        ),
        see=("ssd", "edit"),
    ),
    Term(
        key="scrub",
        title="SCRUB",
        group=GROUP,
        short="Moves away from the original model on the forget set, stays near it on the retain set, in turn.",
        text=(
            "The first epochs begin with a pass over the forget set that increases the divergence from the original model. "
            "Each epoch then trains on the retain set with cross-entropy and a small pull back to the original's answers. It "
            "needs both sets. The trap: everything hangs on the number of forgetting epochs and on when one stops."
        ),
        see=("bad_teaching", "neggrad_plus"),
    ),
    Term(
        key="neggrad_plus",
        title="NegGrad+",
        group=GROUP,
        short="Ascent on the forget set and descent on the retain set in one step.",
        text=(
            "Each step takes a batch of both sets and minimises α times the retain loss minus 1 − α times the forget loss. The "
            "retain set holds the other classes in place while GA does its work. It needs both sets. The trap: like GA it has "
            "no end; with too small an α the ascent wins."
        ),
        see=("ga", "scrub"),
    ),
    Term(
        key="bad_teaching",
        title="Bad teaching",
        group=GROUP,
        short="Learns a random network's answers on the forget set and the original's on a part of the retain set.",
        text=(
            "Two teachers stand by: the original model for retain samples and a randomly initialised one for forget samples. "
            "The student learns from whichever is in charge. It uses 30 % of the retain set by default. The trap: a random "
            "network's answers are not what a retrained model would say, so its outputs on the forget set are far from both."
        ),
        see=("scrub", "zrf"),
    ),
    Term(
        key="amnesiac_delta",
        title="Amnesiac, by logged steps",
        group=GROUP,
        short="Takes back what the training steps did whose batches held a forget sample.",
        text=(
            "If the changes of every training step were logged, one could subtract those with forget samples in the batch. "
            "Here the log is made by repeating the original's training once, and kept. It sees the forget set and that log. "
            "The trap: a class is in nearly every batch, so nearly the whole training is taken back; the method is for few "
            "samples in few batches."
        ),
        see=("amnesiac_relabel", "usgd", "edit"),
    ),
    Term(
        key="amnesiac_relabel",
        title="Amnesiac, by relabelling",
        group=GROUP,
        short="Trains on both sets together, the forget set under wrong labels that are drawn once.",
        text=(
            "Each forget sample gets one wrong label for good, and the model is trained on forget and retain set shuffled "
            "together. It stands as `amnesiac` in the tables of other papers, though the paper's main method is another. It "
            "needs both sets. The trap: fixed random labels can be learned by heart, image by image."
        ),
        see=("amnesiac_delta", "rl", "salun"),
    ),
    Term(
        key="unsir",
        title="UNSIR",
        group=GROUP,
        short="Forgets a class without its data: trains on noise made to be as wrong as can be for it, then repairs.",
        text=(
            "Inputs of noise are changed until the model finds them as unlike the class as possible, and are then given its "
            "label: training on them impairs the class. Half of the retain set takes part, and later epochs repair on it "
            "alone. It never sees the forget set and can forget whole classes only. The trap: the damage spreads to similar "
            "classes before the repair."
        ),
        see=("fisher", "sees"),
    ),
    Term(
        key="trw",
        title="TRW",
        group=GROUP,
        short="Teaches the original's answer without the forgotten class, tilted towards similar classes.",
        text=(
            "For forget samples the target is the original's distribution without the class, multiplied by how similar each "
            "remaining class's row in the head is to the forgotten one's. The retain set is trained on as well. It needs both "
            "sets and whole classes. The trap: it moves probability where a retrained model would put it only if similar rows "
            "mean similar images. With the tilt at 0 and no retain set it is DELETE."
        ),
        see=("delete", "sees"),
    ),
)
