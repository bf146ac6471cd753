"""What the CRD's schema demands, listed, so that a test can say what no manifest tries."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.crd.manifests import CRD_FILE, Case, load


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """One rule, enum or bound.

    Attributes:
        path: Field that its error names; [] for a member of a list, * for one of a map.
        message: What the API server says.
        value: For an enum its values, for a bound the last value (or length) that is accepted.
    """

    path: str
    message: str
    kind: str
    value: Any = None


_BOUNDS = {
    "minimum": "should be greater than or equal to {}",
    "maximum": "should be less than or equal to {}",
    "minLength": "should be at least {} chars long",
    "maxLength": "Too long: may not be more than {} bytes",
    "maxItems": "must have at most {} items",
    "maxProperties": "must have at most {} items",
}


def constraints() -> list[Constraint]:
    """All of the CRD's, in the order of the schema."""
    (version,) = load(CRD_FILE)["spec"]["versions"]
    return list(_walk(version["schema"]["openAPIV3Schema"], ""))


def _walk(schema: dict[str, Any], path: str) -> Iterator[Constraint]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield Constraint(path=f"{path}{rule.get('fieldPath', '')}".lstrip("."), message=rule["message"], kind="rule")
    for kind, text in _BOUNDS.items():
        if kind in schema:
            yield Constraint(path=path, message=text.format(schema[kind]), kind=kind, value=schema[kind])
    if "enum" in schema:
        yield Constraint(path=path, message="Unsupported value", kind="enum", value=schema["enum"])
    if "pattern" in schema:
        yield Constraint(path=path, message="should match", kind="pattern")
    if schema.get("format") in ("date", "date-time"):
        yield Constraint(path=path, message=f"must be of type {schema['format']}", kind="format")
    if schema.get("x-kubernetes-list-type") in ("map", "set"):
        yield Constraint(path=f"{path}[]", message="Duplicate value", kind="unique")
    for name in schema.get("required", ()):
        yield Constraint(path=f"{path}.{name}".lstrip("."), message="Required value", kind="required")
    for name, child in schema.get("properties", {}).items():
        yield from _walk(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from _walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _walk(schema["additionalProperties"], f"{path}.*")


def refuses(case: Case, constraint: Constraint) -> bool:
    """Whether the case expects this very error."""
    return any(
        _same_field(field, constraint.path) and (text in constraint.message or constraint.message in text)
        for field, text in case.errors.items()
    )


def reaches(case: Case, constraint: Constraint) -> set[Any]:
    """The accepted values (or lengths) of the constraint's field in the case."""
    if case.errors:
        return set()
    whole = {"status": case.status} if case.status is not None else case.manifest
    values = _values(whole, re.findall(r"[^.\[\]]+|\[\]", constraint.path))
    return {len(v) if isinstance(v, str | list | dict) and constraint.kind != "enum" else v for v in values}


def _same_field(field: str, path: str) -> bool:
    field = re.sub(r"\[\d+\]", "[]", field)
    if path.endswith(".*"):
        return field.rpartition(".")[0] == path.removesuffix(".*")
    return field == path


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        # A list or map counts by its length only.
        yield value
        return
    step, rest = path[0], path[1:]
    if step == "[]":
        children = value if isinstance(value, list) else []
    elif step == "*":
        children = list(value.values()) if isinstance(value, dict) else []
    else:
        children = [value[step]] if isinstance(value, dict) and step in value else []
    for child in children:
        yield from _values(child, rest)
