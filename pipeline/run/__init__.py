"""Who does the work. Nothing here decides what is done."""
