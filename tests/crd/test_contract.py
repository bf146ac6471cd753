"""The CRD and the types with which operator and fetcher read it say the same."""

import re
from typing import Any, get_args

import msgspec
import pytest

from mailfetch_fetcher.contract import probe, reasons, report, secrets, units
from mailfetch_fetcher.contract.spec import SecretKey, Spec, parse_spec
from tests.crd.api import Api
from tests.crd.manifests import CRD_FILE, HERE, load, manifest

# Some need no API server, but all of them belong to the stage that has one.
pytestmark = pytest.mark.cluster

(VERSION,) = load(CRD_FILE)["spec"]["versions"]
ROOT = VERSION["schema"]["openAPIV3Schema"]["properties"]
STATUS = ROOT["status"]["properties"]


def _struct(annotation: Any) -> type[msgspec.Struct] | None:
    """The object that a field, a list's member or an optional field holds."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _differences(kind: type[msgspec.Struct], schema: dict[str, Any], path: str) -> list[str]:
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
    schema = schema.get("items", schema)
    properties = schema.get("properties", {})
    found = [f"{path}.{name} is only in one of them" for name in fields.keys() ^ properties.keys()]
    for name in fields.keys() & properties.keys():
        field, child = fields[name], properties[name]
        if nested := _struct(field.type):
            found += _differences(nested, child, f"{path}.{name}")
        elif "default" in child and field.default != child["default"] and kind is not SecretKey:
            found.append(f"{path}.{name}: {field.default!r} is not {child['default']!r}")
        elif "enum" in child and set(get_args(field.type)) != set(child["enum"]):
            found.append(f"{path}.{name}: {get_args(field.type)} is not {child['enum']}")
    return found


def test_spec() -> None:
    differences = _differences(Spec, ROOT["spec"], "spec")
    # A client Secret has a key for each of its parts.
    differences.remove("spec.auth.oauth2.clientSecretRef.key is only in one of them")
    assert differences == []


def test_default_keys_of_secrets() -> None:
    keys: dict[str, Any] = {"passwordSecretRef": {"name": "a"}}
    auth = ROOT["spec"]["properties"]["auth"]["properties"]
    password = parse_spec(manifest(spec={"auth": keys})["spec"])
    assert secrets.password(password) == ("a", auth["passwordSecretRef"]["properties"]["key"]["default"])
    authority = parse_spec(manifest(spec={"tls": {"caSecretRef": {"name": "b"}}})["spec"])
    tls = ROOT["spec"]["properties"]["tls"]["properties"]
    assert secrets.certificate_authority(authority) == ("b", tls["caSecretRef"]["properties"]["key"]["default"])
    token = auth["oauth2"]["properties"]["tokenSecretRef"]["properties"]["key"]["default"]
    assert ("token", token) in set(secrets.references(parse_spec(manifest("google")["spec"])))


def test_defaults_can_be_read() -> None:
    spec = ROOT["spec"]["properties"]
    schedule, retention = spec["schedule"]["properties"], spec["retention"]["properties"]
    assert units.duration(schedule["interval"]["default"], default=0) == 60
    assert units.duration(schedule["timeout"]["default"], default=0) == 30
    assert units.size(spec["queue"]["properties"]["maxMessageSize"]["default"]) == 150 << 20
    assert [units.period(retention[key]["default"]) // 86400 for key in ("queue", "log")] == [7, 30]


def test_estimate_has_a_place_in_the_status() -> None:
    differences = _differences(probe.Estimate, STATUS["estimate"], "estimate")
    assert sorted(differences) == [
        "estimate.checkedAt is only in one of them",
        "estimate.fingerprint is only in one of them",
    ]


def test_steps_have_a_place_in_the_status() -> None:
    assert _differences(probe.Step, STATUS["test"]["properties"]["steps"], "steps") == []
    assert STATUS["test"]["properties"]["steps"]["maxItems"] == len(get_args(probe.StepName))


def test_progress_has_a_place_in_the_status() -> None:
    assert _differences(report.Progress, STATUS["progress"], "progress") == []


def test_all_reasons_are_explained() -> None:
    text = STATUS["conditions"]["description"]
    explained = {
        match[1]: set(re.findall(r"[A-Za-z0-9]+", match[2]))
        for match in re.finditer(r"^- (\w+): (.*)$", text, re.MULTILINE)
    }
    assert set(get_args(reasons.Reason)) <= explained["Ready"]
    assert set(reasons.CONNECTION_REASONS) <= explained["ConnectionVerified"]
    assert set(get_args(reasons.Gate)) <= explained["Approved"]
    assert set(get_args(reasons.ActionReason)) <= explained["AfterDownload"]


def test_every_field_has_a_description() -> None:
    assert list(_undescribed(ROOT["spec"], "spec")) == []
    assert list(_undescribed(ROOT["status"], "status")) == []


def _undescribed(schema: dict[str, Any], path: str) -> list[str]:
    found = [] if schema.get("description") else [path]
    for name, child in schema.get("properties", {}).items():
        found += _undescribed(child, f"{path}.{name}")
    for name, child in schema.get("items", {}).get("properties", {}).items():
        found += _undescribed(child, f"{path}[].{name}")
    return found


def test_descriptions_tell_the_default() -> None:
    assert list(_untold(ROOT["spec"], "spec")) == []


def _untold(schema: dict[str, Any], path: str) -> list[str]:
    default = schema.get("default")
    told = str(default).lower() if isinstance(default, bool) else str(default)
    simple = default is not None and not isinstance(default, dict)
    found = [path] if simple and f"Default {told}." not in schema["description"] else []
    for name, child in schema.get("properties", {}).items():
        found += _untold(child, f"{path}.{name}")
    return found


def test_the_sample_status_has_every_field() -> None:
    assert _missing(STATUS, load(HERE / "status.yaml"), "status") == []


def _missing(properties: dict[str, Any], sample: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}.{name}" for name in properties.keys() - sample.keys()]
    for name in properties.keys() & sample.keys():
        child, value = properties[name], sample[name]
        if "items" in child:
            child, value = child["items"], value[0]
        if "properties" in child:
            found += _missing(child["properties"], value, f"{path}.{name}")
    return found


def test_a_written_status_keeps_every_field(api: Api) -> None:
    api.create(manifest(name="kept"))
    status = load(HERE / "status.yaml")
    api.patch("kept", {"status": status}, "--subresource=status")
    assert api.get("kept")["status"] == status
