"""A file of votes that tests read."""


def write_votes(folder, *lines, head="attribute,first,second,choice"):
    """Write ``votes.csv`` with these lines, and return its path."""
    path = folder / "votes.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path
