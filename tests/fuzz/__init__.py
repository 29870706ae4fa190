"""What reads input from outside, given anything: scripts/fuzz.sh; a little of it in every test run.

A target is a module with `fuzz(data)`, which raises where something is wrong, and, where inputs
have a structure that random damage hardly ever keeps, `mutate(data, most, rng, damage)`: another
input of at most so many bytes, made by edits of its own or by `damage(data, most)`. The core's is
fuzz_core.cpp.
"""
