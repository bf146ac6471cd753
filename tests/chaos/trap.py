"""Where a run is stopped: a `Step` names a request or reply on the wire; a `Trap` is a series of them, the last counts.

The proxies of a world (mail server, its authority, Redis) share one trap, so a series may lead from one to the other.
The connection that reaches the last step stands still, in both directions, until the test says what becomes of it.
"""

import re
import threading
from dataclasses import dataclass
from typing import Literal

from tests.chaos.framing import Side, Unit

Via = Literal["mail", "login", "redis", "sentinel"]
Place = Literal["before", "half", "after"]
"""How much of the unit has passed when the fault happens: nothing, half of its bytes, or all."""
Then = Literal["pass", "cut", "stop"]
Fate = Literal["release", "cut", "hold"]
"""What becomes of the stopped connection: it goes on, it is closed, or it stays open and silent (a black hole)."""
DEADLINE = 60.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """A pattern, and what happens at its n-th occurrence.

    Attributes:
        via: Which proxy.
        side: Request, part of an answer, or reply.
        about: Regular expression for the request (or the request that is answered).
        answer: Regular expression for the answer's bytes.
        n: Which occurrence.
        place: How much of it passes first.
        then: The step is passed; the connection is cut (a fault before the fault); or everything stops here.
    """

    via: Via
    side: Side
    about: str
    answer: str = ""
    n: int = 1
    place: Place = "before"
    then: Then = "stop"

    def fits(self, via: Via, unit: Unit) -> bool:
        """Whether this is an occurrence."""
        if (via, unit.side) != (self.via, self.side) or not re.search(self.about.encode(), unit.about, re.DOTALL):
            return False
        return not self.answer or bool(re.search(self.answer.encode(), unit.data, re.DOTALL))


class Trap:
    """Thread-safe. `set` it, wait with `wait`, then `decide`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: list[Step] = []
        self._left = 0
        self._hit = threading.Event()
        self._decided = threading.Event()
        self._fate: Fate = "release"
        self.hits = 0
        """How often the last step was reached (0 or 1 for each `set`)."""

    def set(self, *steps: Step) -> None:
        """Arms it."""
        with self._lock:
            self._steps = list(steps)
            self._left = steps[0].n if steps else 0
            self._hit.clear()
            self._decided.clear()

    def unset(self) -> None:
        """Disarms it, and lets go what it holds."""
        with self._lock:
            self._steps = []
        self.decide("release")

    def wait(self, seconds: float = DEADLINE) -> bool:
        """Until the last step is reached; False: it was not in that time."""
        return self._hit.wait(seconds)

    def decide(self, fate: Fate) -> None:
        """What becomes of the connection that stands still."""
        self._fate = fate
        self._decided.set()

    @property
    def waits_for(self) -> str:
        """The step that was not reached, for messages."""
        with self._lock:
            return str(self._steps[0]) if self._steps else "nothing"

    # -- used by the proxies -----------------------------------------------------------------

    def meet(self, via: Via, unit: Unit) -> Step | None:
        """The step that this unit reaches, if it is anything but `pass`."""
        with self._lock:
            if not self._steps or not self._steps[0].fits(via, unit):
                return None
            self._left -= 1
            if self._left > 0:
                return None
            step = self._steps.pop(0)
            self._left = self._steps[0].n if self._steps else 0
            if step.then == "stop":
                self._steps = []
                self.hits += 1
            return None if step.then == "pass" else step

    def stopped(self) -> Fate:
        """The connection stands still from now on; returns its fate."""
        self._hit.set()
        self._decided.wait()
        return self._fate
