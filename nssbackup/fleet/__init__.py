"""Fleet: `batch` on many computers, by Ansible; the role is in `collections`."""
