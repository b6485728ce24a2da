import { h } from "./dom.js";

/** The values of a form's named controls, trimmed texts. */
export function values(form) {
  return Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
}

/** Clears all faults shown in a form. */
export function clearFaults(form) {
  for (const slot of form.querySelectorAll("[data-error-for]")) slot.textContent = "";
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

/** Shows faults [{field, message}] beside their fields; those of no field of this form go to its foot. */
export function showFaults(form, faults) {
  clearFaults(form);
  const foot = form.querySelector('[data-error-for=""]');
  let first = null;
  for (const { field, message } of faults) {
    // The server names a field by its path: payload.title is the title.
    const name = String(field ?? "").split(".").pop();
    const control = name === "" ? null : form.elements.namedItem(name);
    const slot = control ? form.querySelector(`[data-error-for="${CSS.escape(name)}"]`) : null;
    if (slot) {
      slot.id ||= `${control.id}-error`;
      slot.textContent = message;
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", slot.id);
      first ??= control;
    } else if (foot) {
      foot.textContent = [foot.textContent, name ? `${name}: ${message}` : message].filter(Boolean).join(" ");
    }
  }
  first?.focus();
}

/** Shows what a failed request said: the single faults, else the problem itself. */
export function showProblem(form, problem) {
  showFaults(form, problem.errors?.length ? problem.errors : [{ field: "", message: problem.message }]);
}

/** Runs `act` on submit with the form marked pending; what it throws is shown in the form. */
export function onSubmit(form, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.dataset.pending) return;
    clearFaults(form);
    form.dataset.pending = "true";
    form.setAttribute("aria-busy", "true");
    try {
      await act(values(form));
    } catch (problem) {
      showProblem(form, problem);
    } finally {
      delete form.dataset.pending;
      form.removeAttribute("aria-busy");
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

/** Fills a select with [value, text] pairs and chooses one. */
export function fillSelect(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => h("option", { value, text })));
  select.value = chosen;
}

/** Closes dialogs by their close buttons and by a press on what lies behind them; Escape is the browser's own. */
export function wireDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target.closest("[data-close]")) dialog.close();
    });
    dialog.addEventListener("pointerdown", (event) => {
      if (event.target !== dialog) return;
      const box = dialog.getBoundingClientRect();
      const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      if (!inside) dialog.close();
    });
  }
}
