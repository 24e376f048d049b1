// Light, dark, or as the system says. The choice is a cookie, so that the server writes the page in the right colours.

const THEMES = ["auto", "light", "dark"];

/** @param {import("./i18n.js").Messages} messages */
export function startTheme(messages) {
  const page = document.documentElement;
  const button = document.getElementById("theme");
  if (!(button instanceof HTMLButtonElement)) return;
  const show = () => {
    button.textContent = `${messages.text("theme.label")}: ${messages.text(`theme.${page.dataset.theme ?? "auto"}`)}`;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(page.dataset.theme ?? "auto") + 1) % THEMES.length] ?? "auto";
    if (next === "auto") delete page.dataset.theme;
    else page.dataset.theme = next;
    const age = next === "auto" ? 0 : 31_536_000;
    document.cookie = `theme=${next}; path=/; max-age=${age}; samesite=lax`;
    show();
  });
  show();
  button.hidden = false;
}
