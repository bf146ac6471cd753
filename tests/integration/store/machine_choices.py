"""What the state machine chooses from, and how often."""

from dataclasses import dataclass

import hypothesis.strategies as st

from tests.integration.store.machine_world import CONNECTIONS, FAULTS, PODS

CONSUMERS = ("c1", "c2")
OWNER, ZOMBIE = "owner", "zombie"
WORK = (
    *["download"] * 5,
    *["act"] * 4,
    *["consume"] * 3,
    "act before",
    "act after",
    "act stolen",
    "download stolen",
    "trim",
    "prune",
    "prune",
    "heal",
    "refetch",
    "refetch anew",
)
ENDING = ("take-over", "take-over", "kill", "end", "release", "Redis")
CHANGING = ("remove", "remove", "number anew")
CONSUMING = ("read", "read", "claim", "leave", "delete", "anew 0", "anew $")
pods, connections = st.sampled_from(PODS), st.sampled_from(CONNECTIONS)
# Most steps are those of whoever owns the mailbox, or all would only wait for leases.
who = st.sampled_from((*[OWNER] * 6, *[ZOMBIE] * 3, *PODS))
few = st.integers(1, 5)
kinds = st.lists(st.integers(0, 9), min_size=2, max_size=6)
# Most steps go well, or nothing would ever get far.
faults = st.sampled_from((*[""] * 12, *FAULTS))
places = st.integers(0, 4000)


@dataclass(frozen=True, kw_only=True)
class Work:
    """One task of one fetcher, and what goes wrong in it; `kinds` are of mails that arrive right before."""

    what: str
    pod: str
    connection: str
    kinds: list[int]
    count: int
    fault: str
    at: int


works = st.builds(
    Work,
    what=st.sampled_from(WORK),
    pod=who,
    connection=connections,
    kinds=kinds,
    count=few,
    fault=faults,
    at=places,
)
