"""The use cases of one backup file: export, repassword, verify."""
