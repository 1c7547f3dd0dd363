"""Each downstream data set is read in the layout of its own release."""

from pathlib import Path

import pytest

from brainmvp.cohort.releases import index_release
from brainmvp.cohort.scan import index_folder
from brainmvp.errors import BrainMVPError
from brainmvp.tasks import downstream_names, get_task

PED = "BraTS-PED-00002-000/BraTS-PED-00002-000"
ISLES = "sub-strokecase0009/ses-0001"
MINIATURES = {
    "brats-ped-2023": [f"{PED}-{s}.nii.gz" for s in ("t1n", "t1c", "t2w", "t2f", "seg")],
    "brats-met-2023": [
        f"{PED}-{s}.nii.gz".replace("PED", "MET") for s in ("t1n", "t1c", "t2w", "t2f", "seg")
    ],
    "isles-2022": [
        *(f"{ISLES}/dwi/sub-strokecase0009_ses-0001_{s}.nii.gz" for s in ("dwi", "adc")),
        f"{ISLES}/anat/sub-strokecase0009_ses-0001_FLAIR.nii.gz",
        f"derivatives/{ISLES}/sub-strokecase0009_ses-0001_msk.nii.gz",
    ],
    "mrbrains-13": [
        f"TrainingData/1/{name}.nii"
        for name in ("T1", "T1_1mm", "T1_IR", "T2_FLAIR", "LabelsForTesting", "LabelsForTraining")
    ],
    "upenn-gbm": [
        *(
            f"images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_{s}.nii.gz"
            for s in ("T1", "T1GD", "T2", "FLAIR")
        ),
        "automated_segm/UPENN-GBM-00001_11_automated_approx_segm.nii.gz",
        "images_segm/UPENN-GBM-00001_11_segm.nii.gz",
    ],
    "vs-seg": [f"vs_gk_7_t1/vs_gk_{s}_refT1.nii.gz" for s in ("t1", "t2", "seg")]
    + ["vs_gk_7_t2/vs_gk_t2_refT2.nii.gz"],
    "brats-2018-grade": [
        f"MICCAI_BraTS_2018_Data_Training/HGG/Brats18_2013_2_1/Brats18_2013_2_1_{s}.nii.gz"
        for s in ("t1", "t1ce", "t2", "flair", "seg")
    ],
    "adni": [
        "ADNI/002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/I13722/ADNI_002_S_0295_MR_MP-RAGE_br_raw_I13722.nii"
    ],
    "adhd-200": ["KKI/1018959/session_1/anat_1/mprage.nii.gz", "KKI/1018959/session_1/rest_1/rest.nii.gz"],
    "abide-1": ["Caltech/0051456/session_1/anat_1/mprage.nii.gz"],
}
TABLES = {
    "adni": "Image Data ID,Subject,Group\nI13722,002_S_0295,LMCI\nI9,003_S_0001,CN\n",
    "adhd-200": "ScanDir ID,Site,DX\n1018959,3,2\n1018960,3,pending\n",
    "abide-1": "SITE_ID,SUB_ID,FILE_ID,DX_GROUP\nCALTECH,51456,no_filename,1\n",
}
EXPECTED = {
    "brats-ped-2023": ("BraTS-PED-00002", "000", None),
    "brats-met-2023": ("BraTS-MET-00002", "000", None),
    "isles-2022": ("strokecase0009", "0001", None),
    "mrbrains-13": ("1", "1", None),
    "upenn-gbm": ("UPENN-GBM-00001", "11", None),
    "vs-seg": ("7", "1", None),
    "brats-2018-grade": ("Brats18_2013_2_1", "1", "HGG"),
    "adni": ("002_S_0295", "I13722", "MCI"),
    "adhd-200": ("1018959", "1", "ADHD"),
    "abide-1": ("0051456", "1", "ASD"),
}


def write_miniature(name: str, root: Path) -> None:
    for file in MINIATURES[name]:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    if name in TABLES:
        (root / "phenotypes.csv").write_text(TABLES[name])


