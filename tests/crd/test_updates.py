"""What happens to objects over time: defaults, server-side apply, and rules that come later than the object."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.crd.api import Api, causes
from tests.crd.manifests import CRD_FILE, load, manifest

pytestmark = pytest.mark.cluster


def test_defaults_are_filled_in(api: Api) -> None:
    api.create(manifest(name="defaults"))
    spec = api.get("defaults")["spec"]
    expected = {
        "server": {"host": "imap.example.com", "encryption": "TLS", "allowInsecureLogin": False},
        "schedule": {"interval": "1m", "timeout": "30s", "push": True},
        "backlog": {"startFrom": "Beginning"},
        "afterDownload": {"action": "MarkSeen", "when": "Persisted", "delay": "0s", "permanent": False},
        "approval": {"maxMessages": 100},
        "queue": {"maxLength": 100000, "maxMessageSize": "150Mi"},
        "retention": {"queue": "7d", "log": "30d"},
        "placement": {"mode": "Shared", "pool": "default"},
        "suspend": False,
        "deletionPolicy": "Retain",
    }
    assert {key: spec[key] for key in expected} == expected
    assert spec["auth"]["passwordSecretRef"] == {"name": "mailbox", "key": "password"}
    assert set(spec) == {*expected, "protocol", "auth"}


def test_defaults_below_given_parents_are_filled_in(api: Api) -> None:
    parents: dict[str, Any] = {
        key: {} for key in ("schedule", "backlog", "afterDownload", "approval", "queue", "retention", "placement")
    }
    api.create(manifest(name="parents", spec=parents))
    api.create(manifest(name="no-parents"))
    assert api.get("parents")["spec"] == api.get("no-parents")["spec"]


def _apply(api: Api, content: dict[str, Any], *, manager: str) -> None:
    api.run(
        "apply", "--server-side", f"--field-manager={manager}", "--validate=strict", "--filename", "-", input=content
    )


def test_applying_again_changes_nothing(api: Api) -> None:
    content = manifest(name="again", spec={"certificates": [{"secretName": "one"}], "queue": {"consumerGroups": ["a"]}})
    _apply(api, content, manager="gitops")
    before = api.get("again")
    _apply(api, content, manager="gitops")
    assert api.get("again") == before
    # `kubectl diff` succeeds only if there is none.
    api.run("diff", "--server-side", "--field-manager=gitops", "--filename", "-", input=content)


def test_a_persons_annotation_survives_gitops(api: Api) -> None:
    content = manifest(name="annotated")
    _apply(api, content, manager="gitops")
    api.run("annotate", "mailconnection", "annotated", "mailfetch.dev/enable=true")
    _apply(api, content, manager="gitops")
    assert api.get("annotated")["metadata"]["annotations"] == {"mailfetch.dev/enable": "true"}


def test_annotations_do_not_move_the_generation(api: Api) -> None:
    api.create(manifest(name="generation"))
    api.run("annotate", "mailconnection", "generation", "mailfetch.dev/enable=true")
    assert api.get("generation")["metadata"]["generation"] == 1


def test_certificates_and_groups_of_two_managers_are_merged(api: Api) -> None:
    for manager in ("one", "two"):
        lists = {"certificates": [{"secretName": manager}], "queue": {"consumerGroups": [manager]}}
        _apply(api, manifest(name="merged", spec=lists), manager=manager)
    spec = api.get("merged")["spec"]
    assert [c["secretName"] for c in spec["certificates"]] == ["one", "two"]
    assert spec["queue"]["consumerGroups"] == ["one", "two"]


@pytest.fixture
def old_object(api: Api) -> Iterator[str]:
    """An object from before the rules: it breaks one of each level below the root."""
    crd = load(CRD_FILE)
    crd["metadata"]["name"] = "mailconnections.old.mailfetch.dev"
    crd["spec"]["group"] = "old.mailfetch.dev"
    crd["spec"]["names"].update(shortNames=["oldmconn"], categories=[])
    (version,) = crd["spec"]["versions"]
    strict = json.loads(json.dumps(version["schema"]))
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["x-kubernetes-validations"]
    del spec["properties"]["auth"]["x-kubernetes-validations"]
    del spec["properties"]["schedule"]["properties"]["interval"]["x-kubernetes-validations"]
    del spec["properties"]["retention"]["properties"]["log"]["pattern"]
    content = manifest(
        "graph",
        spec={
            "server": {"host": "graph.microsoft.com"},
            "auth": {"passwordSecretRef": {"name": "mailbox"}},
            "schedule": {"interval": "1s"},
            "retention": {"log": "1s"},
        },
        name="old",
    )
    content["apiVersion"] = "old.mailfetch.dev/v1alpha1"
    api.run("apply", "--server-side", "--filename", "-", input=crd)
    try:
        api.run("wait", "--for=condition=Established", "--timeout=60s", f"crd/{crd['metadata']['name']}")
        api.create(content)
        version["schema"] = strict
        api.run("apply", "--server-side", "--filename", "-", input=crd)
        _wait_for_rules(api, content)
        yield "mailconnections.old.mailfetch.dev/old"
    finally:
        api.run("delete", "crd", crd["metadata"]["name"], "--wait=false")


def _wait_for_rules(api: Api, content: dict[str, Any]) -> None:
    """The API server takes a moment until a changed CRD holds."""
    other = json.loads(json.dumps(content))
    other["metadata"]["name"] = "new"
    for _ in range(600):
        result = api.create(other, "--dry-run=server", check=False)
        if result.returncode != 0 and len(causes(result)) == 4:
            return
    raise TimeoutError("the rules of the changed CRD never held")


def test_an_object_older_than_the_rules_can_still_be_managed(api: Api, old_object: str) -> None:
    api.run("annotate", old_object, "mailfetch.dev/enable=true")
    api.run("label", old_object, "team=helpdesk")
    status = json.dumps({"status": load(CRD_FILE.parents[1] / "tests/crd/status.yaml")})
    api.run("patch", old_object, "--subresource=status", "--type=merge", "--patch", status)
    api.run(
        "patch", old_object, "--type=merge", "--patch", json.dumps({"metadata": {"finalizers": ["x.example.com/y"]}})
    )
    api.run("patch", old_object, "--type=merge", "--patch", json.dumps({"metadata": {"finalizers": None}}))
