"""What people said of images: tables of opinion scores."""
