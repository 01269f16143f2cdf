"""Why a training went wrong, as plain data tells it: knows no Torch, no study and no MLflow.

figures      what is measured of a layer, and the metrics that hold it
training     a trial's curves
from_layers, from_curves    what shows a diagnosis, and from which value on
registry     the diagnoses, with their remedies
words        a line for people
"""

from hpo.diagnosis.from_curves import FEWEST
from hpo.diagnosis.registry import HEALTHY, KINDS, Diagnosis, DiagnosisKind, diagnoses_of

__all__ = ["FEWEST", "HEALTHY", "KINDS", "Diagnosis", "DiagnosisKind", "diagnoses_of"]
