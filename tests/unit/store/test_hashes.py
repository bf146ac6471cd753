"""These names are written into Redis: a change of any of them doubles every mail."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.contract.keys import BUCKETS
from mailfetch_fetcher.store import hashes

KEY = bytes(range(16))


def test_names_never_change() -> None:
    assert hashes.fingerprint(b"<a@example.com>", key=KEY) == "3013b3f4d4bd3282"
    assert hashes.ledger_number(b"<a@example.com>", 1, key=KEY) == 1863332254124805285
    assert hashes.entry_id("0011223344556677", "1700000000/5") == "38ee627deb2405e5032b76a4acc009cc"
    assert hashes.entry_id("0011223344556677", "1700000000/5", returns=1) == "4e7c2f422bd08a6d12075d7a304b61f9"
    assert (
        hashes.entry_id("0011223344556677", "1700000000/5", refetch="uid:5")
        == "38ee627deb2405e5032b76a4acc009cc~403f3377"
    )


def test_the_key_and_the_occurrence_matter() -> None:
    assert hashes.fingerprint(b"a", key=KEY) != hashes.fingerprint(b"a", key=b"another key")
    numbers = {hashes.ledger_number(b"a", n, key=KEY) for n in range(1, 100)}
    assert len(numbers) == 99


def test_parts_of_an_id_do_not_run_together() -> None:
    assert hashes.entry_id("ab", "c") != hashes.entry_id("a", "bc")


@given(st.integers(0, 2**64 - 1))
def test_a_member_is_a_signed_64_bit_integer(number: int) -> None:
    member = hashes.member(number)
    assert -(2**63) <= member < 2**63
    assert member % 2**64 == number
    assert 0 <= hashes.bucket(number) < BUCKETS


@given(st.lists(st.sampled_from([b"a", b"b", b"c"])), st.dictionaries(st.sampled_from([b"a", b"b"]), st.integers(1, 9)))
def test_a_batch_counts_on_from_what_is_known(identities: list[bytes], known: dict[bytes, int]) -> None:
    numbers = hashes.ledger_numbers(identities, key=KEY, known=known)
    assert len({number for _, number in numbers}) == len(identities)
    for identity in set(identities):
        counted = [n for (n, _), i in zip(numbers, identities, strict=True) if i == identity]
        first = known.get(identity, 0) + 1
        assert counted == list(range(first, first + len(counted)))


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_next_occurrence_is_found_in_few_questions(start: int, highest: int) -> None:
    highest = max(start, highest)
    asked = 0

    def are_known(occurrences: Sequence[int]) -> list[bool]:
        nonlocal asked
        asked += 1
        return [n <= highest for n in occurrences]

    assert hashes.next_occurrence(start, are_known=are_known) == highest + 1
    assert asked <= 14
