"""Parts of tools/follow_prompt.py: queries that leave the task open, measures, pictures, tables."""
