"""When the gate opens, why it closes, and that an old acknowledgement never opens it a second time."""

from typing import Any

import pytest

from mailfetch_fetcher.contract.probe import StoreState
from tests.unit.operator.pure.sim import SPEC, Sim, manifest, opened


def waiting(new: int, **annotations: str) -> Sim:
    """Enabled, counted, and whatever came of it."""
    sim = Sim(**{"enable": "true"} | annotations)
    sim.settle()
    sim.count(new)
    sim.settle()
    return sim


def is_open(sim: Sim) -> bool:
    return sim.plan.assignment is not None


def test_nothing_happens_without_the_annotation() -> None:
    sim = Sim()
    plan = sim.settle()
    assert (plan.assignment, plan.probe, sim.jobs) == (None, None, {})
    assert sim.state() == ("True", "Disabled")


@pytest.mark.parametrize("value", ["false", "True", "yes", "1", ""])
def test_only_the_word_true_enables(value: str) -> None:
    sim = Sim(enable=value)
    sim.settle()
    assert sim.state() == ("True", "Disabled")
    assert not sim.jobs


def test_enabling_counts_first_and_downloads_nothing_meanwhile() -> None:
    sim = Sim(enable="true")
    sim.settle()
    assert sim.running
    assert not is_open(sim)
    assert sim.state() == ("Unknown", "Pending")


@pytest.mark.parametrize(
    ("new", "acknowledge", "opens", "source"),
    [
        (100, "", True, "WithinLimit"),
        (101, "", False, ""),
        (1234, "1134", True, "Annotation"),
        (1234, "1133", False, ""),
        (1234, "any", True, "Annotation"),
        (1234, " 1234 ", True, "Annotation"),
        (1234, "1234/1", True, "Annotation"),
        (1234, "1234/2", False, ""),
        (1234, "any/2", False, ""),
        (1234, "all", False, ""),
        (1234, "-5000", False, ""),
        (1234, "1e9", False, ""),
        (1234, "99999999999999999999", False, ""),
        (0, "", True, "WithinLimit"),
    ],
)
def test_the_formula(new: int, acknowledge: str, opens: bool, source: str) -> None:
    sim = waiting(new, acknowledge=acknowledge)
    assert is_open(sim) is opens
    approval = sim.status["approval"]
    assert approval["epoch"] == 1
    assert approval.get("source", "") == source
    assert sim.state("Approved")[0] == ("True" if opens else "False")


@pytest.mark.parametrize(("acknowledge", "opens"), [("", False), ("3", True), ("any", True), ("3/2", False)])
def test_low_confidence_needs_an_acknowledgement_whatever_the_number(acknowledge: str, opens: bool) -> None:
    sim = Sim(enable="true", acknowledge=acknowledge)
    sim.settle()
    sim.count(3, confidence="Low")
    sim.settle()
    assert is_open(sim) is opens
    if not opens:
        assert sim.state("Approved") == ("False", "LowConfidence")


def test_the_message_is_the_exact_command() -> None:
    sim = waiting(1234)
    command = "kubectl -n helpdesk annotate mailconnection support mailfetch.dev/acknowledge=1234 --overwrite"
    assert command in sim.condition("Ready")["message"]
    assert command in sim.condition("Approved")["message"]
    assert sim.state("Approved") == ("False", "Required")


def test_a_raised_limit_opens_it_after_a_new_count() -> None:
    sim = waiting(1234)
    sim.edit(approval={"maxMessages": 2000})
    sim.settle()
    assert sim.running
    sim.count(1234)
    sim.settle()
    assert sim.status["approval"]["source"] == "WithinLimit"


def test_an_old_count_never_opens_the_gate() -> None:
    """Acknowledged hours later: it is counted again, and the new number decides."""
    sim = waiting(1234)
    sim.expire_jobs()
    sim.after(3600)
    sim.annotate(acknowledge="1234")
    sim.settle()
    assert sim.running
    assert not is_open(sim)
    sim.count(1400)
    sim.settle()
    assert not is_open(sim)
    assert "acknowledge=1400" in sim.condition("Ready")["message"]
    sim.annotate(acknowledge="1400")
    sim.settle()
    assert is_open(sim)


def test_waiting_for_people_costs_nothing() -> None:
    sim = waiting(1234)
    sim.expire_jobs()
    writes = sim.writes
    sim.after(86400)
    plan = sim.settle()
    assert (sim.writes, sim.jobs, plan.requeue_after) == (writes, {}, None)


