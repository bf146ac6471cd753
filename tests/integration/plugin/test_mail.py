"""`queue`, `log`, `show`, `requeue`, `purge`: connections come from a real API server.

Without a kubelet nobody can exec: what kubectl says then is real, what the tools answer comes from a double of kubectl.
The end-to-end tests have both.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.cluster.tools import onenode_folder
from tests.integration.plugin.running import Plugin, make
from tests.unit.plugin.kubectl import FakeKubectl
from tests.unit.plugin.mails import EVIL, entry, group, line, queue

pytestmark = pytest.mark.cluster


@pytest.fixture
def kubectl(tmp_path: Path) -> FakeKubectl:
    return FakeKubectl(tmp_path)


@pytest.fixture
def desk(cluster: ControlPlane, namespace: str, kubectl: FakeKubectl, plugin: Plugin) -> Plugin:
    """The plugin in a namespace with two connections, of which one writes into another stream."""
    make(cluster, namespace, "support")
    make(cluster, namespace, "billing", queue={"stream": "office"})

    def run(*args: str, **env: str) -> Any:
        return plugin(*args, "-n", namespace, PATH=kubectl.path, **env)

    return run


def test_the_queue_of_a_namespace_and_of_one_connection(desk: Plugin, kubectl: FakeKubectl, namespace: str) -> None:
    kubectl.answers("queue --stream=office --stream=support --limit=50", queue(entry(), entry(state="Failed")))
    shown = desk("queue")
    assert (shown.returncode, shown.stderr) == (0, "In the queue: 1 New, 1 Failed.\n")
    header, mail, _ = shown.stdout.splitlines()
    assert header.split() == ["STATE", "FROM", "SUBJECT", "WHEN", "CONNECTION", "ID"]
    assert mail.split()[0] == "New"
    assert f"--namespace={namespace}" in kubectl.calls[0][0]

    words = "queue --stream=office --connection=billing --state=New --state=Done --search=late --limit=1"
    kubectl.answers(words, queue(entry(), truncated=True))
    one = desk("queue", "billing", "--state", "new", "--state", "Done", "--search", "late", "--limit", "1")
    assert one.returncode == 0
    assert "There are more than the 1 newest" in one.stderr

    kubectl.answers("queue --stream=gone --limit=50", queue())
    assert "In the queue: no mails." in desk("queue", "--stream", "gone").stderr
    assert desk("queue", "nobody").returncode == 3


def test_data_and_names_for_programs(desk: Plugin, kubectl: FakeKubectl, namespace: str) -> None:
    answer = queue(entry(subject=EVIL), entry(id="", entry="5-0"))
    kubectl.answers("queue --stream=office --stream=support --limit=50", answer)
    wanted = [{"namespace": namespace, **row} for row in answer["entries"]]
    as_json, as_yaml = desk("queue", "-o", "json"), desk("queue", "-o", "yaml")
    assert json.loads(as_json.stdout)["entries"] == yaml.safe_load(as_yaml.stdout)["entries"] == wanted
    assert json.loads(as_json.stdout)["counts"] == {"New": 2}
    assert as_json.stderr == ""
    assert desk("queue", "-o", "name").stdout.splitlines() == ["0123456789abcdef0123456789abcdef", "5-0"]


def test_the_log(desk: Plugin, kubectl: FakeKubectl) -> None:
    words = "log --stream=support --connection=support --category=Process --result=Error --id=x --limit=50"
    kubectl.answers(words, {"lines": [line(), line()], "truncated": False})
    flags = ("--category", "process", "--result", "error", "--id", "x")
    shown = desk("log", "support", *flags)
    assert shown.stdout.splitlines()[0].split() == ["FROM", "SUBJECT", "WHEN", "CATEGORY", "RESULT", "STEP"]
    assert "ticketing/1769860000000-0/2" not in shown.stdout
    expanded = desk("log", "support", *flags, "--expand")
    for wanted in ("<1@example.com>", "ticketing/1769860000000-0/2", "the ticket system refused it"):
        assert wanted in expanded.stdout
    assert len(desk("log", "support", *flags, "-o", "name").stdout.splitlines()) == 1


def test_one_mail_and_its_bytes(desk: Plugin, kubectl: FakeKubectl, tmp_path: Path) -> None:
    streams = "--stream=office --stream=support"
    shown = {"entry": entry(headers=[], attempts=[]), "log": [line()]}
    kubectl.answers(f"show {streams} -- <1@example.com>", shown)
    kubectl.prints(f"show {streams} --raw -- <1@example.com>", "From: a\n\nbody\n")
    assert "The quarterly report is late" in desk("show", "<1@example.com>").stdout
    assert desk("show", "<1@example.com>", "-o", "json").stdout == json.dumps(shown, indent=2) + "\n"
    assert desk("show", "<1@example.com>", "--raw").stdout == "From: a\n\nbody\n"
    kubectl.fails(f"show {streams} -- x", "error: there is no mail x in the queue\n", code=3)
    missing = desk("show", "x")
    assert (missing.returncode, missing.stderr) == (3, "error: there is no mail x in the queue\n")


def test_requeue_says_what_became_of_each(desk: Plugin, kubectl: FakeKubectl) -> None:
    answer = {
        "requeued": [{"entry": "1-0", "newEntry": "9-0", "id": "a", "newId": "a~1"}],
        "refused": [{"ref": "b", "reason": "it is new already"}],
    }
    kubectl.answers("requeue --stream=office --stream=support -- a b", answer)
    done = desk("requeue", "a", "b")
    assert done.returncode == 1
    assert done.stdout == "Requeued a as a~1 (entry 9-0).\n"
    assert done.stderr == "error: b is not requeued: it is new already\n"


def test_purge_asks_first(desk: Plugin, kubectl: FakeKubectl) -> None:
    words = "purge --stream=support --connection=support --state=Done --before=2026-01-31T00:00:00Z"
    count = {"matched": 3, "purged": 2, "kept": 1, "why": "1 is pending"}
    kubectl.answers(f"{words} --dry-run", count)
    flags = ("-c", "support", "--state", "done", "--before", "2026-01-31")
    asked = desk("purge", *flags)
    assert asked.returncode == 2
    assert "would have to ask: Remove 2 mails for good?" in asked.stderr
    assert "2 mails would be removed." in desk("purge", *flags, "--dry-run").stdout
    kubectl.answers(words, count)
    done = desk("purge", *flags, "--yes")
    assert (done.returncode, done.stdout) == (0, "1 mail stays: 1 is pending\nRemoved 2 mails.\n")


def test_all_namespaces_and_one_that_cannot_be_asked(
    cluster: ControlPlane, namespace: str, plugin: Plugin, tmp_path: Path
) -> None:
    """Each namespace has tools of its own; here kubectl finds them in one only."""
    other = f"{namespace}-other"
    cluster.kubectl("create", "namespace", other)
    make(cluster, namespace, "support")
    make(cluster, other, "support")
    program = tmp_path / "kubectl"
    answer = json.dumps(queue(entry()))
    program.write_text(
        f"#!/bin/sh\ncase $1 in --namespace={namespace}) echo '{answer}' ;;\n"
        f"""*) echo 'Error from server (NotFound): pods "mailfetch-tools-0" not found' >&2; exit 1 ;; esac\n"""
    )
    program.chmod(0o755)
    done = plugin("queue", "-A", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1
    header, mail = done.stdout.splitlines()
    assert header.split()[0] == "NAMESPACE"
    assert mail.split()[0] == namespace
    assert f"there is no pod mailfetch-tools-0 in namespace {other}" in done.stderr
    assert plugin("queue", "support", "-A").returncode == 2
    cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_no_connection_no_mail(namespace: str, plugin: Plugin) -> None:
    done = plugin("queue", "-n", namespace)
    assert done.returncode == 3
    assert f"there is no MailConnection in namespace {namespace}" in done.stderr


def test_what_a_real_kubectl_says(cluster: ControlPlane, namespace: str, plugin: Plugin, tmp_path: Path) -> None:
    make(cluster, namespace, "support")
    path = f"{onenode_folder()}:/usr/bin:/bin"
    missing = plugin("queue", "-n", namespace, PATH=path)
    assert missing.returncode == 1
    assert f"there is no pod mailfetch-tools-0 in namespace {namespace}" in missing.stderr

    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mailfetch-tools-0", "namespace": namespace},
        "spec": {"containers": [{"name": "tools", "image": "x"}], "automountServiceAccountToken": False},
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(pod))
    waiting = plugin("queue", "-n", namespace, PATH=path)
    assert waiting.returncode == 1
    assert "does not run (yet)" in waiting.stderr

    viewer = _viewer(cluster, namespace, tmp_path)
    refused = plugin("queue", "-n", namespace, "--kubeconfig", str(viewer), PATH=path)
    assert refused.returncode == 4
    assert f"you may not look into mails in namespace {namespace}" in refused.stderr
    assert "docs/security.md" in refused.stderr
    # The page is about more than the consumers: it is shown, and says why they are not.
    page = plugin("status", "support", "-n", namespace, "--kubeconfig", str(viewer), PATH=path)
    assert page.returncode == 0
    assert "you may not look into mails" in " ".join(page.stdout.split())
    assert "Consumers" not in plugin("status", "support", "--no-consumers", "-n", namespace, PATH=path).stdout
    assert "kubectl is not on your PATH" in plugin("queue", "-n", namespace, PATH="/nowhere").stderr


def test_the_consumer_groups_on_the_page(desk: Plugin, kubectl: FakeKubectl) -> None:
    kubectl.answers("queue --stream=office --limit=1", queue(groups=[group()]))
    page = desk("status", "billing").stdout
    assert "1,234 not delivered yet, 3 delivered and not acknowledged, 2 consumers" in page


def _viewer(cluster: ControlPlane, namespace: str, folder: Path) -> Path:
    """The kubeconfig of somebody who may read MailConnections only."""
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "viewer")
    cluster.kubectl("-n", namespace, "create", "role", "viewer", "--verb=get,list", "--resource=mailconnections")
    cluster.kubectl(
        "-n", namespace, "create", "rolebinding", "viewer", "--role=viewer", f"--serviceaccount={namespace}:viewer"
    )
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.kubectl("-n", namespace, "create", "token", "viewer").stdout.strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    found = folder / "viewer.kubeconfig"
    found.write_text(yaml.safe_dump(config))
    return found
