"""The children of a fetcher: a ConfigMap with its assignments and a Deployment.

The pod template depends only on image, resources and the set of Secrets: assignments are re-read live, so a
connection that needs no new Secret joins without a restart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mailfetch_fetcher.contract import assignment, mounts, report
from mailfetch_fetcher.contract.assignment import Assignment, Assignments
from mailfetch_operator.desired.pod import build_pod_spec, of_the_pod, owner_reference
from mailfetch_operator.model import Config, Connection, FetcherKey, Manifest
from mailfetch_operator.names import FETCHER_LABEL, MANAGED

GRACE_SECONDS = 45
"""For finishing or abandoning a batch and releasing the leases; longer than a mail server's usual timeout."""


def build_configmap(
    key: FetcherKey, assignments: Sequence[Assignment], owners: Sequence[Connection], config: Config
) -> Manifest:
    """The ConfigMap, under the Deployment's name."""
    ordered = tuple(sorted(assignments, key=lambda a: a.name))
    text = assignment.encode(Assignments(cluster_id=config.cluster_id, connections=ordered))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(key, owners, config),
        "data": {assignment.FILE_NAME: text},
    }


def build_deployment(
    key: FetcherKey, assignments: Sequence[Assignment], owners: Sequence[Connection], config: Config
) -> Manifest:
    """The Deployment: one pod, never two at a time."""
    labels = {"app.kubernetes.io/name": "mailfetch-fetcher", FETCHER_LABEL: key.name}
    config_volume = {"name": "assignments", "configMap": {"name": key.name}}
    spec = build_pod_spec(
        config=config,
        container=_container(_resources(assignments, config)),
        volumes=[config_volume],
        specs=[a.spec for a in assignments],
        grace=GRACE_SECONDS,
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(key, owners, config),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels | MANAGED}, "spec": spec},
        },
    }


def _metadata(key: FetcherKey, owners: Sequence[Connection], config: Config) -> Manifest:
    labels = {"app.kubernetes.io/name": "mailfetch-fetcher", FETCHER_LABEL: key.name} | MANAGED
    if config.version:
        labels["app.kubernetes.io/version"] = config.version
    return {
        "name": key.name,
        "namespace": key.namespace,
        "labels": labels,
        "ownerReferences": [owner_reference(o) for o in sorted(owners, key=lambda o: o.name)],
    }


def _container(resources: Mapping[str, Any]) -> Manifest:
    health = {"httpGet": {"path": "/healthz", "port": "http"}, "timeoutSeconds": 5}
    return {
        "name": "fetcher",
        "command": ["mailfetch-fetcher", "run"],
        "env": [of_the_pod("POD_NAME", "metadata.name"), of_the_pod("POD_UID", "metadata.uid")],
        "ports": [{"name": "http", "containerPort": report.PORT}],
        "livenessProbe": health | {"initialDelaySeconds": 10, "periodSeconds": 20, "failureThreshold": 3},
        "readinessProbe": health | {"periodSeconds": 5, "failureThreshold": 3},
        "resources": dict(resources),
        "volumeMounts": [
            # The whole directory: a subPath would never be refreshed.
            {"name": "assignments", "mountPath": str(mounts.ASSIGNMENTS_MOUNT), "readOnly": True}
        ],
    }


def _resources(assignments: Sequence[Assignment], config: Config) -> Mapping[str, Any]:
    """A dedicated fetcher has one connection, which may bring its own."""
    own = [a.spec.placement.resources for a in assignments if a.spec.placement.mode == "Dedicated"]
    found = next((r for r in own if r), None)
    builtins: dict[str, Any] = msgspec.to_builtins(found) if found else dict(config.resources)
    return builtins
