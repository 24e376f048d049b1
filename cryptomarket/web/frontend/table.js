// The twin of a chart: the same prices in rows, for those who read rather than look.

/** @param {HTMLElement} body of a table @param {string[][]} rows */
export function fillTable(body, rows) {
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      for (const text of cells) row.insertCell().textContent = text;
      return row;
    }),
  );
}
