"""Commands that score images and show what can be asked."""
