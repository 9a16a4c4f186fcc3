"""Names and defaults that help shows. They stand here so that help does not import torch; a test compares both."""

TASKS = ("cue", "motion", "lookup", "flash")
PRESETS = ("probe", "compact", "gpu")
PRECISIONS = ("32-true", "bf16-mixed")
