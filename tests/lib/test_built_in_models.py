"""The models that the package brings find what they are there to find."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from brainmvp.demo import PATIENTS
from brainmvp.dice import dice
from brainmvp.modelstore import ModelStore
from brainmvp.phantom.write import make_study
from brainmvp.segment import Segmenter
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import read_volume


@pytest.mark.parametrize("patient", PATIENTS, ids=lambda patient: patient.task)
def test_the_built_in_model_finds_every_region_of_the_demos_patient(patient, tmp_path):
    task = get_task(patient.task)
    folder = make_study(
        tmp_path / patient.id, patient.seed, task.name, sequences=patient.sequences, disease=task.name, spacing=2.0
    )  # fmt: skip
    study = Study.from_folder(folder)
    result = Segmenter.load(task.name, device="cpu", store=ModelStore(tmp_path / "home")).segment(study)
    truth = task.read_labels(read_volume(study.label).data)
    assert result.left_out == {} and result.labels.data.shape == truth.shape
    for region in task.regions:
        found = dice(np.isin(result.labels.data, region.labels), np.isin(truth, region.labels))
        assert found > 0.5, region.name


@pytest.mark.parametrize(("name", "most"), [("tumour", "T1CE"), ("stroke", "ADC")])
def test_the_card_warns_of_every_result_without_the_sequence_that_matters_most(name, most, tmp_path):
    card, task = ModelStore(tmp_path).resolve(name).card, get_task(name)
    sets = [set(s) for n in range(1, 5) for s in itertools.combinations(task.sequences, n)]
    without = [used for used in sets if task.accepts(used) and Sequence(most) not in used]
    assert all(card.weakness(used) for used in without)
    assert card.weakness(task.sequences) is None
    assert sum(map(bool, map(card.weakness, sets))) == len(card.weak_with)


@pytest.mark.parametrize(
    "case", ["tumour/Brats18_2013_2_1", "tumour/BraTS-GLI-00000-000", "stroke/sub-strokecase0009"]
)
def test_the_card_tells_what_the_model_reaches_on_a_real_scan_and_on_its_grid(shared, case, tmp_path):
    task = get_task(case.split("/")[0])
    study = Study.from_folder(shared / "data" / case)
    segmenter = Segmenter.load(task.name, device="cpu", store=ModelStore(tmp_path))
    result = segmenter.segment(study)
    source = nib.load(study.images[result.reference])
    written = nib.load(result.save(tmp_path / "label.nii.gz"))
    assert written.shape == source.shape and np.array_equal(written.affine, source.affine)
    truth = task.read_labels(read_volume(study.label).data)
    real = segmenter.card.metrics["real development scans, none trained on"]["by study"][study.id]
    told = next(iter(real.values()))["dice"]
    assert set(told) == {region.name for region in task.regions}
    for region in task.regions:
        found = dice(np.isin(result.labels.data, region.labels), np.isin(truth, region.labels))
        assert found == pytest.approx(told[region.name], abs=0.01), region.name
