"""A phantom is a patient: the same for the same seed, with every sequence, and with labels that are exact."""

import itertools

import numpy as np
import pytest
import torch

from brainmvp.errors import BrainMVPError
from brainmvp.intensity import normalise
from brainmvp.phantom import make_phantom
from brainmvp.phantom import stroke as lesions
from brainmvp.phantom.anatomy import GREY, WHITE, load_anatomies
from brainmvp.phantom.deform import Warp
from brainmvp.phantom.distortion import Distortion
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.grid import BrainGrid
from brainmvp.phantom.materials import healthy
from brainmvp.phantom.write import write_study
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume


@pytest.fixture(scope="module")
def atlas():
    return load_anatomies(2.0)


@pytest.fixture(scope="module")
def tumour(atlas):
    return make_phantom(3, "tumour", difficulty=0.0, anatomies=atlas, disease="tumour")


@pytest.fixture(scope="module")
def stroke(atlas):
    return make_phantom(
        4, "stroke", difficulty=0.0, anatomies=atlas, disease="stroke", sequences=(Sequence.DWI, Sequence.ADC)
    )


def test_tissue_fractions_of_the_atlas_sum_to_one_in_the_brain(atlas):
    total = atlas[0].tissue.sum(0)
    inside = total > 0.5
    assert total[inside].max() <= 1.001
    assert total[inside].median() == pytest.approx(1.0, abs=1e-3)
    millilitres = atlas[0].tissue.flatten(1).sum(1) * 0.008
    assert 600 < millilitres[GREY] < 1200
    assert 400 < millilitres[WHITE] < 900


def test_equal_seeds_give_equal_phantoms_and_other_seeds_other_ones(tumour, atlas):
    again = make_phantom(3, "tumour", difficulty=0.0, anatomies=atlas, disease="tumour")
    other = make_phantom(5, "tumour", difficulty=0.0, anatomies=atlas, disease="tumour")
    assert torch.equal(again.labels, tumour.labels)
    assert all(torch.equal(again.images[sequence], image) for sequence, image in tumour.images.items())
    assert not torch.equal(other.labels, tumour.labels)


def test_a_sequence_looks_the_same_whichever_others_are_asked_for():
    coarse = load_anatomies(8.0)
    usual = (Sequence.T1CE, Sequence.FLAIR)

    def make(seed, sequences):
        return make_phantom(seed, "tumour", spacing=8.0, anatomies=coarse, sequences=sequences)

    # One phantom in ten has an odd sequence, drawn among those that are asked for.
    same = [
        torch.equal(
            make(seed, (Sequence.FLAIR,)).images[Sequence.FLAIR], make(seed, usual).images[Sequence.FLAIR]
        )
        for seed in range(20)
    ]
    assert sum(same) > 14


def test_brains_lie_within_the_grid(atlas):
    for seed in range(12):
        brain = make_phantom(
            seed, "tumour", anatomies=atlas, disease="healthy", sequences=(Sequence.T1,)
        ).brain
        for axis in range(3):
            faces = brain.movedim(axis, 0)[[0, -1]]
            assert not faces.any()


def test_a_phantom_has_every_sequence_and_shows_the_brain_only(tumour):
    assert set(tumour.images) == set(Sequence)
    for image in tumour.images.values():
        assert image.shape == tumour.labels.shape == (80, 96, 80)
        assert torch.isfinite(image).all() and image.min() >= 0
        assert (image[~tumour.brain] == 0).all()
        assert (image[tumour.brain] > 0).float().mean() > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_those_of_the_task_and_lie_in_the_brain(seed, atlas):
    phantom = make_phantom(seed, "tumour", anatomies=atlas, disease="tumour", sequences=(Sequence.T1CE,))
    known = {0, *(label.value for label in get_task("tumour").labels)}
    assert set(torch.unique(phantom.labels).tolist()) <= known
    assert (phantom.labels > 0).any()
    assert (phantom.labels[~phantom.brain] == 0).all()


def test_a_third_of_lacunes_lie_in_the_brainstem(atlas, monkeypatch):
    monkeypatch.setattr("brainmvp.phantom.stroke._KIND_WEIGHTS", (0.0, 0.0, 0.0, 0.0, 1.0))
    draw, grid = Draw(1), BrainGrid(2.0)
    warp = Warp(draw, grid, atlas[0], atrophy=0.5)
    anatomical = warp.source()
    tissue = warp.apply(atlas[0].tissue, anatomical)
    grey, _, _ = healthy(draw, 0.5)
    low = 0
    for _ in range(40):
        _, labels, _ = lesions.grow(draw, grid, tissue, anatomical, grey, 0.5)
        where = anatomical[:, labels > 0]
        low += bool(where.numel()) and float(where[2].mean()) < -27 and float(where[0].abs().mean()) < 14
    assert 6 <= low <= 22


def test_a_stroke_tells_its_kind_adc_and_atrophy_whatever_the_grid_and_sequences():
    kinds = set()
    for seed in range(8):
        first, again = (
            make_phantom(seed, "stroke", spacing=spacing, disease="stroke", sequences=sequences).facts
            for spacing, sequences in ((8.0, (Sequence.DWI,)), (12.0, (Sequence.DWI, Sequence.ADC)))
        )
        assert first == again
        assert 0.4 <= first["adc_ratio"] <= 1.12
        assert 0 <= first["atrophy"] <= 1
        kinds.add(first["kind"])
    assert len(kinds) > 2


