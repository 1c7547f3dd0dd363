"""Real scans, where they lie beside the checkout, are recognised and come together."""

from brainmvp.prepare import prepare
from brainmvp.sequences import Sequence
from brainmvp.study import Study, find_studies


def test_every_real_study_is_recognised(shared):
    studies = {study.id: study for study in find_studies(shared / "data")}
    assert len(studies) >= 7
    assert list(studies["sub-strokecase0009"].images) == [Sequence.FLAIR, Sequence.DWI, Sequence.ADC]
    assert all(s.label for name, s in studies.items() if name != "TCGA-FG-6692")


def test_flair_on_its_own_grid_lands_on_the_diffusion_grid(shared):
    study = Study.from_folder(shared / "data" / "stroke" / "sub-strokecase0009")
    prepared = prepare(study, (Sequence.DWI, Sequence.ADC, Sequence.FLAIR), Sequence.DWI, 2.0)
    flair = prepared.images[2].numpy()
    both = prepared.brain & (flair != 0)
    assert both.sum() > 0.9 * prepared.brain.sum()
    ventricles = (prepared.images[1].numpy() > 2.5) & both
    assert flair[ventricles].mean() < 0.6 * flair[both].mean()  # CSF is dark on FLAIR where ADC says it is
