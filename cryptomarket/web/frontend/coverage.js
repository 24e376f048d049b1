// The coverage strip below a chart: what was observed, backfilled or missing, told apart by height as well as by colour.

/**
 * @typedef {object} Interval
 * @property {number} start UNIX seconds
 * @property {number} end
 * @property {"observed" | "backfilled" | "missing"} kind
 * @property {string} [source]
 * @property {string} [reason]
 * @typedef {{start: number, end: number, complete: boolean, intervals: Interval[]}} Coverage
 */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const HEIGHT = { observed: 16, backfilled: 10, missing: 3 };
/** A missing minute in a year must still be visible. */
const MIN_WIDTH = 2;

/** @param {SVGElement} svg @param {Coverage} coverage */
export function drawCoverage(svg, { start, end, intervals }) {
  const scale = WIDTH / Math.max(end - start, 1);
  const ordered = [...intervals].sort((one) => (one.kind === "missing" ? 1 : -1)); // missing ones are drawn on top
  svg.replaceChildren(
    ...ordered.map((interval) => {
      const rect = document.createElementNS(SVG, "rect");
      const height = HEIGHT[interval.kind];
      rect.setAttribute("class", interval.kind);
      rect.setAttribute("x", String((interval.start - start) * scale));
      rect.setAttribute("width", String(Math.max((interval.end - interval.start) * scale, MIN_WIDTH)));
      rect.setAttribute("y", String(HEIGHT.observed - height));
      rect.setAttribute("height", String(height));
      return rect;
    }),
  );
}

/** The coverage in one sentence. @param {import("./i18n.js").Messages} messages @param {Coverage} coverage */
export function coverageText(messages, { start, end, complete, intervals }) {
  if (end <= start || !intervals.length) return messages.text("coverage.nothing");
  if (complete) return messages.text("coverage.complete");
  const missing = intervals.filter((interval) => interval.kind === "missing");
  const seconds = missing.reduce((sum, interval) => sum + interval.end - interval.start, 0);
  const share = Math.min(seconds / (end - start), 1);
  return messages.text("coverage.incomplete", { n: missing.length, share: messages.share.format(share) });
}
