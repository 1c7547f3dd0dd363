"""`brainmvp segment`: one study into one file, or a folder of studies into a folder."""

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brainmvp.cli.console import (
    BAD_INPUT,
    complain,
    computing,
    print_json,
    print_table,
    progress_bar,
    refused,
    say,
    warn,
)
from brainmvp.cli.doubts import say_doubts
from brainmvp.cli.drafts import spare_another, spare_corrected, write_drafts
from brainmvp.cli.options import BrainTool, Device, ModelOfTask, ServedTask
from brainmvp.cli.outputs import (
    WRITTEN_SUFFIXES,
    check_names,
    check_place,
    spare_scans,
    spare_studies,
    stem,
)
from brainmvp.errors import BrainMVPError
from brainmvp.files import write_json
from brainmvp.sequences import Sequence

if TYPE_CHECKING:
    from brainmvp.segment import Segmenter
    from brainmvp.segmentation import Segmentation
    from brainmvp.study import Study

# Why nothing more can be written to any folder of the results.
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def segment(
    study: Annotated[Path, typer.Argument(help="A study's folder, or a folder of studies.")],
    task: ServedTask,
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
    model: ModelOfTask = None,
    device: Device = "auto",
    reference: Annotated[
        Sequence | None,
        typer.Option(help="The sequence whose grid the result has; default: the task's choice."),
    ] = None,
    brain: BrainTool = "built-in",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report(s) as JSON.")] = False,
) -> None:
    """Segment a study; the result lies on the original grid of one of its sequences.

    Given an output folder, each study gets a folder of its own there (TASK.nii.gz, TASK.seg.nrrd, TASK.json,
    TASK.png, TASK.pdf, and TASK.dcm if it is DICOM); a bad study, or one whose draft there was corrected, is passed
    over and listed at the end, with exit code 2. A sequence that does not align with the others is not used; a picture
    (…_alignment.png) then shows why.
    """
    into_folder = not out.name.lower().endswith(WRITTEN_SUFFIXES)
    extras = {
        "--report": report,
        "--picture": picture,
        "--page": page,
        "--alignment": alignment,
        "--uncertainty": uncertainty,
    }
    check_names(out, into_folder, extras)
    if into_folder:
        _segment_many(study, task, out, model, device, reference, brain, as_json)
        return

    found = _single(study, out)
    checkerboards = alignment or out.parent / f"{stem(out)}_alignment.png"
    spare_scans(found, {"--out": out, **extras, "--alignment": checkerboards})
    if out.suffix.lower() == ".dcm" and not found.series:
        raise BrainMVPError(f"{study} is not DICOM; {out} needs DICOM series to refer to. Use .seg.nrrd.")
    result = run(load(task, model, device, brain), found, reference)
    result.save(out)
    drawn = _draw_alignments(result, checkerboards, always=alignment is not None)
    if uncertainty:
        result.save_uncertainty(uncertainty)
    if picture:
        result.save_picture(picture)
    if page:
        _write_page(result, page)
    if picture or (page and page.suffix.lower() == ".pdf"):
        warn_of_boxes(found.id)
    if report:
        write_json(report, _report(result))
    if as_json:
        print_json(_report(result))
    else:
        show(result)
        written = {path: None for path in (out, *extras.values(), drawn) if path}
        say(f"Written: {', '.join(map(str, written))}")


def _single(folder: Path, out: Path) -> "Study":
    """Read a folder's study; where it holds several, the sentence that is raised says what goes with these."""
    from brainmvp.study import Study, find_studies

    try:
        return Study.from_folder(folder)
    except BrainMVPError:
        if folder.is_dir() and (many := len(find_studies(folder, on_error=lambda *bad: None))) > 1:
            raise BrainMVPError(
                f"{folder} holds {many} studies, and {out} is one file; give the folder of one study, or an output "
                "folder for all."
            ) from None
        raise


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
    from brainmvp.study import find_studies

    failures: list[tuple[Path, BrainMVPError]] = []
    studies = find_studies(root, on_error=lambda folder, error: failures.append((folder, error)))
    if not studies and not failures:
        raise BrainMVPError(f"{root} holds no study; expected folders with files such as patient_t1.nii.gz.")
    spare_studies(root, studies, out)
    check_place(out)
    segmenter = load(task, model, device, brain)
    reports, incomplete = [], []
    for number, study in enumerate(studies, start=1):
        result = None  # the volumes of the last one go before those of the next come
        try:
            spare_another(study, segmenter.task.name, out / study.id)
            spare_corrected(out / study.id, segmenter.task.name)
            result = run(segmenter, study, reference, f"{number}/{len(studies)} ")
            _save_all(result, out / study.id)
        except BrainMVPError as error:
            failures.append((study.folder, _sentence(error)))
            continue
        except OSError as error:
            failures.append((study.folder, refused(error)))
            if error.errno in _NO_PLACE:
                rest = [one.folder for one in studies[number:]]
                failures += [
                    (one, BrainMVPError(f"{one} was not begun, for the same reason.")) for one in rest
                ]
                break
            continue
        reports.append(_report(result))
        if not as_json:
            show(result)
        try:
            _save_dicom(result, out / study.id)
        except BrainMVPError as error:
            incomplete.append((study.folder, _sentence(error)))
    warn_of_boxes("".join(report["study"] for report in reports))
    if as_json:
        listed = [{"folder": str(folder), "error": str(error)} for folder, error in failures + incomplete]
        print_json({"results": reports, "failures": listed})
    else:
        say(f"{len(reports)} segmented into {out}, {len(failures)} not.")
    for _, error in failures + incomplete:
        complain(error)
    if failures or incomplete:
        raise typer.Exit(BAD_INPUT)


