"""Put an identity into a profile. Nothing else in the package writes to one."""
