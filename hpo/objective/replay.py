"""A trial trained again exactly as it was: in the stack that it trained in, among the same others.

Rounding depends on the stack: on which kernels serve for all of its members, and on where in the memory each of them
lies. So what is to be equal bit for bit trains in the same company, each member as long as it stayed then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hpo.events import Beside, Channel, Decision, Diverged, Event, Finished, Reported, Stopped, TrialSpec
from hpo.training.epochs import Trainee, train_epochs


def members(trial: TrialSpec, beside: Beside) -> list[TrialSpec]:
    """Return all that are to be in the stack, in their order, and with their places as numbers."""
    others = list(beside.trials)
    together = [*others[: beside.place], replace(trial, checkpoint=""), *others[beside.place :]]
    return [replace(each, number=place) for place, each in enumerate(together)]


def train_beside(stack: Trainee, number: int, beside: Beside, channel: Channel) -> None:
    """Train a stack of `members` until the trial itself has ended and its runs' models have their weights; the channel
    hears of nothing else.

    number: the trial's own. What the channel raises passes. Raises what training raises.
    """
    place = beside.place
    until = {index + (index >= place): epoch for index, epoch in beside.until.items()}
    training = train_epochs(stack)
    decisions: Mapping[int, Decision] | None = None
    while True:
        events = training.send(decisions)
        decided = {
            event.number: Decision.STOP
            for event in events
            if isinstance(event, Reported) and event.step >= until.get(event.number, event.step + 1)
        }
        for event in events:
            if event.number == place:
                answer = channel.exchange([_own(event, number)])
                if not isinstance(event, Reported):
                    stack.leave([place])
                    return
                decided[place] = answer.get(number, Decision.CONTINUE)
        decisions = decided


def _own(event: Event, number: int) -> Event:
    """Return an event of the trial under its own number, without the places, which are no trials."""
    event = replace(event, number=number)
    if isinstance(event, Finished | Stopped | Diverged):
        info = {key: fact for key, fact in event.info.items() if key != "stack"}
        return replace(event, info=info)
    return event
