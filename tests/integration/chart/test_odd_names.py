"""Names that look like numbers or truth values stay texts."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.integration.chart.rendering import CHART, IMAGE, Manifest, helm

# The tests start no API server, but their helm comes out of the same compile.
pytestmark = pytest.mark.cluster

VALUES: Manifest = {
    **IMAGE,
    "nameOverride": "13",
    "namespaces": ["2024", "0x1f"],
    "watch": {"namespaces": ["2024", "0x1f"]},
    "clusterId": "1",
    "operator": {"priorityClassName": "true", "podLabels": {"a": "1"}, "podAnnotations": {"b": "true"}},
    "serviceAccount": {"create": False, "name": "12"},
    "redis": {"priorityClassName": "1", "storage": {"storageClassName": "0"}, "image": {"tag": "9"}},
}
NAMES = {"name", "namespace", "serviceAccountName", "priorityClassName", "storageClassName", "image", "secretName"}


def texts(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a manifest that Kubernetes wants to be a text: names, labels, annotations."""
    if isinstance(value, dict):
        for name, found in value.items():
            if key in ("labels", "annotations", "matchLabels", "selector") and not isinstance(found, dict):
                yield f"{key} {name}", found
            yield from texts(found, name)
    elif isinstance(value, list):
        for found in value:
            yield from texts(found)
    elif key in NAMES:
        yield key, value


def test_names_are_texts() -> None:
    rendered = helm("template", "123", CHART, "--namespace", "2024", values=VALUES)
    found = [
        one for m in yaml.safe_load_all(rendered) if m and m["kind"] != "CustomResourceDefinition" for one in texts(m)
    ]
    assert len(found) > 200
    assert [one for one in found if not isinstance(one[1], str)] == []
