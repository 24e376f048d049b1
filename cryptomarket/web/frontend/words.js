// The words of a page in its language, and numbers as that language writes them.
// A price stays the text the server sent: a binary float would lose digits, so it is grouped as text.

/** @typedef {Record<string, string | number>} Values */

export class Words {
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
  say(name, values = {}) {
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
  sayElse(name, otherwise) {
    return this.texts[name] ?? otherwise;
  }

  /** An amount as it was sent, every digit of it. @param {string | number} amount */
  amount(amount) {
    return typeof amount === "string" ? this.wholePrice(amount) : this.plain.format(Number(amount));
  }

  /** How long ago, in words. @param {number} milliseconds */
  age(milliseconds) {
    const seconds = Math.floor(milliseconds / 1000);
    if (seconds < 1) return this.say("age.now");
    if (seconds < 120) return this.say("age.seconds", { n: seconds });
    if (seconds < 7200) return this.say("age.minutes", { n: Math.floor(seconds / 60) });
    return this.say("age.hours", { n: Math.floor(seconds / 3600) });
  }

  /** Hours and minutes of a UNIX second. @param {number} seconds */
  time(seconds) {
    return this.clock.format(seconds * 1000);
  }
}

/** The words the page was written in. @returns {Promise<Words>} */
export async function readWords() {
  const page = document.documentElement;
  const response = await fetch(page.dataset.words ?? "/static/words/en.json");
  return new Words(await response.json(), page.lang || "en");
}
