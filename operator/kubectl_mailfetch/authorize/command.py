"""The command in order: read, see that the Secret may be written, sign in, try the mailbox, write, ask for a test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kubectl_mailfetch.authorize import documents
from kubectl_mailfetch.authorize.folder import Folder
from kubectl_mailfetch.authorize.http import Http, check_authorities
from kubectl_mailfetch.authorize.loopback import Loopback
from kubectl_mailfetch.authorize.mailbox import check_mailbox
from kubectl_mailfetch.authorize.place import Place
from kubectl_mailfetch.authorize.plan import Client, Plan, make_plan, read_client
from kubectl_mailfetch.authorize.secret import Secret, build_secret, check_replaceable, secret_texts
from kubectl_mailfetch.authorize.words import Granted, check_scopes
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import FETCH, TEST, Connection

Object = Mapping[str, Any]


class Objects(Protocol):
    """What is needed of the cluster."""

    def find(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Reads a MailConnection, if it is there."""
        ...

    def get(self, namespace: str, name: str) -> dict[str, Any]:
        """Reads a MailConnection."""
        ...

    def annotate(self, namespace: str, name: str, annotations: dict[str, str]) -> dict[str, Any]:
        """Sets annotations of a MailConnection."""
        ...

    def find_secret(self, namespace: str, name: str) -> Secret | None:
        """Reads a Secret, if it is there."""
        ...

    def write_secret(self, secret: Secret, *, exists: bool, dry_run: bool = False) -> None:
        """Creates a Secret, or patches the one that is there."""
        ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line.

    Attributes:
        name: Of the connection; may be empty with a file that has only one.
        namespace: As given, or empty.
        default_namespace: The context's; without a cluster that of the fetcher.
        file: Manifest of a connection that is not saved yet, or empty.
        secrets: Directory of Secrets as files, where there is no cluster, or empty.
        browser: Open the browser.
        port: For the browser's way back; 0 takes a free one.
        device: By device code.
        ca_file: The only authorities to trust (PEM), or empty.
        check: Try the mailbox.
        overwrite: Set the key of a Secret that somebody else made, or that other connections use.
        timeout: Seconds to wait for the person.
    """

    name: str
    namespace: str
    default_namespace: str
    file: str
    secrets: str
    browser: bool
    port: int
    device: bool
    ca_file: str
    check: bool
    overwrite: bool
    timeout: float


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The person at the terminal, and the time.

    Attributes:
        say: Prints a line.
        open: Opens an address in the browser; returns whether it did.
        now: The wall clock.
    """

    say: Callable[[str], None]
    open: Callable[[str], bool]
    now: Callable[[], datetime]


def authorize(objects: Objects, options: Options, desk: Desk) -> None:
    """Runs the command against a cluster.

    Raises:
        PluginError: it did not work; says why, and whether something was written.
    """
    connection, given, saved = _read(objects, options)
    plan = _plan(connection, options)
    client = _client(objects, given, plan)
    present = objects.find_secret(plan.namespace, plan.token_secret)
    check_replaceable(present, plan, connection=saved, overwrite=options.overwrite)
    trial = build_secret("-", plan, present=present, connection=saved)
    objects.write_secret(trial, exists=present is not None, dry_run=True)  # before somebody signs in for nothing
    granted = _grant(plan, client, options, desk)
    secret = build_secret(granted.refresh, plan, present=present, connection=saved)
    objects.write_secret(secret, exists=present is not None)
    desk.say(f"Wrote the key {plan.token_key} of the Secret {plan.token_secret} in namespace {plan.namespace}.")
    if saved is None:
        _save(plan, desk, ours="labels" in secret["metadata"])
    else:
        _follow(objects, plan, desk, enabled=Connection(saved).enabled)


def authorize_locally(options: Options, desk: Desk) -> None:
    """Runs the command without a cluster: manifest and Secrets are files.

    Raises:
        PluginError: it did not work; says why, and whether something was written.
    """
    given = documents.read_documents(options.file)
    plan = _plan(Connection(documents.find_connection(given, options.name, path=options.file)), options)
    folder = Folder(options.secrets)
    texts = folder.read(plan.client_secret)
    if secret := documents.find_secret(given, plan.client_secret):
        texts = secret_texts(secret) | (texts or {})  # the fetcher reads them so, too
    client = read_client(texts, plan)
    file = folder.prepare(plan.token_secret, plan.token_key)
    granted = _grant(plan, client, options, desk)
    folder.write(plan.token_secret, plan.token_key, granted.refresh)
    desk.say(f"Wrote {file}, readable for you alone.")
    desk.say(f"Test the connection with it: {plan.place.next_step(plan.name)}")


