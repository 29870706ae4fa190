"""Float weights to int8 with one scale per output channel, and back.

Rounding alone loses most where a few input features are far larger than the rest: they set the
scale of a whole token. Smoothing moves a part of their size into the weights (`smoothing`). With
texts to calibrate by, weights are then rounded one input feature after the other, each taking over
the error of those before it as far as the texts' inputs make up for it (`second_order`).

The result is the same to the bit on every CPU: activations come from the core, and all else is
elementwise arithmetic in a fixed order (`ordered`).
"""

from bge_micro.quantize.checkpoint import dequantize_checkpoint, quantize_checkpoint
from bge_micro.quantize.rows import dequantize_rows, quantize_rows

__all__ = ["dequantize_checkpoint", "dequantize_rows", "quantize_checkpoint", "quantize_rows"]
