"""How lesions and healthy tissue look, against what patients' scans show."""

from dataclasses import replace

import pytest
import torch

from brainmvp.phantom import acquisition, make_phantom
from brainmvp.phantom.acquisition import Slices
from brainmvp.phantom.anatomy import CSF, GREY, WHITE, load_anatomies
from brainmvp.phantom.contrast import Protocol, random_tissue_levels, signal
from brainmvp.phantom.draw import Draw
from brainmvp.phantom.generator import _look, _prominence
from brainmvp.phantom.grid import BrainGrid
from brainmvp.phantom.layers import Layer
from brainmvp.phantom.materials import enhancing_tumour, healthy, microcystic_tumour, oedema, solid_tumour
from brainmvp.phantom.regions import brighter
from brainmvp.phantom.stroke import grow
from brainmvp.phantom.tumour import TumourPlan
from brainmvp.phantom.tumour import grow as grow_tumour
from brainmvp.sequences import Sequence

GRID = BrainGrid(4.0)
HERE = torch.stack(torch.broadcast_tensors(*GRID.axes()))
NONE = torch.zeros(())


@pytest.fixture(scope="module")
def coarse():
    return load_anatomies(8.0)


def head() -> torch.Tensor:
    """Return the tissue of a brain of white matter under 8 mm of cortex."""
    x, y, z = HERE
    away = ((x / 68) ** 2 + (y / 84) ** 2 + (z / 68) ** 2).sqrt()
    tissue = torch.zeros(3, *GRID.shape)
    tissue[WHITE], tissue[GREY] = (away < 0.88).float(), ((away >= 0.88) & (away < 1)).float()
    return tissue


def ratios(make, sequence: Sequence) -> torch.Tensor:
    """Return how bright a material is against cortex in 60 patients at 1.5 to 3 T."""
    found = []
    for seed in range(60):
        draw = Draw(seed)
        field = draw.uniform(0, 1)
        grey, _, _ = healthy(draw, field)
        protocol = Protocol.drawn(sequence, draw)
        found.append(signal(make(draw).at_field(field), protocol) / signal(grey, protocol))
    return torch.tensor(found)


def test_oedema_is_no_brighter_than_cortex_in_t1_and_bright_in_flair():
    assert 0.85 < ratios(oedema, Sequence.T1).median() < 1.03
    flair = ratios(oedema, Sequence.FLAIR)
    assert 1.25 < flair.median() < 1.65 and flair.quantile(0.95) < 1.9


def test_tumours_are_about_as_bright_as_oedema_in_flair():
    flair = ratios(oedema, Sequence.FLAIR).median()
    assert 0.8 * flair < ratios(enhancing_tumour, Sequence.FLAIR).median() < flair
    assert 0.9 * flair < ratios(solid_tumour, Sequence.FLAIR).median() < 1.15 * flair


def test_a_microcystic_tumour_is_bright_in_t2_and_not_in_flair():
    assert ratios(microcystic_tumour, Sequence.T2).median() > 1.8
    assert ratios(microcystic_tumour, Sequence.FLAIR).median() < 1.0


def test_some_oedema_fades_beyond_its_outline():
    plan = TumourPlan("solid", (((30.0, 0.0, 20.0), 14.0),))
    beyond = []
    for seed in range(12):
        layers, labels = grow_tumour(Draw(seed), GRID, head(), HERE, plan)
        faint = (layers[0].mask > 0.1) & (labels == 0)
        beyond.append(float(faint.sum() / (labels > 0).sum()))
    assert min(beyond) < 0.25 and max(beyond) > 0.4


def test_t1_is_mostly_scanned_alike_before_and_after_the_agent():
    alike = 0
    for seed in range(40):
        before = _look(Draw(seed), Sequence.T1, None, pair=True)
        after = _look(Draw(seed), Sequence.T1CE, None, pair=True)
        alone = _look(Draw(seed), Sequence.T1CE, None, pair=False)
        assert replace(after.protocol, sequence=Sequence.T1) == before.protocol
        assert after.gamma == before.gamma and after.protocol.sequence is Sequence.T1CE
        alike += alone.gamma == before.gamma
    assert alike == 0


def test_a_ring_may_be_a_part_of_a_core_that_does_not_enhance():
    plan = TumourPlan("ring", (((30.0, 0.0, 20.0), 20.0),))
    shares = []
    for seed in range(24):
        _, labels = grow_tumour(Draw(seed), GRID, head(), HERE, plan)
        shares.append(float((labels == 3).sum() / (labels == 1).sum().clamp_min(1)))
    assert min(shares) < 0.15 and max(shares) > 0.5


