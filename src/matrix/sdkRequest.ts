/**
 * The request function that matrix-bot-sdk sends everything through, in place of the deprecated `request` package. The SDK has
 * one such function for the process and no way to hand it a signal; which client a request belongs to, and with which limits,
 * stands in `calls`. A request outside of a call is not sent.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { HttpReply, HttpTransport } from "./http.ts";

/** What the SDK's request function can't be told through its parameters. */
export interface Call {
  readonly transport: HttpTransport;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly maxReplyBytes: number;
  readonly longPoll: boolean;
}

/** Parameters of the SDK's request function, after the `request` package. `encoding: null` asks for bytes. */
export interface SdkRequest {
  readonly uri: string;
  readonly method: string;
  readonly qs?: Readonly<Record<string, unknown>> | null;
  readonly encoding?: null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export type SdkCallback = (
  error: unknown,
  response?: { statusCode: number; headers: HttpReply["headers"]; body: unknown },
  body?: unknown,
) => void;

/** The call that the running code belongs to. */
export const calls = new AsyncLocalStorage<Call>();

/** For `setRequestFn`. */
export function sdkRequest(parameters: SdkRequest, callback: SdkCallback): void {
  const call = calls.getStore();
  if (call === undefined) {
    callback(new Error("matrix-bot-sdk sent a request outside of a DocketClient: it was not sent"));
    return;
  }
  const { transport, ...limits } = call;
  const request = {
    ...limits,
    method: parameters.method,
    url: parameters.uri,
    query: parameters.qs ?? {},
    body: parameters.body ?? null,
    contentType: parameters.headers?.["Content-Type"] ?? null,
    expect: parameters.encoding === null ? ("bytes" as const) : ("json" as const),
  };
  transport.send(request).then(
    (reply) => callback(null, { statusCode: reply.status, headers: reply.headers, body: reply.body }, reply.body),
    (error: unknown) => callback(error),
  );
}
