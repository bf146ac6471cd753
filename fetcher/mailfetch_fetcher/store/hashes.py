"""Names made from content: ledger members, fingerprints, entry ids. They never change, or mails would come twice.

Ledger and fingerprints are BLAKE2b-64 with a random key of the state: Message-IDs are chosen by whoever sends the mail,
and without the key nobody can make two mails that look the same. Two different mails of one mailbox collide with a
probability of n²/2⁶⁵: 2.7e-8 for a million known mails and a million new ones.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from mailfetch_fetcher.contract.keys import BUCKETS

_GALLOP = tuple(1 << i for i in range(20))


def fingerprint(identity: bytes, *, key: bytes) -> str:
    """Recognises one mail: 16 hexadecimal digits."""
    return blake2b(identity, digest_size=8, key=key).hexdigest()


def ledger_number(identity: bytes, occurrence: int, *, key: bytes) -> int:
    """The ledger's name of the n-th mail (from 1) with this identity: an unsigned 64-bit number."""
    digest = blake2b(occurrence.to_bytes(4, "big") + identity, digest_size=8, key=key).digest()
    return int.from_bytes(digest, "big")


def ledger_numbers(identities: Sequence[bytes], *, key: bytes, known: Mapping[bytes, int]) -> list[tuple[int, int]]:
    """Occurrence and ledger number of each mail of a batch, in its order.

    Args:
        identities: One a mail.
        key: The state's key.
        known: Occurrences of an identity that the ledger has already; absent means none.
    """
    highest = dict(known)
    used: set[int] = set()
    numbers = []
    for identity in identities:
        n = highest.get(identity, 0) + 1
        while (number := ledger_number(identity, n, key=key)) in used:
            n += 1  # another identity has the same hash in this batch
        highest[identity] = n
        used.add(number)
        numbers.append((n, number))
    return numbers


def bucket(number: int) -> int:
    """Which of the ledger's sets a number is in."""
    return number % BUCKETS


def member(number: int) -> int:
    """The number as a signed 64-bit integer: Redis keeps a set of these in 8 bytes each."""
    return number - (1 << 64) if number >= 1 << 63 else number


def next_occurrence(known: int, *, are_known: Callable[[Sequence[int]], Sequence[bool]]) -> int:
    """The first occurrence after `known` that the ledger does not have, in few questions.

    Args:
        known: An occurrence that it has.
        are_known: Which of these occurrences it has.
    """
    while True:
        asked = [known + step for step in _GALLOP]
        answers = list(are_known(asked))
        free = answers.index(False) if False in answers else len(answers)
        if free == 0:
            return known + 1
        known = asked[free - 1]


def entry_id(state_id: str, ref: str, *, returns: int = 0, refetch: str = "") -> str:
    """The `id` of a queue entry: 32 hexadecimal digits, the same whenever the same mail is downloaded again.

    Args:
        state_id: The state, so that a mailbox that starts anew has new ids.
        ref: The mail.
        returns: How often the mail came back after it had left the mailbox.
        refetch: Value of the request that asked for it once more; makes the id `<id>~<8 digits>`.
    """
    text = b"".join(len(part).to_bytes(4, "big") + part for part in (state_id.encode(), ref.encode()))
    name = blake2b(text + returns.to_bytes(4, "big"), digest_size=16).hexdigest()
    return f"{name}~{blake2b(refetch.encode(), digest_size=4).hexdigest()}" if refetch else name
