"""What the demo prints: headings, commands with their output, tables that fit the terminal, one line of progress."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size

COLOURS = sys.stdout.isatty()


def width() -> int:
    return min(shutil.get_terminal_size((120, 40)).columns, 120)


def heading(text: str) -> None:
    say()
    say(_coloured(f"── {text} " + "─" * max(0, width() - len(text) - 4), "1;36"))


def say(text: str = "") -> None:
    print(text, flush=True)


def command(text: str) -> None:
    """Shows a command as a person would type it."""
    say(_coloured(f"$ {text}", "1"))


def show(text: str) -> None:
    """Output of a command, cut at the right edge of the terminal."""
    for line in text.rstrip().splitlines():
        say(line if len(line) <= width() else line[: width() - 1] + "…")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be; the widest are cut until all fit the terminal."""
    lines = [list(header), *[[" ".join(cell.split()) for cell in row] for row in rows]]
    widths = [min(max(cell_len(line[i]) for line in lines), 34) for i in range(len(header))]
    while sum(widths) + 2 * len(widths) - 2 > width() and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    cells = [[_cut(cell, size) for cell, size in zip(line, widths, strict=True)] for line in lines]
    say("\n".join("  ".join(line).rstrip() for line in cells))


def wait(what: str, condition: Callable[[], object], *, seconds: float = 300.0) -> None:
    """Waits with a line that shows for how long.

    Raises:
        RuntimeError: it did not happen in time.
    """
    began = time.monotonic()
    while not condition():
        spent = time.monotonic() - began
        if spent > seconds:
            raise RuntimeError(f"waited {seconds:.0f} s for {what}, in vain")
        progress(f"waiting for {what} … {spent:.0f} s")
        time.sleep(0.5)
    progress("")


def progress(text: str) -> None:
    """One line that replaces itself; nothing where there is no terminal."""
    if COLOURS:
        print("\r\033[K" + text[: width() - 1], end="", flush=True)


def follow(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Shows the last line of a log until the process ends: in one line on a terminal, else each new one."""
    shown = ""
    while process.poll() is None:
        lines = log.read_text(errors="replace").replace("\r\033[K", "\n").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        if COLOURS:
            progress(last)
        elif last != shown:
            say(last)
        shown = last
        time.sleep(1.0 if COLOURS else 5.0)
    progress("")


def run(arguments: Sequence[str], *, env: Mapping[str, str]) -> int:
    """Runs a command that prints for itself."""
    return subprocess.run(arguments, env=dict(env), check=False).returncode


def _cut(text: str, size: int) -> str:
    """The text in that many cells of a terminal; a wide character takes two."""
    return set_cell_size(text, size) if cell_len(text) <= size else set_cell_size(text, size - 1) + "…"


def _coloured(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOURS else text
