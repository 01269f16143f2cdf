"""One way to split rows into train, validation and test, for every tabular source.

The split comes first; whatever is fitted (scaling, filling, encoding) is fitted on the training rows only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import RESAMPLED, Known
from hpo.spec.faults import Fault, UserError
from hpo.training.cuts import Cut, Fold, Reshuffle
from hpo.training.data.scale import FittedScale
from hpo.training.task import Kind, Split, Splits

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

MINIMUM_ROWS = 10  # two in each split at the default shares
MINIMUM_ROWS_PER_CLASS = 3  # one in each split
STRATIFIED, RANDOM = "stratified", "random"
_SEEDS = 2**32  # of NumPy's RandomState
_COARSE = 30  # rows of a split, see `small_splits`

SPLIT_OPTIONS: dict[str, Known] = {
    "validation": Known("float", 0.2, "share of the rows to validate on", within="(0, 1)"),
    "test": Known(
        "float", 0.2, "share of the rows kept for the final test; 0: none, so none can judge a winner", within="[0, 1)"
    ),
    "split": Known(
        "choice",
        STRATIFIED,
        "stratified: each class in its own share, at random; random: the rows that scikit-learn's train_test_split "
        "draws with random_state=split_seed, first those for the test, then as many to validate on",
        choices=(STRATIFIED, RANDOM),
    ),
    "split_seed": Known("int", 0, "seed of the split; the same for all trials", within="[0, inf)"),
    "resample": Known(
        "choice",
        "holdout",
        "kfold: train a trial on all but each of the folds; reshuffle: a new split for each trial",
        choices=("holdout", *RESAMPLED),
    ),
    "folds": Known("int", 5, "folds of kfold", within="[2, 100]"),
}


SCALE_OPTIONS: dict[str, Known] = {
    "scale": Known("bool", True, "whether features are standardised by the training rows; false: as they are"),
}


def check_shares(data: Mapping[str, Any]) -> list[Fault]:
    """Return a fault if the shares of `data` (each a number in [0, 1), defaults 0.2) leave nothing to train on, one if
    its seed can draw no random split, and one for each key that means nothing beside `resample`."""
    kfold = data.get("resample") == "kfold"
    if "folds" in data and not kfold:
        return [Fault("'folds' belongs to resample: kfold", ("folds",), remedy="add resample: kfold")]
    if "validation" in data and kfold:
        message = "'validation' means nothing beside resample: kfold, where each fold validates in turn"
        return [Fault(message, ("validation",), remedy="say how many with folds: 5")]
    seed = data.get("split_seed", 0)
    if data.get("split") == RANDOM and not SPLIT_OPTIONS["split_seed"].objection(seed) and seed >= _SEEDS:
        told = f"must be below {_SEEDS} with split: random, as for train_test_split, but got {seed}"
        return [Fault(told, ("split_seed",))]
    shares = {name: data.get(name, SPLIT_OPTIONS[name].default) for name in ("validation", "test")}
    if any(SPLIT_OPTIONS[name].objection(share) for name, share in shares.items()) or sum(shares.values()) < 1:
        return []
    told = " and ".join(f"{name}={share}" for name, share in shares.items())
    return [Fault(f"validation + test must be below 1, but got {told}", ("validation",), remedy="try 0.2 each")]


def split_indices(
    y: NDArray[Any],
    kind: Kind,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    cut: Cut | None = None,
    split: str = STRATIFIED,
    names: Sequence[str] = (),
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the row numbers of train, validation and test: disjoint, in file order, fixed by `seed` and `cut`.

    cut: how the rows that are not for the test are cut; None: once for all trials. The test rows are the same always.
    split: `stratified` or `random`, see SPLIT_OPTIONS.
    names: what classes 0, 1, ... are called in messages; (): by their numbers.
    y: [N] targets. Classes (any kind but regression) are shared out one by one, so that each is in every split in
    about its own share; scikit-learn's stratified split would let a class of three rows miss one.
    Raises UserError if a class (or, in regression, the whole) has fewer than three rows, or fewer than there are folds,
    or if a random split leaves a class without rows to train or to validate on.
    """
    generator = np.random.default_rng(seed)
    whole = split == RANDOM or kind == "regression"

    def named(code: Any) -> str:
        return f"class {names[int(code)] if names else format(code, 'g')}"

    groups = [np.arange(len(y))] if whole else [np.flatnonzero(y == label) for label in np.unique(y)]
    anew = np.random.default_rng(cut.seed) if isinstance(cut, Reshuffle) else None
    parts: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    dealt = 0  # rows of the groups before: the folds that get one more differ from group to group
    for group in groups:
        rows = len(group)
        what = "the data" if whole else named(y[group[0]])
        if rows < MINIMUM_ROWS_PER_CLASS:
            splits = "three splits need" if test else "training and validation need"
            raise UserError(f"{splits} at least {MINIMUM_ROWS_PER_CLASS} rows, but {what} has {rows}")
        validating, testing = shared_out(rows, validation, test, split)
        mixed = drawn_as_by_scikit_learn(rows, validating, testing, seed) if split == RANDOM else None
        mixed = generator.permutation(group) if mixed is None else mixed
        training, kept = mixed[: rows - testing], mixed[rows - testing :]
        if anew is not None:
            training = anew.permutation(training)
        validates = np.arange(len(training)) >= rows - validating - testing
        if isinstance(cut, Fold):
            if len(training) < cut.of:
                raise UserError(
                    f"{cut.of} folds need at least {cut.of} rows besides the test rows, but {what} has {len(training)} "
                    "(fewer folds: data.folds)"
                )
            validates = (dealt + np.arange(len(training))) % cut.of == cut.index
            dealt += len(training)
        for part, chosen in zip(parts, (training[~validates], training[validates], kept), strict=True):
            part.append(chosen)
    train, validate, final = (np.sort(np.concatenate(part)) for part in parts)
    if kind != "regression":  # only a random split, or a cut of one, can lack a class
        needed = [("train", train), *([("validate", validate)] if cut is None else [])]
        for what, rows_of in needed:
            if len(lacking := np.setdiff1d(y, y[rows_of])):
                raise UserError(
                    f"the random split leaves {named(lacking[0])} no row to {what} on "
                    "(each class is in every split with data.split: stratified)"
                )
    return train, validate, final


