"""Two operators at once, or one that is late: nobody writes over what was decided meanwhile."""

import asyncio

import pytest
from kubernetes.aio import client as k8s
from kubernetes.aio import config as k8s_config

from mailfetch_operator.api.client import Api, ConflictError
from mailfetch_operator.api.kinds import CONNECTION
from tests.integration.operator.bench import Bench, Object, connection

pytestmark = pytest.mark.cluster


def test_two_operators_come_to_rest_in_agreement(bench: Bench) -> None:
    first, second = bench.start(), bench.start()
    bench.bring_up("support")
    bench.run_fetcher()
    bench.report_idle("support")
    bench.until_condition("support", "Ready", ("True", "Idle"))
    bench.eventually("the state", lambda: bench.assigned()["support"].state_id == "state-1")
    bench.settle()
    before = first.writes()
    bench.settle()
    assert first.writes() == before, "they do not write against each other"
    for operator in (first, second):
        assert operator.process.poll() is None


def test_a_status_that_was_planned_from_an_old_object_is_refused(bench: Bench) -> None:
    bench.apply(connection("support"))
    old = bench.get("mailconnection", "support")
    assert old is not None
    asyncio.run(write(bench, old, epoch=1))
    with pytest.raises(ConflictError):
        asyncio.run(write(bench, old, epoch=7))
    now = bench.get("mailconnection", "support")
    assert now is not None
    assert now["status"]["approval"]["epoch"] == 1
    asyncio.run(write(bench, now, epoch=7))


async def write(bench: Bench, obj: Object, *, epoch: int) -> None:
    configuration = k8s.Configuration()
    await k8s_config.load_kube_config(config_file=str(bench.cluster.kubeconfig), client_configuration=configuration)
    api = Api(k8s.ApiClient(configuration))
    meta = {key: obj["metadata"][key] for key in ("namespace", "name", "uid", "resourceVersion")}
    try:
        manifest = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta}
        await api.apply_status(CONNECTION, {**manifest, "status": {"approval": {"epoch": epoch}}})
    finally:
        await api.close()
