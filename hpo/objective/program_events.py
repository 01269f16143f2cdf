"""Reports in the event files of TensorBoard, as SummaryWriter of Torch, tensorboardX and TensorFlow write them.

A file is a sequence of records (TFRecord, tensorflow.org/tutorials/load_data/tfrecord): the length (8 bytes, little
endian), its checksum (4), the content, its checksum (4). A content is a message Event of TensorBoard's protocol, which
tensorboardX has as well. Checksums are CRC-32C, masked.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpo.objective.program_reports import Report, report_of

_HEAD = struct.Struct("<QI")
_FLOATS = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}  # TensorFlow's numbers of types: float, double, int32, int64
_CHECKED = 1 << 16  # bytes: larger ones are images, whose checksum would take long in plain Python
_LARGEST = 1 << 30  # bytes of a record: more is no length


# What Keras, TensorFlow's estimators and many scripts call the folders of one training: their tags are the same.
_PARTS = ("train", "training", "validation", "valid", "val", "eval", "evaluation", "test")


class RunNames:
    """The metrics' names of the tags in several folders: TensorBoard calls each folder with event files a run.

    A tag is a metric's name. In a folder below the one that is read which is called `train`, `validation` or the like,
    it is `validation/tag`. In any other folder that has a tag of an earlier one, it has the folder's path before it,
    as far as it is not that one's.

    doubts: which tags are in several folders. refused: why the trial can't go on: one of them is the sweep's metric, so
    nobody knows which is meant; "": it can.
    """

    def __init__(self, metric: str) -> None:
        """metric: the sweep's."""
        self.doubts: dict[str, str] = {}
        self.refused = ""
        self._metric = metric
        self._names: dict[tuple[Path, str], str] = {}
        self._folders: dict[str, Path] = {}  # by the name: whose it is

    def name(self, root: Path, folder: Path, tag: str) -> str:
        """Return a metric's name. root: the folder that is read. folder: of the event file, in it or below."""
        if (folder, tag) not in self._names:
            self._names[folder, tag] = self._new(root, folder, tag)
        return self._names[folder, tag]

    def _new(self, root: Path, folder: Path, tag: str) -> str:
        name = f"{folder.name}/{tag}" if folder != root and folder.name.lower() in _PARTS else tag
        other = self._folders.setdefault(name, folder)
        if other == folder:
            return name
        common = os.path.commonpath((other, folder))
        longer = f"{os.path.relpath(folder, common)}/{tag}".removeprefix("./")
        if name == self._metric:
            self.refused = (
                f"report.tensorboard: the metric {name!r} is in the folders {other} and {folder}: have it read the one "
                f"that is meant"
            )
        self.doubts.setdefault(
            "tensorboard-runs", f"report.tensorboard: {name!r} is in {other} and in {folder}: there it is {longer!r}"
        )
        return longer if longer != name else f"{folder.name}/{tag}"


class EventReader:
    """Reads the scalars that come to an event file, each once: a tag is a metric, its step is the step."""

    def __init__(self, path: Path, metric: str, names: RunNames | None = None, root: Path | None = None) -> None:
        """metric: the sweep's. names: of the tags in all files. root: the folder that is read; default: the file's."""
        self.doubts: dict[str, str] = {}
        self._path = path
        self._metric = metric
        self._names = names or RunNames(metric)
        self._root = root or path.parent
        self._offset = 0

    def skip(self) -> None:
        """Pass over what is there: it is another trial's. Raises OSError if the file can't be read."""
        for _ in self._records():
            pass

    def read(self, last: bool = False) -> Iterator[Report]:
        """Yield the reports of new events; of half a record, which is still being written, nothing.

        Raises OSError if the file can't be read.
        """
        from tensorboardX.proto.event_pb2 import Event  # with protobuf and NumPy: for those who have such files

        for content in self._records():
            event = Event.FromString(content)
            numbers = {
                self._names.name(self._root, self._path.parent, value.tag): number
                for value in event.summary.value
                if (number := _scalar(value)) is not None
            }
            if numbers and (report := report_of(numbers, self._metric, {"step": event.step})):
                yield report

    def _records(self) -> Iterator[bytes]:
        from tensorboardX.record_writer import masked_crc32c

        with self._path.open("rb") as file:
            file.seek(self._offset)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, check = _HEAD.unpack(head)
                if length > _LARGEST or masked_crc32c(head[:8]) != check:
                    self._broken()
                    return
                content, tail = file.read(length), file.read(4)
                if len(tail) < 4:
                    return
                if length < _CHECKED and masked_crc32c(content) != struct.unpack("<I", tail)[0]:
                    self._broken()
                    return
                self._offset = file.tell()
                yield content

    def _broken(self) -> None:
        text = f"report.tensorboard: {self._path} is damaged at byte {self._offset:,}, and not read any further"
        self.doubts.setdefault("tensorboard", text)


def _scalar(value: Any) -> float | None:
    """Return the number of a summary's value, None if it is none: an image, a histogram."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    tensor = value.tensor if value.HasField("tensor") else None
    if tensor is None or any(axis.size != 1 for axis in tensor.tensor_shape.dim) or tensor.dtype not in _FLOATS:
        return None  # TensorFlow 2 writes a scalar as a tensor of one element
    for numbers in (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val):
        if len(numbers) == 1:
            return float(numbers[0])
    form = struct.Struct(_FLOATS[tensor.dtype])
    return float(form.unpack(tensor.tensor_content)[0]) if len(tensor.tensor_content) == form.size else None
