"""What every objective that ships promises, and what is special about each."""

from __future__ import annotations

import importlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import hpo
from hpo.spec.contract import Contract
from hpo.spec.faults import render_fault
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection, Named
from hpo.spec.sweep import Sweep
from hpo.training.contract import contract_of, with_defaults

ROOT = Path(__file__).parents[1]
NAMES = ("binary", "cifar10", "multiclass", "regression", "sequence", "table")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """100 training and 20 test pictures of noise, in CIFAR-10's official layout, and a table."""
    folder = tmp_path / "pictures" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    rng = random.Random(0)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        folder.joinpath(name).write_bytes(b"".join(bytes([row % 10]) + rng.randbytes(3072) for row in range(20)))
    rows = "".join(f"{rng.random():.6f},{rng.random():.6f},{row % 2}\n" for row in range(60))
    folder.with_name("table.csv").write_text(f"a,b,c\n{rows}")
    return folder.parent


def task(name: str) -> hpo.TorchTask:
    made = importlib.import_module(f"objectives.{name}").objective()
    assert isinstance(made, hpo.TorchTask)
    return made.for_data({})


def small_data(name: str, pictures: Path) -> dict[str, Any]:
    own = {"cifar10": {"root": str(pictures)}, "table": {"csv": str(pictures / "table.csv"), "target": "c"}}
    return own.get(name, {})


def defaults(contract: Contract, **params: Any) -> dict[str, Any]:
    return with_defaults(contract, params)


@pytest.mark.parametrize("name", NAMES)
def test_importing_and_checking_load_nothing_heavy(name: str) -> None:
    script = f"""
import sys
from objectives.{name} import objective
objective().check_data({{}})
heavy = {{"torch.nn", "numpy._core", "pandas.core", "sklearn.base", "sklearn.utils"}} & set(sys.modules)
sys.exit(f"loaded {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_splits(name: str, pictures: Path) -> None:
    data = small_data(name, pictures)
    assert task(name).check_data(data) == []
    splits, again = task(name).splits(data), task(name).splits(data)
    assert splits.notes
    for part, same in ((splits.train, again.train), (splits.validation, again.validation), (splits.test, again.test)):
        assert len(part) > 0
        assert torch.equal(part.x, same.x) and torch.equal(part.y, same.y)
        assert part.y.dtype == (torch.int64 if task(name).kind == "multiclass" else torch.float32)
    rows = [{row.numpy().tobytes() for row in part.x} for part in (splits.train, splits.validation, splits.test)]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_learns_from_a_batch(name: str, pictures: Path) -> None:
    """The model takes what `batch` gives, and gives the shape that the task's kind asks for."""
    subject = task(name)
    splits = subject.splits(small_data(name, pictures))
    params = defaults(contract_of(subject))
    model = subject.model(params, splits.train.x.shape[1:], splits.outputs)
    for generator in (torch.Generator().manual_seed(0), None):
        x = subject.batch(splits.train.x[:8], params, generator)
        assert x.dtype == torch.float32
        outputs = model(x)
        assert outputs.shape == ((8, splits.outputs) if subject.kind == "multiclass" else (8,))
    outputs.square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_defaults_obey_their_own_rules(name: str) -> None:
    for parameter, known in task(name).parameters.items():
        assert known is None or known.objection(known.default) == "", parameter


