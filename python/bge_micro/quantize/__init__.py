"""Float weights to int8 with one scale per output channel, and back.

Rounding alone loses most if a few input features are far larger than the rest, because they set the
scale of a whole token. Smoothing moves a part of their size into the weights (`smoothing`). With
calibration texts, weights are then rounded one input feature after the other, and each compensates
for the errors of those before it, as far as the texts' inputs allow (`second_order`).

The result has the same bits on every CPU: the core computes activations, and the rest is
elementwise arithmetic in a fixed order (`ordered`).
"""

from bge_micro.quantize.checkpoint import dequantize_checkpoint, quantize_checkpoint
from bge_micro.quantize.rows import dequantize_rows, quantize_rows
from bge_micro.quantize.second_order import Rounding

__all__ = [
    "Rounding",
    "dequantize_checkpoint",
    "dequantize_rows",
    "quantize_checkpoint",
    "quantize_rows",
]
