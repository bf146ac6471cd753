"""What the scripted servers (imapfake.py, pop3fake.py) have in common, whatever they speak."""

import contextlib
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from tests.servers.certs import Certificates
from tests.servers.listener import Listener

SILENCE = b"\0silence"
"""As an answer: none at all, the connection stays open."""
CUT = b"\0cut"
"""In an answer: what stands before it is sent, then the connection ends."""


class FakeQuirks(Protocol):
    """How a server differs from a good one; may be changed while it runs."""

    greeting: bytes


class FakeSession(ABC):
    """One connection."""

    def __init__(self, server: "FakeServer[Any]", sock: socket.socket) -> None:
        self.server = server
        self.sock = sock

    @abstractmethod
    def serve(self) -> None:
        """Reads commands and answers them until the client is gone; an `AssertionError` is a fault of the client."""

    def run(self) -> None:
        try:
            self.send(self.server.quirks.greeting)
            self.serve()
        except AssertionError as e:
            self.server.faults.append(f"{self.server.commands[-1]}: {e}")
        except OSError:
            pass  # cut, by us or by the client
        finally:
            self.end()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def send(self, data: bytes) -> None:
        before, cut, _ = data.partition(CUT)
        self.server.sent += len(before)
        self.sock.sendall(before)
        if cut:
            self.end()
            raise OSError("cut")


AnySession = TypeVar("AnySession", bound=FakeSession)


class FakeServer(ABC, Generic[AnySession]):
    """Listens on a free port of 127.0.0.1; user `user`, password `pass`."""

    quirks: FakeQuirks

    def __init__(self, *, certificates: Certificates | None) -> None:
        self.commands: list[str] = []
        self.secrets: list[bytes] = []
        self.faults: list[str] = []
        self.sent = 0
        """Bytes that the server has sent."""
        self.sessions: list[AnySession] = []
        self._certificates = certificates
        self.told = threading.Condition()
        self._listener = Listener(self._accepted)
        self.port = self._listener.port

    @abstractmethod
    def session(self, sock: socket.socket) -> AnySession:
        """What serves a new connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.close()
        for session in self.sessions:
            session.end()
        if error is None and self.faults:
            raise AssertionError(f"the fake server saw: {self.faults}")

    def record(self, command: str) -> None:
        """Keeps a command that was received."""
        with self.told:
            self.commands.append(command)
            self.told.notify_all()

    def await_command(self, name: str) -> None:
        """Returns when a command was received that begins so."""
        with self.told:
            heard = self.told.wait_for(lambda: any(c.startswith(name) for c in self.commands), timeout=60)
            assert heard, self.commands

    def context(self) -> ssl.SSLContext:
        assert self._certificates is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates.certificate("server"), self._certificates.key("server"))
        return context

    def _accepted(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = self.session(sock)
        self.sessions.append(session)
        threading.Thread(target=session.run, daemon=True).start()
