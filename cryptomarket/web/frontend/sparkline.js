// The small chart of a tile: a line over time that breaks where prices are missing.
// Plain geometry first, then drawing; it knows neither the network nor the messages.

/** @typedef {{time: number, price: number}} Point */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
const MARGIN = 8;

/**
 * Runs of points without a hole between them; a hole is a pause longer than `step` and a half.
 * @param {Point[]} points @param {number} step seconds between two points
 */
export function runs(points, step) {
  /** @type {Point[][]} */
  const found = [];
  for (const point of points) {
    const run = found.at(-1);
    const last = run?.at(-1);
    if (run && last && point.time - last.time <= step * 1.5) run.push(point);
    else found.push([point]);
  }
  return found;
}

/** @param {Point[]} points */
export function extent(points) {
  const prices = points.map((point) => point.price);
  return { low: Math.min(...prices), high: Math.max(...prices) };
}

/** @param {string} name @param {Record<string, string>} attributes */
function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/**
 * Draw the points between two moments (UNIX seconds) into the svg.
 * @param {SVGElement} svg @param {Point[]} points @param {number} from @param {number} to @param {number} step
 */
export function draw(svg, points, from, to, step) {
  const { low, high } = extent(points);
  const span = high - low || Math.abs(high) / 1000 || 1;
  const x = (/** @type {Point} */ point) => ((point.time - from) / (to - from)) * WIDTH;
  const y = (/** @type {Point} */ point) => HEIGHT - MARGIN - ((point.price - low) / span) * (HEIGHT - 2 * MARGIN);
  const at = (/** @type {Point} */ point) => `${x(point).toFixed(1)},${y(point).toFixed(1)}`;
  const drawn = [element("path", { class: "floor", d: `M0,${HEIGHT - 0.5}H${WIDTH}` })];
  for (const run of runs(points, step)) {
    const first = /** @type {Point} */ (run[0]);
    const last = /** @type {Point} */ (run.at(-1));
    // A lone point is a short dash, else it would be invisible.
    const line = run.length > 1 ? `M${run.map(at).join("L")}` : `M${at(first)}h2`;
    drawn.push(element("path", { class: "area", d: `${line}L${x(last).toFixed(1)},${HEIGHT}H${x(first).toFixed(1)}Z` }));
    drawn.push(element("path", { class: "line", d: line }));
  }
  const newest = points.at(-1);
  // A stroke of no length with round ends: a circle would be stretched with the picture.
  if (newest) drawn.push(element("path", { class: "newest", d: `M${at(newest)}h0.01` }));
  svg.replaceChildren(...drawn);
}
