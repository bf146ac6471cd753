"""The operator process on a real API server: the whole way, and the same way with crashes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.operator import story
from tests.integration.operator.bench import Bench, Object, connection, probed

pytestmark = pytest.mark.cluster

FETCHER = "mailfetch-pool-default"
CRASHING = Path(__file__).with_name("crashing_operator.py")


def test_from_apply_to_running(bench: Bench) -> None:
    operator = bench.start()

    story.apply(bench)
    assert bench.condition("support", "Active") == ("False", "Disabled")
    assert bench.list("jobs") == [], "nothing happens before it is enabled"

    story.enable(bench)
    job = bench.probe_job("support")
    (owner,) = job["metadata"]["ownerReferences"]
    found = bench.get("mailconnection", "support")
    assert found is not None
    assert (owner["kind"], owner["uid"]) == ("MailConnection", found["metadata"]["uid"])
    assert probed(job).uid == found["metadata"]["uid"]

    story.count(bench)
    found = bench.get("mailconnection", "support")
    assert found is not None
    assert found["status"]["estimate"]["newMessages"] == 1234
    assert bench.get("deployment", FETCHER) is None, "the gate is closed"

    story.acknowledge(bench)
    found = bench.get("mailconnection", "support")
    assert found is not None
    assert found["status"]["approval"]["source"] == "Annotation"
    assert bench.assigned()["support"].gate_epoch == found["status"]["approval"]["epoch"]

    story.run(bench)
    assert bench.condition("support", "Active") == ("True", "Listening")
    found = bench.get("mailconnection", "support")
    assert found is not None
    assert found["status"]["mailbox"]["stateId"] == "state-1"
    assert found["status"]["fetch"]["messages"] == 1234

    assert operator.healthy()
    assert operator.metrics()['mailfetch_connections{state="Idle"}'] == 1
    assert operator.terminate() == 0


def test_the_framework_leaves_no_trace_on_the_object(bench: Bench) -> None:
    bench.start()
    for stage in story.STAGES:
        stage(bench)
    found = bench.get("mailconnection", "support")
    assert found is not None
    meta = found["metadata"]
    assert set(meta["annotations"]) == {"mailfetch.dev/enable", "mailfetch.dev/acknowledge"}
    assert "finalizers" not in meta
    managers = {(m["manager"], m["operation"], m.get("subresource", "")) for m in meta["managedFields"]}
    assert {m for m in managers if not m[0].startswith(("kubectl", "test"))} == {
        ("mailfetch-status", "Apply", "status")
    }


def test_the_story_is_told_in_events(bench: Bench) -> None:
    bench.start()
    for stage in story.STAGES:
        stage(bench)
    found = bench.get("mailconnection", "support")
    assert found is not None

    def events() -> list[Object]:
        all_events = bench.list("events.events.k8s.io")
        return [e for e in all_events if e["regarding"].get("uid") == found["metadata"]["uid"]]

    wanted = {"Enabled", "Estimated", "AwaitingApproval", "Approved"}
    bench.eventually("the story", lambda: wanted <= {e["reason"] for e in events()})
    assert {e["type"] for e in events()} <= {"Normal", "Warning"}
    assert {e["reportingController"] for e in events()} == {"mailfetch.dev/operator"}
    said = [(e["reason"], e["note"]) for e in events()]
    assert len(said) == len(set(said)), "each once"


@pytest.mark.parametrize("stage", story.STAGES, ids=lambda s: s.__name__)
def test_killed_after_a_stage_it_goes_on(bench: Bench, stage: Callable[[Bench], None]) -> None:
    operator = bench.start()
    for one in story.STAGES:
        one(bench)
        if one is stage:
            operator.kill()
            operator = bench.start()
    assert_final(bench)


def test_what_happens_while_it_is_away_is_caught_up(bench: Bench) -> None:
    """Everything that people, kubelet and fetcher do happens while no operator runs."""
    bench.apply(connection("support"))
    bench.annotate("support", "mailfetch.dev/enable=true", "mailfetch.dev/acknowledge=any")
    operator = bench.start()
    job = bench.probe_job("support")
    operator.kill()
    bench.finish_probe(job, new=1234)
    operator = bench.start()
    bench.eventually("the Deployment", lambda: bench.get("deployment", FETCHER))
    operator.kill()
    bench.run_fetcher()
    bench.report_idle("support")
    bench.start()
    assert_final(bench)


def test_every_process_dies_after_its_first_write(bench: Bench) -> None:
    """No process ever makes two writes, so each crash that is possible between two writes happens."""

    def restart() -> None:
        if bench.operators[-1].process.poll() is not None:
            bench.start(script=CRASHING)

    bench.start(script=CRASHING)
    bench.tend = restart
    for stage in story.STAGES:
        stage(bench)
    died = len(bench.operators) - 1
    assert died >= 6, "Disabled, Job, Pending, AwaitingApproval, approval, ConfigMap, Deployment, Idle …"
    bench.operators[-1].kill()
    bench.tend = lambda: None
    bench.start()
    assert_final(bench)


def test_a_restart_with_nothing_changed_writes_nothing(bench: Bench) -> None:
    operator = bench.start()
    bench.apply(connection("other"), connection("third", placement={"mode": "Shared", "pool": "slow"}))
    for stage in story.STAGES:
        stage(bench)
    bench.settle()
    operator.kill()
    before, polls = versions(bench), bench.fetcher.polls

    operator = bench.start()
    bench.eventually("reconciles", lambda: operator.healthy() and reconciles(operator.metrics()) >= 4)
    bench.eventually("two polls", lambda: bench.fetcher.polls >= polls + 2)
    bench.settle()
    assert operator.writes() == {}
    assert versions(bench) == before


def assert_final(bench: Bench) -> None:
    """The end of the story, however it came to it."""
    bench.until_condition("support", "Ready", ("True", "Idle"))
    assert bench.condition("support", "Active") == ("True", "Listening")
    assert bench.condition("support", "Approved") == ("True", "Acknowledged")
    bench.eventually("the state id", lambda: bench.assigned()["support"].state_id == "state-1")
    assert [d["metadata"]["name"] for d in bench.list("deployments")] == [FETCHER]
    found = bench.get("mailconnection", "support")
    assert found is not None
    assert found["status"]["approval"]["epoch"] == 1
    assert len(bench.list("jobs")) == 1, "counted once"


def reconciles(metrics: dict[str, float]) -> float:
    return metrics.get('mailfetch_reconcile_total{result="ok"}', 0.0)


def versions(bench: Bench) -> dict[str, str]:
    """Resource versions of everything that the operator writes."""
    found = {}
    for kind in ("mailconnections", "deployments", "configmaps", "jobs", "pods", "events.events.k8s.io"):
        for o in bench.list(kind):
            if o.get("reportingController", "mailfetch.dev/operator") == "mailfetch.dev/operator":
                found[f"{kind}/{o['metadata']['name']}"] = o["metadata"]["resourceVersion"]
    return found
