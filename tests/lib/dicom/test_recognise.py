"""A series is named by what its header says it measured, before what somebody called it."""

import dicom_files as habit
import pytest

from brainmvp.dicom.recognise import recognise

SE = {"Modality": "MR", "ScanningSequence": "SE", "ImageType": ("ORIGINAL", "PRIMARY")}
GR = SE | {"ScanningSequence": "GR"}
SECONDARY = SE | {"ScanningSequence": "EP", "ImageType": ("DERIVED", "SECONDARY"), "EchoTime": 80}
CALIBRATION = GR | {"RepetitionTime": 150, "EchoTime": 2}
MPRAGE = GR | {
    "RepetitionTime": 2300,
    "EchoTime": 3,
    "InversionTime": 900,
    "ImageType": ("ORIGINAL", "PRIMARY", "M"),
}
MP2RAGE = GR | {"RepetitionTime": 5000, "EchoTime": 2.9, "InversionTime": 700}


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (habit.T1, "T1"),
        (habit.T1CE, "T1CE"),
        (habit.T2, "T2"),
        (habit.FLAIR, "FLAIR"),
        (habit.DWI, "DWI"),
        (habit.ADC, "ADC"),
        # The description may be anything, or say nothing.
        (SE | {"SeriesDescription": "Serie 4", "RepetitionTime": 500, "EchoTime": 12}, "T1"),
        (SE | {"RepetitionTime": 550, "EchoTime": 9, "ContrastBolusAgent": "Dotarem"}, "T1CE"),
        (SE | {"RepetitionTime": 3000, "EchoTime": 20}, "PD"),
        (SE | {"RepetitionTime": 2300, "EchoTime": 10, "InversionTime": 860}, "T1"),
        (GR | {"RepetitionTime": 7.5, "EchoTime": 3.4}, "T1"),
        (GR | {"RepetitionTime": 22, "EchoTime": 3.6, "AngioFlag": "Y"}, "MRA"),
        (GR | {"RepetitionTime": 22, "EchoTime": 3.6, "SeriesDescription": "TOF 3D multi-slab"}, "MRA"),
        # 3-D FLAIR with variable flip angles: a TE that looks short of nothing, an inversion near 1650.
        (SE | {"RepetitionTime": 4800, "EchoTime": 340, "InversionTime": 1650}, "FLAIR"),
        # A FLAIR whose header has no inversion time: the acquisition allows it, the name decides.
        (SE | {"RepetitionTime": 9000, "EchoTime": 120, "SeriesDescription": "AX T2 FLAIR"}, "FLAIR"),
        # So does a T1 FLAIR like a PD.
        (SE | {"RepetitionTime": 2000, "EchoTime": 20, "SeriesDescription": "T1 TSE tra"}, "T1"),
        (
            SE
            | {"RepetitionTime": 2000, "EchoTime": 20}
            | {"SeriesDescription": "T1 TSE tra", "ContrastBolusAgent": "Gadovist"},
            "T1CE",
        ),
        (SE | {"RepetitionTime": 2200, "EchoTime": 15, "SeriesDescription": "PD TSE"}, "PD"),
        ({"Modality": "MR", "AcquisitionContrast": "FLUID_ATTENUATED"}, "FLAIR"),
        # Diffusion: b-value in the header; Philips calls an ADC map original, GE derived and secondary.
        (SE | {"ScanningSequence": "EP", "DiffusionBValue": 1000.0}, "DWI"),
        (SE | {"ImageType": ("ORIGINAL", "PRIMARY", "ADC", "NONE")}, "ADC"),
        ({"ImageType": ("DERIVED", "SECONDARY", "COMBINED"), "SeriesDescription": "Apparent ADC"}, "ADC"),
        # A map keeps the b-value of what it was computed from; a combined image is computed, too, and weighted.
        (SECONDARY | {"SeriesDescription": "Apparent Diffusion Coefficient (mm2/s)"}, "ADC"),
        (SECONDARY | {"SeriesDescription": "ADC", "DiffusionBValue": 1000.0}, "ADC"),
        (
            SECONDARY
            | {"SeriesDescription": "Apparent Diffusion Coefficient (mm2/s)", "DiffusionBValue": 1000.0},
            "ADC",
        ),
        (SECONDARY | {"SeriesDescription": "DWI Ax (combined)", "DiffusionBValue": 1000.0}, "DWI"),
        (SECONDARY | {"ImageType": ("DERIVED", "SECONDARY", "ISO"), "DiffusionBValue": 1000.0}, "DWI"),
        (SECONDARY | {"DiffusionDirectionality": "ISOTROPIC", "DiffusionBValue": 1000.0}, "DWI"),
        (SECONDARY | {"SeriesDescription": "b1000", "DiffusionBValue": 1000.0}, "DWI"),
        # GE writes b = 0 on every image, and the name of the examination as that of the protocol.
        (habit.FLAIR | {"DiffusionBValue": 0.0, "ProtocolName": "BRAIN STROKE DWI/MRA"}, "FLAIR"),
        (habit.FLAIR | {"DiffusionBValue": 0.0, "SeriesDescription": "Diffuse glioma"}, "FLAIR"),
        (habit.T1CE | {"DiffusionBValue": 0.0, "ProtocolName": "Diffuse glioma"}, "T1CE"),
        # A gradient echo in a steady state is T1-weighted where it is spoiled.
        (GR | {"SequenceVariant": ("SK", "SS", "SP"), "RepetitionTime": 7.5, "EchoTime": 3.4}, "T1"),
        (
            GR
            | {"SequenceVariant": ("SS", "SK"), "RepetitionTime": 7.5, "EchoTime": 3.4}
            | {"SeriesDescription": "Ax 3D T1 BRAVO"},
            "T1",
        ),
        (MP2RAGE | {"SeriesDescription": "t1_mp2rage_sag_UNI_Images"}, "T1"),
        (habit.T1 | {"SeriesDescription": "WATER: Ax T1 Flex"}, "T1"),
        # An MPRAGE is called MPR as well, and a flip angle FA.
        (MPRAGE | {"SeriesDescription": "t1_mpr_sag_p2_iso"}, "T1"),
        (MPRAGE | {"SeriesDescription": "T1w_MPR"}, "T1"),
        (MPRAGE | {"SeriesDescription": "t1_mpr_ns_sag_KM"}, "T1CE"),
        (MPRAGE | {"SeriesDescription": "3D T1 MPR post gad"}, "T1CE"),
        # T1 with inversion, by Siemens' name; a SPACE with inversion is no T2.
        (SE | {"RepetitionTime": 2000, "EchoTime": 9, "SeriesDescription": "t1_tirm_tra_dark-fluid"}, "T1"),
        (
            SE
            | {"RepetitionTime": 5000, "EchoTime": 388, "InversionTime": 1800}
            | {"SeriesDescription": "t2_spc_ir_sag"},
            "FLAIR",
        ),
        (GR | {"RepetitionTime": 22, "EchoTime": 3.6, "SeriesDescription": "3DTOF"}, "MRA"),
        (SE | {"RepetitionTime": 600, "EchoTime": 10, "SeriesDescription": "T1 FA 70"}, "T1"),
        (SE | {"RepetitionTime": 5000, "EchoTime": 100, "SeriesDescription": "T2 RD"}, "T2"),
        # Nothing measured is recorded: only then the name counts alone.
        ({"SeriesDescription": "AX T1 POST"}, "T1CE"),
        ({"SeriesDescription": "AX T1 PRE"}, "T1"),
        ({"ProtocolName": "t2_tse_tra"}, "T2"),
        ({"SequenceName": "*tfl3d1_16"}, "T1"),
    ],
)
def test_sequences_of_three_vendors(facts, what):
    verdict = recognise(facts)
    assert verdict.what == what, verdict
    assert verdict.sequence == what
    assert not verdict.contradictions


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (SE | {"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localiser"),
        (GR | {"SeriesDescription": "3-plane loc"}, "localiser"),
        (GR | {"SeriesDescription": "Survey_SHC"}, "localiser"),
        *(
            (GR | {"RepetitionTime": 8, "EchoTime": 3, "SeriesDescription": description}, "localiser")
            for description in (
                "3-pl T2* FGRE S", "Localizador", "Localisateur", "Localizzatore", "Lokaliser", "Repérage", "Übersicht",
                "REPERAGE 3 PLANS", "localizer_ND",
            )
        ),
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "screen capture"),
        ({"Modality": "MR", "ConversionType": "WSD"}, "screen capture"),
        ({"Modality": "MR", "SamplesPerPixel": 3}, "colour image"),
        ({"Modality": "CT", "SeriesDescription": "T1"}, "CT series"),
        ({"Modality": "SR"}, "report"),
        ({"Modality": "SEG"}, "segmentation"),
        (habit.T1 | {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived reformat"),
        (habit.T1 | {"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE", "MIP"]}, "derived reformat"),
        (MPRAGE | {"ImageType": ["DERIVED", "PRIMARY"], "SeriesDescription": "T1 MPR tra"}, "projection"),
        (SE | {"ScanningSequence": "EP", "SeriesDescription": "FA"}, "fractional anisotropy map"),
        ({"ImageType": ("ORIGINAL", "PRIMARY"), "SeriesDescription": "DTI MD"}, "diffusion tensor map"),
        (habit.T1 | {"ImageType": ["DERIVED", "SECONDARY"]}, "derived image"),
        (habit.T1 | {"SeriesDescription": "t1 subtraction"}, "subtraction"),
        *(
            (habit.T1 | {"SeriesDescription": description}, "subtraction")
            for description in ("Subtraktion t1 KM", "T1 soustraction", "T1 Sustracción", "subtracted T1 KM")
        ),
        (GR | {"RepetitionTime": 31, "EchoTime": 7.2, "SeriesDescription": "SWIp"}, "susceptibility-weighted image"),
        (SE | {"RepetitionTime": 1500, "EchoTime": 30, "SeriesDescription": "ep2d_perf_tra"}, "perfusion series"),
        (habit.DWI | {"ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION", "MOSAIC"]}, "mosaic"),
        (habit.DWI | {"DiffusionBValue": 0.0}, "b = 0 image"),
        (habit.ADC | {"ImageType": ["DERIVED", "PRIMARY", "EADC"]}, "exponential ADC map"),
        (habit.ADC | {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "FA"]}, "fractional anisotropy map"),
        *(
            (SECONDARY | b_value | {"SeriesDescription": description}, what)
            for b_value in ({}, {"DiffusionBValue": 1000.0})
            for description, what in (
                ("Exponential Apparent Diffusion Coefficient", "exponential ADC map"),
                ("Average DC", "diffusion tensor map"),
                ("Fractional Ansio.", "fractional anisotropy map"),
                ("Diffusion", "derived image"),
            )
        ),
        ({"ScanningSequence": "SE", "DiffusionBValue": 0.0, "SeriesDescription": "DWI 3 directions"}, "b = 0 image"),
        ({"ScanningSequence": ("EP", "SE"), "DiffusionBValue": 0.0, "SeriesDescription": "Axial"}, "b = 0 image"),
        (CALIBRATION | {"SeriesDescription": "ASSET Cal"}, "calibration scan"),
        (CALIBRATION | {"SeriesDescription": "Calibration Scan"}, "calibration scan"),
        (CALIBRATION | {"SeriesDescription": "gre_field_mapping"}, "field map"),
        (CALIBRATION | {"SeriesDescription": "tfl_b1map"}, "field map"),
        (CALIBRATION | {"SeriesDescription": "MRV 3D PC"}, "venogram or flow image"),
        (CALIBRATION | {"SeriesDescription": "Ax FIESTA-C"}, "steady-state image"),
        (CALIBRATION | {"SequenceVariant": ("SK", "SS")}, "steady-state image"),
        (CALIBRATION | {"SeriesDescription": "Ax", "PixelSpacing": (9.0, 9.0)}, "coarse image"),
        (MP2RAGE | {"SeriesDescription": "t1_mp2rage_sag_INV1"}, "inversion image of an MP2RAGE scan"),
        (MP2RAGE | {"SeriesDescription": "t1_mp2rage_sag_INV2"}, "inversion image of an MP2RAGE scan"),
        (MP2RAGE | {"SeriesDescription": "t1_mp2rage_sag_T1_Images"}, "relaxation map"),
        (MP2RAGE | {"ImageType": ("DERIVED", "PRIMARY", "T1 MAP", "ND")}, "relaxation map"),
        (
            SE | {"RepetitionTime": 7500, "EchoTime": 320, "InversionTime": 3000, "SeriesDescription": "3D DIR"},
            "double inversion recovery",
        ),
        (habit.T1CE | {"SeriesDescription": "FAT: Ax T1 Flex +C"}, "fat image of a Dixon scan"),
        (habit.T1CE | {"SeriesDescription": "t1_vibe_dixon_tra_F"}, "fat image of a Dixon scan"),
        (habit.T1CE | {"ImageType": ("ORIGINAL", "PRIMARY", "F", "F")}, "fat image of a Dixon scan"),
        (GR | {"SeriesDescription": "t2_fl2d_hemo", "RepetitionTime": 600, "EchoTime": 20}, "T2*-weighted image"),
        (GR | {"ImageType": ("ORIGINAL", "PRIMARY", "M", "SWI")}, "susceptibility-weighted image"),
        (GR | {"ImageType": ("ORIGINAL", "PRIMARY", "P", "ND")}, "phase image"),
        (
            SE | {"RepetitionTime": 4000, "EchoTime": 60, "InversionTime": 160},
            "fat-suppressed inversion recovery (STIR)",
        ),
        ({"ImageType": ("DERIVED", "PRIMARY"), "SeriesDescription": "rCBV"}, "perfusion map"),
        (habit.T2 | {"BodyPartExamined": "CSPINE"}, "cspine, not the head"),
        (habit.T2 | {"SeriesDescription": "T2 sag neck"}, "neck, not the head"),
        ({"Modality": "MR", "SeriesDescription": "Serie 7"}, "unknown"),
    ],
)  # fmt: skip
def test_what_is_no_plain_image_of_the_head_is_named(facts, what):
    verdict = recognise(facts)
    assert verdict.sequence is None
    assert verdict.what == what
    assert verdict.why


