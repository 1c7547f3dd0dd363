"""Our networks and steps against a plain implementation of the published ones, with the same weights and draws.

    python benchmarks/networks.py [--device cuda] [--out networks.json]

Prints a table of times, ratios and differences of the results; on a GPU also our steps in bf16, compiled, at the
published batch and at the largest batch that fits, the memory, the share of the measured bf16 matrix peak, and where
the time goes. The two sides are timed in turns in one process. Differences are taken without TF32; times are taken
with PyTorch's defaults, under which the official code runs.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "lib"), str(ROOT / "benchmarks")]

import torch  # noqa: E402
from published import Pretrainer, Segmenter  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from brainmvp.losses import supervised_loss  # noqa: E402
from brainmvp.networks import NetworkConfig, build_network  # noqa: E402
from brainmvp.networks.layout import to_published  # noqa: E402
from pretraining.masking import draw_plan  # noqa: E402
from pretraining.model import PretrainingModel  # noqa: E402
from pretraining.recipe import RECIPES  # noqa: E402

CHANNELS = 4
PUBLISHED_BATCH = 3  # per GPU, in pretraining (official script)
COMPACT_SHAPE = (80, 96, 80)  # a whole brain at 2 mm
Step = Callable[[], object]


class Bench:
    """Time steps on one device and keep the rows."""

    def __init__(self, device: str, repeats: int, edge: int, out: Path | None) -> None:
        self.device, self.repeats, self.edge, self.out = device, repeats, edge, out
        self.rows: list[dict] = []

    def synchronise(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, step: Step) -> float:
        self.synchronise()
        begin = time.perf_counter()
        step()
        self.synchronise()
        return time.perf_counter() - begin

    def turns(self, *steps: Step) -> list[float]:
        """Return the median seconds of each step, taken in turns; on a GPU after three warm-ups each."""
        for step in steps:
            for _ in range(3 if self.device == "cuda" else 0):
                step()
        times = [[self.seconds(step) for step in steps] for _ in range(self.repeats)]
        return [statistics.median(column) for column in zip(*times, strict=True)]

    def peak(self, step: Step) -> float | None:
        """Return the peak GPU memory of one step, GiB."""
        if self.device != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats()
        self.seconds(step)
        return torch.cuda.max_memory_allocated() / 2**30

    def add(self, name: str, **numbers: float | str | list | None) -> None:
        row = {"name": name, **{key: value for key, value in numbers.items() if value is not None}}
        self.rows.append(row)
        shown = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.items()
        )
        print(shown.removeprefix("name "), flush=True)
        if self.out:
            self.out.write_text(json.dumps(self.describe() | {"rows": self.rows}, indent=1))

    def describe(self) -> dict:
        name = (
            torch.cuda.get_device_name()
            if self.device == "cuda"
            else f"CPU, {torch.get_num_threads()} threads"
        )
        return {"device": name, "torch": torch.__version__, "repeats": self.repeats, "patch": self.edge}


def exact(on: bool) -> None:
    """Switch TF32 off for a comparison, or back to PyTorch's defaults."""
    torch.backends.cudnn.allow_tf32 = not on
    torch.backends.cuda.matmul.allow_tf32 = False


def relative(value: Tensor, reference: Tensor) -> float:
    return ((value.detach() - reference).norm() / reference.norm()).item()


def share_weights(ours: nn.Module, plain: nn.Module, pretraining: bool) -> None:
    entries = to_published(ours.state_dict(), "uniformer", pretraining)
    missing, unexpected = plain.load_state_dict(entries, strict=False)
    # In pretraining the published decoder carries convolutions that no gradient reaches; ours leaves them out.
    unknown = [name for name in missing if "conv_block" not in name and "proj1" not in name]
    if unknown or unexpected or (missing and not pretraining):
        raise RuntimeError(f"the two networks differ: {unknown}, {unexpected}")


def gradient_difference(ours: nn.Module, plain: nn.Module, pretraining: bool) -> float:
    """Return the largest relative difference of a gradient's norm, above 1e-6 of the largest norm."""
    reference = {name: entry.grad for name, entry in plain.named_parameters() if entry.grad is not None}
    found = to_published(
        {name: entry.grad for name, entry in ours.named_parameters()}, "uniformer", pretraining
    )
    norms = {name: (found[name].norm().item(), reference[name].norm().item()) for name in reference}
    floor = 1e-6 * max(norm for _, norm in norms.values())
    return max(abs(a - b) / b for a, b in norms.values() if b > floor)


def autocast(device: str, on: bool) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=on)


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


class PretrainingStep:
    """Our pretraining step with its optimiser, on random studies of four sequences (`script` recipe, epoch 1200)."""

    epoch = 1200

    def __init__(
        self, model: PretrainingModel, bench: Bench, batch: int, half: bool, compiled: bool = False
    ) -> None:
        self.model, self.device, self.half, edge = model, bench.device, half, bench.edge
        self.blocks = (edge // 8,) * 3
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=3e-4, weight_decay=1e-5, fused=bench.device == "cuda"
        )
        self.images = torch.rand(
            batch, CHANNELS, edge, edge, edge, generator=torch.Generator().manual_seed(1)
        ).to(bench.device)
        self.sequences = [[1, 2, 3, 0]] * batch
        self.start = torch.tensor([[20 + row % 8, 40, 10] for row in range(batch)])
        self.generator, self.chooser = torch.Generator().manual_seed(2), random.Random(2)
        if compiled:
            model.encoder.compile(dynamic=False)

    def __call__(self, optimise: bool = True) -> list[Tensor]:
        plan = draw_plan(
            self.sequences,
            self.blocks,
            self.model.recipe.mask_rate,
            self.generator,
            self.chooser,
            position=1,
        )
        self.others = plan.other.tolist()
        with autocast(self.device, self.half):
            result = self.model(self.images, self.start, plan)
        losses = self.model.losses(result, self.epoch)
        self.optimiser.zero_grad()
        losses.total.backward()
        if optimise:
            self.optimiser.step()
        return [losses.total, losses.first, losses.second, losses.contrast]


