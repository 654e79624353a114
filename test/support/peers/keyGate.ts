/**
 * The room keys that a peer gives out. Those in messages to devices are handed on, or kept back until they are let go, so that what
 * it sends comes before its key. Those that went into the backup are told.
 */
export class KeyGate {
  readonly #backedUp: () => void;
  #held: (() => Promise<unknown>)[] | null = null;

  constructor(backedUp: () => void) {
    this.#backedUp = backedUp;
  }

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (this.#held === null || init?.method !== "PUT" || !url.includes("/sendToDevice/m.room.encrypted/")) {
      const response = await fetch(input, init);
      if (init?.method === "PUT" && url.includes("/room_keys/keys")) this.#backedUp();
      return response;
    }
    const { signal: _itsOwnTimeout, ...kept } = init;
    this.#held.push(() => fetch(url, kept));
    return Response.json({});
  };

  close(): void {
    this.#held ??= [];
  }

  async open(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = null;
    for (const send of held) await send();
  }
}
