"""One network in training: its optimizer, its schedule and the moving average of its weights."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from brainmvp.networks import NetworkConfig, build_network
from brainmvp.training.loss import region_loss
from brainmvp.training.plan import TrainingPlan

_CLIP = 2.0
# A network that marks nothing at first: lesions are rare, and the probe started from this bias, too.
_FIRST_BIAS = -3.0


class Trainee:
    """A network that learns step by step; `average` is what is evaluated and shipped."""

    def __init__(self, config: NetworkConfig, plan: TrainingPlan, device: torch.device) -> None:
        self.config, self.plan, self.device = config, plan, device
        network = build_network(config)
        nn.init.constant_(network.head.bias, _FIRST_BIAS)
        self.network = network.to(device).train()
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(plan.average))
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": plan.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.99))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)

    def _rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine to zero at the last step."""
        if step < self.plan.warm_up:
            return (step + 1) / self.plan.warm_up
        part = (step - self.plan.warm_up) / max(1, self.plan.steps - self.plan.warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, part)))

    def step(self, images: Tensor, regions: Tensor, brain: Tensor, offered: Tensor) -> Tensor:
        """Learn from one batch and return its loss (a scalar on the device: no synchronisation)."""
        with half_precision(self.device):
            logits = self.network(images)
        loss = region_loss(logits, regions, brain, offered)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return loss.detach()

    def shipped(self) -> nn.Module:
        """Return the averaged network."""
        return self.average.module

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        parts = ("network", "average", "optimizer", "schedule")
        return {part: getattr(self, part).state_dict() for part in parts}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for part, values in state.items():
            getattr(self, part).load_state_dict(values)


def half_precision(device: torch.device) -> torch.autocast:
    """Return bfloat16 autocast on CUDA, and none on a CPU: its bfloat16 depth-wise gradients are not repeatable."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
