"""The guide: what bare `nssbackup` asks on a terminal."""
