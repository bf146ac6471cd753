import threading

from mailfetch_fetcher.contract import report as contract
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.report import ReportHub


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def hub(time: Time) -> ReportHub:
    h = ReportHub(fetcher="pod-1", monotonic=time)
    h.put("a", ConnectionReport(uid="u", generation=1, fingerprint="f", phase="Starting"))
    return h


def test_a_change_ends_the_wait() -> None:
    time = Time()
    h = hub(time)
    first = h.wait("", 0)
    threading.Timer(0.05, lambda: h.update("a", phase="Listening")).start()
    second = h.wait(first.revision, 1000)
    assert second.connections["a"].phase == "Listening"
    assert second.revision != first.revision


def test_an_equal_value_is_no_change() -> None:
    time = Time()
    h = hub(time)
    revision = h.wait("", 0).revision
    h.update("a", phase="Starting")
    assert h.wait("", 0).revision == revision


def test_counters_alone_are_told_every_few_seconds_only() -> None:
    time = Time()
    h = hub(time)
    revision = h.wait("", 0).revision
    h.update("a", quiet=True, messages=5)
    assert h.wait("", 0).revision == revision
    time.now += 6
    told = h.wait(revision, 0)
    assert told.revision != revision
    assert told.connections["a"].messages == 5


def test_two_processes_never_share_a_revision() -> None:
    assert hub(Time()).wait("", 0).revision != hub(Time()).wait("", 0).revision


def test_a_removed_connection_is_gone_and_late_updates_do_not_bring_it_back() -> None:
    h = hub(Time())
    h.remove("a")
    h.update("a", phase="Listening")
    assert h.wait("", 0).connections == {}


def test_a_report_survives_its_encoding() -> None:
    report = hub(Time()).wait("", 0)
    assert contract.decode(contract.encode(report)) == report
