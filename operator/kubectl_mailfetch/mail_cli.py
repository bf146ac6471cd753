"""The commands `queue`, `log`, `show`, `requeue` and `purge`: mail, seen through the tools pod of its namespace."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.mail_query import Category, Place, Result, State
from kubectl_mailfetch.options import EPILOG, AllNamespaces, Context, Kubeconfig, Namespace, Output, Yes, connect, talk
from kubectl_mailfetch.output import Format

if TYPE_CHECKING:
    from kubectl_mailfetch.mail_rows import Table
    from kubectl_mailfetch.page import Line

OfConnection = Annotated[str, typer.Argument(help="Only of this MailConnection.", show_default=False)]
Connection = Annotated[str, typer.Option("-c", "--connection", help="Only of this MailConnection.")]
Stream = Annotated[str, typer.Option(help="Of this stream, also of one whose connections are gone.")]
Search = Annotated[str, typer.Option(help="Only with this text in sender, subject, Message-ID or id.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
States = Annotated[
    list[State] | None, typer.Option("--state", case_sensitive=False, help="Only in this state; may be given again.")
]
References = Annotated[list[str], typer.Argument(help="ID, mail id or Message-ID of a mail.", metavar="ID")]
_TIME = "2026-01-31, 2026-01-31T08:15:00Z, or 7d for seven days ago."


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (queue, log, show, requeue, purge):
        app.command(epilog=EPILOG)(command)


def queue(
    name: OfConnection = "",
    namespace: Namespace = "",
    all_namespaces: AllNamespaces = False,
    state: States = None,
    search: Search = "",
    limit: Limit = 50,
    stream: Stream = "",
    output: Output = Format.table,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Mails in the queue, the newest first. Without --state all but those that are done."""
    from kubectl_mailfetch import mail_query, mail_rows

    post = Post(namespace, context=context, kubeconfig=kubeconfig)
    words = [*(f"--state={one}" for one in state or ()), *mail_query.options(search=search, limit=limit)]
    answer = post.ask_all(post.places(name, stream, everywhere=all_namespaces), "queue", words, rows="entries")
    found = answer["entries"]
    if output is Format.name:
        typer.echo("".join(f"{mail_rows.reference(row)}\n" for row in found), nl=False)
    elif not _data(answer, output):
        table = mail_rows.queue_table(
            found, now=datetime.now(UTC), wide=output is Format.wide, namespaces=all_namespaces
        )
        _table(table, wide=output is Format.wide)
        typer.echo(f"In the queue: {mail_rows.summary(answer)}.", err=True)
        _truncated(answer, limit)
    post.finish()


