"""The outlines of structures that lie in each other are all seen, on the side that they are on."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from brainmvp.picture import show_slice
from brainmvp.tasks import get_task
from brainmvp.view import as_seen

_COLOURS = {label.value: np.array(label.color) / 255 for label in get_task("tumour").labels}
_NECROSIS, _OEDEMA, _ENHANCING = 1, 2, 3


def _rings(necrosis, enhancing, oedema):
    """Return labels (X, Y, 1) of concentric circles; radii: voxels."""
    index = np.arange(80) - 40
    radius = np.hypot(*np.meshgrid(index, index))
    labels = np.zeros(radius.shape, np.uint8)
    for value, size in ((_OEDEMA, oedema), (_ENHANCING, enhancing), (_NECROSIS, necrosis)):
        labels[radius < size] = value
    return labels[:, :, None]


def _drawn(labels):
    """Return how many pixels have about the colour of each label, by value."""
    figure = Figure((3, 3), facecolor="black")
    axis = figure.add_axes((0, 0, 1, 1))
    show_slice(axis, np.full(labels.shape, 0.4), labels, 2, (0, 0, 0), _COLOURS, filled=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    return {v: int((np.abs(pixels - c).max(-1) < 0.15).sum()) for v, c in _COLOURS.items()}


@pytest.mark.parametrize("radii", [(15, 25, 28), (10, 25, 35), (24, 26, 30), (15, 16, 17)])
def test_no_outline_is_drawn_over_by_that_of_a_neighbour(radii):
    assert min(_drawn(_rings(*radii)).values()) > 3 * radii[0]


def test_what_goes_on_beyond_the_picture_is_outlined_at_its_edge():
    labels = np.zeros((40, 40, 1), np.uint8)
    assert not any(_drawn(labels).values())
    assert _drawn(np.full_like(labels, _ENHANCING))[_ENHANCING] > 500  # of 300 pixels a side


def test_the_right_of_the_patient_and_the_face_are_on_the_left():
    image = np.zeros((4, 5, 6))
    image[3, 4, 5] = 1  # right, front, top
    for plane in range(3):
        assert as_seen(image, plane, image.shape[plane] - 1)[-1, 0] == 1
