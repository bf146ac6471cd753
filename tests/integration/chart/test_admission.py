"""The admission policy: approving is a right of its own. Two users of a real API server, one with that right."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.crd.api import Api
from tests.crd.manifests import manifest
from tests.integration.chart.rendering import render, render_values, values_of
from tests.servers.redis import wait_until

pytestmark = pytest.mark.cluster

NAMESPACE = "approval-tests"
VALUES = {"admissionPolicy": {"enabled": True}, "watch": {"namespaces": [NAMESPACE]}, "clusterId": "test"}
EDITOR, APPROVER = "--as=mia", "--as=lea"
OPERATOR = "--as=system:serviceaccount:mail:mailfetch-operator"
ENABLE, ACKNOWLEDGE = "mailfetch.dev/enable", "mailfetch.dev/acknowledge"
CLUSTER_WIDE = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterRole")


def _document(kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
    } | rest


def _binding(name: str, role: str, kind: str, *users: str) -> dict[str, Any]:
    subjects = [{"kind": "User", "name": u, "apiGroup": "rbac.authorization.k8s.io"} for u in users]
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    return _document("RoleBinding", name, roleRef=ref, subjects=subjects)


@pytest.fixture(scope="module")
def guarded(control_plane: ControlPlane) -> Iterator[Api]:
    """A namespace under the policy. Mia has all verbs on MailConnections and their status, Lea may approve as well."""
    api = Api(kubectl=control_plane.kubectl, namespace=NAMESPACE)
    api.install()
    rendered = render_values({**values_of("defaults"), **VALUES})
    policies = [m for kind in CLUSTER_WIDE for m in rendered.all(kind)]
    operator = [m for kind in ("Role", "RoleBinding") for m in rendered.all(kind)]
    (approve,) = [m["metadata"]["name"] for m in rendered.all("ClusterRole") if m["rules"][0]["verbs"] == ["approve"]]
    verbs = ["get", "list", "create", "update", "patch", "delete"]
    resources = ["mailconnections", "mailconnections/status"]
    rules = [{"apiGroups": ["mailfetch.dev"], "resources": resources, "verbs": verbs}]
    people = [
        _document("Role", "editor", rules=rules),
        # The operator's own role has no `get` on the status, which kubectl needs before it patches.
        _binding("editors", "editor", "Role", "mia", "lea", "system:serviceaccount:mail:mailfetch-operator"),
        _binding("approvers", approve, "ClusterRole", "lea"),
    ]
    documents = {"apiVersion": "v1", "kind": "List", "items": [*policies, *operator, *people]}
    try:
        api.run("apply", "--server-side", "--filename", "-", input=documents)
        api.create(_connection("probe"))
        wait_until(lambda: _refuses(api), what="the policies hold")
        yield api
    finally:
        api.run("delete", "--ignore-not-found", "--wait=false", "--filename", "-", input=documents, check=False)
        api.remove()


def _refuses(api: Api) -> bool:
    """Whether an editor may neither enable nor write a status; the API server takes a moment until policies hold.

    Nothing is saved: what was enabled before the policy held would be no change any more, and never refused.
    """
    enabling = {"metadata": {"annotations": {ENABLE: "true"}}}
    status = {"status": {"fetch": {"lag": 1}}}
    return bool(
        _patch(api, "probe", EDITOR, enabling, "--dry-run=server")
        and _patch(api, "probe", EDITOR, status, "--dry-run=server", "--subresource=status")
    )


def _connection(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    content = manifest(name=name, spec=spec)
    content["metadata"]["annotations"] = annotations or {}
    return content


def _annotate(api: Api, name: str, who: str, **annotations: str | None) -> str:
    """Tries; what the API server says to a refusal, or nothing."""
    return _patch(
        api, name, who, {"metadata": {"annotations": {f"mailfetch.dev/{k}": v for k, v in annotations.items()}}}
    )


def _patch(api: Api, name: str, who: str, patch: dict[str, Any], *args: str) -> str:
    tried = api.patch(name, patch, who, *args, check=False)
    return "" if tried.returncode == 0 else tried.stderr


@pytest.fixture
def connection(guarded: Api, request: pytest.FixtureRequest) -> str:
    """A disabled one, as the editor made it."""
    name = request.node.originalname.replace("_", "-").removeprefix("test-")[:40].strip("-")
    guarded.create(_connection(name), EDITOR)
    return str(name)


@pytest.fixture
def enabled(guarded: Api, connection: str) -> str:
    """The approver enabled it."""
    assert _annotate(guarded, connection, APPROVER, enable="true") == ""
    return connection


def test_only_an_approver_enables(guarded: Api, connection: str) -> None:
    refusal = _annotate(guarded, connection, EDITOR, enable="true")
    assert f"setting the annotation {ENABLE}" in refusal
    assert f'needs the verb "approve" on mailconnections.mailfetch.dev in namespace {NAMESPACE}' in refusal
    assert "user mia" in refusal
    assert _annotate(guarded, connection, APPROVER, enable="true") == ""


def test_only_an_approver_acknowledges(guarded: Api, connection: str) -> None:
    assert ACKNOWLEDGE in _annotate(guarded, connection, EDITOR, acknowledge="any")
    assert _annotate(guarded, connection, APPROVER, acknowledge="12") == ""
    assert ACKNOWLEDGE in _annotate(guarded, connection, EDITOR, acknowledge="1234")


@pytest.mark.parametrize(("annotation", "value"), [("refetch", "since:1970-01-01"), ("resume-actions", "7")])
def test_only_an_approver_asks_for_old_mails_or_lets_deleting_go_on(guarded: Api, annotation: str, value: str) -> None:
    name = f"asks-{annotation}"
    guarded.create(_connection(name, {ENABLE: "true"}), APPROVER)
    assert annotation in _annotate(guarded, name, EDITOR, **{annotation: value})
    assert _annotate(guarded, name, APPROVER, **{annotation: value}) == ""


def test_nobody_creates_an_enabled_one_without_the_right(guarded: Api) -> None:
    tried = guarded.create(_connection("new", {ENABLE: "true", ACKNOWLEDGE: "any"}), EDITOR, check=False)
    assert tried.returncode != 0
    assert f"{ENABLE} and {ACKNOWLEDGE}" in tried.stderr
    guarded.create(_connection("new", {ENABLE: "true", ACKNOWLEDGE: "any"}), APPROVER)


def test_everybody_disables_and_works_on(guarded: Api, enabled: str) -> None:
    """An editor changes what was not approved, asks for a test, disables in both ways, but does not enable again."""
    assert _annotate(guarded, enabled, EDITOR, test="r1", fetch="r1", refetch="quarantined#2") == ""
    harmless = {"description": "x", "schedule": {"interval": "5m"}, "approval": {"maxMessages": 5}, "suspend": True}
    assert _patch(guarded, enabled, EDITOR, {"spec": harmless}) == ""
    assert _annotate(guarded, enabled, EDITOR, enable="false") == ""
    assert ENABLE in _annotate(guarded, enabled, EDITOR, enable="true")
    assert _annotate(guarded, enabled, APPROVER, enable="true") == ""
    assert _annotate(guarded, enabled, EDITOR, enable=None) == ""


@pytest.mark.parametrize("limit", [{"approval": {"maxMessages": 101}}, {"approval": {"maxMessages": 100000}}])
def test_the_limit_is_not_a_way_around(guarded: Api, limit: dict[str, Any]) -> None:
    name = f"limit-{limit['approval']['maxMessages']}"
    tried = guarded.create(_connection(name, **limit), EDITOR, check=False)
    assert "raising spec.approval.maxMessages" in tried.stderr
    guarded.create(_connection(name), EDITOR)
    assert "raising spec.approval.maxMessages" in _patch(guarded, name, EDITOR, {"spec": limit})
    assert _patch(guarded, name, APPROVER, {"spec": limit}) == ""


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"server": {"host": "imap.elsewhere.example"}}, "spec.server"),
        ({"server": {"encryption": "StartTLS"}}, "spec.server"),
        ({"tls": {"caSecretRef": {"name": "my-ca"}}}, "spec.tls"),
        ({"auth": {"username": "boss@example.com"}}, "spec.auth"),
        ({"auth": {"passwordSecretRef": {"name": "another"}}}, "spec.auth"),
        ({"folder": "Archive"}, "spec.folder"),
        ({"sharedMailbox": "boss@example.com"}, "spec.sharedMailbox"),
        ({"backlog": {"startFrom": "Now"}}, "spec.backlog"),
        ({"afterDownload": {"action": "Delete"}}, "spec.afterDownload"),
        ({"protocol": "POP3", "sharedMailbox": None, "folder": None}, "spec.protocol"),
    ],
    ids=lambda x: x if isinstance(x, str) else None,
)
def test_an_enabled_one_is_not_pointed_elsewhere(guarded: Api, spec: dict[str, Any], field: str) -> None:
    name = f"elsewhere-{hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:8]}"
    guarded.create(_connection(name, {ENABLE: "true"}), APPROVER)
    refusal = _patch(guarded, name, EDITOR, {"spec": spec})
    assert f"changing {field} of an enabled connection" in refusal
    # The way that needs no right: what is disabled downloads nothing.
    assert _annotate(guarded, name, EDITOR, enable=None) == ""
    assert _patch(guarded, name, EDITOR, {"spec": spec}) == ""
    assert ENABLE in _annotate(guarded, name, EDITOR, enable="true")


def test_disabling_and_pointing_elsewhere_in_one_step(guarded: Api, enabled: str) -> None:
    both = {"metadata": {"annotations": {ENABLE: None}}, "spec": {"folder": "Archive"}}
    assert _patch(guarded, enabled, EDITOR, both) == ""


def test_the_status_is_the_operators(guarded: Api, connection: str) -> None:
    """Even for those whose role lets them write it: the approval stands there."""
    status = {"status": {"approval": {"epoch": 1, "source": "Annotation", "acceptedAt": "2026-01-01T00:00:00Z"}}}
    for who in (EDITOR, APPROVER):
        refusal = _patch(guarded, connection, who, status, "--subresource=status")
        assert "written by the operator only" in refusal
    assert _patch(guarded, connection, OPERATOR, status, "--subresource=status") == ""


def test_the_operator_sets_its_finalizer_on_an_enabled_one(guarded: Api, enabled: str) -> None:
    finalizer = {"metadata": {"finalizers": ["mailfetch.dev/purge"]}}
    assert _patch(guarded, enabled, OPERATOR, finalizer) == ""
    assert _patch(guarded, enabled, OPERATOR, {"metadata": {"finalizers": []}}) == ""


def test_other_namespaces_are_left_alone(guarded: Api, control_plane: ControlPlane) -> None:
    """With watch.namespaces the policy is for these."""
    other = Api(kubectl=control_plane.kubectl, namespace="approval-elsewhere")
    other.run("create", "namespace", other.namespace)
    try:
        other.create(_connection("free", {ENABLE: "true"}))
    finally:
        other.remove()


def test_off_by_default() -> None:
    for kind in CLUSTER_WIDE[:2]:
        assert render("defaults").all(kind) == []
