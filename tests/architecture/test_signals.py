"""The binding of Qt that Islet pins must survive many signals."""

from __future__ import annotations

import subprocess
import sys

# PySide6 6.12.0 on Python 3.11 drops a reference to True with every emit; the interpreter then
# aborts ("deallocating True or False"). No report upstream is known; hence the pin of 6.11.2.
_PROGRAM = """
import sys
from PySide6.QtCore import QCoreApplication, QObject, Signal

application = QCoreApplication([])

class Sender(QObject):
    told = Signal(int)

sender = Sender()
before = sys.getrefcount(True)
for number in range(5000):
    sender.told.emit(number)
sys.exit(sys.getrefcount(True) < before - 100)
"""


def test_many_signals_leave_the_interpreter_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
