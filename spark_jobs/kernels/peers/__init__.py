"""Statistics and line edits as datatrove, dolma and C4 define them, as compiled kernels."""
