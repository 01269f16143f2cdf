"""The studies, in the order of the page."""

from reproduction.studies.binary import BASELINE, SEARCH
from reproduction.studies.by_hand import FORWARD_NUMPY
from reproduction.studies.label_noise import LABEL_NOISE
from reproduction.studies.losses_imbalance import LOSSES_IMBALANCE
from reproduction.studies.losses_outliers import LOSSES_OUTLIERS
from reproduction.studies.pairs import PAIRS
from reproduction.studies.perceptron import PERCEPTRON
from reproduction.studies.recurrent import GRADIENT_CLIPPING, MEMORY
from reproduction.studies.systematic import SYSTEMATIC
from reproduction.study import Study

STUDIES: tuple[Study, ...] = (
    BASELINE,
    SEARCH,
    LOSSES_OUTLIERS,
    LOSSES_IMBALANCE,
    LABEL_NOISE,
    PAIRS,
    GRADIENT_CLIPPING,
    MEMORY,
    SYSTEMATIC,
    PERCEPTRON,
    FORWARD_NUMPY,
)
