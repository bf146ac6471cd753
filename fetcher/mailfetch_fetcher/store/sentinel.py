"""The Sentinels that watch a master: which address they name, and which replicas they know."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import redis

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store.failures import error_text
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.target import Finder, Target

TIMEOUT = 2.0
"""Seconds for a Sentinel to answer; the others are asked meanwhile by nobody, so it is short."""

Address = tuple[str, int]
Named = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one Sentinel says.

    Attributes:
        master: Address of the master; None: it watches none of that name.
        replicas: Replicas of it that it lists, also those that are down.
    """

    master: Address | None
    replicas: int


def judge_names(answers: Sequence[Answer], *, ours: Address, asked: int) -> Named:
    """Whether an address is still that of the master.

    Yes needs the majority of all Sentinels of the URL, as one that is cut off from the others names the old master for
    ever. No is easier to believe: a Sentinel names another master only after a failover.
    """
    same = sum(answer.master == ours for answer in answers)
    others = sum(answer.master not in (ours, None) for answer in answers)
    if 2 * same > asked:
        return "yes"
    return "no" if others > same else "unknown"


def elect(answers: Sequence[Answer]) -> list[Address]:
    """The addresses that are named, most votes first."""
    votes = Counter(answer.master for answer in answers if answer.master)
    return [address for address, _ in votes.most_common()]


class Sentinels:
    """Asks them over links that are kept. Use from one thread.

    Attributes:
        problem: What the last one that did not answer failed with.
    """

    def __init__(self, target: Target, finder: Finder) -> None:
        self.finder = finder
        self.problem = ""
        self._target = target
        self._links: dict[Address, Link] = {}

    def ask(self) -> list[Answer]:
        """The answers; those that do not answer are left out, and when the majority agrees the rest is not asked."""
        hosts, answers = self.finder.hosts, list[Answer]()
        for host in sorted(hosts, key=lambda host: host not in self._links):
            answer = self._ask_one(host)
            if answer:
                answers.append(answer)
            votes = Counter(answer.master for answer in answers)
            if votes and 2 * votes.most_common(1)[0][1] > len(hosts):
                break
        return answers

    def close(self) -> None:
        """Closes the links."""
        for link in self._links.values():
            link.close()

    def _ask_one(self, host: Address) -> Answer | None:
        name = self.finder.name
        commands = (("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "REPLICAS", name))
        for _ in range(2):  # a link that was kept may have been closed by a restart
            kept = host in self._links
            try:
                return read_answer(self._link(host).pipeline(*commands))
            except StoreError as e:
                self._links.pop(host, None)
                self.problem = e.message
            except redis.ResponseError as e:
                self.problem = error_text(e)
                return None
            if not kept:
                break
        return None

    def _link(self, host: Address) -> Link:
        if host not in self._links:
            target = Target(
                host=host[0],
                port=host[1],
                username=self.finder.username,
                password=self.finder.password,
                tls=self._target.tls,
                ca_file=self._target.ca_file,
            )
            self._links[host] = Link(target, timeout=TIMEOUT)
        return self._links[host]


def read_answer(replies: Sequence[Any]) -> Answer:
    """The answer behind the replies to both questions.

    Raises:
        redis.ResponseError: it refused one.
    """
    named, replicas = replies
    if isinstance(named, redis.ResponseError):
        raise named
    if named is None:
        return Answer(master=None, replicas=0)
    if isinstance(replicas, redis.ResponseError):
        raise replicas
    return Answer(master=(named[0].decode(), int(named[1])), replicas=len(replicas))