@pytest.mark.parametrize(
    ("name", "data", "path", "message"),
    [
        ("binary", {"source": "syntetic"}, "source", "but got 'syntetic' (did you mean 'synthetic'?)"),
        ("binary", {"sorce": "synthetic"}, "sorce", "did you mean 'source'?"),
        ("binary", {"outliers": 0.1}, "outliers", "unknown key 'outliers'"),
        ("binary", {"source": 3}, "source", "separable, xor, breast_cancer, but got 3"),
        ("binary", {"source": "xor", "features": 3}, "features", "belongs to source: synthetic or make_classification"),
        ("binary", {"source": "breast_cancer", "rows": 60}, "rows", "'rows' belongs to source: synthetic or"),
        ("binary", {"source": "separable", "imbalance": 0.1}, "imbalance", "(leave imbalance out)"),
        ("binary", {"imbalance": 0.9}, "imbalance", "must be a number in (0, 0.5], but got 0.9"),
        ("binary", {"label_noise": 0.6}, "label_noise", "must be a number in [0, 0.5], but got 0.6"),
        ("binary", {"rows": 20}, "rows", "must be a whole number in [30, 1000000], but got 20"),
        ("binary", {"scale": "no"}, "scale", "must be true or false, but got 'no'"),
        ("binary", {"split": "grouped"}, "split", "must be one of stratified, random, but got 'grouped'"),
        ("regression", {"source": "diabetes", "features": 12}, "features", "belongs to source: friedman"),
        ("binary", {"test": "0.2"}, "test", "must be a number in [0, 1), but got '0.2'"),
        ("binary", {"test": 0.6, "validation": 0.4}, "validation", "must be below 1"),
        ("binary", {"csv": "nowhere.csv", "target": "left"}, "csv", "does not exist"),
        ("binary", {"target": "left"}, "target", "needs `csv`"),
        ("multiclass", {"source": "wines"}, "source", "did you mean 'wine'?"),
        ("multiclass", {"label_noise": 0.1}, "label_noise", "unknown key"),
        ("regression", {"source": "freedman"}, "source", "did you mean 'friedman'?"),
        ("regression", {"outliers": 0.7}, "outliers", "must be a number in [0, 0.5], but got 0.7"),
        ("regression", {"outliers": "many"}, "outliers", "must be a number"),
        ("regression", {"csv": "nowhere.csv", "target": "price"}, "csv", "does not exist"),
        ("sequence", {"source": "copying"}, "source", "must be one of adding, but got 'copying'"),
        ("sequence", {"length": 1}, "length", "must be a whole number in [2, 10000], but got 1"),
        ("sequence", {"arrays": "nowhere.npz"}, "arrays", "does not exist"),
        ("cifar10", {"root": "nowhere"}, "root", "run `hpo data cifar10`"),
    ],
)
def test_faults(name: str, data: dict[str, Any], path: str, message: str) -> None:
    [fault] = task(name).check_data(data)
    assert fault.path == (path,)
    assert message in render_fault(fault)


@pytest.mark.parametrize(
    ("name", "source", "rows", "features"),
    [
        ("binary", "synthetic", 1000, 20),
        ("binary", "make_classification", 1000, 20),
        ("binary", "separable", 1000, 20),
        ("binary", "xor", 1000, 2),
        ("binary", "breast_cancer", 569, 30),
        ("multiclass", "digits", 1797, 64),
        ("multiclass", "wine", 178, 13),
        ("regression", "friedman", 2000, 10),
        ("regression", "diabetes", 442, 10),
    ],
)
def test_sources(name: str, source: str, rows: int, features: int) -> None:
    splits = task(name).splits({"source": source})
    assert len(splits.train) + len(splits.validation) + len(splits.test) == rows
    assert splits.train.x.shape[1:] == (features,)


@pytest.mark.parametrize(
    ("name", "data", "rows", "features"),
    [
        ("binary", {"rows": 90, "features": 3}, 90, 3),
        ("binary", {"source": "xor", "rows": 60}, 60, 2),
        ("binary", {"source": "make_classification", "rows": 60, "features": 2}, 60, 2),
        ("binary", {"rows": 60, "features": 2}, 60, 2),
        ("binary", {"source": "separable", "rows": 60, "features": 2}, 60, 2),
        ("regression", {"rows": 60, "features": 5}, 60, 5),
    ],
)
def test_made_tables_of_any_size(name: str, data: dict[str, Any], rows: int, features: int) -> None:
    assert task(name).check_data(data) == []
    splits = task(name).splits(data)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == rows
    assert splits.train.x.shape[1:] == (features,)


@pytest.mark.parametrize("source", ["synthetic", "make_classification"])
def test_a_rare_class(source: str) -> None:
    y = task("binary").splits({"source": source, "imbalance": 0.05, "rows": 2000}).train.y
    assert y.mean().item() == pytest.approx(0.05, abs=0.01)


