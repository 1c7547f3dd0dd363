"""The devices of a run, through Lightning Fabric."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.fabric import Fabric

from brainmvp.device import fabric_of, processes_for, started_processes

from .config import Precision


def make_fabric(
    accelerator: str = "auto", devices: int | str = "auto", nodes: int = 1, precision: Precision | None = None
) -> Fabric:
    """Return Fabric for these devices: bf16 on GPUs and single precision on CPUs unless told.

    Under torchrun or SLURM each process is one device of theirs; otherwise Fabric starts one process per device. Raises
    `BrainMVPError` if there are no such devices, or torchrun or srun has started other processes than are asked for.
    """
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if started_processes():
        devices, nodes = processes_for(
            None if devices == "auto" else int(devices), nodes if nodes > 1 else None
        )
    elif devices == "auto":
        devices = torch.cuda.device_count() if accelerator == "cuda" else 1
    # A CPU's bfloat16 convolutions are slower than single precision, and on small grids their gradients are wrong.
    chosen = precision or ("bf16-mixed" if accelerator == "cuda" else "32-true")
    return fabric_of(
        accelerator=accelerator, devices=devices, num_nodes=nodes, precision=chosen,
        strategy="ddp" if nodes * int(devices) > 1 else "auto",
    )  # fmt: skip


def prefer_repeatable() -> None:
    """Take algorithms that give the same sums each time, slower; PyTorch warns of an operation that has none.

    To be called before anything is computed on a GPU.
    """
    # What PyTorch asks for; it is read with the first product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def conditions(fabric: Fabric, studies: int) -> dict[str, Any]:
    """Return what a run's numbers hang on besides its configuration and index, JSON-ready.

    studies: prepared ones that train.
    """
    precision = fabric.strategy.precision.precision
    return {"processes": fabric.world_size, "precision": precision, "studies": studies}


def device_name(fabric: Fabric) -> str:
    """Return what the device of this process is called."""
    return torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else "CPU"
