"""A name tells its sequence, or says nothing: it is never guessed."""

import pytest

from brainmvp.sequences import Sequence, is_label, sequence_of

KNOWN = {
    "Brats18_2013_2_1_t1ce.nii.gz": "T1CE",
    "BraTS-GLI-00000-000-t2f.nii.gz": "FLAIR",
    "BraTS-GLI-00000-000-t1n.nii.gz": "T1",
    "BraTS-PED-00001-000-t1c.nii.gz": "T1CE",
    "BraTS-MEN-00004-000-t2w.nii.gz": "T2",
    "sub-strokecase0009_ses-0001_adc.nii.gz": "ADC",
    "sub-01_ses-02_ce-GADOLINIUM_T1w.nii.gz": "T1CE",
    "sub-01_acq-gd_T1w.nii.gz": "T1CE",
    "sub-01_FLAIR.nii.gz": "FLAIR",
    "IXI012-HH-1211-PD.nii.gz": "PD",
    "IXI012-HH-1211-MRA.nii.gz": "MRA",
    "UCSF-PDGM-0004_T1c_bias.nii.gz": "T1CE",
    "UCSF-PDGM-0004_ADC.nii.gz": "ADC",
    "T1Gd.nrrd": "T1CE",
    "t1 +c": "T1CE",
    "AX T1 POST GD": "T1CE",
    "3D_T1_MPRAGE_GD": "T1CE",
    "t1_mprage_sag": "T1",
    "t2_tirm_tra_dark-fluid": "FLAIR",
    "AX T2 FLAIR": "FLAIR",
    "Ax T1 FLAIR": "T1",
    "3D TOF": "MRA",
    "ep2d_diff_b1000_TRACEW": "DWI",
    "ep2d_diff_3scan_trace_ADC": "ADC",
    "case.7_dwi.mha": "DWI",
    "5_T1_TSE_TRA_CE.nii.gz": "T1CE",
    "T1_to_FLAIR.nii.gz": "T1",
    "T1WI.nii.gz": "T1",
    "T2压水.nii.gz": "FLAIR",
    "adc_b1000.nii.gz": "ADC",
    "ADC_DWI.nii.gz": "ADC",
    "ADC_trace.nii.gz": "ADC",
    "ADC_map.nii.gz": "ADC",
    "ADCmap.nii.gz": "ADC",
    "DWI_ADC_MAP": "ADC",
    "sub-01_acq-ADC_dwi.nii.gz": "ADC",
    "sub-01_acq-b1000_dwi.nii.gz": "DWI",
    "sub-b0_ses-b0_dwi.nii.gz": "DWI",
    "dwi_b0_b1000.nii.gz": "DWI",
    "dwi_b_1000.nii.gz": "DWI",
    "t1_in_phase": "T1",
    "T1_to_FLAIR_map": "T1",
}
WITH_CONTRAST = (
    "T1_mit_KM", "T1 mit Kontrast", "t1_kontrastmittel", "T1_postKM", "T1_injecté", "T1 IV+", "AX_T1_FS_+C", "T1C+",
    "T1_GdDTPA", "T1增强", "T1WI_C", "T1_Gd_post_op", "sub-01_acq-postKM_T1w",
    "AX T1 W CONTRAST", "t1-gd", "t1-gad", "T1-CE", "T1 - CE", "t1-c", "T1 con contraste", "T1 S +C",
    "T1 - contrast-enhanced", "AX_T1_W_CONTRAST", "T1_S_contrast_enhanced", "T1_S_CE",
    "T1_S_GD", "T1 S KM",
)  # fmt: skip
WITHOUT_CONTRAST = (
    "T1_ohne_KM", "T1_nativ", "T1_sans_gado", "T1_sans_injection_de_gado", "T1_pre_contrast", "T1_without_IV_contrast",
    "T1_no_Gd", "T1 C-", "T1平扫", "T1_post_op", "T1_post_RT", "sub-01_acq-noGd_T1w",
    "t1_wo_contrast", "AX T1 WO CONTRAST", "AX T1 W/WO CONTRAST", "AX T1 -C", "T1 (-C)", "T1 -contrast", "T1 - gad",
    "T1 TSE SIN CONTRASTE", "T1 sem contraste", "T1 s/ contraste", "T1 zonder contrast", "T1 uten kontrast",
    "T1 utan kontrast", "T1 bez kontrastu", "T1 tra o. KM",
    "AX_T1_W_O_CONTRAST", "AX_T1_W-O_CONTRAST", "T1_W_O_GAD", "T1_W_OUT_CONTRAST", "T1 w.o. contrast", "T1w/o_KM",
    "T1w_o_KM", "T1_o_KM", "T1_o._KM", "T1_s_contraste", "T1_prior_to_contrast", "T1_not_enhanced", "T1_GdNeg",
    "T1_Gd_neg",
)  # fmt: skip


@pytest.mark.parametrize(("name", "sequence"), KNOWN.items())
def test_names_of_data_sets_and_scanners_are_understood(name, sequence):
    assert sequence_of(name) is Sequence(sequence)


@pytest.mark.parametrize("name", WITH_CONTRAST)
def test_contrast_medium_is_understood_in_the_habits_of_hospitals(name):
    assert sequence_of(f"{name}.nii.gz") is Sequence.T1CE


@pytest.mark.parametrize("name", WITHOUT_CONTRAST)
def test_a_plain_image_is_never_taken_for_one_with_contrast(name):
    assert sequence_of(f"{name}.nii.gz") is Sequence.T1


@pytest.mark.parametrize(
    "name",
    [
        "DWI_b0.nii.gz",
        "sub-01_acq-b0_dwi.nii.gz",
        "dwi_b_0.nii.gz",
        "DWI_b=0.nii.gz",
        "dwi_b50.nii.gz",
        "T1_map.nii.gz",
        "T2_map.nii.gz",
        "t1_phase.nii.gz",
        "ADC_map_T1_map.nii.gz",
        "eADC_map",
        "t1_real.nii.gz",
        "sub-01_part-phase_T1w.nii.gz",
        "T1_INV1.nii.gz",
        "t2_stir.nii.gz",
        "t2_dir.nii.gz",
        "T2_GRE.nii.gz",
        "T1_SUB.nii.gz",
        "t2* gre",
        "t2_star",
        "sub-01_T2starw.nii.gz",
        "TOF_MIP",
        "UCSF-PDGM-0004_DTI_eddy_FA.nii.gz",
        "scan.nii.gz",
    ],
)
def test_what_is_none_of_the_eight_is_not_guessed(name):
    assert sequence_of(name) is None


@pytest.mark.parametrize("name", ["sub-01_ses-post_T1w.nii.gz", "Patient_post_op_T1.nii.gz"])
def test_a_visit_after_surgery_is_not_contrast(name):
    assert sequence_of(name) is Sequence.T1


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a_seg.nii.gz", True),
        ("sub-1_msk.nii.gz", True),
        ("T1_La\u0308sion.nii", True),
        ("a_t1.nii.gz", False),
    ],
)
def test_labels_are_told_from_images(name, label):
    assert is_label(name) is label


def test_the_order_is_that_of_the_published_templates():
    assert [s.value for s in Sequence] == ["FLAIR", "T1", "T1CE", "T2", "MRA", "PD", "DWI", "ADC"]
