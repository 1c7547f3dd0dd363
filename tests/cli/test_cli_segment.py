"""`brainmvp segment`: every file that was asked for, one sentence for what cannot be done."""

import errno
import gc
import json
import re
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace

import dicom_files as habit
import nibabel as nib
import nrrd
import numpy as np
import pytest
from dicom_files import scan, write_series
from pydicom import dcmread
from pydicom.uid import generate_uid

from brainmvp.brain import STRIPPED, Brain
from brainmvp.cli.doubts import say_doubts
from brainmvp.cli.outputs import stem
from brainmvp.cli.segment import show
from brainmvp.errors import BrainMVPError
from brainmvp.segment import Segmenter
from brainmvp.segmentation import Segmentation
from brainmvp.sequences import Sequence


def test_writes_everything_that_is_asked_for(brainmvp, write_study, tmp_path):
    study, out = write_study("visit", "T1 T1CE FLAIR"), tmp_path / "out"
    files = {"--report": out / "r.json", "--picture": out / "p.png", "--uncertainty": out / "u.nii.gz"}
    files |= {"--page": out / "page.pdf", "--alignment": out / "a.png"}
    options = [part for pair in files.items() for part in pair]
    result = brainmvp("segment", study, "--task", "tumour", "--out", out / "s.nii.gz", *options)
    assert result.exit_code == 0, result.output
    reference = nib.load(study / "visit_t1ce.nii.gz")
    labels, uncertainty = nib.load(out / "s.nii.gz"), nib.load(files["--uncertainty"])
    for image in (labels, uncertainty):
        assert image.shape == reference.shape
        assert np.array_equal(image.affine, reference.affine)
    assert uncertainty.get_fdata().min() >= 0 and 0.1 < uncertainty.get_fdata().max() <= 1
    report = json.loads(files["--report"].read_text())
    assert report["sequences_filled"] == ["T2"]
    assert "T2 is missing: zeros stand in for it" in result.output
    assert re.search(r"^  \d+\.\d s, at most \d+\.\d\d GiB of memory$", result.output, re.MULTILINE)
    voxel_ml = abs(np.linalg.det(reference.affine[:3, :3])) / 1000
    for value, name in report["label_names"].items():
        count = np.count_nonzero(labels.get_fdata() == int(value))
        assert report["volumes_ml"][name] == pytest.approx(count * voxel_ml, abs=1e-3)
    for option in ("--picture", "--alignment"):
        assert files[option].read_bytes().startswith(b"\x89PNG")
    assert files["--page"].read_bytes().startswith(b"%PDF")


def test_a_sequence_that_is_not_used_is_not_called_missing(capsys):
    flair, t2 = Sequence("FLAIR"), Sequence("T2")
    say_doubts({flair: "its alignment is doubtful: it covers too little"}, "it is small", (t2, flair))
    assert capsys.readouterr().out.splitlines() == [
        "  FLAIR is not used, its alignment is doubtful: it covers too little",
        "  look at the brain: it is small",
        "  T2 is missing: zeros stand in for it",
    ]


def test_a_tiny_volume_is_not_told_as_none(capsys):
    facts = {
        "measured_ml": {"Infarct": 0.003},
        "uncertainty_in_words": "0.20",
        "used": (),
        "notes": [],
        "alignments": {},
    }
    facts |= {
        "brain": Brain(np.ones((1, 1, 1), bool), STRIPPED),
        "flagged": {},
        "filled": (),
        "left_out": {},
        "minimum_lesion_ml": 0.015,
        "seconds": {"read": 1.0},
        "peak_gib": {"read": 1.0},
    }
    show(SimpleNamespace(study=SimpleNamespace(id="p"), model="stroke@1", reference="DWI", **facts))
    said = capsys.readouterr().out
    assert "<0.01" in said and "findings below 0.015 mL are not marked" in said


def test_the_reference_can_be_chosen(brainmvp, write_study, tmp_path):
    study, out = write_study("visit", "T1CE FLAIR T2"), tmp_path / "s.seg.nrrd"
    arguments = ("segment", study, "--task", "tumour", "--out", out, "--json")
    result = brainmvp(*arguments, "--reference", "T2")
    assert json.loads(result.stdout)["reference"] == "T2"
    assert tuple(nrrd.read_header(str(out))["sizes"]) == nib.load(study / "visit_t2.nii.gz").shape


