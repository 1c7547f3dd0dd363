"""Registration against what is known: made-up heads moved by known motions, in thick slices; real studies.

    python benchmarks/alignment.py [--heads 2] [--native FOLDER] [--registered FOLDER ...] [--out result.json]

Truth: the motion that a head was scanned after. Then each sequence on the next head's reference, which has to be
doubted. With --native, a study as it was scanned: similarity and overlap of the sequences' own brain masks before and
after. With --registered, studies whose sequences must not move. Brain masks: benchmarks/brains.py.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from brainmvp.brain.network import brain_mask
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.rescan import errors_mm, random_motion, scan
from brainmvp.phantom.skull import with_head
from brainmvp.registration import Alignment, align, with_overlap
from brainmvp.sequences import Sequence
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
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument(
        "--seed", type=int, default=9000, help="of the first head; training used those below 1000"
    )
    parser.add_argument("--native", type=Path)
    parser.add_argument("--registered", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = {"simulated": simulated(options.seed, options.heads)} if options.heads else {}
    if options.native:
        results["native"] = native(options.native)
    if options.registered:
        results["registered"] = {folder.name: registered(folder) for folder in options.registered}
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


def simulated(seed: int, count: int) -> dict:
    """Register moved heads, and each on another's; print a line each and the summary, and return all."""
    true, scans = [], []
    for number in range(count):
        rng = np.random.default_rng(seed + number)
        phantom = make_phantom(seed + number, "tumour", spacing=1.0, difficulty=0.3, sequences=_SEQUENCES)
        head = with_head(phantom, seed + number)
        for reference, fine, moving, thick, part in _PAIRS:
            motion = random_motion(rng)
            scans.append((scan(head[moving], thick, motion, part), scan(head[reference], fine)))
            start = time.perf_counter()
            found = align(*scans[-1])
            errors = errors_mm(found.world, motion, head["brain"])
            true.append({"pair": f"{moving} {thick[2]:g} mm on {reference}", "mean_mm": float(errors.mean()),
                         "worst_mm": float(errors.max()), "seconds": time.perf_counter() - start,
                         **_signs(found)})  # fmt: skip
            print(
                "  {pair}: mean {mean_mm:.2f} mm, worst {worst_mm:.2f} mm, ends {spread_mm:.1f} mm apart, stretch "
                "{stretch:.3f}, {seconds:.1f} s".format(**true[-1]),
                flush=True,
            )
    means = np.array([row["mean_mm"] for row in true])
    print(
        f"registration: {len(true)} pairs, median {np.median(means):.2f} mm, worst mean {means.max():.2f} mm, worst "
        f"point {max(row['worst_mm'] for row in true):.2f} mm, {_doubted(true)} doubted, median "
        f"{np.median([row['seconds'] for row in true]):.1f} s"
    )
    wrong = []
    for number, (moving, _) in enumerate(scans if count > 1 else []):
        _, reference = scans[(number + len(_PAIRS)) % len(scans)]
        wrong.append(_signs(align(moving, reference)))
        print(
            "  another head: ends {spread_mm:.1f} mm apart, stretch {stretch:.3f}".format(**wrong[-1]),
            flush=True,
        )
    print(f"another patient's head: {len(wrong)} pairs, {_doubted(wrong)} doubted")
    return {"true": true, "wrong": wrong}


def _signs(found: Alignment) -> dict:
    """Return what a registration is doubted by."""
    return {"spread_mm": found.spread_mm, "stretch": found.stretch, "doubt": found.doubt}


def _doubted(rows: list[dict]) -> int:
    return sum(row["doubt"] is not None for row in rows)


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
