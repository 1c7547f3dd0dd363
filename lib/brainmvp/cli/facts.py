"""What a card or a task says, as lines to read: `models show` and `tasks show`."""

from collections.abc import Iterable, Iterator
from typing import Any

from brainmvp.cli.console import say


def say_part(heading: str, lines: Iterable[str]) -> None:
    """Print a heading and its lines below it; nothing where there are none."""
    lines = list(lines)
    if lines:
        say("\n".join(["", heading, *(f"  {line}" for line in lines)]))


def lines_of(facts: dict[str, Any]) -> Iterator[str]:
    """Yield a nested record as indented lines: `all: WT 0.86, TC 0.72`; what is two deep at most has one line."""
    for name, value in facts.items():
        if _depth(value) > 2:
            yield f"{name}:"
            yield from (f"  {line}" for line in lines_of(value))
        elif text := _line(value):
            yield f"{name}: {text}"


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value.values()), default=0) if isinstance(value, dict) else 0


def _line(value: Any) -> str:
    if isinstance(value, dict):
        between = "; " if _depth(value) > 1 else ", "
        return between.join(
            f"{name}{':' * isinstance(part, dict)} {text}"
            for name, part in value.items()
            if (text := _line(part))
        )
    if isinstance(value, list | tuple):
        return " ".join(map(_line, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
