"""Images with people's scores or votes, from files and from pyiqa's data sets."""
