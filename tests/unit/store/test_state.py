from dataclasses import replace

import pytest

from mailfetch_fetcher.contract.keys import BUCKETS, StreamKeys
from mailfetch_fetcher.errors import GateClosed, StoreError
from mailfetch_fetcher.store.model import State
from mailfetch_fetcher.store.state import (
    Step,
    Wish,
    aside_pairs,
    decide,
    decode_state,
    is_reset_approved,
    new_state,
    went_back,
)

WISH = Wish(identity="a", cluster_id="c", gate_epoch=2, create=False, state_id="s", known_seq=10)
STATE = State(
    state_id="s", identity="a", cluster_id="c", gate_epoch=2, epoch=1, seq=10, cursor="", anchor="", hash_key=b"k"
)


@pytest.mark.parametrize(
    ("state", "wish", "step"),
    [
        (None, replace(WISH, create=True), "create"),
        (STATE, WISH, "take"),
        (STATE, replace(WISH, gate_epoch=5), "take"),
        (STATE, replace(WISH, gate_epoch=1), "take"),
        (STATE, replace(WISH, state_id=""), "take"),
        (STATE, replace(WISH, state_id="other", create=True), "take"),
        (STATE, replace(WISH, identity="b", adopts="s"), "take"),
        (STATE, replace(WISH, identity="b", gate_epoch=3, state_id=""), "replace"),
        (replace(STATE, phase="Purge"), replace(WISH, create=True), "replace"),
    ],
)
def test_what_opening_means(state: State | None, wish: Wish, step: Step) -> None:
    assert decide(state, wish) == step


@pytest.mark.parametrize(
    ("state", "wish", "gate"),
    [
        (None, WISH, "StateLost"),
        (STATE, replace(WISH, state_id="other"), "StateLost"),
        (STATE, replace(WISH, identity="b"), "IdentityChanged"),
        (STATE, replace(WISH, identity="b", gate_epoch=3), "IdentityChanged"),
        (STATE, replace(WISH, identity="b", gate_epoch=3, state_id="other"), "IdentityChanged"),
        (STATE, replace(WISH, identity="b", adopts="other"), "IdentityChanged"),
        (STATE, replace(WISH, state_id="other", identity="b", adopts="s"), "StateLost"),
        (replace(STATE, phase="Purge"), WISH, "StateLost"),
        (replace(STATE, phase="Purge"), replace(WISH, gate_epoch=9, identity="b"), "StateLost"),
        (STATE, replace(WISH, identity="b", create=True, state_id=""), "IdentityChanged"),
    ],
)
def test_what_closes_the_gate(state: State | None, wish: Wish, gate: str) -> None:
    with pytest.raises(GateClosed) as closed:
        decide(state, wish)
    assert closed.value.gate == gate


@pytest.mark.parametrize("wish", [WISH, replace(WISH, create=True, gate_epoch=9, identity="b")])
def test_another_cluster_comes_before_everything(wish: Wish) -> None:
    with pytest.raises(StoreError) as failure:
        decide(replace(STATE, cluster_id="other"), wish)
    assert failure.value.reason == "InvalidConfiguration"


@pytest.mark.parametrize(
    ("seq", "known", "state_id", "lost"), [(10, 10, "s", 0), (12, 10, "s", 0), (7, 10, "s", 3), (1, 10, "old", 0)]
)
def test_going_back_is_counted_within_one_state_only(seq: int, known: int, state_id: str, lost: int) -> None:
    assert went_back(replace(STATE, seq=seq), replace(WISH, known_seq=known, state_id=state_id)) == lost


@pytest.mark.parametrize(
    ("phase", "epoch", "approved"),
    [("Reset 5", 3, True), ("Reset", 3, True), ("Reset 5", 2, False), ("Steady", 3, False), ("Baseline", 3, False)],
)
def test_a_reset_is_approved_by_a_newer_epoch_only(phase: str, epoch: int, approved: bool) -> None:
    assert is_reset_approved(replace(STATE, phase=phase), replace(WISH, gate_epoch=epoch)) is approved


@pytest.mark.parametrize(("baseline", "phase"), [(False, "Steady"), (True, "Baseline")])
def test_where_a_new_state_begins(baseline: bool, phase: str) -> None:
    items = [str(item) for item in new_state(replace(WISH, baseline=baseline), created="")]
    state = decode_state(dict(zip(items[::2], items[1::2], strict=True)))
    assert state
    assert state.phase == phase


def test_fields_that_the_first_version_lacked_have_defaults() -> None:
    items = [str(item) for item in new_state(WISH, created="")]
    fields = dict(zip(items[::2], items[1::2], strict=True))
    for name in ("phase", "refetch", "groupSeen", "created"):
        del fields[name]
    state = decode_state(fields)
    assert state
    assert (state.phase, state.refetch, state.group_seen) == ("Steady", "", "")


def test_a_new_state_can_be_read() -> None:
    items = [str(item) for item in new_state(WISH, created="2026-01-31T08:15:00Z")]
    state = decode_state(dict(zip(items[::2], items[1::2], strict=True)), messages=3)
    assert state
    assert (state.identity, state.cluster_id, state.gate_epoch, state.seq, state.cursor) == ("a", "c", 2, 0, "")
    assert (len(state.hash_key), state.messages) == (16, 3)
    assert decode_state({}) is None


def test_two_states_have_nothing_random_in_common() -> None:
    first, second = (new_state(WISH, created="") for _ in range(2))
    fields = [dict(zip(items[::2], items[1::2], strict=True)) for items in (first, second)]
    assert all(fields[0][name] != fields[1][name] for name in ("stateId", "tip", "hashKey"))


def test_put_aside_is_all_that_a_state_owns_and_nothing_of_others() -> None:
    keys = StreamKeys(namespace="ns", stream="s").connection("c")
    pairs = aside_pairs(keys)
    moves = dict(zip(pairs[::2], pairs[1::2], strict=True))
    assert moves[keys.state] == keys.prev
    assert moves[keys.outbox] == keys.prev + ":outbox"
    assert moves[keys.known(BUCKETS - 1)] == f"{keys.prev}:known:{BUCKETS - 1}"
    assert all(key.startswith(keys.prefix + ":") for key in pairs)
    assert keys.stats not in moves
    assert len(set(pairs)) == len(pairs) == 2 * (BUCKETS + 5)
