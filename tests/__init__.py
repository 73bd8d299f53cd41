"""Tests of nssbackup."""