def test_a_bad_study_does_not_stop_the_others(brainmvp, write_study, tmp_path):
    root = tmp_path / "all"
    for name, sequences in {"a": "FLAIR", "b": "FLAIR", "c": "DWI ADC", "d": "FLAIR"}.items():
        write_study(name, sequences, root)
    (root / "b" / "b_flair.nii.gz").write_bytes(b"no image")
    (root / "d" / "d_mystery.nii.gz").write_bytes(b"")
    result = brainmvp("segment", root, "--task", "tumour", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert sorted(path.name for path in (tmp_path / "out" / "a").iterdir()) == [
        "tumour.json", "tumour.nii.gz", "tumour.pdf", "tumour.png", "tumour.seg.nrrd",
    ]  # fmt: skip
    assert not any((tmp_path / "out" / name / "tumour.nii.gz").exists() for name in "bcd")
    assert "1 segmented" in result.stdout
    errors = result.stderr.splitlines()
    assert len([line for line in errors if line.startswith("Error: ")]) == 3
    for part in (
        "b_flair.nii.gz cannot be read",
        "c: the tumour task needs FLAIR or T1CE or T2",
        "d_mystery.nii.gz cannot be told",
    ):
        assert any(part in line for line in errors), part


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--task", "gout", "--out", "a.nii.gz"], "no task named 'gout'"),
        (["--task", "tumour", "--out", "a.nii.gz", "--model", "mine@3"], "no model named 'mine'"),
        (
            ["--task", "tumour", "--out", "a.nii.gz", "--model", "stroke"],
            "is a model for stroke, not for tumour",
        ),
        (["--task", "tumour", "--out", "a.nii.gz", "--device", "abacus"], "'abacus' is no device"),
        (["--task", "tumour", "--out", "a.nii.gz", "--reference", "ADC"], "has no ADC"),
        (["--task", "tumour", "--out", "a.tif"], "a.tif is no format that is written here"),
        (["--task", "tumour", "--out", "a.nii.gz", "--picture", "a.jpg"], "must end in .png"),
        (["--task", "tumour", "--out", "a.nii.gz", "--page", "a.doc"], "must end in .html or .pdf"),
        (["--task", "tumour", "--out", "folder", "--report", "a.json"], "--report goes with one output file"),
    ],
)
def test_bad_options_end_in_one_sentence(brainmvp, write_study, tmp_path, monkeypatch, options, sentence):
    study = write_study("visit", "FLAIR")
    monkeypatch.chdir(tmp_path)
    result = brainmvp("segment", study, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.strip()]) == 1
    assert not (tmp_path / "a.nii.gz").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--out", "all/a/a_flair.nii.gz"], "is a scan of the study"),
        (["--out", "all/a/a_seg.nii.gz"], "is a segmentation beside the scans"),
        (["--out", "all/a/a_unused.nii.gz"], "is a scan of the study"),
        (["--out", "a.nii.gz", "--report", "all/a/study.json"], "is what says which scan is which"),
        (["--out", "all/a/result_seg.nii.gz", "--picture", "all/a/result_seg_alignment.png"], "both name"),
        (["--out", "all/b/result.nii.gz"], "or a name such as result_seg.nii.gz"),
        (["--out", "a.nii.gz", "--uncertainty", "all/b/u.nii.gz"], "would be taken for a scan"),
        (["--out", "a.nii.gz", "--uncertainty", "a.nii.gz"], "--out and --uncertainty both name"),
        (["--out", "all"], "would lie among the scans"),
    ],
)
def test_results_neither_replace_scans_nor_pass_for_them(
    brainmvp, write_study, tmp_path, monkeypatch, options, sentence
):
    for name in "ab":
        write_study(name, "FLAIR", tmp_path / "all")
    study = tmp_path / "all" / ("b" if "all/b" in " ".join(options) else "a")
    shutil.copy(study / f"{study.name}_flair.nii.gz", tmp_path / "all" / "a" / "a_unused.nii.gz")
    shutil.copy(study / f"{study.name}_flair.nii.gz", tmp_path / "all" / "a" / "a_seg.nii.gz")
    (tmp_path / "all" / "a" / "study.json").write_text('{"sequences": {"FLAIR": "a_flair.nii.gz"}}')
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = brainmvp("segment", study, "--task", "tumour", *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert contents(tmp_path) == before


def test_a_comparison_does_not_replace_what_says_which_scan_is_which(brainmvp, write_study):
    study = write_study("visit", "FLAIR")
    table = study / "study.json"
    table.write_text('{"sequences": {"FLAIR": "visit_flair.nii.gz"}}')
    result = brainmvp("compare", write_study("first", "FLAIR"), study, "--task", "tumour", "--report", table)
    assert result.exit_code == 2 and "is what says which scan is which" in result.stderr
    assert "sequences" in table.read_text()


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_cohort_into_one_file_is_told_what_to_give(brainmvp, write_study, tmp_path):
    for name in "ab":
        write_study(name, "FLAIR", tmp_path / "all")
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "x.seg.nrrd")
    assert result.exit_code == 2
    assert "holds 2 studies" in result.stderr and "or an output folder for all" in result.stderr


