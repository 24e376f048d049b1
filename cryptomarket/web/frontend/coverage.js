// The strip below a chart: what was heard, what was filled in, what is missing. Told by pattern and messages, not colour alone.

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
/** A hole of a minute in a year must still be seen. */
const THINNEST = 2;

/** @param {SVGElement} svg @param {Coverage} coverage */
export function drawStrip(svg, { start, end, intervals }) {
  const scale = WIDTH / Math.max(end - start, 1);
  const ordered = [...intervals].sort((one) => (one.kind === "missing" ? 1 : -1)); // holes on top of what is beside them
  svg.replaceChildren(
    ...ordered.map((interval) => {
      const rect = document.createElementNS(SVG, "rect");
      const height = HEIGHT[interval.kind];
      rect.setAttribute("class", interval.kind);
      rect.setAttribute("x", String((interval.start - start) * scale));
      rect.setAttribute("width", String(Math.max((interval.end - interval.start) * scale, THINNEST)));
      rect.setAttribute("y", String(HEIGHT.observed - height));
      rect.setAttribute("height", String(height));
      return rect;
    }),
  );
}

/** One sentence. @param {import("./i18n.js").Messages} messages @param {Coverage} coverage */
export function coverageText(messages, { start, end, complete, intervals }) {
  if (end <= start || !intervals.length) return messages.text("coverage.nothing");
  if (complete) return messages.text("coverage.complete");
  const missing = intervals.filter((interval) => interval.kind === "missing");
  const seconds = missing.reduce((sum, interval) => sum + interval.end - interval.start, 0);
  const share = Math.min(seconds / (end - start), 1);
  return messages.text("coverage.lacking", { n: missing.length, share: messages.share.format(share) });
}
