"""Fleet: `batch` on many computers through Ansible; the role is in `collections`."""
