"""Recipes: everything that a training run depends on, as dataclasses with the measured defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from onebit.data import Augment

OptionValue = bool | int | float | str


@dataclass
class DataConfig:
    """Which images, how many at a time, and how they are varied."""

    dataset: str = "digits"
    """A name from `onebit list datasets`; a tracker learns from the folders that the command is given instead ("pairs")."""
    hub: str = ""
    """For dataset = "hub": the data set's name on the hub."""
    batch_size: int = 128
    """Images per step, over all processes together."""
    holdout: int = 0
    """So many of the last training images (of class folders and hub sets a fixed choice) are kept out of training and
    measured after every epoch."""
    limit: int = 0
    """Train on so many images only, the first (of class folders and hub sets a fixed choice); 0 takes all."""
    image_size: int = 0
    """Images are brought to this size; 0 keeps a small set's own, and means 256 for class folders and hub sets."""
    workers: int = 0
    """Processes that decode class folders."""
    augment: Augment = field(default_factory=Augment)


@dataclass
class PairsConfig:
    """For trackers: the pairs of an exemplar and a searched image that an epoch has; [data] gives batch_size and workers."""

    per_sequence: int = 1
    """Pairs of each sequence in an epoch."""
    per_still: int = 1
    """Pairs of each still image in an epoch, where stills are given."""
    max_distance: int = 100
    """Fewer frames than this lie between the two images of a pair."""
    min_size: int = 20
    """Boxes narrower or lower than this, in pixels, are passed over."""
    stretch: float = 0.05
    """Crops are stretched by up to this share, either way."""
    still_shift: float = 6.0
    """The two views of a still are shifted by up to so many pixels of the 255 x 255 crop."""
    still_scale: float = 0.15
    """They differ in scale by a factor of up to 1 plus this, and in brightness by as much."""
    holdout: tuple[str, ...] = ()
    """Sequences (names or shell patterns) that are kept out of training and measured after every epoch."""
    measured: int = 20
    """Pairs of each held-out sequence that are measured (without a hold-out: of each sequence of training)."""


@dataclass
class ModelConfig:
    """The structure."""

    name: str = "resnet18"
    """A name from `onebit list models`."""
    widths: tuple[int, ...] = ()
    """Channels per stage; empty takes the model's own."""
    options: dict[str, OptionValue] = field(default_factory=dict)
    """Further options of the model, such as shortcut = "block"."""
    copy_teacher: bool = False
    """Start from the teacher's weights (latent binary weights rescaled to the size they would have been drawn with)."""


@dataclass
class MethodConfig:
    """How numbers become bits."""

    name: str = "rbcn"
    """A name from `onebit list methods`."""
    options: dict[str, OptionValue] = field(default_factory=dict)
    """Options of the method, such as kernel_weight = 1e-4."""


@dataclass
class OptimizerConfig:
    """The optimiser, with rates and decay per group of parameters."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 2e-3
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    """On real convolutions and the classifier."""
    norm_weight_decay: float = 0.0
    """On norms, biases and scales."""
    binary_lr_scale: float = 1.0
    """The rate of latent binary weights, as a multiple of lr."""
    binary_weight_decay: float = 0.0
    matrix_lr: float = 2e-5
    """The rate of the learnable matrix C, absolute (lr does not move it); C is small beside W, so its rate has to be."""
    clip_norm: float = 0.0
    """Largest norm of the gradient; 0 leaves it alone."""


@dataclass
class ScheduleConfig:
    """The learning rate over time: a factor on every group's rate."""

    name: Literal["constant", "step", "cosine", "linear", "exponential"] = "cosine"
    warmup_epochs: float = 0.0
    step_epochs: int = 60
    """With "step": epochs between two drops."""
    gamma: float = 0.1
    """With "step": the factor of a drop."""
    final: float = 1e-3
    """With "exponential": the factor after the last epoch; all epochs drop by the same factor, at their start."""


@dataclass
class AdversarialConfig:
    """The discriminators and their pull on the student."""

    enabled: bool = False
    weight: float = 0.1
    """Factor of the generator term; the published equation has 1, which was measured to starve the task."""
    max_ratio: float = 0.0
    """If positive, the weight is lowered so that the term's gradient on W is at most this share of the task's."""
    anneal: Literal["none", "linear", "cosine"] = "none"
    """How the weight goes to zero over the run."""
    generator_loss: Literal["least-squares", "log"] = "least-squares"
    attach: Literal["per_layer", "per_stage", "last"] = "per_stage"
    pool: int = 4
    """Feature maps are averaged to pool x pool before a discriminator sees them; 0 takes them whole."""
    widths: tuple[int, ...] = (256, 128, 64)
    """Hidden features of a discriminator; one output follows."""
    normalize: bool = True
    """Give both sides zero mean and unit variance per channel, over the batch, before the discriminator."""
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = 1e-3
    throttle_accuracy: float = 0.8
    """A discriminator more accurate than this is updated only every throttle_interval steps; 1 never throttles."""
    throttle_interval: int = 5
    probe_every: int = 50
    """Steps between two measurements of the gradient ratio; 0 never measures."""


