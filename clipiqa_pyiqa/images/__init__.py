"""Images from wherever they come: sources, the reader, and the one path from files to encoded batches."""
