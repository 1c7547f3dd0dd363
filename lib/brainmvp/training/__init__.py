"""Training of the built-in models on phantoms."""