def test_an_acknowledgement_that_is_not_understood_is_named() -> None:
    sim = waiting(1234, acknowledge="all")
    assert '"all", which is not a number or "any"' in sim.condition("Ready")["message"]


# -- closing


def test_disabling_raises_the_epoch_and_the_old_acknowledgement_is_worth_nothing() -> None:
    sim = opened(1234, acknowledge="1234")
    sim.annotate(enable="false")
    sim.settle()
    assert not is_open(sim)
    assert sim.status["approval"] == {"epoch": 2, "reason": "Disabled"}
    sim.expire_jobs()
    sim.annotate(enable="true")
    sim.settle()
    sim.count(5000, state=StoreState(state_id="s1", gate_epoch=1))
    sim.settle()
    assert not is_open(sim)
    assert "acknowledge=5000/2" in sim.condition("Ready")["message"]
    assert 'The acknowledgement "1234" was for another approval' in sim.condition("Ready")["message"]
    sim.annotate(acknowledge="5000/2")
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (2, "s1")


def test_any_does_not_open_a_second_gate() -> None:
    sim = opened(1234, acknowledge="any")
    sim.annotate(enable="false")
    sim.settle()
    sim.annotate(enable="true")
    sim.settle()
    sim.count(5000, state=StoreState(state_id="s1", gate_epoch=1))
    sim.settle()
    assert not is_open(sim)
    sim.annotate(acknowledge="any/2")
    sim.settle()
    assert is_open(sim)


def test_disabling_again_and_again_while_closed_does_not_raise_the_epoch() -> None:
    sim = waiting(1234)
    for _ in range(3):
        sim.annotate(enable="false")
        sim.settle()
        sim.annotate(enable="true")
        sim.settle()
    assert sim.status["approval"] == {"epoch": 1}


def test_enabling_counts_again_even_if_there_is_an_estimate() -> None:
    sim = waiting(1234)
    sim.expire_jobs()
    sim.annotate(enable="false")
    sim.settle()
    sim.annotate(enable="true")
    sim.settle()
    assert sim.running


def test_another_mailbox_closes_the_gate() -> None:
    sim = opened(1234, acknowledge="1234")
    sim.edit(server={"host": "other.example.com"})
    plan = sim.settle()
    assert plan.assignment is None
    assert sim.status["approval"] == {"epoch": 2, "reason": "IdentityChanged"}
    assert "stateId" not in sim.status["mailbox"]
    sim.count(1234, state=StoreState(state_id="s1", same_mailbox=False, gate_epoch=1))
    sim.settle()
    assert not is_open(sim)
    assert sim.state("Approved") == ("False", "IdentityChanged")
    assert sim.state() == ("True", "AwaitingApproval")
    sim.annotate(acknowledge="1234/2")
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (2, "")


def test_the_state_of_the_former_mailbox_is_not_asked_for_in_another_one() -> None:
    sim = opened(5)
    former = sim.connection.identity
    sim.annotate(enable="false")
    sim.settle()
    assert sim.status["mailbox"] == {"identity": former, "stateId": "s1", "uidValidity": "17"}
    sim.edit(server={"host": "other.example.com"})
    sim.settle()
    assert sim.status["mailbox"] == {"identity": sim.connection.identity}
    assert sim.connection.identity != former


def test_another_schedule_does_not_close_the_gate() -> None:
    sim = opened(1234, acknowledge="1234")
    sim.edit(schedule={"interval": "5m"})
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.gate_epoch == 1
    assert sim.state() == ("Unknown", "Pending")
    assert sim.state("Reconciling") == ("True", "Pending")


def test_an_approval_without_its_mailbox_is_not_trusted() -> None:
    """Somebody wrote status.approval: it must name the mailbox of the spec."""
    for identity in ({}, {"identity": "sha256:of another mailbox"}):
        obj = manifest(annotations={"mailfetch.dev/enable": "true"})
        obj["status"] = {
            "approval": {"epoch": 1, "source": "Annotation", "acceptedAt": "2026-01-01T00:00:00Z"} | identity
        }
        sim = Sim(obj)
        assert sim.settle().assignment is None
        assert sim.status["approval"]["epoch"] == 2


