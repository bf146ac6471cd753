"""Advice: what works, but not as people may expect. Reasons are API, and their order is that of their importance."""

from collections.abc import Iterator

from mailfetch_operator import names
from mailfetch_operator.status.facts import Facts

Advice = tuple[str, str]
"""Reason and message. No number that moves with each mail: every change of a message is written at once."""


def advice_on(facts: Facts) -> Iterator[Advice]:
    """All of it, the most important first."""
    if others := facts.world.same_mailbox:
        read = "read" if len(others) > 1 else "reads"
        text = f"{', '.join(others[:5])} {read} the same mailbox: every mail comes twice, and actions clash."
        yield "SameMailboxTwice", text
    if _insecure(facts):
        yield "InsecureLogin", "The password travels unencrypted; set spec.server.encryption to TLS or StartTLS."
    if _quarantined(facts):
        yield "Quarantined", _quarantine(facts)
    if facts.report and facts.live and facts.report.actions.unproven:
        yield "UnprovenAcknowledgements", _unproven(facts)
    if facts.gate.open and not facts.world.consumer_groups:
        yield "NoConsumerGroup", _no_group(facts)
    if _marks_over_pop3(facts):
        yield (
            "Pop3MarkSeen",
            "POP3 cannot mark mails as read, so MarkSeen leaves them as they are, and the mailbox grows without end. "
            "Set spec.afterDownload.action to Delete, or to None if that is meant.",
        )


def _insecure(facts: Facts) -> bool:
    spec = facts.connection.spec
    plain = spec is not None and spec.server is not None and spec.server.encryption == "None"
    return plain or (facts.report is not None and facts.report.insecure)


def _quarantined(facts: Facts) -> bool:
    if facts.report and facts.live and facts.report.state_id:
        return facts.report.quarantined > 0
    return bool((facts.connection.status.get("fetch") or {}).get("quarantined"))


def _quarantine(facts: Facts) -> str:
    again = facts.command(names.annotation("refetch"), '"quarantined#$(date +%s)"')
    return (
        "Mails that cannot be downloaded were set aside (how many: status.fetch.quarantined; which: events and log). "
        f"The others go on, and these are tried again by themselves. To try now: {again}"
    )


def _unproven(facts: Facts) -> str:
    group = facts.connection.spec.after_download.consumer_group if facts.connection.spec else ""
    return (
        f"Of some mails it cannot be proven that the consumer group {group} acknowledged them (the group was made "
        "anew, or entries were removed), so they stay in the mailbox as they are; the log has them with the result "
        "Unproven."
    )


def _no_group(facts: Facts) -> str:
    return (
        "No consumer group is named, so nothing is ever removed from the stream, and fetching stops when it holds "
        f"spec.queue.maxLength ({facts.spec.queue.max_length}) entries. Name the groups that read it in "
        "spec.queue.consumerGroups."
    )


def _marks_over_pop3(facts: Facts) -> bool:
    spec = facts.connection.spec
    return spec is not None and spec.protocol == "POP3" and spec.after_download.action == "MarkSeen"
