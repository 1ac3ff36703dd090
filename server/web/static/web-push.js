// Lets this browser be told: the house asks, the browser's maker carries, and only this browser can read it. Without it there is no button.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));

async function markOf(endpoint) {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(endpoint));
  return Array.from(new Uint8Array(hash), (each) => each.toString(16).padStart(2, "0")).join("");
}

async function present() {
  const worker = await navigator.serviceWorker.getRegistration("/");
  return worker ? worker.pushManager.getSubscription() : null;
}

async function subscribe(key) {
  const had = await present();
  if (had) await had.unsubscribe(); // of another key, or of nobody any more
  await navigator.serviceWorker.register("/push-worker.js");
  const worker = await navigator.serviceWorker.ready;
  return worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
}

async function start(section, form) {
  const told = section.querySelector("[role=status]");
  told.textContent = "";
  if ((await Notification.requestPermission()) !== "granted") {
    told.textContent = section.dataset.denied;
    return;
  }
  try {
    const made = await subscribe(section.dataset.key);
    form.elements.address.value = JSON.stringify(made);
    const reply = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (!reply.ok) throw new Error(await made.unsubscribe());
    location.assign(location.pathname);
  } catch {
    told.textContent = section.dataset.refused;
  }
}

async function setUp(section) {
  if (!("PushManager" in window && "Notification" in window && "serviceWorker" in navigator)) {
    section.hidden = navigator.standalone !== false; // an iPhone tells only pages that are among its apps
    return;
  }
  const had = await present();
  const mark = had && Notification.permission === "granted" ? await markOf(had.endpoint) : "";
  const isKnown = mark !== "" && section.dataset.known.split(" ").includes(mark);
  for (const each of document.querySelectorAll("[data-mark]")) each.hidden = each.dataset.mark !== mark;
  for (const each of section.querySelectorAll("[data-when]")) each.hidden = each.dataset.when !== (isKnown ? "told" : "untold");
  const form = section.querySelector("form[data-when=untold]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start(section, form);
  });
  const stop = section.querySelector("form[data-when=told]");
  if (stop) stop.elements.mark.value = mark;
  section.hidden = false;
}

for (const section of document.querySelectorAll("section[data-push]")) setUp(section);
