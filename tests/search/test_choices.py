"""Choices that are different in the sweep file are different wherever they are kept, drawn and read back."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import optuna
import pytest
from grids import grid_of
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from hpo.search.candidates import Candidates
from hpo.search.distributions import decode_params, encoded, kept_otherwise, searched_params
from hpo.search.searcher import Searcher
from hpo.spec.choices import quoted_parameters, text_of
from hpo.spec.conditions import identity_of, same
from hpo.spec.methods import METHODS
from hpo.spec.space import Categorical, Parameter, Space

from .support import history_of, play, space_of, sweep_of

LISTS: tuple[tuple[Any, ...], ...] = (
    (True, "true", 1, "1"),
    (False, 0, "false", "0", "False"),
    ([128], "[128]"),
    ([128], "[128]", '"[128]"', '"\\"[128]\\""'),
    (1, "1", 2.5, "2.5"),
    (None, "null", "None", ""),
    ("a", ["a"], '["a"]', '"a"'),
    ({"a": 1}, '{"a": 1}', {"a": True}, {"a": [1]}, {"a": ["1"]}),
    (0.1, "0.1", 1e-7, "1e-07"),
    ([True], [1], "[1]", "[true]", [[1]], "[[1]]"),
    (True, "true", 1, '"true"', '"1"'),
    ("x", '"x"', "'x'", " x"),
    ([], {}, "[]", "{}", None),
    (2**53, 2**53 + 1, float(2**54), str(2**53)),
    ("ä", '"\\u00e4"', ["ä"], '["\\u00e4"]'),
)
FAST = sorted(METHODS.keys() - {"grid", "gp"})


def space(values: tuple[Any, ...]) -> Space:
    return space_of(Parameter("p", Categorical(values)), Parameter("q", Categorical(("u", "v"))))


def names(values: Any) -> list[str]:
    """What tells values apart by type, too: 1 is not 1.0 here."""
    return [json.dumps(value, sort_keys=True) for value in values]


@pytest.fixture(scope="module", params=["journal", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BaseStorage:
    folder = tmp_path_factory.mktemp("storage")
    if request.param == "journal":
        return JournalStorage(JournalFileBackend(str(folder / "journal")))
    return RDBStorage(f"sqlite:///{folder}/study.db")


@pytest.mark.parametrize("values", LISTS, ids=str)
def test_a_choice_comes_back_from_a_study_as_it_was(values: tuple[Any, ...], storage: BaseStorage) -> None:
    study = optuna.create_study(storage=storage)
    for value in values:
        params, distributions = searched_params(space(values), {"p": value, "q": "u"})
        study.add_trial(create_trial(params=params, distributions=distributions, value=0.0))
    kept = optuna.load_study(study_name=study.study_name, storage=storage).trials
    assert names(decode_params(space(values), trial.params)["p"] for trial in kept) == names(values)
    choices = kept[0].distributions["p"]
    assert isinstance(choices, CategoricalDistribution)
    assert [choices.to_internal_repr(trial.params["p"]) for trial in kept] == list(range(len(values)))
    assert kept_otherwise(space(values), kept[0].distributions) == []


@pytest.mark.parametrize("values", LISTS, ids=str)
def test_all_choices_are_found_by_themselves_only(values: tuple[Any, ...]) -> None:
    domain = Categorical(values)
    assert [domain.place_of(value) for value in values] == list(range(len(values)))
    for left in values:
        for right in values:
            assert same(left, right) == (left is right) == (identity_of(left) == identity_of(right))


@pytest.mark.parametrize("method", FAST)
def test_each_is_drawn(method: str) -> None:
    several = space_of(*(Parameter(f"p{index}", Categorical(values)) for index, values in enumerate(LISTS)))
    searcher = Searcher(sweep_of(several, method, duplicates="replicate"))
    seen: dict[str, set[str]] = {parameter.name: set() for parameter in several.parameters}
    for params in play(searcher, 150, lambda params: float(len(str(params)))):
        for name, value in params.items():
            seen[name].add(json.dumps(value, sort_keys=True))
    for parameter in several.parameters:
        assert isinstance(parameter.domain, Categorical)
        assert seen[parameter.name] == set(names(parameter.domain.values)), parameter.name


@pytest.mark.parametrize("values", LISTS, ids=str)
def test_a_grid_that_goes_on_trains_each_once(values: tuple[Any, ...]) -> None:
    sweep = sweep_of(space(values), "grid")
    begun = play(Searcher(sweep), len(values))
    rest = play(Searcher(sweep, history_of(sweep.space, begun)), 100)
    trained = Counter(map(identity_of, [*begun, *rest]))
    assert trained == Counter(map(identity_of, grid_of(sweep.space)))
    assert len(trained) == 2 * len(values)


@pytest.mark.parametrize("values", LISTS, ids=str)
def test_baselines_are_told_apart(values: tuple[Any, ...]) -> None:
    baselines = [{"p": value, "q": "u"} for value in values]
    sweep = sweep_of(space(values), baselines=baselines)
    params, distributions = searched_params(sweep.space, baselines[0])
    tried = create_trial(params=params, distributions=distributions, value=0.0)
    candidates = Candidates(sweep, [tried], 0)
    left = [candidates.given() for _ in values[1:]]
    assert names(left) == names(baselines[1:]) and candidates.given() is None
    assert [sweep.is_baseline({"p": value, "q": "v"}) for value in values] == [False] * len(values)


def test_what_does_not_collide_is_kept_as_ever() -> None:
    """Studies that were begun before choices were told apart go on as they are."""
    pairs: list[tuple[tuple[Any, ...], list[Any]]] = [
        (("a", "true", "1"), ["a", "true", "1"]),
        ((True, False), [True, False]),
        ((True, 1, "a"), ["true", 1, "a"]),
        (([64, 32], [64]), ["[64, 32]", "[64]"]),
        ((None, "None", "null"), [None, "None", "null"]),
        ((1, "1", 2.5), [1, "1", 2.5]),
    ]
    for values, codes in pairs:
        assert names(encoded(Categorical(values))) == names(codes)


def test_what_collides_is_readable() -> None:
    assert encoded(Categorical((True, "true", 1, [1]))) == ["true", '"true"', "1", "[1]"]
    assert text_of("true") == text_of(True) == "true"
    both = space_of(Parameter("a", Categorical((True, "true"))), Parameter("b", Categorical((1, True, "x"))))
    assert quoted_parameters(both) == ["a"]


def test_a_trial_of_another_way_of_writing_is_seen() -> None:
    ours = space(([64], [32, 16]))
    trial = create_trial(
        params={"p": "[64.0]", "q": "u"},
        distributions={"p": CategoricalDistribution(["[64.0]", "[32, 16]"]), "q": CategoricalDistribution(["u", "v"])},
        value=0.0,
    )
    assert kept_otherwise(ours, trial.distributions) == ["p"]
