import { byId, setAttribute, setText } from "/shared/dom.js";
import { clearFaults, onSubmit, showFaults, wireDialogs } from "/shared/forms.js";
import { wireTheme } from "/shared/theming.js";
import { get, hasToken, useToken } from "./api.js";
import { Letters } from "./letters.js";
import { toast } from "./notices.js";
import { Overview } from "./overview.js";
import { Tables } from "./tables.js";
import { Team } from "./team.js";

/** The page: its views, and whether it may look. */
class App {
  #overview = new Overview(this);
  #views = {};
  #open = false;

  constructor(views) {
    this.#views = Object.fromEntries(Object.entries(views).map(([name, make]) => [name, make(this)]));
    addEventListener("hashchange", () => this.#follow());
    onSubmit(byId("token-form"), (fields) => this.#signIn(fields.token));
    byId("sign-out").addEventListener("click", () => {
      useToken("");
      // With it goes all that it let be seen.
      location.reload();
    });
    wireTheme(byId("theme-button"), () => this.#overview.repaint());
  }

  /** Looks; where that takes a token, asks for it. */
  start() {
    this.#open = true;
    byId("sign-in").hidden = true;
    byId("sign-out").hidden = !hasToken();
    this.#follow();
    this.#overview.start();
  }

  /** Asks for a token, since an answer was 401 or 403. */
  signIn({ status }) {
    this.#open = false;
    this.state("stopped", "Token needed");
    byId("sign-in").hidden = false;
    for (const view of document.querySelectorAll(".view")) view.hidden = true;
    const tried = hasToken();
    useToken("");
    byId("sign-out").hidden = true;
    if (tried) showFaults(byId("token-form"), [{ field: "token", message: refusal(status) }]);
    else byId("token").focus();
  }

  /** Shows in the header how it stands. */
  state(state, label) {
    setAttribute(byId("state"), "data-state", state);
    setText(byId("state-label"), label);
  }

  /** Does what a person asked for; what fails is told, and a token that is not good (any more) asked for. */
  async attempt(act) {
    try {
      return await act();
    } catch (problem) {
      if (problem.status === 401 || problem.status === 403) {
        this.#overview.stop();
        this.signIn(problem);
      } else {
        toast(problem.errors?.[0]?.message ?? problem.message, "error");
      }
      return null;
    }
  }

  async #signIn(token) {
    clearFaults(byId("token-form"));
    if (token === "") {
      showFaults(byId("token-form"), [{ field: "token", message: "Give the token." }]);
      return;
    }
    if (!/^[\x21-\x7e]+$/.test(token)) {
      showFaults(byId("token-form"), [{ field: "token", message: "This is no token: it has spaces or letters that no token has." }]);
      return;
    }
    useToken(token);
    try {
      await get("/api/cluster");
    } catch (problem) {
      useToken("");
      showFaults(byId("token-form"), [{ field: "token", message: problem.status === 401 || problem.status === 403 ? refusal(problem.status) : problem.message }]);
      return;
    }
    byId("token-form").reset();
    this.start();
  }

  #follow() {
    if (!this.#open) return;
    const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decode);
    const known = name in this.#views ? name : "overview";
    for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== (known === "teams" ? "team" : known);
    const tab = known === "teams" ? "tables" : known;
    for (const link of document.querySelectorAll("[data-tab]")) setAttribute(link, "aria-current", link.dataset.tab === tab ? "page" : null);
    this.#views[known]?.open(...rest);
  }
}

const refusal = (status) => (status === 403 ? "This token is good, but it lacks the scope admin." : "This token is not good, or no longer.");

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

wireDialogs();
new App({ tables: (app) => new Tables(app), teams: (app) => new Team(app), letters: (app) => new Letters(app) }).start();
