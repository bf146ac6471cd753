"""Install, upgrade, uninstall and install again on a real API server with its controllers, but without nodes.

What needs running pods (mail that flows meanwhile, `helm test`) is tested end to end.
"""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.processes import run
from tests.cluster.tools import onenode_folder
from tests.crd.manifests import manifest
from tests.integration.chart.rendering import CHART

pytestmark = pytest.mark.cluster

OPERATOR = "--as=system:serviceaccount:mail:mailfetch-operator"
SETTINGS = ("--set", "image.repository=registry.example.com/mailfetch", "--set", "namespaces={mail,helpdesk}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """One of its own: the chart brings the CRD, which other tests apply to theirs by hand."""
    cluster = ControlPlane(controllers=True)
    cluster.start()
    try:
        for namespace in ("mail", "helpdesk", "other"):
            cluster.kubectl("create", "namespace", namespace)
            cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def release(cluster: ControlPlane) -> Iterator[str]:
    """The chart is installed as mailfetch in the namespace mail; its notes."""
    yield _install(cluster, *SETTINGS)
    cluster.helm("uninstall", "mailfetch", "--namespace", "mail", "--ignore-not-found")


def _install(cluster: ControlPlane, *settings: str, verb: str = "install") -> str:
    return cluster.helm(verb, "mailfetch", str(CHART), "--namespace", "mail", *settings).stdout


def _get(cluster: ControlPlane, namespace: str, *what: str) -> Any:
    return json.loads(cluster.kubectl("--namespace", namespace, "get", *what, "--output=json").stdout)


def _secret(cluster: ControlPlane, namespace: str, name: str) -> dict[str, str]:
    data = _get(cluster, namespace, "secret", name)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _can(cluster: ControlPlane, *question: str) -> bool:
    answer = cluster.kubectl("auth", "can-i", *question, check=False).stdout
    return answer.strip() == "yes"


def _eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.usefixtures("release")
def test_pod_security_restricted_admits_the_pods(cluster: ControlPlane) -> None:
    def pods() -> set[str]:
        items = _get(cluster, "mail", "pods")["items"]
        return {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in items}

    _eventually(lambda: pods() >= {"operator", "redis"}, "the controllers could not make the pods")
    check = cluster.helm("get", "hooks", "mailfetch", "--namespace", "mail").stdout
    cluster.kubectl("create", "--dry-run=server", "--filename", "-", input=check)


@pytest.mark.usefixtures("release")
def test_the_operator_may_do_its_work_and_nothing_else(cluster: ControlPlane) -> None:
    everywhere = ("--namespace", "other", OPERATOR)
    for question in (
        ("list", "mailconnections.mailfetch.dev"),
        ("patch", "mailconnections.mailfetch.dev"),  # for the finalizer of deletionPolicy Purge
        ("patch", "mailconnections.mailfetch.dev", "--subresource=status"),
        ("create", "deployments.apps"),
        ("create", "statefulsets.apps"),
        ("create", "jobs.batch"),
        ("patch", "configmaps"),
        ("patch", "pods"),
        ("create", "events.events.k8s.io"),
    ):
        assert _can(cluster, *question, *everywhere), question
    assert _can(cluster, "get", "namespaces/kube-system", OPERATOR)
    for question in (
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("create", "pods", "--subresource=exec"),
        ("create", "mailconnections.mailfetch.dev"),
        ("delete", "mailconnections.mailfetch.dev"),
        ("create", "serviceaccounts", "--subresource=token"),
    ):
        assert not _can(cluster, *question, *everywhere), question
    assert not _can(cluster, "get", "namespaces/other", OPERATOR)


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(("role", "may_edit"), [("view", False), ("edit", True), ("admin", True)])
def test_roles_of_people_learn_of_mail_connections(cluster: ControlPlane, role: str, may_edit: bool) -> None:
    person = (f"--as={role}-person", "--namespace", "helpdesk")
    name = f"{role}-person"
    cluster.kubectl("--namespace", "helpdesk", "create", "rolebinding", name, f"--clusterrole={role}", f"--user={name}")
    kind = "mailconnections.mailfetch.dev"
    _eventually(lambda: _can(cluster, "list", kind, *person), "the cluster role was not aggregated")
    if may_edit:
        _eventually(lambda: _can(cluster, "patch", kind, *person), "the cluster role was not aggregated")
    assert _can(cluster, "delete", kind, *person) is may_edit
    assert not _can(cluster, "patch", kind, "--subresource=status", *person)
    assert not _can(cluster, "approve", kind, *person)


def test_the_notes_tell_commands_that_work(cluster: ControlPlane, release: str) -> None:
    commands = _commands(release)
    assert "helm test mailfetch -n mail" in commands
    declare = [c for c in commands if c.startswith("kubectl") and ("apply" in c or "create secret" in c)]
    copy = [c.replace("NAMESPACE", "other") for c in commands if "NAMESPACE" in c]
    look = [c for c in commands if c.startswith("kubectl") and (" annotate " in c or " get mailconn" in c)]
    assert (len(declare), len(copy), len(look)) == (3, 1, 2)
    try:
        for command in [*declare[:2], *look, *copy]:
            _shell(cluster, command)
        annotations = _get(cluster, "mail", "mailconnection", "support")["metadata"]["annotations"]
        assert annotations["mailfetch.dev/enable"] == "true"
        assert _secret(cluster, "other", "mailfetch-redis") == _secret(cluster, "mail", "mailfetch-redis")
    finally:
        cluster.kubectl("--namespace", "mail", "delete", "mailconnection/support", "secret/support-mailbox")
        cluster.kubectl("--namespace", "other", "delete", "secret/mailfetch-redis", "--ignore-not-found")


def _commands(notes: str) -> list[str]:
    """The indented commands, with their here-documents and continued lines."""
    text = notes.partition("NOTES:")[2]
    blocks = re.split(r"\n\s*\n", text)
    found = []
    for block in blocks:
        lines = [line[2:] for line in block.splitlines() if line.startswith("  ")]
        joined = "\n".join(lines)
        found += [c for c in re.split(r"\n(?=kubectl|helm)", joined) if c]
    return found


def _shell(cluster: ControlPlane, command: str) -> None:
    """Runs a command of the notes as a person has it: kubectl in the PATH, the cluster in KUBECONFIG."""
    path = f"{onenode_folder()}:{os.environ['PATH']}"
    run(["bash", "-euo", "pipefail", "-c", command], env={"PATH": path, "KUBECONFIG": str(cluster.kubeconfig)})


@pytest.mark.usefixtures("release")
def test_an_upgrade_keeps_the_password_and_leaves_redis_alone(cluster: ControlPlane) -> None:
    secrets = [_secret(cluster, "mail", name) for name in ("mailfetch-redis-auth", "mailfetch-redis")]
    assert secrets[0]["password"] in secrets[1]["url"]
    generation = _get(cluster, "mail", "statefulset", "mailfetch-redis")["metadata"]["generation"]
    _install(cluster, "--reset-then-reuse-values", "--set", "image.tag=0.2.0", verb="upgrade")
    assert [_secret(cluster, "mail", name) for name in ("mailfetch-redis-auth", "mailfetch-redis")] == secrets
    assert _get(cluster, "mail", "statefulset", "mailfetch-redis")["metadata"]["generation"] == generation
    (container,) = _get(cluster, "mail", "deployment", "mailfetch-operator")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/mailfetch:0.2.0"
    cluster.helm("rollback", "mailfetch", "--namespace", "mail")
    assert [_secret(cluster, "mail", name) for name in ("mailfetch-redis-auth", "mailfetch-redis")] == secrets


@pytest.mark.usefixtures("release")
def test_uninstalling_loses_nothing_and_installing_again_continues(cluster: ControlPlane) -> None:
    kept = (
        ("mail", "secret", "mailfetch-redis-auth"),
        ("mail", "secret", "mailfetch-redis"),
        ("helpdesk", "secret", "mailfetch-redis"),
        ("mail", "persistentvolumeclaim", "data-mailfetch-redis-0"),
        ("helpdesk", "mailconnection", "kept"),
        ("helpdesk", "customresourcedefinition", "mailconnections.mailfetch.dev"),
    )

    def uids() -> list[str]:
        return [_get(cluster, *what)["metadata"]["uid"] for what in kept]

    claim = ("--namespace", "mail", "get", "persistentvolumeclaim", "data-mailfetch-redis-0")
    _eventually(lambda: cluster.kubectl(*claim, check=False).returncode == 0, "no claim was made")
    cluster.kubectl("--namespace", "helpdesk", "create", "--filename", "-", input=json.dumps(manifest(name="kept")))
    before, password = uids(), _secret(cluster, "mail", "mailfetch-redis-auth")
    cluster.helm("uninstall", "mailfetch", "--namespace", "mail", "--wait")
    assert uids() == before
    left = _get(cluster, "mail", "deployments,statefulsets,services,configmaps,roles,serviceaccounts")["items"]
    assert [o["metadata"]["name"] for o in left if o["metadata"]["name"].startswith("mailfetch")] == []
    _install(cluster, *SETTINGS)
    assert uids() == before
    assert _secret(cluster, "mail", "mailfetch-redis-auth") == password
    cluster.kubectl("--namespace", "helpdesk", "delete", "mailconnection", "kept")


def test_namespaced_mode(cluster: ControlPlane) -> None:
    _install(cluster, *SETTINGS, "--set", "watch.namespaces={helpdesk}", "--set", "clusterId=test")
    try:
        question = ("list", "mailconnections.mailfetch.dev", OPERATOR)
        assert _can(cluster, *question, "--namespace", "helpdesk")
        assert not _can(cluster, *question, "--namespace", "other")
        assert not _can(cluster, *question, "--all-namespaces")
        assert not _can(cluster, "get", "namespaces/kube-system", OPERATOR)
    finally:
        cluster.helm("uninstall", "mailfetch", "--namespace", "mail")


def test_whoever_does_not_keep_the_crd_is_warned_and_loses_it(cluster: ControlPlane) -> None:
    notes = _install(cluster, *SETTINGS, "--set", "crds.keep=false")
    assert "BUT crds.keep is false, so it deletes the CRD and with it every MailConnection" in " ".join(notes.split())
    cluster.helm("uninstall", "mailfetch", "--namespace", "mail", "--wait")
    crd = ("get", "crd", "mailconnections.mailfetch.dev")
    _eventually(lambda: cluster.kubectl(*crd, check=False).returncode != 0, "the CRD is still there")
