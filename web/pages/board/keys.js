/**
 * Arrow keys between cards, beside the natural tab order: up and down within a column, left and right across columns,
 * staying on the same kind of control.
 */
export function wireKeys(columns) {
  columns.addEventListener("keydown", (event) => {
    const card = event.target.closest?.(".card");
    if (!card || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const action = event.target.closest("[data-action]")?.dataset.action ?? "edit";
    const goal = target(event.key, card);
    if (!goal) return;
    event.preventDefault();
    goal.querySelector(`[data-action="${action}"]`)?.focus({ preventScroll: true });
    goal.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}

function target(key, card) {
  const siblings = [...card.parentElement.querySelectorAll(".card")];
  const index = siblings.indexOf(card);
  if (key === "ArrowDown") return siblings[index + 1];
  if (key === "ArrowUp") return siblings[index - 1];
  if (key === "Home") return siblings[0];
  if (key === "End") return siblings.at(-1);
  if (key !== "ArrowLeft" && key !== "ArrowRight") return undefined;
  const lists = [...document.querySelectorAll(".column .tasks")].filter((list) => list.querySelector(".card"));
  const other = lists[lists.indexOf(card.parentElement) + (key === "ArrowRight" ? 1 : -1)];
  const cards = other ? [...other.querySelectorAll(".card")] : [];
  return cards[Math.min(index, cards.length - 1)];
}