@dataclass
class DistillationConfig:
    """Matching the teacher's logits."""

    weight: float = 0.0
    """Factor of the term; 0 switches it off."""
    temperature: float = 4.0


@dataclass
class FeaturesConfig:
    """Matching the teacher's feature maps, without discriminators."""

    weight: float = 0.0
    """Factor of the term; 0 switches it off."""
    kind: Literal["maps", "attention"] = "maps"
    """"maps" compares them number by number, "attention" only where in the image their energy lies."""
    attach: Literal["per_layer", "per_stage", "last"] = "per_stage"
    normalize: bool = True
    """Give both sides zero mean and unit variance per channel, over the batch, before they are compared."""


@dataclass
class ApprenticeConfig:
    """The Apprentice loss: alpha * teacher's own task + beta * student's task + gamma * the teacher's answers as labels."""

    enabled: bool = False
    alpha: float = 1.0
    """Factor of the teacher's own cross-entropy; read where the teacher is trained jointly (teacher.source = "joint")."""
    beta: float = 0.5
    """Factor of the student's cross-entropy with the labels."""
    gamma: float = 0.5
    """Factor of the student's cross-entropy with the teacher's answers."""
    detach: bool = True
    """Let the term with gamma reach the student alone; False lets it move a joint teacher towards its student, too."""


@dataclass
class RefreshConfig:
    """After each epoch: batch norm is trained on, with everything else fixed (Algorithm 1, line 17)."""

    enabled: bool = False
    scope: Literal["bn", "other"] = "bn"
    """"bn" is batch norm alone, "other" everything but W and C."""
    fraction: float = 0.25
    """Share of an epoch's batches that the refresh sees."""
    lr: float = 0.01
    momentum: float = 0.9


@dataclass
class TeacherConfig:
    """The full-precision twin."""

    source: Literal["train", "load", "joint", "none"] = "train"
    """"train" trains it first by the same loop; "load" takes `checkpoint`; "joint" trains it beside the student
    (with apprentice.enabled)."""
    checkpoint: str = ""
    """A run folder, a checkpoint, or a plain state_dict file."""
    factory: str = ""
    """"package.module:function" that builds your own network for a plain state_dict; empty means our twin."""
    taps: tuple[str, ...] = ()
    """Modules of your own network whose outputs match the student's feature maps, in order."""
    epochs: int = 0
    """0 takes the student's; a joint teacher has no other."""
    lr: float = 0.0
    """0 takes the student's."""
    weight_decay: float = -1.0
    """Negative takes the student's."""


@dataclass
class TrainingConfig:
    """The loop."""

    epochs: int = 10
    seed: int = 0
    label_smoothing: float = 0.0
    keep_every: int = 0
    """Keep the network of every so many epochs, as checkpoints/epoch-001.pt ...; 0 keeps the last and the best alone."""
    ema: float = 0.0
    """Decay of an exponential moving average of the student's (or a teacher's trained first) real weights, used for
    evaluation; 0 is off."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    threads: int = 0
    """Threads of torch on the CPU; 0 leaves them alone."""
    strict_alternation: bool = False
    """Evaluate anew between the step of W and that of C, as Algorithm 1 is written; twice the time."""


@dataclass
class Recipe:
    """A training run, whole. Read it from TOML with :func:`onebit.training.load_recipe`."""

    name: str = "unnamed"
    description: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    apprentice: ApprenticeConfig = field(default_factory=ApprenticeConfig)
    refresh: RefreshConfig = field(default_factory=RefreshConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def objectives(self) -> list[str]:
        """What the student takes from its teacher in each step: the tables (`onebit list objectives`) that are on."""
        switched = {
            "adversarial": self.adversarial.enabled,
            "distillation": self.distillation.weight > 0,
            "features": self.features.weight > 0,
            "apprentice": self.apprentice.enabled,
        }
        return [name for name, on in switched.items() if on]

    def needs_teacher(self) -> bool:
        """Whether the student looks at a teacher, in each step or once before the first."""
        return bool(self.objectives()) or self.model.copy_teacher
