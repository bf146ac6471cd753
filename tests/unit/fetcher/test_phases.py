"""The decisions of baselines, resets, floods and requests: pure functions."""

from datetime import UTC, datetime

import pytest

from mailfetch_fetcher.baseline import since_of
from mailfetch_fetcher.contract.spec import AfterDownload, Backlog, Protocol, Spec, parse_spec
from mailfetch_fetcher.mails import wanted_action
from mailfetch_fetcher.names import is_flood
from mailfetch_fetcher.refetch import Position, read_position
from mailfetch_fetcher.reset import Approval, Census, approval_of, seconds_of
from mailfetch_fetcher.sources.base import PERMANENTLY, Snapshot
from mailfetch_fetcher.store.model import State, WantedAction


def test_since_is_the_beginning_of_the_day_in_utc() -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC).timestamp()
    assert since_of(Backlog(start_from="Since", since="2026-01-31")) == moment
    assert since_of(Backlog(start_from="Now")) is None
    with pytest.raises(ValueError, match="yesterday"):
        since_of(Backlog(start_from="Since", since="yesterday"))


@pytest.mark.parametrize(
    ("matched", "unknown", "old", "suspicious"),
    [
        (300, 7, 0, 0),  # new mail
        (300, 7, 7, 7),  # they were there before
        (100, 100, 0, 0),  # half is recognised: dates count
        (99, 100, 0, 100),  # less: they do not
        (0, 5, 0, 5),
    ],
)
def test_which_unknown_mails_are_suspicious(matched: int, unknown: int, old: int, suspicious: int) -> None:
    assert Census(matched=matched, unknown=unknown, old=old).suspicious == suspicious


@pytest.mark.parametrize(
    ("new", "known", "flood"), [(101, 0, True), (100, 0, False), (1000, 100, False), (1001, 100, True), (500, -1, True)]
)
def test_a_flood_is_large_and_hardly_anything_is_known(new: int, known: int, flood: bool) -> None:
    look = Snapshot(new=new, total=new, unseen=-1, exact=True, known=known)
    assert is_flood(look, most=100) is flood


@pytest.mark.parametrize("text", ["", "{", "[]", '{"value": 7}'])
def test_an_unreadable_position_is_none(text: str) -> None:
    assert read_position(text) == Position()


def test_a_position_survives() -> None:
    position = Position(value="uid:5#ü", position="1:5", done=True)
    assert read_position(position.encode()) == position


def test_times() -> None:
    assert seconds_of("1970-01-01T00:01:00Z") == 60
    assert seconds_of("") == -1


@pytest.mark.parametrize(
    ("protocol", "action", "kind"),
    [
        ("IMAP", "MarkSeen", "MarkSeen"),
        ("POP3", "MarkSeen", None),
        ("POP3", "Delete", "Delete"),
        ("IMAP", "None", None),
    ],
)
def test_the_action_of_a_mail(protocol: Protocol, action: str, kind: str | None) -> None:
    spec: Spec = parse_spec(
        {"protocol": protocol, "auth": {"type": "Password", "username": "u"}, "afterDownload": {"action": action}}
    )
    assert isinstance(spec.after_download, AfterDownload)
    wanted = wanted_action(spec)
    assert (wanted and wanted.kind) == kind


@pytest.mark.parametrize(
    ("after", "folder"), [({}, ""), ({"permanent": False}, ""), ({"permanent": True}, PERMANENTLY)]
)
def test_deleting_for_good_is_another_action(after: dict[str, bool], folder: str) -> None:
    auth = {"type": "MicrosoftOAuth2", "username": "u"}
    spec = parse_spec({"protocol": "MicrosoftGraph", "auth": auth, "afterDownload": {"action": "Delete", **after}})
    assert wanted_action(spec) == WantedAction(kind="Delete", folder=folder)


@pytest.mark.parametrize(
    ("reset_approved", "before", "now", "approval"),
    [
        (False, 1, 1, Approval(given=False)),
        (False, 2, 1, Approval(given=False)),
        (True, 1, 2, Approval(given=True)),  # it began, and people approved
        (False, 1, 2, Approval(given=True, kept=1)),  # people approved before it began
    ],
)
def test_which_approval_counts_for_a_reset(reset_approved: bool, before: int, now: int, approval: Approval) -> None:
    state = State(
        state_id="s",
        identity="i",
        cluster_id="c",
        gate_epoch=now,
        epoch=1,
        seq=1,
        cursor="",
        anchor="",
        hash_key=b"k",
        reset_approved=reset_approved,
    )
    assert approval_of(state, epoch_before=before, epoch=now) == approval
