/** The test's controls over HTTP, for tests and demos in other processes. Needs no token: it listens on 127.0.0.1 only. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Changes } from "./changes.ts";
import type { IdentityAuth } from "./crossSigning.ts";
import type { FaultAction, FaultRule } from "./faults.ts";
import type { KeyQueryMode } from "./keys.ts";
import { badJson } from "./matrixError.ts";
import type { RateLimit } from "./rateLimits.ts";
import { jsonBody, type Call, type Router } from "./router.ts";
import type { DevServer } from "./devServer.ts";

const ROOT = "/_devserver";

/** Each body has the parameters of the `DevServer` method by name. Reads take `after` and wait up to `wait` milliseconds for more. */
export function addAdminRoutes(router: Router, server: DevServer, anything: Changes): void {
  const act = (name: string, run: (body: Fields) => JsonObject | void): void =>
    router.open("POST", `${ROOT}/${name}`, (call) => run(new Fields(jsonBody(call, "allowed"))) ?? {});

  act("accounts", (body) => {
    const deviceId = body.optional("deviceId");
    return {
      ...server.createAccount(
        body.text("localpart"),
        body.optional("password"),
        deviceId === undefined ? {} : { deviceId },
      ),
    };
  });
  act("revokeToken", (body) => server.revokeToken(body.text("accessToken"), body.is("soft") ? "soft" : "hard"));
  act("inject", (body) => server.inject(body.text("roomId"), body.any("event")));
  act("replay", (body) => ({ eventId: server.replay(body.text("roomId"), body.text("eventId")) }));
  act("hide", (body) => server.hide(body.text("roomId"), body.text("userId"), body.text("type")));
  act("unhide", (body) => server.unhide(body.text("roomId"), body.text("userId"), body.text("type")));
  act("answerNextSync", (body) => server.answerNextSync(body.text("userId"), body.text("text")));
  act("holdToDevice", (body) => server.holdToDevice(body.text("userId"), body.text("deviceId")));
  act("releaseToDevice", (body) =>
    server.releaseToDevice(body.text("userId"), body.text("deviceId"), (held) =>
      body.is("reversed") ? held.toReversed() : held,
    ),
  );
  act("setKeyQueries", (body) => server.setKeyQueries(body.text("userId"), body.text("mode") as KeyQueryMode));
  act("setIdentityAuth", (body) => server.identities.setAuth(body.any("auth") as unknown as IdentityAuth));
  act("approveIdentityReset", (body) => server.identities.approveReset(body.text("userId")));
  act("setFeature", (body) => server.setFeature(body.text("name"), body.is("on")));
  act("shiftDate", (body) => server.shiftDate(Number(body.any("ms"))));
  act("setRateLimit", (body) =>
    server.setRateLimit(body.optional("userId") ?? null, body.any("limit") as unknown as RateLimit | null),
  );
  act("forgetTransactions", () => server.forgetTransactions());
  act("cutConnections", () => server.cutConnections());
  act("faults", (body) => {
    const fault = server.fault(ruleIn(body));
    return { id: fault.id };
  });
  act("faults/release", (body) => server.existingFault(Number(body.any("id"))).release());
  act("faults/remove", (body) => server.existingFault(Number(body.any("id"))).remove());
  act("faults/clear", () => server.clearFaults());
  router.open("GET", `${ROOT}/faults/:id`, (call) => {
    const fault = server.existingFault(Number(call.params["id"]));
    return { id: fault.id, hits: fault.hits };
  });

  router.open("GET", `${ROOT}/events`, (call) => {
    const roomId = call.query.get("roomId");
    return waited(call, anything, (after) => ({
      events: (roomId === null ? server.events(after) : server.eventsIn(roomId, after)) as unknown as JsonObject[],
    }));
  });
  router.open("GET", `${ROOT}/receipts`, (call) =>
    waited(call, anything, (after) => ({ receipts: server.receipts(after) as unknown as JsonObject[] })),
  );
  router.open("GET", `${ROOT}/requests`, (call) => {
    const path = call.query.get("path");
    const userId = call.query.get("userId");
    const question = { ...(path === null ? {} : { path: new RegExp(path) }), ...(userId === null ? {} : { userId }) };
    return waited(call, anything, (after) => ({
      requests: server.requests(question, after) as unknown as JsonObject[],
    }));
  });
}

/** Answers when the one list in what `look` finds is not empty, or after `wait` milliseconds. */
async function waited(
  call: Call,
  anything: Changes,
  look: (after: number) => Record<string, JsonObject[]>,
): Promise<JsonObject> {
  const after = Number(call.query.get("after") ?? 0);
  const endsAt = performance.now() + Number(call.query.get("wait") ?? 0);
  for (;;) {
    const found = look(after);
    const leftMs = endsAt - performance.now();
    if (leftMs <= 0 || call.signal.aborted || Object.values(found).some((list) => list.length > 0)) return found;
    await anything.next(leftMs, call.signal);
  }
}

/** A fault rule as JSON: `path` is the source of a regular expression, `times: -1` means always. */
function ruleIn(body: Fields): FaultRule {
  const action = body.any("action");
  if (!isJsonObject(action) || typeof action["kind"] !== "string") throw badJson("action needs a kind");
  const [method, path, userId, deviceId] = ["method", "path", "userId", "deviceId"].map((name) => body.optional(name));
  const times = Number(body.any("times") ?? 1);
  return {
    ...(method === undefined ? {} : { method }),
    ...(path === undefined ? {} : { path }),
    ...(userId === undefined ? {} : { userId }),
    ...(deviceId === undefined ? {} : { deviceId }),
    skip: Number(body.any("skip") ?? 0),
    times: times < 0 ? Infinity : times,
    action: action as unknown as FaultAction,
  };
}

class Fields {
  readonly #body: JsonObject;

  constructor(body: JsonObject) {
    this.#body = body;
  }

  any(name: string): JsonValue {
    return this.#body[name] ?? null;
  }

  is(name: string): boolean {
    return this.#body[name] === true;
  }

  optional(name: string): string | undefined {
    const value = this.#body[name];
    return typeof value === "string" ? value : undefined;
  }

  /** @throws MatrixError `M_BAD_JSON` */
  text(name: string): string {
    const value = this.optional(name);
    if (value === undefined) throw badJson(`${name} must be a string`);
    return value;
  }
}
