"""The change of each structure between two visits, in millilitres and per cent."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from brainmvp.card import NOTICE
from brainmvp.comparison.limits import limits, warnings
from brainmvp.comparison.visit import Visit
from brainmvp.registration import Alignment, align
from brainmvp.tasks import Task
from brainmvp.volume import Volume, read_volume


@dataclass(frozen=True)
class Change:
    """One structure: millilitres at either visit."""

    name: str
    before_ml: float
    after_ml: float

    @property
    def change_ml(self) -> float:
        return self.after_ml - self.before_ml

    @property
    def percent(self) -> float | None:
        """Change in per cent of what was there before; None where nothing was."""
        return 100 * self.change_ml / self.before_ml if self.before_ml > 0 else None

    @property
    def in_words(self) -> str:
        """The change in per cent, or what it is where one visit has nothing marked: it need not be new, or gone."""
        if not self.before_ml:
            return "not marked before" if self.after_ml else "not marked"
        return f"{round(self.percent):+d} %" if self.after_ml else "no longer marked"


@dataclass(frozen=True)
class Comparison:
    """What has changed between two visits.

    changes: outermost region first; alignment: how the second visit's reference lies on the first one's;
    warnings: why its numbers may mean nothing; remarks: what limits them; one sentence each.
    """

    task: Task
    before: Visit
    after: Visit
    changes: list[Change]
    alignment: Alignment
    warnings: list[str]
    remarks: list[str]

    @property
    def days(self) -> int | None:
        """How long after the first visit the second one was; negative if it was before; None without both dates."""
        first, second = (visit.study.taken.day for visit in (self.before, self.after))
        return (second - first).days if first and second else None

    @property
    def interval(self) -> str:
        """The same in words."""
        if self.days is None:
            known = self.before.study.taken.day or self.after.study.taken.day
            return "one date unknown" if known else "dates unknown"
        plural = "" if abs(self.days) == 1 else "s"
        when = "later" if self.days > 0 else "earlier"
        return f"{abs(self.days)} day{plural} {when}" if self.days else "the same day"

    def report(self) -> dict[str, Any]:
        """Return the comparison as JSON-ready values."""
        return {
            "task": self.task.name,
            "made": date.today().isoformat(),
            "notice": NOTICE,
            "before": _told(self.before),
            "after": _told(self.after),
            "days": self.days,
            "changes": [
                {
                    "structure": change.name,
                    "before_ml": round(change.before_ml, 3),
                    "after_ml": round(change.after_ml, 3),
                    "change_ml": round(change.change_ml, 3),
                    "change_percent": None if change.percent is None else round(change.percent, 1),
                }
                for change in self.changes
            ],
            "alignment": self.alignment.report(),
            "warnings": self.warnings,
            "remarks": self.remarks,
        }

    def save_picture(self, path: str | Path) -> Path:
        """Draw both visits on the grid of the first, each with the outlines of both."""
        from brainmvp.comparison.picture import draw_comparison

        return draw_comparison(self, path)


def compare(before: Visit, after: Visit, task: Task) -> Comparison:
    """Align two visits of one patient and return the change of each structure that both can show.

    Volumes are counted on each visit's own grid: a rigid alignment, which is what the picture needs, changes none.
    Raises `BrainMVPError` if a file cannot be read.
    """
    shared = [
        region for region in task.regions if region.name in before.regions and region.name in after.regions
    ]
    masks = [task.regions_of(v.labels.data) for v in (before, after)]
    changes = [
        Change(
            region.measured_as or region.title,
            *(_millilitres(m[region.name], v.labels) for m, v in zip(masks, (before, after), strict=True)),
        )
        for region in shared
    ]
    images = _reference(before), _reference(after)
    alignment = align(images[1], images[0])
    return Comparison(
        task, before, after, changes, alignment, warnings(before.study, after.study, alignment),
        limits(before, after, task, alignment, images),
    )  # fmt: skip


def _told(visit: Visit) -> dict[str, str | None]:
    return {"study": visit.study.id} | visit.study.origin | {"segmented_by": visit.source}


def _reference(visit: Visit) -> Volume:
    return read_volume(visit.study.images[visit.reference])


def _millilitres(mask: np.ndarray, grid: Volume) -> float:
    return float(mask.sum()) * grid.voxel_ml
