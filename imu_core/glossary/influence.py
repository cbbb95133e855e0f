"""Words for influence scores, how they are estimated, and how they become weights."""

from __future__ import annotations

from imu_core.glossary.term import Term
from imu_core.settings import RUN

GROUP = "Influence"

TERMS: tuple[Term, ...] = (
    Term(
        key="influence",
        title="Influence",
        group=GROUP,
        short="How much leaving one forget sample out of training would change the loss of the forget set, to first order.",
        text=(
            r"Each sample has a gradient on the head, $g_i = (p_i - y_i)\otimes[z_i;1]$: its error times its features. "
            "Influence compares that gradient with the forget set's mean gradient $g_F$ and takes the curvature into account: "
            r"$s_i = \frac{1}{N}\, g_F^\top (H+\lambda I)^{-1} g_i$. It is a prediction from derivatives at the trained model, "
            "so nothing is trained again. The trap: it is influence on the forget set's own loss, by way of the head alone. It "
            "does not say how a sample shapes the features, the test loss or the other classes."
        ),
        see=("score", "estimator", "hessian", "damping", "head"),
    ),
    Term(
        key="score",
        title="Influence score",
        group=GROUP,
        short="Signed influence of one sample; positive means helpful: without it the loss of the forget set would rise.",
        text=(
            r"The score is $s_i = \frac{1}{N}\, g_F^\top (H+\lambda I)^{-1} g_i$, with $N$ the number of all training samples. "
            "Positive means that training on the sample lowered the forget set's loss, so raising its loss again undoes more; "
            "samples with a negative score get weight 0. It is signed and not normalised; what a run uses is the weight made "
            "from it. The traps: the sign convention differs between papers and libraries (the IMU authors' code counts "
            "helpful as negative), and scores under different estimators or dampings have different scales, so compare their "
            "order."
        ),
        see=("influence", "weight", "positive_share", "spearman"),
    ),
    Term(
        key="weight",
        title="Weight",
        group=GROUP,
        short="What a run multiplies a sample's loss with: made from its score, never negative, summing to 1.",
        text=(
            r"Scores become weights in this order: keep the positive ones, keep the `top` share of these, apply $\psi$ to $N "
            r"s_i$, clip if asked, divide by the sum: $\hat w_i = \psi(N s_i)/\sum_j \psi(N s_j)$. A sample of weight 0 is "
            "never pushed; it is forgotten only along with the others. The trap: weights are normalised, so they say who gets "
            "a larger share of a step and nothing about how large the step is."
        ),
        see=("score", "psi", "top", "clip_quantile", "weight_norm", "effective_share"),
    ),
    Term(
        key="hessian",
        title="Hessian and Fisher",
        group=GROUP,
        short="The curvature of the loss in the head's parameters; influence divides by it.",
        text=(
            r"For a linear softmax head $H = \frac{1}{n}\sum_i (\mathrm{diag}\,p_i - p_i p_i^\top)\otimes a_i a_i^\top$ with "
            "$a_i=[z_i;1]$, and Hessian, Gauss-Newton matrix and true Fisher are the same matrix. The empirical Fisher is "
            "another one: the mean of squared gradients at the true labels. Here both are computed from the forget set. The "
            "trap: where the model is confident, errors are tiny and so is the curvature; dividing by it is then decided by "
            "the damping."
        ),
        see=("damping", "diagonal", "exact", "influence"),
    ),
    Term(
        key="estimator",
        title="Estimator",
        group=GROUP,
        short=RUN["estimator"].help,
        text=(
            "There are seven: `diagonal`, `diagonal_ggn`, `exact`, `kfac`, `ekfac`, `gradient` and `dual`. They differ in what "
            "they take for the curvature and in what they leave out of it; all run in double precision. The paper's code uses "
            "`diagonal`. `exact` approximates nothing, so use it to judge the others. The trap: at a damping far above the "
            "curvature all of them order the samples nearly like `gradient`, and agreement then shows that the curvature plays "
            "no part."
        ),
        see=("diagonal", "exact", "gradient", "damping", "spearman"),
    ),
    Term(
        key="diagonal",
        title="Estimator: diagonal",
        group=GROUP,
        short="Keeps the diagonal of the empirical Fisher, the mean squared gradient: as in the paper's code; the default.",
        text=(
            r"$H$ is replaced by its rough stand-in $D_{ck} = \frac{1}{n}\sum_i (p_{ic}-y_{ic})^2 a_{ik}^2$, one number for "
            r"each entry of the head; each entry of the gradient is then divided by $D_{ck}+\lambda$. It needs one pass and no "
            "solve. At the default damping it orders the samples of a single class almost like `exact`, and nearly like "
            "`gradient` as well; the Influence page lets you compare. The trap: this says more about the damping than about "
            "the diagonal, and on random forget sets, where gradients of many classes cancel, diagonal and exact order can "
            "differ a lot."
        ),
        see=("diagonal_ggn", "exact", "damping", "hessian"),
    ),
    Term(
        key="diagonal_ggn",
        title="Estimator: diagonal_ggn",
        group=GROUP,
        short="Keeps the diagonal of the true Fisher (Gauss-Newton matrix): no labels in it.",
        text=(
            r"$D_{ck} = \frac{1}{n}\sum_i p_{ic}(1-p_{ic})\,a_{ik}^2$ is the diagonal of the Hessian itself, while `diagonal` "
            "uses squared errors at the true labels. The two are alike where the model is well calibrated and differ on "
            "samples it gets wrong. The paper does not say which diagonal it means; its code uses the empirical one."
        ),
        see=("diagonal", "hessian", "exact"),
    ),
    Term(
        key="exact",
        title="Estimator: exact",
        group=GROUP,
        short="Solves with the head's full Hessian by conjugate gradients and checks the result: the yardstick.",
        text=(
            r"$(H+\lambda I)\,x = g_F$ is solved by conjugate gradients in double precision, with products of $H$ in closed "
            "form. At the end the residual is computed afresh; a solve that misses its tolerance is an error and gives no "
            "scores. It approximates nothing, so the other estimators can be measured against it. The trap: exact for the "
            "head, not for the model. Features are taken as they are, and so is the first-order idea of influence. With little "
            "damping it needs many iterations."
        ),
        see=("residual", "hessian", "damping", "estimator"),
    ),
    Term(
        key="kfac",
        title="Estimator: kfac",
        group=GROUP,
        short="Takes the Hessian for a Kronecker product of an output part and a feature part.",
        text=(
            r"$H \approx S\otimes A$ with $S$ the mean of $\mathrm{diag}\,p - pp^\top$ and $A$ the mean of $aa^\top$: as if "
            "errors and features had nothing to do with each other. The inverse then comes from two small eigendecompositions, "
            "and damping is added to the products of their eigenvalues. It keeps interactions between features that a diagonal "
            "ignores. The trap: errors and features do have to do with each other, above all when the forget set mixes classes."
        ),
        see=("ekfac", "exact", "diagonal"),
    ),
    Term(
        key="ekfac",
        title="Estimator: ekfac",
        group=GROUP,
        short="K-FAC with its eigenvalues replaced by the exact second moments in the same directions.",
        text=(
            "It uses the eigenvectors of K-FAC and the true mean curvature along each pair of them, in place of a product of "
            "two averages. Among all matrices with these eigenvectors it is the nearest to $H$ in the Frobenius norm. It costs "
            "little more than `kfac`. The trap: the directions themselves are still K-FAC's, so where those are poor, better "
            "eigenvalues cannot mend it."
        ),
        see=("kfac", "exact", "hessian"),
    ),
    Term(
        key="gradient",
        title="Estimator: gradient",
        group=GROUP,
        short="Leaves the curvature out: the score is the dot product with the mean forget gradient.",
        text=(
            r"$s_i = \frac{1}{N}\, g_F^\top g_i$. A sample scores high if its gradient is long and points the way the forget "
            "set's mean gradient does. Every other estimator tends to this order as damping grows, and damping itself has no "
            "effect here. Use it as a check: if another estimator orders the samples as this one does, its curvature added "
            "nothing."
        ),
        see=("damping", "gradient_norm", "spearman"),
    ),
    Term(
        key="dual",
        title="Estimator: dual",
        group=GROUP,
        short=(
            "Solves with the exact empirical Fisher through the matrix of dot products between gradients; up to 10,000 samples."
        ),
        text=(
            r"The empirical Fisher of $n$ samples has rank at most $n$, so one can solve with $K_{ij} = g_i^\top g_j$, which is "
            r"$n\times n$, in place of a matrix as large as the head. It is exact for the empirical Fisher, which is not the "
            "Hessian. It shows something: while the samples' gradients are linearly independent, all scores become equal as "
            "the damping goes to 0, and IMU with these weights is GA. There the damping alone makes the ranking. Its cost "
            "grows with the cube of the number of samples."
        ),
        see=("damping", "exact", "uniform", "hessian"),
    ),
    Term(
        key="damping",
        title="Damping λ",
        group=GROUP,
        short=RUN["damping"].help,
        text=(
            r"$H+\lambda I$ is inverted, because $H$ alone is singular. Directions with curvature far below $\lambda$ are "
            "treated as flat: there only the dot product of gradients is left. The default 0.01, from the authors' code, lies "
            "far above most of the curvature of a confident model. The trap: damping is absolute here, in units of $H$, so one "
            "value means different things for different models. It often decides the ranking more than the choice of estimator "
            "does; sweep it before you read anything into an order."
        ),
        see=("hessian", "gradient", "estimator", "spearman"),
    ),
    Term(
        key="psi",
        title="ψ, from score to weight",
        group=GROUP,
        short=RUN["psi"].help,
        text=(
            r"$\psi$ acts on $N s_i$ for the positive scores, and the results are divided by their sum. It sets how unequal the "
            "weights are: `sqrt` evens them out, `identity` leaves them, `tanh` flattens the top, `softmax` can give nearly "
            r"all to a few. The trap: $\psi$ never changes the order of the samples. And at the scale of $s_i$ itself `tanh` "
            "would do nothing and `softmax` would make all weights equal, which is why it acts on $N s_i$."
        ),
        see=("sqrt", "identity", "tanh", "softmax", "weight", "effective_share"),
    ),
    Term(
        key="sqrt",
        title="ψ = sqrt",
        group=GROUP,
        short="Weights grow with the square root of the score: the paper's choice and the default.",
        text=(
            r"$\psi(v)=\sqrt v$. A sample with four times the score gets twice the weight, so a few strong samples do not take "
            "everything. It does not depend on the scale of the scores: multiply all by a constant and the weights stay."
        ),
        see=("psi", "identity", "concentration"),
    ),
    Term(
        key="identity",
        title="ψ = identity",
        group=GROUP,
        short="Weights are proportional to the score.",
        text=(
            r"$\psi(v)=v$. Scores are often concentrated on few samples, and these weights are just as concentrated. Like "
            "`sqrt` it does not depend on the scale of the scores. Watch the effective share: where it is small, most of the "
            "forget set hardly takes part."
        ),
        see=("psi", "sqrt", "effective_share", "concentration"),
    ),
    Term(
        key="tanh",
        title="ψ = tanh",
        group=GROUP,
        short="Weights grow with the score and level off: all strong samples count about the same.",
        text=(
            r"$\psi(v)=\tanh v$ is nearly $v$ for small values and nearly 1 for large ones. Whether it flattens anything "
            "depends on the scale of $N s_i$, and with it on damping and estimator. If all values are small, `tanh` is "
            "`identity`; if all are large, it is nearly uniform over the positive scores."
        ),
        see=("psi", "identity", "damping"),
    ),
    Term(
        key="softmax",
        title="ψ = softmax",
        group=GROUP,
        short="Weights grow exponentially with the score: a few samples can take nearly everything.",
        text=(
            r"$\psi(v)=e^{v}$, normalised over the positive scores. Only differences count: a sample whose $N s_i$ is 3 higher "
            "gets about 20 times the weight. The trap: it depends strongly on the scale of the scores. If they spread over "
            "much less than 1, the weights are nearly equal; if they spread over many units, the top sample is nearly alone. "
            "Look at the effective share before you run."
        ),
        see=("psi", "effective_share", "largest"),
    ),
    Term(
        key="top",
        title="Top share",
        group=GROUP,
        short=RUN["top"].help,
        text=(
            "Of the samples with a positive score only the highest share keeps a weight; all others get 0, and at least one "
            "sample stays. The paper's tables mostly use 1, while the authors' script keeps the top tenth unless told "
            "otherwise. The trap: it is a share of the positive scores, not of the forget set. Where few scores are positive, "
            "a small share leaves almost nothing to push."
        ),
        see=("positive_share", "weight", "authors"),
    ),
    Term(
        key="clip_quantile",
        title="Clip quantile",
        group=GROUP,
        short=RUN["clip_quantile"].help,
        text=(
            r"After $\psi$ and before normalising, every value above the quantile is set to the quantile: at 0.93 the highest 7 "
            "% of the kept samples get one common weight. It stands in the IMU authors' code, at 0.93, and not in the paper. "
            "The trap: `top` and clipping pull in opposite directions. The first drops weak samples, the second levels strong "
            "ones."
        ),
        see=("weight", "top", "authors"),
    ),
    Term(
        key="update_every",
        title="Update scores (ν)",
        group=GROUP,
        short=RUN["update_every"].help,
        text=(
            "`0` computes the scores once, at the original model, as the paper's main tables do. A number computes them again "
            "every so many epochs, and `iteration` before every step, which is the paper's Algorithm 1 to the letter. The time "
            "is booked under preparation. The trap: as a sample is forgotten its error and its gradient grow, so scores "
            "computed later tend to favour what is forgotten already."
        ),
        see=("score", "epochs", "seconds"),
    ),
    Term(
        key="weight_norm",
        title="Weight normalisation",
        group=GROUP,
        short=RUN["weight_norm"].help,
        text=(
            "`batch` is what the authors' code does: a learning rate then means the same as for GA. `dataset` uses weights "
            "that sum to 1 over the whole forget set, so with plain SGD steps get smaller the more batches there are. `mean1` "
            "multiplies them by the size of the forget set and averages over the batch. The trap: `batch` lets a batch of weak "
            "samples step as far as one of strong samples. With normalised steps and no L1 the three are the same, because the "
            "length of the gradient no longer counts."
        ),
        see=("weight", "batch_size", "normalised"),
    ),
    Term(
        key="concentration",
        title="Concentration",
        group=GROUP,
        short="How much of the sum of positive scores the highest-scoring few samples hold.",
        text=(
            "Sort the samples by score, highest first, and add up: the curve says which share of the sum the top 5 % (or any "
            "other share) hold. If it rises steeply, few samples carry most of the influence; a straight line means that all "
            "count the same. It is neither good nor bad. It tells you how far IMU can differ from GA at all. The trap: this is "
            r"the concentration of the scores; $\psi$, `top` and clipping change it before it reaches the weights, for which "
            "you read the effective share."
        ),
        see=("score", "effective_share", "psi"),
    ),
    Term(
        key="full_influence",
        title="Influence through all layers",
        group=GROUP,
        short="The same score with the gradients and the curvature of every parameter of the network, not of the head alone.",
        text=(
            r"$s_i = \frac{1}{N}\, g_F^\top (H+\lambda I)^{-1} g_i$ again, but $g$ and $H$ now cover all layers. $H$ is the "
            "Gauss-Newton matrix: no one builds it, its products come from one derivative forward and one back, and conjugate "
            "gradients solve with it. The paper takes the head for all of it and reports a Spearman correlation of 0.992 between "
            "the two (Figure 2); the Influence page computes both on your problem. The trap: where the forget set is one class "
            "that the model knows well, nearly any score ranks by the loss, and agreement says little about the layers below; "
            "try a random forget set. And exact means the solve: a deep network's loss is not the bowl that the formula assumes."
        ),
        see=("gauss_newton", "influence", "exact", "spearman", "overlap", "discrepancy"),
    ),
    Term(
        key="gauss_newton",
        title="Gauss-Newton matrix",
        group=GROUP,
        short="The part of a network's curvature that is never negative; for the head alone it is the Hessian itself.",
        text=(
            r"$H = \frac{1}{n}\sum_i J_i^\top(\mathrm{diag}\,p_i - p_i p_i^\top)J_i$ with $J_i$ the derivative of sample "
            "$i$'s logits in the parameters. It leaves out the bending of the network itself, which can be negative and then "
            "means nothing in an influence. It is the Hessian of the network made linear in its parameters, and also the true "
            "Fisher. The trap: it is the curvature of the loss on the forget set here, and not that of the training."
        ),
        see=("hessian", "full_influence", "damping", "residual"),
    ),
    Term(
        key="overlap",
        title="Overlap of the top",
        group=GROUP,
        short="Share of the highest scored samples by one ranking that are among the highest by the other; higher is closer.",
        text=(
            "Take the top tenth (quarter, half) by each score and count what they share. By chance it would be a tenth (quarter, "
            "half). It looks where the weights are: a swap among the weakest samples does not count. The trap: of few samples "
            "the top tenth is a handful, and one more or less moves it a lot."
        ),
        see=("spearman", "full_influence", "concentration"),
    ),
    Term(
        key="discrepancy",
        title="Relative discrepancy",
        group=GROUP,
        short="How far a sample's two scores are apart, as a share of the one through all layers; 0 means they are equal.",
        text=(
            r"$|s_i^{\mathrm{head}} - s_i^{\mathrm{all}}| / |s_i^{\mathrm{all}}|$ for each sample, which is what Figure 2 of the "
            "paper plots; in one number it is the median. Lower is closer. The trap: it compares sizes and not order. All "
            "scores times two is a discrepancy of 100 % and the same ranking, and the same weights under `sqrt`."
        ),
        see=("full_influence", "spearman", "overlap"),
    ),
    Term(
        key="spearman",
        title="Spearman correlation",
        group=GROUP,
        short="Agreement of two rankings, from −1 (reversed) over 0 (unrelated) to 1 (the same order).",
        text=(
            "Both lists of scores are replaced by ranks, and the ranks are correlated. Higher means that two estimators order "
            "the samples more alike. It is the fair comparison for estimators, whose scores have different scales. The trap: "
            "it sees only order. Two estimators at 0.99 can still disagree about how unequal the weights are and about where "
            "the sign changes, and it counts a swap among the weakest samples as much as one among the strongest."
        ),
        see=("estimator", "score", "concentration"),
    ),
    Term(
        key="residual",
        title="True residual",
        group=GROUP,
        short="How far the solution misses the equation it should solve, computed afresh at the end; lower is better.",
        text=(
            r"It is $\lVert g_F - (H+\lambda I)x\rVert / \lVert g_F\rVert$, computed from the solution itself. The residual "
            "that conjugate gradients carry along drifts away from it by rounding. A solve whose true residual stays above its "
            "tolerance is reported as an error and gives no scores. Estimators that need no iterative solve show 0. That means "
            "nothing was left over, and not that they are exact."
        ),
        see=("exact", "damping"),
    ),
)
