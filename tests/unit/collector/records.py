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

# Keys and units as libvirt documents them, in its order; the domains above have no guest to tell.
FULL = {
    "state.state": 1,
    "state.reason": 5,
    "cpu.time": 949422120000000,
    "cpu.user": 31519041000000,
    "cpu.system": 1200000000,
    "cpu.cache.monitor.count": 0,
    "cpu.haltpoll.success.time": 7,
    "cpu.haltpoll.fail.time": 9,
    "balloon.current": 8388608,
    "balloon.maximum": 8388608,
    "balloon.swap_in": 12,
    "balloon.swap_out": 34,
    "balloon.major_fault": 3344480,
    "balloon.minor_fault": 56630255354,
    "balloon.unused": 754612,
    "balloon.available": 8167916,
    "balloon.usable": 2217760,
    "balloon.last-update": 1764150000,
    "balloon.disk_caches": 2048,
    "balloon.hugetlb_pgalloc": 2,
    "balloon.hugetlb_pgfail": 1,
    "balloon.rss": 8498100,
    "vcpu.current": 2,
    "vcpu.maximum": 4,
    "vcpu.0.state": 1,
    "vcpu.0.time": 315190410000000,
    "vcpu.0.wait": 1,
    "vcpu.0.halted": True,
    "vcpu.0.delay": 880985415109,
    "vcpu.0.halt_poll_success_ns.sum": 5,
    "vcpu.1.state": 1,
    "vcpu.1.time": 217000000001,
    "vcpu.1.wait": 0,
    "vcpu.1.halted": False,
    "vcpu.1.delay": 1000000000,
    "net.count": 1,
    "net.0.name": "tapa7e2fe95-a7",
    "net.0.rx.bytes": 7918228100,
    "net.0.rx.pkts": 4378193,
    "net.0.rx.errs": 0,
    "net.0.rx.drop": 3,
    "net.0.tx.bytes": 1819996331,
    "net.0.tx.pkts": 2275386,
    "net.0.tx.errs": 0,
    "net.0.tx.drop": 0,
    "block.count": 2,
    "block.0.name": "vda",
    "block.0.path": "/var/lib/libvirt/images/full.qcow2",
    "block.0.backingIndex": 1,
    "block.0.rd.reqs": 19613982,
    "block.0.rd.bytes": 177040343040,
    "block.0.rd.times": 161803085086353,
    "block.0.wr.reqs": 28434899,
    "block.0.wr.bytes": 921412177920,
    "block.0.wr.times": 530522437009019,
    "block.0.fl.reqs": 5153142,
    "block.0.fl.times": 473568505210,
    "block.0.allocation": 21474816000,
    "block.0.capacity": 21474836480,
    "block.0.physical": 21474836481,
    "block.0.threshold": 5,
    # A network image has no path.
    "block.1.name": "sdb",
    "block.1.backingIndex": 2,
    "block.1.rd.reqs": 1,
    "block.1.rd.bytes": 512,
    "block.1.rd.times": 999999999,
    "block.1.wr.reqs": 2,
    "block.1.wr.bytes": 1024,
    "block.1.wr.times": 1000000000,
    "block.1.fl.reqs": 0,
    "block.1.fl.times": 0,
    "block.1.capacity": 1073741824,
    "block.1.physical": 1073741824,
}

