"""`hpo refine`: from a study to the file of a second, narrower sweep."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

from hpo.decision.refine.evidence import gather, told
from hpo.decision.refine.importance import importances
from hpo.decision.refine.keys import carried
from hpo.decision.refine.outcome import RefinedParameter
from hpo.decision.refine.parameters import clause_can_hold, refined_parameters, space_of
from hpo.decision.refine.seeds import seeds_of
from hpo.decision.refine.text import file_text
from hpo.lazy import hidden_while_unused
from hpo.ledger.study.confirmations import confirming
from hpo.ledger.study.home import Home
from hpo.objective.build import inspect, named_of
from hpo.review.studies import RecordedStudy, read_study
from hpo.spec.faults import Bug, SpecError, UserError
from hpo.spec.load import make_sweep
from hpo.spec.named import Inspection
from hpo.spec.names import LONGEST_STUDY_NAME
from hpo.spec.source import parse_source
from hpo.spec.sweep import TRAINABLE, Sweep

_MENTIONED = 0.01  # of the importance


@dataclass(frozen=True)
class RefinedSweep:
    """A refined sweep, and what led to it. text: its file. words: what there is to say of the trials."""

    sweep: Sweep
    text: str
    words: Sequence[str]
    parameters: Sequence[RefinedParameter]
    seeds: Sequence[int]  # the trials whose configurations are tried first
    budget: str  # in words


def refine(home: Home, name: str, path: Path | None = None, trials: int | None = None) -> RefinedSweep:
    """Return the refined sweep of a study. Writes nothing.

    path: where its file will lie; None: under the name of the new study, in the working directory. trials: its budget;
    None: half of the study's.

    Raises UserError if there is no such study, if it has too few trials with a result, if nothing in it is searched, or
    if the file would not pass `hpo check`.
    """
    recorded = read_study(home, name)
    if (what := confirming(recorded.attributes)) is not None:
        raise UserError(f"the study {name!r} confirms {what.study!r}, and searches nothing: refine that one")
    if not recorded.sweep.space.searched() and not recorded.sweep.traits.define_by_run:
        raise UserError(f"the study {name!r} searches nothing: each of its parameters has one value only")
    if recorded.sweep.traits.define_by_run:
        raise UserError(
            f"the study {name!r} has its ranges in the code of {recorded.sweep.objective}, which asks for them while "
            f"it runs: narrow them there (give the sweep another name then), or write 'parameters' into its sweep file"
        )
    if recorded.sweep.objective == TRAINABLE:
        raise UserError(f"the study {name!r} was made under Ray Tune, whose trainable hpo sweep can't run")
    evidence = gather(recorded)
    inspection = _inspected(recorded, (path or Path("refined.yaml")).resolve().parent)
    config = recorded.config
    with hidden_while_unused("torch"):
        shares = importances(evidence)
        parameters = refined_parameters(evidence, inspection.contract, shares, config["budget"].get("epochs"))
    space = space_of(parameters, recorded.sweep.space.forbid)
    description = str(recorded.attributes.get("origin", {}).get("description", ""))
    best = recorded.ranking[0].value
    assert best is not None
    keys = carried(config, description, best, space, trials)
    budget = keys.values["budget"]["trials"]
    seeds = seeds_of(evidence, space, budget)
    words = [*told(evidence), *_importance_words(shares), *_remarks(recorded, parameters), *keys.notes]
    forbid = [(clause, clause_can_hold(clause, space)) for clause in recorded.sweep.space.forbid]

    def text_as(new: str) -> str:
        head = [f"Refined by `hpo refine` from {words[0]}.", *(f"{line[0].upper()}{line[1:]}." for line in words[1:])]
        return file_text(new, head, keys, parameters, forbid, seeds)

    new, text = _named(recorded, text_as)
    sweep = _checked(text, path or Path(f"{new}.yaml"), inspection)
    if sweep.space != space:
        raise AssertionError(f"the file of {new!r} reads otherwise than it was meant")
    numbers = [number for number, _ in seeds]
    return RefinedSweep(sweep, text, words, parameters, numbers, keys.comments.get("budget", ""))


def _inspected(recorded: RecordedStudy, folder: Path) -> Inspection:
    """Return what is known of the study's objective, as a sweep file in this folder names it.

    Raises UserError if it names none there.
    """
    config, before = recorded.config, recorded.sweep.source.resolve().parent
    named = replace(named_of(recorded.sweep), objective=config["objective"], program=config["program"], folder=folder)
    with redirect_stdout(sys.stderr):  # what the objective's module prints is no answer
        inspection = inspect(named)
    if inspection.faults:
        remedy = f"hpo: the study's own file lay in {before}: write the new one there, by --output"
        error = SpecError(inspection.faults, f"{recorded.name}, refined")
        raise UserError(f"{error}\n{remedy}") if folder != before and before.is_dir() else error
    return inspection


def _importance_words(shares: dict[str, float]) -> list[str]:
    if not shares:
        return []
    listed = [f"{name} {share:.0%}" for name, share in shares.items() if share >= _MENTIONED]
    rest = [f"less than {_MENTIONED:.0%} each: {len(shares) - len(listed)} more"] if len(listed) < len(shares) else []
    return [f"what has to do with being good (importance by PED-ANOVA): {', '.join([*listed, *rest])}"]


def _remarks(recorded: RecordedStudy, parameters: Sequence[RefinedParameter]) -> list[str]:
    remarks = []
    if successor := recorded.successor:
        remarks.append(f"this study went on with another space as {successor!r}; here it is refined as it was")
    if not any(refined.fate in ("narrowed", "widened", "fixed") for refined in parameters):
        remarks.append("no parameter could be narrowed: these trials do not tell which of their values are better")
    return remarks


def _named(recorded: RecordedStudy, text_as: Callable[[str], str]) -> tuple[str, str]:
    """Return the first free name of a refined study, with its file. A study that came from the very same file counts
    as free: the sweep goes on with it."""
    storage = recorded.storage
    attributes = {study.study_name: study.user_attrs for study in storage.get_all_studies()}
    base = re.sub(r"-refined(-\d+)?$", "", recorded.name)
    for count in range(1, len(attributes) + 3):
        suffix = "-refined" if count == 1 else f"-refined-{count}"
        shortened = base.encode()[: LONGEST_STUDY_NAME - len(suffix)].decode(errors="ignore")
        new = f"{shortened}{suffix}"
        if new == recorded.name:
            continue
        text = text_as(new)
        if new not in attributes or attributes[new].get("sweep_file") == text:
            return new, text
    raise AssertionError("there are more names than studies")


def _checked(text: str, path: Path, inspection: Inspection) -> Sweep:
    """Return the sweep of a file's text, as `hpo sweep` would have it from there. Raises UserError if it is none."""
    try:
        return make_sweep(parse_source(text, str(path)), path, lambda named: inspection, [])
    except Bug:
        raise
    except SpecError as error:
        raise UserError(f"the refined file would not pass hpo check, so it is not written:\n{error}") from None
