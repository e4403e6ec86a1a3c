"""Stages that bring rows into a run."""
