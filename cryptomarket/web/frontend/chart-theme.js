// The house's colours and messages for the chart library, which knows no CSS.

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {typeof import("lightweight-charts")} Library */

/** A colour of the house as the browser computes it. @param {HTMLElement} place @param {string} name */
export function themeColour(place, name) {
  place.style.color = `var(--${name})`;
  return getComputedStyle(place).color;
}

/** @param {string} rgb @param {number} opacity */
function faded(rgb, opacity) {
  return rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}

/**
 * Options of a chart. @param {HTMLElement} place @param {Messages} messages @param {number} step seconds between two points
 * @param {() => number} decimals
 */
export function chartOptions(place, messages, step, decimals) {
  const { language, dates } = messages;
  const exactly = new Intl.DateTimeFormat(dates, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  const marks = [{ year: "numeric" }, { month: "short" }, { day: "numeric", month: "short" }].map(
    (parts) => new Intl.DateTimeFormat(dates, /** @type {Intl.DateTimeFormatOptions} */ (parts)),
  );
  const line = themeColour(place, "border");
  return {
    layout: {
      background: { color: themeColour(place, "surface") },
      textColor: themeColour(place, "muted"),
      fontFamily: getComputedStyle(document.body).fontFamily,
    },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    timeScale: {
      timeVisible: true,
      secondsVisible: step < 60,
      borderColor: line,
      tickMarkFormatter: (/** @type {any} */ time, /** @type {number} */ kind) =>
        (marks[kind] ?? messages.clock).format(time * 1000),
    },
    rightPriceScale: { borderColor: line },
    localization: {
      locale: language,
      timeFormatter: (/** @type {any} */ time) => exactly.format(time * 1000),
      priceFormatter: (/** @type {number} */ price) => messages.wholePrice(price.toFixed(decimals())),
    },
  };
}

/** Options of a line with what lies below it. @param {HTMLElement} place @param {Library} library */
export function areaOptions(place, library) {
  const line = themeColour(place, "brand");
  const { LastPriceAnimationMode } = library;
  return {
    lineColor: line,
    topColor: faded(line, 0.14),
    bottomColor: faded(line, 0),
    lineWidth: /** @type {const} */ (2),
    priceLineColor: themeColour(place, "amber"),
    lastPriceAnimation: matchMedia("(prefers-reduced-motion: reduce)").matches
      ? LastPriceAnimationMode.Disabled
      : LastPriceAnimationMode.OnDataUpdate,
  };
}

/** Options of candles: falling ones are filled, rising ones hollow, so that colour is not alone. @param {HTMLElement} place */
export function candleOptions(place) {
  const up = themeColour(place, "up");
  const down = themeColour(place, "down");
  return {
    upColor: themeColour(place, "surface"),
    downColor: down,
    borderUpColor: up,
    borderDownColor: down,
    wickUpColor: up,
    wickDownColor: down,
    priceLineColor: themeColour(place, "amber"),
  };
}
