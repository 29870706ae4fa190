"""Tests of the C++ core: its kernels one by one, its Model, and its object files."""
