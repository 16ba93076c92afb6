"""What is in `deploy/`: read by the tools that it is for, and proxies as they run before a server."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from registry_server.process.arguments import from_arguments
from registry_server.process.settings import OPTIONS
from services.ports import free_port
from services.processes import wait_for
from services.registry_server import RegistryServer

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KNOWN = {variable for option in OPTIONS for variable in option.variables}
PREFIX = "/registry"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def needs(program, package):
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is missing: Debian's package is {package}")
    return found


def settings_of(environment):
    """The settings that an environment gives; an unknown name is a slip of the pen."""
    own = {name for name in environment if name.startswith("REGISTRY_")}
    assert own <= KNOWN
    return from_arguments([], environment)


# systemd


def test_unit_is_understood_and_hardened(tmp_path):
    """By systemd's own tools: no complaint, and an exposure that they call OK."""
    analyze = needs("systemd-analyze", "systemd")
    text = (DEPLOY / "systemd/registry-server.service").read_text()
    unit = tmp_path / "registry-server.service"
    # The program has to be there for the check.
    unit.write_text(text.replace("/opt/registry/bin/registry-server", sys.executable))
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    command = [analyze, "security", "--offline=true", "--threshold=15", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_unit_waits_for_what_the_server_does():
    """Its environment is settings of the server, and its time to stop longer than the server's."""
    lines = (DEPLOY / "systemd/registry-server.env").read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = settings_of(pairs)
    unit = (DEPLOY / "systemd/registry-server.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(seconds) > settings.shutdown_seconds


# Kubernetes

MANIFESTS = {
    path.name: document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
}
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("release", ["1.30", "1.37"])
def test_manifest_is_one_of_kubernetes(name, release):
    """By the schemas of an old and of a new release; what they do not know is refused."""
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is missing")
    validate.validate(MANIFESTS[name], release, strict=True)


def test_kustomization_has_every_manifest_but_the_job():
    """A job is created for an upgrade, and not with the rest."""
    assert {*KUSTOMIZATION["resources"], "upgrade-job.yaml"} == set(MANIFESTS)


def test_manifests_fit_each_other_and_the_image():
    """Labels, ports, the user, and how long a pod may take to end."""
    deployment = MANIFESTS["deployment.yaml"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    settings = settings_of({**MANIFESTS["configmap.yaml"]["data"], "HOST": "0.0.0.0"})
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.port, "metrics": settings.metrics_address[1]}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\d+):", dockerfile, re.MULTILINE) == [
        str(pod["securityContext"]["runAsUser"])
    ]
    pause = int(re.findall(r"sleep\((\d+)\)", str(container["lifecycle"]))[0])
    assert pod["terminationGracePeriodSeconds"] > settings.shutdown_seconds + pause
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (
        deployment["selector"]["matchLabels"],
        MANIFESTS["service.yaml"]["spec"]["selector"],
        MANIFESTS["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["networkpolicy.yaml"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    assert settings.auth_file.startswith(mounts["users"])
    for each in (pod, MANIFESTS["upgrade-job.yaml"]["spec"]["template"]["spec"]):
        assert each["securityContext"]["runAsNonRoot"]
        assert each["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
        assert each["automountServiceAccountToken"] is False


# Proxies


@contextlib.contextmanager
def nginx(port, upstream, directory):
    """The program nginx with the configuration in the tree, on loopback and without a certificate."""
    program = needs("nginx", "nginx")
    text = (DEPLOY / "nginx/registry.conf").read_text()
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    text = re.sub(r"^ *ssl_.*$", "", text, flags=re.MULTILINE)
    text = text.replace("server 127.0.0.1:8000;", f"server 127.0.0.1:{upstream};")
    config = directory / "nginx.conf"
    # One worker, which may read what this user has written.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
    config.write_text(
        f"daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{text}}}\n"
    )
    with running([program, "-e", "stderr", "-p", directory, "-c", config], port):
        yield


@contextlib.contextmanager
def caddy(port, upstream, directory):
    """Caddy with the configuration in the tree, on loopback and without a certificate."""
    program = needs("caddy", "caddy")
    text = (DEPLOY / "caddy/Caddyfile").read_text()
    text = text.replace("models.example.com {", f"http://127.0.0.1:{port} {{")
    text = text.replace("reverse_proxy 127.0.0.1:8000", f"reverse_proxy 127.0.0.1:{upstream}")
    config = directory / "Caddyfile"
    config.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    command = [program, "run", "--adapter", "caddyfile", "--config", config]
    with running(command, port, {"XDG_DATA_HOME": str(directory), "HOME": str(directory)}):
        yield


@contextlib.contextmanager
def running(command, port, environment=None):
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, f"{command[0]} did not start"
        yield
    finally:
        process.kill()
        process.wait(30)


def answers(port):
    with contextlib.suppress(OSError):
        return ask(port, "GET", f"{PREFIX}/health").status == 200
    return False


def ask(port, method, target, body=None, *, source="127.0.0.1", **headers):
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=60, source_address=(source, 0)
    )
    with contextlib.closing(connection):
        connection.request(method, target, body, headers)
        reply = connection.getresponse()
        reply.data = reply.read()
        return reply


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxied(request, tmp_path_factory):
    """A server behind a proxy, below a path; and the proxy's port."""
    directory = tmp_path_factory.mktemp("proxied")
    port = free_port()
    server = RegistryServer(
        f"sqlite:///{directory / 'r.db'}",
        arguments=(
            *("--public-url", f"http://127.0.0.1:{port}{PREFIX}"),
            *("--trusted-proxies", "127.0.0.1"),
            *("--access-log", "--log-format", "json"),
        ),
    )
    with server, request.param(port, server.port, directory):
        yield server, port


def test_files_of_any_length_pass_a_proxy(proxied):
    """With their length, and in chunks, past the proxy's own limits; and come back whole."""
    _, port = proxied
    body = os.urandom(1 << 20) * 20
    put = ask(port, "PUT", f"{PREFIX}{ARTIFACTS}/d/f", body)
    assert put.status == 200
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    assert ask(port, "PUT", f"{PREFIX}{ARTIFACTS}/d/g", pieces).status == 200
    for name in "fg":
        assert ask(port, "GET", f"{PREFIX}{ARTIFACTS}/d/{name}").data == body
    ranged = ask(port, "GET", f"{PREFIX}{ARTIFACTS}/d/f", Range="bytes=5-9")
    assert (ranged.status, ranged.data) == (206, body[5:10])


def test_names_pass_a_proxy_as_they_were_sent(proxied):
    """What is percent-encoded is decoded once, by the server; a page finds its style sheet."""
    _, port = proxied
    for name, path in (("100%", "100%25"), ("a#b", "a%23b"), ("a b", "a%20b"), ("é", "%C3%A9")):
        assert ask(port, "PUT", f"{PREFIX}{ARTIFACTS}/n/{path}", name.encode()).status == 200
        assert ask(port, "GET", f"{PREFIX}{ARTIFACTS}/n/{path}").data == name.encode()
    refused = ask(port, "GET", f"{PREFIX}{ARTIFACTS}/n/%252e%252e/x")
    assert refused.status == 400
    api = f"{PREFIX}/api/2.0/mlflow/registered-models"
    created = ask(
        port, "POST", f"{api}/create", b'{"name": "a%b c"}', **{"Content-Type": "application/json"}
    )
    assert created.status == 200, created.data
    page = ask(port, "GET", f"{PREFIX}/models/a%25b%20c", Accept="text/html")
    assert page.status == 200
    (sheet,) = re.findall(r'href="([^"]+\.css[^"]*)"', page.data.decode())
    assert not sheet.startswith(("/", "http"))
    expected = os.path.normpath(f"{PREFIX}/models/{sheet}")
    assert ask(port, "GET", expected).status == 200


def test_long_filters_pass_a_proxy(proxied):
    """They are part of the URL."""
    _, port = proxied
    clauses = "%20AND%20".join(f"name%20!=%20%27{'x' * 200}{n}%27" for n in range(55))
    target = f"{PREFIX}/api/2.0/mlflow/registered-models/search?filter={clauses}"
    assert len(target) > 12_000
    assert ask(port, "GET", target).status == 200


def test_server_knows_who_called_its_proxy(proxied):
    """The address, and the proxy's id of the request, stand in the answer and in the log."""
    server, port = proxied
    target = f"{PREFIX}/api/2.0/mlflow/registered-models/search?filter=traced"
    # The proxy itself calls the server from 127.0.0.1.
    answer = ask(port, "GET", target, source="127.0.0.2")
    request_id = answer.headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f-]{32,36}", request_id)
    wait_for(lambda: request_id in server.log)
    (line,) = [line for line in server.log.splitlines() if request_id in line]
    assert '"client": "127.0.0.2"' in line
