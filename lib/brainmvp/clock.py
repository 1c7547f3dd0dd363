"""How long each step of a long work takes, and how much memory it has needed by then."""

import sys
import time
from dataclasses import dataclass, field

import psutil


@dataclass
class Clock:
    """seconds: by step; peak_gib: the most memory that the process has held until the step ended, by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_gib: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        """Note the end of a step; what a step of this name took before is added to."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self.peak_gib[step] = _peak_gib()
        self._last = now


def _peak_gib() -> float:
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**30
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)  # macOS counts bytes, Linux KiB
