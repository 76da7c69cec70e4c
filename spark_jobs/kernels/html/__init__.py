"""The main content of an HTML page as compiled kernels: an HTML5 parser and a walk over its tree."""
