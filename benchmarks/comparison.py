"""Which network, and is its pretraining worth it? Ours from scratch and pretrained, beside MONAI's from scratch.

    python benchmarks/comparison.py --out build/comparison --seeds 2          # about a quarter of an hour of one core
    python benchmarks/comparison.py --out build/comparison --scans TUMOURS    # labelled real studies are scored, too

The same phantoms, labels, loader, loss and optimiser for all, at a tenth of the labels and at all of them; the learning
rate of each by the same validation phantoms. UNet, SegResNet and DynUNet are narrowed until a step costs about the
same. A step of the UniFormer costs more, so the UNet has two budgets: as many steps, and as much processor time, by the
cost of a step as measured at the start. Both encoders are pretrained once, with the three proxy tasks, on the training
phantoms without labels. The end is a table, `comparison.md`; a stopped run goes on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import small_brains as small
from pretraining_proof import pretrained, unlabelled

from brainmvp.cohort.cases import cases_of
from brainmvp.cohort.scan import index_folder
from brainmvp.evaluation.tables import markdown
from brainmvp.finetune.prepared import Preparation, to_tensor
from brainmvp.networks import NetworkConfig
from brainmvp.training.short import Brain, region_dice

_SIZE = {"in_channels": len(small.TASK.sequences), "out_channels": len(small.TASK.regions)}
NETWORKS = {
    "UNet": small.NETWORK,
    "UniFormer": NetworkConfig(
        backbone="uniformer", widths=(16, 32, 64, 96), depths=(1, 2, 2, 1), fine_width=8, head_dim=16, norm="group",
        **_SIZE,
    ),
    "SegResNet": NetworkConfig(backbone="segresnet", widths=(8, 16, 32), depths=(1, 2, 2), **_SIZE),
    "DynUNet": NetworkConfig(backbone="dynunet", widths=(8, 16, 32), depths=(2, 2, 2), **_SIZE),
}  # fmt: skip
_CHOOSING_SEED = 1000
_TIMED_STEPS = 5


class Row(NamedTuple):
    """A row of the table; long: with the processor time of the UniFormer instead of its number of steps."""

    network: str
    pretrained: bool = False
    long: bool = False

    @property
    def name(self) -> str:
        return ", ".join((self.network, *["pretrained"] * self.pretrained, *["as long"] * self.long))


ROWS = [
    *(Row("UNet", pretrained, long) for long in (False, True) for pretrained in (False, True)),
    Row("UniFormer"), Row("UniFormer", True), Row("SegResNet"), Row("DynUNet"),
]  # fmt: skip


def table(results: small.Results) -> str:
    """Return Markdown: the mean over seeds and test studies, and the spread over seeds; processor time."""
    regions = [region.name for region in small.TASK.regions]
    scanned = any("scans" in row for row in results.all(kind="test"))
    rows = [[
        "labels", "network", "steps", *regions, "mean Dice", "training, s", "inference, s", "parameters, million",
        *["real scans"] * scanned,
    ]]  # fmt: skip
    for share in sorted({row["share"] for row in results.all(kind="test")}):
        for row in ROWS:
            found = results.all(kind="test", row=row.name, share=share)
            if not found:
                continue
            dice = np.array([one["dice"] for one in found])  # (seeds, studies, regions)
            training, inference = (
                float(np.median([one[key] for one in found])) for key in ("training_s", "inference_s")
            )
            rows.append([
                str(found[0]["studies"]), row.name, str(found[0]["steps"]),
                *(f"{value:.3f}" for value in dice.mean((0, 1))),
                f"{dice.mean():.3f} ({', '.join(f'{value:.3f}' for value in dice.mean((1, 2)))})",
                f"{training:.0f}", f"{inference:.3f}", f"{found[0]['parameters'] / 1e6:.2f}",
                *([f"{np.mean([one['scans'] for one in found]):.2f}"] if scanned else []),
            ])  # fmt: skip
    return markdown(rows)


def seconds_per_step(brains: list[Brain]) -> dict[str, float]:
    """Return the processor time of a training step of each network, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for turn in range(_TIMED_STEPS + 1):  # the first is a warm-up
        for name, config in NETWORKS.items():
            network = small.beginning(None, 0, config)
            begin = time.process_time()
            small.learn(network, brains, lr=1e-4, steps=4, seed=turn, config=config)
            times[name].append((time.process_time() - begin) / 4)
    return {name: statistics.median(column[1:]) for name, column in times.items()}


