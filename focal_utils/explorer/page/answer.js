// What the network says, as bars: now, and before anything was switched.

import { barsOf, comparedCount, isObjects, isOther, isSilent, saying, verdict } from "./outcome.js";
import { element, waitingSign } from "./parts.js";

function bar({ name, was, now, value, change, old }, isSwitched) {
  const compares = isSwitched && was !== undefined;
  const label = element("span", { className: "fx-class", textContent: name, title: name });
  const number = element("span", { className: "fx-number", textContent: value });
  const moved = element("span", { className: "fx-number fx-change" });
  if (compares) {
    moved.textContent = change;
    moved.title = `${old} with all levels on`;
    moved.classList.toggle("fx-up", now > was);
  }
  const fill = element("span", { className: "fx-now", style: { width: `${100 * now}%` } });
  const before = element("span", { className: "fx-was", hidden: !compares, style: { left: `${100 * was}%` } });
  const track = element("span", { className: "fx-bar", aria: { hidden: "true" } }, fill, before);
  return element("li", {}, label, track, number, moved);
}

/** The part that says it: { root, show(answer, about, count of switched gates), wait: as `waitingSign`'s }. */
function answerPart() {
  const says = element("p", { className: "fx-says" });
  const bars = element("ol", { className: "fx-bars" });
  const words = element("p", { className: "fx-verdict", role: "status" });
  const heading = element("h3", { textContent: "The network says" });
  const waiting = waitingSign();
  const root = element("section", { className: "fx-answer", aria: { label: "The network says" } }, heading, waiting.root, says, words, bars);

  function show({ before, after }, about, count) {
    root.hidden = isSilent(after);
    if (root.hidden) return;
    heading.textContent = isObjects(after) ? "The network finds" : "The network says";
    const { word, number } = saying(after, about);
    const beside = isObjects(after) && count ? comparedCount(before, after) : number;
    says.replaceChildren(element("strong", { textContent: word }), element("span", { className: "fx-number", textContent: beside }));
    bars.replaceChildren(...barsOf(before, after, about).map((one) => bar(one, count > 0)));
    const text = verdict(before, after, about, count);
    if (words.textContent !== text) words.textContent = text;
    root.classList.toggle("fx-other", isOther(before, after));
  }

  return { root, show, wait: waiting.wait };
}

export { answerPart };
