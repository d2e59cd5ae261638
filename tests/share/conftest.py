"""A model hub on this machine that speaks as much of the protocol as huggingface_hub needs, and a run to share."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import draw_pairs, run_command

TOKEN, OWNER = "hf_mine", "me"
SETS = ["dataset.size=[16,32]", "generator.width=2", "discriminator.width=2", "train.batch=4", "train.steps=1"]


class Hub:
    """Repositories by name: whether it is private, its commits (hash, files), and what revisions are called."""

    def __init__(self):
        self.repositories, self.blobs, self.requests, self.gated = {}, {}, [], set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def create(self, name, private=False):
        self.repositories[name] = {"private": private, "commits": {}, "revisions": {}}
        self.commit(name, {".gitattributes": b"*.safetensors filter=lfs\n"})

    def commit(self, name, files):
        sha = hashlib.sha1(repr((name, sorted(files.items()), len(self.requests))).encode()).hexdigest()
        self.repositories[name]["commits"][sha] = files
        self.repositories[name]["revisions"]["main"] = sha
        return sha

    def files(self, name, revision="main"):
        found = self.repositories[name]
        return found["commits"].get(found["revisions"].get(revision, revision))

    def asked_for(self):
        return sorted(
            {path.rpartition("/")[2] for method, path in self.requests if method == "GET" and "/resolve/" in path}
        )


class Handler(BaseHTTPRequestHandler):
    """Answers requests as the hub does."""

    def log_message(self, *_):
        pass

    def answer(self, status=200, content=b"", **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message="no"):
        self.answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def handle_one(self):
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path))
        body = self.body()
        mine = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if path.startswith("/blobs/"):
            hub.blobs[path.rpartition("/")[2]] = body
            return self.answer()
        if path == "/api/validate-yaml":
            return self.answer(content={"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create(json.loads(body), mine)
        name, rest = re.fullmatch(r"/(?:api/models/)?([\w.-]+/[\w.-]+?)(?:\.git)?(?:/(.*))?", path).groups()
        found = hub.repositories.get(name)
        if found is None or (found["private"] and not mine):
            return self.refuse(404 if mine else 401, "RepoNotFound", "Repository not found")
        if name in hub.gated:
            return self.refuse(403, "GatedRepo", "Access to this model is restricted")
        rest = rest or "revision/main"
        if self.command == "POST" and not mine:
            return self.refuse(401, "", "Invalid credentials")
        if self.command == "POST" and name.partition("/")[0] != OWNER:
            return self.refuse(403, "", "You don't have the rights to create a model under this namespace")
        if rest.startswith("preupload/"):
            files = [
                {"path": one["path"], "shouldIgnore": False, "uploadMode": mode_of(one["path"])}
                for one in json.loads(body)["files"]
            ]
            return self.answer(content={"files": files})
        if rest == "info/lfs/objects/batch":
            objects = [
                {**one, "actions": {"upload": {"href": f"{hub.address}/blobs/{one['oid']}", "header": {}}}}
                for one in json.loads(body)["objects"]
            ]
            return self.answer(content={"transfer": "basic", "objects": objects})
        if rest.startswith("commit/"):
            return self.commit(name, [json.loads(line) for line in body.splitlines()])
        kind, _, rest = rest.partition("/")
        revision, _, file = rest.partition("/")
        files, sha = hub.files(name, revision), found["revisions"].get(revision, revision)
        if files is None:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        if kind == "revision":
            siblings = [{"rfilename": one} for one in files]
            return self.answer(content={"id": name, "sha": sha, "private": found["private"], "siblings": siblings})
        if kind == "tree":
            return self.answer(content=[entry(path, content) for path, content in files.items()])
        if kind != "resolve" or file not in files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        digest = hashlib.sha256(files[file]).hexdigest()
        return self.answer(content=files[file], ETag=f'"{digest}"', X_Repo_Commit=sha)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one  # noqa: N815  # the names that http.server calls

    def create(self, wanted, mine):
        hub, owner = self.server.hub, wanted.get("organization") or OWNER
        name = f"{owner}/{wanted['name']}"
        if not mine:
            return self.refuse(401, "", "Invalid credentials")
        if owner != OWNER:
            return self.refuse(403, "", "You don't have the rights to create a model under this namespace")
        url = {"url": f"{hub.address}/{name}", "name": name}
        if name in hub.repositories:
            return self.answer(409, {"error": "You already created this model repo", **url})
        hub.create(name, private=wanted.get("visibility") == "private" or wanted.get("private") is True)
        return self.answer(content=url)

    def commit(self, name, lines):
        hub = self.server.hub
        files = dict(hub.files(name))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = hub.commit(name, files)
        url = f"{hub.address}/{name}/commit/{sha}"
        return self.answer(content={"success": True, "commitUrl": url, "commitOid": sha, "hookOutput": ""})


def mode_of(path):
    return "lfs" if path.endswith((".safetensors", ".png")) else "regular"


def entry(path, content):
    """A line of the listing of a repository's files."""
    blob = hashlib.sha1(content).hexdigest()
    found = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if mode_of(path) == "lfs":
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return found


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The hub, which the library takes for its own, with an empty cache and a token."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    made = Hub()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", made.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", made.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its servers are others
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory):
    """A run of one step in two directions, evaluated, with its samples."""
    place = tmp_path_factory.mktemp("shared")
    sets = [*SETS, f"dataset.root={draw_pairs(place / 'pairs')}", "evaluations.diversity=false", "record.samples=2"]
    words = ["run", "discogan_edges2shoes", *(word for text in sets for word in ("--set", text)), "--out", place]
    assert run_command(*words) == 0
    return place / "discogan_edges2shoes" / "0001"


@pytest.fixture
def pack(shared_run, tmp_path):
    """A pack of that run for all that may be done with it."""
    assert run_command("pack", shared_run, "--out", tmp_path / "pack", "--with-discriminators") == 0
    return tmp_path / "pack"
