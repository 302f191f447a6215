"""What the target of a client says: a host and a port, and perhaps whether TLS is used."""
from __future__ import annotations

import re
from typing import Optional, Tuple

from ._errors import SpandrelError, wrong_field
from ._options import Tls

# Names of gRPC that are left as they are. With a port alone behind it, it is a host that is called so.
_OF_GRPC = re.compile(r"^(dns|ipv4|ipv6|unix|unix-abstract|xds|vsock):(?![0-9]{1,5}/?\s*$)")
_SCHEMES = frozenset(["dns", "ipv4", "ipv6", "unix", "unix-abstract", "xds", "vsock"])


def read(target: str, tls: Optional[Tls]) -> Tuple[str, Optional[Tls]]:
    """HOST:PORT of a target, which may begin with http:// or, for TLS, https://, and how TLS is used."""
    if not isinstance(target, str):
        raise wrong_field("target", f"target is {target!r}, expected HOST:PORT, such as '127.0.0.1:7700'")
    if _OF_GRPC.match(target):
        return target, tls

    def wrong(what: str) -> SpandrelError:
        return wrong_field("target", f"{target!r} is no address of a server: {what}")

    scheme, rest = "", target.strip()
    if "://" in rest:
        scheme, rest = rest.split("://", 1)
    scheme = scheme.lower()
    if scheme == "http" and tls is not None:
        raise wrong("http:// is without TLS, which was asked for; write https://HOST:PORT or HOST:PORT")
    if scheme not in ("", "http", "https"):
        raise wrong("write HOST:PORT, or https://HOST:PORT for TLS")
    if scheme == "https" and tls is None:
        tls = Tls()
    rest = rest[:-1] if rest.endswith("/") else rest
    if re.search(r"[/@?#,\s]", rest):
        raise wrong("write HOST:PORT of one server, and nothing behind or before it")
    if ":" not in rest or rest.endswith("]"):
        raise wrong("the port is missing: write HOST:PORT, such as 127.0.0.1:7700")
    host, port = rest.rsplit(":", 1)
    if not host:
        raise wrong("the host is missing: write HOST:PORT, such as 127.0.0.1:7700")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise wrong("write HOST:PORT, an address of IPv6 in brackets, such as [::1]:7700")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise wrong("the port is no number from 1 to 65535: write HOST:PORT, such as 127.0.0.1:7700")
    # gRPC would take such a host for a name of its own.
    return (f"dns:///{rest}" if host.lower() in _SCHEMES else rest), tls
