"""The studies, in the order of the page."""

from reproduction.studies.activations import ACTIVATIONS
from reproduction.studies.batch_size import BATCH_SIZE
from reproduction.studies.binary import BASELINE, SEARCH
from reproduction.studies.initialization import INITIALIZATION
from reproduction.studies.momentum import MOMENTUM
from reproduction.studies.optimizers import CIFAR10, CIFAR10_TUNED
from reproduction.studies.regularization import REGULARIZATION
from reproduction.studies.schedules import SCHEDULES
from reproduction.study import Study

STUDIES: tuple[Study, ...] = (
    BASELINE,
    SEARCH,
    ACTIVATIONS,
    CIFAR10,
    CIFAR10_TUNED,
    SCHEDULES,
    MOMENTUM,
    BATCH_SIZE,
    INITIALIZATION,
    REGULARIZATION,
)
