"""A segmentation as DICOM SEG, which a PACS keeps beside the series that it was made on."""

import os
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from brainmvp import __version__
from brainmvp.dicom.series import DicomImage
from brainmvp.errors import BrainMVPError, first_line
from brainmvp.files import atomically
from brainmvp.tasks import BRAIN, Code, Label, Task
from brainmvp.volume import Volume

# Series numbers of results stand far behind those of a scanner.
_SERIES_NUMBER = 9000
# What an anonymised header may lack, but a DICOM file has to hold, if only empty (type 2 of PS3.3).
_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def write_dicom_seg(
    labels: Volume,
    image: DicomImage,
    task: Task,
    path: str | os.PathLike[str],
    names: dict[int, str] | None = None,
    model: str | None = None,
    corrected: bool = False,
    source: str | None = None,
) -> Path:
    """Write a label map as DICOM SEG; the file appears complete or not at all.

    labels: (X, Y, Z) on the grid of `image`, the series that every frame then refers to; names: of the
    labels that are offered, by value; None: all, under the task's names; model: what found the labels, None
    where a person drew them; corrected: a person went over what the model found; source: what tells the labels from
    others, so that the same ones have the same identifiers each time and an archive keeps them once; None: new ones.
    Raises `BrainMVPError` if the labels lie elsewhere or the series' headers do not suffice.
    """
    if labels.shape != image.shape or not labels.same_grid(Volume(labels.data, image.affine)):
        raise BrainMVPError(
            f"The segmentation does not lie on the grid of {image.name}; DICOM SEG needs the grid of a DICOM series."
        )
    described = task.described(names)
    numbered = np.zeros(256, np.uint8)
    for number, label in enumerate(described, start=1):
        numbered[label.value] = number
    sources = [_completed(header) for header in image.headers()]
    made_of = [source, image.series_uid, task.name, str(model)] if source else None
    series_number = _SERIES_NUMBER + (image.number or 0)
    try:
        result = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=_frames(numbered[labels.data], image, sources[0]),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _segment(number, label, model, corrected, made_of)
                for number, label in enumerate(described, start=1)
            ],
            series_instance_uid=_uid(made_of, "series"),
            series_number=series_number,
            sop_instance_uid=_uid(made_of, "instance"),
            instance_number=1,
            manufacturer="BrainMVP",
            manufacturer_model_name=model or "BrainMVP",
            software_versions=__version__,
            device_serial_number="0",
            content_label=f"BRAINMVP_{task.name}".upper().replace("-", "_")[:16],
            content_description=f"{task.title}; not a medical device"[:64],
            series_description=f"{task.title}, BrainMVP"[:64],
        )
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise BrainMVPError(
            f"The headers of {image.name} do not suffice for DICOM SEG ({first_line(error)}); use .seg.nrrd instead."
        ) from error
    # highdicom copies the patient's name, but not the character set that it was written in.
    result.SpecificCharacterSet = "ISO_IR 192"
    for item, label in zip(result.SegmentSequence, described, strict=True):
        item.RecommendedDisplayCIELabValue = cielab(label.color)
    path = Path(path)
    atomically(path, lambda temporary: result.save_as(temporary, write_like_original=False))
    return path


def cielab(color: tuple[int, int, int]) -> list[int]:
    """Return a colour (sRGB, 0 to 255) as DICOM writes it: CIE Lab, scaled to 16 bits (PS3.3 C.10.7.1.1).

    sRGB with its white point D65 (IEC 61966-2-1): what the readers in use assume, dcmqi in 3D Slicer and dcmjs in
    OHIF, although DICOM asks for D50; with that, dcmqi turns our blue into an impossible colour.
    """
    values = np.array(color) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / to_xyz.sum(axis=1))
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    scaled = np.array([lightness / 100, (a + 128) / 255, (b + 128) / 255]) * 65535
    return [int(value) for value in np.clip(np.round(scaled), 0, 65535)]


def _completed(dataset: Dataset) -> Dataset:
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    return dataset


def _frames(numbers: np.ndarray, image: DicomImage, source: Dataset) -> np.ndarray:
    """Return the segment numbers (frame, row, column) in the order in which the source's frames come."""
    slices = numbers.transpose(2, 1, 0)
    if image.planes[0].frame is None:
        return slices
    frames = np.zeros((int(source.NumberOfFrames), *slices.shape[1:]), np.uint8)
    for plane, values in zip(image.planes, slices, strict=True):
        frames[plane.frame] = values
    return frames


def _segment(
    number: int, label: Label, model: str | None, corrected: bool, made_of: list[str] | None
) -> hd.seg.SegmentDescription:
    kinds = hd.seg.SegmentAlgorithmTypeValues
    by_model = kinds.SEMIAUTOMATIC if corrected else kinds.AUTOMATIC
    algorithm = model and hd.AlgorithmIdentificationSequence(
        name="BrainMVP", version=model, family=codes.cid7162.ArtificialIntelligence
    )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name[:64],
        segmented_property_category=_concept(label.category),
        segmented_property_type=_concept(label.code),
        algorithm_type=by_model if model else kinds.MANUAL,
        algorithm_identification=algorithm or None,
        tracking_uid=_uid(made_of, label.key),
        tracking_id=label.key,
        anatomic_regions=[_concept(BRAIN)],
    )


def _uid(made_of: list[str] | None, what: str) -> str:
    """Return an identifier that follows from some texts, or a new one."""
    return generate_uid(entropy_srcs=["\n".join([*made_of, what])] if made_of else None)


def _concept(code: Code) -> hd.sr.CodedConcept:
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)
