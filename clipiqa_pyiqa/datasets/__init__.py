"""Images with scores or votes that people gave, from files and from pyiqa's data sets."""
