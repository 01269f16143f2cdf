"""Reports in files that a program writes: CSV tables, and event files of TensorBoard."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.record_writer import RecordWriter

from hpo.events import Failed, Finished, Stopped
from hpo.objective.program_events import EventReader
from hpo.objective.program_files import ReportFiles, path_faults
from hpo.objective.program_reports import Report
from hpo.objective.program_tables import TableReader
from hpo.spec.sweep import Sweep

from .program_support import RecordingChannel, run

Found = list[tuple[dict[str, float], dict[str, float]]]


def plain(reports: object) -> Found:
    assert isinstance(reports, list) and all(isinstance(each, Report) for each in reports)
    return [(dict(each.metrics), dict(each.positions)) for each in reports]


def rows(path: Path, last: bool = False) -> Callable[..., Found]:
    reader = TableReader(path, "acc")
    return lambda last=last: plain(list(reader.read(last)))


def test_a_table_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,accuracy,acc,note\n")
    new = rows(path)
    assert new() == []
    with path.open("a") as file:
        file.write("0,1e-3,0.5,x\n1,nan")
    assert new() == [({"accuracy": 0.001, "acc": 0.5}, {"epoch": 0})]
    with path.open("a") as file:
        file.write("\n2,,0.75\n\n3,1,")
    [(first, at), second] = new()
    assert first["accuracy"] != first["accuracy"] and at == {"epoch": 1} and second == ({"acc": 0.75}, {"epoch": 2})
    assert new() == []
    assert new(last=True) == [({"accuracy": 1.0}, {"epoch": 3})]


def test_a_table_that_is_written_again_with_another_column(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"  # as Lightning's logger does
    path.write_text("epoch,step,train_loss\n0,9,3.0\n0,19,2.0\n")
    new = rows(path)
    assert [at for _, at in new()] == [{"epoch": 0, "step": 9}, {"epoch": 0, "step": 19}]
    path.write_text("acc,epoch,step,train_loss\n,0,9,3.0\n,0,19,2.0\n0.5,0,19,\n")
    assert new() == [({"acc": 0.5}, {"epoch": 0, "step": 19})]
    path.write_text("acc,epoch\n0.25,0\n")  # another fold: all of it is new
    assert new() == [({"acc": 0.25}, {"epoch": 0})]
    path.write_text("acc,epoch\n0.75,0\n")
    assert new() == [({"acc": 0.75}, {"epoch": 0})]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_separators_quotes_and_a_bom(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "log.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([[" Epoch", "acc", "val/loss, mean"], ["1.0", "0.5", "2"], ["2", "high", "3"]])
    reader = TableReader(path, "acc")
    assert plain(list(reader.read())) == [
        ({"acc": 0.5, "val/loss, mean": 2.0}, {"epoch": 1}), ({"val/loss, mean": 3.0}, {"epoch": 2}),
    ]  # fmt: skip
    assert reader.doubts == {"csv": f"report.csv: 'acc' in {path} is 'high', no number"}


def test_events_of_a_real_writer(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            writer.add_scalar("val/acc", step / 4, step)
        writer.add_histogram("weights", [1.0, 2.0], 3)
        writer.add_text("words", "none", 3)
        writer.add_scalars("losses", {"train": 1.0}, 4)
    [path] = tmp_path.glob("*tfevents*")
    reader = EventReader(path, "val/acc")
    assert plain(list(reader.read())) == [({"val/acc": step / 4}, {"step": step}) for step in range(3)]
    assert list(reader.read()) == [] and not reader.doubts


def test_half_a_record_waits_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "whole")) as writer:
        writer.add_scalar("acc", 0.5, 1)
        writer.add_scalar("acc", 0.75, 2)
    [whole] = (tmp_path / "whole").iterdir()
    content, path = whole.read_bytes(), tmp_path / "events"
    path.write_bytes(b"")
    reader = EventReader(path, "acc")
    found = []
    for byte in content:
        with path.open("ab") as file:
            file.write(bytes([byte]))
        found += plain(list(reader.read()))
    assert found == [({"acc": 0.5}, {"step": 1}), ({"acc": 0.75}, {"step": 2})]
    damaged = bytearray(content)
    damaged[-8] ^= 1
    path.write_bytes(damaged)
    reader = EventReader(path, "acc")
    assert len(list(reader.read())) == 1 and "is damaged at byte" in reader.doubts["tensorboard"]


def test_scalars_that_are_tensors(tmp_path: Path) -> None:
    one = TensorProto(dtype=1, float_val=[0.5])
    packed = TensorProto(dtype=2, tensor_content=b"\x00\x00\x00\x00\x00\x00\xe8?")
    several = TensorProto(dtype=1, float_val=[1.0, 2.0])
    values = [Summary.Value(tag=tag, tensor=each) for tag, each in (("a", one), ("acc", packed), ("many", several))]
    writer = RecordWriter(str(tmp_path / "events"))
    writer.write(Event(step=7, summary=Summary(value=values)).SerializeToString())
    writer.close()
    assert plain(list(EventReader(tmp_path / "events", "acc").read())) == [({"a": 0.5, "acc": 0.75}, {"step": 7})]


TABLE = """
    import csv
    from pathlib import Path
    folder = Path(os.environ["HPO_FOLDER"], "logs", "version_0")
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "acc"])
        for epoch in range({epochs}):
            writer.writerow([epoch, epoch / 4])
            file.flush()
            time.sleep({pause})
