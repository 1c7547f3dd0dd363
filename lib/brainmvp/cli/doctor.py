"""`brainmvp doctor`: is this installation ready, and what to do if not."""

from dataclasses import asdict
from typing import Annotated

import typer

from brainmvp.cli.console import BAD_INPUT, print_json, say
from brainmvp.cli.options import AsJson


def doctor(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The server's port.")] = 8000,
    as_json: AsJson = False,
) -> None:
    """Check versions, PyTorch, the models, memory, a port and MONAI Label, and say what to do.

    The exit code is 2 if something does not work.
    """
    from brainmvp.doctor import examine

    checks = examine(port)
    ready = all(check.state != "problem" for check in checks)
    if as_json:
        print_json({"ready": ready, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            say(f"{check.state:>8}  {check.name}: {check.found}")
            if check.remedy:
                say(f"          {check.remedy}")
        say("Ready." if ready else "Not ready: see above.")
    if not ready:
        raise typer.Exit(BAD_INPUT)
