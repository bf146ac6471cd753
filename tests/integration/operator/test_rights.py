"""The operator with the rights that the chart gives it, and no others."""

from pathlib import Path

import pytest
import yaml

from mailfetch_operator import names
from tests.cluster.processes import REPOSITORY
from tests.integration.operator import story
from tests.integration.operator.bench import Bench

pytestmark = pytest.mark.cluster

CHART = REPOSITORY / "charts/mailfetch"


def test_the_rights_in_namespaced_mode_suffice(bench: Bench, tmp_path: Path) -> None:
    values = f"watch.namespaces={{{bench.namespace}}},clusterId=test"
    bench.start(KUBECONFIG=str(limited_kubeconfig(bench, tmp_path, values)))
    play(bench)


def test_the_rights_in_cluster_mode_suffice(own_bench: Bench, tmp_path: Path) -> None:
    kubeconfig = limited_kubeconfig(own_bench, tmp_path, "clusterId=")
    own_bench.start(namespaces="", KUBECONFIG=str(kubeconfig))
    play(own_bench)


def play(bench: Bench) -> None:
    """Everything that the operator writes: status, Jobs, events, children, pods; and their end."""
    for stage in story.STAGES:
        stage(bench)
    bench.eventually("the tools", lambda: bench.get("statefulset", names.TOOLS))
    bench.annotate("support", "mailfetch.dev/enable-")
    bench.until_condition("support", "Ready", ("True", "Disabled"))
    bench.eventually("no Deployment", lambda: bench.get("deployment", "mailfetch-pool-default") is None)
    bench.eventually("no ConfigMap", lambda: bench.get("configmap", "mailfetch-pool-default") is None)
    # Orphaned, so that the operator removes what is left, not the garbage collector.
    bench.kubectl("delete", "mailconnection", "support", "--cascade=orphan")
    bench.eventually("no tools", lambda: bench.get("statefulset", names.TOOLS) is None)
    assert "orbidden" not in bench.log()
    assert "not sent" not in bench.log()


def limited_kubeconfig(bench: Bench, folder: Path, values: str) -> Path:
    """The kubeconfig of the operator's service account as the chart makes it."""
    templates = ("operator-rbac", "operator-serviceaccount")
    shown = [arg for name in templates for arg in ("--show-only", f"templates/{name}.yaml")]
    options = ("--namespace", bench.namespace, "--set", f"image.repository=x,{values}")
    rendered = bench.cluster.helm("template", "mailfetch", str(CHART), *options, *shown).stdout
    bench.kubectl("apply", "--server-side", "-f", "-", input=rendered)
    (account,) = [d for d in yaml.safe_load_all(rendered) if d and d["kind"] == "ServiceAccount"]
    config = yaml.safe_load(bench.cluster.kubeconfig.read_text())
    token = bench.kubectl("create", "token", account["metadata"]["name"]).strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    found = folder / "limited.kubeconfig"
    found.write_text(yaml.safe_dump(config))
    return found
