// Shows what web push brings, also while no page is open. It keeps nothing, loads nothing, and never stands between a page and the server.
"use strict";

self.addEventListener("push", (event) => {
  const said = event.data.json();
  const shown = self.registration.showNotification(said.title, {
    body: said.body,
    tag: said.tag, // the same message once more takes the place of the one before
    icon: "/static/icon-192.png",
    data: { url: said.url },
    requireInteraction: said.is_urgent,
  });
  event.waitUntil(shown);
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = event.notification.data.url;
  if (url) event.waitUntil(show(url));
});

async function show(url) {
  const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = open.find((each) => each.url === url);
  return there ? there.focus() : self.clients.openWindow(url);
}
