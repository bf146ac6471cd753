"""The events of a connection's life, as `kubectl describe` shows them."""

from dataclasses import replace
from typing import Any

from mailfetch_fetcher.contract.probe import Step, StoreState
from mailfetch_fetcher.contract.report import ActionState, Notice, Progress
from tests.unit.operator.pure.sim import STEPS, Sim, opened, problem


def test_a_life() -> None:
    sim = Sim()
    sim.settle()
    assert sim.told() == []
    sim.annotate(enable="true")
    sim.settle()
    assert sim.told() == ["Enabled"]
    sim.count(1234)
    sim.settle()
    assert sim.told() == ["Tested", "Estimated", "AwaitingApproval"]
    sim.annotate(acknowledge="1234")
    sim.settle()
    assert sim.told() == ["Approved"]
    sim.say(phase="CatchingUp", progress=Progress(done=0, total=1234))
    sim.settle()
    assert [(e.type, e.reason, e.note) for e in sim.events] == [
        ("Normal", "Fetching", "A backlog of 1234 mails is being downloaded.")
    ]
    sim.told()
    sim.say()
    sim.settle()
    assert sim.told() == ["CaughtUp"]
    sim.say(phase="BackingOff", problem=problem())
    sim.settle()
    assert [(e.type, e.reason, e.note) for e in sim.events] == [
        ("Warning", "AuthFailed", "The server refused the password.")
    ]
    sim.told()
    sim.say(phase="BackingOff", problem=problem("ConnectionFailed"))
    sim.settle()
    sim.say()
    sim.settle()
    assert sim.told() == ["ConnectionFailed", "Recovered"]
    sim.edit(suspend=True)
    sim.settle()
    sim.edit(suspend=False)
    sim.settle()
    assert sim.told() == ["Suspended", "Resumed", "CaughtUp"]
    sim.annotate(enable="false")
    sim.settle()
    assert sim.told() == ["Disabled"]


def test_a_closed_gate_warns_with_the_way_out() -> None:
    sim = opened(5)
    sim.say(phase="Waiting", gate="StateLost")
    sim.settle()
    event = sim.events[0]
    assert (event.type, event.reason) == ("Warning", "GateClosed")
    assert "epoch 2" in event.note
    sim.told()
    sim.count(20110)
    sim.settle()
    assert sim.told() == ["Estimated", "AwaitingApproval"], "the test said the same before"


def test_a_failed_test_names_the_step() -> None:
    sim = Sim(test="r1")
    sim.settle()
    bad = (*STEPS[:2], Step(name="tls", ok=False, detail="the certificate expired yesterday"))
    sim.end_probe(steps=bad, problem=problem("TLSFailed"))
    sim.settle()
    assert [(e.type, e.reason, e.note) for e in sim.events] == [
        ("Warning", "TestFailed", "The test failed at step tls: the certificate expired yesterday.")
    ]


def test_the_same_failure_again_is_no_event() -> None:
    sim = Sim(enable="true")
    sim.settle()
    sim.end_probe(steps=STEPS[:1], problem=problem("ConnectionFailed"))
    sim.settle()
    assert sim.told() == ["TestFailed", "ConnectionFailed"]
    for _ in range(3):
        sim.after(61)
        sim.settle()
        sim.end_probe(steps=STEPS[:1], problem=problem("ConnectionFailed"))
        sim.settle()
    assert sim.told() == []
    sim.after(61)
    sim.settle()
    sim.count(1234)
    sim.settle()
    assert sim.told() == ["Tested", "Estimated", "AwaitingApproval", "Recovered"]


def test_a_lost_fetcher_and_its_return() -> None:
    sim = opened(5)
    sim.report = replace(sim.report, age=91.0)
    sim.settle()
    sim.say()
    sim.settle()
    assert sim.told() == ["FetcherLost", "Recovered"]


