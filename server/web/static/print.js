// The browser's own way to print. Without scripts there is no button, and the browser's menu does the same.
"use strict";

const button = document.getElementById("print");

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
