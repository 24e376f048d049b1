// Starts Swagger UI on the page /docs. The bundle is a deferred classic script and runs before this module.

// Swagger UI has dark colours of its own, under this class.
const dark = matchMedia("(prefers-color-scheme: dark)");
const { theme } = document.documentElement.dataset;
const applyTheme = () => document.documentElement.classList.toggle("dark-mode", theme ? theme === "dark" : dark.matches);
dark.addEventListener("change", applyTheme);
applyTheme();

const container = /** @type {HTMLElement} */ (document.getElementById("swagger"));
const { SwaggerUIBundle } = /** @type {any} */ (globalThis);

SwaggerUIBundle({
  url: container.dataset.openapi,
  domNode: container,
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null, // else the document is sent to a public validator
});
