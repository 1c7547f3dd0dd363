"""Where a command may write: never over what somebody has, nor what would be taken for a scan later."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from brainmvp.errors import BrainMVPError
from brainmvp.files import TEMPORARY
from brainmvp.sequences import is_label

if TYPE_CHECKING:
    from brainmvp.study import Study

# What the writers of label maps and of plain images can write.
_IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
WRITTEN_SUFFIXES = (*_IMAGE_SUFFIXES, ".dcm")


def stem(path: Path) -> str:
    """Return a label map's name without the ending of its format: other dots are part of the name."""
    ending = next((s for s in (".seg.nrrd", *WRITTEN_SUFFIXES) if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def check_names(out: Path, into_folder: bool, extras: dict[str, Path | None]) -> None:
    """Refuse names that could not be written, before the minutes of work and not after."""
    if into_folder and out.suffix and not out.is_dir():
        raise BrainMVPError(
            f"{out} is no format that is written here; use {', '.join(WRITTEN_SUFFIXES)} or a folder."
        )
    if out.is_file() and into_folder:
        raise BrainMVPError(f"{out} is a file; give a folder, or a name such as {out}.nii.gz.")
    wanted = {
        "--report": (".json",),
        "--picture": (".png",),
        "--page": (".html", ".pdf"),
        "--alignment": (".png",),
        "--uncertainty": _IMAGE_SUFFIXES,
    }
    for option, path in extras.items():
        if path is None:
            continue
        if into_folder:
            raise BrainMVPError(
                f"{option} goes with one output file; an output folder gets the report, the picture and the page."
            )
        if not path.name.lower().endswith(wanted[option]):
            raise BrainMVPError(f"{option} {path} must end in {' or '.join(wanted[option])}.")


def spare_scans(study: "Study", outputs: dict[str, Path | None]) -> None:
    """Refuse to write over what the study has, over another output, or what would be taken for a scan of it later.

    outputs: by option.
    """
    from brainmvp.study import OVERRIDE, holds_images

    kept = _kept(study)
    settled = (study.folder / OVERRIDE).is_file()
    searched = {study.folder, *(file.parent for file in kept)}
    # The search for studies goes on below a folder of DICOM files.
    goes_on = not holds_images(study.folder)
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if what := kept.get(place):
            raise BrainMVPError(f"{option} {path} is {what}; choose another name.")
        if first := taken.get(place):
            raise BrainMVPError(f"{first} and {option} both name {path}; give each a name of its own.")
        taken[place] = option
        below = goes_on and place.is_relative_to(study.folder)
        found = (below or place.parent in searched) and path.name.lower().endswith(_IMAGE_SUFFIXES)
        if found and not settled and not is_label(path.name):
            raise BrainMVPError(
                f"{option} {path} would be taken for a scan of the study from then on; "
                f"choose another folder, or a name such as {stem(path)}_seg{path.name[len(stem(path)) :]}."
            )


def _kept(study: "Study") -> dict[Path, str]:
    """Return what of the study's folder is never written over, and what to call it; used for this result or not."""
    from brainmvp.study import OVERRIDE, files_of, image_files

    beside = image_files(study.folder)
    scans = [*beside, *(file for image in study.images.values() for file in files_of(image))]
    labels = [file for file in beside if is_label(file.name)] + ([study.label] if study.label else [])
    # Scans that are not used, and DICOM SEG.
    below = study.folder.rglob("*") if study.series else ()
    dicom = [file for file in below if file.suffix.lower() == ".dcm"]
    # A result of this program and one that somebody went over look the same.
    kept = dict.fromkeys(map(Path.resolve, dicom), "a DICOM file of the study")
    kept |= dict.fromkeys(map(Path.resolve, scans), "a scan of the study")
    kept |= dict.fromkeys(
        map(Path.resolve, labels), "a segmentation beside the scans, perhaps somebody's work"
    )
    return kept | {(study.folder / OVERRIDE).resolve(): "what says which scan is which"}


def spare_studies(root: Path, studies: "list[Study]", out: Path) -> None:
    """Refuse an output folder whose results would be taken for studies, or for scans of one, later."""
    from brainmvp.study import holds_images

    place, root = out.resolve(), root.resolve()
    if any(place / study.id == study.folder for study in studies):
        raise BrainMVPError(f"The results in {out} would lie among the scans; choose another folder.")
    if place.is_relative_to(root) and not holds_images(root):
        raise BrainMVPError(
            f"The results in {out} would be taken for studies of {root} from then on; choose a folder outside."
        )


def check_place(out: Path) -> None:
    """Raise `OSError` that names the output folder if nothing can be written to it: minutes of work come before."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(prefix=TEMPORARY, dir=out) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(out)) from error
