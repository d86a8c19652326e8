"""Connections: TLS by name and protocol, the PROXY protocol with others that speak
it, ports of the routes; none of it is about BGP."""

import json
import subprocess
import textwrap

from burgee import ANYCAST4, ANYCAST6
from cases import scenario
from lab import CLIENTS4, CLIENTS6, ROUTER4, ROUTER6
from processes import output_of
from waiting import check, wait_for

ADDRESSES = [prefix.split("/")[0] for prefix in (ANYCAST4, ANYCAST6)]
TARGET4, TARGET6 = "10.0.9.10", "fd00:9::16"
PATIENCE = ("--max-time", "60")
"""A request of curl that hangs fails its case."""

TOLD = "$proxy_protocol_addr $proxy_protocol_port $server_protocol"
"""What nginx answers: whom the PROXY header has named."""


def url_host(address):
    """An address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def routes(*lines):
    """Route commands as one value."""
    return r"\n".join(f"route add {line}" for line in lines)


def make_way(lab):
    """The address of the IPv6 target, and the way of the clients to ours."""
    lab.host.namespace.address("lo", f"{TARGET6}/128")
    lab.router.ip(f"route add {ANYCAST4} via {lab.host.address4}")
    lab.router.ip(f"-6 route add {ANYCAST6} via {lab.host.address6}")


def start(lab, listeners, commands):
    """burgee with these listeners and routes."""
    burgee = lab.host.start_burgee([], bgp_enabled="false", log_level="DEBUG",
                                   proxy_addr=listeners, registry_static_routes=commands)
    wait_for("the routes are loaded", lambda: "route event=loaded" in burgee.log())
    return burgee


def wait_port(namespace, port, address=None):
    """Waits until somebody listens on a port, of an address or of any."""
    source = f"src {url_host(address)}:{port}" if address else f"sport = :{port}"
    wait_for(f"port {port} is open", lambda: namespace.run("ss", "-Htln", source).strip())


def curl(lab, url, *options, check=True):
    """What curl gets at the client."""
    return output_of(["ip", "netns", "exec", lab.client.name, "curl", "--silent", "--show-error",
                      "--noproxy", "*", *PATIENCE, *options, url], check)


def exit_status(lab, url, *options):
    """How curl ends at the client: 52 is an empty answer."""
    command = ["ip", "netns", "exec", lab.client.name, "curl", "--silent", "--noproxy", "*",
               *PATIENCE, *options, url]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode


def start_nginx(lab, port, *, header=True, text=TOLD, name="nginx"):
    """An nginx on a port of both targets, that answers each request with `text`."""
    directory = lab.directory / name
    directory.mkdir()
    config = directory / "nginx.conf"
    option = " proxy_protocol" if header else ""
    config.write_text(f"""
        daemon off;
        user root;
        worker_processes 1;
        pid {directory}/pid;
        error_log {directory}/error.log;
        events {{}}
        http {{
            access_log off;
            default_type text/plain;
            server {{
                listen {TARGET4}:{port}{option};
                listen [{TARGET6}]:{port}{option};
                return 200 "{text}\\n";
            }}
        }}
    """)
    lab.spawn(lab.host.namespace, ["nginx", "-c", config, "-p", directory],
              lab.directory / f"{name}.log")
    wait_port(lab.host.namespace, port, TARGET4)


def start_haproxy(lab, namespace, sections, name="haproxy"):
    """An HAProxy with these sections of its configuration."""
    config = lab.directory / f"{name}.cfg"
    config.write_text("defaults\n    mode tcp\n    timeout connect 60s\n    timeout client 60s\n"
                      f"    timeout server 60s\n{textwrap.dedent(sections)}\n")
    lab.spawn(namespace, ["haproxy", "-db", "-f", config], lab.directory / f"{name}.log")


def make_certificate(lab, name, *hosts):
    """A certificate of its own authority for these hosts, whose subject is the name
    of the server that has it."""
    key, certificate = lab.directory / f"{name}.key", lab.directory / f"{name}.pem"
    hosts = ",".join(f"DNS:{host}" for host in hosts)
    output_of(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
               "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
               "-addext", f"subjectAltName={hosts}", "-keyout", key, "-out", certificate])
    with open(lab.directory / "all.pem", "a", encoding="ascii") as everybody:
        everybody.write(certificate.read_text())
    return certificate, key


def start_tls_server(lab, name, port, hosts, *options):
    """A TLS server on a port of the IPv4 target, with a file that tells its name."""
    directory = lab.directory / f"server-{name}"
    directory.mkdir()
    (directory / "name").write_text(f"{name}\n")
    certificate, key = make_certificate(lab, name, *hosts)
    # It ends with its standard input.
    script = 'cd "$0" && tail -f /dev/null | openssl s_server "$@"'
    lab.spawn(lab.host.namespace,
              ["sh", "-c", script, directory, "-accept", f"{TARGET4}:{port}", "-cert", certificate,
               "-key", key, *options], lab.directory / f"{name}.log")
    wait_port(lab.host.namespace, port, TARGET4)


class Handshake:
    """An openssl s_client at the client; it talks until its input is closed."""

    def __init__(self, lab, address, host, *options):
        command = ["ip", "netns", "exec", lab.client.name, "openssl", "s_client", "-connect",
                   f"{url_host(address)}:443", "-CAfile", lab.directory / "all.pem",
                   "-verify_return_error", *(["-servername", host, "-verify_hostname", host]
                                             if host else ["-noservername"]), *options]
        self.log = lab.directory / f"s_client-{len(list(lab.directory.glob('s_client-*')))}.log"
        with open(self.log, "wb") as sink:
            self.process = subprocess.Popen([str(word) for word in command], stdout=sink,
                                            stderr=sink, stdin=subprocess.PIPE)
        lab.on_close(self.process.kill)

    def said(self):
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text):
        """Waits until it has printed this."""
        wait_for(f"s_client says '{text}'", lambda: text in self.said())

    def end(self):
        """Closes its input, and returns all that it has said."""
        self.process.stdin.close()
        wait_for("s_client ends", lambda: self.process.poll() is not None)
        return self.said()


@scenario("tcp-tls-names", "TLS programs", alone=True)
def tls_names(lab):
    """TLS through tcp+sni: certificates, protocols and sessions are those of the target."""
    make_way(lab)
    start_tls_server(lab, "first", 4431, ["first.example"], "-WWW", "-alpn", "http/1.1")
    start_tls_server(lab, "wild", 4432, ["*.wild.example"], "-WWW", "-alpn", "http/1.1")
    start_tls_server(lab, "http2", 4433, ["first.example"], "-alpn", "h2")
    start_tls_server(lab, "last", 4434, ["last.example"])
    start(lab, ":443;proto=tcp+sni", routes(
        f"first first.example/ tcp://{TARGET4}:4431",
        f'http2 first.example/ tcp://{TARGET4}:4433 opts "alpn=h2"',
        f"wild *.wild.example/ tcp://{TARGET4}:4432",
        f"last / tcp://{TARGET4}:4434"))
    wait_port(lab.host.namespace, 443)
    for address in ADDRESSES:
        for host, options, server, protocol in (
                ("first.example", [], "first", None),
                ("first.example", ["-alpn", "http/1.1"], "first", "http/1.1"),
                ("first.example", ["-alpn", "h2,http/1.1"], "http2", "h2"),
                ("first.example", ["-tls1_2"], "first", None),
                ("FIRST.example", ["-tls1_2", "-alpn", "h2"], "http2", "h2"),
                ("a.wild.example", [], "wild", None),
                (None, [], "last", None)):
            said = Handshake(lab, address, host, *options).end()
            check(f"subject=CN = {server}\n" in said, f"{host} {options}: not {server}: {said}")
            check("Verify return code: 0 (ok)" in said, f"{host} {options}: {said}")
            expected = f"ALPN protocol: {protocol}" if protocol else "No ALPN negotiated"
            check(expected in said, f"{host} {options}: not '{expected}': {said}")
        for host, server in (("first.example", "first"), ("b.wild.example", "wild")):
            answer = curl(lab, f"https://{host}/name", "--http1.1",
                          "--resolve", f"{host}:443:{url_host(address)}",
                          "--cacert", lab.directory / "all.pem")
            check(answer == f"{server}\n", f"{host} at {address}: {answer!r}")


@scenario("tcp-tls-early-data", "TLS programs", alone=True)
def tls_early_data(lab):
    """TLS 1.3 through tcp+sni: what comes with the ClientHello reaches the target."""
    make_way(lab)
    start_tls_server(lab, "early", 4431, ["early.example"], "-early_data", "-tls1_3")
    start(lab, ":443;proto=tcp+sni", routes(f"early early.example/ tcp://{TARGET4}:4431"))
    wait_port(lab.host.namespace, 443)
    data, log = lab.directory / "early-data", lab.directory / "early.log"
    marks = iter("#@%~")
    for number, address in enumerate(ADDRESSES):
        ticket = lab.directory / f"ticket-{number}"
        first = Handshake(lab, address, "early.example", "-sess_out", ticket)
        wait_for("the ticket comes", lambda: ticket.exists() and ticket.stat().st_size)
        check("Early data was not sent" in first.end(), "the first one had early data")
        for size in (100, 10_000):
            # It is sent before any answer is read.
            mark = next(marks)
            data.write_text(mark * size)
            again = Handshake(lab, address, "early.example", "-sess_in", ticket,
                              "-sess_out", ticket, "-early_data", data)
            again.wait_for("Early data was accepted")
            again.end()
            wait_for("the target has it", lambda: log.read_text().count(mark) == size)


@scenario("tcp-proxy-header-client", "other proxies", alone=True)
def proxy_header_client(lab):
    """curl sends PROXY headers, nginx shows what it is told, in versions 1 and 2."""
    make_way(lab)
    start_nginx(lab, 8000)
    listeners = (f":8081;proto=tcp;pxyproto=strict;pxytrusted={' '.join(CLIENTS4 + CLIENTS6)}, "
                 ":8082;proto=tcp;pxyproto=strict;pxytrusted=192.0.2.99, "
                 ":8083;proto=tcp, :8084;proto=tcp")
    burgee = start(lab, listeners, routes(
        f'web :8081 tcp://{TARGET4}:8000 opts "pxyproto=v2"',
        f'web :8082 tcp://{TARGET4}:8000 opts "pxyproto=v2"',
        f'web :8083 tcp://{TARGET4}:8000 opts "pxyproto=true"',
        f'web :8084 tcp://{url_host(TARGET6)}:8000 opts "pxyproto=v2"'))
    wait_port(lab.host.namespace, 8084)
    for address, source in ((ADDRESSES[0], CLIENTS4[3]), (ADDRESSES[1], CLIENTS6[3])):
        for port, options in ((8081, ["--haproxy-protocol"]), (8083, []), (8084, [])):
            said = curl(lab, f"http://{url_host(address)}:{port}/", "--interface", source,
                        "--write-out", "%{local_port}", *options)
            answer, _, own_port = said.partition("\n")
            check(answer == f"{source} {own_port} HTTP/1.1", f"{source}, port {port}: {said}")
        strict = f"http://{url_host(address)}:8081/"
        check(exit_status(lab, strict) == 52, "a client without a header was answered")
        wait_for("it is said why", lambda: "no PROXY header" in burgee.log())
        status = exit_status(lab, f"http://{url_host(address)}:8082/", "--haproxy-protocol")
        # It is closed at once: before, while or after curl sends its request.
        check(status in (52, 55, 56), f"a stranger with a header: {status}")
        wait_for("it is said why", lambda: "not a trusted source" in burgee.log())


@scenario("tcp-haproxy-before", "other proxies", alone=True)
def haproxy_before(lab):
    """HAProxy in front, with send-proxy, send-proxy-v2 and its health checks."""
    make_way(lab)
    start_nginx(lab, 8000)
    trusted = f"pxytrusted={ROUTER4} {ROUTER6}"
    burgee = start(lab, f":8080;proto=tcp;pxyproto=strict;{trusted}", routes(
        f'web :8080 tcp://{TARGET4}:8000 opts "pxyproto=v2 deny=ip:{CLIENTS4[7]},ip:{CLIENTS6[7]}"'))
    wait_port(lab.host.namespace, 8080)
    server = "check inter 100ms check-send-proxy"
    start_haproxy(lab, lab.router, "".join(f"""
        listen version{version}
            bind :::808{version} v4v6
            server four {lab.host.address4}:8080 {word} {server}
            server six {url_host(lab.host.address6)}:8080 {word} {server}
    """ for version, word in ((1, "send-proxy"), (2, "send-proxy-v2"))))
    wait_port(lab.router, 8082)
    for front, sources in ((ROUTER4, CLIENTS4), (ROUTER6, CLIENTS6)):
        for port in (8081, 8082):
            # Both of its ways to burgee take their turns.
            for source in sources[:4]:
                said = curl(lab, f"http://{url_host(front)}:{port}/", "--interface", source,
                            "--write-out", "%{local_port}")
                answer, _, own_port = said.partition("\n")
                check(answer == f"{source} {own_port} HTTP/1.1", f"{source}, port {port}: {said}")
            status = exit_status(lab, f"http://{url_host(front)}:{port}/", "--interface", sources[7])
            check(status == 52, f"{sources[7]} is denied and got {status}")
    wait_for("it is said why", lambda: "ending=denied" in burgee.log())
    log = (lab.directory / "haproxy.log").read_text()
    check("DOWN" not in log, f"a check of HAProxy failed: {log}")


@scenario("tcp-haproxy-behind", "other proxies", "TLS programs", alone=True)
def haproxy_behind(lab):
    """HAProxy behind, with accept-proxy: client, address of ours, and name."""
    make_way(lab)
    certificate, key = make_certificate(lab, "behind", "behind.example")
    pem = lab.directory / "behind-both.pem"
    pem.write_text(certificate.read_text() + key.read_text())
    told = "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority]"
    start_haproxy(lab, lab.host.namespace, f"""
        frontend plain
            mode http
            bind {TARGET4}:8000 accept-proxy
            bind {TARGET4}:8443 accept-proxy ssl crt {pem}
            http-request return status 200 content-type text/plain lf-string "{told}"
    """)
    wait_port(lab.host.namespace, 8443, TARGET4)
    start(lab, ":443;proto=tcp+sni, :8081;proto=tcp, :8082;proto=tcp", routes(
        f'tls behind.example/ tcp://{TARGET4}:8443 opts "pxyproto=v2"',
        f'web :8081 tcp://{TARGET4}:8000 opts "pxyproto=v1"',
        f'web :8082 tcp://{TARGET4}:8000 opts "pxyproto=v2"'))
    wait_port(lab.host.namespace, 8082)
    for address, source in ((ADDRESSES[0], CLIENTS4[5]), (ADDRESSES[1], CLIENTS6[5])):
        for url, port, name in ((f"http://{url_host(address)}:8081/", 8081, ""),
                                (f"http://{url_host(address)}:8082/", 8082, ""),
                                ("https://behind.example/", 443, "behind.example")):
            said = curl(lab, url, "--interface", source, "--write-out", r"\n%{local_port}",
                        "--resolve", f"behind.example:443:{url_host(address)}",
                        "--cacert", lab.directory / "all.pem")
            answer, _, own_port = said.partition("\n")
            expected = f"{source} {own_port} {address} {port} {name}"
            check(answer == expected, f"{url}: {answer!r} and not {expected!r}")


@scenario("tcp-greeting", "other proxies", alone=True)
def greeting(lab):
    """A server that speaks first, and wants to know to whom."""
    make_way(lab)
    # It greets as a mail server does, behind a balancer: after the PROXY line.
    server = 'read -r line; echo "220 ready for $line"; read -r line; echo "250 $line"'
    lab.spawn(lab.host.namespace, ["socat", f"TCP-LISTEN:2525,bind={TARGET4},fork,reuseaddr",
                                   f"SYSTEM:{json.dumps(server)}"], lab.directory / "mail.log")
    wait_port(lab.host.namespace, 2525, TARGET4)
    start(lab, ":25;proto=tcp, :26;proto=tcp;pxyproto=true;pxytimeout=1s", routes(
        f'mail :25 tcp://{TARGET4}:2525 opts "pxyproto=true"',
        f'mail :26 tcp://{TARGET4}:2525 opts "pxyproto=true"'))
    wait_port(lab.host.namespace, 26)
    for address, source in ((ADDRESSES[0], CLIENTS4[2]), (ADDRESSES[1], CLIENTS6[2])):
        family = "TCP6" if ":" in source else "TCP4"
        for port in (25, 26):
            # The client says nothing before it is greeted.
            talk = ("import socket, sys; "
                    "s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60, "
                    "(sys.argv[3], 0)); f = s.makefile('rw'); print(f.readline(), end=''); "
                    "print('HELO', file=f, flush=True); print(f.read(), s.getsockname()[1])")
            said = lab.client.run("python3", "-I", "-c", talk, address, port, source).split("\n")
            expected = f"220 ready for PROXY {family} {source} {address} {said[-2].strip()} {port}"
            check(said[0].rstrip("\r") == expected, f"{said} and not {expected}")
            check(said[1] == "250 HELO", f"{said}")


@scenario("tcp-dynamic-ports", "other proxies", alone=True)
def dynamic_ports(lab):
    """Ports of the routes, over both families: SIGHUP opens and closes them."""
    make_way(lab)
    start_nginx(lab, 8000, header=False, text="one", name="one")
    start_nginx(lab, 8001, header=False, text="two", name="two")
    one, two = f"tcp://{TARGET4}:8000", f"tcp://{url_host(TARGET6)}:8001"
    burgee = start(lab, ":0;proto=tcp-dynamic", routes(f"one :9001 {one}", f"two :9002 {two}"))
    own = ADDRESSES[1]

    def answers(port, text, *addresses):
        wait_port(lab.host.namespace, port)
        for address in addresses or ADDRESSES:
            said = curl(lab, f"http://{url_host(address)}:{port}/")
            check(said == f"{text}\n", f"{address} port {port}: {said!r} and not {text!r}")

    def is_closed(port):
        wait_for(f"port {port} is closed",
                 lambda: not lab.host.namespace.run("ss", "-Htln", f"sport = :{port}").strip())
        # 7: could not connect.
        statuses = [exit_status(lab, f"http://{url_host(a)}:{port}/") for a in ADDRESSES]
        check(statuses == [7, 7], f"port {port}: {statuses}")

    answers(9001, "one")
    answers(9002, "two")
    is_closed(9003)
    # One goes, one comes, one has other targets, on one address other ones still.
    burgee.change(registry_static_routes=routes(
        f"one :9003 {one}", f"one :9002 {one}", f"two [{own}]:9002 {two}"))
    is_closed(9001)
    answers(9003, "one")
    answers(9002, "one", ADDRESSES[0])
    answers(9002, "two", own)
    # All go, and come back.
    burgee.change(registry_static_routes="")
    is_closed(9002)
    is_closed(9003)
    burgee.change(registry_static_routes=routes(f"two :9002 {two}"))
    answers(9002, "two")
