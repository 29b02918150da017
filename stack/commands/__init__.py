"""The sub-commands of `virtscale`, one module each.

They import what they need when they run: `virtscale --help` must not wait for gRPC and libvirt.
"""
