"""Starts a service's real binary with a configuration file that the chart rendered, until it is ready.

Listen addresses, paths and the database server are overridden, since those of a cluster are not here; everything
else is what the chart wrote. The database is one of its own on the test server.
"""

import contextlib
import datetime
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request

import pymysql
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
PEM = serialization.Encoding.PEM
READY_WITHIN = 60.0
STOPPED_WITHIN = 60.0

# A public key of nobody: enough to start, no token is made for it.
JWKS = {"keys": [{"kty": "EC", "crv": "P-256", "kid": "test", "alg": "ES256", "use": "sig",
                  "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="cwpp-chart-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def database():
    """The test server's URL, and the name of an empty database on it that goes at the end."""
    url = urllib.parse.urlsplit(os.environ["CWPP_TEST_MYSQL_URL"])
    name = f"cwpp_chart_{secrets.token_hex(6)}"

    def run(statement):
        connection = pymysql.connect(host=url.hostname, port=url.port or 3306, user=url.username,
                                     password=urllib.parse.unquote(url.password or ""))
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)

    run(f"CREATE DATABASE `{name}`")
    try:
        yield url, name
    finally:
        run(f"DROP DATABASE IF EXISTS `{name}`")


def free_port():
    """A port below those that the system gives to connections: one of these could be taken before it is listened on."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", 10_000 + secrets.randbelow(10_000)))
                return probe.getsockname()[1]


def authority():
    """A certificate authority of nobody: it is read, and with tls_mode `required` nothing is verified by it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(PEM).decode()


def content(path, url):
    """What a pod finds at a path of the configuration."""
    if path.startswith("/etc/cwpp/database/"):
        return urllib.parse.unquote(url.password or "")
    if path.startswith("/etc/cwpp/jwks/"):
        return json.dumps(JWKS)
    if path.startswith("/etc/cwpp/database-ca/"):
        return authority()
    if path.endswith(".pem"):
        key = ed25519.Ed25519PrivateKey.generate()
        return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    if path.endswith(".pub"):
        key = ed25519.Ed25519PrivateKey.generate().public_key()
        return key.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return secrets.token_hex(32) + "\n"


def overrides(config, where, url, name):
    """What replaces everything of the rendered file that names a place in the cluster; writes the files it names."""

    def file(value):
        path = pathlib.Path(where) / value.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not value.startswith("/var/lib/"):  # what the service itself writes
            path.write_text(content(value, url))
        return str(path)

    def replaced(key, value):
        if isinstance(value, dict):
            return {inner: new for inner, old in value.items() if (new := replaced(inner, old)) is not None}
        if key == "listen":
            return f"127.0.0.1:{free_port()}"
        if isinstance(value, list):
            return [replaced(key, item) or item for item in value]
        if isinstance(value, str) and value.startswith("/"):
            return file(value)
        return None

    made = replaced("", config)
    made["database"].update(host=url.hostname, port=url.port or 3306, user=url.username, name=name, tls_mode="required")
    made["shutdown"] = {"lame_duck": "0s"}
    return made


def toml(table, prefix=""):
    """A table as TOML: texts, numbers and lists of texts are JSON alike."""
    own = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items() if not isinstance(value, dict))
    inner = "".join(toml(value, f"{prefix}{key}.") for key, value in table.items() if isinstance(value, dict))
    return (f"[{prefix[:-1]}]\n" if prefix and own else "") + own + inner


def readiness(address):
    try:
        with urllib.request.urlopen(f"http://{address}/readyz?verbose", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def to_ready(service, text):
    """Migrates, starts, waits until ready, stops; raises AssertionError with the log where one of them fails."""
    program = TARGET / f"cwpp-{service}"
    with folder() as where, database() as (url, name):
        rendered, over = pathlib.Path(where) / "config.toml", pathlib.Path(where) / "over.toml"
        rendered.write_text(text)
        made = overrides(tomllib.loads(text), where, url, name)
        over.write_text(toml(made))
        arguments = [program, "--config", rendered, "--config", over]
        migrated = subprocess.run([*arguments, "migrate", "up"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if migrated.returncode:
            raise AssertionError(f"migrate up ended with {migrated.returncode}\n{migrated.stdout}{migrated.stderr}")
        log = pathlib.Path(where) / "log"
        with log.open("w") as out:
            process = subprocess.Popen([*arguments, "serve"], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + READY_WITHIN
            status, said = 0, ""
            while time.monotonic() < end and process.poll() is None and status != 200:
                time.sleep(0.05)
                status, said = readiness(made["admin"]["listen"])
            if status != 200:
                raise AssertionError(f"not ready (status {status}, exit {process.poll()})\n{said}\n{log.read_text()[-4000:]}")
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=STOPPED_WITHIN)
            if code:
                raise AssertionError(f"ended with {code} after SIGTERM\n{log.read_text()[-4000:]}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
