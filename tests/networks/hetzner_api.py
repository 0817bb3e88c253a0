"""A stand-in for Hetzner Cloud's API, for the real hcloud: networks, servers, actions.

Its answers have the form that hcloud reads. Its refusals have the codes and texts that users of
hcloud report. It runs on 127.0.0.1, and knows one network.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "k" * 64
TIME = "2026-01-30T23:50:00+00:00"
Document = dict[str, Any]
Reply = tuple[int, Document | bytes]
Fault = Callable[[str, str], Reply | None]  # method, path -> a reply in place of the API's own


def error(status: int, code: str, message: str) -> Reply:
    """A refusal, as the API words it; hcloud reads no `invalid_input` without details."""
    return status, {"error": {"code": code, "message": message, "details": {"fields": []}}}


class HetznerApi:
    """The network `kubernetes`, its servers and routes. `routes`: gateways by destination."""

    def __init__(self, servers: dict[str, str], ip_range: str, subnet: str) -> None:
        self.name = "kubernetes"
        self.ip_range = ip_range
        self.subnet = subnet
        self.servers = dict(servers)  # address in the network, by name
        self.routes: dict[str, str] = {}
        self.asked: list[str] = []  # "METHOD path", in order
        self.changes: list[tuple[str, str, str]] = []  # command, destination, gateway
        self.fault: Fault = lambda _method, _path: None
        self.failing = False  # whether actions fail after they were taken
        self.endless = False  # whether they never end
        self.limit = 100
        self.released = Event()  # ends requests that hang
        self._actions: list[str] = []  # the status of each
        self._lock = Lock()

    def answer(self, method: str, target: str, key: str, body: Document) -> Reply:
        """The answer to one request."""
        url = urlsplit(target)
        with self._lock:
            self.asked.append(f"{method} {url.path}")
        fault = self.fault(method, url.path)
        if fault is not None:
            return fault
        if key != f"Bearer {KEY}":
            return error(401, "unauthorized", "unable to authenticate")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self._lock:
            return self._answer(method, url.path.removeprefix("/v1"), query, body)

    def _answer(self, method: str, path: str, query: dict[str, str], body: Document) -> Reply:
        match method, path.strip("/").split("/"):
            case "GET", ["networks"]:
                named = query.get("name", self.name) == self.name
                return 200, {"networks": [self._network()] if named else [], **_page(1, 1, 1)}
            case "GET", ["networks", "7"]:
                return 200, {"network": self._network()}
            case "GET", ["servers"]:
                return self._servers(int(query.get("page", 1)), int(query.get("per_page", 25)))
            case "GET", ["actions"]:
                number = int(query["id"])
                return 200, {"actions": [self._action(number)], **_page(1, 1, 1)}
            case "POST", ["networks", "7", "actions", command]:
                return self._change(command, body["destination"], body["gateway"])
        return error(404, "not_found", "not found")

    def _network(self) -> Document:
        subnet = {"type": "cloud", "ip_range": self.subnet, "network_zone": "eu-central"}
        return {
            "id": 7,
            "name": self.name,
            "ip_range": self.ip_range,
            "subnets": [{**subnet, "gateway": str(ip_network(self.ip_range)[1])}],
            "routes": [{"destination": d, "gateway": g} for d, g in self.routes.items()],
            "servers": list(range(1, len(self.servers) + 1)),
            "load_balancers": [],
            "protection": {"delete": False},
            "labels": {},
            "created": TIME,
            "expose_routes_to_vswitch": False,
        }

    def _servers(self, page: int, size: int) -> Reply:
        every = [
            {
                "id": number,
                "name": name,
                "status": "running",
                "created": TIME,
                "public_net": {"ipv4": None, "ipv6": None, "floating_ips": []},
                "private_net": [
                    {"network": 7, "ip": ip, "alias_ips": [], "mac_address": "86:00:00:00:00:01"}
                ],
                "labels": {},
            }
            for number, (name, ip) in enumerate(self.servers.items(), 1)
        ]
        chosen = every[(page - 1) * size : page * size]
        return 200, {"servers": chosen, **_page(page, size, len(every))}

    def _action(self, number: int) -> Document:
        status = self._actions[number]
        failed = {"code": "action_failed", "message": "Action failed"}
        return {
            "id": number,
            "command": "change",
            "status": status,
            "progress": 0 if status == "running" else 100,
            "started": TIME,
            "finished": None if status == "running" else TIME,
            "resources": [{"id": 7, "type": "network"}],
            "error": failed if status == "error" else None,
        }

    def _change(self, command: str, destination: str, gateway: str) -> Reply:
        refusal = self._refusal(command, destination, gateway)
        if refusal:
            return refusal
        if not self.failing:
            if command == "add_route":
                self.routes[destination] = gateway
            else:
                del self.routes[destination]
            self.changes.append((command, destination, gateway))
        ending = "error" if self.failing else "running" if self.endless else "success"
        self._actions.append(ending)
        return 201, {"action": {**self._action(len(self._actions) - 1), "status": "running"}}

    def _refusal(self, command: str, destination: str, gateway: str) -> Reply | None:
        if command == "delete_route":
            if self.routes.get(destination) == gateway:
                return None
            return error(404, "not_found", "route not found")
        if gateway not in self.servers.values():
            return error(422, "invalid_input", "invalid gateway")
        asked = ip_network(destination)
        taken = [self.subnet, *(d for d in self.routes if d != "0.0.0.0/0")]
        if any(asked.overlaps(ip_network(other)) for other in taken):
            what = "network route destination overlaps with another subnetwork or network route"
            return error(422, "invalid_input", what)
        if len(self.routes) >= self.limit:
            return error(403, "resource_limit_exceeded", "network route limit exceeded")
        return None


def _page(page: int, size: int, entries: int) -> Document:
    last = max(1, -(-entries // size))
    return {
        "meta": {
            "pagination": {
                "page": page,
                "per_page": size,
                "previous_page": page - 1 or None,
                "next_page": page + 1 if page < last else None,
                "last_page": last,
                "total_entries": entries,
            }
        }
    }


@contextmanager
def serving(api: HetznerApi, address: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """Serve an API while the block runs. Gives the environment in which hcloud finds it."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            key = self.headers.get("Authorization", "")
            status, document = api.answer(self.command, self.path, key, body)
            text = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:  # its base class wants this name
            self._reply()

        def do_POST(self) -> None:
            self._reply()

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
                super().handle()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer((str(ip_address(address)), 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        endpoint = f"http://{address}:{server.server_port}/v1"
        yield {"HCLOUD_ENDPOINT": endpoint, "HCLOUD_TOKEN": KEY}
    finally:
        api.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
