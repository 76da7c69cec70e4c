"""fastText classifiers: training, reading model files, and the quality, topic and language of a text."""
