"""Quantise a float model with the help of texts: smoothing, then second-order rounding.

Per-channel rounding alone loses most where a few input features are far larger than the rest: they
set the scale of a whole token. Smoothing moves a part of their size into the weights
(`smoothing`). Then weights are rounded one input feature after the other, each taking over the
error of those before it as far as the texts' inputs make up for it (`rounding`).

The result is the same to the bit on every CPU: activations come from the core, and all else is
elementwise arithmetic in a fixed order (`ordered`).
"""

from bge_micro.calibration.calibrate import calibrate_checkpoint

__all__ = ["calibrate_checkpoint"]