def test_the_made_classes_are_what_they_are_called() -> None:
    """A straight line tells the separable ones apart, with a gap, and is no better than a coin for the others."""
    from sklearn.linear_model import LogisticRegression

    from objectives.binary import GAP

    for source, least, most in (("separable", 1.0, 1.0), ("xor", 0.3, 0.7)):
        splits = task("binary").splits({"source": source, "rows": 400, "scale": False})
        line = LogisticRegression(C=1e6).fit(splits.train.x.numpy(), splits.train.y.numpy())
        assert least <= line.score(splits.validation.x.numpy(), splits.validation.y.numpy()) <= most
        if source == "separable":
            assert torch.allclose(splits.train.x.norm(dim=1), torch.ones(len(splits.train)), atol=1e-5)
            away = abs(line.decision_function(splits.train.x.numpy())) / float((line.coef_**2).sum() ** 0.5)
            assert away.min() > GAP / 2


def test_labels_are_turned_round_in_the_training_rows_only() -> None:
    true, noisy = (task("binary").splits({"label_noise": share}) for share in (0, 0.1))
    assert ((noisy.train.y - true.train.y).abs() == 1).sum() == 60
    for part in ("validation", "test"):
        assert torch.equal(getattr(noisy, part).y, getattr(true, part).y)
    assert "60 of 600 training labels are turned round on purpose" in noisy.notes[-1]


def test_the_split_of_a_script() -> None:
    """make_classification and train_test_split as most scripts write them, to the row."""
    from sklearn.datasets import make_classification
    from sklearn.model_selection import train_test_split

    x, y = make_classification(n_samples=1000, n_features=20, random_state=42)
    _, _, _, expected = train_test_split(x, y, test_size=0.2, random_state=42)
    splits = task("binary").splits(
        {"source": "make_classification", "split": "random", "split_seed": 42, "test": 0, "scale": False}
    )
    assert sorted(splits.validation.y.tolist()) == sorted(expected) and int(expected.sum()) == 107
    assert (len(splits.train), len(splits.test)) == (800, 0)


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression", "table"])
def test_an_own_table(name: str, tmp_path: Path) -> None:
    rows = "\n".join(f"{n % 7},{n % 5},{n % 2}" for n in range(50))
    (tmp_path / "own.csv").write_text(f"a,b,c\n{rows}\n")
    data = {"csv": str(tmp_path / "own.csv"), "target": "c"}
    assert task(name).check_data(data) == []
    assert len(task(name).splits(data).train) == 30


def test_outliers_are_in_the_training_targets_only() -> None:
    true, spoilt = (task("regression").splits({"outliers": share}) for share in (0, 0.05))
    moved = spoilt.train.y - true.train.y
    assert (moved != 0).sum() == 60
    assert (moved[moved != 0] >= 4.9 * true.train.y.std()).all()
    for part in ("validation", "test"):
        assert torch.equal(getattr(spoilt, part).y, getattr(true, part).y)
    assert torch.equal(spoilt.train.x, true.train.x)


def test_the_network_has_the_shape_it_is_asked_for(pictures: Path) -> None:
    subject = task("cifar10")
    contract = contract_of(subject)
    assert "hidden_layers" not in contract.parameters and "hidden_units" not in contract.parameters

    def layers(**params: Any) -> list[str]:
        model = subject.model(defaults(contract, **params), torch.Size((3, 32, 32)), 10)
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        return [str(layer) for layer in model]  # type: ignore[attr-defined]

    plain = layers()
    assert [layer for layer in plain if "Conv2d" in layer or "Linear" in layer] == [
        "Conv2d(3, 32, kernel_size=(3, 3), stride=(1, 1))",
        "Conv2d(32, 64, kernel_size=(3, 3), stride=(1, 1))",
        "Conv2d(64, 64, kernel_size=(3, 3), stride=(1, 1))",
        "Linear(in_features=1024, out_features=64, bias=True)",
        "Linear(in_features=64, out_features=10, bias=True)",
    ]
    assert not any("Norm" in layer for layer in plain)
    assert [layer for layer in plain if "Dropout" in layer] == ["Dropout(p=0.0, inplace=False)"]  # so that all stack
    normed = layers(batch_norm=True)
    assert sum("BatchNorm2d" in layer for layer in normed) == 3
    assert sum("Conv2d" in layer and "bias=False" in layer for layer in normed) == 3
    assert sum("Dropout(p=0.3" in layer for layer in layers(dropout=0.3)) == 1
    assert "Conv2d(3, 48" in layers(width=1.5)[0]
    assert sum(layer.startswith("Tanh") for layer in layers(activation="tanh")) == 4
    layers(width=0.0625)


