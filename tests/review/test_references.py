"""What is said of references, in a table and in sentences."""

from __future__ import annotations

from hpo.ledger.study.references import ReferenceRecord, References, references_of
from hpo.review.references import compared, reference_lines, references_json


def found(kind: str = "binary", metric: str = "val_accuracy", **values: float) -> References:
    says = {"constant": "'no'"}
    models = {name: ReferenceRecord({metric: value}, 1.5, says.get(name, "")) for name, value in values.items()}
    return References("ab12", kind, models)


def lines(references: References | None, best: float | None, metric: str = "val_accuracy", goal: str = "maximize"):
    return reference_lines(compared(references, metric, goal, best), metric, best)


def test_a_table_with_the_best_first_and_nothing_more_where_all_are_beaten() -> None:
    assert lines(found(constant=0.6, linear=0.85, random_forest=0.9), 0.94) == [
        "references: val_accuracy of scikit-learn's models, with their defaults, on the same split",
        "  random forest        0.9",
        "  logistic regression  0.85",
        "  majority class       0.6",
    ]


def test_one_that_is_not_beaten_is_said_aloud() -> None:
    said = lines(found(constant=0.6, linear=0.94, random_forest=0.95), 0.94)
    assert [line.endswith("not beaten") for line in said[1:4]] == [True, True, False]  # a tie beats nothing
    assert said[4:] == [
        "a linear model is as good: logistic regression with its defaults reaches 0.94, the best trial 0.94",
        "a random forest with its defaults reaches 0.95: the best trial, 0.94, does not beat it",
    ]


def test_a_better_linear_model_is_said_whatever_else_is_better() -> None:
    said = lines(found(constant=0.6, linear=0.97, gradient_boosting=0.98), 0.9)
    assert said[4:] == [
        "a linear model is better: logistic regression with its defaults reaches 0.97, the best trial 0.9",
        "gradient boosting with its defaults reaches 0.98: the best trial, 0.9, does not beat it",
    ]


def test_no_better_than_a_constant() -> None:
    said = lines(found(constant=0.83, linear=0.83, gradient_boosting=0.8), 0.83)
    assert said[4:] == ["the best trial, 0.83, is no better than always saying 'no'"]
    said = lines(found(constant=0.83, gradient_boosting=0.9), 0.8)
    assert said[3:] == [
        "the best trial, 0.8, is no better than always saying 'no'",
        "gradient boosting with its defaults reaches 0.9: the best trial, 0.8, does not beat it",
    ]


def test_lower_may_be_better() -> None:
    said = lines(found("regression", "val_rmse", constant=9.0, linear=4.5), 5.0, "val_rmse", "minimize")
    assert said[1:] == [
        "  ridge regression  4.5   not beaten",
        "  mean              9",
        "a linear model is better: ridge regression with its defaults reaches 4.5, the best trial 5",
    ]


def test_nothing_to_compare() -> None:
    assert lines(None, 0.9) == []
    assert lines(found(linear=0.9), None) == []
    assert lines(found(linear=0.9), 0.9, "val_loss", "minimize") == []


def test_for_scripts() -> None:
    references = found(constant=0.6, linear=0.95)
    rows = compared(references, "val_accuracy", "maximize", 0.9)
    assert references_json(references, rows, 0.9) == {
        "models": {"constant": {"val_accuracy": 0.6}, "linear": {"val_accuracy": 0.95}},
        "not_beaten": ["linear"],
        "says": ["a linear model is better: logistic regression with its defaults reaches 0.95, the best trial 0.9"],
    }
    assert references_json(None, [], 0.9) is None


def test_what_the_study_keeps_is_what_was_found() -> None:
    references = found(constant=0.6, linear=0.95)
    assert references_of({"references": references.attribute()}) == references
    assert references_of({}) is None
