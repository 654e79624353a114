/** Signing an account in with its password, as a new device; what can go wrong with that is said in one sentence. */
import { randomBytes } from "node:crypto";
import { DemoFailure, EXIT } from "../demoFailure.ts";
import { HttpRefused, type MatrixHttp } from "../sender/matrixHttp.ts";
import { asArray, asObject } from "../sender/seenEvent.ts";
import type { DemoAccount } from "./homeserver.ts";

export interface SignedIn {
  readonly userId: string;
  readonly deviceId: string;
  readonly accessToken: string;
}

const V3 = "/_matrix/client/v3";
const PASSWORD = "m.login.password";

/**
 * @throws DemoFailure no homeserver answers there, or it lets nobody sign in with a password
 */
export async function requirePasswordSignIn(http: MatrixHttp): Promise<void> {
  const { baseUrl } = http;
  let versions: unknown;
  try {
    versions = (await http.call("GET", "/_matrix/client/versions"))["versions"];
  } catch (error) {
    if (!(error instanceof HttpRefused)) throw unreachable(baseUrl, error);
  }
  if (!Array.isArray(versions)) throw await noHomeserver(http);
  let flows: readonly string[] = [];
  try {
    flows = asArray((await http.call("GET", `${V3}/login`))["flows"]).map((flow) => String(asObject(flow)["type"]));
  } catch (error) {
    if (!(error instanceof HttpRefused)) throw unreachable(baseUrl, error);
  }
  if (flows.includes(PASSWORD)) return;
  const offered = flows.length === 0 ? "nothing that the demo knows" : flows.join(", ");
  throw new DemoFailure(
    EXIT.signInRefused,
    `${baseUrl} lets nobody sign in with a password (it offers ${offered}), and the demo knows no other way: servers that sign in through an authorization server (OAuth 2.0) are none for it.`,
  );
}

/**
 * @param device its display name, and the beginning of its ID, in lower case so that it fits into a profile key (MSC4133); what
 *   follows is new in every run, so that no device of the account is taken over
 * @param passwordFrom where the password stands, for the error
 * @param patience ends the wait for a rate limit
 * @throws DemoFailure the homeserver refuses or can't be reached
 */
export async function signIn(
  http: MatrixHttp,
  account: DemoAccount,
  device: { readonly prefix: string; readonly name: string },
  passwordFrom: string,
  patience: AbortSignal,
): Promise<SignedIn> {
  try {
    const answer = await http.call("POST", `${V3}/login`, {
      body: {
        type: PASSWORD,
        identifier: { type: "m.id.user", user: account.user },
        password: account.password,
        device_id: `${device.prefix}${randomBytes(4).toString("hex")}`,
        initial_device_display_name: device.name,
      },
      patience,
    });
    return {
      userId: String(answer["user_id"]),
      deviceId: String(answer["device_id"]),
      accessToken: String(answer["access_token"]),
    };
  } catch (error) {
    if (!(error instanceof HttpRefused)) throw patience.aborted ? error : unreachable(http.baseUrl, error);
    const why = error.errcode ?? `status ${error.status}`;
    throw new DemoFailure(
      EXIT.signInRefused,
      `${http.baseUrl} does not let ${account.user} sign in (${why}): look at the name and at the password in ${passwordFrom}.`,
    );
  }
}

function unreachable(baseUrl: string, error: unknown): DemoFailure {
  let cause: unknown = error;
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
  const { code } = (cause ?? {}) as { readonly code?: unknown };
  const why = typeof code === "string" ? code : cause instanceof Error ? cause.name : "no answer";
  return new DemoFailure(EXIT.unavailable, `${baseUrl} can't be reached (${why}).`);
}

/** Names the address that the domain names as its homeserver's, if it does. */
async function noHomeserver(http: MatrixHttp): Promise<DemoFailure> {
  const named = await http.call("GET", "/.well-known/matrix/client").then(
    (answer) => asObject(answer["m.homeserver"])["base_url"],
    () => undefined,
  );
  const hint = typeof named === "string" ? ` Its domain names ${named}: try --homeserver ${named}` : "";
  return new DemoFailure(EXIT.unavailable, `there is no Matrix homeserver at ${http.baseUrl}.${hint}`);
}
