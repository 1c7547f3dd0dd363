"""The page's picture: three planes through the finding, in the reference and in what shows it otherwise."""

from io import BytesIO

import numpy as np
from matplotlib.figure import Figure

from brainmvp.picture import finding_centre, show_slice
from brainmvp.segmentation import Segmentation
from brainmvp.sequences import Sequence
from brainmvp.spatial import resample_labels
from brainmvp.view import View
from brainmvp.volume import read_volume

# What shows most beside the reference: the first of these that was used and is not the reference.
_SECOND = (Sequence.FLAIR, Sequence.ADC, Sequence.T2, Sequence.T1CE, Sequence.T1, Sequence.DWI)


def draw_planes(result: Segmentation) -> bytes:
    """Return a PNG: axial, coronal and sagittal slices through most of the finding, outlined, by sequence."""
    target = read_volume(result.study.images[result.reference])
    view = View.of(target, result.brain.mask)
    values = resample_labels(result.labels.data, result.labels.affine, view.grid)
    centre = finding_centre(values)
    second = next((s for s in _SECOND if s in result.used and s is not result.reference), None)
    shown = [s for s in (result.reference, second) if s is not None]
    colours = {label.value: np.array(label.color) / 255 for label in result.task.labels}
    figure = Figure(figsize=(9, 3.3 * len(shown)), facecolor="black", layout="constrained")
    for row, sequence in zip(figure.subplots(len(shown), 3, squeeze=False), shown, strict=True):
        world = result.alignments[sequence].world if sequence in result.alignments else None
        volume = target if sequence is result.reference else read_volume(result.study.images[sequence])
        image = view.grey(volume, world)
        for axes, plane, name in zip(row, (2, 1, 0), ("axial", "coronal", "sagittal"), strict=True):
            show_slice(axes, image, values, plane, centre, colours, filled=False)
            axes.set_axis_off()
            axes.set_title(f"{sequence}, {name}", color="white", fontsize=10)
    buffer = BytesIO()
    figure.savefig(buffer, dpi=130, facecolor="black", format="png")
    return buffer.getvalue()
