"""Stages and an engine that are not prefmill's own."""
