"""How near the vectors come to exact arithmetic on the same weights."""
