/** Reads what a homeserver wants before it does something (client-server API, "User-interactive authentication"). Pure. */
import type { AuthenticationChallenge } from "../errors.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../protocol/json.ts";

/** Stages that are an approval at the authorization server (MSC4312; the first name is the specification's). */
export const APPROVAL_STAGES = ["m.oauth", "org.matrix.cross_signing_reset"] as const;

const MOST_FLOWS = 20;
const LONGEST_TEXT = 1_024;

/** @returns null where it is none */
export function readChallenge(body: unknown): AuthenticationChallenge | null {
  if (!isJsonObject(body) || !Array.isArray(body["flows"])) return null;
  const flows = (body["flows"] as readonly JsonValue[]).slice(0, MOST_FLOWS).flatMap((flow) => {
    const stages = isJsonObject(flow) ? flow["stages"] : null;
    return Array.isArray(stages) ? [(stages as readonly JsonValue[]).filter(isShort)] : [];
  });
  const { session, params } = body;
  return { session: isShort(session) ? session : null, flows, approvalUrl: approvalUrl(params) };
}

function isShort(value: JsonValue | undefined): value is string {
  return typeof value === "string" && value.length <= LONGEST_TEXT;
}

/** People are told to open it: nothing but a web address. */
function approvalUrl(params: JsonValue | undefined): string | null {
  const known: JsonObject = isJsonObject(params) ? params : {};
  for (const stage of APPROVAL_STAGES) {
    const { url } = isJsonObject(known[stage]) ? known[stage] : {};
    const parsed = isShort(url) ? URL.parse(url) : null;
    if (parsed !== null && /^https?:$/.test(parsed.protocol)) return parsed.href;
  }
  return null;
}
