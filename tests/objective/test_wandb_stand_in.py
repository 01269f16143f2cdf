"""Scripts that are written for W&B: what they log is the sweep's, without the package and without an account."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from hpo.events import Failed, Finished, Stopped

from .program_support import RecordingChannel, run

PARAMS = {"lr": 0.5, "optimizer.name": "sgd", "optimizer.momentum": 0.9}


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "WANDB_API_KEY",
        "WANDB_MODE",
        "WANDB_DISABLED",
        "WANDB_BASE_URL",
        "HPO_WANDB",
        "WANDB_IDENTITY_TOKEN_FILE",
        "PYTHONPATH",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def reports(folder: Path, body: str, params: Any = PARAMS, **options: Any) -> list[tuple[int, Any]]:
    channel = run(folder, "import wandb\n" + textwrap.dedent(body), params, **options)
    assert channel.ending == Finished(7, info=channel.ending.info), channel.logs  # type: ignore[union-attr]
    return channel.reports


def notes(channel: RecordingChannel) -> dict[str, str]:
    return dict(channel.ending.info["notes"])  # type: ignore[union-attr]


def test_each_log_is_a_step(tmp_path: Path) -> None:
    body = """
        wandb.init(project="p", entity="e", tags=["a"])
        for epoch in range(3):
            wandb.log({"epoch": epoch, "acc": epoch / 4, "nested": {"a": 1, "deep": {"b": 2.5}}, "name": "x"})
        wandb.finish()
    """
    nested = {"nested.a": 1.0, "nested.deep.b": 2.5}
    assert reports(tmp_path, body) == [(step, {"acc": (step - 1) / 4, **nested}) for step in (1, 2, 3)]


def test_steps_and_commits(tmp_path: Path) -> None:
    body = """
        with wandb.init() as run:
            assert wandb.run is run and run.step == 0
            run.log({"loss": 1}, commit=False)
            run.log({"acc": 2})
            wandb.log({"loss": 3}, step=10)
            wandb.log({"acc": 4}, step=10)
            wandb.log({"acc": 5}, step=4)
            wandb.log({"acc": 6})
            wandb.log()
            wandb.log({"acc": 7})
        assert wandb.run is None
    """
    assert reports(tmp_path, body) == [
        (1, {"loss": 1.0}), (1, {"acc": 2.0}), (10, {"loss": 3.0}), (10, {"acc": 4.0}), (10, {"acc": 6.0}),
        (12, {"acc": 7.0}),
    ]  # fmt: skip


def test_the_config_is_the_trials_whatever_the_script_says(tmp_path: Path) -> None:
    body = """
        import argparse
        given = argparse.Namespace(lr=7, epochs=3, optimizer={"name": "adam", "beta": 1})
        run = wandb.init(config=given)
        config = wandb.config
        assert config is run.config and config.lr == config["lr"] == config.get("lr") == 0.5
        config.update({"lr": 9, "extra": 1}, allow_val_change=True)
        config.lr = 8
        config["width"] = 4
        assert config.optimizer["name"] == config["optimizer"]["name"] == config.optimizer.name == "sgd"
        assert config.optimizer == {"name": "sgd", "momentum": 0.9, "beta": 1}
        assert config["optimizer.momentum"] == 0.9 and "optimizer.momentum" in config
        config.setdefaults({"width": 5, "depth": 6})
        class Flags:
            def flag_values_dict(self):
                return {"depth": 7, "lr": 1}
        config.setdefaults(Flags())
        assert dict(config) == {**config} == {
            "lr": 0.5, "epochs": 3, "extra": 1, "width": 4, "depth": 6, "optimizer": config.optimizer}
        assert vars(config)["_items"]["epochs"] == 3
        assert not hasattr(config, "absent") and config.get("absent", 3) == 3 and len(config.keys()) == 6
        assert json.loads(json.dumps(config.as_dict()))["optimizer"]["name"] == "sgd"
        wandb.log({"acc": config.lr})
    """
    assert reports(tmp_path, body) == [(1, {"acc": 0.5})]


def test_a_file_of_defaults(tmp_path: Path) -> None:
    (tmp_path / "config-defaults.yaml").write_text("wandb_version: 1\nlr: {desc: rate, value: 3}\nwidth: {value: 4}\n")
    body = "wandb.init(); assert (wandb.config.lr, wandb.config.width) == (0.5, 4); wandb.log({'acc': 1})"
    assert reports(tmp_path, body) == [(1, {"acc": 1.0})]


def test_numbers_of_other_libraries(tmp_path: Path) -> None:
    body = """
        import numpy as np
        wandb.init()
        wandb.log({"acc": np.float32(0.5), "n": np.int64(3), "a": np.array([2.0]), "many": np.ones(3), "flag": True,
                   "none": None, "text": "0.5", 3: 4})
    """
    assert reports(tmp_path, body) == [(1, {"acc": 0.5, "n": 3.0, "a": 2.0, "3": 4.0})]


def test_the_summary_has_the_last_word(tmp_path: Path) -> None:
    body = """
        run = wandb.init()
        wandb.define_metric("loss", summary="min")
        run.define_metric("acc", step_metric="epoch", summary="max")
        for acc, loss in ((0.5, 3), (0.9, 1), (0.7, 2)):
            wandb.log({"acc": acc, "loss": loss})
        assert wandb.summary["acc"] == run.summary["acc"] == 0.7
        wandb.run.summary["best"] = 0.9
        wandb.summary.update({"size": 10, "words": "x"})
    """
    found = reports(tmp_path, body)
    assert found[3:] == [(3, {"best": 0.9}), (3, {"size": 10.0}), (3, {"acc": 0.9}), (3, {"loss": 1.0})]


def test_what_only_a_service_can_do_is_ignored_and_told_once(tmp_path: Path) -> None:
    body = """
        wandb.login(key="x")
        run = wandb.init(settings=wandb.Settings(start_method="thread"), mode="online")
        wandb.watch(None, log="all"); run.watch(None); wandb.save("*.pt")
        table = wandb.Table(columns=["a"]); table.add_data(1)
        artifact = wandb.Artifact("a", type="model"); artifact.add_file("x"); run.log_artifact(artifact).wait()
        with artifact.new_file("b") as file:
            pass
        class Mine(wandb.Image):
            pass
        wandb.log({"acc": 1, "image": wandb.Image([1]), "mine": [Mine(3)], "table": table,
                   "histogram": wandb.Histogram([1, 2]), "plot": wandb.plot.line(table, "x", "y", title="t")})
        assert isinstance(artifact, wandb.Artifact) and len(list(artifact)) == 0
        wandb.alert(title="x", text="y")
        for _ in range(3):
            wandb.Image(1)
    """
    channel = run(tmp_path, "import wandb\n" + textwrap.dedent(body))
    assert channel.reports == [(1, {"acc": 1.0})]
    found = notes(channel)
    assert found["wandb"] == (
        "wandb is hpo's stand-in (the package is not installed): what the script logs goes to the sweep, nothing to W&B"
    )
    assert {"wandb.watch", "wandb.Image", "wandb.Table", "wandb.Artifact", "wandb.save", "wandb.plot"} < found.keys()
    assert "'image' is left out of the metrics: it is <wandb.Image" in found["wandb-values"]
    assert channel.logs[7].count("wandb.Image is ignored") == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("wandb.sweep({'method': 'grid'}, project='p')", "`hpo sweep FILE` is the sweep"),
        ("wandb.agent('id', function=train, count=3)", "let the script call train() itself"),
        ("wandb.agent('id', train)", "let the script call train() itself"),
        ("wandb.Api()", "it asks W&B's server"),
        (
            "from wandb.keras import WandbCallback",
            "is not part of hpo's stand-in for wandb: call wandb.log",
        ),
        ("wandb.log({'acc': 1})", "wandb.init() must be called before wandb.log()"),
    ],
)
def test_refused_with_a_remedy(tmp_path: Path, call: str, words: str) -> None:
    ending = run(tmp_path, f"import wandb\ndef train(): pass\n{call}").ending
    assert isinstance(ending, Failed) and ending.error.startswith("the program exited with code 1: ")
    assert words in ending.error


def test_the_scripts_output_and_exit_are_its_own(tmp_path: Path) -> None:
    body = """
        import contextlib, io
        wandb.init()
        print("half a line", end="")
        with contextlib.redirect_stdout(io.StringIO()) as caught:
            wandb.log({"loss": 3})
        assert caught.getvalue() == ""
        print("; its end")
        subprocess.run([sys.executable, "-c", "import wandb; wandb.init(); wandb.log({'acc': 2}, step=5)"], check=True)
        sys.exit(3)
    """
    channel = run(tmp_path, "import subprocess, wandb\n" + textwrap.dedent(body))
    assert channel.reports == [(1, {"loss": 3.0}), (5, {"acc": 2.0})]
    assert isinstance(channel.ending, Failed) and "exited with code 3" in channel.ending.error
    assert 'half a line{"hpo": "wandb", "step": 1, "metrics": {"loss": 3.0}}\n; its end' in channel.logs[7]


def test_a_trial_that_is_stopped_ends(tmp_path: Path) -> None:
    body = """
        import wandb
        wandb.init()
        for step in range(10**6):
            wandb.log({"acc": step}); time.sleep(0.01)
    """
    channel = run(tmp_path, body, channel=RecordingChannel(stop_at=2))
    assert isinstance(channel.ending, Stopped)


def installed(folder: Path, place: str = "site") -> Path:
    """Make a package wandb that says so, in a folder of its own; return the folder."""
    (folder / place / "wandb").mkdir(parents=True)
    text = "from .inner import WHO\ndef init(): return WHO\n"
    (folder / place / "wandb" / "__init__.py").write_text(text)
    (folder / place / "wandb" / "inner.py").write_text("WHO = 'the package'\n")
    return folder / place


WHO = """
import wandb, wandb as again
import wandb.inner
assert again is wandb and again is sys.modules["wandb"]
print(wandb.init(), [entry for entry in sys.path if "stand_in" in entry])
print('{"acc": 1}')
"""


@pytest.mark.parametrize(
    ("variables", "netrc", "why"),
    [
        ({"WANDB_API_KEY": "x" * 40}, "", "you are logged in to W&B"),
        ({}, "machine api.wandb.ai\n  login user\n  password secret\n", "you are logged in to W&B"),
        ({"WANDB_BASE_URL": "https://own.example:8080"}, "machine own.example login a password b", "you are logged in"),
        ({"WANDB_MODE": "offline"}, "", "WANDB_MODE is offline"),
        ({"WANDB_MODE": "disabled"}, "", "WANDB_MODE is disabled"),
    ],
)
def test_the_installed_package_is_used_where_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], netrc: str, why: str
) -> None:
    # Behind the stand-in on the path, as site-packages is: a .pth file of its own does that for this Python alone.
    site = installed(tmp_path)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    (tmp_path / "netrc").write_text(netrc)
    (tmp_path / "netrc").chmod(0o600)
    channel = run(tmp_path, f"sys.path.append({str(site)!r})\n{WHO}")
    assert "the package []" in channel.logs[7].splitlines()
    assert f"wandb is the installed package, since {why}" in notes(channel)["wandb-installed"]
    assert "secret" not in channel.logs[7]
    silent = run(tmp_path, f"sys.path.append({str(site)!r})\nimport wandb\nwandb.init()").ending
    assert isinstance(silent, Failed) and "HPO_WANDB=stand-in before `hpo sweep`" in silent.error


@pytest.mark.parametrize("variables", [{}, {"WANDB_MODE": "online"}, {"HPO_WANDB": "stand-in", "WANDB_API_KEY": "x"}])
def test_the_stand_in_is_used_where_the_package_would_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    site = installed(tmp_path)
    (tmp_path / "netrc").write_text("machine elsewhere.example login a password b\n")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    channel = run(tmp_path, f"sys.path.append({str(site)!r})\nimport wandb; wandb.init(); wandb.log({{'acc': 2}})")
    assert channel.reports == [(1, {"acc": 2.0})]
    why = "gave way, since HPO_WANDB says so" if "HPO_WANDB" in variables else "is installed, but not logged in to"
    assert why in notes(channel)["wandb"]


def test_a_module_of_the_users_own_goes_first(tmp_path: Path) -> None:
    (tmp_path / "wandb.py").write_text("def init(): print('mine')\n")
    channel = run(tmp_path, "import wandb; wandb.init(); print('{\"acc\": 1}')")
    assert channel.logs[7].splitlines()[0] == "mine"


def test_the_folder_of_wandbs_runs_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "wandb" / "run-1").mkdir(parents=True)
    assert reports(tmp_path, "wandb.init(); wandb.log({'acc': 1})") == [(1, {"acc": 1.0})]


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_WANDB", "off")
    ending = run(tmp_path, "import wandb").ending
    assert isinstance(ending, Failed) and "No module named 'wandb'" in ending.error


def test_folds_in_processes_of_their_own_and_their_mean(tmp_path: Path) -> None:
    body = """
        import multiprocessing

        def fold(number, group, results):
            run = wandb.init(group=group, job_type="fold", name=f"fold-{number}", config={"number": number})
            run.log(dict(acc=number / 4))
            wandb.join()
            results.put(number / 4)

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            whole, results = wandb.init(), context.Queue()
            group = whole.sweep_id or whole.name
            whole.notes = "{}/groups/{}".format(whole.get_project_url(), group)
            whole.save()
            processes = [context.Process(target=fold, args=(number, group, results)) for number in range(3)]
            for process in processes:
                process.start()
                process.join()
            whole.log({"acc": sum(results.get() for _ in processes) / 3})
            wandb.join()
    """
    assert [metrics["acc"] for _, metrics in reports(tmp_path, body)] == [0, 0.25, 0.5, 0.25]


@pytest.mark.parametrize(
    "begin",
    [
        "wandb.init(mode='disabled')",
        "wandb.init(settings=wandb.Settings(mode='disabled'))",
        "wandb.init(settings={'mode': 'disabled'})",
        "begin('WANDB_MODE', 'disabled')",
        "begin('WANDB_DISABLED', 'true')",
    ],
)
def test_a_disabled_run_reports_nothing(tmp_path: Path, begin: str) -> None:
    body = f"""
        import wandb
        def begin(name, text):
            os.environ[name] = text
            return wandb.init()
        run = {begin}
        wandb.define_metric("acc", summary="max")
        for acc in (0.9, 0.1):
            wandb.log({{"acc": acc}})
        run.summary["acc"] = 0.7
        assert run.disabled and run.mode == run.settings.mode == "disabled" and wandb.summary["acc"] == 0.7
        wandb.finish()
        wandb.init(mode="offline").log({{"acc": 0.5}})
    """
    channel = run(tmp_path, body)
    assert channel.reports == [(1, {"acc": 0.5})] and "wandb-disabled" in notes(channel)


def test_the_mode_of_the_shell_and_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = run(tmp_path, "import wandb; wandb.init(mode='disabled').log({'acc': 1})").ending
    assert isinstance(ending, Failed) and "a run of wandb is disabled: what it logs" in ending.error
    monkeypatch.setenv("WANDB_MODE", "disabled")
    ending = run(tmp_path, "import wandb; wandb.init().log({'acc': 1})").ending
    assert isinstance(ending, Failed) and "unset it, or HPO_WANDB=stand-in" in ending.error
    monkeypatch.setenv("HPO_WANDB", "stand-in")
    assert reports(tmp_path, "wandb.init().log({'acc': 1})") == [(1, {"acc": 1.0})]


def test_what_a_run_does_not_know_is_false(tmp_path: Path) -> None:
    body = """
        run = wandb.init(resume=True)
        for name in ("resumed", "disabled", "offline", "url", "starting_step", "anonymous_thing", "sweep_url"):
            assert not getattr(wandb.run, name), name
        assert not wandb.run.deeper.still and wandb.Image([1]) and wandb.Artifact("a")
        try:
            run.restore("ckpt")
        except wandb.Error as error:
            print(error)
        wandb.log({"acc": 1})
    """
    assert reports(tmp_path, body) == [(1, {"acc": 1.0})]


def test_what_counts_of_several_metrics_in_the_end(tmp_path: Path) -> None:
    body = """
        wandb.init()
        wandb.define_metric("*", summary="mean")
        wandb.define_metric("val/*", summary="max")
        wandb.define_metric("val/first", summary="first")
        wandb.define_metric("val/last", summary="last")
        wandb.define_metric("val/some", summary="min,max")
        wandb.define_metric("no", summary="none")
        for index, acc in enumerate((0.5, 0.9, 0.7)):
            wandb.log({"val/acc": acc, "val/first": index, "val/last": index, "no": index, "acc": acc})
            wandb.log({"val/some": -acc})
        for wrong in ({"name": "a*b"}, {"name": "a", "summary": "median"}, {"name": "a", "goal": "maximise"}):
            try:
                wandb.define_metric(**wrong)
            except wandb.Error:
                continue
            raise SystemExit(3)
    """
    channel = run(tmp_path, "import wandb\n" + textwrap.dedent(body))
    last: dict[str, float] = {}
    for _, metrics in channel.reports:
        last |= metrics
    mean = pytest.approx((0.5 + 0.9 + 0.7) / 3)
    assert last == {"val/acc": 0.9, "val/first": 0, "val/last": 2, "no": 2, "val/some": -0.9, "acc": mean}
    told = notes(channel)
    assert "takes min of them" in told["wandb-summary val/some"] and "its last value" in told["wandb-summary no"]


def test_metrics_of_any_name(tmp_path: Path) -> None:
    body = "wandb.init(); wandb.log({'acc': 0.5, 'note': 0.7, 'hpo': 3, 'kind': 2, 'metrics': 4})"
    assert reports(tmp_path, body) == [(1, {"acc": 0.5, "note": 0.7, "hpo": 3.0, "kind": 2.0, "metrics": 4.0})]


def test_the_names_of_exceptions_and_classes(tmp_path: Path) -> None:
    body = """
        from wandb.errors import AuthenticationError, CommError, Error, UsageError, WaitTimeoutError
        assert wandb.CommError is wandb.errors.CommError is CommError and issubclass(CommError, wandb.Error)
        run = wandb.init()
        try:
            raise ValueError("mine")
        except (wandb.errors.CommError, wandb.sdk.errors.SomeError, wandb.WandbThingError):
            raise SystemExit(3)
        except ValueError:
            pass
        assert not isinstance(run, wandb.sdk.data_types.Video)
        try:
            wandb.sweep({})
        except Error:
            wandb.log({"acc": 1})
    """
    assert reports(tmp_path, body) == [(1, {"acc": 1.0})]
    ending = run(tmp_path, "import wandb.proto").ending
    assert isinstance(ending, Failed) and "leave the import out, or install wandb" in ending.error


OPTIONAL = """
try:
    import wandb
