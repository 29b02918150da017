"""libvirt on this machine: a private daemon, what its guests run on, the pool's definitions."""
