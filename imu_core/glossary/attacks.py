"""Words for attacks and for the single numbers of comparison: what each finds, and what it cannot find."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "Metrics"

TERMS: tuple[Term, ...] = (
    Term(
        key="membership_correctness",
        title="Membership attack on correctness",
        group=GROUP,
        short="As the confidence attack, but it sees only right or wrong; nearest the retrained model is better.",
        text=(
            "The attack is told for every sample whether the model's first choice is right, and nothing else. It then judges "
            "right samples members and wrong ones never seen, or all of them alike where both sets are mostly right. Nearest "
            "the retrained reference is better. The trap: it repeats forget accuracy in other words and finds nothing of its "
            "own."
        ),
        see=("membership", "forget", "orientation"),
    ),
    Term(
        key="membership_entropy",
        title="Membership attack on entropy",
        group=GROUP,
        short="As the confidence attack, on how undecided the model is; nearest the retrained model is better.",
        text=(
            r"The attack sees $-\sum_c p_c \ln p_c$, which is low where the model is sure of anything, right or wrong. Nearest "
            "the retrained reference is better. It catches methods that push the true class down and leave the model just as "
            "sure of another one. The trap: confident mistakes look like members, so a low value need not mean that the "
            "sample is known."
        ),
        see=("membership", "membership_modified_entropy", "orientation"),
    ),
    Term(
        key="membership_modified_entropy",
        title="Membership attack on modified entropy",
        group=GROUP,
        short="As the confidence attack, on an entropy that knows the label; nearest the retrained model is better.",
        text=(
            r"It is $-(1-p_y)\ln p_y-\sum_{c\neq y}p_c\ln(1-p_c)$ (Song and Mittal 2021): 0 when the model is sure and right, "
            "large when it is sure and wrong. Nearest the retrained reference is better. The trap: the script most papers use "
            "computes it wrong, so published numbers under this name cannot be compared with the ones here."
        ),
        see=("membership", "membership_entropy"),
    ),
    Term(
        key="membership_probabilities",
        title="Membership attack on all probabilities",
        group=GROUP,
        short="As the confidence attack, on the whole list of class probabilities; nearest the retrained model is better.",
        text=(
            "The attack sees everything a visitor of the model sees. It does not know the label, so it looks for the shape of "
            "the answer. Nearest the retrained reference is better. The trap: with many classes it has more room to learn "
            "than samples to learn from, and it is slow; use it when the attacks on single numbers find nothing."
        ),
        see=("membership", "membership_entropy"),
    ),
    Term(
        key="logistic",
        title="Logistic attack on the loss",
        group=GROUP,
        short="How often logistic regression on the loss tells forget from test samples; nearest 50 % is better.",
        text=(
            "Forget samples and as many test samples of the same kind are told apart by their loss; ten random splits, mean "
            "accuracy on the tenth left out. Nearest 50 % is better, and where a retrained model is stored, nearest the "
            "retrained model's value too, which chance moves away from 50 %. The trap: it learns one threshold, so a forget "
            "set that is partly far above and partly far below the test losses gets through. With a hundred samples a side, "
            "values from 43 to 57 % are guessing."
        ),
        see=("membership", "cross_entropy", "auc"),
    ),
    Term(
        key="training_privacy",
        title="Attack on the training set",
        group=GROUP,
        short="How well an attack tells retain from test samples, mean recall; nearest 50 % gives nothing away.",
        text=(
            "A support vector classifier learns on half of the samples and is asked about the other half; the forget set "
            "takes no part. Nearest 50 % is better: what stays in the model should not be given away either. A model that "
            "never unlearned has its own value, so read it beside the original's and look for what is nearest the retrained "
            "model's. The trap: it is no measure of forgetting. A method that ruins the model brings it to 50 % as well."
        ),
        see=("membership", "retain"),
    ),
    Term(
        key="average_gap",
        title="Average gap",
        group=GROUP,
        short="Mean distance to the retrained model over forget, retain and test accuracy and membership; lower is better.",
        text=(
            "Four absolute differences, averaged: forget accuracy, retain accuracy, test accuracy (the other classes, where "
            "whole classes go) and the confidence attack. Lower is better and 0 is the retrained model itself. Papers give it "
            "in percentage points. The trap: an average hides which of the four is bad, and over-forgetting counts the same "
            "as forgetting too little. It also compares accuracies, not answers: two models can have equal ones and agree on "
            "little."
        ),
        see=("tug_of_war", "retrained", "agreement"),
    ),
    Term(
        key="tug_of_war",
        title="Tug of war (ToW)",
        group=GROUP,
        short="Product of one minus each gap to the retrained model, over forget, retain and test accuracy; higher is better.",
        text=(
            r"It is $\prod_s(1-|a_s-a_s^{\mathrm{retrained}}|)$ over the three sets, from 0 to 1; higher is better. As a "
            "product it punishes one large gap more than three small ones. The trap: near 1 it hardly moves. Runs at 0.97 and "
            "0.99 may differ by what chance gives between two seeds."
        ),
        see=("average_gap", "tug_of_war_membership"),
    ),
    Term(
        key="tug_of_war_membership",
        title="Tug of war with membership (ToW-MIA)",
        group=GROUP,
        short="The tug of war with the membership attack in place of forget accuracy; higher is better.",
        text=(
            "The factor of the forget set compares how many of its samples the confidence attack judges never seen, for the "
            "run and for the retrained model. Higher is better, up to 1. It asks whether forgetting can be noticed, where the "
            "plain tug of war asks how much is still recognised. The trap: all traps of that attack come with it."
        ),
        see=("tug_of_war", "membership"),
    ),
    Term(
        key="activation_distance",
        title="Activation distance",
        group=GROUP,
        short="Mean length of the difference between two models' probabilities on the same samples; lower is better.",
        text=(
            r"It is the mean over samples of $\lVert p-q\rVert_2$, with $p$ from the retrained reference; it runs from 0 to "
            r"$\sqrt2$. Lower is better. Unlike W1 it goes sample by sample, and unlike KL no sample can count for more than "
            "any other. The trap is the name: it compares outputs and says nothing about activations inside the model."
        ),
        see=("kl", "js", "agreement"),
    ),
    Term(
        key="agreement",
        title="Agreement",
        group=GROUP,
        short="Share of samples on which the run and the retrained model have the same first choice; higher is better.",
        text=(
            "Right or wrong does not matter, only whether both say the same. Higher is better. Two independent trainings of "
            "the same recipe do not agree on everything either, so 100 % is not the measure; what two seeds reach is. On the "
            "forget set of a whole class it shows whether the samples go where a model that never knew the class would put "
            "them."
        ),
        see=("activation_distance", "neighbour_gap", "retrained"),
    ),
    Term(
        key="w1_classes",
        title="W1 of class numbers (W_dist)",
        group=GROUP,
        short="Distance between two models' lists of predicted class numbers, as the IMU code computes it; lower is better.",
        text=(
            "The first choices of both models over the test set, forgotten classes left out, are sorted as numbers and "
            "compared place by place. Lower is better. The trap: it takes class 9 to be nine times as far from class 0 as "
            "class 1 is, so another order of the classes gives another number. It also cannot see answers that are swapped "
            "between samples. It is here because published tables use it."
        ),
        see=("w1", "agreement"),
    ),
    Term(
        key="zrf",
        title="ZRF, published scale",
        group=GROUP,
        short="How like noise the answers on the forget set are, as published; nearest the retrained model is better.",
        text=(
            "Zero retrain forgetting compares the model's answers on the forget set with those of a network with random "
            "weights. The published code turns the arguments of the divergence round and divides by the number of classes, so "
            "most values lie near 1 and differences look small. Nearest the retrained reference is better. The trap: 1 is not "
            "the aim. A retrained model gives unseen samples confident answers too, and pure noise would give the samples "
            "away."
        ),
        see=("zrf_js", "js", "retrained"),
    ),
    Term(
        key="zrf_js",
        title="ZRF, true divergence",
        group=GROUP,
        short="1 minus the JS divergence to a random network on the forget set; nearest the retrained model is better.",
        text=(
            r"The same comparison as ZRF with the divergence as it is defined, in nats: it runs from $1-\ln2\approx0.31$ to 1. "
            "Nearest the retrained reference is better. The trap: it depends on the random network it is compared with, so "
            "compare values only within one model and data set."
        ),
        see=("zrf", "js"),
    ),
    Term(
        key="neighbour_gap",
        title="MIA-NN, gap at the nearest class",
        group=GROUP,
        short="How differently run and retrained model place forgotten-class images in the most similar class; lower is better.",
        text=(
            "For each kept class a linear classifier is trained on a model's own outputs for test images, the forgotten "
            "class's output left out. It is counted how many images of the forgotten class each one takes. The nearest class "
            "is the one to which the retrained model gives most probability; the metric is the difference of the two models' "
            "shares there. Lower is better. The trap: this is our reading of a description at second hand, so its numbers "
            "stand beside nothing published. It exists only where whole classes go and a retrained model is stored."
        ),
        see=("neighbour_tv", "membership", "agreement"),
    ),
    Term(
        key="neighbour_tv",
        title="MIA-NN, total variation",
        group=GROUP,
        short="How differently run and retrained model spread forgotten-class images over all kept classes; lower is better.",
        text=(
            "It is half the sum, over the kept classes, of the differences between the shares that MIA-NN counts: 0 when both "
            "models spread the forgotten class alike, 1 when they share nothing. Lower is better. It catches a method that "
            "sends the whole class to one wrong place, which forget accuracy calls perfect. The trap: with few test images of "
            "the class chance alone gives a tenth or more."
        ),
        see=("neighbour_gap",),
    ),
    Term(
        key="threshold_attack",
        title="Threshold attack",
        group=GROUP,
        short="Accuse every sample whose score lies beyond a threshold of having been in the training set.",
        text=(
            "The simplest attack: one number a sample (loss, confidence, margin or entropy) and one threshold. Accused are "
            "the samples that look trained on. The false-positive rate is the share of never-seen samples accused, the "
            "false-negative rate the share of forget samples let through; moving the threshold trades one for the other. Here "
            "positives are the forget set under the unlearned model, and negatives the same samples under the retrained one. "
            "The trap: where no retrained model is stored, test samples stand in, and the two sets differ in more than "
            "training."
        ),
        see=("auc", "advantage", "margin", "cross_entropy"),
    ),
    Term(
        key="margin",
        title="Logit margin",
        group=GROUP,
        short="The true class's logit minus the combined logit of all others: the logarithm of its odds.",
        text=(
            r"It is $\phi=z_y-\ln\sum_{c\neq y}e^{z_c}=\ln\frac{p_y}{1-p_y}$. High means sure and right, 0 means even odds. It "
            "holds the same as confidence but does not crowd at 1, so that bell curves fit it and small differences among "
            "sure samples can be seen. Attacks with shadow models use it for that reason."
        ),
        see=("confidence", "u_lira", "threshold_attack"),
    ),
    Term(
        key="auc",
        title="AUC of an attack",
        group=GROUP,
        short="Chance that a forget sample looks more trained on than a never-seen one; nearest 50 % is better.",
        text=(
            "Take one sample of each kind at random: the AUC is how often the forget sample has the more suspicious score, "
            "ties counting half. Nearest 50 % is better: then the unlearned model is nearest the retrained one in this score. "
            "Above it too little is forgotten, below it too much, and both give the forget set away. The trap: it averages "
            "over all thresholds. An attack that is sure about a few samples and lost on the rest looks harmless here."
        ),
        see=("tpr_at_1_fpr", "advantage", "threshold_attack"),
    ),
    Term(
        key="balanced_accuracy",
        title="Balanced accuracy of an attack",
        group=GROUP,
        short="Mean of the shares judged rightly among forget and never-seen samples; nearest 50 % is better.",
        text=(
            "It is one minus the mean of the two error rates, so that it does not matter how many samples of each kind there "
            "are. Nearest 50 % is better, which is where the unlearned model is nearest the retrained one. The trap: at the "
            "best threshold it is never below 50 %, and with few samples chance alone lifts it well above."
        ),
        see=("auc", "advantage", "u_lira"),
    ),
    Term(
        key="tpr_at_1_fpr",
        title="True positives at 1 % false positives",
        group=GROUP,
        short="Share of the forget set that can be accused while 1 % of never-seen samples are; lower is better, 1 % is chance.",
        text=(
            "An attacker who must seldom be wrong sets a strict threshold: this is what is still caught. Lower is better, and "
            "1 % is what guessing gives. It sees the few samples that are given away for certain, where averages see nothing. "
            "The trap: with fewer than a few hundred never-seen samples, 1 % of them are two or three, and the number jumps."
        ),
        see=("auc", "threshold_attack", "advantage"),
    ),
    Term(
        key="advantage",
        title="Worst-case advantage",
        group=GROUP,
        short="Largest difference of true and false positive rate over all scores, thresholds and directions; lower is better.",
        text=(
            "The attack is granted the best of the four scores, the best threshold and even the direction, since "
            "over-forgetting gives samples away too. Lower is better and 0 means nothing can be found. The trap: everything "
            "is chosen on the samples it is judged by, as no attacker could, so it never reaches 0. Compare it with the value "
            "beside it that one score reaches by chance in one of twenty cases."
        ),
        see=("threshold_attack", "auc", "balanced_accuracy"),
    ),
    Term(
        key="probe_forgotten",
        title="Linear probe, forgotten",
        group=GROUP,
        short="Accuracy of a fresh head over frozen features on what was forgotten; nearest the retrained model is better.",
        text=(
            "All but the head is frozen, the head is thrown away and a new one trained. Where whole classes go it may learn "
            "from them, and is asked about new images of them; otherwise it learns from retain samples and is asked about the "
            "forget set. Nearest the retrained model's value is better, which can be high: features separate a class they "
            "never saw. Any run on the head alone has exactly the original's value, because its features are the original's. "
            "The trap: a network with random weights separates a good deal as well, so read this beside it."
        ),
        see=("probe_others", "features", "scope", "test_forgotten"),
    ),
    Term(
        key="probe_others",
        title="Linear probe, others",
        group=GROUP,
        short="Accuracy of the same fresh linear head on new images of what is kept; nearest the retrained model is better.",
        text=(
            "It shows whether the features still serve everything else. Nearest the retrained model is better. Where it falls "
            "along with the probe on what was forgotten, the method damaged the features instead of taking something out of "
            "them. The trap: it is lower than test accuracy because the probe learns from at most 5,000 samples."
        ),
        see=("probe_forgotten", "test_other"),
    ),
    Term(
        key="relearn_steps",
        title="Steps to relearn",
        group=GROUP,
        short="Steps of training on the forget set until it is recognised as before; nearest the retrained model is better.",
        text=(
            "Adam with a learning rate of 0.001 in batches of 256, until forget accuracy is within 5 % of the original's or "
            "ten passes are over: then it says more than so many steps. Nearest the retrained model's number is better: what "
            "comes back sooner had not gone. The trap: a single class can be learned by answering it always, so few steps "
            "alone prove nothing. On wide scopes a model may also lose its features on the way and never arrive."
        ),
        see=("ain", "forget", "retrained"),
    ),
    Term(
        key="ain",
        title="Relearn time ratio (AIN)",
        group=GROUP,
        short="Steps to relearn, divided by those of the retrained model; nearest 1 is better.",
        text=(
            "Nearest 1 is better: the unlearned model is then nearest the retrained one in how new the forget set is to it. "
            "Far below 1 means that the knowledge was hidden and not removed. Above 1 means that it was pushed away harder "
            "than never having seen it. The trap: steps are few and whole numbers, so 2 against 3 is no finding; where either "
            "model did not arrive, or had nothing to relearn, there is no ratio."
        ),
        see=("relearn_steps",),
    ),
    Term(
        key="u_lira",
        title="Shadow attack (U-LiRA)",
        group=GROUP,
        short="Trains many heads with and without the forget set and learns to tell unlearned from never trained.",
        text=(
            "Half of the shadow heads learn the forget set and then unlearn it with your settings; the other half never see "
            "it. Bell curves are fitted to each forget sample's margin in both worlds, and every pair of heads is judged by "
            "the others. A result of 50 % means that unlearning cannot be told from never having trained. It is the strongest "
            "attack here, since it knows the method. The trap: only heads are shadowed. The layers below saw everything, so "
            "the attack finds too little and never too much."
        ),
        see=("shadows", "auc", "balanced_accuracy", "tpr_at_1_fpr", "margin"),
    ),
    Term(
        key="shadows",
        title="Shadow pairs",
        group=GROUP,
        short="How many pairs of shadow heads the attack trains; more are surer and take longer.",
        text=(
            "Each pair uses a random half of the retain set. Sixteen is the low budget, for which one variance is shared by "
            "all samples; papers use 64 to 256. A pair takes about a second on the images that ship. Stop keeps the pairs "
            "that are complete, and the numbers are those of these."
        ),
        see=("u_lira",),
    ),
    Term(
        key="paired_test",
        title="Paired comparison",
        group=GROUP,
        short="Whether two methods differ by more than chance, run by run on the same problems and seeds.",
        text=(
            "The differences are taken pair by pair, then their mean and its 95 % interval (a t-test). Where the interval "
            "contains 0 it says that no difference is seen, which with few pairs is not the same as no difference. One pair "
            "says nothing about chance. Where many comparisons are made at once, the p values are raised by Holm's method, so "
            "that the chance of even one false finding stays below 5 %."
        ),
        see=("direction", "average_gap"),
    ),
)
