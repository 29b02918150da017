"""How preparing the hypervisor can fail."""


class HypervisorError(Exception):
    """libvirt or QEMU cannot be used as wanted. Names the thing and the fix, for a person."""
