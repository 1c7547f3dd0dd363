"""Networks of either backbone that are as small as one can be."""

from brainmvp.networks import NetworkConfig

SMALL = {
    "uniformer": {
        "backbone": "uniformer", "widths": (16, 16, 32, 32), "depths": (1, 1, 1, 1), "fine_width": 8, "head_dim": 16
    },
    "unet": {"backbone": "unet", "widths": (8, 16, 16), "depths": (1, 1, 2)},
}  # fmt: skip


def small(backbone: str, in_channels: int = 2, out_channels: int = 3, **options: object) -> NetworkConfig:
    """Return a small network's configuration."""
    return NetworkConfig(in_channels=in_channels, out_channels=out_channels, **SMALL[backbone], **options)
