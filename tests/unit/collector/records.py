"""Records as libvirt 9.0 with QEMU 7.2 gave them, of domains without an operating system."""

RUNNING = {
    "state.state": 1,
    "state.reason": 1,
    "cpu.time": 750000000,
    "cpu.user": 430000000,
    "cpu.system": 320000000,
    "cpu.cache.monitor.count": 0,
    "cpu.haltpoll.success.time": 0,
    "cpu.haltpoll.fail.time": 0,
    "balloon.current": 65536,
    "balloon.maximum": 65536,
    "balloon.last-update": 0,
    "balloon.rss": 48004,
    "vcpu.current": 1,
    "vcpu.maximum": 1,
    "vcpu.0.state": 1,
    "vcpu.0.time": 240000000,
    "vcpu.0.wait": 0,
    "vcpu.0.delay": 28350606,
    "net.count": 1,
    "block.count": 1,
    "block.0.name": "vda",
    "block.0.path": "/var/lib/libvirt/images/d0.img",
    "block.0.backingIndex": 1,
    "block.0.rd.reqs": 1,
    "block.0.rd.bytes": 512,
    "block.0.rd.times": 102742,
    "block.0.wr.reqs": 0,
    "block.0.wr.bytes": 0,
    "block.0.wr.times": 0,
    "block.0.fl.reqs": 0,
    "block.0.fl.times": 0,
    "block.0.allocation": 0,
    "block.0.capacity": 1048576,
    "block.0.physical": 1048576,
}

PAUSED = {**RUNNING, "state.state": 3, "vcpu.0.time": 0}

# The CPU time is no mistake of this file: libvirt reports one for a domain that has no process.
INACTIVE = {
    "state.state": 5,
    "state.reason": 0,
    "cpu.time": 360000000,
    "cpu.user": 160000000,
    "cpu.system": 200000000,
    "balloon.current": 65536,
    "balloon.maximum": 65536,
    "vcpu.current": 3,
    "vcpu.maximum": 3,
    "block.count": 1,
    "block.0.name": "vda",
    "block.0.path": "/var/lib/libvirt/images/d2.img",
    "block.0.capacity": 1048576,
    "block.0.physical": 1048576,
}

# Its QEMU is frozen and another call waits for it.
FROZEN = {
    "state.state": 1,
    "state.reason": 1,
    "cpu.time": 500000000,
    "cpu.user": 310000000,
    "cpu.system": 190000000,
    "cpu.cache.monitor.count": 0,
    "balloon.current": 65536,
    "balloon.maximum": 65536,
    "vcpu.current": 1,
    "vcpu.maximum": 1,
    "vcpu.0.state": 1,
    "vcpu.0.time": 130000000,
    "vcpu.0.wait": 0,
    "vcpu.0.delay": 467829458,
    "net.count": 1,
    "block.count": 1,
    "block.0.name": "vda",
    "block.0.path": "/var/lib/libvirt/images/one.img",
    "block.0.backingIndex": 1,
}

STATE_ONLY = {"state.state": 1, "state.reason": 1}

XML = """
<domain type='qemu' id='1'>
  <name>d0</name>
  <title>Front "A"</title>
  <metadata>
    <virtscale:domain xmlns:virtscale="urn:virtscale:domain:1" pool="default" tier="cold"
      generation="sha256:0" owner="virtscale" operation="start"/>
  </metadata>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
</domain>
"""
