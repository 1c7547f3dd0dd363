"""A folder of studies with labels and notes, opened in the test's own process."""

from pathlib import Path

import numpy as np

from brainmvp.tasks import get_task
from brainmvp.volume import Volume, write_volume

TUMOUR = get_task("tumour")


def scan(path: Path) -> Path:
    return write_volume(Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), path)


def opened(root: Path):  # the app can only be imported in a test
    from brainmvp_app.datastore import StudyDatastore

    return StudyDatastore(str(root), (TUMOUR,))


def labelled(root: Path):
    store = opened(root)
    label = write_volume(Volume(np.ones((3, 4, 5), np.uint8), np.eye(4)), root.parent / "label.nii.gz")
    for study in ("p1", "p2"):
        store.save_label(study, str(label), "final", {"annotator": "Anna"})
    return store


def annotators(store) -> list[str]:
    return [store.get_label_info(study, "final")["annotator"] for study in ("p1", "p2")]
