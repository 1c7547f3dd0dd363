"""What the built-in models reach: on real scans, on phantoms, with sequences missing, and without the disease.

    python benchmarks/builtin_models.py --out RESULTS [--scans FOLDER] [--phantoms 12] [--tasks tumour,stroke]

FOLDER holds `tumour/`, `stroke/` and `multiple_sclerosis/` with one study each per sub-folder, labelled. Leaves
results.json, a picture per study and a reliability diagram per task in RESULTS. For each model it prints Dice by region
and set of sequences, the share of lesions found, false volumes in patients and phantoms without the disease, and how
well the uncertainty points at the errors; for the stroke model also what it finds of strokes that hide (see `hides`).
"""

import argparse
import itertools
import json
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from brainmvp.calibration import NEAR_MM, Reliability, draw_reliability, error_auc, near_lesion
from brainmvp.dice import dice
from brainmvp.foreground import foreground
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.write import make_study
from brainmvp.segment import Segmenter
from brainmvp.segmentation import Segmentation
from brainmvp.sequences import Sequence
from brainmvp.study import Study, find_studies
from brainmvp.tasks import Task, get_task
from brainmvp.training.samples import VALIDATION_SEEDS
from brainmvp.volume import read_volume

T1, T1CE, T2, FLAIR, DWI, ADC = (Sequence(name) for name in ("T1", "T1CE", "T2", "FLAIR", "DWI", "ADC"))
SUBSETS = {
    "tumour": ((T1, T1CE, T2, FLAIR), (T1CE, FLAIR), (T1, T2, FLAIR), (FLAIR,), (T1CE,), (T2,)),
    "stroke": ((DWI, ADC, FLAIR), (DWI, ADC), (DWI, FLAIR), (DWI,)),
}
# A lesion of fewer voxels is too small to be asked for (the ISLES 2022 evaluation counts from one voxel on).
SMALLEST_VOXELS = 20
# After training and validation: these phantoms were never seen, nor used to choose anything.
FIRST_SEED = VALIDATION_SEEDS + 50_000
DIFFICULTY = 0.5


