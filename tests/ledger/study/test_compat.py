"""Optuna's private names: there, and meaning what they are used for."""

from __future__ import annotations

import copy
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.ledger.study.compat import CachedStorage, HoldsTrials, JournalStudies, insert_trial, study_id_of, trial_id_of
from hpo.ledger.study.database import PatientStorage
from hpo.ledger.study.journal import SafeJournal


def open_storage(kind: str, folder: Path) -> BaseStorage:
    if kind == "journal":
        return JournalStudies(SafeJournal(str(folder / "studies.journal")))
    return CachedStorage(PatientStorage(f"sqlite:///{folder / 'studies.db'}"))


def ended(storage: BaseStorage) -> tuple[int, FrozenTrial]:
    """Return a study's id, and its only trial, which has ended, as the storage holds it."""
    study = optuna.create_study(storage=storage, study_name="s")
    trial = create_trial(
        value=1.0,
        params={"x": 2},
        distributions={"x": optuna.distributions.IntDistribution(0, 9)},
        user_attrs={"history": [1, 2, 3], "seed": 4},
        intermediate_values={1: 0.5},
    )
    study.add_trial(trial)
    (held,) = storage.get_all_trials(study_id_of(study), deepcopy=False)
    return study_id_of(study), held


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_a_storage_holds_what_it_is_given_in_the_place_of_a_trial(kind: str, tmp_path: Path) -> None:
    storage = open_storage(kind, tmp_path)
    assert isinstance(storage, HoldsTrials)
    study, held = ended(storage)
    before = copy.deepcopy(held)
    lighter = copy.copy(held)
    lighter.user_attrs = {"seed": 4}
    storage.hold(lighter)
    (found,) = storage.get_all_trials(study, deepcopy=False)
    assert found is lighter
    assert storage.get_trial(trial_id_of(held)).user_attrs == {"seed": 4}
    assert held == before  # what others may hold is as it was
    (stored,) = open_storage(kind, tmp_path).get_all_trials(study)
    assert stored.user_attrs == before.user_attrs  # nor is what is stored


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_a_trial_that_still_runs_is_left_as_it_is(kind: str, tmp_path: Path) -> None:
    storage = open_storage(kind, tmp_path)
    study, _ = ended(storage)
    running = storage.create_new_trial(study)
    (_, held) = storage.get_all_trials(study, deepcopy=False)
    settled = copy.copy(held)
    settled.state = TrialState.FAIL
    storage.hold(settled)
    storage.set_trial_user_attr(running, "outcome", "failed")
    storage.set_trial_state_values(running, TrialState.FAIL)
    assert storage.get_trial(running).user_attrs == {"outcome": "failed"}


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_a_trial_that_is_not_there_is_not_held(kind: str, tmp_path: Path) -> None:
    storage = open_storage(kind, tmp_path)
    _, held = ended(storage)
    other = copy.copy(held)
    other._trial_id = 99
    with pytest.raises(KeyError):
        storage.hold(other)


def test_a_journal_is_known_from_its_storage(tmp_path: Path) -> None:
    storage = open_storage("journal", tmp_path)
    assert isinstance(storage, JournalStudies)
    assert storage.journal is storage._backend


def test_a_cached_database_is_what_optuna_itself_would_use(tmp_path: Path) -> None:
    assert isinstance(open_storage("database", tmp_path), type(get_storage(f"sqlite:///{tmp_path / 'studies.db'}")))


def test_a_trial_is_inserted_with_its_number_and_id(tmp_path: Path) -> None:
    database = RDBStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    study, first = ended(database)
    made = insert_trial(database, study, create_trial(state=TrialState.RUNNING, user_attrs={"seed": 5}))
    assert (made.number, trial_id_of(made)) == (1, trial_id_of(first) + 1)
    assert database.get_trial(trial_id_of(made)).user_attrs == {"seed": 5}
    with pytest.raises(KeyError):
        insert_trial(database, study + 1, create_trial(state=TrialState.RUNNING))


def test_names_that_are_overridden_are_optunas(tmp_path: Path) -> None:
    for name in ("_create_new_trial", "_get_trials"):
        assert name in vars(RDBStorage)
        assert name in vars(PatientStorage)


def test_a_journals_trials_share_their_domains(tmp_path: Path) -> None:
    """Else each of many trials holds 0.4 MB of its own for 5,000 choices."""
    domain = optuna.distributions.CategoricalDistribution(tuple(f"word-{number}" for number in range(5000)))
    study = optuna.create_study(storage=open_storage("journal", tmp_path), study_name="s")
    for number in range(4):
        study.add_trial(create_trial(value=1.0, params={"w": f"word-{number}"}, distributions={"w": domain}))
    for storage in (study._storage, open_storage("journal", tmp_path)):  # as it was written, and as it is read
        held = storage.get_all_trials(study._study_id, deepcopy=False)
        assert len({id(trial.distributions["w"]) for trial in held}) == 1
        assert [trial.params["w"] for trial in held] == [f"word-{number}" for number in range(4)]
        assert held[0].distributions["w"] == domain
