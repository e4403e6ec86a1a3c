"""Stages about all responses of a prompt together: general preferences instead of scores."""