@pytest.mark.parametrize(
    ("facts", "what", "sentence"),
    [
        (habit.T2 | {"SeriesDescription": "AX T1"}, "T2", "“AX T1” says T1"),
        (habit.FLAIR | {"SeriesDescription": "T2 TSE"}, "FLAIR", "says T2"),
        (habit.T1CE | {"SeriesDescription": "T1 nativ"}, "T1CE", "contrast agent in the header, but"),
        (
            habit.T1 | {"SeriesDescription": "T1 post", "ContrastBolusAgent": "NONE"},
            "T1",
            "no contrast agent",
        ),
        (habit.T1 | {"SeriesDescription": "AX T1 W/WO CONTRAST"}, "T1", "says with and without"),
        (habit.DWI | {"SeriesDescription": "ADC"}, "DWI", "description says ADC"),
        (
            habit.FLAIR | {"DiffusionBValue": 0.0, "SeriesDescription": "", "ProtocolName": "STROKE DWI"},
            "FLAIR",
            "“STROKE DWI” says DWI",
        ),
    ],
)
def test_a_header_that_contradicts_itself_is_shown(facts, what, sentence):
    verdict = recognise(facts)
    assert verdict.what == what
    assert sentence in verdict.contradictions[0]


@pytest.mark.parametrize(
    ("description", "what"),
    [
        ("T1 sans gado", "T1"),
        ("t1_mprage_mit_Kontrast", "T1CE"),
        ("t1_tse_tra_ce", "T1CE"),
        ("AX T1 WO", "T1"),
        ("T1 -C", "T1"),
        ("AX T1 W-O CONTRAST", "T1"),
        ("AX T1 INJ", "T1CE"),
        ("T1 SE KM ohne FS", "T1CE"),
        ("T1 antes de contraste", "T1"),
        ("T1w_MPR GDC", "T1"),
    ],
)
def test_contrast_is_told_by_the_description_in_other_languages(description, what):
    verdict = recognise(habit.T1 | {"SeriesDescription": description})
    assert (verdict.what, verdict.contradictions) == (what, ())


