// The login: the button in the header, and the dialog to log in, see the account and log out.
// The secret is removed from its field before it is sent and is stored nowhere; the browser session is a cookie that
// scripts cannot read. The result of a login arrives on the stream, in every tab of this browser.

import { get, send } from "./api.js";
import { announceSession } from "./browser-session.js";
import { fillTable, find } from "./dom.js";

/** @typedef {import("./stream.js").CryptoMarketStream} Stream */
/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {{person_id: string, username: string, email: string, expires_at: number, problem?: string}} Person */
/** @typedef {{id: string, browser: string, first_seen: number, last_seen: number, current: boolean}} Session */

/** The server sends a result within 15 s, or says every few seconds how long a login waits; after this time it was lost. */
const RESULT_TIMEOUT_MS = 20_000;
/** The reasons of the server for a log-out that this browser asked for. */
const REPLACED = "a new log-in with this browser ended this one";
const LOGGED_OUT = "logged out";
const ENDED = "you ended the login of this browser";
const AMOUNTS = ["equity", "balance", "available_funds"];

class LoginDialog {
  /** @param {Messages} messages @param {(text: string) => void} announce */
  constructor(messages, announce) {
    this.messages = messages;
    this.announce = announce;
    /** @type {Person | null} */
    this.person = null;
    /** The timer of a login in progress, else 0. */
    this.pending = 0;
    /** Whether Coinbase sent the browser here, and the other tabs do not know yet. */
    this.redirected = false;
    this.timeFormat = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
    this.button = find("#person-open", HTMLButtonElement);
    this.dialog = find("#person", HTMLDialogElement);
    this.form = find("#login", HTMLFormElement);
    this.fields = find("#login-fields", HTMLFieldSetElement);
    this.id = find("#client-id", HTMLInputElement);
    this.secret = find("#client-secret", HTMLInputElement);
    this.card = find("#person-card", HTMLElement);
    this.status = find("#person-status", HTMLElement);
    this.button.addEventListener("click", () => this.open());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.logIn();
    });
    find("#log-out", HTMLButtonElement).addEventListener("click", () => this.logOut());
    this.dialog.addEventListener("close", () => this.form.reset());
    addEventListener("pagehide", () => this.form.reset()); // a page in the back-forward cache keeps its fields
    this.render();
    this.button.hidden = false;
    this.awaitRedirected();
  }

  /** Coinbase sent the browser back, and the server sent it to this page: the result arrives on its stream. */
  awaitRedirected() {
    const address = new URL(location.href);
    if (!address.searchParams.has("login")) return;
    address.searchParams.delete("login");
    history.replaceState(history.state, "", address);
    this.redirected = true;
    this.awaitResult();
    this.open();
    this.setStatus(this.messages.text("login.waiting"));
  }

  /** @param {Stream} stream */
  follow(stream) {
    stream.addEventListener("connection", (event) => this.onEvent(/** @type {CustomEvent} */ (event).detail));
    stream.addEventListener("link", () => stream.link === "open" && this.onLinked());
  }

  onLinked() {
    if (this.redirected) {
      // Now this page hears what the streams that open again say: other tabs may have kept one with the cookie before.
      this.redirected = false;
      announceSession(REPLACED);
    } else if (this.person) {
      this.loadAccount(); // a logout while the stream was lost sent no event to this page
    }
  }

  open() {
    this.setStatus(this.problem());
    this.render();
    this.dialog.showModal();
    if (this.person) this.loadPerson();
  }

  render() {
    const { person } = this;
    this.button.textContent = person ? person.username : this.messages.text("login.open");
    this.button.setAttribute("aria-label", this.messages.text(person ? "person.open" : "login.open", { name: person?.username ?? "" }));
    find("#person-title", HTMLElement).textContent = person ? person.username : this.messages.text(document.getElementById("login-coinbase") ? "login.open" : "login.title");
    this.form.hidden = Boolean(person);
    this.card.hidden = !person;
    this.fields.disabled = this.pending !== 0;
    find("#person-email", HTMLElement).textContent = person?.email || "—";
    find("#person-until", HTMLElement).textContent = person ? this.timeFormat.format(person.expires_at * 1000) : "";
    if (person) return;
    fillTable(find("#accounts", HTMLElement), []);
    this.renderSessions([]);
  }

  /** @param {string} text */
  setStatus(text) {
    this.status.textContent = text;
  }

  /** A reason sent by the server, translated where the catalogue has it. @param {string} reason */
  reason(reason) {
    return this.messages.textOr(`login.reason.${reason}`, reason);
  }

  /** Why the login is not renewed now, or nothing. */
  problem() {
    return this.person?.problem ? this.reason(this.person.problem) : "";
  }

  async logIn() {
    const body = { client_id: this.id.value.trim(), client_secret: this.secret.value.trim() };
    this.secret.value = "";
    if (this.pending || !body.client_id || !body.client_secret) return;
    this.awaitResult();
    this.setStatus(this.messages.text("login.waiting"));
    this.render();
    try {
      const sent = send("POST", "persons/login", body);
      body.client_secret = "";
      const accepted = await sent;
      announceSession(REPLACED); // the result arrives on streams with the new cookie
      if (accepted.place) this.onWaiting(accepted);
    } catch (error) {
      this.onFailed(this.messages.text("login.failed", { reason: this.reason(error instanceof Error ? error.message : "") }));
    }
  }

  /** Fail unless something is heard of the login in time. */
  awaitResult() {
    clearTimeout(this.pending);
    this.pending = setTimeout(() => this.onFailed(this.messages.text("login.timeout")), RESULT_TIMEOUT_MS);
  }

  /** @param {{place: number, seconds: number}} event */
  onWaiting({ place, seconds }) {
    if (!this.pending) return; // a login of another tab
    this.awaitResult();
    this.setStatus(this.messages.text("login.place", { place, seconds }));
  }

  /** @param {string} text */
  onFailed(text) {
    if (!this.pending) return;
    this.endPending();
    this.setStatus(text);
    this.render();
    this.secret.focus();
  }

  endPending() {
    clearTimeout(this.pending);
    this.pending = 0;
  }

  /** @param {any} event */
  onEvent(event) {
    if (event.kind === "login_waiting") this.onWaiting(event);
    else if (event.kind === "login_failed") this.onFailed(this.messages.text("login.failed", { reason: this.reason(event.reason) }));
    else if (event.kind === "person") this.onLoggedIn(event);
    else if (event.kind === "logged_out") this.onLoggedOut(this.reason(event.reason));
  }

  /** @param {Person} person */
  onLoggedIn(person) {
    const before = this.person;
    this.person = person;
    this.endPending();
    this.form.reset();
    const changed = before?.person_id !== person.person_id; // else the same login was extended or renewed
    if (changed) this.announce(this.messages.text("person.logged_in", { name: person.username }));
    if (changed || before?.problem !== person.problem) this.setStatus(this.problem());
    this.render();
    if (!this.dialog.open) return;
    if (changed) find("#log-out", HTMLButtonElement).focus();
    this.loadPerson();
  }

  /** @param {string} reason */
  onLoggedOut(reason) {
    if (!this.person) return;
    this.person = null;
    const text = this.messages.text("person.logged_out", { reason });
    this.setStatus(text);
    this.announce(text);
    this.render();
    if (this.dialog.open) this.id.focus();
  }

  loadPerson() {
    this.loadAccount();
    this.loadSessions();
  }

  async loadSessions() {
    const { person } = this;
    try {
      const { person_id, sessions } = await get("persons/me/sessions", {});
      if (person_id === this.person?.person_id) this.renderSessions(sessions);
    } catch (error) {
      if (this.person === person) this.onError(error, "person.sessions_failed");
    }
  }

  /** @param {Session[]} sessions */
  renderSessions(sessions) {
    const time = (/** @type {number} */ seconds) => this.timeFormat.format(seconds * 1000);
    const rows = sessions.map((session) => {
      const browser = session.browser || this.messages.text("person.unknown_browser");
      const row = document.createElement("tr");
      const name = session.current ? this.messages.text("person.this_browser", { browser }) : browser;
      for (const text of [name, time(session.first_seen), time(session.last_seen)]) row.insertCell().textContent = text;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = this.messages.text("person.end");
      button.setAttribute("aria-label", this.messages.text("person.end_browser", { browser }));
      button.addEventListener("click", () => this.endSession(session));
      row.insertCell().append(button);
      return row;
    });
    find("#sessions", HTMLElement).replaceChildren(...rows);
  }

  /** @param {Session} session */
  async endSession(session) {
    try {
      await send("DELETE", `persons/me/sessions/${encodeURIComponent(session.id)}`);
      if (session.current) this.onSessionEnded(ENDED);
      else await this.loadSessions();
    } catch (error) {
      this.onError(error, "person.logout_failed");
    }
  }

  /** The login of this browser ended, and its cookie was replaced. @param {string} reason */
  onSessionEnded(reason) {
    announceSession(reason);
    this.onLoggedOut(this.reason(reason));
  }

  async loadAccount() {
    const { person } = this;
    try {
      const account = await get("persons/me/account", {});
      if (account.person_id !== this.person?.person_id) return;
      const rows = account.accounts.map((/** @type {Record<string, any>} */ row) => [
        String(row.currency),
        ...AMOUNTS.map((name) => this.messages.amount(row[name])),
      ]);
      fillTable(find("#accounts", HTMLElement), rows);
      this.setStatus(this.problem() || (rows.length ? "" : this.messages.text("person.no_balance")));
    } catch (error) {
      if (this.person === person) this.onError(error, "person.account_failed");
    }
  }

  async logOut() {
    try {
      await send("DELETE", "persons/me");
      this.onSessionEnded(LOGGED_OUT);
    } catch (error) {
      this.onError(error, "person.logout_failed");
    }
  }

  /** @param {unknown} error of a request @param {string} key of the message */
  onError(error, key) {
    const { status, message } = /** @type {Error & {status?: number}} */ (error);
    if (status === 401) this.onLoggedOut(this.reason(message));
    else this.setStatus(this.messages.text(key, { reason: this.reason(message) }));
  }
}

/** Start the dialog where this gateway offers the login. @param {Stream} stream @param {Messages} messages @param {(text: string) => void} announce */
export function startLogin(stream, messages, announce) {
  if (document.getElementById("person")) new LoginDialog(messages, announce).follow(stream);
}
