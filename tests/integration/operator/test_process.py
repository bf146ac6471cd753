"""The process: its modes, its start and its end."""

import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from mailfetch_operator import names
from tests.integration.operator.bench import Bench, bench_on, connection

pytestmark = pytest.mark.cluster

SLOW = Path(__file__).with_name("slow_operator.py")


def test_cluster_mode_serves_all_namespaces_and_knows_the_cluster(own_bench: Bench) -> None:
    bench = own_bench
    bench.cluster.kubectl("create", "namespace", "second")
    bench.start(namespaces="")
    bench.bring_up("support")
    other = Bench(cluster=bench.cluster, namespace="second", folder=bench.folder, fetcher=bench.fetcher)
    other.bring_up("support")
    uid = bench.cluster.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").stdout
    config_map = other.get("configmap", "mailfetch-pool-default")
    assert config_map is not None
    assert f'"clusterId":"{uid}"' in config_map["data"]["assignments.json"]


def test_the_operator_waits_for_the_custom_resource_definition_and_says_so(own_bench: Bench) -> None:
    bench = own_bench
    bench.cluster.kubectl("delete", "crd", "mailconnections.mailfetch.dev")
    operator = bench.start(namespaces="")
    bench.eventually("the complaint", lambda: "is the CustomResourceDefinition installed?" in bench.log())
    assert operator.healthy(), "a restart would not help"
    with bench_on(bench.cluster, "later", bench.folder) as later:
        later.apply(connection("support"))
        later.until_condition("support", "Ready", ("True", "Disabled"))


def test_namespaced_mode_leaves_other_namespaces_alone(bench: Bench) -> None:
    namespace = f"operator-{secrets.token_hex(4)}"
    with bench_on(bench.cluster, namespace, bench.folder) as other:
        other.apply(connection("support"))
        bench.start()
        bench.apply(connection("support"))
        bench.until_condition("support", "Ready", ("True", "Disabled"))
        found = other.get("mailconnection", "support")
        assert found is not None
        assert "status" not in found


def test_several_namespaces_can_be_served(bench: Bench) -> None:
    with bench_on(bench.cluster, f"operator-{secrets.token_hex(4)}", bench.folder) as other:
        bench.start(namespaces=f"{bench.namespace},{other.namespace}", MAILFETCH_CLUSTER_ID="c")
        for one in (bench, other):
            one.apply(connection("support"))
            one.until_condition("support", "Ready", ("True", "Disabled"))


def test_sigterm_ends_it_in_order_even_while_a_fetcher_is_polled(bench: Bench) -> None:
    operator = bench.start()
    bench.bring_up("support")
    bench.run_fetcher()
    bench.eventually("a poll", lambda: bench.fetcher.polls > 0)
    assert operator.terminate() == 0
    assert "Traceback" not in bench.log()
    assert "cut off" not in bench.log()


def test_sigterm_lets_a_write_that_is_under_way_finish(bench: Bench) -> None:
    operator = bench.start(script=SLOW)
    bench.apply(connection("support"))
    # Of the status, and of the tools of the namespace.
    bench.eventually("both writes", lambda: bench.log().count("about to write") == 2)
    assert operator.terminate() == 0
    assert bench.condition("support", "Ready") == ("True", "Disabled")
    assert bench.get("statefulset", names.TOOLS)
    assert bench.log().count("about to write") == 2, "nothing new is begun"


def test_sigterm_ends_it_while_it_waits_for_the_api_server(tmp_path: Path, bench: Bench) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(bench.cluster.kubeconfig.read_text().replace("127.0.0.1", "127.0.0.2"))
    operator = bench.start(KUBECONFIG=str(config))
    bench.eventually("the complaint", lambda: "cannot start" in bench.log())
    assert operator.terminate() == 0


def test_a_missing_setting_is_said_in_one_line() -> None:
    script = Path(sys.executable).with_name("mailfetch-operator")
    result = subprocess.run([script], env={}, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "MAILFETCH_FETCHER_IMAGE is empty" in result.stderr
