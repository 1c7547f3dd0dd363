"""Label values survive import, editing and export exactly, whatever the grid and whatever the user does to segments."""

import re

import numpy as np
import pytest
import slicer
from BrainMVPLib import measure
from BrainMVPLib import scene as ops
from BrainMVPLib.drawn import copy_drawn, export_labels
from BrainMVPLib.errors import ModuleError
from BrainMVPLib.grids import file_affine, reorder
from BrainMVPLib.labelmap import Labelmap, read_labelmap
from BrainMVPLib.nrrd import write_nrrd
from BrainMVPLib.segmentations import import_labels, new_segmentation
from BrainMVPLib.tables import LabelTable, Structure
from drawing import TUMOUR, drawn, paint, segments
from heads import oblique
from vtk.util import numpy_support

from brainmvp.comparison import Visit
from brainmvp.segnrrd import write_seg_nrrd
from brainmvp.study import Study
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume


def test_slicer_reads_the_names_of_a_segmentation_in_any_script(scene, tmp_path):
    names = {1: "Ödem", 2: "急性梗死"}
    labels = np.ascontiguousarray(drawn((2, 1)).T)
    path = write_seg_nrrd(Volume(labels, oblique()), get_task("tumour"), tmp_path / "x.seg.nrrd", names)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    assert [s.GetName() for s in segments(node)][:2] == list(names.values())


