"""The studies, in the order of the page."""

from reproduction.studies.activations import ACTIVATIONS
from reproduction.studies.batch_size import BATCH_SIZE
from reproduction.studies.binary import BASELINE, SEARCH
from reproduction.studies.by_hand import FORWARD_NUMPY
from reproduction.studies.initialization import INITIALIZATION
from reproduction.studies.label_noise import LABEL_NOISE
from reproduction.studies.losses_imbalance import LOSSES_IMBALANCE
from reproduction.studies.losses_outliers import LOSSES_OUTLIERS
from reproduction.studies.momentum import MOMENTUM
from reproduction.studies.optimizers import CIFAR10, CIFAR10_TUNED
from reproduction.studies.pairs import PAIRS
from reproduction.studies.perceptron import PERCEPTRON
from reproduction.studies.recurrent import GRADIENT_CLIPPING, MEMORY
from reproduction.studies.regularization import REGULARIZATION
from reproduction.studies.schedules import SCHEDULES
from reproduction.studies.systematic import SYSTEMATIC
from reproduction.study import Study

STUDIES: tuple[Study, ...] = (
    BASELINE,
    SEARCH,
    ACTIVATIONS,
    CIFAR10,
    CIFAR10_TUNED,
    LOSSES_OUTLIERS,
    LOSSES_IMBALANCE,
    LABEL_NOISE,
    PAIRS,
    SCHEDULES,
    MOMENTUM,
    BATCH_SIZE,
    INITIALIZATION,
    GRADIENT_CLIPPING,
    MEMORY,
    REGULARIZATION,
    SYSTEMATIC,
    PERCEPTRON,
    FORWARD_NUMPY,
)
