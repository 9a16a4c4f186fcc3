"""Names that help shows and that are defined beside code that needs torch; a test compares them with this list."""

TASKS = ("cue", "motion", "lookup", "flash")
PRESETS = ("probe", "compact", "gpu")
PRECISIONS = ("32-true", "bf16-mixed")
