"""Stages of AutoRule: from labelled pairs to rules, and from rules to scores."""
