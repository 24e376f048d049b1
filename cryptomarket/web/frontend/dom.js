// Finding what a template promised, with a clear error when it did not keep it.

/** @template {Element} T @param {string} selector @param {new () => T} kind @param {ParentNode} [within] @returns {T} */
export function find(selector, kind, within = document) {
  const found = within.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`the page has no ${selector}`);
  return found;
}

/** The value of the checked radio of that name. @param {HTMLFormElement} form @param {string} name */
export function chosen(form, name) {
  return String(new FormData(form).get(name) ?? "");
}
