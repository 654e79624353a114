/** Which handler answers which method and path. Knows nothing of Matrix but the shape of its errors. */
import { isJsonObject, type JsonObject, type JsonValue } from "../src/protocol/json.ts";
import type { Session } from "./accessTokens.ts";
import { MatrixError, badJson } from "./matrixError.ts";

/** An answer other than 200 with a JSON object. */
export class Answer {
  readonly status: number;
  /** Exactly what is sent. */
  readonly body: string | Buffer;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: string | Buffer, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }

  static json(value: JsonValue): Answer {
    return new Answer(200, JSON.stringify(value));
  }
}

export interface Call {
  readonly method: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: Buffer;
  readonly contentType: string | null;
  /** Aborted when the client has gone or the server stops. */
  readonly signal: AbortSignal;
}

export interface SignedInCall extends Call {
  readonly session: Session;
}

export type OpenHandler = (call: Call) => Answer | JsonObject | Promise<Answer | JsonObject>;
export type Handler = (call: SignedInCall) => Answer | JsonObject | Promise<Answer | JsonObject>;

export type Match =
  | { readonly kind: "open" | "either"; readonly handler: OpenHandler; readonly params: Record<string, string> }
  | { readonly kind: "signedIn"; readonly handler: Handler; readonly params: Record<string, string> };

type Route = { readonly method: string; readonly pattern: RegExp; readonly names: readonly string[] } & (
  | { readonly kind: "open" | "either"; readonly handler: OpenHandler }
  | { readonly kind: "signedIn"; readonly handler: Handler }
);

export class Router {
  readonly #routes: Route[] = [];

  /** A route for signed-in users. `path` like `/_matrix/client/v3/rooms/:roomId/join`. */
  on(method: string, path: string, handler: Handler): void {
    this.#routes.push({ method, ...compile(path), kind: "signedIn", handler });
  }

  /** A route that needs no access token. */
  open(method: string, path: string, handler: OpenHandler): void {
    this.#routes.push({ method, ...compile(path), kind: "open", handler });
  }

  /** A route that needs no access token, but takes none that is not good. */
  either(method: string, path: string, handler: OpenHandler): void {
    this.#routes.push({ method, ...compile(path), kind: "either", handler });
  }

  /** @throws MatrixError 404 or 405 `M_UNRECOGNIZED` */
  match(method: string, path: string): Match {
    let known = false;
    for (const route of this.#routes) {
      const found = route.pattern.exec(path);
      if (found === null) continue;
      known = true;
      if (route.method !== method) continue;
      const params: Record<string, string> = {};
      route.names.forEach((name, index) => (params[name] = decode(found[index + 1] ?? "")));
      return route.kind === "signedIn"
        ? { kind: "signedIn", handler: route.handler, params }
        : { kind: route.kind, handler: route.handler, params };
    }
    throw new MatrixError(known ? 405 : 404, "M_UNRECOGNIZED", "Unrecognized request");
  }
}

/** Reads a body as a JSON object. @throws MatrixError `M_NOT_JSON` or `M_BAD_JSON` */
export function jsonBody(call: Call, empty: "refused" | "allowed" = "refused"): JsonObject {
  if (call.body.length === 0 && empty === "allowed") return {};
  let value: unknown;
  try {
    value = JSON.parse(call.body.toString("utf8"));
  } catch {
    throw new MatrixError(400, "M_NOT_JSON", "Content not JSON.");
  }
  if (!isJsonObject(value)) throw badJson("Content must be a JSON object.");
  return value;
}

/** A path parameter that the route's pattern guarantees. */
export function param(call: Call, name: string): string {
  const value = call.params[name];
  if (value === undefined) throw new Error(`The route has no parameter ${name}.`);
  return value;
}

function compile(path: string): { pattern: RegExp; names: string[] } {
  const names: string[] = [];
  const source = path.replace(/\.\w+|:(\w+)/g, (whole, name: string | undefined) => {
    if (name === undefined) return `\\${whole}`;
    names.push(name);
    return "([^/]*)";
  });
  // Synapse serves the old r0 paths beside v3; several clients still use them.
  return { pattern: new RegExp(`^${source.replace("/client/v3/", "/client/(?:v3|r0)/")}/?$`), names };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
