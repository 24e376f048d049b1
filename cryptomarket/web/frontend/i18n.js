// The messages of a page in its language, and numbers as that language writes them.
// A price stays the text the server sent: a binary float would lose digits, so it is grouped as text.

/** @typedef {Record<string, string | number>} Values */

export class Messages {
  /** @param {Record<string, string>} texts @param {string} language */
  constructor(texts, language) {
    this.texts = texts;
    this.language = language;
    // Days before months, as most of the world reads them.
    this.dates = language === "en" ? "en-GB" : language;
    const parts = new Intl.NumberFormat(language).formatToParts(1234567.5);
    this.group = parts.find((part) => part.type === "group")?.value ?? " ";
    this.decimal = parts.find((part) => part.type === "decimal")?.value ?? ".";
    this.clock = new Intl.DateTimeFormat(this.dates, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.share = new Intl.NumberFormat(language, { style: "percent", maximumSignificantDigits: 2 });
    this.plain = new Intl.NumberFormat(language, { maximumSignificantDigits: 15 });
    this.percent = new Intl.NumberFormat(language, {
      style: "percent",
      minimumFractionDigits: 2,
      maximumFractionDigits: 2,
      signDisplay: "exceptZero",
    });
  }

  /** The text of that name, its {holes} filled. @param {string} name @param {Values} [values] */
  text(name, values = {}) {
    const text = this.texts[name] ?? name;
    return text.replace(/\{(\w+)\}/g, (hole, key) => String(values[key] ?? hole));
  }

  /** A price in two parts, "64,250" and ".13", with at least two decimals. @param {string} digits */
  price(digits) {
    const [whole = "0", fraction = ""] = digits.split(".");
    return {
      whole: whole.replace(/\B(?=(\d{3})+(?!\d))/g, this.group),
      fraction: this.decimal + fraction.padEnd(2, "0"),
    };
  }

  /** The same in one text. @param {string} digits */
  wholePrice(digits) {
    const { whole, fraction } = this.price(digits);
    return whole + fraction;
  }

  /** The same, or something else where there is no text of that name. @param {string} name @param {string} otherwise */
  textOr(name, otherwise) {
    return this.texts[name] ?? otherwise;
  }

  /** An amount as it was sent, every digit of it. @param {string | number} amount */
  amount(amount) {
    return typeof amount === "string" ? this.wholePrice(amount) : this.plain.format(Number(amount));
  }

  /** How long ago, in messages. @param {number} milliseconds */
  age(milliseconds) {
    const seconds = Math.floor(milliseconds / 1000);
    if (seconds < 1) return this.text("age.now");
    if (seconds < 120) return this.text("age.seconds", { n: seconds });
    if (seconds < 7200) return this.text("age.minutes", { n: Math.floor(seconds / 60) });
    return this.text("age.hours", { n: Math.floor(seconds / 3600) });
  }

  /** Hours and minutes of a UNIX second. @param {number} seconds */
  time(seconds) {
    return this.clock.format(seconds * 1000);
  }
}

/** The messages the page was written in. @returns {Promise<Messages>} */
export async function loadMessages() {
  const page = document.documentElement;
  const response = await fetch(page.dataset.messages ?? "/static/messages/en.json");
  return new Messages(await response.json(), page.lang || "en");
}
