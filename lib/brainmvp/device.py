"""Where a network runs."""

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


def leave_group() -> None:
    """Leave the group of processes that this one has joined, if it has; to be called when the networks are gone.

    A process that ends while it is in one is now and then aborted (SIGABRT), since a thread of gloo still lets go of a
    tensor when Python has ended; the launcher then takes a finished run for a failed one.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
