"""Stages that choose rows and pairs."""
