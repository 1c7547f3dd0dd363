"""The one exception that speaks to the user."""


class BrainMVPError(ValueError):
    """Bad input, said in one sentence that names the file and the remedy.

    The command line prints it and exits with code 2; the server answers it with a 4xx status.
    """
