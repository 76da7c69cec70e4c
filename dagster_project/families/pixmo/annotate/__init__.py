"""A local page on which people describe pictures, ask and answer, and point."""