"""


def test_a_program_that_writes_a_table(tmp_path: Path) -> None:
    reports = {"csv": "${HPO_FOLDER}/**/metrics.csv"}
    channel = run(tmp_path, TABLE.format(epochs=3, pause=0), reports=reports)
    assert channel.ending == Finished(7)
    assert channel.reports == [(epoch, {"acc": epoch / 4}) for epoch in range(3)]
    channel = run(
        tmp_path, TABLE.format(epochs=10**6, pause=0.05), reports=reports, channel=RecordingChannel(stop_at=1)
    )
    assert channel.ending == Stopped(7)


def test_a_program_that_writes_events(tmp_path: Path) -> None:
    body = """
        from tensorboardX import SummaryWriter
        with SummaryWriter(os.path.join(os.environ["HPO_FOLDER"], "runs", "a")) as writer:
            writer.add_scalar("loss", 3.0, 1)
            writer.add_scalar("acc", 0.5, 1)
    """
    channel = run(tmp_path, body, reports={"tensorboard": "${HPO_FOLDER}/runs"})
    assert channel.reports == [(1, {"loss": 3.0}), (1, {"acc": 0.5})] and channel.ending == Finished(7)


def test_what_an_earlier_trial_left_is_none_of_its_reports(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,acc\n1,0.25\n")
    body = "open('log.csv', 'a').write('2,0.5\\n')"
    assert run(tmp_path, body, reports={"csv": "log.csv"}).reports == [(2, {"acc": 0.5})]
    ending = run(tmp_path, "pass", reports={"csv": "log.csv"}).ending
    assert isinstance(ending, Failed) and "never reported 'acc'" in ending.error
    late = run(tmp_path, "print('begun'); open('late.csv', 'w').write('acc\\n1\\n')", reports={"csv": "late.csv"})
    assert late.ending == Finished(7) and late.logs[7] == "begun\n"
    ending = run(tmp_path, "pass", reports={"csv": "lag.csv"}).ending
    assert isinstance(ending, Failed) and f"report.csv: there is no file {tmp_path}/lag.csv" in ending.error


def test_folders_whose_names_are_patterns(tmp_path: Path) -> None:
    place = tmp_path / "run [1]*"
    place.mkdir()
    files = ReportFiles({"csv": "${HPO_FOLDER}/a.csv"}, {"HPO_FOLDER": str(place)}, tmp_path, "acc")
    (place / "a.csv").write_text("acc\n1\n")
    assert plain(list(files.read())) == [({"acc": 1.0}, {})]
    assert list(files.read()) == [] and bool(files) and not ReportFiles({}, os.environ, tmp_path, "acc")


def test_paths_with_unknown_variables_are_refused() -> None:
    [fault] = path_faults({"csv": "${HPO_FOLDR}/a.csv"})
    assert fault.path == ("report", "csv") and fault.remedy == "did you mean 'HPO_FOLDER'?"


def test_a_file_that_all_trials_write_is_told(load: Callable[..., Sweep]) -> None:
    def told(path: str, *overrides: str) -> bool:
        sweep = load(f"program: a.py\nreport: {{csv: '{path}'}}", *overrides)
        return any("names one place for all trials" in note for note in sweep.notes)

    assert told("log.csv") and not told("log.csv", "engine.workers=1")
    assert not told("${HPO_FOLDER}/log.csv") and not told("logs/${HPO_TRIAL}.csv")


def test_a_table_that_is_seen_while_it_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    new, lines, found = rows(path), ["epoch,acc\n"], []
    for epoch in range(4):
        lines.append(f"{epoch},{epoch / 4}\n")
        for shown in (0, 1, 2, len(lines)):
            path.write_text("".join(lines[:shown]))
            found += new()
    assert found == [({"acc": epoch / 4}, {"epoch": epoch}) for epoch in range(4)]


def test_a_table_that_each_trial_writes_anew(tmp_path: Path) -> None:
    body = """
        with open("log.csv", "w") as file:
            file.write("epoch,acc\\n" + "".join(f"{epoch},{epoch / 4}\\n" for epoch in range(3)))
    """
    for _ in range(2):
        channel = run(tmp_path, body, reports={"csv": "log.csv"})
        assert channel.reports == [(epoch, {"acc": epoch / 4}) for epoch in range(3)]
    swap = body + "\n        os.replace('log.csv', 'moved'); os.replace('moved', 'log.csv')\n"
    assert len(run(tmp_path, swap, reports={"csv": "log.csv"}).reports) == 3
    assert run(tmp_path, "print('{\"acc\": 1}')", reports={"csv": "log.csv"}).reports == [(1, {"acc": 1.0})]


def test_a_header_behind_rows_names_the_columns_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,acc,loss\n0,0.9,2.0\n")
    new = rows(path)
    assert new() == [({"acc": 0.9, "loss": 2.0}, {"epoch": 0})]
    with path.open("a") as file:
        file.write("Epoch,loss,acc\n0,1.0,0.95\nacc,loss\nhigh,low\n0.5,3\n")
    assert new() == [
        ({"acc": 0.95, "loss": 1.0}, {"epoch": 0}), ({"acc": 0.5, "loss": 3.0}, {}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found", "told"),
    [
        ("# made by me\n#2024\nepoch,acc\n0,0.5\n", [({"acc": 0.5}, {"epoch": 0})], ""),
        ("\n# epoch;acc\n0;0.5\n", [({"acc": 0.5}, {"epoch": 0})], ""),
        ("epoch acc\n0 0.5\n", [], "has one column, 'epoch acc'"),
        ("0,0.5\n1,0.75\n", [], "must name the columns"),
        ("epoch,acc\n0,0,5\n1,0.5,\n", [({"acc": 0.5}, {"epoch": 1})], "a row has 3 columns, and its header 2"),
    ],
)
def test_tables_of_other_forms(tmp_path: Path, text: str, found: Found, told: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    reader = TableReader(tmp_path / "log.csv", "acc")
    assert plain(list(reader.read())) == found
    assert told in reader.doubts.get("csv", "") and bool(reader.doubts) is bool(told)


def write_events(folder: Path, tag: str, value: float) -> None:
    with SummaryWriter(str(folder)) as writer:
        writer.add_scalar(tag, value, 1)


def test_the_folders_of_one_training_have_names_of_their_own(tmp_path: Path) -> None:
    files = ReportFiles({"tensorboard": "logs"}, {}, tmp_path, "validation/acc")
    for part, value in (("train", 0.9), ("validation", 0.5)):
        write_events(tmp_path / "logs" / "a" / part, "acc", value)
    assert plain(list(files.read())) == [
        ({"train/acc": pytest.approx(0.9)}, {"step": 1}), ({"validation/acc": 0.5}, {"step": 1}),
    ]  # fmt: skip
    assert not files.refused and not files.doubts
    one = ReportFiles({"tensorboard": "other/validation"}, {}, tmp_path, "acc")
    write_events(tmp_path / "other" / "validation", "acc", 0.25)
    assert plain(list(one.read())) == [({"acc": 0.25}, {"step": 1})]


@pytest.mark.parametrize("pattern", ["logs", "logs/*"])
def test_a_tag_of_several_folders_is_told_and_the_metric_refused(tmp_path: Path, pattern: str) -> None:
    files = ReportFiles({"tensorboard": pattern}, {}, tmp_path, "acc")
    for part, value in (("one", 1), ("two", 2)):
        write_events(tmp_path / "logs" / part, "loss", value)
    assert plain(list(files.read())) == [({"loss": 1.0}, {"step": 1}), ({"two/loss": 2.0}, {"step": 1})]
    assert not files.refused and "'two/loss'" in files.doubts["tensorboard-runs"]
    body = """
        from tensorboardX import SummaryWriter
        for part in ("a", "b"):
            with SummaryWriter(os.path.join(os.environ["HPO_FOLDER"], "runs", part)) as writer:
                writer.add_scalar("acc", 0.5, 1)
    """
    ending = run(tmp_path, body, reports={"tensorboard": "${HPO_FOLDER}/runs"}).ending
    assert isinstance(ending, Failed) and "the metric 'acc' is in the folders" in ending.error