def test_actions_and_advice() -> None:
    sim = opened(5)
    sim.say(actions=ActionState(reason="Failed", message="The folder Done does not exist."), insecure=True)
    sim.settle()
    assert [(e.type, e.reason) for e in sim.events] == [
        ("Warning", "AfterDownloadFailed"),
        ("Warning", "InsecureLogin"),
    ]


def test_a_store_that_went_back() -> None:
    sim = opened(5)
    sim.after(61)
    sim.change_report(seq=90)
    sim.settle()
    sim.after(61)
    sim.change_report(seq=70)
    sim.settle()
    assert [(e.type, e.reason) for e in sim.events] == [("Warning", "StoreWentBack")]
    assert "from 90 to 70" in sim.events[0].note


def test_another_state_begins_at_its_own_count() -> None:
    sim = opened(5)
    sim.after(61)
    sim.change_report(seq=90)
    sim.settle()
    sim.say(phase="Waiting", gate="StateLost", seq=90)
    sim.settle()
    sim.count(5, state=StoreState())
    sim.settle()
    sim.told()
    sim.say(state_id="s2", seq=3)
    sim.settle()
    assert "StoreWentBack" not in sim.told()


def notice(reason: Any = "MailQuarantined", message: str = "UID 17 was set aside.", second: int = 0) -> Notice:
    return Notice(reason=reason, message=message, time=f"2026-01-31T11:00:{second:02}Z")


def test_a_notice_is_told_once() -> None:
    sim = opened(5)
    sim.change_report(notices=(notice(), notice("MailboxReset", "The server numbered its mails anew.")))
    sim.settle()
    assert [(e.type, e.reason, e.note) for e in sim.events] == [
        ("Warning", "MailQuarantined", "UID 17 was set aside."),
        ("Normal", "MailboxReset", "The server numbered its mails anew."),
    ]
    sim.told()
    sim.change_report(messages=7)
    sim.after(61)
    sim.settle()
    sim.written = None  # another process; the status has what was told
    sim.settle()
    assert sim.told() == []
    sim.change_report(notices=(*sim.report.report.notices, notice(message="UID 18 was set aside.")))  # type: ignore[union-attr]
    sim.settle()
    assert [e.note for e in sim.events] == ["UID 18 was set aside."]


def test_notices_outlive_the_fetcher_that_told_them() -> None:
    sim = opened(5)
    sim.change_report(notices=(notice(),))
    sim.settle()
    sim.change_report(notices=())
    sim.settle()
    assert [n["message"] for n in sim.status["notices"]] == ["UID 17 was set aside."]
    sim.told()
    sim.change_report(notices=(notice(),))
    sim.settle()
    assert sim.told() == []


def test_more_notices_than_fit_come_to_rest() -> None:
    sim = opened(5)
    many = tuple(notice(message=f"UID {n}", second=n) for n in range(12))
    sim.change_report(notices=many)
    sim.settle()
    assert [n["message"] for n in sim.status["notices"]] == [f"UID {n}" for n in range(7, 12)]
    assert len(sim.told()) == 5
    writes = sim.writes
    sim.settle()
    sim.change_report(notices=many[2:])
    sim.settle()
    assert (sim.writes, sim.told()) == (writes, [])


def test_going_back_is_one_event_whoever_noticed_it() -> None:
    sim = opened(5)
    sim.after(61)
    sim.change_report(seq=90)
    sim.settle()
    paused = ActionState(reason="StoreWentBack", message="annotate resume-actions=90", pending=2)
    sim.change_report(seq=70, notices=(notice("StoreWentBack", "It went back."),), actions=paused)
    sim.settle()
    assert [(e.reason, e.note) for e in sim.events] == [("StoreWentBack", "annotate resume-actions=90")]
    sim.told()
    sim.change_report(notices=(notice("StoreWentBack", "It went back."), notice("StoreWentBack", "Again.", 9)))
    sim.settle()
    assert [(e.reason, e.note) for e in sim.events] == [("StoreWentBack", "Again.")]
