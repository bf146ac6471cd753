"""Fixtures of the tests with a reconciler."""

import pytest

from mailfetch_operator import plan
from tests.unit.operator.io.desk import Desk


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A reconciler whose plans the test dictates."""
    found = Desk()
    monkeypatch.setattr(plan, "plan_connection", found.plan)
    return found