def test_an_infarct_is_labelled_only_where_it_was_scanned(atlas, monkeypatch):
    def upper_half(draw, grid, image, brain, difficulty, **how):
        covered = brain & (grid.axes()[2] > 0)
        return image * covered, covered

    monkeypatch.setattr("brainmvp.phantom.generator.acquire", upper_half)
    marked = 0
    for seed in range(4):
        phantom = make_phantom(seed, "stroke", anatomies=atlas, disease="stroke", sequences=(Sequence.DWI,))
        assert (phantom.images[Sequence.DWI][phantom.labels > 0] > 0).all()
        marked += int((phantom.labels > 0).sum())
    assert marked


@pytest.mark.parametrize("seed", [0, 22, 35, 105])
def test_the_scan_that_an_infarct_is_labelled_on_has_not_moved_from_the_label(atlas, seed):
    phantom = make_phantom(
        seed, "stroke", difficulty=0.3, anatomies=atlas, sequences=(Sequence.DWI,), disease="stroke"
    )
    dwi, label = phantom.images[Sequence.DWI], phantom.labels > 0
    shifts = itertools.product((-1, 0, 1), repeat=3)
    signal = {shift: float(dwi[label.roll(shift, (0, 1, 2))].mean()) for shift in shifts}
    assert max(signal, key=signal.get) == (0, 0, 0)


def test_labels_are_bent_only_with_an_image_that_is(monkeypatch):
    coarse, bent = load_anatomies(8.0), []

    class Bend(Distortion):
        def labels(self, labels):
            bent.append(labels)
            return super().labels(labels)

    monkeypatch.setattr("brainmvp.phantom.generator.Distortion", Bend)

    def make(sequence):
        for seed in range(8):
            make_phantom(
                seed, "stroke", spacing=8.0, anatomies=coarse, disease="stroke", sequences=(sequence,)
            )

    make(Sequence.FLAIR)
    assert not bent
    make(Sequence.DWI)
    assert bent


def test_one_phantom_in_ten_has_an_odd_sequence_and_half_of_these_no_lesion(monkeypatch):
    seen = []

    def levels(sequence, draw, odd):
        seen.append(odd)
        return 0.6, 0.8, 0.3

    monkeypatch.setattr("brainmvp.phantom.look.random_tissue_levels", levels)
    coarse, odd = load_anatomies(8.0), []
    for seed in range(60):
        seen.clear()
        phantom = make_phantom(
            seed,
            "tumour",
            spacing=8.0,
            difficulty=0.0,
            anatomies=coarse,
            sequences=(Sequence.T2,),
        )
        if any(seen):
            odd.append(phantom.facts["disease"])
    assert 2 <= len(odd) <= 12
    assert "healthy" in odd


@pytest.mark.parametrize("disease", ["healthy", "stroke"])
def test_what_is_not_the_tasks_disease_is_not_labelled(disease, atlas):
    phantom = make_phantom(1, "tumour", anatomies=atlas, disease=disease, sequences=(Sequence.FLAIR,))
    assert not (phantom.labels > 0).any()


def test_enhancing_tumour_takes_up_contrast(tumour):
    before, after = (
        normalise(tumour.images[s], tumour.brain, s)[tumour.labels == 3].median()
        for s in (Sequence.T1, Sequence.T1CE)
    )
    assert (tumour.labels == 3).sum() > 20
    assert after > before + 0.15


def test_an_infarct_is_bright_in_dwi(stroke):
    dwi = normalise(stroke.images[Sequence.DWI], stroke.brain, Sequence.DWI)
    assert dwi[stroke.labels == 1].median() > dwi[stroke.brain & (stroke.labels == 0)].median() + 0.15


def test_a_patients_lesions_are_healed_in_a_second_copy(shared):
    patient, healed = load_anatomies(2.0, shared / "data" / "multiple_sclerosis")[1:3]
    lesions = patient.lesions > 0.9
    flair = Sequence.FLAIR
    assert healed.lesions is None
    white = patient.images[flair][(patient.tissue[WHITE] > 0.95) & (patient.lesions == 0)].median()
    assert healed.images[flair][lesions].median() == pytest.approx(float(white), abs=0.15)
    assert patient.images[flair][lesions].median() > white + 0.15


def test_a_patient_on_another_grid_is_refused(tmp_path):
    folder = tmp_path / "someone"
    folder.mkdir()
    for part in ("t1", "t1ce", "t2", "flair", "lesions"):
        spacing = 2.0 if part == "t2" else 1.0
        data = np.ones((12, 12, 12), np.float32)
        write_volume(Volume(data, np.diag([spacing] * 3 + [1.0])), folder / f"someone_{part}.nii.gz")
    with pytest.raises(BrainMVPError, match=r"someone_t2\.nii\.gz is not on the 1 mm grid of the others"):
        load_anatomies(2.0, tmp_path)


def test_a_written_study_is_found_again(tumour, tmp_path):
    folder = write_study(tmp_path / "someone", tumour)
    study = Study.from_folder(folder)
    assert set(study.images) == set(Sequence)
    label = read_volume(study.label)
    assert np.array_equal(label.data, tumour.labels.numpy())
    assert np.array_equal(label.affine, tumour.affine)


def test_sequences_on_their_own_grids_still_fit_the_label(stroke, tmp_path):
    study = Study.from_folder(write_study(tmp_path / "someone", stroke, own_grids=True))
    dwi, label = read_volume(study.images[Sequence.DWI]), read_volume(study.label)
    assert np.array_equal(dwi.affine, label.affine) and dwi.shape == label.shape
    assert abs(np.linalg.inv(stroke.affine[:3, :3]) @ dwi.affine[:3, :3] - np.eye(3)).max() > 0.02  # oblique
    true = int((stroke.labels > 0).sum()) * 0.008
    assert (label.data > 0).sum() * label.voxel_ml == pytest.approx(true, rel=0.15)
    outside = dwi.data[dwi.data > 0]
    assert np.median(dwi.data[label.data > 0]) > np.median(outside)
