"""Many sessions in one process: follows `assignments.json` live, one thread per mailbox; one never stops another."""

import logging
import threading
from pathlib import Path

from mailfetch_fetcher import metrics
from mailfetch_fetcher.contract.assignment import Assignment, Assignments, decode, fingerprint
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.memory import Memory, memory_of
from mailfetch_fetcher.session import Session

log = logging.getLogger(__name__)

GRACE = 8.0
"""Seconds a session has to end by itself (all are asked at once) before its connection is cut."""
AFTER_CUT = 5.0
"""Seconds for what is left then: giving back the lease. Together well within a pod's 30 seconds."""
_LOOK = 1.0


class AssignmentFile:
    """Reads the file again when it changed; a file that cannot be read changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: bytes | None = None

    def poll(self) -> Assignments | None:
        """The assignments if they changed since the last call, else None."""
        try:
            text = self._path.read_bytes()
        except OSError as e:
            if self._last is None:
                log.warning("cannot read %s yet: %s", self._path, e.strerror)
            return None
        if text == self._last:
            return None
        self._last = text
        try:
            return decode(text)
        except ValueError as e:
            log.error("%s is not valid and changes nothing: %s", self._path, e)
            return None


class Pool:
    """Keeps one session for each assignment. All methods are for the main thread, except `trouble`."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._wanted: dict[str, tuple[Assignment, str]] = {}
        self._sessions: dict[str, tuple[Session, tuple[Assignment, str]]] = {}
        self._leaving: dict[str, tuple[Session, float]] = {}
        self._memories: dict[str, tuple[object, Memory]] = {}
        self._ticked = env.clock.monotonic()

    def assign(self, assignments: Assignments) -> None:
        """Takes over a new set of assignments; `tick` carries it out."""
        before = set(self._wanted)
        self._wanted = {a.name: (a, assignments.cluster_id) for a in assignments.connections}
        if set(self._wanted) != before:
            log.info("connections: %s", ", ".join(self._wanted) or "none")

    def tick(self) -> None:
        """Brings the sessions in line with the assignments. Call about once a second."""
        self._collect()
        for name, (session, running) in list(self._sessions.items()):
            wanted = self._wanted.get(name)
            if session.join(0.0):
                log.error("a session ended unasked; it is started again", extra={"connection": name})
                self._leave(name, session)
            elif wanted is None or _differs(wanted, running):
                self._leave(name, session)
            elif wanted[0] != running[0]:
                session.update(wanted[0])
                self._sessions[name] = (session, wanted)
        for name, wanted in self._wanted.items():
            if name not in self._sessions and name not in self._leaving:
                assignment, cluster_id = wanted
                session = Session(
                    assignment=assignment, cluster_id=cluster_id, env=self._env, memory=self._memory(assignment)
                )
                session.start()
                self._sessions[name] = (session, wanted)
        self._ticked = self._env.clock.monotonic()

    def run(self, *, stop: threading.Event, file: AssignmentFile) -> bool:
        """Until `stop` is set; True if all sessions ended in time."""
        while not stop.is_set():
            try:
                if found := file.poll():
                    self.assign(found)
                self.tick()
            except Exception:  # the sessions go on; if it lasts, `trouble` tells
                log.exception("internal error in the main loop")
            stop.wait(_LOOK)
        return self.stop()

    def stop(self) -> bool:
        """Ends all sessions: each finishes or abandons its batch and releases its lease; True if all did in time."""
        self._wanted = {}
        for name, (session, _) in list(self._sessions.items()):
            self._leave(name, session)
        end = self._env.clock.monotonic() + GRACE + AFTER_CUT
        while self._leaving and self._env.clock.monotonic() < end:
            next(iter(self._leaving.values()))[0].join(0.2)
            self._collect()
        if self._leaving:
            log.warning("did not end in time: %s", ", ".join(sorted(self._leaving)))
        return not self._leaving

    def trouble(self) -> str:
        """What is wrong with the process as a whole, or an empty text (for `/healthz`)."""
        age = self._env.clock.monotonic() - self._ticked
        return f"the main loop has stood still for {age:.0f} s" if age > 60.0 else ""

    def _memory(self, assignment: Assignment) -> Memory:
        """What earlier sessions of this process learned, unless people have approved something else since."""
        a = assignment
        key = (a.uid, a.identity, a.gate_epoch, a.stream)
        known = self._memories.get(a.name)
        if known is None or known[0] != key:
            known = self._memories[a.name] = (key, memory_of(a))
        return known[1]

    def _leave(self, name: str, session: Session) -> None:
        session.stop()
        del self._sessions[name]
        self._leaving[name] = (session, self._env.clock.monotonic())

    def _collect(self) -> None:
        for name, (session, since) in list(self._leaving.items()):
            if session.join(0.0):
                del self._leaving[name]
                if name not in self._wanted:
                    self._memories.pop(name, None)
                    self._env.hub.remove(name)
                    metrics.forget(session.namespace, name)
            elif self._env.clock.monotonic() - since > GRACE:
                session.cut()


def _differs(wanted: tuple[Assignment, str], running: tuple[Assignment, str]) -> bool:
    """The session must start anew."""
    return wanted != running and (wanted[1] != running[1] or fingerprint(wanted[0]) != fingerprint(running[0]))
