"""The steps of a test, saved or not, as a page. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubectl_mailfetch.model import plain
from kubectl_mailfetch.page import Line

TITLES = {
    "dns": "DNS",
    "tcp": "TCP",
    "tls": "TLS",
    "capability": "Capability",
    "login": "Login",
    "folder": "Folder",
    "permission": "Permission",
}
"""In the order in which they are done (contract/probe.py of the fetcher)."""


def step_lines(steps: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """One line a step, with its time; a failed one says what to change."""
    yield Line(label="Test")
    for step in sorted(steps, key=_order):
        ok = bool(step.get("ok"))
        took = f"{int(step.get('milliseconds') or 0):>6,} ms"
        text = f"{'ok' if ok else 'FAILED':<6} {took}  {plain(step.get('detail', ''))}"
        name = str(step.get("name", ""))
        yield Line(label=TITLES.get(name, plain(name)), text=text.rstrip(), tone="good" if ok else "bad")
    failed = any(not step.get("ok") for step in steps)
    missing = [title for name, title in TITLES.items() if name not in {s.get("name") for s in steps}]
    if failed and missing:
        yield Line(label="Not reached", text=", ".join(missing))


def _order(step: Mapping[str, Any]) -> int:
    names = list(TITLES)
    return names.index(step["name"]) if step.get("name") in TITLES else len(names)
