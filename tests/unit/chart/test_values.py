"""The chart's own files agree with each other and with the product; needs no helm."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailfetch_fetcher import __version__
from mailfetch_fetcher.store.target import parse_target

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/mailfetch"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = sorted((CHART / "templates").rglob("*.*"))


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def _objects(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every object of the schema that lists its properties."""
    schema = _resolved(schema)
    found = [(path, schema)] if "properties" in schema else []
    for name, child in schema.get("properties", {}).items():
        found += _objects(child, f"{path}.{name}".lstrip("."))
    return found


def test_the_version_is_the_products() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__
    assert chart["annotations"]["artifacthub.io/license"] == "Apache-2.0"
    assert chart["kubeVersion"] == ">=1.32.0-0"


@pytest.mark.parametrize(("path", "schema"), _objects(SCHEMA), ids=lambda v: v if isinstance(v, str) else "")
def test_the_schema_knows_every_value_and_no_other(path: str, schema: dict[str, Any]) -> None:
    assert schema["additionalProperties"] is False
    values = VALUES
    for step in filter(None, path.split(".")):
        values = values[step]
    # `global` is what Helm itself adds in a subchart.
    assert set(schema["properties"]) - {"global"} == set(values)


def test_every_value_is_used() -> None:
    text = "".join(path.read_text() for path in TEMPLATES)
    paths = [
        f"{path}.{name}".lstrip(".")
        for path, schema in _objects(SCHEMA)
        for name, child in schema["properties"].items()
        if "properties" not in _resolved(child) and name != "global"
    ]
    scheduling = ("nodeSelector", "tolerations", "affinity", "priorityClassName")
    unused = [
        path
        for path in paths
        if f".Values.{path}" not in text
        and not path.endswith(scheduling)  # by mailfetch.scheduling
        and not re.search(r"resources\.(requests|limits)$", path)  # as a whole
    ]
    assert unused == []


def test_no_image_floats() -> None:
    assert VALUES["redis"]["image"]["tag"] not in ("", "latest")
    assert VALUES["image"] == {"repository": "", "tag": "", "pullPolicy": "IfNotPresent"}


def test_the_check_of_helm_test_is_python() -> None:
    compile((CHART / "files/check.py").read_text(), "check.py", "exec")


@pytest.mark.parametrize("kind", ["redis", "rediss"])
@pytest.mark.parametrize(
    "rest", ["://user:p%40ss@redis.example.com:6379/0", "+sentinel://:p@a:26379,b:26379/main/0", "+cluster://a:6379,b"]
)
def test_every_form_of_a_redis_url_is_taken(kind: str, rest: str) -> None:
    pattern = SCHEMA["properties"]["redis"]["properties"]["url"]["pattern"]
    assert re.search(pattern, kind + rest)
    assert parse_target(kind + rest, ca_file=None)
    assert re.search(pattern, "")
    assert not re.search(pattern, f"{kind}+magic{rest}")
