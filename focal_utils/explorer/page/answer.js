// What the network says, as bars: now, and before anything was switched.

import { element } from "./parts.js";
import { percent, points } from "./words.js";

const SHOWN = 4; // classes

/** The numbers of the classes that are shown: those that lead now, and the one that led before. */
function shownClasses(before, after) {
  const order = after.map((_, label) => label).sort((a, b) => after[b] - after[a] || a - b);
  const first = before.indexOf(Math.max(...before));
  const top = order.slice(0, SHOWN);
  if (!top.includes(first)) top[top.length - 1] = first;
  const others = order.filter((label) => !top.includes(label)).sort((a, b) => before[b] - before[a]);
  return top.length < Math.min(SHOWN, after.length) ? [...top, ...others].slice(0, SHOWN) : top;
}

function bar(label, was, now, isSwitched) {
  const name = element("span", { className: "fx-class", textContent: label, title: label });
  const value = element("span", { className: "fx-number", textContent: percent(now) });
  const change = element("span", { className: "fx-number fx-change" });
  if (isSwitched) {
    change.textContent = points(now - was);
    change.title = `${percent(was)} with all levels on`;
    change.classList.toggle("fx-up", now > was);
  }
  const fill = element("span", { className: "fx-now", style: { width: `${100 * now}%` } });
  const old = element("span", { className: "fx-was", hidden: !isSwitched, style: { left: `${100 * was}%` } });
  const track = element("span", { className: "fx-bar", aria: { hidden: "true" } }, fill, old);
  return element("li", {}, name, track, value, change);
}

/** The part that says it: { root, show(answer, classes, count of switched gates) }. */
function answerPart() {
  const says = element("p", { className: "fx-says" });
  const bars = element("ol", { className: "fx-bars" });
  const verdict = element("p", { className: "fx-verdict", role: "status" });
  const heading = element("h3", { textContent: "The network says" });
  const root = element("section", { className: "fx-answer", aria: { label: "The network says" } }, heading, says, verdict, bars);

  function show({ before, after }, classes, count) {
    root.hidden = !after.length; // of a network that names no classes
    if (!after.length) return;
    const was = before.indexOf(Math.max(...before));
    const now = after.indexOf(Math.max(...after));
    says.replaceChildren(
      element("strong", { textContent: classes[now] }),
      element("span", { className: "fx-number", textContent: percent(after[now]) }),
    );
    bars.replaceChildren(...shownClasses(before, after).map((label) => bar(classes[label], before[label], after[label], count > 0)));
    let text = "All levels are on.";
    if (count) {
      const gates = count === 1 ? "1 gate is changed" : `${count} gates are changed`;
      const moved = Math.max(...after.map((share, label) => Math.abs(share - before[label])));
      text = was === now ? `${gates}: still ${classes[now]}.` : `${gates}: no longer ${classes[was]}.`;
      if (was === now && moved < 0.005) text = `${gates}: nothing moves by half a point.`;
    }
    if (verdict.textContent !== text) verdict.textContent = text;
    root.classList.toggle("fx-other", was !== now);
  }

  return { root, show };
}

export { answerPart };
