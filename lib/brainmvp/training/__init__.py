"""Train the built-in models on phantoms."""

from brainmvp.training.builtin import train_builtin

__all__ = ["train_builtin"]
