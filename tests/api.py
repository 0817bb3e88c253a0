"""Small servers on 127.0.0.1 that answer as providers' APIs do, and stand-ins for programs."""

import json
import shlex
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

CREATED = "2016-01-30T23:50:00+00:00"
Answer = Callable[[str, dict[str, str]], tuple[int, Any]]  # path, query -> status, JSON


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """The URL of a server that answers GET so while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # its base class wants this name
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            status, document = answer(url.path, query)
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubernetes(nodes: list[dict[str, Any]], page: int = 500) -> Answer:
    """An API server with these nodes, given out in pages (kubernetes.io, API concepts)."""

    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "/api":
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
        if path == "/api/v1":
            node = {"name": "nodes", "singularName": "node", "kind": "Node", "namespaced": False}
            resources = [{**node, "verbs": ["get", "list"], "shortNames": ["no"]}]
            return 200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}
        if path != "/api/v1/nodes":
            return 404, {"kind": "Status", "status": "Failure", "code": 404}
        start = int(query.get("continue") or 0)
        more = str(start + page) if start + page < len(nodes) else ""
        items = nodes[start : start + page]
        return 200, {
            "kind": "NodeList",
            "apiVersion": "v1",
            "metadata": {"continue": more},
            "items": items,
        }

    return answer


def node(name: str, cidrs: list[str], **addresses: list[str]) -> dict[str, Any]:
    """A node as the API has it, with addresses by their type."""
    spec = {"podCIDR": cidrs[0], "podCIDRs": cidrs} if cidrs else {}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"role": "worker", "zone": ""}},
        "spec": {**spec, "taints": [{"key": "node-role", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [
                *({"type": kind, "address": text} for kind, t in addresses.items() for text in t),
                {"type": "Hostname", "address": name},
            ]
        },
    }


def kubeconfig(directory: Path, **contexts: str) -> Path:
    """A kubeconfig with a context for each server's URL; the first is the current one."""
    names = list(contexts)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": names[0],
        "clusters": [{"name": n, "cluster": {"server": contexts[n]}} for n in names],
        "users": [{"name": "operator", "user": {"token": "fa1rly-secret"}}],
        "contexts": [{"name": n, "context": {"cluster": n, "user": "operator"}} for n in names],
    }
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def hetzner(servers: list[dict[str, Any]], page: int = 50) -> Answer:
    """Hetzner Cloud's API with these servers, given out in pages, and the network 4711."""
    network = {"id": 4711, "name": "kubernetes", "ip_range": "10.0.0.0/16", "created": CREATED}

    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "/v1/networks":
            return 200, {"networks": [network]}
        if path != "/v1/servers":
            return 404, {"error": {"code": "not_found", "message": "not found"}}
        at = int(query.get("page", 1))
        pages = -(-len(servers) // page)
        paging = {
            "page": at,
            "per_page": page,
            "previous_page": at - 1 or None,
            "next_page": at + 1 if at < pages else None,
            "last_page": pages,
            "total_entries": len(servers),
        }
        chosen = servers[(at - 1) * page : at * page]
        return 200, {"servers": chosen, "meta": {"pagination": paging}}

    return answer


def stand_in(directory: Path, name: str, body: str) -> None:
    """A stand-in for a program that no registry has: Python, with `arguments` to look at."""
    path = directory / name
    # A "#!" line holds no path with a space: sh runs its second line, which is a text for Python.
    start = f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} \"$0\" \"$@\"\n'''\n"
    path.write_text(f"{start}import sys\narguments = sys.argv[1:]\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def droplet(name: str, *, tags: list[str] | None = None, **networks: str) -> dict[str, Any]:
    """A droplet as doctl prints it; networks are v4_public, v4_private, v6_public."""
    by_family: dict[str, list[dict[str, str]]] = {}
    for kind, address in networks.items():
        family, _, type_ = kind.partition("_")
        by_family.setdefault(family, []).append({"ip_address": address, "type": type_})
    return {"id": 1, "name": name, "memory": 1024, "networks": by_family, "tags": tags}


def instance(label: str, main: str, internal: str, **more: Any) -> dict[str, Any]:
    """An instance as vultr-cli prints it, with the secrets that it prints."""
    return {
        "id": "cb676a46-66fd-4dfb-b839-443f2e6c0b60",
        "main_ip": main,
        "vpc_only": False,
        "default_password": "fa1rly-secret",
        "status": "active",
        "v6_main_ip": "",
        "label": label,
        "internal_ip": internal,
        "kvm": "https://my.vultr.com/subs/vps/novnc/api.php?data=fa1rly-secret",
        "hostname": "",
        "tags": [],
        **more,
    }


def vultr_pages(*pages: list[dict[str, Any]]) -> str:
    """The body of a stand-in for vultr-cli that prints these pages, one for each cursor."""
    answers = {}
    for at, instances in enumerate(pages):
        following = f"cursor-{at + 1}" if at + 1 < len(pages) else ""
        links = {"next": following, "prev": f"cursor-{at - 1}" if at else ""}
        meta = {"total": sum(map(len, pages)), "links": links}
        cursor = f"cursor-{at}" if at else ""
        answers[cursor] = json.dumps({"instances": instances, "meta": meta}, indent=4)
    return (
        "assert arguments[:4] == ['instance', 'list', '--output', 'json'], arguments\n"
        "assert arguments[4:6] == ['--per-page', '500'], arguments\n"
        "cursor = arguments[7] if arguments[6:7] == ['--cursor'] else ''\n"
        f"print({answers!r}[cursor])"
    )
