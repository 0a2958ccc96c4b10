"""Which runtime for the network in the page? Bytes to fetch and milliseconds a picture, in a real Chromium.

    python tools/compare_runtimes.py [--exports build/exports] [--rounds 15]      needs npm, Chromium and Playwright

The explorer's own forward pass (focal_utils/explorer/page/network.js, with WebAssembly's vectors and without), ONNX
Runtime Web and LiteRT.js answer the same pictures in one page, on one thread, by turns; what is measured is that
thread's processor time, of which a busy machine takes little more. Their network is the one for signs, which the folder
of exports keeps as signs.onnx and signs.tflite: they are made if they are not there (requirements-export.txt). Ours
gives gates and contexts of all blocks besides, which the others would have to be asked for. Writes
data/results/runtimes.json.
"""

from parts.arguments import at_least
from parts.arguments import parser as tool_parser

PACKAGES = {"onnxruntime-web": "1.30.0", "@litertjs/core": "2.5.3"}


def parser():
    options = tool_parser(__doc__)
    options.add_argument("--exports", default="build/exports", help="a folder for signs.onnx and signs.tflite")
    options.add_argument("--rounds", type=at_least(3), default=15)
    return options


if __name__ == "__main__":
    parser().parse_args()

import functools
import gzip
import json
import statistics
import subprocess
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import focal_utils as fu
from focal_utils.explorer import network_bytes
from parts.browser import chromium
from parts.files import RESULTS, ROOT, how_made, save_results

NPM = ROOT / "build" / "npm"
MODULES = NPM / "node_modules"
PAGE = ROOT / "focal_utils" / "explorer" / "page"
PICTURES = 8
TURN = 10  # passes in a turn
WARM = 2  # turns that are not counted
HOST = """<!doctype html><title>runtimes</title><script type="importmap">
{"imports": {"@litertjs/wasm-utils": "/modules/@litertjs/wasm-utils/dist/index.js"}}</script>"""
GET_READY = """async () => {
    const bytes = async (name) => (await fetch(name)).arrayBuffer();
    const pixels = new Uint8Array(await bytes("/pictures"));
    const size = 32 * 32 * 3;
    const pictures = Array.from({ length: pixels.length / size }, (_, i) => pixels.subarray(i * size, (i + 1) * size));
    async function own(plain) {
        const { readNetwork } = await import("/page/weightsfile.js");
        const { FocalNetwork } = await import("/page/network.js");
        const network = new FocalNetwork(readNetwork(await bytes("/signs.focal")), { plain });
        return async (values) => network.answer({ height: 32, width: 32, channels: 3, values }).logits;
    }
    async function onnx() {
        const ort = await import("/modules/onnxruntime-web/dist/ort.wasm.min.mjs");
        ort.env.wasm.numThreads = 1;
        const session = await ort.InferenceSession.create("/exports/signs.onnx");
        return async (values) => {
            const input = new ort.Tensor("float32", Float32Array.from(values), [1, 32, 32, 3]);
            const answers = await session.run({ [session.inputNames[0]]: input });
            return answers[session.outputNames[0]].data;
        };
    }
    async function litert() {
        const { Tensor, loadAndCompile, loadLiteRt } = await import("/modules/@litertjs/core/dist/index.js");
        await loadLiteRt("/modules/@litertjs/core/wasm/");
        const model = await loadAndCompile("/exports/signs.tflite", { accelerator: "wasm" });
        return async (values) => {
            const input = new Tensor(Float32Array.from(values), [1, 32, 32, 3]);
            const [output] = await model.run(input);
            const logits = Float32Array.from(output.toTypedArray());
            input.delete();
            output.delete();
            return logits;
        };
    }
    const contenders = {
        "our own": () => own(false),
        "our own, plain JavaScript": () => own(true),
        "ONNX Runtime Web": onnx,
        "LiteRT.js": litert,
    };
    const found = {};
    const fetched = () => performance.getEntriesByType("resource").map((one) => new URL(one.name).pathname);
    performance.setResourceTimingBufferSize(1000);
    for (const [name, make] of Object.entries(contenders)) {
        const before = fetched().length;
        const start = performance.now();
        try {
            const run = await make();
            const logits = Array.from(await run(pictures[0]));
            const ready = performance.now() - start;
            found[name] = { run, logits, ready, files: [...new Set(fetched().slice(before))] };
        } catch (error) {
            found[name] = { error: String(error) };
        }
    }
    window.turn = async (name, round, passes) => {
        for (let pass = 0; pass < passes; pass++) await found[name].run(pictures[(round + pass) % pictures.length]);
    };
    return Object.fromEntries(Object.entries(found).map(([name, { run, ...rest }]) => [name, rest]));
}"""
TAKE_A_TURN = "([name, round, passes]) => turn(name, round, passes)"


