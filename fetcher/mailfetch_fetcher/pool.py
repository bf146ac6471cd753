"""Many sessions in one process: follows `assignments.json` live, one thread per mailbox; one never stops another."""

import logging
import threading
from pathlib import Path

from mailfetch_fetcher import metrics
from mailfetch_fetcher.contract.assignment import Assignment, Assignments, decode, fingerprint
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.session import Session

log = logging.getLogger(__name__)

GRACE = 15.0
"""Seconds a session has to finish or abandon its batch before its connection is cut."""
_LOOK = 1.0


class AssignmentFile:
    """Reads the file again when it changed; a file that cannot be read changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: str | None = None

    def poll(self) -> Assignments | None:
        """The assignments if they changed since the last call, else None."""
        try:
            text = self._path.read_text()
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
    """Keeps one session for each assignment."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._wanted: dict[str, tuple[Assignment, str]] = {}
        self._sessions: dict[str, tuple[Session, Assignment]] = {}
        self._leaving: dict[str, tuple[Session, float]] = {}
        self._ticked = env.clock.monotonic()

    def assign(self, assignments: Assignments) -> None:
        """Takes over a new set of assignments; `tick` carries it out."""
        self._wanted = {a.name: (a, assignments.cluster_id) for a in assignments.connections}
        log.info("assigned %d connections", len(self._wanted))

    def tick(self) -> None:
        """Brings the sessions in line with the assignments. Call about once a second."""
        self._ticked = self._env.clock.monotonic()
        self._collect()
        for name, (session, running) in list(self._sessions.items()):
            wanted = self._wanted.get(name)
            if wanted is None or fingerprint(wanted[0]) != fingerprint(running) or wanted[0].uid != running.uid:
                self._leave(name, session)
            elif wanted[0] != running:
                session.update(wanted[0])
                self._sessions[name] = (session, wanted[0])
        for name, (assignment, cluster_id) in self._wanted.items():
            if name not in self._sessions and name not in self._leaving:
                session = Session(assignment=assignment, cluster_id=cluster_id, env=self._env)
                self._sessions[name] = (session, assignment)
                session.start()

    def run(self, *, stop: threading.Event, file: AssignmentFile) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            if found := file.poll():
                self.assign(found)
            self.tick()
            stop.wait(_LOOK)
        self.stop()

    def stop(self) -> None:
        """Ends all sessions: each finishes or abandons its batch and releases its lease."""
        self._wanted = {}
        for name, (session, _) in list(self._sessions.items()):
            self._leave(name, session)
        end = self._env.clock.monotonic() + GRACE + 5.0
        while self._leaving and self._env.clock.monotonic() < end:
            next(iter(self._leaving.values()))[0].join(0.2)
            self._collect()

    def trouble(self) -> str:
        """What is wrong with the process as a whole, or an empty text (for `/healthz`)."""
        age = self._env.clock.monotonic() - self._ticked
        return f"the main loop has stood still for {age:.0f} s" if age > 60.0 else ""

    def _leave(self, name: str, session: Session) -> None:
        session.stop()
        del self._sessions[name]
        self._leaving[name] = (session, self._env.clock.monotonic())

    def _collect(self) -> None:
        for name, (session, since) in list(self._leaving.items()):
            if session.join(0.0):
                del self._leaving[name]
                if name not in self._wanted:
                    self._env.hub.remove(name)
                    metrics.forget(session.namespace, name)
            elif self._env.clock.monotonic() - since > GRACE:
                session.cut()
