"""The error of the vectors against exact arithmetic on the same weights."""
