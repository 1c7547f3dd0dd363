"""What a simulation needs to begin: a labelled cohort, and the model that was there before it."""

import random
from collections.abc import Callable
from datetime import date
from pathlib import Path, PurePosixPath

import torch

from brainmvp.annotation.simulate import Cohort
from brainmvp.card import Card
from brainmvp.case import Case
from brainmvp.cohort.layouts import place_of
from brainmvp.errors import BrainMVPError
from brainmvp.finetune.prepared import Preparation, to_tensor
from brainmvp.modelstore import Model, write_model
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.phantom.generator import Disease, Phantom, make_phantom
from brainmvp.selection.embed import Embedder
from brainmvp.study import Study, find_studies
from brainmvp.tasks import Task
from brainmvp.training.short import Brain, brain_of, learn_shortly

# A network with which a phantom cohort at 8 mm is learned in seconds, on whole brains.
_NETWORK = {"widths": (16, 32), "depths": (1, 2), "patches": True, "fine_width": 8}
_WINDOW, _OVERLAP = (20, 24, 20), 0.25
_DIFFICULTY = 0.3
# Of the studies to label, those without the disease, as a hospital's list has them; of the tumours among the others,
# ring-enhancing ones, which are the commonest kind; of those that test it is half.
_WITHOUT_SHARE, _COMMON_SHARE = 1 / 6, 0.8
_COMMON, _RARE, _WITHOUT = "common", "rare", "without"
# Patients of the common kind that the model of before has seen, and the first seed of theirs, below all those that
# `simulate-annotation` takes. So few, and fewer steps than the models to come: it finds most tumours and outlines few
# of them well, so that there is something to learn.
_EARLIER, _EARLIER_SEED, _EARLIER_STEPS = 8, 40_000, 2 / 3
# Random weights take larger steps than those of a model.
_EARLIER_LR = 1e-2

Tell = Callable[[str], None]


def labelled_cohort(
    folder: Path, task: Task, test: int | None, spacing: float, embedder: Embedder, prepared: Path, tell: Tell
) -> Cohort:
    """Return the studies below a folder that have a label beside their images.

    test: patients that test; default: a quarter.
    """
    cases = [
        Case(s, s.label, patient=patient_in(s, folder.resolve())) for s in find_studies(folder) if s.label
    ]
    if not cases:
        raise BrainMVPError(f"{folder} holds no study with a label beside its images (NAME_seg.nii.gz).")
    if len({case.id for case in cases}) < len(cases):
        raise BrainMVPError("Two studies have the same name; rename one of them.")
    patients = len({case.group for case in cases})
    pool, tested = share_out(cases, test or max(1, patients // 4), seed=0)
    preparation = Preparation(task, spacing)

    def brains(some: list[Case]) -> dict[str, Brain]:
        ready = preparation.all(
            some, prepared, lambda done, total: tell(f"{done} of {total} studies prepared")
        )
        return {case.id: Brain(to_tensor(case.images), to_tensor(case.labels)) for case in ready}

    embeddings = {case.id: embedder.embed(case.study) for case in pool}
    return Cohort(brains(pool), brains(tested), embeddings, spacing)


def patient_in(study: Study, root: Path) -> str:
    """Return whose study it is, as `brainmvp index` would tell by its folders' and files' names."""
    first = next(iter(study.images.values()))
    file = first if isinstance(first, Path) else study.folder / "dicom"
    # A linked folder may lie elsewhere: then its own name and that above it have to do.
    parts = file.relative_to(root).parts if file.is_relative_to(root) else file.parts[-3:]
    place = place_of(PurePosixPath(*parts), root.name)
    return f"{place.dataset}/{place.subject}"


def phantom_cohort(
    task: Task, pool: int, test: int, spacing: float, embedder: Embedder, seed: int, tell: Tell
) -> Cohort:
    """Make patients; the first has the seed, the others count up.

    Of those to label some do not have the task's disease, most tumours are of one kind and the others are rare, as in a
    hospital; those that test have it, of the common kind and of the others in equal parts, since a model should be good
    at all of them.
    """
    rooms = _rooms(task, pool, test)
    cohort = Cohort({}, {}, {}, spacing)
    while any(rooms.values()):
        # With the disease first; the last ones are those without.
        disease = task.name if any(n for (_, kind), n in rooms.items() if kind != _WITHOUT) else "healthy"
        phantom, seed = _phantom(task, seed, spacing, disease), seed + 1
        kind = _kind(phantom) if disease != "healthy" else _WITHOUT
        part = next((part for part in ("test", "pool") if rooms.get((part, kind))), None)
        if part is None:
            continue
        rooms[part, kind] -= 1
        brain = brain_of(phantom, task)
        name = f"{kind}-{phantom.facts['seed']}"
        if part == "test":
            cohort.test[name] = brain
        else:
            cohort.pool[name], cohort.embeddings[name] = brain, embedder.describe(brain.images)
    tell(f"{pool + test} phantoms")
    return cohort


def earlier_model(task: Task, start: Model, folder: Path, steps: int) -> Model:
    """Write the model that is served before the annotation: it knows a few patients of the common kind, none of these.

    It describes the studies, is unsure about them before one is labelled, and is what learns from the labels. steps: of
    the models to come.
    """
    brains, seed = [], _EARLIER_SEED
    while len(brains) < _EARLIER:
        phantom, seed = _phantom(task, seed, start.card.spacing, task.name), seed + 1
        if _kind(phantom) == _COMMON:
            brains.append(brain_of(phantom, task))
    network = learn_shortly(
        start.load_network(), task, brains, window=start.card.window, steps=max(1, round(_EARLIER_STEPS * steps)),
        lr=_EARLIER_LR, seed=0,
    )  # fmt: skip
    card = start.card.model_copy(update={"title": f"Learned from {_EARLIER} earlier phantoms"})
    return write_model(card, network.state_dict(), folder)


def _phantom(task: Task, seed: int, spacing: float, disease: Disease) -> Phantom:
    return make_phantom(
        seed, task.name, spacing=spacing, difficulty=_DIFFICULTY, sequences=task.sequences, disease=disease
    )  # fmt: skip


def _kind(phantom: Phantom) -> str:
    """Return whether a disease is of the common kind or a rare one; strokes count as one kind."""
    rare = phantom.facts["disease"] == "tumour" and phantom.facts["kind"] != "ring"
    return _RARE if rare else _COMMON


def _rooms(task: Task, pool: int, test: int) -> dict[tuple[str, str], int]:
    """Return how many phantoms of each kind each part takes."""
    without = round(_WITHOUT_SHARE * pool)
    common, tested = round(_COMMON_SHARE * (pool - without)), test // 2
    if task.name != "tumour":
        common, tested = pool - without, test
    return {
        ("pool", _COMMON): common, ("pool", _RARE): pool - without - common, ("pool", _WITHOUT): without,
        ("test", _COMMON): tested, ("test", _RARE): test - tested,
    }  # fmt: skip


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


def untrained(task: Task, spacing: float, folder: Path) -> Model:
    """Write a small network with random weights as a model, to start from."""
    config = NetworkConfig(
        backbone="unet", in_channels=len(task.sequences), out_channels=len(task.regions), **_NETWORK,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config)
    card = Card(
        name=task.name, version=1, task=task.name, title="Untrained", sequences=task.sequences,
        regions=tuple(region.name for region in task.regions), network=config, spacing=spacing,
        window=_WINDOW, overlap=_OVERLAP, created=date.today(),
    )  # fmt: skip
    return write_model(card, network.state_dict(), folder)
