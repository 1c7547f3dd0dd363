"""One network that learns: its weights, their running average, its optimisers."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from brainmvp.networks import NetworkConfig, build_network
from brainmvp.steps import GRADIENT_LIMIT
from brainmvp.tasks import Task
from brainmvp.training.loss import segmentation_loss
from brainmvp.training.optim import make_optimisers

_AVERAGE = 0.998
# Voxels (1 mL at 2 mm) for absent regions: over as few as for small ones, a first false voxel costs as much as all.
_ABSENT = 125.0
# On a CPU the kernels' gradients in bfloat16 are wrong or not finite (torch 2.13, AVX-512) where a level has only 2 or
# 3 voxels along an edge; on whole brains they agree with single precision to 2 %.
_SMALLEST_HALF_PRECISION = 64


def config_of(preset: str, task: Task) -> NetworkConfig:
    """Return the network of a preset as a `Learner` trains it; raises `BrainMVPError` with the known names."""
    config = NetworkConfig.preset(preset, len(task.sequences), len(task.regions))
    return config.without_deep_supervision()


class Learner:
    """A network of a preset, trained in bfloat16 with single-precision weights."""

    def __init__(self, preset: str, task: Task, lr: float, device: torch.device, seed: int) -> None:
        self.preset = preset
        self.config = config_of(preset, task)
        torch.manual_seed(seed)
        self.network = build_network(self.config)
        self.network.to(device).train()
        self._lr = lr
        self._optimisers = make_optimisers(self.network, lr)
        self._device = device
        self._loss_sum = torch.zeros((), device=device)
        self._loss_count = 0
        self.step_count = 0
        self.average = {key: value.detach().clone() for key, value in self.network.state_dict().items()}

    def step(self, images: Tensor, targets: Tensor, seen: Tensor, brain: Tensor, rate: float) -> None:
        """Learn from one batch; see `segmentation_loss` for the shapes. rate: share of the learning rate."""
        with self._half_precision(images):
            logits = self.network(images)
        loss = segmentation_loss(logits, targets, seen, brain, _ABSENT)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_LIMIT)
        # One bad batch must not end a run: an update that is not finite is made zero.
        finite = torch.isfinite(norm)
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad = torch.where(finite, parameter.grad, torch.zeros_like(parameter.grad))
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self._lr * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self._update_average()
        self._loss_sum += torch.where(finite, loss.detach(), 0.0)
        self._loss_count += 1
        self.step_count += 1

    def _half_precision(self, images: Tensor) -> torch.autocast:
        usable = self._device.type == "cuda" or min(images.shape[2:]) >= _SMALLEST_HALF_PRECISION
        return torch.autocast(self._device.type, torch.bfloat16, enabled=usable)

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(_AVERAGE, (1 + self.step_count) / (10 + self.step_count))
        current = self.network.state_dict()
        floats = [key for key, value in self.average.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.average[key] for key in floats], [current[key] for key in floats], 1 - keep
        )

    def mean_loss(self) -> float:
        """Return the mean loss since the last call."""
        mean = float(self._loss_sum) / max(self._loss_count, 1)
        self._loss_sum.zero_()
        self._loss_count = 0
        return mean

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Return the region probabilities (B, R, X, Y, Z) of the averaged weights."""
        self.network.eval()
        # Layers that a network registers twice (DynUNet) are named once here, and have two entries in the average.
        names = [n for n, _ in (*self.network.named_parameters(), *self.network.named_buffers())]
        with self._half_precision(images):
            logits = functional_call(self.network, {n: self.average[n] for n in names}, (images,))
        self.network.train()
        return logits.float().sigmoid()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on as if nothing had happened."""
        return {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "step_count": self.step_count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.network.load_state_dict(state["network"])
        for key, value in state["average"].items():
            self.average[key].copy_(value)
        for optimiser, stored in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.step_count = state["step_count"]

    def start_from(self, weights: dict[str, Tensor], step_count: int) -> None:
        """Go on from averaged weights alone, with fresh optimisers."""
        self.network.load_state_dict(weights)
        for key, value in self.network.state_dict().items():
            self.average[key].copy_(value)
        self.step_count = step_count
