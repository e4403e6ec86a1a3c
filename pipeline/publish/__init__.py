"""Writes a finished run as a dataset that others can load."""
