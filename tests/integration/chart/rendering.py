"""What `helm template` makes of the chart, taken apart."""

import base64
import functools
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.processes import REPOSITORY, run
from tests.cluster.tools import onenode_folder

CHART = REPOSITORY / "charts/mailfetch"
IMAGE = {"image": {"repository": "registry.example.com/mailfetch"}}

Manifest = dict[str, Any]

VALUE_SETS: dict[str, Manifest] = {
    "defaults": {},
    "namespaced": {"watch": {"namespaces": ["helpdesk", "billing"]}, "clusterId": "test-1"},
    "external": {"redis": {"bundled": False, "url": "rediss://u:p@redis.example.com:6380/1", "caCert": "PEM\n"}},
    "own-secrets": {"redis": {"bundled": False}, "crds": {"enabled": False}},
    "everything": {
        "image": {"tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}],
        "namespaces": ["helpdesk", "billing"],
        "clusterId": "test-1",
        "crds": {"keep": False},
        "operator": {
            "logLevel": "DEBUG",
            "podAnnotations": {"a": "1"},
            "podLabels": {"b": "2"},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "mail", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "high",
        },
        "fetcher": {"resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {}}},
        "tools": {"resources": {"requests": {}, "limits": {"memory": "1Gi"}}},
        "serviceAccount": {"annotations": {"c": "3"}},
        "redis": {
            "password": "s3cret",
            "storage": {"size": "20Gi", "storageClassName": "fast"},
            "server": "redis-server",
            "cli": "redis-cli",
            "podAnnotations": {"d": "4"},
            "podLabels": {"e": "5"},
            "nodeSelector": {"disk": "fast"},
            "priorityClassName": "high",
        },
    },
    "other-names": {"fullnameOverride": "mails", "serviceAccount": {"create": False, "name": "mine"}},
    "no-roles": {"rbac": {"create": False, "aggregate": False, "mail": False}},
}


def helm(*args: str | Path, values: Mapping[str, Any] = IMAGE, check: bool = True) -> str:
    """Runs helm with values in a file; its output, or with check off its complaint."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(values, file)
        file.flush()
        result = run([onenode_folder() / "helm", *args, "--values", file.name], check=check)
    return result.stdout if result.returncode == 0 else result.stderr


def values_of(name: str) -> Manifest:
    """A set of values with an image."""
    values = VALUE_SETS[name]
    return {**values, "image": IMAGE["image"] | values.get("image", {})}


@dataclass(frozen=True)
class Rendered:
    """The manifests of a release called mailfetch in the namespace mail."""

    manifests: tuple[Manifest, ...]

    def all(self, kind: str) -> list[Manifest]:
        """Those of a kind."""
        return [m for m in self.manifests if m["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Manifest:
        """The only one of a kind (and name)."""
        (found,) = [m for m in self.all(kind) if name in ("", m["metadata"]["name"])]
        return found

    def pods(self) -> Iterator[tuple[str, Manifest, Manifest]]:
        """(kind, metadata, spec) of each pod and pod template."""
        for manifest in self.manifests:
            if manifest["kind"] == "Pod":
                yield "Pod", manifest["metadata"], manifest["spec"]
            elif template := manifest.get("spec", {}).get("template"):
                yield manifest["kind"], template["metadata"], template["spec"]

    def secret(self, name: str, namespace: str) -> dict[str, str]:
        """The decoded data of a Secret."""
        (found,) = [
            m for m in self.all("Secret") if (m["metadata"]["name"], m["metadata"]["namespace"]) == (name, namespace)
        ]
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def render_values(values: Mapping[str, Any]) -> Rendered:
    """The chart with these values."""
    text = helm("template", "mailfetch", CHART, "--namespace", "mail", values=values)
    return Rendered(tuple(m for m in yaml.safe_load_all(text) if m))


@functools.cache
def render(name: str) -> Rendered:
    """The chart with a set of values."""
    return render_values(values_of(name))