except ImportError:
    wandb = None
if wandb: wandb.init()
for epoch in (1, 2, 3):
    acc = epoch / 4
    {first}
    {second}
"""
LOGS = 'if wandb: wandb.log({"acc": acc, "loss": 1})'


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        ('print(json.dumps({"epoch": epoch, "acc": acc}))', []),
        ('print(f"epoch {epoch} acc={acc}")', [r"epoch (?P<epoch>\d+) acc=(?P<acc>\S+)"]),
    ],
)
def test_a_program_that_reports_by_itself_counts_once(
    tmp_path: Path, turned: bool, line: str, patterns: list[str]
) -> None:
    first, second = (LOGS, line) if turned else (line, LOGS)
    channel = run(tmp_path, OPTIONAL.format(first=first, second=second), reports={"regex": patterns})
    assert channel.reports == [(epoch, {"acc": epoch / 4}) for epoch in (1, 2, 3)]
    assert "not reported a second time" in notes(channel)["wandb-twice"]


def test_settings_that_a_program_prints_leave_the_stand_in(tmp_path: Path) -> None:
    body = """
        print('{"lr": 0.5}')
        wandb.init()
        for acc in (1, 2):
            wandb.log({"acc": acc, "lr": 0.5})
    """
    assert [metrics.get("acc") for _, metrics in reports(tmp_path, body)] == [None, 1.0, 2.0]
