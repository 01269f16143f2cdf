"""The studies, in the order of the page."""

from reproduction.studies.binary import BASELINE, SEARCH
from reproduction.studies.label_noise import LABEL_NOISE
from reproduction.studies.losses_imbalance import LOSSES_IMBALANCE
from reproduction.study import Study

STUDIES: tuple[Study, ...] = (BASELINE, SEARCH, LOSSES_IMBALANCE, LABEL_NOISE)
