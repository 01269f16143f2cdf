"""Limits of time, in simulated time."""

from __future__ import annotations

from hpo.driver.watchdog import Overdue, Watchdog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def watchdog(trial: float | None = None, stall: float | None = None) -> tuple[Watchdog, Clock]:
    clock = Clock()
    return Watchdog(trial, stall, clock), clock


def test_without_limits_nothing_is_overdue() -> None:
    dog, clock = watchdog()
    dog.begin(1, [7])
    clock.now = 1e9
    assert dog.overdue() == []


def test_a_trial_is_told_first_and_killed_if_it_does_not_obey() -> None:
    dog, clock = watchdog(trial=10)
    dog.begin(1, [7])
    clock.now = 10
    assert dog.overdue() == []
    clock.now = 10.1
    reason = "longer than budget.trial_seconds=10"
    assert dog.overdue() == [Overdue(1, frozenset({7}), reason, kill=False)]
    assert dog.overdue() == []
    clock.now = 15.2
    assert dog.overdue() == [Overdue(1, frozenset({7}), reason, kill=True)]
    assert dog.overdue() == []


def test_a_trial_that_obeys_is_left_alone() -> None:
    dog, clock = watchdog(trial=10)
    dog.begin(1, [7])
    clock.now = 11
    assert len(dog.overdue()) == 1
    dog.heard(1, [7])
    clock.now = 100
    assert dog.overdue() == []


def test_a_cohort_has_the_time_of_its_members_and_is_killed() -> None:
    dog, clock = watchdog(trial=10)
    dog.begin(1, [1, 2, 3])
    clock.now = 25
    assert dog.overdue() == []
    dog.heard(1, [3])
    (overdue,) = dog.overdue()
    assert (overdue.numbers, overdue.kill, overdue.alone) == (frozenset({1, 2}), True, False)


def test_silence_is_what_stalls() -> None:
    dog, clock = watchdog(stall=30)
    dog.begin(1, [7])
    dog.begin(2, [8])
    for clock.now in (20, 40, 60):
        dog.heard(1, [])
        if clock.now == 40:
            assert [overdue.assignment for overdue in dog.overdue()] == [2]
    assert dog.overdue() == []
    dog.done(1)
    clock.now = 1000
    assert dog.overdue() == []


def look_until(dog: Watchdog, clock: Clock, end: float) -> list[Overdue]:
    """Look every second and a half, as a driver does that is busy; return what is overdue at `end`."""
    while clock.now + 1.5 < end:
        clock.now += 1.5
        assert dog.look() == []
    clock.now = end
    return dog.look()


def test_it_is_looked_now_and_then_only() -> None:
    dog, clock = watchdog(trial=10)
    dog.begin(1, [7])
    assert look_until(dog, clock, 9.9) == []
    clock.now = 10.05
    assert dog.look() == []  # too soon
    clock.now = 10.15
    assert [overdue.assignment for overdue in dog.look()] == [1]


def test_time_in_which_the_driver_stood_still_counts_against_nobody() -> None:
    dog, clock = watchdog(trial=10, stall=30)
    dog.begin(1, [7])
    assert look_until(dog, clock, 1.0) == []
    clock.now += 5000.0  # the laptop was closed
    assert dog.look() == []
    assert look_until(dog, clock, 5009.5) == []
    (overdue,) = look_until(dog, clock, 5010.5)
    assert not overdue.kill


def test_a_clock_that_is_set_back_keeps_nobody_from_being_stopped() -> None:
    dog, clock = watchdog(trial=10)
    dog.begin(1, [7])
    assert look_until(dog, clock, 1.0) == []
    clock.now -= 4000.0
    assert dog.look() == []
    assert look_until(dog, clock, -3990.5) == []
    assert len(look_until(dog, clock, -3989.5)) == 1
