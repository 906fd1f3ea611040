"""Where other processes of the run reach this one. Imports no Ray: who runs without it is on a machine of its own."""

import socket
import sys

LOOPBACK = "127.0.0.1"


def node_address() -> str:
    """The address of this machine in the Ray cluster; the loopback one in a private Ray, and without any."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return LOOPBACK
    return ray.util.get_node_ip_address()


def listen(host: str, port: int = 0) -> socket.socket:
    """A socket that listens at `host` alone; port 0: one that is free. For servers that would listen on every interface by themselves."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
