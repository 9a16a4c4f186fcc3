"""Names that the help texts list, copied from modules that need torch; a test compares the copies."""

TASK_NAMES = ("cue", "motion", "lookup", "flash", "color")
PRESET_NAMES = ("probe", "compact", "gpu")
PRECISION_NAMES = ("32-true", "bf16-mixed")
