"""One measurement: weir-load against a base URL, on its own CPU."""
import json
import pathlib
import subprocess

from servers import KEY, binary, die, end_with_parent


def chat_body(size):
    """The body that weir-load makes of `--body SIZE`, so that others can send the same."""
    begin, end = '{"model":"chat","messages":[{"role":"user","content":"', '"}]}'
    words = "the weir regulates and measures the flow "
    content = size - len(begin) - len(end)
    return begin + (words * (content // len(words) + 1))[:content] + end


def run_load(options, url, *, seconds, warmup, connections, body=1024, stream=False, frames=0, ca=None, headers=(),
             watch=(), more=(), verify=False, key=KEY):
    """`body`: how many bytes, or the file that is sent. Returns weir-load's JSON."""
    command = ["taskset", "-c", str(options.load_cpu), binary(options, "weir-load"), url, "--quiet", "--json", "-",
               "-c", str(connections), "-d", str(seconds), "-w", str(warmup),
               "--body-file" if isinstance(body, pathlib.Path) else "--body", str(body)]
    if key:
        command += ["--key", key]
    if stream:
        command.append("--stream")
    if frames and verify:
        command += ["--expect-frames", str(frames)]
    elif verify:
        command.append("--verify")
    if ca:
        command += ["--ca", str(ca)]
    for header in headers:
        command += ["--header", header]
    for pid in watch:
        command += ["--watch", str(pid)]
    done = subprocess.run(command + list(more), capture_output=True, text=True, preexec_fn=end_with_parent)
    if not done.stdout.startswith("{"):
        die(f"weir-load failed on {url}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)
