import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.sources.base import PERMANENTLY, ActionKind, ActionPhase
from mailfetch_fetcher.store import outbox
from mailfetch_fetcher.store.model import Mail, WantedAction


def member(kind: ActionKind = "Move", folder: str = "Done") -> str:
    action = WantedAction(kind=kind, folder=folder)
    mail = Mail(
        ref="1700000000/17",
        uid_validity="1700000000",
        uid=17,
        folder="INBOX",
        identity=b"i",
        body=b"",
        size=0,
        sha256="",
    )
    head, tail = outbox.member_around_entry(mail, action, fingerprint="00ff")
    return f"{head}1706-3{tail}"


def test_a_member_reads_as_documented() -> None:
    assert member() == "1700000000/17 00ff Move pending 1706-3 Done"
    assert member("MarkSeen", "") == "1700000000/17 00ff MarkSeen pending 1706-3 "
    assert member("Delete", PERMANENTLY) == "1700000000/17 00ff Delete pending 1706-3 permanently"


@given(folder=st.text(), phase=st.sampled_from(["pending", "copying", "copied"]), same=st.booleans())
def test_what_is_written_is_read(folder: str, phase: ActionPhase, same: bool) -> None:
    text = outbox.with_phase(member(folder=folder), phase)
    action = outbox.parse_member(text, same_session=same)
    assert (action.uid_validity, action.uid, action.fingerprint) == ("1700000000", 17, "00ff")
    assert (action.kind, action.folder, action.phase, action.entry) == ("Move", folder, phase, "1706-3")
    assert (action.member, action.same_session) == (text, same)
    assert outbox.ref_of(text) == "1700000000/17"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1/2",
        "1/x ff Move pending 1-1 ",
        "1/2 ff Burn pending 1-1 ",
        "1/2 ff Move now 1-1 ",
    ],
)
def test_what_cannot_be_read_stops(text: str) -> None:
    with pytest.raises(StoreError) as failure:
        outbox.parse_member(text, same_session=False)
    assert failure.value.reason == "StoreUnsafe"
