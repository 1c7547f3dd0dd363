"""A folder of DICOM series becomes a study: one series per sequence by the stated rule, the others listed."""

import json
import shutil

import dicom_files as habit
import numpy as np
import pytest
from dicom_files import scan, write_series
from pydicom.uid import generate_uid

from brainmvp.cli.study import describe
from brainmvp.dicom import find
from brainmvp.dicom.series import images_of
from brainmvp.errors import BrainMVPError
from brainmvp.given_ids import GivenIds
from brainmvp.modelstore import ModelStore
from brainmvp.onepage.content import content_of
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.study import NoSequenceError, Study, find_studies
from brainmvp.tasks import get_task
from brainmvp.volume import read_volume


def without(facts, *keywords):
    return {keyword: value for keyword, value in facts.items() if keyword not in keywords}


def uses(study):
    return {entry.image.number: (entry.verdict.what, entry.use, entry.reason) for entry in study.series}


def test_a_hospitals_folder_becomes_a_study_on_native_grids(tmp_path):
    uid, folder = generate_uid(), tmp_path / "visit"
    flair, t1 = scan(), scan((44, 48, 42), (1, 1, 1))
    write_series(folder / "S1", scan((20, 20, 3)), uid, 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(folder / "S2", flair, uid, 2, **habit.FLAIR)
    write_series(folder / "S3", t1, uid, 3, **habit.T1)
    study = Study.from_folder(folder)
    assert (study.id, list(study.images)) == ("visit", [Sequence.FLAIR, Sequence.T1])
    for sequence, expected in ((Sequence.FLAIR, flair), (Sequence.T1, t1)):
        found = read_volume(study.images[sequence])
        assert np.array_equal(found.data, expected.data)
        assert np.allclose(found.affine, expected.affine, atol=1e-6)
    assert uses(study)[1] == ("localiser", "left out", "localiser")


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        ({}, {"SeriesDescription": "T1"}, "a header without contradictions"),
        ({}, {"ImageType": ["DERIVED", "PRIMARY"]}, "the original acquisition"),
        ({"grid": (40, 44, 18)}, {"grid": (40, 44, 12)}, "more of the head"),
        ({"mm": (1.2, 1.2, 3), "grid": (40, 44, 14)}, {}, "thinner slices"),
        ({"mm": (0.9, 0.9, 3.6), "grid": (54, 58, 12)}, {}, "smaller voxels"),
    ],
)
def test_the_rule_chooses_among_several(tmp_path, better, worse, reason):
    uid = generate_uid()
    for number, facts in ((1, dict(better)), (2, dict(worse))):
        volume = scan(facts.pop("grid", (40, 44, 12)), facts.pop("mm", (1.2, 1.2, 3.6)))
        write_series(tmp_path / str(number), volume, uid, number, **habit.T2 | facts)
    study = Study.from_folder(tmp_path)
    assert study.images[Sequence.T2].number == 1
    assert uses(study) == {
        1: ("T2", "used", ""),
        2: ("T2", "alternative", f"series 1 has {reason}"),
    }


def test_of_equals_the_repeat_is_taken(tmp_path):
    uid = generate_uid()
    for number in (4, 5):
        write_series(tmp_path / str(number), scan(), uid, number, **habit.T2)
    study = Study.from_folder(tmp_path)
    assert uses(study)[4] == ("T2", "alternative", "series 5 has a later series number")


