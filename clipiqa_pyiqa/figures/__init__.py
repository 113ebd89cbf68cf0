"""The paper's figures and experiments: radar, sweep, pairs, rank and agreement."""