@pytest.mark.parametrize("gate", ["StateLost", "IdentityChanged"])
def test_a_fetcher_that_lost_its_state_needs_a_new_approval(gate: str) -> None:
    sim = opened(1234, acknowledge="any")
    assert sim.status["mailbox"]["stateId"] == "s1"
    assert sim.plan.assignment
    assert sim.plan.assignment.state_id == "s1"
    sim.say(phase="Waiting", gate=gate, gate_message="…", connected=False)
    sim.settle()
    assert not is_open(sim)
    told = {"message": "…"} if gate == "IdentityChanged" else {}
    assert sim.status["approval"] == {"epoch": 2, "reason": gate} | told
    assert sim.state("Approved") == ("False", gate)
    sim.count(20110)
    sim.settle()
    assert not is_open(sim)
    sim.annotate(acknowledge="any/2")
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (2, ""), "a new state may be made"
    sim.settle()
    assert sim.status["approval"]["epoch"] == 2, "what the fetcher said under the first epoch counts once"
    sim.say(state_id="s2")
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.state_id == "s2"


@pytest.mark.parametrize("confidence", ["High", "Low"])
@pytest.mark.parametrize("acknowledge", ["7/2", "any/2"])
def test_a_reset_mailbox_opens_only_by_an_acknowledgement(confidence: str, acknowledge: str) -> None:
    """The fetcher takes all that it cannot recognise then, whatever a probe counts beyond the cursor."""
    sim = opened(5, acknowledge="any")
    sim.say(phase="Waiting", gate="MailboxReset", gate_message="20110 of 20117 mails cannot be recognised.")
    sim.settle()
    sim.count(7, state=StoreState(state_id="s1", gate_epoch=1), confidence=confidence)
    sim.settle()
    assert not is_open(sim)
    assert sim.state("Approved") == ("False", "MailboxReset")
    assert sim.status["mailbox"]["stateId"] == "s1"
    message = sim.condition("Ready")["message"]
    assert "acknowledge=7/2" in message
    assert "20110 of 20117 mails cannot be recognised." in message
    sim.annotate(acknowledge=acknowledge)
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (2, "s1"), "the same state, under a new approval"
    assert "message" not in sim.status["approval"] or sim.status["approval"]["reason"] == "MailboxReset"


def test_the_fetchers_words_are_told_with_the_closing_and_go_with_the_next() -> None:
    sim = opened(5)
    sim.say(phase="Waiting", gate="MailboxReset", gate_message="m" * 5000)
    sim.settle()
    assert len(sim.status["approval"]["message"]) == 512
    assert "mmm" in next(e.note for e in sim.events if e.reason == "GateClosed")
    sim.annotate(enable="false", acknowledge="any/2")
    sim.settle()
    sim.annotate(enable="true")
    sim.settle()
    sim.count(7, state=StoreState(state_id="s1", gate_epoch=1))
    sim.settle()
    assert is_open(sim)
    sim.annotate(enable="false")
    sim.settle()
    assert sim.status["approval"] == {"epoch": 3, "reason": "Disabled"}


@pytest.mark.parametrize(("new", "opens"), [(3, True), (1234, False)])
def test_a_mailbox_that_moved_goes_on_by_itself(new: int, opens: bool) -> None:
    """The probe recognised its mails at the new address; the fetcher looks again before it adopts the state."""
    sim = opened(1234, acknowledge="1234")
    sim.edit(server={"host": "other.example.com"})
    assert sim.settle().assignment is None
    assert sim.status["approval"] == {"epoch": 2, "reason": "IdentityChanged"}
    sim.count(new, mailbox="Known", state=StoreState(state_id="s1", same_mailbox=True, moved=True, gate_epoch=1))
    plan = sim.settle()
    assert is_open(sim) is opens
    assert sim.status["probe"]["moved"] is True
    if plan.assignment:
        assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (2, "s1"), "its state is not put aside"
        assert sim.status["approval"]["source"] == "WithinLimit"
    else:
        assert "acknowledge=1234/2" in sim.condition("Ready")["message"]


REFUSED: dict[str, Any] = {
    "phase": "Waiting",
    "gate": "IdentityChanged",
    "gate_message": "It cannot be recognised.",
    "state_id": "",
    "connected": False,
}
MOVED = StoreState(state_id="s1", same_mailbox=True, moved=True, gate_epoch=1)


