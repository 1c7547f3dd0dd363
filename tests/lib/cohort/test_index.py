"""One index for every layout: who is who, what is what, and bad entries cost no good one."""

import json
import os
import time
from pathlib import Path, PurePosixPath

import pytest

from brainmvp.cohort import Image, Index, Session
from brainmvp.cohort.layouts import Place, place_of
from brainmvp.cohort.scan import index_folder
from brainmvp.cohort.tables import hold_out, with_table
from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence


def touch(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def session(subject: str, **more: str) -> Session:
    images = (Image(sequence=Sequence.T1, file=f"{subject}_t1.nii.gz"),)
    return Session(dataset="d", subject=subject, session=more.pop("session", "1"), images=images, **more)


@pytest.mark.parametrize(
    ("path", "dataset", "subject", "visit"),
    [
        ("sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz", "root", "01", "02"),
        ("sub-01/anat/sub-01_FLAIR.nii.gz", "root", "01", "1"),
        ("ds000001/sub-a/dwi/sub-a_dwi.nii.gz", "ds000001", "a", "1"),
        ("derivatives/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_msk.nii.gz", "root", "strokecase0001",
         "0001"),
        ("derivatives/manual/sub-a/anat/sub-a_label-lesion_mask.nii.gz", "root", "a", "1"),
        ("ds000001/rawdata/sub-a/anat/sub-a_T1w.nii.gz", "ds000001", "a", "1"),
        ("BraTS-GLI-00005-101/BraTS-GLI-00005-101-t2f.nii.gz", "BraTS-GLI", "BraTS-GLI-00005", "101"),
        ("BraTS2023_MEN/BraTS-MEN-00004-000/BraTS-MEN-00004-000-t1c.nii.gz", "BraTS-MEN", "BraTS-MEN-00004", "000"),
        ("BraTS2021/BraTS2021_00000/BraTS2021_00000_t1ce.nii.gz", "BraTS2021", "BraTS2021_00000", "1"),
        ("UCSF-PDGM/UCSF-PDGM-0515_nifti/UCSF-PDGM-0515_ADC.nii.gz", "UCSF-PDGM", "UCSF-PDGM-0515", "1"),
        ("UCSF-PDGM-0429_FU003d_nifti/UCSF-PDGM-0429_FU003d_T1.nii.gz", "UCSF-PDGM", "UCSF-PDGM-0429", "FU003d"),
        ("IXI-T2/IXI002-Guys-0828-T2.nii.gz", "IXI", "IXI002", "1"),
        ("BrainAtlas/IXI002-Guys-0828/IXI002-Guys-0828-PD.nii.gz", "IXI", "IXI002", "1"),
        ("train/BraTS20_Training_001/BraTS20_Training_001_t1.nii", "BraTS2020", "BraTS20_Training_001", "1"),
        ("HGG/Brats18_CBICA_ABE_1/Brats18_CBICA_ABE_1_t1.nii.gz", "BraTS2018", "Brats18_CBICA_ABE_1", "1"),
        ("all/BraTS19_2013_2_1_t1.nii.gz", "BraTS2019", "BraTS19_2013_2_1", "1"),
        ("patient07/patient07_t1.nii.gz", "root", "patient07", "1"),
        ("clinic/patient07/t1.nii.gz", "clinic", "patient07", "1"),
        ("sub-01/ses-2/anat/scan_004.nii.gz", "root", "01", "2"),
        ("sub-01/flair.nii.gz", "root", "01", "1"),
        ("sub-01/2024-01-31/flair.nii.gz", "root", "sub-01", "2024-01-31"),
        ("Caltech/0051456/session_1/anat_1/mprage.nii.gz", "Caltech", "0051456", "session_1"),
        ("Miller/2024-01-31/t1/t1.nii.gz", "root", "Miller", "2024-01-31"),
        ("Patient-001/week-000-2/FLAIR.nii.gz", "root", "Patient-001", "week-000-2"),
        ("Miller/month 6/FLAIR.nii.gz", "root", "Miller", "month 6"),
        ("clinic/Miller/anat/t1.nii.gz", "clinic", "Miller", "1"),
        ("clinic/MR01/T1/flair.nii.gz", "clinic", "MR01", "T1"),
        ("p1/p1/t1.nii.gz", "root", "p1", "1"),
        ("t1.nii.gz", "root", "root", "1"),
    ],
)  # fmt: skip
def test_a_path_tells_data_set_patient_and_visit(path: str, dataset: str, subject: str, visit: str) -> None:
    assert place_of(PurePosixPath(path), "root") == Place(dataset, subject, visit)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_in_an_old_encoding_are_left_out_with_a_note(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"K\xf6ln")
    try:
        touch(root, os.fsdecode(b"M\xfcller/a_t1.nii.gz"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(BrainMVPError, match=r"an old encoding \(1, such as M\ufffdller/a_t1"):
        index_folder(root)
    index, notes = index_folder(touch(root, "patient07/patient07_t1.nii.gz"))
    assert [s.subject for s in index.sessions] == ["patient07"] and "such as M\ufffdller" in notes[0]
    index.write(root / "index.json")


def test_a_flat_ixi_tree_becomes_one_visit_per_patient(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"IXI-{s}/IXI{n}-HH-1-{s}.nii.gz" for s in ("T1", "T2", "PD", "MRA") for n in ("002", "012")),
        "IXI-DTI/IXI002-HH-1-DTI-00.nii.gz",
    )  # fmt: skip
    index, notes = index_folder(tmp_path)
    assert [s.sequences for s in index.sessions] == [
        (Sequence.T1, Sequence.T2, Sequence.MRA, Sequence.PD)
    ] * 2
    assert len(notes) == 1 and notes[0].startswith("Left out 1 named …_00: neither a known sequence")


def test_isles_masks_come_from_derivatives_and_other_derivatives_do_not(tmp_path: Path) -> None:
    case = "sub-strokecase0001/ses-0001"
    name = "sub-strokecase0001_ses-0001"
    touch(
        tmp_path, f"{case}/dwi/{name}_dwi.nii.gz", f"{case}/dwi/{name}_adc.nii.gz", f"{case}/anat/{name}_FLAIR.nii.gz",
        f"derivatives/{case}/{name}_msk.nii.gz", f"derivatives/fmriprep/{case}/{name}_desc-preproc_T1w.nii.gz",
        f"derivatives/fmriprep/{case}/{name}_desc-brain_mask.nii.gz",
    )  # fmt: skip
    (found,) = index_folder(tmp_path)[0].sessions
    assert found.sequences == (Sequence.FLAIR, Sequence.DWI, Sequence.ADC)
    assert found.segmentation == f"derivatives/{case}/{name}_msk.nii.gz"


@pytest.mark.parametrize(("raw", "derived"), [("rawdata", "derivatives/manual"), ("raw_data", "derivatives")])
def test_labels_find_the_images_of_a_raw_folder_beside_derivatives(tmp_path: Path, raw, derived) -> None:
    visit = "sub-stroke0001/ses-02/sub-stroke0001_ses-02"
    touch(tmp_path, f"{raw}/{visit}_dwi.nii.gz", f"{derived}/{visit}_lesion-msk.nii.gz")
    index, notes = index_folder(tmp_path)
    assert [(s.dataset, s.segmentation) for s in index.sessions] == [
        (tmp_path.name, f"{derived}/{visit}_lesion-msk.nii.gz")
    ]
    assert not notes


def test_the_tumour_is_taken_where_the_brain_is_segmented_too(tmp_path: Path) -> None:
    names = ("T1", "T1c", "tumor_segmentation", "brain_segmentation", "FA", "T1_bias")
    touch(tmp_path, *(f"UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_{name}.nii.gz" for name in names))
    (found,) = index_folder(tmp_path)[0].sessions
    assert found.segmentation.endswith("tumor_segmentation.nii.gz")


def test_masks_and_maps_that_bear_a_sequences_name_are_no_images(tmp_path: Path) -> None:
    maps = ("T1_brain_pve_0", "T1_brain_mixeltype", "T1_to_MNI_warp", "FLAIR_mask_final_MB", "GT-FLAIR-GT")
    touch(tmp_path, *(f"P01/{name}.nii.gz" for name in ("GT-FLAIR", "T1", "tumor_T2", *maps)))
    index, notes = index_folder(tmp_path)
    assert [image.file for image in index.sessions[0].images] == [
        "P01/GT-FLAIR.nii.gz", "P01/T1.nii.gz", "P01/tumor_T2.nii.gz",
    ]  # fmt: skip
    (note,) = notes
    assert "1 named …_GT" in note and "nor a segmentation (patient_seg.nii.gz); rename them" in note


def test_initials_of_a_patient_are_no_contrast_medium(tmp_path: Path) -> None:
    touch(tmp_path, "P01/KM_t1.nii.gz", "P01/KM_flair.nii.gz", "P02/KM_t1.nii.gz", "P02/flair.nii.gz")
    index, notes = index_folder(tmp_path)
    assert [[image.file for image in one.images] for one in index.sessions] == [
        ["P01/KM_flair.nii.gz"], ["P02/flair.nii.gz", "P02/KM_t1.nii.gz"],
    ]  # fmt: skip
    assert [image.sequence for image in index.sessions[1].images] == ["FLAIR", "T1CE"]
    (note,) = notes
    assert "1 named …_t1" in note


def test_lumieres_t1_with_contrast_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, *(f"Patient-001/week-000-1/{name}.nii.gz" for name in ("CT1", "T1", "T2", "FLAIR")))
    index, notes = index_folder(tmp_path)
    assert [image.sequence for image in index.sessions[0].images] == ["FLAIR", "T1", "T1CE", "T2"]
    assert not notes


def test_of_two_files_of_one_sequence_the_shorter_name_comes_first_and_both_are_told(tmp_path: Path) -> None:
    touch(
        tmp_path, "P01/P01-FLAIR.nii.gz", "P01/P01-FLAIR-x.nii.gz", "P01/P01 T1.nii.gz", "P01/P01 T1 y.nii.gz"
    )
    index, notes = index_folder(tmp_path)
    study = index.study(index.sessions[0])
    assert [path.name for path in study.images.values()] == ["P01-FLAIR.nii.gz", "P01 T1.nii.gz"]
    (note,) = notes
    assert note.startswith(f"{tmp_path.name}/P01/1: several files of one sequence (P01/P01")


def test_visits_in_a_patients_folder_stay_on_one_side(tmp_path: Path) -> None:
    dates = ("20240131", "2024-06-01", "baseline", "visit-2")
    touch(tmp_path, *(f"Miller/{date}/t1.nii.gz" for date in dates), "Smith/2024_01_31 head/t1.nii.gz")
    touch(tmp_path, "other/p1/t1.nii.gz", "trial/p2/ses-01/t1.nii.gz", "trial/20240199/t1.nii.gz")
    sessions = index_folder(tmp_path)[0].sessions
    assert [s.session for s in sessions if s.patient == f"{tmp_path.name}/Miller"] == sorted(dates)
    assert {s.patient for s in sessions} == {
        f"{tmp_path.name}/Miller", f"{tmp_path.name}/Smith", "other/p1", "trial/p2", "trial/20240199",
    }  # fmt: skip


@pytest.mark.parametrize(
    "visit",
    ["31.01.2024", "1.2.2024", "2024-1-31", "31_01_2024", "MR1", "T0", "v 02", "2024-1-31 head"],
)
def test_visits_are_called_in_many_ways(visit: str) -> None:
    assert place_of(PurePosixPath("Miller", visit, "flair.nii.gz"), "root") == Place("root", "Miller", visit)


def test_patients_in_one_visit_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "A/Miller/head/t1.nii.gz", "A/Smith/head/t1.nii.gz", "A/Smith/head/t2.nii.gz")
    (note,) = index_folder(tmp_path)[1]
    assert note.startswith(
        "A/head/1: one sequence in several folders (A/Miller/head, A/Smith/head); if these are of several patients,"
    )


