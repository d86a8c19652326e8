"""The proxies of tests/bench/proxy: how each is started before one target."""

import os
import struct

FRONT, BACK = 8080, 8081
NAME = "sni.example"
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"

HAPROXY = f"""
global
    nbthread 1
    maxconn @CONNECTIONS@
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    @SPLICE@
frontend front
    bind 127.0.0.1:{FRONT} backlog 16384
    @ROUTE@
backend back
    server target 127.0.0.1:{BACK}
"""
HAPROXY_SNI = f"""tcp-request inspect-delay 5s
    tcp-request content accept if {{ req_ssl_hello_type 1 }}
    use_backend back if {{ req_ssl_sni -i {NAME} }}"""
NGINX = f"""
load_module {NGINX_STREAM};
daemon off;
master_process off;
error_log @FOLDER@/error.log crit;
pid @FOLDER@/pid;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; multi_accept on; }}
stream {{
    map $ssl_preread_server_name $target {{ {NAME} 127.0.0.1:{BACK}; }}
    server {{
        listen 127.0.0.1:{FRONT} backlog=16384;
        proxy_timeout 600s;
        @ROUTE@
    }}
}}
"""


def configured(folder, name, template, **places):
    """The path of a configuration that is written from its template."""
    path = os.path.join(folder, name)
    for place, text in places.items():
        template = template.replace(f"@{place}@", text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(template)
    return path


def haproxy(splice):
    """One thread; by copying, or with splice in both directions."""
    def command(folder, _, sni):
        path = configured(folder, "haproxy.cfg", HAPROXY,
                          ROUTE=HAPROXY_SNI if sni else "default_backend back",
                          CONNECTIONS="4000" if splice else "9500",
                          SPLICE="option splice-request\n    option splice-response" * splice)
        return ["haproxy", "-db", "-f", path]
    return command


def nginx(folder, _, sni):
    """One process."""
    route = "ssl_preread on; proxy_pass $target;" if sni else f"proxy_pass 127.0.0.1:{BACK};"
    return ["nginx", "-c", configured(folder, "nginx.conf", NGINX, FOLDER=folder, ROUTE=route)]


def burgee(_, program, sni):
    """With its defaults, health checks included."""
    protocol, source = ("tcp+sni", f"{NAME}/") if sni else ("tcp", f":{FRONT}")
    return [program, "run", f"-proxy.addr=127.0.0.1:{FRONT};proto={protocol}",
            f"-registry.static.routes=route add web {source} tcp://127.0.0.1:{BACK}"]


BASE, SPLICING = "haproxy", "haproxy, splice"
PROXIES = {
    BASE: ("haproxy", haproxy(False)),
    SPLICING: ("haproxy", haproxy(True)),
    "nginx": (NGINX_STREAM, nginx),
    "burgee": (None, burgee),
}
"""What has to be installed for each, and what makes its command."""


def client_hello(length=517):
    """What a TLS 1.3 client sends first, as long as browsers pad it (RFC 8446
    section 4.1.2), with the name of the server in it (RFC 6066 section 3)."""
    def extension(kind, data):
        return struct.pack(">HH", kind, len(data)) + data

    def sized(form, data):
        return struct.pack(form, len(data)) + data

    name = sized(">H", b"\0" + sized(">H", NAME.encode()))
    key = sized(">H", b"\x00\x1d" + sized(">H", bytes(range(32))))
    extensions = b"".join([
        extension(0, name),
        extension(10, sized(">H", b"\x00\x1d")),
        extension(13, sized(">H", b"\x04\x03\x08\x04")),
        extension(43, b"\x02\x03\x04"),
        extension(51, key),
    ])
    head = b"\x03\x03" + bytes(32) + sized(">B", bytes(32)) + sized(">H", b"\x13\x01") + b"\x01\0"
    # A record, a handshake, a list of extensions and the padding have headers.
    used = 5 + 4 + len(head) + 2 + len(extensions) + 4
    extensions += extension(21, bytes(length - used))
    hello = head + sized(">H", extensions)
    handshake = b"\x01" + struct.pack(">I", len(hello))[1:] + hello
    return b"\x16\x03\x01" + sized(">H", handshake)
