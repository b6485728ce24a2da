import { byId, h } from "/shared/dom.js";
import { clearFaults, onSubmit, showFaults } from "/shared/forms.js";
import { avatar, knownName, learnName, parseId } from "./people.js";

/** The simulator's users. */
const QUICK = Array.from({ length: 12 }, (_, index) => index + 1);

const RECENT = "teamcast.recent";
const RECENT_MAX = 6;

function recent() {
  try {
    const list = JSON.parse(localStorage.getItem(RECENT) ?? "[]");
    return Array.isArray(list) ? list.filter((entry) => parseId(entry?.userId) !== null) : [];
  } catch {
    return [];
  }
}

/** Remembers whom this browser has looked at, newest first. */
export function remember(userId, username) {
  const list = [{ userId, username }, ...recent().filter((entry) => entry.userId !== userId)].slice(0, RECENT_MAX);
  try {
    localStorage.setItem(RECENT, JSON.stringify(list));
  } catch {
    // Storage may be forbidden: the list then lasts as long as the page.
  }
}

/** Choosing a user: in the page when there is none yet, else in a dialog. */
export class Picker {
  #app;
  #dialog = byId("picker-dialog");

  constructor(app) {
    this.#app = app;
    for (const entry of recent()) learnName(entry.userId, entry.username);
    byId("quick-picks").append(...QUICK.map(pick));
    byId("picker").addEventListener("click", (event) => {
      const button = event.target.closest("button[data-user-id]");
      if (button) this.#choose(Number(button.dataset.userId));
    });
    onSubmit(byId("user-form"), async ({ userId: text }) => {
      const userId = parseId(text);
      if (userId === null) showFaults(byId("user-form"), [{ field: "userId", message: "A whole number from 1 on." }]);
      else this.#choose(userId);
    });
    onSubmit(byId("new-user-form"), (fields) => this.#create(fields));
  }

  /** Shows the picker in the page itself. */
  showInPage() {
    this.#prepare();
    byId("hero-slot").append(byId("picker"));
  }

  /** Shows the picker over the board. */
  showDialog() {
    this.#prepare();
    byId("dialog-slot").append(byId("picker"));
    this.#dialog.showModal();
    byId("user-id").focus();
  }

  #prepare() {
    const list = recent();
    byId("recent-picks").replaceChildren(...list.map((entry) => pick(entry.userId)));
    byId("recent-block").hidden = list.length === 0;
    for (const form of [byId("user-form"), byId("new-user-form")]) {
      form.reset();
      clearFaults(form);
    }
    // Low enough to remember, high enough to be free.
    byId("new-user-id").value = String(1_000 + Math.floor(Math.random() * 900_000));
  }

  #choose(userId) {
    this.#dialog.close();
    this.#app.choose(userId);
  }

  async #create({ userId: text, username, email }) {
    const userId = parseId(text);
    if (userId === null) {
      showFaults(byId("new-user-form"), [{ field: "userId", message: "A whole number from 1 on." }]);
      return;
    }
    // Reaches that user's own stream alone, so there is nothing to wait for here: their board gets it.
    const payload = { username: username || null, ...(email ? { email } : {}) };
    await this.#app.post("user.created", { userId, payload });
    this.#choose(userId);
  }
}

function pick(userId) {
  return h(
    "button",
    { type: "button", class: "pick", "data-testid": "pick-user", "data-user-id": userId },
    avatar(userId),
    h("span", { text: knownName(userId) }),
  );
}
