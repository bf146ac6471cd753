"""The way of a connection from `kubectl apply` to a running fetcher, in stages."""

from collections.abc import Callable

from tests.integration.operator.bench import Bench, connection


def apply(bench: Bench) -> None:
    bench.apply(connection("support"))
    bench.until_condition("support", "Ready", ("True", "Disabled"))


def enable(bench: Bench) -> None:
    bench.annotate("support", "mailfetch.dev/enable=true")
    bench.probe_job("support")


def count(bench: Bench) -> None:
    bench.finish_probe(bench.probe_job("support"), new=1234)
    bench.until_condition("support", "Ready", ("True", "AwaitingApproval"))


def acknowledge(bench: Bench) -> None:
    bench.annotate("support", "mailfetch.dev/acknowledge=1234")
    bench.eventually("the assignment", lambda: "support" in bench.assigned())
    bench.eventually("the Deployment", lambda: bench.get("deployment", "mailfetch-pool-default"))


def run(bench: Bench) -> None:
    bench.run_fetcher()
    bench.report_idle("support")
    bench.until_condition("support", "Ready", ("True", "Idle"))
    # What was reported about the state comes back to the fetcher: from now on its absence is a loss.
    bench.eventually("the state id", lambda: bench.assigned()["support"].state_id == "state-1")


STAGES: tuple[Callable[[Bench], None], ...] = (apply, enable, count, acknowledge, run)
