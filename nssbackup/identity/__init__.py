"""Certificates, private keys, chains, and which identity is meant."""
