// Types of teamcast.js. `npx tsc --strict` reads them; nothing here runs.

/** A team's id, or "me" for what reaches this user alone. */
export type Key = number | "me";

export type TaskEventType = "task.created" | "task.updated" | "task.completed" | "task.deleted";
export type TeamEventType = "team.created" | "team.updated" | "team.deleted";
export type MemberEventType = "team.member_added" | "team.member_removed" | "team.member_role_updated";
export type UserEventType = "user.created";
export type EventType = TaskEventType | TeamEventType | MemberEventType | UserEventType;

export interface Task {
  readonly taskId: number;
  readonly title: string | null;
  readonly description: string | null;
  readonly completed: boolean | null;
  readonly priority: string | number | null;
  readonly due: string | null;
  readonly creatorId: number | null;
  readonly assigneeId: number | null;
  /** RFC 3339 in UTC; null for a task whose creation has not been seen. */
  readonly createdAt: string | null;
  readonly updatedAt: string | null;
  /** What a producer gave besides. */
  readonly [member: string]: unknown;
}

export interface Team {
  readonly teamId: number;
  readonly name: string | null;
  readonly description: string | null;
  readonly ownerId: number | null;
  readonly updatedAt: string | null;
}

export interface Member {
  readonly userId: number;
  readonly role: string;
}

export interface User {
  readonly userId: number;
  readonly username: string | null;
  readonly email: string | null;
}

interface EventOf<Type extends string, Subject> {
  readonly eventId: string;
  readonly type: Type;
  /** null in what reaches this user alone. */
  readonly teamId: number | null;
  readonly actorId: number | null;
  readonly timestamp: string;
  /** What the producer said: absent is unchanged, null is cleared. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Opaque; positions of one team compare as strings in the order of the log. */
  readonly position: string;
  /** Only where `data` alone would mislead: to be put in place of what there is. The client has done so. */
  readonly state?: Subject | null;
}

export type TaskEvent = EventOf<TaskEventType, Task> & { readonly data: Readonly<Partial<Task>> & { readonly taskId: number } };
export type TeamEvent = EventOf<TeamEventType, Team>;
export type MemberEvent = EventOf<MemberEventType, Member> & { readonly data: { readonly userId: number; readonly role?: string } };
export type UserEvent = EventOf<UserEventType, User>;
/** Every event, one day of types that this version does not know. */
export type TeamcastEvent = TaskEvent | TeamEvent | MemberEvent | UserEvent;

export type GapReason = "retention" | "far" | "overflow" | "reset" | "membership" | "unknown";

/** Events are missing here; a snapshot follows. */
export interface Gap {
  readonly type: "gap";
  readonly teamId?: number;
  readonly userId?: number;
  readonly reason: GapReason;
}

/** The whole state of a stream, all its parts joined. */
export interface Snapshot {
  readonly type: "snapshot";
  readonly teamId?: number;
  readonly userId?: number;
  readonly position: string;
  readonly team?: Team | null;
  readonly user?: User | null;
  readonly members?: readonly Member[];
  /** In place of `members` when they are more than 5,000. */
  readonly membersTotal?: number;
  readonly tasks: readonly Task[];
}

/** The user is a member of one more team. */
export interface Joined {
  readonly type: "joined";
  readonly teamId: number;
}

/** The team is gone from here; "refused": the server said so when this client came back. */
export interface Left {
  readonly type: "left";
  readonly teamId: number;
  readonly reason: "removed" | "deleted" | "refused";
}

/** So many messages were dropped, because this iterator was not read in time. */
export interface Overflow {
  readonly type: "overflow";
  readonly dropped: number;
}

export type Message = TeamcastEvent | Gap | Snapshot | Joined | Left | Overflow;

interface ChangeOf<Name extends string | null, Subject, Event> {
  readonly key: Key;
  readonly event: Event;
  /** What the event changed here; null when it changed nothing (without snapshots, before the first one, or of a later type). */
  readonly subject: Name;
  readonly id: number | "me" | null;
  readonly before: Subject | null;
  readonly after: Subject | null;
}

export type TaskChange = ChangeOf<"task" | null, Task, TaskEvent>;
export type TeamChange = ChangeOf<"team" | null, Team, TeamEvent>;
export type MemberChange = ChangeOf<"member" | null, Member, MemberEvent>;
export type UserChange = ChangeOf<"user" | null, User, UserEvent>;
/** The `detail` of an event: what came, and what it did to the copy, which has it already. */
export type Change = TaskChange | TeamChange | MemberChange | UserChange;

export interface Presence {
  readonly key: number;
  /** Who is online; null when they are too many to be listed. */
  readonly online: ReadonlySet<number> | null;
  readonly onlineTotal: number | null;
  /** Who came and who went since the message before; empty with a new list. */
  readonly joined: readonly number[];
  readonly left: readonly number[];
}

export type State = "idle" | "connecting" | "connected" | "reconnecting" | "offline" | "paused" | "stopped" | "closed";

export interface Status {
  readonly state: State;
  /** The close code of the socket that was lost; 0 when this client gave it up. */
  readonly code?: number;
  /** For developers. */
  readonly reason?: string;
  /** When the next attempt comes, in milliseconds since 1970. */
  readonly retryAt?: number;
  /** With "stopped". */
  readonly error?: TeamcastError;
}

export interface Welcome {
  readonly type: "welcome";
  readonly session: string;
  readonly userId: number;
  readonly teams: readonly number[];
  readonly heartbeat: number;
  readonly version: string;
}

export interface Subscribed {
  /** Where each subscription begins. */
  readonly positions: Readonly<Record<string, string>>;
  /** Teams that are none of this user's. */
  readonly refused: readonly number[];
}

