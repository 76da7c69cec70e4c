"""Inputs of the demo, made on this machine."""
