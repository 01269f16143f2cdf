"""Homes and sweep files by whatever name; and no command ever shows or logs a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgresql import postgresql_server
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
    secret = "Pa55wort-xyz"
    place = Place(tmp_path)
    path = place.write("parabola", budget={"trials": 2})
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
        storage = ("--storage", studies)
        said = []
        for command in (
            ("list", *storage), ("sweep", path, *storage), ("list", *storage), ("best", "small", *storage),
            ("doctor", "small", *storage), ("doctor", "none", *storage), ("sweep", path, "--extend", "1", *storage),
        ):  # fmt: skip
            done = place.run(*command, env=env)
            said.append(done.stdout + done.stderr)
            assert "Traceback" not in done.stderr
        assert "2 complete" in said[1], said[1]
    for command in (("sweep", path, *storage), ("doctor", "small", *storage), ("list", *storage)):  # nobody is there
        done = place.run(*command, env=env)
        said.append(done.stdout + done.stderr)
        assert done.returncode in (1, 2), said[-1]
    bad = place.run("sweep", path, env={"MLFLOW_TRACKING_URI": f"nothing://me:{secret}@host/x"})
    assert bad.returncode == 2
    said.append(bad.stderr)
    logged = [log.read_text(errors="replace") for log in place.home.logs.rglob("*") if log.is_file()]
    for output in (*said, *logged):
        assert secret not in output
    assert "***" in said[1]
