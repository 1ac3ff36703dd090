// The worklist while it is open: what is new is said in a bar, what has changed is shown in its row, and nothing moves under the
// pointer. Keys, too. Without this script the list works by loading pages.
"use strict";
(() => {
  const list = document.getElementById("rows");
  const news = document.getElementById("news");
  const ASK_EVERY_MS = 10000;
  const elsewhere = list ? JSON.parse(list.dataset.elsewhere || "{}") : {};
  const stale = new Set(); // patients whose row is to be shown anew when nobody is at it
  const fetching = new Set();

  const rowOf = (patient) => document.getElementById(`patient-${patient}`);
  const rows = () => [...document.querySelectorAll(".rows > .row")];

  // --- what is open now ------------------------------------------------------------------------------------------------

  function take(told) {
    if (told.now) window.homevigilTime(told.now);
    showUnread(told.unread);
    let fresh = 0;
    for (const [patient, known] of Object.entries(told.open)) {
      const row = rowOf(patient);
      if (row) {
        if (row.dataset.known !== known) stale.add(patient);
      } else if (namesIn(known).some((name) => !namesIn(elsewhere[patient] || "").includes(name))) fresh += 1;
    }
    for (const row of rows()) {
      if (row.dataset.known && !(row.dataset.patient in told.open)) stale.add(row.dataset.patient);
    }
    sayNew(fresh);
    showStale();
  }

  function namesIn(known) {
    return known.split(" ").filter(Boolean).map((each) => each.split(".")[0]);
  }

  function sayNew(count) {
    if (!count) {
      news.replaceChildren();
      return;
    }
    const said = count === 1 ? news.dataset.newOne : news.dataset.newMany.replace("{n}", String(count));
    if (news.textContent === said) return;
    const link = document.createElement("a");
    link.className = "news";
    link.href = news.dataset.here;
    link.textContent = said;
    news.replaceChildren(link);
  }

  function showUnread(count) {
    const badge = document.querySelector("#unread .unread");
    if (badge && badge.dataset.count !== String(count)) {
      badge.dataset.count = String(count);
      badge.textContent = badge.textContent.replace(/\d[\d,]*/, String(count));
      badge.hidden = count === 0;
    }
  }

  // --- a row is shown anew where it stands, but never one at which somebody is, nor one above it ------------------------

  function whereSomebodyIs() {
    const hovered = document.querySelector(".rows > .row:hover");
    const focused = document.activeElement ? document.activeElement.closest(".rows > .row") : null;
    const opened = document.querySelector(".rows > .row:has(details[open])");
    return [hovered, focused, opened].filter(Boolean);
  }

  function isInTheWay(row) {
    return whereSomebodyIs().some(
      (each) => each === row || row.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING,
    );
  }

  function showStale() {
    for (const patient of [...stale]) {
      const row = rowOf(patient);
      if (!row) stale.delete(patient);
      else if (isInTheWay(row)) mark(row);
      else if (!fetching.has(patient)) show(patient);
    }
  }

  function mark(row) {
    if (row.querySelector(".stale-note")) return;
    const note = document.createElement("p");
    note.className = "stale-note";
    note.textContent = news.dataset.stale;
    row.append(note);
  }

  async function show(patient) {
    fetching.add(patient);
    try {
      const answer = await fetch(`/worklist/row/${patient}`, { headers: { "HX-Request": "true" } });
      const row = rowOf(patient);
      if (!row || (answer.status !== 404 && !answer.ok)) return;
      if (isInTheWay(row)) return mark(row);
      stale.delete(patient);
      if (answer.status === 404) return takeAway(row);
      const template = document.createElement("template");
      template.innerHTML = await answer.text();
      const fresh = template.content.querySelector(".row");
      fresh.classList.add("is-changed");
      row.replaceWith(fresh);
      window.htmx.process(fresh);
    } catch {
      // the network is away; the next news shows it
    } finally {
      fetching.delete(patient);
    }
  }

  // Who has left the panel is not shown any more; the place stays, so that nothing moves.
  function takeAway(row) {
    const height = row.getBoundingClientRect().height;
    const note = document.createElement("p");
    note.className = "state";
    note.textContent = news.dataset.gone;
    row.replaceChildren(note);
    row.removeAttribute("data-known");
    row.className = "row calm is-gone";
    row.style.minHeight = `${height}px`;
  }

  // --- hearing ---------------------------------------------------------------------------------------------------------

  async function ask() {
    try {
      const answer = await fetch(news.dataset.ask, { headers: { "HX-Request": "true" } });
      if (answer.status === 401) signIn();
      else if (answer.ok) take(await answer.json());
    } catch {
      // asked again
    }
  }

  function signIn() {
    location.assign("/login");
  }

  function listen() {
    if (!window.EventSource) {
      setInterval(ask, ASK_EVERY_MS);
      return;
    }
    const source = new EventSource(news.dataset.stream);
    source.addEventListener("news", (event) => take(JSON.parse(event.data)));
    source.addEventListener("time", (event) => window.homevigilTime(JSON.parse(event.data)));
    source.addEventListener("ended", () => {
      source.close();
      signIn();
    });
    source.addEventListener("error", () => {
      // Lost: the browser comes back by itself. Refused: asking says why, and listening is tried again later.
      if (source.readyState !== EventSource.CLOSED) return;
      ask();
      setTimeout(listen, ASK_EVERY_MS);
    });
    window.addEventListener("pagehide", () => source.close(), { once: true });
    window.addEventListener("pageshow", (event) => event.persisted && location.reload(), { once: true });
  }

  // --- keys ------------------------------------------------------------------------------------------------------------

  const sheet = document.getElementById("keys");
  const keysOn = document.getElementById("keys-on");
  const KEYS_OFF = "homevigil-keys-off";

  function go(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(current());
    const next = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function current() {
    return document.activeElement ? document.activeElement.closest(".rows > .row") : null;
  }

  function press(key) {
    const scope = current() || rows()[0];
    const target = scope && [...scope.querySelectorAll(`[data-key="${key}"]`)].find((each) => each.offsetParent);
    if (!target) return;
    if (target.tagName === "SUMMARY") {
      target.parentElement.open = true;
      target.parentElement.querySelector("form button").focus();
    } else target.click();
  }

  function undo() {
    const all = [...document.querySelectorAll('[data-key="u"]')].filter((each) => each.offsetParent);
    if (all.length) all[all.length - 1].click();
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
    if (event.key === "Escape") {
      const opened = document.querySelector("details.menu[open]");
      if (!opened) return;
      opened.open = false;
      opened.querySelector("summary").focus();
      return;
    }
    if (!keysOn.checked) return;
    const known = {
      j: () => go(1),
      k: () => go(-1),
      a: () => press("a"),
      s: () => press("s"),
      o: () => press("o"),
      u: undo,
      "?": () => sheet.showModal(),
      Enter: () => event.target.matches(".row") && event.target.querySelector(".sentence a")?.click(),
    };
    if (!(event.key in known)) return;
    if (event.key !== "Enter") event.preventDefault();
    known[event.key]();
  }

  keysOn.checked = localStorage.getItem(KEYS_OFF) !== "1";
  keysOn.addEventListener("change", () => localStorage.setItem(KEYS_OFF, keysOn.checked ? "0" : "1"));
  document.querySelector('[data-opens="keys"]').addEventListener("click", () => sheet.showModal());
  document.addEventListener("keydown", onKey);

  // --- while somebody works --------------------------------------------------------------------------------------------

  // A row that was decided about comes anew: whoever works by keys goes on from there, and the others' menus close.
  let working = null;
  document.addEventListener("htmx:before:request", () => {
    working = current()?.id || null;
  });
  document.addEventListener("htmx:after:swap", () => {
    const row = working && document.getElementById(working);
    if (row && (document.activeElement === document.body || !document.activeElement)) row.focus({ preventScroll: true });
    working = null;
  });
  document.addEventListener(
    "toggle",
    (event) => {
      if (!event.target.matches?.("details.menu") || !event.target.open) return;
      for (const other of document.querySelectorAll("details.menu[open]")) if (other !== event.target) other.open = false;
    },
    true,
  );
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  for (const event of ["mouseout", "focusout"]) {
    document.addEventListener(event, () => stale.size && setTimeout(showStale, 50));
  }

  listen();
})();
