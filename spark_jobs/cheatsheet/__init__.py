"""The Foundation Model Development Cheatsheet: reads its resource file, repairs and merges its rows, with reasons."""
