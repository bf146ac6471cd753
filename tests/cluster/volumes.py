"""Volumes for a cluster without a provisioner: folders of the node, and a storage class that hands them out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STORAGE_CLASS = "mailfetch-local"
CAPACITY = "10Gi"


def make_folders(parent: Path, count: int) -> list[Path]:
    """New folders that every user may write to: Kubernetes does not set the owner of a host path."""
    start = len(list(parent.glob("pv-*")))
    folders = [parent / f"pv-{number}" for number in range(start, start + count)]
    for folder in folders:
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    return folders


def manifests(folders: Sequence[Path], *, node: str) -> str:
    """The default storage class and one persistent volume per folder of the node."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    items = [storage_class, *(_volume(folder, node) for folder in folders)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _volume(folder: Path, node: str) -> dict[str, Any]:
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": folder.name},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "capacity": {"storage": CAPACITY},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
        },
    }
