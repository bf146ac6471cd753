"""The consumer groups on the page of `status`."""

from pathlib import Path

import pytest

from kubectl_mailfetch.page import Line
from kubectl_mailfetch.page_consumers import consumer_lines, group_lines
from kubectl_mailfetch.tools import Tools
from tests.unit.plugin.kubectl import FakeKubectl
from tests.unit.plugin.mails import EVIL, group, queue
from tests.unit.plugin.samples import connection


def test_lag_pending_and_consumers_of_each_group() -> None:
    groups = [group(), group(name="other", named=False, lag=None, pending=0, consumers=1)]
    assert group_lines(queue(groups=groups)) == [
        Line(label="Consumers"),
        Line(label="ticketing", text="1,234 not delivered yet, 3 delivered and not acknowledged, 2 consumers"),
        Line(
            label="other",
            text="how many are not delivered is not known, 0 delivered and not acknowledged, 1 consumer; not named in"
            " any spec, so retention does not wait for it",
        ),
    ]


def test_no_group_yet() -> None:
    (_, line) = group_lines(queue(groups=[]))
    assert line.text.startswith("none yet")


def test_groups_that_the_spec_names_come_with_the_download() -> None:
    (_, line) = group_lines(queue(groups=[]), named=["tickets", "archive"])
    assert line.text == "made when the download begins: tickets, archive"


def test_a_name_of_a_group_does_not_drive_the_terminal() -> None:
    assert all((line.label + line.text).isprintable() for line in group_lines(queue(groups=[group(name=EVIL)])))


def test_its_stream_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = FakeKubectl(tmp_path)
    monkeypatch.setenv("PATH", kubectl.path)
    kubectl.answers("queue --stream=office --limit=1", queue())
    lines = consumer_lines(connection("support", spec={"queue": {"stream": "office"}}), Tools())
    assert [line.label for line in lines] == ["Consumers", "ticketing"]
    assert kubectl.calls[0][0] == ["--namespace=helpdesk", "--container=tools"]


def test_what_cannot_be_asked_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = FakeKubectl(tmp_path)
    monkeypatch.setenv("PATH", kubectl.path)
    kubectl.fails(
        "queue --stream=support --limit=1",
        'Error from server (NotFound): pods "mailfetch-tools-0" not found',
        code=99,
    )
    head, line = consumer_lines(connection("support"), Tools())
    assert (head.label, line.label) == ("Consumers", "Not known")
    assert "there is no pod mailfetch-tools-0 in namespace helpdesk" in line.text
    assert "\n" not in line.text
