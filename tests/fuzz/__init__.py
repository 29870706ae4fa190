"""Fuzzing of the code that reads outside input: scripts/fuzz.sh; every test run runs a part.

A target is a module with `fuzz(data)`, which raises where something is wrong, and, where inputs
have a structure that random damage hardly ever keeps, `mutate(data, most, rng, damage)`: another
input of at most so many bytes, made by edits of its own or by `damage(data, most)`. The core's is
fuzz_core.cpp.
"""
