// Starts Swagger UI on the page /docs. Its bundle is a classic script that is deferred before this module.

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
