"""Who can be reached from where."""

import ipaddress

import psutil


def outward(pid: int | None = None, *, own: bool = True) -> list[tuple[str, int]]:
    """Addresses and ports beyond the loopback interface at which a process (by default this one; `own`: itself too) and its descendants
    listen."""
    root = psutil.Process(pid)
    found = []
    for process in [*([root] if own else []), *root.children(recursive=True)]:
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        found += [(c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN and not _loopback(c.laddr.ip)]
    return found


def _loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
