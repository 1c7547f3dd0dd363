"""`brainmvp study`: what is in this folder, and what can be done with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainmvp.cli.console import BAD_INPUT, print_json, print_table, say
from brainmvp.cli.options import AsJson
from brainmvp.errors import BrainMVPError

if TYPE_CHECKING:
    from brainmvp.sequences import Sequence
    from brainmvp.study import NoSequenceError, Study
    from brainmvp.tasks import Task


def study(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or a folder of studies.")],
    as_json: AsJson = False,
) -> None:
    """Show a study's sequences and grids, the tasks it is good for, and what is wrong with it.

    Of a DICOM study every series is listed, with what it is and why, and with the rule that chose among several.
    Every image is read. The exit code is 2 if there is a problem.
    """
    from brainmvp.study import NoSequenceError, find_studies

    problems: list[str] = []
    described: list[dict[str, Any]] = []

    def note(place: Path, error: BrainMVPError) -> None:
        if isinstance(error, NoSequenceError):  # there is something to show all the same
            described.append(_unusable(place, error))
        else:
            problems.append(str(error))

    described += [describe(one) for one in find_studies(folder, on_error=note)]
    if not described and not problems:
        raise BrainMVPError(
            f"{folder} holds no study; expected folders with DICOM files or files such as patient_t1.nii.gz."
        )
    if as_json:
        print_json({"studies": described, "problems": problems})
    else:
        for one in described:
            _show(one)
        for problem in problems:
            say(f"Problem: {problem}")
    if problems or any(one["problems"] for one in described):
        raise typer.Exit(BAD_INPUT)


def describe(study: "Study") -> dict[str, Any]:
    """Return what a study holds and what it is good for, JSON-ready.

    A file that cannot be read is a problem, and the study is good for no task that would read it.
    """
    from brainmvp.foreground import foreground
    from brainmvp.study import OVERRIDE, passed_over
    from brainmvp.tasks import get_task, task_names
    from brainmvp.volume import read_volume

    sequences, readable, problems = {}, set(), []
    for sequence, path in study.images.items():
        try:
            volume = read_volume(path)
            foreground(volume)  # what shows nothing is refused by a segmentation, too
        except BrainMVPError as error:
            problems.append(str(error))
            continue
        readable.add(sequence)
        sequences[str(sequence)] = {
            "file": path.name,
            "shape": list(volume.shape),
            "spacing_mm": [round(float(edge), 3) for edge in volume.spacing],
            "orientation": _orientation(volume.affine),
        }
    settled = bool(study.series) or (study.folder / OVERRIDE).is_file()
    return {
        "study": study.id,
        "folder": str(study.folder),
        "sequences": sequences,
        "series": [entry.as_json() for entry in study.series],
        "label": study.label.name if study.label else None,
        "notes": [] if settled else passed_over(study.folder),
        "tasks": {name: _offer(study, readable, get_task(name)) for name in task_names()},
        "problems": problems,
    }


def _unusable(folder: Path, error: "NoSequenceError") -> dict[str, Any]:
    from brainmvp.tasks import task_names

    return {
        "study": folder.name,
        "folder": str(folder),
        "sequences": {},
        "series": [entry.as_json() for entry in error.series],
        "label": None,
        "notes": [],
        "tasks": {name: {"possible": False, "why_not": "No series can be used."} for name in task_names()},
        "problems": [str(error)],
    }


def _offer(study: "Study", available: "set[Sequence]", task: "Task") -> dict[str, Any]:
    if broken := [str(one) for one in task.sequences if one in study.images and one not in available]:
        return {
            "possible": False,
            "why_not": f"{' and '.join(broken)} cannot be used; see the problem below.",
        }
    try:
        task.check_sequences(available, study.id, study.unusable)
    except BrainMVPError as error:
        return {"possible": False, "why_not": str(error)}
    regions, left_out = task.offered(available, {*study.unusable, *study.images})
    return {
        "possible": True,
        "regions": [region.name for region in regions],
        "missing": [str(sequence) for sequence in task.sequences if sequence not in available],
        "left_out": left_out,
    }


def _orientation(affine: Any) -> str:
    import nibabel as nib

    return "".join(nib.aff2axcodes(affine))


def _show(found: dict[str, Any]) -> None:
    from brainmvp.tasks import get_task

    columns = dict.fromkeys(("Sequence", "File", "Voxels", "mm", "Axes"), "left")
    rows = [
        (name, image["file"], _times(image["shape"]), _times(image["spacing_mm"]), image["orientation"])
        for name, image in found["sequences"].items()
    ]
    print_table(found["study"], columns, rows)
    if found["series"]:
        _show_series(found["series"])
    if found["label"]:
        say(f"  Label map beside the images: {found['label']}")
    for name, offer in found["tasks"].items():
        if not offer["possible"]:
            say(f"  {name}: no. {offer['why_not']}")
            continue
        missing = f"; without {', '.join(offer['missing'])}" if offer["missing"] else ""
        titles = [region.title for region in get_task(name).regions if region.name in offer["regions"]]
        say(f"  {name}: {', '.join(titles)}{missing}")
        for reason in offer["left_out"].values():
            say(f"    {reason}")
    for note in found["notes"]:
        say(f"  Not read: {note}.")
    for problem in found["problems"]:
        say(f"  Problem: {problem}")


def _show_series(series: list[dict[str, Any]]) -> None:
    from brainmvp.dicom.choose import RULE

    rows = [
        (
            str(one["series"] or ""),
            one["description"],
            _times(one["shape"]) + (f" ({one['volumes']} volumes)" if one["volumes"] > 1 else ""),
            one["what"],
            one["why"],
            ": ".join(filter(None, [one["use"], one["reason"] if one["reason"] != one["what"] else ""])),
        )
        for one in series
    ]
    print_table(
        "Every series", dict.fromkeys(("No.", "Series", "Voxels", "What", "Why", "Use"), "left"), rows
    )
    for one in series:
        for contradiction in one["contradictions"]:
            say(f"  Contradiction in series {one['series']}, taken for {one['what']}: {contradiction}")
        for note in one["notes"]:
            say(f"  Series {one['series']}: {note}")
    if any(one["use"] == "alternative" for one in series):
        say(f"  {RULE}")


def _times(values: list[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)
