"""Other servers that a mail must have reached before anything is done at the mailbox: replicas (`store.md` 16).

With Sentinel or Cluster a replica may be made the master at any moment, and what it lacks is lost. So all of them must
have what was committed: all that are known, not all that are connected just now.
"""

from dataclasses import dataclass
from typing import Protocol

import redis

from mailfetch_fetcher.store.failures import error_text
from mailfetch_fetcher.store.link import Link, parse_info
from mailfetch_fetcher.store.sentinel import Named, Sentinels, judge_names
from mailfetch_fetcher.store.target import Target

_HELD = "after-download actions are held (downloading goes on)"


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """How many replicas must have what was written.

    Attributes:
        count: So many.
        problem: Why no number is good enough, with the remedy; empty: it is.
        remedy: What to do if fewer than `count` answer.
    """

    count: int
    problem: str = ""
    remedy: str = ""


class Peers(Protocol):
    """What a topology demands of the durability barrier. Used from one thread."""

    def replicas(self, link: Link) -> Replicas:
        """How many there are; asked before the barrier writes."""
        ...

    def named(self) -> Named:
        """Whether the server is still the master; asked after everything else."""
        ...

    def why(self) -> str:
        """Why `named` did not say yes."""
        ...

    def close(self) -> None:
        """Closes links of its own."""
        ...


class Alone:
    """A server that the URL itself names: whether there are replicas does not matter."""

    def replicas(self, link: Link) -> Replicas:
        """None."""
        return Replicas(count=0)

    def named(self) -> Named:
        """It is."""
        return "yes"

    def why(self) -> str:
        """Nothing."""
        return ""

    def close(self) -> None:
        """Nothing to do."""


class WatchedBySentinels(Alone):
    """A master that Sentinels name."""

    def __init__(self, target: Target, sentinels: Sentinels) -> None:
        self._sentinels = sentinels
        self._ours = (target.host, target.port)

    def replicas(self, link: Link) -> Replicas:
        """All that any of the Sentinels lists, also those that are down: one of them may be the next master."""
        count = max((answer.replicas for answer in self._sentinels.ask()), default=0)
        name = self._sentinels.finder.name
        remedy = f"start what is down; if a replica is gone for good, tell each Sentinel: SENTINEL RESET {name}"
        if count:
            return Replicas(count=count, remedy=remedy)
        problem = (
            f"the Sentinels list no replica of {name} (or none of them answers), so a failover would lose mails; "
            f"{_HELD}. Remedy: run at least one replica"
        )
        return Replicas(count=0, problem=problem)

    def named(self) -> Named:
        """Whether the majority of the Sentinels names this address."""
        answers = self._sentinels.ask()
        return judge_names(answers, ours=self._ours, asked=len(self._sentinels.finder.hosts))

    def why(self) -> str:
        """In words."""
        problem = f" ({self._sentinels.problem})" if self._sentinels.problem else ""
        return (
            "it is not known whether this Redis is still the master, as the majority of the Sentinels in the Redis URL "
            f"does not say so{problem}; {_HELD}. Remedy: start them, or correct the URL"
        )

    def close(self) -> None:
        """Closes the links to the Sentinels."""
        self._sentinels.close()


class ClusterNode(Alone):
    """A master of a Redis Cluster. That it still holds the keys is checked by itself: each write would answer MOVED."""

    def replicas(self, link: Link) -> Replicas:
        """All that the node knows to be its own, also those that are down, and at least those that are connected."""
        nodes, info = link.pipeline(("CLUSTER", "NODES"), ("INFO", "replication"))
        for command, reply in (("CLUSTER NODES", nodes), ("INFO", info)):
            if isinstance(reply, redis.ResponseError):
                problem = f"Redis does not answer {command} ({error_text(reply)}); {_HELD}. Allow it with ACL SETUSER"
                return Replicas(count=0, problem=problem)
        count = max(count_replicas(nodes.decode()), int(parse_info(info).get("connected_slaves", "0")))
        remedy = "start what is down; if a replica is gone for good: CLUSTER FORGET"
        if count:
            return Replicas(count=count, remedy=remedy)
        problem = (
            f"this node of the Redis Cluster has no replica, so its loss would lose mails; {_HELD}. "
            "Remedy: give each master at least one replica"
        )
        return Replicas(count=0, problem=problem)


def count_replicas(nodes: str) -> int:
    """Replicas of the node that answered CLUSTER NODES."""
    rows = [line.split(" ") for line in nodes.splitlines() if line]
    mine = next((row[0] for row in rows if "myself" in row[2].split(",")), None)
    return sum(row[3] == mine for row in rows)


def peers_of(target: Target) -> Peers:
    """The demands of a located target's topology."""
    finder = target.finder
    if finder is None:
        return Alone()
    return WatchedBySentinels(target, Sentinels(target, finder)) if finder.kind == "sentinel" else ClusterNode()
