"""Where a network runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from brainmvp.errors import BrainMVPError


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is CUDA where there is one, else the CPU. Raises `BrainMVPError`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BrainMVPError(f"'{name}' is no device; use cpu, cuda or auto.") from error
    if device.type not in ("cpu", "cuda"):
        raise BrainMVPError(f"'{name}' is no device that is used here; use cpu, cuda or auto.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BrainMVPError("This computer has no CUDA device that PyTorch can use; choose --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BrainMVPError(
            f"There is no '{name}' here; this computer's last is cuda:{torch.cuda.device_count() - 1}."
        )
    return device


def started_processes() -> tuple[int, int] | None:
    """Return (processes on each computer, computers) as torchrun or SLURM's srun has started them, or None."""
    told = os.environ.get
    if told("TORCHELASTIC_RUN_ID"):
        each = int(os.environ["LOCAL_WORLD_SIZE"])
        return each, int(os.environ["WORLD_SIZE"]) // each
    # srun's step: a batch script has the job's numbers, too, but is one process. Lightning knows these two names.
    if told("SLURM_STEP_NUM_TASKS") and told("SLURM_JOB_NAME") not in ("bash", "interactive"):
        nodes = int(told("SLURM_STEP_NUM_NODES", "1"))
        return int(os.environ["SLURM_STEP_NUM_TASKS"]) // nodes, nodes
    return None


def processes_for(devices: int | None, nodes: int | None) -> tuple[int, int]:
    """Return (devices of each computer, computers), where None: as many as were started, or one.

    Raises `BrainMVPError` if torchrun or srun has started other processes than are asked for.
    """
    started = started_processes()
    if started is None:
        return devices or 1, nodes or 1
    if (devices or started[0], nodes or started[1]) != started:
        raise BrainMVPError(
            f"torchrun or srun started {started[0]} x {started[1]} processes (devices, nodes), not those asked for; "
            "leave --devices and --nodes out, or start as many."
        )
    return started


def fabric_of(**settings: Any) -> Any:
    """Return Lightning's Fabric with these settings.

    Raises `BrainMVPError` if there are no such devices, or Lightning is not installed.
    """
    try:
        from lightning.fabric import Fabric
        from lightning.fabric.utilities.exceptions import MisconfigurationException
    except ImportError as error:
        raise BrainMVPError(
            'Several devices need Lightning, which is not installed; run `pip install "brainmvp[train]"`.'
        ) from error
    try:
        return Fabric(**settings)
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        said = " ".join(str(error).split())[:160].rstrip(".")  # which devices there are is in its second line
        raise BrainMVPError(f"So many devices cannot be used: {said}.") from error


@contextmanager
def ending_together(fabric: Any) -> Iterator[None]:
    """End the processes that Lightning's Fabric has started from this one if the block fails.

    They would wait for this one in their next sum, each holding its GPU. Where one of them fails, Lightning ends all.
    """
    try:
        yield
    except BaseException:
        processes = getattr(fabric.strategy.launcher, "procs", [])
        for process in processes:
            process.kill()
        processes.clear()  # Lightning looks at them every 5 s, and would kill this process for one that was killed
        raise


def leave_group() -> None:
    """Leave the group of processes that this one has joined, if it has; to be called when the networks are gone.

    A process that ends while it is in one is now and then aborted (SIGABRT), since a thread of gloo still lets go of a
    tensor when Python has ended; the launcher then takes a finished run for a failed one.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
