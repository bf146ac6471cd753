"""Entry point of `kubectl mailfetch`. Importing this is cheap: pykube and rich are imported inside the commands."""

import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubectl_mailfetch import completion_cli, mail_cli, requests_cli, trial_cli
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.options import (
    EPILOG,
    AllNamespaces,
    Context,
    Kubeconfig,
    Name,
    Namespace,
    Output,
    Timeout,
    Watch,
    Yes,
    connect,
    talk,
)
from kubectl_mailfetch.output import Format

if TYPE_CHECKING:
    from kubectl_mailfetch.model import Connection

app = typer.Typer(
    help="Look after MailConnections: which mailboxes are downloaded, how they are, and whether they may.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich would cost more than all the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Of `authorize`.
File = Annotated[str, typer.Option("-f", "--file", help="Manifest of a connection that is not saved yet.")]
Browser = Annotated[bool, typer.Option(help="Open the browser; the address is printed in any case.")]
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port of this machine that the browser comes back to. 0: a free one.")
]
Device = Annotated[bool, typer.Option("--device", help="Sign in on any machine with a code (Microsoft only).")]
CaFile = Annotated[str, typer.Option(help="Certificate authorities to trust instead of the usual (a PEM file).")]
Check = Annotated[bool, typer.Option(help="See whether the account may open the mailbox before writing.")]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Set the key of a token Secret that somebody else made or other connections use."),
]
Secrets = Annotated[
    str,
    typer.Option(
        "--secrets",
        help="Without a cluster, with -f: directory of Secrets as files SECRET/KEY; the token is written there.",
    ),
]


