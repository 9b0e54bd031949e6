"""A TensorBoard file of our own: the usual writer puts the computer's name into the file's."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardFile:
    """Scalars and pictures of one part of a training.

    Args:
        folder: Of this part; a resumed training adds a file, and what it repeats replaces what
            the files before it said from that step on.
    """

    def __init__(self, folder: Path) -> None:
        # Not at the top: nothing but a training needs it.
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._events: Any = event_pb2
        self._summaries: Any = summary_pb2
        folder.mkdir(parents=True, exist_ok=True)
        self._resumes = any(folder.iterdir())
        name = f"events.out.tfevents.{time.time_ns() // 1000}.{os.getpid()}"
        # Unbuffered: what was written survives a kill.
        self._file = (folder / name).open("wb", buffering=0)
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add figures by name, e.g. "loss/segmentation", at a step counted from 1."""
        summary = self._summaries.Summary(
            value=[
                self._summaries.Summary.Value(tag=name, simple_value=value)
                for name, value in values.items()
            ]
        )
        self._add(step, summary)

    def add_picture(self, step: int, name: str, png: bytes) -> None:
        """Add a picture that is a PNG file."""
        width, height = struct.unpack(">II", png[16:24])
        image = self._summaries.Summary.Image(
            width=width, height=height, colorspace=3, encoded_image_string=png
        )
        value = self._summaries.Summary.Value(tag=name, image=image)
        self._add(step, self._summaries.Summary(value=[value]))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, step: int, summary: Any) -> None:
        if self._resumes:
            self._resumes = False
            start = self._events.SessionLog(status=self._events.SessionLog.START)
            self._write(step=step, session_log=start)
        self._write(step=step, summary=summary)

    def _write(self, **content: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())
