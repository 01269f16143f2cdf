"""CSV files become splits: faults are found, nothing leaks out of validation and test, and notes say what was done."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.spec.faults import Fault, SpecError, UserError, render_fault
from hpo.training.data.splitting import split_arrays, split_indices
from hpo.training.data.tabular import MAX_CATEGORIES, check_csv, load_csv


def write(path: Path, header: str, rows: list[str], name: str = "table.csv") -> dict[str, Any]:
    file = path / name
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return {"csv": str(file), "target": "left"}


def people(count: int = 60, seed: int = 0) -> list[str]:
    """Rows of age (some missing), city, member, left (words)."""
    rng = random.Random(seed)
    rows = []
    for row in range(count):
        age = "" if row % 9 == 4 else str(rng.randint(18, 80))
        city = rng.choice(["Oslo", "Rome", "NA"])
        rows.append(f"{age},{city},{rng.choice(['True', 'false'])},{'no' if row % 3 else 'yes'}")
    return rows


HEADER = "age,city,member,left"


def only(faults: list[Fault]) -> Fault:
    assert len(faults) == 1, [render_fault(fault) for fault in faults]
    return faults[0]


def test_words_gaps_and_mixed_types(tmp_path: Path) -> None:
    splits = load_csv(write(tmp_path, HEADER, people()), "binary")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [36, 12, 12]
    # age, age's gaps, member, and city's Oslo, Rome and missing
    assert splits.train.x.shape == (36, 6)
    for part in (splits.train, splits.validation, splits.test):
        assert part.x.dtype == part.y.dtype == torch.float32
        assert part.x.isfinite().all()
        assert part.y.mean().item() == pytest.approx(1 / 3, abs=0.01)  # stratified; "yes", the second by letters, is 1
        assert (part.x[:, 3:].sum(dim=1) == 1).all()
    numbers = splits.train.x[:, :3]
    assert numbers.mean(dim=0).abs().max() < 1e-6
    assert torch.allclose(numbers.std(dim=0, correction=0), torch.ones(3), atol=1e-6)
    notes = "\n".join(splits.notes)
    assert "'no' is 0, 'yes' is 1" in notes
    assert "36 for training, 12 validation and 12 test rows" in notes
    assert (
        "median, standardised: age" in notes and "category: city" in notes and "1 or 0, standardised: member" in notes
    )


def test_the_same_file_gives_the_same_splits_and_another_seed_others(tmp_path: Path) -> None:
    data = write(tmp_path, HEADER, people())
    first, again, other = (load_csv(data | extra, "binary") for extra in ({}, {}, {"split_seed": 1}))
    assert torch.equal(first.test.x, again.test.x)
    assert not torch.equal(first.test.x, other.test.x)


def test_shares(tmp_path: Path) -> None:
    splits = load_csv(write(tmp_path, HEADER, people()) | {"validation": 0.1, "test": 0.3}, "binary")
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [36, 6, 18]


def test_nothing_leaks_from_the_other_splits(tmp_path: Path) -> None:
    """Whatever validation and test rows say, the training features stay the same."""
    rows = people()
    data = write(tmp_path, HEADER, rows)
    plain = load_csv(data, "binary")
    y = [0 if row.endswith("no") else 1 for row in rows]
    import numpy as np

    _, *others = split_indices(np.array(y), "binary")
    changed = list(rows)
    for row in np.concatenate(others):
        # a huge outlier, a category that training has never seen, no truth value; and in one row no number at all
        age = "old" if row == others[0][0] else "1000000"
        changed[row] = f"{age},Atlantis,perhaps,{rows[row].rsplit(',', 1)[1]}"
    leaky = load_csv(write(tmp_path, HEADER, changed, "changed.csv"), "binary")
    assert torch.equal(leaky.train.x, plain.train.x)
    assert (leaky.test.x[:, 0] > 100).all()  # they did change
    assert (leaky.test.x[:, 3:] == 0).all()  # an unknown category is no category
    assert leaky.validation.x.isfinite().all()


def test_useless_columns_are_dropped_and_noted(tmp_path: Path) -> None:
    rows = [f"{n},Mr {n},same,,{n % 7},{'no' if n % 3 else 'yes'}" for n in range(1, 31)]
    splits = load_csv(write(tmp_path, "id,name,constant,empty,size,left", rows), "binary")
    assert splits.train.x.shape[1] == 1
    notes = "\n".join(splits.notes)
    told = ("identifiers; to use one: data.numeric): id", "every row): name", "(constant): constant", "(empty): empty")
    for dropped in told:
        assert dropped in notes


def test_nothing_left_to_learn_from(tmp_path: Path) -> None:
    rows = [f"same,{'no' if n % 3 else 'yes'}" for n in range(30)]
    with pytest.raises(SpecError, match="no column is left to learn from"):
        load_csv(write(tmp_path, "constant,left", rows), "binary")


def test_many_categories_are_limited(tmp_path: Path) -> None:
    rows = [f"c{n % 50},{'no' if n % 3 else 'yes'}" for n in range(300)]
    splits = load_csv(write(tmp_path, "city,left", rows), "binary")
    assert splits.train.x.shape[1] == MAX_CATEGORIES
    assert any("most frequent categories" in note for note in splits.notes)


def test_rows_without_a_target_are_dropped_and_noted(tmp_path: Path) -> None:
    splits = load_csv(write(tmp_path, HEADER, [*people(), "30,Oslo,True,", "30,Oslo,True,NA"]), "binary")
    assert sum(len(part) for part in (splits.train, splits.validation, splits.test)) == 60
    assert any("dropped 2 rows whose target" in note for note in splits.notes)


def test_numeric_labels_and_a_byte_order_mark(tmp_path: Path) -> None:
    rows = [f"{n % 7},{['2', '10', '10.0'][n % 3]}" for n in range(30)]
    data = write(tmp_path, "\ufeffsize, left", rows)
    assert check_csv(data, "binary") == []  # 10 and 10.0 are one class
    assert any("'2' is 0, '10' is 1" in note for note in load_csv(data, "binary").notes)


def test_multiclass_and_regression(tmp_path: Path) -> None:
    rows = [f"{n % 7},{'abc'[n % 3]},{n * 1.5}" for n in range(60)]
    classes = load_csv(write(tmp_path, "size,left,price", rows), "multiclass")
    assert classes.outputs == 3 and classes.train.y.dtype == torch.int64
    assert set(classes.test.y.tolist()) == {0, 1, 2}
    prices = load_csv(write(tmp_path, "size,left,price", rows) | {"target": "price"}, "regression")
    assert prices.outputs == 1 and prices.train.y.dtype == torch.float32
    together = torch.cat([prices.train.y, prices.validation.y, prices.test.y])
    assert together.sort().values.tolist() == [n * 1.5 for n in range(60)]  # in their own units, each once


def test_other_separators(tmp_path: Path) -> None:
    rows = [row.replace(",", ";") for row in people()]
    data = write(tmp_path, HEADER.replace(",", ";"), rows)
    assert "separator: ';'" in only(check_csv(data, "binary")).remedy
    assert len(load_csv(data | {"separator": ";"}, "binary").train) == 36


GOOD = [f"{n % 7},{'no' if n % 3 else 'yes'}" for n in range(30)]


@pytest.mark.parametrize(
    ("header", "rows", "kind", "path", "message"),
    [
        ("size,gone", GOOD, "binary", "target", "there is no column 'left'"),
        ("size,leftt", GOOD, "binary", "target", "did you mean 'leftt'"),
        ("size,left,size", [f"1,{row}" for row in GOOD], "binary", "csv", "'size' stands 2 times"),
        ("size,left", [], "binary", "csv", "has only a header"),
        ("left", ["yes", "no"] * 10, "binary", "csv", "a column besides the target"),
        ("size,left", [f"{n}," for n in range(30)], "binary", "target", "empty in all 30 rows"),
        ("size,left", [f"{n},yes" for n in range(30)], "binary", "target", "must vary, but it is 'yes' in every row"),
        ("size,left", [f"{n},5" for n in range(30)], "regression", "target", "must vary"),
        ("size,left", [f"{n},{'abc'[n % 3]}" for n in range(30)], "binary", "target", "has 3: a, b, c"),
        ("size,left", [f"{n},{n}" for n in range(30)], "binary", "target", "has 30: 0, 1, 2"),
        ("size,left", GOOD, "regression", "target", "numeric target, but 'left' has no, yes (in 30 rows)"),
        ("size,left", [f"{n},inf" for n in range(2)] + [f"{n},{n}" for n in range(9)], "regression", "target", "inf"),
        ("size,left", [f"{n},{n}" for n in range(9)], "regression", "csv", "10 rows with a target, but there are 9"),
        ("size,left", [*(f"{n},no" for n in range(30)), "1,yes", "2,yes"], "binary", "target", "yes (2)"),
        ("size,left", [*GOOD, "1,yes,3"], "binary", "csv", "header's 2 fields, but line 32 has 3"),
        ("size,left", [*GOOD, "1"], "binary", "csv", "line 32 has 1"),
        ("size,left", [*GOOD, "\0,yes"], "binary", "csv", "NUL"),
    ],
)  # fmt: skip
def test_faults_of_a_table(tmp_path: Path, header: str, rows: list[str], kind: Any, path: str, message: str) -> None:
    data = write(tmp_path, header, rows)
    fault = only(check_csv(data, kind))
    assert fault.path == (path,)
    assert message in f"{fault.message} ({fault.remedy})"
    with pytest.raises(UserError):
        load_csv(data, kind)


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ({"csv": "nowhere.csv", "target": "left"}, "csv", "'nowhere.csv' does not exist (relative paths start at "),
        ({"csv": ".", "target": "left"}, "csv", "is a folder"),
        ({"csv": 3, "target": "left"}, "csv", "must be a path, but got 3"),
        ({"csv": "good.csv"}, "csv", "`csv` needs `target` beside it"),
        ({"target": "left"}, "target", "`target` needs `csv` beside it"),
        ({"csv": "good.csv", "target": 1}, "target", "must be the name of a column, but got 1"),
        ({"csv": "good.csv", "target": "left", "source": "synthetic"}, "source", "exclude each other"),
        ({"csv": "good.csv", "target": "left", "tset": 0.2}, "tset", "did you mean 'test'?"),
        ({"csv": "good.csv", "target": "left", "test": 1.5}, "test", "number in [0, 1), but got 1.5"),
        ({"csv": "good.csv", "target": "left", "test": 0.5, "validation": 0.5}, "validation", "below 1"),
        ({"csv": "good.csv", "target": "left", "split_seed": "x"}, "split_seed", "whole number"),
        ({"csv": "good.csv", "target": "left", "separator": "-"}, "separator", "must be one of"),
        ({"csv": "empty.csv", "target": "left"}, "csv", "is empty"),
        ({"csv": "latin.csv", "target": "left"}, "csv", "must be text in UTF-8, but 'latin.csv' has the byte 0xe9"),
        ({"csv": "table.xlsx", "target": "left"}, "csv", "a spreadsheet: export it as CSV"),
        ({"csv": "quote.csv", "target": "left"}, "csv", "a quoted field of the row in line 2 has no end"),
    ],
)
def test_faults_of_the_file_and_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], path: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "size,left", GOOD, "good.csv")
    Path("empty.csv").write_bytes(b"")
    Path("latin.csv").write_bytes("caf\u00e9,left\n1,yes\n".encode("latin-1"))
    Path("table.xlsx").write_bytes(b"PK\x03\x04" + bytes(range(256)))
    Path("quote.csv").write_text('size,left\n"1,yes\n' + "2,no\n" * 50_000)
    fault = only(check_csv(data, "binary"))
    assert fault.path == (path,)
    assert message in render_fault(fault)


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    data = {"csv": "nowhere.csv", "target": 1, "tset": 0.2, "test": 7}
    assert {fault.path for fault in check_csv(data, "binary")} == {("csv",), ("target",), ("tset",), ("test",)}


def test_checking_loads_nothing_heavy(tmp_path: Path) -> None:
    data = write(tmp_path, HEADER, people())
    script = f"""
