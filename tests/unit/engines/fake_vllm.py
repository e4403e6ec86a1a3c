"""A small server that behaves like vLLM's: `python fake_vllm.py STATE MODE --port N --served-model-name=M ...`.

It writes what it was started with into the folder STATE and starts a child of its own. Modes: `good`; `silent` (never
healthy); `dies` (soon after it is healthy); `foreign` (knows no key); anything else is said, then it exits with 1.
Prompts with `die once`, `hang once`, `sicken once` (its health check fails from then on), `poison`, `bad` (400) or
`unknown` (404) do what they say. Tokens are code points, each with log-probability -1.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STATE, MODE, FLAGS = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
NAME = next(f.split("=", 1)[1] for f in FLAGS if f.startswith("--served-model-name="))
SICK = threading.Event()
KEY = os.environ.get("VLLM_API_KEY", "")


def first_time(what: str) -> bool:
    try:
        (STATE / what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def obey(prompt: str) -> None:
    if "poison" in prompt or ("die once" in prompt and first_time("died")):
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang once" in prompt and first_time("hung"):
        time.sleep(600)
    if "sicken once" in prompt and first_time("sick"):
        SICK.set()
        time.sleep(600)


def rendered(messages: list[dict[str, str]], prompt: bool) -> list[int]:
    ids: list[int] = []
    for message in messages:
        ids += [3 if message["role"] == "assistant" else 1, *map(ord, message["content"]), 2]
    return ids + [3] * prompt


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def reply(self, body: object, status: int = 200) -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def allowed(self) -> bool:
        if (
            not self.path.startswith("/v1")
            or MODE != "foreign"
            and self.headers.get("Authorization") == f"Bearer {KEY}"
        ):
            return True
        self.reply({"error": "Unauthorized"}, 401)
        return False

    def do_GET(self) -> None:
        if not self.allowed():
            return
        known = {
            "/health": "",
            "/version": {"version": "0.32.5"},
            "/metrics": 'vllm:generation_tokens_total{engine="0"} 3.0\nvllm:generation_tokens_total{engine="1"} 4.0\n',
            "/v1/models": {"data": [{"id": NAME, "root": NAME, "max_model_len": 512}]},
        }
        silent = (MODE == "silent" or SICK.is_set()) and self.path == "/health"
        self.reply(known.get(self.path, {}), 503 if silent else 200 if self.path in known else 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        if self.path == "/tokenize":
            text = body.get("prompt")
            ids = rendered(body["messages"], body["add_generation_prompt"]) if text is None else [*map(ord, text)]
            self.reply({"tokens": ids})
        elif self.path == "/v1/completions":
            positions = [None, *({str(i): {"logprob": -1.0}} for i in body["prompt"][1:])]
            self.reply({"choices": [{"index": 0, "prompt_logprobs": positions}]})
        else:
            text = body["messages"][-1]["content"]
            obey(text)
            status = {"bad": 400, "unknown": 404}.get(text, 200)
            message = {"role": "assistant", "content": f"heard {text}"}
            choices = [{"index": i, "finish_reason": "stop", "message": message} for i in range(body.get("n", 1))]
            usage = {"prompt_tokens": 3, "completion_tokens": 2}
            self.reply({"choices": choices, "usage": usage} if status == 200 else {"error": {"message": text}}, status)


def main() -> None:
    child = subprocess.Popen(["sleep", "600"])
    start = {"pids": [os.getpid(), child.pid], "argv": sys.argv, "key": KEY}
    with (STATE / "starts.jsonl").open("a") as file:
        file.write(json.dumps(start) + "\n")
    if MODE not in ("good", "silent", "dies", "foreign"):
        print(MODE, flush=True)
        child.kill()
        raise SystemExit(1)
    print("INFO ready", flush=True)
    port = int(FLAGS[FLAGS.index("--port") + 1])
    if MODE == "dies":
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGKILL)).start()
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
