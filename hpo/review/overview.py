"""What one study is and how it stands (`hpo study show`): as plain data, and in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hpo.ledger.belongings import belongings_of, sizes_of
from hpo.ledger.mirror.health import ailment_of, is_database, uri_to_read
from hpo.ledger.removal import Removal
from hpo.ledger.sharing.look import is_run, who_runs
from hpo.ledger.study.compat import study_id_of
from hpo.ledger.study.confirmations import confirmations_in
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import models_of
from hpo.ledger.study.records import is_surplus, record_of
from hpo.ledger.study.restored import find_study
from hpo.ledger.study.unfinished import FORMER, REMOVING, refuse_half_copied, renaming_of
from hpo.ledger.study.urls import masked
from hpo.review.display import duration, params_text
from hpo.review.outline import size_text, space_lines
from hpo.review.studies import RecordedStudy, StudyLine, line_of, words_to_go_on
from hpo.review.summary import home_options, hpo_command
from hpo.spec.census import size_of
from hpo.spec.space import counted, show
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_LABEL = 11  # columns of what stands before a line


@dataclass(frozen=True)
class MlflowPlace:
    """Where a study's runs are. experiment: its name; "": there is none. why: it is not known."""

    uri: str  # without a password
    experiment: str
    run_id: str  # of the sweep's run; "": the study knows none
    why: str = ""


