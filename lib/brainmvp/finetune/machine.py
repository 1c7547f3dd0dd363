"""One device, or several: what the loop asks of the hardware."""

from typing import Any

import torch
from torch import Tensor, nn

from brainmvp.device import fabric_of, pick_device


class OneDevice:
    """The CPU or one GPU, without any other library."""

    rank, world = 0, 1

    def __init__(self, device: str = "auto") -> None:
        self.device = pick_device(device)

    def set_up(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """Return the network and its optimiser, ready to train."""
        return network, optimiser

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients."""
        loss.backward()

    def gather(self, value: Any) -> list[Any]:
        """Return every process's value, by rank."""
        return [value]

    def any(self, flag: bool) -> bool:
        """Tell whether a flag is set in any process."""
        return any(self.gather(flag))

    def agree(self, problem: Exception | None) -> None:
        """Raise a problem that any process has in all of them, or the others would wait for that one."""
        found = next(filter(None, self.gather(problem)), None)
        if found:
            raise found


class ManyDevices(OneDevice):
    """Several devices or nodes, through Lightning Fabric; torchrun and SLURM are recognised by it.

    Each process takes its share of every batch, the gradients are averaged.
    """

    def __init__(self, device: str = "auto", devices: int = 2, nodes: int = 1, strategy: str = "ddp") -> None:
        accelerator = pick_device(device).type
        self.fabric = fabric_of(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)

    def launch(self) -> None:
        """Start the other processes."""
        self.fabric.launch()

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    @property
    def rank(self) -> int:
        return self.fabric.global_rank

    @property
    def world(self) -> int:
        return self.fabric.world_size

    def set_up(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """Return the network with averaged gradients, and with batch statistics over all GPUs."""
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return self.fabric.setup(network, optimiser)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, averaged over the processes."""
        self.fabric.backward(loss)

    def gather(self, value: Any) -> list[Any]:
        """Return every process's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values
