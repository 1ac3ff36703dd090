// Passkeys: the browser asks its owner, the answer goes into a form of the page. Without this script, or in a browser that has no
// passkeys, the buttons stay hidden and passwords work as ever.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

class Refused extends Error {} // by the server, in words for whoever asked

async function ask(form) {
  const reply = await fetch(form.dataset.ask, { method: "POST", body: new FormData(form) });
  if (reply.status === 409) throw new Refused(await reply.text());
  if (!reply.ok) throw new Error(form.dataset.refused);
  if (form.elements.present) form.elements.present.value = "";
  const options = await reply.json();
  options.challenge = bytes(options.challenge);
  if (options.user) options.user.id = bytes(options.user.id);
  for (const each of options.excludeCredentials || []) each.id = bytes(each.id);
  return options;
}

async function answer(form) {
  const publicKey = await ask(form);
  const isNew = form.dataset.passkey === "add";
  const made = await (isNew ? navigator.credentials.create({ publicKey }) : navigator.credentials.get({ publicKey }));
  const response = { clientDataJSON: text(made.response.clientDataJSON) };
  for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (made.response[part]) response[part] = text(made.response[part]);
  }
  return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: {} });
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    if (form.elements.answer.value) return;
    event.preventDefault();
    const told = form.querySelector("[role=status]");
    try {
      form.elements.answer.value = await answer(form);
      form.submit();
    } catch (error) {
      told.textContent = error instanceof Refused ? error.message : form.dataset.refused;
    }
  });
}
