"""`kubectl mailfetch authorize`: the Secret, the rights that it takes, and connections that are not saved."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.integration.plugin.authorizing import Scene, client_secret, connection

pytestmark = pytest.mark.cluster


def test_it_works_with_the_rights_of_the_person(scene: Scene, cluster: ControlPlane) -> None:
    """Without the right to annotate the Secret is written all the same; without that on Secrets nobody signs in."""
    clerk = f"clerk-{scene.namespace}"
    cluster.pki.issue(clerk, f"/CN={clerk}")
    scene.save(connection("office"))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "clerk"},
        "rules": [{"apiGroups": ["mailfetch.dev"], "resources": ["mailconnections"], "verbs": ["get"]}],
    }
    scene.save(role)
    cluster.kubectl("create", "rolebinding", "clerk", "-n", scene.namespace, "--role=clerk", f"--user={clerk}")
    kubeconfig = cluster.pki.kubeconfig(clerk, cluster.url)
    with scene.run("office", kubeconfig=kubeconfig) as command:
        assert command.end() == 4
    assert "you may not read the Secret m365-client" in command.output
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]}
    patch = json.dumps([{"op": "add", "path": "/rules/-", "value": secrets}])
    cluster.kubectl("patch", "role", "clerk", "-n", scene.namespace, "--type=json", "-p", patch)
    allowed = ("auth", "can-i", "create", "secrets", "-n", scene.namespace, f"--as={clerk}")
    while cluster.kubectl(*allowed, check=False).stdout.strip() != "yes":
        time.sleep(0.1)  # the API server hears of new rules by itself; the test's time-out is the bound
    with scene.run("office", kubeconfig=kubeconfig) as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    assert "no test could be asked for: you may not annotate MailConnection office" in command.output
    scene.token("office-token")


def test_a_secret_that_somebody_else_made_is_only_changed_when_asked_for(scene: Scene) -> None:
    scene.save(connection("office"))
    scene.save(client_secret("office-token", refresh_token="by hand", other="stays"))
    with scene.run("office") as command:
        assert command.end() == 2
    assert "https://" not in command.output
    assert f"kubectl mailfetch authorize office -n {scene.namespace} --overwrite" in command.output
    with scene.run("office", "--overwrite") as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    scene.token("office-token")
    secret = scene.get("secret", "office-token")
    assert base64.b64decode(secret["data"]["other"]) == b"stays"
    assert secret["metadata"].get("labels", {}) == {}
    assert "ownerReferences" not in secret["metadata"]


def test_whether_the_secret_may_be_written_is_known_before_anybody_signs_in(scene: Scene) -> None:
    scene.save(connection("office"))
    labels = {"app.kubernetes.io/managed-by": "kubectl-mailfetch"}
    kept = client_secret("office-token", refresh_token="kept")
    scene.save({**kept, "immutable": True, "metadata": {"name": "office-token", "labels": labels}})
    with scene.run("office") as command:
        assert command.end() == 1
    assert "https://" not in command.output
    assert "immutable" in command.output


def test_two_connections_may_share_a_token(scene: Scene) -> None:
    """If that is wanted; the Secret then goes with the last of them."""
    for name, more in (("inbox", ()), ("archive", ("--overwrite",))):
        scene.save(connection(name, oauth2={"tokenSecretRef": {"name": "our-token"}}))
        if more:
            with scene.run(name) as command:
                assert command.end() == 2
            assert "our-token in namespace" in command.output
            assert f"kubectl mailfetch authorize archive -n {scene.namespace} --overwrite" in command.output
        with scene.run(name, *more) as command:
            command.visit(command.address())
            assert command.end() == 0, command.output
    owners = scene.get("secret", "our-token")["metadata"]["ownerReferences"]
    assert [o["name"] for o in owners] == ["inbox", "archive"]


def test_a_connection_that_runs_is_asked_for_a_round_as_well(scene: Scene) -> None:
    """Its pod's Secrets are renewed when its assignments change."""
    document = connection("office")
    document["metadata"]["annotations"] = {"mailfetch.dev/enable": "true"}
    scene.save(document)
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    found = scene.get("mconn", "office")["metadata"]["annotations"]
    assert found["mailfetch.dev/fetch"] == found["mailfetch.dev/test"] != ""


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_a_connection_that_is_not_saved_yet(scene: Scene, tmp_path: Path, way: str) -> None:
    scene.authority.register_client("unsaved", secret="of the file")
    secret = client_secret("another-client", client_id="unsaved", client_secret="of the file")
    document = connection("office", oauth2={"clientSecretRef": {"name": "another-client"}})
    text = yaml.safe_dump_all([secret, document])
    (tmp_path / "office.yaml").write_text(text)
    args, stdin = (["-f", str(tmp_path / "office.yaml")], "") if way == "file" else (["-f", "-"], text)
    with scene.run(*args, stdin=stdin) as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    assert scene.get("mconn", "office") == {}
    assert "ownerReferences" not in scene.get("secret", "office-token")["metadata"]
    scene.token("office-token")
    assert f"kubectl apply -n {scene.namespace} -f" in command.output
    assert f"kubectl delete secret office-token -n {scene.namespace}" in command.output
    assert made_by_the_command(scene) == ["office-token <none>"]
    scene.save(secret)
    scene.save(document)
    assert f"  kubectl mailfetch authorize office -n {scene.namespace}\n" in command.output
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    assert made_by_the_command(scene) == ["office-token office"]


def made_by_the_command(scene: Scene) -> list[str]:
    """As docs/providers/README.md lists them, with their owners."""
    columns = "custom-columns=SECRET:.metadata.name,OWNERS:.metadata.ownerReferences[*].name"
    ours = ("-l", "app.kubernetes.io/managed-by=kubectl-mailfetch", "-o", columns, "--no-headers")
    found = scene.cluster.kubectl("get", "secrets", "-n", scene.namespace, *ours).stdout
    return [" ".join(line.split()) for line in found.splitlines()]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (connection("office", oauth2={"flow": "Application", "tokenSecretRef": None}), "nobody has to authorize it"),
        (
            {**connection("office"), "spec": {"protocol": "IMAP", "auth": {"type": "Password"}}},
            "logs in with a password",
        ),
        (connection("office", oauth2={"clientSecretRef": {"name": "absent"}}), "kubectl create secret generic absent"),
        (connection("office", oauth2={"clientSecretRef": {"name": "empty"}}), "has no key client-id"),
        (connection("office", oauth2={"tokenSecretRef": None}), "tokenSecretRef.name is missing"),
    ],
)
def test_what_cannot_be_authorized_says_why(scene: Scene, tmp_path: Path, document: dict[str, Any], text: str) -> None:
    scene.save(client_secret("empty", tenant_id="x"))
    file = tmp_path / "office.yaml"
    file.write_text(yaml.safe_dump(document))
    with scene.run("office", "-f", str(file)) as command:
        assert command.end() != 0
    assert text in command.output
    assert "https://" not in command.output