def test_pictures_are_augmented_in_training_only(pictures: Path) -> None:
    subject = task("cifar10")
    x = subject.splits({"root": str(pictures)}).train.x[:16]
    plain, changed = ({"flip": chosen, "crop": chosen} for chosen in (False, True))
    measured = subject.batch(x, changed, None)
    assert torch.equal(measured, subject.batch(x, plain, torch.Generator()))
    assert not torch.equal(measured, subject.batch(x, changed, torch.Generator().manual_seed(0)))


def inspect(named: Named) -> Inspection:
    assert named.objective is not None and named.objective.startswith("objectives.")
    subject = task(named.objective.removeprefix("objectives."))
    missing = ("CIFAR-10 is not in", "'table.csv' does not exist")
    faults = [fault for fault in subject.check_data(named.data) if not any(map(fault.message.__contains__, missing))]
    return Inspection(contract_of(subject), tuple(faults), named.data, is_table=isinstance(subject, hpo.TableTask))


def shipped(name: str) -> Sweep:
    return load_sweep(ROOT / "search_spaces" / f"{name}.yaml", inspect)


@pytest.mark.parametrize("name", NAMES)
def test_the_sweep_file_that_ships_has_no_fault(name: str) -> None:
    sweep = shipped(name)
    assert sweep.name == name and sweep.objective == f"objectives.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_every_proposal_makes_a_model(name: str, pictures: Path) -> None:
    """Each is complete for its contract: the platform may train it."""
    sweep, subject, rng = shipped(name), task(name), random.Random(0)
    contract = contract_of(subject)
    splits = subject.splits(small_data(name, pictures))
    for params in [*sweep.baselines, *(sweep.space.draw(rng) for _ in range(30))]:
        for key, value in params.items():
            known = contract.parameters[key]
            assert known.objection(value) == "", key
            assert all(params.get(other, contract.parameters[other].default) in values
                       for other, values in known.requires.items()), key  # fmt: skip
        model = subject.model(with_defaults(contract, params), splits.train.x.shape[1:], splits.outputs)
        assert model is not None


def test_only_the_public_api_is_used() -> None:
    for file in (ROOT / "objectives").glob("*.py"):
        text = file.read_text()
        assert "from hpo" not in text and "import hpo." not in text, file.name


def test_every_public_name_exists() -> None:
    for name in hpo.__all__:
        assert getattr(hpo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hpo.nothing  # noqa: B018


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sequence"])  # which has no batch norm
def test_batch_norm_on_single_rows(name: str) -> None:
    """A perceptron's normalizes over rows only, and is refused with one; the network for pictures takes one."""
    subject = task(name)
    contract, outputs = contract_of(subject), 10 if subject.kind == "multiclass" else 1
    params = with_defaults(contract, {"batch_norm": True})
    shape = torch.Size((3, 32, 32) if name == "cifar10" else (5,))
    model = subject.model(params, shape, outputs).train()
    if contract.parameters["batch_norm"].excludes:
        assert name != "cifar10"
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            model(torch.zeros(1, *shape))
    else:
        assert name == "cifar10"
        model(torch.zeros(1, *shape))


def test_a_recurrent_network_has_a_layer() -> None:
    known = contract_of(task("sequence")).parameters["hidden_layers"]
    assert known.objection([]) and known.objection(0) and not known.objection([8]) and not known.objection(2)
    assert "in [1, inf), but got []" in known.objection([])
