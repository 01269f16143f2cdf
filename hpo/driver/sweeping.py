"""A checked sweep in its study, from the first look at the home to the end: what `hpo sweep` and `hpo.run` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hpo.driver.loop import Driver, run_to_end
from hpo.engines.make import make_engine
from hpo.forking import ForkServer
from hpo.ledger.ledger import Ledger
from hpo.ledger.mirror.reach import refuse_unusable
from hpo.ledger.sharing.ownership import refuse_join
from hpo.ledger.study.home import Home
from hpo.ledger.succession import begin_successor, choose_study
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep
from hpo.standing import Standing, SweepListener


@dataclass(frozen=True)
class ReadySweep:
    """A sweep that has its study to itself, or shares it on purpose, and has not begun.

    sweep: by the name of its study, which may be a successor's, with the budget that this goes on to.
    notes: what there is to say of that. server: what its workers will be forks of, if it begins before them.
    """

    sweep: Sweep
    notes: tuple[str, ...]
    home: Home
    ledger: Ledger
    server: ForkServer | None = None

    def run(self, listener: SweepListener) -> Standing:
        """Run it to its end. Call it once.

        Raises UserError if the objective can't run at all. An engine that fails later ends the sweep: the reason is in
        the standing's `error`.
        """
        for note in self.notes:
            listener.note(note)
        logs, number = self.home.logs / self.sweep.name, self.ledger.membership.number
        if self.ledger.membership.joined:
            logs /= f"driver-{number}"
        driver = Driver(self.sweep, self.ledger, make_engine(self.sweep, logs, self.server), listener)
        return run_to_end(driver, self.sweep.source)


@contextmanager
def opened(
    sweep: Sweep, home: Home, extend: int | None = None, join: bool = False, server: ForkServer | None = None
) -> Iterator[ReadySweep]:
    """Take the study of a sweep, and give it back at the end of the block, however that ends.

    extend: so many trials more than the study has, in place of the sweep's budget. join: share it with other drivers.
    server: of `ready_server`.
    Raises UserError with the reason if the study can't be had, or if the home can't be used.
    """
    if join:
        refuse_join(home.storage)
        if sweep.traits.define_by_run:
            raise UserError(
                f"{sweep.source}: with --join the space must be known beforehand, but its objective asks for it while "
                f"it runs: add parameters: ..., or run one driver, with more workers"
            )
    refuse_unusable(home)
    home.prepare()
    choice = choose_study(sweep, home)
    notes = begin_successor(choice, home)
    ledger = Ledger(choice.sweep, home, join=join, storage=choice.storage)
    try:
        resumes = extend is not None and ledger.extend(extend)
        sweep, membership = ledger.sweep, ledger.membership
        notes = [*sweep.notes, *notes]
        if ledger.continued:
            notes.append(f"going on with study {sweep.name!r}: {ledger.done} of {sweep.budget.trials} trials are done")
        if resumes:
            notes.append(f"the study was extended by {extend} trials before, and is not there yet: that goes on")
        notes += membership.take_notes()
        if join:
            notes.append(f"this is driver {membership.number} of study {sweep.name!r}")
        yield ReadySweep(sweep, tuple(notes), home, ledger, server)
    finally:
        ledger.abandon()
