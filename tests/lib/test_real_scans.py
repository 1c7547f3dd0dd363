"""Real scans, where they lie beside the checkout: every way through ends on the scan's own grid."""

import nibabel as nib
import numpy as np
import pytest

from brainmvp.modelstore import ModelStore
from brainmvp.prepare import prepare
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.study import Study, find_studies
from brainmvp.tasks import get_task
from brainmvp.volume import read_volume


def test_every_real_study_is_recognised(shared):
    studies = {study.id: study for study in find_studies(shared / "data")}
    assert len(studies) >= 7
    assert list(studies["sub-strokecase0009"].images) == [Sequence.FLAIR, Sequence.DWI, Sequence.ADC]
    assert all(s.label for name, s in studies.items() if name != "TCGA-FG-6692")


@pytest.mark.parametrize(
    "case", ["tumour/Brats18_2013_2_1", "tumour/BraTS-GLI-00000-000", "stroke/sub-strokecase0009"]
)
def test_the_segmentation_has_the_scans_affine(shared, case, tmp_path, tiny_models):
    study = Study.from_folder(shared / "data" / case)
    result = Segmenter.load(case.split("/")[0], device="cpu", store=ModelStore(tiny_models)).segment(study)
    source = nib.load(study.images[result.reference])
    written = nib.load(result.save(tmp_path / "label.nii.gz"))
    assert written.shape == source.shape and np.array_equal(written.affine, source.affine)


def test_flair_on_its_own_grid_lands_on_the_diffusion_grid(shared):
    study = Study.from_folder(shared / "data" / "stroke" / "sub-strokecase0009")
    prepared = prepare(study, (Sequence.DWI, Sequence.ADC, Sequence.FLAIR), Sequence.DWI, 2.0)
    flair = prepared.images[2].numpy()
    both = prepared.brain & (flair != 0)
    assert both.sum() > 0.9 * prepared.brain.sum()
    ventricles = (prepared.images[1].numpy() > 2.5) & both
    assert flair[ventricles].mean() < 0.6 * flair[both].mean()  # CSF is dark on FLAIR where ADC says it is


@pytest.mark.parametrize("case", ["Brats18_2013_2_1", "BraTS-GLI-00000-000"])
def test_both_conventions_of_real_labels_are_read(shared, case):
    study = Study.from_folder(shared / "data" / "tumour" / case)
    labels = get_task("tumour").read_labels(read_volume(study.label).data)
    assert np.unique(labels).tolist() == [0, 1, 2, 3]
