/**
 * What the bot's parts tell about their state, for whoever asks (`docket health`, `/readyz`): facts with their times, and no judgement
 * about them; that is src/ops/readiness.ts'. Guarantees: telling costs next to nothing and never throws. No fact ever holds a body, a
 * token or a key.
 */

export class Vitals {
  private readonly noted = new Map<string, string>();

  /**
   * Says for people what is off, by choice or by the homeserver, although the bot is well: one sentence, or null when it is over.
   * @param key whose note it is: each part has its own, and a second one takes the place of the first
   */
  note(key: string, text: string | null): void {
    if (text === null) this.noted.delete(key);
    else this.noted.set(key, text);
  }

  noteOf(key: string): string | null {
    return this.noted.get(key) ?? null;
  }

  /** In the order of their keys. */
  notes(): readonly string[] {
    return [...this.noted].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  }
}
