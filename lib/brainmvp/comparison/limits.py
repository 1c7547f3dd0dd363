"""What limits a comparison of two visits, one sentence each."""

import numpy as np

from brainmvp.comparison.visit import Visit
from brainmvp.coverage import ENOUGH, brain_inside, share_inside
from brainmvp.registration import Alignment
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp.volume import Volume


def limits(
    before: Visit, after: Visit, task: Task, alignment: Alignment, images: tuple[Volume, Volume]
) -> list[str]:
    """Return the sentences; images: the references of both visits, (X, Y, Z) each."""
    remarks = []
    if not alignment.doubt or alignment.loose:
        remarks += _not_scanned("earlier", before, "later", images, alignment.world)
        remarks += _not_scanned("later", after, "earlier", images[::-1], np.linalg.inv(alignment.world))
    remarks += _not_shown("earlier", before, after, task) + _not_shown("later", after, before, task)
    remarks += _too_small("earlier", before, after, task) + _too_small("later", after, before, task)
    if before.reference is not after.reference:
        remarks.append(f"Measured on {before.reference} before and on {after.reference} after.")
    remarks += [f"Before: {doubt}" for doubt in before.doubts] + [f"After: {doubt}" for doubt in after.doubts]
    if differ := set(before.used) ^ set(after.used):
        names = ", ".join(s for s in task.sequences if s in differ)
        remarks.append(f"Only one of the visits could use {names}: part of a change may come from that.")
    if before.source != after.source:
        remarks.append(f"Segmented by {before.source} before and by {after.source} after.")
    if not np.allclose(before.labels.spacing, after.labels.spacing, rtol=0.05):
        remarks.append("The voxels differ in size: small structures may seem to change for that.")
    return remarks


def warnings(before: Study, after: Study, alignment: Alignment) -> list[str]:
    """Return why the numbers may mean nothing at all."""
    found = _mistaken(before, after)
    if alignment.doubt:
        what = (
            "do not compare places, only volumes" if alignment.loose else "compare neither places nor volumes"
        )
        found.append(f"The two visits may not align ({alignment.doubt}): {what}.")
    return found


def _mistaken(before: Study, after: Study) -> list[str]:
    """Say why these may not be an earlier and a later visit of one patient."""
    first, second = before.taken, after.taken
    if before.folder == after.folder or (first.study and first.study == second.study):
        return ["Both visits are the same study."]
    remarks = []
    if first.day and second.day and first.day > second.day:
        days = f"The earlier visit is of {first.day}, the later one of {second.day}"
        remarks.append(f"{days}: they may be the wrong way round.")
    if first.patient and second.patient and first.patient != second.patient:
        remarks.append("The patient numbers of the two visits differ: they may be of two patients.")
    return remarks


def _not_shown(one: str, visit: Visit, other: Visit, task: Task) -> list[str]:
    """Say which structures of the other visit this one cannot show, or may not have been searched for."""
    remarks = []
    marked = {name for name, mask in task.regions_of(other.labels.data).items() if mask.any()}
    missing = [r.title for r in task.regions if r.name in other.regions and r.name not in visit.regions]
    if missing:
        remarks.append(f"Not compared, since the {one} visit does not show it: {', '.join(missing)}.")
    if unsaid := [r.title for r in task.regions if r.name in visit.unsaid and r.name in marked]:
        remarks.append(f"The {one} label map has no {' or '.join(unsaid)}: drawn as none, or not looked for.")
    return remarks


def _too_small(one: str, visit: Visit, other: Visit, task: Task) -> list[str]:
    """Say what a visit without a finding may show in places that are too small to be marked."""
    if visit.labels.data.any() or not visit.minimum_lesion_ml:
        return []
    marked = {name for name, mask in task.regions_of(other.labels.data).items() if mask.any()}
    lost = [r.title for r in task.regions if r.name in marked & set(visit.regions) & set(other.regions)]
    if not lost:
        return []
    limit = f"Findings below {visit.minimum_lesion_ml:g} mL are not marked"
    return [f"{limit}: at the {one} visit there may be some of {', '.join(lost)}."]


def _not_scanned(
    one: str, visit: Visit, other: str, images: tuple[Volume, Volume], world: np.ndarray
) -> list[str]:
    """Say how much of one visit the other one was not scanned over; images: their references, in this order."""
    remarks = []
    if (share := brain_inside(*images, world, visit.brain)) < ENOUGH:
        remarks.append(
            f"The {other} visit shows {100 * share:.0f} % of the {one} one's brain: what lies outside counts as none."
        )
    marked = Volume(visit.labels.data > 0, visit.labels.affine)
    if (share := share_inside(marked, images[1], world)) < ENOUGH:
        remarks.append(
            f"{100 * (1 - share):.0f} % of what is marked at the {one} visit was not scanned at the {other} one."
        )
    return remarks
