"""Whatever people, probes and fetchers do in whatever order: the gate holds, and plans come to rest."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mailfetch_fetcher.contract.probe import StoreState
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_operator.model import ReportView
from tests.unit.operator.pure.schema import mistakes, status_schema
from tests.unit.operator.pure.sim import STEPS, Sim, opened, problem

LIMIT = 100
STATUS = status_schema()


def set_annotation(name: str, value: str) -> Any:
    return lambda sim: sim.annotate(**{name: value})


def edit(**fields: Any) -> Any:
    return lambda sim: sim.edit(**fields)


def count(new: int, state: StoreState, confidence: str) -> Any:
    def act(sim: Sim) -> None:
        if sim.running:
            sim.count(new, state=state, confidence=confidence)

    return act


def fail_probe(sim: Sim) -> None:
    if sim.running:
        sim.end_probe(steps=STEPS[:1], problem=problem())


def kill_probe(sim: Sim) -> None:
    if sim.running:
        sim.end_probe()


def say(**fields: Any) -> Any:
    def act(sim: Sim) -> None:
        if sim.plan.assignment:
            sim.say(**fields)

    return act


def silence(sim: Sim) -> None:
    sim.report = ReportView(report=sim.report.report, age=100.0)


enable = st.sampled_from(["true", "true", "false"]).map(lambda v: set_annotation("enable", v))
acknowledge = st.sampled_from(["50", "5000", "any", "50/2", "any/2", "any/3", "any/4", "junk"]).map(
    lambda v: set_annotation("acknowledge", v)
)
mailbox = st.sampled_from(["a.example.com", "b.example.com"]).map(lambda h: edit(server={"host": h}))
probed = st.builds(
    count,
    st.sampled_from([0, 100, 150, 4000, 9000]),
    st.sampled_from(
        [
            StoreState(),
            StoreState(state_id="s1", gate_epoch=1),
            StoreState(state_id="s2", same_mailbox=False, gate_epoch=2),
        ]
    ),
    st.sampled_from(["High", "High", "Low"]),
)
gated = st.sampled_from(["StateLost", "IdentityChanged", "MailboxReset"]).map(lambda g: say(phase="Waiting", gate=g))
others = st.one_of(
    st.sampled_from(["r1", "r2"]).map(lambda v: set_annotation("test", v)),
    st.sampled_from(["1m", "5m"]).map(lambda i: edit(schedule={"interval": i})),
    st.sampled_from(["IMAP", "IMAP", "POP3", "MicrosoftGraph"]).map(lambda p: edit(protocol=p)),
    st.sampled_from([False, False, True]).map(lambda s: edit(suspend=s)),
    st.sampled_from([say(), say(phase="CatchingUp"), say(phase="BackingOff", problem=problem())]),
    st.sampled_from([fail_probe, kill_probe, silence, Sim.expire_jobs]),
    st.sampled_from([5.0, 70.0]).map(lambda s: lambda sim: sim.after(s)),
)
actions = st.one_of(probed, probed, probed, enable, acknowledge, mailbox, gated, others)
starts = st.sampled_from([Sim, lambda: Sim(enable="true"), lambda: opened(5), lambda: opened(4000, acknowledge="any")])


def acknowledged(sim: Sim, epoch: int) -> float:
    """An independent reading of the annotation: how many mails it accepts under this epoch."""
    text = sim.obj["metadata"]["annotations"].get("mailfetch.dev/acknowledge", "")
    match = re.fullmatch(r"(any|\d+)(/(\d+))?", text)
    if not match or int(match[3] or 1) != epoch:
        return -1
    return float("inf") if match[1] == "any" else int(match[1])


@settings(max_examples=300, deadline=None)
@given(starts, st.lists(actions, min_size=5, max_size=25))
def test_the_gate_holds(start: Any, script: list[Any]) -> None:
    sim = start()
    sim.settle()
    approval = sim.status["approval"]
    epoch, was_open, identity = approval["epoch"], "source" in approval, sim.connection.identity
    for act in script:
        act(sim)
        sim.settle()
        approval = sim.status.get("approval") or {"epoch": 1}
        assert approval["epoch"] >= epoch, "an epoch never falls"
        is_open = "source" in approval
        if was_open and not is_open:
            assert approval["epoch"] > epoch, "a gate that closes raises the epoch"
        touched = sim.state()[1] != "InvalidConfiguration"
        if was_open and ((touched and sim.connection.identity != identity) or not sim.connection.enabled):
            assert approval["epoch"] > epoch, "disabled, or another mailbox than was approved"
        assignment = sim.plan.assignment
        if assignment:
            assert is_open
            assert sim.connection.enabled
            assert approval["identity"] == assignment.identity == sim.connection.identity
            assert assignment.gate_epoch == approval["epoch"]
        if is_open and not (was_open and approval["epoch"] == epoch):
            new = sim.status["estimate"]["newMessages"]
            accepted = acknowledged(sim, approval["epoch"])
            if approval["source"] == "WithinLimit":
                assert new <= LIMIT
                assert sim.status["estimate"]["confidence"] != "Low"
            else:
                assert accepted >= 0, "the acknowledgement is of this epoch"
                assert new - accepted <= LIMIT
        epoch, was_open = approval["epoch"], is_open
        identity = approval.get("identity", identity)


@settings(max_examples=100, deadline=None)
@given(starts, st.lists(actions, min_size=1, max_size=25))
def test_a_plan_depends_on_nothing_but_what_it_is_given(start: Any, script: list[Any]) -> None:
    """Planned twice from the same objects it says the same: a crash between two writes changes nothing."""
    sim = start()
    for act in script:
        act(sim)
        before, written = sim.obj.get("status"), sim.written
        first = sim.step()
        if before is not None:
            sim.obj["status"], sim.written, jobs = before, written, dict(sim.jobs)
            if first.probe:
                del sim.jobs[first.probe["metadata"]["name"]]
            if not first.delete_jobs:
                again = sim.step()
                assert (again.status, again.assignment, again.probe) == (first.status, first.assignment, first.probe)
                assert sim.jobs == jobs
        sim.settle()
        assert list(mistakes(STATUS, sim.status)) == []
        kinds = [c["type"] for c in sim.status["conditions"]]
        assert kinds[:5] == ["Ready", "Active", "ConnectionVerified", "Approved", "AfterDownload"]
        assert len(kinds) == len(set(kinds))
        assert all(c["message"] and c["reason"] for c in sim.status["conditions"])


def test_the_checker_of_the_schema_finds_something() -> None:
    sim = opened(5)
    broken = sim.status | {"unknown": 1, "observedGeneration": "1", "test": {"result": "Maybe"}}
    assert len(list(mistakes(STATUS, broken))) == 3


def test_a_report_about_an_object_of_the_same_name_does_not_count() -> None:
    sim = opened(5)
    other = ConnectionReport(uid="other", generation=1, fingerprint="x", phase="Waiting", gate="StateLost")
    sim.report = ReportView(report=other, age=1.0)
    sim.settle()
    assert sim.status["approval"]["epoch"] == 1
    assert sim.state() == ("Unknown", "Pending")
