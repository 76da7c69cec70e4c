"""The local page on which teachers judge how well problems teach standards."""
