/**
 * JSON that was really exchanged, made presentable: identifiers, times and ciphertexts of one run become the same in every run, and
 * the rest stays as it was. A document shows it behind markers of the form `<!-- exchange: NAME -->`.
 */
import type { SeenEvent } from "../../demo/sender/seenEvent.ts";
import type { JsonObject, JsonValue } from "../../src/protocol/json.ts";

const MARKED = /<!-- exchange: ([\w-]+) -->\n\n```json\n([^]*?)```/g;
/** The first seconds of a day that is none in particular. */
const TIME_MS = 1_700_000_000_000;

export class Exchanges {
  readonly #shown = new Map<string, string>();
  readonly #names = new Map<string, string>();

  /** From now on `real` is shown as `shown`. */
  name(real: string, shown: string): void {
    this.#names.set(real, shown);
  }

  /** Keeps a value to be shown. */
  add(exchange: string, value: JsonValue): void {
    if (this.#shown.has(exchange)) throw new Error(`${exchange} is there already`);
    this.#shown.set(exchange, `${JSON.stringify(this.#presentable(value), null, 2)}\n`);
  }

  /** An event as its readers see it after decryption. */
  addClear(exchange: string, event: SeenEvent): void {
    const { type, sender, eventId, content } = event;
    this.add(exchange, { type, sender, event_id: eventId, content });
  }

  /** The names of what a document shows, in its order. */
  static namesIn(document: string): readonly string[] {
    return [...document.matchAll(MARKED)].map((match) => match[1] ?? "");
  }

  get names(): readonly string[] {
    return [...this.#shown.keys()];
  }

  /** The document with every marked block as it is now. */
  fill(document: string): string {
    return document.replaceAll(MARKED, (block, name: string, old: string) => {
      const now = this.#shown.get(name);
      return now === undefined ? block : block.replace(old, () => now);
    });
  }

  #presentable(value: JsonValue, key = ""): JsonValue {
    if (typeof value === "string") return this.#presentableText(value, key);
    if (key === "ts" || key === "origin_server_ts") return TIME_MS;
    if (Array.isArray(value)) return value.map((item) => this.#presentable(item as JsonValue));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value as JsonObject).map(([name, inner]) => [
        this.#presentableText(name, ""),
        this.#presentable(inner, name),
      ]),
    );
  }

  #presentableText(text: string, key: string): string {
    if (key === "ciphertext" || key === "session_id" || key === "sender_key") return "...";
    let shown = text;
    // Longer ones first: one may stand in another.
    for (const [real, name] of [...this.#names].toSorted(([a], [b]) => b.length - a.length))
      shown = shown.replaceAll(real, name);
    return shown.replaceAll(/:localhost\b/g, ":example.org");
  }
}
