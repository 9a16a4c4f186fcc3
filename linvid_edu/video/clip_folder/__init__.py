"""A folder of labeled clips: how it is laid out, how it is decoded, and its batches."""