def log(
    name: OfConnection = "",
    namespace: Namespace = "",
    all_namespaces: AllNamespaces = False,
    category: Annotated[Category | None, typer.Option(case_sensitive=False, help="Only of this category.")] = None,
    result: Annotated[Result | None, typer.Option(case_sensitive=False, help="Only with this result.")] = None,
    mail: Annotated[str, typer.Option("--id", help="Only about this mail.")] = "",
    since: Annotated[str, typer.Option(help=f"Only since: {_TIME}")] = "",
    search: Search = "",
    limit: Limit = 50,
    expand: Annotated[bool, typer.Option("--expand", help="Show all that each line says.")] = False,
    stream: Stream = "",
    output: Output = Format.table,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """What happened to the mails, the newest first."""
    from kubectl_mailfetch import mail_page, mail_query, mail_rows

    now = datetime.now(UTC)
    post = Post(namespace, context=context, kubeconfig=kubeconfig)
    since = mail_query.instant(since, option="--since", now=now)
    words = mail_query.options(category=category, result=result, id=mail, since=since, search=search, limit=limit)
    answer = post.ask_all(post.places(name, stream, everywhere=all_namespaces), "log", words, rows="lines")
    found = answer["lines"]
    if output is Format.name:
        typer.echo("".join(f"{ref}\n" for ref in dict.fromkeys(map(mail_rows.reference, found)) if ref), nl=False)
    elif not _data(answer, output):
        wide = output is Format.wide
        if expand:
            _page(mail_page.log_page(found, now=now))
        else:
            _table(mail_rows.log_table(found, now=now, wide=wide, namespaces=all_namespaces), wide=wide)
        _truncated(answer, limit)
    post.finish()


def show(
    reference: Annotated[str, typer.Argument(help="ID, mail id or Message-ID.", metavar="ID", show_default=False)],
    namespace: Namespace = "",
    stream: Stream = "",
    raw: Annotated[bool, typer.Option("--raw", help="The mail itself, as it came: into a file or a pipe.")] = False,
    output: Output = Format.table,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """All about one mail: where it stands, each delivery with its steps, and its log. Its headers with -o wide."""
    from kubectl_mailfetch.mail_page import show_page
    from kubectl_mailfetch.mail_rows import reference as reference_of

    post = Post(namespace, context=context, kubeconfig=kubeconfig)
    place = post.place("", stream)
    if raw:
        if sys.stdout.isatty():
            raise PluginError("a mail could drive your terminal: write it to a file (> mail.eml)", code=Exit.USAGE)
        sys.stdout.flush()
        post.tools.copy(place.namespace, "show", *place.words, "--raw", "--", reference, out=sys.stdout.buffer)
        return
    answer = post.tools.ask(place.namespace, "show", *place.words, "--", reference)
    if output is Format.name:
        typer.echo(reference_of(answer.get("entry") or {}))
    elif not _data(answer, output):
        _page(show_page(answer, now=datetime.now(UTC), wide=output is Format.wide))


def requeue(
    references: References,
    namespace: Namespace = "",
    stream: Stream = "",
    output: Output = Format.table,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Make mails new again: a copy, with an id of its own, comes to the end of the queue."""
    from kubectl_mailfetch.mail_rows import text

    post = Post(namespace, context=context, kubeconfig=kubeconfig)
    place = post.place("", stream)
    answer = post.tools.ask(place.namespace, "requeue", *place.words, "--", *references)
    if output is Format.name:
        typer.echo("".join(f"{text(one, 'newId')}\n" for one in answer.get("requeued") or ()), nl=False)
    elif not _data(answer, output):
        for one in answer.get("requeued") or ():
            typer.echo(f"Requeued {text(one, 'id')} as {text(one, 'newId')} (entry {text(one, 'newEntry')}).")
    if refused := answer.get("refused") or ():
        raise PluginError("\n".join(f"{text(one, 'ref')} is not requeued: {text(one, 'reason')}" for one in refused))


def purge(
    references: Annotated[list[str] | None, typer.Argument(help="Only these mails.", metavar="ID")] = None,
    namespace: Namespace = "",
    connection: Connection = "",
    state: States = None,
    search: Search = "",
    before: Annotated[str, typer.Option(help=f"Only older than: {_TIME}")] = "",
    of_log: Annotated[bool, typer.Option("--log", help="Lines of the log instead of mails.")] = False,
    stream: Stream = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Yes = False,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Remove mails from the queue, or lines from the log. Says what would go, and asks.

    What an after-download action or a named consumer group still needs stays, unless you name it by its ID or state.
    Nothing is downloaded again because of it.
    """
    from kubectl_mailfetch import mail_query
    from kubectl_mailfetch.purging import Purge

    filtered = bool(connection or state or search or before)
    if bool(references) == filtered or (of_log and (references or state)):
        raise PluginError(
            "say what to purge: either IDs, or --connection, --state, --search and --before together (with --log no"
            " IDs and no --state)",
            code=Exit.USAGE,
        )
    post = Post(namespace, context=context, kubeconfig=kubeconfig)
    place = post.place(connection, stream)
    filters = mail_query.options(
        search=search, before=mail_query.instant(before, option="--before", now=datetime.now(UTC))
    )
    words = [*(f"--state={one}" for one in state or ()), *filters, *["--log"] * of_log]
    job = Purge(place=place, words=tuple(words), references=tuple(references or ()), of_log=of_log)
    job.run(post.tools.ask, talk(yes=yes, timeout=0), dry_run=dry_run)


class Post:
    """The cluster and its tools pods, as the options of a command name them."""

    def __init__(self, namespace: str, *, context: str, kubeconfig: str) -> None:
        from kubectl_mailfetch.tools import Tools

        self._cluster = connect(kubeconfig, context)
        self._namespace = namespace or self._cluster.namespace
        self._failures: list[PluginError] = []
        self.tools = Tools(context=context, kubeconfig=kubeconfig)

    def place(self, name: str, stream: str) -> Place:
        """Where to look in one namespace."""
        (found,) = self.places(name, stream, everywhere=False)
        return found

    def places(self, name: str, stream: str, *, everywhere: bool) -> list[Place]:
        """Where to look: of one connection, one stream, or all connections.

        Raises:
            PluginError: there is no connection, or the options exclude each other.
        """
        from kubectl_mailfetch.mail_query import place_of, places_of
        from kubectl_mailfetch.model import Connection

        if everywhere and (name or stream):
            raise PluginError("-A is about all connections: name no connection or stream with it", code=Exit.USAGE)
        if stream:
            return [Place(namespace=self._namespace, streams=(stream,), connection=name)]
        if name:
            return [place_of(Connection(self._cluster.get(self._namespace, name)))]
        found = places_of(map(Connection, self._cluster.list(None if everywhere else self._namespace)))
        if not found:
            where = "in any namespace" if everywhere else f"in namespace {self._namespace}"
            raise PluginError(f"there is no MailConnection {where}, so there is no mail", code=Exit.NOT_FOUND)
        return found

    def ask_all(self, places: list[Place], command: str, words: list[str], *, rows: str) -> dict[str, Any]:
        """The answers of all places as one; of those that cannot be asked `finish` tells."""
        from kubectl_mailfetch.mail_query import merged

        answers = []
        for place in places:
            try:
                answers.append((place.namespace, self.tools.ask(place.namespace, command, *place.words, *words)))
            except PluginError as e:
                self._failures.append(e)
        if not answers:
            self.finish()
        return merged(answers, rows=rows)

    def finish(self) -> None:
        """Fails if a place could not be asked.

        Raises:
            PluginError: with what each of them said.
        """
        if self._failures:
            raise PluginError("\n".join(e.message for e in self._failures), code=self._failures[0].code)


def _data(answer: dict[str, Any], output: Format) -> bool:
    """Whether it was printed, because it was asked for as data."""
    from kubectl_mailfetch.output import print_value

    if output not in (Format.json, Format.yaml):
        return False
    print_value(answer, output, out=sys.stdout)
    return True


def _table(table: "Table", *, wide: bool) -> None:
    from kubectl_mailfetch import output as printer

    if table.rows:
        printer.print_table(table.header, table.rows, table.tones, toned=table.toned, out=printer.console(), wide=wide)


def _page(lines: "Iterable[Line]") -> None:
    from kubectl_mailfetch import output as printer

    printer.print_page(list(lines), out=printer.console())


def _truncated(answer: dict[str, Any], limit: int) -> None:
    if answer.get("truncated"):
        typer.echo(f"There are more than the {limit} newest: see them with --limit, or fewer with --search.", err=True)