def refused() -> Sim:
    """The probe recognised the mailbox at its new address and the gate opened by itself; then the fetcher did not."""
    sim = opened(5)
    sim.edit(server={"host": "other.example.com"})
    sim.settle()
    sim.count(3, mailbox="Known", state=MOVED)
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.state_id == "s1", "the fetcher may not put it aside"
    sim.say(**REFUSED)
    assert sim.settle().assignment is None
    return sim


def test_a_moved_mailbox_that_the_fetcher_does_not_recognise_needs_an_acknowledgement_of_all_of_it() -> None:
    sim = refused()
    for _ in range(3):  # however often the probe recognises it: the gate does not open and close for ever
        sim.count(3, mailbox="Known", state=MOVED)
        sim.settle()
        assert not is_open(sim)
        sim.expire_jobs()
        sim.after(700)
        sim.settle()
        sim.annotate(estimate=f"r{sim.now}")
        sim.settle()
    approval = {"epoch": 3, "reason": "IdentityChanged", "message": "It cannot be recognised."}
    assert sim.status["approval"] == approval
    assert sim.state("Approved") == ("False", "IdentityChanged")
    message = sim.condition("Ready")["message"]
    assert "It cannot be recognised." in message
    assert "20 new mails" in message
    assert "acknowledge=20/3" in message
    sim.count(3, mailbox="Known", state=MOVED)
    sim.annotate(acknowledge="20/3")
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (3, ""), "now it may be put aside"
    sim.say(state_id="s2")
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.state_id == "s2"


def test_setting_the_address_back_needs_no_acknowledgement() -> None:
    sim = refused()
    sim.edit(server={"host": "imap.example.com"})
    sim.settle()
    sim.count(2, mailbox="Known", state=StoreState(state_id="s1", gate_epoch=1))
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (3, "s1")
    assert sim.status["approval"]["source"] == "WithinLimit"


@pytest.mark.parametrize("epoch", [1, 7])
def test_a_third_address_is_not_opened_by_itself_either(epoch: int) -> None:
    sim = refused()
    sim.edit(server={"host": "third.example.com"})
    sim.settle()
    for _ in range(2):
        sim.count(3, state=StoreState(state_id="s1", same_mailbox=False, gate_epoch=epoch))
        sim.settle()
        assert not is_open(sim)
        sim.annotate(estimate=f"again {sim.writes}")
        sim.settle()
    sim.count(3, state=StoreState(state_id="s1", same_mailbox=False, gate_epoch=epoch))
    sim.annotate(acknowledge=f"3/{max(3, epoch + 1)}")
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (max(3, epoch + 1), "")


def test_a_gate_word_about_an_earlier_assignment_does_not_count() -> None:
    sim = opened(5)
    old = sim.plan.assignment
    sim.edit(schedule={"interval": "5m"})
    sim.settle()
    sim.say(assignment=old, phase="Waiting", gate="StateLost")
    sim.settle()
    assert is_open(sim)


# -- what a probe finds in Redis


def test_the_state_of_another_mailbox_lifts_the_epoch_above_its_own() -> None:
    """Deleted with deletionPolicy Retain and made again for another mailbox."""
    sim = Sim(enable="true", acknowledge="any")
    sim.settle()
    sim.count(1234, state=StoreState(state_id="old", same_mailbox=False, gate_epoch=3))
    sim.settle()
    assert not is_open(sim)
    assert sim.status["approval"] == {"epoch": 4, "reason": "IdentityChanged"}
    sim.count(1234, state=StoreState(state_id="old", same_mailbox=False, gate_epoch=3))
    sim.settle()
    assert sim.status["approval"]["epoch"] == 4
    assert not is_open(sim)
    sim.annotate(acknowledge="any/4")
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (4, "")


def test_a_state_of_the_same_mailbox_is_adopted() -> None:
    """Deleted and made again: it continues, and from now on its loss is noticed."""
    sim = Sim(enable="true")
    sim.settle()
    sim.count(7, mailbox="Known", state=StoreState(state_id="s7", gate_epoch=2))
    plan = sim.settle()
    assert plan.assignment
    assert (plan.assignment.gate_epoch, plan.assignment.state_id) == (1, "s7")


