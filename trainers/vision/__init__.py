"""Models that read pictures and text: crops, a vision transformer, a connector, a decoder, and their training."""