def _plan(connection: Connection, options: Options) -> Plan:
    """What is wrong with the command line is told before anything is asked of anybody."""
    if options.ca_file:
        check_authorities(options.ca_file)
    namespace = options.namespace or connection.namespace or options.default_namespace
    place = Place(namespace=namespace, file=options.file, directory=options.secrets)
    plan = make_plan(connection, place)
    if plan.provider == "Google" and options.device:
        raise PluginError(
            "Google does not allow the permission for mail with device codes. Leave --device out; without a browser on"
            " this machine use --no-browser, with --port and a tunnel (ssh -L PORT:127.0.0.1:PORT) from the one that"
            " has it.",
            code=Exit.USAGE,
        )
    if plan.provider == "Google" and not options.check:
        raise PluginError(
            f"Google does not tell who signed in, so the mailbox must be tried: run this where {plan.host} can be"
            f" reached:\n{plan.again}",
            code=Exit.USAGE,
        )
    return plan


def _grant(plan: Plan, client: Client, options: Options, desk: Desk) -> Granted:
    granted = _sign_in(plan, client, options, desk)
    check_scopes(granted, plan)
    _try(granted, plan, options, desk)
    return granted


def _read(objects: Objects, options: Options) -> tuple[Connection, list[documents.Document], Object | None]:
    """The connection, the documents of the file, and the connection in the cluster if it is saved there."""
    if not options.file:
        raw = objects.get(options.namespace or options.default_namespace, options.name)
        return Connection(raw), [], raw
    found = documents.read_documents(options.file)
    connection = Connection(documents.find_connection(found, options.name, path=options.file))
    stated = connection.namespace
    if options.namespace and stated and stated != options.namespace:
        raise PluginError(f"{options.file} is for namespace {stated}, not {options.namespace}", code=Exit.USAGE)
    namespace = options.namespace or stated or options.default_namespace
    return connection, found, objects.find(namespace, connection.name)


def _client(objects: Objects, given: list[documents.Document], plan: Plan) -> Client:
    """From the file if it has the Secret, else from the cluster."""
    secret = documents.find_secret(given, plan.client_secret) or objects.find_secret(plan.namespace, plan.client_secret)
    return read_client(secret_texts(secret) if secret else None, plan)


def _sign_in(plan: Plan, client: Client, options: Options, desk: Desk) -> Granted:
    """By the provider's library, which is only loaded now."""
    if options.device:
        from kubectl_mailfetch.authorize import microsoft

        return microsoft.by_device(plan, client, http=Http(options.ca_file), say=desk.say, timeout=options.timeout)

    def show(address: str) -> None:
        desk.say(f"Sign in as {plan.username}. Open this address:")
        desk.say(address)
        if options.browser and desk.open(address):
            desk.say("The browser opens it.")
        desk.say("Waiting … (Ctrl-C ends it; nothing is written)")

    with Loopback(port=options.port, warn=desk.say) as loopback:
        if plan.provider == "Google":
            from kubectl_mailfetch.authorize import google

            return google.in_browser(
                plan, client, ca_file=options.ca_file, loopback=loopback, show=show, timeout=options.timeout
            )
        from kubectl_mailfetch.authorize import microsoft

        return microsoft.in_browser(
            plan, client, http=Http(options.ca_file), loopback=loopback, show=show, timeout=options.timeout
        )


def _try(granted: Granted, plan: Plan, options: Options, desk: Desk) -> None:
    who = granted.account
    same = who.casefold() == plan.username.casefold()
    if same:
        desk.say(f"Signed in as {who}.")
    elif who:
        desk.say(f"Signed in as {who}, which is not spec.auth.username ({plan.username}).")
    if not options.check:
        if not same:
            raise PluginError(
                f"without a trial of the mailbox (--no-check) only {plan.username} is taken. Nothing was written."
            )
        desk.say(f"The mailbox {plan.mailbox} was not tried (--no-check).")
        return
    check_mailbox(granted, plan, http=Http(options.ca_file), ca_file=options.ca_file)
    desk.say(f"The mailbox {plan.mailbox} can be opened.")


def _save(plan: Plan, desk: Desk, *, ours: bool) -> None:
    """What is left to do for a connection that is not in the cluster."""
    desk.say(f"The connection is not saved yet. Save it: {plan.place.next_step(plan.name)}")
    if not ours:
        return  # whoever made the Secret looks after it
    desk.say("It does not own the Secret yet. Authorize the saved connection once more, and both are deleted together:")
    desk.say(f"  kubectl mailfetch authorize {plan.name} -n {plan.namespace}")
    desk.say("Else the Secret stays when the connection is deleted; delete it yourself then:")
    desk.say(f"  kubectl delete secret {plan.token_secret} -n {plan.namespace}")


def _follow(objects: Objects, plan: Plan, desk: Desk, *, enabled: bool) -> None:
    """Asks the operator for a test; for a connection that runs also for a round, which renews its pod's Secrets."""
    value = f"authorized-{desk.now():%Y%m%dT%H%M%SZ}"
    wanted = {TEST: value} | ({FETCH: value} if enabled else {})
    status = f"kubectl mailfetch status {plan.name} -n {plan.namespace}"
    try:
        objects.annotate(plan.namespace, plan.name, wanted)
    except PluginError as e:
        # The Secret is there, and a fetcher finds it by itself.
        desk.say(f"It is noticed within about two minutes (no test could be asked for: {e.message.splitlines()[0]}).")
    else:
        desk.say("Asked the operator to test the connection with it now.")
    desk.say(f"Follow it with: {status}")
