"""What may come next on the command line: read from the commands themselves, so that nothing is written twice. Pure.

`kubectl` asks `kubectl_complete-mailfetch` (an executable of that name on the PATH) with the words behind `mailfetch`,
the last of which is unfinished, and reads `value<TAB>help` lines and a last line `:DIRECTIVE` (kubernetes.io/docs,
"Extend kubectl with plugins"; the directives are those of the library cobra).
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

FILES, NO_FILES = ":0", ":4"
_NAMES = frozenset({"name", "connection"})
_PATHS = frozenset({"file", "kubeconfig", "ca_file"})
_HELP = 60

Names = Callable[[Mapping[str, str]], Sequence[str]]
"""Names of MailConnections, of what `namespace`, `context` and `kubeconfig` were given."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option, or an argument if it has no words.

    Attributes:
        name: Of the parameter.
        words: `-n`, `--namespace`.
        flag: It takes no value.
        many: It may be given again.
        choices: What its value may be; empty: anything.
        help: What it means.
    """

    name: str
    words: tuple[str, ...] = ()
    flag: bool = False
    many: bool = False
    choices: tuple[str, ...] = ()
    help: str = ""


def suggest(app: typer.Typer, words: Sequence[str], names: Names) -> list[str]:
    """The lines of an answer.

    Args:
        app: The commands.
        words: Those behind the program's name; the last one is unfinished, perhaps empty.
        names: Asked only where a name may stand.
    """
    *before, unfinished = words or [""]
    commands = {_title(c.name, c.callback): c.callback for c in app.registered_commands if c.callback}
    command = next((w for w in before if not w.startswith("-")), "")
    if not command:
        found = {title: inspect.getdoc(callback) or "" for title, callback in commands.items()}
        return [*_lines(found, unfinished), NO_FILES]
    if command not in commands:
        return [NO_FILES]
    options = list(options_of(commands[command]))
    return _of_command(options, before[before.index(command) + 1 :], unfinished, names)


def options_of(command: Callable[..., Any]) -> Iterator[Option]:
    """The parameters of a command, as typer reads them."""
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind, *notes = get_args(hints[name])
        info = next(n for n in notes if isinstance(n, ArgumentInfo | OptionInfo))
        kinds = list(_parts(kind))
        enum = next((k for k in kinds if isinstance(k, type) and issubclass(k, Enum)), None)
        flag = kind is bool
        words: tuple[str, ...] = ()
        if isinstance(info, OptionInfo):
            usual = f"--{name.replace('_', '-')}"
            negative = (f"--no-{name.replace('_', '-')}",) if flag else ()
            # Within Annotated typer takes the first word for a default, and so it is read here.
            own = [d for d in (info.default, *(info.param_decls or ())) if isinstance(d, str)]
            words = tuple(w for d in own or (usual, *negative) for w in d.split("/"))
        yield Option(
            name=parameter.name,
            words=words,
            flag=flag,
            many=any(getattr(k, "__origin__", None) is list for k in kinds),
            choices=tuple(str(e.value) for e in enum) if enum else (),
            help=info.help or "",
        )


def _parts(kind: Any) -> Iterator[Any]:
    """`list[State] | None` and everything in it."""
    yield kind
    for part in get_args(kind):
        yield from _parts(part)


def _of_command(options: Sequence[Option], before: Sequence[str], unfinished: str, names: Names) -> list[str]:
    by_word = {word: o for o in options for word in o.words}
    given: dict[str, str] = {}
    position, waiting = 0, None
    for word in before:
        option, _, value = word.partition("=")
        if waiting:
            given[waiting.name] = word
            waiting = None
        elif option in by_word:
            given[by_word[option].name] = value
            waiting = None if by_word[option].flag or "=" in word else by_word[option]
        elif not word.startswith("-"):
            position += 1
    if waiting:
        return _values(waiting, unfinished, given, names)
    if unfinished.startswith("-"):
        left = {w: o.help for w, o in by_word.items() if w.startswith("--") and (o.many or o.name not in given)}
        return [*_lines(left, unfinished), NO_FILES]
    arguments = [o for o in options if not o.words]
    if position < len(arguments):
        return _values(arguments[position], unfinished, given, names)
    last = arguments[-1] if arguments else None
    return _values(last, unfinished, given, names) if last and last.many else [NO_FILES]


def _values(option: Option, unfinished: str, given: Mapping[str, str], names: Names) -> list[str]:
    if option.name in _PATHS:
        return [FILES]
    found = names(given) if option.name in _NAMES else option.choices
    return [*_lines(dict.fromkeys(found, ""), unfinished), NO_FILES]


def _lines(found: Mapping[str, str], unfinished: str) -> Iterator[str]:
    for value, text in sorted(found.items()):
        if value.startswith(unfinished):
            first = text.partition("\n")[0][:_HELP]
            yield f"{value}\t{first}" if first else value


def _title(name: str | None, callback: Callable[..., Any] | None) -> str:
    return name or (callback.__name__.rstrip("_").replace("_", "-") if callback else "")
