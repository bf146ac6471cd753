"""What this process knows of a connection's state in Redis, beyond one life of a session.

It is only for noticing that Redis lost the state or went back in time (`store.md` I14, hazard 18), and for counting.
Nothing of it is ever used as if it were still true. What other processes have seen comes with the assignment.
"""

from collections import Counter
from dataclasses import dataclass, field

from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.store.model import State

RESUME = "resume-actions"
"""The request that ends a pause of the after-download actions; its value is the number that the condition tells."""


@dataclass(kw_only=True)
class Memory:
    """Used by one session at a time.

    Attributes:
        state_id: State that was seen; empty: none, so one may be made.
        seq: Highest `seq` that was seen of it.
        paused_at: `seq` that was seen before the store went back; 0: it did not.
        unproven: Acknowledgements that could not be proven.
        broken: Mails during whose download the connection broke, and how often without their coming.
        careful: A download failed: until a mail comes they are asked for one by one, so that each that cannot be had
            can be put aside by itself.
        pruned_at: When the ledger was last compared with a complete list, by the monotonic clock.
        listed_for: Value of the request for which it was last done at once.
    """

    state_id: str = ""
    seq: int = 0
    paused_at: int = 0
    unproven: int = 0
    careful: bool = False
    pruned_at: float = float("-inf")
    listed_for: str = ""
    broken: Counter[str] = field(default_factory=Counter)

    def opened(self, state: State) -> None:
        """A session has opened the state."""
        if state.went_back:
            self.paused_at = max(self.seq, self.paused_at)
        self.state_id, self.seq = state.state_id, state.seq

    def heard(self, assignment: Assignment, *, seq: int) -> bool:
        """Compares `seq`, as it is now, with what the operator has seen; True if that it went back is news."""
        seen = assignment.seq if assignment.state_id == self.state_id else 0
        if seen <= max(seq, self.paused_at):
            return False
        self.paused_at = seen
        return True

    def resumed(self, requests: dict[str, str]) -> bool:
        """People have allowed the actions again after (this or a later) going back; or it never went back."""
        value = requests.get(RESUME, "")
        return not self.paused_at or (value.isascii() and value.isdigit() and int(value[:20]) >= self.paused_at)


def memory_of(assignment: Assignment) -> Memory:
    """What the operator knows."""
    return Memory(state_id=assignment.state_id, seq=assignment.seq)
