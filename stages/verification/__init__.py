"""Checks of a response that need no model."""