def test_a_small_metastasis_may_have_wide_oedema():
    volumes = []
    for seed in range(24):
        plan = TumourPlan("solid", (((30.0, 0.0, 30.0), 6.0),), apart=True)
        _, labels = grow_tumour(Draw(seed), GRID, head(), HERE, plan)
        volumes.append(float((labels == 2).sum() / (labels == 3).sum().clamp_min(1)))
    assert max(volumes) > 20


def test_childrens_tumours_grow_where_the_anatomy_has_come_to_lie():
    found = 0
    for seed in range(200):
        plan = TumourPlan.drawn(
            Draw(seed), [(0.0, 0.0, 0.0)] * 6, 0.5, lambda point: (point[0] + 500, *point[1:])
        )
        centre = plan.foci[0][0]
        assert centre[0] > 450
        found += centre[1:] != (0.0, 0.0)
    assert found > 5


def test_thick_slices_keep_flat_images_flat_and_spread_edges():
    grid = BrainGrid(2.0)
    matrix = acquisition._slices_matrix(grid.shape[2], 2.5, 1.2)
    assert torch.allclose(matrix.sum(1), torch.ones(len(matrix)), atol=1e-5)
    edge = matrix @ (torch.arange(len(matrix)) >= 40).float()
    between = (edge > 0.02) & (edge < 0.98)
    assert 2 <= int(between.sum()) <= 5 and between[36:46].sum() == between.sum()


def test_most_images_of_a_study_with_thick_slices_have_them_and_its_diffusion_together():
    studies = [Slices.drawn(Draw(seed), 1.0) for seed in range(100)]
    assert 30 < sum(study is not None for study in studies) < 60
    thick = next(study for study in studies if study)
    shares = {s: sum(thick.has(s, Draw(seed)) for seed in range(100)) for s in (Sequence.FLAIR, Sequence.T1)}
    assert shares[Sequence.FLAIR] > 70 and shares[Sequence.T1] < 50


def test_dwi_and_adc_are_scanned_in_one(coarse):
    covers = []
    for seed in range(60):
        phantom = make_phantom(
            seed,
            "stroke",
            spacing=8.0,
            anatomies=coarse,
            sequences=(Sequence.DWI, Sequence.ADC),
            difficulty=1.0,
        )
        scanned = [(image > 0).flatten(0, 1).any(0) for image in phantom.images.values()]
        assert torch.equal(*scanned)
        covers.append(int(scanned[0].sum()))
    assert min(covers) < max(covers) - 2  # some of them not as a whole


def test_a_lesion_is_as_prominent_in_images_of_one_kind():
    factors = [_prominence(Draw(seed), Layer(NONE, None)) for seed in range(60)]
    assert all(
        of[Sequence.T1] == of[Sequence.T1CE] and of[Sequence.DWI] == of[Sequence.ADC] for of in factors
    )
    assert min(of[Sequence.DWI] for of in factors) > 0.3  # never faint
    assert min(of[Sequence.FLAIR] for of in factors) < 0.6


def test_adc_maps_have_units(coarse):
    for seed in range(6):
        phantom = make_phantom(
            seed, "stroke", spacing=8.0, anatomies=coarse, disease="healthy", sequences=(Sequence.ADC,)
        )
        adc = phantom.images[Sequence.ADC]
        usual = float(adc[adc > 0].median())
        assert 0.6 < (usual / 1000 if usual > 10 else usual) < 1.3


def test_cortex_is_brighter_than_white_matter_and_csf_not_much_brighter_in_pd():
    for seed in range(20):
        levels = random_tissue_levels(Sequence.PD, Draw(seed))
        assert levels[GREY] > levels[WHITE] and levels[CSF] < 1.15 * levels[GREY]


def test_healthy_cortex_of_the_insula_is_bright_in_some():
    tissue = head()
    tissue[GREY] = 1.0
    shares = torch.stack([brighter(Draw(seed), GRID, tissue, tuple) for seed in range(12)])
    at, elsewhere = (29, 28, 19), (25, 6, 30)
    assert shares.abs().amax() < 0.9
    means = shares.mean(0)
    assert means[at] > means[elsewhere] + 0.04


@pytest.mark.parametrize("seed", range(6))
def test_a_large_stroke_reaches_the_surface_and_not_the_other_side(seed):
    tissue = head()
    grey, _, _ = healthy(Draw(0), 0.5)
    centre = (40.0, 10.0, 20.0)
    layers, labels, _ = grow(Draw(seed), GRID, tissue, HERE, grey, 0.5, large=True, swollen=centre)
    infarct = labels > 0
    assert infarct.sum() > 20
    assert not (infarct & (HERE[0] < -1)).any()
    assert (infarct & (tissue[GREY] > 0)).any()
    assert max(layer.least_dwi for layer in layers) > 1.2
