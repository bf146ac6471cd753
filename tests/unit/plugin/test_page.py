from typing import Any

import pytest

from kubectl_mailfetch.page import bar, status_page
from tests.unit.plugin.samples import NOW, awaiting, condition, connection, flowing

ENABLE = "mailfetch.dev/enable"


def text_of(**changes: Any) -> str:
    page = status_page(connection(**changes), now=NOW)
    return "\n".join(line.command or f"{line.label}: {line.text}" for line in page)


def test_a_closed_gate_says_exactly_how_to_open_it() -> None:
    text = text_of(status=awaiting(1234, epoch=2), annotations={ENABLE: "true"})
    assert "State: AwaitingApproval; Ready has been True for 60m (since 2026-01-31 11:00 UTC)" in text
    assert "kubectl mailfetch enable support -n helpdesk" in text
    assert "kubectl annotate mconn support -n helpdesk --overwrite mailfetch.dev/acknowledge=1234/2" in text
    assert 'To open: mailfetch.dev/acknowledge: "1234/2"' in text
    assert (
        "New mails: 1,234 of 20,110 in the folder (40 unread); accuracy Exact, confidence High, method UidRange" in text
    )


def test_the_server_of_a_provider_is_shown() -> None:
    auth = {"type": "MicrosoftOAuth2", "username": "u@contoso.com"}
    assert "Server: MicrosoftGraph graph.microsoft.com:443 (TLS)" in text_of(
        spec={"protocol": "MicrosoftGraph", "server": None, "auth": auth}
    )


def test_an_acknowledgement_of_an_older_epoch_is_pointed_out() -> None:
    text = text_of(status=awaiting(1234, epoch=2), annotations={"mailfetch.dev/acknowledge": "1234"})
    assert "Acknowledged: '1234' does not count under epoch 2" in text


@pytest.mark.parametrize(("enabled", "reason"), [("false", "Idle"), ("false", "AuthFailed"), ("true", "Disabled")])
def test_a_change_that_the_operator_has_not_seen_is_pointed_out(enabled: str, reason: str) -> None:
    """Or a connection that was disabled would look as if mail went on flowing by right."""
    text = text_of(status={"conditions": [condition("Ready", "True", reason)]}, annotations={ENABLE: enabled})
    assert "the operator has not taken note of it yet" in text
    assert "kubectl get pods -A -l app.kubernetes.io/name=mailfetch" in text


def test_mails_numbered_anew_can_be_accepted() -> None:
    status = awaiting(7, epoch=2, confidence="Low")
    status["approval"]["reason"] = "MailboxReset"
    text = text_of(status=status, annotations={ENABLE: "true"})
    assert 'To open: mailfetch.dev/acknowledge: "7/2"' in text
    assert "because of MailboxReset" in text


def test_a_quarantine_is_shown() -> None:
    status = flowing()
    assert "Quarantine" not in text_of(status=status)
    status["fetch"]["quarantined"] = 3
    assert "Quarantine: 3 set aside, because they cannot be downloaded" in text_of(status=status)


def test_a_purge_that_fails_gives_the_command_that_lets_it_go() -> None:
    status = {"conditions": [condition("Ready", "False", "PurgeFailed", "Redis does not answer.")]}
    text = text_of(status=status, annotations={ENABLE: "true"})
    assert """kubectl patch mconn support -n helpdesk --type=merge -p '{"spec":{"deletionPolicy":"Retain"}}'""" in text


@pytest.mark.parametrize("reason", ["Purging", "PurgeFailed"])
def test_a_deleted_connection_is_not_taken_for_one_that_nobody_looked_at(reason: str) -> None:
    text = text_of(status={"conditions": [condition("Ready", "Unknown", reason)]}, annotations={ENABLE: "false"})
    assert "has not taken note" not in text


def test_what_an_action_waits_for_is_shown() -> None:
    after = {"action": "Delete", "when": "Acknowledged", "consumerGroup": "tickets", "delay": "48h"}
    text = text_of(status=flowing(), spec={"afterDownload": after})
    assert "After download: Delete, when Acknowledged by tickets, 48h after it was stored at the earliest" in text


def test_flowing_mail_shows_counters_and_no_advice() -> None:
    text = text_of(status=flowing(), annotations={ENABLE: "true"})
    assert "State: Idle (Listening)" in text
    assert "Mails: 10,234 downloaded" in text
    assert "Lag: 3 at the server" in text
    assert "Last mail: 5m ago" in text
    assert "Fetcher: mailfetch-pool-default" in text
    assert "What to do" not in text


def test_a_backlog_shows_a_progress_bar() -> None:
    progress = {"done": 450, "total": 1000, "perSecond": 12, "expectedEnd": "2026-01-31T12:00:46Z"}
    text = text_of(status={**flowing(), "progress": progress})
    assert "Backlog: [#############.................]  45%  450 of 1,000, 12 a second, done in about 46s" in text


