"""The three ways to the brown-out's origin. Each with what its documentation
recommends for an origin that fails, and the same times for all."""

import asyncio
import os
import socket

from . import brownout_load, servers

STALE = "10m"

PANNIER = """
threads: 1
memory: 64MiB
max_clients: 10000
listen:
  - unix: {path}
namespaces:
  - prefix: "item:"
    origin: items
    path: /items/{{rest}}
    stale_while_revalidate: {stale}
    stale_if_error: {stale}
origins:
  items:
    http:
      endpoints: ["http://127.0.0.1:{port}"]
    deadline: {patience_ms}ms
"""

NGINX = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 65536;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    proxy_cache_path {dir}/cache keys_zone=items:16m inactive={stale} max_size=64m;
    keepalive_requests 1000000;
    upstream items {{ server 127.0.0.1:{port} max_fails=0; keepalive 32; }}
    server {{
        listen unix:{path};
        location / {{
            proxy_pass http://items;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout {patience_ms}ms;
            proxy_read_timeout {patience_ms}ms;
            proxy_cache items;
            proxy_cache_key $uri;
            proxy_cache_lock on;
            proxy_cache_lock_timeout {patience_ms}ms;
            proxy_cache_lock_age {patience_ms}ms;
            proxy_cache_background_update on;
            proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
        }}
    }}
}}
"""


class Way(servers.Server):
    """A server on the Unix socket self.path, for the origin at `port`."""

    protocol = brownout_load.Http
    text, config = "", ""

    def __init__(self, ctx, name, port, args):
        super().__init__(ctx, name, 0)
        self.port, self.patience_ms = port, int(1000 * args.patience)

    def configure(self):
        path = os.path.join(self.dir, self.config)
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.text.format(path=self.path, port=self.port, patience_ms=self.patience_ms, dir=self.dir,
                                     stale=STALE, user="user root;" if os.getuid() == 0 else ""))
        return path

    def is_ready(self):
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(self.path)
                return True
            except OSError:
                return False

    def connector(self):
        loop_of = asyncio.get_running_loop
        return lambda factory: loop_of().create_unix_connection(factory, self.path)


class Pannier(Way):
    protocol = brownout_load.Resp
    text, config = PANNIER, "pannier.yaml"

    def argv(self):
        return [self.ctx.pannier, "serve", "--config", self.configure()]


class Nginx(Way):
    text, config = NGINX, "nginx.conf"

    def argv(self):
        program = next((p for p in ("/usr/sbin/nginx", "/usr/local/sbin/nginx") if os.path.exists(p)), "nginx")
        return [program, "-p", self.dir, "-c", self.configure(), "-e", os.path.join(self.dir, "error.log")]


class Direct:
    protocol = brownout_load.Http

    def __init__(self, port):
        self.port = port

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def connector(self):
        loop_of = asyncio.get_running_loop
        return lambda factory: loop_of().create_connection(factory, "127.0.0.1", self.port)


def make(ctx, way, port, args):
    if way == "direct":
        return Direct(port)
    return {"nginx": Nginx, "pannier": Pannier}[way](ctx, way, port, args)
