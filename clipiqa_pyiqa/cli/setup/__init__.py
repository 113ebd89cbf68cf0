"""Commands that look after weights and measure this machine."""
