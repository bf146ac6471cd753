"""A ledger that is made anew beside the one in use, and takes its place in one commit (`store.md` 35, 41).

After a crash it is begun again from nothing. Only numbers that a call was told travel, so memory stays bounded however
large the mailbox is: how often an identity came before is looked up in the stage itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import redis

from mailfetch_fetcher.contract.keys import BUCKETS, ConnectionKeys
from mailfetch_fetcher.errors import Fenced
from mailfetch_fetcher.store import hashes, scripts
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.ledger import are_members, last_occurrence
from mailfetch_fetcher.store.link import Link

STEP = 512
"""Numbers of one script."""


class Stage:
    """Used by the session's own thread.

    Attributes:
        size: Numbers that were entered; the commit makes sure that Redis has them all.
    """

    def __init__(self, *, link: Callable[[], Link], keys: ConnectionKeys, owner: str, hash_key: bytes) -> None:
        self.size = 0
        self._link = link
        self._keys = keys
        self._owner = owner
        self._key = hash_key

    def begin(self) -> None:
        """Removes what an attempt before left behind."""
        self.size = 0
        names = [name(bucket) for name in (self._keys.stage, self._keys.swap) for bucket in range(BUCKETS)]
        for i in range(0, len(names), STEP):
            keys = [self._keys.state, *names[i : i + STEP]]
            if self._call(scripts.UNSTAGE, keys, [self._owner]) != b"OK":
                raise self._fenced()

    def add(self, names: Sequence[bytes]) -> None:
        """Enters mails that have names; one that comes twice is entered once."""
        for i in range(0, len(names), STEP):
            numbers = [hashes.ledger_number(name, 1, key=self._key) for name in names[i : i + STEP]]
            self.size += sum(new for new, _ in self._enter(numbers))

    def walk(self, identities: Sequence[bytes]) -> list[bool]:
        """Enters the next mails of a walk through the whole mailbox, counting those that look the same.

        Returns:
            For each whether the ledger has it.
        """
        known: list[bool] = []
        for i in range(0, len(identities), STEP):
            known += self._walk(identities[i : i + STEP])
        return known

    def _walk(self, identities: Sequence[bytes]) -> list[bool]:
        counted = self._counted(identities)
        numbers = [n for _, n in hashes.ledger_numbers(identities, key=self._key, known=counted)]
        answers = self._enter(numbers)
        self.size += sum(new for new, _ in answers)
        return [known for _, known in answers]

    def _counted(self, identities: Sequence[bytes]) -> dict[bytes, int]:
        """How often each of these identities was entered before, if it was."""
        different = list(dict.fromkeys(identities))
        first = [hashes.ledger_number(identity, 1, key=self._key) for identity in different]
        seen = are_members(self._link(), first, key_of=self._keys.stage)
        counted = {}
        for identity in (identity for identity, was in zip(different, seen, strict=True) if was):
            counted[identity] = last_occurrence(
                self._link(), identity, at_least=1, key_of=self._keys.stage, hash_key=self._key
            )
        return counted

    def _enter(self, numbers: Sequence[int]) -> list[tuple[bool, bool]]:
        """For each number: it was new to the stage; the ledger has it."""
        keys = [self._keys.state]
        for number in numbers:
            bucket = hashes.bucket(number)
            keys += (self._keys.stage(bucket), self._keys.known(bucket))
        reply = self._call(scripts.STAGE, keys, [self._owner, *map(hashes.member, numbers)])
        if reply[0] != b"OK":
            raise self._fenced()
        return [(new == 1, known == 1) for new, known in zip(reply[1::2], reply[2::2], strict=True)]

    def _call(self, script: str, keys: list[str], args: list[Any]) -> Any:
        try:
            return self._link().call(*scripts.evaluate(script, keys=keys, args=args))
        except redis.ResponseError as e:
            raise refused(error_text(e), doing="making the ledger anew") from None

    def _fenced(self) -> Fenced:
        return Fenced("another fetcher has taken over the mailbox")
