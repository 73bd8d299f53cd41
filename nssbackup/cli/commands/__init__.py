"""The commands, one a module: options to values, one call of the library, one rendering."""
