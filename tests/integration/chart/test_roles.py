"""Who may do what: the operator nearly nothing, people what their role says."""

from typing import Any

import pytest

from tests.integration.chart.rendering import VALUE_SETS, Manifest, render

pytestmark = pytest.mark.cluster

CHILD = ["get", "list", "watch", "create", "patch", "delete"]
OPERATOR = {
    "mailfetch.dev/mailconnections": ["get", "list", "watch", "patch"],
    "mailfetch.dev/mailconnections/status": ["patch"],
    "apps/deployments": CHILD,
    "apps/statefulsets": CHILD,
    "batch/jobs": ["get", "list", "watch", "create", "delete"],
    "/configmaps": CHILD,
    "/pods": ["get", "list", "watch", "patch"],
    "events.k8s.io/events": ["create", "patch"],
}
OTHERS = {"/secrets", "/pods/log", "/serviceaccounts/token", "rbac.authorization.k8s.io/roles"}


def _granted(role: Manifest) -> dict[str, Any]:
    return {
        f"{group}/{resource}": rule["verbs"]
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def _names(name: str, kind: str) -> list[str]:
    return sorted(role["metadata"]["name"] for role in render(name).all(kind))


@pytest.mark.parametrize("name", VALUE_SETS)
def test_nobody_gets_secrets_or_wildcards(name: str) -> None:
    for role in [*render(name).all("Role"), *render(name).all("ClusterRole")]:
        granted = _granted(role)
        assert not OTHERS & granted.keys()
        assert "*" not in str(role["rules"])


def test_cluster_mode() -> None:
    rendered = render("defaults")
    role = rendered.one("ClusterRole", "mail-mailfetch-operator")
    assert _granted(role) == {**OPERATOR, "/namespaces": ["get"]}
    (namespaces,) = [rule for rule in role["rules"] if rule["resources"] == ["namespaces"]]
    assert namespaces["resourceNames"] == ["kube-system"]
    binding = rendered.one("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "mail-mailfetch-operator"
    account = rendered.one("ServiceAccount")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "mail"}]
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert rendered.all("Role") == rendered.all("RoleBinding") == []


def test_with_a_cluster_id_the_operator_need_not_see_kube_system() -> None:
    assert _granted(render("everything").one("ClusterRole", "mail-mailfetch-operator")) == OPERATOR


def test_namespaced_mode_has_no_cluster_rights() -> None:
    rendered = render("namespaced")
    assert rendered.all("ClusterRoleBinding") == []
    assert _names("namespaced", "ClusterRole") == ["mail-mailfetch-edit", "mail-mailfetch-mail", "mail-mailfetch-view"]
    for kind in ("Role", "RoleBinding"):
        assert sorted(r["metadata"]["namespace"] for r in rendered.all(kind)) == ["billing", "helpdesk"]
    for role in rendered.all("Role"):
        assert _granted(role) == OPERATOR
    for binding in rendered.all("RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mailfetch-operator", "namespace": "mail"}]


def test_people() -> None:
    view = render("defaults").one("ClusterRole", "mail-mailfetch-view")
    edit = render("defaults").one("ClusterRole", "mail-mailfetch-edit")
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    assert _granted(view) == {"mailfetch.dev/mailconnections": ["get", "list", "watch"]}
    assert {k.removeprefix(aggregate) for k in view["metadata"]["labels"] if k.startswith(aggregate)} == {
        "view",
        "edit",
        "admin",
    }
    # Never the status, where the gate is recorded, and never the right to approve.
    assert _granted(edit) == {
        "mailfetch.dev/mailconnections": ["create", "update", "patch", "delete", "deletecollection"]
    }
    assert {k.removeprefix(aggregate) for k in edit["metadata"]["labels"] if k.startswith(aggregate)} == {
        "edit",
        "admin",
    }


@pytest.mark.parametrize("name", [n for n in VALUE_SETS if n != "no-roles"])
def test_who_may_see_mail_has_a_role_of_its_own(name: str) -> None:
    """Exec in one pod by its name, in no role that anybody has by view, edit or admin, nor the operator."""
    roles = [*render(name).all("Role"), *render(name).all("ClusterRole")]
    (role,) = [r for r in roles if "/pods/exec" in _granted(r)]
    assert role["metadata"]["name"].endswith("-mail")
    assert not [label for label in role["metadata"]["labels"] if "aggregate" in label]
    assert _granted(role) == {
        "mailfetch.dev/mailconnections": ["get", "list"],
        "/pods": ["get"],
        "/pods/exec": ["create", "get"],
    }
    named = {rule["resources"][0]: rule.get("resourceNames") for rule in role["rules"]}
    assert named["pods"] == named["pods/exec"] == ["mailfetch-tools-0"]
    bindings = [*render(name).all("RoleBinding"), *render(name).all("ClusterRoleBinding")]
    assert role["metadata"]["name"] not in {b["roleRef"]["name"] for b in bindings}


def test_roles_can_be_left_to_others() -> None:
    for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"):
        assert render("no-roles").all(kind) == []


def test_an_account_of_ones_own() -> None:
    rendered = render("other-names")
    assert rendered.all("ServiceAccount") == []
    assert rendered.one("Deployment", "mails-operator")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"
    assert rendered.one("ClusterRoleBinding")["subjects"][0]["name"] == "mine"
