"""Intensity normalisation of the built-in models: MRI has no units, so each sequence is scaled by its own brain."""

import torch
from torch import Tensor

from brainmvp.sequences import Sequence

# Published preprocessing: percentiles 5 and 95 become 0 and 1 (official script). The built-in models keep what lies
# outside, because contrast enhancement and acute infarcts are exactly that, up to these bounds.
_LOW, _HIGH = -1.0, 4.0
_HISTOGRAM_BINS = 128


def normalise(image: Tensor, brain: Tensor, sequence: Sequence) -> Tensor:
    """Scale one sequence by the intensities of its own brain; zero outside.

    image: (X, Y, Z) float, any scanner units; brain: (X, Y, Z) bool. ADC is quantitative but comes in several units
    (1e-3 and 1e-6 mm²/s): it is divided by the tissue peak of its histogram, so healthy tissue is 1, and clipped to
    0…4. Every other sequence: percentile 5 becomes 0, percentile 95 becomes 1, clipped to -1…4. An empty or
    constant brain gives zeros.
    """
    values = image[brain].float()
    if values.numel() == 0:
        return torch.zeros_like(image, dtype=torch.float32)
    if sequence is Sequence.ADC:
        scaled = image / tissue_peak(values)
        scaled = scaled.clamp(0.0, _HIGH)
    else:
        low, high = percentile(values, 0.05), percentile(values, 0.95)
        if high <= low:
            return torch.zeros_like(image, dtype=torch.float32)
        scaled = ((image - low) / (high - low)).clamp(_LOW, _HIGH)
    return torch.where(brain, scaled, torch.zeros((), dtype=scaled.dtype, device=scaled.device)).float()


def percentile(values: Tensor, fraction: float) -> Tensor:
    """Return the value below which this fraction lies (nearest rank); `torch.quantile` refuses large inputs."""
    rank = round(fraction * (values.numel() - 1)) + 1
    return values.flatten().kthvalue(rank).values


def tissue_peak(values: Tensor) -> Tensor:
    """Return the most frequent intensity (grey and white matter together), whatever the amount of CSF.

    The mode of a smoothed histogram between percentiles 2 and 65, which holds the tissue peak up to a CSF share of
    one half; unlike the median it does not rise with atrophy.
    """
    low, high = percentile(values, 0.02), percentile(values, 0.65)
    if high <= low:
        return low.abs().clamp_min(1e-6)
    counts = torch.histc(values, _HISTOGRAM_BINS, low.item(), high.item())
    kernel = torch.exp(-0.5 * (torch.arange(-6, 7, device=values.device) / 2.0) ** 2)
    smooth = torch.nn.functional.conv1d(counts[None, None], kernel[None, None], padding=6)[0, 0]
    centre = (smooth.argmax() + 0.5) / _HISTOGRAM_BINS
    return (low + centre * (high - low)).clamp_min(1e-6)
