"""`python -m brainmvp` is `brainmvp`."""

from brainmvp.cli import main

main()
