"""Clocks that jump: libfaketime in the process, an offset in a file that it reads at each look at the clock.

Only the clock on the wall jumps (CLOCK_REALTIME); those that count on (CLOCK_MONOTONIC, CLOCK_BOOTTIME) cannot, on a
real machine either. strace stands outside and sees the real time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDERS = (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))


def variables(offset: Path) -> dict[str, str]:
    """The environment of a process whose clock follows this file."""
    if not offset.exists():
        jump(offset, 0)
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def jump(offset: Path, seconds: int) -> None:
    """The clock shows the real time and so many seconds more."""
    made = offset.with_suffix(".new")
    made.write_text(f"{seconds:+d}\n")
    made.replace(offset)


@contextmanager
def following(offset: Path) -> Iterator[None]:
    """Processes that are started meanwhile follow the file."""
    before = {name: os.environ.get(name) for name in variables(offset)}
    os.environ.update(variables(offset))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _library() -> Path:
    for folder in FOLDERS:
        for found in sorted(folder.glob("**/faketime/libfaketimeMT.so.1")):
            return found
    raise RuntimeError("libfaketime is missing: apt-get install faketime")
