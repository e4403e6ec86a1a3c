"""How far an annotator can be trusted: its scores against labels of people."""
