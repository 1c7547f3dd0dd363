"""The one exception that speaks to the user, and how it quotes others."""


class BrainMVPError(ValueError):
    """Bad input, said in one sentence that names the file and the remedy.

    The command line prints it and exits with code 2; the server answers it with a 4xx status.
    """


def first_line(error: Exception) -> str:
    """Return what an error says first, or its type where it says nothing, to be quoted in a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
