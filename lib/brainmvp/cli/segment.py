"""`brainmvp segment`: one study into one file, or a folder of studies into a folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainmvp.cli.console import BAD_INPUT, complain, print_json, print_table, progress_bar, say
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.sequences import Sequence, is_label

if TYPE_CHECKING:
    from brainmvp.segment import Segmenter
    from brainmvp.segmentation import Segmentation
    from brainmvp.study import Study

# What the writers of label maps and of plain images can write.
_IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_LABEL_SUFFIXES = (*_IMAGE_SUFFIXES, ".dcm")


def segment(
    study: Annotated[Path, typer.Argument(help="A study's folder, or a folder of studies.")],
    task: Annotated[str, typer.Option(help="tumour or stroke.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The segmentation: .nii.gz, .seg.nrrd, .nrrd, .mha or, of a DICOM study, .dcm (DICOM SEG); "
            "or a folder, for many."
        ),
    ],
    report: Annotated[Path | None, typer.Option(help="Write the report here (.json).")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the result here (.png).")] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="One page to attach or print: slices, volumes, diameters (.html, .pdf)."),
    ] = None,
    alignment: Annotated[
        Path | None,
        typer.Option(
            help="Draw here how the sequences lie on each other (.png); if one is doubtful, drawn unasked."
        ),
    ] = None,
    uncertainty: Annotated[Path | None, typer.Option(help="Write the uncertainty, 0 to 1, here.")] = None,
    model: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION; default: the task's own.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    reference: Annotated[
        Sequence | None,
        typer.Option(help="The sequence whose grid the result has; default: the task's choice."),
    ] = None,
    brain: Annotated[
        str, typer.Option(help="Who removes a skull: built-in, or hd-bet or synthstrip where installed.")
    ] = "built-in",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report(s) as JSON.")] = False,
) -> None:
    """Segment a study; the result lies on the original grid of one of its sequences.

    Given an output folder, each study gets a folder of its own there (TASK.nii.gz, TASK.seg.nrrd, TASK.json,
    TASK.png, TASK.pdf, and TASK.dcm if it is DICOM); a bad study is passed over and listed at the end, with exit
    code 2. A sequence that does not align with the others is not used; a picture (…_alignment.png) then shows why.
    """
    into_folder = not out.name.lower().endswith(_LABEL_SUFFIXES)
    extras = {
        "--report": report,
        "--picture": picture,
        "--page": page,
        "--alignment": alignment,
        "--uncertainty": uncertainty,
    }
    _check_names(out, into_folder, extras)
    if into_folder:
        _segment_many(study, task, out, model, device, reference, brain, as_json)
        return

    from brainmvp.segment import Segmenter
    from brainmvp.study import Study

    found = Study.from_folder(study)
    _spare_scans(found, {"--out": out, **extras})
    if out.suffix.lower() == ".dcm" and not found.series:
        raise BrainMVPError(f"{study} is not DICOM; {out} needs DICOM series to refer to. Use .seg.nrrd.")
    segmenter = Segmenter.load(task, model, device, brain=brain)
    result = _run(segmenter, found, reference)
    result.save(out)
    if alignment:
        flagged = None
        result.save_alignment_picture(alignment)
    else:
        flagged = _draw_flagged(result, out.parent / f"{out.name.split('.')[0]}_alignment.png")
    if uncertainty:
        result.save_uncertainty(uncertainty)
    if picture:
        result.save_picture(picture)
    if page:
        _write_page(result, page)
    if report:
        write_json(report, result.report())
    if as_json:
        print_json(result.report())
    else:
        show(result)
        say(f"Written: {', '.join(str(path) for path in (out, *extras.values(), flagged) if path)}")


def _check_names(out: Path, into_folder: bool, extras: dict[str, Path | None]) -> None:
    """Refuse names that could not be written, before the minutes of work and not after."""
    if into_folder and out.suffix and not out.is_dir():
        raise BrainMVPError(
            f"{out} is no format that is written here; use {', '.join(_LABEL_SUFFIXES)} or a folder."
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


def _spare_scans(study: "Study", outputs: dict[str, Path | None]) -> None:
    """Refuse to write over a scan, over another output, or what would be taken for a scan of the study later."""
    from brainmvp.study import OVERRIDE, files_of

    scans = {file.resolve() for image in study.images.values() for file in files_of(image)}
    folders = {study.folder, *(scan.parent for scan in scans)}
    settled = (study.folder / OVERRIDE).is_file()
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in scans:
            raise BrainMVPError(f"{option} {path} is a scan of the study; choose another name.")
        if first := taken.get(place):
            raise BrainMVPError(f"{first} and {option} both name {path}; give each a name of its own.")
        taken[place] = option
        beside = place.parent in folders and path.name.lower().endswith(_IMAGE_SUFFIXES)
        if beside and not settled and not is_label(path.name):
            name = path.name.partition(".")
            raise BrainMVPError(
                f"{option} {path} would be taken for a scan of the study from then on; "
                f"choose another folder, or a name such as {name[0]}_seg.{name[2]}."
            )


def _spare_studies(root: Path, studies: "list[Study]", out: Path) -> None:
    """Refuse an output folder whose results would be taken for studies, or for scans of one, later."""
    place, root = out.resolve(), root.resolve()
    if any(place / study.id == study.folder for study in studies):
        raise BrainMVPError(f"The results in {out} would lie among the scans; choose another folder.")
    if place.is_relative_to(root) and root not in (study.folder for study in studies):
        raise BrainMVPError(
            f"The results in {out} would be taken for studies of {root} from then on; choose a folder outside."
        )


def _segment_many(
    root: Path,
    task: str,
    out: Path,
    model: str | None,
    device: str,
    reference: Sequence | None,
    brain: str,
    as_json: bool,
) -> None:
    from brainmvp.segment import Segmenter
    from brainmvp.study import find_studies

    failures: dict[str, BrainMVPError] = {}
    studies = find_studies(root, on_error=lambda folder, error: failures.update({folder.name: error}))
    if not studies and not failures:
        raise BrainMVPError(f"{root} holds no study; expected folders with files such as patient_t1.nii.gz.")
    _spare_studies(root, studies, out)
    segmenter = Segmenter.load(task, model, device, brain=brain)
    reports = []
    for number, study in enumerate(studies, start=1):
        try:
            result = _run(segmenter, study, reference, f"{number}/{len(studies)} ")
            save_all(result, out / study.id)
        except BrainMVPError as error:
            failures[study.id] = error
            continue
        reports.append(result.report())
        if not as_json:
            show(result)
    if as_json:
        print_json({"results": reports, "failures": {name: str(error) for name, error in failures.items()}})
    else:
        say(f"{len(reports)} segmented into {out}, {len(failures)} not.")
    for error in failures.values():
        complain(error)
    if failures:
        raise typer.Exit(BAD_INPUT)


def save_all(result: "Segmentation", folder: Path) -> None:
    """Write a result as TASK.nii.gz, .seg.nrrd, .png, .pdf, .json and, of DICOM, .dcm into a folder."""
    name = result.task.name
    result.save(folder / f"{name}.nii.gz")
    result.save(folder / f"{name}.seg.nrrd")
    if result.dicom_reference:
        result.save(folder / f"{name}.dcm")
    result.save_picture(folder / f"{name}.png")
    write_json(folder / f"{name}.json", result.report())
    _write_page(result, folder / f"{name}.pdf")
    _draw_flagged(result, folder / f"{name}_alignment.png")


def _draw_flagged(result: "Segmentation", path: Path) -> Path | None:
    """Draw the alignments if one of them is doubtful: a number alone convinces nobody."""
    return result.save_alignment_picture(path) if result.flagged else None


def _run(
    segmenter: "Segmenter", study: "Study", reference: Sequence | None, prefix: str = ""
) -> "Segmentation":
    with progress_bar(f"{prefix}{study.id}") as tell:
        return segmenter.segment(study, reference, tell)


def _write_page(result: "Segmentation", path: Path) -> None:
    from brainmvp.onepage import write_page

    write_page(result, path)


def show(result: "Segmentation") -> None:
    """Print a result's volumes and what they were made from."""
    from brainmvp.brain import STRIPPED

    rows = [(name, f"{volume:.2f}") for name, volume in result.volumes_ml.items()]
    print_table(f"{result.study.id}, {result.model}", {"Structure": "left", "mL": "right"}, rows)
    say(f"  used {', '.join(result.used)}; on the grid of {result.reference}")
    for sequence, alignment in result.alignments.items():
        if alignment.doubt:
            say(f"  {sequence} is not used, its alignment is doubtful: {alignment.doubt}")
        elif alignment.moved:
            overlap = ""
            if alignment.brains is not None:
                overlap = f"; overlap of the brains {alignment.brains_before:.2f} before, {alignment.brains:.2f} after"
            say(
                f"  {sequence} was moved by {alignment.shift_mm:.1f} mm and turned by {alignment.turn_deg:.1f}°"
                f"{overlap}"
            )
    if result.brain and result.brain.source != STRIPPED:
        say(f"  the brain was found by: {result.brain.source}, {result.brain_ml:.0f} mL")
    if result.brain and result.brain.doubt:
        say(f"  look at the brain: {result.brain.doubt}")
    missing = [sequence for sequence in result.filled if sequence not in result.flagged]
    if missing:
        say(f"  missing, filled: {', '.join(missing)}")
    for reason in result.left_out.values():
        say(f"  left out: {reason}")
    steps = (
        f"{name} {value:.1f} s, {result.peak_gib[name]:.2f} GiB" for name, value in result.seconds.items()
    )
    say(
        f"  {sum(result.seconds.values()):.1f} s; each step, and the most memory until its end: {'; '.join(steps)}"
    )
