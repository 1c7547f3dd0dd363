"""`brainmvp serve`: the MONAI Label server on a folder of studies or a DICOMweb archive."""

from typing import Annotated

import typer

from brainmvp.cli.options import Device
from brainmvp.errors import BrainMVPError


def serve(
    context: typer.Context,
    studies: Annotated[
        str,
        typer.Option(
            help="The folder that holds the studies, or the address of a DICOMweb archive, such as "
            "http://host/dicom-web; http://host/dicom-web?StudyDescription=*head* narrows its studies down."
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="A web page that may call the server, such as http://localhost:3000; can be repeated."
        ),
    ] = None,
    device: Device = "auto",
    conf: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY VALUE",
            help="A setting, such as `train_after 10`; can be repeated. An unknown key is answered with all of them.",
        ),
    ] = None,
) -> None:
    """Serve segmentation to 3D Slicer and other MONAI Label clients, until Ctrl+C.

    There is no login: on any other address than this computer's own, everyone who reaches it can read and write
    the studies.
    """
    from brainmvp.serve import serve_studies

    keys, values = conf or [], context.args  # what the options have left over: see the package
    if len(values) > len(keys):
        raise BrainMVPError(
            f"There are more words than the options take, among {' '.join(values)}; put quotes around a path with "
            "spaces, and give --conf a key and a value."
        )
    if len(keys) > len(values):
        raise BrainMVPError("--conf takes a key and a value, as in --conf train_after 10.")
    chosen = {"device": device, **dict(zip(keys, values, strict=True))}
    serve_studies(studies, host, port, tuple(allow_origin or ()), chosen)
