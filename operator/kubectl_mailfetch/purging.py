"""`purge`: counts what would go, asks, and removes it. The tools and the person are given to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_mailfetch.enable import Talk
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.mail_query import Place
from kubectl_mailfetch.mail_rows import text

Ask = Callable[..., dict[str, Any]]
"""`Tools.ask`."""


@dataclass(frozen=True, kw_only=True)
class Purge:
    """What is to be purged.

    Attributes:
        words: Filters, as options of the tools.
        references: Mails by name.
        of_log: Lines of the log instead of mails.
    """

    place: Place
    words: tuple[str, ...]
    references: tuple[str, ...]
    of_log: bool

    def run(self, ask: Ask, talk: Talk, *, dry_run: bool) -> None:
        """Says what would go, asks, and removes it.

        Raises:
            PluginError: the person declined, or the tools refused.
        """
        would = self._do(ask, "--dry-run")
        number, kept = _number(would, "purged"), _number(would, "kept")
        if kept:
            talk.say(f"{self._many(kept)} {'stays' if kept == 1 else 'stay'}: {text(would, 'why')}")
        if not number:
            talk.say("Nothing to purge." if kept else f"Nothing to purge: no {self._noun(1)} fits.")
            return
        if dry_run:
            talk.say(f"{self._many(number)} would be removed.")
            return
        if not talk.ask(f"Remove {self._many(number)} for good?"):
            raise PluginError("not confirmed; nothing was removed", code=Exit.DECLINED)
        done = self._do(ask)
        talk.say(f"Removed {self._many(_number(done, 'purged'))}.")
        if (now_kept := _number(done, "kept")) > kept:
            talk.say(f"{self._many(now_kept)} stayed: {text(done, 'why')}")

    def _do(self, ask: Ask, *more: str) -> dict[str, Any]:
        references = ("--", *self.references) if self.references else ()
        return ask(self.place.namespace, "purge", *self.place.words, *self.words, *more, *references)

    def _many(self, number: int) -> str:
        return f"{number:,} {self._noun(number)}"

    def _noun(self, number: int) -> str:
        noun = "line" if self.of_log else "mail"
        plural = noun if number == 1 else f"{noun}s"
        return f"{plural} of the log" if self.of_log else plural


def _number(answer: Mapping[str, Any], key: str) -> int:
    value = answer.get(key)
    return value if isinstance(value, int) else 0
