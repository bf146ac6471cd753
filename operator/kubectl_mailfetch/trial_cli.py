"""The command `test`: of a saved connection by an annotation, of a file by a Job that leaves nothing behind."""

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.options import EPILOG, Context, Kubeconfig, Namespace, Output, Timeout, Wait, connect, talk
from kubectl_mailfetch.output import Format
from kubectl_mailfetch.requests_cli import Asking

if TYPE_CHECKING:
    from kubectl_mailfetch.kube import Cluster
    from kubectl_mailfetch.model import Connection
    from kubectl_mailfetch.page import Line

Tested = Annotated[str, typer.Argument(help="Name of the MailConnection; with -f only needed if the file has several.")]
File = Annotated[str, typer.Option("-f", "--file", help="Manifest of a connection that is not saved yet; - is stdin.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="With -f: the mailbox's password is on standard input.")
]
AskPassword = Annotated[
    bool, typer.Option("--ask-password", help="With -f: ask for the password, even if there is a Secret.")
]
ImageOption = Annotated[
    str, typer.Option("--image", help="With -f: image of the Job. Default: that of the namespace's mailfetch-tools.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("test", epilog=EPILOG)(try_)


def try_(
    name: Tested = "",
    namespace: Namespace = "",
    file: File = "",
    password_stdin: PasswordStdin = False,
    ask_password: AskPassword = False,
    image: ImageOption = "",
    output: Output = Format.table,
    wait: Wait = True,
    timeout: Timeout = 120,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Test a MailConnection step by step: DNS, TCP, TLS, login, folder, permission. Changes nothing in the mailbox.

    With -f before it is saved: the API server checks the manifest, then a Job with your rights logs in and counts. The
    password comes from the Secret that the manifest names, in the file or in the cluster; if there is none you are
    asked. Job and password are removed at the end. Exit code 1: a step failed.
    """
    if not (name or file):
        raise PluginError("name a MailConnection, or a file with -f", code=Exit.USAGE)
    if not file and (password_stdin or ask_password or image):
        raise PluginError(
            "--password-stdin, --ask-password and --image are for a connection that is not saved: name a file with -f",
            code=Exit.USAGE,
        )
    if file == "-" and password_stdin:
        raise PluginError("standard input cannot be both the manifest and the password", code=Exit.USAGE)
    if not file:
        asked = Asking(name, namespace, output=output, timeout=timeout, context=context, kubeconfig=kubeconfig)
        _saved(asked, wait=wait)
        return
    cluster = connect(kubeconfig, context)
    _not_saved(
        cluster,
        name,
        namespace,
        file=file,
        password=(password_stdin, ask_password),
        image=image,
        output=output,
        timeout=timeout,
    )


def _saved(asked: "Asking", *, wait: bool) -> None:
    done = asked.request("test", wait=wait)
    if done is None:
        return
    asked.show(done, _saved_page(done))
    if done.text("status", "test", "result") != "Succeeded":
        raise PluginError(f"the test of {done.name} failed")


def _saved_page(c: "Connection") -> "Iterator[Line]":
    from kubectl_mailfetch.advice import remedy
    from kubectl_mailfetch.page import Line
    from kubectl_mailfetch.steps import step_lines

    yield from step_lines(c.dig("status", "test", "steps") or ())
    if c.text("status", "test", "result") == "Succeeded":
        return
    problem = c.condition("ConnectionVerified")
    if problem.status == "False":
        yield Line(label=problem.reason, text=problem.message, tone="bad")
        for line in remedy(c, problem.reason):
            yield Line(command=line[2:]) if line.startswith("$ ") else Line(label="What to do", text=line)


def _not_saved(
    cluster: "Cluster",
    name: str,
    namespace: str,
    *,
    file: str,
    password: tuple[bool, bool],
    image: str,
    output: Format,
    timeout: float,
) -> None:
    from kubectl_mailfetch.authorize.documents import find_connection, read_documents
    from kubectl_mailfetch.trial_run import checked, find_image, run_trial
    from kubectl_mailfetch.trial_secrets import Sources, collect, prompt

    documents = read_documents(file)
    document = find_connection(documents, name, path=file)
    where = namespace or (document.get("metadata") or {}).get("namespace") or cluster.namespace
    connection = checked(cluster, document, where)
    image_of = find_image(cluster, where, image)
    stdin, ask = password
    known = _Known(cluster, where)
    sources = Sources(documents=documents, stdin=stdin, ask=ask, in_cluster=known, prompt=prompt)
    values = collect(connection, sources)
    person = talk(yes=True, timeout=timeout, aside=output not in (Format.table, Format.wide))
    person.say(f"Testing {connection['metadata']['name']} in namespace {where} … (Ctrl-C removes what it made)")
    result = run_trial(cluster, connection, image=image_of, values=values, pause=person.pause, timeout=timeout)
    _show(connection, result, output)
    if result.get("problem"):
        raise PluginError("the test failed; nothing was saved")


class _Known:
    """Whether the cluster has a key of a Secret; None if the caller may not see that."""

    def __init__(self, cluster: "Cluster", namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def __call__(self, secret: str, key: str) -> bool | None:
        try:
            found = self._cluster.find_secret(self._namespace, secret)
        except PluginError as e:
            if e.code is Exit.NO_CLUSTER:  # who may make Jobs but not read Secrets: the Job tells
                return None
            raise
        return bool(found and key in (found.get("data") or {}))


def _show(connection: Mapping[str, Any], result: Mapping[str, Any], output: Format) -> None:
    from kubectl_mailfetch import output as printer
    from kubectl_mailfetch.model import Connection

    if output is Format.name:
        printer.print_names([Connection(connection)], out=sys.stdout)
    elif output in (Format.json, Format.yaml):
        printer.print_value(result, output, out=sys.stdout)
    else:
        printer.print_page(list(_page(connection, result)), out=printer.console())


def _page(connection: Mapping[str, Any], result: Mapping[str, Any]) -> "Iterator[Line]":
    from kubectl_mailfetch.model import Connection, plain
    from kubectl_mailfetch.page import Line, estimate_lines
    from kubectl_mailfetch.steps import step_lines

    yield from step_lines(result.get("steps") or ())
    if problem := result.get("problem"):
        yield Line(label=plain(problem.get("reason", "")), text=plain(problem.get("message", "")), tone="bad")
    if estimate := result.get("estimate"):
        # What is left out of the JSON has its default (`contract/probe.py` of the fetcher).
        usual = {"unseenMessages": 0, "mailbox": "New", "accuracy": "Exact", "confidence": "High"}
        status = {"estimate": usual | estimate | {"checkedAt": result.get("time")}}
        yield from estimate_lines(Connection({**connection, "status": status}), now=datetime.now(UTC))
