"""Other people's brain extraction, where it is installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from brainmvp.errors import BrainMVPError
from brainmvp.volume import Volume, read_volume, write_volume

# Command, and its arguments around the two files. HD-BET 2 (Isensee et al., Hum Brain Mapp 2019) and FreeSurfer's
# SynthStrip (Hoopes et al., NeuroImage 2022), as their own --help tell.
TOOLS = {
    "hd-bet": ("hd-bet", "-i", "{image}", "-o", "{brain}", "-device", "cpu", "--disable_tta"),
    "synthstrip": ("mri_synthstrip", "-i", "{image}", "-o", "{brain}"),
}


def program_of(tool: str) -> str:
    """Return the path of a tool's command; raises `BrainMVPError` if it is not on the PATH."""
    command = TOOLS[tool][0]
    program = shutil.which(command)
    if program is None:
        raise BrainMVPError(
            f"{command} is not on the PATH; install {tool}, or use the built-in brain extraction."
        )
    return program


def by_tool(volume: Volume, tool: str) -> np.ndarray:
    """Return the brain (X, Y, Z) bool that an installed tool leaves of an image.

    Raises `BrainMVPError` if its command is not on the PATH, or fails.
    """
    command, *arguments = TOOLS[tool]
    program = program_of(tool)
    with tempfile.TemporaryDirectory() as folder:
        image, brain = Path(folder, "image.nii.gz"), Path(folder, "brain.nii.gz")
        write_volume(Volume(np.asarray(volume.data, np.float32), volume.affine), image)
        filled = [argument.format(image=image, brain=brain) for argument in arguments]
        done = subprocess.run([program, *filled], capture_output=True, text=True, errors="replace")
        if done.returncode or not brain.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise BrainMVPError(f"{command} did not strip {volume.path} ({said[:160]}); try it by hand.")
        return read_volume(brain).data != 0
