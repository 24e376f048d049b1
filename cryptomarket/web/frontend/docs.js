// Starts Swagger UI on the page /docs. Its bundle is a classic script that is deferred before this module.

// Swagger UI has dark colours of its own, under this name.
const dark = matchMedia("(prefers-color-scheme: dark)");
const { theme } = document.documentElement.dataset;
const paint = () => document.documentElement.classList.toggle("dark-mode", theme ? theme === "dark" : dark.matches);
dark.addEventListener("change", paint);
paint();

const place = /** @type {HTMLElement} */ (document.getElementById("swagger"));
const { SwaggerUIBundle } = /** @type {any} */ (globalThis);

SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null, // asks nobody else about our document
});