def scans(folder: Path, cache: Path) -> Iterator[Brain]:
    """Yield the labelled tumour studies of a folder on the working grid."""
    cases, notes = cases_of(index_folder(folder)[0], small.TASK)
    print(*notes, sep="\n")
    for case in Preparation(small.TASK, small.SPACING).all(cases, cache):
        yield Brain(to_tensor(case.images), to_tensor(case.labels))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=160, help="for pretraining, and labelled")
    parser.add_argument("--validation", type=int, default=20, help="studies that choose the learning rates")
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--pretrain-steps", type=int, default=480)
    parser.add_argument("--batch", type=int, default=4, help="studies per pretraining step")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rates", type=float, nargs="+", default=(4e-3, 1e-2))
    parser.add_argument("--shares", type=float, nargs="+", default=(0.1, 1.0), help="of the labels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scans", type=Path, help="labelled real tumours: scored, never learned from")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    small.keep_options(chosen)
    index = unlabelled(chosen.out, chosen.studies, chosen.validation)
    starts = {
        name: pretrained("+ contrast", index, chosen, NETWORKS[name], name.lower()) for name in ("UNet", "UniFormer")
    }  # fmt: skip
    ends = np.cumsum([0, chosen.studies, chosen.validation, chosen.test])
    train, validation, test = (small.brains(range(ends[part], ends[part + 1])) for part in range(3))
    real = list(scans(chosen.scans, chosen.out / "scans")) if chosen.scans else []
    results = small.Results(chosen.out / "comparison.json")
    if not results.find(kind="cost"):
        results.add(kind="cost", **seconds_per_step(train[:4]))
    cost = results.find(kind="cost")

    def steps(row: Row) -> int:
        return round(chosen.steps * (cost["UniFormer"] / cost[row.network] if row.long else 1))

    def learned(row: Row, share: float, lr: float, seed: int) -> small.nn.Module:
        config = NETWORKS[row.network]
        network = small.beginning(starts[row.network] if row.pretrained else None, seed, config)
        labelled = train[: max(round(share * len(train)), 1)]
        return small.learn(network, labelled, lr=lr, steps=steps(row), seed=seed, config=config)

    def dice(row: Row, network: small.nn.Module, brains: list[Brain]) -> np.ndarray:
        return region_dice(network, small.TASK, brains, NETWORKS[row.network].stride)

    def chosen_rate(row: Row) -> float:
        """Return the learning rate of a row; a longer training takes that of the shorter one."""
        row = row._replace(long=False)
        if len(chosen.rates) == 1:
            return chosen.rates[0]
        return small.best_rate(
            results, row.name, chosen.rates,
            lambda lr: float(dice(row, learned(row, min(chosen.shares), lr, _CHOOSING_SEED), validation).mean()),
        )  # fmt: skip

    for share in chosen.shares:
        for seed in range(chosen.seeds):
            for row in ROWS:
                if results.find(kind="test", row=row.name, share=share, seed=seed):
                    continue
                lr = chosen_rate(row)
                times = [time.process_time()]
                network = learned(row, share, lr, seed)
                times.append(time.process_time())
                found = dice(row, network, test)
                times.append(time.process_time())
                extra = {"scans": float(np.nanmean(dice(row, network, real)))} if real else {}
                results.add(
                    kind="test", row=row.name, share=share, seed=seed, studies=max(round(share * len(train)), 1), lr=lr,
                    steps=steps(row), mean=float(found.mean()), training_s=times[1] - times[0],
                    inference_s=(times[2] - times[1]) / len(test),
                    parameters=sum(p.numel() for p in network.parameters()), **extra, dice=found.tolist(),
                )  # fmt: skip
    costs = ", ".join(f"{name} {cost[name]:.3f}" for name in NETWORKS)
    text = f"{table(results)}\nA training step, s of processor time: {costs}"
    (chosen.out / "comparison.md").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