def test_a_state_that_was_lost_while_disabled_is_a_new_flood() -> None:
    sim = opened(5)
    sim.annotate(enable="false")
    sim.settle()
    sim.annotate(enable="true", acknowledge="any/2")
    sim.settle()
    sim.count(20110, state=StoreState(state_id=""))
    sim.settle()
    assert not is_open(sim)
    assert sim.status["approval"] == {"epoch": 3, "reason": "StateLost"}
    sim.count(20110)
    sim.settle()
    assert not is_open(sim)
    assert "acknowledge=20110/3" in sim.condition("Ready")["message"]
    sim.annotate(acknowledge="any/3")
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.state_id == ""


def test_a_probe_that_could_not_look_into_redis_changes_nothing() -> None:
    sim = opened(5)
    sim.annotate(enable="false")
    sim.settle()
    sim.annotate(test="r1")
    sim.settle()
    sim.end_probe(steps=(), problem=None, estimate=None, state=None)
    sim.settle()
    assert sim.status["approval"]["epoch"] == 2
    assert sim.status["mailbox"]["stateId"] == "s1"


def test_suspending_keeps_the_approval_and_stops_the_download() -> None:
    sim = opened(1234, acknowledge="1234")
    sim.edit(suspend=True)
    assert sim.settle().assignment is None
    assert sim.state() == ("True", "Suspended")
    sim.edit(suspend=False)
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.gate_epoch == 1


def test_a_spec_that_this_version_cannot_run_is_not_touched() -> None:
    sim = opened(5)
    before = sim.status["approval"]
    sim.edit(certificates=[{"secretName": "smime"}])
    plan = sim.settle()
    assert (plan.assignment, plan.probe) == (None, None)
    assert sim.state() == ("False", "InvalidConfiguration")
    assert "not in this version: certificates" in sim.condition("Ready")["message"]
    assert sim.status["approval"] == before
    sim.edit(certificates=[])
    assert sim.settle().assignment


@pytest.mark.parametrize("broken", [{"certificates": [{"secretName": "smime"}]}, {"auth": "?"}])
def test_disabling_ends_the_approval_also_while_the_spec_cannot_be_run(broken: dict[str, Any]) -> None:
    sim = opened(1234, acknowledge="1234")
    sim.edit(**broken)
    sim.settle()
    sim.annotate(enable="false")
    sim.settle()
    assert sim.status["approval"] == {"epoch": 2, "reason": "Disabled"}
    sim.edit(**SPEC | {"certificates": []})
    sim.annotate(enable="true")
    assert sim.settle().assignment is None, "months may have passed: the mails are counted first"
    assert sim.running


def test_a_second_state_under_one_approval_is_a_flood() -> None:
    """Redis lost the state before the fetcher was told that there was one, so it made another and downloads again."""
    sim = opened(1234, acknowledge="any")
    sim.say(state_id="s2", phase="CatchingUp")
    assert sim.settle().assignment is None
    assert sim.status["approval"] == {"epoch": 2, "reason": "StateLost"}
    sim.count(1000, mailbox="Known", state=StoreState(state_id="s2", gate_epoch=1))
    sim.settle()
    assert not is_open(sim)
    sim.annotate(acknowledge="1000/2")
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.state_id == "s2", "it goes on from where it was stopped"


def test_the_count_of_an_earlier_epoch_never_opens_a_later_one() -> None:
    """Killed between the creation of a probe Job and the status that it belongs to; the Job ends before the restart."""
    sim = opened(5)
    sim.annotate(enable="false")
    sim.settle()
    sim.annotate(enable="true")
    sim.settle()
    sim.count(5, mailbox="Known", state=StoreState(state_id="of a copy", gate_epoch=1))
    before = sim.status
    sim.step()
    assert sim.status["approval"] == {"epoch": 3, "reason": "StateLost"}
    sim.obj["status"] = before
    sim.count(20110, state=StoreState())
    sim.settle()
    assert not is_open(sim)
    assert "acknowledge=20110/3" in sim.condition("Ready")["message"]


def test_an_unsupported_connection_is_not_even_tested() -> None:
    sim = Sim(manifest(spec=SPEC | {"certificates": [{"secretName": "smime"}]}), enable="true", test="r1")
    plan = sim.settle()
    assert (plan.assignment, plan.probe, sim.jobs) == (None, None, {})
    assert "handledRequests" not in sim.status


def test_deleting_plans_nothing() -> None:
    sim = opened(5)
    sim.obj["metadata"]["deletionTimestamp"] = "2026-02-01T00:00:00Z"
    writes = sim.writes
    plan = sim.step()
    assert (plan.assignment, plan.probe, plan.events, sim.writes) == (None, None, (), writes)
