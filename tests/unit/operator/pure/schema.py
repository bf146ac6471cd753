"""Checks a status against the CRD: server-side apply refuses a field that the schema does not declare."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).parents[4] / "crds"
TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def status_schema() -> dict[str, Any]:
    (path,) = CRDS.glob("*.yaml")
    version = yaml.safe_load(path.read_text())["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["status"]
    return found


def mistakes(schema: dict[str, Any], value: Any, path: str = "status") -> Iterator[str]:
    """What the API server would refuse."""
    kind = TYPES[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        yield f"{path}: {value!r} is no {schema['type']}"
    elif kind is dict:
        yield from _object(schema, value, path)
    elif kind is list:
        if len(value) > schema.get("maxItems", len(value)):
            yield f"{path}: too many items"
        for n, item in enumerate(value):
            yield from mistakes(schema["items"], item, f"{path}[{n}]")
    elif kind is str:
        yield from _text(schema, value, path)
    elif value < schema.get("minimum", value):
        yield f"{path}: {value} is too small"


def _object(schema: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, field in value.items():
        if declared := properties.get(name) or others:
            yield from mistakes(declared, field, f"{path}.{name}")
        else:
            yield f"{path}.{name} is not declared"


def _text(schema: dict[str, Any], value: str, path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{path}: too long"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r} does not match {schema['pattern']}"
    if schema.get("format") == "date-time":
        datetime.fromisoformat(value)
