/** User-interactive authentication (client-server API, "User-Interactive Authentication API") with the one stage `m.login.password`. */
import { randomBytes } from "node:crypto";
import { isJsonObject, type JsonObject } from "../src/protocol/json.ts";
import type { Accounts } from "./accounts.ts";
import { MatrixError, badParam, forbidden, unknown } from "./matrixError.ts";
import { Answer, type SignedInCall } from "./router.ts";

const PASSWORD = "m.login.password";

interface Session {
  readonly operation: string;
  /** Who has given the password. */
  completed: string | null;
}

export class InteractiveAuth {
  readonly #sessions = new Map<string, Session>();
  readonly #accounts: Accounts;

  constructor(accounts: Accounts) {
    this.#accounts = accounts;
  }

  /**
   * Whether the user has proved to be at the other end.
   * @param operation what the session is for: it is good for nothing else
   * @returns null if so, or else the 401 that asks for it
   * @throws MatrixError for an attempt that makes no sense, or with the password of somebody else
   */
  challenge(call: SignedInCall, body: JsonObject, operation: string): Answer | null {
    const { userId } = call.session;
    const auth = isJsonObject(body["auth"]) ? body["auth"] : {};
    const id = typeof auth["session"] === "string" ? auth["session"] : randomBytes(12).toString("base64url");
    const session = this.#session(id, auth["session"] === undefined ? operation : null);
    if (session.operation !== operation)
      throw unknown(403, "Requested operation has changed during the UI authentication session.");
    const hasPassword =
      this.#accounts.loginFlows.includes(PASSWORD) && this.#accounts.existing(userId).password !== null;
    const asked = { session: id, flows: hasPassword ? [{ stages: [PASSWORD] }] : [], params: {} };
    if (Object.keys(auth).length === 0) return refusal(asked);
    let mistake: JsonObject = {};
    if (auth["type"] !== undefined)
      try {
        session.completed = this.#user(auth);
      } catch (error) {
        if (!(error instanceof MatrixError) || error.status !== 403) throw error;
        mistake = error.body();
      }
    if (session.completed === null || !hasPassword)
      return refusal({ ...asked, completed: session.completed === null ? [] : [PASSWORD], ...mistake });
    if (session.completed !== userId) throw forbidden("Invalid auth");
    return null;
  }

  /** @param operation of a new session; null for one that must exist. @throws MatrixError */
  #session(id: string, operation: string | null): Session {
    const known = this.#sessions.get(id);
    if (known !== undefined) return known;
    if (operation === null) throw unknown(400, `Unknown session ID: ${id}`);
    const session = { operation, completed: null };
    this.#sessions.set(id, session);
    return session;
  }

  /** Whose password it is. @throws MatrixError */
  #user(auth: JsonObject): string {
    const { type, password, identifier, user } = auth;
    if (type !== PASSWORD) throw unknown(400, `Unknown login type ${String(type)}`);
    if (!this.#accounts.loginFlows.includes(PASSWORD)) throw unknown(400, "Password login has been disabled.");
    if (typeof password !== "string") throw badParam("Bad parameter: password");
    const name = user ?? (isJsonObject(identifier) ? identifier["user"] : undefined);
    if (typeof name !== "string") throw badParam("Invalid login submission");
    return this.#accounts.checkPassword(name, password).userId;
  }
}

function refusal(body: JsonObject): Answer {
  return new Answer(401, JSON.stringify(body));
}