@dataclass(frozen=True)
class StudyOverview:
    """One study. Times are local."""

    study: RecordedStudy
    line: StudyLine
    storage: str  # without a password
    began: datetime | None
    run_by: Sequence[str]  # the drivers that run it now
    mlflow: MlflowPlace
    bytes: Mapping[str, int]  # on this machine's disk, by what they are
    go_on: str  # the command that goes on with it; "": it is not known

    def plain(self) -> dict[str, Any]:
        """Return it as JSON types."""
        attributes, config, line = self.study.attributes, self.study.config, self.line
        best = self.study.ranking[0] if self.study.ranking else None
        return {
            "study": line.name,
            "id": attributes["id"],
            "state": line.state,
            "file": attributes.get("origin", {}).get("source") or None,
            "description": attributes.get("origin", {}).get("description", ""),
            "objective": self.study.sweep.objective or self.study.sweep.program,
            "metric": config["metric"],
            "method": config["method"],
            "early_terminate": config.get("early_terminate"),
            "seed": config["seed"],
            "parameters": attributes["identity"]["parameters"],
            "configurations": size_of(self.study.sweep.space),
            "budget": config["budget"],
            "used": {"trials": line.counts.complete + line.counts.pruned, "seconds": attributes.get("seconds", 0.0)},
            "trials": asdict(line.counts),
            "best": {"number": best.number, "value": best.value, "params": dict(best.params)} if best else None,
            "began": self.began and self.began.isoformat(timespec="seconds"),
            "latest": line.latest and line.latest.isoformat(timespec="seconds"),
            "run_by": list(self.run_by),
            "go_on": self.go_on or None,
            "formerly": list(attributes.get(FORMER, ())),
            "predecessor": attributes.get("predecessor") or None,
            "successor": attributes.get("successor") or None,
            "confirms": line.confirms or None,
            "verdict": line.verdict or None,
            "confirmations": [each.study for each in confirmations_in(attributes)],
            "models": [asdict(model) for model in models_of(attributes)],
            "storage": self.storage,
            "mlflow": {"uri": self.mlflow.uri, "experiment": self.mlflow.experiment or None}
            | {"run_id": self.mlflow.run_id or None},
            "bytes": dict(self.bytes),
            "hpo_version": attributes.get("hpo_version"),
        }

    def lines(self) -> list[str]:
        """Return it in words."""
        sweep = self.study.sweep
        best_report = " at its best report" if sweep.metric.at == "best" else ""
        what = f"{sweep.objective or sweep.program}, {sweep.metric.goal} {sweep.metric.name}{best_report}"
        lines = [f"{self.line.name}: {what}: {self.line.state}", *space_lines(sweep), ""]
        lines += [f"{label:<{_LABEL}}{text}" for label, text in self._facts(sweep) if text]
        return lines

    def _facts(self, sweep: Sweep) -> Iterator[tuple[str, str]]:
        plain, counts = self.plain(), self.line.counts
        yield "about", textwrap.shorten(plain["description"], 200, placeholder=" ...")
        yield "file", plain["file"] or ""
        yield "space", size_text(sweep)
        stopping = (plain["early_terminate"] or {}).get("type", "none")
        yield "method", f"{plain['method']}, stopping: {stopping}, seed {show(plain['seed'])}"
        yield "budget", self._budget(sweep)
        states = ", ".join(f"{count:,} {state}" for state, count in asdict(counts).items() if count)
        yield "trials", states or "none yet"
        if best := plain["best"]:
            yield "best", f"{show(best['value'])} (trial {best['number']}): {params_text(best['params'])}"
        if self.began is not None:
            ran = f", {duration(plain['used']['seconds'])} in all" if plain["used"]["seconds"] else ""
            last = f", last change {self.line.latest:%Y-%m-%d %H:%M:%S}" if self.line.latest else ""
            yield "began", f"{self.began:%Y-%m-%d %H:%M:%S}{last}{ran}"
        yield "run by", "; ".join(self.run_by) or "nobody now"
        yield from self._family(plain)
        yield "storage", self.storage
        yield "mlflow", self._mlflow()
        sizes = [f"{what} {in_bytes(size)}" for what, size in self.bytes.items()]
        yield "on disk", f"{in_bytes(sum(self.bytes.values()))}{': ' if sizes else ''}{', '.join(sizes)}"
        yield "go on", self.go_on if not self.line.live else ""

    def _budget(self, sweep: Sweep) -> str:
        epochs = f" of at most {counted(sweep.budget.epochs, 'epoch')}" if sweep.budget.epochs is not None else ""
        seconds = f", {duration(sweep.budget.seconds)}" if sweep.budget.seconds is not None else ""
        done = self.line.counts.complete + self.line.counts.pruned
        return f"{counted(sweep.budget.trials, 'trial')}{epochs}{seconds}; {done:,} done"

    def _family(self, plain: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield "formerly", ", ".join(plain["formerly"])
        yield "confirms", plain["confirms"] or ""
        yield "confirmed", ", ".join(plain["confirmations"]) and f"{plain['verdict']} ({plain['confirmations'][-1]})"
        yield "goes on", plain["predecessor"] and f"from {plain['predecessor']}, with another space"
        yield "went on", plain["successor"] and f"as {plain['successor']}, with another space"
        versions = [f"{model['name']} version {model['version']}" for model in plain["models"] if model["version"]]
        yield "models", ", ".join(versions)
        if renaming := renaming_of(self.study.attributes):
            yield "note", f"renaming it from {renaming.old!r} to {renaming.new!r} was begun, and not finished"
        if self.study.attributes.get(REMOVING):
            yield "note", "its removal was begun, and not finished"

    def _mlflow(self) -> str:
        place = self.mlflow
        where = f"experiment {place.experiment!r}, " if place.experiment else ""
        run = f"run {place.run_id}" if place.run_id else "no run that the study knows"
        return f"{place.uri}: {where}{run}" + (f" ({place.why})" if place.why else "")


def overview_of(home: Home, name: str) -> StudyOverview:
    """Read what a study is and how it stands; MLflow only where it is a database. Raises UserError if there is none of
    this name, or if it was not made by hpo."""
    storage, found = find_study(home, name)
    refuse_half_copied(name, {each.study_name: each.user_attrs for each in storage.get_all_studies()})
    live = is_run(home, name, found.user_attrs, storage)  # first, as in `read_study`
    trials = [t for t in storage.get_all_trials(study_id_of(found), deepcopy=False) if not is_surplus(t)]
    study = RecordedStudy(name, found.user_attrs, trials, storage, live)
    study.sweep  # noqa: B018 - raises, if it is not hpo's
    line = line_of(found, trials, live)
    runs = [record_of(trial, history=False).run_id for trial in trials]
    runs.append(str(found.user_attrs.get("mlflow_run_id", "")))
    files = belongings_of(home, name, found.user_attrs, [run for run in runs if run])
    command = f"{hpo_command()} {' '.join(line.go_on)}{home_options(home)}" if line.go_on else ""
    return StudyOverview(
        study,
        line,
        storage=masked(home.storage_url),
        began=min((trial.datetime_start for trial in trials if trial.datetime_start), default=None),
        run_by=_drivers(home, name, found.user_attrs, storage) if live else (),
        mlflow=_mlflow_place(home, found.user_attrs),
        bytes=sizes_of(files),
        go_on=command,
    )


def _drivers(home: Home, name: str, attributes: Mapping[str, Any], storage: BaseStorage) -> list[str]:
    return who_runs(home, name, attributes, storage) or ["a driver that is just ending"]


def _mlflow_place(home: Home, attributes: Mapping[str, Any]) -> MlflowPlace:
    uri, run_id = masked(home.tracking_uri), str(attributes.get("mlflow_run_id", ""))
    if not is_database(home.tracking_uri):  # a server may be away, and asking it costs seconds
        return MlflowPlace(uri, "", run_id)
    if ailment := ailment_of(home, thorough=False):
        return MlflowPlace(uri, "", run_id, masked(ailment.text))
    from sqlalchemy.exc import SQLAlchemyError

    from hpo.ledger.doctor.tables import TablesReader

    reader = TablesReader(uri_to_read(home), takes_ids=True)
    try:
        experiment = reader.experiment_of(run_id, str(attributes["id"]))
        return MlflowPlace(uri, reader.name_of(experiment[0]) if experiment else "", run_id)
    except SQLAlchemyError as error:
        return MlflowPlace(uri, "", run_id, masked(" ".join(str(getattr(error, "orig", error)).split()))[:200])


def to_go_on(home: Home, name: str) -> list[str]:
    """Return the line with the command that goes on with a study; none where it is not known."""
    found = find_study(home, name)[1]
    words = words_to_go_on(name, found.user_attrs)
    return [f"to go on with it: {hpo_command()} {' '.join(words)}{home_options(home)}"] if words else []


def removal_lines(plan: Sequence[Removal]) -> Iterator[str]:
    """Yield what goes with studies, in words."""
    for each in plan:
        runs = counted(len(each.mlflow.runs), "run")
        kept = "for good" if each.for_good else "which MLflow's server keeps as deleted until its `mlflow gc`"
        sizes = [f"{what} {in_bytes(size)}" for what, size in each.sizes.items()]
        parts = [counted(each.trials, "trial")]
        parts += [f"{runs} in MLflow, {kept}"] if each.mlflow.runs else ["no run in MLflow"]
        parts += [f"on disk: {', '.join(sizes)}"] if sizes else ["no files"]
        yield f"{each.study}: {'; '.join(parts)}"
        if each.twin:
            yield f"  its runs and other files are the study {each.twin!r}'s, too, of which it is a copy, and stay"
        for other, verdict in each.verdicts.items():
            yield f"  its verdict on {other!r} ({verdict}): that counts as never confirmed by it"
        if each.looks:
            yield f"  {counted(each.looks, 'look')} at test rows will be known to nobody: later ones count as the first"


def in_bytes(size: int) -> str:
    """Return a size as a person says it, in powers of ten: 940 bytes, 12.3 kB, 4.1 MB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return counted(size, "byte")
