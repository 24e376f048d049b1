// A datafeed client as a stock chart has one, written from the UDF protocol alone: it requests bars window by window,
// follows `nextTime` over holes, and would draw nothing if a bar came twice or out of order.
// https://www.tradingview.com/charting-library-docs/latest/connecting_data/UDF/
// Takes the address and the number of windows, answers with what it found as JSON.

const [base, windows] = [process.argv[2], Number(process.argv[3])];
const STEPS = { 1: 60, 5: 300, 15: 900, 60: 3600, 240: 14400, "1D": 86400 };
const problems = [];
let bars = 0;
let empty = 0;

async function ask(path, query = {}) {
  const address = `${base}/${path}?${new URLSearchParams(query)}`;
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return response.json();
}

// The same windows in every run.
let seed = 8;
function random(below) {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}

/** The bars of an answer, after the checks that a chart makes before it draws. */
function read(answer, query) {
  const complain = (what) => problems.push({ what, query });
  if (answer.s === "no_data") {
    if (answer.nextTime !== undefined && answer.nextTime >= query.to) complain("nextTime is not older");
    return [];
  }
  if (answer.s !== "ok") complain(`status ${answer.s}: ${answer.errmsg}`);
  const { t = [], o = [], h = [], l = [], c = [] } = answer;
  if ([o, h, l, c].some((column) => column.length !== t.length)) complain("columns differ in length");
  t.forEach((time, i) => {
    if (i && time <= t[i - 1]) complain(time === t[i - 1] ? "duplicate bar" : "unsorted bar");
    if (time >= query.to) complain("a bar after the window");
    if (!query.countback && time < query.from) complain("a bar before the window");
    if (time % STEPS[query.resolution]) complain("a bar that is not on its grid");
    if (!(l[i] <= o[i] && l[i] <= c[i] && o[i] <= h[i] && c[i] <= h[i])) complain("a bar that is none");
  });
  if (query.countback && t.length > query.countback) complain("more bars than requested");
  return t.map((time, i) => ({ time, open: o[i], high: h[i], low: l[i], close: c[i] }));
}

async function window(symbol, resolution, range) {
  const query = { symbol, resolution, ...range };
  const answer = await ask("history", query);
  const found = read(answer, query);
  bars += found.length;
  if (!found.length) empty += 1;
  return { found, next: answer.nextTime };
}

/** Scroll from now to the beginning, page by page, and put the pages together. */
async function scroll(symbol, resolution, now) {
  const all = [];
  let to = now;
  for (let page = 0; page < 500; page++) {
    const { found, next } = await window(symbol, resolution, { from: to - 100 * STEPS[resolution], to, countback: 100 });
    if (found.length && all.length && found.at(-1).time >= all[0].time) problems.push({ what: "pages overlap", to });
    all.unshift(...found);
    if (!found.length && next === undefined) return all;
    to = found.length ? found[0].time : next + 1;
  }
  problems.push({ what: "the past has no beginning" });
  return all;
}

const config = await ask("config");
const now = Number(await (await fetch(`${base}/time`)).text());
const [{ symbol }] = await ask("search", { query: "btc", type: "", exchange: "", limit: 10 });
const info = await ask("symbols", { symbol });
const whole = new Map();
for (const resolution of config.supported_resolutions) {
  whole.set(resolution, new Map((await scroll(info.ticker, resolution, now)).map((bar) => [bar.time, bar])));
}
for (let i = 0; i < windows; i++) {
  const resolution = config.supported_resolutions[random(config.supported_resolutions.length)];
  const to = now - random(2 * 86400) + 3600;
  const from = to - random(86400);
  const countback = random(2) ? { countback: 1 + random(400) } : {};
  const { found } = await window(info.ticker, resolution, { from, to, ...countback });
  const known = whole.get(resolution);
  for (const bar of found) {
    const before = known.get(bar.time);
    const still = bar.time + STEPS[resolution] > now; // the newest bar may move
    if (!still && JSON.stringify(before) !== JSON.stringify(bar)) problems.push({ what: "another bar than before", bar, before });
  }
  const times = [...known.keys()].filter((time) => time >= from && time < to);
  if (!countback.countback && found.length !== times.length) problems.push({ what: "bars are missing", from, to, resolution });
}
process.stdout.write(JSON.stringify({ symbol: info.ticker, bars, empty, problems }));
