"""Watches that go wrong."""

from pathlib import Path

import pytest

from tests.integration.operator.bench import Bench

pytestmark = pytest.mark.cluster

BLIND = Path(__file__).with_name("blind_operator.py")


def test_a_deletion_that_no_watch_tells_is_found_when_the_watch_lists_anew(bench: Bench) -> None:
    bench.start(script=BLIND, WATCHES="gone")
    bench.bring_up("one")
    bench.bring_up("two")
    bench.kubectl("delete", "mailconnection", "one")
    bench.eventually("only the other", lambda: set(bench.assigned()) == {"two"})
    assert "deleted unnoticed" in bench.log()


def test_a_watch_that_stands_still_makes_the_operator_unhealthy(bench: Bench) -> None:
    operator = bench.start(script=BLIND, WATCHES="hang")
    bench.eventually("the start", operator.healthy)
    bench.eventually("the complaint", lambda: not operator.healthy())
    assert operator.process.poll() is None
    status, text = operator.health()
    assert status == 500
    assert f"the watch of /api/v1/namespaces/{bench.namespace}/pods was last opened" in text
    assert text.count("\n") == 0, "all the others are well"
