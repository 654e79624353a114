/** Chance that can be repeated: the same seed gives the same numbers (mulberry32). */
export class CrashRandom {
  readonly seed: number;
  private state: number;

  /** @param seed a whole number from 0 to 2^32-1 */
  constructor(seed: number) {
    this.seed = seed;
    this.state = seed;
  }

  /** From 0 up to, not including, `end`. */
  below(end: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end;
  }

  /** A whole number from 0 up to, not including, `end`. */
  whole(end: number): number {
    return Math.floor(this.below(end));
  }

  shuffled<T>(values: readonly T[]): T[] {
    return values
      .map((value) => ({ value, place: this.below(1) }))
      .sort((a, b) => a.place - b.place)
      .map(({ value }) => value);
  }
}
