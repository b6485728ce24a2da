import { setAttribute } from "./dom.js";

const root = document.documentElement;

/** Remembers a choice of this browser, where it may: otherwise the choice lasts as long as the page. */
export function save(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Storage may be forbidden.
  }
}

/** The button that switches between the light and the dark theme; the system's counts until it is pressed. */
export function wireTheme(button, changed = () => {}) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => setAttribute(button, "aria-label", isDark() ? "Switch to the light theme" : "Switch to the dark theme");
  dark.addEventListener("change", () => (label(), changed()));
  label();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    save("teamcast.theme", root.dataset.theme);
    label();
    changed();
  });
}
