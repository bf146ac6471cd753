"""What the commands of the plugin have in common: options, the list of exit codes, the cluster, the person.

Importing this is cheap: pykube and rich are imported inside the functions. A module with commands has a `register(app)`
that `main.py` calls.
"""

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_mailfetch.enable import Talk
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.output import Format

if TYPE_CHECKING:
    from kubectl_mailfetch.kube import Cluster

EPILOG = (
    "Exit codes: 0 done; 1 error, or the connection fails; 2 wrong usage; 3 no such MailConnection or mail; 4 the"
    " cluster cannot be reached, refuses you or has no CRD; 5 you answered no; 6 it did not happen within --timeout."
)

Name = Annotated[str, typer.Argument(help="Name of the MailConnection.", show_default=False)]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="Namespace. Default: the context's.")]
AllNamespaces = Annotated[bool, typer.Option("-A", "--all-namespaces", help="In all namespaces.")]
Context = Annotated[str, typer.Option("--context", help="Context of the kubeconfig. Default: the current one.")]
Kubeconfig = Annotated[str, typer.Option("--kubeconfig", help="Path of the kubeconfig. Default: as kubectl.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask. Needed where there is no terminal.")]
Watch = Annotated[bool, typer.Option("-w", "--watch", help="Go on until Ctrl-C: what changes is shown.")]
Wait = Annotated[bool, typer.Option(help="Wait until it is done, and show what came of it.")]
Timeout = Annotated[float, typer.Option(min=0, help="How many seconds to wait at most.")]


def connect(kubeconfig: str, context: str) -> "Cluster":
    """The cluster that the two options name.

    Raises:
        PluginError: they name none.
    """
    from kubectl_mailfetch.kube import connect as run

    return run(option=kubeconfig, context=context)


def talk(*, yes: bool, timeout: float, aside: bool = False) -> Talk:
    """The person at this terminal.

    Args:
        yes: Nothing is asked; all is agreed to.
        timeout: Seconds that may be spent waiting.
        aside: What is said goes to standard error: standard output is for a program.
    """
    from kubectl_mailfetch import output as printer

    spent = 0.0  # seconds of waiting only: a person may think as long as they like

    def ask(question: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise PluginError(
                f"would have to ask: {question}\nStandard input is not a terminal; use --yes.", code=Exit.USAGE
            )
        return typer.confirm(question)

    def pause() -> bool:
        nonlocal spent
        if spent >= timeout:
            return False
        time.sleep(min(1.0, timeout - spent))
        spent += 1.0
        return True

    return Talk(
        say=lambda text: typer.echo(text, err=aside),
        show=lambda lines: printer.print_page(lines, out=printer.console()),
        ask=ask,
        now=lambda: datetime.now(UTC),
        pause=pause,
    )
