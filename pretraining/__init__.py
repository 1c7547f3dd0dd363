"""The proxy tasks of BrainMVP: cross-modal reconstruction, template distillation, contrast of two views."""
