// A classic script, run before the first paint: the theme that is remembered must not flash in afterwards.
(() => {
  try {
    const theme = localStorage.getItem("teamcast.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the page then follows the system.
  }
})();
