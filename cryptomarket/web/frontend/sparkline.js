// The small line of a tile and of <crypto-chart>: a few lines of SVG, not the chart library. It needs 2 kB instead of 60,
// takes its colours from the CSS of the page that embeds it, and stays when the package was built without npm.

/** @typedef {{time: number, price: number}} Point time in UNIX seconds */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
const MARGIN = 8;

/**
 * The points in runs without a gap; a gap is a pause longer than one and a half steps.
 * @param {Point[]} points @param {number} step seconds between two points
 */
function splitAtGaps(points, step) {
  /** @type {Point[][]} */
  const runs = [];
  for (const point of points) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run && last && point.time - last.time <= step * 1.5) run.push(point);
    else runs.push([point]);
  }
  return runs;
}

/** @param {string} name class of the path @param {string} d */
function path(name, d) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("class", name);
  element.setAttribute("d", d);
  return element;
}

/**
 * Draw the points between two times (UNIX seconds) into the svg; returns the lowest and the highest price.
 * @param {SVGElement} svg @param {Point[]} points at least one @param {number} from @param {number} to @param {number} step
 */
export function drawSparkline(svg, points, from, to, step) {
  const prices = points.map((point) => point.price);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const range = high - low || Math.abs(high) / 1000 || 1;
  const x = (/** @type {Point} */ { time }) => (((time - from) / (to - from)) * WIDTH).toFixed(1);
  const y = (/** @type {Point} */ { price }) => (HEIGHT - MARGIN - ((price - low) / range) * (HEIGHT - 2 * MARGIN)).toFixed(1);
  const at = (/** @type {Point} */ point) => `${x(point)},${y(point)}`;
  const paths = [path("floor", `M0,${HEIGHT - 0.5}H${WIDTH}`)];
  for (const run of splitAtGaps(points, step)) {
    const first = /** @type {Point} */ (run[0]);
    const last = /** @type {Point} */ (run.at(-1));
    // A single point is drawn as a short dash, else it would be invisible.
    const line = run.length > 1 ? `M${run.map(at).join("L")}` : `M${at(first)}h2`;
    paths.push(path("area", `${line}L${x(last)},${HEIGHT}H${x(first)}Z`), path("line", line));
  }
  // A stroke without length and with round ends: a circle would be stretched with the picture.
  paths.push(path("newest", `M${at(/** @type {Point} */ (points.at(-1)))}h0.01`));
  svg.replaceChildren(...paths);
  return { low, high };
}
