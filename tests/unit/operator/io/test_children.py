"""When is a child what we applied? (The writing itself is tested against a real API server.)"""

from typing import Any

import pytest

from mailfetch_operator.api.children import contains, digest_of


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 1, "defaulted": 2}, {"a": 1}),
        ({"a": {"b": [{"name": "x", "defaulted": 1}]}}, {"a": {"b": [{"name": "x"}]}}),
        ({"a": [1, 2]}, {"a": (1, 2)}),
        ({}, {"a": ""}),
    ],
)
def test_what_the_api_server_adds_is_no_difference(live: Any, wanted: Any) -> None:
    assert contains(live, wanted)


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 2}, {"a": 1}),
        ({}, {"a": 1}),
        ({"a": None}, {"a": {"b": 1}}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"a": [1]}),  # an item that somebody added
        ({"a": [2, 1]}, {"a": [1, 2]}),
        (None, {"a": 1}),
    ],
)
def test_what_somebody_changed_is(live: Any, wanted: Any) -> None:
    assert not contains(live, wanted)


def test_the_hash_does_not_depend_on_the_order_of_fields() -> None:
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"b": [1, 2]}) != digest_of({"b": [2, 1]})
