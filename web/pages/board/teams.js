import { byId, h, icon, setText } from "/shared/dom.js";
import { clearFaults, onSubmit, showFaults } from "/shared/forms.js";
import { avatar, newId, parseId, personName, showOnline } from "./people.js";

/** Making teams, and who is in them. */
export class Teams {
  #app;
  #key = null;
  #membersDialog = byId("members-dialog");
  #teamDialog = byId("team-dialog");

  constructor(app) {
    this.#app = app;
    onSubmit(byId("member-form"), (fields) => this.#add(fields));
    onSubmit(byId("team-form"), (fields) => this.#create(fields));
    byId("members-list").addEventListener("click", (event) => {
      const button = event.target.closest("[data-action=remove-member]");
      if (button) this.#remove(button, Number(button.closest("[data-user-id]").dataset.userId));
    });
    this.#membersDialog.addEventListener("close", () => {
      this.#key = null;
    });
  }

  /** Opens the form for a new team. */
  create() {
    clearFaults(byId("team-form"));
    byId("team-form").reset();
    this.#teamDialog.showModal();
    byId("team-name").focus();
  }

  /** Opens a team's members; the list follows events while it is open. */
  showMembers(key) {
    this.#key = key;
    clearFaults(byId("member-form"));
    byId("member-form").reset();
    this.refresh(key);
    this.#membersDialog.showModal();
    byId("member-id").focus();
  }

  /** Draws the open list again when it is this team's; closes it when the team has left the page. */
  refresh(key) {
    if (this.#key === null || key !== this.#key) return;
    const stream = this.#app.stream(key);
    if (!stream) {
      this.#membersDialog.close();
      return;
    }
    this.#membersDialog.dataset.teamId = key;
    setText(byId("members-title"), `Members of ${this.#app.teamName(key)}`);
    const focused = document.activeElement?.closest?.("#members-list [data-user-id]")?.dataset.userId;
    const members = [...stream.members.values()].sort((a, b) => a.userId - b.userId);
    const rows = members.map(({ userId, role }) => memberRow(userId, role, stream.online?.has(userId)));
    byId("members-list").replaceChildren(...rows);
    if (focused) (byId("members-list").querySelector(`[data-user-id="${focused}"] button`) ?? byId("member-id")).focus();
  }

  /** Draws the open list again, whichever team's it is. */
  refreshOpen() {
    this.refresh(this.#key);
  }

  async #create({ name, description }) {
    if (name === "") {
      showFaults(byId("team-form"), [{ field: "name", message: "Give it a name." }]);
      return;
    }
    const { userId } = this.#app;
    const teamId = newId();
    await this.#app.send("team.created", { teamId, actorId: userId, ownerId: userId, payload: { name, description: description || null } });
    this.#teamDialog.close();
    this.#app.reveal(teamId);
  }

  async #add({ userId: text, role }) {
    const form = byId("member-form");
    const userId = parseId(text);
    if (userId === null) {
      showFaults(form, [{ field: "userId", message: "A whole number from 1 on." }]);
      return;
    }
    await this.#app.send("team.member_added", { teamId: this.#key, userId, actorId: this.#app.userId, role: role || "member" });
    form.reset();
    byId("member-id").focus();
  }

  async #remove(button, userId) {
    const teamId = this.#key;
    const self = userId === this.#app.userId;
    const team = this.#app.teamName(teamId);
    const sure = await this.#app.confirm(self ? "Leave this team?" : "Remove this member?", self ? `${team} leaves your board.` : `${personName(userId)} no longer sees ${team}.`, self ? "Leave" : "Remove");
    if (!sure) return;
    button.closest("li").dataset.pending = "team.member_removed";
    try {
      await this.#app.send("team.member_removed", { teamId, userId, actorId: this.#app.userId });
    } catch (problem) {
      this.#app.toast(problem.errors?.[0]?.message ?? problem.message, "error");
    }
    this.refresh(teamId);
  }
}

function memberRow(userId, role, online) {
  const name = personName(userId);
  const face = avatar(userId);
  showOnline(face, online);
  return h(
    "li",
    { "data-testid": "member", "data-user-id": userId, "data-role": role },
    face,
    h("span", { class: "member-name", text: name }),
    online ? h("span", { class: "visually-hidden", text: "online" }) : null,
    h("span", { class: "muted", text: name === `User ${userId}` ? "" : `#${userId}` }),
    h("span", { class: "spacer" }),
    h("span", { class: "chip", text: role ?? "member" }),
    h("button", { type: "button", class: "icon-button", "data-action": "remove-member", "aria-label": `Remove ${name}` }, icon("close")),
  );
}
