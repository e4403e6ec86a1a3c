"""Stages that ask the policy."""
