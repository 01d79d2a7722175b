"""What the Makefile calls: checks and generated pages. Not part of the installed package."""
