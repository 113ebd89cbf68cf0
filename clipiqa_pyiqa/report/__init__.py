"""What every report is made of: HTML pages that need nothing else, sheets of images, tables."""
