"""Fixtures for all tests: real files with awkward geometry, small random models, and the shared real scans."""

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from brainmvp.card import Card
from brainmvp.modelstore import ModelStore
from brainmvp.networks import NetworkConfig, build_network
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real scans and parity files beside the checkout; tests that need it skip without it."""
    folder = Path(os.environ.get("BRAINMVP_SHARED", Path(__file__).parents[1].parent / "shared"))
    if not folder.is_dir():
        pytest.skip("the real scans and parity files are not beside this checkout")
    return folder


def oblique(
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), codes: str = "RAS", degrees: float = 17.0
) -> np.ndarray:
    """Return an affine (4, 4) turned about two axes, with the axis directions `codes` and an odd origin."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    signs = [1 if code in "RAS" else -1 for code in codes]
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(np.array(spacing) * signs)
    affine[:3, 3] = (-31.7, 22.3, -11.9)
    # NIfTI stores float32: what a file can hold comes back bit for bit.
    return affine.astype(np.float32).astype(np.float64)


def head(shape: tuple[int, int, int], affine: np.ndarray, centre: np.ndarray, seed: int = 0) -> Volume:
    """Return a small stripped head: an ellipsoid of textured tissue, 40 x 48 x 40 mm, zero outside."""
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    inside = (((world - centre) / np.array([20.0, 24.0, 20.0])) ** 2).sum(-1) < 1
    data = np.where(inside, 400 + 60 * rng.standard_normal(shape), 0)
    return Volume(np.clip(data, 0, 4000).astype(np.int16), affine)


def centre_of(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Return the world position of the middle of a grid, mm."""
    return affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small study of stripped heads, each sequence on a grid of its own."""

    def write(name: str, sequences: str, root: Path | None = None) -> Path:
        folder = (root or tmp_path) / name
        grids = {
            0: ((44, 52, 46), oblique((1.1, 1.0, 1.05), "LPS")),
            1: ((46, 54, 48), oblique((1.0, 1.0, 1.0), "RAS", 0.0)),
            2: ((50, 56, 20), oblique((0.9, 0.95, 2.6), "LAS", -9.0)),
        }
        centre = centre_of(*grids[0])
        for number, sequence in enumerate(sequences.split()):
            shape, affine = grids[number % 3]
            affine = affine.copy()
            affine[:3, 3] += centre - centre_of(shape, affine)
            affine = affine.astype(np.float32).astype(np.float64)
            write_volume(head(shape, affine, centre, number), folder / f"{name}_{sequence.lower()}.nii.gz")
        return folder

    return write


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store (a `BRAINMVP_HOME`) whose `tumour` and `stroke` are small networks with random weights."""
    home = tmp_path_factory.mktemp("brainmvp_home")
    store = ModelStore(home)
    for name in ("tumour", "stroke"):
        task = get_task(name)
        config = NetworkConfig.preset("unet-compact", len(task.sequences), len(task.regions))
        torch.manual_seed(7)
        card = Card(
            name=name,
            version=store.next_version(name),
            task=name,
            title=f"Random {name} model for tests",
            sequences=task.sequences,
            regions=tuple(region.name for region in task.regions),
            network=config,
            spacing=4.0,
            window=(32, 32, 32),
            created=date(2026, 1, 1),
        )
        model = store.add(card, build_network(config).state_dict())
        store.serve(name, model.card.version)
    return home
