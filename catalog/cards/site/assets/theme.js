"use strict";
// Before the first paint: the colours that the reader chose, or those of the system.
try {
  const chosen = localStorage.getItem("watershed-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch (error) {
  // Storage may be closed to pages that are files.
}