def test_results_of_a_cohort_do_not_become_studies_of_it(brainmvp, write_study, tmp_path):
    write_study("a", "FLAIR", tmp_path / "all")
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "all" / "results")
    assert result.exit_code == 2
    assert "choose a folder outside" in result.stderr


def test_every_study_that_fails_is_counted_whatever_its_folder_is_called(brainmvp, write_study, tmp_path):
    for patient in ("P1", "P2", "P3"):
        write_study("MRI", "FLAIR" if patient == "P1" else "DWI", tmp_path / "all" / patient)
    arguments = ("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "out")
    result = brainmvp(*arguments, "--json")
    assert result.exit_code == 2
    listed = json.loads(result.stdout)
    assert [one["study"] for one in listed["results"]] == ["MRI"]
    assert {Path(one["folder"]).parent.name for one in listed["failures"]} == {"P2", "P3"}


def test_results_of_another_study_of_the_same_name_are_kept(brainmvp, write_study, tmp_path):
    arguments = ("--task", "tumour", "--out", tmp_path / "out")
    for patient in ("anna", "bert"):
        write_study("DICOM", "FLAIR", tmp_path / patient)
    for _ in range(2):
        assert brainmvp("segment", tmp_path / "anna", *arguments).exit_code == 0
    before = contents(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "DICOM" / "tumour.json").read_text())
    assert report["folder"] == str(tmp_path / "anna" / "DICOM")
    result = brainmvp("segment", tmp_path / "bert", *arguments)
    assert result.exit_code == 2
    assert f"holds the result of {tmp_path / 'anna' / 'DICOM'}, not of {tmp_path / 'bert'}" in result.stderr
    assert contents(tmp_path / "out") == before


def test_the_search_goes_on_below_a_folder_of_dicom_files(brainmvp, dicom_visit):
    inside = ("segment", dicom_visit, "--task", "tumour", "--out")
    assert "choose a folder outside" in brainmvp(*inside, dicom_visit / "results").stderr
    assert "would be taken for a scan" in brainmvp(*inside, dicom_visit / "results" / "tumour.nii.gz").stderr


def test_what_a_computation_raises_costs_one_study(brainmvp, write_study, tmp_path, monkeypatch):
    for name in "ab":
        write_study(name, "FLAIR", tmp_path / "all")
    compute = Segmenter.segment

    def short_of_memory(self, study, *rest):
        if study.id == "a":
            raise MemoryError
        return compute(self, study, *rest)

    monkeypatch.setattr(Segmenter, "segment", short_of_memory)
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "out")
    assert result.exit_code == 2 and (tmp_path / "out" / "b" / "tumour.pdf").exists()
    assert f"{tmp_path / 'all' / 'a'} could not be computed (MemoryError)" in result.stderr


def test_no_volumes_of_a_study_are_kept_while_the_next_is_computed(
    brainmvp, write_study, tmp_path, monkeypatch
):
    for name in "abc":
        write_study(name, "FLAIR", tmp_path / "all")
    compute, draw, known, kept = Segmenter.segment, Segmentation.save_picture, [], []

    def watched(self, *rest):
        gc.collect()
        kept.append([result() for result in known if result() is not None])
        result = compute(self, *rest)
        known.append(weakref.ref(result))
        return result

    def fails_once(self, path):
        if self.study.id == "a":
            raise MemoryError
        return draw(self, path)

    monkeypatch.setattr(Segmenter, "segment", watched)
    monkeypatch.setattr(Segmentation, "save_picture", fails_once)
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "out")
    assert result.exit_code == 2 and kept == [[], [], []]


def test_an_output_folder_that_cannot_be_is_found_before_the_work(
    brainmvp, write_study, tmp_path, monkeypatch
):
    write_study("a", "FLAIR", tmp_path / "all")
    (tmp_path / "file").touch()
    monkeypatch.setattr(Segmenter, "load", lambda *arguments, **options: pytest.fail("work was begun"))
    out = tmp_path / "file" / "out"
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", out)
    assert result.exit_code == 2 and result.stderr.startswith(f"Error: {out}: ")