def test_the_trace_near_1000_is_taken_for_dwi(tmp_path):
    uid = generate_uid()
    for number, b_value in ((1, 500.0), (2, 1000.0), (3, 2000.0)):
        write_series(tmp_path / str(number), scan(), uid, number, **habit.DWI | {"DiffusionBValue": b_value})
    direction = habit.DWI | {"ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]}
    write_series(tmp_path / "4", scan(), uid, 4, **direction)
    study = Study.from_folder(tmp_path)
    assert study.images[Sequence.DWI].number == 2
    assert uses(study)[3][2] == "series 2 has a b-value nearer to 1000"
    assert uses(study)[4][2] == "series 2 has the trace of all directions"


@pytest.mark.parametrize("names", [("*ep_b0", "*ep_b1000t"), ("*re_b0", "*re_b1000#1")])
def test_a_siemens_sequence_name_stands_for_a_b_value_that_was_taken_away(tmp_path, names):
    uid, series, low, high = generate_uid(), generate_uid(), scan(), scan()
    high.data[...] //= 2
    for volume, name in zip((low, high), names, strict=True):
        facts = without(habit.DWI, "DiffusionBValue") | {"SequenceName": name}
        write_series(tmp_path, volume, uid, name=f"{name[4:6]}{{}}", series_uid=series, **facts)
    study = Study.from_folder(tmp_path)
    assert np.array_equal(read_volume(study.images[Sequence.DWI]).data, high.data)
    assert study.images[Sequence.DWI].facts["DiffusionBValue"] == 1000


def test_of_diffusion_volumes_without_b_values_none_is_taken(tmp_path):
    uid, series = generate_uid(), generate_uid()
    for part in (1, 2):
        facts = without(habit.DWI, "DiffusionBValue") | {"AcquisitionNumber": part}
        write_series(tmp_path / "dwi", scan(), uid, 7, name=f"{part}-{{}}", series_uid=series, **facts)
    write_series(tmp_path / "t2", scan(), uid, 8, **habit.T2)
    study = Study.from_folder(tmp_path)
    assert list(study.images) == [Sequence.T2]
    assert uses(study)[7] == ("DWI or b = 0 image", "left out", "DWI or b = 0 image")
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"DWI": 7}}))
    with pytest.raises(BrainMVPError, match="series 7, 2 volumes without a b-value"):
        Study.from_folder(tmp_path)


def test_a_map_that_kept_its_b_value_is_not_taken_for_dwi(tmp_path):
    uid, name = generate_uid(), "Apparent Diffusion Coefficient (mm2/s)"
    write_series(tmp_path / "1", scan(), uid, 1, **habit.DWI)
    ge_map = habit.DWI | {"ImageType": ["DERIVED", "SECONDARY", "COMBINED"], "SeriesDescription": name}
    write_series(tmp_path / "2", scan((44, 48, 42), (1, 1, 1)), uid, 2, **ge_map)
    images = Study.from_folder(tmp_path).images
    assert {sequence: image.number for sequence, image in images.items()} == {
        Sequence.DWI: 1,
        Sequence.ADC: 2,
    }


def test_of_the_phases_of_a_dynamic_series_the_last_whole_one_is_taken(tmp_path):
    uid, series = generate_uid(), generate_uid()
    facts = without(habit.T1CE, "InversionTime") | {"SeriesDescription": "t1_vibe_tra_dyn"}
    for phase, slices in ((1, None), (2, None), (3, None), (4, [0, 1, 5, 6, 7])):
        phased = facts | {"AcquisitionNumber": phase, "AcquisitionTime": f"1015{phase:02d}"}
        write_series(tmp_path, scan(), uid, 5, name=f"{phase}-{{}}", series_uid=series, only=slices, **phased)
    study = Study.from_folder(tmp_path)
    assert study.images[Sequence.T1CE].facts["AcquisitionNumber"] == 3
    (used,) = [entry for entry in study.series if entry.use == "used"]
    assert used.image.notes == ("the last of 3 phases of a dynamic series",)
    write_series(tmp_path / "t2", scan(), uid, 6, **habit.T2 | {"SeriesDescription": "AX T1"})
    study = Study.from_folder(tmp_path)
    phases, contradiction = study.notes((Sequence.T1CE, Sequence.T2))
    assert phases == "T1CE: the last of 3 phases of a dynamic series"
    assert contradiction == "T2: its header contradicts itself, description “AX T1” says T1"
    assert study.notes((Sequence.T2,)) == [contradiction]


