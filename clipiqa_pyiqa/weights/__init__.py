"""Which checkpoint belongs to a backbone, where it comes from, and how it is opened safely."""