@app.command("list", epilog=EPILOG)
def list_(
    term: Annotated[
        str,
        typer.Argument(help="Only those with this text in name, description, host, user name or shared mailbox."),
    ] = "",
    namespace: Namespace = "",
    all_namespaces: AllNamespaces = False,
    output: Output = Format.table,
    watch: Watch = False,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """List MailConnections, or search them."""
    from kubectl_mailfetch import output as printer
    from kubectl_mailfetch.model import Connection, matches

    cluster = connect(kubeconfig, context)
    where = None if all_namespaces else namespace or cluster.namespace
    table = partial(_table, wide=output is Format.wide, namespaces=all_namespaces)
    if watch:
        from kubectl_mailfetch import watching

        snapshots = cluster.follow(where, tick=watching.TICK)
        return watching.watch(snapshots, form=output, choose=lambda c: matches(c, term), page=table)
    found = [c for c in map(Connection, cluster.list(where)) if matches(c, term)]
    found.sort(key=lambda c: (c.namespace, c.name))
    if output is Format.name:
        printer.print_names(found, out=sys.stdout)
    elif output in (Format.json, Format.yaml):
        printer.print_objects([c.raw for c in found], output, out=sys.stdout)
    elif found:
        table(printer.console(), found)
    else:
        place = "in any namespace" if all_namespaces else f"in namespace {where} (-A searches all)"
        typer.echo(f"No MailConnections{f' with {term!r}' if term else ''} {place}.", err=True)


def _table(out: Any, found: "list[Connection]", *, wide: bool, namespaces: bool) -> None:
    from kubectl_mailfetch import output as printer
    from kubectl_mailfetch.rows import listing

    rows = listing(found, now=datetime.now(UTC), wide=wide, namespaces=namespaces)
    printer.print_listing(rows, found, out=out, wide=wide)


@app.command(epilog=EPILOG)
def status(
    name: Name,
    namespace: Namespace = "",
    output: Output = Format.table,
    watch: Watch = False,
    consumers: Annotated[bool, typer.Option(help="Ask the tools pod how far the consumer groups are.")] = True,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """How one MailConnection is, why, and what to do. With -o wide all conditions as well."""
    from kubectl_mailfetch import output as printer
    from kubectl_mailfetch.model import Connection

    cluster = connect(kubeconfig, context)
    where = namespace or cluster.namespace
    connection = Connection(cluster.get(where, name))
    page = partial(_page, wide=output is Format.wide)
    if watch:
        from kubectl_mailfetch import watching

        snapshots = watching.one(cluster.follow(where, name=name, tick=watching.TICK), name)
        return watching.watch(snapshots, form=output, choose=lambda _: True, page=page)

    def whole_page() -> None:
        page(printer.console(), [connection])
        if consumers:
            from kubectl_mailfetch.page_consumers import consumer_lines
            from kubectl_mailfetch.tools import Tools

            lines = consumer_lines(connection, Tools(context=context, kubeconfig=kubeconfig))
            printer.print_page(lines, out=printer.console())

    printer.print_connection(connection, output, whole_page)


def _page(out: Any, found: "list[Connection]", *, wide: bool) -> None:
    from kubectl_mailfetch import output as printer
    from kubectl_mailfetch.page import status_page

    for connection in found:
        printer.print_page(status_page(connection, now=datetime.now(UTC), wide=wide), out=out)


@app.command(epilog=EPILOG)
def enable(
    name: Name,
    namespace: Namespace = "",
    yes: Yes = False,
    wait: Annotated[bool, typer.Option(help="Wait until it downloads, fails, or needs your acknowledgement.")] = True,
    timeout: Timeout = 120,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Let a MailConnection download. Shows the estimate and asks; acknowledges the backlog if it needs that.

    Sets the annotations mailfetch.dev/enable and, for a backlog, mailfetch.dev/acknowledge, and nothing else.
    """
    from kubectl_mailfetch.enable import enable as run

    cluster = connect(kubeconfig, context)
    where = namespace or cluster.namespace
    run(objects=cluster, namespace=where, name=name, talk=talk(yes=yes, timeout=timeout), wait=wait)


@app.command(epilog=EPILOG)
def disable(
    name: Name,
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Stop a MailConnection. What was downloaded stays, and so does the place where it continues."""
    from kubectl_mailfetch.enable import disable as run

    cluster = connect(kubeconfig, context)
    run(objects=cluster, namespace=namespace or cluster.namespace, name=name, talk=talk(yes=True, timeout=0))


@app.command(epilog=EPILOG)
def authorize(
    name: Annotated[
        str, typer.Argument(help="Name of the MailConnection; with -f only needed if the file has several.")
    ] = "",
    namespace: Namespace = "",
    file: File = "",
    secrets: Secrets = "",
    browser: Browser = True,
    port: Port = 0,
    device: Device = False,
    ca_file: CaFile = "",
    check: Check = True,
    overwrite: Overwrite = False,
    timeout: Annotated[float, typer.Option(min=1, help="How many seconds to wait for the sign-in.")] = 300,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Authorize a MailConnection at Google or Microsoft: sign in as its account, once.

    Sees whether that account may open the mailbox, writes the refresh token into the Secret of
    auth.oauth2.tokenSecretRef with your own rights, and asks the operator for a test. Nothing secret is printed.
    With --secrets no cluster is needed: the token becomes a file, for mailfetch-fetcher run -f FILE --secrets DIR.
    """
    if not (name or file):
        raise PluginError("name a MailConnection, or a file with -f", code=Exit.USAGE)
    if secrets and not file:
        raise PluginError("--secrets is for a connection in a file: name it with -f", code=Exit.USAGE)
    from kubectl_mailfetch.authorize.browser import open_browser
    from kubectl_mailfetch.authorize.command import Desk, Options, authorize_locally
    from kubectl_mailfetch.authorize.command import authorize as run

    cluster = None if secrets else connect(kubeconfig, context)
    options = Options(
        name=name,
        namespace=namespace,
        default_namespace=cluster.namespace if cluster else "default",
        file=file,
        secrets=secrets,
        browser=browser,
        port=port,
        device=device,
        ca_file=ca_file,
        check=check,
        overwrite=overwrite,
        timeout=timeout,
    )
    desk = Desk(say=typer.echo, open=open_browser, now=lambda: datetime.now(UTC))
    if cluster:
        run(cluster, options, desk)
    else:
        authorize_locally(options, desk)


@app.command(epilog=EPILOG)
def version() -> None:
    """Print the version of the plugin."""
    from importlib.metadata import version as installed

    typer.echo(installed("mailfetch"))


requests_cli.register(app)
trial_cli.register(app)
completion_cli.register(app)
mail_cli.register(app)


def main() -> None:
    """Runs the command line; every failure ends with its exit code and a message on standard error."""
    try:
        app(prog_name="kubectl mailfetch")
    except PluginError as e:
        typer.echo(f"error: {e.message}", err=True)
        sys.exit(int(e.code))
