"""Read `cert8.db` and `key3.db`, the Berkeley databases of old Firefox."""
