// Options of the chart library in the colours and the language of the page; the library draws on a canvas and knows no CSS.

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {typeof import("lightweight-charts")} ChartLibrary */

/** The library writes its logo as HTML with an inline style, which our content policy refuses; the footer credits it. */
export const CREATION_OPTIONS = { autoSize: true, layout: { attributionLogo: false } };

/** The chart library, or null when the package was built without npm. @returns {Promise<ChartLibrary | null>} */
export async function loadChartLibrary() {
  const address = new URL("./vendor/lightweight-charts.js", import.meta.url).href;
  try {
    return await import(address);
  } catch {
    return null;
  }
}

/** Call now and whenever the colours of the page change. @param {() => void} apply */
export function onThemeChange(apply) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  new MutationObserver(apply).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  apply();
}

/** A colour of site.css as the browser computes it. @param {HTMLElement} container @param {string} name of a custom property */
export function themeColour(container, name) {
  container.style.color = `var(--${name})`;
  return getComputedStyle(container).color;
}

/** @param {string} rgb @param {number} opacity */
function transparent(rgb, opacity) {
  return rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}

/**
 * Options of every chart.
 * @param {HTMLElement} container @param {Messages} messages @param {number} step seconds between two points
 * @param {(value: number) => string} format of a value
 */
export function chartOptions(container, messages, step, format) {
  const { language, dates } = messages;
  const full = new Intl.DateTimeFormat(dates, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  const marks = [{ year: "numeric" }, { month: "short" }, { day: "numeric", month: "short" }].map(
    (fields) => new Intl.DateTimeFormat(dates, /** @type {Intl.DateTimeFormatOptions} */ (fields)),
  );
  const border = themeColour(container, "border");
  return {
    layout: {
      background: { color: themeColour(container, "surface") },
      textColor: themeColour(container, "muted"),
      fontFamily: getComputedStyle(document.body).fontFamily,
    },
    grid: { vertLines: { color: border }, horzLines: { color: border } },
    timeScale: {
      timeVisible: true,
      lockVisibleTimeRangeOnResize: true,
      secondsVisible: step < 60,
      borderColor: border,
      tickMarkFormatter: (/** @type {any} */ time, /** @type {number} */ kind) =>
        (marks[kind] ?? messages.clock).format(time * 1000),
    },
    rightPriceScale: { borderColor: border },
    localization: {
      locale: language,
      timeFormatter: (/** @type {any} */ time) => full.format(time * 1000),
      priceFormatter: format,
    },
  };
}

/**
 * Options of a chart that is only looked at: no crosshair, and the wheel scrolls the page.
 * @param {HTMLElement} container @param {Messages} messages @param {ChartLibrary} library @param {(value: number) => string} format
 */
export function plotOptions(container, messages, library, format) {
  const options = chartOptions(container, messages, 1, format);
  const seconds = new Intl.DateTimeFormat(messages.dates, { timeStyle: "medium", hourCycle: "h23" });
  return {
    ...options,
    timeScale: {
      ...options.timeScale,
      tickMarkFormatter: (/** @type {any} */ time) => seconds.format(time * 1000),
    },
    rightPriceScale: { ...options.rightPriceScale, scaleMargins: { top: 0.13, bottom: 0.05 } },
    crosshair: { mode: library.CrosshairMode.Hidden },
    handleScroll: false,
    handleScale: false,
  };
}

/** Options of a line with a filled area below it. @param {HTMLElement} container @param {ChartLibrary} library */
export function areaOptions(container, library) {
  const line = themeColour(container, "brand");
  const { LastPriceAnimationMode } = library;
  return {
    lineColor: line,
    topColor: transparent(line, 0.14),
    bottomColor: transparent(line, 0),
    lineWidth: /** @type {const} */ (2),
    priceLineColor: themeColour(container, "amber"),
    lastPriceAnimation: matchMedia("(prefers-reduced-motion: reduce)").matches
      ? LastPriceAnimationMode.Disabled
      : LastPriceAnimationMode.OnDataUpdate,
  };
}

/** Options of candles: a rising one is hollow, a falling one filled, so that colour is not the only sign. @param {HTMLElement} container */
export function candleOptions(container) {
  const up = themeColour(container, "up");
  const down = themeColour(container, "down");
  return {
    upColor: themeColour(container, "surface"),
    downColor: down,
    borderUpColor: up,
    borderDownColor: down,
    wickUpColor: up,
    wickDownColor: down,
    priceLineColor: themeColour(container, "amber"),
  };
}