def test_a_calibration_scan_that_covers_more_is_not_taken_for_the_t1(tmp_path):
    uid = generate_uid()
    calibration = without(habit.T1, "InversionTime", "SequenceName") | {"SeriesDescription": "Ax"}
    write_series(tmp_path / "1", scan((16, 16, 24), (3.3, 3.3, 6)), uid, 1, **calibration)
    write_series(tmp_path / "2", scan((44, 44, 20), (1.2, 1.2, 5)), uid, 2, **calibration)
    write_series(tmp_path / "3", scan(), uid, 3, **calibration | {"SeriesDescription": "Ax T1"})
    study = Study.from_folder(tmp_path)
    assert study.images[Sequence.T1].number == 3
    assert uses(study)[1] == ("coarse image", "left out", "coarse image")
    assert uses(study)[2] == ("T1", "alternative", "series 3 has a name that says so")


def test_of_two_series_with_an_agent_the_one_that_says_contrast_is_taken(tmp_path):
    uid = generate_uid()
    before = habit.T1 | {"ContrastBolusAgent": "Gadovist"}  # entered when the patient was registered
    write_series(tmp_path / "1", scan((44, 48, 42), (1, 1, 1)), uid, 1, **before)
    after = habit.T1CE | {"SeriesDescription": "t1_se_tra_KM"}
    write_series(tmp_path / "2", scan(), uid, 2, **after)
    study = Study.from_folder(tmp_path)
    assert study.images[Sequence.T1CE].number == 2
    assert uses(study)[1] == ("T1CE", "alternative", "series 2 has a name that says so")


def test_an_incomplete_series_is_passed_over_for_a_worse_whole_one(tmp_path):
    uid = generate_uid()
    whole, fine = scan(), scan((44, 48, 42), (1, 1, 1))
    write_series(tmp_path / "1", whole, uid, 1, **habit.T2)
    write_series(tmp_path / "2", fine, uid, 2, only=[*range(20), *range(25, 42)], **habit.T2)
    study = Study.from_folder(tmp_path)
    assert study.images[Sequence.T2].number == 1
    assert uses(study)[2] == ("T2", "left out", "5 slices are missing (after slice 20)")


def test_studies_are_told_apart_wherever_their_files_lie(tmp_path):
    for name in ("CD1", "CD2"):  # a CD's folders have the same names for every patient
        write_series(tmp_path / name / "ST000000" / "SE000001", scan(), generate_uid(), **habit.T2)
    for visit in "ab":
        write_series(tmp_path / "flat", scan(), generate_uid(), name=f"{visit}{{}}", **habit.FLAIR)
    write_series(tmp_path / "plain" / "S1", scan(), uid := generate_uid(), 1, **habit.T2)
    write_series(tmp_path / "plain" / "S2", scan(), uid, 2, **habit.FLAIR)
    studies = find_studies(tmp_path)
    names = [study.id.partition("-")[0] for study in studies]
    assert names == ["SE000001", "SE000001", "flat", "flat", "plain"]
    assert len({study.id for study in studies}) == 5
    with pytest.raises(BrainMVPError, match="holds 2 DICOM studies"):
        Study.from_folder(tmp_path / "flat")


def ids_by_folder(root):
    return {study.folder.relative_to(root).as_posix(): study.id for study in find_studies(root)}


