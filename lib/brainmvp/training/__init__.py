"""Train the built-in models on phantoms."""
