"""A shell that goes through a page as a reader would, from its first command to its last, and
compares what it sees.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.docs.markdown import Command

_VOLATILE = (
    (re.compile(r"\b01[0-9A-Z]{24}\b"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+0000)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
    (re.compile(r"\bpedro_[A-Za-z0-9_-]{43}"), "<key>"),
    (re.compile(r"\bkey_[0-9A-Z]{12}\b"), "<key id>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "<address>"),
    (re.compile(r"\b\d+(\.\d+)? m?s\b"), "<duration>"),
    (re.compile(r"[\d,]+ bytes"), "<size>"),
    (re.compile(r"\d+ tables"), "<tables>"),
)
"""What differs from run to run, and the word that takes its place on both sides."""
_END = "--- end of command 3b7a"


def settled(text: str) -> str:
    """Text without what differs from run to run."""
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return "\n".join(line.rstrip() for line in text.replace("\r", "").strip().splitlines())


def agrees(shown: str, seen: str) -> bool:
    """Whether what was seen is what the page shows; `…` on the page stands for anything, over any
    number of lines.
    """
    pattern = ".*?".join(re.escape(part) for part in settled(shown).split("…"))
    return re.fullmatch(pattern, settled(seen), re.DOTALL) is not None


class Shell:
    """A bash that keeps its variables and its folder from one command to the next."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._step = folder / ".step"

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, variables: dict[str, str]) -> AsyncIterator["Shell"]:
        process = await asyncio.create_subprocess_exec(
            "bash", "--noprofile", "--norc", cwd=folder, env=variables,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield cls(process, folder)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def run(self, command: str) -> tuple[int, str]:
        """The exit status of a command, and all that it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._step.write_text(command + "\n")  # from a file, so that no command eats the next one from standard input
        self._process.stdin.write(f'. {self._step} </dev/null; echo "{_END} $?"\n'.encode())
        lines: list[str] = []
        while not lines or _END not in lines[-1]:
            line = (await self._process.stdout.readline()).decode()
            assert line, f"the shell ended at: {command}\n{''.join(lines)}"
            lines.append(line)
        before, _, status = lines.pop().partition(_END)
        return int(status), "".join(lines) + before

    async def follow(self, commands: list[Command]) -> None:
        """Run commands as a page has them. What prints nothing on the page must end well."""
        for command in commands:
            status, seen = await self.run(command.text)
            assert agrees(command.shown, seen), (
                f"$ {command.text}\n--- the page shows\n{settled(command.shown)}\n--- what was seen\n{settled(seen)}"
            )
            assert command.shown or status == 0, f"$ {command.text}\nended with {status}"
