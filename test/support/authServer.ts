/**
 * An authorization server for the development homeserver, over real HTTP: metadata, registration, the device authorization grant,
 * rotation of refresh tokens, revocation. It does what the Matrix Authentication Service does: a refresh exchanges the access token
 * too, and the old one ends at once; a refresh token may be used again as long as nothing that it was exchanged for was used; unknown
 * tokens are revoked without a word; scopes of the two spellings don't mix.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import type { DevServer } from "../../devserver/server.ts";
import type { JsonObject } from "../../src/protocol/json.ts";

const DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code";

interface Session {
  readonly clientId: string;
  readonly userId: string;
  readonly deviceId: string;
  ended: boolean;
}

interface Tokens {
  readonly session: Session;
  readonly accessToken: string;
  readonly refreshToken: string;
  access: "good" | "expired" | "revoked";
  used: boolean;
  /** What the refresh token was exchanged for. */
  next: Tokens | null;
}

interface Grant {
  readonly clientId: string;
  readonly deviceId: string;
  readonly userCode: string;
  state: "pending" | "granted" | "denied" | "expired" | "done";
  /** Who has granted it. */
  userId: string;
}

/** Answers instead of the server; null lets the request through. */
export type Fault = (request: {
  path: string;
  body: URLSearchParams;
}) => { status: number; body: JsonObject } | "cut" | null;

export interface AuthServer {
  readonly url: string;
  /** Paths of all requests so far, with what they had in their form. */
  readonly requests: readonly { readonly path: string; readonly body: URLSearchParams; readonly text: string }[];
  /** Resolves with the code of a sign-in that waits to be confirmed. */
  invitation(): Promise<string>;
  /** Somebody has signed in as `userId` and confirms it. */
  grant(userCode: string, userId: string): void;
  deny(userCode: string): void;
  expireCode(userCode: string): void;
  /** Every access token has come to its end. */
  expireAccessTokens(): void;
  /** Ends every session, as an administrator does. */
  endSessions(): void;
  /** Sessions that have not ended. */
  sessions(): readonly { readonly userId: string; readonly deviceId: string }[];
  fault: Fault | null;
  /** Advertised lifetime of access tokens, in seconds; nothing here expires by itself. */
  lifetimeS: number;
  scopes: "stable" | "unstable";
  /** Left out of the metadata. */
  hidden: readonly string[];
}

class Refusal extends Error {
  readonly status: number;
  constructor(error: string, status = 400) {
    super(error);
    this.status = status;
  }
}

