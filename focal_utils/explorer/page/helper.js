// Who computes for the page: a worker, so that the page stays alive meanwhile; where there can be none, the page itself.

import { Host } from "./host.js";
import { workerText } from "./workertext.js";

/** A worker, from the text in this script or from the file beside it: { worker, release: called once it runs }. */
function newWorker() {
  if (workerText === null) {
    return { worker: new Worker(new URL("./worker.js", import.meta.url), { type: "module" }), release: () => {} };
  }
  const address = URL.createObjectURL(new Blob([workerText], { type: "text/javascript" }));
  return { worker: new Worker(address), release: () => URL.revokeObjectURL(address) };
}

/** Questions to a worker, and its answers by their number. */
class Away {
  constructor(worker) {
    this.worker = worker;
    this.asked = new Map();
    this.count = 0;
    worker.onmessage = ({ data: { id, share, maps, result, error } }) => {
      const { tell, resolve, reject } = this.asked.get(id);
      if (share !== undefined) {
        tell?.(share, maps);
        return;
      }
      this.asked.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.asked.forEach(({ reject }) => reject(new Error(event.message ?? "The worker has stopped.")));
      this.asked.clear();
    };
  }

  ask(kind, content, tell) {
    this.count += 1;
    const id = this.count;
    this.worker.postMessage({ id, kind, content });
    return new Promise((resolve, reject) => this.asked.set(id, { tell, resolve, reject }));
  }

  close() {
    this.worker.terminate();
  }
}

/** The same in the page; a frame is drawn first, so that it can be seen that something is being computed. */
class Here {
  constructor(buffer) {
    this.host = new Host(buffer);
  }

  async ask(kind, content, tell) {
    if (kind === "answer") await new Promise((resolve) => setTimeout(resolve));
    return this.host[kind](content, tell ?? (() => {}));
  }

  close() {}
}

/** Who computes with the network of these bytes: { ask(kind, content, tell(share, maps)) → a promise, close() }. */
async function helperFor(buffer) {
  try {
    const { worker, release } = newWorker();
    const away = new Away(worker);
    await away.ask("open", buffer);
    release();
    return away;
  } catch {
    return new Here(buffer);
  }
}

export { helperFor };