def test_the_id_that_a_study_was_given_stays_whatever_comes(tmp_path):
    def write(place, number=1, uid=None, facts=habit.T2):
        write_series(tmp_path / place, scan(), uid or generate_uid(), number, name=f"{number}-{{}}", **facts)

    write("ANNA/DICOM/S1")
    write("CARL/S2", uid=(carl := generate_uid()))
    write("EMMA")
    GivenIds(tmp_path).keep(find_studies(tmp_path))
    before = ids_by_folder(tmp_path)
    assert before == {"ANNA/DICOM/S1": "S1", "CARL/S2": "S2", "EMMA": "EMMA"}
    write("BERT/DICOM/S1")  # another patient
    write("CARL/S1", 2, carl, habit.FLAIR)  # a second series
    write("EMMA", 3)  # a follow-up in the same flat folder
    studies = find_studies(tmp_path)
    after = {study.id for study in studies}
    assert after > set(before.values()) and len(after) == 5
    found = ids_by_folder(tmp_path)
    assert found["ANNA/DICOM/S1"] == "S1" and found["CARL"] == "S2"
    assert found["BERT/DICOM/S1"].startswith("S1-")
    # Neither away nor by a table of its series does one take the other's.
    shutil.move(tmp_path / "ANNA", tmp_path.parent / "away")
    (tmp_path / "BERT/DICOM/S1/study.json").write_text(json.dumps({"sequences": {"T2": 1}}))
    assert ids_by_folder(tmp_path)["BERT/DICOM/S1"] == found["BERT/DICOM/S1"]
    # Exported anew, into the same folder.
    write("ANNA/DICOM/S1")
    assert ids_by_folder(tmp_path)["ANNA/DICOM/S1"] == "S1"


def test_a_study_is_put_together_again_only_when_its_own_files_change(tmp_path, monkeypatch):
    put_together = []

    def counted(slices):
        put_together.append({one.path.parent.parent.name for one in slices})
        return images_of(slices)

    monkeypatch.setattr(find, "images_of", counted)
    for patient in ("ANNA", "BERT"):
        uid = generate_uid()
        write_series(tmp_path / patient / "S1", scan(), uid, 1, **habit.T2)
        write_series(tmp_path / patient / "S2", scan(), uid, 2, **habit.FLAIR)
    before = find_studies(tmp_path)
    assert put_together == [{"ANNA"}, {"BERT"}]
    (tmp_path / "BERT/S2/broken.dcm").touch()
    after = find_studies(tmp_path)
    assert put_together == [{"ANNA"}, {"BERT"}, {"BERT"}]
    assert before[0] == after[0] and not before[1].notes([Sequence.FLAIR])
    assert "1 file beside its slices cannot be read" in after[1].notes([Sequence.FLAIR])[0]


def test_a_study_without_a_usable_series_says_what_each_one_is(tmp_path):
    write_series(tmp_path / "neck", scan(), generate_uid(), 7, **habit.T2 | {"BodyPartExamined": "NECK"})
    problems = []
    assert find_studies(tmp_path, on_error=lambda _, error: problems.append(error)) == []
    assert isinstance(problems[0], NoSequenceError)
    assert "series 7 T2W_TSE: neck, not the head" in str(problems[0])


def test_study_json_names_series_by_their_number(tmp_path):
    uid = generate_uid()
    write_series(tmp_path / "1", scan(), uid, 1, **habit.T2)
    write_series(tmp_path / "2", scan(), uid, 2, **habit.T1 | {"ImageType": ["DERIVED", "SECONDARY"]})
    write_series(tmp_path / "3", scan(), uid, 3, only=[0, 1, 5, 6, 7], **habit.T1)
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"T1": 2}}))
    study = Study.from_folder(tmp_path)
    assert list(study.images) == [Sequence.T1]
    assert uses(study)[2] == ("T1", "used", "")
    assert uses(study)[1] == ("T2", "left out", "study.json does not name it")
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"T1": 3}}))
    with pytest.raises(BrainMVPError, match=r"series 3, which cannot be used: 3 slices are missing"):
        Study.from_folder(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"T1": 9}}))
    with pytest.raises(BrainMVPError, match="series 9, which is not there"):
        Study.from_folder(tmp_path)


