"""The system: files and folders, memory and cores."""
