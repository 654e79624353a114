/**
 * The single values of the configuration. Each leaf reads what stands in the YAML, says in words what it expects, and says the
 * same to editors as JSON Schema. Messages carry the expectation only: what was found is added by `schemaProblems.ts`.
 */
import { z } from "zod";
import { contentPath } from "../protocol/capabilities.ts";
import type { UserId } from "../protocol/ids.ts";
import { Secret } from "./secret.ts";
import { DURATION_PATTERN, SIZE_PATTERN, formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

/** Travels in a zod issue's `params`. */
export interface LeafParams {
  readonly expectation: true;
  readonly hint?: string;
  /** The value may be a secret: only its type may be named. */
  readonly secret?: boolean;
}

type Read<Value> = { readonly value: Value } | { readonly expected: string; readonly hint?: string };

/**
 * @param read what the value means, or what is expected instead (after the word "expected")
 * @param jsonSchema for editors; with a description of the key
 */
export function leaf<Value>(
  read: (found: unknown) => Read<Value>,
  jsonSchema: Readonly<Record<string, unknown>>,
  secret = false,
): z.ZodType<Value, unknown> {
  return z
    .unknown()
    .transform((found, context) => {
      const result = read(found);
      if ("value" in result) return result.value;
      const params: LeafParams = {
        expectation: true,
        secret,
        ...(result.hint === undefined ? {} : { hint: result.hint }),
      };
      context.addIssue({ code: "custom", message: result.expected, params });
      return z.NEVER;
    })
    .meta({ ...jsonSchema });
}

export function duration(description: string, bounds: { minMs: number; maxMs: number }): z.ZodType<number, unknown> {
  const limits = `from ${formatDuration(bounds.minMs)} to ${formatDuration(bounds.maxMs)}`;
  return leaf(
    (found) => {
      const ms = parseDuration(found);
      if (ms !== null && ms >= bounds.minMs && ms <= bounds.maxMs) return { value: ms };
      const hint = { hint: "Units are ms, s, m, h, d and y, in one number without a space." };
      return { expected: `a duration ${limits}, such as 90s or 24h`, ...(ms === null ? hint : {}) };
    },
    { anyOf: [{ type: "string", pattern: DURATION_PATTERN }, { const: 0 }], description },
  );
}

export function size(description: string): z.ZodType<number, unknown> {
  return leaf(
    (found) => {
      const bytes = parseSize(found);
      if (bytes !== null) return { value: bytes };
      return {
        expected: `a size such as ${formatSize(512 * 1024 ** 2)}`,
        hint: "Units are B, KB, MB, GB, TB, KiB, MiB, GiB and TiB, without a space.",
      };
    },
    { anyOf: [{ type: "string", pattern: SIZE_PATTERN }, { const: 0 }], description },
  );
}

export function count(description: string, max: number): z.ZodType<number, unknown> {
  return leaf(
    (found) =>
      typeof found === "number" && Number.isSafeInteger(found) && found >= 1 && found <= max
        ? { value: found }
        : {
            expected: `a whole number from 1 to ${max}`,
            ...(typeof found === "string" && /^\d+$/.test(found) ? { hint: "Write it without quotes." } : {}),
          },
    { type: "integer", minimum: 1, maximum: max, description },
  );
}

/** A secret: only ever shown as its type. */
export function secret(description: string): z.ZodType<Secret, unknown> {
  return leaf<Secret>(
    (found) => {
      if (typeof found === "number" || typeof found === "boolean")
        return { expected: "text", hint: "Put it in quotes." };
      if (typeof found !== "string" || found === "")
        return { expected: "text, best as `${env:NAME}` or `${file:PATH}`" };
      if (!/^[\x21-\x7e]{1,8192}$/.test(found))
        return { expected: "text without spaces, line breaks or letters outside ASCII" };
      return { value: new Secret(found) };
    },
    { type: "string", minLength: 1, description },
    true,
  );
}

/** A secret that people think of or write down: any text of one line, spaces and all. */
export function spacedSecret(description: string): z.ZodType<Secret, unknown> {
  return leaf<Secret>(
    (found) => {
      if (typeof found !== "string" || found.trim() === "") return { expected: "text, best as `${file:PATH}`" };
      if (!/^[^\p{Cc}\p{Zl}\p{Zp}]{1,1024}$/u.test(found)) return { expected: "text in one line" };
      return { value: new Secret(found) };
    },
    { type: "string", minLength: 1, description },
    true,
  );
}

const SERVER_NAME = /^([A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$/;

export function userId(description: string): z.ZodType<UserId, unknown> {
  return leaf<UserId>(
    (found) => {
      const expected = "a Matrix user ID such as @docket:example.org";
      if (typeof found !== "string") return { expected };
      const match = /^@([\x21-\x39\x3b-\x7e]+):(.+)$/.exec(found);
      if (match !== null && found.length <= 255 && SERVER_NAME.test(match[2] ?? "")) return { value: found as UserId };
      if (!found.startsWith("@")) return { expected, hint: "It begins with @, and is in quotes." };
      return { expected, hint: "After the name come a colon and the server's name." };
    },
    { type: "string", pattern: "^@[^:]+:.+$", maxLength: 255, description },
  );
}

export function homeserverAddress(description: string): z.ZodType<string, unknown> {
  return leaf<string>(
    (found) => {
      const expected = "an address such as https://matrix.example.org";
      if (typeof found !== "string") return { expected };
      if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(found)) return { expected, hint: "It begins with https:// (or http://)." };
      const url = URL.parse(found);
      if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return { expected };
      if (url.username !== "" || url.password !== "")
        return { expected: `${expected}, without a user name or password in it` };
      if (url.search !== "" || url.hash !== "" || /\s/.test(found)) return { expected: `${expected}, without ? or #` };
      if (url.pathname.includes("/_matrix")) return { expected, hint: "Leave out the path from /_matrix on." };
      return { value: url.href.replace(/\/+$/, "") };
    },
    { type: "string", pattern: "^https?://", description },
    true,
  );
}

/** A path as it stands there; the caller resolves it. @param example what a message calls it, with an example */
export function path(
  description: string,
  example = "the path of a directory such as ./data",
): z.ZodType<string, unknown> {
  return leaf<string>(
    (found) => {
      const expected = example;
      if (typeof found !== "string" || found.trim() === "" || found.includes("\0")) return { expected };
      if (found.startsWith("~")) return { expected, hint: "`~` is not expanded; write the whole path." };
      return { value: found };
    },
    { type: "string", minLength: 1, description },
  );
}

/** An event type, exact or with `*` at its end. */
export function typePattern(description: string): z.ZodType<string, unknown> {
  return leaf<string>(
    (found) => {
      const expected = "an event type such as m.room.message, or the beginning of one with * at its end";
      if (typeof found !== "string" || found === "" || found.length > 255 || /\p{Cc}/u.test(found)) return { expected };
      if (found.slice(0, -1).includes("*")) return { expected, hint: "A * stands only at the end." };
      if (/^\s|\s$/.test(found)) return { expected, hint: "It begins or ends with a space." };
      return { value: found };
    },
    { type: "string", pattern: "^[^*]*\\*?$", minLength: 1, maxLength: 255, description },
  );
}

/** Whom an invite may come from; a bare server means all of its users. */
export function inviterPattern(description: string): z.ZodType<string, unknown> {
  return leaf<string>(
    (found) => {
      const expected = 'a user or server such as "@alice:example.org", "@*:example.org" or "example.org"';
      if (typeof found !== "string" || found.length > 255) return { expected };
      const bareServer = !found.startsWith("@");
      const server = bareServer ? found : /^@[\x21-\x39\x3b-\x7e]+:(.+)$/.exec(found)?.[1];
      if (server === undefined || !SERVER_NAME.test(server.replaceAll("*", "x"))) {
        return {
          expected,
          ...(found.startsWith("!") || found.startsWith("#")
            ? { hint: "Rooms can't be listed, only who invites." }
            : {}),
        };
      }
      return { value: bareServer ? `@*:${found}` : found };
    },
    { type: "string", minLength: 1, maxLength: 255, description },
  );
}

/** Words for people, said as they stand. */
export function words(description: string, bounds: { longest: number }): z.ZodType<string, unknown> {
  return leaf<string>(
    (found) => {
      const expected = `text of at most ${bounds.longest} characters`;
      if (typeof found !== "string")
        return { expected, ...(typeof found === "number" ? { hint: "Put it in quotes." } : {}) };
      const text = found.trim();
      return text === "" || text.length > bounds.longest || !text.isWellFormed() ? { expected } : { value: text };
    },
    { type: "string", minLength: 1, maxLength: bounds.longest, description },
  );
}

/**
 * A value, or `false` for none at all.
 * @returns null for `false`
 */
export function unlessFalse<Value>(
  value: z.ZodType<Value, unknown>,
  description: string,
): z.ZodType<Value | null, unknown> {
  return leaf<Value | null>(
    (found) => {
      if (found === false) return { value: null };
      const result = value.safeParse(found);
      if (result.success) return { value: result.data };
      const [issue] = result.error.issues;
      const { hint } = (issue as { params?: LeafParams } | undefined)?.params ?? {};
      return { expected: `false, or ${issue?.message ?? "a value"}`, ...(hint === undefined ? {} : { hint }) };
    },
    { anyOf: [{ const: false }, z.toJSONSchema(value, { io: "input", unrepresentable: "any" })], description },
  );
}

/**
 * `true`, `false`, or words that are said on top.
 * @returns null for `false`, empty for `true`
 */
export function switchOrWords(description: string, bounds: { longest: number }): z.ZodType<string | null, unknown> {
  const text = words(description, bounds);
  return leaf<string | null>(
    (found) => {
      if (typeof found === "boolean") return { value: found ? "" : null };
      const result = text.safeParse(found);
      return result.success
        ? { value: result.data }
        : { expected: `true, false, or text of at most ${bounds.longest} characters` };
    },
    { anyOf: [{ type: "boolean" }, { type: "string", minLength: 1, maxLength: bounds.longest }], description },
  );
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** @returns null where it is none */
export function parseListenAddress(text: string): ListenAddress | null {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? null : { host, port };
}

/** An address of this machine and a port. */
export function listenAddress(description: string): z.ZodType<ListenAddress, unknown> {
  return leaf<ListenAddress>(
    (found) => {
      const expected = "an address and a port such as 127.0.0.1:9464";
      if (typeof found !== "string") return { expected };
      const address = parseListenAddress(found);
      if (address !== null) return { value: address };
      return {
        expected,
        ...(found.startsWith(":") ? { hint: "For every address of this machine write 0.0.0.0." } : {}),
      };
    },
    { type: "string", pattern: "^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9.-]+):[0-9]{1,5}$", description },
  );
}

/** A place in an event's content (MSC4301). */
export function contentKey(description: string): z.ZodType<string, unknown> {
  return leaf<string>(
    (found) =>
      typeof found === "string" && found.length <= 1_000 && contentPath(found).every((name) => name !== "")
        ? { value: found }
        : { expected: "names with dots between them, such as msgtype or m\\.relates_to.rel_type" },
    { type: "string", minLength: 1, maxLength: 1_000, description },
  );
}
