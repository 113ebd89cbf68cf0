"""Images with people's scores or votes."""
