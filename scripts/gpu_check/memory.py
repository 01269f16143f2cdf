"""How many members fit: what the probe says against what is used; and what becomes of a cohort that doesn't fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from gpu_check.common import Notes, Options, draw
from hpo.events import Assignment, Decision, Event, Failed, Reported, Returned, TrialSpec
from hpo.objective.torch_task import TorchObjective
from hpo.training.run import start
from hpo.training.stack import probe as probe_module
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.stack.probe import Gain, probe
from hpo.training.task import Splits
from objectives.binary import Binary

TASK = Binary()
WIDE = [1024, 1024]  # hidden layers, so that a few hundred members fill the memory that there is
LIMIT = 8 * 2**30  # bytes that this process may use


def run(options: Options, notes: Notes) -> None:
    """Measure and check, and note."""
    from gpu_check.speed import splits_on

    cuda = options.device_name == "cuda"
    splits = splits_on(options.device)
    widths = [32, 32] if options.quick else WIDE
    for size, hidden in ((8, [16]),) if options.quick else ((1024, [64, 32]), (4096, [64, 32]), (64, WIDE)):
        with notes.going_on(f"use of {size} of {hidden}"):
            trials = trials_of(size, hidden)
            say = probed(options, splits, trials)
            free = probe_module.free_memory(options.device)
            row = {"members": size, "hidden": str(hidden), "probe: KiB a member": free / say.most / 1024}
            row |= {"probe: pays": str(say.pays), "alone us": say.alone * 1e6, "stacked us": say.stacked * 1e6}
            for replay in (True, False):
                forget(cuda)
                before = torch.cuda.memory_allocated() if cuda else 0
                cohort = Cohort([start(TASK, splits, trial, options.device) for trial in trials], replay=replay)
                for _ in train_cohort(cohort):
                    pass
                if cuda:
                    name = "recorded" if replay else "as they are"
                    row[f"{name}: KiB a member"] = (torch.cuda.max_memory_allocated() - before) / size / 1024
                    row[f"{name}: KiB reserved"] = torch.cuda.max_memory_reserved() / size / 1024
                del cohort
            notes.row("Memory", row)
    forget(cuda)
    if cuda:
        limited(options)
    with notes.going_on("as many as the probe says"):
        most = min(probed(options, splits, trials_of(8, widths)).most, 12 if options.quick else 2000)
        cohort = Cohort([start(TASK, splits, trial, options.device) for trial in trials_of(most, widths)])
        ends = [event for events in train_cohort(cohort) for event in events if not isinstance(event, Reported)]
        del cohort
        assert len(ends) == most
        used = torch.cuda.max_memory_reserved() / 2**30 if cuda else 0.0
        notes.row("As many as the probe says", {"members": most, "GiB used": used, "GiB allowed": LIMIT / 2**30})
    forget(cuda)
    with notes.going_on("a cohort that doesn't fit"):
        split(options, notes, 16 if options.quick else 500, widths)
    notes.raise_failed()


def probed(options: Options, splits: Splits, trials: Sequence[TrialSpec]) -> Gain:
    """Return what a worker would find out before it trains these trials as a stack."""
    return probe([partial(start, TASK, splits, trial, options.device) for trial in trials], options.device)


def trials_of(count: int, hidden: Sequence[int]) -> list[TrialSpec]:
    """Return trials of one shape, of three epochs."""
    return [
        TrialSpec(trial.number, {**trial.params, "hidden_layers": list(hidden)}, trial.seed, 3) for trial in draw(count)
    ]


def forget(cuda: bool) -> None:
    """Give all memory back."""
    import gc

    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def limited(options: Options) -> None:
    """Let this process have LIMIT bytes, and the probe think so."""
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(LIMIT / total)
    probe_module.free_memory = lambda device: LIMIT // 2  # type: ignore[assignment]


class Driver:
    """Takes a worker's events; gives what comes back out again, in stacks as small as it is told."""

    def __init__(self) -> None:
        self.ends: dict[int, Event] = {}
        self.reports: dict[int, int] = {}
        self.returned: list[Returned] = []

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        for event in events:
            if isinstance(event, Reported):
                self.reports[event.number] = event.step
            elif isinstance(event, Returned):
                self.returned.append(event)
            else:
                assert event.number not in self.ends, f"trial {event.number} ended twice"
                self.ends[event.number] = event
        return {event.number: Decision.CONTINUE for event in events if isinstance(event, Reported)}

    def attach(self, number: int, name: str, path: str) -> None:
        pass

    def refer(self, measured: Any) -> None:
        pass


def split(options: Options, notes: Notes, count: int, hidden: Sequence[int]) -> None:
    """Give a worker more than fits, and a probe that promises too much; see that each trial ends once, and well."""
    probe_module.free_memory = lambda device: 2**50  # type: ignore[assignment]
    objective, driver = TorchObjective(TASK, {"source": "synthetic"}), Driver()
    trials = {trial.number: trial for trial in trials_of(count, hidden)}
    waiting, assignments, sizes = [list(trials)], 0, []
    while waiting:
        numbers = waiting.pop(0)
        driver.returned.clear()
        objective.run(Assignment(assignments, tuple(trials[number] for number in numbers), measured=False), driver)
        assignments += 1
        sizes.append(len(numbers))
        if driver.returned:
            back, most = [event.number for event in driver.returned], max(1, driver.returned[0].at_most)
            waiting += [back[at : at + most] for at in range(0, len(back), most)]
        assert assignments < 200, "it never fits"
    kinds: dict[str, int] = {}
    for end in driver.ends.values():
        kinds[type(end).__name__] = kinds.get(type(end).__name__, 0) + 1
    notes.row("A cohort that doesn't fit", {"trials": count, "assignments": str(sizes), **kinds})
    assert driver.ends.keys() == trials.keys(), "a trial was lost"
    assert not any(isinstance(end, Failed) for end in driver.ends.values()), "a trial failed"
