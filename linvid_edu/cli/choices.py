"""Names that help shows and that are defined beside code that needs torch; a test compares them with this list."""

TASK_NAMES = ("cue", "motion", "lookup", "flash")
PRESET_NAMES = ("probe", "compact", "gpu")
PRECISION_NAMES = ("32-true", "bf16-mixed")
