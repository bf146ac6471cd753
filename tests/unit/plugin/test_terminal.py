"""On a real terminal (a pseudo-terminal): colours, and tables as wide as the window."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRINT = """
import sys
from kubectl_mailfetch.output import console, print_listing
from kubectl_mailfetch.rows import listing
from tests.unit.plugin.samples import NOW
from tests.unit.plugin.test_output import MANY
print_listing(listing(MANY, now=NOW, wide=False, namespaces=True), MANY, out=console(), wide=False)
"""
ASK = """
from kubectl_mailfetch.options import talk
print("answer:", talk(yes=False, timeout=0).ask("Enable support?"))
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_a_terminal(code: str, *, columns: int = 80, typed: bytes = b"", **env: str) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    environment = {**kept, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **env}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    os.write(ours, typed)
    written = b""
    with contextlib.suppress(OSError):  # EIO: the other side was closed
        while chunk := os.read(ours, 65536):
            written += chunk
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_is_coloured_and_fits_the_window(columns: int) -> None:
    text = on_a_terminal(PRINT, columns=columns)
    lines = COLOUR.sub("", text).splitlines()
    assert COLOUR.search(text)
    assert max(map(len, lines)) <= columns
    assert len(lines) == 3


def test_no_color_is_respected() -> None:
    text = on_a_terminal(PRINT, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)


@pytest.mark.parametrize(("typed", "answer"), [(b"y\n", "True"), (b"\n", "False"), (b"n\n", "False")])
def test_a_question_is_no_unless_answered_yes(typed: bytes, answer: str) -> None:
    assert f"answer: {answer}" in on_a_terminal(ASK, typed=typed)
