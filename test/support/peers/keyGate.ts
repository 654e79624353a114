/** The messages to devices in which a peer gives out room keys: handed on, or kept back until they are let go. */
export class KeyGate {
  #held: (() => Promise<unknown>)[] | null = null;

  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (this.#held === null || init?.method !== "PUT" || !url.includes("/sendToDevice/m.room.encrypted/")) {
      return await fetch(input, init);
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
