// What comes out of a network, in words: classes (their probabilities) or objects (objects.js), before and after a switch.

import { changed, covered } from "./objects.js";
import { percent, points } from "./words.js";

const best = (shares) => shares.indexOf(Math.max(...shares));

const isObjects = (result) => Boolean(result.labels);

/** Whether there is anything to say: of a network that names no classes there is not. */
const isSilent = (result) => !isObjects(result) && !result.length;

/** "15 nuclei", "1 nucleus", "no nuclei"; objects: [one of them, several]. */
function counted(count, [one, several]) {
  return `${count || "no"} ${count === 1 ? one : several}`;
}

const countOf = ({ sizes }) => sizes.length - 1;

/** A result in a word and a number: "stop", "99.1 %", or "15 nuclei", "7.1 % of the picture". */
function saying(result, { classes, objects }) {
  if (isObjects(result)) return { word: counted(countOf(result), objects), number: `${percent(covered(result))} of the picture` };
  return { word: classes[best(result)], number: percent(result[best(result)]) };
}

/** How far two results lie apart: 1 or more where the answer is another one, else less. */
function distance(before, after) {
  if (isObjects(before)) {
    const { lost, found } = changed(before, after);
    const moved = lost.size + found.size;
    return moved || Math.min(0.99, Math.abs(covered(after) - covered(before)));
  }
  return before[best(before)] - after[best(before)] + (best(after) === best(before) ? 0 : 1);
}

const isOther = (before, after) => distance(before, after) >= 1;

/** "2 fewer", "3 more", "as many". */
function comparedCount(before, after) {
  const more = countOf(after) - countOf(before);
  if (!more) return "as many";
  return more > 0 ? `${more} more` : `${-more} fewer`;
}

/** "2 fewer", "as many, of them 3 new", or what is said where nothing is gone or new. */
function objectsVerdict(before, after) {
  const { lost, found } = changed(before, after);
  if (!lost.size && !found.size) return "all are found as before";
  return lost.size === found.size ? `as many, of them ${found.size} new` : comparedCount(before, after);
}

/** What the change of `count` gates has done, in a sentence. */
function verdict(before, after, { classes }, count) {
  if (!count) return "All levels are on.";
  const gates = count === 1 ? "1 gate is changed" : `${count} gates are changed`;
  if (isObjects(before)) return `${gates}: ${objectsVerdict(before, after)}.`;
  if (isOther(before, after)) return `${gates}: no longer ${classes[best(before)]}.`;
  const moved = Math.max(...after.map((share, label) => Math.abs(share - before[label])));
  return moved < 0.005 ? `${gates}: nothing moves by half a point.` : `${gates}: still ${classes[best(after)]}.`;
}

const SHOWN = 4; // classes

/** The numbers of the classes that are shown: those that lead now, and the one that led before. */
function shownClasses(before, after) {
  const order = after.map((_, label) => label).sort((a, b) => after[b] - after[a] || a - b);
  const first = best(before);
  const top = order.slice(0, SHOWN);
  if (!top.includes(first)) top[top.length - 1] = first;
  const others = order.filter((label) => !top.includes(label)).sort((a, b) => before[b] - before[a]);
  return top.length < Math.min(SHOWN, after.length) ? [...top, ...others].slice(0, SHOWN) : top;
}

/** How much of this there is: a whole number with its sign, "+3", "−2", "0". */
function wholeChange(change) {
  return change > 0 ? `+${change}` : String(change).replace("-", "\u2212");
}

/** What is shown as bars: [{ name, now (0…1), value in words }], and where there was one before { was, old, change }. */
function barsOf(before, after, { classes, objects }) {
  if (!isObjects(before)) {
    return shownClasses(before, after).map((label) => {
      const was = before[label];
      const now = after[label];
      return { name: classes[label], was, now, value: percent(now), change: points(now - was), old: percent(was) };
    });
  }
  const { lost, found } = changed(before, after);
  const most = Math.max(countOf(before), countOf(after), 1);
  const count = (name, now) => ({ name, now: now / most, value: String(now) });
  const [many, still] = [countOf(before), countOf(after)];
  const shares = [covered(before), covered(after)];
  return [
    { ...count(`${objects[1]} found`, still), was: many / most, change: wholeChange(still - many), old: String(many) },
    count("no longer found", lost.size),
    count("newly found", found.size),
    { name: "area covered", was: shares[0], now: shares[1], value: percent(shares[1]), change: points(shares[1] - shares[0]), old: percent(shares[0]) },
  ];
}

export { barsOf, comparedCount, counted, countOf, distance, isObjects, isOther, isSilent, saying, verdict };
