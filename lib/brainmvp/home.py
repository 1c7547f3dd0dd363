"""Where a user's own models, tasks and archives are kept."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return `$BRAINMVP_HOME`, or else the folder that the system has for a user's data."""
    return Path(os.environ.get("BRAINMVP_HOME") or platformdirs.user_data_dir("brainmvp", appauthor=False))
