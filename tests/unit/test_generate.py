"""What hack/generate.py makes of the CRD."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack import generate


def test_the_files_in_the_repository_are_current() -> None:
    result = subprocess.run(
        [sys.executable, str(generate.ROOT / "hack/generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_check_names_what_is_not_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "REFERENCE", tmp_path / "docs/api-reference.md")
    monkeypatch.setattr(generate, "CHART_TEMPLATE", tmp_path / "charts/crd.yaml")
    assert generate.main(["--check"]) == 1
    assert "docs/api-reference.md is not current: run `make generate`" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_braces_in_the_crd_are_refused_because_helm_would_run_them() -> None:
    with pytest.raises(ValueError, match="braces"):
        generate.chart_template(generate.CRD.read_text().replace("Free text", "Free {{ text }}"))


def _crd(properties: dict[str, Any]) -> dict[str, Any]:
    crd: dict[str, Any] = yaml.safe_load(generate.CRD.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    schema["spec"] = {"type": "object", "description": "All of it.", "required": ["word"], "properties": properties}
    return crd


def _line(page: str, field: str) -> str:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{field}`")]
    return line


def test_a_field_has_its_type_default_bounds_and_rules() -> None:
    properties = {
        "word": {"type": "string", "enum": ["A", "B"], "default": "A", "description": "One of two. Default A."},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many."},
        "pattern": {"type": "string", "maxLength": 3, "pattern": "^(a|b)$", "description": "Letters."},
        "size": {
            "x-kubernetes-int-or-string": True,
            "description": "How big.",
            "x-kubernetes-validations": [{"rule": "self != 0", "message": "not nothing"}],
        },
    }
    page = generate.reference(_crd(properties))
    assert _line(page, "word") == "| `word` *required* | `A` \\| `B` | `A` | One of two. |"
    assert _line(page, "count") == "| `count` | integer |  | How many. *(1 to 9)* |"
    assert (
        _line(page, "pattern")
        == "| `pattern` | string |  | Letters. *(at most 3 characters; <code>^&#40;a&#124;b)$</code>)* |"
    )
    assert _line(page, "size") == "| `size` | integer or string |  | How big. Rule: not nothing. |"


def test_every_rule_is_in_the_reference() -> None:
    page = generate.REFERENCE.read_text()
    messages = [rule["message"] for rule in _all_rules(yaml.safe_load(generate.CRD.read_text()))]
    assert len(messages) > 30
    assert [message for message in messages if message not in page] == []


def _all_rules(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [rule for child in node for rule in _all_rules(child)]
    if not isinstance(node, dict):
        return []
    own = node.get("x-kubernetes-validations", [])
    return [*own, *(rule for child in node.values() for rule in _all_rules(child))]
