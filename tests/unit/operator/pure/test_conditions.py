"""Each reason of each condition, from what causes it."""

from dataclasses import replace
from typing import Any

import pytest

from mailfetch_fetcher.contract.report import ActionState, Progress
from mailfetch_operator.model import Connection, FetcherView, PodView, Refusal, ReportView
from mailfetch_operator.plan import consumer_groups
from tests.unit.operator.pure.sim import KEY, READY, SPEC, STEPS, Sim, manifest, opened, problem

ALWAYS = ["Ready", "Active", "ConnectionVerified", "Approved", "AfterDownload"]


def types(sim: Sim) -> list[str]:
    return [c["type"] for c in sim.status["conditions"]]


def test_all_conditions_are_always_there() -> None:
    sim = Sim()
    sim.settle()
    assert types(sim) == ALWAYS
    assert {kind: sim.state(kind) for kind in ALWAYS} == {
        "Ready": ("True", "Disabled"),
        "Active": ("False", "Disabled"),
        "ConnectionVerified": ("Unknown", "NotTested"),
        "Approved": ("False", "Required"),
        "AfterDownload": ("Unknown", "Pending"),
    }
    assert (
        "kubectl -n helpdesk annotate mailconnection support mailfetch.dev/enable=true"
        in (sim.condition("Ready")["message"])
    )


def test_a_listening_connection() -> None:
    sim = opened(5)
    assert {kind: sim.state(kind) for kind in ALWAYS} == {
        "Ready": ("True", "Idle"),
        "Active": ("True", "Listening"),
        "ConnectionVerified": ("True", "LoginSucceeded"),
        "Approved": ("True", "WithinLimit"),
        "AfterDownload": ("True", "Done"),
    }
    assert types(sim) == ALWAYS
    assert sim.status["placement"] == {"fetcher": "mailfetch-pool-default"}
    assert sim.status["mailbox"] == {"identity": sim.connection.identity, "stateId": "s1", "uidValidity": "17"}


def test_a_spec_that_cannot_be_read() -> None:
    sim = Sim(manifest(spec={"protocol": "IMAP"}), enable="true")
    plan = sim.settle()
    assert sim.state() == ("False", "InvalidConfiguration")
    assert "auth" in sim.condition("Ready")["message"]
    assert sim.state("Stalled") == ("True", "InvalidConfiguration")
    assert (plan.assignment, plan.probe) == (None, None)


@pytest.mark.parametrize(
    ("reason", "verified"),
    [
        ("InvalidConfiguration", ("Unknown", "NotTested")),
        ("SecretNotFound", ("Unknown", "NotTested")),
        ("ConnectionFailed", ("False", "ConnectionFailed")),
        ("TLSFailed", ("False", "TLSFailed")),
        ("AuthFailed", ("False", "AuthFailed")),
        ("AuthorizationRequired", ("False", "AuthorizationRequired")),
        ("FolderNotFound", ("False", "FolderNotFound")),
        ("Throttled", ("False", "Throttled")),
        ("StoreUnavailable", ("Unknown", "NotTested")),
        ("StoreUnsafe", ("Unknown", "NotTested")),
    ],
)
def test_a_probe_that_fails_shows_its_reason_and_recovers(reason: str, verified: tuple[str, str]) -> None:
    sim = Sim(enable="true")
    sim.settle()
    sim.end_probe(steps=STEPS[:1], problem=problem(reason, "What to do."))
    sim.settle()
    assert sim.state() == ("False", reason)
    assert sim.condition("Ready")["message"] == "What to do."
    assert sim.state("Active") == ("False", "Failing")
    assert sim.state("ConnectionVerified") == verified
    sim.after(61)
    sim.settle()
    assert sim.state() == ("False", reason), "while it is tried again, the reason stands"
    sim.count(5)
    sim.settle()
    assert sim.state() == ("Unknown", "Pending")
    assert sim.state("Approved") == ("True", "WithinLimit")


