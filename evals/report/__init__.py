"""A run record and its scores, for people: the terminal and Markdown."""
