"""The pretraining step against the published one, and on a GPU how far it goes."""

from __future__ import annotations

import gc
import random

import torch
from harness import Bench, autocast, exact, gradient_difference, profile, share_weights
from published import Pretrainer
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from brainmvp.networks import NetworkConfig
from pretraining.masking import draw_plan
from pretraining.model import Losses, PretrainingModel
from pretraining.recipe import RECIPES

CHANNELS = 4
PUBLISHED_BATCH = 3  # per GPU (official script)


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

    def __call__(self, optimise: bool = True) -> Losses:
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
        return losses


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
