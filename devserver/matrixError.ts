/** A refusal in the shape of the client-server API ("standard error response"). */
import type { JsonObject } from "../src/protocol/json.ts";

export class MatrixError extends Error {
  readonly status: number;
  readonly errcode: string;
  readonly extra: JsonObject;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    errcode: string,
    message: string,
    extra: JsonObject = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = status;
    this.errcode = errcode;
    this.extra = extra;
    this.headers = headers;
  }

  body(): JsonObject {
    return { errcode: this.errcode, error: this.message, ...this.extra };
  }
}

export function forbidden(message: string): MatrixError {
  return new MatrixError(403, "M_FORBIDDEN", message);
}

export function notFound(message: string): MatrixError {
  return new MatrixError(404, "M_NOT_FOUND", message);
}

/** Synapse's code where it has no better one. */
export function unknown(status: number, message: string): MatrixError {
  return new MatrixError(status, "M_UNKNOWN", message);
}

export function missingParam(message: string): MatrixError {
  return new MatrixError(400, "M_MISSING_PARAM", message);
}

export function badParam(message: string): MatrixError {
  return new MatrixError(400, "M_INVALID_PARAM", message);
}

export function badJson(message: string): MatrixError {
  return new MatrixError(400, "M_BAD_JSON", message);
}

/** 429 as Synapse sends it: the wait in the body in milliseconds and in `Retry-After` in whole seconds. */
export function limitExceeded(retryAfterMs: number): MatrixError {
  return new MatrixError(
    429,
    "M_LIMIT_EXCEEDED",
    "Too Many Requests",
    { retry_after_ms: retryAfterMs },
    { "Retry-After": String(Math.ceil(retryAfterMs / 1000)) },
  );
}
