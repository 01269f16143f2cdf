"""URLs: every password masked, whatever surrounds it; every path quoted, whatever it contains."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import make_url

from hpo.ledger.mirror.database import make_database
from hpo.ledger.study.home import Home, make_home
from hpo.ledger.study.urls import absolute_url, masked, sqlite_file, sqlite_url

SECRET = "s3cr-et"
UGLY = [
    "plain",
    "two%20x",
    "why?",
    "a#b",
    "é ü",
    "q'u\"ote",
    "50%",
    "a&b=c",
    "x:y@z",
    "semi;colon",
    "{brace}",
    "%3F",
    "+",
]


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{SECRET}@host:5432/db",
        f"postgresql+psycopg://me:{SECRET}@host/db?sslmode=require",
        f"postgresql://me:{SECRET}@with@sign@host/db",
        f"postgresql://me:a/b?c#{SECRET}@host/db",
        f"postgresql://me:two words {SECRET}@host/db",
        f"postgresql://host/db?user=me&password={SECRET}",
        f"mysql://host/db?charset=utf8&PASSWD={SECRET}&x=1",
        f"mssql+pyodbc:///?odbc_connect=Driver%3DX%3BPWD%3D{SECRET}",
        f"https://{SECRET}@mlflow.example/path",
        f"https://:{SECRET}@mlflow.example",
        f"https://mlflow.example?access_token={SECRET}#x",
        f"redis://:{SECRET}@host/0",
        f"it failed: (could not connect to 'postgresql://me:{SECRET}@host/db'), see http://docs.example/x",
        f'{{"uri": "mysql://me:{SECRET}@host/db", "other": "http://u:{SECRET}@h"}}',
    ],
)
def test_no_password_is_shown(text: str) -> None:
    assert SECRET in text
    assert SECRET not in masked(text)
    assert "***" in masked(text)
    assert masked(masked(text)) == masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@host/db?sslmode=require", "/home/me/mlruns/studies.journal", "http://127.0.0.1:5000/#/x",
        "sqlite:////tmp/x@y/mlflow.db", "write to me@example.org or see https://example.org/a?b=c", "passwords: none",
    ],
)  # fmt: skip
def test_what_is_no_password_is_shown(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("name", UGLY)
def test_a_path_becomes_a_url_and_back(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name / "mlflow.db"
    assert make_url(sqlite_url(path)).database == str(path)
    assert sqlite_file(sqlite_url(path)) == path
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    relative = absolute_url("sqlite:///mlflow.db")
    assert make_url(relative).database == str(path)
    assert sqlite_file(relative) == path
    assert make_home(path.parent, None).tracking_uri == sqlite_url(path)


@pytest.mark.parametrize("name", ["two%20x", "why?", "a#b é'\"{}", "it's"])
def test_mlflows_database_is_made_where_it_is_looked_for(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path / name)
    home.prepare()
    monkeypatch.chdir(home.path)
    assert home.mlflow_database is not None
    make_database(home.mlflow_database)
    with sqlite3.connect(home.mlflow_database) as connection:
        assert connection.execute("select count(*) from experiments").fetchone() == (1,)
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing beside it
