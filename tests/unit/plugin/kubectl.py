"""A kubectl that knows one call only: `exec` in the tools pod. Anything else is an error, as it would be there.

It answers from `answers.json` beside it: words of the tools → [exit code, output, complaint]; and notes each call.
"""

import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = """#!{python}
import json, sys
from pathlib import Path

here = Path(__file__).parent
words = sys.argv[sys.argv.index("--") + 1 :]
options = [w for w in sys.argv[1 : sys.argv.index("--")] if w.startswith("--")]
plain = [w for w in sys.argv[1 : sys.argv.index("--")] if not w.startswith("-")]
assert plain == ["exec", "mailfetch-tools-0"], plain
assert words[:2] == ["mailfetch-fetcher", "tools"], words
assert sys.stdin.read() == ""
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([options, words[2:]]) + "\\n")
answers = json.loads((here / "answers.json").read_text())
code, output, complaint = answers[" ".join(words[2:])]
sys.stdout.write(output)
sys.stderr.write(complaint)
if code:
    sys.stderr.write(f"command terminated with exit code {{code}}\\n" if code != 99 else "")
sys.exit(code)
"""


@dataclass
class FakeKubectl:
    """The program, in a folder of its own."""

    folder: Path

    def __post_init__(self) -> None:
        program = self.folder / "kubectl"
        program.write_text(SCRIPT.format(python=sys.executable))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self._answers: dict[str, tuple[int, str, str]] = {}

    @property
    def path(self) -> str:
        """A value of PATH that finds it first."""
        return f"{self.folder}{os.pathsep}{os.environ['PATH']}"

    def answers(self, words: str, answer: Mapping[str, Any]) -> None:
        """The tools answer these words so."""
        self._put(words, (0, json.dumps(answer) + "\n", ""))

    def fails(self, words: str, complaint: str, *, code: int) -> None:
        """The command fails in the pod; with code 99 kubectl itself does."""
        self._put(words, (code, "", complaint))

    def prints(self, words: str, output: str) -> None:
        """The tools print this."""
        self._put(words, (0, output, ""))

    @property
    def calls(self) -> list[tuple[list[str], list[str]]]:
        """Options of kubectl and words of the tools, of each call."""
        found = self.folder / "calls"
        return [tuple(json.loads(line)) for line in found.read_text().splitlines()] if found.exists() else []

    def _put(self, words: str, answer: tuple[int, str, str]) -> None:
        self._answers[words] = answer
        (self.folder / "answers.json").write_text(json.dumps(self._answers))
