"""Parts of every report: tables in any format, matplotlib basics, sheets of images, HTML pages."""
