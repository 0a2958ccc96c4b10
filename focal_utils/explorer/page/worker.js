// What a worker does: it holds a network, and answers what the page asks (helper.js), one question after the other.

import { Host } from "./host.js";

let host = null;

onmessage = ({ data: { id, kind, content } }) => {
  const tell = (share, maps) => postMessage({ id, share, maps });
  try {
    if (kind === "open") host = new Host(content);
    postMessage({ id, result: kind === "open" ? null : host[kind](content, tell) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
