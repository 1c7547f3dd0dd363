"""One slice view for each sequence, linked; and one click back."""

from __future__ import annotations

import math
from typing import Any, Callable
from xml.sax.saxutils import quoteattr

import numpy as np
import slicer

from .scene import nodes_of, voxels

# Above the numbers that Slicer and its extensions use for their layouts; one for each number of views.
_LAYOUT = 52600
_VIEW = "BrainMVP"
_GROUP = 526  # views of one group follow each other; Slicer's own are in group 0
_OVERLAY_OPACITY = 0.6
_CROSSHAIR = slicer.vtkMRMLCrosshairNode


def compare(scene: Any, sequences: dict[str, Any], fit: Callable[[list[str]], Any]) -> int:
    """Show each sequence's volume in a slice view of its own, all linked; return the layout that was there before.

    sequences: volume nodes by name. `fit` is called with the names of the views, to fill them with their volumes.
    Returns -1 where a comparison was shown already.
    """
    layout = _layout_node(scene)
    before = -1 if comparing(scene) else layout.GetViewArrangement()
    names = {sequence: f"{_VIEW}{number}" for number, sequence in enumerate(sequences, 1)}
    number = _LAYOUT + len(sequences)
    description = _description(names)
    if layout.IsLayoutDescription(number):
        layout.SetLayoutDescription(number, description)
    else:
        layout.AddLayoutDescription(number, description)
    layout.SetViewArrangement(number)
    slices = {node.GetLayoutName(): node for node in nodes_of(scene, "vtkMRMLSliceNode")}
    for sequence, name in names.items():
        slices[name].SetLayoutLabel(sequence)
        slices[name].SetViewGroup(_GROUP)
        composite = composite_of(scene, name)
        composite.SetBackgroundVolumeID(sequences[sequence].GetID())
        set_window(sequences[sequence])
    fit(list(names.values()))
    for name in names.values():  # last: a linked view passes on what is changed in it
        composite_of(scene, name).SetLinkedControl(True)
        composite_of(scene, name).SetHotLinkedControl(True)
    crosshair = _crosshair(scene)
    crosshair.SetCrosshairMode(_CROSSHAIR.ShowBasic)
    crosshair.SetCrosshairBehavior(_CROSSHAIR.OffsetJumpSlice)
    return before


def restore(scene: Any, layout: int) -> None:
    """Go back to the layout that was there before the comparison, without its crosshair."""
    _layout_node(scene).SetViewArrangement(
        layout if layout >= 0 else slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    )
    _crosshair(scene).SetCrosshairMode(_CROSSHAIR.NoCrosshair)


def comparing(scene: Any) -> bool:
    """Tell whether the comparison is what is shown."""
    return _LAYOUT < _layout_node(scene).GetViewArrangement() <= _LAYOUT + 16


def show_everywhere(scene: Any, volume: Any) -> None:
    """Show one volume in Slicer's ordinary slice views, where they stand."""
    set_window(volume)
    for composite in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        if not composite.GetLayoutName().startswith(_VIEW):
            composite.SetBackgroundVolumeID(volume.GetID())


def pass_through(scene: Any, point: tuple[float, ...]) -> None:
    """Move every slice view to the slice through a point, RAS mm; what part of it is shown stays."""
    for node in nodes_of(scene, "vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*point)


def overlay(scene: Any, volume: Any | None) -> None:
    """Lay a volume over what every slice view shows; None takes it away."""
    for composite in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        composite.SetForegroundVolumeID(volume.GetID() if volume else None)
        composite.SetForegroundOpacity(_OVERLAY_OPACITY if volume else 0.0)


def toggle_segmentation(segmentation: Any) -> bool:
    """Show the segmentation in the slice views, or hide it; return whether it is shown now."""
    display = segmentation.GetDisplayNode()
    display.SetVisibility(not display.GetVisibility())
    return bool(display.GetVisibility())


def set_window(volume: Any) -> None:
    """Set a volume's grey scale from its 1st to its 99.5th percentile over what is not background, once."""
    display = volume.GetDisplayNode()
    if display is None or volume.GetAttribute("BrainMVP.Window"):
        return
    if volume.GetImageData().GetNumberOfScalarComponents() != 1:
        return  # colours and diffusion volumes have no one grey scale
    array = voxels(volume)
    step = max(1, round((array.size / 2e5) ** (1 / 3)))
    sample = array[::step, ::step, ::step]
    inside = sample[np.isfinite(sample) & (sample != sample.flat[0])]
    if inside.size:
        low, high = np.percentile(inside, (1, 99.5))
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(float(min(low, 0) if low < high / 4 else low), float(high))
    volume.SetAttribute("BrainMVP.Window", "set")  # what the user changes afterwards stays


def color_of_uncertainty(scene: Any) -> Any:
    """Return the colours of the uncertainty: from dark violet to light yellow, so that lightness alone tells too."""
    name = "BrainMVP uncertainty"
    for node in nodes_of(scene, "vtkMRMLColorTableNode"):
        if node.GetName() == name:
            return node
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    colors.SetTypeToUser()
    colors.SetNumberOfColors(256)
    stops = ((0.15, 0.05, 0.35), (0.75, 0.2, 0.45), (1.0, 0.95, 0.6))
    for index in range(256):
        part = index / 255
        color = [np.interp(part, (0, 0.5, 1), [stop[channel] for stop in stops]) for channel in range(3)]
        colors.SetColor(index, f"{part:.2f}", *color, 1.0)
    return colors


def composite_of(scene: Any, view: str) -> Any:
    """Return the node that says what a slice view shows; made where the view is not drawn yet."""
    for node in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        if node.GetLayoutName() == view:
            return node
    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetSingletonTag(view)
    node.SetLayoutName(view)
    return scene.AddNode(node)


def _description(names: dict[str, str]) -> str:
    columns = math.ceil(math.sqrt(len(names)))
    cells = [_cell(sequence, name) for sequence, name in names.items()]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    drawn = "".join(f'<item><layout type="horizontal">{"".join(row)}</layout></item>' for row in rows)
    return f'<layout type="vertical">{drawn}</layout>'


def _cell(sequence: str, name: str) -> str:
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag={quoteattr(name)}>'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{sequence}</property>'
        '<property name="viewcolor" action="default">#5A6B7B</property></view></item>'
    )


def _layout_node(scene: Any) -> Any:
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode") or scene.AddNewNodeByClass("vtkMRMLLayoutNode")


def _crosshair(scene: Any) -> Any:
    found = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    return found or scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
