// Who is logged in: the button in the head of a page, and the dialog behind it to log in, look at one's account, and
// log out. The secret is taken out of its field before it is sent and kept nowhere; the identity is a cookie that no
// script can read. What came of a log-in is told on the stream, to every tab of this browser at once.

import { ask, send } from "./api.js";
import { fillTable, find } from "./dom.js";

/** @typedef {import("./stream.js").CryptoMarketStream} Stream */
/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {{person_id: string, username: string, email: string, expires_at: number}} Person */

/** The exchange is given up after 15 s; what comes later than this was lost on the way. */
const PATIENCE_MS = 20_000;

export class LoginDialog {
  /** @param {Messages} messages @param {(text: string) => void} announce */
  constructor(messages, announce) {
    this.messages = messages;
    this.announce = announce;
    /** @type {Person | null} */
    this.person = null;
    this.waiting = 0;
    this.moments = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
    this.opener = find("#person-open", HTMLButtonElement);
    this.dialog = find("#person", HTMLDialogElement);
    this.form = find("#login", HTMLFormElement);
    this.fields = find("#login-fields", HTMLFieldSetElement);
    this.id = find("#client-id", HTMLInputElement);
    this.secret = find("#client-secret", HTMLInputElement);
    this.card = find("#person-card", HTMLElement);
    this.answer = find("#person-answer", HTMLElement);
    this.opener.addEventListener("click", () => this.open());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.logIn();
    });
    find("#log-out", HTMLButtonElement).addEventListener("click", () => this.logOut());
    this.dialog.addEventListener("close", () => this.form.reset());
    addEventListener("pagehide", () => this.form.reset()); // a page in the browser's back-forward cache keeps its fields
    this.show();
    this.opener.hidden = false;
  }

  /** Listen to the stream of the page. @param {Stream} stream */
  follow(stream) {
    stream.addEventListener("connection", (event) => this.hear(/** @type {CustomEvent} */ (event).detail));
    // A log-out while the line was broken was not heard.
    stream.addEventListener("link", () => stream.link === "open" && this.person && this.askAccount());
  }

  open() {
    this.answerWith("");
    this.show();
    this.dialog.showModal();
    if (this.person) this.askAccount();
  }

  show() {
    const { person } = this;
    this.opener.textContent = person ? person.username : this.messages.text("login.open");
    this.opener.setAttribute("aria-label", this.messages.text(person ? "person.open" : "login.open", { name: person?.username ?? "" }));
    find("#person-title", HTMLElement).textContent = person ? person.username : this.messages.text("login.title");
    this.form.hidden = Boolean(person);
    this.card.hidden = !person;
    this.fields.disabled = this.waiting !== 0;
    find("#person-email", HTMLElement).textContent = person?.email || "—";
    find("#person-until", HTMLElement).textContent = person ? this.moments.format(person.expires_at * 1000) : "";
    if (!person) fillTable(find("#accounts", HTMLElement), []);
  }

  /** What the dialog answers; a reason of the server in the language of the page, where there is one. @param {string} text */
  answerWith(text) {
    this.answer.textContent = text;
  }

  /** @param {string} reason */
  reason(reason) {
    return this.messages.textOr(`login.reason.${reason}`, reason);
  }

  async logIn() {
    const body = { client_id: this.id.value.trim(), client_secret: this.secret.value.trim() };
    this.secret.value = "";
    if (this.waiting || !body.client_id || !body.client_secret) return;
    this.waiting = setTimeout(() => this.failed(this.messages.text("login.silent")), PATIENCE_MS);
    this.answerWith(this.messages.text("login.waiting"));
    this.show();
    try {
      const sent = send("POST", "persons/login", body);
      body.client_secret = "";
      await sent; // the outcome comes on the stream
    } catch (error) {
      this.failed(this.messages.text("login.failed", { reason: this.reason(error instanceof Error ? error.message : "") }));
    }
  }

  /** @param {string} text */
  failed(text) {
    if (!this.waiting) return;
    this.settle();
    this.answerWith(text);
    this.show();
    this.secret.focus();
  }

  settle() {
    clearTimeout(this.waiting);
    this.waiting = 0;
  }

  /** @param {any} said */
  hear(said) {
    if (said.kind === "login_failed") this.failed(this.messages.text("login.failed", { reason: this.reason(said.reason) }));
    else if (said.kind === "person") this.enter(said);
    else if (said.kind === "logged_out") this.leave(this.reason(said.reason));
  }

  /** @param {Person} person */
  enter(person) {
    const before = this.person;
    this.person = person;
    this.settle();
    this.form.reset();
    if (before?.person_id !== person.person_id) {
      this.answerWith("");
      this.announce(this.messages.text("person.here", { name: person.username }));
    }
    this.show();
    if (!this.dialog.open) return;
    find("#log-out", HTMLButtonElement).focus();
    this.askAccount();
  }

  /** @param {string} reason */
  leave(reason) {
    if (!this.person) return;
    this.person = null;
    const text = this.messages.text("person.left", { reason });
    this.answerWith(text);
    this.announce(text);
    this.show();
    if (this.dialog.open) this.id.focus();
  }

  async askAccount() {
    const { person } = this;
    try {
      const found = await ask("persons/me/account", {});
      if (found.person_id !== this.person?.person_id) return;
      const figures = ["equity", "balance", "available_funds"];
      const rows = found.accounts.map((/** @type {Record<string, any>} */ account) => [
        String(account.currency),
        ...figures.map((name) => this.messages.amount(account[name])),
      ]);
      fillTable(find("#accounts", HTMLElement), rows);
      this.answerWith(rows.length ? "" : this.messages.text("person.nothing"));
    } catch (error) {
      if (this.person !== person) return;
      const { status, message } = /** @type {Error & {status?: number}} */ (error);
      if (status === 401) this.leave(this.reason(message));
      else this.answerWith(this.messages.text("person.unknown", { reason: this.reason(message) }));
    }
  }

  async logOut() {
    try {
      await send("DELETE", "persons/me");
      this.leave(this.reason("logged out"));
    } catch (error) {
      const { status, message } = /** @type {Error & {status?: number}} */ (error);
      if (status === 401) this.leave(this.reason(message));
      else this.answerWith(this.messages.text("person.stays", { reason: this.reason(message) }));
    }
  }
}

/** The dialog, where this gateway lets people log in. @param {Stream} stream @param {Messages} messages @param {(text: string) => void} announce */
export function startLogin(stream, messages, announce) {
  if (document.getElementById("person")) new LoginDialog(messages, announce).follow(stream);
}
