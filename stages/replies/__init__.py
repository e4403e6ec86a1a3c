"""Asking a model until its reply can be used, and reading what it says."""
