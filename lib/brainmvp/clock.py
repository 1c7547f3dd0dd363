"""How long each step of a long work takes, and how much memory it has needed by then."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

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
    if sys.platform == "linux":  # where getrusage would count what the parent process had
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # macOS counts bytes
