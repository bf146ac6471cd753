"""What the operator makes of connections stays what it should be, whatever people do to it."""

import json

import pytest

from tests.integration.operator.bench import Bench, Object, connection

pytestmark = pytest.mark.cluster

FETCHER = "mailfetch-pool-default"


def replicas(bench: Bench) -> int:
    deployment = bench.get("deployment", FETCHER)
    return deployment["spec"]["replicas"] if deployment else -1


def owners(found: Object | None) -> set[str]:
    return {ref["name"] for ref in found["metadata"]["ownerReferences"]} if found else set()


def test_an_edited_deployment_is_repaired(bench: Bench) -> None:
    bench.start()
    bench.bring_up("support")
    bench.kubectl("scale", "deployment", FETCHER, "--replicas=0")
    bench.eventually("one replica", lambda: replicas(bench) == 1)


def test_an_edited_config_map_is_repaired(bench: Bench) -> None:
    bench.start()
    bench.bring_up("support")
    patch = json.dumps({"data": {"assignments.json": "{}"}})
    bench.kubectl("patch", "configmap", FETCHER, "--type=merge", "-p", patch)
    bench.eventually("the assignment", lambda: "support" in bench.assigned())


@pytest.mark.parametrize("kind", ["deployment", "configmap"])
def test_a_deleted_child_comes_back(bench: Bench, kind: str) -> None:
    bench.start()
    bench.bring_up("support")
    before = bench.get(kind, FETCHER)
    assert before is not None
    bench.kubectl("delete", kind, FETCHER)
    found = bench.eventually("a new one", lambda: bench.get(kind, FETCHER))
    assert found["metadata"]["uid"] != before["metadata"]["uid"]


def test_a_child_that_lost_its_label_gets_it_back(bench: Bench) -> None:
    bench.start()
    bench.bring_up("support")
    label = "app.kubernetes.io/managed-by"
    bench.kubectl("label", "deployment", FETCHER, f"{label}-")

    def look() -> bool:
        found = bench.get("deployment", FETCHER)
        return bool(found and found["metadata"]["labels"].get(label) == "mailfetch-operator")

    bench.eventually("the label", look)
    bench.kubectl("scale", "deployment", FETCHER, "--replicas=0")
    bench.eventually("one replica: it is watched again", lambda: replicas(bench) == 1)


def test_an_edit_while_the_operator_is_away_is_repaired(bench: Bench) -> None:
    operator = bench.start()
    bench.bring_up("support")
    bench.settle()
    operator.kill()
    bench.kubectl("scale", "deployment", FETCHER, "--replicas=0")
    bench.start()
    bench.eventually("one replica", lambda: replicas(bench) == 1)


def test_connections_of_a_pool_share_a_fetcher_and_the_last_one_takes_it_along(bench: Bench) -> None:
    bench.start()
    bench.bring_up("one")
    bench.bring_up("two")
    assert set(bench.assigned()) == {"one", "two"}
    bench.eventually("both owners", lambda: owners(bench.get("deployment", FETCHER)) == {"one", "two"})

    bench.kubectl("delete", "mailconnection", "one")
    bench.eventually("only the other", lambda: set(bench.assigned()) == {"two"})
    bench.eventually("only the other's", lambda: owners(bench.get("deployment", FETCHER)) == {"two"})

    bench.kubectl("delete", "mailconnection", "two")
    bench.eventually("no Deployment", lambda: bench.get("deployment", FETCHER) is None)
    bench.eventually("no ConfigMap", lambda: bench.get("configmap", FETCHER) is None)


def test_a_connection_deleted_while_the_operator_is_away_is_not_downloaded_any_more(bench: Bench) -> None:
    operator = bench.start()
    bench.bring_up("one")
    bench.bring_up("two")
    operator.kill()
    bench.kubectl("delete", "mailconnection", "one")
    bench.start()
    bench.eventually("only the other", lambda: set(bench.assigned()) == {"two"})


def test_disabling_takes_the_assignment_away_and_says_so(bench: Bench) -> None:
    bench.start()
    bench.bring_up("one")
    bench.bring_up("two")
    bench.annotate("one", "mailfetch.dev/enable-")
    bench.until_condition("one", "Ready", ("True", "Disabled"))
    bench.eventually("only the other", lambda: set(bench.assigned()) == {"two"})


def test_another_pool_is_another_fetcher(bench: Bench) -> None:
    bench.start()
    bench.bring_up("one")
    patch = json.dumps({"spec": {"placement": {"pool": "slow"}}})
    bench.kubectl("patch", "mailconnection", "one", "--type=merge", "-p", patch)
    bench.eventually("the new fetcher", lambda: set(bench.assigned("mailfetch-pool-slow")) == {"one"})
    bench.eventually("no old one", lambda: bench.get("deployment", FETCHER) is None)


def test_the_pod_is_touched_after_each_change_so_that_the_kubelet_looks(bench: Bench) -> None:
    bench.start()
    bench.bring_up("support")
    name = bench.run_fetcher()["metadata"]["name"]

    def touched() -> str:
        pod = bench.get("pod", name)
        annotations = pod["metadata"].get("annotations") or {} if pod else {}
        return str(annotations.get("mailfetch.dev/assignments", ""))

    first = bench.eventually("the annotation", touched)
    bench.annotate("support", "mailfetch.dev/fetch=now")
    bench.eventually("the request", lambda: bench.assigned()["support"].requests == {"fetch": "now"})
    bench.eventually("another annotation", lambda: touched() not in ("", first))


def test_a_connection_made_anew_under_the_same_name_starts_from_the_beginning(bench: Bench) -> None:
    bench.start()
    bench.bring_up("support")
    first = bench.assigned()["support"].uid
    bench.kubectl("delete", "mailconnection", "support")
    bench.apply(connection("support"))
    bench.until_condition("support", "Ready", ("True", "Disabled"))
    bench.eventually("no assignment", lambda: "support" not in bench.assigned())
    found = bench.get("mailconnection", "support")
    assert found is not None
    assert found["metadata"]["uid"] != first
    assert "source" not in found["status"].get("approval", {})