def pretraining(bench: Bench, template_shape: tuple[int, int, int]) -> None:
    """The pretraining step; on a GPU also in bf16 and at the largest batch."""
    batch = PUBLISHED_BATCH if bench.device == "cuda" else 1
    model = PretrainingModel(
        NetworkConfig.preset("uniformer", 1, 1), RECIPES["script"], template_shape
    ).train()
    nn.init.uniform_(model.templates)
    model.to(bench.device)
    plain = Pretrainer(template_shape, bench.edge).to(bench.device).train()
    share_weights(model, plain, pretraining=True)
    ours = PretrainingStep(model, bench, batch, half=False)
    optimiser = torch.optim.AdamW(plain.parameters(), lr=3e-4, weight_decay=1e-5)
    generator = torch.Generator().manual_seed(2)
    others = [0] * batch

    def plain_step(optimise: bool = True) -> list[float]:
        total, losses = plain(ours.images, [2] * batch, ours.start.tolist(), 1, others, generator)
        optimiser.zero_grad()
        total.backward()
        if optimise:
            optimiser.step()
        return losses

    exact(True)
    found = ours(optimise=False)
    others[:] = ours.others
    expected = plain_step(optimise=False)
    numbers = {
        "loss_difference": max(
            abs(a.item() - b) / max(abs(b), 1e-3) for a, b in zip(found, expected, strict=True)
        ),
        "gradient_difference": gradient_difference(model, plain, True),
    }
    exact(False)
    if bench.device == "cuda":
        numbers |= {"plain_GiB": bench.peak(plain_step), "ours_GiB": bench.peak(ours)}
    before, after = bench.turns(plain_step, ours)
    bench.add(
        f"pretraining step, batch {batch}", plain_s=before, ours_s=after, ratio=before / after,
        plain_samples_per_s=batch / before, ours_samples_per_s=batch / after, **numbers,
    )  # fmt: skip
    if bench.device == "cuda":
        del plain, optimiser, ours
        on_gpu(bench, model, before / batch)


def on_gpu(bench: Bench, model: PretrainingModel, plain_seconds: float) -> None:
    """Our step in bf16: at the published batch, compiled, and in batches up to what the memory holds."""
    peak = matrix_peak(bench)
    fitting = [
        batch for batch in (3, 6, 12, 18, 24, 36, 48) if row(bench, model, batch, False, plain_seconds, peak)
    ]
    for batch in sorted({fitting[0], fitting[-1]}):
        row(bench, model, batch, True, plain_seconds, peak)


def row(
    bench: Bench, model: PretrainingModel, batch: int, compiled: bool, plain_seconds: float, peak: float
) -> bool:
    """Add the row of one batch size; False if it does not fit."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.compiler.reset()
    try:
        step = PretrainingStep(model, bench, batch, half=True, compiled=compiled)
        (seconds,) = bench.turns(step)
        memory = bench.peak(step)
    except torch.OutOfMemoryError:
        print(f"batch {batch} does not fit", flush=True)
        return False
    numbers = {}
    if not compiled:
        flops = operations(step)
        numbers = {"TFLOP_per_s": flops / seconds / 1e12, "share_of_matrix_peak": flops / seconds / peak}
    bench.add(
        f"pretraining step, bf16{', compiled' if compiled else ''}, batch {batch}", ours_s=seconds,
        samples_per_s=batch / seconds, ratio=plain_seconds * batch / seconds, ours_GiB=memory, **numbers,
    )  # fmt: skip
    if batch in (6, 24):
        profile(bench, step)
    return True


def matrix_peak(bench: Bench) -> float:
    """Return the measured bf16 rate of an 8192 x 8192 x 8192 product, FLOP/s."""
    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    (seconds,) = bench.turns(lambda: [left @ right for _ in range(10)])
    peak = 10 * 2 * 8192**3 / seconds
    bench.add("bf16 matrix peak, 8192^3", TFLOP_per_s=peak / 1e12)
    return peak


def operations(step: PretrainingStep) -> int:
    """Return the floating-point operations of the matrix products and convolutions of one step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def profile(bench: Bench, step: Step) -> None:
    """Add the kernels that take the most time on the GPU, as shares, and how long the GPU had nothing to do."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as record:
        wall = bench.seconds(step)
    kernels = [
        event for event in record.key_averages() if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    kernels.sort(key=lambda event: -event.self_device_time_total)
    busy = sum(event.self_device_time_total for event in kernels)
    top = [
        f"{event.self_device_time_total / busy:.1%} {event.key[:90]} x{event.count}" for event in kernels[:12]
    ]
    bench.add("profile of the last step", gpu_busy_share=busy / 1e6 / wall, top=top)


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
    parser.add_argument("--edge", type=int, default=96, help="edge of the patches, a multiple of 16")
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
