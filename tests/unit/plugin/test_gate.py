import pytest

from kubectl_mailfetch.gate import acknowledgement_needed, settled
from tests.unit.plugin.samples import awaiting, condition, connection, flowing

ACK = "mailfetch.dev/acknowledge"


@pytest.mark.parametrize(
    ("new", "epoch", "given", "needed"),
    [
        (1234, 1, None, "1234"),
        (1234, 2, None, "1234/2"),
        (100, 1, None, None),
        (101, 1, None, "101"),
        (1234, 1, "1134", None),
        (1234, 1, "1133", "1234"),
        (1234, 1, "1234/1", None),
        (1234, 2, "1234", "1234/2"),
        (1234, 2, "1234/1", "1234/2"),
        (1234, 2, "1234/2", None),
        (1234, 1, "any", None),
        (1234, 3, "any", "1234/3"),
        (1234, 3, "any/3", None),
        (1234, 1, "many", "1234"),
    ],
)
def test_the_exact_value_that_opens_the_gate(new: int, epoch: int, given: str | None, needed: str | None) -> None:
    annotations = {ACK: given} if given else {}
    assert acknowledgement_needed(connection(status=awaiting(new, epoch=epoch), annotations=annotations)) == needed


def test_low_confidence_needs_an_explicit_acknowledgement() -> None:
    status = awaiting(3, confidence="Low")
    assert acknowledgement_needed(connection(status=status)) == "3"
    assert acknowledgement_needed(connection(status=status, annotations={ACK: "3"})) is None


def test_after_a_reset_even_a_small_backlog_needs_one() -> None:
    status = awaiting(3, epoch=2)
    status["approval"]["reason"] = "MailboxReset"
    assert acknowledgement_needed(connection(status=status)) == "3/2"
    assert acknowledgement_needed(connection(status=status, annotations={ACK: "3/2"})) is None


def test_a_mailbox_that_the_fetcher_did_not_recognise_needs_one() -> None:
    status = awaiting(3, epoch=3)
    status["approval"] |= {"reason": "IdentityChanged", "message": "It cannot be recognised."}
    assert acknowledgement_needed(connection(status=status)) == "3/3"
    assert acknowledgement_needed(connection(status=status, annotations={ACK: "3/3"})) is None


@pytest.mark.parametrize("confidence", ["High", "Low"])
def test_after_a_reset_an_acknowledgement_lets_it_go_on(confidence: str) -> None:
    status = awaiting(1234, epoch=2, confidence=confidence)
    status["approval"]["reason"] = "MailboxReset"
    assert acknowledgement_needed(connection(status=status)) == "1234/2"
    assert settled(connection(status=status))
    assert acknowledgement_needed(connection(status=status, annotations={ACK: "any/2"})) is None


def test_nothing_is_needed_before_counting_or_when_the_gate_is_open() -> None:
    assert acknowledgement_needed(connection()) is None
    assert acknowledgement_needed(connection(status=flowing())) is None


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("True", "Disabled", False),
        ("Unknown", "Pending", False),
        ("False", "FetcherUnavailable", False),
        ("True", "Suspended", True),
        ("False", "AuthFailed", True),
        ("False", "InvalidConfiguration", True),
        ("Unknown", "Purging", True),
        ("False", "PurgeFailed", True),
    ],
)
def test_waiting_ends_when_there_is_something_to_tell(status: str, reason: str, expected: bool) -> None:
    assert settled(connection(status={"conditions": [condition("Ready", status, reason)]})) is expected


def test_waiting_goes_on_while_the_operator_has_not_seen_the_acknowledgement() -> None:
    assert settled(connection(status=awaiting(1234)))
    assert not settled(connection(status=awaiting(1234), annotations={ACK: "1234"}))
    assert settled(connection(status=flowing()))
