/** Reads a response that must be one. */
import assert from "node:assert/strict";
import type { JsonObject } from "../../../src/protocol/json.ts";
import { readResponse, type StatusResponse } from "../../../src/protocol/responses.ts";

export function read(type: string, content: JsonObject): StatusResponse {
  const reading = readResponse(type, content);
  assert.equal(reading.kind, "response", JSON.stringify(reading));
  return (reading as { response: StatusResponse }).response;
}
