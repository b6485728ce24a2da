import { byId, h, setText } from "/shared/dom.js";

/** How long a notice stays, in milliseconds. */
const TOAST_MS = 8_000;

/** A short notice; kind: info or error. */
export function toast(text, kind = "info") {
  const toast = h("div", { class: "toast", role: kind === "error" ? "alert" : "status", "data-kind": kind, "data-testid": "toast" }, h("span", { text }));
  setTimeout(() => toast.remove(), TOAST_MS);
  byId("toasts").append(toast);
  while (byId("toasts").children.length > 3) byId("toasts").firstElementChild.remove();
}

/** Asks; null when the person does not agree, else the reason that they gave ("" where none is asked for). */
export function confirm(title, text, verb, { reason = false, danger = false } = {}) {
  const dialog = byId("confirm-dialog");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), verb);
  byId("confirm-yes").className = danger ? "danger" : "primary";
  byId("confirm-field").hidden = !reason;
  byId("confirm-reason").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  (reason ? byId("confirm-reason") : byId("confirm-yes")).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? byId("confirm-reason").value.trim() : null), { once: true });
  });
}
