"""Words for re-identification: who is searched for, how a search is judged, and where a model looks."""

from __future__ import annotations

from imu_core.glossary.term import Term

GROUP = "People"

TERMS: tuple[Term, ...] = (
    Term(
        key="reidentification",
        title="Re-identification",
        group=GROUP,
        short="Finding the same person again in the pictures of other cameras.",
        text=(
            "A network is trained to tell training people apart, then its head is set aside. A query picture and every gallery "
            "picture become features, and the gallery is sorted by distance to the query. People the network never saw are "
            "found the same way. The trap for unlearning: a person whose name the head has lost can still be found by the "
            "features, because a search never asks the head."
        ),
        see=("map", "person", "features", "person_map"),
    ),
    Term(
        key="person",
        title="Identity",
        group=GROUP,
        short="One person, as a class of the model and as somebody who can be searched for.",
        text=(
            "Training people are the classes of the network. Two of each one's cameras are kept out of training, where at least "
            "four saw them, so that pictures to search with exist after the person was forgotten. Unseen people are in no class "
            "and show what the network is for. Forgetting an identity removes all training pictures of it."
        ),
        see=("reidentification", "request_identity", "unseen_people"),
    ),
    Term(
        key="request_identity",
        title="identity:ID",
        group=GROUP,
        short="The request that names a person of a re-identification set, such as identity:0005.",
        text=(
            "It means every training picture of that person. Several are joined with a plus sign, as in identity:0005+0011. "
            "Zeros in front may be left out. On data sets without people it is refused with a sentence."
        ),
        see=("person", "request", "request_class"),
    ),
    Term(
        key="unseen_people",
        title="Unseen people",
        group=GROUP,
        short="People in no training picture: what a re-identification network is judged by.",
        text=(
            "Their pictures are split into queries and a gallery. The gallery also holds distractors, other people that nobody "
            "asks for, and junk, bad pictures that are left out of every ranking. What happens to these numbers is the price of "
            "forgetting somebody else."
        ),
        see=("map", "rank1", "person"),
    ),
    Term(
        key="map",
        title="mAP, unseen people",
        group=GROUP,
        short="How early all pictures of the same person come in the ranking; higher is better, 100 % is all first.",
        text=(
            "For each query take the precision at every place where the right person stands, and average; then average over "
            "queries. Pictures of the same person by the same camera are left out, distractors stay, ties keep the gallery's "
            "order: Market-1501's protocol. Higher is better for unseen people. The trap: a mean over few queries moves a lot "
            "when one match moves."
        ),
        see=("rank1", "unseen_people", "person_map"),
    ),
    Term(
        key="rank1",
        title="Rank-1, unseen people",
        group=GROUP,
        short="Share of queries whose first match is the right person; higher is better.",
        text=(
            "It is the first point of the cumulative matching curve. Only the best match counts, so it can stay high while the "
            "other pictures of a person sink. Higher is better for unseen people."
        ),
        see=("rank5", "map"),
    ),
    Term(
        key="rank5",
        title="Rank-5, unseen people",
        group=GROUP,
        short="Share of queries with the right person among the first five; higher is better.",
        text=(
            "It is the fifth point of the cumulative matching curve. It forgives four wrong pictures before the right one. "
            "Higher is better for unseen people."
        ),
        see=("rank1", "map"),
    ),
    Term(
        key="person_map",
        title="mAP, the forgotten person",
        group=GROUP,
        short="How early the forgotten person's pictures come; good is nearest the retrained model, not zero.",
        text=(
            "Queries and matches come from cameras kept out of training, among everybody else's pictures. A retrained network "
            "that never saw the person still finds them, as it finds any stranger. So nearest the retrained reference is right: "
            "above it the person is easier to find than a stranger, below it the network was damaged for this person."
        ),
        see=("map", "retrained", "person_rank1"),
    ),
    Term(
        key="person_rank1",
        title="Rank-1, the forgotten person",
        group=GROUP,
        short="Share of the person's own queries whose first match is them; good is nearest the retrained model.",
        text=(
            "There are few such queries, eight for a synthetic person, so a single one is 12.5 points. Read it beside the mean "
            "average precision. Nearest the retrained reference is right, not zero."
        ),
        see=("person_map", "rank1"),
    ),
    Term(
        key="person_rank5",
        title="Rank-5, the forgotten person",
        group=GROUP,
        short="Share of the person's own queries that find them among the first five; good is nearest the retrained model.",
        text=(
            "It forgives four strangers before the person. There are few such queries, so a single one moves it far. Nearest the "
            "retrained reference is right, not zero."
        ),
        see=("person_map", "rank5"),
    ),
    Term(
        key="drift",
        title="Batch-norm drift",
        group=GROUP,
        short="How far running means moved while the model was left in training mode, in standard deviations.",
        text=(
            "A batch-norm layer keeps a running mean and variance of what passes through it. In training mode every batch moves "
            "them, and batches of one person move them towards that person, although no gradient touches those layers. This is "
            "the only way in which an update of the head can change a search. With batch norm in eval mode the drift is zero."
        ),
        see=("bn", "map", "features"),
    ),
    Term(
        key="cues",
        title="Identity cues",
        group=GROUP,
        short="What tells one synthetic person from another: hair, clothes, logo, bag, shoes; its pixels are known.",
        text=(
            "The synthetic people are drawn part by part, so each picture knows which pixels show a cue. Skin, street and things "
            "in front are none. The share of heat on the cues can then be measured instead of guessed. Real photographs come "
            "without such masks."
        ),
        see=("gradcam", "person"),
    ),
    Term(
        key="gradcam",
        title="Grad-CAM",
        group=GROUP,
        short="A map of the places whose features speak for a class, by the gradient of its logit.",
        text=(
            "Each feature map of a layer is weighted by the mean gradient of the target's logit, the sum is cut at zero: "
            "$\\mathrm{ReLU}(\\sum_k \\alpha_k A_k)$ (Selvaraju et al. 2017). Here maps keep the scale of the logit, and two "
            "models share one scale for one image. The trap: a map divided by its own maximum looks as bright for a model that "
            "has lost the class as for one that knows it."
        ),
        see=("cam_layer", "gradcampp", "cues"),
    ),
    Term(
        key="gradcampp",
        title="Grad-CAM++",
        group=GROUP,
        short="Grad-CAM with a weight for every place, so that several small regions count as much as a large one.",
        text=(
            "The weights come from higher powers of the gradient (Chattopadhay et al. 2018). They are positive only, so it "
            "hardly notices features that now speak against the class. Read it beside Grad-CAM."
        ),
        see=("gradcam", "layercam"),
    ),
    Term(
        key="xgradcam",
        title="XGrad-CAM",
        group=GROUP,
        short="Grad-CAM with gradients weighted by the activation at each place.",
        text=(
            "Fu et al. 2020 derive it from two axioms, sensitivity and conservation. Below a global average pooling and a linear "
            "head it equals Grad-CAM. In earlier layers the two differ."
        ),
        see=("gradcam",),
    ),
    Term(
        key="hirescam",
        title="HiResCAM",
        group=GROUP,
        short="Gradient times activation at every place, without averaging the gradient first.",
        text=(
            "Draelos and Carin 2020 showed that averaging gradients can paint places the model did not use. This map multiplies "
            "place by place instead. Below a global average pooling and a linear head it equals Grad-CAM."
        ),
        see=("gradcam", "elementwise"),
    ),
    Term(
        key="layercam",
        title="LayerCAM",
        group=GROUP,
        short="Positive gradients times activations, place by place: sharp in early layers.",
        text=(
            "Jiang et al. 2021 keep positive gradients only. It works in early layers, where maps are large. It is blind to "
            "features that have begun to speak against the class."
        ),
        see=("gradcam", "cam_layer"),
    ),
    Term(
        key="elementwise",
        title="Element-wise Grad-CAM",
        group=GROUP,
        short="Gradient times activation, cut at zero for every feature before they are added.",
        text=(
            "It comes with the grad-cam library. Features that speak against the class are dropped one by one, not weighed "
            "against the others. So it stays bright where Grad-CAM turns dark."
        ),
        see=("gradcam", "hirescam"),
    ),
    Term(
        key="cam_layer",
        title="Layer of a map",
        group=GROUP,
        short="Where in the network the map is taken: late layers are coarse and near the decision, early ones fine.",
        text=(
            "The last block is the usual choice and sees the class. Its map has few places, eight by four for people. Earlier "
            "blocks have finer maps of simpler features. What a map says about forgetting can turn round from one layer to the "
            "next, so look at more than one."
        ),
        see=("gradcam",),
    ),
    Term(
        key="opacity",
        title="Opacity",
        group=GROUP,
        short="How strongly the heat covers the picture; it changes the view, never a number.",
        text=(
            "At zero you see the picture alone. At a hundred the hottest place hides what is under it. No number changes with it."
        ),
        see=("gradcam",),
    ),
)
