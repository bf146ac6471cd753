"""Clocks that jump: a file says by how much, and a process reads it at each look at the clock on the wall.

Redis under libfaketime, the fetcher by `clock/sitecustomize.py`. Only CLOCK_REALTIME jumps: those that count on
(CLOCK_MONOTONIC, CLOCK_BOOTTIME) cannot on a real machine either. strace stands outside and sees the real time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDERS = (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))


def of_redis(offset: Path) -> dict[str, str]:
    """The environment of a Redis whose clock follows this file."""
    _begin(offset)
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def of_python(offset: Path) -> dict[str, str]:
    """The environment of a Python process whose clock follows this file."""
    _begin(offset)
    return {"PYTHONPATH": str(Path(__file__).with_name("clock")), "MAILFETCH_CHAOS_CLOCK": str(offset)}


def jump(offset: Path, seconds: int) -> None:
    """The clock shows the real time and so many seconds more."""
    made = offset.with_suffix(".new")
    made.write_text(f"{seconds:+d}\n")
    made.replace(offset)


@contextmanager
def following(offset: Path) -> Iterator[None]:
    """Processes that are started meanwhile follow the file."""
    before = {name: os.environ.get(name) for name in of_redis(offset)}
    os.environ.update(of_redis(offset))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(offset: Path) -> None:
    if not offset.exists():
        jump(offset, 0)


def _library() -> Path:
    for folder in FOLDERS:
        for found in sorted(folder.glob("**/faketime/libfaketimeMT.so.1")):
            return found
    raise RuntimeError("libfaketime is missing: apt-get install faketime")
