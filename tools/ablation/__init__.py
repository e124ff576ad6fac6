"""Parts of tools/ablate.py: what is compared, how it is scored, tables."""
