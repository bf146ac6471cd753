"""What the pods of fetchers, Jobs and tools have in common: security, mounts, Secrets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailfetch_fetcher.contract import mounts, secrets
from mailfetch_fetcher.contract.spec import Spec
from mailfetch_operator.model import Config, Connection, Manifest
from mailfetch_operator.names import API_VERSION, KIND

POD_SECURITY: Manifest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def build_pod_spec(
    *, config: Config, container: Manifest, volumes: Sequence[Manifest], specs: Iterable[Spec], grace: int
) -> Manifest:
    """The spec of a pod with one container; `specs` say which Secrets it mounts."""
    own = _secrets_volume(specs)
    mounts = [*container.pop("volumeMounts", ()), *((_SECRETS_MOUNT,) if own else ()), *_MOUNTS]
    found: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": POD_SECURITY,
        "containers": [
            container
            | {
                "image": config.image,
                "imagePullPolicy": config.pull_policy,
                "securityContext": CONTAINER_SECURITY,
                "volumeMounts": mounts,
            }
        ],
        "volumes": [*volumes, *own, _redis_volume(), {"name": "tmp", "emptyDir": {}}],
    }
    if config.pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in config.pull_secrets]
    return found


def of_the_pod(name: str, path: str) -> Manifest:
    """A variable with a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def in_environment(text: str) -> str:
    """JSON as the value of a variable: Kubernetes expands $(NAME) and $$ in it."""
    return text.replace("$", r"\u0024")


def owner_reference(owner: Connection, *, controller: bool = False) -> Manifest:
    """A child with several owners is deleted when the last of them is gone; only one may be its controller."""
    found = {"apiVersion": API_VERSION, "kind": KIND, "name": owner.name, "uid": owner.uid}
    return found | {"controller": True} if controller else found


_SECRETS_MOUNT: Manifest = {"name": "secrets", "mountPath": str(mounts.MOUNT), "readOnly": True}
_MOUNTS: tuple[Manifest, ...] = (
    {"name": "redis", "mountPath": str(mounts.REDIS_MOUNT), "readOnly": True},
    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod's own
)


def _secrets_volume(specs: Iterable[Spec]) -> list[Manifest]:
    """The volume, unless no Secret is named.

    One source per Secret, each path once (twice is refused), all optional: a missing Secret is a condition.
    """
    wanted: dict[str, set[str]] = {}
    for spec in specs:
        for secret, key in secrets.references(spec):
            wanted.setdefault(secret, set()).add(key)
    sources = [
        _source(secret, {key: secrets.file_name(secret, key) for key in sorted(keys)})
        for secret, keys in sorted(wanted.items())
    ]
    return [{"name": "secrets", "projected": {"sources": sources}}] if sources else []


def _redis_volume() -> Manifest:
    source = _source(mounts.REDIS_SECRET, {key: key for key in mounts.REDIS_KEYS})
    return {"name": "redis", "projected": {"sources": [source]}}


def _source(secret: str, paths: Mapping[str, str]) -> Manifest:
    items: list[dict[str, Any]] = [{"key": key, "path": path} for key, path in paths.items()]
    return {"secret": {"name": secret, "optional": True, "items": items}}
