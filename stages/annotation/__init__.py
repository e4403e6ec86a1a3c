"""Stages that say which response is better."""