@pytest.mark.parametrize(
    ("agent", "what"),
    [
        *(
            (agent, "T1CE")
            for agent in ("Gadovist 7 ml", "DOTAREM", "0.1 mmol/kg", "Clariscan", "GD", "15 ml")
        ),
        *(
            (agent, "T1")
            for agent in ("Kein KM", "ohne KM", "NO CONTRAST AGENT", "No Agent", "None given", "nativ")
        ),
        *(
            (agent, "T1")
            for agent in ("sans", "geen", "UNKNOWN", "-", ".", "0 ml", "contrast not given", "Kontrast: nein")
        ),
    ],
)
def test_the_field_for_the_agent_may_say_that_there_was_none(agent, what):
    verdict = recognise(habit.T1 | {"SeriesDescription": "AX T1", "ContrastBolusAgent": agent})
    assert (verdict.what, verdict.contradictions) == (what, ())


def test_where_the_agent_is_unknown_the_description_decides():
    for agent in ("UNKNOWN", "-", "NA", "N/A", "n.a.", "k.A."):
        verdict = recognise(habit.T1 | {"SeriesDescription": "T1 KM", "ContrastBolusAgent": agent})
        assert (verdict.what, verdict.contradictions) == ("T1CE", ())


def test_the_name_of_the_whole_examination_says_nothing_against_an_agent():
    for name in ("AX T1 W/WO CONTRAST", "T1 with and without contrast", "T1_W_WO", "T1 W W_O"):
        verdict = recognise(habit.T1CE | {"SeriesDescription": name})
        assert (verdict.what, verdict.contradictions) == ("T1CE", ())


def test_the_reason_states_the_facts():
    assert recognise(habit.FLAIR).why == "TR 9000, TE 93, TI 2500 ms"
    assert recognise(habit.T1CE).why == "TR 8.2, TE 3.2, TI 450 ms; contrast agent"
    assert recognise(habit.DWI).why == "b-value 1000 s/mm², trace"
