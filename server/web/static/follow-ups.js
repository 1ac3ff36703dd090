// Keys on the list of follow-ups: j and k go to the next and to the last one, c calls. Everything works without.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const rows = [...document.querySelectorAll(".follow-ups > .follow-up")];
  const here = rows.indexOf(document.activeElement.closest(".follow-up"));
  if (event.key === "j" || event.key === "k") {
    const next = rows[event.key === "j" ? Math.min(here + 1, rows.length - 1) : Math.max(here - 1, 0)];
    if (next) { next.focus(); next.scrollIntoView({ block: "nearest" }); }
  } else if (event.key === "c" && here >= 0) {
    rows[here].querySelector(".dial")?.click();
  }
});
