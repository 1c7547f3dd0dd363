"""Brain masks against what is known: made-up heads that training did not see, moved, in thick slices; real ones.

    python benchmarks/brains.py [--heads 5] [--patients FOLDER] [--weights FILE ...] [--real IMAGE MASK] [--out FILE]

Truth: the phantom's brain (bool). Each sequence is scanned after a motion of its own and stripped; then T1, T2 and
FLAIR are registered to T1CE as in a study, and what most of the four see is scored on the grid of T1CE. --weights:
score these in the place of the built-in ones, in the order given, on the same images. --real: a scan and somebody's
mask of its brain.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import nn

from brainmvp.brain import BUILT_IN, Brain, voted
from brainmvp.brain.network import brain_mask, load_network, new_network
from brainmvp.dice import dice
from brainmvp.phantom.anatomy import load_anatomies
from brainmvp.phantom.generator import make_phantom
from brainmvp.phantom.rescan import random_motion, scan, scanned_mask
from brainmvp.phantom.skull import with_head
from brainmvp.registration import align
from brainmvp.registration.overlap import LaidBrain
from brainmvp.sequences import Sequence
from brainmvp.spatial import Grid
from brainmvp.volume import Volume, read_volume

# Voxels of each sequence, mm.
_SCANS = {
    "T1": (1.0, 1.0, 1.0),
    "T1CE": (0.9, 0.9, 5.5),
    "T2": (1.0, 5.0, 1.0),
    "FLAIR": (0.9, 0.9, 5.0),
    "DWI": (2.0, 2.0, 4.0),
}
_REFERENCE, _VOTERS = "T1CE", ("T1", "T2", "FLAIR")
_VOTE = "vote of four"
_TARGET = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=5)
    parser.add_argument(
        "--seed", type=int, default=9300, help="of the first head; training used those below 1000"
    )
    parser.add_argument("--patients", type=Path, help="open patients, as `load_anatomies` reads them")
    parser.add_argument("--weights", type=Path, nargs="*", default=[])
    parser.add_argument("--real", type=Path, nargs=2, action="append", default=[], metavar=("IMAGE", "MASK"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    networks = {path.name: _network(path) for path in options.weights} or {BUILT_IN: load_network()}
    rows = simulated(options.seed, options.heads, options.patients, networks)
    rows += [row for image, mask in options.real for row in real(image, mask, networks)]
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def _network(path: Path) -> nn.Module:
    network = new_network()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.eval()


def simulated(seed: int, count: int, patients: Path | None, networks: dict[str, nn.Module]) -> list[dict]:
    """Score every sequence of every head by every network; print and return the rows."""
    anatomies, rows = load_anatomies(2.0, patients), []
    for number in range(seed, seed + count):
        rng = np.random.default_rng(number)
        phantom = make_phantom(
            number,
            "tumour",
            spacing=2.0,
            difficulty=0.3,
            sequences=tuple(map(Sequence, _SCANS)),
            anatomies=anatomies,
        )
        head = with_head(phantom, number)
        motions = {name: random_motion(rng) for name in _SCANS}
        images = {name: scan(head[name], voxels, motions[name]) for name, voxels in _SCANS.items()}
        truths = {name: scanned_mask(head["brain"], images[name], motions[name]) for name in _SCANS}
        worlds = {name: align(images[name], images[_REFERENCE]).world for name in _VOTERS}
        for who, network in networks.items():
            found = {name: brain_mask(image, network) for name, image in images.items()}
            scores = {name: dice(found[name], truths[name]) for name in _SCANS}
            scores[_VOTE] = dice(_vote(found, images, worlds), truths[_REFERENCE])
            rows += [{"head": number, "network": who, "image": k, "dice": v} for k, v in scores.items()]
            print(
                f"  head {number}, {who}: " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()), flush=True
            )
    for who in networks:
        for name in (*_SCANS, _VOTE):
            _summary(f"{who}, {name}", [r["dice"] for r in rows if (r["network"], r["image"]) == (who, name)])
        _summary(
            f"{who}, single images", [r["dice"] for r in rows if r["network"] == who and r["image"] != _VOTE]
        )
    return rows


def _vote(
    found: dict[str, np.ndarray], images: dict[str, Volume], worlds: dict[str, np.ndarray]
) -> np.ndarray:
    own, target = found[_REFERENCE], images[_REFERENCE]
    grid = Grid(target.shape, target.affine)
    others = [
        LaidBrain.of(Volume(found[name], images[name].affine), grid, world).vote(own)
        for name, world in worlds.items()
    ]
    return voted(Brain(own, BUILT_IN), others, target.voxel_ml).mask


def _summary(what: str, scores: list[float]) -> None:
    if scores:
        reached = sum(score >= _TARGET for score in scores)
        print(
            f"{what}: Dice median {np.median(scores):.3f}, lowest {min(scores):.3f}, {reached} of {len(scores)} reach "
            f"{_TARGET}"
        )


def real(image: Path, mask: Path, networks: dict[str, nn.Module]) -> list[dict]:
    """Score a real head against somebody's mask; print and return the rows."""
    volume, truth, rows = read_volume(image), read_volume(mask).data > 0, []
    for who, network in networks.items():
        found = brain_mask(volume, network)
        extra, lost = (float(part.sum()) * volume.voxel_ml for part in (found & ~truth, truth & ~found))
        rows.append({"image": image.name, "network": who, "dice": dice(found, truth)})
        print(f"  {image.name}, {who}: Dice {rows[-1]['dice']:.3f}, {extra:.0f} mL more, {lost:.0f} mL less")
    return rows


if __name__ == "__main__":
    sys.exit(main())
