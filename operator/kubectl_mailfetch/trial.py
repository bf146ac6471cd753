"""The Job that tests a connection before it is saved, and the Secret that it may need. Pure.

Its pod is the one that the operator would make for a probe (a test compares them), except for what is not saved yet:
values of Secrets that somebody typed or that stand in the same file are in a Secret that lives as long as the Job.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubectl_mailfetch.model import VERSION
from mailfetch_fetcher.contract import mounts

Manifest = dict[str, Any]

KEEP_SECONDS = 60
"""If the plugin was killed, Kubernetes removes the ended Job after this, and the Secret with it."""
LABELS = {
    "app.kubernetes.io/name": "mailfetch-test",
    "app.kubernetes.io/managed-by": "kubectl-mailfetch",
    "app.kubernetes.io/part-of": "mailfetch",
}
_LONGEST = 63


@dataclass(frozen=True, kw_only=True)
class Image:
    """What the pod runs, as the operator has it for other pods of the namespace."""

    name: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One test.

    Attributes:
        connection: The manifest as the API server would store it.
        values: What is not in a Secret of the cluster: (Secret, key) → value.
        suffix: Makes the names of the Job and its Secret.
        seconds: After so long Kubernetes ends the Job.
    """

    connection: Mapping[str, Any]
    values: Mapping[tuple[str, str], bytes] = field(repr=False)
    suffix: str
    seconds: int

    @property
    def namespace(self) -> str:
        """Where it runs."""
        return str(self.connection["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Of the Job and of its Secret."""
        tail = f"-test-{self.suffix}"
        return str(self.connection["metadata"]["name"])[: _LONGEST - len(tail)] + tail


def references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every (Secret, key) that may be needed to open the mailbox."""
    auth = spec.get("auth") or {}
    oauth2 = auth.get("oauth2") or {}
    for ref, key in (
        (auth.get("passwordSecretRef"), "password"),
        ((spec.get("tls") or {}).get("caSecretRef"), "ca.crt"),
        (oauth2.get("tokenSecretRef"), "refresh-token"),
    ):
        if ref:
            yield str(ref["name"]), str(ref.get("key") or key)
    if client := oauth2.get("clientSecretRef"):
        yield from ((str(client["name"]), key) for key in mounts.CLIENT_KEYS)


def build_job(trial: Trial, image: Image) -> Manifest:
    """The Job. If a value is not in the cluster, its pod waits for the Secret of `build_secret`."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": trial.name, "namespace": trial.namespace, "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": trial.seconds,
            "ttlSecondsAfterFinished": KEEP_SECONDS,
            "template": {"metadata": {"labels": LABELS}, "spec": _pod(trial, image)},
        },
    }


def build_secret(trial: Trial, job: Mapping[str, Any]) -> Manifest:
    """The values that are not in the cluster; goes with the Job, whatever becomes of the plugin."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": trial.name, "uid": job["metadata"]["uid"]}
    values = sorted(trial.values.items())
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": trial.name,
            "namespace": trial.namespace,
            "labels": LABELS,
            "ownerReferences": [owner],
        },
        "data": {_key(n): base64.b64encode(value).decode() for n, (_, value) in enumerate(values)},
    }


def _pod(trial: Trial, image: Image) -> Manifest:
    found: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(trial, image)],
        "volumes": [
            {"name": "secrets", "projected": {"sources": list(_sources(trial))}},
            {
                "name": "redis",
                "projected": {"sources": [_source(mounts.REDIS_SECRET, {k: k for k in mounts.REDIS_KEYS})]},
            },
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if image.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in image.pull_secrets]
    return found


def _container(trial: Trial, image: Image) -> Manifest:
    return {
        "name": "probe",
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": ["mailfetch-fetcher", "probe"],
        "env": [{"name": "MAILFETCH_PROBE", "value": _assignment(trial.connection)}],
        "resources": dict(image.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "secrets", "mountPath": str(mounts.MOUNT), "readOnly": True},
            {"name": "redis", "mountPath": str(mounts.REDIS_MOUNT), "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
        ],
    }


def _assignment(connection: Mapping[str, Any]) -> str:
    """What the probe reads. The id of the cluster, which only the operator knows, is left out: none is compared."""
    metadata = connection["metadata"]
    one = {k: metadata[k] for k in ("namespace", "name")} | {"spec": connection["spec"], "identity": ""}
    text = json.dumps({"clusterId": "", "connections": [one]}, ensure_ascii=False, sort_keys=True)
    return text.replace("$", r"\u0024")  # Kubernetes expands $(NAME) in the value of a variable


def _sources(trial: Trial) -> Iterator[Manifest]:
    """One source per Secret, as the operator has it; the values that were given come from the trial's own."""
    wanted: dict[str, set[str]] = {}
    for secret, key in references(trial.connection["spec"]):
        if (secret, key) not in trial.values:
            wanted.setdefault(secret, set()).add(key)
    for secret, keys in sorted(wanted.items()):
        yield _source(secret, {key: f"{secret}/{key}" for key in sorted(keys)})
    if trial.values:
        paths = {_key(n): f"{secret}/{key}" for n, (secret, key) in enumerate(sorted(trial.values))}
        yield _source(trial.name, paths, optional=False)


def _source(secret: str, paths: Mapping[str, str], *, optional: bool = True) -> Manifest:
    items = [{"key": key, "path": path} for key, path in paths.items()]
    return {"secret": {"name": secret, "optional": optional, "items": items}}


def _key(number: int) -> str:
    return f"value-{number}"


def with_defaults(document: Mapping[str, Any], namespace: str) -> Manifest:
    """The manifest as it is sent to the API server: in its namespace, without what only a saved one has."""
    metadata = {k: v for k, v in (document.get("metadata") or {}).items() if k in ("name", "labels", "annotations")}
    body = {k: v for k, v in document.items() if k not in ("metadata", "status")}
    return {"apiVersion": VERSION, "kind": "MailConnection"} | body | {"metadata": metadata | {"namespace": namespace}}
