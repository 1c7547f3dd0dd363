"""A training run: its configuration, its loop on one or many devices, and what it leaves behind."""
