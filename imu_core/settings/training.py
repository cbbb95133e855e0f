"""The settings of a training, that of an original model or of a retrained reference."""

from __future__ import annotations

from imu_core.settings.run import RUN
from imu_core.settings.setting import Setting, table

TRAINING = table(
    Setting("epochs", "Epochs", 30, "Passes over the training set.", 1, 1000, whole=True),
    Setting("batch_size", "Batch size", 128, RUN["batch_size"].help, 2, RUN["batch_size"].high, whole=True),
    Setting("learning_rate", "Learning rate", 0.2, "Peak of the one-cycle schedule.", 0.0, RUN["learning_rate"].high, above=True),
    Setting("momentum", "Momentum", 0.9, RUN["momentum"].help, 0.0, RUN["momentum"].high),
    Setting(
        "weight_decay", "Weight decay", 5e-4, "Pulls every parameter towards 0 at each step, in proportion to its size.", 0.0, 1.0
    ),
    Setting("crop", "Random shift", 0.0, "At most so much is every image moved, as a share of height and width.", 0.0, 0.5),
    Setting(
        "label_smoothing", "Label smoothing", 0.0, "Share of the target that is spread over all classes.", 0.0, 1.0, below=True
    ),
    Setting(
        "precision",
        "Precision",
        "float32",
        "Of the forward pass; bfloat16 is about twice as fast where the processor has it.",
        choices=("float32", "bfloat16"),
    ),
    Setting("gradient_penalty", "Gradient penalty", 0.0, "α of IAU's gradient regularisation; 0 is none.", 0.0, 10.0),
    Setting(
        "flips",
        "Flips",
        "random",
        "random: drawn for every image and epoch; alternating: drawn once and turned round in every other epoch.",
        choices=("random", "alternating"),
    ),
    Setting("edge", "Edge", "zeros", "What comes in at the edge of a shifted image.", choices=("zeros", "reflect")),
    Setting("decay", "Decay", "cosine", "How the learning rate falls after the first fifth.", choices=("cosine", "linear")),
    Setting("lookahead", "Lookahead", False, "Slow weights follow the fast ones every few steps, ever more slowly."),
    Setting("seed", "Seed", 0, "Draws the first weights, the order of the batches and the flips.", *RUN["seed"].ends, whole=True),
)
