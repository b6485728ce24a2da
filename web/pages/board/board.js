import { postEvent } from "./api.js";
import { byId, setAttribute, setText } from "/shared/dom.js";
import { Feed } from "./feed.js";
import { wireDialogs } from "/shared/forms.js";
import { save, wireTheme } from "/shared/theming.js";
import { wireKeys } from "./keys.js";
import { learnName, paintAvatar, parseId, setMe } from "./people.js";
import { Picker, remember } from "./picker.js";
import { Status } from "./status.js";
import { Store } from "./store.js";
import { Tasks } from "./tasks.js";
import { Teams } from "./teams.js";
import { View } from "./view.js";
import { whyClosed } from "./words.js";

/** How long a sent event may take to come back by the socket before we say so, in milliseconds. */
const ECHO_MS = 10_000;

const root = document.documentElement;

/** The page: one user, their store, and what the dialogs need of it. */
class App {
  userId = null;
  #store = null;
  #dismiss = null;
  #wanted = null;
  #feed = new Feed();
  #view = new View(this.#feed);
  #status = new Status();

  constructor() {
    this.tasks = new Tasks(this);
    this.teams = new Teams(this);
    this.picker = new Picker(this);
  }

  /** Follows the page's address: `?user=N`, and `&team=M` for a team to begin at, as links in mails have it. */
  follow() {
    const userId = parseId(new URLSearchParams(location.search).get("user") ?? "");
    if (userId === null) this.#leave();
    else if (userId !== this.userId) this.#enter(userId);
  }

  /** Goes to a user's board. */
  choose(userId) {
    if (userId === this.userId) {
      if (byId("connection").dataset.state === "stopped") this.reconnect();
      return;
    }
    const url = new URL(location.href);
    url.searchParams.set("user", String(userId));
    history.pushState(null, "", url);
    this.follow();
  }

  reconnect() {
    this.#dismiss?.();
    this.#store?.open();
  }

  stream(key) {
    return this.#store?.streams.get(key);
  }

  task(key, taskId) {
    return this.stream(key)?.tasks.get(taskId);
  }

  teamName(key) {
    return key === "me" ? "Personal" : this.stream(key)?.team?.name || `Team ${key}`;
  }

  /** Writes an event. Raises Problem. */
  post(topic, value) {
    return postEvent(topic, value);
  }

  /** Writes an event and waits until it has come back by the log, as everybody gets it. Raises Problem. */
  async send(topic, value) {
    const store = this.#store;
    const { eventId } = await postEvent(topic, value);
    if (!(await store.arrived(eventId, ECHO_MS))) this.toast("Accepted, and on its way: the log has not brought it here yet.");
    return true;
  }

  /** Marks a card as waiting; false when it is waiting already. */
  setPending(key, taskId, what) {
    if (!this.#store?.setPending(key, taskId, what)) return false;
    this.#view.taskChanged(key, taskId, false);
    return true;
  }

  showMore(key) {
    this.#view.showMore(key);
  }

  reveal(key) {
    // After the frame that draws the column.
    requestAnimationFrame(() => requestAnimationFrame(() => this.#view.reveal(key)));
  }

  toast(text, kind, action) {
    return this.#status.toast(text, kind, action);
  }

  /** Asks; true when the person agrees. */
  confirm(title, text, verb) {
    const dialog = byId("confirm-dialog");
    setText(byId("confirm-title"), title);
    setText(byId("confirm-text"), text);
    setText(byId("confirm-yes"), verb);
    dialog.returnValue = "";
    dialog.showModal();
    byId("confirm-yes").focus();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  }

  #leave() {
    this.#end();
    this.userId = null;
    root.dataset.view = "picker";
    document.title = "Teamcast";
    this.#showUser();
    this.picker.showInPage();
    this.#status.show({ state: "idle" });
  }

  #enter(userId) {
    this.#end();
    this.userId = userId;
    setMe(userId);
    remember(userId);
    root.dataset.view = "board";
    setAttribute(byId("board"), "data-synced", "false");
    const store = new Store(userId, this.#observe());
    this.#store = store;
    this.#view.use(store);
    this.#wanted = parseId(new URLSearchParams(location.search).get("team") ?? "");
    this.#view.point(this.#wanted);
    this.#showUser();
    store.open();
  }

  #end() {
    this.#store?.close();
    this.#dismiss?.();
    this.#store = null;
    this.#feed.clear();
    this.#view.use(null);
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  }

  #observe() {
    return {
      columns: () => {
        this.#view.columnsChanged();
        this.teams.refreshOpen();
      },
      team: (key) => {
        this.#view.teamChanged(key);
        this.teams.refresh(key);
      },
      task: (key, taskId, moved, event) => this.#view.taskChanged(key, taskId, moved, event),
      head: (key) => {
        this.#view.headChanged(key);
        this.teams.refresh(key);
      },
      user: () => this.#showUser(),
      event: (event, { key, before, after }) => {
        this.#feed.add(event, { teamName: this.teamName(key), titleOf: () => (before ?? after)?.title });
        this.#view.request();
      },
      gap: (key) => this.#note(`Some events of ${this.teamName(key)} are missing here. What is shown is as it is now.`),
      synced: (ok) => {
        setAttribute(byId("board"), "data-synced", String(ok));
        if (!ok) return;
        this.#showLive();
        if (this.#wanted !== null && !this.stream(this.#wanted)) this.toast(`You are not in team ${this.#wanted}, or it was deleted.`);
        this.#wanted = null;
      },
      delayed: () => {
        if (byId("connection").dataset.state === "live") this.#showLive();
      },
      status: (status) => this.#showConnection(status),
    };
  }

  #note(text) {
    this.#feed.note(text);
    this.#view.request();
  }

