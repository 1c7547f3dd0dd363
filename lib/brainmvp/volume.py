"""The one reader and the one writer of images: every format becomes a `Volume`.

NIfTI and MGH are read by nibabel, which keeps the affine bit for bit; NRRD and MetaImage by SimpleITK,
whose LPS world is turned into RAS. A DICOM series is no file; it reads itself (`ImageSource`).
"""

import errno
import gzip
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from brainmvp.datafiles import check_data_files
from brainmvp.errors import BrainMVPError
from brainmvp.files import atomically
from brainmvp.sequences import IMAGE_SUFFIXES

# Some four times the largest head scans (7 T, 0.3 mm, four bytes a voxel, as most become): whatever declares more is
# damaged, or meant to fill the memory.
_MOST_BYTES = 2**32

# ITK chooses a reader by the ending as it is written: `.MHA` has none.
_ITK_READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO"}

# Numbers of two components, which are no vectors.
_COMPLEX = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)

# What MetaImage calls its directions, and how much of a file is searched for them.
_META_DIRECTIONS = re.compile(rb"^\s*(TransformMatrix|Orientation|Rotation)\s*=", re.MULTILINE)
_META_HEADER_BYTES = 2**16
# Where the flag is that says whether an MGH header's directions are meant (FreeSurfer's description of the format).
_MGH_GOOD_RAS = slice(28, 30)

# From the world of DICOM and ITK to that of NIfTI, and back.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Volume:
    """A 3-D image with its place in the world.

    data: (X, Y, Z), in the file's axis order; affine: (4, 4) float64, voxel index to RAS millimetres.
    """

    data: np.ndarray
    affine: np.ndarray
    path: Path | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.data.shape

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size along each axis, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    def same_grid(self, other: "Volume", tolerance_mm: float = 1e-2) -> bool:
        """Tell whether both have the same shape and place every corner voxel within the tolerance."""
        if self.shape != other.shape:
            return False
        return _apart_mm(self.shape, self.affine, other.affine) <= tolerance_mm


class ImageSource(Protocol):
    """An image that is not one file, such as a DICOM series."""

    @property
    def name(self) -> str:
        """What people call it, for messages."""

    def read(self) -> Volume:
        """Return the image; raises `BrainMVPError`."""


def read_volume(image: str | os.PathLike[str] | ImageSource) -> Volume:
    """Read a 3-D image: .nii, .nii.gz, .nrrd, .nhdr, .mha or .mgz, or a source that reads itself.

    Raises `BrainMVPError` if the file is absent, unreadable or truncated, keeps its voxels outside its folder, is not
    3-D, holds colours, complex numbers or a value that is not finite, or a geometry that is not invertible, not stated
    or stated twice, differently.
    """
    if not isinstance(image, (str, os.PathLike)):
        volume = image.read()
        return _checked(volume.data, volume.affine, volume.path)
    path = Path(image)
    if not path.is_file():
        raise BrainMVPError(f"{path} does not exist; check the path.")
    if not path.name.lower().endswith(IMAGE_SUFFIXES):
        raise BrainMVPError(
            f"{path.name} is no image format that is read here; convert it to {IMAGE_SUFFIXES[0]}."
        )
    try:
        data, affine = _read_nibabel(path) if _is_nibabel(path) else _read_itk(path)
    except BrainMVPError:
        raise
    except Exception as error:
        permitted = os.access(path, os.R_OK)
        remedy = "ask its owner for the permission to read it"
        if permitted:
            remedy = "export or download it again, or take it out of the folder"
        raise BrainMVPError(f"{path} cannot be read ({_last_line(error)}); {remedy}.") from error
    return _checked(data, affine, path)


def _apart_mm(shape: tuple[int, ...], affine: np.ndarray, other: np.ndarray) -> float:
    """Return how far apart two affines put a grid's corner voxels at most, along an axis of the world in mm."""
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in shape[:3]])).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.abs((affine - other) @ corners).max())


def _checked(data: np.ndarray, affine: np.ndarray, path: Path | None) -> Volume:
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3 or min(data.shape) < 2:
        raise BrainMVPError(
            f"{path} is not a 3-D volume (its shape is {data.shape}); give one volume per sequence."
        )
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise BrainMVPError(f"{path} holds values that are not finite (NaN or infinity); export it again.")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise BrainMVPError(f"{path} has no usable geometry (its affine is singular); export it again.")
    return Volume(data, affine, path)


