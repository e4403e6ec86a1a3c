"""Stages of arithmetic between scores and pairs: shaping, length control, combination."""