def drawn_as_by_scikit_learn(rows: int, validating: int, testing: int, seed: int) -> NDArray[np.intp]:
    """Return all rows: those to train on, those to validate on, those to test on, as two calls of train_test_split
    draw them, the first of which takes the test rows.

    Such a call shuffles the rows by NumPy's RandomState and takes the first (scikit-learn 1.9, ShuffleSplit). Done by
    hand, since to load scikit-learn takes a second; a test compares.
    """
    training, kept = np.arange(rows), np.arange(0)
    if testing:
        mixed = np.random.RandomState(seed).permutation(rows)
        kept, training = mixed[:testing], mixed[testing:]
    mixed = training[np.random.RandomState(seed).permutation(len(training))]
    return np.concatenate([mixed[validating:], mixed[:validating], kept])


def shared_out(rows: int, validation: float, test: float, split: str = STRATIFIED) -> tuple[int, int]:
    """Return how many of three or more rows are for validation and for test. The others are for training."""
    whole = math.ceil if split == RANDOM else round  # as train_test_split does it
    validating = min(max(1, whole(rows * validation)), rows - 2)
    return validating, min(max(1, whole(rows * test)), rows - validating - 1) if test else 0


def to_split(x: NDArray[Any], y: NDArray[Any], kind: Kind, weight: NDArray[Any] | None = None) -> Split:
    """Return rows as tensors: x as float32, y as int64 for multiclass, else as float32, weights as float32."""
    target = np.asarray(y, dtype=np.int64 if kind == "multiclass" else np.float32)
    weights = None if weight is None else torch.from_numpy(np.array(weight, dtype=np.float32))
    return Split(torch.from_numpy(np.array(x, dtype=np.float32)), torch.from_numpy(np.array(target)), weights)


def how_drawn(split: str, kind: Kind, seed: int) -> str:
    """Return how rows are drawn, as it stands in a sentence. split: `stratified` or `random`."""
    how = "at random" if kind == "regression" else "at random within each class"
    how = "as scikit-learn's train_test_split draws them" if split == RANDOM else how
    return f"{how} (seed {seed})"


def split_note(sizes: tuple[int, int, int], how: str, cut: Cut | None = None) -> str:
    """Return the sentence that tells how rows were split. how: as of `how_drawn`."""
    if isinstance(cut, Fold):
        rows = sizes[0] + sizes[1]
        text = f"{rows} rows in {cut.of} folds, on all but each of which a trial trains, and {sizes[2]} test rows"
        return f"{text}, {how}; what follows is of fold {cut.index + 1}"
    return "split {} for training, {} validation and {} test rows {}".format(*sizes, how)


def small_splits(validating: int, testing: int, kind: Kind, cut: Cut | None = None) -> list[str]:
    """Return warnings of splits with so few rows that what is measured on them is coarse.

    validating: the rows that a trial is measured on, of all folds together. testing: 0, if there are none. Fewer than
    30 are told: there one standard error of an accuracy p, the root of p (1 - p) / rows, may be 9 points and more.
    """
    remedy = "more rows, a larger share of them, or resample: kfold" if cut is None else "more rows"
    return [
        *_small(validating, "validation", kind, remedy),
        *_small(testing, "test", kind, "more rows, or a larger share"),
    ]


def _small(rows: int, name: str, kind: Kind, remedy: str) -> list[str]:
    if not 0 < rows < _COARSE:
        return []
    share = f"{100 / rows:.2g}" if rows > 1 else "100"
    worth = f"one row is {share} points of accuracy, its standard error up to {50 / math.sqrt(rows):.0f}"
    if kind == "regression":
        worth = f"one row is {share}% of each mean"
    return [f"warning: only {rows} {name} row{'s' if rows > 1 else ''}: {worth} (remedy: {remedy})"]


def split_arrays(
    x: NDArray[Any],
    y: NDArray[Any],
    kind: Kind,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    cut: Cut | None = None,
    split: str = STRATIFIED,
    scale: bool = True,
) -> Splits:
    """Split numbers, then standardise the features by the training rows.

    x: [N, features], finite. y: [N]; for binary 0 or 1, for multiclass 0 to C-1. validation, test: shares of the rows.
    cut: as the task's `splits` was given it; None: one split for all trials.
    split: `stratified` or `random`, see SPLIT_OPTIONS. scale: false leaves the features as they are.
    Raises UserError if there are too few rows.
    """
    parts = split_indices(y, kind, validation, test, seed, cut, split)
    fitted = FittedScale.fit(x[parts[0]]) if scale else FittedScale.none(x.shape[1])
    train, validate, final = (to_split(fitted.apply(x[rows]), y[rows], kind) for rows in parts)
    sizes = len(train), len(validate), len(final)
    measured = sizes[1] + (sizes[0] if isinstance(cut, Fold) else 0)
    notes = (
        split_note(sizes, how_drawn(split, kind, seed), cut),
        f"{x.shape[1]} features, {'standardised by the training rows' if scale else 'as they are'}",
        *small_splits(measured, sizes[2], kind, cut),
    )
    outputs = len(np.unique(y)) if kind == "multiclass" else 1
    return Splits(train, validate, final, outputs, notes, preprocessing=fitted)
