"""Does the pretraining help? Phantoms, a small backbone, tumours from a tenth of the labels, and the ablation.

    python benchmarks/pretraining_proof.py --out build/proof          # about six minutes of one core's time

The rows are those of the paper's ablation: none, cross-modal reconstruction, with templates, with contrast. Each is
pretrained once on all training studies without their labels, then fine-tuned on a tenth of them once per seed; all
rows of a seed see the same studies in the same order. The learning rate of the fine-tuning is chosen by validation
studies, for the start from scratch and for pretrained ones alike. Results go to `proof.json` after every fine-tuning,
so that a stopped run has its part; the same command goes on with the rest. The end is a table, `proof.md`, and the
curves of the pretraining in each row's folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import small_brains as small

from brainmvp.card import Card
from brainmvp.cohort.scan import index_folder
from brainmvp.evaluation.statistics import compare_means
from brainmvp.evaluation.tables import markdown
from brainmvp.modelstore import Model
from brainmvp.networks import NetworkConfig
from brainmvp.phantom.write import write_study
from brainmvp.training.short import Brain, region_dice
from pretraining.data.cache import Cache
from pretraining.data.prepare import prepare_cohort
from pretraining.recipe import RECIPES, Recipe
from pretraining.run.config import Config
from pretraining.run.devices import make_fabric
from pretraining.run.folder import RunFolder
from pretraining.run.loop import pretrain

# Row of the ablation: weights of view 1 (own template) and of the contrast.
ROWS = {"none": None, "reconstruction": (0, 0), "+ templates": (1, 0), "+ contrast": (1, 1)}
# The first is from scratch; the rate that is best for the second is taken for all pretrained rows.
CHOOSING = ("none", "reconstruction")
PRETRAIN_RATE = 2e-3
_CHOOSING_SEED = 1000


def recipe(first: float, contrast: float, epochs: int) -> Recipe:
    """Return the paper's recipe with one sequence per step, small blocks for coarse voxels, and some weights zero."""
    changes = {"all_sequences": False, "block": 4, "first_weight": first, "contrast_weight": contrast}
    return RECIPES["paper"].for_epochs(epochs).model_copy(update=changes)


def pretrained(
    row: str,
    index_path: Path,
    chosen: argparse.Namespace,
    network: NetworkConfig = small.NETWORK,
    name: str = "",
) -> Model:
    """Pretrain a row, or find it. name: of its folder, else the row's."""
    folder = chosen.out / (name or row.strip("+ "))
    if not (folder / "model" / "card.json").is_file():
        epochs = round(chosen.pretrain_steps * chosen.batch / chosen.studies)
        config = Config(
            name=row, recipe=recipe(*ROWS[row], epochs),
            network=network.model_copy(update={"in_channels": 1, "out_channels": 1}), spacing=small.SPACING,
            patch=small.window_of(network), series=4, batch=chosen.batch, accumulate=1,
            learning_rate=PRETRAIN_RATE, epochs=epochs,
        )  # fmt: skip
        run = RunFolder(folder)
        if run.begun and run.config() != config:
            sys.exit(f"{folder} holds a pretraining with other options; choose another --out.")
        finished = pretrain(
            index_path, folder, None if run.begun else config, make_fabric(devices=1), workers=0,
            validate_every=chosen.pretrain_steps, log_every=25, save_every=chosen.pretrain_steps,
            report=lambda record: print(json.dumps(record), flush=True),
        )  # fmt: skip
        if finished is None:
            sys.exit("Stopped; the same command goes on from here.")
    return Model(
        Card.model_validate_json((folder / "model" / "card.json").read_text("utf-8")), folder / "model"
    )


def table(results: small.Results) -> str:
    """Return the ablation as Markdown: mean over seeds and test studies, and paired differences from scratch."""
    regions = [region.name for region in small.TASK.regions]
    rows = [["pretraining", "learning rate", *regions, "mean Dice (each seed)", "against none", "p"]]
    base = None
    for row in ROWS:
        found = results.all(kind="test", row=row)
        if not found:
            continue
        dice = np.array([result["dice"] for result in found])  # (seeds, studies, regions)
        by_study = dice.mean((0, 2))
        base = by_study if base is None else base
        against = compare_means(base, by_study)
        rows.append([
            row, f"{found[0]['lr']:g}", *(f"{value:.3f}" for value in dice.mean((0, 1))),
            f"{dice.mean():.3f} ({', '.join(f'{value:.3f}' for value in dice.mean((1, 2)))})",
            *(("", "") if row == "none" else (f"{against.difference}", f"{against.p_value:.2g}")),
        ])  # fmt: skip
    return markdown(rows)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=160, help="for pretraining; a tenth of them labelled")
    parser.add_argument("--validation", type=int, default=20, help="studies that choose the learning rates")
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--pretrain-steps", type=int, default=480)
    parser.add_argument("--batch", type=int, default=4, help="studies per pretraining step")
    parser.add_argument("--tune-steps", type=int, default=150)
    parser.add_argument("--rates", type=float, nargs="+", default=(4e-3, 1e-2))
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def unlabelled(out: Path, studies: int, validation: int) -> Path:
    """Write and prepare the studies to pretrain on, and those to watch it with, without labels; return their index."""
    folder = out / "cohort"
    for number in range(studies + validation):
        target = folder / f"tumour-{number:04d}"
        written = len(list(target.glob("*.nii.gz")))
        if written < len(small.TASK.sequences):  # none yet, or stopped in the middle
            write_study(target, small.phantom(number), label=False)
    index = index_folder(folder)[0]
    index = index.with_sessions(
        session.model_copy(update={"split": "train" if number < studies else "validation"})
        for number, session in enumerate(index.sessions)
    )
    path = index.write(out / "index.json")
    for problem in prepare_cohort(index, Cache(out / "index.cache", small.SPACING)):
        sys.exit(problem)
    return path


def main() -> None:
    chosen = options()
    small.keep_options(chosen)
    index_path = unlabelled(chosen.out, chosen.studies, chosen.validation)
    starts = {row: ROWS[row] and pretrained(row, index_path, chosen) for row in ROWS}
    ends = np.cumsum([chosen.studies, chosen.validation, chosen.test])
    labelled = small.brains(range(max(chosen.studies // 10, 1)))
    validation, test = (small.brains(range(ends[part], ends[part + 1])) for part in (0, 1))
    results = small.Results(chosen.out / "proof.json")

    def dice(row: str, lr: float, seed: int, tested: list[Brain]) -> np.ndarray:
        network = small.beginning(starts[row], seed)
        small.learn(network, labelled, lr=lr, steps=chosen.tune_steps, seed=seed)
        return region_dice(network, small.TASK, tested, small.NETWORK.stride)

    best = {
        row: small.best_rate(
            results,
            row,
            chosen.rates,
            lambda lr, row=row: float(dice(row, lr, _CHOOSING_SEED, validation).mean()),
        )
        for row in CHOOSING
    }
    for seed in range(chosen.seeds):
        for row in ROWS:
            if not results.find(kind="test", row=row, seed=seed):
                lr = best[CHOOSING[row != "none"]]
                found = dice(row, lr, seed, test)
                results.add(
                    kind="test", row=row, seed=seed, lr=lr, mean=float(found.mean()), dice=found.tolist()
                )
    text = table(results)
    (chosen.out / "proof.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
