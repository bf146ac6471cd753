"""The accepted and refused manifests of cases/*.yaml.

Each case is a base (bases.yaml; status.yaml for a status) with the case's own fields merged into it, `null` removing
one. Two tags keep them short: `!repeat [x, 3]` is xxx (a third member is put behind it), and `!each [2, "a-#"]` is
[a-0, a-1].
"""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
CRD_FILE = HERE.parents[1] / "crds/mailconnections.mailfetch.dev.yaml"
API_VERSION = "mailfetch.dev/v1alpha1"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One manifest and what the API server must say to it."""

    id: str
    manifest: dict[str, Any]
    status: dict[str, Any] | None = None
    """Set: the case is about a write to /status of an object that is there."""
    was: dict[str, Any] | None = None
    """Set: the manifest replaces this one."""
    errors: dict[str, str] = field(default_factory=dict)
    """Field → part of its message; empty: accepted. The field "" stands for the request as a whole."""


class _Loader(yaml.SafeLoader):
    """YAML with !repeat and !each."""


def _repeat(loader: _Loader, node: yaml.SequenceNode) -> str:
    text, times, *rest = loader.construct_sequence(node)
    return str(text) * int(times) + "".join(rest)


def _each(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    times, template = loader.construct_sequence(node, deep=True)
    return [json.loads(json.dumps(template).replace("#", str(number))) for number in range(times)]


_Loader.add_constructor("!repeat", _repeat)
_Loader.add_constructor("!each", _each)


def load(path: Path) -> Any:
    """The content of a YAML file of this folder."""
    return yaml.load(path.read_text(), _Loader)


def merged(base: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def manifest(base: str = "imap", *, name: str = "case", **fields: Any) -> dict[str, Any]:
    """A manifest of bases.yaml, with fields merged into it; the base "none" has no spec."""
    content: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "MailConnection",
        "metadata": {"name": name},
    }
    if base != "none":
        content["spec"] = load(HERE / "bases.yaml")[base]
    result: dict[str, Any] = merged(content, fields)
    return result


def load_cases() -> list[Case]:
    """All cases, in the order of the files."""
    return [_case(path.stem, raw) for path in sorted((HERE / "cases").glob("*.yaml")) for raw in load(path)]


def _case(topic: str, raw: dict[str, Any]) -> Case:
    unknown = set(raw) - {"accept", "reject", "base", "metadata", "spec", "was", "status", "error"}
    assert not unknown, f"{topic}: unknown keys {unknown}"
    assert ("accept" in raw) != ("reject" in raw), f"{topic}: either accept or reject: {raw}"
    assert ("reject" in raw) == bool(raw.get("error")), f"{topic}: an error for each refused manifest, and only there"
    verb = "accept" if "accept" in raw else "reject"
    base, metadata = raw.get("base", "imap"), raw.get("metadata", {})
    fields = {"spec": raw["spec"]} if "spec" in raw else {}
    return Case(
        id=f"{topic}: {verb} {raw[verb]}",
        manifest=manifest(base, metadata=metadata, **fields),
        status=(merged(load(HERE / "status.yaml"), raw["status"]) or {}) if "status" in raw else None,
        was=manifest(base, spec=raw["was"]) if "was" in raw else None,
        errors=raw.get("error", {}),
    )
