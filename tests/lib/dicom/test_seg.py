"""A segmentation given back as DICOM SEG is valid, refers to its series, and decodes to the same voxels."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import dicom_files as habit
import highdicom as hd
import numpy as np
import pytest
from dicom_files import scan, write_enhanced, write_series
from pydicom import dcmread
from pydicom.uid import RLELossless, generate_uid

from brainmvp.dicom.seg import cielab, write_dicom_seg
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume

TASK = get_task("tumour")
VOLUME = scan((20, 24, 12), (2.1, 2.0, 3.5), codes="LAS")
# What 3D Slicer's extension for DICOM SEG runs; a test requirement of this project.
DCMQI = Path(sys.executable).parent / "segimage2itkimage"


@pytest.fixture(params=["single files", "compressed", "enhanced", "tilted"])
def image(request, tmp_path):
    folder, uid = tmp_path / "study", generate_uid()
    if request.param == "enhanced":
        facts = {"RepetitionTime": 9000, "EchoTime": 93, "InversionTime": 2500, "SeriesDescription": "FLAIR"}
        write_enhanced(folder, VOLUME, uid, 4, **facts)
    else:
        shift = np.array([0.6, 0.2, 0.1]) if request.param == "tilted" else None
        syntax = {"syntax": RLELossless} if request.param == "compressed" else {}
        write_series(folder, VOLUME, uid, 4, shift=shift, **syntax, **habit.FLAIR)
    return Study.from_folder(folder).images[Sequence.FLAIR]


def some_labels(image):
    data = np.zeros(image.shape, np.uint8)
    data[3:9, 4:15, 2:6], data[5:8, 6:10, 3:5], data[6, 7:9, 3:5] = 2, 3, 1
    return Volume(data, image.affine)


def decoded(path, image):
    """Return the label map (X, Y, Z) of a SEG, its frames placed on the image by their positions alone."""
    seg = dcmread(path)
    result = np.zeros(image.shape, np.uint8)
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1)
        index = np.linalg.inv(image.affine) @ [*position, 1]
        assert np.allclose(index[:2], 0, atol=1e-3)
        assert np.isclose(index[2], round(index[2]), atol=1e-3)
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        result[:, :, round(index[2])][pixels.T > 0] = number
    return result


def test_decodes_to_the_same_voxels(image, tmp_path):
    labels = some_labels(image)
    path = write_dicom_seg(labels, image, TASK, tmp_path / "seg.dcm", model="tumour@3")
    assert np.array_equal(decoded(path, image), labels.data)


def test_highdicom_finds_the_voxels_by_the_source_images(image, tmp_path):
    labels = some_labels(image)
    seg = hd.seg.segread(write_dicom_seg(labels, image, TASK, tmp_path / "seg.dcm", model="tumour@3"))
    options = {"combine_segments": True, "assert_missing_frames_are_empty": True}
    if image.planes[0].frame is None:
        pixels = seg.get_pixels_by_source_instance([plane.uid for plane in image.planes], **options)
    else:
        frames = [plane.frame + 1 for plane in image.planes]
        pixels = seg.get_pixels_by_source_frame(image.planes[0].uid, frames, **options)
    assert np.array_equal(pixels.transpose(2, 1, 0), labels.data)


def test_says_what_the_segments_are_and_on_which_series_they_lie(image, tmp_path):
    seg = dcmread(write_dicom_seg(some_labels(image), image, TASK, tmp_path / "seg.dcm", model="tumour@3"))
    assert seg.Modality == "SEG"
    assert seg.StudyInstanceUID == image.facts["StudyInstanceUID"]
    assert seg.FrameOfReferenceUID == image.facts["FrameOfReferenceUID"]
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == image.series_uid
    named = {i.SegmentLabel: i.SegmentedPropertyTypeCodeSequence[0].CodeValue for i in seg.SegmentSequence}
    assert named == {label.name: label.code.value for label in TASK.labels}
    first = seg.SegmentSequence[0]
    assert first.SegmentAlgorithmType == "AUTOMATIC"
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "tumour@3"
    assert first.RecommendedDisplayCIELabValue == cielab(TASK.labels[0].color)
    assert (seg.PatientID, seg.AccessionNumber) == ("ID-4711", "ACC-0815")


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("ISO_IR 192", "王^小明"),
        ("ISO_IR 144", "Иванов^Иван"),
        ("GB18030", "王^小东"),
        ("ISO_IR 100", "Müller^Jörg"),
    ],
)
def test_the_patient_keeps_the_name_in_any_script(tmp_path, characters, name):
    facts = habit.FLAIR | {"SpecificCharacterSet": characters, "PatientName": name}
    write_series(tmp_path / "study", scan((8, 8, 6), (2.5, 2.5, 8.0)), generate_uid(), **facts)
    image = Study.from_folder(tmp_path / "study").images[Sequence.FLAIR]
    names = {label.value: f"{label.name} Ödem" for label in TASK.labels}
    seg = dcmread(write_dicom_seg(some_labels(image), image, TASK, tmp_path / "seg.dcm", names))
    assert str(seg.PatientName) == name
    assert seg.SegmentSequence[0].SegmentLabel == names[1]


def test_the_same_labels_have_the_same_identifiers_where_an_archive_may_get_them_again(tmp_path):
    write_series(tmp_path / "study", VOLUME, generate_uid(), 4, **habit.FLAIR)
    image = Study.from_folder(tmp_path / "study").images[Sequence.FLAIR]

    def written(source, model="tumour@3"):
        path = tmp_path / "seg.dcm"
        seg = dcmread(write_dicom_seg(some_labels(image), image, TASK, path, model=model, source=source))
        return seg.SeriesInstanceUID, seg.SOPInstanceUID, *(s.TrackingUID for s in seg.SegmentSequence)

    once = written("a")
    assert written("a") == once
    assert len(set(once)) == len(once)
    for others in (written("b"), written("a", "tumour@4"), written(None), written(None)):
        assert not set(others) & set(once)


def test_is_valid(image, tmp_path):
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    path = write_dicom_seg(some_labels(image), image, TASK, tmp_path / "seg.dcm", model="tumour@3")
    found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    complaints = [line for line in found.stderr.splitlines() if line.startswith("Error")]
    assert not complaints, "\n".join(complaints)
    assert "Segmentation" in found.stderr


def test_the_reader_of_slicer_finds_the_voxels_names_and_colours(image, tmp_path):
    if "gantry tilt" in "".join(image.notes):
        pytest.skip("dcmqi reads grids with right angles only")
    labels = some_labels(image)
    path = write_dicom_seg(labels, image, TASK, tmp_path / "seg.dcm", model="tumour@3")
    places = ["--inputDICOM", path, "--outputDirectory", tmp_path, "--outputType", "nrrd", "--prefix", "seg"]
    subprocess.run([DCMQI, *places], check=True, capture_output=True)
    for number, label in enumerate(TASK.labels, start=1):
        found = read_volume(tmp_path / f"seg-{number}.nrrd")
        offset = (np.linalg.inv(image.affine) @ found.affine)[:3, 3]
        box = tuple(slice(int(a), int(a) + n) for a, n in zip(np.rint(offset), found.shape, strict=True))
        placed = np.zeros(image.shape, bool)
        placed[box] = found.data > 0
        assert np.allclose(offset, np.rint(offset), atol=1e-2)
        assert np.array_equal(placed, labels.data == label.value)
    attributes = json.loads((tmp_path / "seg-meta.json").read_text())["segmentAttributes"]
    for (found,), label in zip(attributes, TASK.labels, strict=True):
        assert found["SegmentLabel"] == label.name
        assert found["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == label.code.value
        assert found["recommendedDisplayRGBValue"] == pytest.approx(label.color, abs=2)


def test_a_result_that_lies_elsewhere_is_refused(image, tmp_path):
    moved = image.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(BrainMVPError, match="does not lie on the grid of series 4"):
        write_dicom_seg(Volume(np.zeros(image.shape, np.uint8), moved), image, TASK, tmp_path / "seg.dcm")
    assert not (tmp_path / "seg.dcm").exists()


def test_nothing_found_is_a_result_too(image, tmp_path):
    empty = Volume(np.zeros(image.shape, np.uint8), image.affine)
    assert not decoded(write_dicom_seg(empty, image, TASK, tmp_path / "seg.dcm"), image).any()


def test_only_offered_labels_are_described(image, tmp_path):
    data = np.zeros(image.shape, np.uint8)
    data[5:9, 5:9, 5:9] = 2
    path = write_dicom_seg(Volume(data, image.affine), image, TASK, tmp_path / "seg.dcm", {2: "Whole tumour"})
    (segment,) = dcmread(path).SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Whole tumour", "MANUAL")
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm"
    assert segment.TrackingID == "WT"
    assert np.array_equal(decoded(path, image) > 0, data > 0)


def test_an_anonymised_header_suffices(tmp_path):
    gone = dict.fromkeys(("PatientName", "PatientBirthDate", "AccessionNumber", "StudyTime", "StudyID"))
    write_series(tmp_path / "study", VOLUME, generate_uid(), **habit.FLAIR | gone)
    image = Study.from_folder(tmp_path / "study").images[Sequence.FLAIR]
    labels = some_labels(image)
    assert np.array_equal(
        decoded(write_dicom_seg(labels, image, TASK, tmp_path / "seg.dcm"), image), labels.data
    )


def test_colours_are_in_cielab():
    assert cielab((255, 255, 255)) == pytest.approx([65535, 32896, 32896], abs=20)
    # sRGB red is Lab 53.24, 80.09, 67.20 under D65
    assert cielab((255, 0, 0)) == pytest.approx([34891, 53479, 50166], abs=30)
