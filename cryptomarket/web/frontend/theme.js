// The colour theme: light, dark or the system's. The choice is a cookie, so that the server renders the page with it.

const THEMES = ["auto", "light", "dark"];

/** @param {import("./i18n.js").Messages} messages */
export function startTheme(messages) {
  const page = document.documentElement;
  const button = document.getElementById("theme");
  if (!(button instanceof HTMLButtonElement)) return;
  const update = () => {
    button.textContent = `${messages.text("theme.label")}: ${messages.text(`theme.${page.dataset.theme ?? "auto"}`)}`;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(page.dataset.theme ?? "auto") + 1) % THEMES.length] ?? "auto";
    if (next === "auto") delete page.dataset.theme;
    else page.dataset.theme = next;
    const age = next === "auto" ? 0 : 31_536_000;
    document.cookie = `theme=${next}; path=/; max-age=${age}; samesite=lax`;
    update();
  });
  update();
  button.hidden = false;
}