@pytest.mark.parametrize(
    ("reason", "active"),
    [
        ("InvalidConfiguration", "Failing"),
        ("SecretNotFound", "Failing"),
        ("ConnectionFailed", "BackingOff"),
        ("TLSFailed", "Failing"),
        ("AuthFailed", "Failing"),
        ("AuthorizationRequired", "Failing"),
        ("FolderNotFound", "Failing"),
        ("Throttled", "BackingOff"),
        ("QueueFull", "QueueFull"),
        ("StoreUnavailable", "BackingOff"),
        ("StoreUnsafe", "Failing"),
        ("FetcherUnavailable", "Failing"),
    ],
)
def test_a_fetcher_that_fails_shows_its_reason_and_recovers(reason: str, active: str) -> None:
    sim = opened(5)
    sim.say(phase="BackingOff", connected=False, failures=1, problem=problem(reason, "What to do."))
    sim.settle()
    assert sim.state() == ("False", reason)
    assert sim.condition("Ready")["message"] == "What to do."
    assert sim.state("Active") == ("False", active)
    connection = reason in ("ConnectionFailed", "TLSFailed", "AuthFailed", "AuthorizationRequired", "FolderNotFound")
    if connection or reason == "Throttled":
        assert sim.state("ConnectionVerified") == ("False", reason)
    else:
        assert sim.state("ConnectionVerified") == ("True", "LoginSucceeded")
    sim.say()
    sim.settle()
    assert sim.state() == ("True", "Idle")


def test_an_unsafe_store_does_not_stop_the_download() -> None:
    sim = opened(5)
    held = ActionState(reason="StoreUnsafe", message="Set appendonly to yes.", pending=3)
    sim.say(problem=problem("StoreUnsafe", "Set appendonly to yes."), actions=held)
    sim.settle()
    assert sim.state() == ("False", "StoreUnsafe")
    assert sim.state("Active") == ("True", "Listening")
    assert sim.state("AfterDownload") == ("False", "StoreUnsafe")
    assert sim.condition("AfterDownload")["message"] == "Set appendonly to yes."


def test_a_probe_job_that_cannot_start() -> None:
    sim = Sim(enable="true")
    sim.settle()
    job = sim.running
    assert job
    sim.jobs[job.job_name] = replace(job, problem="ImagePullBackOff (not found)")
    sim.settle()
    assert sim.state() == ("False", "FetcherUnavailable")
    assert "ImagePullBackOff" in sim.condition("Ready")["message"]


def test_a_fetcher_that_is_made_starts_and_reports() -> None:
    sim = Sim(enable="true")
    sim.fetcher, sim.report = None, ReportView()
    sim.settle()
    sim.count(5)
    sim.settle()
    assert sim.plan.assignment
    assert sim.state() == ("Unknown", "Pending")
    assert sim.state("Reconciling") == ("True", "Pending")
    assert sim.state("Active") == ("Unknown", "BackingOff")
    assert "is being made" in sim.condition("Ready")["message"]
    sim.fetcher = FetcherView(key=KEY, exists=True, pods=(PodView(name="p", uid="u"),))
    sim.settle()
    assert "is starting" in sim.condition("Ready")["message"]
    sim.fetcher = READY
    sim.settle()
    assert "has not reported yet" in sim.condition("Ready")["message"]
    sim.report = ReportView(age=0.5)
    sim.settle()
    assert sim.state() == ("Unknown", "Pending")
    sim.say(phase="Starting", state_id="", connected=False)
    sim.settle()
    assert sim.state() == ("Unknown", "Pending")
    sim.say(phase="CatchingUp")
    sim.settle()
    assert sim.state() == ("True", "Fetching")
    assert sim.state("Active") == ("True", "Polling")


@pytest.mark.parametrize("why", ["ImagePullBackOff (not found)", "CrashLoopBackOff, last exit: OOMKilled ()"])
def test_a_fetcher_that_does_not_run_says_why(why: str) -> None:
    sim = opened(5)
    sim.fetcher = FetcherView(key=KEY, exists=True, message=why)
    sim.settle()
    assert sim.state() == ("False", "FetcherUnavailable")
    message = sim.condition("Ready")["message"]
    assert why in message
    assert "kubectl -n helpdesk describe pod -l mailfetch.dev/fetcher=mailfetch-pool-default" in message


def test_a_restarting_pod_is_no_news() -> None:
    """A pool is rolled: a gap of seconds must not write the status of 200 connections twice."""
    sim = opened(5)
    writes = sim.writes
    sim.fetcher = FetcherView(key=KEY, exists=True, pods=(PodView(name="p", uid="u"),))
    kept = sim.report
    sim.report = replace(kept, age=20.0)
    sim.settle()
    sim.report = ReportView(age=0.1, pod="pod-2")
    sim.settle()
    sim.report, sim.fetcher = kept, READY
    sim.say(phase="Starting", connected=True)
    sim.settle()
    assert sim.writes == writes
    assert sim.state() == ("True", "Idle")


def test_a_fetcher_that_does_not_know_the_connection_is_news() -> None:
    sim = opened(5)
    sim.report = ReportView(age=0.1, pod="pod-2")
    sim.settle()
    assert sim.state() == ("Unknown", "Pending")


