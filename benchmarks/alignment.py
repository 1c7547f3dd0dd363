"""Registration and brain extraction against what is known: made-up heads moved by known motions, in thick slices.

    python benchmarks/alignment.py [--heads 3] [--native FOLDER] [--registered FOLDER ...] [--out result.json]

Truth: the phantom's brain (bool) and the motion that it was scanned after. With --native, a study as it was scanned:
similarity and overlap of the sequences' own brain masks before and after. With --registered, studies whose sequences
must not move.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from brainmvp.brain.network import brain_mask
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.rescan import errors_mm, scan
from brainmvp.phantom.skull import with_head
from brainmvp.registration import align, with_overlap
from brainmvp.registration.motion import rigid
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid, resample_mask
from brainmvp.study import Study
from brainmvp.volume import Volume, read_volume

_SEQUENCES = (Sequence.T1, Sequence.T1CE, Sequence.T2, Sequence.FLAIR, Sequence.DWI)
# Reference, its voxels; moving sequence, its voxels (mm); which slices it has.
_PAIRS = (
    ("T1CE", (1.0, 1.0, 1.0), "T1", (0.9, 0.9, 5.5), slice(None)),
    ("T1CE", (1.0, 1.0, 1.0), "FLAIR", (0.9, 0.9, 5.5), slice(None)),
    ("T1CE", (0.9, 0.9, 5.5), "T2", (0.9, 0.9, 5.5), slice(None)),
    ("FLAIR", (0.9, 0.9, 5.5), "T1", (1.0, 1.0, 1.0), slice(None)),
    ("T1CE", (1.0, 1.0, 1.0), "DWI", (2.0, 2.0, 4.0), slice(None)),
    ("DWI", (2.0, 2.0, 2.0), "FLAIR", (0.5, 5.0, 0.5), slice(None)),
    ("T1CE", (1.0, 1.0, 1.0), "T2", (1.0, 1.0, 3.0), slice(28, None)),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument(
        "--seed", type=int, default=9000, help="of the first head; training used those below 1000"
    )
    parser.add_argument("--native", type=Path)
    parser.add_argument("--registered", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {"simulated": simulated(options.seed, options.heads)}
    if options.native:
        results["native"] = native(options.native)
    if options.registered:
        results["registered"] = {folder.name: registered(folder) for folder in options.registered}
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


def simulated(seed: int, count: int) -> dict:
    """Register and strip moved heads; print a line each and the summary, and return all."""
    rows, masks = [], []
    for number in range(count):
        rng = np.random.default_rng(seed + number)
        phantom = make_phantom(seed + number, "tumour", spacing=1.0, difficulty=0.3, sequences=_SEQUENCES)
        head = with_head(phantom, seed + number)
        for reference, fine, moving, thick, part in _PAIRS:
            motion = _motion(rng)
            moved = scan(head[moving], thick, motion, part)
            start = time.perf_counter()
            found = align(moved, scan(head[reference], fine))
            errors = errors_mm(found.world, motion, head["brain"])
            rows.append({"pair": f"{moving} {thick[2]:g} mm on {reference}", "mean_mm": float(errors.mean()),
                         "worst_mm": float(errors.max()), "doubt": found.doubt,
                         "seconds": time.perf_counter() - start})  # fmt: skip
            print(
                "  {pair}: mean {mean_mm:.2f} mm, worst {worst_mm:.2f} mm, {seconds:.1f} s".format(
                    **rows[-1]
                ),
                flush=True,
            )
            if part == slice(None):
                masks.append(_dice_of(moved, head["brain"], motion, moving))
    errors = np.array([row["mean_mm"] for row in rows])
    worst = max(row["worst_mm"] for row in rows)
    doubtful = sum(row["doubt"] is not None for row in rows)
    print(
        f"registration: {len(rows)} pairs, median {np.median(errors):.2f} mm, worst point {worst:.2f} mm, "
        f"{doubtful} doubtful, median {np.median([row['seconds'] for row in rows]):.1f} s"
    )
    dice = np.array([mask["dice"] for mask in masks])
    print(f"brain: {len(masks)} images, Dice median {np.median(dice):.3f}, lowest {dice.min():.3f}")
    return {"registration": rows, "brain": masks}


def _motion(rng: np.random.Generator) -> np.ndarray:
    """Return a motion of up to 15 degrees and 20 mm."""
    axis, direction = rng.standard_normal((2, 3))
    turn = rng.uniform(0, 15) * axis / np.linalg.norm(axis)
    return rigid(rng.uniform(0, 20) * direction / np.linalg.norm(direction), turn, np.zeros(3))


def _dice_of(image: Volume, brain: Volume, motion: np.ndarray, sequence: str) -> dict:
    grid = Grid(image.shape, image.affine)
    truth = resample_mask(brain.data, brain.affine, grid, np.linalg.inv(motion))
    start = time.perf_counter()
    found = brain_mask(image)
    row = {"image": sequence, "dice": _dice(found, truth), "seconds": time.perf_counter() - start}
    print("    brain of {image}: Dice {dice:.3f}, {seconds:.1f} s".format(**row), flush=True)
    return row


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(one.sum() + other.sum(), 1))


def native(folder: Path) -> dict:
    """Align a study as scanned to its T1CE; print and return similarity and mask overlap, before and after."""
    study = Study.from_folder(folder)
    reference = read_volume(study.images[Sequence.T1CE])
    brain, rows = Volume(brain_mask(reference), reference.affine), {}
    for sequence, path in study.images.items():
        if sequence is Sequence.T1CE:
            continue
        moving = read_volume(path)
        own = Volume(brain_mask(moving), moving.affine)
        found, _ = with_overlap(align(moving, reference), own, brain)
        rows[str(sequence)] = found.report()
        print(
            f"  {sequence}: moved {found.shift_mm:.1f} mm, {found.turn_deg:.1f} degrees; similarity "
            f"{found.similarity_before:.3f} to {found.similarity:.3f}; "
            f"overlap of brain masks {found.brains_before:.3f} to {found.brains:.3f}"
        )
    return rows


def registered(folder: Path) -> dict:
    """Print and return how far each sequence of a registered study would be moved, mm."""
    study = Study.from_folder(folder)
    reference = next(s for s in (Sequence.T1CE, Sequence.DWI, Sequence.FLAIR) if s in study.images)
    target = read_volume(study.images[reference])
    moved = {
        str(s): align(read_volume(p), target).shift_mm for s, p in study.images.items() if s is not reference
    }
    print(f"  {folder.name}: moved by {max(moved.values()):.2f} mm at most")
    return moved


if __name__ == "__main__":
    sys.exit(main())
