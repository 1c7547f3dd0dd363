"""Segmentations as `.seg.nrrd`, the file that 3D Slicer opens with names, colours and terminology in place."""

import os
import re
from io import BytesIO
from pathlib import Path

import nrrd
import numpy as np

from brainmvp.errors import BrainMVPError
from brainmvp.files import atomically
from brainmvp.tasks import BRAIN, Code, Label, Task
from brainmvp.volume import Volume

_FIELD = re.compile(r"(Segment\d+_)(ID|Name|LabelValue|Tags):=(.*)")
_TYPE_CODE = re.compile(r"TerminologyEntry:[^~|]*~[^~|]*~[^~^|]*\^([^~^|]*)\^")


def write_seg_nrrd(
    labels: Volume, task: Task, path: str | os.PathLike[str], names: dict[int, str] | None = None
) -> Path:
    """Write a label map (X, Y, Z) uint8 as a Slicer segmentation; the file appears complete or not at all.

    names: of the labels that are offered, by value; None: all, under the task's names. The header follows Slicer's
    segmentation file format; the geometry is in RAS, as in the volume's affine.
    """
    header = {
        "type": "unsigned char",
        "dimension": 3,
        "space": "right-anterior-superior",
        "kinds": ["domain", "domain", "domain"],
        "space directions": labels.affine[:3, :3].T,
        "space origin": labels.affine[:3, 3],
        "encoding": "gzip",
    }
    fields = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "Segmentation_ConversionParameters": f"Reference image geometry|{_geometry(labels)}|&",
    }
    for index, label in enumerate(task.described(names)):
        fields |= _segment(index, label, labels.data)
    buffer = BytesIO()
    nrrd.write(buffer, np.ascontiguousarray(labels.data.astype(np.uint8)), header)
    # pynrrd writes ASCII; Slicer reads and writes its own fields in UTF-8. They stand before the first empty line.
    lines, _, voxels = buffer.getvalue().partition(b"\n\n")
    own = "\n".join(f"{key}:={value}" for key, value in fields.items()).encode()
    path = Path(path)
    atomically(path, lambda temporary: temporary.write_bytes(lines + b"\n" + own + b"\n\n" + voxels))
    return path


def read_by_name(labels: Volume, task: Task, source: str) -> np.ndarray:
    """Return a label map that was read from a file, (X, Y, Z) uint8 with the task's values.

    In a Slicer segmentation the name of a segment tells what its value means, else its ID or code: Slicer counts
    values in the order of drawing. Without segments, the values are those of `Task.read_labels`. Raises
    `BrainMVPError` naming `source` if a value or a segment that marks something is none of the task's.
    """
    segments = _segments_of(labels.path)
    if not segments:
        return task.read_labels(labels.data, source)
    result = np.zeros(labels.shape, np.uint8)
    for value in np.unique(labels.data).tolist():
        if value:
            result[labels.data == value] = _meaning(segments.get(f"{value:g}", {}), value, task, source)
    return result


def named_values(path: Path, task: Task) -> set[int] | None:
    """Return the task's values that the segments of a file stand for, empty ones too; None where it has no segments."""
    segments = _segments_of(path)
    meanings = (_value_of(fields, task) for fields in segments.values())
    return {value for value in meanings if value is not None} if segments else None


def _segments_of(path: Path | None) -> dict[str, dict[str, str]]:
    """Return the fields of each segment of a NRRD file by its value; empty where it is no Slicer segmentation."""
    if path is None or path.suffix.lower() not in (".nrrd", ".nhdr"):
        return {}
    segments: dict[str, dict[str, str]] = {}
    with path.open("rb") as file:
        for line in file:
            if not line.strip():
                break
            if found := _FIELD.match(line.decode("utf-8", "replace").strip()):
                segments.setdefault(found[1], {})[found[2]] = found[3]
    return {fields["LabelValue"]: fields for fields in segments.values() if "LabelValue" in fields}


def _meaning(fields: dict[str, str], value: float, task: Task, source: str) -> int:
    found = _value_of(fields, task)
    if found is None:
        name = fields.get("Name", "")
        what = f"the segment “{name}”" if name else f"the value {value:g} without a segment"
        raise BrainMVPError(
            f"{source} holds {what}, which is none of the {task.name} task's structures; remove it, or call it by its "
            f"name ({', '.join(label.name for label in task.labels)})."
        )
    return found


def _value_of(fields: dict[str, str], task: Task) -> int | None:
    code = _TYPE_CODE.search(fields.get("Tags", ""))
    return (
        task.value_called(fields.get("Name", ""))
        or task.value_called(fields.get("ID", ""))
        or (task.value_coded(code[1]) if code else None)
    )


def _geometry(labels: Volume) -> str:
    """Return a grid in Slicer's words. Without it Slicer saves only the box that holds the labels."""
    extent = (number for size in labels.shape for number in (0, size - 1))
    return "".join(f"{number};" for number in (*labels.affine.ravel().tolist(), *extent))


def _segment(index: int, label: Label, data: np.ndarray) -> dict[str, str]:
    prefix = f"Segment{index}_"
    kind = f"{_term(label.category)}~{_term(label.code)}"
    terminology = (
        f"Segmentation category and type - 3D Slicer General Anatomy list~{kind}~^^"
        f"~Anatomic codes - DICOM master list~{_term(BRAIN)}~^^"
    )
    return {
        prefix + "ID": label.key,
        prefix + "Name": label.name,
        prefix + "NameAutoGenerated": "0",
        prefix + "Color": " ".join(f"{channel / 255:.6f}" for channel in label.color),
        prefix + "ColorAutoGenerated": "0",
        prefix + "LabelValue": str(label.value),
        prefix + "Layer": "0",
        prefix + "Extent": " ".join(f"0 {size - 1}" for size in data.shape),
        prefix + "Tags": f"Segmentation.Status:inprogress|TerminologyEntry:{terminology}|",
    }


def _term(code: Code) -> str:
    return f"{code.scheme}^{code.value}^{code.meaning}"
