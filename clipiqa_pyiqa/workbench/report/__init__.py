"""Parts of reports: tables, matplotlib basics, sheets of images, HTML pages."""
