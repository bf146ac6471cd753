"""What Sentinel and Cluster demand of the durability barrier: the decisions alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
import redis

from mailfetch_fetcher.store.barrier import WAIT_MS, run_barrier
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.peers import Alone, ClusterNode, Replicas, WatchedBySentinels, count_replicas, peers_of
from mailfetch_fetcher.store.sentinel import Answer, Named, elect, judge_names, read_answer
from mailfetch_fetcher.store.target import parse_target

OURS, OTHER, THIRD = ("a", 1), ("b", 2), ("c", 3)


def answers(*masters: tuple[str, int] | None) -> list[Answer]:
    return [Answer(master=master, replicas=1) for master in masters]


@pytest.mark.parametrize(
    ("masters", "asked", "want"),
    [
        ([OURS, OURS], 3, "yes"),
        ([OURS], 1, "yes"),
        ([OURS, OURS, OTHER], 3, "yes"),
        ([OURS], 3, "unknown"),
        ([OURS], 2, "unknown"),
        ([], 3, "unknown"),
        ([None, None, None], 3, "unknown"),
        ([OURS, OTHER], 3, "unknown"),
        ([OTHER], 3, "no"),
        ([OTHER, OTHER], 3, "no"),
        ([OURS, OTHER, OTHER], 3, "no"),
        ([OURS, OTHER, THIRD], 3, "no"),
        ([OTHER, None, None], 3, "no"),
    ],
)
def test_yes_needs_the_majority_of_all_and_no_more_voices_than_yes(
    masters: list[tuple[str, int] | None], asked: int, want: Named
) -> None:
    assert judge_names(answers(*masters), ours=OURS, asked=asked) == want


def test_who_has_most_votes_comes_first() -> None:
    assert elect(answers(OURS, None, OTHER, OTHER)) == [OTHER, OURS]
    assert elect(answers(None)) == []


def test_the_answer_of_a_sentinel() -> None:
    assert read_answer([[b"a", b"1"], [[b"name"], [b"name"]]]) == Answer(master=OURS, replicas=2)
    assert read_answer([None, redis.ResponseError("ERR No such master")]) == Answer(master=None, replicas=0)
    for replies in ([redis.ResponseError("NOPERM"), []], [[b"a", b"1"], redis.ResponseError("NOPERM")]):
        with pytest.raises(redis.ResponseError):
            read_answer(replies)


NODES = """\
07c3 127.0.0.1:30004@31004,host4 slave e7d1 0 1426238317239 4 connected
67ed 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922
6ec2 127.0.0.1:30005@31005 slave,fail 67ed 0 1426238316232 5 disconnected
824f 127.0.0.1:30006@31006 slave e7d1 0 1426238317741 6 connected
e7d1 127.0.0.1:30001@31001 {flags} - 0 0 1 connected 0-5460
"""


def test_the_replicas_of_the_node_that_answered_are_counted_also_dead_ones() -> None:
    assert count_replicas(NODES.format(flags="myself,master")) == 2
    assert count_replicas(NODES.format(flags="master").replace("master - 0 1426238316232", "myself,master - 0 1")) == 1
    assert count_replicas("e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-16383\n") == 0


def test_each_topology_has_its_demands() -> None:
    kinds = {url: type(peers_of(parse_target(url, ca_file=None))) for url in URLS}
    assert list(kinds.values()) == [Alone, WatchedBySentinels, ClusterNode]


URLS = ("redis://a", "redis+sentinel://a/m", "redis+cluster://a")


# -- in the barrier ------------------------------------------------------------------------


@dataclass
class FakePeers(Alone):
    found: Replicas
    name: Named = "yes"
    asked: list[str] = field(default_factory=list)

    def replicas(self, link: Link) -> Replicas:
        self.asked.append("replicas")
        return self.found

    def named(self) -> Named:
        self.asked.append("named")
        return self.name

    def why(self) -> str:
        return "nobody knows"


class FakeLink:
    run_id = "abc"

    def __init__(self, acknowledged: object) -> None:
        self._wait = acknowledged
        self.sent: list[Sequence[object]] = []

    def pipeline(self, *commands: Sequence[object]) -> list[object]:
        self.sent += commands
        return [self._answer(*command) for command in commands]

    def _answer(self, command: object, *words: object) -> object:
        if command == "CONFIG":
            return [b"", b"always" if words[1] == "appendfsync" else b"no"]
        return {"EVAL": 1, "WAIT": self._wait, "INFO": INFO}[str(command)]


INFO = (
    b"redis_version:7.2.0\r\nrun_id:abc\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n"
    b"aof_pending_bio_fsync:0\r\naof_buffer_length:0\r\n"
)
TWO = Replicas(count=2, remedy="start it")


@pytest.mark.parametrize(
    ("replicas", "acknowledged", "name", "durable", "message"),
    [
        (TWO, 2, "yes", True, ""),
        (TWO, 1, "yes", False, "only 1 of 2 replicas"),
        (TWO, 0, "yes", False, "start it"),
        (TWO, 2, "no", False, ""),
        (TWO, 2, "unknown", False, "nobody knows"),
        (TWO, redis.ResponseError("NOPERM"), "yes", False, "+wait"),
        (Replicas(count=0, problem="there is none"), 0, "yes", False, "there is none"),
        (Replicas(count=0), 0, "yes", True, ""),
    ],
)
def test_all_replicas_and_the_name_are_needed(
    replicas: Replicas, acknowledged: object, name: Named, durable: bool, message: str
) -> None:
    link, peers = FakeLink(acknowledged), FakePeers(found=replicas, name=name)
    verdict = run_barrier(cast("Link", link), write=("EVAL",), wait=lambda _: None, peers=peers)
    assert (verdict.durable, verdict.named, verdict.owned) == (durable, name, True)
    assert message in verdict.safety.message
    assert verdict.safety.ok == (not message)
    assert peers.asked == ["replicas", "named"]  # the name last
    if replicas.count:
        sent = [command for command in link.sent if command[0] in ("EVAL", "WAIT")]
        assert sent == [("EVAL",), ("WAIT", replicas.count, WAIT_MS)]
