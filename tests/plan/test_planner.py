from __future__ import annotations

from hpo.plan.planner import MOST, Opening, Planner, largest, opening


def planner(most: int | None = None, workers: int = 2, open_trials: int = 64) -> Planner[int]:
    return Planner(most, workers, Opening(open_trials, open_trials))


def filled(*shapes: str, **settings: int | None) -> Planner[int]:
    plan = planner(**settings)  # type: ignore[arg-type]
    for item, shape in enumerate(shapes):
        plan.add(shape, item, new=True)
    return plan


def test_without_cohorts_each_idle_worker_gets_one_trial() -> None:
    plan = planner(most=1, workers=3)
    wanted = [plan.wanted(idle, running, ended=100) for idle, running in ((3, 0), (1, 2), (0, 3))]
    assert wanted == [3, 1, 0]
    for item in range(3):
        plan.add("a", item, new=True)
    assert plan.take(2) == [[0], [1]] and plan.take(1) == [[2]] and plan.take(1) == []


def test_asks_until_as_many_are_open_as_may_be() -> None:
    plan = planner(open_trials=64)
    assert plan.wanted(idle=2, running=0, ended=0) == 64
    plan.add("a", 0, new=True)
    assert plan.wanted(idle=1, running=32, ended=0) == 31


def test_an_idle_worker_always_gets_something() -> None:
    assert planner(open_trials=8).wanted(idle=1, running=20, ended=0) == 1


def test_one_shape_is_split_between_the_idle_workers() -> None:
    assert filled(*"aaaaa").take(2) == [[0, 1, 2], [3, 4]]


def test_an_idle_worker_leaves_the_busy_ones_their_share() -> None:
    """Else one worker would train nearly all that may be open, and the others a trial at a time."""
    plan = Planner[int](None, 3, opening("tpe", None, workers=3))
    assert plan.wanted(idle=1, running=0, ended=480) == 60
    for item in range(60):
        plan.add("a", item, new=True)
    assert plan.take(1, ended=480) == [[*range(20)]]
    assert plan.take(2, ended=480) == [[*range(20, 40)], [*range(40, 60)]]


def test_the_largest_group_goes_first() -> None:
    plan = filled(*"abbbcc")
    assert plan.take(1) == [[1, 2, 3]]
    assert plan.take(1) == [[4, 5]]


def test_groups_are_of_one_shape_and_hold_each_trial_once() -> None:
    shapes = "abcabcaabbcd" * 5
    plan = filled(*shapes, most=4)
    groups = [group for _ in range(100) for group in plan.take(2)]
    assert all(len({shapes[item] for item in group}) == 1 and len(group) <= 4 for group in groups)
    assert sorted(item for group in groups for item in group) == list(range(len(shapes)))
    assert len(plan) == 0


def test_no_trial_waits_for_ever() -> None:
    plan = filled("rare")
    for turn in range(100):
        plan.add("common", 2 * turn + 1, new=True)
        plan.add("common", 2 * turn + 2, new=True)
        if [0] in plan.take(1):
            break
    assert 1 < turn < 20


def test_urgent_trials_go_first() -> None:
    plan = filled(*"aaaa")
    plan.add("baseline", 9, new=True, urgent=True)
    assert plan.take(1) == [[9]]


def test_a_limit_that_a_worker_found_holds() -> None:
    plan = filled(*"aaaabb")
    plan.limit("a", 2)
    plan.limit("a", 3)  # the smallest counts
    assert [plan.take(1), plan.take(1), plan.take(1)] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert len(filled(*"a" * 500, workers=1, open_trials=500).take(1)[0]) == MOST


def test_trials_that_came_back_stay_when_new_ones_are_dropped() -> None:
    plan = filled(*"aab")
    plan.add("a", 7, new=False)
    assert (len(plan), plan.new) == (4, 3)
    plan.drop_new()
    assert (len(plan), plan.new, plan.take(2)) == (1, 0, [[7]])


def test_how_many_are_open() -> None:
    assert [opening("random", most=None, workers=2).at(ended) for ended in (0, 1000)] == [2 * MOST] * 2
    assert [opening("tpe", most=5, workers=2).at(ended) for ended in (0, 1000)] == [10] * 2
    learning = opening("tpe", most=None, workers=2)
    assert [learning.at(ended) for ended in (0, 100, 400, 10**6)] == [16, 16, 50, 2 * MOST]
    assert opening("tpe", most=None, workers=40).at(0) == 40


def test_methods_that_do_not_learn_have_a_cohort_of_each_shape_open() -> None:
    assert opening("random", most=None, workers=2, shapes=1).at(0) == 2 * MOST
    assert opening("random", most=None, workers=2, shapes=9).at(0) == 9 * MOST
    assert opening("random", most=10, workers=2, shapes=9).at(0) == 90
    assert opening("random", most=None, workers=2, shapes=None).at(0) == 16 * MOST  # without bound
    assert opening("random", most=None, workers=40, shapes=None).at(0) == 40 * MOST
    assert opening("tpe", most=None, workers=2, shapes=9).at(0) == 16


def test_how_many_of_a_shape_are_asked_for_together() -> None:
    plan = Planner[int](None, 2, opening("tpe", None, workers=2))
    assert [plan.group("a", idle=2, ended=ended) for ended in (0, 1, 400)] == [4, 8, 25]
    plan.limit("a", 3)
    assert (plan.group("a", 2, 1), plan.group("b", 2, 1)) == (3, 8)
    assert Planner[int](4, 2, opening("tpe", 4, workers=2)).group("a", 2, 1) == 4


def test_trials_of_several_members_fill_a_stack_sooner() -> None:
    assert (largest(1), largest(5), largest(1000)) == (MOST, MOST // 5, 1)
    assert opening("random", most=None, workers=2, members=5).at(0) == 2 * (MOST // 5)
    assert opening("tpe", most=None, workers=2, members=40).at(0) == 2 * (MOST // 40)
    assert opening("tpe", most=7, workers=2, members=40).at(0) == 14  # the user counts trials
    plan: Planner[int] = Planner(None, 1, opening("random", None, 1, 5), members=5)
    for number in range(60):
        plan.add("a", number, new=True)
    assert len(plan.take(1)[0]) == MOST // 5