import sys
from hpo.training.data.tabular import check_csv
assert check_csv({data!r}, "binary") == []
heavy = {{"torch.nn", "numpy._core", "pandas.core", "sklearn.base"}} & set(sys.modules)
sys.exit(f"loaded {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_arrays_are_standardised_by_their_training_rows() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 3, (100, 4)), rng.integers(0, 3, 100)
    x[:, 3] = 1e6 / 3  # constant
    splits = split_arrays(x, y, "multiclass")
    assert splits.outputs == 3
    assert splits.train.x.mean(dim=0).abs().max() < 1e-6
    assert torch.allclose(splits.train.x[:, :3].std(dim=0, correction=0), torch.ones(3), atol=1e-5)
    assert splits.validation.x[:, :3].mean(dim=0).abs().min() > 1e-4  # not by its own mean
    assert splits.test.x[:, 3].abs().max() < 1e-6


@pytest.mark.parametrize("shares", [(0.2, 0.2), (0.01, 0.01), (0.45, 0.45), (0.7, 0.2)])
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_splits_are_disjoint_complete_and_hold_every_class(kind: Any, shares: tuple[float, float]) -> None:
    import numpy as np

    y = np.array([0] * 50 + [1] * 3)
    parts = split_indices(y, kind, *shares, seed=7)
    assert sorted(np.concatenate(parts).tolist()) == list(range(53))
    if kind == "binary":
        assert all(set(y[part]) == {0, 1} for part in parts)


def test_too_few_rows_of_a_class() -> None:
    import numpy as np

    with pytest.raises(UserError, match="at least 3 rows, but class 1 has 2"):
        split_indices(np.array([0] * 50 + [1] * 2), "binary")


def test_numbers_beyond_float32_are_faults(tmp_path: Path) -> None:
    for large in ("1e308", "-2E+38 ", "1e400", f"{10**29}e9", "1" * 39, "3e0038"):
        data = write(tmp_path, "size,left", [f"{large},1", "NA ,0", *(f"{n},{n % 2}" for n in range(40))])
        fault = only(check_csv(data, "binary"))
        assert fault.path == ("csv",) and "within ±1e+37" in fault.message
        assert fault.message.endswith(f"'size' has {large.strip()}")
    data = write(tmp_path, "size,left", [f"{n},{n + 1}e300" for n in range(40)])
    fault = only(check_csv(data, "regression"))
    assert fault.path == ("target",) and "'left' has 1e300" in fault.message
    data = write(tmp_path, "size,left", [f"{n},{n % 3 + 1}{'12' * 30}" for n in range(40)])
    assert "'left' has 11212" in only(check_csv(data, "regression")).message
    assert check_csv(data, "multiclass") == []


def test_words_that_look_like_large_numbers_are_no_faults(tmp_path: Path) -> None:
    rows = [f"{'1e99' if n % 2 else 'abc'},{n % 7}e30,{'inf' if n % 9 == 1 else n},{n % 2}" for n in range(40)]
    data = write(tmp_path, "commit,size,height,left", rows)
    assert check_csv(data, "binary") == []
    assert load_csv(data, "binary").train.x.isfinite().all()


def test_features_that_are_not_finite_once_standardised(tmp_path: Path) -> None:
    """A column that hardly varies in training, and has something enormous elsewhere."""
    labels = np.array([n % 2 for n in range(40)])
    row = int(split_indices(labels, "binary")[1][0])
    rows = [f"{n},{'1e36' if n == row else f'{n}e-6'},{labels[n]}" for n in range(40)]
    data = write(tmp_path, "fine,wild,left", rows)
    assert check_csv(data, "binary") == []
    with pytest.raises(UserError, match="too large for float32 once standardised by the training rows: 'wild'"):
        load_csv(data, "binary")


def test_all_features_are_empty(tmp_path: Path) -> None:
    data = write(tmp_path, "a,b,left", [f",{'NA' if n % 2 else ' '},{n % 2}" for n in range(40)])
    fault = only(check_csv(data, "binary"))
    assert fault.path == ("csv",) and "every column besides the target 'left' is empty" in fault.message
    data = write(tmp_path, "a,b,left", [f",{'NA' if n % 2 else 5},{n % 2}" for n in range(40)])
    assert check_csv(data, "binary") == []


def test_notes_and_faults_of_wide_tables_are_short(tmp_path: Path) -> None:
    kinds = ("{0}", "{1}", "x{1}", "5", "", "u{0}", "{2}")
    rng = random.Random(0)

    def row(n: int) -> str:
        most = "?word" if n % 11 == 3 else str(rng.randint(0, 5))
        return ",".join(kind.format(n, rng.randint(0, 30), most) for kind in kinds for _ in range(100)) + f",{n % 2}"

    header = ",".join([f"column{n}" for n in range(100 * len(kinds))] + ["left"])
    data = write(tmp_path, header, [row(n) for n in range(200)])
    notes = load_csv(data, "binary").notes
    assert max(map(len, notes)) < 500
    assert len(notes) < 15
    assert any("and 92 more" in note for note in notes)
    assert any(note.startswith("mostly numbers, but counted as text: 'column600' because of ") for note in notes)
    fault = only(check_csv({**data, "target": "nothing like it"}, "binary"))
    assert len(fault.remedy) < 200


def test_notes_and_faults_of_huge_fields_are_short(tmp_path: Path) -> None:
    huge = "x" * 200_000
    rows = [f"{n % 7},{n * 37 % 11},{'yes' if n % 2 else huge}" for n in range(60)]
    data = write(tmp_path, f"size,n{huge},left", [*rows, f"1,{huge},yes"])
    said = [*load_csv(data, "binary").notes]
    assert any("because of 'xxx" in note for note in said)
    others = (
        check_csv(data, "regression"),
        check_csv(write(tmp_path, "size,left", [f"{n},{huge}" for n in range(60)]), "binary"),
        check_csv(write(tmp_path, "size,left", [f"{n},{huge}{n % 3}" for n in range(60)]), "binary"),
        check_csv(write(tmp_path, "size,left", [f"{n},{huge if n else 'rare'}" for n in range(60)]), "binary"),
        check_csv(write(tmp_path, f"{huge},{huge},left", ["1,2,yes", "1,2,no"] * 30), "binary"),
        check_csv(write(tmp_path, f"{huge};left", ["1;yes", "2;no"] * 30), "binary"),
    )
    for faults in others:
        assert faults
        said += [fault.message + fault.remedy for fault in faults]
    assert max(map(len, said)) < 500