export interface EventMap {
  event: CustomEvent<Change>;
  "task.created": CustomEvent<TaskChange>;
  "task.updated": CustomEvent<TaskChange>;
  "task.completed": CustomEvent<TaskChange>;
  "task.deleted": CustomEvent<TaskChange>;
  "team.created": CustomEvent<TeamChange>;
  "team.updated": CustomEvent<TeamChange>;
  "team.deleted": CustomEvent<TeamChange>;
  "team.member_added": CustomEvent<MemberChange>;
  "team.member_removed": CustomEvent<MemberChange>;
  "team.member_role_updated": CustomEvent<MemberChange>;
  "user.created": CustomEvent<UserChange>;
  status: CustomEvent<Status>;
  sync: CustomEvent<{ readonly synced: boolean }>;
  snapshot: CustomEvent<Snapshot & { readonly key: Key }>;
  gap: CustomEvent<Gap & { readonly key: Key }>;
  joined: CustomEvent<Joined & { readonly key: number }>;
  left: CustomEvent<Left & { readonly key: number }>;
  presence: CustomEvent<Presence>;
  delayed: CustomEvent<{ readonly seconds: number }>;
  error: CustomEvent<TeamcastError>;
}

/** What of its surroundings a client uses; for tests, and for runtimes without a WebSocket of their own. */
export interface Platform {
  /** A constructor like the browser's. */
  WebSocket?: new (url: string, protocols: string[]) => any;
  setTimeout?: (run: () => void, ms: number) => unknown;
  clearTimeout?: (timer: any) => void;
  now?: () => number;
  random?: () => number;
  online?: () => boolean;
  page?: EventTarget | null;
  document?: (EventTarget & { readonly hidden: boolean }) | null;
}

export interface Options {
  /** ws, wss, http or https; without a path it is /ws. In a page it may be left out: the page's own server. */
  url?: string | URL;
  /** Gives a JWT: before each connection, and before the last one expires. It may take 30 s. Nothing ("" or null) stops the client. */
  token?: (why: { readonly reason: "connect" | "refresh" | "expired" }) => string | null | undefined | Promise<string | null | undefined>;
  /** In place of `token`, for a server without authentication. */
  userId?: number;
  /** Where the token goes: into the handshake (the default), or into the auth command, for proxies that log headers. */
  auth?: "subprotocol" | "command";
  /** Whether to keep a copy of each team; true by default. Without, events are told and nothing is kept. */
  snapshot?: boolean;
  /** Whether to ask who is online; false by default. */
  presence?: boolean;
  /** With `snapshot: false`: positions of an earlier client to go on from. */
  since?: Readonly<Record<string, string>>;
  /** Whether to let go of the socket while the page is frozen; true by default. */
  pause?: boolean;
  platform?: Platform;
}

/** One team, or the user's own stream (key "me"), as far as this client has read the log. To be read, not written. */
export class Stream {
  readonly key: Key;
  readonly team: Team | null;
  readonly user: User | null;
  readonly members: ReadonlyMap<number, Member>;
  readonly membersTotal: number | null;
  readonly tasks: ReadonlyMap<number, Task>;
  readonly position: string | null;
  readonly loaded: boolean;
  readonly online: ReadonlySet<number> | null;
  readonly onlineTotal: number | null;
  constructor(key: Key);
  toJSON(): object;
}

// The same with the types of a browser and with those of Node, which give these other names.
type Listener = ((event: any) => void) | { handleEvent(event: any): void };
type AddOptions = Parameters<EventTarget["addEventListener"]>[2];
type RemoveOptions = Parameters<EventTarget["removeEventListener"]>[2];

/** `code` is for programs: a reply's code of the protocol, or one of this client's. */
export class TeamcastError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: { cause?: unknown });
}

export class Teamcast extends EventTarget implements AsyncIterable<Message> {
  constructor(options?: Options);
  readonly status: Status;
  readonly synced: boolean;
  readonly delayed: number;
  readonly userId: number | null;
  readonly streams: ReadonlyMap<Key, Stream>;
  readonly me: Stream | undefined;
  readonly positions: Readonly<Record<string, string>>;
  team(teamId: number): Stream | undefined;
  connect(): Promise<Welcome>;
  close(): void;
  subscribe(teams: "all" | Key | readonly Key[] | ReadonlySet<Key>): Promise<Subscribed>;
  unsubscribe(teams: "all" | Key | readonly Key[] | ReadonlySet<Key>): void;
  events(options?: { capacity?: number; signal?: AbortSignal }): AsyncIterableIterator<Message>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
  addEventListener<Type extends keyof EventMap>(type: Type, listener: ((event: EventMap[Type]) => void) | null, options?: AddOptions): void;
  addEventListener(type: string, listener: Listener | null, options?: AddOptions): void;
  removeEventListener<Type extends keyof EventMap>(type: Type, listener: ((event: EventMap[Type]) => void) | null, options?: RemoveOptions): void;
  removeEventListener(type: string, listener: Listener | null, options?: RemoveOptions): void;
}

/** Applies one event in place; null for a type that this version does not know. */
export function apply(
  stream: Stream,
  event: TeamcastEvent,
): { subject: "task" | "team" | "member" | "user"; id: number | "me"; before: object | null; after: object | null } | null;

/** Puts a whole snapshot in place of everything a stream had. */
export function replace(stream: Stream, snapshot: Snapshot): void;

/** Full jitter, in milliseconds. */
export function backoff(attempt: number, random?: () => number): number;

/** When a JWT expires, in milliseconds since 1970; null for what is none, or never expires. */
export function expiryOf(token: string): number | null;
