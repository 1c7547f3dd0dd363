"""What a command gave."""

from typer.testing import Result


def done(result: Result) -> str:
    """Return what a command printed, which has to have ended well."""
    assert result.exit_code == 0, result.stderr or result.exception
    return result.stdout