def test_of_a_named_diffusion_series_the_weighted_volume_is_taken(tmp_path):
    uid, series, low, high = generate_uid(), generate_uid(), scan(), scan()
    high.data[...] //= 2
    for volume, b_value in ((low, 0.0), (low, 500.0), (high, 1000.0)):
        facts = habit.DWI | {"DiffusionBValue": b_value}
        write_series(tmp_path, volume, uid, 7, name=f"{b_value}-{{}}", series_uid=series, **facts)
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"DWI": 7}}))
    study = Study.from_folder(tmp_path)
    assert np.array_equal(read_volume(study.images[Sequence.DWI]).data, high.data)
    assert [entry.image for entry in study.series if entry.use == "used"] == [study.images[Sequence.DWI]]


def test_of_a_named_series_a_whole_volume_is_taken(tmp_path):
    uid, series = generate_uid(), generate_uid()
    for echo, slices in ((1, range(0, 12, 5)), (2, None)):
        facts = habit.T2 | {"EchoNumbers": echo}
        write_series(tmp_path, scan(), uid, 4, name=f"{echo}-{{}}", series_uid=series, only=slices, **facts)
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"T2": 4}}))
    assert Study.from_folder(tmp_path).images[Sequence.T2].shape == (40, 44, 12)


def test_study_json_joins_no_two_dicom_studies(tmp_path):
    write_series(tmp_path / "old", scan(), generate_uid(), 1, **habit.FLAIR)
    write_series(tmp_path / "new", scan(), generate_uid(), 2, **habit.T2)
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"FLAIR": 1, "T2": 2}}))
    with pytest.raises(BrainMVPError, match="names series of 2 DICOM studies"):
        Study.from_folder(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({"sequences": {"T2": 2}}))
    assert list(Study.from_folder(tmp_path).images) == [Sequence.T2]


def test_a_sequence_whose_series_is_incomplete_is_not_called_absent(tmp_path, tiny_models):
    uid = generate_uid()
    write_series(tmp_path / "1", scan(), uid, 1, **habit.FLAIR)
    write_series(tmp_path / "2", scan(), uid, 2, only=[*range(6), *range(7, 12)], **habit.T1CE)
    study = Study.from_folder(tmp_path)
    why = "series 2 AX T1 BRAVO +C: 1 slice is missing (after slice 6)"
    assert study.unusable == {Sequence.T1CE: why}
    name = study.id
    assert study.lacks([Sequence.T2, Sequence.T1CE]) == (
        f"{name} has no T2; it has FLAIR. {name}: T1CE cannot be used, {why}."
    )
    with pytest.raises(BrainMVPError, match="T1CE cannot serve as the reference, series 2"):
        study.reference(get_task("tumour"), Sequence.T1CE)
    result = Segmenter.load("tumour", device="cpu", store=ModelStore(tiny_models)).segment(study)
    assert result.report()["sequences_flagged"] == {"T1CE": why}
    assert result.left_out["TC"] == "Tumour core needs T1CE, which could not be used."
    facts = dict(content_of(result).facts)
    assert facts["Missing"] == "T1, T2" and facts["Flagged, not used"] == f"T1CE: {why}"


def test_without_enough_whole_series_the_error_says_what_is_wrong_with_the_others(tmp_path):
    uid = generate_uid()
    write_series(tmp_path / "1", scan(), uid, 1, **habit.T1)
    write_series(tmp_path / "2", scan(), uid, 2, only=[*range(6), *range(7, 12)], **habit.FLAIR)
    described = describe(Study.from_folder(tmp_path))["tasks"]
    assert described["tumour"]["why_not"].endswith(
        "needs FLAIR or T1CE or T2, and of this study T1 can be used. FLAIR is not used, series 2 tra dark-fluid 5mm: "
        "1 slice is missing (after slice 6). Correct that, or add another sequence."
    )
    assert described["stroke"]["why_not"].endswith("1 slice is missing (after slice 6). Add the sequence.")
