"""Two visits of one patient: the change is that of the labels, wherever the head lay."""

import json
from dataclasses import replace

import numpy as np
import pytest
from heads import head, oblique
from typer.testing import CliRunner

from brainmvp.brain import Brain
from brainmvp.card import NOTICE
from brainmvp.cli import app
from brainmvp.comparison import Visit, compare
from brainmvp.comparison.picture import outline_names
from brainmvp.errors import BrainMVPError
from brainmvp.registration import Alignment
from brainmvp.registration.motion import rigid
from brainmvp.segmentation import Segmentation
from brainmvp.segnrrd import write_seg_nrrd
from brainmvp.sequences import Sequence
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume

_SHAPE = (44, 52, 46)


@pytest.fixture
def visits(tmp_path):
    """The folders of two visits with labels; the head has moved, the core has doubled, the rim is new."""
    folders = []
    for name, cubes, shift in (("v1", {1: 8}, 0.0), ("v2", {1: 16, 3: 5}, 6.0)):
        affine = oblique((1.0, 1.0, 1.0), "RAS")
        affine[:3, 3] += shift
        centre = affine[:3, :3] @ ((np.array(_SHAPE) - 1) / 2) + affine[:3, 3]
        write_volume(head(_SHAPE, affine, centre), tmp_path / name / f"{name}_t1ce.nii.gz")
        labels = np.zeros(_SHAPE, np.uint8)
        for value, length in cubes.items():
            labels[15 + 5 * value : 19 + 5 * value, 20:25, 20 : 20 + length] = value
        write_volume(Volume(labels, affine), tmp_path / name / f"{name}_seg.nii.gz")
        folders.append(tmp_path / name)
    return folders


def _visit(folder):
    return Visit.of_file(Study.from_folder(folder), get_task("tumour"), folder / f"{folder.name}_seg.nii.gz")


def test_the_change_is_counted_and_the_heads_are_aligned(visits):
    result = compare(*map(_visit, visits), get_task("tumour"))
    by_name = {change.name: change for change in result.changes}
    core, enhancing = by_name["Tumour core"], by_name["Enhancing tumour"]
    assert core.before_ml == pytest.approx(0.16, abs=1e-3)
    assert core.after_ml == pytest.approx(0.42, abs=1e-3) and core.percent == pytest.approx(162.5, abs=1)
    assert enhancing.before_ml == 0 and enhancing.percent is None and enhancing.change_ml > 0
    expected = rigid(np.full(3, 6.0), np.zeros(3), np.zeros(3))
    assert np.abs(result.alignment.world - expected).max() < 1.0


def test_what_only_one_visit_marks_need_be_neither_new_nor_gone(visits):
    first, second = (replace(_visit(folder), minimum_lesion_ml=0.1) for folder in visits)
    result = compare(first, second, get_task("tumour"))
    assert [change.in_words for change in result.changes[1:]] == ["+163 %", "not marked before"]
    assert not any(
        "Findings below" in remark for remark in result.remarks
    )  # of what lies inside one, less is marked
    result = compare(second, first, get_task("tumour"))
    assert [change.in_words for change in result.changes[1:]] == ["-62 %", "no longer marked"]


def test_a_visit_without_a_finding_may_have_one_that_is_too_small_to_be_marked(visits):
    first, second = map(_visit, visits)
    empty = Volume(np.zeros_like(first.labels.data), first.labels.affine)
    none = replace(first, labels=empty, minimum_lesion_ml=0.1)
    limit = (
        "Findings below 0.1 mL are not marked: at the {} visit there may be some of Whole tumour, Tumour core"
    )
    for pair, one in (((none, second), "earlier"), ((second, none), "later")):
        assert any(limit.format(one) in remark for remark in compare(*pair, get_task("tumour")).remarks)
    of_hand = compare(replace(none, minimum_lesion_ml=0.0), second, get_task("tumour"))
    assert not any("Findings below" in remark for remark in of_hand.remarks)


def test_what_limits_the_comparison_is_said(visits):
    first, second = map(_visit, visits)
    write_volume(head(_SHAPE, np.eye(4), np.full(3, 22.0)), visits[1] / "v2_flair.nii.gz")
    used = (Sequence.T1CE, Sequence.FLAIR)
    other = Visit(Study.from_folder(visits[1]), second.labels, Sequence.T1CE, ("WT",), "tumour@1", used)
    result = compare(first, other, get_task("tumour"))
    assert [change.name for change in result.changes] == ["Whole tumour (with oedema)"]
    assert any("Only one of the visits could use FLAIR" in remark for remark in result.remarks)
    assert any("tumour@1" in remark for remark in result.remarks)
    lost = "Not compared, since the later visit does not show it: Tumour core, Enhancing tumour."
    assert lost in result.report()["remarks"]