def test_a_restarted_operator_is_no_news() -> None:
    sim = opened(5)
    writes, kept = sim.writes, sim.report
    sim.report, sim.uptime, sim.written = ReportView(), 3.0, None
    plan = sim.settle()
    assert plan.assignment, "the fetcher keeps its work"
    assert sim.writes == writes
    assert plan.requeue_after == 88.0
    sim.report = kept
    sim.settle()
    assert sim.writes == writes
    sim.report, sim.uptime = ReportView(), 91.0
    sim.settle()
    assert sim.state() == ("Unknown", "Pending")


def test_a_silent_fetcher_is_lost_after_90_seconds() -> None:
    sim = opened(5)
    sim.report = replace(sim.report, age=50.0)
    assert sim.settle().requeue_after == 41.0
    assert sim.state() == ("True", "Idle")
    sim.report = replace(sim.report, age=91.0)
    assert sim.settle().requeue_after is None
    assert sim.state() == ("Unknown", "FetcherLost")
    assert sim.state("Active") == ("Unknown", "Failing")
    assert "kubectl -n helpdesk logs deployment/mailfetch-pool-default" in sim.condition("Ready")["message"]
    sim.say()
    sim.settle()
    assert sim.state() == ("True", "Idle")


def test_a_full_pool_names_the_way_out() -> None:
    sim = opened(5)
    sim.placement = Refusal(message="use another pool")
    plan = sim.settle()
    assert plan.assignment is None
    assert sim.state() == ("False", "FetcherUnavailable")
    assert sim.condition("Ready")["message"] == "use another pool"
    assert sim.state("Stalled") == ("True", "FetcherUnavailable")
    assert "placement" not in sim.status


def test_an_odd_value_of_enable_is_explained() -> None:
    sim = Sim(enable="yes")
    sim.settle()
    assert 'is "yes"; only "true" enables' in sim.condition("Ready")["message"]


def test_a_new_spec_makes_the_old_test_worthless() -> None:
    sim = Sim(test="r1")
    sim.settle()
    sim.count(5)
    sim.settle()
    assert sim.state("ConnectionVerified") == ("True", "LoginSucceeded")
    sim.expire_jobs()
    sim.settle()
    assert sim.state("ConnectionVerified") == ("True", "LoginSucceeded")
    sim.edit(server={"host": "other.example.com"})
    sim.settle()
    assert sim.state("ConnectionVerified") == ("Unknown", "NotTested")


@pytest.mark.parametrize("reason", ["Pending", "Failed", "StoreWentBack", "StoreUnsafe"])
def test_after_download(reason: Any) -> None:
    sim = opened(5)
    sim.say(actions=ActionState(reason=reason, message="What to do.", pending=2))
    sim.after(61)
    sim.settle()
    assert sim.state("AfterDownload") == ("False", reason)
    assert sim.condition("AfterDownload")["message"] == "What to do."
    assert sim.state() == ("True", "Idle"), "an action that fails never stops the download"


def test_advice_is_listed_in_its_order() -> None:
    spec = SPEC | {"server": {"host": "h.example.com", "encryption": "None", "allowInsecureLogin": True}}
    sim = Sim(manifest(spec=spec))
    sim.settle()
    assert sim.state("Advisory") == ("True", "InsecureLogin")
    sim.same_mailbox = ("billing",)
    sim.settle()
    assert sim.state("Advisory") == ("True", "SameMailboxTwice")
    message = sim.condition("Advisory")["message"]
    assert "billing reads the same mailbox" in message
    assert "unencrypted" in message


def test_an_acknowledgement_that_is_too_small_is_named() -> None:
    sim = Sim(enable="true", acknowledge="5")
    sim.settle()
    sim.count(1234)
    sim.settle()
    assert sim.state() == ("True", "AwaitingApproval")
    assert 'The acknowledgement "5" is too small.' in sim.condition("Ready")["message"]


def test_nobody_is_told_to_test_what_cannot_be_tested() -> None:
    sim = Sim(manifest(spec=SPEC | {"certificates": [{"secretName": "smime"}]}), enable="true")
    sim.settle()
    assert sim.state("ConnectionVerified") == ("Unknown", "NotTested")
    assert "kubectl" not in sim.condition("ConnectionVerified")["message"]


def test_the_fetcher_knows_best_whether_the_login_was_insecure() -> None:
    sim = opened(5)
    assert "Advisory" not in types(sim)
    sim.say(insecure=True)
    sim.settle()
    assert sim.state("Advisory") == ("True", "InsecureLogin")


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    sim = opened(5)
    first = sim.condition("Ready")["lastTransitionTime"]
    sim.after(100)
    sim.say(phase="CatchingUp", progress=Progress(done=1, total=900))
    sim.settle()
    assert sim.state() == ("True", "Fetching")
    assert sim.condition("Ready")["lastTransitionTime"] == first
    sim.say(phase="BackingOff", problem=problem())
    sim.settle()
    assert sim.condition("Ready")["lastTransitionTime"] == "2026-01-31T12:01:40Z"


