"""What a person reads who runs Mailfetch without Kubernetes: each thing once, and what to do about it."""

import sys

from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_fetcher.contract.report import ConnectionReport

POP3_MARK_SEEN = (
    "POP3 cannot mark mails as read, so MarkSeen leaves them as they are; set spec.afterDownload.action to Delete, or "
    "to None if that is meant"
)
WITHOUT_KUBERNETES = (
    "without Kubernetes: put a document of kind Secret into the file, or name a directory with files SECRET/KEY by "
    "--secrets"
)


def say(text: str) -> None:
    """One line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show_probe(a: Assignment, result: ProbeResult) -> None:
    """The steps of a test and the estimate."""
    where = " (POP3)" if a.spec.protocol == "POP3" else f", folder {a.folder}"
    say(f"{a.name}: {a.spec.auth.username}{where}")
    for step in result.steps:
        detail = step.detail if step.ok else ""  # the problem below has the same words
        say(f"  {'ok  ' if step.ok else 'FAIL'} {step.name:<11} {step.milliseconds:>5} ms  {detail}".rstrip())
    if result.problem:
        say(f"  {result.problem.reason}: {result.problem.message}")
        if result.problem.reason == "SecretNotFound":
            say(f"  {WITHOUT_KUBERNETES}")
    if e := result.estimate:
        known = "a known mailbox" if e.mailbox == "Known" else "a new mailbox"
        say(f"  {e.new_messages} new mails of {e.total_messages} ({known}; {e.accuracy}, confidence {e.confidence})")
    for note in _notes(a, result):
        say(f"  note: {note}")


def _notes(a: Assignment, result: ProbeResult) -> list[str]:
    notes = list(result.estimate.notes) if result.estimate else []
    if result.state and result.state.moved:
        notes.append("the mailbox was recognised at its new address: it goes on where it was")
    if a.spec.protocol == "POP3" and a.spec.after_download.action == "MarkSeen":
        notes.append(POP3_MARK_SEEN)
    return notes


def line_of(report: ConnectionReport) -> str:
    """How a connection is; empty if there is nothing to say."""
    if report.gate:
        return f"stopped, {report.gate}: {report.gate_message}"
    if report.problem:
        return f"{report.problem.reason}: {report.problem.message}"
    if p := report.progress:
        return f"{p.done} of {p.total} mails ({p.per_second}/s, done about {p.expected_end[11:16]} UTC)"
    if report.phase in ("Listening", "Polling"):
        aside = f", {report.quarantined} in quarantine" if report.quarantined else ""
        done = f"up to date, {report.messages} mails downloaded in all{aside}, {report.phase.lower()}"
        return done + _waiting(report)
    return ""


def _waiting(report: ConnectionReport) -> str:
    """After-download actions that are not done."""
    actions, text = report.actions, ""
    if actions.reason != "Done":
        text = f"; {actions.pending} after-download actions, {actions.reason}: {actions.message}"
    elif actions.pending:
        text = f"; {actions.pending} after-download actions: {actions.message}"
    if actions.unproven:
        text += f"; {actions.unproven} mails stay, as nobody can say whether they were acknowledged"
    return text
