from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.log_file import FramesOnlyFormatter, start_log


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield root
    for handler in [handler for handler in root.handlers if handler not in before]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_the_log_says_where_an_error_was_but_not_its_words(
    tmp_path: Path, root_logger: logging.Logger
) -> None:
    start_log(tmp_path)
    try:
        Path("/data/Doe^Jane/slice.dcm").read_bytes()
    except FileNotFoundError:
        logging.getLogger("islet.test").exception("Reading failed")
    text = (tmp_path / "islet.log").read_text(encoding="utf-8")
    assert "Reading failed" in text
    assert "FileNotFoundError" in text
    assert "test_log_file.py" in text
    assert "No such file" not in text


def test_a_folder_that_cannot_be_written_leaves_the_program_without_a_log(
    tmp_path: Path, root_logger: logging.Logger
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    num_handlers = len(root_logger.handlers)
    start_log(blocked / "folder")
    assert len(root_logger.handlers) == num_handlers


def test_no_error_has_no_details() -> None:
    assert FramesOnlyFormatter().formatException((None, None, None)) == ""
