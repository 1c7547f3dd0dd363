"""Does the pretraining help? Phantoms, the compact backbone, tumours from a tenth of the labels, and the ablation.

    python benchmarks/pretraining_proof.py --out build/proof                  # minutes to an hour on one core
    python benchmarks/pretraining_proof.py --out build/proof --spacing 2 --patch 80 96 80 --studies 400 \\
        --pretrain-steps 5000 --tune-steps 1500 --batch 8                     # on a GPU

The rows are those of the paper's ablation: none, cross-modal reconstruction, with templates, with contrast. Each is
pretrained once, then fine-tuned once per seed; all rows of a seed see the same patches in the same order. Results go
to `proof.json` after every fine-tuning, so that a stopped run has its part; the same command goes on with the rest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "lib")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from brainmvp.card import Card  # noqa: E402
from brainmvp.cohort import Index, Session  # noqa: E402
from brainmvp.cohort.scan import index_folder  # noqa: E402
from brainmvp.modelstore import Model  # noqa: E402
from brainmvp.networks import NetworkConfig, build_network  # noqa: E402
from brainmvp.networks.checkpoint import STEMS  # noqa: E402
from brainmvp.phantom.generator import make_phantom  # noqa: E402
from brainmvp.phantom.write import write_study  # noqa: E402
from brainmvp.spatial import Grid, resample_mask  # noqa: E402
from brainmvp.tasks import get_task  # noqa: E402
from brainmvp.training.loss import dice, region_targets, segmentation_loss  # noqa: E402
from brainmvp.training.optim import make_optimisers, rate  # noqa: E402
from brainmvp.volume import atomically, read_volume  # noqa: E402
from pretraining.data.cache import Cache  # noqa: E402
from pretraining.data.prepare import prepare_cohort  # noqa: E402
from pretraining.data.preprocess import LEVELS, preprocess  # noqa: E402
from pretraining.recipe import RECIPES, Recipe  # noqa: E402
from pretraining.run.config import Config  # noqa: E402
from pretraining.run.devices import make_fabric  # noqa: E402
from pretraining.run.loop import pretrain  # noqa: E402

TASK = get_task("tumour")
NETWORK = "unet-light"
# Of the short trainings here, not of the paper's; the same for every row.
PRETRAIN_RATE, TUNE_RATE = 2e-3, 2e-3
# As the built-in models are trained: lesions are rare, and one bad study must not undo the others.
FIRST_BIAS, GRADIENT_LIMIT = -3.0, 2.0


def recipe(first: float, contrast: float, options: argparse.Namespace) -> Recipe:
    """Return the paper's recipe with one sequence per step, small blocks for coarse voxels, and some weights zero."""
    gate = round(
        options.pretrain_steps * 2 / 3 * options.batch / options.studies
    )  # the last third, as in the paper
    return RECIPES["paper"].model_copy(
        update={
            "all_sequences": False, "block": 4, "first_weight": first, "contrast_weight": contrast,
            "contrast_from": gate,
        }
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """images: (C, *patch) float32; targets: (R, *patch) bool; brain: (1, *patch) bool."""

    images: Tensor
    targets: Tensor
    brain: Tensor


def make_cohort(root: Path, count: int) -> Index:
    """Write phantoms of a tumour each at 2 mm, those of seeds that no built-in model saw; return their index."""
    for seed in range(count):
        folder = root / f"tumour-{seed:05d}"
        if not (folder / f"{folder.name}_seg.nii.gz").is_file():
            phantom = make_phantom(
                900_000_000 + seed, "tumour", difficulty=0.3, sequences=TASK.sequences, disease="tumour"
            )
            write_study(folder, phantom)
    return index_folder(root)[0]


def split(index: Index, pretraining: int) -> Index:
    """Return the index with the first studies for pretraining, and the rest as the test."""
    return index.with_sessions(
        session.model_copy(update={"split": "train" if number < pretraining else "test"})
        for number, session in enumerate(index.sessions)
    )


def case_of(index: Index, session: Session, spacing: float, patch: tuple[int, ...]) -> Case:
    """Return a study as the fine-tuning sees it: scaled as in pretraining, in the middle of the patch."""
    study = preprocess(index, session, spacing, lambda file, sentence: sys.exit(sentence))
    by_sequence = {series.sequence: series.values for series in study.series}
    images = np.stack([by_sequence[sequence] for sequence in TASK.sequences]).astype(np.float32) / LEVELS
    label = read_volume(index.path(session.segmentation))
    grid = Grid(images.shape[1:], study.affine)
    found = np.zeros(grid.shape, np.uint8)
    for value in (2, 1, 3):  # oedema first: what lies inside it wins
        found[resample_mask(label.data == value, label.affine, grid)] = value
    return Case(
        *(
            torch.from_numpy(centred(array, patch))
            for array in (
                images, region_targets(torch.from_numpy(found)[None], TASK)[0].numpy(), (images > 0).any(0)[None]
            )
        )
    )  # fmt: skip


def centred(array: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    """Pad or crop (C, X, Y, Z) about its middle."""
    result = np.zeros((len(array), *patch), array.dtype)
    inside, outside = [slice(None)], [slice(None)]
    for length, edge in zip(array.shape[1:], patch, strict=True):
        shared = min(length, edge)
        inside.append(slice((edge - shared) // 2, (edge - shared) // 2 + shared))
        outside.append(slice((length - shared) // 2, (length - shared) // 2 + shared))
    result[tuple(inside)] = array[tuple(outside)]
    return result


def begin(start: Path | None, seed: int) -> nn.Module:
    """Return the segmentation network of a seed, with a pretrained encoder and decoder if there are some."""
    torch.manual_seed(seed)
    network = build_network(NetworkConfig.preset(NETWORK, len(TASK.sequences), len(TASK.regions)))
    if start is not None:
        card = Card.model_validate_json((start / "card.json").read_text("utf-8"))
        state, found = network.state_dict(), Model(card, start).load_weights()
        for name, value in found.items():
            # The stem of one sequence is shared out over the channels: equal channels give what they gave.
            state[name] = (value / len(TASK.sequences)).expand_as(state[name]) if name in STEMS else value
        network.load_state_dict(state)
    nn.init.constant_(network.head.bias, FIRST_BIAS)
    return network


def tune(network: nn.Module, cases: list[Case], steps: int, seed: int, device: torch.device) -> None:
    """Fine-tune all weights as the built-in models learn, one study per step, mirrored left to right at random."""
    optimizers = make_optimisers(network, TUNE_RATE)
    generator = torch.Generator().manual_seed(seed)
    network.to(device).train()
    for step in range(steps):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = TUNE_RATE * rate(step / steps, step, warm_up=20)
        case = cases[int(torch.randint(len(cases), (1,), generator=generator))]
        parts = [part[None].to(device) for part in (case.images, case.targets, case.brain)]
        if torch.rand((), generator=generator) < 0.5:
            parts = [part.flip(2) for part in parts]
        seen = torch.ones(1, len(TASK.regions), dtype=torch.bool, device=device)
        loss = segmentation_loss(network(parts[0]), parts[1], seen, parts[2])
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_LIMIT)
        for optimizer in optimizers:
            optimizer.step()


@torch.no_grad()
def score(network: nn.Module, cases: list[Case], device: torch.device) -> dict[str, float]:
    """Return the mean Dice of each region over the cases."""
    network.eval()
    rows = [
        dice(
            network(case.images[None].to(device)).sigmoid() * case.brain.to(device),
            case.targets[None].to(device),
        )[0]
        for case in cases
    ]
    means = torch.stack(rows).mean(0).tolist()
    return {region.name: value for region, value in zip(TASK.regions, means, strict=True)}


def table(results: list[dict], rows: list[str]) -> str:
    """Return the ablation as Markdown: mean Dice over regions and test studies, per seed, and the mean of seeds."""
    lines = ["| pretraining | mean Dice | of each seed | " + " | ".join(r.name for r in TASK.regions) + " |",
             "|---" * (3 + len(TASK.regions)) + "|"]  # fmt: skip
    for row in rows:
        found = [result for result in results if result["row"] == row]
        if found:
            means = [statistics.fmean(result["dice"].values()) for result in found]
            regions = [statistics.fmean(result["dice"][r.name] for result in found) for r in TASK.regions]
            cells = [row, f"{statistics.fmean(means):.3f}", ", ".join(f"{mean:.3f}" for mean in means)]
            lines.append("| " + " | ".join([*cells, *(f"{value:.3f}" for value in regions)]) + " |")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--spacing", type=float, default=5.0, help="mm")
    parser.add_argument("--patch", type=int, nargs=3, default=(32, 48, 32), help="voxels: a whole brain")
    parser.add_argument("--studies", type=int, default=60, help="for pretraining; a tenth of them labelled")
    parser.add_argument("--test", type=int, default=20)
    parser.add_argument("--pretrain-steps", type=int, default=250)
    parser.add_argument("--batch", type=int, default=2, help="studies per pretraining step")
    parser.add_argument("--tune-steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    chosen = options()
    patch = tuple(chosen.patch)
    index = split(make_cohort(chosen.out / "cohort", chosen.studies + chosen.test), chosen.studies)
    index_path = index.write(chosen.out / "index.json")
    cache = Cache(chosen.out / "index.cache", chosen.spacing)
    for problem in prepare_cohort(index, cache):
        sys.exit(problem)
    fabric = make_fabric(devices=1)
    rows = {
        "none": None, "reconstruction": recipe(0, 0, chosen), "+ templates": recipe(1, 0, chosen),
        "+ contrast": recipe(1, 1, chosen),
    }  # fmt: skip
    starts: dict[str, Path | None] = {}
    for row, of_row in rows.items():
        run = chosen.out / row.strip("+ ")
        starts[row] = None if of_row is None else run / "model"
        if of_row is None or (run / "model" / "card.json").is_file():
            continue
        config = Config(
            name=row, recipe=of_row, network=NetworkConfig.preset(NETWORK, 1, 1), spacing=chosen.spacing, patch=patch,
            series=4, batch=chosen.batch, accumulate=1, learning_rate=PRETRAIN_RATE,
            epochs=round(chosen.pretrain_steps * chosen.batch / chosen.studies),
        )  # fmt: skip
        pretrain(
            index_path, run, config, fabric, workers=0, validate_every=chosen.pretrain_steps, log_every=25,
            save_every=chosen.pretrain_steps, report=lambda record: print(json.dumps(record), flush=True),
        )  # fmt: skip
    labelled = index.select("train")[: max(chosen.studies // 10, 1)]
    cases, test = (
        [case_of(index, session, chosen.spacing, patch) for session in sessions]
        for sessions in (labelled, index.select("test"))
    )
    path = chosen.out / "proof.json"
    results = json.loads(path.read_text("utf-8"))["results"] if path.is_file() else []
    for seed in range(chosen.seeds):
        for row, start in starts.items():
            if any(result["row"] == row and result["seed"] == seed for result in results):
                continue
            network = begin(start, seed)
            tune(network, cases, chosen.tune_steps, seed, fabric.device)
            results.append({"row": row, "seed": seed, "dice": score(network, test, fabric.device)})
            record = {"options": {key: str(value) for key, value in vars(chosen).items()}, "results": results}
            text = json.dumps(record, indent=1)
            atomically(path, lambda temporary, text=text: temporary.write_text(text, "utf-8"))
            print(json.dumps(results[-1]), flush=True)
    print(table(results, list(rows)))


if __name__ == "__main__":
    main()