def write_volume(volume: Volume, path: str | os.PathLike[str]) -> Path:
    """Write .nii, .nii.gz, .nrrd or .mha; the file appears complete or not at all.

    NIfTI stores the affine as float32 (sform): what was read from NIfTI comes back bit for bit. Integers of 64 bits,
    which few programs read from it, become float64.
    """
    path = Path(path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        atomically(path, lambda temporary: _write_nifti(volume, temporary))
    elif path.name.lower().endswith((".nrrd", ".mha")):
        atomically(path, lambda temporary: _write_itk(volume, temporary))
    else:
        raise BrainMVPError(f"{path.name} is no format that is written here; use .nii.gz, .nrrd or .mha.")
    return path


def to_itk(volume: Volume) -> sitk.Image:
    """Return the volume as a SimpleITK image (LPS world)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.transpose(2, 1, 0)))
    lps = LPS_TO_RAS @ volume.affine
    image.SetSpacing(volume.spacing.tolist())
    image.SetDirection((lps[:3, :3] / volume.spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def _check_declared(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise `BrainMVPError` if a header declares another kind of voxels than is read here, or more, before any is."""
    if dtype.kind not in "iuf":
        what = "complex numbers" if dtype.kind == "c" else "colours"
        raise BrainMVPError(f"{path} holds {what}; give one plain (magnitude) volume per sequence.")
    if math.prod(shape) * max(dtype.itemsize, 4) > _MOST_BYTES:
        raise BrainMVPError(
            f"{path} declares {' x '.join(map(str, shape))} voxels of {dtype.name}, more than any head scan has; "
            "export it again."
        )


def _is_nibabel(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz", ".mgz"))


def _read_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    _check_declared(path, image.shape, image.get_data_dtype())
    if isinstance(image, nib.Nifti1Image) and not (image.header["sform_code"] or image.header["qform_code"]):
        raise _nowhere(path, "sform and qform codes are 0")
    if isinstance(image, nib.Nifti1Image):
        _check_forms(path, image)
    if isinstance(image, nib.MGHImage):
        with gzip.open(path) as file:  # nibabel puts a default in the place of what is not meant
            if not any(file.read(_MGH_GOOD_RAS.stop)[_MGH_GOOD_RAS]):
                raise _nowhere(path, "goodRASFlag is 0")
    stored = np.asanyarray(image.dataobj)
    with np.errstate(over="ignore"):  # what is too large for float32 is refused as not finite
        data = np.asarray(stored, np.float32) if stored.dtype.kind == "f" else np.asarray(stored)
    return data, np.asarray(image.affine, np.float64)


def _check_forms(path: Path, image: nib.Nifti1Image) -> None:
    """Raise `BrainMVPError` if sform and qform disagree by more than a voxel and readers differ in which they take.

    nibabel takes the sform; ITK, and so 3D Slicer, the qform, unless the sform is the scanner's (code 1).
    """
    sform, qform = (int(image.header[f"{form}_code"]) for form in ("sform", "qform"))
    if sform < 2 or qform < 1 or len(image.shape) < 3:
        return
    apart = _apart_mm(image.shape, image.get_sform(), image.get_qform())
    if apart > max(image.header.get_zooms()[:3]):
        raise BrainMVPError(
            f"{path} lies in two places, {apart:.0f} mm apart (sform code {sform}, qform code {qform}), and viewers "
            "differ in which they show; let both say the same, such as by fslorient -copysform2qform."
        )


def _nowhere(path: Path, why: str) -> BrainMVPError:
    return BrainMVPError(
        f"{path} does not say how its axes lie in the head ({why}), so left and right cannot be told; convert it again "
        "from DICOM."
    )


def _check_directions(path: Path, header: sitk.ImageFileReader) -> None:
    """Raise `BrainMVPError` if a NRRD or MetaImage header leaves open where its axes point; ITK would guess LPS."""
    if path.suffix.lower() == ".mha":
        with path.open("rb") as file:
            stated = _META_DIRECTIONS.search(file.read(_META_HEADER_BYTES).partition(b"ElementDataFile")[0])
        if not stated:
            raise _nowhere(path, "TransformMatrix is missing")
        return
    # ITK has turned every space of the head into this one.
    space = header.GetMetaData("NRRD_space") if header.HasMetaDataKey("NRRD_space") else ""
    if not space.startswith("left-posterior-superior"):
        raise _nowhere(path, f"space is {space or 'missing'}")


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    check_data_files(path)
    header = sitk.ImageFileReader()
    header.SetImageIO(_ITK_READERS[path.suffix.lower()])
    header.SetFileName(str(path))
    header.ReadImageInformation()
    if header.GetNumberOfComponents() != 1 and header.GetPixelID() not in _COMPLEX:
        raise BrainMVPError(f"{path} holds vectors or colours; give one volume per sequence.")
    dtype = sitk.GetArrayViewFromImage(sitk.Image([1, 1], header.GetPixelID())).dtype
    _check_declared(path, header.GetSize(), dtype)
    _check_directions(path, header)
    image = header.Execute()
    data = sitk.GetArrayFromImage(image)
    data = data.transpose(range(data.ndim)[::-1])
    if data.dtype.kind == "f":
        data = data.astype(np.float32)
    size = image.GetDimension()
    affine = np.eye(4)
    n = min(size, 3)
    direction = np.array(image.GetDirection()).reshape(size, size)[:n, :n]
    affine[:n, :n] = direction * np.array(image.GetSpacing()[:n])
    affine[:n, 3] = image.GetOrigin()[:n]
    return data, LPS_TO_RAS @ affine


def _write_nifti(volume: Volume, path: Path) -> None:
    data = volume.data
    if data.dtype.kind in "iu" and data.dtype.itemsize == 8:
        data = data.astype(np.float64)
    image = nib.Nifti1Image(data, volume.affine)
    image.set_sform(volume.affine, code="scanner")
    image.set_qform(volume.affine, code="scanner", strip_shears=True)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)


def _write_itk(volume: Volume, path: Path) -> None:
    try:
        sitk.WriteImage(to_itk(volume), str(path), useCompression=True)
    except RuntimeError as error:  # what ITK makes of a full disk
        raise OSError(errno.EIO, _last_line(error)) from error


def _last_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[-1][:160].rstrip(".")
