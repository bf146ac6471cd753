"""`--watch`: a screen that is drawn anew, or lines that are appended."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.kube_watch import GoneError, follow
from kubectl_mailfetch.output import Format, print_page
from kubectl_mailfetch.page import Line
from kubectl_mailfetch.watching import Snapshots, one, summary, watch
from tests.unit.plugin.samples import awaiting, connection, flowing
from tests.unit.plugin.test_terminal import COLOUR, on_a_terminal

DRAW = """
from kubectl_mailfetch.output import Format, print_page
from kubectl_mailfetch.page import Line
from kubectl_mailfetch.watching import watch
from tests.unit.plugin.samples import connection

def snapshots():
    yield [connection(f"c{n}").raw for n in range(3)]
    raise KeyboardInterrupt

def page(out, found):
    print_page([Line(label=c.name, text="x" * 200, tone="good") for c in found for _ in range(10)], out=out)

watch(snapshots(), form=Format.table, choose=lambda c: c.name != "c1", page=page)
"""


def backlog(done: int) -> dict[str, Any]:
    return flowing() | {"progress": {"done": done, "total": 1234}}


def until_interrupted(*snapshots: Sequence[Any]) -> Snapshots:
    yield from ([c.raw for c in each] for each in snapshots)
    raise KeyboardInterrupt


def page(out: Any, found: Any) -> None:
    print_page([Line(label=c.name) for c in found], out=out)


def lines(capsys: pytest.CaptureFixture[str], *snapshots: Sequence[Any], form: Format = Format.table) -> list[str]:
    watch(until_interrupted(*snapshots), form=form, choose=lambda c: c.name != "hidden", page=page)
    return capsys.readouterr().out.splitlines()


def test_elsewhere_a_line_is_appended_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    a, b, hidden = connection("a", status=backlog(617)), connection("b", status=awaiting(7)), connection("hidden")
    further = connection("a", status=backlog(1000))
    shown = lines(capsys, [b, a, hidden], [b, a], [b, further], [further])
    assert [line.split("  ")[1:4] for line in shown] == [
        ["helpdesk/a", "Idle", "Listening"],
        ["helpdesk/b", "AwaitingApproval", "0 mails"],
        ["helpdesk/a", "Idle", "Listening"],
        ["helpdesk/b", "deleted"],
    ]
    assert "617 of 1,234 (50%)" in shown[0]
    assert "1,000 of 1,234 (81%)" in shown[2]


def test_a_summary_says_lag_and_why() -> None:
    assert summary(connection(status=flowing())) == (
        "helpdesk/support  Idle  Listening  10,234 mails  lag 3  All mails are downloaded."
    )
    assert summary(connection()) == "helpdesk/support  Unknown  0 mails"


def test_programs_get_each_state_of_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = connection("a"), connection("a")
    second.raw["metadata"]["resourceVersion"] = "2"
    assert lines(capsys, [first], [first], [second], form=Format.name) == ["mailconnection.mailfetch.dev/a"] * 2
    text = "\n".join(lines(capsys, [first], [second], form=Format.yaml))
    assert text.count("---\n") == 2


def test_a_terminal_is_drawn_anew_and_never_overflows() -> None:
    text = on_a_terminal(DRAW, columns=60)
    assert text.startswith("\x1b[H")
    assert text.endswith("\x1b[J")
    assert COLOUR.search(text)
    shown = COLOUR.sub("", text.replace("\x1b[K", "").removeprefix("\x1b[H").removesuffix("\x1b[J")).splitlines()
    assert len(shown) < 40  # the height of that terminal
    assert max(map(len, shown)) <= 60
    assert shown[-1] == f"… {2 + 2 * 10 * 6 - (len(shown) - 1)} more lines"
    assert "c0" in shown[2]
    assert not any("c1" in line for line in shown)


def test_what_is_deleted_ends_it() -> None:
    found = one(iter([[connection().raw], []]), "support")
    assert len(next(found)) == 1
    with pytest.raises(PluginError, match="support was deleted") as caught:
        next(found)
    assert caught.value.code is Exit.NOT_FOUND


class Answer:
    def __init__(self, *events: dict[str, Any], **body: Any) -> None:
        self._events, self._body = events, body

    def json(self) -> dict[str, Any]:
        return self._body

    def iter_lines(self) -> Iterator[bytes]:
        yield from (json.dumps(e).encode() for e in self._events)

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def item(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name, "resourceVersion": version}}


@pytest.mark.parametrize("how", ["status", "event"])
def test_what_the_server_forgot_is_listed_again(how: str) -> None:
    asked: list[dict[str, str]] = []
    gone = Answer({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})

    def get(*, params: dict[str, str], stream: bool = False) -> Answer:
        asked.append(params)
        if not stream:
            return Answer(items=[item("a", "1")], metadata={"resourceVersion": str(len(asked))})
        if len(asked) == 2:
            return Answer({"type": "MODIFIED", "object": item("b", "7")})
        if how == "status":
            raise GoneError("too old")
        return gone

    found = follow(get, name="", tick=2)
    names = [[i["metadata"]["name"] for i in next(found)] for _ in range(4)]
    assert names == [["a"], ["a", "b"], ["a", "b"], ["a"]]
    assert [p.get("resourceVersion", "list") for p in asked] == ["list", "1", "7", "list"]
