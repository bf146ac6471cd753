#!/usr/bin/env python3
"""Copies the CRD into the chart and renders docs/api-reference.md from it; `--check` tells whether they are current.

The CRD in crds/ is the one source. Run by `make generate` and, with --check, by `make lint`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CRD = ROOT / "crds/mailconnections.mailfetch.dev.yaml"
CHART_TEMPLATE = ROOT / "charts/mailfetch/templates/crd.yaml"
REFERENCE = ROOT / "docs/api-reference.md"

Schema = dict[str, Any]
Columns = dict[str, Callable[[Schema], str]]

METADATA = "metadata:\n  name: mailconnections.mailfetch.dev\n"
CHART_METADATA = """\
  labels:
    {{- include "mailfetch.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""

INTRODUCTION = """\
<!-- Made from crds/mailconnections.mailfetch.dev.yaml by `make generate`; do not edit. -->
# API reference

`{kind}`, `{group}/{version}`, {scope}. Plural `{plural}`, short name `{short}`, category `{category}`
(`kubectl get {category}`).

{description}

The same in a terminal: `kubectl explain {plural}.spec`. A field that is marked *required* must be there if its parent
is. An unknown field is refused by `kubectl`. Ready-made manifests: [examples](../examples).
"""


def chart_template(text: str) -> str:
    """The CRD as a template of the chart, with the switches `crds.enabled` and `crds.keep`."""
    body = text[text.index("apiVersion:") :]
    if body.count(METADATA) != 1 or "{{" in body:
        raise ValueError(f"{CRD.name}: metadata must be a name only, and braces would be taken for a template")
    body = body.replace(METADATA, METADATA + CHART_METADATA)
    header = f"{{{{- /* Made from crds/{CRD.name} by `make generate`; do not edit. */ -}}}}\n"
    return f"{header}{{{{- if .Values.crds.enabled }}}}\n{body}{{{{- end }}}}\n"


def reference(crd: dict[str, Any]) -> str:
    """The page docs/api-reference.md."""
    spec, (version,) = crd["spec"], crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    introduction = INTRODUCTION.format(
        kind=spec["names"]["kind"],
        group=spec["group"],
        version=version["name"],
        scope=spec["scope"].lower(),
        plural=spec["names"]["plural"],
        short=spec["names"]["shortNames"][0],
        category=spec["names"]["categories"][0],
        description=schema["description"],
    )
    parts = [introduction, *_rules(schema), *_columns(version)]
    parts += _object("spec", schema["properties"]["spec"], columns=SPEC_COLUMNS, level=2)
    parts += _object("status", schema["properties"]["status"], columns=STATUS_COLUMNS, level=2)
    return "\n".join(parts)


def _object(path: str, schema: Schema, *, columns: Columns, level: int = 3) -> Iterator[str]:
    """A heading, a table of the fields, the rules; then the same for each object in it."""
    yield f"{'#' * level} {path}\n"
    yield f"{schema['description']}\n"
    inner = schema.get("items", schema)
    required = set(inner.get("required", ()))
    rows = [
        (f"`{name}`" + (" *required*" if name in required else ""), *(cell(child) for cell in columns.values()))
        for name, child in inner["properties"].items()
    ]
    yield from _table(("Field", *columns), rows)
    yield from _rules(schema)
    for name, child in inner["properties"].items():
        if "properties" in child.get("items", child):
            yield from _object(f"{path}.{name}" + ("[]" if "items" in child else ""), child, columns=columns)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for row in (header, ("---",) * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def _rules(schema: Schema) -> list[str]:
    rules = schema.get("x-kubernetes-validations", [])
    if not rules:
        return []
    lines = [f"- `{rule['fieldPath'].lstrip('.')}`: {rule['message']}" for rule in rules]
    return ["Rules:\n", *lines, ""]


def _columns(version: dict[str, Any]) -> list[str]:
    columns = [("NAME", "", "Name of the connection.")]
    columns += [
        (c["name"].upper(), "wide" if c.get("priority") else "", c["description"])
        for c in version["additionalPrinterColumns"]
    ]
    selectable = ", ".join(f"`{field['jsonPath'].lstrip('.')}`" for field in version["selectableFields"])
    return [
        "## Columns and selectors\n",
        "`kubectl get mailconnections`; those marked *wide* with `-o wide`:\n",
        *_table(("Column", "", "Meaning"), columns),
        f"Selectable, as in `--field-selector spec.protocol=IMAP`: {selectable}. An absent value is the empty text.\n",
    ]


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return " | ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}s"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}s"
    form = str(schema.get("format", ""))
    return form if form.startswith("date") else str(schema["type"])


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None or isinstance(default, dict):
        # The members of an object are listed with their own defaults.
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _description(schema: Schema) -> str:
    """The first paragraph, without the default, which has its own column."""
    text = " ".join(schema["description"].partition("\n\n")[0].split())
    return text.removesuffix(f" Default {_default(schema).strip('`')}.")


def _meaning(schema: Schema) -> str:
    """The description with the bounds, and with the rules of the field itself."""
    members = [f"each {bound}" for bound in _bounds(schema.get("items", {}))]
    bounds = "; ".join([*_bounds(schema), *members])
    own_rules = () if schema.get("type") == "object" else schema.get("x-kubernetes-validations", ())
    rules = "".join(f" Rule: {rule['message']}." for rule in own_rules)
    return _description(schema) + (f" *({bounds})*" if bounds else "") + rules


def _bounds(schema: Schema) -> Iterator[str]:
    for low, high, unit in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if low in schema and high in schema:
            yield f"{schema[low]} to {schema[high]}{unit}"
        elif low in schema:
            yield f"at least {schema[low]}{unit}"
        elif high in schema:
            yield f"at most {schema[high]}{unit}"
    if "pattern" in schema:
        # As HTML, because a table ends a cell at a bar, and brackets before a parenthesis look like a link.
        text = schema["pattern"].replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("(", "&#40;")
        yield f"<code>{text}</code>"
    if "maxItems" in schema:
        yield f"at most {schema['maxItems']}"
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        yield f"no `{key}` twice"
    if schema.get("x-kubernetes-list-type") == "set":
        yield "none twice"


SPEC_COLUMNS: Columns = {"Type": _type, "Default": _default, "Meaning": _meaning}
STATUS_COLUMNS: Columns = {"Type": _type, "Meaning": _description}


def main(argv: list[str]) -> int:
    """Writes the files, or with --check names those that are not current."""
    text = CRD.read_text()
    wanted = {CHART_TEMPLATE: chart_template(text), REFERENCE: reference(yaml.safe_load(text))}
    stale = [path for path, content in wanted.items() if not path.exists() or path.read_text() != content]
    if argv == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    if argv:
        print("usage: hack/generate.py [--check]", file=sys.stderr)
        return 2
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
