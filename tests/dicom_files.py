"""DICOM series written as scanners write them, for tests that need real files."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK as sitk
from heads import centre_of, head, oblique
from pydicom import Dataset, FileDataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_pixel_data_frame
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from brainmvp.volume import Volume

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_CENTRE = centre_of((44, 48, 42), oblique())

# Headers as vendors write them; what a test does not say comes from here.
T1 = {"SeriesDescription": "t1_mprage_sag_p2_iso", "ScanningSequence": ["GR", "IR"], "SequenceName": "*tfl3d1_16ns",
      "RepetitionTime": 1900, "EchoTime": 2.5, "InversionTime": 900, "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
      "MRAcquisitionType": "3D", "Manufacturer": "SIEMENS"}  # fmt: skip
T1CE = {"SeriesDescription": "AX T1 BRAVO +C", "ScanningSequence": "GR", "RepetitionTime": 8.2, "EchoTime": 3.2,
        "InversionTime": 450, "ContrastBolusAgent": "Gadovist", "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
        "Manufacturer": "GE MEDICAL SYSTEMS"}  # fmt: skip
T2 = {"SeriesDescription": "T2W_TSE", "ScanningSequence": "SE", "RepetitionTime": 4100, "EchoTime": 95,
      "ImageType": ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"], "Manufacturer": "Philips Medical Systems"}  # fmt: skip
FLAIR = {"SeriesDescription": "tra dark-fluid 5mm", "ScanningSequence": ["SE", "IR"], "RepetitionTime": 9000,
         "EchoTime": 93, "InversionTime": 2500, "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}  # fmt: skip
DWI = {
    "SeriesDescription": "ep2d_diff_3scan_trace_p2_TRACEW",
    "ScanningSequence": "EP",
    "RepetitionTime": 5200,
    "EchoTime": 90,
    "DiffusionBValue": 1000.0,
    "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "ND"],
}
ADC = {"SeriesDescription": "ep2d_diff_3scan_trace_p2_ADC", "ScanningSequence": "EP", "RepetitionTime": 5200,
       "EchoTime": 90, "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"]}  # fmt: skip


def scan(
    shape: tuple[int, int, int] = (40, 44, 12),
    spacing: tuple[float, float, float] = (1.2, 1.2, 3.6),
    seed: int = 0,
    codes: str = "LPS",
) -> Volume:
    """Return the head of `heads.head` on an oblique grid; those of any two grids lie at the same place."""
    affine = oblique(spacing, codes)
    affine[:3, 3] += _CENTRE - centre_of(shape, affine)
    return right_handed(head(shape, affine, _CENTRE, seed))


def write_series(
    folder: Path,
    volume: Volume,
    study_uid: str,
    number: int = 1,
    *,
    name: str = "IM{:04d}.dcm",
    syntax: UID = ExplicitVRLittleEndian,
    only: Iterable[int] | None = None,
    shift: np.ndarray | None = None,
    series_uid: str | None = None,
    **facts: Any,
) -> list[Path]:
    """Write a volume as one file per slice and return the files, in the order of the volume's slices.

    only: the slices that are written; shift: what each slice is moved by against the one before, LPS mm (gantry
    tilt); facts: elements by keyword, None leaves one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = series_uid or generate_uid()
    files = []
    for index in range(volume.shape[2]) if only is None else only:
        dataset = _header(MRImageStorage, study_uid, series_uid, number, volume, facts)
        place = _RAS_TO_LPS @ volume.affine @ [0, 0, index, 1]
        dataset.ImagePositionPatient = _ds(place[:3] + (0 if shift is None else index * shift))
        dataset.ImageOrientationPatient = _ds(_orientation(volume))
        dataset.PixelSpacing = _ds(volume.spacing[1::-1])
        dataset.SliceThickness = _ds([volume.spacing[2]])[0]
        dataset.InstanceNumber = index + 1
        _set(dataset, facts)
        _set_pixels(dataset, volume.data[:, :, index].T, syntax)
        path = folder / name.format(index + 1)
        dataset.save_as(path, write_like_original=False)
        files.append(path)
    return files


