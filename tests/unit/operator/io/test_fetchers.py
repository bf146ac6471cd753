"""`seq` moves with every mail: when it reaches the ConfigMap, and when it does not."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from mailfetch_fetcher.contract import assignment as contract
from mailfetch_fetcher.contract.assignment import Assignments
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_operator.fetchers import RENEW
from mailfetch_operator.model import Key, ReportView
from mailfetch_operator.plan import ConnectionPlan
from tests.unit.operator.io.desk import FETCHER, Desk, given


def decide(desk: Desk, name: str, *, went_back: bool = False, **fields: Any) -> None:
    """The plan gives a connection something to do; its fetcher is reconciled if that calls for it."""
    if desk.cache.get("MailConnection", "ns", name) is None:
        desk.make(name)
    desk.plans[name] = ConnectionPlan(status={}, assignment=given(desk, name, **fields), went_back=went_back)
    desk.added.clear()
    desk.work(name)
    for key in desk.added:
        asyncio.run(desk.reconciler.work(key))


def told(desk: Desk) -> dict[str, int]:
    """What the ConfigMap says."""
    config_map = desk.cache.get("ConfigMap", "ns", FETCHER.name)
    assert config_map
    return {a.name: a.seq for a in contract.decode(config_map["data"][contract.FILE_NAME]).connections}


def written(desk: Desk) -> int:
    return desk.api.log.count("apply ConfigMap")


def test_seq_alone_is_told_once_an_hour(desk: Desk) -> None:
    decide(desk, "one", state_id="s", seq=1)
    for second in range(2, 50):
        desk.now += timedelta(seconds=1)
        decide(desk, "one", state_id="s", seq=second)
    assert (told(desk), written(desk)) == ({"one": 1}, 1)
    desk.now += RENEW
    decide(desk, "one", state_id="s", seq=50)
    assert (told(desk), written(desk)) == ({"one": 50}, 2)
    decide(desk, "one", state_id="s", seq=51)
    assert (told(desk), written(desk)) == ({"one": 50}, 2)


def test_what_is_written_anyway_is_the_newest_of_all(desk: Desk) -> None:
    decide(desk, "one", state_id="s", seq=1)
    decide(desk, "two", state_id="t", seq=1)
    decide(desk, "one", state_id="s", seq=9)
    assert told(desk) == {"one": 1, "two": 1}
    decide(desk, "two", state_id="t", seq=7, requests={"fetch": "now"})
    assert told(desk) == {"one": 9, "two": 7}
    before = written(desk)
    decide(desk, "one", state_id="s", seq=9)
    asyncio.run(desk.reconciler.work(Key("fetcher", "ns", FETCHER.name)))
    assert written(desk) == before


def test_a_store_that_went_back_is_told_at_once_and_once(desk: Desk) -> None:
    decide(desk, "one", state_id="s", seq=1)
    decide(desk, "one", state_id="s", seq=90)
    decide(desk, "one", state_id="s", seq=90, went_back=True)
    assert told(desk) == {"one": 90}
    before = written(desk)
    decide(desk, "one", state_id="s", seq=90, went_back=True)
    assert written(desk) == before


def test_another_state_is_told_with_its_own_count(desk: Desk) -> None:
    decide(desk, "one", state_id="s", seq=90)
    decide(desk, "one", state_id="t", seq=3)
    assert told(desk) == {"one": 3}


def test_a_restarted_operator_writes_nothing_for_seq(desk: Desk) -> None:
    desk.make()
    live = given(desk, state_id="s", seq=3)
    desk.has_config_map(contract.encode(Assignments(cluster_id="cluster", connections=(live,))))
    desk.plans["one"] = ConnectionPlan(status={}, assignment=live)
    desk.work()
    desk.work_fetcher()  # with our hash on it from now on
    before, restarted = desk.api.log.copy(), Desk()
    restarted.cache.put("ConfigMap", desk.cache.get("ConfigMap", "ns", FETCHER.name) or {})
    restarted.cache.put("Deployment", desk.cache.get("Deployment", "ns", FETCHER.name) or {})
    decide(restarted, "one", state_id="s", seq=88)
    assert before
    assert restarted.api.log == []
    assert told(restarted) == {"one": 3}


def busy(desk: Desk, *, pods: int = 1, phase: str = "Running", assigned: bool = False, **view: Any) -> str:
    """Why a fetcher may still run the connection `one`."""
    obj = desk.cache.get("MailConnection", "ns", "one") or desk.make()
    live = (given(desk),) if assigned else ()
    desk.has_config_map(contract.encode(Assignments(cluster_id="cluster", connections=live)))
    for n in range(pods):
        meta = {"namespace": "ns", "name": f"p{n}", "uid": f"p{n}", "resourceVersion": "5"}
        labels = {"mailfetch.dev/fetcher": FETCHER.name}
        desk.cache.put("Pod", {"metadata": {**meta, "labels": labels}, "status": {"phase": phase}})
    desk.reports.views["one"] = ReportView(**view)
    return desk.reconciler._fetchers.busy(desk.reconciler.connection(json.loads(json.dumps(obj))))


def report(uid: str) -> ConnectionReport:
    return ConnectionReport(uid=uid, generation=1, fingerprint="f", phase="Listening")


def test_a_fetcher_that_still_has_it_to_do_is_busy(desk: Desk) -> None:
    assert "is being told to stop" in busy(desk, assigned=True, age=1.0)


def test_a_fetcher_that_still_reports_it_is_busy(desk: Desk) -> None:
    assert "has not confirmed yet" in busy(desk, age=1.0, report=report("uid-one"))


def test_a_fetcher_that_was_never_heard_is_busy(desk: Desk) -> None:
    assert "has not confirmed yet" in busy(desk)


def test_a_fetcher_that_reports_it_no_longer_is_not(desk: Desk) -> None:
    assert busy(desk, age=1.0) == ""


def test_a_namesake_is_another_one(desk: Desk) -> None:
    assert busy(desk, age=1.0, report=report("of another object")) == ""


def test_a_fetcher_without_a_pod_is_not(desk: Desk) -> None:
    assert busy(desk, pods=0) == ""


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
def test_a_pod_that_has_ended_or_not_begun_is_not(desk: Desk, phase: str) -> None:
    assert busy(desk, phase=phase) == ""
