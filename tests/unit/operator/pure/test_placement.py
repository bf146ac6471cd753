"""Which fetcher a connection gets: sticky, at most 200 in a pool, the same for everybody who asks."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_operator.desired.fetcher import build_configmap
from mailfetch_operator.gate import Gate
from mailfetch_operator.model import Connection, FetcherKey, Refusal
from mailfetch_operator.plan import POOL_LIMIT, placement, same_mailbox
from mailfetch_operator.status.approval import build_assignment
from tests.unit.operator.pure.sim import CONFIG, SPEC, manifest


def connection(name: str, *, age: int = 0, annotations: dict[str, str] | None = None, **spec: Any) -> Connection:
    created = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=age)
    obj = manifest(name, spec=SPEC | spec, annotations=annotations, created=created.isoformat().replace("+00:00", "Z"))
    return Connection.from_object(obj)


@pytest.mark.parametrize(
    ("spec", "fetcher"),
    [
        ({}, "mailfetch-pool-default"),
        ({"placement": {"mode": "Shared", "pool": "vip"}}, "mailfetch-pool-vip"),
        ({"placement": {"mode": "Dedicated", "pool": "default"}}, "mconn-support"),
    ],
)
def test_names(spec: dict[str, Any], fetcher: str) -> None:
    c = connection("support", **spec)
    assert placement(c, [c]) == FetcherKey(namespace="helpdesk", name=fetcher)


def pool(count: int) -> list[Connection]:
    return [connection(f"c{n:03}", age=10_000 - n) for n in range(count)]


def test_the_youngest_beyond_200_are_refused() -> None:
    everybody = pool(POOL_LIMIT + 3)
    found = [placement(c, everybody) for c in everybody]
    assert all(isinstance(f, FetcherKey) for f in found[:POOL_LIMIT])
    refused = found[POOL_LIMIT:]
    assert all(isinstance(f, Refusal) and "use another pool" in f.message for f in refused)
    assert len(refused) == 3


@pytest.mark.parametrize("large", [0, 5, 12, 15, 40])
def test_a_pool_fits_into_its_config_map_whatever_people_write(large: int) -> None:
    """One that is too large would be refused: then even a disabled connection could not be taken out of it."""
    most: dict[str, Any] = {
        "description": "\0" * 1024,
        "folder": "\U0010ffff" * 1024,
        "queue": {"consumerGroups": [f"{n:02}" + "\U0010ffff" * 251 for n in range(32)]},
    }
    everybody = [connection(f"c{n:03}", age=10_000 - n, **(most if n < large else {})) for n in range(POOL_LIMIT)]
    found = {c.name: placement(c, everybody) for c in everybody}
    refused = [f for f in found.values() if isinstance(f, Refusal)]
    assert bool(refused) is (large > 12)
    assert all("use another pool" in f.message for f in refused)

    inside = [c for c in everybody if isinstance(found[c.name], FetcherKey)]
    assert len(inside) > 10
    wanted = {"fetch": "\1" * 253, "resume-actions": "1" * 20}
    gate = Gate(epoch=10**9)
    todo = [msgspec.structs.replace(build_assignment(c, gate, {"stateId": "s" * 64}), requests=wanted) for c in inside]
    # As long as names can be.
    todo = [msgspec.structs.replace(a, name=a.name.ljust(52, "x"), namespace="n" * 63, uid="u" * 36) for a in todo]
    text = build_configmap(FetcherKey(namespace="n", name="f"), todo, inside, CONFIG)["data"]["assignments.json"]
    assert len(text.encode()) < 1 << 20


def test_other_pools_and_dedicated_ones_do_not_count() -> None:
    everybody = pool(POOL_LIMIT)
    everybody[0] = connection("c000", age=10_000, placement={"mode": "Dedicated"})
    everybody[1] = connection("c001", age=10_000, placement={"pool": "vip"})
    late = [connection(f"late{n}") for n in range(3)]
    found = [placement(c, everybody + late) for c in late]
    assert [isinstance(f, FetcherKey) for f in found] == [True, True, False]


def test_one_that_is_deleted_makes_room() -> None:
    everybody = pool(POOL_LIMIT + 1)
    obj = manifest("c000", created="2025-01-01T00:00:00Z")
    obj["metadata"]["deletionTimestamp"] = "2026-02-01T00:00:00Z"
    everybody[0] = Connection.from_object(obj)
    assert isinstance(placement(everybody[-1], everybody), FetcherKey)


@given(
    ages=st.lists(st.integers(0, 50), min_size=1, max_size=260),
    younger=st.integers(0, 30),
    order=st.randoms(use_true_random=False),
)
def test_sticky_bounded_and_independent_of_the_order(ages: list[int], younger: int, order: Any) -> None:
    everybody = [connection(f"c{n:03}", age=age) for n, age in enumerate(ages)]
    before = {c.name: placement(c, everybody) for c in everybody}
    assert sum(isinstance(f, FetcherKey) for f in before.values()) == min(len(everybody), POOL_LIMIT)
    more = everybody + [connection(f"new{n}", age=-1 - n) for n in range(younger)]
    order.shuffle(more)
    assert {c.name: placement(c, more) for c in everybody} == before


def test_the_same_mailbox_twice() -> None:
    on = {"mailfetch.dev/enable": "true"}
    one = connection("one", annotations=on)
    two = connection("two", annotations=on, server={"host": "IMAP.example.com."}, folder="inbox")
    off = connection("off")
    other = connection("other", annotations=on, folder="Archive")
    everybody = [one, two, off, other]
    assert [same_mailbox(c, everybody) for c in everybody] == [("two",), ("one",), (), ()]
    going = dataclasses.replace(two, deleted=two.created)
    assert same_mailbox(one, [one, going]) == ()
