// The messages of a page in its language, and numbers and times in the format of that language.
// A price stays the text the server sent and is grouped as text: a binary float would lose digits.

/** @typedef {Record<string, string | number>} Values */

export class Messages {
  /** @param {Record<string, string>} texts @param {string} language */
  constructor(texts, language) {
    this.texts = texts;
    this.language = language;
    /** The locale of dates: plain "en" would put months before days. */
    this.dates = language === "en" ? "en-GB" : language;
    const parts = new Intl.NumberFormat(language).formatToParts(1234567.5);
    this.group = parts.find((part) => part.type === "group")?.value ?? " ";
    this.decimal = parts.find((part) => part.type === "decimal")?.value ?? ".";
    this.clock = new Intl.DateTimeFormat(this.dates, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.share = new Intl.NumberFormat(language, { style: "percent", maximumSignificantDigits: 2 });
    this.number = new Intl.NumberFormat(language, { maximumSignificantDigits: 15 });
    this.percent = new Intl.NumberFormat(language, {
      style: "percent",
      minimumFractionDigits: 2,
      maximumFractionDigits: 2,
      signDisplay: "exceptZero",
    });
  }

  /** The message with that key, its {placeholders} filled; the key itself when there is none. @param {string} key @param {Values} [values] */
  text(key, values = {}) {
    return this.textOr(key, key).replace(/\{(\w+)\}/g, (placeholder, name) => String(values[name] ?? placeholder));
  }

  /** The message with that key, or another text when there is none. @param {string} key @param {string} fallback */
  textOr(key, fallback) {
    return this.texts[key] ?? fallback;
  }

  /** A price in two parts, "64,250" and ".13", with at least two decimals. @param {string} digits */
  price(digits) {
    const [whole = "0", fraction = ""] = digits.split(".");
    return {
      whole: whole.replace(/\B(?=(\d{3})+(?!\d))/g, this.group),
      fraction: this.decimal + fraction.padEnd(2, "0"),
    };
  }

  /** A price in one text. @param {string} digits */
  wholePrice(digits) {
    const { whole, fraction } = this.price(digits);
    return whole + fraction;
  }

  /** An amount with all digits that were sent, or a dash for none. @param {string | number | null} amount */
  amount(amount) {
    if (amount === null) return "–";
    return typeof amount === "string" ? this.wholePrice(amount) : this.number.format(Number(amount));
  }

  /** "5 s ago". @param {number} milliseconds */
  age(milliseconds) {
    const seconds = Math.floor(milliseconds / 1000);
    if (seconds < 1) return this.text("age.now");
    if (seconds < 120) return this.text("age.seconds", { n: seconds });
    if (seconds < 7200) return this.text("age.minutes", { n: Math.floor(seconds / 60) });
    return this.text("age.hours", { n: Math.floor(seconds / 3600) });
  }

  /** Hours and minutes of a UNIX time. @param {number} seconds */
  time(seconds) {
    return this.clock.format(seconds * 1000);
  }
}

/** The messages in the language of the page. @returns {Promise<Messages>} */
export async function loadMessages() {
  const page = document.documentElement;
  const response = await fetch(page.dataset.messages ?? "/static/messages/en.json");
  return new Messages(await response.json(), page.lang || "en");
}
