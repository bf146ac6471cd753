"""`deletionPolicy: Purge` on a real API server: a deleted connection goes when its data is gone, and never hangs."""

import json
import secrets

import pytest

from mailfetch_fetcher.contract.report import Problem
from tests.integration.operator import story
from tests.integration.operator.bench import Bench, Object, bench_on, connection
from tests.integration.operator.test_rights import limited_kubeconfig

pytestmark = pytest.mark.cluster

FINALIZER = "mailfetch.dev/purge"
FAILED = Problem(reason="StoreUnavailable", message="Redis does not answer.", time="2026-11-24T08:00:00Z")


def finalizers(bench: Bench, name: str = "support") -> list[str]:
    found = bench.get("mailconnection", name)
    return list(found["metadata"].get("finalizers") or ()) if found else []


def delete(bench: Bench, *args: str, name: str = "support") -> None:
    bench.kubectl("delete", "mailconnection", name, "--wait=false", *args)


def gone(bench: Bench, name: str = "support") -> None:
    bench.eventually(f"the end of {name}", lambda: bench.get("mailconnection", name) is None)


def running(bench: Bench) -> None:
    """A connection that purges, and whose fetcher reports."""
    for stage in story.STAGES:
        stage(bench)
    set_policy(bench, "Purge")
    bench.eventually("the finalizer", lambda: finalizers(bench) == [FINALIZER])


def set_policy(bench: Bench, policy: str, name: str = "support") -> None:
    patch = json.dumps({"spec": {"deletionPolicy": policy}})
    bench.kubectl("patch", "mailconnection", name, "--type=merge", "-p", patch)


def events(bench: Bench, reason: str) -> list[Object]:
    return [e for e in bench.list("events.events.k8s.io") if e["reason"] == reason]


def test_the_finalizer_is_there_before_anything_is_downloaded_and_only_with_purge(bench: Bench) -> None:
    bench.start()
    bench.bring_up("support", deletionPolicy="Purge")
    bench.bring_up("other")
    assert finalizers(bench) == [FINALIZER]
    assert finalizers(bench, "other") == []


