"""Does MLflow say what the study says? Trial by trial, one run each, value by value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hpo.ledger.doctor.compare import UNDESCRIBED, differences
from hpo.ledger.doctor.findings import Findings
from hpo.ledger.doctor.readers import FoundRun, Reader
from hpo.ledger.mirror.notes import NOTE, says_interrupted
from hpo.ledger.mirror.rows import (
    VERDICT_TAGS,
    RunRows,
    best_curve,
    best_point,
    confirmation_tags,
    dataset_rows,
    ended_rows,
    own_key,
    parent_files,
    parent_name,
    parent_points,
    run_name,
)
from hpo.ledger.study.records import SweepRecord, TrialRecord
from hpo.ledger.study.settling import to_be_repeated
from hpo.output import PROGRAM_LOG
from hpo.spec.space import counted, enumerated

_AT_ONCE = 500  # trials whose steps are held at a time


@dataclass
class MlflowState:
    """What there is of the study in MLflow, and what has to be done to it."""

    takes_ids: bool = True
    experiment: str = ""  # id; "": there is none
    parent: str = ""  # run id; "": there is none
    parent_active: bool = True
    unclosed: bool = False  # whether the parent run lacks the end that a driver writes
    write: set[int] = field(default_factory=set)  # trials whose runs have to be written, or written again
    replace: dict[int, str] = field(default_factory=dict)  # runs that have what must go
    misnamed: dict[int, str] = field(default_factory=dict)  # runs with other ids than the study says
    delete: list[str] = field(default_factory=list)  # runs that should not be there
    files: bool = False  # whether the parent run's files have to be written again
    curve: bool = False  # whether the best-so-far curve has to be drawn again
    describe: bool = False  # whether the parent run has no description
    verdict: bool = False  # whether the parent run tells of another confirmation than the study
    former: list[str] = field(default_factory=list)  # names that the study had, by which something still goes
    notes: list[str] = field(default_factory=list)


def audit_mlflow(
    reader: Reader,
    sweep: SweepRecord,
    noted_parent: str,
    records: Sequence[TrialRecord],
    whole: Callable[[int], TrialRecord],
    foreign: Collection[int],
    findings: Findings,
    former: Sequence[str] = (),
) -> MlflowState:
    """Compare MLflow with the study; add what differs to the findings.

    noted_parent: the parent run's id as the study has it. records: of trials, without their steps. whole: gives a
    trial's record with its steps. foreign: trials of which nobody knows what MLflow should say. former: what the study
    was called before.
    Raises whatever the reader raises.
    """
    audit = _MlflowAudit(reader, sweep, findings)
    audit.find_family(noted_parent)
    audit.match(records, foreign)
    audit.compare_names(former)
    audit.compare(records, whole)
    audit.compare_curve(records)
    audit.look_for_end(records)
    audit.look_for_output(records)
    if text := reader.compared():
        audit.state.notes.append(text)
    return audit.state


class _MlflowAudit:
    def __init__(self, reader: Reader, sweep: SweepRecord, findings: Findings) -> None:
        self._reader = reader
        self._sweep = sweep
        self._findings = findings
        self._runs: dict[str, FoundRun] = {}
        self._parents: set[str] = set()
        self._own: dict[int, FoundRun] = {}  # the run of each trial
        self._undescribed = 0  # runs
        self.state = MlflowState(takes_ids=reader.takes_ids)

    def find_family(self, noted_parent: str) -> None:
        """Find the experiment and the parent run."""
        found = self._reader.experiment_of(noted_parent, self._sweep.study_id)  # somebody may have renamed it
        found = found or self._reader.experiment(self._sweep.study)
        self.state.experiment = found[0] if found is not None else ""
        if found is None or not found[1]:
            what = "there is no experiment" if found is None else "somebody deleted the experiment"
            self._findings.add("mlflow.experiment", f"{what} {self._sweep.study!r}")
        runs = self._reader.runs(found[0]) if found is not None else []
        self._runs = {run.run_id: run for run in runs}
        parents = [run for run in runs if run.kind == "sweep" and run.study_id == self._sweep.study_id]
        self._parents = {run.run_id for run in parents}
        parents.sort(key=lambda run: (not run.active, run.run_id != noted_parent))
        if not parents:
            self._findings.add("mlflow.parent", "there is no parent run of the sweep")
            return
        first, *others = parents
        state = self.state
        state.parent, state.parent_active = first.run_id, first.active
        state.unclosed = first.status in ("RUNNING", "SCHEDULED")
        if not first.active:
            self._findings.add("mlflow.parent", f"somebody deleted the parent run {first.run_id}")
        elif state.unclosed:
            self._findings.add("mlflow.parent", f"the parent run is {first.status}, but nobody runs the sweep")
        for name in parent_files(self._sweep):
            if not self._reader.texts([first.run_id], name):
                self._findings.add("disk.files", f"the parent run has no {name}")
                state.files = True
        self._look_for_points()
        for other in others:
            if other.active:
                self._findings.add("mlflow.parent", f"the run {other.run_id} is another parent run of the same sweep")
                self.state.delete.append(other.run_id)

    def _look_for_points(self) -> None:
        """See that the parent run's metrics tell what the study has of references and of confirmations."""
        for key, value, _, step in parent_points(self._sweep):
            if (step, value) not in self._reader.values(self.state.parent, key):
                what = f"the parent run's {key}: the study has {value!r}, MLflow does not have it"
                self._findings.add("mlflow.references" if "/reference/" in key else "mlflow.confirmation", what)
                self.state.files = True

    def match(self, records: Sequence[TrialRecord], foreign: Collection[int]) -> None:
        """Find each trial's run, and the runs that are too many."""
        children: dict[str, list[FoundRun]] = defaultdict(list)
        for run in self._runs.values():
            if run.active and run.parent in self._parents:
                children[run.trial].append(run)
        for record in records:
            named = self._runs.get(record.run_id)
            candidates = children.pop(str(record.number), [])
            if named is not None and named.active and named not in candidates:  # its tags are wrong
                candidates.append(named)
            self._choose(record, candidates, named)
        for number in foreign:
            children.pop(str(number), None)
        for trial, runs in children.items():
            for run in runs:
                of = f"trial {trial}, which the study does not have" if trial else "no trial"
                self._findings.add("mlflow.extra", f"the run {run.run_id} is under the parent run, but of {of}")
                self.state.delete.append(run.run_id)

    def _choose(self, record: TrialRecord, candidates: list[FoundRun], named: FoundRun | None) -> None:
        number, state = record.number, self.state
        candidates.sort(key=lambda run: (run.run_id != record.run_id, run.parent != state.parent, run.run_id))
        for run in candidates[1:]:
            what = f"it has another run in MLflow, {run.run_id} besides {candidates[0].run_id}"
            self._findings.add("mlflow.doubled", what, number)
            state.delete.append(run.run_id)
        if candidates:
            self._own[number] = candidates[0]
            self._check_id(record, candidates[0])
            return
        state.write.add(number)
        gone = f"somebody deleted its run {named.run_id}" if named is not None else "it has no run"
        self._findings.add("mlflow.missing", f"{gone} in MLflow", number)

    def _check_id(self, record: TrialRecord, run: FoundRun) -> None:
        """Compare ids, where those of the study are MLflow's."""
        if not record.run_id or run.run_id == record.run_id:
            return
        if self.state.takes_ids:
            what = f"its run in MLflow is {run.run_id}, the study says {record.run_id}"
            self._findings.add("mlflow.id", what, record.number)
            self.state.misnamed[record.number] = run.run_id
        else:
            self.state.notes = ["runs that were written anew have other ids than the study says; their tags find them"]

    def compare_names(self, former: Sequence[str]) -> None:
        """See that nothing goes by a name that the study had before; what a person has called otherwise may."""
        if not self.state.parent:
            return
        experiment, parent = self._reader.name_of(self.state.experiment), self._runs[self.state.parent]
        taken = self._reader.experiment(self._sweep.study)  # by another one: then the old name stays
        for old in former:
            parts = ["the experiment"] if experiment == old and taken is None else []
            if parent.name == parent_name(replace(self._sweep, study=old)) or parent.study == old:
                parts.append("the parent run")
            if count := sum(run.name == run_name(old, number) for number, run in self._own.items()):
                parts.append(counted(count, "run") + " of trials")
            if parts:
                what = f"{enumerated(parts, ' and ')}: called after {old!r}, which the study was called before"
                self._findings.add("mlflow.name", what)
                self.state.former.append(old)

    def compare(self, records: Sequence[TrialRecord], whole: Callable[[int], TrialRecord]) -> None:
        """Compare what runs hold, those of the trials that have ended."""
        ended = [record for record in records if record.state != "running" and record.number in self._own]
        for start in range(0, len(ended), _AT_ONCE):
            numbers = [record.number for record in ended[start : start + _AT_ONCE]]
            rows = {number: ended_rows(self._sweep, self.state.parent, whole(number)) for number in numbers}
            self._compare(rows)
        self._tell_undescribed()
        self._look_for_data(ended)
        told = {record.number for record in records if record.state == "failed" and record.traceback}
        runs = {self._own[number].run_id: number for number in sorted(told & self._own.keys())}
        for run_id in runs.keys() - self._reader.texts(runs, "traceback.txt"):
            self._findings.add("disk.traceback", "its run in MLflow has no traceback.txt", runs[run_id])
            self.state.write.add(runs[run_id])

    def _look_for_data(self, ended: Sequence[TrialRecord]) -> None:
        """See that runs tell on what data they trained, where the study knows it."""
        known = (record for record in ended if dataset_rows(self._sweep, record.started) is not None)
        runs = {self._own[record.number].run_id: record.number for record in known}
        for run_id in sorted(runs.keys() - self._reader.with_data(runs)) if runs else ():
            self._findings.add("mlflow.data", "its run in MLflow does not tell its data set", runs[run_id])
            self.state.write.add(runs[run_id])

    def _compare(self, rows: Mapping[int, RunRows]) -> None:
        contents = self._reader.contents([(self._own[number].run_id, its) for number, its in rows.items()])
        for (number, its), content in zip(rows.items(), contents, strict=True):
            run = self._own[number]
            for difference in differences(its, run.status, content):
                self.state.write.add(number)
                if difference.kind == UNDESCRIBED:
                    self._undescribed += 1
                    continue
                self._findings.add(f"mlflow.{difference.kind}", difference.text, number)
                if difference.wrong:
                    self.state.replace[number] = run.run_id

    def _tell_undescribed(self) -> None:
        """Add what is one finding however many runs it is of: a whole study lacks what its release did not write."""
        if self.state.parent and self.state.parent_active:
            (content,) = self._reader.contents([(self.state.parent, RunRows("", 0, {}, {}))])
            self.state.describe = NOTE not in content.tags
            wanted = confirmation_tags(self._sweep)
            for key in VERDICT_TAGS:
                if (ours := wanted.get(key, "")) != (theirs := content.tags.get(key, "")):
                    what = f"the parent run's tag {key}: the study has {ours!r}, MLflow has {theirs!r}"
                    self._findings.add("mlflow.confirmation", what)
                    self.state.verdict = True
        if count := self._undescribed + self.state.describe:
            what = f"{counted(count, 'run')} of the sweep's {'has' if count == 1 else 'have'} no description"
            self._findings.add("mlflow.description", f"{what} (older releases wrote none)")

    def compare_curve(self, records: Sequence[TrialRecord]) -> None:
        """Compare the parent run's best-so-far curve. Drivers that share a study each draw points of their own."""
        if not self.state.parent or self._sweep.shared:
            return
        for text in self._curve_differences(records):
            self._findings.add("mlflow.curve", text)
            self.state.curve = True

    def look_for_end(self, records: Sequence[TrialRecord]) -> None:
        """See that a parent run that does not run was ended by a driver: one that dies after its last trial leaves a
        run without a summary, which says that it was interrupted."""
        state = self.state
        going_on = any(record.state == "running" for record in records) or to_be_repeated(records)
        if not state.parent or not state.parent_active or state.unclosed or going_on:
            return
        (content,) = self._reader.contents([(state.parent, RunRows("", 0, {}, {}))])
        done = sum(record.counts for record in records) >= self._sweep.config["budget"]["trials"]
        if says_interrupted(content.tags):
            what = "the parent run says that the sweep was interrupted, but no trial is to be run again"
        elif done and not self._reader.values(state.parent, own_key("trials_complete")):
            what = "the parent run has no summary, but the sweep is done"
        else:
            return
        self._findings.add("mlflow.parent", what)
        state.unclosed = True

    def look_for_output(self, records: Sequence[TrialRecord]) -> None:
        """Note of which trials of a program MLflow lacks what was printed: nothing else holds it, so it is no
        disagreement."""
        if not self._sweep.config.get("program"):
            return
        # What has reported has printed something. A trial that was interrupted may have had no time to hand it over.
        ended = {r.number for r in records if r.state in ("complete", "pruned") and r.number in self._own}
        runs = {self._own[number].run_id: number for number in sorted(ended)}
        lacking = sorted(runs[run_id] for run_id in runs.keys() - self._reader.texts(runs, PROGRAM_LOG))
        if lacking:
            which = ", ".join(map(str, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
            what = f"what the program printed in trials {which} is lost"
            self.state.notes.append(f"{what}: MLflow has no {PROGRAM_LOG} of it")

    def _curve_differences(self, records: Sequence[TrialRecord]) -> Iterator[str]:
        key = best_point(self._sweep, 0, 0.0, 0.0).key
        ours = {(point.step, point.value) for point in best_curve(self._sweep, records)}
        theirs = self._reader.values(self.state.parent, key)
        for step, value in sorted(ours - theirs):
            yield f"the parent run's {key} at step {step}: the study has {value!r}, MLflow does not have it"
        if self.state.takes_ids:  # elsewhere nobody can take a value back
            for step, value in sorted(theirs - ours):
                yield f"the parent run's {key} at step {step}: the study does not have {value!r}, MLflow has it"
