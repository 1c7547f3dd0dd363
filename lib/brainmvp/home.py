"""Where a user's own models, tasks and archives are kept."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return `$BRAINMVP_HOME`, or else the folder that the system has for a user's data."""
    named = os.path.expanduser(os.environ.get("BRAINMVP_HOME", ""))  # a unit file has no shell that would
    return Path(named or platformdirs.user_data_dir("brainmvp", appauthor=False))
