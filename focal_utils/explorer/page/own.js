// The reader's own picture: from a file, dropped, pasted or by the camera; and the frame that says which part is read.

import { centralFrame, pixelsOf, readPicture, resized } from "./files.js";
import { button, element } from "./parts.js";

const KEY_STEP = 0.02; // of the picture's shorter side
const MOST_READ = 1_500_000; // pixels of a picture for a network that reads any size

/** The frame in reach of the picture. */
function within(frame, picture) {
  const left = Math.min(Math.max(frame.left, 0), picture.width - frame.width);
  const top = Math.min(Math.max(frame.top, 0), picture.height - frame.height);
  return { ...frame, left, top };
}

function tooSmall(name, { width, height }, least) {
  return `${name || "The picture"} has ${width}×${height} pixels: this network needs ${least} a side or more.`;
}

/** What was done to a picture, in words. */
function fitted(name, picture, frame, height, width) {
  const whole = Math.round(frame.width) === picture.width && Math.round(frame.height) === picture.height;
  if (whole && picture.width === width && picture.height === height) return [];
  const part = whole ? "" : `${Math.round(frame.width)}×${Math.round(frame.height)} of `;
  return [`The network reads ${width}×${height} pixels: ${part}${picture.width}×${picture.height} were resized.`];
}

/**
 * The reader's pictures: { root: buttons, dialogs: [...], listen(section) → what ends it }.
 *
 * size: [height, width] that the network reads, or null for any from `least` pixels a side on. use(pixels, name, notes): called with what it reads.
 * say(words, wrong): to tell the reader.
 */
