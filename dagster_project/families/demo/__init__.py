"""The sizes of the demo."""
