// Stored prices as a chart needs them: one per slot, ascending, with gaps where slots are missing. Pure functions.

/**
 * @typedef {object} Slot
 * @property {number} time UNIX seconds
 * @property {number} value the price, for drawing
 * @property {string} text the exact price, for reading
 * @property {number} [tickTime] UNIX seconds of the tick, for a stored price
 * @property {{open: string, high: string, low: string, count: number, partial: boolean}} [candle] set when the slot is a candle
 */

/** Name to seconds. @type {Record<string, number>} */
export const RESOLUTIONS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400 };

/** The start of the slot that contains a time. @param {number} seconds @param {number} interval */
export function slotStart(seconds, interval) {
  return seconds - (seconds % interval);
}

/**
 * The slots of both lists, ascending, one per time; on a tie the second list wins.
 * @param {Slot[]} known @param {Slot[]} newer
 */
export function mergeSlots(known, newer) {
  const slots = new Map([...known, ...newer].map((slot) => [slot.time, slot]));
  return [...slots.values()].sort((one, other) => one.time - other.time);
}

/**
 * The missing slots between neighbours. A gap lists at most `limit` times: a longer one is drawn narrower.
 * @param {Slot[]} slots ascending @param {number} interval @param {number} [limit]
 */
export function findGaps(slots, interval, limit = 2000) {
  /** @type {{from: number, to: number, times: number[]}[]} */
  const gaps = [];
  for (let i = 1; i < slots.length; i++) {
    const from = /** @type {Slot} */ (slots[i - 1]).time + interval;
    const to = /** @type {Slot} */ (slots[i]).time;
    if (from >= to) continue;
    const times = [];
    for (let time = from; time < to && times.length < limit; time += interval) times.push(time);
    gaps.push({ from, to, times });
  }
  return gaps;
}

/**
 * The points to draw: the slots, and times without a value for missing ones. The chart library connects the points on
 * both sides of a gap, so the slot before a gap is marked and drawn without a line.
 * @param {Slot[]} slots ascending @param {number} interval
 * @returns {{time: number, slot?: Slot, beforeGap?: boolean}[]}
 */
export function withGaps(slots, interval) {
  const gaps = findGaps(slots, interval);
  const lastBefore = new Set(gaps.map((gap) => gap.from - interval));
  const points = slots.map((slot) => ({ time: slot.time, slot, beforeGap: lastBefore.has(slot.time) }));
  const empty = gaps.flatMap((gap) => gap.times.map((time) => ({ time })));
  return [...points, ...empty].sort((one, other) => one.time - other.time);
}

/**
 * The newest slot after a price of the stream: the last one updated, or a new one.
 * @param {Slot | undefined} last @param {number} time of the slot @param {string} text the price @param {boolean} candle
 * @returns {Slot}
 */
export function updateSlot(last, time, text, candle) {
  const value = Number(text);
  if (!candle) return { time, value, text };
  if (last?.time !== time || !last.candle) {
    return { time, value, text, candle: { open: text, high: text, low: text, count: 1, partial: true } };
  }
  const { open, high, low, count } = last.candle;
  return {
    time,
    value,
    text,
    candle: {
      open,
      high: value > Number(high) ? text : high,
      low: value < Number(low) ? text : low,
      count: count + 1,
      partial: true,
    },
  };
}
