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
    # Brought into the space of another image.
    "FLAIR_space-T1.nii.gz": "FLAIR",
    "FLAIR_2_T1.nii.gz": "FLAIR",
    "FLAIR_warped_T1CE.nii.gz": "FLAIR",
    "T2_aligned_T1.nii.gz": "T2",
    "T1_flirt_T2.nii.gz": "T1",
    "T1w_Gd_resampled_T2.nii.gz": "T1CE",
    "T1_to_T1_KM.nii.gz": "T1",
    "T1_to_SWI.nii.gz": "T1",
    "pilot_03_T1.nii.gz": "T1",
    "sub-01_space-T1w_T2w.nii.gz": "T2",
    # Siemens' SPACE is a spin echo.
    "T2_SPACE-FLAIR.nii.gz": "FLAIR",
    "t2_space_dark-fluid_sag.nii.gz": "FLAIR",
    "t1_space_sag_p2_iso.nii.gz": "T1",
    "t1_tirm_tra_dark-fluid.nii.gz": "T1",
    "3DTOF": "MRA",
    "PPMI_PD_3301_T1w.nii.gz": "T1",
    "Bravo_T2.nii.gz": "T2",
    "t2_sub-01.nii.gz": "T2",
    "sub-01_acq-flair_T1w.nii.gz": "T1",
    "VSD.Brain.01.O.MR_T1c.54193.nii": "T1CE",
    "UPENN-GBM-00001_11_T1GD.nii.gz": "T1CE",
    "sub-stroke0001_ses-02_dwi.nii.gz": "DWI",
}
WITH_CONTRAST = (
    "T1_mit_KM", "T1 mit Kontrast", "t1_kontrastmittel", "T1_postKM", "T1_injecté", "T1 IV+", "AX_T1_FS_+C", "T1C+",
    "T1_GdDTPA", "T1增强", "T1WI_C", "T1_Gd_post_op", "sub-01_acq-postKM_T1w",
    "AX T1 W CONTRAST", "t1-gd", "t1-gad", "T1-CE", "T1 - CE", "t1-c", "T1 con contraste", "T1 S +C",
    "T1 - contrast-enhanced", "AX_T1_W_CONTRAST", "T1_S_contrast_enhanced", "T1_S_CE",
    "T1_S_GD", "T1 S KM",
    "AX_T1_INJ", "T1_PDC", "T1_con_CIV", "T1_nachKM", "T1_mitKM", "T1_clariscan", "T1_magnevist", "T1_multihance",
    "T1 - injecté",
    "T1_KM_ohne_FS", "AX T1 POST W/O FS", "T1_gado_sans_fatsat", "T1 sin saturacion de grasa con contraste",
    "T1 KM RT planning", "Gadovist_7_ml_T1", "post_1.5T_T1", "6 POST SAG T1", "MDC_T1_3D", "T1_KM_5_T1",
    "sub-01_acq-mpragePost_T1w", "sub-01_acq-mpragepost_T1w", "sub-01_acq-SEpost_T1w", "sub-01_acq-axCE_T1w",
    "pre_SRS_T1_Gd", "AX T1 POST STEALTH PRE DBS", "pre-Tx_T1_Gd", "T1 POST TRA",
    "sub-01_ce-gadovist_acq-pre_T1w", "P01_native_space_T1_KM",
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
    "T1 antes de contraste", "T1_prima_di_mdc", "T1_voor_gd", "T1 voor contrast", "T1 før kontrast", "T1 före kontrast",
    "T1 innan kontrast", "T1 przed kontrastem", "T1 avant l'injection", "T1 keine KM-Gabe",
    "T1 ante contrasto", "T1 s/inj", "T1 sin CIV", "T1 sans PDC", "T1 pre-inj", "T1 kontrastmittelfrei",
    "AX T1 PRE FAT SAT", "T1 ohne FS und KM", "T1 w/o FS w/o contrast", "T1 ohne FS",
    "GD01_T1", "GD_001_T1", "KM-003_t1", "Gädeke_T1", "Gadomski_T1", "post_01_t1", "C_001_T1",
    "T1w_gdc", "sub-01_acq-gdc_T1w", "T1 Injury", "T1_post_radiation", "T1_post_processed",
    "T1_post_stroke", "T1_post_Infarkt", "T1_post_thrombectomy", "T1_post_tPA", "T1_post_trauma", "T1-post-TBI",
    "T1_post_shunt", "T1_post_SRS", "T1_post_DBS", "T1_post_LITT", "T1_post_embolisation", "T1_post_ablation",
    "T1_post_intervention", "T1_post_implantation", "T1_post_transplant", "T1_post_treatments", "T1_post_tx",
    "sub-01_ce-none_T1w", "sub-01_ce-pre_T1w", "sub-01_ce-without_T1w", "sub-01_ce-noGd_T1w",
    "sub-01_acq-mpragenogd_T1w", "sub-01_acq-mpragePostOp_T1w", "sub-01_acq-space_T1w", "sub-01_acq-CEST_T1w",
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
        # As dcm2niix and hospitals write them, with more behind.
        "t2_swi_tra_p2_2mm.nii.gz",
        "t1_vibe_tra_KM_SUB_20240131101010_12.nii.gz",
        "SUB_t1_mprage_tra_KM_20240131101010_12.nii.gz",
        "subtraktion_T1_KM_ax_fs_2mm.nii.gz",
        "MIP_T1_KM_tra_5mm.nii.gz",
        "TOF_MIP_tra_0.5mm_20240131_7.nii.gz",
        "T1_DCE_dynamic.nii.gz",
        "DSC_T2.nii.gz",
        "perfusion_ep2d_T2_TE30_1.nii.gz",
        "sub-01_acq-mip_angio.nii.gz",
        "sub-01_desc-subtraction_T1w.nii.gz",
        # T2 by name, FLAIR or STIR by what was scanned.
        "t2_spc_ir_sag.nii.gz",
        "t2_spc_da-fl_sag.nii.gz",
        "T2W_IR.nii.gz",
        "sub-01_acq-flair_T2w.nii.gz",
        "t2_ciss3d.nii.gz",
        # Two sequences.
        "T2_vs_T1.nii.gz",
        "T1CE-T1.nii.gz",
        "T1_T2_ratio.nii.gz",
        "FLAIR_DWI_mismatch.nii.gz",
        "FLAIR_T1.nii.gz",
        "T1_localizer.nii.gz",
        "T2_loc.nii.gz",
        "3-plane_loc_T2.nii.gz",
        "topogram_T2.nii.gz",
        "AAHScout_T1.nii.gz",
        "smartbrain_T1.nii.gz",
        "T2_PWI.nii.gz",
        "T1_QSM.nii.gz",
        "T2_tmax.nii.gz",
        "MTT_T2.nii.gz",
        "TTP_T2.nii.gz",
        "T1_C-spine.nii.gz",
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
