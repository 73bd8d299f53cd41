"""What the operating system is asked for: files, folders, processes, rights."""
