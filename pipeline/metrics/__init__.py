"""Published figures of evaluations, computed from rows: length-controlled win rate, WB-Score, WB-Reward, agreement."""
