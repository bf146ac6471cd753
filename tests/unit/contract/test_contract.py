from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.contract import assignment, probe, secrets, units
from mailfetch_fetcher.contract.assignment import Assignment, Assignments
from mailfetch_fetcher.contract.identity import mailbox_identity
from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.contract.report import Problem
from mailfetch_fetcher.contract.spec import Spec, parse_spec, unsupported

RAW = {
    "protocol": "IMAP",
    "server": {"host": "imap.example.com"},
    "auth": {"type": "Password", "username": "u", "passwordSecretRef": {"name": "s"}},
}

OAUTH2: dict[str, Any] = {
    "type": "MicrosoftOAuth2",
    "username": "u@contoso.com",
    "oauth2": {"clientSecretRef": {"name": "c"}, "tokenSecretRef": {"name": "t"}},
}


def spec(**changes: object) -> Spec:
    return parse_spec(RAW | changes)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m", 60), ("1h30m", 5400), ("30000ms", 30), ("1.5s", 1.5), ("", 7), ("0s", 7), ("0m0s", 7)]
)
def test_durations(text: str, seconds: float) -> None:
    assert units.duration(text, default=7) == seconds


@pytest.mark.parametrize("text", ["1d", "+1m", "1", "m", "1m ", "1 m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        units.duration(text, default=1)


def test_sizes_and_periods() -> None:
    assert units.size("150Mi") == 157286400
    assert units.size(1024) == 1024
    assert units.period("7d") == 604800
    assert units.period("12h") == 43200


def test_assignments_survive_their_encoding_and_equal_content_is_equal_text() -> None:
    a = Assignments(
        cluster_id="c",
        connections=(
            Assignment(namespace="n", name="a", spec=spec(), identity="i", requests={"fetch": "1", "a": "2"}),
        ),
    )
    text = assignment.encode(a)
    assert assignment.decode(text) == a
    again = msgspec.structs.replace(a.connections[0], requests={"a": "2", "fetch": "1"})
    assert assignment.encode(msgspec.structs.replace(a, connections=(again,))) == text


def test_the_fingerprint_ignores_what_a_running_session_takes_over() -> None:
    a = Assignment(namespace="n", name="a", spec=spec(), identity="i")
    same = msgspec.structs.replace(a, state_id="s", seq=5, requests={"fetch": "1"}, generation=9)
    other = msgspec.structs.replace(a, gate_epoch=2)
    assert assignment.fingerprint(a) == assignment.fingerprint(same) != assignment.fingerprint(other)


def test_unknown_fields_are_ignored_so_that_an_older_fetcher_understands_a_newer_operator() -> None:
    assert assignment.decode('{"clusterId":"c","connections":[],"later":1}').cluster_id == "c"


def test_identity_changes_with_the_mailbox_and_with_nothing_else() -> None:
    base = mailbox_identity(spec())
    same = [
        spec(server={"host": "IMAP.example.com.", "encryption": "StartTLS"}),
        spec(server={"host": "imap.example.com", "port": 993}),
        spec(folder="inbox"),
        spec(schedule={"interval": "5m"}),
        spec(afterDownload={"action": "Delete"}),
    ]
    other = [
        spec(server={"host": "imap2.example.com"}),
        spec(server={"host": "imap.example.com", "port": 1993}),
        spec(folder="Archive"),
        spec(sharedMailbox="x@example.com"),
        spec(auth=RAW["auth"] | {"username": "v"}),  # type: ignore[operator]
    ]
    assert {mailbox_identity(s) for s in same} == {base}
    assert len({base, *map(mailbox_identity, other)}) == len(other) + 1


def test_what_this_version_cannot_run_is_named() -> None:
    assert unsupported(spec()) == ""
    assert unsupported(spec(protocol="POP3", afterDownload={"when": "Acknowledged", "consumerGroup": "g"})) == ""
    assert unsupported(spec(sharedMailbox="billing@example.com")) == ""
    assert unsupported(spec(auth=OAUTH2)) == ""
    assert "certificates" in unsupported(spec(certificates=[{"secretName": "s"}]))


def test_a_provider_s_own_host_may_be_written_or_left_out() -> None:
    def over(protocol: str, **changes: object) -> Spec:
        return parse_spec({"protocol": protocol, "auth": OAUTH2} | changes)

    bare = mailbox_identity(over("IMAP"))
    assert bare == mailbox_identity(over("IMAP", server={"host": "Outlook.Office365.com"}))
    assert bare == mailbox_identity(over("IMAP", server={"host": "outlook.office365.com", "port": 993}))
    assert bare != mailbox_identity(over("IMAP", server={"host": "imap.example.com"}))
    assert bare != mailbox_identity(over("POP3"))
    china = OAUTH2 | {"oauth2": OAUTH2["oauth2"] | {"cloud": "China"}}
    assert bare != mailbox_identity(over("IMAP", auth=china))


def test_every_reference_is_mounted_once_per_key() -> None:
    oauth2 = list(secrets.references(parse_spec({"protocol": "IMAP", "auth": OAUTH2})))
    assert ("t", "refresh-token") in oauth2
    assert ("c", "client-id") in oauth2
    assert len(set(oauth2)) == len(oauth2)
    refs = list(secrets.references(spec(tls={"caSecretRef": {"name": "ca"}})))
    assert refs == [("s", "password"), ("ca", "ca.crt")]


def test_connection_named_like_a_key_does_not_collide() -> None:
    stream = StreamKeys(namespace="n", stream="s")
    names = {stream.blob("x"), stream.connection("blob").state, stream.queue, stream.connection("queue").prefix}
    assert len(names) == 4
    assert all(name.startswith("mail:{n/s}:") for name in names)


@given(
    details=st.lists(st.text(max_size=3000), max_size=7),
    notes=st.lists(st.text(max_size=2000), max_size=16),
    message=st.text(max_size=9000),
)
def test_a_probe_result_always_fits_a_termination_message(details: list[str], notes: list[str], message: str) -> None:
    steps = tuple(probe.Step(name="dns", ok=True, detail=d) for d in details)
    result = probe.ProbeResult(
        uid="u",
        fingerprint="f",
        time="t",
        steps=steps,
        problem=Problem(reason="TLSFailed", message=message, time="t"),
        estimate=probe.Estimate(new_messages=1, total_messages=1, notes=tuple(notes)),
    )
    text = probe.encode(result)
    assert len(text) <= probe.LIMIT
    assert probe.decode(text).steps[: len(details)] is not None
