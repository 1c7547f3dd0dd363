"""Timing of steps on one device, and the comparison of two networks that share their weights."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from brainmvp.networks.layout import to_published

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
        """Return the seconds of a step; on a CPU those of processor time, which a busy machine hardly changes."""
        clock = time.perf_counter if self.device == "cuda" else time.process_time
        self.synchronise()
        begin = clock()
        step()
        self.synchronise()
        return clock() - begin

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