def test_numbers_with_hyphens_are_patients() -> None:
    assert place_of(PurePosixPath("Trial", "01-02-13", "t1.nii.gz"), "root") == Place(
        "Trial", "01-02-13", "1"
    )


def test_patients_taken_for_visits_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "HospitalA/MR01/x_t1.nii.gz", "HospitalA/MR02/x_t1.nii.gz", "Miller/T0/x_t1.nii.gz")
    (note,) = index_folder(tmp_path)[1]
    assert note.startswith(
        "HospitalA was taken for one patient with 2 visits; if these are patients, call them"
    )


def test_patients_taken_for_data_sets_are_told(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "Miller/before/t1.nii.gz",
        "Smith/after/t1.nii.gz",
        "BraTS/BraTS2021_00001/BraTS2021_00001_t1.nii",
    )
    (note,) = index_folder(tmp_path)[1]
    assert note.startswith(
        "Miller and Smith were taken for data sets; if they are patients, call their visits by"
    )
    touch(tmp_path / "trial", "p1/t1.nii.gz", "BraTS/BraTS2021_00001/BraTS2021_00001_t1.nii")
    assert not index_folder(tmp_path / "trial")[1]


def test_a_folder_of_dicom_is_told_how_to_become_a_cohort(tmp_path: Path) -> None:
    touch(tmp_path, "Miller/notes.txt", "Miller/IM0001")
    (tmp_path / "Miller" / "IM0001").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(BrainMVPError, match=r"holds DICOM, which an index cannot name; .* dcm2niix"):
        index_folder(tmp_path)


