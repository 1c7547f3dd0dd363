"""A published checkpoint becomes a version in the model store."""

from datetime import date
from pathlib import Path

from filelock import FileLock

from brainmvp.card import Card
from brainmvp.files import digest_of
from brainmvp.modelstore import Model, ModelStore
from brainmvp.networks.checkpoint import ImportReport, import_published
from brainmvp.sequences import Sequence
from brainmvp.templates import export_templates

# The published networks work on crops of this size at 1 mm (official script).
_WINDOW = (96, 96, 96)


def import_model(
    path: Path, store: ModelStore, name: str = "encoder"
) -> tuple[Model, ImportReport, list[Path]]:
    """Store a published checkpoint as the next version of `name`, to fine-tune from, and export its templates.

    Only what the file had is stored; what a segmentation network needs beyond that starts at random when it is
    fine-tuned. Returns the version, what became of each entry, and the template files (in the version's folder).
    Raises `BrainMVPError`, and stores nothing, if the file cannot be read safely or fits badly, or the disk is full.
    """
    weights, config, templates, report = import_published(path)
    new = set(report.initialised)
    card = Card(
        name=name,
        version=store.next_version(name),
        kind="encoder",
        title=f"BrainMVP {config.backbone}, imported from {path.name}",
        sequences=tuple(Sequence),
        network=config,
        spacing=1.0,
        window=_WINDOW,
        created=date.today(),
        training={
            "imported_from": path.name, "sha256": digest_of(path), "entries_matched": len(report.matched),
        },
        licence="as the published checkpoint's",
    )  # fmt: skip
    learned = {key: value for key, value in weights.items() if key not in new}
    if templates is None:
        return store.add(card, learned), report, []
    model = store.add(card, learned, lambda folder: export_templates(templates, folder / "templates"))
    return model, report, [model.folder / "templates" / f"{sequence}.nii.gz" for sequence in Sequence]


def import_once(path: Path, store: ModelStore) -> tuple[Model, ImportReport | None]:
    """Return the version that a checkpoint is stored as; imported now if it was not, then with what became of it.

    Processes that ask at the same time get the same version. Raises as `import_model` does.
    """
    known = find_imported(path, store)
    if known:
        return known, None
    store.root.mkdir(parents=True, exist_ok=True)
    with FileLock(store.root / ".import.lock"):
        known = find_imported(path, store)
        return (known, None) if known else import_model(path, store)[:2]


def find_imported(path: Path, store: ModelStore) -> Model | None:
    """Return the version that a checkpoint was imported as, by the file's content, or None."""
    if not path.is_file():
        return None
    digest = digest_of(path)
    return next((m for m in store.models() if m.card.training.get("sha256") == digest), None)
