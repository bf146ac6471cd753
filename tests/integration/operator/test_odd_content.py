"""Whatever people and mail servers write: it reaches the API server, and never holds up the neighbours."""

import pytest

from mailfetch_fetcher.contract import assignment
from mailfetch_fetcher.contract.report import ConnectionReport, Problem
from mailfetch_operator.api.client import as_yaml
from tests.integration.operator.bench import Bench

pytestmark = pytest.mark.cluster

ODD = "Post 📥 \U0010ffff \u0085\u2028\ufeff\ufffe"


def test_any_character_can_be_assigned_and_taken_away(bench: Bench) -> None:
    bench.start()
    bench.bring_up("good")
    bench.bring_up("odd")
    description = f"\x1b\x7f{ODD}"
    patch = as_yaml({"spec": {"description": description}}).decode()  # kubectl reads YAML as well
    bench.kubectl("patch", "mailconnection", "odd", "--type=merge", "-p", patch)
    bench.eventually("the description", lambda: bench.assigned()["odd"].spec.description == description)
    bench.annotate("good", "mailfetch.dev/enable-")
    bench.eventually("only the other", lambda: set(bench.assigned()) == {"odd"})


def test_any_character_can_be_told(bench: Bench) -> None:
    bench.start()
    bench.bring_up("odd")
    bench.run_fetcher()
    told = bench.assigned()["odd"]
    problem = Problem(reason="ConnectionFailed", message=f"The server said: {ODD}", time="2026-11-24T08:01:00Z")
    report = ConnectionReport(
        uid=told.uid,
        generation=told.generation,
        fingerprint=assignment.fingerprint(told),
        phase="BackingOff",
        problem=problem,
        last_problem=problem,
    )
    bench.fetcher.say("odd", report)
    bench.until_condition("odd", "Ready", ("False", "ConnectionFailed"))
    bench.settle()
    found = bench.get("mailconnection", "odd")
    assert found is not None
    assert found["status"]["fetch"]["lastError"]["message"] == problem.message
    assert "reconcile failed" not in bench.log()