def test_a_study_json_settles_names_that_cannot_be_told(tmp_path: Path) -> None:
    touch(tmp_path, "p1/scan_004.nii.gz", "p1/scan_007.nii.gz", "p2/t1.nii.gz")
    (tmp_path / "p1" / "study.json").write_text('{"sequences": {"PD": "scan_004.nii.gz"}}')
    index, notes = index_folder(tmp_path)
    assert [image.file for s in index.sessions for image in s.images] == [
        "p1/scan_004.nii.gz",
        "p2/t1.nii.gz",
    ]
    assert not notes


TWO = {"01": ["1", "2"]}


@pytest.mark.parametrize(
    ("folder", "image", "other", "patients"),
    [
        ("sub-01/ses-2", "anat/sub-01_ses-2_T1w.nii.gz", "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", TWO),
        ("sub-01/ses-2/anat", "scan.nii.gz", "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", TWO),
        ("Miller", "scans/a_flair.nii.gz", "Smith/t1.nii.gz", {"Miller": ["1"], "Smith": ["1"]}),
        (".", "scans/a_flair.nii.gz", "Smith/t1.nii.gz", {"root": ["1"]}),
    ],
)  # fmt: skip
def test_a_study_json_settles_its_whole_folder(tmp_path: Path, folder, image, other, patients) -> None:
    root = touch(tmp_path / "root", f"{folder}/{image}", other)
    (root / folder / "study.json").write_text(json.dumps({"sequences": {"T1": image}}))
    found: dict[str, list[str]] = {}
    for session in index_folder(root)[0].sessions:
        found.setdefault(session.subject, []).append(session.session)
        assert session.dataset == "root" and len(session.images) == 1
    assert found == patients