def test_the_bar_stays_within_its_bounds() -> None:
    assert bar(0, 10, width=4) == "[....]   0%"
    assert bar(11, 10, width=4) == "[####] 100%"
    assert bar(0, 0, width=4) == "[####] 100%"


def test_a_refused_password_gives_the_command_that_replaces_it() -> None:
    status = {
        "conditions": [condition("Ready", "False", "AuthFailed", "The server refused the login.")],
        "fetch": {
            "consecutiveFailures": 4,
            "lastError": {"reason": "AuthFailed", "message": "refused", "time": "2026-01-31T11:59:00Z"},
        },
    }
    text = text_of(status=status, annotations={ENABLE: "true"})
    assert "Why: The server refused the login." in text
    command = "kubectl patch secret support-mailbox -n helpdesk --type=merge -p"
    assert f"""{command} '{{"stringData":{{"password":"THE-PASSWORD"}}}}'""" in text
    assert 'mailfetch.dev/test="$(date +%s)"' in text, "the gate is closed, so a probe logs in, and rarely"
    assert "Last error: AuthFailed, 4 times in a row, first 60s ago (2026-01-31 11:59 UTC): refused" in text


@pytest.mark.parametrize("flow", ["Delegated", "Application"])
def test_a_missing_authorization_gives_the_command_unless_nobody_can_sign_in(flow: str) -> None:
    status = {"conditions": [condition("Ready", "False", "AuthorizationRequired", "Because.")]}
    oauth2 = {"flow": flow, "clientSecretRef": {"name": "client"}, "tokenSecretRef": {"name": "token"}}
    auth = {"type": "MicrosoftOAuth2", "username": "u@contoso.com", "oauth2": oauth2}
    text = text_of(status=status, annotations={ENABLE: "true"}, spec={"auth": auth})
    assert ("kubectl mailfetch authorize support -n helpdesk" in text) is (flow == "Delegated")
    assert ("Grant the permission that the message names" in text) is (flow == "Application")


def test_a_refused_oauth2_client_names_its_secret() -> None:
    status = {"conditions": [condition("Ready", "False", "AuthFailed", "Because.")]}
    auth = {"type": "MicrosoftOAuth2", "username": "u", "oauth2": {"clientSecretRef": {"name": "client"}}}
    text = text_of(status=status, annotations={ENABLE: "true"}, spec={"auth": auth})
    assert "the client in the Secret client, or the rights at the provider" in text


def test_a_connection_that_nobody_looked_at_points_to_the_operator() -> None:
    text = text_of()
    assert "State: not known yet" in text
    assert "kubectl get pods -A -l app.kubernetes.io/name=mailfetch" in text


READY_REASONS = {
    "True": ["Fetching", "Idle", "Disabled", "AwaitingApproval", "Suspended"],
    "False": [
        "InvalidConfiguration",
        "SecretNotFound",
        "ConnectionFailed",
        "TLSFailed",
        "AuthFailed",
        "AuthorizationRequired",
        "FolderNotFound",
        "Throttled",
        "QueueFull",
        "StoreUnavailable",
        "StoreUnsafe",
        "FetcherUnavailable",
        "PurgeFailed",
    ],
    "Unknown": ["Pending", "FetcherLost", "Purging"],
}


@pytest.mark.parametrize(("status", "reason"), [(s, r) for s, reasons in READY_REASONS.items() for r in reasons])
def test_every_state_says_what_to_do_or_needs_nothing(status: str, reason: str) -> None:
    annotations = {ENABLE: "false" if reason == "Disabled" else "true"}
    text = text_of(
        status={"conditions": [condition("Ready", status, reason, "Because. Do this.")]}, annotations=annotations
    )
    assert "has not taken note" not in text
    assert "Why: Because. Do this." in text
    needs_nothing = {"Fetching", "Idle", "SecretNotFound"}  # the operator's message has the command for the Secret
    assert ("What to do" in text) is (reason not in needs_nothing)


def test_after_download_failures_and_advice_are_shown() -> None:
    status = {
        "conditions": [
            condition("Ready", "True", "Idle"),
            condition("AfterDownload", "False", "StoreUnsafe", "Redis may lose data."),
            condition("Advisory", "True", "InsecureLogin", "InsecureLogin: the password is not encrypted."),
        ]
    }
    text = text_of(status=status, spec={"afterDownload": {"action": "Move", "folder": "Done", "when": "Persisted"}})
    assert "After download: Move to Done, when Persisted" in text
    assert "StoreUnsafe: Redis may lose data." in text
    assert "Advisory: InsecureLogin" in text


def test_wide_lists_every_condition() -> None:
    labels = [line.label for line in status_page(connection(status=flowing()), now=NOW, wide=True)]
    assert labels[-5:] == ["Conditions", "Ready", "Active", "Approved", "AfterDownload"]
