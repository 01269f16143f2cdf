"""docs/course.md as a whole: what holds, the studies, what each took, the seven steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from hpo.ledger.study.provenance import versions
from hpo.training.device import pick_device
from reproduction.claims import Claim, Verdict
from reproduction.numbers import minutes
from reproduction.running import Runner, Time
from reproduction.study import Study

HEAD = """# The course's experiments

This platform grew out of a deep-learning course. Each of its experiments is a sweep file in `search_spaces/course/` that runs as it
is, from any folder, by its name. This page shows what came out, beside what the course says.

    hpo sweep course/activations             # run it, or go on with it
    hpo compare activations --by activation  # what its question comes to; each file's head says which
    hpo ui activations

`scripts/reproduce` runs all of them (those on CIFAR-10 with `--cifar10 FOLDER`) and writes this page with its tables and plots;
`hpo ui --home mlruns/course` then shows every [study](README.md#words) in both UIs. """

STEPS = """## The seven steps of a systematic approach

| step | command |
| --- | --- |
| 1. a baseline | `hpo sweep course/binary_baseline`; the first of `baselines:` in any file |
| 2. a broad look, by random search or a grid | `hpo sweep course/systematic_tuning -o method=random -o name=broad`, then `hpo report broad` |
| 3. Bayesian search | `hpo sweep course/systematic_tuning` |
| 4. learning rate schedules | `hpo compare systematic_tuning --by schedule` |
| 5. tracking, with early stopping | `early_terminate` in the file; `hpo ui systematic_tuning` |
| 6. refinement | `hpo refine systematic_tuning`, then `hpo sweep systematic_tuning-refined.yaml` |
| 7. final validation and test | `hpo confirm systematic_tuning-refined`, then `hpo model systematic_tuning-refined --confirmed` |
"""

_SHOWN = 8  # commands of a study in the table of times; of more, their sum


def page(
    studies: Sequence[Study], written: Mapping[str, tuple[list[str], list[Claim]]], runner: Runner, machine: str
) -> str:
    """Return the page. written: of each study that has recorded results, the blocks of its section and its claims."""
    parts = [HEAD + machine, _index(studies, written), _claims(studies, written)]
    parts += [_section(study, *written[study.name]) for study in studies if study.name in written]
    return "\n\n".join([*parts, _times(studies, runner), STEPS])


def machine_line(machine: Mapping[str, object]) -> str:
    """Return a sentence on what the numbers of the page depend on besides the code."""
    listed = ", ".join(f"{name} {version}" for name, version in versions().items())
    import torch

    device = pick_device()
    gpu = "no GPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
    return f"The figures are of {machine['cpu']}, {machine['cores']} cores, {gpu}; {listed}."


def _index(studies: Sequence[Study], written: Collection[str]) -> str:
    """Return the table of studies, each with a link to its section, if it has one."""
    names = [f"[`{each.name}`](#{_anchor(each)})" if each.name in written else f"`{each.name}`" for each in studies]
    rows = [f"| {name} | {study.asks} |" for name, study in zip(names, studies, strict=True)]
    return "\n".join(["| study | the question |", "| --- | --- |", *rows])


def _claims(studies: Sequence[Study], written: Mapping[str, tuple[list[str], list[Claim]]]) -> str:
    told = [(study, claim) for study in studies for claim in written.get(study.name, ([], []))[1]]
    counts = Counter(claim.verdict for _, claim in told)
    summary = ", ".join(f"{counts[verdict]} {_COUNTED[verdict]}" for verdict in Verdict if counts[verdict])
    rows = [f"| {claim.text} | **{claim.verdict}** | [{study.name}](#{_anchor(study)}) |" for study, claim in told]
    return "\n".join([
        "## What holds", "",
        f"Of {len(told)} claims {summary}. Most are put into words here, from what the course did. A claim holds or does not where the difference is larger than the noise "
        "between seeds, by the test of `hpo compare`; else it is not shown, which says nothing against it.", "",
        "| the course says | here | figures |", "| --- | --- | --- |", *rows,
    ])  # fmt: skip


_COUNTED = {
    Verdict.HOLDS: "hold",
    Verdict.PARTLY: "hold in part",
    Verdict.FAILS: "do not hold",
    Verdict.UNKNOWN: "are not shown",
}


def _section(study: Study, blocks: Sequence[str], claims: Sequence[Claim]) -> str:
    listed = [f"- {claim.text}: **{claim.verdict}**. {claim.evidence}" for claim in claims]
    names = dict.fromkeys(f"`course/{run.sweep}`" for run in study.runs())
    files = f" ({', '.join(names)})" if names else ""
    head = [f"## {study.title}", f"{study.asks[0].upper()}{study.asks[1:]}{files}"]
    return "\n\n".join([*head, *blocks, *(["\n".join(listed)] if listed else [])])


def _times(studies: Sequence[Study], runner: Runner) -> str:
    rows, whole, alone = [], 0.0, 0.0
    for study in studies:
        found = [time for step in study.steps_of(runner.quick) if (time := runner.time_of(step)) is not None]
        if not study.cifar10:
            whole += sum(time.seconds or 0.0 for time in found)
        alone += sum(time.one_by_one or 0.0 for time in found if time.seconds is not None and not study.cifar10)
        rows += [_time_row(time) for time in found[:_SHOWN]]
        if rest := found[_SHOWN:]:
            seconds = sum(time.seconds or 0.0 for time in rest)
            rows.append(
                f"| and {len(rest)} more like these | {sum(time.trials for time in rest)} | {minutes(seconds)} | |"
            )
    return "\n".join([
        "## What it took", "",
        f"All but CIFAR-10 together {minutes(whole)}, whole commands from start to end, references, confirmations and reports "
        f"included. *Trial by trial* is what the training alone would take without stacks ({minutes(alone)} for those "
        "measured): the mean of 12 random trials of the study with `engine.cohort: off`, on the same machine with as many "
        "workers, times their number, divided by the workers. CIFAR-10's network trains trial by trial in any case.", "",
        "| command | trials | took | trial by trial |", "| --- | ---: | ---: | ---: |", *rows,
    ])  # fmt: skip


def _time_row(found: Time) -> str:
    took = "" if found.seconds is None else minutes(found.seconds)
    alone = "" if found.one_by_one is None else minutes(found.one_by_one)
    return f"| `{found.command}` | {found.trials or ''} | {took} | {alone} |"


def _anchor(study: Study) -> str:
    kept = [letter for letter in study.title.lower() if letter.isalnum() or letter in " -_"]
    return "".join(kept).replace(" ", "-")
