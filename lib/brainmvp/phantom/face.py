"""Made-up faces and necks: orbits, nose and sinuses, mouth and throat, spine, and what lies between.

Brain extraction fails where brain meets what looks like brain: globes and fat in the orbit, mucosa that takes up
contrast, marrow of the skull base, muscles under the temporal lobe. They are here, each in its place, and no two
faces are alike. Places and radii are in mm from the middle of the brain's box, for a brain of `STANDARD` mm, read
off the open scan Colin27 (Holmes et al., J Comput Assist Tomogr 1998).
"""

from collections.abc import Callable

import numpy as np

STANDARD = (143.0, 179.0, 151.0)

Point = tuple[float, float, float]
Paint = Callable[[np.ndarray, str | None], None]
Noise = Callable[[float], np.ndarray]


class Space:
    """Coordinates (X, Y, Z) float32 in mm of every voxel, and the shapes that faces are made of."""

    def __init__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
        self.x, self.y, self.z = x, y, z

    def blob(self, centre: Point, radii: Point) -> np.ndarray:
        """Return an ellipsoid, (X, Y, Z) bool."""
        axes = zip((self.x, self.y, self.z), centre, radii, strict=True)
        return sum(((axis - middle) / radius) ** 2 for axis, middle, radius in axes) < 1

    def rod(self, start: Point, end: Point, radius: float, widening: float = 0.0) -> np.ndarray:
        """Return a rod with round ends, (X, Y, Z) bool; `widening` mm thicker at its end than at its start."""
        first, along = np.array(start, np.float32), np.subtract(end, start, dtype=np.float32)
        away = [axis - origin for axis, origin in zip((self.x, self.y, self.z), first, strict=True)]
        part = sum(a * step for a, step in zip(away, along, strict=True)) / float(along @ along)
        part = np.clip(part, 0, 1)
        distance = sum((a - part * step) ** 2 for a, step in zip(away, along, strict=True))
        return distance < (radius + widening * part) ** 2


def outline(space: Space, rng: np.random.Generator) -> np.ndarray:
    """Return the face and the neck with their skin, (X, Y, Z) bool: all below the brow, and the nose."""
    width, length = rng.uniform(68, 78), rng.uniform(84, 94)
    narrowing = np.clip(1 + (space.z + 95) / rng.uniform(110, 220), 0.75, 1)
    inside = (np.abs(space.x) / width) ** 2.3 + (np.abs(space.y - 4) / length) ** 2.3 < narrowing**2.3
    nose = space.blob((0, rng.uniform(94, 102), -70), (13, rng.uniform(12, 20), 22))
    return (inside | nose) & (space.z < -38 + 0.12 * space.y)


def paint_face(space: Space, paint: Paint, noise: Noise, rng: np.random.Generator) -> None:
    """Paint all that lies inside an outline filled with muscle. noise(mm): smooth, of standard deviation 1."""
    fine, middling, coarse = noise(2.5), noise(5.0), noise(9.0)
    planes = coarse + 0.7 * middling
    paint(planes > rng.uniform(1.0, 2.4), "fat")  # between muscles
    _temporal_bones(space, paint, fine, rng)
    _mouth(space, paint, middling, rng)
    _spine(space, paint, rng)
    _nose(space, paint, fine, middling, rng)
    for side in (-1, 1):
        _soft_parts(space, paint, middling, side, rng)
        _orbit(space, paint, side, rng)


def _temporal_bones(space: Space, paint: Paint, fine: np.ndarray, rng: np.random.Generator) -> None:
    """Mastoids with their air cells, sometimes full of fluid, and the clivus with its marrow."""
    for side in (-1, 1):
        mastoid = space.blob((side * 52, -22, -54), (16, 21, 18))
        paint(mastoid, "bone")
        paint(mastoid & (fine > rng.uniform(0, 1.2)), rng.choice(["mucosa", "marrow"]))
        paint(mastoid & (fine < -rng.uniform(0, 1)), None)
        paint(space.blob((side * 62, -14, -50), (12, 3.5, 3.5)), None)  # ear canal
        paint(space.blob((side * 22, 6, -54), (17, 6, 5)), "bone")  # petrous apex
        paint(space.blob((side * 20, 8, -54), (8, 4, 3)), rng.choice(["marrow", "bone"]))
    paint(space.rod((0, 18, -52), (0, 2, -76), 9), "bone")
    paint(space.rod((0, 18, -52), (0, 2, -76), rng.uniform(5, 7.5)), "marrow")


def _mouth(space: Space, paint: Paint, middling: np.ndarray, rng: np.random.Generator) -> None:
    """Palate, jaws with marrow, tongue, and an airway down the throat."""
    for centre, radii in (((0, 66, -89), (31, 28, 7)), ((0, 62, -118), (36, 34, 9))):
        arch = space.blob(centre, radii) & ~space.blob((0, 48, centre[2]), (22, 32, 30))
        paint(arch, "bone")
        paint(arch & (middling > rng.uniform(-0.5, 0.8)), "marrow")
    tongue = space.blob((0, 50, -106), (23, 33, 14))
    paint(tongue, "muscle")
    paint(tongue & (middling > rng.uniform(0.5, 1.5)), "fat")
    paint(space.blob((0, 60, -93), (18, 24, rng.uniform(1, 4))), None)
    paint(space.rod((0, 28, -66), (0, 12, -130), rng.uniform(10, 15)), "mucosa")
    paint(space.rod((0, 28, -70), (0, 13, -130), rng.uniform(4, 9)), None)


