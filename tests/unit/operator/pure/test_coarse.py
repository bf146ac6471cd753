"""Status economy: a steady cluster causes no writes, counters at most one a minute, transitions at once."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.contract.report import ActionState, Progress
from mailfetch_operator.status.coarse import EVERY, SEQ_EVERY, coarsen
from tests.unit.operator.pure.sim import START, Sim, opened, problem


def test_a_steady_connection_is_never_written() -> None:
    sim = opened(5)
    writes = sim.writes
    for minute in range(200):
        sim.after(60)
        sim.change_report(last_success_time=f"2026-01-31T13:{minute % 60:02}:00Z")
        sim.settle()
    assert sim.writes == writes
    assert sim.told() == []


def test_arriving_mails_are_written_once_a_minute() -> None:
    sim = opened(5)
    writes = sim.writes
    sim.after(10)
    for second in range(240):
        sim.after(1)
        busy = second % 2 == 0
        sim.change_report(messages=second, seq=second, lag=1, phase="CatchingUp" if busy else "Listening")
        sim.settle()
    assert writes + 3 <= sim.writes <= writes + 4
    assert sim.told() == []


def test_the_last_numbers_are_written_in_the_end() -> None:
    sim = opened(5)
    sim.after(10)
    sim.change_report(messages=7, last_message_time="2026-01-31T12:00:10Z")
    plan = sim.settle()
    assert sim.status["fetch"]["messages"] == 0
    assert plan.requeue_after == 50.0
    sim.after(50)
    sim.settle()
    assert sim.status["fetch"]["messages"] == 7
    assert sim.status["fetch"]["lastMessageTime"] == "2026-01-31T12:00:10Z"


def test_a_backlog_shows_at_once_and_its_progress_once_a_minute() -> None:
    sim = opened(5)
    sim.change_report(phase="CatchingUp", progress=Progress(done=0, total=900))
    sim.settle()
    assert sim.state() == ("True", "Fetching")
    assert sim.status["progress"] == {"done": 0, "total": 900, "perSecond": 0}
    writes = sim.writes
    for second in range(1, 181):
        sim.after(1)
        sim.change_report(progress=Progress(done=second, total=900, per_second=1), messages=second)
        sim.settle()
    assert sim.writes == writes + 3
    sim.change_report(phase="Listening", progress=None)
    sim.settle()
    assert sim.state() == ("True", "Idle")
    assert "progress" not in sim.status


def test_a_failure_is_written_at_once_and_its_count_once_a_minute() -> None:
    sim = opened(5)
    sim.change_report(phase="BackingOff", failures=1, problem=problem(), last_problem=problem())
    sim.settle()
    assert sim.state() == ("False", "AuthFailed")
    assert sim.status["fetch"]["consecutiveFailures"] == 1
    assert sim.status["fetch"]["lastError"]["reason"] == "AuthFailed"
    writes = sim.writes
    for second in range(2, 122):
        sim.after(1)
        sim.change_report(failures=second)
        sim.settle()
    assert sim.writes == writes + 2
    sim.change_report(phase="Listening", failures=0, problem=None)
    sim.settle()
    assert sim.state() == ("True", "Idle")
    assert sim.status["fetch"]["consecutiveFailures"] == 0
    assert sim.status["fetch"]["lastError"]["reason"] == "AuthFailed", "the last failure stays after it ended"


def test_counters_survive_while_the_fetcher_is_silent() -> None:
    sim = opened(5)
    sim.after(61)
    sim.change_report(messages=7, lag=2, seq=9)
    sim.settle()
    sim.annotate(enable="false")
    sim.settle()
    assert sim.status["fetch"]["messages"] == 7


def test_an_unknown_lag_keeps_the_last_one() -> None:
    sim = opened(5)
    assert "lag" not in sim.status["fetch"]
    sim.after(61)
    sim.change_report(lag=2)
    sim.settle()
    sim.after(61)
    sim.change_report(lag=-1, messages=3)
    sim.settle()
    assert sim.status["fetch"]["lag"] == 2


counters = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.integers(0, 3),
        "seq": st.integers(0, 3),
        "quarantined": st.integers(0, 2),
        "lag": st.integers(0, 3),
        "lastSuccessTime": st.sampled_from(["a", "b"]),
        "consecutiveFailures": st.integers(0, 1),
        "lastError": st.fixed_dictionaries({"reason": st.sampled_from(["X", "Y"]), "time": st.sampled_from("ab")}),
    },
)
conditions = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["Ready", "AfterDownload"]),
            "status": st.sampled_from(["True", "False"]),
            "reason": st.sampled_from(["Fetching", "Idle", "AuthFailed", "Done", "Pending"]),
        }
    ),
    max_size=2,
    unique_by=lambda c: c["type"],
)
statuses: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"conditions": conditions, "fetch": counters},
    optional={"progress": st.just({"done": 1}), "test": st.just({"r": 1})},
)


def copy_without(status: dict[str, Any], name: str) -> dict[str, Any]:
    found = copy.deepcopy(status)
    found["fetch"].pop(name, None)
    return found


@given(previous=statuses, desired=statuses, age=st.floats(0, 200))
def test_what_is_written(previous: dict[str, Any], desired: dict[str, Any], age: float) -> None:
    """Either all of the desired status or none of it; the same is never written; it is held back for a minute."""
    given_before = copy.deepcopy(previous)
    now = START.replace(microsecond=0)
    last = now.fromtimestamp(now.timestamp() - age, tz=now.tzinfo)
    found = coarsen(previous, desired, now=now, last_written=last)
    assert previous == given_before
    assert found.status in (previous, desired)
    if found.again_in is not None:
        assert found.status == previous != desired
        assert 0 < found.again_in <= EVERY
    if previous == desired:
        assert found.again_in is None
    if age > EVERY + 1 and found.status != desired:
        assert found.again_in is None, "only times differ, or seq"
    if age < SEQ_EVERY and copy_without(previous, "seq") == copy_without(desired, "seq"):
        assert found.status == previous, "seq alone waits for an hour"
    statuses_differ = {c["type"]: c["status"] for c in previous["conditions"] if c["type"] == "Ready"} != {
        c["type"]: c["status"] for c in desired["conditions"] if c["type"] == "Ready"
    }
    if statuses_differ:
        assert found.status == desired


@pytest.mark.parametrize("first", [True, False])
def test_the_first_status_is_written_at_once(first: bool) -> None:
    sim = Sim(enable="true") if first else Sim()
    sim.step()
    assert sim.writes == 1


def test_a_session_that_only_starts_does_not_reset_the_counters() -> None:
    sim = opened(5)
    sim.after(61)
    sim.change_report(messages=7, seq=9)
    sim.settle()
    sim.after(61)
    sim.say(phase="Starting", state_id="", seq=0, messages=0)
    sim.settle()
    assert (sim.status["fetch"]["messages"], sim.status["fetch"]["seq"]) == (7, 9)


def test_seq_alone_is_written_once_an_hour() -> None:
    sim = opened(5)
    writes = sim.writes
    for minute in range(1, 181):
        sim.after(60)
        sim.change_report(seq=100 + minute)
        sim.settle()
    assert writes + 2 <= sim.writes <= writes + 3
    assert sim.status["fetch"]["stateId"] == "s1"


def test_after_a_restart_of_the_operator_seq_alone_is_not_written() -> None:
    sim = opened(5)
    sim.change_report(seq=90)
    sim.after(61)
    sim.settle()
    writes, sim.written = sim.writes, None
    sim.change_report(seq=100)
    sim.settle()
    assert sim.writes == writes


def test_waiting_actions_are_counted_once_a_minute() -> None:
    sim = opened(5)
    writes = sim.writes
    sim.after(10)
    for second in range(1, 121):
        sim.after(1)
        sim.change_report(actions=ActionState(pending=second))
        sim.settle()
    assert writes + 2 <= sim.writes <= writes + 3
    assert sim.state("AfterDownload") == ("True", "Done")


def test_a_growing_quarantine_is_counted_once_a_minute() -> None:
    sim = opened(5)
    sim.change_report(quarantined=1)
    sim.settle()
    assert sim.state("Advisory") == ("True", "Quarantined"), "the first one is told at once"
    writes = sim.writes
    for second in range(1, 121):
        sim.after(1)
        sim.change_report(quarantined=second)
        sim.settle()
    assert writes + 1 <= sim.writes <= writes + 2
    sim.after(61)
    sim.change_report(quarantined=0)
    sim.settle()
    assert "quarantined" not in sim.status["fetch"]
    assert sim.condition("Advisory") == {}