function ownPictures({ size, least = 1, use, say }) {
  const state = { name: "", picture: null, frame: null, notes: [] };
  const input = element("input", { type: "file", accept: "image/png,image/jpeg,image/gif,image/webp,image/bmp,image/avif", className: "fx-hidden", tabIndex: -1 });
  input.setAttribute("aria-label", "Your own picture");
  const choose = button("Your picture", () => input.click());
  choose.title = "A file; or drop one here, or paste one. It stays in this page.";
  const camera = button("Camera", () => openCamera());
  const move = button("Move the frame", () => openFrame());
  move.hidden = true;
  camera.hidden = !navigator.mediaDevices?.getUserMedia;
  const root = element("div", { className: "fx-own" }, choose, camera, move, input);
  input.onchange = () => input.files.length && take(input.files[0]);

  /** Read a file and show the network its middle. What is wrong with it is said, and all stays as it was. */
  async function take(file) {
    input.disabled = true;
    try {
      const { canvas, notes } = await readPicture(file, size ? undefined : MOST_READ);
      if (!size && Math.min(canvas.width, canvas.height) < least) throw new Error(tooSmall(file.name, canvas, least));
      await begin(file.name || "your picture", canvas, notes);
    } catch (error) {
      say(error.message, true);
    } finally {
      input.value = "";
      input.disabled = false;
    }
  }

  async function begin(name, canvas, notes) {
    state.name = name;
    state.picture = pixelsOf(canvas);
    state.canvas = canvas;
    state.notes = notes;
    const [height, width] = wanted();
    state.frame = centralFrame(state.picture, height, width);
    move.hidden = false;
    await apply();
  }

  function wanted() {
    if (size) return size;
    const scale = Math.min(1, Math.sqrt(MOST_READ / (state.picture.height * state.picture.width)));
    return [Math.round(state.picture.height * scale), Math.round(state.picture.width * scale)];
  }

  async function apply() {
    const [height, width] = wanted();
    const pixels = resized(state.picture, state.frame, height, width);
    await use(pixels, state.name, [...state.notes, ...fitted(state.name, state.picture, state.frame, height, width)]);
  }

  const preview = element("canvas", { aria: { hidden: "true" } });
  const box = element("div", { className: "fx-crop-frame", tabIndex: 0, role: "application", aria: { label: "The frame. Arrow keys move it" } });
  const crop = element("div", { className: "fx-crop" }, preview, box);
  const zoom = element("input", { type: "range", min: 0.1, max: 1, step: 0.01 });
  const frameDialog = dialog("Which part shall the network read?", crop, element("label", { className: "fx-field", textContent: "Size of the frame " }, zoom));
  frameDialog.ok.textContent = "Read this part";
  frameDialog.onok = apply;

  function openFrame() {
    preview.width = state.picture.width;
    preview.height = state.picture.height;
    preview.getContext("2d").drawImage(state.canvas, 0, 0);
    zoom.value = state.frame.width / centralFrame(state.picture, ...wanted()).width;
    place();
    frameDialog.root.showModal();
  }

  function place() {
    const share = (length, whole) => `${(100 * length) / whole}%`;
    const { left, top, width, height } = state.frame;
    box.style.left = share(left, state.picture.width);
    box.style.top = share(top, state.picture.height);
    box.style.width = share(width, state.picture.width);
    box.style.height = share(height, state.picture.height);
  }

  function shift(x, y) {
    state.frame = within({ ...state.frame, left: state.frame.left + x, top: state.frame.top + y }, state.picture);
    place();
  }

  zoom.oninput = () => {
    const most = centralFrame(state.picture, ...wanted());
    const { left, top, width, height } = state.frame;
    const next = { width: most.width * zoom.value, height: most.height * zoom.value };
    state.frame = within({ ...next, left: left + (width - next.width) / 2, top: top + (height - next.height) / 2 }, state.picture);
    place();
  };
  box.onkeydown = (event) => {
    const step = KEY_STEP * Math.min(state.picture.width, state.picture.height);
    const steps = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (!steps[event.key]) return;
    event.preventDefault();
    shift(...steps[event.key]);
  };
  box.onpointerdown = (event) => box.setPointerCapture(event.pointerId);
  box.onpointermove = (event) => {
    if (!event.buttons) return;
    const scale = state.picture.width / preview.getBoundingClientRect().width;
    shift(event.movementX * scale, event.movementY * scale);
  };

  const video = element("video", { autoplay: true, muted: true, playsInline: true });
  const cameraDialog = dialog("The picture stays in this page", video);
  cameraDialog.ok.textContent = "Take it";
  let stream = null;
  cameraDialog.root.onclose = () => stream?.getTracks().forEach((track) => track.stop());
  cameraDialog.onok = async () => {
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    await begin("from the camera", canvas, []);
  };

  async function openCamera() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      say("There is no camera here, or this page may not use it.", true);
      return;
    }
    video.srcObject = stream;
    cameraDialog.root.showModal();
  }

  /** Take what is dropped on a part of the page, or pasted into it. */
  function listen(section) {
    section.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      section.classList.add("fx-drop");
    });
    section.addEventListener("dragleave", () => section.classList.remove("fx-drop"));
    section.addEventListener("drop", (event) => {
      section.classList.remove("fx-drop");
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      take(event.dataTransfer.files[0]);
    });
    // A reader who has clicked nowhere pastes into the page: where there is one explorer, it is meant.
    const paste = (event) => {
      const file = [...event.clipboardData.files][0];
      const alone = event.target === document.body && document.querySelectorAll("section.fx").length === 1;
      if (file && (alone || section.contains(event.target))) take(file);
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }

  return { root, dialogs: [frameDialog.root, cameraDialog.root], listen, take };
}

/** A dialog with a heading, two buttons, and whatever stands between: { root, ok, onok }. */
function dialog(title, ...content) {
  const made = { onok: null };
  const ok = button("OK", async () => {
    await made.onok?.();
    root.close();
  }, "fx-button fx-primary");
  const cancel = button("Cancel", () => root.close());
  const root = element("dialog", { className: "fx-dialog", aria: { label: title } }, element("h3", { textContent: title }), ...content, element("div", { className: "fx-buttons" }, ok, cancel));
  return Object.assign(made, { root, ok });
}

export { ownPictures };
