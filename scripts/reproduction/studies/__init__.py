"""The studies, in the order of the page."""

from reproduction.studies.binary import BASELINE, SEARCH
from reproduction.study import Study

STUDIES: tuple[Study, ...] = (BASELINE, SEARCH)
