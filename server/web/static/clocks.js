// Counts seconds on the page: what is left until a decision must be on record, and the ten seconds of an undo.
//
// The server says how many seconds are left when it makes a page or a row, and tells its time to open pages; from then on they are
// counted by the browser's own running clock, so that a computer whose date is wrong, or is set, changes nothing.
"use strict";
(() => {
  let ahead = null; // server's time minus the running clock, in ms; null until it was told
  const running = () => performance.timeOrigin + performance.now();

  // A clock of this page in terms of the running clock: when it comes to its end.
  function ends(element) {
    if (element.endsAt === undefined) element.endsAt = running() + 1000 * Number(element.dataset.seconds);
    return element.endsAt;
  }

  function text(seconds) {
    const s = Math.abs(seconds);
    const hours = Math.floor(s / 3600);
    const minutes = Math.floor((s % 3600) / 60);
    const two = (n) => String(n).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
  }

  // Said aloud, politely, when it matters: each minute of the last five, at thirty seconds, and when it is over.
  function isWorthSaying(left) {
    return (left > 0 && left <= 300 && left % 60 === 0) || left === 30 || left === -1;
  }

  function say(what) {
    let aloud = document.getElementById("clock-aloud");
    if (!aloud) {
      aloud = document.createElement("p");
      aloud.id = "clock-aloud";
      aloud.className = "unseen";
      aloud.setAttribute("aria-live", "polite");
      document.getElementById("main").append(aloud);
    }
    if (aloud.textContent !== what) aloud.textContent = what;
  }

  function tick() {
    for (const clock of document.querySelectorAll(".clock[data-seconds]")) {
      const left = Math.round((ends(clock) - running()) / 1000);
      const said = (left < 0 ? clock.dataset.over : clock.dataset.left).replace("{t}", text(left));
      if (clock.textContent === said) continue;
      clock.textContent = said;
      clock.classList.toggle("is-over", left < 0);
      if (isWorthSaying(left)) say(said);
    }
    for (const undo of document.querySelectorAll(".undo[data-seconds]")) {
      const left = Math.ceil((ends(undo) - running()) / 1000);
      const shown = undo.querySelector(".left");
      if (left <= 0) undo.hidden = true;
      else if (shown.textContent !== String(left)) shown.textContent = String(left);
    }
  }

  // The server's time, as an open page is told it: a computer that slept has stood still meanwhile.
  window.homevigilTime = (iso) => {
    const told = Date.parse(iso) - running();
    if (ahead !== null && Math.abs(told - ahead) > 2000) {
      for (const clock of document.querySelectorAll("[data-seconds]")) {
        if (clock.endsAt !== undefined) clock.endsAt += ahead - told;
      }
    }
    ahead = told;
    tick();
  };

  setInterval(tick, 250);
  tick();
})();
