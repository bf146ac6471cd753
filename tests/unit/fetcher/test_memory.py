import dataclasses

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
