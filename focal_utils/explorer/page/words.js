// How things are called on the page: no code's names, a true minus, a number never longer than it is sure.

const ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
const MINUS = "\u2212";

/** "first block", "eleventh" being "block 11". */
function blockTitle(number) {
  return number < ORDINALS.length ? `${ORDINALS[number]} block` : `block ${number + 1}`;
}

function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** A change in points of a percentage: "+3.1", "−12.0", "0.0". */
function points(change) {
  const text = signed(100 * change, 1);
  return change > 0 && Number(text) > 0 ? `+${text}` : text;
}

/** A level's short name, as it stands in a square's corner: "1", "2", "all". */
function mark(level) {
  return level === "global" ? "all" : level.replace("level ", "");
}

/** What a level sees, in picture pixels: "6×6 px", "all of it". */
function reach({ widths, stride }, level) {
  if (level >= widths.length) return "all of it";
  const side = widths[level] * stride;
  return `${side}×${side} px`;
}

/** A level's symbols: its gate "g₁" and its context "z¹"; of the global level "g₄" and "z⁴". */
function symbols(level) {
  const lower = "₀₁₂₃₄₅₆₇₈₉";
  const upper = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const digits = (number, letters) => [...String(number)].map((digit) => letters[digit]).join("");
  return { gate: `g${digits(level + 1, lower)}`, context: `z${digits(level + 1, upper)}` };
}

export { MINUS, blockTitle, mark, percent, points, reach, signed, symbols };
