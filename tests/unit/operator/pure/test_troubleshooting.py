"""docs/troubleshooting.md explains every reason that the code can set, and none that it cannot."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from mailfetch_fetcher.contract.reasons import CONNECTION_REASONS, ActionReason, Gate, Reason
from mailfetch_fetcher.contract.report import NoticeReason
from mailfetch_operator import removal
from mailfetch_operator.gate import WHY_CLOSED
from mailfetch_operator.status import advice, conditions, ready, story

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()


def literals(node: ast.AST) -> Iterator[str]:
    """CamelCase texts within a piece of code."""
    for found in ast.walk(node):
        text = found.value if isinstance(found, ast.Constant) else None
        if isinstance(text, str) and re.fullmatch(r"[A-Z][A-Za-z0-9]+", text):
            yield text


def keywords(module: object, *names: str) -> set[str]:
    """Texts that are given as one of these keyword arguments anywhere in a module."""
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    given = (k.value for c in ast.walk(tree) if isinstance(c, ast.Call) for k in c.keywords if k.arg in names)
    return {text for value in given for text in literals(value)}


def within(function: object) -> set[str]:
    """All CamelCase texts of a function."""
    return set(literals(ast.parse(inspect.getsource(function))))  # type: ignore[arg-type]


def documented(section: str) -> set[str]:
    """Reasons in the first column of a section's tables."""
    body = re.split(rf"^## {section}$", PAGE, flags=re.M)[1]
    body = re.split(r"^## ", body, flags=re.M)[0]
    return {r for row in re.findall(r"^\| (`.*?) \|", body, re.M) for r in re.findall(r"`(\w+)`", row)}


READY = keywords(ready, "reason") | set(get_args(Reason))
ACTIVE = keywords(ready, "active_reason") | (within(ready.check_problem) & {"QueueFull", "Failing", "BackingOff"})
EXPECTED = {
    "Ready": READY,
    "Active": ACTIVE | {"Listening", "Polling"},
    "ConnectionVerified": set(CONNECTION_REASONS) | {"LoginSucceeded", "NotTested"},
    "Approved": within(conditions.check_approved)
    - {"Approved", "True", "False", "Annotation", "Low", "AwaitingApproval"}
    - {"Pending"}
    | set(get_args(Gate)),
    "AfterDownload": set(get_args(ActionReason)),
    "Advisory": within(advice.advice_on),
}


@pytest.mark.parametrize("section", EXPECTED)
def test_every_reason_is_explained(section: str) -> None:
    assert documented(section) == EXPECTED[section]


def test_the_expectation_is_read_from_the_code() -> None:
    assert {"Fetching", "Idle", "Disabled", "FetcherLost", "Pending", "InvalidConfiguration"} <= READY
    assert {"WithinLimit", "Acknowledged", "Required", "LowConfidence"} <= EXPECTED["Approved"]


def test_every_gate_reason_has_its_sentence() -> None:
    assert set(WHY_CLOSED) == set(get_args(Gate))


def test_every_event_is_listed() -> None:
    tree = ast.parse(inspect.getsource(story))
    calls = (c for c in ast.walk(tree) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name))
    sent = {text for c in calls if c.func.id in ("_normal", "_warning") for text in literals(c.args[0])}  # type: ignore[attr-defined]
    sent |= keywords(removal, "reason") | set(get_args(NoticeReason))
    assert {"Enabled", "Recovered", "GateClosed", "Purged", "MailQuarantined"} <= sent
    assert sent - {"Failed"} <= documented("Events")


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([a-z/-]+\.md)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
