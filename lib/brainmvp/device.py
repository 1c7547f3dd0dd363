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
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BrainMVPError("This computer has no CUDA device that PyTorch can use; choose --device cpu.")
    return device
