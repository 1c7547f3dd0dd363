"""What a simulation needs to begin: a labelled cohort, and a small network that has learned nothing."""

import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from brainmvp.annotation.cases import patient_of
from brainmvp.card import Card
from brainmvp.case import Case
from brainmvp.errors import BrainMVPError
from brainmvp.modelstore import Model, write_model
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.study import Study, find_studies
from brainmvp.tasks import Task

# A network and crops with which a phantom cohort at 6 mm is learned in seconds.
_NETWORK = {"widths": (8, 16, 32), "depths": (1, 1, 1)}
_WINDOW, _OVERLAP = (16, 16, 16), 0.25


def labelled_cohort(folder: Path) -> list[Case]:
    """Return the studies below a folder that have a label beside their images."""
    cases = [Case(s, s.label, patient=patient_of(s.id)) for s in find_studies(folder) if s.label]
    if not cases:
        raise BrainMVPError(f"{folder} holds no study with a label beside its images (NAME_seg.nii.gz).")
    return cases


def phantom_cohort(
    folder: Path, task: Task, count: int, seed: int, tell: Callable[[str], None]
) -> list[Case]:
    """Write made-up patients at 2 mm, of every difficulty, or find them; return them as cases."""
    from brainmvp.phantom.generator import make_phantom
    from brainmvp.phantom.write import USUAL_SEQUENCES, write_study

    draw = random.Random(seed)
    cases = []
    for number in range(count):
        difficulty = draw.random()
        target = folder / f"{task.name}-{seed + number:04d}"
        if not target.is_dir():
            phantom = make_phantom(
                seed + number, task.name, difficulty=difficulty, sequences=USUAL_SEQUENCES[task.name]
            )
            write_study(target, phantom)
        tell(f"{number + 1} of {count} phantoms")
        study = Study.from_folder(target)
        cases.append(Case(study, study.label, patient=study.id))
    return cases


def share_out(cases: list[Case], test: int, seed: int) -> tuple[list[Case], list[Case]]:
    """Return the pool and the test cases, drawn by patient; raises `BrainMVPError` if too few are left to label."""
    patients = sorted({case.group for case in cases})
    drawn = set(random.Random(seed).sample(patients, min(test, len(patients))))
    pool = [case for case in cases if case.group not in drawn]
    if len(pool) < 4:
        raise BrainMVPError(
            f"{len(pool)} studies are left to label beside the {test} for testing; give more."
        )
    return pool, [case for case in cases if case.group in drawn]


def untrained(task: Task, spacing: float, folder: Path, seed: int = 0) -> Model:
    """Write a small network with random weights as a model, to start from."""
    config = NetworkConfig(
        backbone="unet", in_channels=len(task.sequences), out_channels=len(task.regions), **_NETWORK,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config)
        torch.nn.init.constant_(network.head.bias, -3.0)  # most voxels belong to no region
    card = Card(
        name=task.name, version=1, task=task.name, title="Untrained", sequences=task.sequences,
        regions=tuple(region.name for region in task.regions), network=config, spacing=spacing,
        window=_WINDOW, overlap=_OVERLAP, created=date.today(),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_model(card, network.state_dict(), folder)
    return Model(card, folder)