def test_the_generation_is_on_every_condition() -> None:
    sim = opened(5)
    sim.edit(description="Support")
    sim.settle()
    assert sim.status["observedGeneration"] == 2
    assert {c["observedGeneration"] for c in sim.status["conditions"]} == {2}


def test_a_stale_report_is_not_shown_as_the_present() -> None:
    sim = opened(5)
    old = sim.plan.assignment
    sim.edit(folder="Archive")
    sim.settle()
    sim.count(5)
    sim.settle()
    sim.say(assignment=old, phase="BackingOff", problem=problem())
    sim.settle()
    assert sim.state() == ("Unknown", "Pending")
    assert sim.state("Reconciling") == ("True", "Pending")


@pytest.mark.parametrize(
    ("pending", "message", "told"),
    [
        (0, "", "No action is waiting."),
        (1, "", "1 action waits, as spec.afterDownload asks"),
        (7, "", "7 actions wait, as spec.afterDownload asks"),
        (7, "7 mails wait for the group tickets.", "7 mails wait for the group tickets."),
    ],
)
def test_actions_that_rightly_wait_are_no_failure(pending: int, message: str, told: str) -> None:
    sim = opened(5)
    sim.after(61)
    sim.say(actions=ActionState(pending=pending, message=message))
    sim.settle()
    assert sim.state("AfterDownload") == ("True", "Done")
    assert sim.condition("AfterDownload")["message"].startswith(told)


def test_marking_over_pop3_is_discouraged() -> None:
    pop3 = SPEC | {"protocol": "POP3"}
    for spec, advised in [
        (pop3, True),
        (pop3 | {"afterDownload": {"action": "MarkSeen"}}, True),
        (pop3 | {"afterDownload": {"action": "Delete"}}, False),
        (pop3 | {"afterDownload": {"action": "None"}}, False),
        (SPEC, False),
    ]:
        sim = Sim(manifest(spec=spec))
        sim.settle()
        assert bool(sim.condition("Advisory")) is advised
    sim = Sim(manifest(spec=pop3))
    sim.settle()
    assert sim.state("Advisory") == ("True", "Pop3MarkSeen")


def test_a_stream_that_nothing_is_ever_removed_from_is_advice_once_mail_comes_in() -> None:
    sim = Sim(enable="true")
    sim.consumer_groups = frozenset()
    sim.settle()
    assert sim.condition("Advisory") == {}
    sim.count(5)
    sim.settle()
    assert sim.state("Advisory") == ("True", "NoConsumerGroup")
    assert "spec.queue.maxLength (100000) entries" in sim.condition("Advisory")["message"]
    sim.consumer_groups = frozenset({"tickets"})
    sim.settle()
    assert sim.condition("Advisory") == {}


def test_groups_are_named_for_the_whole_stream() -> None:
    def made(name: str, **spec: Any) -> Connection:
        return Connection.from_object(manifest(name, spec=SPEC | spec))

    shared = {"stream": "all"}
    one = made("one", queue=shared | {"consumerGroups": ["a", "b"]})
    two = made("two", queue=shared, afterDownload={"action": "Delete", "when": "Acknowledged", "consumerGroup": "c"})
    three = made("three", queue=shared)
    assert (one.stream, made("four").stream) == ("all", "four")
    assert consumer_groups([one, two, three]) == {"a", "b", "c"}
    assert consumer_groups([three]) == set()


def test_quarantine_and_unproven_acknowledgements_are_advice() -> None:
    after = {"action": "Delete", "when": "Acknowledged", "consumerGroup": "tickets"}
    sim = opened(5)
    sim.edit(afterDownload=after)
    sim.settle()
    sim.say(quarantined=2, actions=ActionState(unproven=3))
    sim.settle()
    assert sim.state("Advisory") == ("True", "Quarantined")
    message = sim.condition("Advisory")["message"]
    assert 'mailfetch.dev/refetch="quarantined#$(date +%s)" --overwrite' in message
    assert "the consumer group tickets" in message
    assert sim.state() == ("True", "Idle"), "the others go on"
    assert sim.status["fetch"]["quarantined"] == 2
    sim.report = replace(sim.report, age=91.0)
    sim.settle()
    assert sim.state("Advisory") == ("True", "Quarantined"), "it does not end because the fetcher is silent"
    sim.say(actions=ActionState(unproven=3))
    sim.settle()
    assert sim.state("Advisory") == ("True", "UnprovenAcknowledgements")
