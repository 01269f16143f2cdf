"""A program's files: what it leaves in HPO_FOLDER is handed over as a function's `trial.folder` is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.events import Failed, FilesOrder, Finished, Stopped

from .program_support import RecordingChannel, run, wait_until_dead

WRITE = """
    from pathlib import Path
    folder = Path(os.environ["HPO_FOLDER"])
    assert folder.is_dir() and not list(folder.iterdir())
    (folder / "sub").mkdir()
    (folder / "sub" / "model.pt").write_text("weights")
    (folder / "link").symlink_to("sub/model.pt")
    print(folder)
    print(json.dumps({"acc": 0.5}), flush=True)
"""


def order_in(home: Path, **keys: Any) -> FilesOrder:
    return FilesOrder(str(home / "trial_files" / "study"), **{"keep": "best", "sign": 1, **keys})


def left_in(home: Path) -> list[Path]:
    return list((home / "trial_files" / "study").iterdir())


@pytest.mark.parametrize(
    ("keys", "more", "handed"),
    [
        ({}, "", True),
        ({"bar": 0.4}, "", True),
        ({"bar": 0.6}, "", False),
        ({"bar": 0.6, "sign": -1}, "", True),
        ({"bar": 0.6, "keep": "all"}, "", True),
        ({"keep": "none"}, "", False),
        ({}, "sys.exit(3)", False),
        ({}, "os.kill(os.getpid(), signal.SIGKILL)", False),
        ({}, "print('{\"acc\": NaN}')", False),
        ({"keep": "all"}, "sys.exit(3)", True),
        ({"keep": "all"}, "os.kill(os.getpid(), signal.SIGKILL)", True),
    ],
)
def test_only_what_may_be_wanted_is_handed_over(keys: dict[str, Any], more: str, handed: bool, tmp_path: Path) -> None:
    channel = run(tmp_path, f"{WRITE}\n    {more}\n", files=order_in(tmp_path, **keys))
    assert channel.files == (["link", "sub/model.pt"] if handed else [])
    assert isinstance(channel.ending, Failed) == ("exit" in more or "kill" in more)
    assert Path(channel.logs[7].splitlines()[0]).parent == tmp_path / "trial_files" / "study"
    assert left_in(tmp_path) == []


def test_a_program_that_is_stopped_hands_over_what_it_has_left(tmp_path: Path) -> None:
    body = WRITE + "    time.sleep(60)\n"
    channel = run(tmp_path, body, files=order_in(tmp_path), channel=RecordingChannel(stop_at=1))
    assert isinstance(channel.ending, Stopped) and channel.files == ["link", "sub/model.pt"]
    channel = run(tmp_path, body, files=order_in(tmp_path, bar=0.6), channel=RecordingChannel(stop_at=1))
    assert isinstance(channel.ending, Stopped) and channel.files == []
    assert left_in(tmp_path) == []


class Watching(RecordingChannel):
    """Fails if processes run on when files come that have their numbers as names."""

    def attach(self, number: int, name: str, path: str) -> None:
        super().attach(number, name, path)
        wait_until_dead(*map(int, self.files))  # a signal takes its moment


def test_what_it_has_started_writes_no_more_when_files_are_packed(tmp_path: Path) -> None:
    body = """
        import subprocess
        none = subprocess.DEVNULL
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=none, stderr=none)
        open(os.path.join(os.environ["HPO_FOLDER"], str(child.pid)), "w").close()
        print(json.dumps({"acc": 0.5}))
    """
    channel = run(tmp_path, body, files=order_in(tmp_path), channel=Watching())
    assert channel.ending == Finished(7) and channel.files
    assert left_in(tmp_path) == []


def test_on_another_machine_the_folder_lies_beside_the_log(tmp_path: Path) -> None:
    channel = run(tmp_path, WRITE, files=FilesOrder("/no/such/home/trial_files/study", "best", 1))
    assert channel.ending == Finished(7) and channel.files == ["link", "sub/model.pt"]
    folder = Path(channel.logs[7].splitlines()[0])
    assert folder.parts[-2].startswith("hpo-trial-7-") and folder.name == "own"


def test_a_program_whose_files_cannot_be_kept_has_its_value_and_a_note(tmp_path: Path) -> None:
    body = WRITE + "    import shutil; shutil.rmtree(folder)\n"
    channel = run(tmp_path, body, files=order_in(tmp_path))
    assert isinstance(channel.ending, Finished) and "could not be kept" in channel.ending.info["notes"]["files"]
    assert "[hpo: the files in its folder could not be kept" in channel.logs[7]
