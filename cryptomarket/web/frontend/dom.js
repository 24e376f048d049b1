// Helpers for the document of a page.

/** The element a template contains; throws when it is missing or of another kind. @template {Element} T @param {string} selector @param {new () => T} kind @param {ParentNode} [within] @returns {T} */
export function find(selector, kind, within = document) {
  const found = within.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`the page has no ${selector}`);
  return found;
}

/** The value of the checked radio button with that name. @param {HTMLFormElement} form @param {string} name */
export function checkedValue(form, name) {
  return String(new FormData(form).get(name) ?? "");
}

/** Replace the rows of a table body. @param {HTMLElement} body @param {string[][]} rows of cells */
export function fillTable(body, rows) {
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      for (const text of cells) row.insertCell().textContent = text;
      return row;
    }),
  );
}