def test_it_comes_and_goes_with_the_policy_and_beside_those_of_others(bench: Bench) -> None:
    bench.start()
    bench.apply(connection("support"))
    bench.kubectl("patch", "mailconnection", "support", "--type=merge", "-p", '{"metadata":{"finalizers":["a.b/c"]}}')
    set_policy(bench, "Purge")
    bench.eventually("both", lambda: set(finalizers(bench)) == {"a.b/c", FINALIZER})
    set_policy(bench, "Retain")
    bench.eventually("the other's", lambda: finalizers(bench) == ["a.b/c"])
    bench.kubectl("patch", "mailconnection", "support", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_gitops_and_the_operator_do_not_fight(bench: Bench) -> None:
    """What git applies has no finalizers; applied again and again, ours stays, and there is nothing to repair."""
    bench.start()
    bench.apply(connection("support", deletionPolicy="Purge"))
    bench.eventually("the finalizer", lambda: finalizers(bench) == [FINALIZER])
    bench.until_condition("support", "Ready", ("True", "Disabled"))
    bench.settle()
    before = bench.get("mailconnection", "support")
    bench.apply(connection("support", deletionPolicy="Purge"))
    bench.kubectl("apply", "-f", "-", input=json.dumps(connection("support", deletionPolicy="Purge")))
    assert before
    assert finalizers(bench) == [FINALIZER]
    found = bench.get("mailconnection", "support")
    assert found
    owners = [m["manager"] for m in found["metadata"]["managedFields"] if "f:finalizers" in str(m["fieldsV1"])]
    assert owners == ["mailfetch-finalizer"]


def test_the_whole_way(bench: Bench) -> None:
    bench.start()
    running(bench)
    delete(bench)
    bench.until_condition("support", "Ready", ("Unknown", "Purging"))
    job = bench.purge_job("support")
    assert bench.get("configmap", "mailfetch-pool-default") is None
    assert bench.get("deployment", "mailfetch-pool-default") is None
    assert bench.list("pods", "mailfetch.dev/fetcher") == []
    assert finalizers(bench) == [FINALIZER]
    bench.finish_purge(job)
    gone(bench)
    bench.eventually("the event", lambda: events(bench, "Purged"))


def test_a_fetcher_that_serves_others_confirms_that_it_stopped(bench: Bench) -> None:
    """The other needs the same Secret, so the pod is not replaced when one of them goes."""
    bench.start()
    secret = {"name": "support-mailbox"}
    bench.bring_up("other", auth={"type": "Password", "username": "other@example.com", "passwordSecretRef": secret})
    running(bench)
    delete(bench)
    bench.until_condition("support", "Ready", ("Unknown", "Purging"))
    bench.eventually("only the other", lambda: set(bench.assigned()) == {"other"})
    assert bench.list("jobs", "app.kubernetes.io/name=mailfetch-purge") == []
    bench.fetcher.forget("support")
    bench.finish_purge(bench.purge_job("support"))
    gone(bench)


def test_a_failing_purge_is_told_and_tried_again(bench: Bench) -> None:
    bench.start()
    bench.apply(connection("support", deletionPolicy="Purge"))
    bench.eventually("the finalizer", lambda: finalizers(bench) == [FINALIZER])
    delete(bench)
    bench.finish_purge(bench.purge_job("support"), problem=FAILED)
    bench.until_condition("support", "Ready", ("False", "PurgeFailed"))
    found = bench.get("mailconnection", "support")
    assert found
    (ready,) = [c for c in found["status"]["conditions"] if c["type"] == "Ready"]
    assert "StoreUnavailable: Redis does not answer" in ready["message"]
    bench.eventually("the event", lambda: events(bench, "PurgeFailed"))
    bench.finish_purge(bench.purge_job("support", serial=1))
    gone(bench)


def test_people_can_let_it_go_without_redis(bench: Bench) -> None:
    bench.start()
    bench.apply(connection("support", deletionPolicy="Purge"))
    bench.eventually("the finalizer", lambda: finalizers(bench) == [FINALIZER])
    delete(bench)
    bench.finish_purge(bench.purge_job("support"), problem=FAILED)
    bench.until_condition("support", "Ready", ("False", "PurgeFailed"))
    set_policy(bench, "Retain")
    gone(bench)
    bench.eventually("the event", lambda: events(bench, "PurgeSkipped"))


def test_a_foreground_deletion_leaves_the_job_alone(bench: Bench) -> None:
    """The garbage collector deletes what a connection owns, before the connection goes."""
    bench.start()
    bench.apply(connection("support", deletionPolicy="Purge"))
    bench.eventually("the finalizer", lambda: finalizers(bench) == [FINALIZER])
    delete(bench, "--cascade=foreground")
    job = bench.purge_job("support")
    bench.settle()
    assert bench.purge_job("support")["metadata"]["uid"] == job["metadata"]["uid"]
    bench.finish_purge(job)
    gone(bench)


def test_a_namespace_that_is_deleted_does_not_hang(bench: Bench) -> None:
    with bench_on(bench.cluster, f"operator-{secrets.token_hex(4)}", bench.folder) as other:
        bench.start(namespaces=f"{bench.namespace},{other.namespace}", MAILFETCH_CLUSTER_ID="c")
        other.apply(connection("support", deletionPolicy="Purge"))
        other.eventually("the finalizer", lambda: finalizers(other) == [FINALIZER])
        bench.cluster.kubectl("delete", "namespace", other.namespace, "--wait=false")
        gone(other)
        args = ("get", "namespace", other.namespace, "--ignore-not-found")
        bench.eventually("the end of the namespace", lambda: not bench.cluster.kubectl(*args).stdout)
        assert "stays in Redis: its namespace is being deleted" in bench.log()


def test_an_operator_that_was_away_catches_up(bench: Bench) -> None:
    operator = bench.start()
    bench.apply(connection("support", deletionPolicy="Purge"))
    bench.eventually("the finalizer", lambda: finalizers(bench) == [FINALIZER])
    operator.kill()
    delete(bench)
    operator = bench.start()
    job = bench.purge_job("support")
    operator.kill()
    bench.finish_purge(job)
    bench.start()
    gone(bench)
    assert len(bench.list("jobs", "app.kubernetes.io/name=mailfetch-purge")) <= 1


def test_the_rights_of_the_chart_suffice(bench: Bench) -> None:
    values = f"watch.namespaces={{{bench.namespace}}},clusterId=test"
    bench.start(KUBECONFIG=str(limited_kubeconfig(bench, bench.folder, values)))
    bench.apply(connection("support", deletionPolicy="Purge"))
    bench.eventually("the finalizer", lambda: finalizers(bench) == [FINALIZER])
    delete(bench)
    bench.finish_purge(bench.purge_job("support"))
    gone(bench)
    assert "orbidden" not in bench.log()
