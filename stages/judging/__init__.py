"""Stages that ask a judge about a response or a pair."""