@pytest.mark.parametrize("name", downstream_names())
def test_every_data_set_is_read_in_its_own_layout(name, tmp_path):
    task = get_task(name)
    write_miniature(name, tmp_path)
    index, _ = index_release(tmp_path, task.data.layout)
    assert len(index.sessions) == 1
    session = index.sessions[0]
    assert (session.subject, session.session, session.label) == EXPECTED[name]
    assert set(task.sequences) == set(session.sequences)
    assert len(session.images) == len(task.sequences)
    if task.kind == "segmentation":
        assert (tmp_path / session.segmentation).is_file() and "automated" not in session.segmentation
    else:
        assert session.label in {c.key for c in task.classes}


@pytest.mark.parametrize("name", ["brats-2018-grade", "brats-ped-2023", "upenn-gbm"])
def test_a_patient_has_one_name_in_every_index(name, tmp_path):
    write_miniature(name, tmp_path)
    as_released, _ = index_release(tmp_path, get_task(name).data.layout)
    for root in (tmp_path, tmp_path / Path(MINIATURES[name][0]).parts[0]):
        found, _ = index_folder(root)
        assert {s.id for s in found.sessions} == {s.id for s in as_released.sessions}


def test_a_patient_without_class_is_told_and_a_wrong_folder_refused(tmp_path):
    write_miniature("abide-1", tmp_path)
    (tmp_path / "phenotypes.csv").unlink()
    index, notes = index_release(tmp_path, "abide")
    assert index.sessions[0].label is None
    columns = "CSV with the columns 'SUB_ID' and 'DX_GROUP'"
    assert notes == [
        f"No class for 0051456: there is no {columns} below {tmp_path}; put the data set's there."
    ]
    with pytest.raises(BrainMVPError, match=r"has no file of MRBrainS13, such as TrainingData/1/T1\.nii"):
        index_release(tmp_path, "mrbrains")
    with pytest.raises(
        BrainMVPError, match="no layout 'dicom'; the layouts are bids, brats, isles, brats-2018"
    ):
        index_release(tmp_path, "dicom")


def test_what_a_data_set_holds_besides_is_told(tmp_path):
    write_miniature("mrbrains-13", tmp_path)
    _, notes = index_release(tmp_path, "mrbrains")
    left_out = "Left out TrainingData/1/LabelsForTraining.nii and 2 more"
    assert notes == [f"{left_out}: of MRBrainS13, files such as TrainingData/1/T1.nii are read."]
    write_miniature("adhd-200", tmp_path / "adhd")
    again = tmp_path / "adhd" / "KKI" / "1018959" / "session_1" / "anat_2" / "mprage.nii.gz"
    again.parent.mkdir()
    again.touch()
    index, notes = index_release(tmp_path / "adhd", "adhd-200")
    assert index.sessions[0].images[0].file.endswith("anat_1/mprage.nii.gz")
    assert any("anat_2/mprage.nii.gz: of a visit, the first image" in note for note in notes)


def test_patients_of_training_and_test_that_have_one_number_are_two(tmp_path):
    write_miniature("mrbrains-13", tmp_path)
    for name in ("T1", "T2_FLAIR"):
        (tmp_path / f"TestData/1/{name}.nii").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"TestData/1/{name}.nii").touch()
    index, _ = index_release(tmp_path, "mrbrains")
    assert [session.subject for session in index.sessions] == ["1", "TestData-1"]
    for session, folder in zip(index.sessions, ("TrainingData/1/", "TestData/1/"), strict=True):
        files = [image.file for image in session.images] + [session.segmentation or folder]
        assert all(file.startswith(folder) for file in files)
    assert index.sessions[0].segmentation and not index.sessions[1].segmentation


def test_hidden_files_are_no_images_and_linked_folders_are_entered(tmp_path):
    write_miniature("upenn-gbm", tmp_path / "disk")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "disk", target_is_directory=True)
    visit = "UPENN-GBM-00001_11/UPENN-GBM-00001_11_FLAIR.nii.gz"
    for hidden in (visit.replace("/", "/._"), f".snapshot/{visit}"):
        (root / "0" / hidden).parent.mkdir(parents=True, exist_ok=True)
        (root / "0" / hidden).touch()
    index, notes = index_release(root, "upenn-gbm")
    assert len(index.sessions[0].images) == 4 and not any("second" in note for note in notes)
    assert all(image.file.startswith("linked/images_structural/") for image in index.sessions[0].images)
