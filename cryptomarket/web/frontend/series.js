// Stored prices as a chart wants them: one per slot, ascending, and a hole where one is missing. Plain functions.

/**
 * @typedef {object} Slot
 * @property {number} time UNIX seconds
 * @property {number} value the price, for drawing
 * @property {string} text the exact price, for reading
 * @property {{open: string, high: string, low: string, count: number, partial: boolean}} [candle] where it is one
 */

/** Name to seconds. @type {Record<string, number>} */
export const RESOLUTIONS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400 };

/** The start of the slot a moment falls into. @param {number} seconds @param {number} interval */
export function slotOf(seconds, interval) {
  return seconds - (seconds % interval);
}

/**
 * Both together, ascending, one per time; where both have one the second wins.
 * @param {Slot[]} known @param {Slot[]} fresh
 */
export function merged(known, fresh) {
  const slots = new Map(known.map((slot) => [slot.time, slot]));
  for (const slot of fresh) slots.set(slot.time, slot);
  return [...slots.values()].sort((one, other) => one.time - other.time);
}

/**
 * The missing slots between neighbours, at most so many of each hole: beyond that only its width is lost.
 * @param {Slot[]} slots ascending @param {number} interval @param {number} [most]
 */
export function holes(slots, interval, most = 2000) {
  /** @type {{from: number, to: number, times: number[]}[]} */
  const found = [];
  for (let i = 1; i < slots.length; i++) {
    const from = /** @type {Slot} */ (slots[i - 1]).time + interval;
    const to = /** @type {Slot} */ (slots[i]).time;
    if (from >= to) continue;
    const times = [];
    for (let time = from; time < to && times.length < most; time += interval) times.push(time);
    found.push({ from, to, times });
  }
  return found;
}

/**
 * What the chart library draws: the slots, and times without a value for what is missing. It would draw a line across
 * a hole, so the slot before one is marked as broken off.
 * @param {Slot[]} slots @param {number} interval
 * @returns {{time: number, slot?: Slot, broken?: boolean}[]}
 */
export function withHoles(slots, interval) {
  const missing = holes(slots, interval);
  const broken = new Set(missing.map((hole) => hole.from - interval));
  const drawn = slots.map((slot) => ({ time: slot.time, slot, broken: broken.has(slot.time) }));
  const empty = missing.flatMap((hole) => hole.times.map((time) => ({ time })));
  return [...drawn, ...empty].sort((one, other) => one.time - other.time);
}

/**
 * The slot after a price of the stream: it moves the newest, or begins another.
 * @param {Slot | undefined} last @param {number} time @param {string} text @param {boolean} candle
 * @returns {Slot}
 */
export function moved(last, time, text, candle) {
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
