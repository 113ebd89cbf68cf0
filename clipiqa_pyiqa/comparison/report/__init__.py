"""A comparison as people read it: tables, pictures and one HTML page."""
