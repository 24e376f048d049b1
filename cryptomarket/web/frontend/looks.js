// The house's colours and words for the chart library, which knows no CSS.

/** @typedef {import("./words.js").Words} Words */
/** @typedef {typeof import("lightweight-charts")} Library */

/** A colour of the house as the browser computes it. @param {HTMLElement} place @param {string} name */
export function colour(place, name) {
  place.style.color = `var(--${name})`;
  return getComputedStyle(place).color;
}

/** @param {string} rgb @param {number} opacity */
function faded(rgb, opacity) {
  return rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}

/**
 * Options of a chart. @param {HTMLElement} place @param {Words} words @param {number} step seconds between two points
 * @param {() => number} decimals
 */
export function chartLooks(place, words, step, decimals) {
  const { language, dates } = words;
  const exactly = new Intl.DateTimeFormat(dates, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  const marks = [{ year: "numeric" }, { month: "short" }, { day: "numeric", month: "short" }].map(
    (parts) => new Intl.DateTimeFormat(dates, /** @type {Intl.DateTimeFormatOptions} */ (parts)),
  );
  const line = colour(place, "line");
  return {
    layout: {
      background: { color: colour(place, "card") },
      textColor: colour(place, "soft"),
      fontFamily: getComputedStyle(document.body).fontFamily,
    },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    timeScale: {
      timeVisible: true,
      secondsVisible: step < 60,
      borderColor: line,
      tickMarkFormatter: (/** @type {any} */ time, /** @type {number} */ kind) =>
        (marks[kind] ?? words.clock).format(time * 1000),
    },
    rightPriceScale: { borderColor: line },
    localization: {
      locale: language,
      timeFormatter: (/** @type {any} */ time) => exactly.format(time * 1000),
      priceFormatter: (/** @type {number} */ price) => words.wholePrice(price.toFixed(decimals())),
    },
  };
}

/** Options of a line with what lies below it. @param {HTMLElement} place @param {Library} library */
export function lineLooks(place, library) {
  const line = colour(place, "brand");
  const { LastPriceAnimationMode } = library;
  return {
    lineColor: line,
    topColor: faded(line, 0.14),
    bottomColor: faded(line, 0),
    lineWidth: /** @type {const} */ (2),
    priceLineColor: colour(place, "amber"),
    lastPriceAnimation: matchMedia("(prefers-reduced-motion: reduce)").matches
      ? LastPriceAnimationMode.Disabled
      : LastPriceAnimationMode.OnDataUpdate,
  };
}

/** Options of candles: falling ones are filled, rising ones hollow, so that colour is not alone. @param {HTMLElement} place */
export function candleLooks(place) {
  const up = colour(place, "up");
  const down = colour(place, "down");
  return {
    upColor: colour(place, "card"),
    downColor: down,
    borderUpColor: up,
    borderDownColor: down,
    wickUpColor: up,
    wickDownColor: down,
    priceLineColor: colour(place, "amber"),
  };
}
