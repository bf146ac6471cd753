"""A terminal of 120 columns in which a test types commands; everything that was on the screen is its transcript."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LINES, COLUMNS = 50, 120
Masks = Sequence[tuple[str, str]]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_QUESTION = b"[y/N]: "


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A command as it was typed, and what came on the screen, without colours.

    Attributes:
        masks: What differs from run to run on this screen only: pattern, what stands for it.
    """

    command: str
    text: str
    masks: Masks = ()


class Terminal:
    """Where a person sits; `screens` is all that they saw."""

    def __init__(self, *, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        theirs = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
        self._env = {**theirs, "TERM": "xterm-256color", **env}
        self.screens: list[Screen] = []

    def type(self, command: str, *answers: str, code: int = 0, masks: Masks = ()) -> str:
        """Types a command, and an answer at each question; returns what came on the screen.

        Raises:
            AssertionError: the exit code is another one.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        shell = ["bash", "-c", command]
        with subprocess.Popen(
            shell, cwd=self._folder, env=self._env, stdin=theirs, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            screen = _COLOUR.sub("", _conversation(ours, list(answers)).decode().replace("\r\n", "\n"))
        os.close(ours)
        self.screens.append(Screen(command=command, text=screen, masks=masks))
        assert process.returncode == code, f"$ {command}\n{screen}\nexit code {process.returncode} instead of {code}"
        return screen


def _conversation(terminal: int, answers: list[str]) -> bytes:
    written = b""
    with contextlib.suppress(OSError):  # EIO: the program ended
        while chunk := os.read(terminal, 65536):
            written += chunk
            if answers and written.endswith(_QUESTION):
                os.write(terminal, f"{answers.pop(0)}\n".encode())
    return written
