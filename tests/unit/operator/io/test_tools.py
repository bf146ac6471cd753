"""Reconciling the tools of a namespace."""

import asyncio

import pytest

from mailfetch_operator.api.client import ApiError, NamespaceEndsError
from mailfetch_operator.model import Key
from mailfetch_operator.names import TOOLS
from tests.unit.operator.io.desk import Desk

KEY = Key("tools", "ns", TOOLS)


def work(desk: Desk) -> None:
    assert asyncio.run(desk.reconciler.work(KEY)) is None


def test_they_are_applied_once_and_deleted_with_the_last_connection() -> None:
    desk = Desk()
    obj = desk.make()
    work(desk)
    work(desk)
    desk.cache.remove("MailConnection", obj)
    work(desk)
    assert desk.api.log == ["apply StatefulSet", f"delete StatefulSet ns/{TOOLS} uid-StatefulSet"]


def test_connections_of_other_namespaces_do_not_count() -> None:
    desk = Desk()
    desk.make(namespace="another")
    work(desk)
    assert desk.api.log == []


def test_a_namespace_that_ends_is_no_failure_but_a_refusal_is() -> None:
    desk = Desk()
    desk.make()
    desk.api.refuse["apply StatefulSet"] = NamespaceEndsError(403, "it is being terminated")
    work(desk)
    desk.api.refuse["apply StatefulSet"] = ApiError(403, "forbidden")
    with pytest.raises(ApiError, match="forbidden"):
        work(desk)
