"""BrainMVP: multi-sequence brain MRI segmentation with one pretrained encoder."""

__version__ = "0.1.0"
