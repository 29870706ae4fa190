"""Same text, same bits: in any batch, on any thread count, instruction set and float mode."""
