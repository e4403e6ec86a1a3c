"""What is on disk and when it counts."""