def _spine(space: Space, paint: Paint, rng: np.random.Generator) -> None:
    """Vertebrae with marrow and discs, and the cord in its canal."""
    top, low = (0, 0, -82), (0, rng.uniform(-4, 6), -135)
    paint(space.rod(top, low, 12), "bone")
    body = space.rod(top, low, 10)
    paint(body, "marrow")
    paint(body & ((space.z + rng.uniform(0, 17)) % 17 < 4), rng.choice(["muscle", "csf"]))
    for side in (-1, 1):
        lateral = space.rod((side * 20, -16, -80), (side * 19, -16, -130), 7)
        paint(lateral, "bone")
        paint(space.rod((side * 20, -16, -80), (side * 19, -16, -130), 4.5), "marrow")
    canal = (0, -21, -66), (0, rng.uniform(-26, -18), -135)
    paint(space.rod(*canal, 9), "csf")
    paint(space.rod(*canal, 5.5), "nerve")


def _nose(
    space: Space, paint: Paint, fine: np.ndarray, middling: np.ndarray, rng: np.random.Generator
) -> None:
    """The nasal cavity with its turbinates, and four pairs of sinuses: of air, lined with mucosa, or full."""
    swollen = rng.uniform(-0.8, 0.8)
    cavity = space.blob((0, 62, -66), (17, 38, 23))
    paint(space.blob((0, 62, -66), (20, 40, 25)), "bone")
    paint(cavity, None)
    paint(cavity & (middling > swollen), "mucosa")
    paint(cavity & (np.abs(space.x - 2 * middling) < 1.5), "mucosa")  # septum
    cells = (np.abs(space.x) < 14) & (np.abs(space.y - 66) < 22) & (np.abs(space.z + 41) < 7)
    paint(cells, "bone")
    paint(cells & (fine < rng.uniform(-0.3, 0.8)), None)
    paint(cells & (fine > rng.uniform(-0.2, 1.2)), "mucosa")
    for side in (-1, 1):
        for centre, radii in (
            ((29.0, 62.0, -66.0), (13.0, 18.0, 17.0)),
            ((8.0, 27.0, -51.0), (9.0, 12.0, 10.0)),
            ((12.0, 95.0, -24.0), (12.0, 5.0, 13.0)),
        ):
            place = (side * centre[0], *centre[1:])
            size = np.array(radii) * rng.uniform(0.7, 1.15)
            paint(space.blob(place, tuple(size + 2)), "bone")
            paint(space.blob(place, tuple(size)), "mucosa")
            if rng.random() < 0.75:
                paint(space.blob(place, tuple(size * rng.uniform(0.55, 0.97))), None)
            elif rng.random() < 0.5:
                paint(space.blob(place, tuple(size * 0.8)), "vitreous")  # fluid


def _soft_parts(
    space: Space, paint: Paint, middling: np.ndarray, side: int, rng: np.random.Generator
) -> None:
    """Jaw joint and ramus, chewing muscles, fat between them, parotid gland, great vessels, cavernous sinus."""
    ramus = (side * 48, 14, -66), (side * 44, rng.uniform(20, 30), -115)
    paint(space.blob((side * 38, 42, -76), (13, 18, 18)), "muscle")
    paint(space.blob((side * 36, 62, -84), (12, 13, 14)), "fat")
    paint(space.blob((side * 25, 18, -86), (6, 10, 18)), "fat")
    paint(space.blob((side * 20, 36, -56), (7, 6, 9)), rng.choice(["fat", "vessel"]))  # pterygopalatine
    paint(space.rod(*ramus, 6), "bone")
    paint(space.rod(*ramus, 3), "marrow")
    parotid = space.blob((side * 57, 4, -86), (11, 17, 20))
    paint(parotid, "gland")
    paint(parotid & (middling > 0.9), "fat")
    paint(space.rod((side * 27, 6, -135), (side * 22, 12, -56), rng.uniform(2.5, 4)), "vessel")
    paint(space.rod((side * 31, 0, -135), (side * 28, -4, -60), rng.uniform(3, 6)), "vessel")
    paint(space.blob((side * 13, 24, -44), (6, 11, 8)), "vessel")


def _orbit(space: Space, paint: Paint, side: int, rng: np.random.Generator) -> None:
    """A cone of bone filled with fat; in it the globe with its lens, four muscles, the nerve, the lacrimal gland."""
    apex = np.array([side * 13.0, 42.0, -43.0])
    eye = np.array([side * rng.uniform(30, 35), rng.uniform(77, 87), -44 + rng.uniform(-4, 3)])
    rim = np.add(eye, (0, 8, 0))
    size = rng.uniform(16, 20)
    middle = (apex + 2 * eye) / 3
    for wall, tissue in ((2.0, "bone"), (0.0, "fat")):
        cone = space.rod(apex, rim, 3 + wall, size - 3)
        paint(cone | space.blob(middle, (size - 2 + wall, 22 + wall, size - 2 + wall)), tissue)
    radius = rng.uniform(11, 13)
    for shift in ((10, 0), (-10, 0), (0, 10), (0, -10)):
        end = np.add(eye, (shift[0] * radius / 12, 0, shift[1] * radius / 12))
        paint(space.rod(apex, end, rng.uniform(1.5, 3)), "muscle")
    paint(space.rod(apex, eye, rng.uniform(2.5, 4.5)), "csf")
    paint(space.rod(apex, eye, 2.2), "nerve")
    paint(space.blob(np.add(eye, (side * 6, 0, 14)), (5, 7, 4)), "gland")
    paint(space.blob(eye, (radius,) * 3), "muscle")  # the wall
    paint(space.blob(eye, (radius - 1.2,) * 3), "vitreous")
    paint(space.blob(np.add(eye, (0, 0.7 * radius, 0)), (4.5, 2.2, 4.5)), "muscle")