  #showLive() {
    this.#status.show({ state: "live", delayed: this.#store.delayed });
  }

  #showConnection(status) {
    this.#dismiss?.();
    this.#dismiss = null;
    const { state } = status;
    if (state === "connected") {
      return; // live once the snapshots are here too
    }
    const wasLive = byId("connection").dataset.state === "live";
    if (wasLive) this.#note("Connection lost. What happens meanwhile follows when it is back.");
    if (state === "connecting" || state === "paused") {
      this.#status.show({ state: "connecting" });
      return;
    }
    const reason = whyClosed(status);
    this.#status.show({ state, retryAt: status.retryAt, reason });
    if (state === "stopped") {
      const other = status.code === 4501;
      const run = () => (other ? this.picker.showDialog() : this.reconnect());
      this.#dismiss = this.toast(reason, "error", { text: other ? "Choose a user" : "Try again", run });
    }
  }

  #showUser() {
    const username = this.#store?.user?.username;
    if (username) {
      learnName(this.userId, username);
      remember(this.userId, username);
    }
    paintAvatar(byId("user-avatar"), this.userId);
    const name = this.userId === null ? "Choose a user" : username || `User ${this.userId}`;
    setText(byId("user-name"), name);
    setAttribute(byId("user-button"), "aria-label", this.userId === null ? name : `${name}, user ${this.userId}: switch user`);
    if (this.userId !== null) document.title = `${name} · Teamcast`;
  }
}

function wireBoard(app) {
  const acts = {
    add: (key) => app.tasks.create(key),
    members: (key) => app.teams.showMembers(key),
    more: (key) => app.showMore(key),
    "new-team": () => app.teams.create(),
    complete: (key, taskId) => app.tasks.toggle(key, taskId),
    edit: (key, taskId) => app.tasks.edit(key, taskId),
    delete: (key, taskId) => app.tasks.remove(key, taskId),
  };
  byId("columns").addEventListener("click", (event) => {
    const action = event.target.closest("[data-action]");
    if (!action) return;
    const team = action.closest("[data-team-id]")?.dataset.teamId;
    const task = action.closest("[data-task-id]")?.dataset.taskId;
    acts[action.dataset.action]?.(team === "me" ? team : Number(team), Number(task));
  });
}

function wireChrome(app) {
  wireTheme(byId("theme-button"));

  const showFeed = (open) => {
    root.dataset.feed = open ? "open" : "closed";
    setAttribute(byId("feed-button"), "aria-expanded", String(open));
    byId("feed").inert = !open;
  };
  const toggleFeed = (open) => {
    const inside = byId("feed").contains(document.activeElement);
    showFeed(open);
    save("teamcast.feed", root.dataset.feed);
    if (!open && inside) byId("feed-button").focus();
  };
  showFeed(root.dataset.feed === "open");
  byId("feed-button").addEventListener("click", () => toggleFeed(root.dataset.feed !== "open"));
  byId("feed-close").addEventListener("click", () => toggleFeed(false));
  byId("feed").addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggleFeed(false);
  });

  byId("user-button").addEventListener("click", () => {
    if (root.dataset.view === "picker") byId("user-id").focus();
    else app.picker.showDialog();
  });
  byId("connection").addEventListener("click", () => {
    if (byId("connection").getAttribute("aria-disabled") !== "true") app.reconnect();
  });
}

const app = new App();
wireDialogs();
wireBoard(app);
wireChrome(app);
wireKeys(byId("columns"));
addEventListener("popstate", () => app.follow());
app.follow();
