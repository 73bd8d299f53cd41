"""Make what the tests need: stores, legacy stores, homes of users, disks and networks."""
