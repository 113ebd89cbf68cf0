"""Commands that learn from people's scores."""
