"""Sockets of the two protocols."""

from __future__ import annotations

import socket


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds an address, IPv4 or IPv6, and does not listen yet. Raises OSError."""
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, port))
    except OSError:
        holder.close()
        raise
    return holder