# Paused before its guest began: virtual CPU 1 was left out (numbers have gaps after a hot-unplug
# too), a disk with a backing file, a network disk, which has no path, and an empty CD drive.
UNPLUGGED = {
    "state.state": 3,
    "state.reason": 1,
    "cpu.time": 290000000,
    "cpu.user": 110000000,
    "cpu.system": 180000000,
    "cpu.cache.monitor.count": 0,
    "cpu.haltpoll.success.time": 0,
    "cpu.haltpoll.fail.time": 0,
    "balloon.current": 131072,
    "balloon.maximum": 131072,
    "balloon.last-update": 0,
    "balloon.rss": 41828,
    "vcpu.current": 2,
    "vcpu.maximum": 4,
    "vcpu.0.state": 1,
    "vcpu.0.time": 0,
    "vcpu.0.wait": 0,
    "vcpu.0.delay": 7601073,
    "vcpu.2.state": 1,
    "vcpu.2.time": 0,
    "vcpu.2.wait": 0,
    "vcpu.2.delay": 8619312,
    "net.count": 1,
    "block.count": 3,
    "block.0.name": "vda",
    "block.0.path": "/var/lib/libvirt/images/top.qcow2",
    "block.0.backingIndex": 3,
    "block.0.rd.reqs": 0,
    "block.0.rd.bytes": 0,
    "block.0.rd.times": 0,
    "block.0.wr.reqs": 0,
    "block.0.wr.bytes": 0,
    "block.0.wr.times": 0,
    "block.0.fl.reqs": 0,
    "block.0.fl.times": 0,
    "block.0.allocation": 0,
    "block.0.capacity": 1048576,
    "block.0.physical": 200704,
    "block.1.name": "vdb",
    "block.1.backingIndex": 2,
    "block.1.rd.reqs": 0,
    "block.1.rd.bytes": 0,
    "block.1.rd.times": 0,
    "block.1.wr.reqs": 0,
    "block.1.wr.bytes": 0,
    "block.1.wr.times": 0,
    "block.1.fl.reqs": 0,
    "block.1.fl.times": 0,
    "block.1.allocation": 0,
    "block.1.capacity": 1048576,
    "block.1.physical": 1048576,
    "block.2.name": "sda",
    "block.2.rd.reqs": 0,
    "block.2.rd.bytes": 0,
    "block.2.rd.times": 0,
    "block.2.wr.reqs": 0,
    "block.2.wr.bytes": 0,
    "block.2.wr.times": 0,
    "block.2.fl.reqs": 0,
    "block.2.fl.times": 0,
    "iothread.count": 1,
    "iothread.1.poll-max-ns": 32768,
    "iothread.1.poll-grow": 0,
    "iothread.1.poll-shrink": 0,
    "dirtyrate.calc_status": 0,
    "dirtyrate.calc_start_time": 0,
    "dirtyrate.calc_period": 0,
    "dirtyrate.calc_mode": "page-sampling",
}

# The same domain with VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING: every image of a chain, under one
# name. Of the other groups the query did not ask.
BACKING = {
    "state.state": 3,
    "state.reason": 1,
    "block.count": 2,
    "block.0.name": "vda",
    "block.0.path": "/var/lib/libvirt/images/top.qcow2",
    "block.0.backingIndex": 3,
    "block.0.rd.reqs": 0,
    "block.0.rd.bytes": 0,
    "block.0.rd.times": 0,
    "block.0.wr.reqs": 0,
    "block.0.wr.bytes": 0,
    "block.0.wr.times": 0,
    "block.0.fl.reqs": 0,
    "block.0.fl.times": 0,
    "block.0.allocation": 0,
    "block.0.capacity": 1048576,
    "block.0.physical": 200704,
    "block.1.name": "vda",
    "block.1.path": "/var/lib/libvirt/images/base.img",
    "block.1.backingIndex": 4,
    "block.1.allocation": 0,
    "block.1.capacity": 1048576,
    "block.1.physical": 1048576,
}

# Of a domain that is being saved.
JOB = {
    "operation": 2,
    "time_elapsed": 111,
    "downtime": 300,
    "setup_time": 11,
    "data_total": 134873088,
    "data_processed": 263977,
    "data_remaining": 14737408,
    "memory_total": 134873088,
    "memory_processed": 263977,
    "memory_remaining": 14737408,
    "memory_constant": 29330,
    "memory_normal": 0,
    "memory_normal_bytes": 0,
    "memory_dirty_rate": 0,
    "memory_iteration": 1,
    "memory_postcopy_requests": 0,
    "memory_page_size": 4096,
    "type": 2,
}

