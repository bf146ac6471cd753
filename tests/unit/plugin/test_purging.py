"""`purge` shows what would go, asks, and removes just that."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_mailfetch.enable import Talk
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.mail_query import Place
from kubectl_mailfetch.purging import Purge
from tests.unit.plugin.samples import NOW

PLACE = Place(namespace="ns", streams=("s",), connection="c")
WHY = "1 is not acknowledged by ticketing"


@dataclass
class Queue:
    """The tools of a namespace with mails; some are still needed."""

    free: int
    needed: int = 0
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def ask(self, namespace: str, *words: str) -> dict[str, Any]:
        assert (namespace, words[:3]) == ("ns", ("purge", "--stream=s", "--connection=c"))
        self.calls.append(words[3:])
        answer = {
            "matched": self.free + self.needed,
            "purged": self.free,
            "kept": self.needed,
            "why": WHY if self.needed else "",
        }
        if "--dry-run" not in words:
            self.free = 0
        return answer


@dataclass
class Person:
    """Says yes or no to everything."""

    answer: bool = True
    heard: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def talk(self) -> Talk:
        return Talk(say=self.heard.append, show=lambda _: None, ask=self._ask, now=lambda: NOW, pause=lambda: False)

    def _ask(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer


def purge(queue: Queue, person: Person, *, dry_run: bool = False, **job: Any) -> None:
    made = Purge(**{"place": PLACE, "words": ("--state=Done",), "references": (), "of_log": False, **job})
    made.run(queue.ask, person.talk(), dry_run=dry_run)


def test_it_counts_asks_and_removes() -> None:
    queue, person = Queue(free=1234, needed=1), Person()
    purge(queue, person)
    assert queue.calls == [("--state=Done", "--dry-run"), ("--state=Done",)]
    assert person.asked == ["Remove 1,234 mails for good?"]
    assert person.heard == [f"1 mail stays: {WHY}", "Removed 1,234 mails."]
    assert queue.free == 0


def test_who_says_no_keeps_everything() -> None:
    queue = Queue(free=2)
    with pytest.raises(PluginError, match="nothing was removed") as caught:
        purge(queue, Person(answer=False))
    assert caught.value.code is Exit.DECLINED
    assert (queue.free, len(queue.calls)) == (2, 1)


def test_a_dry_run_neither_asks_nor_removes() -> None:
    queue, person = Queue(free=2, needed=3), Person()
    purge(queue, person, dry_run=True)
    assert person.heard == [f"3 mails stay: {WHY}", "2 mails would be removed."]
    assert (queue.free, person.asked) == (2, [])


@pytest.mark.parametrize(
    ("needed", "said"), [(0, ["Nothing to purge: no mail fits."]), (1, [f"1 mail stays: {WHY}", "Nothing to purge."])]
)
def test_nothing_to_remove_is_not_asked_about(needed: int, said: list[str]) -> None:
    person = Person()
    purge(Queue(free=0, needed=needed), person)
    assert (person.heard, person.asked) == (said, [])


def test_mails_by_name_come_last_and_are_no_options() -> None:
    queue, person = Queue(free=1), Person()
    purge(queue, person, words=(), references=("-x", "b"))
    assert queue.calls == [("--dry-run", "--", "-x", "b"), ("--", "-x", "b")]
    assert person.heard == ["Removed 1 mail."]


def test_lines_of_the_log_are_called_so() -> None:
    queue, person = Queue(free=2), Person()
    purge(queue, person, words=("--log",), of_log=True)
    assert person.asked == ["Remove 2 lines of the log for good?"]


def test_what_became_needed_meanwhile_is_told() -> None:
    class Busy(Queue):
        def ask(self, namespace: str, *words: str) -> dict[str, Any]:
            answer = super().ask(namespace, *words)
            self.free, self.needed = 1, 1
            return answer

    person = Person()
    purge(Busy(free=2), person)
    assert person.heard == ["Removed 1 mail.", f"1 mail stayed: {WHY}"]
