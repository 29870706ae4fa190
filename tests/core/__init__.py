"""Tests of the C++ core: each kernel, its Model, and its object files."""