def slicer_saves(scene, path, out):
    """Open a segmentation in Slicer, which adds nothing, and save it."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    storage.SetFileName(str(out))
    assert storage.WriteData(node)
    return out


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAI", "LAS"])
def test_a_segmentation_that_slicer_has_saved_again_is_read_as_it_was(scene, tmp_path, axes):
    task, affine = get_task("tumour"), oblique((0.9, 1.1, 2.6), axes)
    labels = Volume(np.ascontiguousarray(drawn((2, 1, 3)).T), affine)
    image = write_volume(Volume(labels.data.astype(np.int16), affine), tmp_path / "study" / "flair.nii.gz")
    study = Study.from_folder(image.parent)
    path = write_seg_nrrd(labels, task, tmp_path / "x.seg.nrrd")
    again = slicer_saves(scene, path, tmp_path / "again.seg.nrrd")
    assert read_volume(again).shape == labels.shape
    # A file without the grid of the whole, of which Slicer saves a box.
    plain = tmp_path / "plain.seg.nrrd"
    plain.write_bytes(re.sub(rb"Segmentation_ConversionParameters.*\n", b"", path.read_bytes()))
    box = slicer_saves(scene, plain, tmp_path / "box.seg.nrrd")
    assert read_volume(box).shape != labels.shape
    for saved in (path, again, box):
        visit = Visit.of_file(study, task, saved)
        assert np.array_equal(visit.labels.data, labels.data)
        assert visit.labels.same_grid(labels, 1e-4)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAI"])
@pytest.mark.parametrize("values", [(2, 1, 4), (2, 1, 3)])
def test_values_survive_import_edit_and_export(scene, volume, brats, values, axes):
    table = brats if 4 in values else TUMOUR
    affine, labels = oblique((0.9, 1.1, 2.6), axes), drawn(values)
    reference = volume(labels.astype(np.int16), affine)
    segmentation = import_labels(scene, Labelmap.of(labels), table, reference, "s", "it")
    assert [s.GetName() for s in segments(segmentation)] == [s.name for s in table.structures]
    np.testing.assert_array_equal(export_labels(segmentation, table, reference), labels)
    box = (slice(4, 6), slice(5, 7), slice(6, 9))
    paint(segmentation, 2, box)
    edited = labels.copy()
    edited[box] = max(values)
    np.testing.assert_array_equal(export_labels(segmentation, table, reference), edited)


def test_values_do_not_depend_on_what_is_absent_renamed_or_reordered(scene, volume, brats):
    affine, labels = oblique(), drawn((4,))
    reference = volume(labels.astype(np.int16), affine)
    segmentation = import_labels(scene, Labelmap.of(labels), brats, reference, "s", "it")
    assert len(segments(segmentation)) == 3
    segmentation.GetSegmentation().SetSegmentIndex(segmentation.GetSegmentation().GetNthSegmentID(2), 0)
    segments(segmentation)[0].SetName("what lights up")
    segmentation.GetSegmentation().RemoveSegment(segmentation.GetSegmentation().GetNthSegmentID(1))
    np.testing.assert_array_equal(export_labels(segmentation, brats, reference), labels)


def test_two_structures_of_one_name_stay_two(scene, volume):
    table = LabelTable((Structure(3, "lesion", (9, 9, 9)), Structure(5, "lesion", (99, 99, 99))))
    affine, labels = oblique(), drawn((5, 3))
    reference = volume(labels.astype(np.int16), affine)
    segmentation = import_labels(scene, Labelmap.of(labels), table, reference, "s", "it")
    np.testing.assert_array_equal(export_labels(segmentation, table, reference), labels)


def test_segments_have_the_task_s_names_colours_and_codes(scene, volume):
    affine, labels = oblique(), drawn((2, 1, 3))
    reference = volume(labels.astype(np.int16), affine)
    segmentation = import_labels(scene, Labelmap.of(labels), TUMOUR, reference, "s", "it")
    segment = segments(segmentation)[1]
    assert segment.GetName() == "Peritumoural oedema"
    np.testing.assert_allclose(segment.GetColor(), np.array([244, 214, 49]) / 255)
    assert "SCT^79654002^Edema" in segment.GetTerminology()


def test_the_whole_tumour_has_a_code_of_its_own():
    (whole,) = TUMOUR.renamed({2: "Whole tumour"}).structures
    assert (whole.name, whole.code) == ("Whole tumour", ("SCT", "108369006", "Neoplasm"))
    (named,) = TUMOUR.renamed({2: "Swelling"}).structures
    assert named.terminology == ""


def test_a_segment_of_the_user_is_named_or_taken_by_its_name(scene, volume, brats):
    reference = volume(drawn((1,)).astype(np.int16), oblique())
    segmentation = new_segmentation(scene, reference, "s", brats)
    source = import_labels(scene, Labelmap.of(drawn((4,))), brats, reference, "x", "it")
    inside = source.GetSegmentation()
    copied = inside.GetNthSegment(2)
    copied.RemoveTag("BrainMVP.Value")
    copied.SetName("cyst")
    segmentation.GetSegmentation().CopySegmentFromSegmentation(inside, inside.GetNthSegmentID(2))
    with pytest.raises(ModuleError, match="“cyst” is none of the model's structures"):
        export_labels(segmentation, brats, reference)
    segments(segmentation)[3].SetName("enhancing tumour ")
    np.testing.assert_array_equal(export_labels(segmentation, brats, reference), drawn((4,)))


def test_an_empty_segmentation_exports_as_zeros(scene, volume, brats):
    reference = volume(drawn((1,)).astype(np.int16), oblique())
    empty = new_segmentation(scene, reference, "s", brats)
    assert not export_labels(empty, brats, reference).any()


def test_overlapping_finer_and_outlying_segments_become_one_label_map(scene, volume, brats):
    reference = volume(drawn((1,)).astype(np.int16), oblique())
    segmentation = new_segmentation(scene, reference, "s", brats)
    boxes = {
        1: (slice(3, 12), slice(4, 14)),
        2: (slice(8, 18), slice(8, 20)),
        4: (slice(10, 14), slice(2, 10)),
    }
    wanted = np.zeros((20, 26, 32), np.uint8)
    for number, (value, box) in enumerate(
        boxes.items()
    ):  # each in voxels of its own, beyond the reference too
        image = slicer.vtkOrientedImageData()
        image.SetExtent(-5, 20, -4, 25, -3, 21)
        image.SetGeometryFromImageToWorldMatrix(ops.matrix_of(ops.affine(reference)))
        array = np.zeros((25, 30, 26), np.uint8)
        array[box[0].start + 3 : box[0].stop + 3, box[1].start + 4 : box[1].stop + 4, 5:20] = 1
        image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(array.ravel(), deep=True))
        segments(segmentation)[number].AddRepresentation("Binary labelmap", image)
        segments(segmentation)[number].SetLabelValue(1)
        wanted[(*box, slice(0, 15))] = value
    copy = copy_drawn(segmentation, brats, reference)
    np.testing.assert_array_equal(copy.labels(), wanted)
    paint(segmentation, 0, (slice(0, 2), slice(0, 2), slice(0, 2)))
    np.testing.assert_array_equal(copy.labels(), wanted)  # as it was when it was copied
    assert export_labels(segmentation, brats, reference)[0, 0, 0] == 1

    # Drawn on voxels half as large: Slicer puts them on the grid of the reference.
    fine = segments(segmentation)[0].GetRepresentation("Binary labelmap")
    half = ops.affine(reference) @ np.diag([0.5, 0.5, 0.5, 1])
    half[:3, 3] -= 0.25 * ops.affine(reference)[:3, :3].sum(1)
    fine.SetExtent(0, 7, 0, 7, 0, 7)
    fine.SetGeometryFromImageToWorldMatrix(ops.matrix_of(half))
    fine.GetPointData().SetScalars(numpy_support.numpy_to_vtk(np.ones(512, np.uint8), deep=True))
    found = export_labels(segmentation, brats, reference)
    assert (found[:4, :4, :4] == 1).all()
    assert (found == 1).sum() == 64
    np.testing.assert_array_equal(found == 2, (wanted == 2))


def draw_box(segmentation, place, extent, values=1):
    """Draw a box in the first segment; place: (4, 4) index to mm; values: one, or those of the voxels (Z, Y, X)."""
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*extent)
    image.SetGeometryFromImageToWorldMatrix(ops.matrix_of(place))
    shape = [last - first + 1 for first, last in zip(extent[4::-2], extent[::-2], strict=True)]
    array = np.broadcast_to(np.asarray(values, np.uint8), shape)
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(array.ravel(), deep=True))
    segments(segmentation)[0].AddRepresentation("Binary labelmap", image)
    segments(segmentation)[0].SetLabelValue(1)


def test_what_the_label_s_grid_cannot_hold_is_refused_not_dropped(scene, volume, brats):
    thick = oblique((1.0, 1.0, 6.0))
    reference = volume(np.zeros((6, 20, 20), np.int16), thick)
    segmentation = new_segmentation(scene, reference, "Lesions", brats)

    thin = thick @ np.diag([1, 1, 1 / 6, 1])
    for place, extent in (
        (thick, (2, 4, -3, 4, 2, 3)),  # beyond its edge
        (thin, (2, 4, -3, 4, 12, 18)),
        (thin, (2, 5, 2, 5, 14, 15)),  # between its slices
    ):
        draw_box(segmentation, place, extent)
        with pytest.raises(ModuleError, match=r"mL of Lesions would be lost: they lie outside FLAIR"):
            export_labels(segmentation, brats, reference)
    draw_box(segmentation, thick, (2, 4, -3, 4, 2, 3), 0)
    assert not export_labels(segmentation, brats, reference).any()
    draw_box(segmentation, thin, (2, 5, 2, 5, 14, 19))
    assert export_labels(segmentation, brats, reference).sum() == 16
    draw_box(segmentation, thick, (0, 99, 0, 99, -9, 0))
    with pytest.raises(ModuleError, match=r"^598 mL of Lesions"):
        export_labels(segmentation, brats, reference)


def test_specks_that_no_label_map_holds_are_left_out(scene, volume, brats):
    reference = volume(np.zeros((20, 20, 20), np.int16), oblique())
    segmentation = new_segmentation(scene, reference, "Lesions", brats)
    half = ops.affine(reference) @ np.diag([0.5, 0.5, 0.5, 1])
    voxels = np.zeros((40, 40, 40), np.uint8)
    voxels[10:20, 10:20, 10:20] = 1
    voxels[25::4, 25::4, 25::4] = 1  # noise of a threshold, of eight voxels in all
    draw_box(segmentation, half, (0, 39, 0, 39, 0, 39), voxels)
    assert export_labels(segmentation, brats, reference).sum() == 125
    voxels[25:35, 25:26, 25:26] = 1
    draw_box(segmentation, half, (0, 39, 0, 39, 0, 39), voxels)
    with pytest.raises(ModuleError, match=r"^0\.\d+ mL of Lesions would be lost"):
        export_labels(segmentation, brats, reference)


def test_another_grid_or_value_is_refused_and_adds_nothing(scene, volume, brats, tmp_path):
    labels, affine = drawn((1, 2, 4)), oblique()
    reference = volume(labels.astype(np.int16), affine)
    file = tmp_path / "result.nrrd"
    moved, turned = affine.copy(), affine.copy()
    moved[0, 3] += 0.05
    turned[:3, :3] = oblique(degrees=17.2)[:3, :3]
    for voxels, place in ((labels, moved), (labels, turned), (labels[1:], affine)):
        write_nrrd(file, voxels, place)
        with pytest.raises(ModuleError, match=r"does not lie on the grid of FLAIR.*nothing was changed"):
            read_labelmap(file, ops.affine(reference), labels.shape, "The result", "FLAIR")
    write_nrrd(file, labels.astype(np.int16) + 300, affine)
    with pytest.raises(ModuleError, match="values that are no labels"):
        read_labelmap(file, affine, labels.shape, "The result", "FLAIR")
    with pytest.raises(ModuleError, match="holds the values 3, which the model does not declare"):
        import_labels(scene, Labelmap.of(drawn((3,))), brats, reference, "s", "The result")
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.int8, np.float64])
def test_a_volume_of_any_type_is_written(tmp_path, kind):
    voxels = np.arange(60).reshape(3, 4, 5).astype(kind)
    stored = read_volume(write_nrrd(tmp_path / "image.nrrd", voxels, oblique()))
    np.testing.assert_array_equal(stored.data.transpose(2, 1, 0), voxels)


def test_a_label_map_knows_what_is_in_it():
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1:3, 2, 3:5] = 4
    labels[2, 4, 3] = 1
    found = Labelmap.of(labels)
    assert found.values == [1, 4]
    assert found.counts[4] == 4
    assert found.box == (slice(1, 3), slice(2, 5), slice(3, 5))
    assert Labelmap.of(np.zeros((2, 3, 4), np.uint8)).box is None


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPI", "SAR"])
def test_the_order_of_a_file_s_voxels_is_found_again(tmp_path, volume, axes):
    """Slicer reverses an axis of a left-handed file when it reads it."""
    affine = np.eye(4)
    turn = {"RAS": np.eye(3), "LAS": np.diag([-1, 1, 1]), "LPI": np.diag([-1, -1, -1])}
    affine[:3, :3] = oblique()[:3, :3] @ turn.get(axes, np.eye(3)[[2, 1, 0]]) @ np.diag([1, 2, 3])
    affine[:3, 3] = 5, 6, 7
    labels = drawn((2, 1, 3))
    write_nrrd(tmp_path / "file.nrrd", labels, affine)
    node = volume(labels, affine)
    read = read_labelmap(
        tmp_path / "file.nrrd", ops.affine(node), node.GetImageData().GetDimensions()[::-1], "", ""
    )
    np.testing.assert_array_equal(read.voxels, ops.voxels(node))
    assert np.linalg.det(ops.affine(node)[:3, :3]) > 0
    found = file_affine(tmp_path / "file.nrrd")
    np.testing.assert_allclose(found, affine, atol=1e-9)
    np.testing.assert_array_equal(reorder(ops.voxels(node), ops.affine(node), found), labels)
    with pytest.raises(ModuleError, match="open the study again"):
        reorder(labels, oblique((1, 2, 3)), affine)


def test_the_middle_of_labels_is_a_labelled_point_of_their_largest_slice():
    labels = np.zeros((4, 6, 8), np.uint8)
    assert measure.middle(labels, np.eye(4)) is None
    labels[1, 2, 3] = 1
    labels[2, 1:6, 1:6] = 2
    labels[2, 2:5, 2:5] = 0  # a ring: its middle is not labelled
    x, y, z = measure.middle(labels, np.diag([1.0, 1.0, 2.0, 1.0]))
    assert z == 4.0 and labels[2, round(y), round(x)] == 2
