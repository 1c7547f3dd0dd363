"""Fixtures for all tests: real files with awkward geometry, small random models, and the shared real scans.

The library is imported inside the fixtures, so that a test of the networks alone needs no image libraries.
"""

import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real scans and parity files, below `data` and `parity`; tests that need it skip without it.

    `BRAINMVP_SHARED`, which has to be such a folder where it is set, else `shared` beside the checkout.
    """
    named = os.environ.get("BRAINMVP_SHARED")
    folder = Path(named or Path(__file__).parents[1].parent / "shared")
    if all((folder / part).is_dir() for part in ("data", "parity")):
        return folder
    if named:
        raise FileNotFoundError(
            f"BRAINMVP_SHARED={named} has no folders data and parity; correct or unset it."
        )
    pytest.skip("the real scans and parity files are not there; set BRAINMVP_SHARED to their folder")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread: on a busy machine, threads that wait for each other make tiny volumes many times slower."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small study of stripped heads, each sequence on a grid of its own."""
    from heads import centre_of, head, oblique

    from brainmvp.volume import write_volume

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
            affine = affine.astype("float32").astype("float64")  # as NIfTI will store it
            write_volume(head(shape, affine, centre, number), folder / f"{name}_{sequence.lower()}.nii.gz")
        return folder

    return write


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store (a `BRAINMVP_HOME`) whose `tumour` and `stroke` are small networks with random weights."""
    import torch

    from brainmvp.card import Card
    from brainmvp.modelstore import ModelStore
    from brainmvp.networks import NetworkConfig, build_network
    from brainmvp.networks.heads import set_first_logit
    from brainmvp.tasks import get_task

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
            window=(64, 64, 64),
            created=date(2026, 1, 1),
        )
        network = set_first_logit(build_network(config), 0.1)  # a fresh one finds nothing
        model = store.add(card, network.state_dict())
        store.serve(name, model.card.version)
    return home
