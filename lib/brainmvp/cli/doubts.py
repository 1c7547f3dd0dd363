"""What a result was made without, and what to look at, as `segment` and `classify` say it."""

from collections.abc import Iterable

from brainmvp.cli.console import say
from brainmvp.sequences import Sequence


def say_doubts(flagged: dict[Sequence, str], brain: str | None, filled: Iterable[Sequence]) -> None:
    """Print why sequences were not used, why to look at the brain (None: no need), and which ones are missing.

    filled: all for which zeros stand in, those that are there and were not used among them.
    """
    for sequence, why in flagged.items():
        say(f"  {sequence} is not used, {why}")
    if brain:
        say(f"  look at the brain: {brain}")
    for sequence in filled:
        if sequence not in flagged:
            say(f"  {sequence} is missing: zeros stand in for it")
