"""Homes and sweep files by whatever name; and no command ever shows or logs a password."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from commands import all_commands
from postgresql import postgresql_server
from running_ui import ENV, Ui
from sqlalchemy import create_engine, make_url, text

from .support import Place, assert_records_agree

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["two%20x", "why? #1 {é} 'q' \"p\" 50%"])
def test_a_home_and_a_sweep_file_by_any_name(tmp_path: Path, name: str):
    place = Place(tmp_path / name, fresh=True)
    place.folder.mkdir()
    path = place.write("parabola", budget={"trials": 2}, data={"csv": f"{name}.csv"})
    path = path.rename(place.folder / f"{name}.yaml")
    result = place.sweep(path)
    assert Path(result["home"]) == place.home.path
    assert_records_agree(place, all_ids=False)
    doctor = place.run("doctor", "small")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [name]  # no stray database or folder
    assert not [entry for entry in place.folder.iterdir() if entry.name not in {
        "my_objectives.py", "home", path.name, "__pycache__", ".pytest_cache"}]  # fmt: skip


def test_no_password_is_shown_or_logged(tmp_path: Path):
    """Of any command that there is; test_secrets.py has those that are given a URL where none belongs."""
    secret = "Pa55wort-xyz"
    place, other = Place(tmp_path), tmp_path / "other"
    path = place.write("parabola", budget={"trials": 2})
    said: dict[str, list[str]] = {}
    with postgresql_server() as server:
        admin = make_url(server.get_uri())
        engine = create_engine(admin)
        with engine.begin() as connection:
            connection.execute(text(f"create role me with login superuser password '{secret}'"))
        engine.dispose()
        studies = admin.set(username="me", password=secret).render_as_string(hide_password=False)
        mlflow = make_url(server.get_uri(database="mlflow")).set(username="me")
        spelled = mlflow.update_query_dict({"password": secret}).render_as_string(hide_password=False)
        env = {"MLFLOW_TRACKING_URI": spelled}

        def run(words: str, *arguments: str | Path, home: Path | None = None, storage: str | None = studies) -> str:
            named = ("--storage", storage) if storage else ()
            done = place.run(*words.split(), *arguments, *named, env=env, home=home)
            assert "Traceback" not in done.stderr
            said.setdefault(words, []).append(done.stdout + done.stderr)
            return said[words][-1]

        run("list")
        assert "2 complete" in run("sweep", path)
        run("sweep", path, "--extend", "1")
        for command, arguments in (
            ("list", ()), ("trials", ("small",)), ("best", ("small",)), ("confirm", ("small",)), ("model", ("small",)),
            ("refine", ("small",)), ("report", ("small",)), ("compare", ("small", "--by", "x")),
            ("doctor", ("small",)), ("doctor", ("none",)),
            ("study export", ("small", tmp_path / "small.tar.gz")), ("study export", ("none", tmp_path / "none.gz")),
            ("study import", (tmp_path / "small.tar.gz",)),  # there is such a study
            ("study show", ("small",)), ("study show", ("none",)), ("study rm", ("small",)), ("study rm", ("none",)),
            ("study mv", ("none", "x")), ("study mv", ("small", "small")),
        ):  # fmt: skip
            run(command, *arguments)
        run("study import", tmp_path / "small.tar.gz", home=other, storage=None)
        run("check", path, "-o", f"data.table={studies}", storage=None)
        run("check", path, "-o", f"dada.table={studies}", storage=None)
        run("schema", storage=None)
        run("predict", place.home.path, studies, storage=None)
        run("data cifar10", "--archive", studies, storage=None)
        ui = Ui(place.home.path, "--storage", studies, "--mlflow-port", "0", "--dashboard-port", "0", env=ENV | env)
        arguments_of_servers = [" ".join(process.cmdline()) for process in ui.family]
        assert len(arguments_of_servers) >= 2
        ui.stop()
        said["ui"] = [ui.said, *arguments_of_servers]
    for words in ("sweep", "doctor", "list", "best", "ui"):  # nobody is there
        run(words, *{"sweep": (path,), "doctor": ("small",), "best": ("small",)}.get(words, ()))
    bad = place.run("sweep", path, env={"MLFLOW_TRACKING_URI": f"nothing://me:{secret}@host/x"})
    assert bad.returncode == 2
    assert said.keys() == all_commands().keys()  # a new command wants a line above
    logs = [log for home in (place.home.path, other) for log in home.rglob("*.log")]
    assert {log.name.partition("-")[0] for log in logs} >= {"ui", "worker"}
    outputs = [*chain.from_iterable(said.values()), bad.stderr, *(log.read_text() for log in logs)]
    assert not [output for output in outputs if secret in output]
    assert "***" in said["sweep"][0]