def fetch_packages():
    """Install the runtimes into build/npm, if they are not there."""
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items() if not (MODULES / name).is_dir()]
    if wanted:
        command = ["npm", "install", "--silent", "--no-save", "--prefix", str(NPM), *wanted]
        subprocess.run(command, check=True)


def write_exports(model, folder):
    """Write the network for the other runtimes into `folder`, unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "signs.onnx").exists():
        fu.export_model(model, folder / "signs.onnx")
    if not (folder / "signs.tflite").exists():
        fu.export_model(model, folder / "signs.tflite")
        fix_batch(folder / "signs.tflite")


def fix_batch(path):
    """Make a LiteRT file one of batches of a single picture: LiteRT.js takes no other sizes than those in the file."""
    from tensorflow.lite.tools import flatbuffer_utils

    network = flatbuffer_utils.read_model(str(path))
    for graph in network.subgraphs:
        for tensor in graph.tensors:
            tensor.shapeSignature = None  # what may vary; `shape` beside it says 1
    flatbuffer_utils.write_model(network, str(path))


class Files(SimpleHTTPRequestHandler):
    """The folder of the race; two kinds of file have names that Python does not know everywhere."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_message(self, *_):
        pass


def lay_out(folder, model, exports):
    """Fill `folder` with what the page of the race fetches."""
    pictures = list(fu.telling_signs().values())[:PICTURES]
    (folder / "pictures").write_bytes(b"".join(picture.tobytes() for picture in pictures))
    (folder / "signs.focal").write_bytes(network_bytes(model, list(model.class_names)))
    (folder / "index.html").write_text(HOST, "utf-8")
    for name, target in {"page": PAGE, "modules": MODULES, "exports": exports}.items():
        (folder / name).symlink_to(target.resolve())


def take_turns(page, found, rounds):
    """Let all contenders compute by turns: each gets `times`, milliseconds of processor time a pass, one for a turn."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked():
        metrics = session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    for round in range(-WARM, rounds):
        for name, one in found.items():
            if "error" in one:
                continue
            before = worked()
            page.evaluate(TAKE_A_TURN, [name, round + WARM, TURN])
            if round >= 0:
                one.setdefault("times", []).append((worked() - before) / TURN)


def race(folder, rounds):
    """Run the page of the race: what it returns for each contender."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            found = page.evaluate(GET_READY)
            take_turns(page, found, rounds)
            said = browser.version
    finally:
        server.shutdown()
    return found, said


def summary(found, folder, expected):
    """What is kept of a contender: bytes, time to its first answer, milliseconds a picture, how near it is to Keras."""
    if "error" in found:
        return found
    texts = [(folder / name.lstrip("/")).read_bytes() for name in found["files"]]
    apart = max(abs(mine - own) for mine, own in zip(found["logits"], expected, strict=True))
    quarters = statistics.quantiles(found["times"], n=4)
    return {
        "bytes": sum(map(len, texts)),
        "bytes_compressed": sum(len(gzip.compress(text)) for text in texts),
        "files": len(texts),
        "first_answer_ms": round(found["ready"]),
        "median_ms": round(quarters[1], 2),
        "quarter_ms": round(quarters[0], 2),
        "least_ms": round(min(found["times"]), 2),
        "largest_difference": float(f"{apart / max(map(abs, expected)):.2g}"),
    }


def main(arguments=None):
    options = parser().parse_args(arguments)
    start = time.perf_counter()
    model = fu.load_trained("gtsrb")
    exports = ROOT / options.exports
    fetch_packages()
    write_exports(model, exports)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lay_out(folder, model, exports)
        found, browser = race(folder, options.rounds)
        expected = [float(value) for value in fu.predict(model, next(iter(fu.telling_signs().values()))[None])[0]]
        found["our own, plain JavaScript"]["files"] = found["our own"]["files"]  # fetched already
        rows = {name: summary(one, folder, expected) for name, one in found.items()}
    facts = how_made(time.perf_counter() - start)
    facts["versions"] = facts["versions"] | PACKAGES | {"chromium": browser}
    save_results(RESULTS / "runtimes.json", facts | {"rounds": options.rounds, "passes": TURN, "runtimes": rows})
    for name, row in rows.items():
        print(f"{name}: {json.dumps(row)}")


if __name__ == "__main__":
    main()
