"""Which command goes on with a study that was interrupted, and whether there is anything to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.ledger.study.confirmations import CONFIRMS
from hpo.ledger.study.home import Home, open_storage
from hpo.review.studies import list_studies, read_study, words_to_go_on
from review.recorded import Trial, complete, recorded, sweep_of


def attributes(source: str, **origin: Any) -> dict[str, Any]:
    return {"sweep_file": "name: small\n", "origin": {"source": source, **origin}}


@pytest.mark.parametrize(
    ("study", "attributes_", "words"),
    [
        ("small", attributes("/a/small.yaml"), ("sweep", "/a/small.yaml")),
        ("small", attributes("/a b/small.yaml"), ("sweep", "'/a b/small.yaml'")),
        ("other", attributes("/a/small.yaml"), ("sweep", "/a/small.yaml", "-o", "name=other")),
        (
            "other",
            attributes("/a/small.yaml", overrides=["name=other", "parameters.x.max=2 "]),
            ("sweep", "/a/small.yaml", "-o", "name=other", "-o", "'parameters.x.max=2 '"),
        ),
        ("small", attributes("/a/small.yaml", overrides=None), ()),  # a script has set keys
        ("small", attributes("/a/train.py"), ()),
        ("small", attributes("hpo.run"), ()),
        ("small", {}, ()),
        ("small.confirm", {CONFIRMS: {"study": "small"}}, ("confirm", "small")),
    ],
)
def test_the_command(study: str, attributes_: dict[str, Any], words: tuple[str, ...]) -> None:
    assert words_to_go_on(study, attributes_) == words


def test_nobody_goes_on_with_a_study_that_has_a_successor(tmp_path: Path) -> None:
    """Its interrupted trials are begun again by none: the successor has others."""
    home = Home(tmp_path / "home")
    space = {"x": {"min": 0.0, "max": 1.0}}
    recorded(home, sweep_of(tmp_path, space, name="small"), [complete(0.5, x=0.5), Trial({"x": 0.2})])
    [line] = list_studies(home)
    assert line.counts.interrupted == read_study(home, "small").interrupted == 1
    storage = open_storage(home)
    storage.set_study_user_attr(storage.get_study_id_from_name("small"), "successor", "small.2")
    [line] = list_studies(home)
    assert line.counts.interrupted == read_study(home, "small").interrupted == 0
