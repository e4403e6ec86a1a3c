"""Stages that make instructions."""
