"""Score a segmentation model on labelled studies, on each study's own grid."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from brainmvp.calibration import Reliability, bin_sums
from brainmvp.case import Case, read_label
from brainmvp.evaluation.masks import mask_metrics
from brainmvp.evaluation.page import Row, widest_slice
from brainmvp.registration import align
from brainmvp.segment import Segmenter
from brainmvp.segmentation import Segmentation
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, ras_grid, resample, resample_labels
from brainmvp.study import Study
from brainmvp.tasks import Task
from brainmvp.volume import read_volume

METRICS = ("dice", "hd95", "lesion_dice", "lesion_f1", "volume_error")
# Voxels that reliability is taken from have a higher probability; those that are true must not be picked besides.
_DOUBTED = 0.01
_PAGE_MM = 1.0


@dataclass(frozen=True)
class CaseScore:
    """One case: metrics by region and name; seconds of segmenting it; a page row; `bin_sums` by region."""

    id: str
    patient: str
    model: str
    regions: dict[str, dict[str, float]]
    seconds: float
    row: Row | None = None
    said: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def dice(self) -> float:
        """Mean Dice over the regions."""
        return float(np.mean([metrics["dice"] for metrics in self.regions.values()]))


def check_labels(task: Task, cases: list[Case], tell: Callable[[str, float], None]) -> None:
    """Read every label before the hours of work that a bad one would end; raises `BrainMVPError` naming it."""
    for number, case in enumerate(cases):
        tell(f"reading the label of {case.id}", number / len(cases))
        read_label(task, case)


def score_cases(
    task: Task,
    pairs: list[tuple[Segmenter, Case]],
    tell: Callable[[str, float], None],
    pictures: bool = True,
    keep: Callable[[list[CaseScore]], None] = lambda scores: None,
) -> list[CaseScore]:
    """Segment and score every case.

    tell: called with (id, share done); pictures: with a row of a page for each; keep: called with the scores so far,
    after each case.
    """
    scores: list[CaseScore] = []
    for number, (segmenter, case) in enumerate(pairs):
        tell(case.id, number / len(pairs))
        scores.append(score_case(task, segmenter, case, pictures=pictures))
        keep(scores)
    return scores


def score_case(
    task: Task,
    segmenter: Segmenter,
    case: Case,
    only: tuple[Sequence, ...] | None = None,
    pictures: bool = True,
) -> CaseScore:
    """Segment one study, with all of its sequences or some, and compare with its label on the label's own grid.

    A region that the sequences cannot show is not scored. Without the label's own sequence (`only`), the label is
    taken to the grid of the result, as `align` puts its sequence onto the result's: the head may have moved. task:
    whose labels and rules count; the model's own finds the same regions. Raises `BrainMVPError` naming a study or label
    that cannot be used.
    """
    label, sequence = read_label(task, case)
    study = case.study if only is None else case.study.only(only)
    result = segmenter.segment(study, sequence if sequence in study.images else None)
    true = label.data
    if result.reference is not sequence:
        moved = align(read_volume(case.study.images[sequence]), read_volume(study.images[result.reference]))
        there = Grid(result.labels.shape, result.labels.affine)
        true = resample_labels(label.data, label.affine, there, moved.world)
    found, wanted = task.regions_of(result.labels.data), task.regions_of(true)
    counted = not task.metrics or {"lesion_dice", "lesion_f1"} & set(task.metrics)
    lesions = (
        task.lesions if counted else None
    )  # of tissues there are thousands of parts, and none is a lesion
    metrics, said = {}, {}
    for name in found:
        if name not in result.probabilities:
            continue
        metrics[name] = mask_metrics(found[name], wanted[name], result.labels.affine, lesions)
        values = result.probabilities[name]
        doubted = values > _DOUBTED
        said[name] = bin_sums(values[doubted], wanted[name][doubted])
    return CaseScore(
        case.id,
        case.group,
        result.model,
        metrics,
        sum(result.seconds.values()),
        _row(case.id, study, result, true, metrics) if pictures else None,
        said,
    )


def _row(
    name: str, study: Study, result: Segmentation, true: np.ndarray, metrics: dict[str, dict[str, float]]
) -> Row:
    """Return the slice of a case with most to see, turned to RAS at 1 mm."""
    labels = result.labels
    image = read_volume(study.images[result.reference])
    grid = ras_grid(np.ones(labels.shape, bool), labels.affine, _PAGE_MM, 0.0)
    turned, found = (
        resample_labels(np.ascontiguousarray(m), labels.affine, grid) for m in (true, labels.data)
    )
    z = widest_slice(turned if turned.any() else found)
    scores = ", ".join(f"{region} {values['dice']:.2f}" for region, values in metrics.items())
    # Copies: a view of a slice would keep its whole volume for as long as the scores are kept.
    shown, turned, found = (volume[:, :, z].copy() for volume in (resample(image, grid), turned, found))
    return Row(f"{name}\nDice {scores}", shown, turned, found)


def reliability(scores: list[CaseScore]) -> dict[str, Reliability]:
    """Return the reliability of each region's probabilities, over the voxels of all cases said to be above 1 %."""
    names = dict.fromkeys(name for score in scores for name in score.said)
    sums = {name: sum(score.said[name] for score in scores if name in score.said) for name in names}
    return {name: Reliability.of_sums(joined) for name, joined in sums.items() if joined[2].any()}


def subsets(task: Task) -> Iterator[tuple[Sequence, ...]]:
    """Yield every set of the task's sequences that reaches its minimum, the largest first."""
    for count in range(len(task.sequences), 0, -1):
        for chosen in combinations(task.sequences, count):
            if task.accepts(set(chosen)):
                yield chosen