def write_enhanced(folder: Path, volume: Volume, study_uid: str, number: int = 1, **facts: Any) -> Path:
    """Write a volume as one Enhanced MR file, frames in descending order of position."""
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = generate_uid()
    common = {"SeriesDescription": facts.pop("SeriesDescription", "")}
    dataset = _header(EnhancedMRImageStorage, study_uid, series_uid, number, volume, common)
    _set(dataset, common | {"EchoPulseSequence": facts.pop("EchoPulseSequence", "SPIN")})
    shared, measures, timing, echo, plane = Dataset(), Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = _ds(volume.spacing[1::-1]), _ds([volume.spacing[2]])[0]
    timing.RepetitionTime, echo.EffectiveEchoTime = facts.pop("RepetitionTime"), float(facts.pop("EchoTime"))
    plane.ImageOrientationPatient = _ds(_orientation(volume))
    shared.PixelMeasuresSequence, shared.MRTimingAndRelatedParametersSequence = [measures], [timing]
    shared.MREchoSequence, shared.PlaneOrientationSequence = [echo], [plane]
    if "InversionTime" in facts:
        modifier = Dataset()
        modifier.InversionTimes = [float(facts.pop("InversionTime"))]
        shared.MRModifierSequence = [modifier]
    if "AcquisitionContrast" in facts:
        kind = Dataset()
        kind.AcquisitionContrast = facts.pop("AcquisitionContrast")
        kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        shared.MRImageFrameTypeSequence = [kind]
    assert not facts, facts
    frames, order = [], list(range(volume.shape[2]))[::-1]
    for index in order:
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = _ds((_RAS_TO_LPS @ volume.affine @ [0, 0, index, 1])[:3])
        content.StackID, content.InStackPositionNumber = "1", index + 1
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    dataset.NumberOfFrames = len(frames)
    _set_pixels(dataset, volume.data[:, :, order].transpose(2, 1, 0), ExplicitVRLittleEndian)
    path = folder / "enhanced"
    dataset.save_as(path, write_like_original=False)
    return path


def right_handed(volume: Volume) -> Volume:
    """Return the volume with its slices in the order in which DICOM positions put them."""
    if np.linalg.det(volume.affine[:3, :3]) > 0:
        return volume
    affine = volume.affine.copy()
    affine[:3, 3] = (affine @ [0, 0, volume.shape[2] - 1, 1])[:3]
    affine[:3, 2] *= -1
    return Volume(volume.data[:, :, ::-1], affine)


def _header(
    kind: UID, study_uid: str, series_uid: str, number: int, volume: Volume, facts: dict[str, Any]
) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
    # Frame of reference and study are one here: all series of a session share the scanner's coordinates.
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = f"{study_uid[:60]}.1", ""
    dataset.PatientName, dataset.PatientID = "Secret^Patient", "ID-4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19500101", "O"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240131", "101500", "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "ACC-0815", "Secret^Doctor"
    dataset.SeriesDate, dataset.SeriesTime = "20240131", f"10{number % 60:02d}00"
    dataset.Modality, dataset.SeriesNumber, dataset.Manufacturer = "MR", number, "SIEMENS"
    dataset.BodyPartExamined, dataset.PatientPosition = "HEAD", "HFS"
    return dataset


def _set(dataset: Dataset, facts: dict[str, Any]) -> None:
    for keyword, value in facts.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)


def _set_pixels(dataset: FileDataset, pixels: np.ndarray, syntax: UID) -> None:
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel = dataset.get("SamplesPerPixel", 1)
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    pixels = np.ascontiguousarray(pixels.astype(np.uint16))
    if syntax == ExplicitVRLittleEndian:
        dataset.PixelData = pixels.tobytes()
    elif syntax == RLELossless:
        dataset.PixelData = pixels.tobytes()
        dataset.compress(RLELossless, pixels)
    else:
        if syntax == JPEGLosslessSV1:
            encoded = _jpeg_lossless(pixels)
        else:
            from highdicom.frame import encode_frame

            encoded = encode_frame(pixels, syntax, 16, 16, "MONOCHROME2", 0)
        dataset.PixelData = encapsulate([encoded])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax


def _jpeg_lossless(pixels: np.ndarray) -> bytes:
    """Return pixels (rows, columns) as GDCM encodes them, which alone here can write what most archives store."""
    with TemporaryDirectory() as folder:
        writer = sitk.ImageFileWriter()
        writer.SetFileName(f"{folder}/one.dcm")
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.Execute(sitk.GetImageFromArray(pixels))
        written = dcmread(f"{folder}/one.dcm")
    assert written.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return next(generate_pixel_data_frame(written.PixelData, 1))


def _orientation(volume: Volume) -> np.ndarray:
    lps = _RAS_TO_LPS[:3, :3] @ volume.affine[:3, :3] / volume.spacing
    return np.concatenate([lps[:, 0], lps[:, 1]])


def _ds(values: Iterable[float]) -> list[str]:
    return [f"{value:.10g}"[:16] for value in values]
