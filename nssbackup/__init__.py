"""Back up a client certificate and its private key from a Firefox profile, without NSS."""
