"""The sections of a report, in their order: a further one is an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hpo.report.blocks import SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.sections import (
    bounds,
    comparisons,
    cost,
    curves,
    diagnoses,
    ending,
    headline,
    importance,
    isolation,
    noise,
    progress,
    reproduce,
    states,
    together,
    top,
    troubles,
)


@dataclass(frozen=True)
class ReportSection:
    """A section. tell: returns what it says of a study; None where there is nothing to say, and it is left out."""

    slug: str
    title: str
    tell: Callable[[StudyFacts], SectionBody | None]


SECTIONS = (
    ReportSection("outcome", "What came out", headline.tell),
    ReportSection("progress", "How the best value came about", progress.tell),
    ReportSection("importance", "Which parameters matter?", importance.tell),
    ReportSection("isolation", "Where are good values?", isolation.tell),
    ReportSection("bounds", "Is the best at an end of its range?", bounds.tell),
    ReportSection("together", "How do parameters go together?", together.tell),
    ReportSection("comparisons", "Is one choice better than another?", comparisons.tell),
    ReportSection("curves", "How do trials learn?", curves.tell),
    ReportSection("ending", "Is the training still improving at its last step?", ending.tell),
    ReportSection("troubles", "Where do trials diverge or fail?", troubles.tell),
    ReportSection("diagnoses", "Did they train well?", diagnoses.tell),
    ReportSection("states", "How did the trials end?", states.tell),
    ReportSection("cost", "What did it cost?", cost.tell),
    ReportSection("top", "The ten best", top.tell),
    ReportSection("noise", "Which trials can't be told from the winner?", noise.tell),
    ReportSection("reproduce", "How to get the same again", reproduce.tell),
)