def lesions_found(
    found: np.ndarray, truth: np.ndarray, smallest: float = SMALLEST_VOXELS, below: float = math.inf
) -> tuple[int, int]:
    """Return how many lesions of so many voxels (`below` excluded) are touched, and how many there are."""
    components, count = ndimage.label(truth, np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    chosen = [index for index in range(1, count + 1) if smallest <= sizes[index] < below]
    return sum(bool(found[components == index].any()) for index in chosen), len(chosen)


def score(result: Segmentation, task: Task, truth: np.ndarray) -> dict[str, Any]:
    """Return Dice by offered region, lesions found and volumes of a result against a label map of the task."""
    masks, wanted = task.regions_of(result.labels.data), task.regions_of(truth)
    outermost = task.regions[0].name
    touched, count = lesions_found(masks[outermost], wanted[outermost])
    return {
        "dice": {name: round(dice(masks[name], wanted[name]), 3) for name in result.probabilities},
        "lesions found": f"{touched} of {count}",
        "ml": {name: round(float(masks[name].sum() * result.labels.voxel_ml), 2) for name in masks},
        "true ml": {name: round(float(wanted[name].sum() * result.labels.voxel_ml), 2) for name in wanted},
    }


class Calibration:
    """Collects the voxels of brains: what was said, what is true, where the result is wrong and unsure."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.said: dict[str, list[np.ndarray]] = {region.name: [] for region in task.regions}
        self.true: dict[str, list[np.ndarray]] = {region.name: [] for region in task.regions}
        self.near: dict[str, list[np.ndarray]] = {region.name: [] for region in task.regions}
        self.aucs: list[float] = []

    def add(self, result: Segmentation, truth: np.ndarray) -> float | None:
        """Add a result; return the area under the curve of error against uncertainty in its brain."""
        brain = foreground(read_volume(result.study.images[result.reference]))
        wanted = self.task.regions_of(truth)
        near = near_lesion(wanted[self.task.regions[0].name], result.labels.spacing)[brain]
        for name, mask in wanted.items():
            if name in result.probabilities:
                self.said[name].append(result.probabilities[name][brain])
                self.true[name].append(mask[brain])
                self.near[name].append(near)
        auc = error_auc(result.uncertainty[brain], result.labels.data[brain] != truth[brain])
        if auc is not None:
            self.aucs.append(auc)
        return auc

    def curves(self) -> dict[str, Reliability]:
        return {
            name: Reliability.of(np.concatenate(said), np.concatenate(self.true[name]))
            for name, said in self.said.items() if said
        }  # fmt: skip

    def errors_near(self) -> dict[str, float]:
        """Return by region the calibration error of the voxels near a lesion."""
        errors = {}
        for name, said in self.said.items():
            if said:
                near = np.concatenate(self.near[name])
                curve = Reliability.of(np.concatenate(said)[near], np.concatenate(self.true[name])[near])
                errors[name] = round(curve.error, 5)
        return errors


def with_labels(folder: Path, task: Task) -> Iterator[tuple[Study, np.ndarray]]:
    studies = find_studies(folder)
    labelled = [study for study in studies if study.label]
    print(f"{folder}: {len(labelled)} of {len(studies)} studies have a label", flush=True)
    if not labelled:
        raise SystemExit(
            f"No study in {folder} has a label; put each beside its images, as …_msk.nii.gz, "
            "also that of a BIDS tree's derivatives."
        )
    for study in labelled:
        yield study, task.read_labels(read_volume(study.label).data, str(study.label))


def on_disease(segmenter: Segmenter, folder: Path, out: Path, pictures: bool) -> dict[str, Any]:
    """Return scores by study and set of sequences, the means, and the calibration with all sequences."""
    task, rows, calibration = segmenter.task, {}, Calibration(segmenter.task)
    for study, truth in with_labels(folder, task):
        rows[study.id] = {}
        for sequences in SUBSETS[task.name]:
            if not set(sequences) <= set(study.images):
                continue
            # The label lies on the grid of the task's first choice among all sequences of the study.
            home = study.reference(task)
            result = segmenter.segment(study.only(sequences), home if home in sequences else None)
            if result.labels.shape != truth.shape:
                print(f"{study.id} {'+'.join(sequences)}: left out, its label is on another grid", flush=True)
                continue
            row = score(result, task, truth)
            if sequences == SUBSETS[task.name][0]:
                auc = calibration.add(result, truth)
                row["error auc"] = auc and round(auc, 3)
                if pictures:
                    result.save_picture(out / f"{task.name}-{study.id}.png")
            rows[study.id]["+".join(sequences)] = row
            print(f"{study.id} {'+'.join(sequences)}: {row}", flush=True)
    means = mean_dice(rows)
    print(f"mean: {means}", flush=True)
    if curves := calibration.curves():
        draw_reliability(curves, out / f"reliability-{task.name}-{folder.name}.png")
    return {
        "studies": rows,
        "mean dice": means,
        "error auc": round(float(np.mean(calibration.aucs)), 3) if calibration.aucs else None,
        "calibration error": {name: round(curve.error, 5) for name, curve in curves.items()},
        f"calibration error within {NEAR_MM:.0f} mm of the lesion": calibration.errors_near(),
    }


def mean_dice(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return by set of sequences and region the mean over the studies that offer it."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows.values():
        for sequences, scores in row.items():
            for region, value in scores["dice"].items():
                values.setdefault(sequences, {}).setdefault(region, []).append(value)
    return {
        sequences: {region: round(float(np.mean(found)), 3) for region, found in regions.items()}
        for sequences, regions in values.items()
    }


def false_volumes(segmenter: Segmenter, folder: Path) -> dict[str, float]:
    """Return the mL of the outermost region that the model marks in studies without its disease."""
    volumes = {}
    for study in find_studies(folder):
        if segmenter.task.accepts(set(study.images)):
            found = segmenter.segment(study).regions_ml
            volumes[study.id] = next(iter(found.values()))
    print(f"false mL in {folder.name}: {volumes}", flush=True)
    return volumes


def hides(facts: dict[str, Any]) -> bool:
    """Return whether a phantom's stroke is hard to see: emboli whose ADC is nearly normal (0.9 of grey matter's or
    more) in an atrophic brain (0.75 of 1 or more). About one stroke in 35."""
    return facts["kind"] == "emboli" and facts["adc_ratio"] >= 0.9 and facts["atrophy"] >= 0.75


def hidden_seeds() -> Iterator[int]:
    """Yield the unseen seeds of strokes that hide: at 8 mm the same is drawn, in a hundredth of a second."""
    for seed in itertools.count(FIRST_SEED):
        phantom = make_phantom(
            seed, "stroke", spacing=8.0, difficulty=DIFFICULTY, sequences=(DWI,), disease="stroke"
        )
        if hides(phantom.facts):
            yield seed


def on_hidden(segmenter: Segmenter, folder: Path) -> dict[str, Any]:
    """Return by study and in all: Dice, lesions found and their number by size, and mL marked apart from lesions."""
    small, large = f"found below {SMALLEST_VOXELS} voxels", f"found from {SMALLEST_VOXELS} voxels"
    rows = {}
    for study, truth in with_labels(folder, segmenter.task):
        result = segmenter.segment(study)
        found, lesions = result.labels.data > 0, truth > 0
        marks, _ = ndimage.label(found, np.ones((3, 3, 3)))
        apart = found & ~np.isin(marks, np.unique(marks[lesions & found]))
        rows[study.id] = {
            "dice": round(dice(found, lesions), 3),
            small: lesions_found(found, lesions, 1, SMALLEST_VOXELS),
            large: lesions_found(found, lesions),
            "false ml": round(float(apart.sum() * result.labels.voxel_ml), 2),
        }
        print(f"{study.id}: {rows[study.id]}", flush=True)
    total = {"mean dice": round(float(np.mean([row["dice"] for row in rows.values()])), 3)}
    for name in (small, large, "false ml"):
        total[name] = np.sum([row[name] for row in rows.values()], 0).round(2).tolist()
    print(f"strokes that hide: {total}", flush=True)
    return {"studies": rows, "all": total}


def make_phantoms(folder: Path, task: str, disease: str, seeds: Iterable[int], spacing: float = 1.0) -> Path:
    """Write unseen phantoms of a disease with all sequences of a task; returns their folder."""
    target = folder / f"phantoms-{disease}-for-{task}"
    for index, seed in enumerate(seeds):
        make_study(
            target / f"{disease}-{index:03d}", seed, task, sequences=get_task(task).sequences,
            difficulty=DIFFICULTY, disease=disease, spacing=spacing,
        )  # fmt: skip
    return target


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scans", type=Path, help="folder of real scans, as above; without it phantoms only")
    parser.add_argument("--phantoms", type=int, default=12, help="of each kind")
    parser.add_argument("--tasks", default="tumour,stroke")
    parser.add_argument("--model", help="NAME@VERSION instead of the served model (with one task)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    results: dict[str, Any] = {}
    for name in options.tasks.split(","):
        segmenter = Segmenter.load(name, options.model, device="cpu")
        other = {"tumour": "stroke", "stroke": "tumour"}[name]
        results[name] = {"model": segmenter.card.id}
        if options.scans:
            results[name]["real scans"] = on_disease(segmenter, options.scans / name, options.out, True)
            for disease in ("multiple_sclerosis", other):
                results[name][f"real {disease}, mL"] = false_volumes(segmenter, options.scans / disease)
        if options.phantoms:
            seeds = range(FIRST_SEED, FIRST_SEED + options.phantoms)
            with tempfile.TemporaryDirectory() as folder:
                made = make_phantoms(Path(folder), name, name, seeds)
                results[name]["phantoms"] = on_disease(segmenter, made, options.out, False)
                for disease in ("healthy", other):
                    made = make_phantoms(Path(folder), name, disease, seeds)
                    results[name][f"{disease} phantoms, mL"] = false_volumes(segmenter, made)
                if name == "stroke":  # at 2 mm, as diffusion usually is: sizes are counted in such voxels
                    hidden = itertools.islice(hidden_seeds(), options.phantoms)
                    made = make_phantoms(Path(folder) / "hidden", name, name, hidden, spacing=2.0)
                    results[name]["phantoms of strokes that hide"] = on_hidden(segmenter, made)
        (options.out / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
