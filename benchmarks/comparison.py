"""What a user would pick instead: SegResNet and DynUNet from scratch beside our network, from scratch and pretrained.

    python benchmarks/pretraining_proof.py --out build/proof      # first: the pretrained encoder comes from here
    python benchmarks/comparison.py --proof build/proof           # some minutes more

The same phantoms, labels, steps, loss and optimiser for all, at a tenth of the labels and at all of them; the learning
rate of each by the same validation studies. All are narrowed until a step costs about the same. The end is a table,
`comparison.md`; a stopped run goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "lib"), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import small_brains as small  # noqa: E402

from brainmvp.card import Card  # noqa: E402
from brainmvp.modelstore import Model  # noqa: E402
from brainmvp.networks import NetworkConfig  # noqa: E402
from brainmvp.training.short import region_dice  # noqa: E402

SHARES = (0.1, 1.0)
_SIZE = {"in_channels": len(small.TASK.sequences), "out_channels": len(small.TASK.regions)}
NETWORKS = {
    "UNet": small.NETWORK,
    "UNet, pretrained": small.NETWORK,
    "SegResNet": NetworkConfig(backbone="segresnet", widths=(8, 16, 32), depths=(1, 2, 2), **_SIZE),
    "DynUNet": NetworkConfig(backbone="dynunet", widths=(8, 16, 32), depths=(2, 2, 2), **_SIZE),
}
_CHOOSING_SEED = 1000


def table(results: small.Results) -> str:
    """Return Markdown: the mean over seeds and test studies, and the spread over seeds; processor time."""
    regions = [region.name for region in small.TASK.regions]
    lines = [
        f"| network | labels | {' | '.join(regions)} | mean Dice | training, s | inference, s | parameters, million |",
        "|---" * (len(regions) + 6) + "|",
    ]
    for share in SHARES:
        for name in NETWORKS:
            found = results.all(kind="test", row=name, share=share)
            if found:
                dice = np.array([row["dice"] for row in found])  # (seeds, studies, regions)
                seconds = [
                    float(np.median([row[key] for row in found])) for key in ("training_s", "inference_s")
                ]
                spread = f"{dice.mean():.3f} \u00b1 {dice.mean((1, 2)).std():.3f}"
                cells = [
                    name, str(found[0]["studies"]), *(f"{value:.3f}" for value in dice.mean((0, 1))), spread,
                    f"{seconds[0]:.0f}", f"{seconds[1]:.3f}", f"{found[0]['parameters'] / 1e6:.2f}",
                ]  # fmt: skip
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proof", type=Path, required=True, help="--out of pretraining_proof.py")
    parser.add_argument("--pretrained", default="contrast", help="row of the ablation to start from")
    parser.add_argument("--studies", type=int, default=160)
    parser.add_argument("--validation", type=int, default=20)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rates", type=float, nargs="+", default=(4e-3, 1e-2))
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    folder = chosen.proof / chosen.pretrained / "model"
    pretrained = Model(Card.model_validate_json((folder / "card.json").read_text("utf-8")), folder)
    ends = np.cumsum([0, chosen.studies, chosen.validation, chosen.test])
    train, validation, test = (small.brains(range(ends[part], ends[part + 1])) for part in range(3))
    results = small.Results(chosen.proof / "comparison.json")

    def learned(name: str, share: float, lr: float, seed: int) -> small.nn.Module:
        start = pretrained if name.endswith("pretrained") else None
        network = small.beginning(start, seed, NETWORKS[name])
        return small.learn(network, train[: round(share * len(train))], lr=lr, steps=chosen.steps, seed=seed)

    def chosen_by(name: str, lr: float) -> float:
        network = learned(name, SHARES[0], lr, _CHOOSING_SEED)
        return float(region_dice(network, small.TASK, validation, NETWORKS[name].stride).mean())

    best = {
        name: small.best_rate(results, name, chosen.rates, lambda lr, name=name: chosen_by(name, lr))
        for name in NETWORKS
    }
    for share in SHARES:
        for seed in range(chosen.seeds):
            for name, config in NETWORKS.items():
                if results.find(kind="test", row=name, share=share, seed=seed):
                    continue
                times = [time.process_time()]
                network = learned(name, share, best[name], seed)
                times.append(time.process_time())
                dice = region_dice(network, small.TASK, test, config.stride)
                times.append(time.process_time())
                results.add(
                    kind="test", row=name, share=share, seed=seed, studies=round(share * len(train)), lr=best[name],
                    mean=float(dice.mean()), training_s=times[1] - times[0],
                    inference_s=(times[2] - times[1]) / len(test),
                    parameters=sum(p.numel() for p in network.parameters()), dice=dice.tolist(),
                )  # fmt: skip
    text = table(results)
    (chosen.proof / "comparison.md").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