def test_an_index_comes_back_from_its_file_and_moves_with_its_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a", "p1/p1_t1.nii.gz", "p1/p1_seg.nii.gz")
    index, _ = index_folder(tmp_path / "a")
    index.write(tmp_path / "a" / "index.json")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = Index.read(tmp_path / "b" / "index.json")
    assert moved.sessions == index.sessions and moved.fingerprint == index.fingerprint
    study = moved.study(moved.sessions[0])
    assert study.images == {Sequence.T1: tmp_path / "b" / "p1" / "p1_t1.nii.gz"}
    assert study.label == tmp_path / "b" / "p1" / "p1_seg.nii.gz"


def test_an_index_on_another_drive_names_its_root_in_full(tmp_path: Path, monkeypatch) -> None:
    def refuse(path: Path, start: Path) -> str:  # as Windows does
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr("os.path.relpath", refuse)
    path = Index(tmp_path / "a", [session("p1")]).write(tmp_path / "b" / "index.json")
    assert Index.read(path).root == tmp_path / "a"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    index = Index(tmp_path, [session("p1")])
    with pytest.raises(BrainMVPError, match=r"p1_t1\.nii\.gz is in the index but not there"):
        index.study(index.sessions[0])


def bad_index(tmp_path: Path, change) -> Path:
    path = Index(tmp_path, [session("p1"), session("p2")]).write(tmp_path / "index.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["sessions"][0]["images"].append({"sequence": "T9", "file": "x"}), "'T9' is no sequence"),
        (lambda c: c["sessions"].append(c["sessions"][0]), "twice"),
        (lambda c: c["sessions"].append(7), "entry 3"),
        (lambda c: c["sessions"][0]["images"].__setitem__(0, {"sequence": "T1", "file": "../x"}), "outside"),
        (lambda c: c["sessions"][0].pop("subject"), "subject"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_one_line_and_the_others_stay(tmp_path: Path, change, sentence: str) -> None:
    path = bad_index(tmp_path, change)
    with pytest.raises(BrainMVPError, match=sentence):
        Index.read(path)
    told: list[str] = []
    index = Index.read(path, on_error=told.append)
    assert len(told) == 1 and sentence in told[0]
    assert "p2" in [s.subject for s in index.sessions]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": "other"}', '{"format": "brainmvp-index", "version": 9}']
)
def test_another_file_is_no_index(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(BrainMVPError, match=r"index\.json"):
        Index.read(tmp_path / "index.json")


def test_visits_of_a_patient_are_held_out_together_and_the_choice_is_repeatable(tmp_path: Path) -> None:
    sessions = [session(f"p{n}", session=visit) for n in range(20) for visit in "ab"]
    index = hold_out(Index(tmp_path, sessions), validation=0.1, test=0.2, seed=3)
    sides = {side: {s.patient for s in index.select(side)} for side in ("train", "validation", "test")}
    assert {side: len(patients) for side, patients in sides.items()} == {
        "train": 14,
        "validation": 2,
        "test": 4,
    }
    assert set.intersection(sides["train"], sides["validation"] | sides["test"]) == set()
    assert hold_out(Index(tmp_path, sessions[::-1]), 0.1, 0.2, 3).sessions == index.sessions


def test_a_table_gives_classes_and_splits(tmp_path: Path) -> None:
    index = Index(tmp_path, [session("p1", session="a"), session("p1", session="b"), session("p2")])
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tsession\tlabel\tsplit\nsub-p1\tb\tHGG\t\np2\t\t\ttest\nsub-p9\t\tx\t\n")
    result, notes = with_table(index, table)
    assert [(s.label, s.split) for s in result.sessions] == [(None, None), ("HGG", None), (None, "test")]
    assert notes == [f"{table}: no study of subject p9."]


def test_a_table_of_a_whole_biobank_is_read_in_seconds(tmp_path: Path) -> None:
    index = Index(tmp_path, [session(f"p{n}") for n in range(0, 20_000, 5)])
    table = tmp_path / "t.csv"
    table.write_text("subject,label\n" + "".join(f"p{n},class {n}\n" for n in range(20_000)))
    began = time.process_time()
    result, notes = with_table(index, table)
    assert time.process_time() - began < 2
    assert all(s.label == f"class {s.subject[1:]}" for s in result.sessions)
    unknown = ", ".join(f"p{n}" for n in (1, 2, 3, 4, 6, 7, 8, 9, 11, 12))
    assert notes == [f"{table}: no study of subject {unknown} and 15990 more."]


def test_of_several_rows_for_a_visit_its_own_counts_and_two_alike_are_refused(tmp_path: Path) -> None:
    index = Index(tmp_path, [session("p1", session="2020"), session("p1", session="2022")])
    table = tmp_path / "t.csv"
    table.write_text("subject,session,label\np1,2022,MCI\np1,,CN\n")
    assert [s.label for s in with_table(index, table)[0].sessions] == ["CN", "MCI"]
    table.write_text("subject,visit,label\np1,2020,CN\np1,2022,MCI\n")
    with pytest.raises(
        BrainMVPError, match=r"gives .*/p1/2020 the labels 'CN' and 'MCI'; give each visit one row"
    ):
        with_table(index, table)


def test_a_table_that_splits_one_visit_settles_its_patient(tmp_path: Path) -> None:
    sessions = [session(f"p{n}", session=visit) for n in range(8) for visit in "ab"]
    table = tmp_path / "t.csv"
    table.write_text("subject,session,split\n" + "".join(f"p{n},b,train\n" for n in range(6)) + "p6,b,test\n")
    index = hold_out(with_table(Index(tmp_path, sessions), table)[0], 0.5, 0.5, 0)
    sides = {
        s.patient.split("/")[1]: {o.split for o in index.sessions if o.patient == s.patient}
        for s in index.sessions
    }
    assert sides == {f"p{n}": {"train"} for n in range(6)} | {"p6": {"test"}, "p7": {"train"}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,label\np1,x\n", "needs a column 'subject'"),
        ("subject,age\np1,3\n", "neither a column"),
        ("subject,split\np1,training\n", "'training' is no split"),
        ("subject,session,split\np1,a,test\np1,b,train\n", "keep a patient on one side"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    index = Index(tmp_path, [session("p1", session="a"), session("p1", session="b")])
    with pytest.raises(BrainMVPError, match=sentence):
        with_table(index, tmp_path / "t.csv")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainMVPError, match="holds no image"):
        index_folder(tmp_path)