def test_a_full_disk_ends_the_work(brainmvp, write_study, tmp_path, monkeypatch):
    for name in "abc":
        write_study(name, "FLAIR", tmp_path / "all")

    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path.parent))

    monkeypatch.setattr(Segmentation, "save", full)
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "out", "--json")
    errors = [one["error"] for one in json.loads(result.stdout)["failures"]]
    assert errors[0] == f"{tmp_path / 'out' / 'a'}: No space left on device; free some space."
    assert errors[1:] == [f"{tmp_path / 'all' / x} was not begun, for the same reason." for x in "bc"]


def test_memory_that_is_short_for_a_picture_costs_one_study(brainmvp, write_study, tmp_path, monkeypatch):
    for name in "ab":
        write_study(name, "FLAIR", tmp_path / "all")
    for name in ("tumour.pdf", "tumour.json", "tumour_alignment.png"):
        old = tmp_path / "out" / "a" / name
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_text("{}")
    draw = Segmentation.save_picture

    def short_of_memory(self, path):
        if self.study.id == "a":
            raise MemoryError
        return draw(self, path)

    monkeypatch.setattr(Segmentation, "save_picture", short_of_memory)
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "out")
    assert result.exit_code == 2 and (tmp_path / "out" / "b" / "tumour.pdf").exists()
    assert f"The result of {tmp_path / 'all' / 'a'} could not be written (MemoryError)" in result.stderr
    left = {file.name for file in (tmp_path / "out" / "a").iterdir()}
    assert left == {"tumour.nii.gz", "tumour.seg.nrrd", "tumour.json"}
    assert json.loads((tmp_path / "out" / "a" / "tumour.json").read_text())["study"] == "a"


