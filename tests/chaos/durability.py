"""When Redis had what on its disk: its writes to the append-only file and its fsyncs, as the kernel saw them (strace).

A kill leaves the page cache alone, so no kill shows that something was touched too early. The record does: a mail is
durable when an fsync ended that began after the write that holds the `EXEC` of its commit.
"""

import contextlib
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.servers.redis import RedisServer, wait_until

_CALL = re.compile(
    r"^(?P<at>\d+\.\d+) (?P<call>write|fdatasync|fsync)\(\d+<(?P<path>[^>]*)>.*\)"
    r"\s+= (?P<result>-?\d+).*<(?P<took>[\d.]+)>"
)
AOF = {"auto-aof-rewrite-percentage": "0"}
"""Settings of a Redis that is recorded: its file only grows."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A write that made the file `size` bytes long, or an fsync; `thread` made it."""

    thread: str
    began: float
    ended: float
    size: int = 0

    def covers(self, write: "_Call") -> bool:
        """This fsync began when the write had ended: one thread does one after the other, whatever its clock says."""
        return self.began >= (write.began if self.thread == write.thread else write.ended)


@dataclass(frozen=True)
class _Life:
    """What one process did with one file."""

    writes: list[_Call] = field(default_factory=list)
    syncs: list[_Call] = field(default_factory=list)


class Disk:
    """Records one server; `begin` again after each start of its process."""

    def __init__(self, server: RedisServer, directory: Path, *, write: Callable[[], object]) -> None:
        """Records nothing yet.

        Args:
            server: Which.
            directory: For the records.
            write: Makes this server write something (on a replica: what its master writes comes to it).
        """
        self._server = server
        self._write = write
        self._directory = directory
        self._lives: list[_Life] = []
        self._tracer: subprocess.Popen[bytes] | None = None
        self._base = 0
        self._number = 0

    def begin(self) -> None:
        """Attaches to the server that runs now; nothing may write yet."""
        self._number += 1
        with contextlib.closing(self._server.client()) as client:
            pid = str(client.info("server")["process_id"])
        command = ["strace", "-f", "-ff", "-qq", "-ttt", "-T", "-y", "-s", "0", "-e", "trace=write,fdatasync,fsync"]
        # In a session of its own: Ctrl-C must not end the tracer before what it traces.
        self._tracer = subprocess.Popen([*command, "-o", str(self._prefix), "-p", pid], start_new_session=True)
        wait_until(self._sees, what="strace (may this process trace others? see ptrace(2))")

    def end(self) -> None:
        """Takes up what the process did that ended, or detaches from it."""
        if self._tracer is None:
            return
        self._tracer.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._tracer.wait(20)
        self._tracer = None
        self._lives.append(self._read())

    @property
    def file(self) -> Path:
        """The append-only file that grows."""
        return max((self._server.data / "appendonlydir").glob("*.incr.aof"))

    def durable(self, stream: str) -> dict[str, float]:
        """For each mail of the stream, sha256 → the moment from which its first entry was on disk; inf: never yet."""
        lives = [*self._lives, *([self._read()] if self._tracer else [])]
        found: dict[str, float] = {}
        for end, arguments in _additions(self.file.read_bytes()):
            if arguments[0].upper() == b"FLUSHALL":
                found.clear()
            if arguments[0].upper() != b"XADD" or arguments[1] != stream.encode():
                continue
            fields = dict(zip(arguments[3::2], arguments[4::2], strict=True))
            key = fields[b"sha256"].decode()
            moment = min((_when(life, end) for life in lives), default=float("inf"))
            found[key] = min(moment, found.get(key, float("inf")))
        return found

    def _sees(self) -> bool:
        """A write that is seen proves that it works; what was written before makes the size to begin with."""
        assert self._tracer
        if self._tracer.poll() is not None:
            raise RuntimeError("strace ended; it needs the right to trace other processes (CAP_SYS_PTRACE)")
        self._write()
        seen = self._written()
        self._base = self.file.stat().st_size - seen
        return seen > 0 and seen == self._written()

    def _written(self) -> int:
        return sum(call.size for name, call in self._calls() if name == "write")

    def _read(self) -> _Life:
        # What an earlier process left in the page cache: any fsync covers it.
        life = _Life(writes=[_Call(thread="", began=0.0, ended=0.0, size=self._base)])
        size = self._base
        for name, call in self._calls():
            if name == "write":
                size += call.size
                life.writes.append(replace(call, size=size))
            else:
                life.syncs.append(call)
        return life

    def _calls(self) -> list[tuple[str, _Call]]:
        """In the order of time."""
        calls: list[tuple[str, _Call]] = []
        for file in self._prefix.parent.glob(f"{self._prefix.name}.*"):
            for line in file.read_text(errors="replace").splitlines():
                match = _CALL.match(line)
                if match and match["path"].endswith(".incr.aof") and int(match["result"]) >= 0:
                    calls.append((match["call"], _call(match, thread=file.suffix)))
        return sorted(calls, key=lambda one: one[1].began)

    @property
    def _prefix(self) -> Path:
        return self._directory / f"strace-{self._server.port}-{self._number}"


def _call(match: re.Match[str], *, thread: str) -> _Call:
    began = float(match["at"])
    return _Call(thread=thread, began=began, ended=began + float(match["took"]), size=int(match["result"]))


def _when(life: _Life, end: int) -> float:
    """The end of the first fsync behind the write which completed the file up to there."""
    write = next((write for write in life.writes if write.size >= end), None)
    if write is None:
        return float("inf")
    return next((sync.ended for sync in life.syncs if sync.covers(write)), float("inf"))


def _additions(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Each XADD (and FLUSHALL) of a file, with the offset at which it counts: behind the EXEC that follows."""
    at, waiting, inside = 0, [], False
    while at < len(data):
        if data[at : at + 1] != b"*":  # an annotation, up to the end of its line
            at = data.index(b"\n", at) + 1
            continue
        line = data.find(b"\r\n", at)
        count = int(data[at + 1 : line])
        at, arguments = line + 2, []
        for _ in range(count):
            line = data.find(b"\r\n", at)
            if line < 0:
                return
            size = int(data[at + 1 : line])
            arguments.append(data[line + 2 : line + 2 + size])
            at = line + 4 + size
        if at > len(data):
            return  # cut off in the middle
        name = arguments[0].upper()
        if name == b"MULTI":
            inside = True
        elif name in (b"XADD", b"FLUSHALL"):
            waiting.append(arguments)
        if name == b"EXEC":
            inside = False
        if not inside:
            yield from ((at, one) for one in waiting)
            waiting = []