# Of one that migrates with its disks, as libvirt documents it.
MIGRATION = {
    **JOB,
    "operation": 5,
    "time_remaining": 12345,
    "memory_bps": 118000000,
    "disk_total": 10,
    "disk_processed": 4,
    "disk_remaining": 6,
    "disk_bps": 7,
    "auto_converge_throttle": 20,
    "errmsg": "",
}

LIMITS = {
    "total_bytes_sec": 157286400,
    "read_bytes_sec": 0,
    "write_bytes_sec": 0,
    "total_iops_sec": 0,
    "read_iops_sec": 640,
    "write_iops_sec": 320,
    "total_bytes_sec_max": 0,
    "read_bytes_sec_max": 0,
    "write_bytes_sec_max": 0,
    "total_iops_sec_max": 0,
    "read_iops_sec_max": 0,
    "write_iops_sec_max": 0,
    "size_iops_sec": 4096,
    "group_name": "",
    "total_bytes_sec_max_length": 0,
    "read_bytes_sec_max_length": 0,
    "write_bytes_sec_max_length": 0,
    "total_iops_sec_max_length": 0,
    "read_iops_sec_max_length": 0,
    "write_iops_sec_max_length": 0,
}

OPTIONAL = {
    "iothread.count": 1,
    "iothread.1.poll-max-ns": 32768,
    "iothread.1.poll-grow": 2,
    "iothread.1.poll-shrink": 0,
    "perf.cmt": 4096,
    "perf.cpu_cycles": 123456789012,
    "perf.task_clock": 1500000000,
    "dirtyrate.calc_status": 2,
    "dirtyrate.calc_start_time": 1534523,
    "dirtyrate.calc_period": 1,
    "dirtyrate.megabytes_per_second": 5,
    "dirtyrate.calc_mode": "dirty-ring",
    "dirtyrate.vcpu.0.megabytes_per_second": 3,
    "vcpu.0.cpu": 1,
}
"""What the groups bring that are off unless asked for."""

XML_OF_NOVA = """
<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>instance-00000337</name>
  <uuid>1bac351f-242e-4d53-8cf3-fd91b061069c</uuid>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
      <nova:package version="26.2.1"/>
      <nova:name>name.of.instance.com</nova:name>
      <nova:flavor name="someflavor-8192"><nova:memory>8192</nova:memory></nova:flavor>
      <nova:owner>
        <nova:user uuid="240270fa2a3e4fd3baa6d6e776669b19">master_admin</nova:user>
        <nova:project uuid="3051f6f46d394ab98f55a0670ae5c70b">instance.com</nova:project>
      </nova:owner>
      <nova:root type="image" uuid="155e5ab9-d28c-48f2-bd8d-f193d0a6128a"/>
    </nova:instance>
  </metadata>
  <os><type arch='x86_64' machine='pc-i440fx-6.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='/var/lib/libvirt/images/full.qcow2' index='1'/>
      <backingStore type='file'><source file='/base.img'/></backingStore>
      <target dev='vda' bus='virtio'/>
      <serial>5f1a922c</serial>
    </disk>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='writeback'/>
      <source protocol='rbd' name='somepool/volume-5f1a922c'><host name='mon' port='6789'/></source>
      <target dev='sdb' bus='scsi'/>
    </disk>
    <disk type='block' device='lun'>
      <source dev='/dev/mapper/lun0'/><target dev='sdc' bus='scsi'/>
    </disk>
    <disk type='volume' device='disk'>
      <source pool='default' volume='data.img'/><target dev='sdd' bus='scsi'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
    <interface type='bridge'>
      <mac address='fa:16:3e:00:00:01'/>
      <source bridge='br-int'/>
      <virtualport type='openvswitch'>
        <parameters interfaceid='a7e2fe95-a7cf-4bec-8180-d835cf342d72'/>
      </virtualport>
      <target dev='tapa7e2fe95-a7'/>
      <model type='virtio'/>
      <mtu size='1450'/>
    </interface>
    <interface type='user'><mac address='fa:16:3e:00:00:02'/></interface>
  </devices>
</domain>
"""