def test_what_cannot_be_written_costs_one_study(brainmvp, write_study, tmp_path):
    for name in "abc":
        write_study(name, "DWI" if name == "a" else "FLAIR", tmp_path / "all")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").touch()  # no folder can be made there
    result = brainmvp("segment", tmp_path / "all", "--task", "tumour", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 2 and (tmp_path / "out" / "c" / "tumour.pdf").exists()
    failures = {Path(one["folder"]).name: one["error"] for one in json.loads(result.stdout)["failures"]}
    assert failures.keys() == {"a", "b"} and failures["b"].startswith(f"{tmp_path / 'out' / 'b'}: ")


@pytest.mark.parametrize("command", ["segment", "compare"])
def test_a_device_without_room_for_the_model_is_one_sentence(
    brainmvp, write_study, tmp_path, monkeypatch, command
):
    def full(*arguments, **options):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.\nProcess 7 has 10 GiB")

    monkeypatch.setattr(Segmenter, "load", full)
    study = write_study("visit", "FLAIR")
    rest = [study] if command == "compare" else ["--out", tmp_path / "x.nii.gz"]
    result = brainmvp(command, study, "--task", "tumour", *rest)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: The model for tumour could not be loaded (CUDA out of memory.")


@pytest.mark.parametrize("command", ["segment", "compare"])
def test_who_removes_a_skull_can_be_chosen(brainmvp, write_study, tmp_path, command):
    study = write_study("visit", "FLAIR")
    rest = [study] if command == "compare" else ["--out", tmp_path / "x.nii.gz"]
    result = brainmvp(command, study, "--task", "tumour", *rest, "--brain", "razor")
    assert result.exit_code == 2 and "'razor' finds no brains here; use built-in, hd-bet" in result.stderr


@pytest.mark.parametrize("name", ["1.2.840.seg.nrrd", "1.2.840.NII.GZ", "1.2.840.nrrd", "1.2.840.dcm"])
def test_only_the_ending_of_a_format_is_no_part_of_a_name(name):
    assert stem(Path(name)) == "1.2.840"


def test_what_the_task_does_not_use_may_be_anything(brainmvp, write_study, tmp_path):
    study = write_study("visit", "FLAIR DWI")
    image = nib.load(study / "visit_dwi.nii.gz")
    series = np.stack([image.get_fdata()] * 6, axis=-1)  # every direction of a diffusion scan
    nib.save(nib.Nifti1Image(series, image.affine), study / "visit_dwi.nii.gz")
    out = tmp_path / "out" / "visit"
    (out / "tumour_alignment.png").parent.mkdir(parents=True)
    (out / "tumour_alignment.png").write_bytes(b"DOUBTFUL, of an earlier run")
    result = brainmvp("segment", study, "--task", "tumour", "--out", out.parent)
    assert result.exit_code == 0, result.output
    assert {"tumour.png", "tumour.pdf"} <= {file.name for file in out.iterdir()}
    assert not (out / "tumour_alignment.png").exists()


@pytest.fixture
def dicom_visit(tmp_path):
    uid = generate_uid()
    for number, (facts, spacing, shape) in enumerate(
        [(habit.T1CE, (1.1, 1, 1.2), (44, 52, 40)), (habit.FLAIR, (0.9, 0.95, 3.5), (50, 56, 14))], start=1
    ):
        folder = tmp_path / "all" / "visit" / str(number)
        write_series(folder, scan(shape, spacing, number), uid, number, **facts)
    return tmp_path / "all" / "visit"


def test_a_dicom_study_gets_a_dicom_seg_of_the_same_voxels(brainmvp, dicom_visit, tmp_path):
    result = brainmvp("segment", dicom_visit.parent, "--task", "tumour", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    labels = nib.load(tmp_path / "out" / "visit" / "tumour.nii.gz")
    assert labels.shape == (44, 52, 40)
    seg = dcmread(tmp_path / "out" / "visit" / "tumour.dcm")
    frames = np.zeros(labels.shape, np.uint8)
    for group, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1)
        index = round((np.linalg.inv(labels.affine) @ [*position, 1])[2])
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        frames[:, :, index][pixels.T > 0] = number
    assert labels.get_fdata().any()
    assert np.array_equal(frames, labels.get_fdata())


def test_headers_that_do_not_suffice_cost_the_dicom_seg_only(brainmvp, dicom_visit, tmp_path, monkeypatch):
    def short(*arguments):
        raise BrainMVPError("The headers do not suffice for DICOM SEG.")

    monkeypatch.setattr("brainmvp.dicom.seg.write_dicom_seg", short)
    result = brainmvp("segment", dicom_visit.parent, "--task", "tumour", "--out", tmp_path / "out")
    assert result.exit_code == 2 and "do not suffice" in result.stderr
    assert "1 segmented" in result.stdout and ", 0 not." in result.stdout
    assert sorted(file.name for file in (tmp_path / "out" / "visit").iterdir()) == [
        "tumour.json", "tumour.nii.gz", "tumour.pdf", "tumour.png", "tumour.seg.nrrd",
    ]  # fmt: skip


def test_a_dicom_seg_can_be_asked_for_alone(brainmvp, dicom_visit, write_study, tmp_path):
    out = tmp_path / "one.dcm"
    (dicom_visit / "2" / "IM9999.dcm").touch()
    alone = brainmvp("segment", dicom_visit, "--task", "tumour", "--out", out)
    assert alone.exit_code == 0 and "FLAIR: 1 file beside its slices cannot be read" in alone.stdout
    assert dcmread(out).Modality == "SEG"
    # A result beside the series does not hide them.
    beside = ("segment", dicom_visit, "--task", "tumour", "--out")
    assert [brainmvp(*beside, dicom_visit / name).exit_code for name in ("a.seg.nrrd", "b.dcm")] == [0, 0]
    assert "is a segmentation beside the scans" in brainmvp(*beside, dicom_visit / "a.seg.nrrd").stderr
    (dicom_visit / "study.json").write_text('{"sequences": {"T1CE": 1}}')
    (dicom_visit / "2" / "IM0002.dcm").rename(dicom_visit / "2" / "IM2.DCM")
    for unused in ("b.dcm", "2/IM0003.dcm", "2/IM2.DCM"):
        assert "is a DICOM file of the study" in brainmvp(*beside, dicom_visit / unused).stderr
    (dicom_visit / "study.json").unlink()
    among = brainmvp("segment", dicom_visit, "--task", "tumour", "--out", dicom_visit / "1" / "tumour.nii.gz")
    assert "would be taken for a scan" in among.stderr
    result = brainmvp(
        "segment", write_study("nifti", "FLAIR"), "--task", "tumour", "--out", tmp_path / "no.dcm"
    )
    assert result.exit_code == 2
    assert "is not DICOM" in result.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can write")
def test_a_place_that_cannot_be_written_is_named_without_its_temporary_file(brainmvp, write_study):
    result = brainmvp("segment", write_study("visit", "FLAIR"), "--task", "tumour", "--out", "/proc/x.nii.gz")
    assert result.exit_code == 2
    assert re.search(r"Error: /proc: .*; choose (another|a) place", result.stderr)
