"""A TCP proxy that understands requests and replies (`framing`), springs a `Trap`, and records what passed."""

import itertools
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.framing import Framing, Unit
from tests.chaos.sealed import Seal, Wire
from tests.chaos.trap import Trap, Via
from tests.servers.forwarder import Forwarder, Pair


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request on its way to the server: the moment right before its first byte was forwarded (`time.time`).

    An answer that was recorded stands behind its request and a line break in `about`.
    """

    at: float
    connection: int
    about: bytes


@dataclass(eq=False, kw_only=True)
class _Pair(Pair):
    """`inner` and `outer` are what is read and written: the sockets, or TLS on them."""

    number: int
    inner: Wire
    outer: Wire
    framing: Framing
    lock: threading.Lock = field(default_factory=threading.Lock)
    going: threading.Event = field(default_factory=threading.Event)
    dark: bool = False

    def __post_init__(self) -> None:
        self.going.set()

    def cut(self) -> None:
        self.going.set()
        self.close()


class Tap(Forwarder[_Pair]):
    """Forwards `port` to a server on this machine.

    Attributes:
        port: Where clients connect.
        sent: Requests that `record` matched, and answers whose request `answers` matched, in the order of forwarding.
        refuse: New connections are closed at once.
        delay: Seconds that each unit waits.
        rate: Bytes a second of each direction of each connection; 0: no bound.
        truncate: Answers to clients end here, in the middle of a unit, once (bytes); then the connection is cut.
    """

    def __init__(
        self,
        target_port: int,
        *,
        via: Via,
        framing: Callable[[], Framing],
        trap: Trap,
        record: str = "",
        answers: str = "",
        seal: Seal | None = None,
    ) -> None:
        self.target = target_port
        self.sent: list[Sent] = []
        self.delay = 0.0
        self.rate = 0
        self.truncate = 0
        self.faults = 0
        self._via: Via = via
        self._framing = framing
        self._trap = trap
        self._record = re.compile(record.encode()) if record else None
        self._answers = re.compile(answers.encode()) if answers else None
        self._seal = seal
        self._numbers = itertools.count(1)
        self._dark = False
        super().__init__(("127.0.0.1", target_port))

    def black_hole(self, dark: bool) -> None:
        """From now on nothing passes on any connection (new ones are accepted and get no answer), or again."""
        self._dark = dark
        if not dark:
            self.cut()

    # -- inside ----------------------------------------------------------------------------

    def _accepted(self, client: socket.socket) -> None:
        if self._seal:  # shaking hands takes its time
            threading.Thread(target=super()._accepted, args=(client,), daemon=True).start()
        else:
            super()._accepted(client)

    def _paired(self, client: socket.socket, server: socket.socket) -> _Pair:
        inner, outer = (self._seal.to_client(client), self._seal.to_server(server)) if self._seal else (client, server)
        return _Pair(
            number=next(self._numbers),
            client=client,
            server=server,
            inner=inner,
            outer=outer,
            framing=self._framing(),
        )

    def _forward(self, pair: _Pair, *, upwards: bool) -> None:
        source, sink = (pair.inner, pair.outer) if upwards else (pair.outer, pair.inner)
        while data := source.recv(262_144):
            if pair.dark or self._dark:
                pair.dark = True
                continue  # a black hole takes everything
            with pair.lock:
                units = list(pair.framing.to_server(data) if upwards else pair.framing.to_client(data))
            for unit in units:
                self._pass(pair, unit, sink)

    def _pass(self, pair: _Pair, unit: Unit, sink: Wire) -> None:
        pair.going.wait()
        if pair.dark:
            return
        if self.delay:
            time.sleep(self.delay)
        step = self._trap.meet(self._via, unit)
        if step is None:
            self._send(pair, unit, unit.data, sink)
            return
        pair.going.clear()
        pieces = {"before": 0, "half": (len(unit.data) + 1) // 2, "after": len(unit.data)}
        first = unit.data[: pieces[step.place]]
        if first:
            self._send(pair, unit, first, sink)
        fate = "cut" if step.then == "cut" else self._trap.stopped()
        if fate == "release" and len(first) < len(unit.data):
            self._send(pair, unit, unit.data[len(first) :], sink, recorded=bool(first))
        pair.dark = fate == "hold"
        pair.going.set()
        if fate == "cut":
            pair.close()
            raise OSError("cut by the trap")

    def _send(self, pair: _Pair, unit: Unit, data: bytes, sink: Wire, *, recorded: bool = False) -> None:
        if not recorded:
            self._note(pair, unit)
        if self.truncate and unit.side != "request" and len(data) > self.truncate:
            size, self.truncate = self.truncate, 0
            self.faults += 1
            sink.sendall(data[:size])
            pair.close()
            raise OSError("truncated")
        if not self.rate:
            sink.sendall(data)
            return
        step = max(1, self.rate // 20)
        for at in range(0, len(data), step):
            sink.sendall(data[at : at + step])
            time.sleep(0.05)

    def _note(self, pair: _Pair, unit: Unit) -> None:
        now = time.time()
        if unit.side == "request" and self._record and self._record.search(unit.about):
            self.sent.append(Sent(at=now, connection=pair.number, about=unit.about))
        elif unit.side == "reply" and self._answers and self._answers.search(unit.about):
            self.sent.append(Sent(at=now, connection=pair.number, about=unit.about + unit.data))