/** Runs until the test has ended. From now on the homeserver leaves its sign-ins to it. */
export async function startAuthServer(t: TestContext, homeserver: DevServer): Promise<AuthServer> {
  const clients = new Set<string>();
  const grants = new Map<string, Grant>();
  const issued: Tokens[] = [];
  const requests: { path: string; body: URLSearchParams; text: string }[] = [];
  const waiting = new Set<() => void>();

  const issue = (session: Session): Tokens => {
    const [accessToken, refreshToken] = ["mat", "mar"].map(
      (kind) => `${kind}_${randomBytes(18).toString("base64url")}`,
    );
    const tokens: Tokens = {
      session,
      accessToken: accessToken ?? "",
      refreshToken: refreshToken ?? "",
      access: "good",
      used: false,
      next: null,
    };
    issued.push(tokens);
    return tokens;
  };
  const answerWith = ({ accessToken, refreshToken }: Tokens): JsonObject => ({
    access_token: accessToken,
    refresh_token: refreshToken,
    token_type: "Bearer",
    expires_in: server.lifetimeS,
  });
  const end = (session: Session): void => {
    session.ended = true;
    homeserver.removeDevice(session.userId, session.deviceId);
  };
  const requireClient = (body: URLSearchParams): string => {
    const id = body.get("client_id") ?? "";
    if (!clients.has(id)) throw new Refusal("invalid_client", 401);
    return id;
  };

  function register(json: JsonObject): JsonObject {
    const { client_uri: uri, grant_types: types, token_endpoint_auth_method: method, response_types: responses } = json;
    const fits =
      typeof uri === "string" && /^https:\/\/[a-z0-9.-]+\//.test(uri) && method === "none" && Array.isArray(responses);
    if (!fits || !Array.isArray(types) || !types.includes(DEVICE_CODE)) throw new Refusal("invalid_client_metadata");
    const id = `client${clients.size + 1}`;
    clients.add(id);
    return { client_id: id, ...json };
  }

  function authorizeDevice(body: URLSearchParams): JsonObject {
    const clientId = requireClient(body);
    const prefix = server.scopes === "stable" ? "urn:matrix:client:" : "urn:matrix:org.matrix.msc2967.client:";
    const scopes = (body.get("scope") ?? "").split(" ");
    const deviceId = scopes.find((scope) => scope.startsWith(`${prefix}device:`))?.slice(`${prefix}device:`.length);
    if (scopes.length !== 2 || !scopes.includes(`${prefix}api:*`) || deviceId === undefined || deviceId.length < 10)
      throw new Refusal("invalid_scope");
    const userCode = randomBytes(4).toString("hex").toUpperCase();
    const deviceCode = randomBytes(16).toString("base64url");
    grants.set(deviceCode, { clientId, deviceId, userCode, state: "pending", userId: "" });
    for (const wake of waiting) wake();
    return {
      device_code: deviceCode,
      user_code: userCode,
      verification_uri: `${server.url}/link`,
      verification_uri_complete: `${server.url}/link?code=${userCode}`,
      expires_in: 1200,
      interval: 1,
    };
  }

  function token(body: URLSearchParams): JsonObject {
    const clientId = requireClient(body);
    if (body.get("grant_type") === "refresh_token") return refresh(clientId, body.get("refresh_token") ?? "");
    const grant = grants.get(body.get("device_code") ?? "");
    if (body.get("grant_type") !== DEVICE_CODE) throw new Refusal("unsupported_grant_type");
    if (grant === undefined || grant.clientId !== clientId) throw new Refusal("invalid_grant");
    const { state, deviceId, userId } = grant;
    if (state === "pending") throw new Refusal("authorization_pending");
    if (state === "denied") throw new Refusal("access_denied");
    if (state === "expired") throw new Refusal("expired_token");
    if (state === "done") throw new Refusal("invalid_grant");
    grant.state = "done";
    homeserver.addDevice(userId, deviceId, "Docket");
    return answerWith(issue({ clientId, userId, deviceId, ended: false }));
  }

  function refresh(clientId: string, refreshToken: string): JsonObject {
    const old = issued.find((tokens) => tokens.refreshToken === refreshToken);
    if (old === undefined || old.session.ended || old.session.clientId !== clientId) throw new Refusal("invalid_grant");
    if (old.next !== null) {
      if (old.next.used || old.next.next !== null) throw new Refusal("invalid_grant");
      old.next.access = "revoked";
      issued.splice(issued.indexOf(old.next), 1);
    }
    old.access = "revoked";
    old.next = issue(old.session);
    return answerWith(old.next);
  }

  function revoke(body: URLSearchParams): JsonObject {
    const clientId = requireClient(body);
    const found = issued.find(
      ({ accessToken, refreshToken, access, next }) =>
        (accessToken === body.get("token") && access === "good") ||
        (refreshToken === body.get("token") && next === null),
    );
    if (found !== undefined && !found.session.ended) {
      if (found.session.clientId !== clientId) throw new Refusal("unauthorized_client", 401);
      end(found.session);
    }
    return {};
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const content = await text(request);
    const body = new URLSearchParams(path === "/register" ? "" : content);
    requests.push({ path, body, text: content });
    const send = (status: number, json: JsonObject): void =>
      void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
    const fault = server.fault?.({ path, body }) ?? null;
    if (fault === "cut") return void response.destroy();
    if (fault !== null) return send(fault.status, fault.body);
    try {
      if (path === "/register") send(201, register(JSON.parse(content) as JsonObject));
      else if (path === "/device") send(200, authorizeDevice(body));
      else if (path === "/token") send(200, token(body));
      else if (path === "/revoke") send(200, revoke(body));
      else send(404, {});
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      send(error.status, { error: error.message, error_description: "words of the server" });
    }
  }

  const http = createServer((request, response) => void serve(request, response).catch(() => response.destroy()));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(() => {
    http.closeAllConnections();
    http.close();
  });
  const pending = (): Grant | undefined => [...grants.values()].findLast(({ state }) => state === "pending");
  const grantOf = (userCode: string): Grant => {
    const grant = [...grants.values()].find((each) => each.userCode === userCode);
    if (grant === undefined) throw new Error(`There is no code ${userCode}.`);
    return grant;
  };
  const server: AuthServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    requests,
    fault: null,
    lifetimeS: 300,
    scopes: "stable",
    hidden: [],
    invitation: async () => {
      for (;;) {
        const grant = pending();
        if (grant !== undefined) return grant.userCode;
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            waiting.delete(wake);
            resolve();
          };
          waiting.add(wake);
        });
      }
    },
    grant: (userCode, userId) => void Object.assign(grantOf(userCode), { state: "granted", userId }),
    deny: (userCode) => void (grantOf(userCode).state = "denied"),
    expireCode: (userCode) => void (grantOf(userCode).state = "expired"),
    expireAccessTokens: () => {
      for (const tokens of issued) if (tokens.access === "good") tokens.access = "expired";
    },
    endSessions: () => {
      for (const { session } of issued) session.ended = true;
    },
    sessions: () => [...new Set(issued.map(({ session }) => session))].filter(({ ended }) => !ended),
  };
  homeserver.delegateAuth({
    metadata: () => {
      const all: JsonObject = {
        issuer: `${server.url}/`,
        registration_endpoint: `${server.url}/register`,
        device_authorization_endpoint: `${server.url}/device`,
        token_endpoint: `${server.url}/token`,
        revocation_endpoint: `${server.url}/revoke`,
        grant_types_supported: ["authorization_code", "refresh_token", DEVICE_CODE],
      };
      return Object.fromEntries(Object.entries(all).filter(([name]) => !server.hidden.includes(name)));
    },
    introspect: (accessToken) => {
      const found = issued.find((tokens) => tokens.accessToken === accessToken);
      if (found === undefined || found.session.ended || found.access === "revoked") return null;
      if (found.access === "expired") return "expired";
      found.used = true;
      return found.session;
    },
  });
  return server;
}