def _sentence(error: BrainMVPError) -> BrainMVPError:
    """Return the error without its traceback, which would keep the volumes of its study to the end of the cohort."""
    return BrainMVPError(str(error))


def _report(result: "Segmentation") -> dict[str, Any]:
    return result.study.origin | result.report()


def _save_all(result: "Segmentation", folder: Path) -> None:
    """Write a result as TASK.nii.gz, .seg.nrrd, .json, .png and .pdf into a folder.

    Raises `BrainMVPError` if memory is short for it or a label map was corrected meanwhile, and `OSError` if a file
    cannot be written.
    """
    name = result.task.name
    folder.mkdir(parents=True, exist_ok=True)
    spare_corrected(folder, name)
    # What an earlier run left goes first: it would speak of another label map if this one ended midway. The report goes
    # last, for it knows the label maps.
    for ending in (".nii.gz", ".seg.nrrd", ".dcm", ".png", "_alignment.png", ".pdf", ".json"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)
    with computing(f"The result of {result.study.folder} could not be written"):
        write_drafts(folder, name, (".nii.gz", ".seg.nrrd"), result.save, _report(result))
        result.save_picture(folder / f"{name}.png")
        _write_page(result, folder / f"{name}.pdf")
        _draw_alignments(result, folder / f"{name}_alignment.png")


def _save_dicom(result: "Segmentation", folder: Path) -> None:
    """Write a result as DICOM SEG, TASK.dcm, if it is of DICOM; raises `BrainMVPError`: headers may not suffice."""
    if result.dicom_reference:
        try:
            with computing(f"The DICOM SEG of {result.study.folder} could not be written"):
                write_drafts(folder, result.task.name, (".dcm",), result.save, _report(result))
        except OSError as error:
            raise refused(error) from error


def _draw_alignments(result: "Segmentation", path: Path, always: bool = False) -> Path | None:
    """Draw the alignments if one of them is doubtful: a number alone convinces nobody.

    Else what an earlier run drew there goes: it speaks of another result.
    """
    from brainmvp.registration import doubts

    if always or doubts(result.alignments):
        return result.save_alignment_picture(path)
    path.unlink(missing_ok=True)
    return None


def load(task: str, model: str | None, device: str, brain: str = "built-in") -> "Segmenter":
    """Load a task's model; a device without room for it becomes a sentence."""
    from brainmvp.segment import Segmenter

    with computing(f"The model for {task} could not be loaded"):
        return Segmenter.load(task, model, device, brain=brain)


def run(
    segmenter: "Segmenter", study: "Study", reference: Sequence | None = None, prefix: str = ""
) -> "Segmentation":
    """Segment with a progress bar; what the libraries raise over a study becomes a sentence that names it."""
    with computing(f"{study.folder} could not be computed"), progress_bar(f"{prefix}{study.id}") as tell:
        return segmenter.segment(study, reference, tell)


def _write_page(result: "Segmentation", path: Path) -> None:
    from brainmvp.onepage import write_page

    write_page(result, path)


def warn_of_boxes(names: str) -> None:
    """Say which characters of the names of studies a picture or page shows as boxes."""
    from brainmvp.fonts import undrawn

    if strange := undrawn(names):
        warn(
            f"No font here has {strange}: pictures and PDF pages show boxes; install one, such as Noto Sans CJK."
        )


def show(result: "Segmentation") -> None:
    """Print a result's volumes and what they were made from."""
    from brainmvp.brain import STRIPPED
    from brainmvp.millilitres import written_ml

    rows = [(name, written_ml(volume)) for name, volume in result.measured_ml.items()]
    print_table(f"{result.study.id}, {result.model}", {"Structure": "left", "mL": "right"}, rows)
    say(f"  used {', '.join(result.used)}; on the grid of {result.reference}")
    say(f"  mean uncertainty: {result.uncertainty_in_words}")
    if result.minimum_lesion_ml:
        say(f"  findings below {result.minimum_lesion_ml:g} mL are not marked")
    for note in result.notes:
        say(f"  {note}")
    for sequence, alignment in result.alignments.items():
        if alignment.moved and not alignment.doubt:
            overlap = ""
            if alignment.brains is not None:
                overlap = f"; overlap of the brains {alignment.brains_before:.2f} before, {alignment.brains:.2f} after"
            say(
                f"  {sequence} was moved by {alignment.shift_mm:.1f} mm and turned by {alignment.turn_deg:.1f}°"
                f"{overlap}"
            )
    if result.brain.source != STRIPPED:
        say(f"  the brain was found by: {result.brain.source}, {result.brain_ml:.0f} mL")
    say_doubts(result.flagged, result.brain.doubt, result.filled)
    for reason in result.left_out.values():
        say(f"  left out: {reason}")
    say(f"  {sum(result.seconds.values()):.1f} s, at most {max(result.peak_gib.values()):.2f} GiB of memory")