def test_what_was_doubted_is_said_and_not_taken_for_used(visits, monkeypatch):
    second = _visit(visits[1])
    task, nothing = get_task("tumour"), np.zeros(_SHAPE, np.float32)
    result = Segmentation(
        second.study, task, "tumour@1", second.labels, dict.fromkeys(task.outputs, nothing), nothing,
        Sequence.T1CE, (Sequence.T1CE,), (), {}, task.label_names(list(task.outputs)),
        Brain(np.ones(_SHAPE, bool), "built-in", "it is small"),
        alignments={Sequence.FLAIR: Alignment(np.eye(4), True, 1.1, 1.0, 0.1, doubt="it covers too little")},
    )  # fmt: skip
    monkeypatch.setattr(Study, "notes", lambda self, used: [f"{used[0]}: slices may be missing"])
    before = replace(_visit(visits[0]), used=(Sequence.T1CE, Sequence.FLAIR))
    remarks = compare(before, Visit.of_result(result), task).report()["remarks"]
    for sentence in (
        "After: FLAIR is not used, its alignment is doubtful: it covers too little.",
        "After: look at the brain: it is small.",
        "Before: T1CE: slices may be missing.",
        "After: T1CE: slices may be missing.",
        "Only one of the visits could use FLAIR: part of a change may come from that.",
    ):
        assert sentence in remarks


def test_what_a_visit_could_not_show_is_not_counted_as_none(visits):
    scan, labels = visits[0] / "v1_t1ce.nii.gz", visits[0] / "v1_seg.nii.gz"
    scan.rename(visits[0] / "v1_flair.nii.gz")
    assert _visit(visits[0]).regions == ("WT", "TC")  # somebody drew a core all the same
    volume = read_volume(labels)
    write_volume(Volume(np.where(volume.data, 2, 0).astype(np.uint8), volume.affine), labels)
    result = compare(*map(_visit, visits), get_task("tumour"))
    assert [change.name for change in result.changes] == ["Whole tumour (with oedema)"]


def test_a_draft_of_the_whole_tumour_alone_says_nothing_of_its_core(visits):
    task, study = get_task("tumour"), Study.from_folder(visits[0])
    draft = read_volume(visits[0] / "v1_seg.nii.gz")
    whole = Volume(np.where(draft.data, 2, 0).astype(np.uint8), draft.affine)
    path = write_seg_nrrd(whole, task, visits[0].parent / "draft.seg.nrrd", task.label_names(["WT"]))
    first = Visit.of_file(study, task, path)
    assert first.regions == ("WT",)
    result = compare(first, _visit(visits[1]), task)
    assert [change.name for change in result.changes] == ["Whole tumour (with oedema)"]
    assert (
        "Not compared, since the earlier visit does not show it: Tumour core, Enhancing tumour."
        in result.remarks
    )
    # Segments that are there and empty were looked for.
    path = write_seg_nrrd(whole, task, visits[0].parent / "all.seg.nrrd")
    assert Visit.of_file(study, task, path).regions == ("WT", "TC", "ET")


def test_a_label_map_without_names_may_have_left_a_structure_out(visits):
    remarks = compare(*map(_visit, visits), get_task("tumour")).remarks
    assert "The earlier label map has no Enhancing tumour: drawn as none, or not looked for." in remarks
    assert not any("later label map" in remark for remark in remarks)


def test_the_command_writes_report_and_picture(visits, tmp_path):
    before, after = str(visits[0]), str(visits[1].rename(tmp_path / "price $x^{$ or so"))
    arguments = ["compare", before, after, "--task", "tumour", "--report", str(tmp_path / "c.json")]
    arguments += ["--before-labels", f"{before}/v1_seg.nii.gz", "--after-labels", f"{after}/v2_seg.nii.gz"]
    done = CliRunner().invoke(app, [*arguments, "--picture", str(tmp_path / "c.png")])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "c.json").read_text())
    assert report["changes"][1]["change_percent"] == pytest.approx(162.5) and report["notice"] == NOTICE
    assert [report[visit]["folder"] for visit in ("before", "after")] == [before, after]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_says_what_each_outline_is(visits):
    task = get_task("tumour")
    both = compare(*map(_visit, visits), task)
    assert outline_names(both) == task.label_names(list(task.outputs))
    whole = replace(both, before=replace(both.before, regions=("WT",)))
    assert outline_names(whole)[2] == "Whole tumour (before), Peritumoural oedema (after)"


def test_labels_on_another_grid_are_refused(visits):
    wrong = Volume(np.zeros((9, 9, 9), np.uint8), np.eye(4))
    write_volume(wrong, visits[0] / "v1_seg.nii.gz")
    with pytest.raises(BrainMVPError, match="grid"):
        _visit(visits[0])
