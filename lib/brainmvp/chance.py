"""An order by chance that is the same on any computer."""

import hashlib


def by_chance(text: str) -> str:
    """Return a key to sort by: the order looks random, and stays when others come or go.

    text: what is sorted, with the seed, and with whatever sets this draw apart from others of the same patients.
    """
    return hashlib.sha256(text.encode()).hexdigest()
