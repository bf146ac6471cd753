"""The tools of a namespace: there as long as it has connections; and who may exec there reaches no mailbox."""

from pathlib import Path

import pytest
import yaml

from tests.cluster.tools import KubernetesTools
from tests.integration.operator.bench import Bench, connection
from tests.integration.operator.test_rights import CHART

pytestmark = pytest.mark.cluster

TOOLS = "mailfetch-tools"
POD = "mailfetch-tools-0"


def owners(bench: Bench) -> set[str]:
    found = bench.get("statefulset", TOOLS)
    return {ref["name"] for ref in found["metadata"]["ownerReferences"]} if found else set()


def generation(bench: Bench) -> int:
    found = bench.get("statefulset", TOOLS)
    return found["metadata"]["generation"] if found else 0


def test_they_come_with_the_first_connection_and_go_with_the_last(bench: Bench) -> None:
    bench.start()
    bench.apply(connection("one"))  # disabled: what was downloaded before is still to be seen
    bench.eventually("the pod", lambda: bench.get("pod", POD))
    bench.apply(connection("two"))
    bench.eventually("both owners", lambda: owners(bench) == {"one", "two"})
    assert generation(bench) == 1, "the pod has no reason to restart"

    bench.kubectl("delete", "mailconnection", "one")
    bench.eventually("only the other", lambda: owners(bench) == {"two"})
    bench.kubectl("delete", "mailconnection", "two")
    bench.eventually("nothing", lambda: bench.get("statefulset", TOOLS) is None)


def test_they_are_repaired_and_come_back(bench: Bench) -> None:
    bench.start()
    bench.apply(connection("one"))
    before = bench.eventually("the tools", lambda: bench.get("statefulset", TOOLS))
    bench.kubectl("scale", "statefulset", TOOLS, "--replicas=0")
    bench.eventually("one replica", lambda: (bench.get("statefulset", TOOLS) or {})["spec"]["replicas"] == 1)
    bench.kubectl("delete", "statefulset", TOOLS)

    def another() -> bool:
        found = bench.get("statefulset", TOOLS)
        return bool(found and found["metadata"]["uid"] != before["metadata"]["uid"])

    bench.eventually("new ones", another)


def test_a_restarted_operator_removes_what_nobody_needs_any_more_and_writes_nothing_else(bench: Bench) -> None:
    operator = bench.start()
    bench.apply(connection("one"), connection("two"))
    bench.eventually("both owners", lambda: owners(bench) == {"one", "two"})
    bench.settle()
    operator.kill()
    # Orphaned, so that nothing else removes them.
    bench.kubectl("delete", "mailconnection", "one", "--cascade=orphan")
    again = bench.start()
    bench.eventually("a healthy operator", again.healthy)
    bench.eventually("only the other", lambda: owners(bench) == {"two"})
    bench.settle()
    again.kill()
    last = bench.start()
    bench.eventually("a healthy operator", last.healthy)
    bench.settle()
    assert last.writes() == {}
    last.kill()
    bench.kubectl("delete", "mailconnection", "two", "--cascade=orphan")
    bench.start()
    bench.eventually("nothing", lambda: bench.get("statefulset", TOOLS) is None)


def test_who_has_only_the_role_for_mail_may_exec_there_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    bench.start()
    bench.bring_up("support")
    bench.kubectl("create", "secret", "generic", "support-mailbox", "--from-literal=password=secret")
    fetcher = bench.run_fetcher()["metadata"]["name"]
    bench.eventually("the pod", lambda: bench.get("pod", POD))
    person = Person(reader(bench, tmp_path), bench.namespace)
    for verb in ("create", "get"):
        assert person.may(verb, f"pods/{POD}", "--subresource=exec")
        assert not person.may(verb, f"pods/{fetcher}", "--subresource=exec")
        assert not person.may(verb, "pods", "--subresource=exec")
    assert person.may("get", f"pods/{POD}")
    assert person.may("list", "mailconnections")
    for refused in (
        ("get", "secrets"),
        ("get", "secrets/support-mailbox"),
        ("list", "secrets"),
        ("create", "pods"),
        ("patch", f"pods/{POD}"),
        ("patch", f"statefulsets/{TOOLS}"),
        ("get", "configmaps"),
        ("patch", "mailconnections"),
        ("get", f"pods/{fetcher}"),
    ):
        assert not person.may(*refused), refused

    # The same by doing it. There is no kubelet here, so the allowed exec fails later, for want of a node.
    assert "does not have a host assigned" in person.tries("exec", POD, "-c", "tools", "--", "true")
    assert "orbidden" in person.tries("exec", fetcher, "-c", "fetcher", "--", "true")
    assert "orbidden" in person.tries("get", "secret", "support-mailbox")


def reader(bench: Bench, folder: Path) -> Path:
    """The kubeconfig of a user who has the chart's role for mail in this namespace, and no other."""
    shown = (
        "--show-only",
        "templates/people-rbac.yaml",
        "--set",
        f"image.repository=x,fullnameOverride={bench.namespace}",
    )
    rendered = bench.cluster.helm("template", "mailfetch", str(CHART), "--namespace", bench.namespace, *shown).stdout
    (role,) = [d for d in yaml.safe_load_all(rendered) if d and d["metadata"]["name"].endswith("-mail")]
    bench.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(role))
    bench.kubectl("create", "serviceaccount", "reader")
    name = role["metadata"]["name"]
    bench.kubectl(
        "create", "rolebinding", "reader", f"--clusterrole={name}", f"--serviceaccount={bench.namespace}:reader"
    )
    config = yaml.safe_load(bench.cluster.kubeconfig.read_text())
    token = bench.kubectl("create", "token", "reader").strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    found = folder / "reader.kubeconfig"
    found.write_text(yaml.safe_dump(config))
    return found


class Person(KubernetesTools):
    """Somebody with a kubeconfig of their own."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self._namespace = namespace

    def tries(self, *args: str) -> str:
        """Output and complaint of kubectl."""
        done = self.kubectl("-n", self._namespace, *args, check=False)
        return f"{done.stdout}{done.stderr}".strip()

    def may(self, *args: str) -> bool:
        answer = self.tries("auth", "can-i", *args).splitlines()[-1]
        assert answer in ("yes", "no"), answer
        return answer == "yes"
