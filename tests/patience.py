"""How long tests wait for what must come; only a hang takes so long."""

PATIENCE = 300.0  # seconds; for machines that are busy with other things
