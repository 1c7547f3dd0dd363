"""Our networks and steps against a plain implementation of the published ones, with the same weights and draws.

    python benchmarks/networks.py [--device cuda] [--out networks.json]

Prints a table of times, ratios and differences of the results; on a GPU also our steps in bf16, compiled, at the
published batch and at the largest batch that fits, the memory, the share of the measured bf16 matrix peak, and where
the time goes. The two sides are timed in turns in one process. Differences are taken without TF32; times are taken
with PyTorch's defaults, under which the official code runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from harness import Bench, autocast, exact, gradient_difference, relative, share_weights
from pretraining_step import pretraining
from published import Segmenter
from torch import Tensor, nn

from brainmvp.losses import supervised_loss
from brainmvp.networks import NetworkConfig, build_network

CHANNELS = 4
COMPACT_SHAPE = (80, 96, 80)  # a whole brain at 2 mm


def segmentation(bench: Bench) -> None:
    """Forward and training step of the published-size segmenter."""
    ours = build_network(NetworkConfig.preset("uniformer", CHANNELS, 3)).to(bench.device)
    plain = Segmenter(CHANNELS, 3).to(bench.device)
    share_weights(ours, plain, pretraining=False)
    batch = 2 if bench.device == "cuda" else 1  # 2 in the official script
    image = torch.rand(batch, CHANNELS, *[bench.edge] * 3, device=bench.device)
    target = (torch.rand(batch, 3, *[bench.edge] * 3, device=bench.device) > 0.9).float()

    def forward(network: nn.Module, half: bool = False) -> Tensor:
        with torch.inference_mode(), autocast(bench.device, half):
            return network(image)

    exact(True)
    difference = relative(forward(ours.eval()), forward(plain.eval()))
    exact(False)
    before, after, half = bench.turns(
        lambda: forward(plain), lambda: forward(ours), lambda: forward(ours, half=True)
    )
    bench.add(
        f"segmenter forward, batch {batch}", plain_s=before, ours_s=after, ratio=before / after,
        bf16_s=half, bf16_ratio=before / half, difference=difference,
    )  # fmt: skip

    def trainer(network: nn.Module, half: bool = False, **options: bool) -> Callable[[], Tensor]:
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-4, **options)

        def step() -> Tensor:
            network.train()
            with autocast(bench.device, half):
                outputs = network(image)
            loss = supervised_loss(outputs, target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss.detach()

        return step

    steps = [trainer(plain), trainer(ours)] + (
        [trainer(ours, half=True, fused=True)] if bench.device == "cuda" else []
    )
    exact(True)
    reference, loss = steps[0](), steps[1]()
    numbers = {
        "loss_difference": relative(loss, reference),
        "gradient_difference": gradient_difference(ours, plain, False),
    }
    exact(False)
    times = bench.turns(*steps)
    if len(times) == 3:
        numbers |= {"bf16_s": times[2], "bf16_ratio": times[0] / times[2]}
    bench.add(
        f"segmenter training step, batch {batch}",
        plain_s=times[0],
        ours_s=times[1],
        ratio=times[0] / times[1],
        **numbers,
    )


def depthwise(bench: Bench) -> None:
    """The depth-wise convolutions of the first level, forward and backward, in both layouts and precisions."""
    for edge in (3, 5):
        for precision in (torch.float32, torch.bfloat16):
            times = {}
            for layout in (torch.contiguous_format, torch.channels_last_3d):
                options = {"device": bench.device, "dtype": precision}
                image = torch.randn(6, 64, 48, 48, 48, **options).to(memory_format=layout).requires_grad_()
                conv = nn.Conv3d(64, 64, edge, padding=edge // 2, groups=64, **options).to(
                    memory_format=layout
                )
                gradient = torch.randn_like(image)
                forward, both = bench.turns(
                    partial(conv, image), lambda conv=conv, image=image, g=gradient: conv(image).backward(g)
                )
                times |= {f"{str(layout)[6:]}_forward_s": forward, f"{str(layout)[6:]}_both_s": both}
            bench.add(f"depth-wise {edge}^3, 6 x 64 x 48^3, {str(precision)[6:]}", **times)


def compact(bench: Bench) -> None:
    """The compact networks on a whole brain at 2 mm, six input channels and four regions."""
    image = torch.randn(1, 6, *COMPACT_SHAPE, device=bench.device)
    for name in ("uniformer-compact", "unet-compact"):
        network = build_network(NetworkConfig.preset(name, 6, 4)).to(bench.device).eval()

        def forward(half: bool, network: nn.Module = network) -> Tensor:
            with torch.inference_mode(), autocast(bench.device, half):
                return network(image)

        single, half = bench.turns(lambda: forward(False), lambda: forward(True))
        size = sum(entry.numel() for entry in network.parameters()) / 1e6
        bench.add(f"{name}, forward", ours_s=single, bf16_s=half, million_parameters=size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--parts", default="compact,depthwise,segmentation,pretraining")
    parser.add_argument("--repeats", type=int, help="timed repetitions (default: 3 on a CPU, 10 on a GPU)")
    parser.add_argument("--edge", type=int, default=96, help="edge of the patches: 32, 48, ...")
    parser.add_argument("--small-templates", action="store_true", help="128x144x112 voxels: less memory")
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    repeats = arguments.repeats or (10 if arguments.device == "cuda" else 3)
    bench = Bench(arguments.device, repeats, arguments.edge, arguments.out)
    print(bench.describe(), flush=True)
    parts = arguments.parts.split(",")
    if "compact" in parts:
        compact(bench)
    if "depthwise" in parts:
        depthwise(bench)
    if "segmentation" in parts:
        segmentation(bench)
    if "pretraining" in parts:
        pretraining(bench, (128, 144, 112) if arguments.small_templates else (240, 240, 155))


if __name__ == "__main__":
    main()
