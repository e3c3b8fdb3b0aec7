"""Configurations of the rivals at their best, all with their access log off, one worker, keep-alive on both legs."""

NGINX_HEAD = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 32m;
  client_body_buffer_size 512k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
"""

# Two locations: streams unbuffered, answers buffered, each as nginx does it best.
NGINX_PROXY = NGINX_HEAD + """
  upstream provider {{
    server {upstream};
    keepalive 4096;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
  proxy_http_version 1.1;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{tls_port} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ proxy_pass http://provider; proxy_set_header Connection ""; }}
    location /stream/ {{ proxy_pass http://provider/; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""

# Its default buffer of 16 KB where the request fits it; else one that holds the body whole: HAProxy would need several
# passes. See haproxy_buffer().
HAPROXY = """
global
  nbthread 1
  maxconn 8192
  tune.bufsize {buffer}
  tune.ssl.default-dh-param 2048
  log stdout format raw local0 emerg
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option http-no-delay
  http-reuse always
frontend clients
  bind 127.0.0.1:{port} backlog 4096
  bind 127.0.0.1:{tls_port} backlog 4096 ssl crt {bundle}
  default_backend provider
backend provider
  server provider {upstream} pool-max-conn -1
"""

WEIR_CONFIG = """
listen: ["127.0.0.1:{port}"]
tls: {{ listen: ["127.0.0.1:{tls_port}"], certificates: [ {{ cert: "{certificate}", key: "{key}" }} ] }}
shards: 1
table: table.yaml
registry: none
key_hash_secret: ${{WEIR_KEY_HASH_SECRET}}
admin: {{ socket: admin.sock }}
access_log: none
"""

def haproxy_buffer(body):
    """tune.bufsize for bodies of so many bytes: 1 KB of it is HAProxy's to rewrite heads, and the head goes in, too."""
    return 16384 if body <= 12 * 1024 else body + 16384


# What a real table makes weir do: find the key, decide on a flag by the user's bucket, admit and settle under every
# kind of limit and budget (of all, of the tenant, of the user), replace the model. None of them is ever reached.
WEIR_DOES = ("key, flag at 50 % by user (100,000 of them), limits and budgets of all, tenant and user, model replaced, "
             "usage metered")
USERS = 100_000
WEIR_TABLE = """
providers: {{ mock: {{ dialect: openai, base_url: "http://{upstream}/v1", api_key: "env:MOCK_API_KEY" }} }}
models:
  model-a-1: {{ provider: mock, tier: economy, price: {{ input: 1, output: 2 }} }}
  model-b-1: {{ provider: mock, tier: standard, price: {{ input: 1, output: 2 }} }}
units: {{ unit-a: {{ model: model-a-1 }}, unit-b: {{ model: model-b-1 }} }}
scenarios: {{ chat: {{ stable: unit-a, sticky_by: [user] }} }}
flags: {{ new-model: {{ scenario: chat, candidate: {{ unit: unit-b }}, owner: bench }} }}
limits: {{ rps: 1000000000 }}
budgets: [ {{ window: 1d, usd: 1000000 }} ]
tenants:
  bench:
    name: Bench
    limits: {{ rpm: 1000000000, tpm: 1000000000000, concurrency: 10000 }}
    budgets: [ {{ window: 1h, usd: 1000000, on_exceed: economy }} ]
    user_limits: {{ rpm: 1000000000 }}
    user_budgets: [ {{ window: 1d, usd: 100000 }} ]
    flags: {{ new-model: {{ state: pilot, percent: 50, owner: bench, reason: bench, review: 2030-01-01,
              previous: unit-a }} }}
keys: [ {{ id: bench, tenant: bench, scenario: chat, hash: "{hash}" }} ]
"""
