import dataclasses

import pytest

from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.spec import parse_spec
from mailfetch_fetcher.memory import Memory
from mailfetch_fetcher.store.model import State

STATE = State(
    state_id="s",
    identity="i",
    cluster_id="c",
    gate_epoch=1,
    epoch=1,
    seq=40,
    cursor="",
    anchor="",
    hash_key=b"k",
)


def test_a_store_that_did_not_go_back_needs_no_word() -> None:
    memory = Memory(state_id="s", seq=30)
    memory.opened(STATE)
    assert memory.resumed({})
    assert (memory.state_id, memory.seq) == ("s", 40)


def test_the_pause_outlives_sessions_and_ends_with_the_number_that_was_told() -> None:
    memory = Memory(state_id="s", seq=100)
    memory.opened(dataclasses.replace(STATE, went_back=60))
    memory.opened(dataclasses.replace(STATE, seq=50))  # the next session: nothing new
    assert memory.paused_at == 100
    for value in ("", "99", "x", "-1", "¹00", "1" * 5000 + "x"):
        assert not memory.resumed({"resume-actions": value})
    assert memory.resumed({"resume-actions": "100"})


def test_what_was_resumed_once_does_not_cover_the_next_time() -> None:
    memory = Memory(state_id="s", seq=100)
    memory.opened(dataclasses.replace(STATE, went_back=60))
    memory.seq = 300
    memory.opened(dataclasses.replace(STATE, seq=250, went_back=50))
    assert not memory.resumed({"resume-actions": "100"})
    assert memory.resumed({"resume-actions": "300"})


SPEC = {"protocol": "IMAP", "auth": {"type": "Password", "username": "u", "passwordSecretRef": {"name": "s"}}}


def told(*, seq: int, state_id: str = "s") -> Assignment:
    return Assignment(namespace="n", name="c", spec=parse_spec(SPEC), identity="i", state_id=state_id, seq=seq)


@pytest.mark.parametrize(
    ("seen", "state_id", "news"),
    [(40, "s", False), (41, "s", True), (1000, "s", True), (1000, "other", False), (1000, "", False)],
)
def test_what_the_operator_sees_while_a_session_runs(seen: int, state_id: str, news: bool) -> None:
    memory = Memory(state_id="s", seq=7)
    assert memory.heard(told(seq=seen, state_id=state_id), seq=40) is news
    assert memory.resumed({}) is not news
    assert not memory.heard(told(seq=seen, state_id=state_id), seq=40), "the same again is no news"
    assert memory.resumed({"resume-actions": str(seen)})
